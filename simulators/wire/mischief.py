"""What faults make of one request and of its reply: pure, so that it can be tested without a socket."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from simulators.faults import Fault, FaultKind
from simulators.wire.frames import READS, WRITES, Frame, Framing, exception


class Tally(Protocol):
    """Who keeps count of faults."""

    def strike(self, fault: Fault) -> None:
        """A request has been struck; what becomes of it shows later."""

    def count(self, fault: Fault) -> None:
        """The fault has changed what happens: it is injected."""


_EXCEPTIONS = (FaultKind.BUSY, FaultKind.GATEWAY, FaultKind.EXCEPTION, FaultKind.REFUSAL)


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes that leave towards the client."""

    data: bytes
    after_ms: float = 0.0
    overtaken: bool = False
    """Whether what is sent later may leave earlier."""
    gap_ms: float = 0.0
    """Time between two bytes; 0: all at once."""
    reset: bool = False
    """The connection is reset when they have left."""


@dataclass(slots=True)
class Fate:
    """What becomes of one request."""

    request: Frame
    number: int = 0
    """Of the request on its connection, from 1; 0: it was none."""
    struck: list[Fault] = field(default_factory=list)
    """Faults that strike its reply."""
    carried_out: bool = True
    answer: Frame | None = None
    """Given instead of the device's."""
    reset: bool = False
    """The connection is reset at once."""
    dead: bool = False
    """The connection answers nothing any more."""
    released: list[Send] = field(default_factory=list)
    """Earlier replies whose time has come."""


def strikes(fault: Fault, request: Frame) -> bool:
    """Whether a fault concerns a request at all."""
    if fault.unit is not None and fault.unit != request.unit:
        return False
    if fault.address is not None and fault.address != request.address:
        return False
    if fault.kind in (FaultKind.REFUSAL, FaultKind.LOST_ANSWER, FaultKind.ACK_NOT_APPLIED) or fault.only == "writes":
        return request.function in WRITES
    if fault.kind is FaultKind.STUCK or fault.only == "reads":
        return request.function in READS
    return True


