"""A driver on one link of the peer, and the proof that it never published what the device did not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from field_peer import RATE, Peer
from modbus_site import Recorder, point

from scowl_edge.devices.declaration import ModbusDevice, ModbusLink, ModbusPoint, Table
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.model.signal import Cause, Quality, Reading
from simulators.faults import Fault, FaultKind
from simulators.registers import decode
from simulators.wire.record import Answered

POLL_MS, LATE_MS = 100, 50
"""Of the wall: how often is polled, and how long after its time-out a serial line may still bring a reply."""
PATIENT_MS, SHORT_MS = 440, 100
"""Of the wall: time-outs where none is expected, and where one is waited for."""
NUMBERED = tuple(point(f"n{at}", at, "uint32", table=Table.INPUT, access="r") for at in (0, 2, 200, 202))
"""Two requests of the same length a poll, so that each one's reply would fit the other."""
HEALTHY = 100
"""Index of the first point of unit 2; unit 1 begins at 0."""


class WrongValue(Exception):
    """A value was published that the device did not answer."""


class FastClock:
    """A clock that runs so many times as fast as the wall's, from when it was made."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._origin_ms = time.monotonic_ns() / 1e6

    def mono_ms(self) -> int:
        return int((time.monotonic_ns() / 1e6 - self._origin_ms) * self._rate) + 1_000_000

    def wall_ms(self, mono_ms: float) -> float:
        """The same moment by the machine's monotonic clock."""
        return self._origin_ms + (mono_ms - 1_000_000) / self._rate

    def utc_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def utc_ok(self) -> bool:
        return True


class Case:
    """One driver at work."""

    def __init__(self, peer: Peer, column: str, link: ModbusLink, rate: float) -> None:
        self.peer = peer
        self.column = column
        self.clock = FastClock(rate)
        self.sink = Recorder()
        self.driver = ModbusDriver(link, self.clock, rate=rate)
        self._points: dict[int, tuple[int, ModbusPoint]] = {
            device.first_point + place: (device.unit, declared)
            for device in link.devices
            for place, declared in enumerate(device.points)
        }
        self._first_answer = peer.simulator.record.count
        self._counted_before: dict[FaultKind, int] = {}

    # -- faults

    def begin(self, kind: FaultKind, **keys: object) -> None:
        """Unit 1 is struck from now on."""
        self._counted_before.setdefault(kind, self.peer.injected(self.column, kind))
        self.peer.begin(self.column, Fault(kind=kind, **keys))  # type: ignore[arg-type]

    def injected(self, kind: FaultKind) -> int:
        """How often it was struck in this case."""
        return self.peer.injected(self.column, kind) - self._counted_before[kind]

    def clear(self) -> None:
        """It is struck no more."""
        self.peer.clear(self.column)

    # -- what was seen

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits for a condition, with a deadline."""
        await self.sink.until(condition)

    def of_unit(self, unit: int) -> list[int]:
        """Indices of a unit's points."""
        return [index for index, (number, _) in self._points.items() if number == unit]

    def causes(self, unit: int = 1) -> set[Cause]:
        """Why anything of a unit was ever bad or uncertain."""
        own = set(self.of_unit(unit))
        return {
            Cause(int(cause))
            for reading in self.sink.readings
            for index, cause in zip(reading.points, reading.causes, strict=True)
            if int(index) in own
        } - {Cause.NONE}

    def bad_by(self, *causes: Cause, unit: int = 1) -> bool:
        """Whether all points of a unit are bad now, for one of these causes."""
        seen = [self.sink.last.get(index) for index in self.of_unit(unit)]
        return all(last is not None and last[1] is Quality.BAD and last[2] in causes for last in seen)

    def polled_since(self, since_ms: int, unit: int = 1) -> tuple[list[Reading], set[int]]:
        """Polls of a unit that were not good since then, and its points that were good since then."""
        own = set(self.of_unit(unit))
        failed: list[Reading] = []
        good: set[int] = set()
        for reading in self.sink.readings:
            if reading.requested_ms < since_ms or int(reading.points[0]) not in own:
                continue
            if (reading.quality != Quality.GOOD).any():
                failed.append(reading)
            good |= {int(i) for i, q in zip(reading.points, reading.quality, strict=True) if q == Quality.GOOD}
        return failed, good

    async def sees_more(self, unit: int = 1) -> int:
        """Waits for values of all points of a unit that were asked for from now on; how many polls that took."""
        since_ms, wanted = self.clock.mono_ms(), set(self.of_unit(unit))
        await self.until(lambda: self.polled_since(since_ms, unit)[1] >= wanted)
        return 1 + len(self.polled_since(since_ms, unit)[0])

    async def recovers(self, polls: int, unit: int = 1) -> None:
        """Sees all values of a unit by the so-many-th poll from now at the latest, whatever time that takes."""
        took = await self.sees_more(unit)
        assert took <= polls, f"{took} polls until it recovered: {self.polled_since(0, unit)[0][-8:]}"

    # -- what may be published

    def prove(self) -> int:
        """Each good value is what the device answered, for just these registers, between request and receipt.

        Returns how many there were.

        Raises:
            WrongValue: one is not.
        """
        answers = [row for row in self.peer.simulator.record.since(self._first_answer) if isinstance(row, Answered)]
        proven = 0
        for reading in self.sink.readings:
            good = [int(i) for i, q in zip(reading.points, reading.quality, strict=True) if q == Quality.GOOD]
            if not good:
                continue
            begun, over = self.clock.wall_ms(reading.requested_ms), self.clock.wall_ms(reading.received_ms + 1)
            answered = [row for row in answers if row.link == self.column and begun <= row.mono_ms <= over]
            values = dict(zip(reading.points.tolist(), reading.values.tolist(), strict=True))
            for index in good:
                held = self._held(answered, *self._points[index])
                if not any(abs(values[index] - told) < 1e-6 for told in held):
                    name = self._points[index][1].name
                    raise WrongValue(f"{name} was published as {values[index]}; the device answered {held}")
                proven += 1
        return proven

    def _held(self, answered: list[Answered], unit: int, declared: ModbusPoint) -> list[float]:
        """What the device answered for a point, scaled by each scale factor that it answered meanwhile."""
        exponents = [0]
        if declared.scale_factor:
            factor = next(
                p for number, p in self._points.values() if number == unit and p.name == declared.scale_factor
            )
            exponents = [int(decode(factor, words)) for words in _words(answered, unit, factor)]
        words_seen = _words(answered, unit, declared)
        return [float(decode(declared, words, exponent)) for words in words_seen for exponent in exponents]


