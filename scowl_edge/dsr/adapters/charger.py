"""A charge point with a vehicle that leaves at a known time and needs energy by then.

It charges with nothing or at least its smallest current. Discharging into the house or grid is offered only with the
user's consent, and only as far as the vehicle is charged again in time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scowl_edge.dsr.adapters.machine import held, run
from scowl_edge.dsr.adapters.offering import WH_J, Draft, Frame, element, joined, offer_set
from scowl_edge.dsr.adapters.store import after, most_charge_w, most_discharge_w, taken_j
from scowl_edge.model.flexibility import UNSET, Element, EndKind, EndState, EsaType, OfferSet, ProfileKind

FULL_RESERVE_WH = 20
"""A target is at most this much below full, so that rounding never asks a full battery to take more."""
SHORT_OF_TARGET_WH = 10
"""What rounding and a last short step may leave out."""
LONGEST_EXPORT_SLOTS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargerState:
    """The vehicle at the plug."""

    level_j: int
    """In its battery."""
    target_wh: int
    """Needed in the battery at departure."""
    arrival_ms: int
    departure_ms: int

    def here(self, at_ms: int) -> bool:
        """Plugged in."""
        return self.arrival_ms <= at_ms < self.departure_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Charger:
    """A charge point and the battery that it charges."""

    esa_id: str
    capacity_wh: int
    phases: int = 3
    voltage_v: int = 230
    current_min_a: int = 6
    current_max_a: int = 16
    efficiency_ppm: int = 930_000
    """Of charging, and of discharging."""
    export_w: int = 0
    """Power of discharging; used only with consent."""
    export_consent: bool = False
    floor_wh: int = 0
    """Never discharged below."""

    @property
    def esa_type(self) -> EsaType:
        """Its kind."""
        return EsaType.EVSE

    @property
    def p_max_w(self) -> int:
        """At the largest current."""
        return self.phases * self.voltage_v * self.current_max_a

    @property
    def p_low_w(self) -> int:
        """At the smallest current: it charges with at least this, or not."""
        return self.phases * self.voltage_v * self.current_min_a

    @property
    def p_min_w(self) -> int:
        """Below 0 only with consent."""
        return -self.export_w if self.export_consent else 0

    @property
    def waits(self) -> bool:
        """A vehicle rests until its selected start."""
        return True

    def reach(self, state: ChargerState, at_ms: int, dur_ms: int) -> tuple[int, int]:
        """Nothing while no vehicle is there; less where the battery is nearly full or nearly at its floor."""
        if not state.here(at_ms):
            return 0, 0
        room_j = self.capacity_wh * WH_J - state.level_j
        high_w = min(self.p_max_w, most_charge_w(room_j, dur_ms, self.efficiency_ppm))
        left_j = state.level_j - self.floor_wh * WH_J
        return -min(-self.p_min_w, most_discharge_w(left_j, dur_ms, self.efficiency_ppm)), max(0, high_w)

    def wish_w(self, state: ChargerState, at_ms: int, dur_ms: int) -> int:
        """Charges at once, to the target."""
        need_j = self._target_j(state) - state.level_j
        if need_j <= 0 or not state.here(at_ms):
            return 0
        return min(self.p_max_w, max(self.p_low_w, -(-taken_j(need_j, self.efficiency_ppm) * 1_000 // dur_ms)))

    def take_w(self, state: ChargerState, wanted_w: int, upper_w: int, at_ms: int, dur_ms: int) -> int:
        """As wanted; nothing where that would be less than the smallest current, but for the last of a full battery."""
        low_w, high_w = self.reach(state, at_ms, dur_ms)
        power_w = held((low_w, high_w), wanted_w, upper_w)
        return 0 if 0 < power_w < min(self.p_low_w, high_w) else power_w

    def step(self, state: ChargerState, power_w: int, at_ms: int, dur_ms: int) -> ChargerState:
        """Charges or discharges."""
        return replace(state, level_j=after(state.level_j, power_w, dur_ms, self.efficiency_ppm))

    def fault(self, state: ChargerState, at_ms: int) -> str:
        """Too little at departure, or a battery beyond its bounds."""
        if not 0 <= state.level_j <= self.capacity_wh * WH_J:
            return f"{state.level_j} J in a battery of {self.capacity_wh} Wh"
        short_wh = (self._target_j(state) - state.level_j) // WH_J
        if at_ms >= state.departure_ms and short_wh > SHORT_OF_TARGET_WH:
            return f"{short_wh} Wh short of the {state.target_wh} Wh that were wanted at departure"
        return ""

    def offers(self, state: ChargerState, frame: Frame) -> OfferSet:
        """Blocks at full power, early, late or shiftable; the same energy spread; with consent also export first."""
        state = run(self, state, frame.now_ms, frame.start_ms)
        begin_ms = max(frame.start_ms, frame.ceiled(state.arrival_ms))
        slots = (frame.floored(state.departure_ms) - begin_ms) // frame.slot_ms
        drafts: list[Draft] = []
        latest_ms = UNSET
        need_wh = -(-taken_j(max(0, self._target_j(state) - state.level_j), self.efficiency_ppm) // WH_J)
        if slots < 1 or slots * frame.slot_s > 7 * 86_400:
            return offer_set(self.esa_id, frame, (), end_latest_ms=state.departure_ms)
        if need_wh > 0:
            block = self._block(min(need_wh, slots * frame.slot_s * self.p_max_w // WH_J), frame)
            late_ms = frame.floored(begin_ms + slots * frame.slot_ms - 1_000 * _length_s(block))
            end = self._end(state, block)
            at_once_ms = max(frame.start_ms, state.arrival_ms)
            for kind, start_ms in (
                (ProfileKind.IO, at_once_ms),
                (ProfileKind.LD, at_once_ms),
                (ProfileKind.MD, late_ms),
            ):
                drafts.append(Draft(kind=kind, elements=block, start_ms=start_ms, end_state=end))
            if late_ms > begin_ms:
                latest_ms = late_ms
                drafts.append(Draft(kind=ProfileKind.OTHER, elements=block, end_state=end))
            drafts += self._spread(state, need_wh, begin_ms, slots, frame)
        else:
            idle = (element(frame.slot_s * slots, 0),)
            end = self._end(state, idle)
            drafts += [
                Draft(kind=kind, elements=idle, start_ms=begin_ms, end_state=end)
                for kind in (ProfileKind.IO, ProfileKind.LD, ProfileKind.MD)
            ]
        drafts += self._exports(state, begin_ms, slots, frame)
        made = offer_set(self.esa_id, frame, drafts, start_latest_ms=latest_ms, end_latest_ms=state.departure_ms)
        # A vehicle that is still to come: nothing can start before it is there.
        return replace(made, offers=tuple(replace(offer, start_earliest_ms=begin_ms) for offer in made.offers))

    def _target_j(self, state: ChargerState) -> int:
        return WH_J * min(state.target_wh, self.capacity_wh - FULL_RESERVE_WH)

    def _block(self, need_wh: int, frame: Frame) -> tuple[Element, ...]:
        """Full power for whole slots, and the rest of a slot."""
        seconds = -(-need_wh * WH_J // self.p_max_w)
        whole = seconds // frame.slot_s * frame.slot_s
        return joined((element(whole, self.p_max_w), element(seconds - whole, self.p_max_w)))

    def _spread(self, state: ChargerState, need_wh: int, begin_ms: int, slots: int, frame: Frame) -> list[Draft]:
        """The energy over all the time there is, each slot between the smallest and the largest current."""
        count = min(slots, 288, need_wh * WH_J // (self.p_low_w * frame.slot_s))
        room_wh = taken_j(self.capacity_wh * WH_J - state.level_j, self.efficiency_ppm) // WH_J
        if count < 2 or count * frame.slot_s * self.p_max_w < need_wh * WH_J or room_wh < need_wh + count:
            return []
        power_w = -(-need_wh * WH_J // (count * frame.slot_s))
        elements = (element(frame.slot_s, power_w, self.p_low_w, self.p_max_w),) * count
        # The energy that the battery can take is above what is needed by rounding at least: see FULL_RESERVE_WH.
        return [
            Draft(
                kind=ProfileKind.OTHER,
                elements=elements,
                start_ms=begin_ms,
                e_min_wh=need_wh,
                e_max_wh=max(room_wh - 1, -(-power_w * count * frame.slot_s // WH_J)),
                end_state=EndState(kind=EndKind.SOC, value_milli=1_000 * self._target_j(state) // WH_J, unit="Wh"),
            )
        ]

    def _exports(self, state: ChargerState, begin_ms: int, slots: int, frame: Frame) -> list[Draft]:
        """Discharges early or late and charges again in time."""
        power_w = -self.p_min_w
        if power_w == 0:
            return []
        for count in range(LONGEST_EXPORT_SLOTS, 0, -1):
            low_j = after(state.level_j, -power_w, count * frame.slot_ms, self.efficiency_ppm)
            need_wh = -(-taken_j(max(0, self._target_j(state) - low_j), self.efficiency_ppm) // WH_J)
            block = self._block(need_wh, frame) if need_wh else ()
            gap_s = (slots - count) * frame.slot_s - _length_s(block)
            if gap_s < 0 or low_j < self.floor_wh * WH_J + self.p_max_w:
                continue
            out, gap = element(count * frame.slot_s, -power_w), element(gap_s, 0)
            early, late = joined((out, gap, *block)), joined((gap, out, *block))
            return [
                Draft(kind=kind, elements=elements, start_ms=begin_ms, end_state=self._end(state, elements))
                for kind, elements in ((ProfileKind.LDP, early), (ProfileKind.MDP, late))
            ]
        return []

    def _end(self, state: ChargerState, elements: tuple[Element, ...]) -> EndState:
        level_j = state.level_j
        for each in elements:
            level_j = after(level_j, each.p_nom_w, 1_000 * each.dur_s, self.efficiency_ppm)
        return EndState(kind=EndKind.SOC, value_milli=1_000 * level_j // WH_J, unit="Wh")


def _length_s(elements: tuple[Element, ...]) -> int:
    return sum(e.dur_s for e in elements)
