"""Registers of a foreign server that change all the time, and a judge of what our driver makes of them.

Each point's value says which point it is and which generation of values it belongs to. So a published value is right or
wrong by itself: it must be its own point's, of a generation that the server held between request and reply.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from modbus_site import Recorder, device, link, point
from text_peer import TextPeer

from scowl_edge.contracts import PointWrite, WriteRequest
from scowl_edge.devices.declaration import ModbusLink, ModbusPoint, Table
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.model.command import CommandId, OutcomeKind
from scowl_edge.model.signal import Cause, Quality, Reading

POLL_MS = 50
TIMEOUT_MS = 100
LAYOUT = (
    (Table.HOLDING, 100, "uint16", "ABCD"),
    (Table.HOLDING, 101, "int32", "CDAB"),
    (Table.HOLDING, 104, "float32", "ABCD"),
    (Table.HOLDING, 106, "uint64", "CDAB"),
    (Table.HOLDING, 300, "float64", "CDAB"),
    (Table.INPUT, 7, "int16", "ABCD"),
    (Table.INPUT, 8, "float32", "CDAB"),
    (Table.INPUT, 12, "int64", "ABCD"),
    (Table.INPUT, 16, "uint32", "CDAB"),
    (Table.COIL, 11, "bool", "ABCD"),
    (Table.COIL, 25, "bool", "ABCD"),
    (Table.DISCRETE, 3, "bool", "ABCD"),
    (Table.DISCRETE, 44, "bool", "ABCD"),
)
REQUESTS = 5
"""Of one round of polls: two of the holding registers, one of each other table."""
WRITTEN = len(LAYOUT)
"""Index of the register that is only written; beside it lies one that is only written, too: a coil."""
COIL = WRITTEN + 1


def now_ms() -> int:
    """The clock of the driver."""
    return time.monotonic_ns() // 1_000_000


def value_of(place: int, generation: int) -> float:
    """What a point holds. All are exact in every type that they have."""
    kind = LAYOUT[place][2]
    if kind == "bool":
        return (place + generation) % 2
    number = 2000 * (place + 1) + generation % 1000
    if kind == "float32":
        return number + 0.5
    if kind in ("int32", "int64"):
        return -(number * 1000 + generation)
    return number * 2.0**20 + 0.25 if kind == "float64" else number


def points(number: int) -> tuple[ModbusPoint, ...]:
    """The points of a link; each link writes registers of its own."""
    read = (
        point(f"p{place}", address, kind, table=table, order=order, access="r")
        for place, (table, address, kind, order) in enumerate(LAYOUT)
    )
    own = 500 + 10 * number
    return (
        *read,
        point("target", own, "int32", access="w"),
        point("switch", own, "bool", table=Table.COIL, access="w"),
    )


def link_to(port: int, number: int, **changes: object) -> ModbusLink:
    """A link to the server; `number` tells it from the others to the same one."""
    return link(
        port, device("peer", 1, *points(number), poll_ms=POLL_MS), timeout_ms=TIMEOUT_MS, settle_ms=0, **changes
    )


@dataclass
class Truth:
    """What the server held, and when."""

    peer: TextPeer
    set_ms: list[tuple[int, int]] = field(default_factory=list)
    """(before, after) the values of each generation were set."""

    def renew(self) -> None:
        """The next generation."""
        generation, before = len(self.set_ms), now_ms()
        for place, (table, address, kind, order) in enumerate(LAYOUT):
            value = value_of(place, generation)
            self.peer.put(table.value, kind, order, address, value if kind.startswith("float") else int(value))
        self.set_ms.append((before, now_ms()))

    def possible(self, requested_ms: int, received_ms: int) -> Iterator[int]:
        """Generations that may have been read in this time; times are whole ms, rounded down."""
        for generation, (before, _) in enumerate(self.set_ms):
            replaced = self.set_ms[generation + 1][1] if generation + 1 < len(self.set_ms) else None
            if before <= received_ms + 1 and (replaced is None or replaced >= requested_ms - 1):
                yield generation

    async def keep_changing(self) -> None:
        """A generation each 40 ms."""
        while True:
            self.renew()
            await asyncio.sleep(0.04)


class Judge(Recorder):
    """Takes what a driver publishes, and looks for wrong values."""

    def __init__(self, truth: Truth) -> None:
        super().__init__()
        self.truth = truth
        self.asked_ms: dict[int, int] = {}
        """When the last good value of each point was asked for."""
        self.causes: set[Cause] = set()

    def reading(self, reading: Reading) -> None:
        super().reading(reading)
        self.causes |= {Cause(cause) for cause in reading.causes}
        for place, quality in zip(reading.points, reading.quality, strict=True):
            if quality == Quality.GOOD:
                self.asked_ms[int(place)] = reading.requested_ms

    def wrong(self) -> list[tuple[int, float, list[float]]]:
        """Values that were published and did not lie in the server: (point, value, what it held)."""
        found = []
        for reading in self.readings:
            held = list(self.truth.possible(reading.requested_ms, reading.received_ms))
            for place, value, quality in zip(reading.points, reading.values, reading.quality, strict=True):
                right = [value_of(int(place), generation) for generation in held] if place < WRITTEN else []
                if quality == Quality.GOOD and value not in right:
                    found.append((int(place), float(value), right))
        return found

    def judged(self) -> int:
        """Good values so far."""
        return sum(len(values) for values in self.good.values())

    def fresh_since(self, ms: int) -> bool:
        """Whether every point was asked for later than that, and is good."""
        return len(self.asked_ms) == WRITTEN and min(self.asked_ms.values()) > ms


@dataclass
class Writer:
    """Writes to a link's own registers, and holds each outcome against the server's."""

    peer: TextPeer
    number: int
    driver: ModbusDriver
    judge: Judge
    sent: int = 0
    acknowledged: int = 0

    @property
    def address(self) -> int:
        """Of the register, and of the coil."""
        return 500 + 10 * self.number

    def held(self) -> tuple[float, float]:
        """What the server has in the register and the coil."""
        return self.peer.get("holding", "int32", "ABCD", self.address), self.peer.get(
            "coil", "bool", "ABCD", self.address
        )

    async def write(self, value: int) -> OutcomeKind:
        """Writes both, in one command; an outcome that is known must be true."""
        count = len(self.judge.outcomes)
        before = self.held()
        wanted = (value, 1 - before[1])
        self.sent += 2
        self.driver.write(
            WriteRequest(
                command=CommandId(1, self.number, self.sent),
                writes=(PointWrite(WRITTEN, value), PointWrite(COIL, wanted[1])),
                valid_until_ms=now_ms() + 60_000,
            )
        )
        await self.judge.until(lambda: len(self.judge.outcomes) > count)
        outcome = self.judge.outcomes[count]
        self.acknowledged += outcome.kind is OutcomeKind.ACKNOWLEDGED
        if outcome.kind is OutcomeKind.ACKNOWLEDGED:
            assert self.held() == wanted, outcome
        elif outcome.kind is OutcomeKind.WITHHELD:
            assert self.held() == before, outcome
        return outcome.kind


@contextmanager
def closing(peer: TextPeer) -> Iterator[TextPeer]:
    """Ends the server with the block."""
    try:
        yield peer
    finally:
        peer.close()
