"""One link of any protocol: carries out what the schedule decides, and turns every failure into quality and outcomes.

Nothing that a unit does or leaves undone is more than bad quality on its own points. The bus never repeats a command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from scowl_edge.contracts import Clock, JournalFull, PointWrite, Sink, WriteRequest
from scowl_edge.drivers.errors import DriverError, LinkLost, NotAdmitted, Refused, Unsendable
from scowl_edge.drivers.schedule import FOREVER, Job, Schedule, Ticket, Turn, TurnKind, jitter
from scowl_edge.model.command import CommandId, OutcomeKind
from scowl_edge.model.event import LinkChanged, Outcome
from scowl_edge.model.signal import Cause, Quality, Reading

RECONNECT_FIRST_MS = 250
REFUSED_FIRST_MS, REFUSED_LONGEST_MS = 2_000, 30_000
"""Pauses after a connection that only a person can help: to ask often would lock accounts and fill the other's log."""
FRUITLESS_CONNECTS = 2
"""Connections in a row that may end without one answer before the link counts as down."""
SILENT_BEFORE_REOPEN = 3
"""Requests in a row, of all units, without an answer after which the connection itself is doubted and opened anew."""
SILENT_LONGEST = 24
"""The number doubles up to this while opening anew does not help: then it was not the connection."""

Prepared = TypeVar("Prepared")


class Port(Protocol[Prepared]):
    """What a bus asks of a protocol. Every method but `close` may raise DriverError."""

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent."""

    async def open(self, count: Callable[[str], None], lost: Callable[[], None]) -> None:
        """Connects. `count` takes the result of each request; `lost` is called when the connection goes by itself."""

    def close(self) -> None:
        """Disconnects at once."""

    async def read(self, job: int) -> Sequence[Reading]:
        """Carries out one job, all or nothing."""

    async def prepare(self, write: PointWrite) -> Prepared:
        """Makes one write ready; may read what it needs. Raises Unsendable."""

    async def send(self, prepared: Prepared) -> None:
        """Sends one write; returns when the device has taken it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One address on the link and all that hangs on it."""

    number: int
    devices: tuple[str, ...]
    points: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One recurring read: how it is scheduled, and which points it brings."""

    job: Job
    points: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class BusConfig:
    """Names, points and times of one link."""

    link: str
    timeout_ms: int
    pause_ms: int
    reconnect_ms: int
    read_only: bool
    units: tuple[Unit, ...]
    reads: tuple[Read, ...]
    unit_of_point: dict[int, int]
    durable_first: frozenset[int]
    """Points with a stored or pulse register: `before_send` is awaited before they are written."""


def failed(points: NDArray[np.int32], cause: Cause, requested_ms: int, received_ms: int) -> Reading:
    """A block of points without a value, for one cause."""
    size = len(points)
    return Reading(
        points,
        np.full(size, np.nan),
        np.full(size, Quality.BAD, np.uint8),
        np.full(size, cause, np.uint8),
        requested_ms,
        received_ms,
    )


