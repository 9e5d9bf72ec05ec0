"""A photovoltaic system that can be curtailed: it produces what the sun gives, or less."""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.dsr.adapters.machine import held
from scowl_edge.dsr.adapters.offering import Draft, Frame, element, joined, offer_set
from scowl_edge.model.flexibility import Cost, Element, EsaType, OfferSet, ProfileKind
from scowl_edge.model.profile import NANO, Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class SolarState:
    """What the sun will give."""

    available: Timeline
    """Production that is possible, as power below 0, constant over each slot; where it says nothing there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solar:
    """Modules with their inverter."""

    esa_id: str
    rated_w: int
    """Magnitude."""
    value_micro_per_kwh: int = 0
    """What a curtailed kWh would have earned, in a millionth of `currency`."""
    currency: str = ""

    @property
    def esa_type(self) -> EsaType:
        """Its kind."""
        return EsaType.PV

    @property
    def p_max_w(self) -> int:
        """It consumes nothing."""
        return 0

    @property
    def p_min_w(self) -> int:
        """All it can produce."""
        return -self.rated_w

    @property
    def waits(self) -> bool:
        """The sun does not."""
        return False

    def reach(self, state: SolarState, at_ms: int, dur_ms: int) -> tuple[int, int]:
        """From what the sun gives to nothing."""
        # Production rounded down, so that nothing is promised that is not there.
        given = state.available.energy_quanta(at_ms, at_ms + dur_ms)
        return -min(self.rated_w, max(0, -given) // (2 * NANO * dur_ms)), 0

    def wish_w(self, state: SolarState, at_ms: int, dur_ms: int) -> int:
        """All that the sun gives."""
        return self.reach(state, at_ms, dur_ms)[0]

    def take_w(self, state: SolarState, wanted_w: int, upper_w: int, at_ms: int, dur_ms: int) -> int:
        """As wanted, if the sun gives that much."""
        return held(self.reach(state, at_ms, dur_ms), wanted_w, upper_w)

    def step(self, state: SolarState, power_w: int, at_ms: int, dur_ms: int) -> SolarState:
        """Nothing is stored."""
        return state

    def fault(self, state: SolarState, at_ms: int) -> str:
        """Nobody is ever cold for it."""
        return ""

    def offers(self, state: SolarState, frame: Frame) -> OfferSet:
        """All of it, less slot by slot, or all but its first or its last half."""
        starts = [frame.start_ms + i * frame.slot_ms for i in range(frame.slots)]
        produced = [self.reach(state, start_ms, frame.slot_ms)[0] for start_ms in starts]
        if not any(produced):
            return offer_set(self.esa_id, frame, (), end_latest_ms=frame.end_ms)
        half, done_w = 0, 0
        while 2 * done_w > sum(produced):
            done_w += produced[half]
            half += 1
        early = self._made(frame, produced[:half] + [0] * (frame.slots - half))
        late = self._made(frame, [0] * half + produced[half:])
        full = self._made(frame, produced)
        modulating = tuple(element(frame.slot_s, w, w, 0) for w in produced)
        drafts = [Draft(kind=ProfileKind.IO, elements=modulating, start_ms=frame.start_ms)]
        for kind, elements, lost_w in (
            (ProfileKind.LD, full, 0),
            (ProfileKind.MD, full, 0),
            (ProfileKind.LDP, early, sum(produced) - done_w),
            (ProfileKind.MDP, late, done_w),
        ):
            cost = self._lost(lost_w, frame)
            drafts.append(Draft(kind=kind, elements=elements, start_ms=frame.start_ms, cost=cost))
        return offer_set(self.esa_id, frame, drafts, end_latest_ms=frame.end_ms)

    @staticmethod
    def _made(frame: Frame, powers_w: list[int]) -> tuple[Element, ...]:
        return joined(element(frame.slot_s, power_w) for power_w in powers_w)

    def _lost(self, slots_w: int, frame: Frame) -> Cost:
        """Cost of curtailing, for a sum of powers over slots."""
        return Cost(
            financial_micro=-slots_w * frame.slot_s * self.value_micro_per_kwh // 3_600_000,
            currency=self.currency,
            co2_g=0,
            comfort=0,
        )
