"""Offers as a board: which profiles and starts may be chosen now, under which ratings, at what cost.

What an appliance has started, or starts before a selection could still reach it, is frozen: one column. Everybody else
has doing nothing among the choices. Of several offers of one appliance only the first can be chosen from, as their runs
must not overlap; the others count with what runs if nobody asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from scowl_edge.dsr.choice.board import I64, Board, held
from scowl_edge.dsr.slotted import Horizon, slot_powers
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.flexibility import UNSET, WHOLE_PPM, Mode, Offer, OfferSet, Profile

MOST_COLUMNS = 2_000
"""Choices of one offer; with more, starts are taken farther apart."""
NO_RATING = -1


class BadInstance(ScowlError):
    """Ratings, target and offers do not fit together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRating:
    """What a rating leaves for appliances, by slot: its limit less all loads that are not chosen here."""

    name: str
    within: int
    """Position of the rating around it; `NO_RATING` for none. It stands before those within it."""
    most_w: tuple[int, ...]
    least_w: tuple[int, ...]
    """0 or below where export is possible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An appliance with its offers."""

    offers: OfferSet
    rating: int = NO_RATING
    """Innermost rating that it is below."""
    trust_ppm: int = WHOLE_PPM
    """How often it has delivered what it promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was selected before."""

    profile_id: str
    start_ms: int
    frozen: bool = False
    """It has started, or may not be changed for another reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What costs weigh against deviation: W^2 (in one slot) for a millionth of currency, a gram, a step of comfort."""

    per_micro: int = 0
    per_co2_g: int = 0
    per_comfort: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be chosen."""

    horizon: Horizon
    target_w: tuple[int, ...]
    """W that the appliances together should have, by slot."""
    ratings: tuple[SlotRating, ...] = ()
    candidates: tuple[Candidate, ...]
    standing: Mapping[tuple[str, str], Standing] = field(default_factory=dict)
    """By (esa_id, offer_id)."""
    now_ms: int
    mode: Mode = Mode.ROUTINE
    emergency: bool = False
    """Profiles for emergencies may be chosen too."""
    delay_s: int = 0
    """Longest random delay before a start; 0 for a response."""
    rates: Rates = field(default_factory=Rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A board, and what its numbers stand for. All that a worker needs."""

    board: Board
    horizon: Horizon
    offers: tuple[tuple[str, Offer], ...]
    """(esa_id, offer) of each appliance of the board; offers that only count are among them."""
    span_profile: tuple[int, ...]
    """Position in its offer of the profile of each span."""
    span_start_ms: I64
    """UTC of the first start of each span."""
    present_span: I64
    """The plan that stands: what was selected, else doing nothing."""
    present_at: I64
    ratings: tuple[str, ...]


