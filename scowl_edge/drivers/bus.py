"""One link of any protocol: carries out what the schedule decides, and turns every failure into quality and outcomes.

Nothing that a unit does or leaves undone is more than bad quality on its own points. The bus never repeats a command.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from scowl_edge.contracts import Clock, JournalFull, PointWrite, Sink, WriteRequest
from scowl_edge.drivers.bound import PROBE_SHARE_PPM, UnitTimes
from scowl_edge.drivers.cancelling import heed_cancellation
from scowl_edge.drivers.errors import DriverError, LinkLost, NotAdmitted, NoTurn, Refused, ReplyTimeout, Unsendable
from scowl_edge.drivers.schedule import Job, Schedule, Ticket, Turn, TurnKind, jitter
from scowl_edge.drivers.waking import Waker
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
Answer = TypeVar("Answer")
Ended = Callable[[Sequence[Reading] | Exception], None]
"""Takes what a job brought, or what came in its place: a DriverError, or a defect that ends the driver's task."""


class Port(Protocol[Prepared]):
    """What a bus asks of a protocol. Every method but `begin` and `close` may raise DriverError."""

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent."""

    async def open(self, count: Callable[[str], None], lost: Callable[[], None]) -> None:
        """Connects. `count` takes the result of each request; `lost` is called when the connection goes by itself."""

    def close(self) -> None:
        """Disconnects at once; what is under way fails."""

    def begin(self, job: int, done: Ended) -> None:
        """Carries out one job, all or nothing. `done` is called once, later, never from here."""

    async def prepare(self, write: PointWrite) -> Prepared:
        """Makes one write ready; may read what it needs. Raises Unsendable."""

    async def send(self, prepared: Prepared) -> None:
        """Sends one write; returns when the device has taken it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One address on the link and all that hangs on it."""

    times: UnitTimes
    devices: tuple[str, ...]
    points: NDArray[np.int32]

    @property
    def number(self) -> int:
        """Its address."""
        return self.times.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One recurring read: how it is scheduled, and which points it brings."""

    job: Job
    points: NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class BusConfig:
    """Names, points and times of one link."""

    link: str
    pause_ms: int
    settle_ms: int
    reconnect_ms: int
    read_only: bool
    """Nothing is ever written on the link."""
    writable: frozenset[int]
    """Points that may be written where the link is not read-only."""
    name_of: Callable[[int], str]
    """Name of a point of the link."""
    units: tuple[Unit, ...]
    reads: tuple[Read, ...]
    unit_of_point: Mapping[int, int]
    durable_first: frozenset[int]
    """Points with a stored or pulse register: `before_send` is awaited before they are written."""
    share_ppm: int = PROBE_SHARE_PPM
    """Most of the time that units take which do not answer."""
    slots: int = 1
    """Most requests under way at once."""
    guest_share_ppm: int = 0
    """Most of the time that guests take."""


def begin_task(read: Coroutine[object, object, Sequence[Reading]], done: Ended) -> asyncio.Task[Sequence[Reading]]:
    """Carries out a read that has to wait in several places, and tells its end as `Port.begin` must."""

    def tell(task: asyncio.Task[Sequence[Reading]]) -> None:
        if task.cancelled():
            done(LinkLost("the connection was closed", sent=True))
            return
        error = task.exception()
        # What is no Exception, such as a request to exit, is the loop's own business.
        if error is None or isinstance(error, Exception):
            done(error or task.result())

    task = asyncio.get_running_loop().create_task(read)
    task.add_done_callback(tell)
    return task


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


class _Seat:
    """Where one job sits while it is under way."""

    __slots__ = ("_bus", "began_ms", "end", "turn", "unit")

    def __init__(self, bus: Bus, turn: Turn, unit: Unit) -> None:
        self._bus = bus
        self.turn = turn
        self.unit = unit
        self.began_ms = 0
        self.end: Ended = self._end
        """The same bound method each time: one is not made for each request."""

    def _end(self, result: Sequence[Reading] | Exception) -> None:
        self._bus.ended(self, result)


