"""The log of what was really answered: what published values are judged against."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from simulators.wire.frames import READS, Frame

_TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


@dataclass(frozen=True, slots=True)
class Answered:
    """One reply to a read as the device gave it, whatever became of it on the way."""

    number: int
    """From 1, in the order of the answers."""
    utc_ms: int
    """When it was answered."""
    mono_ms: float
    """The same by the monotonic clock of this machine."""
    link: str
    unit: int
    table: str
    address: int
    count: int
    """Registers or bits."""
    values: tuple[int, ...]
    """Raw registers or bits."""


@dataclass(frozen=True, slots=True)
class Told:
    """One value of an OPC-UA variable as a client was told it: an answer to a read, or to a subscription."""

    number: int
    utc_ms: int
    mono_ms: float
    link: str
    device: str
    node: str
    """Identifier of the node, such as `s=Wind/Power`."""
    status: int
    """0 = good."""
    value: Any
    """None if there is none."""
    source_utc_ms: int
    """Its source time stamp."""


class Record:
    """A ring of the last answers: a test that asks often enough misses none."""

    def __init__(self, size: int = 20_000) -> None:
        # Entries are made only when somebody asks: large sites answer thousands of reads a second.
        self._ring: deque[Callable[[], Answered | Told]] = deque(maxlen=size)
        self.count = 0
        """Answers so far, those included that the ring has forgotten."""

    def add(self, link: str, request: Frame, reply: Frame) -> None:
        """Takes an answer; those to anything but a read, and exceptions, are passed over."""
        if request.function not in READS or reply.pdu[0] != request.function or len(request.pdu) != 5:
            return
        self.count += 1
        self._ring.append(partial(_answered, self.count, time.time_ns(), time.monotonic_ns(), link, request, reply))

    def add_value(self, link: str, device: str, node: str, value: Any, status: int, source_utc_ms: int) -> None:
        """Takes a value of OPC-UA."""
        self.count += 1
        now = (self.count, time.time_ns() // 1_000_000, time.monotonic_ns() / 1e6)
        self._ring.append(partial(Told, *now, link, device, node, status, value, source_utc_ms))

    def since(self, number: int = 0) -> list[Answered | Told]:
        """Answers after this number that the ring still holds."""
        fresh = min(len(self._ring), max(0, self.count - number))
        return [entry() for entry in islice(self._ring, len(self._ring) - fresh, None)]


def _answered(number: int, utc_ns: int, mono_ns: int, link: str, request: Frame, reply: Frame) -> Answered:
    values = values_of(request, reply)
    return Answered(
        number=number,
        utc_ms=utc_ns // 1_000_000,
        mono_ms=mono_ns / 1e6,
        link=link,
        unit=request.unit,
        table=_TABLES[request.function],
        address=request.address,
        count=len(values),
        values=values,
    )


def values_of(request: Frame, reply: Frame) -> tuple[int, ...]:
    """Registers or bits that the reply to a read gives, as many as it has."""
    count = int.from_bytes(request.pdu[3:5])
    data = reply.pdu[2:]
    if request.function in (1, 2):
        return tuple(data[place // 8] >> place % 8 & 1 for place in range(min(count, 8 * len(data))))
    return tuple(int.from_bytes(data[at : at + 2]) for at in range(0, min(2 * count, len(data) - 1), 2))
