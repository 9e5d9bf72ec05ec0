"""What a choice is made among, as columns: appliances, their spans of starts, a bank of profiles, ratings, a target.

A *span* is one profile of one appliance with evenly spaced starts; a choice is a span and a start. Nothing is ever laid
out as appliances x choices x slots: a profile stands once in the bank, as the slots at which its power changes. So the
sum of any series over a profile at any start is one product an edge, with a running sum of the series.

Power in W, slots counted from the start of the horizon. All arrays are int64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel

I64 = NDArray[np.int64]


class Board(NamedTuple):
    """N appliances, S spans, P profiles with E edges, M ratings, T slots. Never changed but for the target."""

    target: I64
    """(T) W that all chosen profiles together should have."""
    edge_start: I64
    """(P + 1) first edge of each profile."""
    edge_at: I64
    """(E) slot, counted from the start of the profile, at which its power changes; the last is its end."""
    edge_by: I64
    """(E) W by which it changes; the sum over a profile is 0."""
    square: I64
    """(P) sum of the squares of its powers."""
    span_start: I64
    """(N + 1) first span of each appliance."""
    span_profile: I64
    span_first: I64
    """(S) slot of the first start."""
    span_step: I64
    """(S) slots between starts."""
    span_count: I64
    """(S) how many starts."""
    span_cost: I64
    """(S) in units of the objective."""
    idle_span: I64
    """(N) what runs if nobody asks for anything."""
    idle_at: I64
    begin: I64
    """(N) first slot that a choice of the appliance touches."""
    end: I64
    """(N) slot after the last one."""
    highest: I64
    """(N) most power of any of its choices, at least 0."""
    lowest: I64
    """(N) least power, at most 0."""
    rating: I64
    """(N) innermost rating that the appliance is below; -1 for none."""
    parent: I64
    """(M) rating around each; -1 for none."""
    most: I64
    """(M, T) W left for appliances, import."""
    least: I64
    """(M, T) W left for appliances, export: 0 or below, as a rule."""


class Course(NamedTuple):
    """A plan and the sums that belong to it."""

    span: I64
    """(N) span chosen."""
    at: I64
    """(N) start chosen."""
    residual: I64
    """(T) target less what the chosen profiles have."""
    below: I64
    """(M, T) W of the chosen profiles below each rating."""
    running: I64
    """(T + 1) scratch: running sums."""
    values: I64
    """(most choices of an appliance, at least T) scratch: value of each."""


def idle_course(board: Board) -> Course:
    """The plan in which nothing is asked of anybody."""
    return course_of(board, board.idle_span, board.idle_at)


def course_of(board: Board, span: I64, at: I64) -> Course:
    """A plan from its choices, with sums of its own."""
    slots = len(board.target)
    counts = np.add.reduceat(board.span_count, board.span_start[:-1]) if len(board.idle_at) else np.ones(1, np.int64)
    course = Course(
        span=span.copy(),
        at=at.copy(),
        residual=board.target.copy(),
        below=np.zeros((len(board.parent), slots), np.int64),
        running=np.zeros(slots + 1, np.int64),
        values=np.zeros(max(slots, int(counts.max())), np.int64),
    )
    add_up(board, course)
    return course


def held(board: Board, who: int, span: int, at: int) -> Board:
    """The board with one choice left to an appliance: it has started, or is overridden. All others are as they were.

    What is left is also what it does if nobody asks, so it is in every plan. Nothing is expanded anew.
    """
    count, first = board.span_count.copy(), board.span_first.copy()
    idle_span, idle_at = board.idle_span.copy(), board.idle_at.copy()
    count[board.span_start[who] : board.span_start[who + 1]] = 0
    count[span], first[span] = 1, at
    idle_span[who], idle_at[who] = span, at
    return board._replace(span_count=count, span_first=first, idle_span=idle_span, idle_at=idle_at)


def copied(course: Course) -> Course:
    """The same plan in arrays of its own."""
    return Course(*(column.copy() for column in course))


def add_up(board: Board, course: Course) -> None:
    """Sums anew, from the choices and the target."""
    course.residual[:] = board.target
    course.below[:] = 0
    _put_all(board, course)


@inner_kernel
def put(board: Board, course: Course, who: int, span: int, at: int, sign: int) -> None:
    """Adds (sign 1) or takes away (-1) a choice of an appliance in all sums."""
    profile = int(board.span_profile[span])
    first = int(board.edge_start[profile])
    after = int(board.edge_start[profile + 1])
    rating = int(board.rating[who])
    power = 0
    for edge in range(first, after - 1):
        power += sign * int(board.edge_by[edge])
        for slot in range(at + int(board.edge_at[edge]), at + int(board.edge_at[edge + 1])):
            course.residual[slot] -= power
            node = rating
            while node >= 0:
                course.below[node, slot] += power
                node = int(board.parent[node])


@kernel
def _put_all(board: Board, course: Course) -> None:
    for who in range(len(course.span)):
        put(board, course, who, int(course.span[who]), int(course.at[who]), 1)


@inner_kernel
def excess(board: Board, node: int, slot: int, power: int) -> int:
    """W by which a rating would be exceeded with this much below it."""
    return max(0, power - int(board.most[node, slot]), int(board.least[node, slot]) - power)


@kernel
def total_excess(board: Board, course: Course) -> int:
    """W above (or, exporting, below) ratings, summed over ratings and slots."""
    total = 0
    for node in range(len(board.parent)):
        for slot in range(len(board.target)):
            total += excess(board, node, slot, int(course.below[node, slot]))
    return total