class Bus:
    """The one who uses a link. Time comes from `clock`; `rate` is how many of its seconds pass in a real one."""

    def __init__(self, config: BusConfig, port: Port[Prepared], clock: Clock, *, rate: float = 1.0) -> None:
        self.before_send: Callable[[CommandId], Awaitable[None]] | None = None
        """Awaited before the first bytes of a command to a stored or pulse register leave; JournalFull withholds it."""
        self._config = config
        self._port: Port[object] = port  # type: ignore[assignment]  # what it prepares goes back to it unseen
        self._now = clock.mono_ms
        self._units = {unit.number: unit for unit in config.units}
        self._up: dict[int, bool | None] = dict.fromkeys(self._units)
        self._link_up: bool | None = None
        self._down_cause = ""
        self._jobs_by_point: tuple[NDArray[np.int32], NDArray[np.int32]] | None = None
        self._schedule = Schedule(
            config.link,
            [read.job for read in config.reads],
            [unit.times for unit in config.units],
            pause_ms=config.pause_ms,
            settle_ms=config.settle_ms,
            share_ppm=config.share_ppm,
            slots=config.slots,
            guest_share_ppm=config.guest_share_ppm,
        )
        nowhere = Turn(TurnKind.POLL, -1)
        self._seats = [_Seat(self, nowhere, self._units[read.job.unit]) for read in config.reads]
        self._requests: dict[int, WriteRequest] = {}
        self._guests: dict[int, tuple[Callable[[], Awaitable[object]], asyncio.Future[object]]] = {}
        self._serial = 0
        self._sink: Sink | None = None
        self._ended = False
        self._work: deque[Turn] = deque()
        """Commands and guests whose turn has come."""
        self._waker = Waker(clock.mono_ms, self._pump, rate=rate)
        self._slots = config.slots
        self._under_way = 0
        self._fruitless = 0
        self._attempts = 0
        self._refusals = 0
        self._silent_in_row = 0
        self._reopen_after = SILENT_BEFORE_REOPEN
        self._afresh = True
        self._progress_ms = -1

    @property
    def last_progress_ms(self) -> int:
        """When the task last did something, monotonic; while it waits for a time, at most until that. -1 before it ran.

        One request, one connection attempt or one note in the journal may lie between two marks, never more: a dead
        device does not hold it up, a defect does.
        """
        return max(self._progress_ms, min(self._now(), self._waker.until_ms))

    @property
    def missed_polls(self) -> int:
        """Polls skipped because the bus was late, since the start."""
        return self._schedule.missed

    @property
    def skipped_polls(self) -> int:
        """Polls left out while their unit was silent or lame, or the link down, since the start."""
        return self._schedule.skipped

    @property
    def probes(self) -> int:
        """Probes of units that are down, since the start."""
        return self._schedule.probes

    @property
    def busy_ms(self) -> int:
        """Time in which a request was under way, since the start; of several at once each counts."""
        return self._schedule.busy_ms

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
        self._waker.poke()

    async def guest(self, unit: int, carry_out: Callable[[], Awaitable[Answer]], valid_until_ms: int) -> Answer:
        """Does something on the link for somebody who is no part of the site: after everything else, and seldom.

        Args:
            unit: Whom it is for.
            carry_out: What to do once its turn has come; may raise DriverError.
            valid_until_ms: Monotonic: not done after this.

        Raises:
            LinkLost: the link is down.
            NoTurn: its turn did not come in time.
            ReplyTimeout: the unit is known not to answer.
            DriverError: what `carry_out` raised.
        """
        if self._sink is None or self._ended or self._down_cause or not self._port.is_open:
            raise LinkLost(self._down_cause or f"link {self._config.link} is not open", sent=False)
        if self._schedule.misses(unit):
            raise ReplyTimeout(f"unit {unit} does not answer at present", sent=False)
        self._serial += 1
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._guests[self._serial] = (carry_out, answer)
        self._schedule.submit_guest(Ticket(serial=self._serial, units=(unit,), valid_until_ms=valid_until_ms))
        self._waker.poke()
        return await answer  # type: ignore[return-value]  # the future carries what its own `carry_out` returns

    def read(self, points: Sequence[int], by_ms: int) -> None:
        """Asks for points out of turn; see `Driver.read`. Points that are not readable are passed over."""
        at, jobs = self._index()
        for point in points:
            for place in range(np.searchsorted(at, point), np.searchsorted(at, point, side="right")):
                self._schedule.ask(int(jobs[place]), by_ms)
        self._waker.poke()

    def _index(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """All points that are read, in order, and the job of each; made when it is first needed."""
        if self._jobs_by_point is None:
            reads = self._config.reads
            at = np.concatenate([read.points for read in reads]) if reads else np.empty(0, np.int32)
            jobs = np.repeat(np.arange(len(reads), dtype=np.int32), [len(read.points) for read in reads])
            order = np.argsort(at, kind="stable")
            self._jobs_by_point = at[order], jobs[order]
        return self._jobs_by_point

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
        self._sink, self._ended = sink, False
        self._waker.begin()
        try:
            while True:
                await self._connect(sink)
                await self._serve()
        finally:
            self._ended = True
            self._schedule.closed()
            self._port.close()
            self._waker.disarm()
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
                    await self._waker.sleep(until_ms)
                self._attempts += 1
            try:
                self._progress_ms = self._now()
                await self._port.open(lambda result: self._count(sink, result), self._waker.wake)
            except DriverError as error:
                heed_cancellation()
                self._link_down(sink, str(error), refused=isinstance(error, NotAdmitted))
                continue
            heed_cancellation()
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

    async def _serve(self) -> None:
        """Takes turns until the connection is gone. Reads take care of themselves; commands and guests go through here,
        one after the other."""
        self._under_way = 0
        self._work.clear()
        self._pump()
        while self._port.is_open:
            heed_cancellation()
            if self._work:
                await self._carry_out(self._work.popleft())
                self._under_way -= 1
                self._pump()
            else:
                await self._waker.woken()
        self._schedule.closed()
        self._waker.disarm()
        self._drop_work("the connection went away before it was sent")

    def _drop_work(self, why: str) -> None:
        """What had its turn and was not begun."""
        for turn in self._work:
            if turn.kind is TurnKind.COMMAND and turn.ticket is not None:
                self._withhold(turn.ticket, why)
        self._work.clear()
        self._dismiss_guests(LinkLost(why, sent=False))

    def _pump(self, now_ms: int = -1) -> None:
        """Starts what is due; sets the timer for what is due later. The clock is read if no time is given."""
        schedule = self._schedule
        if not self._port.is_open or self._ended:
            self._waker.wake()
            return
        try:
            while True:
                if now_ms < 0:
                    now_ms = self._now()
                turn = schedule.next(now_ms)
                if isinstance(turn, int):
                    self._waker.arm(turn, now_ms, idle=not self._under_way)
                    return
                self._progress_ms = now_ms
                if turn.ticket is None:
                    self._begin(turn, now_ms)
                    if self._under_way >= self._slots and not schedule.waits:
                        # By far the most common end: nothing else can begin before this one is over.
                        self._waker.until_ms = -1
                        return
                elif turn.kind is TurnKind.EXPIRED:
                    self._withhold(turn.ticket, "its time was over before the bus was free")
                elif turn.kind is TurnKind.EXPIRED_GUEST:
                    self._dismiss(turn.ticket, NoTurn("the bus had no time for it"))
                else:
                    self._under_way += 1
                    self._work.append(turn)
                    self._waker.wake()
        except Exception as error:  # noqa: BLE001
            # A defect must end the task that is supervised, not a callback that nobody looks at.
            self._waker.fail(error)

    def _begin(self, turn: Turn, now_ms: int) -> None:
        seat = self._seats[turn.job]
        seat.turn, seat.began_ms = turn, now_ms
        self._under_way += 1
        self._port.begin(turn.job, seat.end)

    async def _carry_out(self, turn: Turn) -> None:
        assert turn.ticket is not None and self._sink is not None
        if turn.kind is TurnKind.GUEST:
            await self._host(turn, *self._guests.pop(turn.ticket.serial))
        else:
            await self._command(self._sink, turn, self._requests.pop(turn.ticket.serial))
        if self._silent_in_row >= self._reopen_after:
            self._doubt_connection()

    def _doubt_connection(self) -> None:
        """Nobody answers: perhaps only this connection is dead, so on the next one all units are asked at once."""
        self._reopen_after = min(self._reopen_after * 2, SILENT_LONGEST)
        self._silent_in_row = self._fruitless = 0
        self._afresh = True
        self._port.close()
        self._waker.wake()

    def _fruitful(self) -> None:
        """Somebody answered: the connection is good."""
        self._fruitless = self._silent_in_row = self._attempts = 0
        self._reopen_after = SILENT_BEFORE_REOPEN

    # -- reading

    def ended(self, seat: _Seat, result: Sequence[Reading] | Exception) -> None:
        """Takes in what a read brought."""
        if self._ended:
            # It failed because the driver stopped: that says nothing of the unit.
            return
        try:
            now_ms = self._now()
            self._take(seat, result, now_ms)
        except Exception as error:  # noqa: BLE001 - see `_pump`
            self._waker.fail(error)
            return
        self._pump(now_ms)

    def _take(self, seat: _Seat, result: Sequence[Reading] | Exception, now_ms: int) -> None:
        sink, turn, unit = self._sink, seat.turn, seat.unit
        assert sink is not None
        self._under_way -= 1
        if not isinstance(result, Exception):
            self._fruitful()
            self._schedule.done(turn, began_ms=seat.began_ms, now_ms=now_ms, answered=True)
            for reading in result:
                sink.reading(reading)
            if not self._up[unit.times.number]:
                self._flip(sink, unit, up=True, cause="it answers")
            return
        if not isinstance(result, DriverError):
            raise result
        answered = self._heard(result)
        self._schedule.done(turn, began_ms=seat.began_ms, now_ms=now_ms, answered=answered)
        sink.reading(failed(self._config.reads[turn.job].points, result.cause, seat.began_ms, now_ms))
        self._judge(sink, unit, result if not answered else None, now_ms)
        if self._silent_in_row >= self._reopen_after:
            self._doubt_connection()

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
        self._schedule.done(turn, began_ms=began_ms, now_ms=now_ms, answered=answered, unit=unit)
        if unit in self._units:
            self._judge(sink, self._units[unit], None if answered else error, now_ms)

    def _refuse(self, request: WriteRequest) -> None:
        """What must never be written is stopped here, for every protocol, and nowhere else."""
        config = self._config
        if config.read_only:
            raise Unsendable(f"link {config.link} is read_only; take that away to write")
        for write in request.writes:
            if write.point not in config.unit_of_point:
                raise Unsendable(f"point {write.point} is not on link {config.link}")
            if write.point not in config.writable:
                name = config.name_of(write.point)
                raise Unsendable(f"point {name} is read-only; set access: rw if the device takes writes there")

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
        self._drop_work(why)

    # -- guests

    async def _host(
        self, turn: Turn, carry_out: Callable[[], Awaitable[object]], answer: asyncio.Future[object]
    ) -> None:
        """Carries out a guest's request, if it still waits for it. What comes of it says nothing of the unit."""
        assert turn.ticket is not None
        began_ms, answered = self._now(), False
        try:
            if not answer.done():
                result = await carry_out()
                answered = True
                if not answer.done():
                    answer.set_result(result)
        except DriverError as error:
            if not answer.done():
                answer.set_exception(error)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        if answered:
            self._fruitful()
        unit = turn.ticket.units[0]
        self._schedule.done(turn, began_ms=began_ms, now_ms=self._now(), answered=answered, unit=unit)

    def _dismiss(self, ticket: Ticket, error: DriverError) -> None:
        _, answer = self._guests.pop(ticket.serial)
        if not answer.done():
            answer.set_exception(error)

    def _dismiss_guests(self, error: DriverError) -> None:
        self._schedule.withdraw_guests()
        guests, self._guests = self._guests, {}
        for _, answer in guests.values():
            if not answer.done():
                answer.set_exception(error)


def _verdict(error: DriverError, *, sent: bool, taken: int, of: int) -> tuple[OutcomeKind, str]:
    """What a failed command's outcome is, in words."""
    part = f" ({taken} of {of} writes were taken)" if taken else ""
    if not sent:
        return OutcomeKind.WITHHELD, f"not sent, for what it needs could not be read: {error}"
    if not error.sent and not taken:
        return OutcomeKind.WITHHELD, f"not sent: {error}"
    if isinstance(error, Refused) and not error.unsure:
        return OutcomeKind.REJECTED, f"{error}{part}"
    return OutcomeKind.TIMED_OUT, f"{error}; it may or may not have been applied{part}"