class _Bank:
    """Profiles by their powers, each kept once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], int] = {}
        self.edge_start, self.square = [0], list[int]()
        self.edge_at, self.edge_by = list[int](), list[int]()
        self.highest, self.lowest, self.length = list[int](), list[int](), list[int]()

    def number(self, powers: Sequence[int]) -> int:
        key = tuple(powers)
        if key not in self._known:
            self._known[key] = len(self._known)
            before = 0
            at = [0]
            by = [key[0] if key else 0]
            before = by[0]
            for slot in range(1, len(key)):
                if key[slot] != before:
                    at.append(slot)
                    by.append(key[slot] - before)
                    before = key[slot]
            self.edge_at += [*at, max(1, len(key))]
            self.edge_by += [*by, -before]
            self.edge_start.append(len(self.edge_at))
            self.square.append(sum(p * p for p in key))
            self.highest.append(max((0, *key)))
            self.lowest.append(min((0, *key)))
            self.length.append(max(1, len(key)))
        return self._known[key]


class _Spans:
    """Columns that grow, span by span and appliance by appliance."""

    def __init__(self, question: Question) -> None:
        self.question, self.bank = question, _Bank()
        self.start = [0]
        self.profile, self.first, self.step = list[int](), list[int](), list[int]()
        self.count, self.cost, self.start_ms, self.source = list[int](), list[int](), list[int](), list[int]()

    def one_start(self, offer: Offer, number: int, start_ms: int, cost: int) -> tuple[int, int]:
        """One start, at any time; what lies outside of the horizon is cut off. Returns (span, slot)."""
        horizon = self.question.horizon
        offset = horizon.offset_s(start_ms)
        slot, within = divmod(offset, horizon.slot_s)
        powers = slot_powers(offer.profiles[number].elements, within, horizon.slot_s, self.question.delay_s)
        powers = powers[max(0, -slot) : max(0, horizon.slots - slot)]
        slot = min(max(0, slot), horizon.slots - 1)
        self._add(powers, slot, 1, 1, cost, start_ms, number)
        return len(self.profile) - 1, slot

    def many(self, offer: Offer, number: int, earliest_ms: int, latest_ms: int, cost: int) -> None:
        """All starts on the grid that end within the horizon; the earliest one where none is on the grid."""
        horizon, slot_ms = self.question.horizon, self.question.horizon.slot_s * 1000
        first = -(-(earliest_ms - horizon.start_ms) // slot_ms)
        last = (latest_ms - horizon.start_ms) // slot_ms
        profile = offer.profiles[number]
        if first > last:
            end_ms = earliest_ms + (profile.length_s + self.question.delay_s) * 1000
            if end_ms <= horizon.start_ms + horizon.slots * slot_ms:
                self.one_start(offer, number, earliest_ms, cost)
            return
        powers = slot_powers(profile.elements, 0, horizon.slot_s, self.question.delay_s)
        count = min(last, horizon.slots - len(powers)) - first + 1
        if count > 0:
            step = -(-count * len(offer.profiles) // MOST_COLUMNS)
            self._add(powers, first, step, -(-count // step), cost, horizon.start_ms + first * slot_ms, number)

    def _add(
        self, powers: Sequence[int], first: int, step: int, count: int, cost: int, start_ms: int, number: int
    ) -> None:
        self.profile.append(self.bank.number(powers))
        self.first.append(first)
        self.step.append(step)
        self.count.append(count)
        self.cost.append(cost)
        self.start_ms.append(start_ms)
        self.source.append(number)


def expand(question: Question) -> Instance:
    """The board of a question.

    Raises:
        BadInstance: a target or rating has another number of slots than the horizon, or a rating is not known.
    """
    _check(question)
    spans = _Spans(question)
    offers, ratings = list[tuple[str, Offer]](), list[int]()
    idle, present = list[tuple[int, int]](), list[tuple[int, int]]()
    for candidate in question.candidates:
        for turn, offer in enumerate(sorted(candidate.offers.offers, key=lambda o: (o.start_earliest_ms, o.offer_id))):
            esa_id = candidate.offers.esa_id
            standing = question.standing.get((esa_id, offer.offer_id))
            doing_nothing, stands = _columns(spans, candidate, offer, standing, can_choose=turn == 0)
            offers.append((esa_id, offer))
            ratings.append(candidate.rating)
            idle.append(doing_nothing)
            present.append(stands)
            spans.start.append(len(spans.profile))
    return Instance(
        board=_board(question, spans, ratings, idle),
        horizon=question.horizon,
        offers=tuple(offers),
        span_profile=tuple(spans.source),
        span_start_ms=np.asarray(spans.start_ms, np.int64),
        present_span=np.asarray([p[0] for p in present], np.int64),
        present_at=np.asarray([p[1] for p in present], np.int64),
        ratings=tuple(r.name for r in question.ratings),
    )


def hold(instance: Instance, who: int, span: int, at: int) -> Instance:
    """The instance with one choice left to an appliance: it has started, or is overridden; nothing is expanded anew."""
    start_ms = instance.span_start_ms.copy()
    start_ms[span] += (at - int(instance.board.span_first[span])) * instance.horizon.slot_s * 1000
    return replace(instance, board=held(instance.board, who, span, at), span_start_ms=start_ms)


def _columns(
    spans: _Spans, candidate: Candidate, offer: Offer, standing: Standing | None, *, can_choose: bool
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Adds the spans of one offer; ((span, slot) of doing nothing, of what stands)."""
    question = spans.question
    reachable_ms = question.now_ms + offer.min_notice_s * 1000
    numbers = {p.profile_id: n for n, p in enumerate(offer.profiles)}
    default = numbers.get(offer.default_profile_id, 0)
    if standing is not None and standing.profile_id in numbers:
        number = numbers[standing.profile_id]
        if standing.frozen or standing.start_ms < reachable_ms:
            frozen = spans.one_start(offer, number, standing.start_ms, 0)
            return frozen, frozen
    else:
        standing = None
    intended = offer.profiles[default]
    start_ms = offer.start_earliest_ms if intended.start_fixed_ms == UNSET else intended.start_fixed_ms
    idle = spans.one_start(offer, default, start_ms, 0)
    open_now = offer.valid_from_ms <= question.now_ms <= offer.valid_until_ms and question.mode in offer.modes
    if not (can_choose and open_now):
        return idle, idle
    doing_nothing = spans.bank.square[spans.profile[idle[0]]]
    present = idle
    for number, profile in enumerate(offer.profiles):
        if profile.abnormal_only and not question.emergency:
            continue
        before = len(spans.profile)
        cost = _cost(question.rates, profile) + _distrust(candidate, profile, doing_nothing, question.horizon.slot_s)
        fixed = profile.start_fixed_ms != UNSET
        earliest = max(profile.start_fixed_ms if fixed else offer.start_earliest_ms, reachable_ms)
        earliest = max(earliest, question.horizon.start_ms)
        latest = profile.start_fixed_ms if fixed else offer.start_latest_ms
        if offer.end_latest_ms != UNSET:
            latest = min(latest, offer.end_latest_ms - profile.length_s * 1000)
        if earliest <= latest:
            spans.many(offer, number, earliest, latest, cost)
        if standing is not None and numbers[standing.profile_id] == number:
            present = _find(spans, before, standing.start_ms) or spans.one_start(offer, number, standing.start_ms, cost)
    return idle, present


