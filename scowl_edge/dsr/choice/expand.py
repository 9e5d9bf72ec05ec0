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
from scowl_edge.dsr.choice.rows import Row, RowMaker, Source
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
        rows, known, fresh = list[Row](), dict[str, tuple[_Key, Row]](), list[int]()
        for who, candidate in enumerate(question.candidates):
            esa_id, key = candidate.offers.esa_id, _key(question, candidate)
            before = self._rows.get(esa_id)
            if before is not None and before[0] == key and before[1].from_ms <= question.now_ms <= before[1].until_ms:
                row = before[1]
            else:
                row = self._maker.row(question, candidate)
                fresh.append(who)
            rows.append(row)
            known[esa_id] = (key, row)
        self._rows = known
        return _instance(question, rows, self._bank), np.asarray(fresh, np.int64)


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


def _key(question: Question, candidate: Candidate) -> _Key:
    """All that a row depends on, but for the time; an offer never changes."""
    offers = candidate.offers
    names = tuple(o.offer_id for o in offers.offers)
    standing = None
    if question.standing:
        found = (question.standing.get((offers.esa_id, name)) for name in names)
        standing = next((s for s in found if s is not None), None)
    return offers.rev, names, candidate.trust_ppm, standing


def _instance(question: Question, rows: list[Row], bank: Bank) -> Instance:
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
        present_span=own + column(row.present[0] for row in rows),
        present_at=column(row.present[1] for row in rows),
        ratings=tuple(r.name for r in question.ratings),
    )
