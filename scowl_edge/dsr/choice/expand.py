"""Offers as a board: which profiles and starts may be chosen now, under which ratings, at what cost.

What an appliance has started, or starts before a selection could still reach it, is frozen: one column. Everybody else
has doing nothing among the choices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from scowl_edge.dsr.choice.bank import Bank
from scowl_edge.dsr.choice.board import I64, Board, held
from scowl_edge.dsr.choice.question import Candidate, Question, Standing, check_question
from scowl_edge.dsr.choice.rows import Choice, Row, RowMaker, Source, is_frozen, standing_of
from scowl_edge.dsr.slotted import Horizon

_UNUSED = 4
"""A bank that is so many times as large as its rows need begins anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A board, and what its numbers stand for. All that a worker needs."""

    board: Board
    horizon: Horizon
    appliances: tuple[str, ...]
    """Ids, by position on the board."""
    sources: tuple[Source, ...]
    """(offer, position of the profile in it) of each span."""
    span_start_ms: I64
    """UTC of the first start of each span."""
    present_span: I64
    """The plan that stands: what was selected, else doing nothing."""
    present_at: I64
    ratings: tuple[str, ...]


_Key = tuple[int, tuple[str, ...], int, Standing | None]


class Expander:
    """Makes boards, and keeps the rows of the last one for the next: few offers change from one question to another."""

    def __init__(self) -> None:
        self._begin(None)

    def _begin(self, frame: object) -> None:
        self._bank = Bank()
        self._maker = RowMaker(self._bank)
        self._frame = frame
        self._rows: dict[str, tuple[_Key, Row]] = {}

    def expand(self, question: Question) -> tuple[Instance, I64]:
        """The board of a question, and positions of the appliances whose choices are not those of the last one.

        Raises:
            BadInstance: a target or rating has another number of slots than the horizon, or a rating is not known.
        """
        check_question(question)
        frame = (question.horizon, question.mode, question.emergency, question.delay_s, question.rates)
        if frame != self._frame or len(self._bank) > _UNUSED * sum(len(row.profile) for _, row in self._rows.values()):
            self._begin(frame)
        rows, present, fresh = list[Row](), list[Choice](), list[int]()
        known: dict[str, tuple[_Key, Row]] = {}
        for who, candidate in enumerate(question.candidates):
            esa_id = candidate.offers.esa_id
            before = self._rows.get(esa_id)
            found = None if before is None else self._kept(question, candidate, *before)
            if before is None or found is None:
                before = self._made(question, candidate)
                # What stands of an offer that is closed by now is not among the choices.
                found = self._kept(question, candidate, *before) or before[1].present or before[1].idle
                fresh.append(who)
            known[esa_id] = before
            rows.append(before[1])
            present.append(found)
        self._rows = known
        return _instance(question, rows, present, self._bank), np.asarray(fresh, np.int64)

    def _made(self, question: Question, candidate: Candidate) -> tuple[_Key, Row]:
        row = self._maker.row(question, candidate)
        return _key(candidate, None if row.present is None else standing_of(question, candidate)[1]), row

    def _kept(self, question: Question, candidate: Candidate, key: _Key, row: Row) -> Choice | None:
        """What stands, in a row made before; None if the row is not that of the question."""
        if not row.from_ms <= question.now_ms <= row.until_ms:
            return None
        offer, standing = standing_of(question, candidate)
        if key == _key(candidate, None) and row.present is None:
            if offer is None or standing is None:
                return row.idle
            if is_frozen(question, offer, standing):
                return None
            return row.find(offer.offer_id, standing, question.horizon.slot_s * 1000)
        if standing is None or offer is None or row.present is None or key != _key(candidate, standing):
            return None
        # With its only choice left, it is what it does in any case.
        was_frozen = row.present == row.idle
        return row.present if was_frozen == is_frozen(question, offer, standing) else None


def expand(question: Question) -> Instance:
    """The board of a question, made from nothing.

    Raises:
        BadInstance: a target or rating has another number of slots than the horizon, or a rating is not known.
    """
    return Expander().expand(question)[0]


def hold(instance: Instance, who: int, span: int, at: int) -> Instance:
    """The instance with one choice left to an appliance: it has started, or is overridden; nothing is expanded anew."""
    start_ms = instance.span_start_ms.copy()
    start_ms[span] += (at - int(instance.board.span_first[span])) * instance.horizon.slot_s * 1000
    return replace(instance, board=held(instance.board, who, span, at), span_start_ms=start_ms)


def _key(candidate: Candidate, standing: Standing | None) -> _Key:
    """All that a row depends on, but for the time; an offer never changes."""
    offers = candidate.offers
    return offers.rev, tuple(o.offer_id for o in offers.offers), candidate.trust_ppm, standing


def _instance(question: Question, rows: list[Row], present: list[Choice], bank: Bank) -> Instance:
    def column(values: Iterable[int]) -> I64:
        return np.asarray(list(values), np.int64)

    def joined(name: str) -> I64:
        return column(chain.from_iterable(getattr(row, name) for row in rows))

    slots, nodes = question.horizon.slots, len(question.ratings)
    span_start = np.concatenate([[0], np.cumsum([len(row.profile) for row in rows])]).astype(np.int64)
    own = span_start[:-1]
    profile, first, step, count = joined("profile"), joined("first"), joined("step"), joined("count")
    highest, lowest, after = column(bank.highest)[profile], column(bank.lowest)[profile], column(bank.length)[profile]
    after += first + (count - 1) * step

    def worst(of: np.ufunc, values: I64) -> I64:
        found: I64 = of.reduceat(values, own) if len(own) else np.zeros(0, np.int64)
        return found

    board = Board(
        target=column(question.target_w),
        edge_start=column(bank.edge_start),
        edge_at=column(bank.edge_at),
        edge_by=column(bank.edge_by),
        square=column(bank.square),
        span_start=span_start,
        span_profile=profile,
        span_first=first,
        span_step=step,
        span_count=count,
        span_cost=joined("cost"),
        idle_span=own + column(row.idle[0] for row in rows),
        idle_at=column(row.idle[1] for row in rows),
        begin=worst(np.minimum, first),
        end=worst(np.maximum, after),
        highest=worst(np.maximum, highest),
        lowest=worst(np.minimum, lowest),
        rating=column(c.rating for c in question.candidates),
        parent=column(r.within for r in question.ratings),
        most=column(w for r in question.ratings for w in r.most_w).reshape(nodes, slots),
        least=column(w for r in question.ratings for w in r.least_w).reshape(nodes, slots),
    )
    return Instance(
        board=board,
        horizon=question.horizon,
        appliances=tuple(c.offers.esa_id for c in question.candidates),
        sources=tuple(chain.from_iterable(row.source for row in rows)),
        span_start_ms=joined("start_ms"),
        present_span=own + column(span for span, _ in present),
        present_at=column(at for _, at in present),
        ratings=tuple(r.name for r in question.ratings),
    )
