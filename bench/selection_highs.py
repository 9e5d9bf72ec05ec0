"""HiGHS on the same instances and the same objective, squared deviation plus costs, as an outer approximation.

HiGHS has no squares of integers. So each slot has a variable that is at least as large as tangents of the squared
residual: those of the relaxed optimum, found by adding tangents until nothing changes, and a fine grid around it. What
HiGHS then finds is valued exactly; where it proves its optimum before the time is over, tangents at that plan are added
and it goes on, until no plan can be better.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix, diags, hstack, identity, vstack

from scowl_edge.dsr.choice.board import I64, Board, course_of, total_excess
from scowl_edge.dsr.choice.choose import objective_of

_RATIO = 1.25
_ROUNDS = 40


class Found(NamedTuple):
    """What HiGHS has come to."""

    objective: int | None
    """Of its best plan, exactly; None if it found none within the ratings."""
    bound: float
    """No plan is better."""
    proven: bool
    """Its plan is the best one, to within a ten thousandth."""


def highs(board: Board, seconds: float) -> Found:
    """The best plan that HiGHS finds within so many seconds."""
    begun = time.perf_counter()
    columns, who, span, at = _columns(board)
    scale = float(np.abs(board.target).max())
    # In units of the largest target: HiGHS's tolerances are meant for numbers around 1.
    loads = columns / scale
    people, slots, count = len(board.begin), len(board.target), loads.shape[1]
    target = board.target / scale
    costs = np.concatenate([board.span_cost[span] / scale**2, np.zeros(slots), np.ones(slots)])
    # Variables: choices, then residuals, then squares.
    one_each = csr_matrix((np.ones(count), (who, np.arange(count))), (people, count + 2 * slots))
    balance = hstack([loads, identity(slots), csr_matrix((slots, slots))])
    rows, low, high = [one_each, balance], [np.ones(people), target], [np.ones(people), target]
    for node in range(len(board.parent)):
        below = np.asarray([_within(board, int(r), node) for r in board.rating[who]], float)
        rows.append(hstack([loads.multiply(below[None, :]), csr_matrix((slots, 2 * slots))]))
        low.append(board.least[node] / scale)
        high.append(board.most[node] / scale)
    fixed = LinearConstraint(vstack(rows).tocsr(), np.concatenate(low), np.concatenate(high))
    bounds = Bounds(
        np.concatenate([np.zeros(count), np.full(slots, -np.inf), np.zeros(slots)]),
        np.concatenate([np.ones(count), np.full(2 * slots, np.inf)]),
    )
    whole = np.concatenate([np.ones(count), np.zeros(2 * slots)])
    points: list[NDArray[np.float64]] = [np.zeros(slots)]
    for _ in range(_ROUNDS):
        relaxed = milp(costs, constraints=[fixed, _tangents(count, points)], bounds=bounds)
        residual = relaxed.x[count : count + slots]
        points.append(residual)
        wrong = float((residual**2).sum() - relaxed.x[count + slots :].sum())
        if wrong < 1e-4 * max(1e-9, float((residual**2).sum())) or time.perf_counter() - begun > seconds / 6:
            break
    unit = max(1e-6, float(np.abs(points[-1]).max()) / 64)
    points += [np.full(slots, sign * unit * _RATIO**power) for power in range(26) for sign in (-1, 1)]
    best: int | None = None
    bound = -np.inf
    while (left := seconds - (time.perf_counter() - begun)) > 0.5:
        found: Any = milp(
            costs,
            constraints=[fixed, _tangents(count, points)],
            integrality=whole,
            bounds=bounds,
            options={"time_limit": left, "mip_rel_gap": 1e-4},
        )
        if found.mip_dual_bound is not None:
            bound = max(bound, found.mip_dual_bound * scale**2)
        if found.x is None:
            break
        taken = np.flatnonzero(found.x[:count] > 0.5)
        course = course_of(board, span[taken], at[taken])
        if int(total_excess(board, course)) == 0:
            value = objective_of(board, course)
            best = value if best is None else min(best, value)
        if best is not None and best <= bound * 1.0001:
            return Found(best, bound, True)
        points.append(course.residual / scale)
    return Found(best, bound, False)


def _within(board: Board, rating: int, node: int) -> bool:
    while rating >= 0:
        if rating == node:
            return True
        rating = int(board.parent[rating])
    return False


def _tangents(count: int, points: list[NDArray[np.float64]]) -> Any:
    """Rows y - 2 a r >= - a^2, for each point and slot, after `count` choices."""
    rows = [hstack([csr_matrix((len(a), count)), diags(-2 * a), identity(len(a))]) for a in points]
    return LinearConstraint(vstack(rows).tocsr(), np.concatenate([-(a**2) for a in points]), np.inf)


def _columns(board: Board) -> tuple[Any, I64, I64, I64]:
    """(slots x choices, in W; appliance, span and start of each choice)."""
    where, which, value = list[int](), list[int](), list[int]()
    who, spans, ats = list[int](), list[int](), list[int]()
    for person in range(len(board.begin)):
        for span in range(int(board.span_start[person]), int(board.span_start[person + 1])):
            edges = slice(*board.edge_start[board.span_profile[span] : board.span_profile[span] + 2])
            power = np.cumsum(board.edge_by[edges])[:-1].repeat(np.diff(board.edge_at[edges]))
            for turn in range(int(board.span_count[span])):
                start = int(board.span_first[span] + turn * board.span_step[span])
                begin = start + int(board.edge_at[edges][0])
                where += range(begin, begin + len(power))
                which += [len(who)] * len(power)
                value += power.tolist()
                who.append(person)
                spans.append(span)
                ats.append(start)
    matrix = csr_matrix((np.asarray(value, float), (where, which)), (len(board.target), len(who)))
    return matrix, np.asarray(who), np.asarray(spans), np.asarray(ats)