def _words(answered: list[Answered], unit: int, declared: ModbusPoint) -> list[tuple[int, ...]]:
    """Registers of a point, in each answer that holds them all."""
    at, size = declared.address, declared.registers
    return [
        row.values[at - row.address : at - row.address + size]
        for row in answered
        if row.unit == unit
        and row.table == declared.table.value
        and row.address <= at
        and at + size <= row.address + row.count
    ]


@asynccontextmanager
async def case(
    peer: Peer,
    column: str,
    *,
    points: tuple[ModbusPoint, ...] = NUMBERED,
    timeout_ms: int = SHORT_MS,
    shared: bool = False,
    rate: float = RATE,
) -> AsyncIterator[Case]:
    """A driver that has seen values; at the end all that it published is compared with the device's own log.

    Args:
        peer: Whom it talks to.
        column: The link.
        points: Of unit 1.
        timeout_ms: Of the wall.
        shared: Whether unit 2 is on the link too, with numbered points from `HEALTHY` on.
        rate: How many times faster than the wall the driver's clock goes.
    """
    first = ModbusDevice(name="struck", unit=1, poll_ms=int(POLL_MS * rate), points=points, first_point=0)
    second = ModbusDevice(name="healthy", unit=2, poll_ms=int(POLL_MS * rate), points=NUMBERED, first_point=HEALTHY)
    link = replace(
        peer.links[column],
        devices=(first, second) if shared else (first,),
        timeout_ms=int(timeout_ms * rate),
        connect_timeout_ms=int(2_000 * rate),
        reconnect_ms=2_000,
        settle_ms=0,
        late_ms=int(LATE_MS * rate),
    )
    at_work = Case(peer, column, link, rate)
    running = asyncio.create_task(at_work.driver.run(at_work.sink))
    try:
        for unit in (1, 2) if shared else (1,):
            await at_work.sees_more(unit)
        at_work.sink.readings.clear()
        at_work.sink.events.clear()
        yield at_work
    finally:
        at_work.clear()
        running.cancel()
        (ended,) = await asyncio.gather(running, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended
        # Whatever else went wrong: this must hold.
        proven = at_work.prove()
    assert proven, "nothing was published, so nothing is proven"
