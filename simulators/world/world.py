"""The world: one plant, one region, a heap of what happens next."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np

from scowl_edge.assembly import Assembly, assemble
from scowl_edge.contracts import WriteRequest
from scowl_edge.control import Core
from scowl_edge.inbox import Inbox
from scowl_edge.journal.memory import MemoryJournal
from scowl_edge.journal.records import sending_record
from scowl_edge.loop import Wire, request_of
from scowl_edge.model.command import OutcomeKind, Verb, WriteClass
from scowl_edge.model.effect import Effect, Plan, Read, Write
from scowl_edge.model.event import AnyOrder, LinkChanged, Order, Outcome, Stopping
from scowl_edge.model.signal import Cause, Quality, Reading
from scowl_edge.model.site import NONE
from scowl_edge.turn import Clocks, Turn, resume
from simulators.plant import SIGNALS, Plant
from simulators.settings import SimulationSettings
from simulators.world.schedule import Schedule, mix

BASE_UTC_MS = 1_900_000_000_000
_GAINS = {
    "soc": 1e6, "current_a": 1e3, "current_b": 1e3, "current_c": 1e3, "voltage": 1e3, "shed_expiry": 1e3,
    "failsafe_timeout": 1e3,
}  # fmt: skip
_ROUND_UP, _ROUND_DOWN = 1, 2
_ROUNDINGS = {"power": _ROUND_UP, "deferrable": _ROUND_UP, "available": _ROUND_DOWN, "shed_granted": _ROUND_DOWN}
_SIGNAL_OF_VERB = {Verb.SHED: "shed_request", Verb.FAILSAFE: "failsafe_limit"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSettings:
    """How the wires and clocks of a world behave."""

    seed: int = 1
    latency_ms: int = 20
    """Of a request and its reply together, at least; up to twice that."""
    timeout_ms: int = 500
    poll_ms: int = 1_000
    snapshot_every: int = 30
    utc_ok: bool = True


@dataclass(slots=True, eq=False)
class _Flight:
    """A write on the wire."""

    at_ms: int
    request: WriteRequest
    actuator: int
    lasts_ms: int


class World(Schedule):
    """A region in virtual time. `on_boundary` is called at every boundary of the journal."""

    def __init__(
        self,
        assembly: Assembly,
        simulation: SimulationSettings | None = None,
        settings: WorldSettings | None = None,
        *,
        plant: Plant | None = None,
        journal: MemoryJournal | None = None,
        now_ms: int = 1_000_000,
    ) -> None:
        """Boots a region on `plant` and `journal`, or on new ones."""
        self.assembly = assembly
        self.settings = settings or WorldSettings()
        self.site = assembly.site
        self.plant = plant if plant is not None else Plant(self.site, simulation, start_ms=now_ms)
        self.journal = journal if journal is not None else MemoryJournal()
        super().__init__(now_ms)
        self.utc_shift_ms = 0
        self.utc_ok = self.settings.utc_ok
        self.on_boundary: Callable[[str], None] | None = None
        self.plans: list[Plan] = []
        self._flights: list[_Flight] = []
        self._turn_at = -1
        """When the next turn is due; -1 = none is."""
        self._up: dict[int, bool] = {}
        names = [s.name for s in self.site.signals]
        self._wires = [
            Wire(link="", point=i, gain=_GAINS.get(a.verb.value, 1.0), expiry_point=NONE)
            for i, a in enumerate(self.site.actuators)
        ]
        self._by_device: dict[int, list[int]] = {}
        for i, s in enumerate(self.site.signals):
            self._by_device.setdefault(s.device, []).append(i)
        self.inbox = Inbox(
            len(names),
            list(range(len(names))),
            [_GAINS.get(n, 1.0) for n in names],
            [_ROUNDINGS.get(n, 0) for n in names],
            self._wake,
        )
        self.core = Core(self.site)
        self.turn: Turn = resume(
            self.journal.recover(),
            self.core,
            lambda text: Core(assemble(text, "journal").site),
            self.inbox,
            self.journal,
            self._clocks(),
            version="world",
            seed=self.settings.seed,
            text=assembly.text,
            fingerprint=assembly.fingerprint,
            snapshot_every=self.settings.snapshot_every,
        )
        self.journal.make_durable()
        for device in self._by_device:
            self.at(now_ms + mix(self.settings.seed, device, 1) % 200, lambda d=device: self._poll(d))  # type: ignore[misc]

    # -- time --------------------------------------------------------------------------------------------------------

    def run_until(self, until_ms: int) -> None:
        """Lets everything happen up to a virtual time, or until the region has stopped."""
        super().run_until(until_ms)
        self.plant.advance(self.now_ms)

    def run_for(self, ms: int) -> None:
        """Lets time pass."""
        self.run_until(self.now_ms + ms)

    def run_while(self, condition: Callable[[], bool], at_most_ms: int) -> bool:
        """Lets time pass, a quarter second at a time, while the condition holds; True if it ended in time."""
        until = self.now_ms + at_most_ms
        while condition():
            if self.now_ms >= until:
                return False
            self.run_for(250)
        return True

    def _clocks(self) -> Clocks:
        return Clocks(mono_ms=self.now_ms, utc_ms=BASE_UTC_MS + self.now_ms + self.utc_shift_ms, utc_ok=self.utc_ok)

    # -- people ------------------------------------------------------------------------------------------------------

    def order(self, target: str, mode: str, who: str = "operator", why: str = "story", until_utc_ms: int = 0) -> None:
        """An order as the API would give it; empty target = the region."""
        self.say(Order(target=target, mode=mode, who=who, why=why, until_utc_ms=until_utc_ms))

    def say(self, order: AnyOrder) -> None:
        """Any order as the API would give it."""
        self.inbox.event(order)

    def stop(self) -> None:
        """SIGTERM."""
        self.inbox.event(Stopping(why="story"))

    # -- the region's turn -------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._turn_by(self.now_ms + 1)

    def _turn_by(self, at_ms: int) -> None:
        """The next turn comes then, or earlier if one is due earlier: an event does not wait for the period."""
        if self._turn_at < 0 or at_ms < self._turn_at:
            self._turn_at = max(at_ms, self.now_ms)
            self.at(self._turn_at, lambda due=self._turn_at: self._turn(due))  # type: ignore[misc]

    def _boundary(self, name: str) -> None:
        if self.on_boundary is not None:
            self.on_boundary(name)

    def _turn(self, due_ms: int) -> None:
        if self.stopped or due_ms != self._turn_at:
            return
        self._turn_at = -1
        self.plant.advance(self.now_ms)
        plan = self.turn.decide(self._clocks())
        self._boundary("decided")
        durable = self.journal.commit(200)
        self._boundary("durable")
        self.turn.settled(durable)
        self.plans.append(plan)
        for effect in self.turn.may_leave(plan, durable):
            self._dispatch(effect)
            self._boundary("sent")
        if plan.final:
            self.stopped = True
            return
        self._turn_by(plan.wake_at_ms)

    def _dispatch(self, effect: Effect) -> None:
        if isinstance(effect, Read):
            for device in sorted({self.site.signals[s].device for s in effect.signals}):
                self.at(self.now_ms + 5, lambda d=device: self._request(d))  # type: ignore[misc]
        elif isinstance(effect, Write):
            actuator = self.site.actuators[effect.command.actuator]
            request = request_of(effect.command, self._wires[effect.command.actuator])
            if actuator.write_class is not WriteClass.VOLATILE:
                self.turn.append(sending_record(self.turn.boot, self.turn.step, effect.command.id))
                self.journal.commit(200)
                self._boundary("sending")
            delay = self._latency(actuator.device) // 2
            flight = _Flight(self.now_ms + delay, request, effect.command.actuator, effect.command.lasts_ms)
            self._flights.append(flight)
            self.at(flight.at_ms, lambda: self._arrive(flight))

    def _latency(self, device: int) -> int:
        base = self.settings.latency_ms
        return base + mix(self.settings.seed, device, self.now_ms) % base

    # -- the wires ---------------------------------------------------------------------------------------------------

    def _arrive(self, flight: _Flight) -> None:
        """A write reaches its device; the answer travels back."""
        self._flights.remove(flight)
        request = flight.request
        a = self.site.actuators[flight.actuator]
        response = self.plant.response(a.device)
        kind, detail = OutcomeKind.TIMED_OUT, "no answer"
        back = self.settings.timeout_ms
        taken = self._apply(flight)
        if not response.silent and not response.lost_answer and response.delay_ms < self.settings.timeout_ms:
            kind = OutcomeKind.ACKNOWLEDGED if taken else OutcomeKind.REJECTED
            detail = "" if taken else "refused"
            back = self._latency(a.device) // 2 + response.delay_ms
        self._boundary("applied")
        self.at(
            self.now_ms + back,
            lambda: self.inbox.event(Outcome(command=request.command, kind=kind, at_ms=self.now_ms, detail=detail)),
        )

    def _apply(self, flight: _Flight) -> bool:
        """What the device does with a write that reached it; False = refused or deaf."""
        self.plant.advance(self.now_ms)
        a = self.site.actuators[flight.actuator]
        if self.plant.response(a.device).silent:
            return False
        value = flight.request.writes[0].value
        if a.verb is Verb.SHED and value > 0:
            lasts_s = float(-(-flight.lasts_ms // 1000))
            if self.plant.read(a.device, "shed_expiry") is not None and not self.plant.write(
                a.device, "shed_expiry", lasts_s
            ):
                return False
        signal = _SIGNAL_OF_VERB.get(a.verb, a.verb.value)
        # What has no physics is a register that keeps what is written, or what somebody sets there.
        take = self.plant.write if signal in SIGNALS else self.plant.keep
        return take(a.device, signal, value)

    def _poll(self, device: int) -> None:
        self._request(device)
        self.at(self.now_ms + self.settings.poll_ms, lambda: self._poll(device))

    def _request(self, device: int) -> None:
        requested = self.now_ms
        response = self.plant.response(device)
        failed = response.silent or response.lost_answer or response.delay_ms >= self.settings.timeout_ms
        back = self.settings.timeout_ms if failed else self._latency(device) + response.delay_ms
        self.at(self.now_ms + back, lambda: self._reply(device, requested, failed or bool(response.exception)))

    def _reply(self, device: int, requested_ms: int, failed: bool) -> None:
        self.plant.advance(self.now_ms)
        signals = self._by_device[device]
        points = np.asarray(signals, np.int32)
        values = np.full(len(signals), np.nan)
        if not failed:
            for k, s in enumerate(signals):
                name = self.site.signals[s].name
                shown = self.plant.read(device, name) if name in SIGNALS else self.plant.kept(device, name)
                values[k] = shown if isinstance(shown, float | int) else np.nan
        bad = np.isnan(values)
        self.inbox.reading(
            Reading(
                points,
                values,
                np.where(bad, Quality.BAD, Quality.GOOD).astype(np.uint8),
                np.where(bad, Cause.TIMEOUT, Cause.NONE).astype(np.uint8),
                requested_ms,
                self.now_ms,
            )
        )
        up = not failed
        if self._up.get(device) is not up:
            self._up[device] = up
            name = self.site.devices[device].name
            cause = "answers" if up else "no reply"
            self.inbox.event(
                LinkChanged(link=self.site.devices[device].link, device=name, up=up, at_ms=self.now_ms, cause=cause)
            )

    # -- crash -------------------------------------------------------------------------------------------------------

    def crashed(self, *, keep_volatile: int = 0, down_ms: int = 1_500, delivered: bool = True) -> Self:
        """What comes after a crash now: the same devices, the journal as the disk has it, a new boot.

        `delivered` says whether writes that are on the wire still reach their devices.
        """
        plant = copy.deepcopy(self.plant)
        journal = self.journal.crash(keep_volatile)
        after = type(self)(
            self.assembly,
            settings=self.settings,
            plant=plant,
            journal=journal,
            now_ms=self.now_ms + down_ms,
        )
        if delivered:
            for flight in self._flights:
                after.at(after.now_ms, lambda f=flight: after._apply(f))  # type: ignore[misc, arg-type]
        return after
