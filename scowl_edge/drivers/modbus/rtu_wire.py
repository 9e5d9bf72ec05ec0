"""An RTU line on the event loop: over a TCP connection to a converter, or over a serial port."""

from __future__ import annotations

import asyncio
import math
import termios
from collections.abc import Callable
from fcntl import ioctl
from typing import cast

from scowl_edge.devices.declaration import ModbusLink
from scowl_edge.drivers.errors import BadReply, DriverError, LinkLost
from scowl_edge.drivers.modbus.mbap import watch_peer
from scowl_edge.drivers.modbus.owed import OwedReplies
from scowl_edge.drivers.modbus.rtu_line import RESYNC_MS, RtuLine, gap_ms
from scowl_edge.drivers.modbus.wire import Done


class RtuWire(asyncio.Protocol):
    """Requests over one line, one after the other. Any number may be started; they leave in their order."""

    def __init__(
        self,
        link: ModbusLink,
        owed: OwedReplies,
        *,
        rate: float,
        on_stray: Callable[[], None],
        on_bad: Callable[[], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._owed = owed
        self._transport: asyncio.Transport | None = None
        self._fd = -1
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf
        self._line = RtuLine(
            owed,
            gap_s=gap_ms(link) / 1000 / rate,
            resync_s=RESYNC_MS / 1000 / rate,
            # Another run of this program began with another number.
            nonce=int(self._loop.time() * 1000) & 0xFFFF,
            send=self._write,
            unread=self._unread,
            on_stray=on_stray,
            on_bad=on_bad,
            on_broken=self._break,
        )

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sets a TCP socket up for short frames and for peers that vanish."""
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            watch_peer(sock)
            self._fd = sock.fileno()
        else:
            self._fd = transport.get_extra_info("fd", -1)
        self._owed.opened(self._loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails the requests under way."""
        was_open, self._transport = self._transport is not None, None
        reason = f"the connection broke: {exc}" if exc else "the other side closed the connection"
        self._fail_all(LinkLost(reason, sent=True))
        if was_open:
            self._on_lost()

    def close(self) -> None:
        """Closes at once; requests under way fail."""
        self._shut()
        self._fail_all(LinkLost("the connection was closed", sent=True))

    def start(self, unit: int, pdu: bytes, timeout_s: float, done: Done) -> None:
        """Sends one request, after those before it; see `Wire.start`."""
        if self._transport is None:
            raise LinkLost("the connection is closed", sent=False)
        self._line.start(self._loop.time(), unit, pdu, timeout_s, done)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Takes bytes from the line."""
        self._line.received(self._loop.time(), data)
        self._arm()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _unread(self) -> bool:
        """Whether the kernel holds bytes that came before what is about to be sent."""
        if self._fd < 0 or self._transport is None:
            return False
        return any(ioctl(self._fd, termios.FIONREAD, bytes(4)))

    def _break(self) -> None:
        self._shut()
        self._fail_all(BadReply("the connection is reopened, for a canary had the wrong value"))
        self._on_lost()

    def _shut(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def _arm(self) -> None:
        """One timer: it rings for what is due next, or too early and looks again."""
        due_s = self._line.wake_s
        if due_s == math.inf or (self._timer is not None and self._timer_s <= due_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = due_s
        self._timer = self._loop.call_at(due_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._line.wake(self._loop.time())
        self._arm()

    def _fail_all(self, error: DriverError) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for done, failure in self._line.lost(self._loop.time(), error):
            self._loop.call_soon(done, failure)
