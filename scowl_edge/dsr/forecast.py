"""What appliances are expected to do, by what they offer and what was selected: the ground that plans stand on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from scowl_edge.dsr.goal import Goal, Terms
from scowl_edge.dsr.planning import Candidate, Job, default_course
from scowl_edge.dsr.room import NOWHERE, Room, Slots, caps, sums
from scowl_edge.dsr.settlement import Account
from scowl_edge.dsr.spreading import Start
from scowl_edge.model.flexibility import Mode, Offer, OfferSet, Pick, Profile
from scowl_edge.model.profile import EMPTY, Timeline, flat, layered, of_elements, total
from scowl_edge.model.profile_slots import slot_means


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Offers and selections at one moment."""

    offers: dict[str, OfferSet | None]
    """By appliance."""
    accounts: Sequence[Account]
    """All selections that are asked for, run, or ran."""
    own: dict[str, list[Account]] = field(init=False, default_factory=dict)
    """By appliance, in the order in which they were accepted, those still asked for last."""

    def __post_init__(self) -> None:
        """Sorts the accounts once: there are thousands."""
        for account in sorted(self.accounts, key=lambda a: (a.number == 0, a.number, a.select_id)):
            self.own.setdefault(account.esa_id, []).append(account)

    def expected(self, esa_id: str, without: Collection[str] = ()) -> Timeline:
        """What an appliance will do, offers left out where wanted (their ids): later selections before earlier ones,
        and what it intends by itself where none of them holds.
        """
        own = self.own.get(esa_id, [])
        return layered([*(a.promised.clip(a.begin_ms, a.end_ms) for a in own[::-1]), self._defaults(esa_id, without)])

    def reference(self, esa_id: str) -> Timeline:
        """What it would have done if nobody had selected anything: the frozen baselines, the earliest first."""
        own = self.own.get(esa_id, [])
        return layered([*(a.baseline.clip(a.begin_ms, a.end_ms) for a in own), self._defaults(esa_id, ())])

    def offer(self, pick: Pick) -> Offer:
        """The offer that a pick is of; it must be there."""
        offers = self.offers[pick.esa_id]
        offer = None if offers is None else offers.offer(pick.offer_id)
        assert offer is not None, "a pick is checked against the present offers before"
        return offer

    def profile(self, pick: Pick) -> Profile:
        """The profile that a pick is of; it must be there."""
        profile = self.offer(pick).profile(pick.profile_id)
        assert profile is not None, "a pick is checked against the present offers before"
        return profile

    def beside(self, pick: Pick) -> Timeline:
        """What the appliance does outside of the pick's own course."""
        return self.expected(pick.esa_id, (pick.offer_id,))

    def account(self, pick: Pick, *, select_id: str, cem: str, event_ref: str, offset_s: int) -> Account:
        """What a selection would be held to; the longest delay that may be drawn is within its span."""
        instead = default_course(self.offer(pick))
        own = of_elements(self.profile(pick).elements, pick.start_ms, pick.setpoints_w)
        begin, end = own.start_ms, own.end_ms + 1000 * offset_s
        if instead:
            begin, end = min(begin, instead.start_ms), max(end, instead.end_ms)
        return Account(
            select_id=select_id,
            esa_id=pick.esa_id,
            cem=cem,
            event_ref=event_ref,
            rev=pick.rev,
            number=0,
            begin_ms=begin,
            end_ms=end,
            baseline=whole(self.expected(pick.esa_id), begin, end),
            promised=whole(own.over(self.beside(pick)), begin, end),
        )

    def job(
        self,
        goal: Goal,
        candidates: Sequence[Candidate],
        *,
        number: int,
        seed: int,
        terms: Terms,
        wall_ms: int,
        room: Room,
        places: Mapping[str, int],
    ) -> Job:
        """The question to a worker: what is left of the goal, and of each rating, when all that cannot be changed is
        taken off. `places` has the innermost rating of each appliance that is below one."""
        chosen = {c.esa_id: c for c in candidates}
        fixed, unchanged, reference = list[tuple[int, Timeline]](), list[Timeline](), list[Timeline]()
        for esa_id in sorted(self.offers):
            unchanged.append(self.expected(esa_id))
            candidate = chosen.get(esa_id)
            stays = unchanged[-1] if candidate is None else self._around(candidate)
            fixed.append((places.get(esa_id, NOWHERE), stays))
            if goal.relative:
                reference.append(self.reference(esa_id))
        slots = grid_of(terms, wall_ms)
        wanted = goal.curve + total(reference).clip(*_ends(goal.curve)) if goal.relative else goal.curve
        if goal.relative:
            wanted = layered([wanted.clip(*span) for span in goal.curve.spans()])
        grid = {"start_ms": slots.start_ms, "slot_ms": slots.slot_ms, "count": slots.count}
        means = slot_means(wanted.over(total(unchanged)), **grid)
        taken = slot_means(total(course for _, course in fixed), **grid)
        bounds, below = caps(room, [places.get(c.esa_id, NOWHERE) for c in candidates], sums(room, fixed, slots))
        return Job(
            number=number,
            goal=goal.number,
            start_ms=slots.start_ms,
            slot_ms=terms.slot_ms,
            now_ms=wall_ms + terms.answer_ms,
            target_w=tuple((m or 0) - (t or 0) for m, t in zip(means, taken, strict=True)),
            candidates=tuple(candidates),
            mode=goal.mode,
            seed=seed,
            moves=terms.moves,
            emergency=goal.emergency,
            delay_max_s=delay_of(goal, terms),
            caps=bounds,
            below=below,
        )

    def start(self, pick: Pick, profile: Profile, offer: Offer | None, delay_max_s: int, earliest_ms: int) -> Start:
        """A pick as a start to be spread; without an offer it stays where it is."""
        own = of_elements(profile.elements, pick.start_ms, pick.setpoints_w)
        instead = self.expected(pick.esa_id)
        first = last = pick.start_ms
        if offer is not None:
            first, last = _window(offer, profile, pick.start_ms, delay_max_s)
        return Start(
            key=pick.esa_id,
            wanted_ms=pick.start_ms,
            earliest_ms=max(first, min(earliest_ms, pick.start_ms)),
            latest_ms=last,
            powers_w=tuple(pick.setpoints_w or (e.p_nom_w for e in profile.elements)),
            durations_s=tuple(e.dur_s for e in profile.elements),
            before_w=instead.power_w(pick.start_ms - 1) or 0,
            after_w=instead.power_w(own.end_ms) or 0,
            delay_max_s=delay_max_s,
        )

    def _around(self, candidate: Candidate) -> Timeline:
        """What is expected of a candidate beside its offers, as if its present selection were not there."""
        esa_id, offers = candidate.esa_id, [o.offer_id for o in candidate.offers]
        if candidate.present is None:
            return self.expected(esa_id, offers)
        kept = [a for a in self.own.get(esa_id, []) if a.state.terminal]
        return Outlook(offers={esa_id: self.offers[esa_id]}, accounts=kept).expected(esa_id, offers)

    def _defaults(self, esa_id: str, without: Collection[str]) -> Timeline:
        offers = self.offers.get(esa_id)
        if offers is None:
            return EMPTY
        return total(default_course(o) for o in offers.offers if o.offer_id not in without)


