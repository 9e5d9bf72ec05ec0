"""Selections among offers, in the book of commitments: what may be counted on, and when somebody has to ask again.

An offer counts 0 W before it is ACCEPTED, is pledged from then until its effect is measured, and counts as effective
from then on: the meter shows it, so it is not added again. A selection that nobody answers has a deadline: until then
whoever needed it neither waits for more nor selects for the same need twice; after it the need is open again, and the
appliance stays out until the question is known to be off (a late yes is cancelled, not counted).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from scowl_edge.capacity.book import Pledge


class CallState(StrEnum):
    """Where a selection stands for whoever counts on it."""

    ASKED = "asked"
    """Not answered; counts 0 W."""
    PLEDGED = "pledged"
    """Accepted; what the meter does not show yet is on its way."""
    EFFECTIVE = "effective"
    """Measured."""
    UNANSWERED = "unanswered"
    """The deadline passed; counts 0 W and its appliance is not asked again before it is known to be off."""
    FAILED = "failed"
    """Accepted, and not seen by its deadline: counts 0 W, its appliance is not asked again while it stands."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One selection that a need of the region has asked for."""

    esa_id: str
    device: int
    """Whose meter shows the effect; -1 where none does."""
    rating: int
    """The rating that the appliance hangs below; -1: the site."""
    phases: int
    relief_w: int
    """Change promised, above 0: less net consumption."""
    asked_at: int
    """Monotonic ms, as all here."""
    answer_by_at: int
    begins_at: int
    """When the change is expected to begin."""
    effect_by_at: int
    """When a meter must show it."""
    ends_at: int
    """When the selected course ends and the load may come back."""
    state: CallState = CallState.ASKED
    pledge: Pledge | None = None


@dataclass(slots=True, kw_only=True)
class OfferCalls:
    """All selections that needs of the region have asked for, by select id."""

    calls: dict[str, Call] = field(default_factory=dict)

    def ask(self, select_id: str, call: Call) -> bool:
        """Enters a question; False if this one, or another to the same appliance, stands already."""
        if select_id in self.calls or call.esa_id in self.busy():
            return False
        self.calls[select_id] = call
        return True

    def accepted(self, select_id: str, power_w: int, now_ms: int) -> bool:
        """The appliance agrees; `power_w` is what its meter shows now.

        Returns:
            False if nobody counts on it any more: the caller must cancel it.
        """
        call = self.calls.get(select_id)
        if call is None or call.state is CallState.UNANSWERED or now_ms >= call.ends_at:
            return False
        if call.state is CallState.ASKED:
            if now_ms >= call.answer_by_at:
                call.state = CallState.UNANSWERED
                return False
            call.state = CallState.PLEDGED
            call.pledge = Pledge(
                base_w=power_w,
                goal_w=power_w - call.relief_w,
                begins_at=call.begins_at,
                ramp_w_s=0,
                deadline_at=call.effect_by_at,
            )
        return True

    def ended(self, select_id: str) -> None:
        """Refused, completed, cancelled, overridden or otherwise over: off the book."""
        self.calls.pop(select_id, None)

    def settle(self, powers_w: dict[int, int], now_ms: int, settled_w: int) -> list[str]:
        """Holds the book against the meters, by device, and against the clock.

        Args:
            powers_w: Fresh measured net power (+ consumption) by device; a stale meter is left out.
            now_ms: Monotonic.
            settled_w: A pledge within this of its goal has arrived.

        Returns:
            Selections whose deadline passed unanswered just now: they are to be cancelled.
        """
        lapsed = []
        for select_id in sorted(self.calls):
            call = self.calls[select_id]
            if call.state is CallState.ASKED and now_ms >= call.answer_by_at:
                call.state = CallState.UNANSWERED
                lapsed.append(select_id)
            if call.state is not CallState.ASKED and now_ms >= call.ends_at:
                del self.calls[select_id]
                continue
            if call.state not in (CallState.PLEDGED, CallState.FAILED) or call.pledge is None:
                continue
            power = powers_w.get(call.device)
            if power is not None and now_ms >= call.begins_at and abs(call.pledge.remaining_w(power)) <= settled_w:
                call.state = CallState.EFFECTIVE
            elif now_ms >= call.effect_by_at:
                call.state = CallState.FAILED
        return lapsed

    def pledged_w(self, powers_w: dict[int, int], now_ms: int, by_ms: int, rating: frozenset[int] | None = None) -> int:
        """Relief that is agreed, not yet measured, and arrives by a time; 0 or more.

        For a device without a fresh meter the whole relief is still on its way, until its deadline.
        """
        total = 0
        for call in self._of(rating):
            if call.state is CallState.PLEDGED and call.pledge is not None:
                power = powers_w.get(call.device, call.pledge.base_w)
                total -= call.pledge.within_w(power, now_ms, by_ms)
        return total

    def awaited_w(self, now_ms: int, rating: frozenset[int] | None = None) -> int:
        """Relief asked for and not answered before its deadline.

        It is not there and must not be counted as headroom, but nobody selects for the same need again meanwhile.
        """
        return sum(c.relief_w for c in self._of(rating) if c.state is CallState.ASKED and now_ms < c.answer_by_at)

    def returning_w(self, now_ms: int, by_ms: int, rating: frozenset[int] | None = None) -> int:
        """Load that comes back when effective selections end by a time."""
        return sum(
            c.relief_w for c in self._of(rating) if c.state is CallState.EFFECTIVE and now_ms < c.ends_at <= by_ms
        )

    def busy(self) -> frozenset[str]:
        """Appliances that are not to be asked."""
        return frozenset(c.esa_id for c in self.calls.values())

    def wake_at(self, now_ms: int) -> int | None:
        """The next deadline, or None."""
        times = [
            at
            for c in self.calls.values()
            for at, due in (
                (c.answer_by_at, c.state is CallState.ASKED),
                (c.effect_by_at, c.state is CallState.PLEDGED),
                (c.ends_at, c.state is not CallState.ASKED),
            )
            if due and at > now_ms
        ]
        return min(times, default=None)

    def _of(self, ratings: frozenset[int] | None) -> Iterator[Call]:
        for select_id in sorted(self.calls):
            call = self.calls[select_id]
            if ratings is None or call.rating in ratings:
                yield call
