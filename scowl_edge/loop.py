"""The loop on real clocks: wait, turn, barrier, effects. One a region."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import structlog

from scowl_edge.contracts import Clock, Driver, PointWrite, WriteRequest
from scowl_edge.journal.records import sending_record
from scowl_edge.model.command import Command, CommandId, OutcomeKind, Verb
from scowl_edge.model.effect import Ask, Effect, Plan, Read, Send, Write
from scowl_edge.model.event import Outcome
from scowl_edge.turn import Clocks, Turn

log = structlog.get_logger(__name__)

BARRIER_MS = 200
"""Longest wait for the disk; then safety commands go, and a hole is recorded."""
REST, LONGEST_REST_S = 20, 0.25
"""After a step, drivers' events wait for so many times its length: a small region does not notice, and a large one goes
on polling while they storm. Orders, a stop, and what is due at a time are not held up."""
TALK_REST_S = 0.03
"""Longest such rest where peers of flexibility wait for an answer: it is in the time to their acknowledgement, and what
one step takes of them is bounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How one actuator's commands become writes."""

    link: str
    point: int
    gain: float
    """Base value = command value / gain."""
    expiry_point: int
    """-1 = none; else takes the length of a shed, in s, before the shed itself."""


@dataclass(slots=True)
class Timing:
    """How long things took, for metrics."""

    steps: list[float] = field(default_factory=list)
    """Seconds of each core step since they were last taken."""
    lateness_s: float = 0.0
    """Of the last turn against the time at which it was due."""
    latest_s: float = 0.0
    """The most of it since somebody set it back."""
    last_turn_ms: int = -1


