"""Drives a real core through a drawn course: obedient and disobedient devices, lost readings, every outcome.

A course is a site and a few numbers a step; the number `mood` decides who misbehaves, and 0 means nobody.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from random import Random

import numpy as np
from hypothesis import strategies as st
from regions import sites

from scowl_edge.capacity import Book
from scowl_edge.control import Core
from scowl_edge.control.memory import Decided
from scowl_edge.model.command import Command, CommandId, OutcomeKind, Verb
from scowl_edge.model.effect import Inputs, Plan, Write
from scowl_edge.model.event import (
    Booted,
    DeviceMode,
    Event,
    JournalGap,
    LinkChanged,
    Order,
    Outcome,
    Rank,
    RegionMode,
    Stopping,
    ValueOrder,
    Veto,
)
from scowl_edge.model.signal import Quality
from scowl_edge.model.site import NONE, Dispatch, Site
from scowl_edge.model.tick import Tick
from scowl_edge.tracker import RegionState

BASE_UTC_MS = 1_900_000_000_000


@dataclass(frozen=True)
class Turn:
    """One drawn step."""

    dt_ms: int
    weather: int | None
    """Percent of rated that the weather gives; None = as before."""
    load: int | None
    mood: int
    event: str


@dataclass(frozen=True)
class Course:
    """A region and what happens to it."""

    site: Site
    start_ms: int
    turns: tuple[Turn, ...]


QUIET = ["none"] * 12
EVENTS = [
    *QUIET,
    *("manual", "auto", "hold", "region-auto", "region-auto", "advisory", "link", "restart", "clock", "gap"),
    *("value", "veto"),
]
TURNS = st.builds(
    Turn,
    dt_ms=st.sampled_from([1_000, 1_000, 1_000, 50, 250, 3_000, 5_000, 20_000, 200_000]),
    weather=st.sampled_from([None, None, None, None, 0, 10, 40, 80, 100]),
    load=st.sampled_from([None, None, None, None, 0, 20, 50, 100, 140]),
    mood=st.sampled_from([0, 0, 0]) | st.integers(0, 1 << 20),
    event=st.sampled_from(EVENTS),
)
COURSES = st.builds(
    Course,
    site=sites(),
    start_ms=st.sampled_from([1_000_000, 0, 1 << 40]),
    turns=st.lists(TURNS, min_size=8, max_size=30).map(tuple),
)


class Devices:
    """What the region commands: registers, and the power that follows from them at once."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.register = [self._found(a.verb, a.high) for a in site.actuators]
        self.weather, self.load = 60, 40
        self.soc_ppm = [500_000] * len(site.storages)
        self.stubborn: set[int] = set()
        """Devices whose power does not follow their registers."""

    @staticmethod
    def _found(verb: Verb, high: int) -> int:
        return high if verb in (Verb.LIMIT, Verb.CONNECT) else 0

    def _set(self, actuator: int, otherwise: int) -> int:
        if actuator == NONE or self.site.actuators[actuator].device in self.stubborn:
            return otherwise
        return self.register[actuator]

    def net_w(self) -> dict[int, int]:
        """Signed power of every generator, consumer and store, by device."""
        out: dict[int, int] = {}
        for i, g in enumerate(self.site.generators):
            if g.dispatch is Dispatch.STOCHASTIC:
                given = min(self.available_w(i), self._set(g.do_limit, g.rated_w))
            elif g.dispatch is Dispatch.FIXED:
                given = g.rated_w * self._set(g.do_connect, 0)
            else:
                given = self._set(g.do_setpoint, 0) * self._set(g.do_connect, 1)
            out[g.device] = -given
        for c in self.site.consumers:
            drawn = min(c.rated_w * self.load // 100, self._set(c.do_limit, c.rated_w))
            drawn = max(0, drawn - self._set(c.do_shed, 0)) * self._set(c.do_connect, 1)
            out[c.device] = drawn if c.do_supply == NONE or self._set(c.do_supply, 1) else 0
        for s in self.site.storages:
            out[s.device] = self._set(s.do_setpoint, 0)
        return out

    def available_w(self, generator: int) -> int:
        g = self.site.generators[generator]
        return min(g.rated_w, g.rated_w * self.weather // 100)

    def readings(self, residue_w: int) -> list[int]:
        """What every signal would show now."""
        site, net = self.site, self.net_w()
        shown = [0] * len(site.signals)
        for device, watts in net.items():
            for i, s in enumerate(site.signals):
                if s.device == device and s.name == "power":
                    shown[i] = watts
        for i, g in enumerate(site.generators):
            if g.available != NONE:
                shown[g.available] = self.available_w(i)
        for c in site.consumers:
            if c.deferrable != NONE:
                shown[c.deferrable] = min(c.deferrable_w, net[c.device])
        for i, store in enumerate(site.storages):
            if store.soc != NONE:
                shown[store.soc] = self.soc_ppm[i]
        for i, a in enumerate(site.actuators):
            if a.feedback != NONE:
                shown[a.feedback] = self.register[i]
        members = [*site.generators, *site.consumers, *site.storages]
        for i, r in enumerate(site.ratings):
            inside = [m for m in members if i in chain(site, m.rating)]
            total = sum(net[m.device] for m in inside) + residue_w
            if r.power != NONE:
                shown[r.power] = total
            count = 1 if r.phases == 1 else 3
            for p in range(count):
                if r.currents[p] != NONE:
                    shown[r.currents[p]] = abs(total) * 1_000_000 // (count * r.voltage_mv)
        return shown


@dataclass
class Moment:
    """One step, seen from outside: what was known before it, what it decided, and what it left behind."""

    now_ms: int
    inputs: Inputs
    plan: Plan
    decisions: list[Decided]
    """Made in this step."""
    writes: list[Command]
    book_before: Book
    region_before: RegionState
    book: Book
    region: RegionState
    region_mode: str
    device_modes: list[str]
    up: list[bool | None]
    closed: list[bool]
    """Actuators that a refusal, a contest or a lack of effect closed, before or after the step."""
    stages: list[str]
    settled: bool
    stopping: bool
    restarted: bool


@dataclass
class Known:
    """What has been told of each signal: the last good value and when it came."""

    value: list[int]
    received_ms: list[int]
    now_ms: int = 0
    history: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """(receive time, value) of each signal, oldest first."""

    def tell(self, signal: int, value: int, received_ms: int) -> None:
        self.value[signal], self.received_ms[signal] = value, received_ms
        self.history.setdefault(signal, []).append((received_ms, value))

    def at(self, signal: int, at_ms: int) -> int:
        """Value as it was known at a time, the oldest remembered one if that came later."""
        told = self.history.get(signal, [(0, 0)])[-4:]
        return next((value for received, value in reversed(told) if received <= at_ms), told[0][1])

    def ever(self, signal: int) -> bool:
        return signal != NONE and self.received_ms[signal] >= 0

    def get(self, signal: int) -> int:
        return self.value[signal] if self.ever(signal) else 0

    def fresh(self, signal: int) -> bool:
        return self.ever(signal) and self.now_ms - self.received_ms[signal] <= FRESH_FOR_MS


FRESH_FOR_MS = 3_000


@dataclass
class Drive:
    """Runs a course step by step; `known` is kept apart from the core's own image."""

    course: Course
    core: Core = field(init=False)
    devices: Devices = field(init=False)
    known: Known = field(init=False)
    waiting: dict[CommandId, tuple[Command, int, OutcomeKind | None]] = field(default_factory=dict)
    """Commands on the wire: when and how they end; None = never."""
    outcomes: dict[CommandId, Outcome] = field(default_factory=dict)
    boot: int = 1

    def __post_init__(self) -> None:
        site = self.course.site
        self.core, self.devices = Core(site), Devices(site)
        self.known = Known([0] * len(site.signals), [-1] * len(site.signals))
        self.now_ms, self.step_no, self.utc_shift_ms, self.utc_ok = self.course.start_ms, 0, 0, True
        self.stopping = False
        self._snapshots = 0

    def moments(self):  # type: ignore[no-untyped-def]
        """Runs the course; yields a `Moment` after every step."""
        first = Turn(1_000, None, None, 0, "boot")
        for turn in (first, *self.course.turns):
            yield self._step(turn)

    def stop(self) -> Moment:
        """One step in which the daemon is asked to stop."""
        self.stopping = True
        return self._step(Turn(250, None, None, 0, "stop"))

    def quiet(self, dt_ms: int = 1_000) -> Moment:
        """One step in which nothing goes wrong."""
        return self._step(Turn(dt_ms, None, None, 0, "none"))

    def _step(self, turn: Turn) -> Moment:
        rng = Random(turn.mood)
        wild = turn.mood % 4 if turn.mood else 0
        self.now_ms += turn.dt_ms
        self.step_no += 1
        devices = self.devices
        if turn.weather is not None:
            devices.weather = turn.weather
        if turn.load is not None:
            devices.load = turn.load
        events: list[Event] = []
        if turn.event == "boot":
            events.append(Booted(boot=1, version="law", mono_base_ms=0, rebased_by_utc=True))
        restarted = turn.event == "restart"
        if restarted:
            events += self._restart()
        events += self._answers()
        events += self._event(turn, rng)
        if turn.mood:
            self._misbehave(rng, wild)
        inputs = self._inputs(rng, wild, tuple(events))
        core = self.core
        book, region = copy.deepcopy(core.memory.book), copy.deepcopy(core.memory.region)
        closed = core.ledger.closed(self.now_ms)
        decided = len(core.memory.decisions)
        kept = list(core.memory.decisions)
        plan = core.step(inputs)
        fresh = [d for d in core.memory.decisions if d.step == inputs.tick.step]
        assert len(kept) == decided
        writes = [e.command for e in plan.effects if isinstance(e, Write)]
        for command in writes:
            assert command.id not in self.waiting and command.id not in self.outcomes
            self._send(command, rng, wild)
        situation = core.memory.situation
        return Moment(
            now_ms=self.now_ms,
            inputs=inputs,
            plan=plan,
            decisions=fresh,
            writes=writes,
            book_before=book,
            region_before=region,
            book=copy.deepcopy(core.memory.book),
            region=copy.deepcopy(core.memory.region),
            region_mode=situation.mode.mode,
            device_modes=[m.mode for m in situation.device_modes],
            up=[d.up for d in situation.devices],
            closed=[a or b for a, b in zip(closed, core.ledger.closed(self.now_ms), strict=True)],
            stages=[e.stage.value for e in core.memory.ledger],
            settled=core.memory.region.settled,
            stopping=situation.stopping_at >= 0,
            restarted=restarted,
        )

    def _send(self, command: Command, rng: Random, wild: int) -> None:
        kind: OutcomeKind | None = OutcomeKind.ACKNOWLEDGED
        lag = 0
        if wild == 3:
            kind = rng.choice([*OutcomeKind, OutcomeKind.ACKNOWLEDGED, None])
            lag = rng.choice([0, 0, 1_500, 4_000])
        self.waiting[command.id] = (command, self.now_ms + lag, kind)
        # It is in force at once where it arrives; a device may take a write and lose the answer.
        arrives = kind is OutcomeKind.ACKNOWLEDGED or (
            kind in (None, OutcomeKind.TIMED_OUT, OutcomeKind.UNKNOWN) and rng.random() < 0.5
        )
        if arrives:
            part = command.value // 2 if command.verb is Verb.SHED and wild and rng.random() < 0.3 else command.value
            lies = wild == 3 and rng.random() < 0.2
            if not lies:
                self.devices.register[command.actuator] = part

    def _answers(self) -> list[Event]:
        events: list[Event] = []
        for cid, (_, due, kind) in list(self.waiting.items()):
            if kind is not None and due < self.now_ms:
                del self.waiting[cid]
                # The answer lies between the two steps.
                at = max(due + 1, self.now_ms - 40)
                self.outcomes[cid] = Outcome(command=cid, kind=kind, at_ms=at, detail="law")
                events.append(self.outcomes[cid])
        return events

    def _restart(self) -> list[Event]:
        """A crash: the same devices, the state from its bytes, commands on the wire in doubt."""
        data = self.core.snapshot()
        self.core = Core(self.course.site)
        self.core.restore(data)
        self.boot += 1
        events: list[Event] = [Booted(boot=self.boot, version="law", mono_base_ms=0, rebased_by_utc=True)]
        for cid, _ in self.core.ledger.awaited():
            self.waiting.pop(cid, None)
            self.outcomes[cid] = Outcome(command=cid, kind=OutcomeKind.UNKNOWN, at_ms=self.now_ms, detail="crash")
            events.append(self.outcomes[cid])
        return events

    def _event(self, turn: Turn, rng: Random) -> list[Event]:
        def order(target: str, mode: str) -> list[Event]:
            return [Order(target=target, mode=mode, who="law", why="drawn", until_utc_ms=0)]

        site = self.course.site
        names = [d.name for d in site.devices]
        name = rng.choice(names) if names else ""
        match turn.event:
            case "stop":
                return [Stopping(why="law")]
            case "manual" if names:
                return order(name, rng.choice([DeviceMode.MANUAL, DeviceMode.OUT_OF_SERVICE, DeviceMode.LOCAL]))
            case "auto":
                return [e for n in names for e in order(n, DeviceMode.AUTO)]
            case "hold":
                return order("", RegionMode.HOLD)
            case "region-auto":
                return order("", RegionMode.AUTO)
            case "advisory":
                return order("", RegionMode.ADVISORY)
            case "link" if names:
                up = rng.random() < 0.6
                device = rng.choice([name, name, ""])
                return [LinkChanged(link="link-0", device=device, up=up, at_ms=self.now_ms, cause="law")]
            case "clock":
                self.utc_shift_ms = rng.choice([-3_600_000, 3_600_000, 86_400_000, 0])
                self.utc_ok = rng.random() < 0.5
                return []
            case "value" if site.actuators:
                a = rng.choice(site.actuators)
                value = rng.choice([None, a.low, a.high, rng.randint(a.low, a.high), a.high + 1_000])
                rank = rng.choice(list(Rank))
                until = rng.choice([0, BASE_UTC_MS + self.now_ms + 5_000])
                held = site.devices[a.device].name
                return [
                    ValueOrder(
                        device=held, verb=a.verb, value=value, rank=rank, who="law", why="drawn", until_utc_ms=until
                    )
                ]
            case "veto" if names:
                return [Veto(device=name, active=rng.random() < 0.6, who="law", why="drawn", until_utc_ms=0)]
            case "gap":
                return [JournalGap(first_step=max(1, self.step_no - 1), last_step=self.step_no, why="law")]
            case _:
                return []

    def _misbehave(self, rng: Random, wild: int) -> None:
        site, devices = self.course.site, self.devices
        if wild == 2 and site.actuators:
            # Somebody else writes a register.
            i = rng.randrange(len(site.actuators))
            a = site.actuators[i]
            devices.register[i] = rng.choice([a.high, a.low, max(0, a.low)])
        if wild and site.devices and rng.random() < 0.2:
            devices.stubborn ^= {rng.randrange(len(site.devices))}
        for i in range(len(devices.soc_ppm)):
            if rng.random() < 0.3:
                devices.soc_ppm[i] = rng.choice([0, 50_000, 100_000, 250_000, 500_000, 950_000, 1_000_000])

    def _inputs(self, rng: Random, wild: int, events: tuple[Event, ...]) -> Inputs:
        site = self.course.site
        shown = self.devices.readings(rng.choice([0, 0, 500, -400, 5_000]) if wild else 0)
        told: list[int] = []
        quality: list[int] = []
        loss = (0.0, 0.15, 0.5, 0.3)[wild]
        silent = {d for d in range(len(site.devices)) if rng.random() < loss} if loss else set()
        for i, s in enumerate(site.signals):
            first = self.known.received_ms[i] < 0 and self.step_no == 1
            if s.device in silent and not first:
                if rng.random() < 0.5:
                    told.append(i)
                    quality.append(Quality.BAD)
                continue
            told.append(i)
            quality.append(Quality.UNCERTAIN if wild and rng.random() < 0.05 else Quality.GOOD)
        received = self.now_ms - (rng.choice([0, 0, 900]) if wild else 5)
        received = max(received, 0)
        for i, q in zip(told, quality, strict=True):
            if q != Quality.BAD:
                self.known.tell(i, shown[i], received)
        self.known.now_ms = self.now_ms
        values = [shown[i] if q != Quality.BAD else 0 for i, q in zip(told, quality, strict=True)]
        tick = Tick(
            step=self.step_no,
            mono_ms=self.now_ms,
            utc_ms=BASE_UTC_MS + self.now_ms + self.utc_shift_ms,
            utc_ok=self.utc_ok,
            journal_ok=not (wild == 1 and rng.random() < 0.2),
            move_budget=site.policy.move_budget,
        )
        return Inputs(
            tick,
            np.asarray(told, np.int32),
            np.asarray(values, np.int64),
            np.asarray(quality, np.uint8),
            np.full(len(told), received, np.int64),
            events,
        )


def chain(site: Site, rating: int) -> list[int]:
    """A rating and all around it."""
    found = []
    while rating != NONE:
        found.append(rating)
        rating = site.ratings[rating].within
    return found
