"""A WebSocket as a link's channel, the same on both sides."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from aiohttp import ClientWebSocketResponse, WebSocketError, WSCloseCode, WSMsgType, web

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
        self._told = False
        self._limit: asyncio.TimerHandle | None = None
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

    @property
    def ending(self) -> bool:
        """Nothing that arrives counts any more."""
        return self._ending is not None

    def done(self) -> None:
        """The reader has ended: nothing more can be written."""
        self._ending = self._ending or (WSCloseCode.OK, "")
        self._ahead.clear()
        self._behind.clear()
        if self._limit is not None:
            self._limit.cancel()
        if self._pump is not None:
            self._pump.cancel()

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
            if self._ending is not None and not self._told:
                # As a bare frame: the reader, who may be in the midst of it, goes on until the peer has answered.
                self._told = True
                code, cause = self._ending
                async with asyncio.timeout(CLOSE_S):
                    data = code.to_bytes(2) + cause.encode()[:_REASON_BYTES]
                    await self._socket.send_frame(data, WSMsgType.CLOSE)
                self._limit = asyncio.get_running_loop().call_later(CLOSE_S, self._abort)
        except TimeoutError:
            self.break_off(f"the peer took nothing for {STALL_S:g} s")
        except (ConnectionError, RuntimeError):
            # The other side is gone, and the reader hears of it too.
            self._abort()
        finally:
            self._pump = None


async def serve(link: Link, socket: Socket, channel: SocketChannel) -> str:
    """Reads until the connection ends. Returns why it did."""
    link.attached(channel)
    told = ""
    try:
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.TEXT and not channel.ending:
                pause_s = link.frame(channel, message.data)
                if len(message.data) > FRAME_MAX_BYTES:
                    channel.end(WSCloseCode.MESSAGE_TOO_BIG, f"a frame of more than {FRAME_MAX_BYTES} bytes")
                elif pause_s:
                    await asyncio.sleep(pause_s)
            elif message.type is WSMsgType.BINARY:
                link.session.unreadable()
                channel.end(WSCloseCode.UNSUPPORTED_DATA, "frames are text")
            elif message.type is WSMsgType.CLOSE:
                told = f"the peer closed with code {message.data}: {message.extra or 'no reason given'}"
                break
            elif message.type in (WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                told = _why(socket)
                if isinstance(socket.exception(), WebSocketError):
                    # Far too long, or no text: refused before a frame came of it.
                    link.session.unreadable()
                break
    finally:
        cause = channel.cause or told or "this side stopped"
        channel.done()
        link.detached(channel, cause)
        with suppress(ConnectionError):
            await socket.close()
    return cause


def _why(socket: Socket) -> str:
    error = socket.exception()
    return "the connection broke off" + (f": {error}" if error is not None and str(error) else "")
