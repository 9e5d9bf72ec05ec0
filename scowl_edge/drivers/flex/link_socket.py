"""A WebSocket as a link's channel, the same on both sides."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aiohttp import ClientWebSocketResponse, WSCloseCode, WSMsgType, web

from scowl_edge.drivers.flex.envelope import FRAME_MAX_BYTES, frame
from scowl_edge.drivers.flex.link import Link
from scowl_edge.drivers.flex.refusal import Refused
from scowl_edge.model.exchange import Message

READ_MAX_BYTES = FRAME_MAX_BYTES + 4_096
"""A frame little above the limit is still read, so that its sender is told; a longer one just ends the connection."""
STALL_S = 20.0
"""Longest time in which a peer must take one frame."""
CLOSE_S = 5.0
MOST_AHEAD = 1_024
"""Answers that may wait for a peer that takes none."""
_REASON_BYTES = 120

Socket = web.WebSocketResponse | ClientWebSocketResponse[bool]


class SocketChannel:
    """Frames of one connection on their way out."""

    def __init__(self, socket: Socket, abort: Callable[[], None]) -> None:
        """`abort` ends the connection at once, with what it holds."""
        self._socket = socket
        self._abort = abort
        self._ahead: deque[Message] = deque()
        self._behind: deque[Message] = deque()
        self._seq = 0
        self._pump: asyncio.Task[None] | None = None
        self._ending: tuple[int, str] | None = None
        self.cause = ""
        """Why it was ended from here."""

    def write(self, message: Message, *, ahead: bool) -> None:
        """Queues a frame."""
        if self._ending is not None:
            return
        (self._ahead if ahead else self._behind).append(message)
        if len(self._ahead) > MOST_AHEAD:
            self.break_off(f"the peer takes no answers: {len(self._ahead)} wait")
        elif self._pump is None:
            self._pump = asyncio.create_task(self._run(), name="flex-write")

    def close(self, cause: str, *, permanent: bool) -> None:
        """Closes in order, after the answers."""
        self.end(WSCloseCode.POLICY_VIOLATION if permanent else WSCloseCode.GOING_AWAY, cause)

    def end(self, code: int, cause: str) -> None:
        """As `close`, with a code of RFC 6455."""
        if self._ending is None:
            self._ending = (code, cause)
            self.cause = self.cause or cause
            self._behind.clear()
            if self._pump is None:
                self._pump = asyncio.create_task(self._run(), name="flex-close")

    def break_off(self, cause: str) -> None:
        """Ends it at once."""
        self._ending = self._ending or (WSCloseCode.GOING_AWAY, cause)
        self.cause = self.cause or cause
        self._ahead.clear()
        self._behind.clear()
        self._abort()

    async def done(self) -> None:
        """The reader has ended: nothing more can be written."""
        self._ahead.clear()
        self._behind.clear()
        if self._pump is not None and self._ending is None:
            self._pump.cancel()
        if self._pump is not None:
            await asyncio.wait((self._pump,), timeout=CLOSE_S)

    async def _run(self) -> None:
        try:
            while self._ahead or self._behind:
                message = (self._ahead or self._behind).popleft()
                try:
                    data = frame(message, self._seq + 1)
                except Refused:
                    # Only a stamp or a number has changed since it was measured: a few bytes more than may be.
                    continue
                self._seq += 1
                async with asyncio.timeout(STALL_S):
                    await self._socket.send_frame(data, WSMsgType.TEXT)
            if self._ending is not None:
                code, cause = self._ending
                async with asyncio.timeout(CLOSE_S):
                    await self._socket.close(code=code, message=cause.encode()[:_REASON_BYTES])
        except TimeoutError:
            self.break_off(f"the peer took nothing for {STALL_S:g} s")
        except (ConnectionError, RuntimeError) as error:
            # aiohttp says so when the other side is gone, or closing.
            self.cause = self.cause or str(error)
        finally:
            self._pump = None


async def serve(link: Link, socket: Socket, channel: SocketChannel) -> str:
    """Reads until the connection ends. Returns why it did."""
    link.attached(channel)
    try:
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                pause_s = link.frame(channel, message.data)
                if len(message.data) > FRAME_MAX_BYTES:
                    channel.end(WSCloseCode.MESSAGE_TOO_BIG, f"a frame of more than {FRAME_MAX_BYTES} bytes")
                elif pause_s:
                    await asyncio.sleep(pause_s)
            elif message.type is WSMsgType.BINARY:
                channel.end(WSCloseCode.UNSUPPORTED_DATA, "frames are text")
    finally:
        cause = channel.cause or _why(socket)
        link.detached(channel, cause)
        await channel.done()
    return cause


def _why(socket: Socket) -> str:
    error = socket.exception()
    if error is not None:
        return str(error) or type(error).__name__
    if socket.close_code in (None, WSCloseCode.ABNORMAL_CLOSURE):
        return "the connection broke off"
    return f"the peer closed with code {socket.close_code}"