def grid_of(terms: Terms, wall_ms: int) -> Slots:
    """The slots of a plan that is made now."""
    return Slots(start_ms=wall_ms // terms.slot_ms * terms.slot_ms, slot_ms=terms.slot_ms, count=terms.slots)


def delay_of(goal: Goal, terms: Terms) -> int:
    """Longest delay, in s, that appliances draw for selections of a goal."""
    return 0 if goal.mode is Mode.RESPONSE else terms.random_offset_max_s


def whole(course: Timeline, begin_ms: int, end_ms: int) -> Timeline:
    """A span of a course with 0 W where it says nothing: within its span, a selection leaves nothing open.

    Else what an appliance still offers would be expected of it a second time, where it has just been moved away.
    """
    return course.clip(begin_ms, end_ms).over(flat(begin_ms, end_ms - begin_ms, 0))


def _window(offer: Offer, profile: Profile, wanted_ms: int, delay_max_s: int) -> tuple[int, int]:
    """Starts that the offer allows, and still ends in time if the longest delay is drawn."""
    if profile.start_fixed_ms >= 0:
        return wanted_ms, wanted_ms
    last = offer.start_latest_ms
    if offer.end_latest_ms >= 0:
        last = min(last, offer.end_latest_ms - 1000 * profile.length_s)
    return min(offer.start_earliest_ms, wanted_ms), max(last, wanted_ms)


def _ends(curve: Timeline) -> tuple[int, int]:
    return (curve.start_ms, curve.end_ms) if curve else (0, 0)
