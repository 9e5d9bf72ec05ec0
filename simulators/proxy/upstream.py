"""The proxy's way to the device: a TCP connection for each client, or one serial line that all share."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

from simulators.proxy.address import Address
from simulators.wire.ends import End, SerialEnd, connect, open_serial
from simulators.wire.frames import Frame, Framing
from simulators.wire.intake import Intake

_TURN_S = 2.0
"""How long a shared line waits for one reply before the next request goes out."""

Received = Callable[[Frame | bytes], None]


class Upstream:
    """One TCP connection to the device. What is sent before it stands goes out when it does."""

    def __init__(
        self,
        to: Address,
        framing: Framing,
        received: Received,
        lost: Callable[[], None],
    ) -> None:
        """Begins to connect.

        Args:
            to: Host and port.
            framing: How frames lie in it.
            received: Takes each reply, or bytes that are none.
            lost: Called when it cannot be had, or breaks.
        """
        self._framing = framing
        self._on_received = received
        self._on_lost = lost
        self._intake = Intake(framing, self._replied, replies=True)
        self._end: End | None = None
        self._early: list[bytes] = []
        self._closed = False
        self._connecting = asyncio.create_task(self._connect(to)) if to.path is None else None

    async def _connect(self, to: Address) -> None:
        try:
            await connect(to.host, to.port, self._made)
        except OSError:
            if not self._closed:
                self._closed = True
                self._on_lost()

    def _made(self, end: End) -> Upstream:
        self._end = end
        if self._closed:
            end.close()
            return self
        for data in self._early:
            end.write(data)
        self._early.clear()
        return self

    def send(self, request: Frame | bytes) -> None:
        """Sends a request."""
        data = request.encoded(self._framing) if isinstance(request, Frame) else request
        if self._end is None:
            self._early.append(data)
        else:
            self._end.write(data)

    def received(self, data: bytes) -> None:
        """Cuts what came into replies."""
        self._intake.received(data)

    def _replied(self, piece: Frame | bytes) -> None:
        if not self._closed:
            self._on_received(piece)

    def lost(self) -> None:
        """The connection is gone."""
        if not self._closed:
            self._closed = True
            self._on_lost()

    def close(self) -> None:
        """Ends it."""
        self._closed = True
        self._intake.stop()
        if self._connecting is not None and self._end is None:
            self._connecting.cancel()
        if self._end is not None:
            self._end.close()


class SharedLine:
    """One serial port to the device: one request at a time, whoever asks."""

    def __init__(self, path: Path, framing: Framing) -> None:
        self._path = path
        self._framing = framing
        self._intake = Intake(framing, self._answer, replies=True)
        self._end: SerialEnd | None = None
        self._queue: deque[tuple[_Share, bytes]] = deque()
        self._asking: _Share | None = None
        self._turn: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        """Opens the port.

        Raises:
            OSError: it is not there.
        """
        self._end = open_serial(self._path, lambda _end: self, lambda: None)

    def share(self, received: Received) -> Upstream:
        """A way for one client."""
        return _Share(self, self._framing, received)

    def ask(self, share: _Share, data: bytes) -> None:
        """Sends a request when the line is free. Who asks again has given up what it asked before."""
        self._queue.append((share, data))
        if self._asking is None or self._asking is share:
            self._next()

    def received(self, data: bytes) -> None:
        """Hands a reply to whoever asked last."""
        self._intake.received(data)

    def lost(self) -> None:
        """The port is gone; requests get no reply."""
        self._end = None

    def close(self) -> None:
        """Closes the port."""
        self._intake.stop()
        if self._turn is not None:
            self._turn.cancel()
        if self._end is not None:
            self._end.close()

    def _answer(self, piece: Frame | bytes) -> None:
        share, self._asking = self._asking, None
        if share is not None:
            share.hand_on(piece)
        self._next()

    def _next(self) -> None:
        self._asking = None
        if self._turn is not None:
            self._turn.cancel()
        if self._queue and self._end is not None:
            self._asking, data = self._queue.popleft()
            self._turn = self._loop.call_later(_TURN_S, self._next)
            self._end.write(data)


class _Share(Upstream):
    """One client's part of a shared line."""

    def __init__(self, line: SharedLine, framing: Framing, received: Received) -> None:
        super().__init__(Address(path=Path()), framing, received, lambda: None)
        self._line = line

    def send(self, request: Frame | bytes) -> None:
        self._line.ask(self, request.encoded(self._framing) if isinstance(request, Frame) else request)

    def hand_on(self, piece: Frame | bytes) -> None:
        """Takes a reply."""
        if not self._closed:
            self._on_received(piece)