class Mischief:
    """Applies faults to one connection, or to one serial line whoever is connected to it, and remembers what it owes.

    Where several faults strike one reply they take effect in a fixed order: which frame it is, what stands in it, how
    much of it comes, when.
    """

    def __init__(self, framing: Framing, draw: random.Random, tally: Tally) -> None:
        self._framing = framing
        self._draw = draw
        self._tally = tally
        self._count = tally.count
        self._before: dict[str, Frame | bytes] = {}
        """The reply that comes next instead of the right one, by whom the shift is of."""
        self._rest = b""
        """The rest of a cut reply, waiting for the next."""
        self._held: list[tuple[int, bytes]] = []
        """(number of the request that lets it go, reply)."""
        self._requests = 0

    def fate(self, request: Frame, faults: Iterable[Fault]) -> Fate:
        """Decides, before a request is carried out, by which faults it is struck."""
        self._requests += 1
        fate = Fate(request, self._requests, released=self._released())
        for fault in faults:
            if not strikes(fault, request) or (fault.probability < 1 and self._draw.random() >= fault.probability):
                continue
            kind = fault.kind
            self._tally.strike(fault)
            if kind is FaultKind.HALF_OPEN:
                fate.dead, fate.carried_out = True, False
            elif kind is FaultKind.SILENCE:
                fate.carried_out = False
            elif kind is FaultKind.RESET and fault.at == "request":
                fate.reset, fate.carried_out = True, False
            elif kind is FaultKind.LOSS and self._draw.random() < 0.5:
                fate.carried_out = False
            elif kind in _EXCEPTIONS:
                fate.answer, fate.carried_out = exception(request, fault.exception_code), False
            else:
                fate.struck.append(fault)
                continue
            self._count(fault)
            if kind not in _EXCEPTIONS:
                fate.answer = None
                return fate
        return fate

    def reply(self, fate: Fate, reply: Frame | bytes) -> list[Send]:
        """What the client gets instead of a reply (or, for streams of bytes, of what came just now)."""
        struck = {fault.kind: fault for fault in fate.struck}
        if lost := struck.get(FaultKind.LOST_ANSWER) or struck.get(FaultKind.LOSS):
            self._count(lost)
            return []
        shifted = struck.get(FaultKind.SHIFTED)
        if shifted is None:
            self._find_itself(reply)
        else:
            self._count(shifted)
            whose = f"{shifted.device} {shifted.unit}"
            before = self._before.get(whose)
            self._before[whose] = reply
            if before is None:
                return []
            reply = before
            if shifted.renumber and isinstance(reply, Frame):
                reply = replace(reply, transaction=fate.request.transaction)
        data = self._spoiled(reply, struck)
        data, self._rest = self._rest + data, b""
        return self._sent(fate, data, struck)

    @property
    def owes(self) -> bool:
        """Whether something is held back that belongs before or instead of the next reply."""
        return bool(self._before or self._rest)

    def forget(self) -> None:
        """Everything that is held back is gone."""
        self._rest = b""
        self._before.clear()
        self._held.clear()

    def _find_itself(self, reply: Frame | bytes) -> None:
        """A unit that is shifted no more drops what it still held back."""
        if self._before:
            unit = reply.unit if isinstance(reply, Frame) else None
            self._before = {k: held for k, held in self._before.items() if getattr(held, "unit", None) != unit}

    def _spoiled(self, reply: Frame | bytes, struck: dict[FaultKind, Fault]) -> bytes:
        """The bytes of a reply, other or fewer than they should be."""
        if isinstance(reply, Frame):
            if wrong := struck.get(FaultKind.WRONG_ID):
                self._count(wrong)
                reply = replace(reply, transaction=reply.transaction + 1 & 0xFFFF)
            if wrong := struck.get(FaultKind.WRONG_UNIT):
                self._count(wrong)
                reply = replace(reply, unit=reply.unit % 247 + 1)
            data = reply.encoded(self._framing)
        else:
            data = reply
        if garbage := struck.get(FaultKind.GARBAGE):
            self._count(garbage)
            data = self._noise(data)
        return data

    def _noise(self, data: bytes) -> bytes:
        noise = bytearray(data)
        if self._framing is not Framing.RTU:
            # TCP has its own check sums: what arrives there in pieces is what somebody wrote.
            noise[:] = self._draw.randbytes(len(noise))
            noise[2:3] = bytes((self._draw.randrange(1, 256),)) if len(noise) > 2 else noise[2:3]
            return bytes(noise)
        # One, two or three flipped bits are sure to be found by this check sum.
        for bit in self._draw.sample(range(8 * len(noise)), self._draw.randint(1, 3)):
            noise[bit // 8] ^= 1 << bit % 8
        return bytes(noise)

    def _sent(self, fate: Fate, data: bytes, struck: dict[FaultKind, Fault]) -> list[Send]:
        """When which of the bytes leave."""
        if cut := struck.get(FaultKind.TRUNCATE):
            self._count(cut)
            kept = _kept(cut, data)
            self._rest = data[kept:] if cut.rest == "next" else b""
            data = data[:kept]
        if reset := struck.get(FaultKind.RESET):
            self._count(reset)
            return [Send(data[: _kept(reset, data)], reset=True)]
        after_ms = 0.0
        if delay := struck.get(FaultKind.DELAY):
            self._count(delay)
            after_ms += delay.time_ms
        if jitter := struck.get(FaultKind.JITTER):
            self._count(jitter)
            after_ms += self._draw.random() * jitter.time_ms
        late = struck.get(FaultKind.LATE)
        if late is not None:
            self._count(late)
            if late.hold and fate.number + late.hold > self._requests:
                self._held.append((fate.number + late.hold, data))
                return []
            after_ms += 0 if late.hold else late.time_ms
        gap_ms = 0.0
        if bytewise := struck.get(FaultKind.BYTEWISE):
            self._count(bytewise)
            gap_ms = float(bytewise.time_ms)
        sent = [Send(data, after_ms, late is not None, gap_ms)]
        if duplicate := struck.get(FaultKind.DUPLICATE):
            self._count(duplicate)
            sent.append(Send(data, after_ms + duplicate.ms, late is not None or duplicate.ms > 0, gap_ms))
        return sent

    def _released(self) -> list[Send]:
        due = [Send(data) for number, data in self._held if number <= self._requests]
        self._held = [each for each in self._held if each[0] > self._requests]
        return due


def _kept(fault: Fault, data: bytes) -> int:
    if fault.keep < 0:
        return len(data) // 2
    return min(fault.keep, len(data))
