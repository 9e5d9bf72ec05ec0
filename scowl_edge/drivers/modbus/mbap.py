"""Modbus TCP frames: each reply must carry the transaction id, unit and function of a request under way.

A frame with another transaction id is counted as stray and dropped; bytes that are no frame end the connection, for
after them nothing can be trusted. A reply that was cut short could be filled up by the late reply to an earlier
request: so while a late reply is owed, a reply must come in one piece, and bytes behind a reply must be frames too
before it counts.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextvars import copy_context
from struct import Struct
from typing import NamedTuple, cast

from scowl_edge.drivers.errors import BadReply, DriverError, LinkLost, ReplyTimeout
from scowl_edge.drivers.modbus.pdu import refusal
from scowl_edge.drivers.modbus.wire import Done

_MBAP = Struct(">HHHB")
_HEAD = Struct(">HHH")
_LENGTH_LEAST = 3
"""Unit, function and one byte more: no reply is shorter."""
_LENGTH_MOST = 254
_KEEPALIVE_IDLE_S, _KEEPALIVE_EVERY_S, _KEEPALIVE_COUNT = 10, 5, 3


class _Request(NamedTuple):
    """One request under way."""

    unit: int
    function: int
    timeout_s: float
    deadline_s: float
    done: Done


class MbapWire(asyncio.Protocol):
    """Requests over one TCP or TLS connection, told apart by their transaction ids."""

    def __init__(self, on_stray: Callable[[], None], on_lost: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_stray = on_stray
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._partial = b""
        # Not from 0: what a gateway still says to an earlier connection of ours must not fit this one's numbers.
        self._transaction = int(self._loop.time() * 1000) & 0xFFFF
        self._pending: dict[int, _Request] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0
        self._context = copy_context()
        """One for all timers: else the loop makes one for each."""
        self._owed = 0
        """Requests given up whose reply may still come."""

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sets the socket up for short frames and for peers that vanish."""
        # uvloop's transports have the methods, not the base class.
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            watch_peer(sock)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails the requests under way."""
        was_open, self._transport = self._transport is not None, None
        reason = f"the connection broke: {exc}" if exc else "the other side closed the connection"
        self._fail_all(LinkLost(reason, sent=True))
        if was_open:
            self._on_lost()

    def close(self) -> None:
        """Closes at once; requests under way fail."""
        transport, self._transport = self._transport, None
        self._partial = b""
        if transport is not None:
            transport.abort()
        self._fail_all(LinkLost("the connection was closed", sent=True))

    def start(self, unit: int, pdu: bytes, timeout_s: float, done: Done) -> None:
        """Sends one request; see `Wire.start`. Any number may be under way."""
        if self._transport is None:
            raise LinkLost("the connection is closed", sent=False)
        transaction = self._transaction = (self._transaction + 1) & 0xFFFF
        if transaction in self._pending:
            raise RuntimeError("all transaction ids are under way")
        deadline_s = self._loop.time() + timeout_s
        self._pending[transaction] = _Request(unit, pdu[0], timeout_s, deadline_s, done)
        # One timer for all: one that rings for a request long answered looks for the next deadline.
        if self._timer is None or deadline_s < self._timer_s:
            self._set_timer(deadline_s)
        self._transport.write(_MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu)

    def data_received(self, data: bytes) -> None:
        """Cuts the stream into frames."""
        patched = False
        if not self._partial and len(data) > 8:
            # By far the most common case: one whole reply to a request under way, and nothing else.
            transaction, protocol, length = _HEAD.unpack_from(data)
            if len(data) == 6 + length and not protocol and transaction in self._pending:
                asked = self._pending.pop(transaction)
                asked.done(_checked(asked, data[6], data[7:]))
                return
        elif self._partial:
            data = self._partial + data
            self._partial = b""
            patched = self._owed > 0
        replies: list[tuple[Done, bytes | DriverError]] = []
        while len(data) >= 6:
            transaction, protocol, length = _HEAD.unpack_from(data)
            if protocol or not _LENGTH_LEAST <= length <= _LENGTH_MOST:
                self._garbage(data, replies)
                return
            end = 6 + length
            if len(data) < end:
                break
            request = self._pending.get(transaction)
            if request is None:
                self._owed = max(self._owed - 1, 0)
                self._on_stray()
            elif patched:
                self._garbage(data, replies)
                return
            else:
                del self._pending[transaction]
                replies.append((request.done, _checked(request, data[6], data[7:end])))
            if len(data) == end:
                data = b""
                break
            data = data[end:]
            patched = False
        self._partial = data
        for done, reply in replies:
            done(reply)

    def _garbage(self, data: bytes, replies: list[tuple[Done, bytes | DriverError]]) -> None:
        error = BadReply(
            f"the bytes {data[:12].hex(' ')} came, which are no sure Modbus TCP; the connection is reopened"
        )
        failed = [done for done, _ in replies] + [request.done for request in self._pending.values()]
        self._pending.clear()
        self.close()
        for done in failed:
            done(error)
        self._on_lost()

    def _set_timer(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = at_s
        self._timer = self._loop.call_at(at_s, self._ring, context=self._context)

    def _ring(self) -> None:
        """Gives up what is overdue. Half a frame then means that the stream can no longer be cut safely."""
        self._timer = None
        now_s = self._loop.time()
        # A timer may ring a hair early by this clock.
        overdue = [key for key, request in self._pending.items() if request.deadline_s <= now_s + 1e-4]
        given_up = [self._pending.pop(key) for key in overdue]
        if self._pending:
            self._set_timer(min(request.deadline_s for request in self._pending.values()))
        self._owed += len(given_up)
        if given_up and self._partial:
            self.close()
            self._on_lost()
        for request in given_up:
            request.done(ReplyTimeout(f"no reply within {request.timeout_s * 1000:g} ms"))

    def _fail_all(self, error: DriverError) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pending, self._pending = self._pending, {}
        for request in pending.values():
            self._loop.call_soon(request.done, error)


def _checked(request: _Request, unit: int, pdu: bytes) -> bytes | DriverError:
    """The PDU of a frame with the right transaction id, or what is wrong with it."""
    if unit != request.unit:
        return BadReply(f"the reply is from unit {unit}")
    if pdu[0] == request.function:
        return pdu
    if pdu[0] == request.function | 0x80 and len(pdu) == 2:
        return refusal(pdu[1])
    return BadReply(f"the reply has function {pdu[0]}, {len(pdu)} bytes long; asked was {request.function}")


def watch_peer(sock: socket.socket) -> None:
    """Sets a TCP socket up for short frames, and for a peer that vanishes without a word."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", _KEEPALIVE_EVERY_S),
        ("TCP_KEEPCNT", _KEEPALIVE_COUNT),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
