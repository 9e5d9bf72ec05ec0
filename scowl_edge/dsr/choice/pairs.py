"""Two at a time: what a single appliance cannot improve, two often can. For few appliances only."""

from __future__ import annotations

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.dsr.choice.board import Board, Course, put
from scowl_edge.dsr.choice.value import number_of, take_number, value_choices


@kernel
def descend_pairs(board: Board, course: Course, steep: int, moves: int) -> int:
    """Gives pairs of appliances their best pair of choices until none improves or `moves` are used; how many were."""
    people, used, better = len(course.span), 0, True
    while better:
        better = False
        for one in range(people):
            cost = 1
            for span in range(int(board.span_start[one]), int(board.span_start[one + 1])):
                cost += int(board.span_count[span])
            for other in range(one):
                if used + cost > moves:
                    return used
                better = _improve_pair(board, course, one, other, steep) or better
                used += cost
    return used


@inner_kernel
def _improve_pair(board: Board, course: Course, one: int, other: int, steep: int) -> bool:
    put(board, course, other, int(course.span[other]), int(course.at[other]), -1)
    put(board, course, one, int(course.span[one]), int(course.at[one]), -1)
    count = value_choices(board, course, one, steep)
    own = course.values[:count].copy()
    present, partner = number_of(board, course, one), number_of(board, course, other)
    best_one, best_other, least = present, partner, 0
    for turn in range(count + 1):
        # The present pair first: it stays among equals.
        number = present if turn == 0 else turn - 1
        take_number(board, course, one, number)
        put(board, course, one, int(course.span[one]), int(course.at[one]), 1)
        choices = value_choices(board, course, other, steep)
        put(board, course, one, int(course.span[one]), int(course.at[one]), -1)
        if turn == 0:
            least = int(own[present]) + int(course.values[partner])
        for choice in range(choices):
            value = int(own[number]) + int(course.values[choice])
            if value < least:
                best_one, best_other, least = number, choice, value
    take_number(board, course, one, best_one)
    take_number(board, course, other, best_other)
    put(board, course, one, int(course.span[one]), int(course.at[one]), 1)
    put(board, course, other, int(course.span[other]), int(course.at[other]), 1)
    return best_one != present or best_other != partner
