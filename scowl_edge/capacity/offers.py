"""Selections among offers, in the book of commitments: what may be counted on, and when somebody has to ask again.

An offer counts 0 W before it is ACCEPTED, is pledged from then until its effect is measured, and counts as effective
from then on: the meter shows it, so it is not added again. A selection that nobody answers has a deadline: until then
whoever needed it neither waits for more nor selects for the same need twice; after it the need is open again, and the
appliance stays out until the question is known to be off (a late yes is cancelled, not counted).

Selections that serve another goal (a level that somebody wants) count in the same way, once, from their acceptance on;
the region neither waits for them nor takes them back.

Before anybody is asked, somebody has to choose among the offers: that search has a deadline too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from scowl_edge.capacity.pledge import Pledge


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

    ENDING = "ending"
    """Taken back because there is room: its load counts as coming until it was seen, or had time to be."""


SEARCH_MS = 10_000
"""Longest wait for somebody to choose among the offers."""
AGAIN_MS = 60_000
"""Least time between two searches."""
MOST_DOUBLINGS = 4
"""Of that time, while searches bring nothing."""
SHOWS_MS = 5_000
"""Time after its beginning in which relief without a meter of its own must show at the meters above: after it, what is
still missing within the ride-through is missing."""


@dataclass(slots=True, kw_only=True)
class Search:
    """A choice among offers that a need has asked for."""

    rating: int
    """Below which the offers are."""
    relief_w: int
    asked_at: int
    answer_by_at: int
    again_at: int
    """No other one before."""
    standing_w: int
    """Relief that was agreed then."""
    fruitless: int = 0
    """Searches before it, in a row, after which no more was agreed than before."""
    open: bool = True
    """Nobody has chosen yet."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One selection: a need of the region has asked for it, or another goal that it stands beside."""

    esa_id: str
    device: int
    """Whose meter shows the effect; -1 where none does."""
    rating: int
    """The rating that the appliance hangs below; -1: the site."""
    phases: int
    relief_w: int
    """Change promised: less net consumption; above 0 where the region asked."""
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
    reported_w: int | None = None
    """What the appliance last said that it draws, since the change was to begin: its meter, where no other is."""
    own: bool = True
    """The region asked for it; else it serves another goal and is not the region's to end."""


