"""The site's own devices as appliances of its manager: watched, offered, run as selected, and given back.

Each step, after the region has decided: who takes part is registered, power is counted and reported, people's and the
region's doings are told to the appliance, one device at most looks whether its offers still hold, and the courses of
all become claims. Everything that lasts is in `Driven`; all else follows from it and from the step's view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scowl_edge.capacity import Pledge
from scowl_edge.control import flex_devices_claims as asking
from scowl_edge.control.arbiter import Claim, Klass
from scowl_edge.control.chronicle import decided
from scowl_edge.control.flex_devices_enrolment import enrol, enrolled
from scowl_edge.control.flex_devices_meter import SlotMeter
from scowl_edge.control.flex_devices_physics import Watched, adapter_of, holds_back, state_of, watch
from scowl_edge.control.memory import Memory
from scowl_edge.dsr.adapters import Frame, stale
from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.course import Course
from scowl_edge.dsr.instant import Now
from scowl_edge.model.event import DeviceMode, RegionMode
from scowl_edge.model.exchange import Message, Override, Report, ReportKind, Running
from scowl_edge.model.flexibility import (
    Mode,
    OfferSet,
    OverrideBy,
    OverrideScope,
    SelectionState,
)
from scowl_edge.model.part import DevicePart, SolarPart, ThermalPart
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, Site
from scowl_edge.model.tick import Tick
from scowl_edge.tracker import NO_WISH, Condition, Observation

TAKEN = declare("flex-taken", "the region needs it: what was selected of it has ended")
ENDED = declare("flex-run-over", "nothing that was selected runs any more")

LOOK_MS = 60_000
"""A device looks at most this often whether its offers still hold."""
GONE_MS = 60_000
"""A device that cannot be reached for longer counts as faulty."""
VALID_S = 300
SLOT_MOST_W = 100_000_000
"""More than any device: what a broken meter tells beyond is no figure."""
_OUT = (OverrideScope.GRID, OverrideScope.ALL)


@dataclass(slots=True, kw_only=True)
class Driven:
    """All that is remembered of one device, beside its appliance."""

    watched: Watched = field(default_factory=Watched)
    meter: SlotMeter = field(default_factory=SlotMeter)
    look_mono_ms: int = 0
    """It looks at its offers no sooner."""
    mono_ms: int = -1
    """Watched last."""
    running: Running = Running.IDLE
    select_id: str = ""
    """What runs now."""
    goal_w: int | None = None
    """Power that it was last set to by what was selected."""
    reserved: bool = False
    """Something runs, or its start is waited for: only the region's ladder may want it for something else."""
    commanded: bool = False
    """It was set to something once: what nobody wants any more of it is taken back."""

    def restarted(self, shift_ms: int) -> None:
        """Monotonic times on the clock of a new start."""
        self.look_mono_ms = 0
        self.mono_ms = self.mono_ms + shift_ms if self.mono_ms >= 0 else -1


