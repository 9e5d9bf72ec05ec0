"""Annealing with a heat bath: each appliance in turn draws its choice, the better the likelier, ever more strictly.

A choice of value v is drawn with a weight of exp(-v / temperature): the least of v - temperature x g, with a draw g
from the Gumbel distribution for each. The distribution stands in a table of integers; draws are hashes of a counter.
"""

from __future__ import annotations

from decimal import Context, Decimal
from functools import cache

import numpy as np

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.dsr.choice.board import I64, Board, Course, put
from scowl_edge.dsr.choice.value import number_of, take_number, value_choices

_BITS = 10
_TABLE_BITS = 10


@cache
def gumbel() -> I64:
    """The distribution's quantiles, evenly spaced, times 2^10."""
    exact = Context(prec=24)
    count = 1 << _TABLE_BITS
    whole = Decimal(2 * count).ln(exact)
    quantiles = [-(whole - Decimal(2 * i + 1).ln(exact)).ln(exact) for i in range(count)]
    return np.asarray([int((q * (1 << _BITS)).to_integral_value()) for q in quantiles], np.int64)


@inner_kernel
def scrambled(number: int) -> int:
    """32 bits out of 32 bits, each depending on all."""
    x = number & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return x ^ (x >> 16)


@kernel
def anneal(board: Board, course: Course, steep: int, table: I64, seed: int, hot: int, cooling: int, sweeps: int) -> int:
    """`sweeps` sweeps from the temperature `hot`, each colder by the factor `cooling` / 2^20; appliances looked at."""
    people = len(course.span)
    temperature = hot
    drawn = scrambled(seed)
    for _ in range(sweeps):
        for who in range(people):
            put(board, course, who, int(course.span[who]), int(course.at[who]), -1)
            count = value_choices(board, course, who, steep)
            drawn = scrambled(drawn + 0x9E3779B9)
            x = drawn
            best, least = 0, 0
            for number in range(count):
                x = (x * 1_664_525 + 1_013_904_223) & 0xFFFFFFFF
                value = int(course.values[number]) - ((temperature * int(table[x >> (32 - _TABLE_BITS)])) >> _BITS)
                if number == 0 or value < least:
                    best, least = number, value
            if best != number_of(board, course, who):
                take_number(board, course, who, best)
            put(board, course, who, int(course.span[who]), int(course.at[who]), 1)
        temperature = (temperature * cooling) >> 20
    return sweeps * people