def _find(spans: _Spans, first: int, start_ms: int) -> tuple[int, int] | None:
    """(span, slot) of a start among the spans from `first` on."""
    slot_ms = spans.question.horizon.slot_s * 1000
    for span in range(first, len(spans.profile)):
        turn, rest = divmod(start_ms - spans.start_ms[span], slot_ms * spans.step[span])
        if rest == 0 and 0 <= turn < spans.count[span]:
            return span, spans.first[span] + turn * spans.step[span]
    return None


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


def _check(question: Question) -> None:
    slots = question.horizon.slots
    if len(question.target_w) != slots:
        raise BadInstance(f"the target has {len(question.target_w)} slots, the horizon {slots}; give one value a slot")
    for position, rating in enumerate(question.ratings):
        if not NO_RATING <= rating.within < position:
            raise BadInstance(f"rating {rating.name} stands before the one around it; list outer ratings first")
        if len(rating.most_w) != slots or len(rating.least_w) != slots:
            raise BadInstance(f"rating {rating.name} has not {slots} slots as the horizon has; give one value a slot")
    for candidate in question.candidates:
        if not NO_RATING <= candidate.rating < len(question.ratings):
            raise BadInstance(f"appliance {candidate.offers.esa_id} is below rating {candidate.rating}, which is not")


def _board(question: Question, spans: _Spans, ratings: list[int], idle: list[tuple[int, int]]) -> Board:
    def column(values: Sequence[int]) -> I64:
        return np.asarray(values, np.int64)

    bank, slots, nodes = spans.bank, question.horizon.slots, len(question.ratings)
    begin, end, highest, lowest = list[int](), list[int](), list[int](), list[int]()
    for who in range(len(idle)):
        own = range(spans.start[who], spans.start[who + 1])
        last = [spans.first[s] + (spans.count[s] - 1) * spans.step[s] + bank.length[spans.profile[s]] for s in own]
        begin.append(min(spans.first[s] for s in own))
        end.append(max(last))
        highest.append(max(bank.highest[spans.profile[s]] for s in own))
        lowest.append(min(bank.lowest[spans.profile[s]] for s in own))
    return Board(
        target=column(question.target_w),
        edge_start=column(bank.edge_start),
        edge_at=column(bank.edge_at),
        edge_by=column(bank.edge_by),
        square=column(bank.square),
        span_start=column(spans.start),
        span_profile=column(spans.profile),
        span_first=column(spans.first),
        span_step=column(spans.step),
        span_count=column(spans.count),
        span_cost=column(spans.cost),
        idle_span=column([i[0] for i in idle]),
        idle_at=column([i[1] for i in idle]),
        begin=column(begin),
        end=column(end),
        highest=column(highest),
        lowest=column(lowest),
        rating=column(ratings),
        parent=column([r.within for r in question.ratings]),
        most=column([w for r in question.ratings for w in r.most_w]).reshape(nodes, slots),
        least=column([w for r in question.ratings for w in r.least_w]).reshape(nodes, slots),
    )
