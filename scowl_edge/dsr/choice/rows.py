"""The choices of one appliance: which profile of which of its offers may start when, and what each would draw.

An appliance runs what it intends, all defaults of its offers together, unless one of them is selected. With one offer a
choice is a profile and a start, and starts in a row are one span. With several, a choice draws what is selected and the
defaults of all other offers; these do not move with the start, so each start is a span of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.dsr.choice.bank import Bank
from scowl_edge.dsr.choice.question import Candidate, Question, Rates, Standing
from scowl_edge.dsr.slotted import slot_powers
from scowl_edge.model.flexibility import UNSET, WHOLE_PPM, Offer, Profile

MOST_COLUMNS = 2_000
"""Choices of one appliance; with more, starts are taken farther apart."""
MOST_COMPOSED = 400
"""The same of one with several offers."""
FOREVER_MS = 1 << 62

Source = tuple[Offer, int]
"""An offer, and which of its profiles."""
Choice = tuple[int, int]
"""A span of the row, and a slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Spans of one appliance, as columns; bank, horizon and mode are those that it was made for."""

    profile: tuple[int, ...]
    """In the bank."""
    first: tuple[int, ...]
    step: tuple[int, ...]
    count: tuple[int, ...]
    cost: tuple[int, ...]
    start_ms: tuple[int, ...]
    """UTC of each first start."""
    source: tuple[Source, ...]
    idle: Choice
    """Doing nothing."""
    present: Choice | None
    """What was selected before, where it has a span of its own: it is none of the starts that may be chosen."""
    from_ms: int
    until_ms: int
    """At all times between these, both included, the same question has the same row."""

    def find(self, offer_id: str, standing: Standing, slot_ms: int) -> Choice | None:
        """Where a selection is among the starts that may be chosen; None if it is not."""
        for span, (offer, number) in enumerate(self.source):
            turn, rest = divmod(standing.start_ms - self.start_ms[span], slot_ms * self.step[span])
            if rest or not 0 <= turn < self.count[span] or span == self.idle[0]:
                continue
            if offer.offer_id == offer_id and offer.profiles[number].profile_id == standing.profile_id:
                return span, self.first[span] + turn * self.step[span]
        return None


class RowMaker:
    """Makes rows for one question after the other; equal horizon, mode and delays are up to the caller."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    def row(self, question: Question, candidate: Candidate) -> Row:
        """The choices of an appliance."""
        return _Draft(self._bank, question, candidate).row()


