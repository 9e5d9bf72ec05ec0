"""What each choice of one appliance is worth, all others staying: the part of the objective that it changes.

With r the residual without the appliance, a choice of powers p is worth cost + sum(p^2) - 2 sum(r p), plus `steep` for
each W above a rating. All starts of a profile are valued together, edge by edge.
"""

from __future__ import annotations

from scowl_edge.compiled import inner_kernel
from scowl_edge.dsr.choice.board import Board, Course, excess


@inner_kernel
def value_choices(board: Board, course: Course, who: int, steep: int) -> int:
    """Fills `course.values` with the choices of an appliance, which must not be in the sums; how many there are."""
    running, values = course.running, course.values
    begin, end = int(board.begin[who]), int(board.end[who])
    total = 0
    for slot in range(begin, end):
        running[slot] = total
        total += int(course.residual[slot])
    running[end] = total
    count = 0
    for span in range(int(board.span_start[who]), int(board.span_start[who + 1])):
        profile = int(board.span_profile[span])
        first, step, starts = int(board.span_first[span]), int(board.span_step[span]), int(board.span_count[span])
        worth = int(board.span_cost[span]) + int(board.square[profile])
        for k in range(starts):
            values[count + k] = worth
        for edge in range(int(board.edge_start[profile]), int(board.edge_start[profile + 1])):
            by = 2 * int(board.edge_by[edge])
            at = first + int(board.edge_at[edge])
            for k in range(starts):
                values[count + k] += by * int(running[at + k * step])
        count += starts
    node = int(board.rating[who])
    while node >= 0:
        if _near(board, course, who, node):
            _add_penalties(board, course, who, node, steep)
        node = int(board.parent[node])
    return count


@inner_kernel
def _near(board: Board, course: Course, who: int, node: int) -> bool:
    """Whether any choice could exceed a rating anywhere."""
    highest, lowest = int(board.highest[who]), int(board.lowest[who])
    for slot in range(int(board.begin[who]), int(board.end[who])):
        below = int(course.below[node, slot])
        if below + highest > int(board.most[node, slot]) or below + lowest < int(board.least[node, slot]):
            return True
    return False


@inner_kernel
def _add_penalties(board: Board, course: Course, who: int, node: int, steep: int) -> None:
    running, values = course.running, course.values
    count = 0
    for span in range(int(board.span_start[who]), int(board.span_start[who + 1])):
        profile = int(board.span_profile[span])
        first, step, starts = int(board.span_first[span]), int(board.span_step[span]), int(board.span_count[span])
        last = first + (starts - 1) * step
        power = 0
        for edge in range(int(board.edge_start[profile]), int(board.edge_start[profile + 1]) - 1):
            power += int(board.edge_by[edge])
            at, until = int(board.edge_at[edge]), int(board.edge_at[edge + 1])
            total = 0
            for slot in range(first + at, last + until):
                running[slot] = total
                below = int(course.below[node, slot])
                total += excess(board, node, slot, below + power) - excess(board, node, slot, below)
            running[last + until] = total
            if total != 0:
                for k in range(starts):
                    start = first + k * step
                    values[count + k] += steep * (int(running[start + until]) - int(running[start + at]))
        count += starts


@inner_kernel
def number_of(board: Board, course: Course, who: int) -> int:
    """Position of the present choice of an appliance among its choices."""
    count = 0
    for span in range(int(board.span_start[who]), int(course.span[who])):
        count += int(board.span_count[span])
    here = int(course.span[who])
    return count + (int(course.at[who]) - int(board.span_first[here])) // int(board.span_step[here])


@inner_kernel
def take_number(board: Board, course: Course, who: int, number: int) -> None:
    """Makes a choice, given by its position, the present one; sums are left alone."""
    span = int(board.span_start[who])
    while number >= int(board.span_count[span]):
        number -= int(board.span_count[span])
        span += 1
    course.span[who] = span
    course.at[who] = int(board.span_first[span]) + number * int(board.span_step[span])
