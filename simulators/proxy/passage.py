"""One client of the proxy: its requests on their way to the device, and what it gets for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from simulators.faults import FaultKind
from simulators.proxy.active import OF_BYTES, ActiveFaults
from simulators.proxy.upstream import Upstream
from simulators.wire.ends import End
from simulators.wire.frames import READS, Frame, Framing, acknowledged
from simulators.wire.intake import Intake
from simulators.wire.mischief import Fate, Mischief, Send
from simulators.wire.outlet import LineEnd, Outlet
from simulators.wire.record import Record

_LINE_BITS = 11
"""A byte on a serial line: start, eight bits, parity or a second stop bit, stop."""
_BYTES = Frame(0, b"\0")
"""Stands for the request where a stream is not looked into."""


_NOT_OF_REQUESTS = frozenset({FaultKind.PACE, FaultKind.SECOND_MASTER})
_OF_ANSWERS = OF_BYTES - {FaultKind.HALF_OPEN, FaultKind.PACE, FaultKind.SILENCE}
_MOST_WAITING = 256
"""Requests that are remembered while the device has not answered them."""


class Proxy(Protocol):
    """What a passage asks of its proxy."""

    name: str
    framing: Framing
    to_framing: Framing
    faults: ActiveFaults
    answers: Record

    @property
    def keeps_clients(self) -> bool:
        """Whether a client stays although the device hangs up, as on a serial line."""

    def note(self, way: str, connection: int, what: Frame | bytes) -> None:
        """Logs what passes."""

    def stuck_reply(self, request: Frame) -> Frame | None:
        """The remembered reply to a read."""

    def remember(self, request: Frame, reply: Frame) -> None:
        """Keeps a reply for as long as readings are stuck."""

    def newest_end(self) -> End | None:
        """Whoever is connected now."""

    def ended(self, connection: int) -> None:
        """A connection is over."""

    def new_upstream(self, received: Callable[[Frame | bytes], None], lost: Callable[[], None]) -> Upstream:
        """A way to the device."""


class Passage:
    """A session between one client and the device."""

    def __init__(self, proxy: Proxy, number: int, end: End, mischief: Mischief) -> None:
        self.end = end
        self.mischief = mischief
        self._line_end = LineEnd(end, proxy.newest_end) if proxy.framing is Framing.RTU else None
        self._outlet = Outlet(self._line_end or end)
        self._proxy = proxy
        self._number = number
        self._intake = Intake(proxy.framing, self._asked)
        self._waiting: deque[Fate] = deque(maxlen=_MOST_WAITING)
        """Requests with the device, oldest first."""
        self._dead = False
        self._over = False
        self._renumbered = 0
        self._upstream: Upstream | None = proxy.new_upstream(self._answered, self._device_lost)

    def received(self, data: bytes) -> None:
        """Takes what the client sent; on a line with a pace, when its last byte would have come."""
        pace = self._proxy.faults.find(FaultKind.PACE)
        self._outlet.byte_s = _LINE_BITS / pace.baud if pace is not None else 0.0
        if pace is not None:
            self._proxy.faults.count(pace)
        self._intake.received(data, byte_s=self._outlet.byte_s)

    def lost(self) -> None:
        """The client is gone."""
        if self._over:
            return
        self._over = True
        self._intake.stop()
        if self._line_end is not None:
            self._line_end.gone = True
        else:
            self._outlet.drop()
        self._proxy.ended(self._number)
        if self._upstream is not None:
            self._upstream.close()

    def _asked(self, piece: Frame | bytes) -> None:
        if self._over:
            return
        proxy = self._proxy
        proxy.note("request", self._number, piece)
        if isinstance(piece, bytes) and proxy.framing is not Framing.NONE:
            if not self._dead:
                self._forward(piece)
            return
        request = piece if isinstance(piece, Frame) else _BYTES
        faults = [fault for fault in proxy.faults.now() if fault.kind not in _NOT_OF_REQUESTS]
        if isinstance(piece, bytes):
            faults = [fault for fault in faults if fault.kind not in _OF_ANSWERS]
        fate = self.mischief.fate(request, faults)
        for item in fate.released:
            self._send(item)
        if fate.dead:
            self._dead = True
        if self._dead:
            return
        if fate.reset:
            self._reset()
            return
        if fate.answer is None and fate.carried_out and isinstance(piece, Frame):
            self._answer_for_the_device(fate)
        if fate.answer is not None:
            self._reply(fate, fate.answer)
            return
        if not fate.carried_out:
            return
        proxy.note("forwarded", self._number, piece)
        if isinstance(piece, Frame):
            if proxy.to_framing is Framing.TCP and proxy.framing is Framing.RTU:
                self._renumbered = self._renumbered + 1 & 0xFFFF
                piece = replace(piece, transaction=self._renumbered)
                fate.request = piece
            self._waiting.append(fate)
        self._forward(piece)

    def _reset(self) -> None:
        self._outlet.drop()
        self.end.reset()

    def _forward(self, piece: Frame | bytes) -> None:
        if self._upstream is None:
            self._upstream = self._proxy.new_upstream(self._answered, self._device_lost)
        self._upstream.send(piece)

    def _answer_for_the_device(self, fate: Fate) -> None:
        """Faults by which the proxy answers although the request could go on."""
        for fault in fate.struck:
            if fault.kind is FaultKind.ACK_NOT_APPLIED:
                self._proxy.faults.count(fault)
                fate.answer = acknowledged(fate.request)
            elif fault.kind is FaultKind.STUCK:
                fate.answer = self._proxy.stuck_reply(fate.request)
                if fate.answer is not None:
                    self._proxy.faults.count(fault)

    def _answered(self, piece: Frame | bytes) -> None:
        """Takes what the device sent."""
        if self._over:
            return
        proxy = self._proxy
        proxy.note("answer", self._number, piece)
        if isinstance(piece, bytes):
            # A stream that is not looked into knows no requests: each piece is judged when it comes.
            fate = Fate(_BYTES)
            if proxy.framing is Framing.NONE:
                fate = self.mischief.fate(_BYTES, [f for f in proxy.faults.now() if f.kind in _OF_ANSWERS])
                if fate.reset:
                    self._reset()
                if self._dead or not fate.carried_out:
                    return
            self._reply(fate, piece)
            return
        found = self._request_of(piece)
        if found is None:
            self._reply(Fate(piece), piece)
            return
        if proxy.framing is Framing.TCP:
            piece = replace(piece, transaction=found.request.transaction)
        proxy.answers.add(proxy.name, found.request, piece)
        if found.request.function in READS and any(fault.kind is FaultKind.STUCK for fault in found.struck):
            proxy.remember(found.request, piece)
        self._reply(found, piece)

    def _request_of(self, reply: Frame) -> Fate | None:
        """The request that a reply of the device belongs to: by transaction id, or the latest that it fits."""
        by_id = self._proxy.to_framing is Framing.TCP
        for fate in reversed(self._waiting):
            asked = fate.request
            same = asked.transaction == reply.transaction if by_id else _fits(asked, reply)
            if same and asked.unit == reply.unit:
                self._waiting.remove(fate)
                return fate
        return None

    def _reply(self, fate: Fate, reply: Frame | bytes) -> None:
        for item in self.mischief.reply(fate, reply):
            self._send(item)

    def _send(self, item: Send) -> None:
        if not self._dead:
            self._proxy.note("sent", self._number, item.data)
            self._outlet.send(item)

    def _device_lost(self) -> None:
        """The device cannot be reached, or has hung up: so does the proxy, where it can."""
        self._upstream = None
        if not self._over and not self._proxy.keeps_clients:
            self._reset()


def _fits(asked: Frame, reply: Frame) -> bool:
    """Whether a reply without a transaction id may belong to a request."""
    if asked.function != reply.function:
        return False
    if reply.pdu[0] & 0x80 or asked.function not in READS:
        return True
    count = int.from_bytes(asked.pdu[3:5])
    return reply.pdu[1] == ((count + 7) // 8 if asked.function in (1, 2) else 2 * count)
