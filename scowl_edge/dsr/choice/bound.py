"""What no plan can be better than: a bound that any prices prove, and a search for good prices.

For any integer prices l(t) of the target and any prices m(n, t) >= 0 of the ratings,

    sum over t of (2 l T - l^2)  -  sum over n, t of (price of what a rating leaves)
        +  sum over appliances of the least of (cost - sum over t of (2 l - m) p)

is not above the objective of any plan within the ratings, because r^2 >= 2 l r - l^2. It is computed in integers
without rounding, so it holds however the prices were found. They are found on the convex hull of the choices: each
appliance in turn moves from its mixture of choices towards the one that the residual asks for (block-coordinate
Frank-Wolfe).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.dsr.choice.board import I64, Board, Course

FINE = 16
"""Parts of a W in which mixtures are counted."""
RIGID = 8
"""How much a squared W above a rating costs, beside a squared W of deviation; only finds prices, proves nothing."""
_LIMB = 30


class Mixture(NamedTuple):
    """A point of the convex hull: each appliance runs parts of several choices. In 1/16 W."""

    power: I64
    """(N, longest stretch) of each appliance, from the first slot that it touches."""
    cost: I64
    """(N) in 1/16 of the objective's unit."""
    residual: I64
    """(T)"""
    below: I64
    """(M, T)"""


class Prices(NamedTuple):
    """What a W is worth by slot, in W (half the slope of a squared deviation)."""

    target: I64
    """(T) of the deviation."""
    most: I64
    """(M, T) of a rating's import limit, at least 0; in W, as a whole slope."""
    least: I64
    """(M, T) of its export limit."""


def mixture_of(board: Board, course: Course) -> Mixture:
    """A plan as a point of the hull."""
    longest = int((board.end - board.begin).max(initial=1))
    mixture = Mixture(
        power=np.zeros((len(board.begin), longest), np.int64),
        cost=board.span_cost[course.span] * FINE,
        residual=course.residual * FINE,
        below=course.below * FINE,
    )
    _spread(board, course, mixture)
    return mixture


def prices_of(board: Board, mixture: Mixture) -> Prices:
    """Prices at which nobody would leave the mixture, if it is the best one."""
    below = mixture.below
    return Prices(
        target=mixture.residual // FINE,
        most=np.maximum(0, below - board.most * FINE) * 2 * RIGID // FINE,
        least=np.maximum(0, board.least * FINE - below) * 2 * RIGID // FINE,
    )


def proven(board: Board, course: Course, prices: Prices) -> int:
    """The bound that prices prove, exactly. `course` lends its scratch."""
    high, low = _least_values(board, course, prices)
    total = (int(high) << _LIMB) + int(low)
    for price, target in zip(prices.target.tolist(), board.target.tolist(), strict=True):
        total += 2 * price * target - price * price
    for price, limit, sign in ((prices.most, board.most, 1), (prices.least, board.least, -1)):
        at = np.nonzero(price)
        total -= sign * sum(p * m for p, m in zip(price[at].tolist(), limit[at].tolist(), strict=True))
    return total


@kernel
def _spread(board: Board, course: Course, mixture: Mixture) -> None:
    for who in range(len(course.span)):
        span, at = int(course.span[who]), int(course.at[who]) - int(board.begin[who])
        profile = int(board.span_profile[span])
        power = 0
        for edge in range(int(board.edge_start[profile]), int(board.edge_start[profile + 1]) - 1):
            power += int(board.edge_by[edge])
            for slot in range(at + int(board.edge_at[edge]), at + int(board.edge_at[edge + 1])):
                mixture.power[who, slot] = FINE * power


@inner_kernel
def _cheapest(board: Board, course: Course, who: int) -> tuple[int, int, int]:
    """(value, span, start) of the choice that costs least at the prices whose sums are in `course.running`."""
    found, best_span, best_at = False, 0, 0
    least = 0
    for span in range(int(board.span_start[who]), int(board.span_start[who + 1])):
        profile = int(board.span_profile[span])
        first, step, starts = int(board.span_first[span]), int(board.span_step[span]), int(board.span_count[span])
        for k in range(starts):
            course.values[k] = int(board.span_cost[span])
        for edge in range(int(board.edge_start[profile]), int(board.edge_start[profile + 1])):
            by, at = int(board.edge_by[edge]), first + int(board.edge_at[edge])
            for k in range(starts):
                course.values[k] += by * int(course.running[at + k * step])
        for k in range(starts):
            if not found or int(course.values[k]) < least:
                found, least, best_span, best_at = True, int(course.values[k]), span, first + k * step
    return least, best_span, best_at


