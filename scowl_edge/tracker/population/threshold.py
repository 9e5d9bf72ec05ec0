"""Where the cut of a class runs: the size above which all go, and who goes of those that are about so large.

The size is found by sums over whole blocks, without a sort: a sample says about where it is, one pass or two over all
say exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.columns import DEMAND_LIMIT, MIXED, NO_TREE, Columns
from scowl_edge.tracker.population.history import History

SAMPLE = 32
"""One block in so many is looked at to guess the threshold."""


@inner_kernel
def sums_from(
    columns: Columns, blocks: NDArray[np.int32], step: int, size_0: int, size_1: int, size_2: int, size_3: int
) -> tuple[int, int, int, int]:
    """Sums of the served demands of at least each of four sizes, in every `step`-th block."""
    demand, tree, block_start, block_tree = columns.demand, columns.tree, columns.block_start, columns.block_tree
    total_0, total_1, total_2, total_3 = 0, 0, 0, 0
    # No slot is larger than 16 bits, and 32 bits hold the sum of a block: twice as many of them fit a register.
    none = np.int32(0)
    least_0, least_1 = np.int32(min(size_0, DEMAND_LIMIT + 1)), np.int32(min(size_1, DEMAND_LIMIT + 1))
    least_2, least_3 = np.int32(min(size_2, DEMAND_LIMIT + 1)), np.int32(min(size_3, DEMAND_LIMIT + 1))
    for n in range(0, len(blocks), step):
        block = int(blocks[n])
        low, high, of = int(block_start[block]), int(block_start[block + 1]), int(block_tree[block])
        if of == NO_TREE:
            continue
        sum_0, sum_1, sum_2, sum_3 = none, none, none, none
        part = demand[low:high]
        if of == MIXED:
            trees = tree[low:high]
            for i in range(len(part)):
                each = np.int32(part[i]) if int(trees[i]) != NO_TREE else none
                sum_0 = np.int32(sum_0 + (each if each >= least_0 else none))
                sum_1 = np.int32(sum_1 + (each if each >= least_1 else none))
                sum_2 = np.int32(sum_2 + (each if each >= least_2 else none))
                sum_3 = np.int32(sum_3 + (each if each >= least_3 else none))
        else:
            for i in range(len(part)):
                each = np.int32(part[i])
                sum_0 = np.int32(sum_0 + (each if each >= least_0 else none))
                sum_1 = np.int32(sum_1 + (each if each >= least_1 else none))
                sum_2 = np.int32(sum_2 + (each if each >= least_2 else none))
                sum_3 = np.int32(sum_3 + (each if each >= least_3 else none))
        total_0 += int(sum_0)
        total_1 += int(sum_1)
        total_2 += int(sum_2)
        total_3 += int(sum_3)
    return total_0, total_1, total_2, total_3


@inner_kernel
def feeds_from(columns: Columns, feeds: NDArray[np.int32], size: int) -> int:
    """Sum of the demands of at least `size` among these big feeds."""
    big_demand, total = columns.big_demand, 0
    for feed in feeds:
        each = int(big_demand[feed])
        total += each if each >= size else 0
    return total


@inner_kernel
def threshold_of(
    columns: Columns, blocks: NDArray[np.int32], feeds: NDArray[np.int32], deficit: int
) -> tuple[int, int]:
    """(the largest size such that all of at least that size cover the deficit, how much all above it are).

    The size is 0 if all together do not cover it.
    """
    low, high, above = DEMAND_LIMIT + 1, 0, 0
    if len(feeds):
        high = int(columns.big_demand[feeds].max()) + 1
    if high > low and feeds_from(columns, feeds, low) >= deficit:
        # Big feeds alone do.
        while high - low > 1:
            size = (low + high) // 2
            total = feeds_from(columns, feeds, size)
            if total >= deficit:
                low = size
            else:
                high, above = size, total
        return low, above
    if len(blocks) < 8 * SAMPLE:
        return search(columns, blocks, feeds, deficit, int(np.int64(1)), int(np.int64(0)))
    # The guess of a sample is off by little; all together check it and put it right.
    guess, above = search(columns, blocks, feeds, deficit, int(np.int64(SAMPLE)), int(np.int64(0)))
    return search(columns, blocks, feeds, deficit, int(np.int64(1)), guess)


@inner_kernel
def search(
    columns: Columns, blocks: NDArray[np.int32], feeds: NDArray[np.int32], deficit: int, step: int, guess: int
) -> tuple[int, int]:
    """`threshold_of` by every `step`-th block, beginning near a guess that is above 0."""
    low, high, part = 0, DEMAND_LIMIT + 1, DEMAND_LIMIT // 5
    above = feeds_from(columns, feeds, high)
    size_0, size_1, size_2, size_3 = part, 2 * part, 3 * part, 4 * part
    if guess:
        part = max(2, guess // 64)
        size_0, size_1, size_2, size_3 = guess - part, guess, guess + 1, guess + 1 + part
    while high - low > 1:
        sums = sums_from(columns, blocks, step, size_0, size_1, size_2, size_3)
        for size, slots in ((size_0, sums[0]), (size_1, sums[1]), (size_2, sums[2]), (size_3, sums[3])):
            if low < size < high:
                total = slots * step + feeds_from(columns, feeds, size)
                if total >= deficit:
                    low = size
                else:
                    high, above = size, total
        part = max(1, (high - low) // 5)
        size_0, size_1, size_2 = low + part, low + 2 * part, low + 3 * part
        size_3 = low + 4 * part if high - low > 4 else high - 1
    return low, above


@inner_kernel
def counted(columns: Columns, blocks: NDArray[np.int32], feeds: NDArray[np.int32], size: int) -> int:
    """How many served slots and feeds are larger than `size`."""
    demand, tree, block_start, block_tree = columns.demand, columns.tree, columns.block_start, columns.block_tree
    one, none, limit = np.int32(1), np.int32(0), np.int32(min(size, DEMAND_LIMIT))
    big_demand, count = columns.big_demand, 0
    for feed in feeds:
        count += 1 if int(big_demand[feed]) > size else 0
    for n in range(len(blocks)):
        block = int(blocks[n])
        low, high = int(block_start[block]), int(block_start[block + 1])
        if int(block_tree[block]) == MIXED:
            for slot in range(low, high):
                count += 1 if int(demand[slot]) > size and int(tree[slot]) != NO_TREE else 0
        else:
            found, part = none, demand[low:high]
            for i in range(len(part)):
                found = np.int32(found + (one if np.int32(part[i]) > limit else none))
            count += int(found)
    return count


@inner_kernel
def choose(
    columns: Columns,
    history: History,
    blocks: NDArray[np.int32],
    feeds: NDArray[np.int32],
    size: int,
    width: int,
    need: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], int]:
    """Who of the equals goes, given that all above `size` + `width` do: the least often starved, of these the largest.

    Args:
        columns: the site.
        history: who was starved how often.
        blocks: where to look.
        feeds: which feeds there are.
        size: the threshold.
        width: those are equals whose demand is at most so far from it.
        need: what is to be covered beyond all that are larger than `size`.

    Returns:
        Slot or feed of each; its block, -1 for a feed; what is still to be covered, by one more that fits well.
    """
    high, low = size + width, max(1, size - width)
    most_wanted = need // size if history.totals[0] == 0 else len(columns.demand) + len(feeds)
    if width:
        for which in (size + 1, high + 1):
            part = (
                feeds_from(columns, feeds, which)
                + sums_from(columns, blocks, int(np.int64(1)), which, which, which, which)[0]
            )
            need += part if which == size + 1 else -part
    number, of = equals(columns, blocks, feeds, low, high, most_wanted)
    value, times = np.empty(len(number), np.int64), np.empty(len(number), np.int64)
    by_times = np.zeros(256, np.int64)
    for n in range(len(number)):
        if of[n] < 0:
            value[n], times[n] = columns.big_demand[number[n]], history.feed_times[number[n]]
        else:
            value[n], times[n] = columns.demand[number[n]], history.slot_times[number[n]]
        by_times[times[n]] += value[n]
    level = 0
    while level < 255 and by_times[level] <= need:
        need -= int(by_times[level])
        level += 1
    # Inside the level that is cut: the largest size such that all above it do not yet cover.
    least, most = low - 1, high
    while most - least > 1:
        middle = (least + most) // 2
        total = 0
        for n in range(len(number)):
            total += int(value[n]) if times[n] == level and value[n] > middle else 0
        if total <= need:
            most = middle
        else:
            least = middle
    goes = np.zeros(len(number), np.bool_)
    for n in range(len(number)):
        goes[n] = times[n] < level or (times[n] == level and value[n] > most)
        if goes[n] and times[n] == level:
            need -= int(value[n])
    for n in range(len(number)):
        if times[n] == level and value[n] == most and most <= need:
            goes[n] = True
            need -= most
    return number[goes], of[goes], need


@inner_kernel
def equals(
    columns: Columns, blocks: NDArray[np.int32], feeds: NDArray[np.int32], low: int, high: int, wanted: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(slot or feed, block or -1) of the first `wanted` served ones with a demand from `low` to `high`."""
    demand, tree, block_start, block_tree = columns.demand, columns.tree, columns.block_start, columns.block_tree
    number, of = np.empty(1024, np.int64), np.empty(1024, np.int32)
    one, none = np.int32(1), np.int32(0)
    least, most = np.int32(min(low, DEMAND_LIMIT + 1)), np.int32(min(high, DEMAND_LIMIT + 1))
    count = 0
    for feed in feeds:
        if low <= int(columns.big_demand[feed]) <= high and count < wanted:
            if count == len(number):
                number, of = np.concatenate((number, number)), np.concatenate((of, of))
            number[count], of[count] = feed, -1
            count += 1
    for n in range(len(blocks)):
        if count >= wanted:
            break
        block = int(blocks[n])
        begin, end = int(block_start[block]), int(block_start[block + 1])
        found, part = none, demand[begin:end]
        for i in range(len(part)):
            found = np.int32(found + (one if np.int32(part[i]) >= least and np.int32(part[i]) <= most else none))
        while count + int(found) > len(number):
            number, of = np.concatenate((number, number)), np.concatenate((of, of))
        left, mixed = int(found), int(block_tree[block]) == MIXED
        for slot in range(begin, end):
            if left == 0 or count >= wanted:
                break
            if low <= int(demand[slot]) <= high:
                left -= 1
                if not mixed or int(tree[slot]) != NO_TREE:
                    number[count], of[count] = slot, block
                    count += 1
    return number[:count], of[:count]