class Bus:
    """The one who uses a link. Time comes from `clock`; `rate` is how many of its seconds pass in a real one."""

    def __init__(self, config: BusConfig, port: Port[Prepared], clock: Clock, *, rate: float = 1.0) -> None:
        self.before_send: Callable[[CommandId], Awaitable[None]] | None = None
        """Awaited before the first bytes of a command to a stored or pulse register leave; JournalFull withholds it."""
        self._config = config
        self._port: Port[object] = port  # type: ignore[assignment]  # what it prepares goes back to it unseen
        self._now = clock.mono_ms
        self._rate = rate
        self._units = {unit.number: unit for unit in config.units}
        self._up: dict[int, bool | None] = dict.fromkeys(self._units)
        self._link_up: bool | None = None
        self._down_cause = ""
        self._jobs_of: dict[int, list[int]] = {}
        for index, read in enumerate(config.reads):
            for point in read.points:
                self._jobs_of.setdefault(int(point), []).append(index)
        self._schedule = Schedule(
            config.link,
            [read.job for read in config.reads],
            timeout_ms=config.timeout_ms,
            pause_ms=config.pause_ms,
            units=tuple(self._units),
        )
        self._requests: dict[int, WriteRequest] = {}
        self._serial = 0
        self._sink: Sink | None = None
        self._ended = False
        self._alarm: asyncio.Future[None] | None = None
        self._fruitless = 0
        self._attempts = 0
        self._refusals = 0
        self._silent_in_row = 0
        self._reopen_after = SILENT_BEFORE_REOPEN
        self._afresh = True
        self._progress_ms = self._sleeps_until_ms = -1

    @property
    def last_progress_ms(self) -> int:
        """When the task last did something, monotonic; while it waits for a time, at most until that. -1 before it ran.

        One request, one connection attempt or one note in the journal may lie between two marks, never more: a dead
        device does not hold it up, a defect does.
        """
        return max(self._progress_ms, min(self._now(), self._sleeps_until_ms))

    @property
    def missed_polls(self) -> int:
        """Polls skipped because the bus was late, since the start."""
        return self._schedule.missed

    def write(self, request: WriteRequest) -> None:
        """Queues a command; see `Driver.write`."""
        self._serial += 1
        self._requests[self._serial] = request
        units = tuple(dict.fromkeys(self._config.unit_of_point.get(write.point, -1) for write in request.writes))
        self._schedule.submit(Ticket(serial=self._serial, units=units, valid_until_ms=request.valid_until_ms))
        if self._sink is not None:
            refuse = "the driver has ended" if self._ended else self._down_cause
            if refuse:
                self._withhold_all(refuse)
        self._wake()

    def read(self, points: Sequence[int], by_ms: int) -> None:
        """Asks for points out of turn; see `Driver.read`. Points that are not readable are passed over."""
        for point in points:
            for job in self._jobs_of.get(point, ()):
                self._schedule.ask(job, by_ms)
        self._wake()

    def heard(self) -> None:
        """News came unasked: the connection is good, and so is the unit of a link that has only one."""
        numbers = list(self._units)
        if self._sink is None or not self._link_up or any(self._schedule.misses(number) for number in numbers):
            return
        self._fruitful()
        if len(numbers) == 1:
            self._flip(self._sink, self._units[numbers[0]], up=True, cause="it answers")

    async def run(self, sink: Sink) -> None:
        """Serves the link until cancelled."""
        self._sink = sink
        self._ended = False
        try:
            while True:
                await self._connect(sink)
                await self._serve(sink)
        finally:
            self._ended = True
            self._schedule.closed()
            self._port.close()
            self._withhold_all("the driver was stopped before it was sent")

    # -- the connection

    async def _connect(self, sink: Sink) -> None:
        """Opens the link, however long it takes. One quick attempt does not count as a link that is down."""
        while True:
            if self._fruitless >= FRUITLESS_CONNECTS:
                self._link_down(
                    sink, f"{self._fruitless} connections in a row ended before any answer; see the device's log"
                )
            if self._link_up is False:
                until_ms = self._now() + int(self._pause_ms() * jitter(self._config.link, self._attempts))
                while self._now() < until_ms:
                    await self._sleep(until_ms)
                self._attempts += 1
            try:
                self._progress_ms = self._now()
                await self._port.open(lambda result: self._count(sink, result), self._wake)
            except DriverError as error:
                self._link_down(sink, str(error), refused=isinstance(error, NotAdmitted))
                continue
            self._fruitless += 1
            now_ms = self._now()
            self._schedule.opened(now_ms, afresh=self._afresh)
            self._afresh = False
            if self._link_up is not True:
                self._link_up, self._down_cause, self._refusals = True, "", 0
                sink.event(LinkChanged(link=self._config.link, device="", up=True, at_ms=now_ms, cause="connected"))
            return

    def _count(self, sink: Sink, result: str) -> None:
        # A stray frame shows that somebody talks, not that this task does its work.
        if result != "stray":
            self._progress_ms = self._now()
        sink.requests(self._config.link, result)

    def _pause_ms(self) -> int:
        if self._refusals:
            longest_ms = max(self._config.reconnect_ms, REFUSED_LONGEST_MS)
            return min(REFUSED_FIRST_MS << min(self._refusals - 1, 16), longest_ms)
        return min(RECONNECT_FIRST_MS << min(self._attempts, 16), self._config.reconnect_ms)

    def _link_down(self, sink: Sink, cause: str, *, refused: bool = False) -> None:
        before, self._refusals = self._refusals, self._refusals + 1 if refused else 0
        if self._link_up is False:
            if (before or refused) and not self._down_cause.endswith(f": {cause}"):
                # What a person must do has changed.
                self._down_cause = f"link {self._config.link} is down: {cause}"
                at_ms = self._now()
                sink.event(LinkChanged(link=self._config.link, device="", up=False, at_ms=at_ms, cause=cause))
            return
        self._afresh = True
        self._link_up, self._down_cause = False, f"link {self._config.link} is down: {cause}"
        self._fruitless = self._silent_in_row = 0
        now_ms = self._now()
        sink.event(LinkChanged(link=self._config.link, device="", up=False, at_ms=now_ms, cause=cause))
        for unit in self._units.values():
            if unit.points.size:
                sink.reading(failed(unit.points, Cause.LINK_DOWN, 0, now_ms))
            self._flip(sink, unit, up=False, cause=self._down_cause)
        self._withhold_all(self._down_cause)

    def _flip(self, sink: Sink, unit: Unit, *, up: bool, cause: str) -> None:
        if self._up[unit.number] is up:
            return
        self._up[unit.number] = up
        for device in unit.devices:
            sink.event(LinkChanged(link=self._config.link, device=device, up=up, at_ms=self._now(), cause=cause))

    async def _serve(self, sink: Sink) -> None:
        """Takes turns until the connection is gone."""
        schedule, port = self._schedule, self._port
        while port.is_open:
            self._progress_ms = self._now()
            turn = schedule.next(self._progress_ms)
            if isinstance(turn, int):
                await self._sleep(turn)
            elif turn.ticket is None:
                await self._read(sink, turn)
            elif turn.kind is TurnKind.EXPIRED:
                self._withhold(turn.ticket, "its time was over before the bus was free")
            else:
                await self._command(sink, turn, self._requests.pop(turn.ticket.serial))
            if self._silent_in_row >= self._reopen_after:
                self._doubt_connection()
        schedule.closed()

    def _doubt_connection(self) -> None:
        """Nobody answers: perhaps only this connection is dead, so on the next one all units are asked at once."""
        self._reopen_after = min(self._reopen_after * 2, SILENT_LONGEST)
        self._silent_in_row = self._fruitless = 0
        self._afresh = True
        self._port.close()

    def _fruitful(self) -> None:
        """Somebody answered: the connection is good."""
        self._fruitless = self._silent_in_row = self._attempts = 0
        self._reopen_after = SILENT_BEFORE_REOPEN

    # -- reading

    async def _read(self, sink: Sink, turn: Turn) -> None:
        began_ms = self._now()
        unit = self._units[self._config.reads[turn.job].job.unit]
        try:
            readings = await self._port.read(turn.job)
        except DriverError as error:
            answered = self._heard(error)
            now_ms = self._now()
            self._schedule.done(turn, began_ms=began_ms, now_ms=now_ms, answered=answered)
            sink.reading(failed(self._config.reads[turn.job].points, error.cause, began_ms, now_ms))
            self._judge(sink, unit, error if not answered else None, now_ms)
            return
        self._fruitful()
        self._schedule.done(turn, began_ms=began_ms, now_ms=self._now(), answered=True)
        for reading in readings:
            sink.reading(reading)
        if not self._up[unit.number]:
            self._flip(sink, unit, up=True, cause="it answers")

    def _heard(self, error: DriverError) -> bool:
        """Whether a failure shows that the unit is there. Notes what it says of the connection."""
        answered = isinstance(error, Refused) and not error.silent
        if answered:
            self._fruitful()
        elif error.result == "timeout":
            self._silent_in_row += 1
        return answered

    def _judge(self, sink: Sink, unit: Unit, error: DriverError | None, now_ms: int) -> None:
        """A unit is down when it was never heard or is silent twice in a row; then all its points are bad."""
        if error is None:
            self._flip(sink, unit, up=True, cause="it answers")
        elif self._up[unit.number] is None or (self._up[unit.number] and self._schedule.misses(unit.number) > 1):
            self._flip(sink, unit, up=False, cause=str(error))
            if unit.points.size:
                sink.reading(failed(unit.points, error.cause, 0, now_ms))

    # -- writing

    async def _command(self, sink: Sink, turn: Turn, request: WriteRequest) -> None:
        """Carries out one command. Whatever happens, exactly one outcome leaves."""
        began_ms = self._now()
        kind, detail = OutcomeKind.WITHHELD, "the driver was stopped before it was sent"
        taken, sent = 0, False
        error: DriverError | None = None
        unit = self._config.unit_of_point.get(request.writes[0].point, -1) if request.writes else -1
        try:
            self._refuse(request)
            ready = []
            for write in request.writes:
                unit = self._config.unit_of_point[write.point]
                ready.append(await self._port.prepare(write))
            await self._make_durable(request)
            for write, prepared in zip(request.writes, ready, strict=True):
                unit, began_ms = self._config.unit_of_point[write.point], self._now()
                sent, kind, detail = True, OutcomeKind.TIMED_OUT, "the driver was stopped before the answer came"
                await self._port.send(prepared)
                taken += 1
            kind, detail = OutcomeKind.ACKNOWLEDGED, ""
        except Unsendable as refused:
            kind, detail, unit = OutcomeKind.WITHHELD, str(refused), -1
        except JournalFull as full:
            kind, detail, unit = OutcomeKind.WITHHELD, f"the journal could not take it before it was sent: {full}", -1
        except DriverError as caught:
            error = caught
            kind, detail = _verdict(caught, sent=sent, taken=taken, of=len(request.writes))
        finally:
            now_ms = self._now()
            sink.event(Outcome(command=request.command, kind=kind, at_ms=now_ms, detail=detail))
        answered = error is None or self._heard(error)
        if unit in self._units:
            self._schedule.done(turn, began_ms=began_ms, now_ms=now_ms, answered=answered, unit=unit)
            self._judge(sink, self._units[unit], None if answered else error, now_ms)

    def _refuse(self, request: WriteRequest) -> None:
        if self._config.read_only:
            raise Unsendable(f"link {self._config.link} is read_only; take that away to write")
        for write in request.writes:
            if write.point not in self._config.unit_of_point:
                raise Unsendable(f"point {write.point} is not on link {self._config.link}")

    async def _make_durable(self, request: WriteRequest) -> None:
        if self.before_send is not None and any(w.point in self._config.durable_first for w in request.writes):
            await self.before_send(request.command)
        if self._now() > request.valid_until_ms:
            raise Unsendable("its time was over before it could be sent")

    def _withhold(self, ticket: Ticket, why: str) -> None:
        request = self._requests.pop(ticket.serial)
        if self._sink is not None:
            kind = OutcomeKind.WITHHELD
            self._sink.event(Outcome(command=request.command, kind=kind, at_ms=self._now(), detail=why))

    def _withhold_all(self, why: str) -> None:
        for ticket in self._schedule.withdraw_all():
            self._withhold(ticket, why)

    # -- waiting

    async def _sleep(self, until_ms: int) -> None:
        """Until then, or until there is something new."""
        loop = asyncio.get_running_loop()
        alarm = self._alarm = loop.create_future()
        self._sleeps_until_ms = until_ms
        timer = None
        if until_ms < FOREVER:
            timer = loop.call_later(max(until_ms - self._now(), 0) / 1000 / self._rate, self._wake)
        try:
            await alarm
        finally:
            self._alarm = None
            self._sleeps_until_ms = -1
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._alarm is not None and not self._alarm.done():
            self._alarm.set_result(None)


def _verdict(error: DriverError, *, sent: bool, taken: int, of: int) -> tuple[OutcomeKind, str]:
    """What a failed command's outcome is, in words."""
    part = f" ({taken} of {of} writes were taken)" if taken else ""
    if not sent:
        return OutcomeKind.WITHHELD, f"not sent, for what it needs could not be read: {error}"
    if isinstance(error, LinkLost) and not error.sent and not taken:
        return OutcomeKind.WITHHELD, f"not sent: {error}"
    if isinstance(error, Refused) and not error.unsure:
        return OutcomeKind.REJECTED, f"{error}{part}"
    return OutcomeKind.TIMED_OUT, f"{error}; it may or may not have been applied{part}"
