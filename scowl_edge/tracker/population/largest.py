"""Largest first: how many of the largest cover a need, without a sort.

Slots are few sizes and many, so they are counted by size; big feeds are many sizes and few, so they are picked digit by
digit. Both ways end at the same place: a size, all above it, and some of that size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.columns import Columns

SIZES = 1 << 15
"""Sizes that a slot can have; only feeds are larger."""
NO_LIMIT = 1 << 62
"""Above every size and every need."""
FEW = 1 << 13
"""Up to so many slots are picked digit by digit as feeds are: cheaper than a table of all sizes."""
_STRETCH = 256


@inner_kernel
def grouped(key: NDArray[np.int64], groups: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(start of each group and the end, numbers in order of their group); a key of -1 is in none."""
    start = np.zeros(groups + 1, np.int64)
    for i in range(len(key)):
        if key[i] >= 0:
            start[key[i] + 1] += 1
    for group in range(groups):
        start[group + 1] += start[group]
    order = np.empty(start[groups], np.int64)
    at = start[:groups].copy()
    for i in range(len(key)):
        if key[i] >= 0:
            order[at[key[i]]] = i
            at[key[i]] += 1
    return start, order


@kernel
def least_covering(values: NDArray[np.int64], count: int, need: int, result: NDArray[np.int64]) -> None:
    """How many of the largest of `values[:count]` (each 1 .. 2^31) sum to `need` at least; their total must.

    Digit by digit from the top, without a sort. `result` gets: how many, the smallest of them, how many more of the
    same size are left, the sum of those counted.
    """
    number, size = np.zeros(256, np.int64), np.zeros(256, np.int64)
    taken, total, prefix = 0, 0, 0
    for shift in (24, 16, 8, 0):
        number[:] = 0
        size[:] = 0
        for i in range(count):
            value = values[i]
            if value >> (shift + 8) == prefix:
                digit = (value >> shift) & 255
                number[digit] += 1
                size[digit] += value
        digit = 255
        while digit > 0 and total + size[digit] < need:
            taken += number[digit]
            total += size[digit]
            digit -= 1
        prefix = prefix * 256 + digit
        same = number[digit]
    some = min(same, max(0, -(-(need - total) // max(1, prefix))))
    result[0] = taken + some
    result[1] = prefix
    result[2] = same - some
    result[3] = total + some * prefix


@kernel
def walk_down(sizes: NDArray[np.int32], need: int, result: NDArray[np.int64]) -> None:
    """The same from counts by size, `sizes[0]` aside. Where all of them do not cover `need`, all are counted."""
    taken, total, size = 0, 0, len(sizes) - 1
    while size > 0:
        # Most sizes are nobody's: a stretch that does not suffice is taken as one.
        first = max(1, size - _STRETCH + 1)
        stretch = sizes[first : size + 1].astype(np.int64)
        number, weight = int(stretch.sum()), 0
        if number:
            weight = int((stretch * np.arange(first, size + 1)).sum())
        if total + weight >= need:
            break
        taken += number
        total += weight
        size = first - 1
    while size > 0 and total + int(sizes[size]) * size < need:
        taken += int(sizes[size])
        total += int(sizes[size]) * size
        size -= 1
    some = 0
    if size > 0:
        some = -(-(need - total) // size)
    result[0] = taken + some
    result[1] = size
    result[2] = int(sizes[size]) - some if size > 0 else 0
    result[3] = total + some * size


@inner_kernel
def count_sizes(demand: NDArray[np.int16], below: int, sizes: NDArray[np.int32]) -> None:
    """Counts slots by size, of those from 1 to `below` - 1, into int32[2, 32768]; sizes[:, 0] is of no meaning."""
    # Two tables: equal neighbours, which are many, would wait for each other's count.
    for i in range(0, len(demand), 2):
        one, other = max(0, int(demand[i])), max(0, int(demand[i + 1]))
        sizes[0, one if one < below else 0] += 1
        sizes[1, other if other < below else 0] += 1


@inner_kernel
def gather(demand: NDArray[np.int16], below: int, values: NDArray[np.int64], count: int) -> int:
    """Writes those from 1 to `below` - 1 into `values` from `count` on; how many there are then."""
    for slot_demand in demand:
        each = int(slot_demand)
        if 0 < each < below:
            values[count] = each
            count += 1
    return count


@inner_kernel
def count_largest(
    columns: Columns,
    block_start: NDArray[np.int64],
    blocks: NDArray[np.int64],
    first_cell: int,
    end_cell: int,
    limit_size: NDArray[np.int64],
    need: int,
    tops: NDArray[np.int16],
    sizes: NDArray[np.int32],
) -> None:
    """Counts slots of some cells by size until the largest cover `need`: blocks with large members first, each once.

    Only sizes down to where `need` is covered are complete then; they stand in `sizes[0]`.
    """
    begin, stop = block_start[first_cell], block_start[end_cell]
    for i in range(begin, stop):
        top = np.int16(0)
        for demand in columns.demand[columns.block_start[blocks[i]] : columns.block_start[blocks[i] + 1]]:
            top = max(top, demand)
        tops[i] = top
    level, covered = SIZES, 0
    while level > 1 and covered < need:
        level //= 2
        for cell in range(first_cell, end_cell):
            for i in range(block_start[cell], block_start[cell + 1]):
                if level <= int(tops[i]) < 2 * level:
                    start, end = columns.block_start[blocks[i]], columns.block_start[blocks[i] + 1]
                    count_sizes(columns.demand[start:end], limit_size[cell], sizes)
        # Blocks that are read now hold nothing of 2 * level and above, so what is above stays as it was.
        here = sizes[0, level : 2 * level].astype(np.int64) + sizes[1, level : 2 * level]
        covered += int((here * np.arange(level, 2 * level)).sum())
    sizes[0] += sizes[1]
