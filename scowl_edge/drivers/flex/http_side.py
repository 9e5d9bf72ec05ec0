"""The same protocol for peers that can make no WebSocket: frames by POST, and by a GET that waits."""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus

import orjson
from aiohttp import web

from scowl_edge.drivers.flex.envelope import FRAME_MAX_BYTES, Envelope, frame, parse
from scowl_edge.drivers.flex.link import Link
from scowl_edge.drivers.flex.refusal import Refused
from scowl_edge.model.exchange import Ack, AckStatus, Code, Heartbeat, Hello, HelloAck, Message

PROBLEM = "application/problem+json"
ANSWER_S = 10.0
"""How long a POST waits for its acknowledgement; later ones come with the GET."""
POLL_S = 25.0
MOST_FRAMES = 1_024
MOST_BYTES = 4 << 20


class HttpChannel:
    """Frames that a peer fetches, kept until it says that it has them."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._frames: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._seq = 0
        self._more = asyncio.Event()
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._ended = False

    def write(self, message: Message, *, ahead: bool) -> None:
        """Keeps a frame; an answer goes out with the POST that waits for it."""
        if self._ended:
            return
        waiting = self._answers.pop(message.corr, None) if isinstance(message.body, Ack | HelloAck) else None
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
            return
        self._seq += 1
        data = frame(message, self._seq)
        self._frames.append((self._seq, data))
        self._bytes += len(data)
        self._more.set()
        if len(self._frames) > MOST_FRAMES or self._bytes > MOST_BYTES:
            cause = f"the peer fetches nothing: {len(self._frames)} frames wait"
            self.close(cause, permanent=False)
            # Not at once: the link is in the midst of writing.
            asyncio.get_running_loop().call_soon(self._link.detached, self, cause)

    def close(self, cause: str, *, permanent: bool) -> None:
        """Over; the peer learns it with its next request."""
        if self._ended:
            return
        self._ended = True
        self._more.set()

    def malformed(self, refused: Refused, size: int) -> web.Response:
        """A frame of the peer that could not be read."""
        # Not queued for the GET: the answer is here.
        self._answers[refused.message_id or ""] = asyncio.get_running_loop().create_future()
        self._link.malformed(self, refused, size)
        self._answers.pop(refused.message_id or "", None)
        return problem(refused.ack())

    async def post(self, envelope: Envelope, message: Message, size: int) -> web.Response:
        """A frame of the peer, and its answer."""
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[message.id] = answer
        try:
            self._link.parsed(self, envelope, message, size)
            if isinstance(message.body, Heartbeat | Ack | HelloAck) and not answer.done():
                return web.Response(status=HTTPStatus.NO_CONTENT)
            async with asyncio.timeout(ANSWER_S):
                got = await answer
        except TimeoutError:
            return web.Response(status=HTTPStatus.ACCEPTED)
        finally:
            if self._answers.get(message.id) is answer:
                del self._answers[message.id]
        if isinstance(got.body, Ack) and got.body.status is not AckStatus.OK:
            return problem(got.body)
        return web.Response(body=frame(got, 0), content_type="application/json")

    async def get(self, after: int) -> web.Response:
        """Frames above a number; those up to it are let go."""
        while self._frames and self._frames[0][0] <= after:
            self._bytes -= len(self._frames.popleft()[1])
        if not self._frames and not self._ended:
            self._more.clear()
            try:
                async with asyncio.timeout(POLL_S):
                    await self._more.wait()
            except TimeoutError:
                pass
        if self._ended:
            return not_greeted()
        taken: list[bytes] = []
        size = 0
        for _, data in self._frames:
            size += len(data)
            if taken and size > FRAME_MAX_BYTES:
                break
            taken.append(data)
        return web.Response(body=b"[" + b",".join(taken) + b"]", content_type="application/json")


def problem(ack: Ack, status: int | None = None) -> web.Response:
    """A refusal as a problem document (RFC 9457) with the code and the words of the acknowledgement."""
    code = ack.code or Code.INTERNAL
    status = status or code.http
    body: dict[str, object] = {
        "type": f"urn:scowl-flex:problem:{code.lower().replace('_', '-')}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": ack.detail,
        "code": str(code),
        "ack_status": str(ack.status),
    }
    headers = {"Cache-Control": "no-store"}
    if ack.retry_after_s is not None:
        body["retry_after_s"] = ack.retry_after_s
        headers["Retry-After"] = str(ack.retry_after_s)
    return web.Response(status=status, body=orjson.dumps(body), content_type=PROBLEM, headers=headers)


def refused(code: Code, detail: str, status: int | None = None, *, retry_after_s: int | None = None) -> web.Response:
    """A problem document for a request as such."""
    return problem(Ack(status=code.status, code=code, detail=detail[:200], retry_after_s=retry_after_s), status)


def not_greeted() -> web.Response:
    """The peer has no session over HTTPS."""
    return refused(Code.BUSY, "no session: POST a hello first", retry_after_s=1)


async def post(link: Link, request: web.Request) -> web.Response:
    """`POST /flex/v1/messages`."""
    try:
        data = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return refused(
            Code.SCHEMA, f"a frame is longer than {FRAME_MAX_BYTES} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        )
    channel = link.channel if isinstance(link.channel, HttpChannel) else None
    try:
        envelope, message = parse(data)
    except Refused as bad:
        return problem(bad.ack()) if channel is None else channel.malformed(bad, len(data))
    if isinstance(message.body, Hello) and envelope.seq <= 1:
        channel = HttpChannel(link)
        link.attached(channel)
    return not_greeted() if channel is None else await channel.post(envelope, message, len(data))


async def get(link: Link, request: web.Request) -> web.Response:
    """`GET /flex/v1/messages?after=N`."""
    text = request.query.get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        return refused(Code.SCHEMA, f"after: should be a number, not {text[:40]!r}")
    if not isinstance(link.channel, HttpChannel):
        return not_greeted()
    return await link.channel.get(int(text))
