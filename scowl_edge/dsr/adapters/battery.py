"""A stationary battery between its floor and its ceiling; by itself it rests."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scowl_edge.dsr.adapters.machine import held, run
from scowl_edge.dsr.adapters.offering import WH_J, Draft, Frame, element, offer_set
from scowl_edge.dsr.adapters.store import after, most_charge_w, most_discharge_w, taken_j
from scowl_edge.model.flexibility import UNSET, Cost, EndKind, EndState, EsaType, OfferSet, ProfileKind

FREE_SLOTS = 4
"""Length of the profile that is set slot by slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryState:
    """What is in it."""

    level_j: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """A battery with its inverter."""

    esa_id: str
    capacity_wh: int
    charge_w: int
    discharge_w: int
    floor_wh: int = 0
    ceiling_wh: int | None = None
    """None: its capacity."""
    efficiency_ppm: int = 950_000
    """Of charging, and of discharging."""
    wear_micro_per_kwh: int = 0
    """Cost of wear for each kWh through it, in a millionth of `currency`."""
    currency: str = ""

    @property
    def esa_type(self) -> EsaType:
        """Its kind."""
        return EsaType.BATTERY

    @property
    def p_max_w(self) -> int:
        """Charging."""
        return self.charge_w

    @property
    def p_min_w(self) -> int:
        """Discharging."""
        return -self.discharge_w

    @property
    def waits(self) -> bool:
        """It rests anyhow."""
        return True

    def reach(self, state: BatteryState, at_ms: int, dur_ms: int) -> tuple[int, int]:
        """Less where it is nearly full or nearly empty."""
        room_j, left_j = self._room_j(state.level_j), state.level_j - self.floor_wh * WH_J
        high_w = min(self.charge_w, most_charge_w(room_j, dur_ms, self.efficiency_ppm))
        return -min(self.discharge_w, most_discharge_w(left_j, dur_ms, self.efficiency_ppm)), high_w

    def wish_w(self, state: BatteryState, at_ms: int, dur_ms: int) -> int:
        """Rests."""
        return 0

    def take_w(self, state: BatteryState, wanted_w: int, upper_w: int, at_ms: int, dur_ms: int) -> int:
        """As wanted, within reach."""
        return held(self.reach(state, at_ms, dur_ms), wanted_w, upper_w)

    def step(self, state: BatteryState, power_w: int, at_ms: int, dur_ms: int) -> BatteryState:
        """Charges or discharges."""
        return BatteryState(level_j=after(state.level_j, power_w, dur_ms, self.efficiency_ppm))

    def fault(self, state: BatteryState, at_ms: int) -> str:
        """Beyond its bounds."""
        if state.level_j < 0 or self.capacity_wh * WH_J < state.level_j:
            return f"{state.level_j} J in a battery of {self.capacity_wh} Wh"
        return ""

    def offers(self, state: BatteryState, frame: Frame) -> OfferSet:
        """Rest; charge or discharge early, late, at any time; a short stretch that is set slot by slot."""
        state = run(self, state, frame.now_ms, frame.start_ms)
        slots = min(96, frame.slots)
        end_ms = frame.start_ms + slots * frame.slot_ms
        fill_w, fill_slots = self._whole(
            taken_j(self._room_j(state.level_j), self.efficiency_ppm), self.charge_w, frame
        )
        left_j = max(0, state.level_j - self.floor_wh * WH_J)
        give_w, give_slots = self._whole(left_j * self.efficiency_ppm // 1_000_000, self.discharge_w, frame)
        drafts = [Draft(kind=ProfileKind.IO, elements=(element(slots * frame.slot_s, 0),), start_ms=frame.start_ms)]
        kinds = (
            (fill_w, fill_slots, ProfileKind.LD, ProfileKind.MD),
            (-give_w, give_slots, ProfileKind.LDP, ProfileKind.MDP),
        )
        longest = 0
        for power_w, count, early, late in kinds:
            count = min(count, slots)
            if count == 0 or power_w == 0:
                drafts += [Draft(kind=k, elements=drafts[0].elements, start_ms=frame.start_ms) for k in (early, late)]
                continue
            base = Draft(
                kind=ProfileKind.OTHER,
                elements=(element(count * frame.slot_s, power_w),),
                end_state=self._end(state, power_w, count * frame.slot_ms),
                cost=self._cost(abs(power_w) * count * frame.slot_s),
            )
            drafts += [
                replace(base, kind=early, start_ms=frame.start_ms),
                replace(base, kind=late, start_ms=end_ms - count * frame.slot_ms),
                base,
            ]
            longest = max(longest, count)
        count = min(FREE_SLOTS, slots)
        length_ms = count * frame.slot_ms
        high_w = min(self.charge_w, most_charge_w(self._room_j(state.level_j), length_ms, self.efficiency_ppm))
        low_w = -min(self.discharge_w, most_discharge_w(left_j - count, length_ms, self.efficiency_ppm))
        if low_w < high_w:
            # Whatever the setpoints, the level stays between those of all lowest and of all highest.
            free = (element(frame.slot_s, 0, low_w, high_w),) * count
            drafts.append(Draft(kind=ProfileKind.OTHER, elements=free, cost=self._cost(0)))
            longest = max(longest, count)
        latest_ms = end_ms - longest * frame.slot_ms if longest else UNSET
        return offer_set(self.esa_id, frame, drafts, start_latest_ms=latest_ms, end_latest_ms=end_ms)

    def _room_j(self, level_j: int) -> int:
        ceiling_wh = self.capacity_wh if self.ceiling_wh is None else self.ceiling_wh
        return max(0, ceiling_wh * WH_J - level_j)

    @staticmethod
    def _whole(energy_j: int, most_w: int, frame: Frame) -> tuple[int, int]:
        """A power and a number of whole slots that together use up nearly all of an energy, and never more."""
        if most_w <= 0 or energy_j <= 0:
            return 0, 0
        count = -(-energy_j // (most_w * frame.slot_s))
        # A J a step for rounding.
        return max(0, energy_j - 16 * count * (1 + frame.slot_s // 60)) // (count * frame.slot_s), count

    def _end(self, state: BatteryState, power_w: int, dur_ms: int) -> EndState:
        level_j = after(state.level_j, power_w, dur_ms, self.efficiency_ppm)
        return EndState(kind=EndKind.SOC, value_milli=1_000 * level_j // WH_J, unit="Wh")

    def _cost(self, through_j: int) -> Cost:
        return Cost(
            financial_micro=self.wear_micro_per_kwh * through_j // (1_000 * WH_J),
            currency=self.currency,
            co2_g=0,
            comfort=0,
        )