class _Draft:
    """A row that grows."""

    def __init__(self, bank: Bank, question: Question, candidate: Candidate) -> None:
        self.bank, self.question, self.candidate = bank, question, candidate
        self.offers = sorted(candidate.offers.offers, key=lambda o: (o.start_earliest_ms, o.offer_id))
        self.profile, self.first, self.step = list[int](), list[int](), list[int]()
        self.count, self.cost, self.start_ms = list[int](), list[int](), list[int]()
        self.source: list[Source] = []
        self.until_ms = FOREVER_MS

    def row(self) -> Row:
        question = self.question
        idle: Choice | None = None
        present: Choice | None = None
        stands, standing = standing_of(question, self.candidate)
        if stands is not None and standing is not None and is_frozen(question, stands, standing):
            source = (stands, _number(stands, standing.profile_id))
            idle = present = self._one(source, standing.start_ms, 0, self._beside(stands))
        else:
            idle = self._intended()
            for offer in self.offers:
                present = self._choices(offer, standing if offer is stands else None) or present
        return Row(
            profile=tuple(self.profile),
            first=tuple(self.first),
            step=tuple(self.step),
            count=tuple(self.count),
            cost=tuple(self.cost),
            start_ms=tuple(self.start_ms),
            source=tuple(self.source),
            idle=idle,
            present=present,
            from_ms=question.now_ms,
            until_ms=self.until_ms,
        )

    def _reachable_ms(self, offer: Offer) -> int:
        return self.question.now_ms + offer.min_notice_s * 1000

    def _holds_until(self, time_ms: int) -> None:
        self.until_ms = min(self.until_ms, max(time_ms, self.question.now_ms))

    def _intended(self) -> Choice:
        """What runs if nobody asks: nobody draws a delay for it."""
        first = self.offers[0]
        source = (first, _default(first))
        if len(self.offers) == 1:
            return self._one(source, _intended_ms(first), 0, None, delay_s=0)
        self._add(self._drawn(self.offers), 0, 1, 1, 0, _intended_ms(first), source)
        return len(self.profile) - 1, 0

    def _choices(self, offer: Offer, standing: Standing | None) -> Choice | None:
        """Adds what may be selected of an offer; the span of the standing selection, if it needs one of its own."""
        question = self.question
        now_ms, horizon = question.now_ms, question.horizon
        if now_ms < offer.valid_from_ms:
            self._holds_until(offer.valid_from_ms - 1)
        if not offer.valid_from_ms <= now_ms <= offer.valid_until_ms or question.mode not in offer.modes:
            return None
        self._holds_until(offer.valid_until_ms)
        reachable_ms, beside = self._reachable_ms(offer), self._beside(offer)
        slot_s, doing_nothing = horizon.slot_s, 0
        if self.candidate.trust_ppm < WHOLE_PPM:
            doing_nothing = sum(w * w for w in self._alone((offer, _default(offer)), 0, 0))
        present = None
        for number, profile in enumerate(offer.profiles):
            if profile.abnormal_only and not question.emergency:
                continue
            before, source = len(self.profile), (offer, number)
            cost = _cost(question.rates, profile)
            cost += _distrust(self.candidate, profile, doing_nothing, slot_s)
            fixed = profile.start_fixed_ms != UNSET
            earliest = max(profile.start_fixed_ms if fixed else offer.start_earliest_ms, reachable_ms, horizon.start_ms)
            latest = profile.start_fixed_ms if fixed else offer.start_latest_ms
            if offer.end_latest_ms != UNSET:
                latest = min(latest, offer.end_latest_ms - profile.length_s * 1000)
            if earliest <= latest:
                self._many(source, earliest, latest, cost, beside)
            stands = standing is not None and profile.profile_id == standing.profile_id
            if stands and standing is not None and not self._among(before, standing.start_ms):
                present = self._one(source, standing.start_ms, cost, beside)
        return present

    def _many(self, source: Source, earliest_ms: int, latest_ms: int, cost: int, beside: list[int] | None) -> None:
        """All starts on the grid that end within the horizon; the earliest one where none is on the grid."""
        question, horizon = self.question, self.question.horizon
        slot_ms = horizon.slot_s * 1000
        first = -(-(earliest_ms - horizon.start_ms) // slot_ms)
        last = (latest_ms - horizon.start_ms) // slot_ms
        offer, number = source
        profile = offer.profiles[number]
        notice_ms = 1000 * offer.min_notice_s
        if first > last:
            self._holds_until(earliest_ms - notice_ms)
            end_ms = earliest_ms + (profile.length_s + question.delay_s) * 1000
            if end_ms <= horizon.start_ms + horizon.slots * slot_ms:
                self._one(source, earliest_ms, cost, beside)
            return
        powers = slot_powers(profile.elements, 0, horizon.slot_s, question.delay_s)
        count = min(last, horizon.slots - len(powers)) - first + 1
        if count <= 0:
            return
        start_ms = horizon.start_ms + first * slot_ms
        self._holds_until(start_ms - notice_ms)
        profiles = sum(len(o.profiles) for o in self.offers)
        step = -(-count * profiles // (MOST_COLUMNS if beside is None else MOST_COMPOSED))
        if beside is None:
            self._add(powers, first, step, -(-count // step), cost, start_ms, source)
            return
        for slot in range(first, first + count, step):
            self._composed(powers, slot, cost, start_ms + (slot - first) * slot_ms, source, beside)

    def _one(
        self, source: Source, start_ms: int, cost: int, beside: list[int] | None, delay_s: int | None = None
    ) -> Choice:
        """One start, at any time; what lies outside of the horizon is cut off."""
        horizon = self.question.horizon
        offset = horizon.offset_s(start_ms)
        slot, within = divmod(offset, horizon.slot_s)
        offer, number = source
        delay_s = self.question.delay_s if delay_s is None else delay_s
        powers = slot_powers(offer.profiles[number].elements, within, horizon.slot_s, delay_s)
        powers = powers[max(0, -slot) : max(0, horizon.slots - slot)]
        slot = min(max(0, slot), horizon.slots - 1)
        if beside is None:
            self._add(powers, slot, 1, 1, cost, start_ms, source)
            return len(self.profile) - 1, slot
        return self._composed(powers, slot, cost, start_ms, source, beside)

    def _composed(
        self, powers: list[int], slot: int, cost: int, start_ms: int, source: Source, beside: list[int]
    ) -> Choice:
        """One start, with what else runs."""
        drawn = beside.copy()
        for n, power in enumerate(powers):
            drawn[slot + n] += power
        self._add(drawn, 0, 1, 1, cost, start_ms, source)
        return len(self.profile) - 1, 0

    def _beside(self, offer: Offer) -> list[int] | None:
        """W by slot of what runs beside a selection of an offer; None if it is the only one."""
        if len(self.offers) == 1:
            return None
        return self._drawn([o for o in self.offers if o is not offer])

    def _drawn(self, offers: list[Offer]) -> list[int]:
        """W by slot of the defaults of offers."""
        horizon = self.question.horizon
        drawn = [0] * horizon.slots
        for offer in offers:
            offset = horizon.offset_s(_intended_ms(offer))
            first, within = divmod(offset, horizon.slot_s)
            for n, power in enumerate(self._alone((offer, _default(offer)), within, 0)):
                if 0 <= first + n < horizon.slots:
                    drawn[first + n] += power
        return drawn

    def _alone(self, source: Source, within_s: int, delay_s: int) -> list[int]:
        offer, number = source
        return slot_powers(offer.profiles[number].elements, within_s, self.question.horizon.slot_s, delay_s)

    def _among(self, first: int, start_ms: int) -> bool:
        """Whether a start is among the spans from `first` on."""
        slot_ms = self.question.horizon.slot_s * 1000
        for span in range(first, len(self.profile)):
            turn, rest = divmod(start_ms - self.start_ms[span], slot_ms * self.step[span])
            if rest == 0 and 0 <= turn < self.count[span]:
                return True
        return False

    def _add(
        self, powers: list[int], first: int, step: int, count: int, cost: int, start_ms: int, source: Source
    ) -> None:
        self.profile.append(self.bank.number(powers))
        self.first.append(first)
        self.step.append(step)
        self.count.append(count)
        self.cost.append(cost)
        self.start_ms.append(start_ms)
        self.source.append(source)


def standing_of(question: Question, candidate: Candidate) -> tuple[Offer | None, Standing | None]:
    """What stands of an appliance, and of which of its offers."""
    if question.standing:
        for offer in candidate.offers.offers:
            found = question.standing.get((candidate.offers.esa_id, offer.offer_id))
            if found is not None and offer.profile(found.profile_id) is not None:
                return offer, found
    return None, None


def is_frozen(question: Question, offer: Offer, standing: Standing) -> bool:
    """Whether what stands can no longer be changed."""
    return standing.frozen or standing.start_ms < question.now_ms + offer.min_notice_s * 1000


def _number(offer: Offer, profile_id: str) -> int:
    """Position of a profile in its offer, the first one if it is not there."""
    return next((n for n, p in enumerate(offer.profiles) if p.profile_id == profile_id), 0)


def _default(offer: Offer) -> int:
    return _number(offer, offer.default_profile_id)


def _intended_ms(offer: Offer) -> int:
    """When an offer's default starts."""
    fixed_ms = offer.profiles[_default(offer)].start_fixed_ms
    return offer.start_earliest_ms if fixed_ms == UNSET else fixed_ms


def _cost(rates: Rates, profile: Profile) -> int:
    if profile.cost is None:
        return 0
    cost = profile.cost
    return cost.financial_micro * rates.per_micro + cost.co2_g * rates.per_co2_g + cost.comfort * rates.per_comfort


def _distrust(candidate: Candidate, profile: Profile, doing_nothing: int, slot_s: int) -> int:
    """What deviates if the appliance runs as it would have anyway, times how often it does."""
    if candidate.trust_ppm >= WHOLE_PPM:
        return 0
    square = sum(p * p for p in slot_powers(profile.elements, 0, slot_s))
    return (square + doing_nothing) * (WHOLE_PPM - candidate.trust_ppm) // WHOLE_PPM
