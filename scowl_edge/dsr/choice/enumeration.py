"""All plans, one after the other, where there are few: the best one is known to be the best."""

from __future__ import annotations

import numpy as np

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.dsr.choice.board import Board, Course, put
from scowl_edge.dsr.choice.value import number_of, take_number, value_choices


def plans_but_last(board: Board, most: int) -> int:
    """How many plans there are of all appliances but the last, at most `most` + 1."""
    plans = 1
    for who in range(len(board.begin) - 1):
        plans *= int(board.span_count[board.span_start[who] : board.span_start[who + 1]].sum())
        if plans > most:
            return most + 1
    return plans


@inner_kernel
def _worth(board: Board, course: Course, who: int, number: int) -> tuple[int, int]:
    """What a choice adds to (objective, excess); the appliance is not in the sums."""
    value_choices(board, course, who, 1)
    both = int(course.values[number])
    value_choices(board, course, who, 0)
    return int(course.values[number]), both - int(course.values[number])


@inner_kernel
def _add(board: Board, course: Course, who: int, number: int, worth: int, over: int) -> tuple[int, int]:
    more, above = _worth(board, course, who, number)
    take_number(board, course, who, number)
    put(board, course, who, int(course.span[who]), int(course.at[who]), 1)
    return worth + more, over + above


@inner_kernel
def _remove(board: Board, course: Course, who: int, worth: int, over: int) -> tuple[int, int]:
    number = number_of(board, course, who)
    put(board, course, who, int(course.span[who]), int(course.at[who]), -1)
    less, below = _worth(board, course, who, number)
    return worth - less, over - below


@kernel
def enumerate_plans(board: Board, course: Course) -> int:
    """Leaves the plan with the least excess, and of those the least objective; the first one among equals.

    Returns how many times the last appliance was looked at.
    """
    people = len(course.span)
    last = people - 1
    digits, bases = np.zeros(people, np.int64), np.zeros(people, np.int64)
    best = np.zeros(people, np.int64)
    for who in range(people):
        best[who] = number_of(board, course, who)
        for span in range(int(board.span_start[who]), int(board.span_start[who + 1])):
            bases[who] += int(board.span_count[span])
    excesses = np.zeros(int(bases[last]), np.int64)
    # Everything is counted from what the present plan has: only differences matter.
    worth, over = 0, 0
    for who in range(people):
        worth, over = _remove(board, course, who, worth, over)
    least_worth, least_over, looked = 0, 0, 0
    for who in range(last):
        worth, over = _add(board, course, who, 0, worth, over)
    while True:
        looked += 1
        count = value_choices(board, course, last, 1)
        for number in range(count):
            excesses[number] = int(course.values[number])
        value_choices(board, course, last, 0)
        for number in range(count):
            value = int(course.values[number])
            above = over + int(excesses[number]) - value
            if above < least_over or (above == least_over and worth + value < least_worth):
                least_over, least_worth = above, worth + value
                for who in range(last):
                    best[who] = digits[who]
                best[last] = number
        who = last - 1
        while who >= 0:
            worth, over = _remove(board, course, who, worth, over)
            if int(digits[who]) + 1 < int(bases[who]):
                break
            digits[who] = 0
            who -= 1
        if who < 0:
            break
        digits[who] += 1
        while who < last:
            worth, over = _add(board, course, who, int(digits[who]), worth, over)
            who += 1
    for who in range(people):
        take_number(board, course, who, int(best[who]))
        put(board, course, who, int(course.span[who]), int(course.at[who]), 1)
    return looked