class FlexDevices:
    """Drives them. Holds frozen shape only, and the claims of the present step."""

    def __init__(self, site: Site, parts: Sequence[DevicePart]) -> None:
        self.site = site
        self.parts = {part.esa_id: part for part in parts}
        self.adapters = {esa_id: adapter_of(part) for esa_id, part in self.parts.items()}
        self._enrolled = {esa_id: enrolled(part) for esa_id, part in self.parts.items()}
        self._places = {
            **{g.device: i for i, g in enumerate(site.generators)},
            **{c.device: i for i, c in enumerate(site.consumers)},
            **{s.device: i for i, s in enumerate(site.storages)},
        }
        """Device -> its place among its like."""
        self.wishes: dict[int, list[Claim]] = {}
        """By actuator, for devices in AUTO."""
        self.bounds: dict[int, list[Claim]] = {}
        """By actuator, whatever the mode: safety and fail-safe limits."""

    def reserved(self, driven: dict[str, Driven]) -> frozenset[int]:
        """Devices that the region leaves alone unless its ladder needs them."""
        return frozenset(part.device for e, part in self.parts.items() if e in driven and driven[e].reserved)

    # -- a step --------------------------------------------------------------------------------------------------------

    def drive(
        self,
        cem: Cem,
        driven: dict[str, Driven],
        memory: Memory,
        seen: Observation,
        closed: Sequence[bool],
        tick: Tick,
    ) -> list[Message]:
        """One step of all; leaves their claims in `wishes` and `bounds`."""
        now = Now.of(tick)
        wall_ms = cem.clock.read(now)
        self.wishes, self.bounds = {}, {}
        send = enrol(cem, self._enrolled, now)
        for esa_id in [e for e in driven if e not in self.parts]:
            del driven[esa_id]
        for esa_id in self.parts:
            driven.setdefault(esa_id, Driven())
        if memory.situation.stopping_at >= 0:
            return send
        for esa_id, part in self.parts.items():
            send += self._watch(part, driven[esa_id], cem, memory, seen, closed, wall_ms, now)
        if memory.region.settled and wall_ms is not None:
            send += self._look(cem, driven, seen, wall_ms, now)
        if memory.situation.mode.mode == RegionMode.ADVISORY:
            for each in driven.values():
                each.reserved, each.select_id, each.goal_w = False, "", None
            return send
        for esa_id, part in self.parts.items():
            send += self._steer(part, driven[esa_id], cem, memory, seen, wall_ms, tick)
        return send

    def _appliance(self, cem: Cem, esa_id: str) -> Appliance:
        appliance = cem.members[esa_id].appliance
        assert appliance is not None, "a device of ours was enrolled as one"
        return appliance

    def _watch(
        self,
        part: DevicePart,
        driven: Driven,
        cem: Cem,
        memory: Memory,
        seen: Observation,
        closed: Sequence[bool],
        wall_ms: int | None,
        now: Now,
    ) -> list[Message]:
        """What the device does and took; what people and the region did with it."""
        esa_id, appliance = part.esa_id, self._appliance(cem, part.esa_id)
        power_w = seen.value(part.power, 0) if seen.known(part.power) else None
        if power_w is not None and abs(power_w) > SLOT_MOST_W:
            power_w = None
        send: list[Message] = []
        dur_ms = now.mono_ms - driven.mono_ms if driven.mono_ms >= 0 else 0
        driven.mono_ms = now.mono_ms
        if power_w is not None:
            appliance.power_now(power_w)
        driven.running = self._running(part, driven, memory, closed, power_w, now)
        send += cem.runs(esa_id, driven.running, now)
        if wall_ms is not None:
            watch(part, driven.watched, seen, power_w, dur_ms, wall_ms)
            slot_ms = 60_000 if appliance.init is None else 1_000 * appliance.init.report_actual_s
            ended = driven.meter.count(power_w, fresh=seen.fresh(part.power), wall_ms=wall_ms, slot_ms=slot_ms)
            if ended is not None and ended[2]:
                running = appliance.selections.running()
                report = Report(
                    esa_id=esa_id,
                    kind=ReportKind.ACTUAL,
                    start_ms=ended[0],
                    slot_s=slot_ms // 1_000,
                    slots=(ended[1],),
                    select_id="" if running is None else running.select_id,
                )
                send += cem.measured(report, now)
            elif ended is not None:
                # A part of a slot is no report; what was promised in it is not held against anybody.
                appliance.measured(None, now)
        return [*send, *self._people(part, cem, appliance, memory, now)]

    def _running(
        self,
        part: DevicePart,
        driven: Driven,
        memory: Memory,
        closed: Sequence[bool],
        power_w: int | None,
        now: Now,
    ) -> Running:
        known = memory.situation.devices[part.device]
        if known.up is False:
            return Running.FAULT if now.mono_ms - known.changed_at >= GONE_MS else Running.OFFLINE
        if closed[asking.sets_power(part)]:
            return Running.FAULT
        if power_w is None:
            return Running.IDLE if driven.running is not Running.RUNNING else Running.RUNNING
        return Running.RUNNING if abs(power_w) > part.tolerance_w else Running.IDLE

    def _people(self, part: DevicePart, cem: Cem, appliance: Appliance, memory: Memory, now: Now) -> list[Message]:
        """Whoever steers the device by hand takes it out of flexibility, and so does a region that steers nothing."""
        held, out = appliance.override_held, self._is_out(part, memory)
        if out and (held is None or held.scope not in _OUT):
            return cem.override(Override(esa_id=part.esa_id, scope=OverrideScope.ALL, by=OverrideBy.DEVICE), now)
        if not out and held is not None and held.by is OverrideBy.DEVICE and held.scope is OverrideScope.ALL:
            return cem.override(Override(esa_id=part.esa_id, scope=OverrideScope.NONE, by=OverrideBy.DEVICE), now)
        return []

    def _is_out(self, part: DevicePart, memory: Memory) -> bool:
        situation, people = memory.situation, memory.people
        by_hand = {self.site.actuators[a].device for a in people.user}
        return (
            situation.mode.mode != RegionMode.AUTO
            or situation.device_modes[part.device].mode != DeviceMode.AUTO
            or part.device in people.vetoes
            or part.device in by_hand
        )

    # -- offers --------------------------------------------------------------------------------------------------------

    def _look(self, cem: Cem, driven: dict[str, Driven], seen: Observation, wall_ms: int, now: Now) -> list[Message]:
        """The one that waited longest looks whether what it offered still holds."""
        due = [e for e in self.parts if self._is_due(cem, driven[e], e, now)]
        if not due:
            return []
        esa_id = min(due, key=lambda e: driven[e].look_mono_ms)
        driven[esa_id].look_mono_ms = now.mono_ms + LOOK_MS
        part, adapter, appliance = self.parts[esa_id], self.adapters[esa_id], self._appliance(cem, esa_id)
        state = state_of(part, driven[esa_id].watched, seen, wall_ms)
        standing, init = appliance.offer_set, appliance.init
        if init is None:
            return []
        if state is None:
            if standing is None or not standing.offers:
                return []
            return cem.offers(OfferSet(esa_id=esa_id, rev=appliance.rev + 1, offers=()), now)
        horizon_s = init.horizon_s
        if isinstance(part.physics, SolarPart):
            horizon_s = min(horizon_s, part.physics.ahead_ms // 1_000 + 2 * init.slot_s)
        frame = Frame(now_ms=wall_ms, rev=appliance.rev + 1, horizon_s=horizon_s, slot_s=init.slot_s, valid_s=VALID_S)
        if standing is not None and not appliance.offers_due and not stale(standing, adapter, state, frame):
            return []
        return cem.offers(adapter.offers(state, frame), now)

    def _is_due(self, cem: Cem, driven: Driven, esa_id: str, now: Now) -> bool:
        """Whether it is time to look, and it may offer at all: nothing was selected of it, nobody took it out."""
        appliance = self._appliance(cem, esa_id)
        if now.mono_ms < driven.look_mono_ms and not appliance.offers_due:
            return False
        held = appliance.override_held
        return not appliance.selections.open() and (held is None or held.scope not in _OUT)

    # -- courses -------------------------------------------------------------------------------------------------------

    def _steer(
        self,
        part: DevicePart,
        driven: Driven,
        cem: Cem,
        memory: Memory,
        seen: Observation,
        wall_ms: int | None,
        tick: Tick,
    ) -> list[Message]:
        """From the course to claims; what the region took is given up first."""
        now, appliance = Now.of(tick), self._appliance(cem, part.esa_id)
        send: list[Message] = []
        course = appliance.course(now)
        wants_w, klass, why = self._wanted(part, driven, appliance, course, wall_ms)
        if driven.reserved and wants_w is not None and self._taken(part, memory, wants_w):
            override = Override(esa_id=part.esa_id, scope=OverrideScope.THIS, by=OverrideBy.SAFETY)
            send += cem.override(override, now)
            decided(memory, tick, "flex-taken", part.device, 0, Reason(TAKEN))
            course = appliance.course(now)
            wants_w, klass, why = self._wanted(part, driven, appliance, course, wall_ms)
        self._keep(part, driven, memory, seen, course, wants_w, why, tick)
        held = appliance.override_held
        overridden = held is not None and held.scope not in (OverrideScope.NONE, OverrideScope.LOCAL)
        power_w = seen.net_w(part.device)
        known = seen.known(part.power)
        beyond = not known or any(abs(e.clip(power_w) - power_w) > part.tolerance_w for e in course.envelopes)
        found, low, high = asking.bounds(self.site, part, course, overridden=overridden, safety=beyond and known)
        number = asking.sets_power(part)
        self.bounds[number] = [c for c in found if c.klass is Klass.SAFETY]
        claims: dict[int, list[Claim]] = {}
        if wants_w is not None and wall_ms is not None:
            setpoint_w = wants_w if course.setpoint_w is None or course.wish_w is None else course.setpoint_w
            claims = asking.wishes(self.site, part, setpoint_w, klass, why, wall_ms)
        elif driven.commanded or (found and (beyond or part.do_setpoint == NONE)):
            claims = asking.frees(self.site, part, low, high)
        # Before all was looked at nothing is written, and nothing has to be taken back.
        driven.commanded = driven.commanded or (bool(claims) and memory.region.settled)
        contract = [c for c in found if c.klass is Klass.CONTRACT]
        if contract:
            claims[number] = [*claims.get(number, []), *contract]
        if memory.situation.mode.mode == RegionMode.AUTO:
            self.wishes.update(claims)
        return send

    def _wanted(
        self, part: DevicePart, driven: Driven, appliance: Appliance, course: Course, wall_ms: int | None
    ) -> tuple[int | None, Klass, Reason]:
        """Power that flexibility wants now (None: none), for whom, and why."""
        running = appliance.selections.running()
        if running is not None and course.wish_w is not None and running.select is not None:
            mode = running.select.mode
            klass = Klass.SHED if mode is Mode.RESPONSE else Klass.ROUTINE
            return course.wish_w, klass, Reason(asking.FOLLOWS, (running.select_id[:8], mode.value, course.wish_w))
        if wall_ms is not None and self._rests(part, driven, appliance, wall_ms):
            return 0, Klass.ROUTINE, Reason(asking.WAITS)
        return None, Klass.DEFAULT, Reason(asking.FREE)

    def _rests(self, part: DevicePart, driven: Driven, appliance: Appliance, wall_ms: int) -> bool:
        """Whether its job waits: for the start of what was selected, or for somebody who selects."""
        held = appliance.override_held
        if held is not None and held.scope is not OverrideScope.LOCAL:
            return False
        if holds_back(part, driven.watched, wall_ms):
            return True
        offered = appliance.offer_set
        if not self.adapters[part.esa_id].waits or offered is None:
            return False
        for selection in appliance.selections.open():
            if selection.state is SelectionState.SCHEDULED and selection.select is not None:
                offer = offered.offer(selection.select.offer_id)
                # The first start that the offers reckoned with, see `offering`.
                if offer is not None and offer.valid_until_ms + 1_000 * offer.min_notice_s <= wall_ms:
                    return True
        return False

    def _taken(self, part: DevicePart, memory: Memory, wants_w: int) -> bool:
        """Whether the region's ladder wants something else of a device that is reserved."""
        region, place, tolerance_w = memory.region, self._places[part.device], part.tolerance_w
        if part.do_setpoint != NONE:
            return region.storage_setpoint_w[place] != NO_WISH
        if isinstance(part.physics, SolarPart):
            limit_w = region.generator_limit_w[place]
            return limit_w != NO_WISH and limit_w < -wants_w - tolerance_w
        limit_w = region.consumer_limit_w[place]
        limited = limit_w != NO_WISH and limit_w < wants_w - tolerance_w
        asked = place in memory.book.sheds and self.site.consumers[place].do_shed != NONE
        cut = asked or region.condition[place] == Condition.STARVED
        # Who is to draw nothing anyhow loses nothing.
        return limited or (cut and wants_w > tolerance_w)

    def _keep(
        self,
        part: DevicePart,
        driven: Driven,
        memory: Memory,
        seen: Observation,
        course: Course,
        wants_w: int | None,
        why: Reason,
        tick: Tick,
    ) -> None:
        """Notes what begins, changes and ends; the region reckons with it as with its own promises."""
        was_reserved, before_w = driven.reserved, driven.goal_w
        driven.reserved = wants_w is not None
        goal_w = course.setpoint_w if wants_w is not None and course.setpoint_w is not None else wants_w
        if course.select_id != driven.select_id:
            driven.select_id, driven.look_mono_ms = course.select_id, min(driven.look_mono_ms, tick.mono_ms)
        if goal_w == before_w:
            return
        driven.goal_w = goal_w
        if driven.reserved and not was_reserved and part.do_setpoint != NONE:
            # What the region wanted of it before is over; afterwards it decides anew.
            memory.region.storage_setpoint_w[self._places[part.device]] = NO_WISH
        if not driven.reserved:
            decided(memory, tick, "flex", part.device, 0, Reason(ENDED))
            memory.reasons[part.device] = Reason(ENDED)
            place = self._places[part.device]
            rests = part.do_setpoint != NONE and memory.region.storage_setpoint_w[place] == NO_WISH
            goal_w = 0 if rests else None
        elif goal_w is not None:
            decided(memory, tick, "flex", part.device, goal_w - seen.net_w(part.device), why)
            memory.reasons[part.device] = why
        counted = driven.select_id in memory.book.offers.calls
        ours = not counted and not self._is_out(part, memory)
        if goal_w is not None and ours and not isinstance(part.physics, ThermalPart):
            self._promise(part, memory, seen, goal_w, tick.mono_ms)

    def _promise(self, part: DevicePart, memory: Memory, seen: Observation, goal_w: int, mono_ms: int) -> None:
        """The change of power is on its way: the region counts it until it shows, or should have."""
        a = self.site.actuators[asking.sets_power(part)]
        power_w = seen.net_w(part.device)
        if goal_w == power_w:
            memory.book.pledges.pop(part.device, None)
            return
        travel_ms = abs(goal_w - power_w) * 1_000 // a.ramp_w_s if a.ramp_w_s else 0
        poll_ms = self.site.signals[part.power].fresh_ms
        memory.book.pledges[part.device] = Pledge(
            base_w=power_w,
            goal_w=goal_w,
            begins_at=mono_ms,
            ramp_w_s=a.ramp_w_s,
            deadline_at=mono_ms + travel_ms + a.settle_ms + poll_ms + self.site.policy.answer_ms,
        )
