"""Coordinate descent: each appliance in turn takes the choice that is best while all others stay."""

from __future__ import annotations

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.dsr.choice.board import I64, Board, Course, put
from scowl_edge.dsr.choice.value import number_of, take_number, value_choices


@inner_kernel
def improve(board: Board, course: Course, who: int, steep: int) -> int:
    """Gives an appliance its best choice, the present one among equals; by how much the objective falls."""
    put(board, course, who, int(course.span[who]), int(course.at[who]), -1)
    count = value_choices(board, course, who, steep)
    present = number_of(board, course, who)
    best, least = present, int(course.values[present])
    for number in range(count):
        if int(course.values[number]) < least:
            best, least = number, int(course.values[number])
    gain = int(course.values[present]) - least
    if best != present:
        take_number(board, course, who, best)
    put(board, course, who, int(course.span[who]), int(course.at[who]), 1)
    return gain


@kernel
def descend(board: Board, course: Course, steep: int, moves: int, first: I64) -> int:
    """Sweeps over all appliances until nothing improves or `moves` of them were looked at; how many were.

    Those in `first` are looked at before all others.
    """
    used, still, turn = 0, 0, 0
    people = len(course.span)
    while used < moves and still < people:
        who = turn
        if used < len(first):
            who = int(first[used])
        else:
            turn = turn + 1 if turn + 1 < people else 0
        still = 0 if improve(board, course, who, steep) > 0 or used < len(first) else still + 1
        used += 1
    return used


@kernel
def place(board: Board, course: Course, steep: int) -> int:
    """A first plan: all appliances are put, one after the other, into their share of the target; how many.

    When k of N are placed, so is k / N of the target: each sees a residual as it will be in the end. (Were it the whole
    target, the first ones would all run where it is highest.)
    """
    people, slots = len(course.span), len(board.target)
    course.residual[:] = 0
    course.below[:, :] = 0
    for who in range(people):
        for slot in range(slots):
            target = int(board.target[slot])
            course.residual[slot] += (target * (who + 1)) // people - (target * who) // people
        take_number(board, course, who, _least(board, course, who, steep))
        put(board, course, who, int(course.span[who]), int(course.at[who]), 1)
    return people


@inner_kernel
def _least(board: Board, course: Course, who: int, steep: int) -> int:
    count = value_choices(board, course, who, steep)
    best = 0
    for number in range(1, count):
        if int(course.values[number]) < int(course.values[best]):
            best = number
    return best