def request_of(command: Command, wire: Wire) -> WriteRequest:
    """A command in base units, on points."""
    value = PointWrite(wire.point, command.value / wire.gain)
    writes: tuple[PointWrite, ...] = (value,)
    if command.verb is Verb.SHED and command.value > 0 and wire.expiry_point >= 0:
        writes = (PointWrite(wire.expiry_point, float(-(-command.lasts_ms // 1000))), value)
    return WriteRequest(command=command.id, writes=writes, valid_until_ms=command.valid_until_ms)


class Loop:
    """Runs turns until the core says that a stop is settled."""

    def __init__(
        self,
        turn: Turn,
        clock: Clock,
        drivers: Mapping[str, Driver],
        wires: Sequence[Wire],
        signal_points: Sequence[int],
        point_links: Sequence[str],
        *,
        rate: float = 1.0,
    ) -> None:
        """`wires` is parallel to the actuators, `signal_points` to the signals, `point_links` to the points.

        `rate` is how much faster than the machine the clock runs.
        """
        self.turn = turn
        self.timing = Timing()
        self.turned = asyncio.Event()
        """Set after every turn; whoever waits for one clears it."""
        self.settled = asyncio.Event()
        """Set while no decided step waits for the disk: what the core holds then is durable, or known not to be."""
        self.settled.set()
        self.on_settled: Callable[[], None] | None = None
        """Called after every step, as soon as `settled` is set."""
        self.speak: Callable[[Send], None] | None = None
        """Takes what peers are to be told; None: nobody is there, and all of it is dropped."""
        self.work: Callable[[Ask], None] | None = None
        """Takes work for a worker, right after the step that asked for it."""
        self._clock = clock
        self._drivers = drivers
        self._wires = wires
        self._signal_points = signal_points
        self._point_links = point_links
        self._rate = rate
        self._urgent = asyncio.Event()
        self._rest_until_s = 0.0
        self._hurried = asyncio.Event()
        self._hearing: asyncio.TimerHandle | None = None
        self._hear_from_s = 0.0
        turn.inbox.wake, turn.inbox.hurry, turn.inbox.hear = self._urgent.set, self._hurried.set, self._hear
        turn.inbox.patient = True

    async def run(self) -> None:
        """Turns until the plan is final."""
        wake_at = self._clock.mono_ms()
        while True:
            await self._wait(wake_at)
            now = self._clock.mono_ms()
            self.timing.lateness_s = max(0.0, (now - wake_at) / 1000 / self._rate)
            self.timing.latest_s = max(self.timing.latest_s, self.timing.lateness_s)
            plan = await self.once(late_ms=max(0, now - wake_at))
            if plan.final:
                return
            wake_at = plan.wake_at_ms

    async def once(self, late_ms: int = 0) -> Plan:
        """One turn, from the clocks to the effects; `late_ms` is how much later than due it comes."""
        clock = self._clock
        # The event loop's own clock may count whole milliseconds, and a small region's step takes less.
        started = perf_counter()
        self.settled.clear()
        clocks = Clocks(mono_ms=clock.mono_ms(), utc_ms=clock.utc_ms(), utc_ok=clock.utc_ok())
        plan = self.turn.decide(clocks, late_ms)
        if self.turn.failure:
            log.error("step_failed", step=plan.step, what=self.turn.failure)
        took_s = perf_counter() - started
        self.timing.steps.append(took_s)
        now_s = asyncio.get_running_loop().time()
        self._rest_until_s = now_s + min(REST * took_s, LONGEST_REST_S)
        self._hear_from_s = now_s + min(REST * took_s, TALK_REST_S)
        if self.turn.inbox.spoken:
            self._hear()
        durable = await self.turn.journal.barrier(BARRIER_MS)
        if durable is not self.turn.journal_ok:
            log.log(20 if durable else 40, "journal_durable" if durable else "journal_late", step=plan.step)
        self.turn.settled(durable)
        self.settled.set()
        if self.on_settled is not None:
            self.on_settled()
        for effect in self.turn.may_leave(plan, durable):
            self._dispatch(effect)
        self.timing.last_turn_ms = clock.mono_ms()
        self.turned.set()
        return plan

    async def _wait(self, wake_at_ms: int) -> None:
        delay = (wake_at_ms - self._clock.mono_ms()) / 1000 / self._rate
        if delay > 0 and not self._urgent.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._urgent.wait()
        # Events of one reply come together, those of a broken link soon after each other: one turn takes them all, and
        # a storm of them leaves the drivers most of the time.
        rest_s = min(
            self._rest_until_s - asyncio.get_running_loop().time(),
            (wake_at_ms - self._clock.mono_ms()) / 1000 / self._rate,
        )
        if rest_s > 0 and not self._hurried.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._hurried.wait()
        await asyncio.sleep(0)
        if self._hearing is not None:
            self._hearing.cancel()
            self._hearing = None
        self._hurried.clear()
        self._urgent.clear()

    def _hear(self) -> None:
        """A peer waits: the next step comes as soon as the last one's short rest is over."""
        self._urgent.set()
        if self._hearing is None and not self._hurried.is_set():
            loop = asyncio.get_running_loop()
            if loop.time() >= self._hear_from_s:
                self._hurried.set()
            else:
                self._hearing = loop.call_at(self._hear_from_s, self._hurried.set)

    def _dispatch(self, effect: Effect) -> None:
        if isinstance(effect, Write):
            self._write(effect.command)
        elif isinstance(effect, Read):
            self._read(effect)
        elif isinstance(effect, Send) and self.speak is not None:
            self.speak(effect)
        elif isinstance(effect, Ask) and self.work is not None:
            self.work(effect)

    def _write(self, command: Command) -> None:
        wire = self._wires[command.actuator]
        driver = self._drivers.get(wire.link)
        log.info("command", id=str(command.id), verb=command.verb.value, value=command.value, why=str(command.reason))
        if driver is None:
            self.turn.inbox.event(
                Outcome(
                    command=command.id,
                    kind=OutcomeKind.WITHHELD,
                    at_ms=self._clock.mono_ms(),
                    detail=f"there is no driver for link {wire.link}",
                )
            )
            return
        driver.write(request_of(command, wire))

    def _read(self, effect: Read) -> None:
        by_link: dict[str, list[int]] = {}
        for signal in effect.signals:
            point = self._signal_points[signal]
            by_link.setdefault(self._point_links[point], []).append(point)
        for link, points in by_link.items():
            driver = self._drivers.get(link)
            if driver is not None:
                driver.read(points, effect.by_ms)

    async def before_send(self, command: CommandId) -> None:
        """The note in the journal that a stored register or a pulse is about to be written."""
        self.turn.append(sending_record(self.turn.boot, self.turn.step, command))
        await self.turn.journal.barrier(BARRIER_MS)