@kernel
def _least_values(board: Board, course: Course, prices: Prices) -> tuple[int, int]:
    """Sum of the least values of all appliances, as (high, low): high x 2^30 + low."""
    high, low = 0, 0
    for who in range(len(board.begin)):
        total = 0
        for slot in range(int(board.begin[who]), int(board.end[who])):
            course.running[slot] = total
            total += 2 * int(prices.target[slot])
            node = int(board.rating[who])
            while node >= 0:
                total -= int(prices.most[node, slot]) - int(prices.least[node, slot])
                node = int(board.parent[node])
        course.running[int(board.end[who])] = total
        least, _, _ = _cheapest(board, course, who)
        high += least >> _LIMB
        low += least & ((1 << _LIMB) - 1)
    return high, low


@kernel
def approach(board: Board, course: Course, mixture: Mixture, passes: int) -> int:
    """So many passes over all appliances, each towards what the mixture's residual asks for; appliances looked at."""
    people = len(board.begin)
    for _ in range(passes):
        for who in range(people):
            _step(board, course, mixture, who)
    return passes * people


@inner_kernel
def _price(board: Board, mixture: Mixture, who: int, slot: int) -> int:
    """What a W of the appliance is worth in a slot, twice, in whole W."""
    price = 2 * int(mixture.residual[slot])
    node = int(board.rating[who])
    while node >= 0:
        below = int(mixture.below[node, slot])
        price -= (
            2
            * RIGID
            * (max(0, below - FINE * int(board.most[node, slot])) - max(0, FINE * int(board.least[node, slot]) - below))
        )
        node = int(board.parent[node])
    return price // FINE


@inner_kernel
def _step(board: Board, course: Course, mixture: Mixture, who: int) -> None:
    begin, end = int(board.begin[who]), int(board.end[who])
    total = 0
    for slot in range(begin, end):
        course.running[slot] = total
        total += _price(board, mixture, who, slot)
    course.running[end] = total
    _, span, at = _cheapest(board, course, who)
    # `values` becomes the way to go, slot by slot.
    way = course.values
    for slot in range(end - begin):
        way[slot] = 0 - int(mixture.power[who, slot])
    profile, power = int(board.span_profile[span]), 0
    for edge in range(int(board.edge_start[profile]), int(board.edge_start[profile + 1]) - 1):
        power += int(board.edge_by[edge])
        for slot in range(at + int(board.edge_at[edge]), at + int(board.edge_at[edge + 1])):
            way[slot - begin] += FINE * power
    gain, curve = int(mixture.cost[who]) - FINE * int(board.span_cost[span]), 0
    for slot in range(end - begin):
        step = int(way[slot])
        if step != 0:
            price = int(course.running[begin + slot + 1]) - int(course.running[begin + slot])
            gain += price * step
            stiff = 1
            node = int(board.rating[who])
            while node >= 0:
                below = int(mixture.below[node, begin + slot]) + max(0, step)
                if below > FINE * int(board.most[node, begin + slot]):
                    stiff += RIGID
                node = int(board.parent[node])
            curve += stiff * 2 * ((step * step) // FINE)
    if gain <= 0:
        return
    share = 1 << 16 if gain >= curve else min(1 << 16, gain // max(1, curve >> 16))
    for slot in range(end - begin):
        step = (int(way[slot]) * share) >> 16
        if step != 0:
            mixture.power[who, slot] += step
            mixture.residual[begin + slot] -= step
            node = int(board.rating[who])
            while node >= 0:
                mixture.below[node, begin + slot] += step
                node = int(board.parent[node])
    mixture.cost[who] += ((FINE * int(board.span_cost[span]) - int(mixture.cost[who])) * share) >> 16
