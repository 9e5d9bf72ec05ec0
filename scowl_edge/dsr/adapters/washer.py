"""A washing machine, dishwasher or dryer: a fixed programme, to be done by a time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scowl_edge.dsr.adapters.machine import run
from scowl_edge.dsr.adapters.offering import Draft, Frame, element, offer_set
from scowl_edge.model.flexibility import UNSET, Element, EndKind, EndState, EsaType, OfferSet, ProfileKind

DONE = EndState(kind=EndKind.COMPLETE, value_milli=1_000, unit="programme")


@dataclass(frozen=True, slots=True, kw_only=True)
class WasherState:
    """The job that was loaded."""

    loaded: bool = False
    begin_ms: int = 0
    """When it begins by itself."""
    end_latest_ms: int = 0
    progress_ms: int = 0
    """How far the programme has run; 0 before it began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Washer:
    """A machine with its programme."""

    esa_id: str
    programme: tuple[tuple[int, int], ...]
    """(seconds, W), one after the other; every step takes some power."""
    max_pause_s: int = 0
    """Longest interruption that the laundry does not mind; 0: none."""
    esa_type: EsaType = EsaType.WET

    @property
    def length_s(self) -> int:
        """Of the programme."""
        return sum(seconds for seconds, _ in self.programme)

    @property
    def p_max_w(self) -> int:
        """Of its strongest step."""
        return max(power_w for _, power_w in self.programme)

    @property
    def p_min_w(self) -> int:
        """It exports nothing."""
        return 0

    @property
    def waits(self) -> bool:
        """A job rests until its selected start."""
        return True

    def reach(self, state: WasherState, at_ms: int, dur_ms: int) -> tuple[int, int]:
        """Nothing, or what the programme takes."""
        return 0, self._mean_w(state, dur_ms)

    def wish_w(self, state: WasherState, at_ms: int, dur_ms: int) -> int:
        """The programme, once it has begun or is to."""
        return self._mean_w(state, dur_ms) if state.progress_ms or at_ms >= state.begin_ms else 0

    def take_w(self, state: WasherState, wanted_w: int, upper_w: int, at_ms: int, dur_ms: int) -> int:
        """What the programme takes, if any power is wanted at all and no bound is in the way; else nothing."""
        power_w = self._mean_w(state, dur_ms)
        return power_w if wanted_w > 0 and power_w <= upper_w else 0

    def step(self, state: WasherState, power_w: int, at_ms: int, dur_ms: int) -> WasherState:
        """With its power the programme goes on; with less it stands still."""
        if power_w < self._mean_w(state, dur_ms) or power_w == 0:
            return state
        progress_ms = min(state.progress_ms + dur_ms, 1_000 * self.length_s)
        return replace(state, progress_ms=progress_ms)

    def fault(self, state: WasherState, at_ms: int) -> str:
        """Not done in time."""
        left_s = self.length_s - state.progress_ms // 1_000
        if state.loaded and at_ms >= state.end_latest_ms and left_s > 0:
            return f"{left_s} s of the programme left when it should have been done"
        return ""

    def offers(self, state: WasherState, frame: Frame) -> OfferSet:
        """Before it begins: early, late, or any start between. Once it runs: what is left, as a forecast."""
        state = run(self, state, frame.now_ms, frame.start_ms)
        rest = self._rest(state)
        if not state.loaded or not rest:
            return offer_set(self.esa_id, frame, (), end_latest_ms=frame.end_ms)
        length_s = sum(e.dur_s for e in rest)
        latest_ms = frame.floored(min(state.end_latest_ms, frame.end_ms) - 1_000 * length_s)
        intended_ms = max(frame.start_ms, state.begin_ms)
        if state.progress_ms or latest_ms < frame.start_ms:
            # It cannot be moved any more, be it that it runs or that it is late already.
            fixed = Draft(kind=ProfileKind.IO, elements=rest, start_ms=intended_ms, end_state=DONE)
            end_ms = intended_ms + 1_000 * length_s
            return offer_set(self.esa_id, frame, (fixed,), end_latest_ms=end_ms)
        drafts = [
            Draft(kind=kind, elements=rest, start_ms=start_ms, end_state=DONE, max_pause_s=self.max_pause_s)
            for kind, start_ms in (
                (ProfileKind.IO, min(intended_ms, latest_ms)),
                (ProfileKind.LD, frame.start_ms),
                (ProfileKind.MD, latest_ms),
                (ProfileKind.OTHER, UNSET),
            )
        ]
        return offer_set(self.esa_id, frame, drafts, start_latest_ms=latest_ms, end_latest_ms=state.end_latest_ms)

    def _rest(self, state: WasherState) -> tuple[Element, ...]:
        """The programme from here on."""
        done_s, elements = state.progress_ms // 1_000, []
        for seconds, power_w in self.programme:
            left_s = min(seconds, max(0, seconds - done_s))
            done_s = max(0, done_s - seconds)
            if left_s:
                elements.append(element(left_s, power_w))
        return tuple(elements)

    def _mean_w(self, state: WasherState, dur_ms: int) -> int:
        """What the programme takes on average over the coming stretch, rounded down."""
        at_ms, total, from_ms = 0, 0, state.progress_ms
        for seconds, power_w in self.programme if state.loaded else ():
            end_ms = at_ms + 1_000 * seconds
            total += power_w * max(0, min(end_ms, from_ms + dur_ms) - max(at_ms, from_ms))
            at_ms = end_ms
        return total // dur_ms
