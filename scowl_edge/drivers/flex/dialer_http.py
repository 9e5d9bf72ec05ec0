"""Frames over HTTPS from the dialling side, where no WebSocket comes about."""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import ClientSession, ClientTimeout
from pydantic import TypeAdapter, ValidationError

from scowl_edge.drivers.flex.envelope import FRAME_MAX_BYTES, VERSION, Envelope, frame
from scowl_edge.drivers.flex.link import Link
from scowl_edge.model.exchange import Ack, AckStatus, Code, Message

POST_S = 20.0
POLL_S = 40.0
_PAUSE_S = 1.0
_CODE: TypeAdapter[Code] = TypeAdapter(Code)
_STATUS: TypeAdapter[AckStatus] = TypeAdapter(AckStatus)


class HttpDialChannel:
    """Posts what the link writes, one after the other, and fetches what its peer has for it."""

    def __init__(self, link: Link, session: ClientSession, url: str) -> None:
        """`url` is that of the messages."""
        self._link = link
        self._session = session
        self._url = url
        self._ahead: deque[Message] = deque()
        self._behind: deque[Message] = deque()
        self._seq = 0
        self._more = asyncio.Event()
        self._over = asyncio.Event()
        self.cause = ""

    def write(self, message: Message, *, ahead: bool) -> None:
        """Queues a frame."""
        (self._ahead if ahead else self._behind).append(message)
        self._more.set()

    def close(self, cause: str, *, permanent: bool) -> None:
        """Ends both requests."""
        self.cause = self.cause or cause
        self._over.set()

    async def run(self) -> str:
        """Until it ends; returns why it did."""
        tasks = [
            asyncio.create_task(self._post_all(), name="flex-post"),
            asyncio.create_task(self._over.wait(), name="flex-over"),
        ]
        try:
            self._link.attached(self)
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (error := task.exception()) is not None:
                    raise error
        except (OSError, TimeoutError) as error:
            self.cause = self.cause or str(error) or type(error).__name__
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._link.detached(self, self.cause)
        return self.cause

    async def _post_all(self) -> None:
        polling: asyncio.Task[None] | None = None
        try:
            while True:
                while not (self._ahead or self._behind):
                    self._more.clear()
                    waiting = asyncio.create_task(self._more.wait())
                    both = [waiting, *([] if polling is None else [polling])]
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
                    if polling is not None and polling.done():
                        polling.result()
                await self._post((self._ahead or self._behind).popleft())
                if polling is None and self._link.session.session_id:
                    polling = asyncio.create_task(self._poll(), name="flex-poll")
        finally:
            if polling is not None:
                polling.cancel()
                await asyncio.gather(polling, return_exceptions=True)

    async def _post(self, message: Message) -> None:
        self._seq += 1
        headers = {"Content-Type": "application/json"}
        timeout = ClientTimeout(total=POST_S)
        async with self._session.post(
            self._url, data=frame(message, self._seq), headers=headers, timeout=timeout
        ) as answer:
            body = await answer.content.read(FRAME_MAX_BYTES + 1)
            if answer.status == HTTPStatus.OK:
                self._link.frame(self, body)
            elif answer.status >= HTTPStatus.BAD_REQUEST:
                self._refused(message, answer.status, body)

    def _refused(self, message: Message, status: int, body: bytes) -> None:
        """A problem document is the acknowledgement that says no."""
        try:
            told: Any = orjson.loads(body)
            code, word = _CODE.validate_python(told["code"]), _STATUS.validate_python(told["ack_status"])
            detail, retry_after_s = str(told.get("detail", ""))[:200], told.get("retry_after_s")
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValidationError):
            raise ConnectionError(f"the peer answered a POST with {status} and no problem document") from None
        ack = Ack(
            status=word,
            code=code,
            detail=detail,
            retry_after_s=retry_after_s if isinstance(retry_after_s, int) else None,
        )
        session = self._link.session
        answer = Message(
            id=message.id, ts_ms=message.ts_ms, src=session.peer, dst=session.node, body=ack, corr=message.id
        )
        self._link.parsed(self, Envelope(v=VERSION, type="ack", id=answer.id, seq=0), answer, len(body))

    async def _poll(self) -> None:
        timeout = ClientTimeout(total=POLL_S)
        while True:
            after = {"after": str(self._link.session.last_seq)}
            async with self._session.get(self._url, params=after, timeout=timeout) as answer:
                body = await answer.read()
                if answer.status != HTTPStatus.OK:
                    raise ConnectionError(f"the peer answered a GET with {answer.status}: {body[:200]!r}")
            for one in orjson.loads(body):
                pause_s = self._link.frame(self, orjson.dumps(one))
                if pause_s:
                    await asyncio.sleep(min(pause_s, _PAUSE_S))