@dataclass(slots=True, kw_only=True)
class OfferCalls:
    """All selections that count for the region, by select id."""

    calls: dict[str, Call] = field(default_factory=dict)
    appliances: dict[str, str] = field(default_factory=dict)
    """Appliance -> its selection."""
    search: Search | None = None
    """The latest."""
    looked_at: int = -1
    """When selections for other goals were entered last."""

    def seek(self, rating: int, relief_w: int, now_ms: int) -> bool:
        """Enters that offers are to be chosen; what several places need at the same moment is one search.

        Who had nothing more to offer is asked again later and later, unless more is needed than then.

        Returns:
            False if it is too early: nobody is to be troubled.
        """
        last, standing, fruitless = self.search, self.standing_w(now_ms), 0
        if last is not None and last.asked_at == now_ms and last.open:
            last.relief_w += relief_w
            return True
        if last is not None:
            grown = 4 * relief_w > 5 * last.relief_w
            if now_ms < (last.asked_at + AGAIN_MS if grown else last.again_at):
                return False
            fruitless = last.fruitless + 1 if standing <= last.standing_w and not grown else 0
        self.search = Search(
            rating=rating,
            relief_w=relief_w,
            asked_at=now_ms,
            answer_by_at=now_ms + SEARCH_MS,
            again_at=now_ms + (AGAIN_MS << min(fruitless, MOST_DOUBLINGS)),
            standing_w=standing,
            fruitless=fruitless,
        )
        return True

    def sought(self) -> None:
        """Somebody has chosen, or nobody can: what came of it is among the calls."""
        if self.search is not None:
            self.search.open = False

    def ask(self, select_id: str, call: Call) -> bool:
        """Enters a question; False if this one, or another to the same appliance, stands already."""
        if select_id in self.calls or call.esa_id in self.appliances:
            return False
        self.calls[select_id] = call
        self.appliances[call.esa_id] = select_id
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
        """Refused, completed, cancelled, overridden or otherwise over: off the book.

        What was taken back here stays until its load was seen.
        """
        call = self.calls.get(select_id)
        if call is not None and call.state is not CallState.ENDING:
            self._drop(select_id)

    def end(self, select_id: str, now_ms: int, seen_by_ms: int) -> None:
        """There is room for its load again; the caller cancels the selection.

        Args:
            select_id: Of a call that is accepted.
            now_ms: Monotonic.
            seen_by_ms: When the load that comes back has had time to be measured.
        """
        call = self.calls[select_id]
        base_w = call.reported_w or 0
        call.state, call.reported_w = CallState.ENDING, None
        call.ends_at = seen_by_ms
        call.pledge = Pledge(
            base_w=base_w, goal_w=base_w + call.relief_w, begins_at=now_ms, ramp_w_s=0, deadline_at=seen_by_ms
        )

    def settle(self, powers_w: Mapping[int, int], now_ms: int, settled_w: int) -> list[str]:
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
                self._drop(select_id)
                continue
            if call.pledge is None:
                continue
            power = _power_w(call, powers_w)
            arrived = power is not None and abs(call.pledge.remaining_w(power)) <= settled_w
            if call.state is CallState.ENDING and arrived:
                self._drop(select_id)
            elif call.state in (CallState.PLEDGED, CallState.FAILED):
                if arrived and now_ms >= call.begins_at:
                    call.state = CallState.EFFECTIVE
                elif now_ms >= call.effect_by_at:
                    call.state = CallState.FAILED
        return lapsed

    def pledged_w(
        self,
        powers_w: Mapping[int, int],
        now_ms: int,
        by_ms: int,
        rating: frozenset[int] | None = None,
        phases: int | None = None,
    ) -> int:
        """Relief that is agreed, not yet measured, and arrives by a time; 0 or more.

        It is the most that will be there at once, less what ends before it.
        For an appliance without a fresh meter the whole relief is still on its way, until its deadline.
        """
        calls = (c for c in self._of(rating) if phases is None or c.phases == phases)
        return _most_w(calls, powers_w, now_ms, by_ms)

    def soon_w(
        self, powers_w: Mapping[int, int], now_ms: int, by_ms: int, rating: frozenset[int] | None, phases: int
    ) -> int:
        """The same for those who cannot wait longer.

        Relief that has no meter of its own, and had time to show at those above, is there or it is missing.
        """
        calls = (c for c in self._of(rating) if c.phases == phases)
        unseen = (c for c in calls if c.device in powers_w or now_ms < c.begins_at + SHOWS_MS)
        return _most_w(unseen, powers_w, now_ms, by_ms)

    def awaited_w(self, now_ms: int, rating: frozenset[int] | None = None, by_ms: int | None = None) -> int:
        """Relief asked for and not answered before its deadline; with `by_ms` what of it may have begun by then.

        It is not there and must not be counted as headroom, but nobody selects for the same need again meanwhile.
        """
        total = sum(
            c.relief_w
            for c in self._of(rating)
            if c.state is CallState.ASKED
            and now_ms < c.answer_by_at
            and (by_ms is None or max(c.begins_at, c.answer_by_at) <= by_ms)
        )
        search = self.search
        if search is None or not search.open or now_ms >= search.answer_by_at:
            return total
        inside = rating is None or search.rating in rating
        return total + (search.relief_w if inside and (by_ms is None or search.answer_by_at <= by_ms) else 0)

    def standing_w(self, now_ms: int) -> int:
        """Relief that the region has asked for and that is measured, and what more of it is agreed."""
        own = [c for c in self.calls.values() if c.own]
        effective = sum(c.relief_w for c in own if c.state is CallState.EFFECTIVE)
        return effective + _most_w(own, {}, now_ms, 1 << 62)

    def accepted_ones(self, rating: frozenset[int]) -> list[str]:
        """Selections of the region that stand, those asked for last first."""
        standing = (CallState.PLEDGED, CallState.EFFECTIVE, CallState.FAILED)
        found = [s for s, c in self.calls.items() if c.own and c.state in standing and c.rating in rating]
        return sorted(found, key=lambda s: (-self.calls[s].asked_at, s))

    def coming_back(
        self, powers_w: Mapping[int, int], now_ms: int, rating: frozenset[int] | None = None
    ) -> list[tuple[int, int, int]]:
        """(rating, phases, W) of load that was let go and is not measured yet: room that nobody else gets."""
        ending = [c for c in self._of(rating) if c.state is CallState.ENDING]
        return [(c.rating, c.phases, _coming_w(c, powers_w, now_ms, c.ends_at)) for c in ending]

    def phases(self) -> list[int]:
        """Bit masks of phases that calls are on."""
        return sorted({c.phases for c in self.calls.values()})

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
        search = self.search
        if search is not None and search.open and search.answer_by_at > now_ms:
            times.append(search.answer_by_at)
        return min(times, default=None)

    def _drop(self, select_id: str) -> None:
        call = self.calls.pop(select_id)
        del self.appliances[call.esa_id]

    def _of(self, ratings: frozenset[int] | None) -> Iterator[Call]:
        for call in self.calls.values():
            if ratings is None or call.rating in ratings:
                yield call


def _power_w(call: Call, powers_w: Mapping[int, int]) -> int | None:
    """What a meter shows of a call: the site's, else the appliance's own word; None where there is neither."""
    return powers_w.get(call.device, call.reported_w)


def _coming_w(call: Call, powers_w: Mapping[int, int], now_ms: int, by_ms: int) -> int:
    """Change of net power, signed, that is agreed and not measured, by a time."""
    if call.pledge is None:
        return 0
    power = _power_w(call, powers_w)
    return call.pledge.within_w(call.pledge.base_w if power is None else power, now_ms, by_ms)


def _most_w(calls: Iterable[Call], powers_w: Mapping[int, int], now_ms: int, by_ms: int) -> int:
    """Most relief beyond the measured one at any time up to `by_ms`: what ends before takes from it."""
    edges: list[tuple[int, int]] = []
    for call in calls:
        if not call.relief_w:
            continue
        if call.state is CallState.PLEDGED:
            coming_w = -_coming_w(call, powers_w, now_ms, by_ms)
            edges += [(max(call.begins_at, now_ms), coming_w), (call.ends_at, -coming_w)]
        elif call.state is CallState.EFFECTIVE:
            edges.append((call.ends_at, -call.relief_w))
    total = most = 0
    # Of what falls together, ends come first: one that takes over from another adds nothing.
    for at, change_w in sorted(edges):
        if at > by_ms:
            break
        total += change_w
        most = max(most, total)
    return most
