"""The starve cut: who goes without when there is less than is wanted. As few as can be, the least important first.

Classes go from the largest number down to 1; a class is exhausted before the next is touched. Inside the class that is
cut the largest go first and the last one is the best fitting, so that no more is cut than must be. Class 0 and what
produces are never cut. Among equals those go first who were starved less often.

The threshold of size is found by sums over whole blocks, without a sort: a sample says about where it is, one pass or
two over all say exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.assign import (
    mix,
    move_big,
    move_slot,
    starve_larger,
    starve_slots,
)
from scowl_edge.tracker.population.columns import CLASSES, DEMAND_LIMIT, MIXED, NO_TREE, PROTECTED, Columns, Log
from scowl_edge.tracker.population.history import History

EQUAL = 16
"""Those whose demand is within one part in so many of the threshold are equals."""
SAMPLE = 32
"""One block in so many is looked at to guess the threshold."""
DEARER = 1_000
"""Being fair to equals may cost one more starved consumer in so many."""


@kernel
def starve(columns: Columns, log: Log, history: History, zone_from: int, zone_to: int, deficit: int) -> int:
    """Starves served consumers of the zones `zone_from` .. `zone_to - 1` until their demand falls by `deficit`.

    Returns:
        Quanta that could not be covered: more than all that may be starved.
    """
    left = deficit
    k = CLASSES - 1
    while left > 0 and k > PROTECTED:
        left = starve_class(columns, log, history, zone_from, zone_to, k, left)
        k -= 1
    return max(0, left)


@kernel
def relieve_zones(columns: Columns, log: Log, history: History) -> int:
    """Starves within each zone that is above its limit, the innermost first.

    Returns:
        Quanta above limits that could not be covered: only what may not be starved is left there.
    """
    uncovered = 0
    for zone in range(len(columns.zone_parent) - 1, -1, -1):
        limit = int(columns.zone_limit[zone])
        over = int(columns.zone_load[zone]) - limit
        if limit >= 0 and over > 0:
            uncovered += starve(columns, log, history, zone, int(columns.zone_end[zone]), over)
    return uncovered


@kernel
def starve_class(
    columns: Columns, log: Log, history: History, zone_from: int, zone_to: int, klass: int, deficit: int
) -> int:
    """The cut within one class; what is still to be covered after it, positive only if all of the class are starved."""
    blocks = served_blocks(columns, zone_from, zone_to, klass)
    feeds = served_feeds(columns, zone_from, zone_to, klass)
    if len(blocks) + len(feeds) == 0:
        return deficit
    size = threshold_of(columns, blocks, feeds, deficit)
    if size == 0:
        return deficit - starve_feeds(columns, log, feeds, 0) - starve_larger(columns, log, blocks, 0)
    width = size // EQUAL if history.totals[0] else 0
    number, of, need = choose(columns, history, blocks, feeds, size, width, deficit)
    if width:
        fewest = counted(columns, blocks, feeds, size) + len(
            choose(columns, history, blocks, feeds, size, 0, deficit)[0]
        )
        # Where fairness among all equals would cost too many, the range of equals is a narrower one.
        while width and counted(columns, blocks, feeds, size + width) + len(number) > fewest + fewest // DEARER:
            width //= 2
            number, of, need = choose(columns, history, blocks, feeds, size, width, deficit)
    starve_feeds(columns, log, feeds, size + width)
    starve_larger(columns, log, blocks, size + width)
    starve_slots(columns, log, of[of >= 0], number[of >= 0])
    for feed in number[of < 0]:
        move_big(columns, log, int(feed), NO_TREE)
    if need > 0:
        need -= starve_fitting(columns, log, blocks, feeds, need)
    return need


@kernel
def first_block(columns: Columns, zone: int) -> int:
    """The first block of this zone or of one after it: blocks are sorted by zone."""
    low, high = 0, len(columns.block_zone)
    while low < high:
        middle = (low + high) // 2
        if int(columns.block_zone[middle]) < zone:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def served_blocks(columns: Columns, zone_from: int, zone_to: int, klass: int) -> NDArray[np.int32]:
    """Blocks of a class in a range of zones of which at least a part is in a tree."""
    first, end = first_block(columns, zone_from), first_block(columns, zone_to)
    block_class, block_tree = columns.block_class, columns.block_tree
    found = np.empty(max(0, end - first), np.int32)
    count = 0
    for block in range(first, end):
        if int(block_class[block]) == klass and int(block_tree[block]) != NO_TREE:
            found[count] = block
            count += 1
    return found[:count]


@kernel
def served_feeds(columns: Columns, zone_from: int, zone_to: int, klass: int) -> NDArray[np.int32]:
    """Big feeds of a class in a range of zones that are in a tree and consume."""
    big_class, big_zone, big_tree, big_demand = (
        columns.big_class,
        columns.big_zone,
        columns.big_tree,
        columns.big_demand,
    )
    found = np.empty(len(big_tree), np.int32)
    count = 0
    for feed in range(len(big_tree)):
        if (
            int(big_class[feed]) == klass
            and zone_from <= int(big_zone[feed]) < zone_to
            and int(big_tree[feed]) != NO_TREE
            and int(big_demand[feed]) > 0
        ):
            found[count] = feed
            count += 1
    return found[:count]


@kernel
def sums_from(
    columns: Columns, blocks: NDArray[np.int32], step: int, size_0: int, size_1: int, size_2: int, size_3: int
) -> tuple[int, int, int, int]:
    """Sums of the served demands of at least each of four sizes, in every `step`-th block."""
    demand, tree, block_start, block_tree = columns.demand, columns.tree, columns.block_start, columns.block_tree
    sum_0, sum_1, sum_2, sum_3 = 0, 0, 0, 0
    for n in range(0, len(blocks), step):
        block = int(blocks[n])
        low, high, of = int(block_start[block]), int(block_start[block + 1]), int(block_tree[block])
        if of == NO_TREE:
            continue
        if of == MIXED:
            for slot in range(low, high):
                each = int(demand[slot]) if int(tree[slot]) != NO_TREE else 0
                sum_0 += each if each >= size_0 else 0
                sum_1 += each if each >= size_1 else 0
                sum_2 += each if each >= size_2 else 0
                sum_3 += each if each >= size_3 else 0
        else:
            for value in demand[low:high]:
                each = int(value)
                sum_0 += each if each >= size_0 else 0
                sum_1 += each if each >= size_1 else 0
                sum_2 += each if each >= size_2 else 0
                sum_3 += each if each >= size_3 else 0
    return sum_0, sum_1, sum_2, sum_3


@kernel
def feeds_from(columns: Columns, feeds: NDArray[np.int32], size: int) -> int:
    """Sum of the demands of at least `size` among these big feeds."""
    big_demand, total = columns.big_demand, 0
    for feed in feeds:
        each = int(big_demand[feed])
        total += each if each >= size else 0
    return total


@kernel
def threshold_of(columns: Columns, blocks: NDArray[np.int32], feeds: NDArray[np.int32], deficit: int) -> int:
    """The largest size such that all of at least that size cover the deficit; 0 if all together do not."""
    high = DEMAND_LIMIT + 1
    if len(feeds) and feeds_from(columns, feeds, high) >= deficit:
        # Big feeds alone cover it.
        low = high
        high = int(columns.big_demand[feeds].max()) + 1
        while high - low > 1:
            size = (low + high) // 2
            if feeds_from(columns, feeds, size) >= deficit:
                low = size
            else:
                high = size
        return low
    low, guess = 0, high
    step = SAMPLE if len(blocks) > 8 * SAMPLE else 1
    while guess - low > 1:
        size = (low + guess) // 2
        slots = sums_from(columns, blocks, step, size, size, size, size)[0] * step
        if feeds_from(columns, feeds, size) + slots >= deficit:
            low = size
        else:
            guess = size
    if step == 1:
        return low
    # The sample is wrong by little; what it says is checked, and put right, by all.
    guess, low = low, 0
    near = max(2, guess // 64)
    size_0, size_1, size_2, size_3 = max(1, guess - near), max(1, guess), guess + 1, guess + 1 + near
    while high - low > 1:
        sums = sums_from(columns, blocks, 1, size_0, size_1, size_2, size_3)
        for size, total in ((size_0, sums[0]), (size_1, sums[1]), (size_2, sums[2]), (size_3, sums[3])):
            if low < size < high:
                if total + feeds_from(columns, feeds, size) >= deficit:
                    low = size
                else:
                    high = size
        part = max(1, (high - low) // 5)
        size_0, size_1, size_2 = low + part, low + 2 * part, low + 3 * part
        size_3 = low + 4 * part if high - low > 4 else high - 1
    return low


@kernel
def counted(columns: Columns, blocks: NDArray[np.int32], feeds: NDArray[np.int32], size: int) -> int:
    """How many served slots and feeds are larger than `size`."""
    demand, tree, count = columns.demand, columns.tree, 0
    for feed in feeds:
        count += 1 if int(columns.big_demand[feed]) > size else 0
    for n in range(len(blocks)):
        block = int(blocks[n])
        low, high = int(columns.block_start[block]), int(columns.block_start[block + 1])
        if int(columns.block_tree[block]) == MIXED:
            for slot in range(low, high):
                count += 1 if int(demand[slot]) > size and int(tree[slot]) != NO_TREE else 0
        else:
            for value in demand[low:high]:
                count += 1 if int(value) > size else 0
    return count


@kernel
def choose(
    columns: Columns,
    history: History,
    blocks: NDArray[np.int32],
    feeds: NDArray[np.int32],
    size: int,
    width: int,
    deficit: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], int]:
    """Who of the equals goes, given that all above `size` + `width` do: the least often starved, of these the largest.

    Returns:
        Slot or feed of each; its block, -1 for a feed; what is still to be covered, by one more that fits well.
    """
    high, low = size + width, max(1, size - width)
    need = (
        deficit
        - feeds_from(columns, feeds, high + 1)
        - sums_from(columns, blocks, 1, high + 1, high + 1, high + 1, high + 1)[0]
    )
    number, of = equals(columns, blocks, feeds, low, high)
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


@kernel
def equals(
    columns: Columns, blocks: NDArray[np.int32], feeds: NDArray[np.int32], low: int, high: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(slot or feed, block or -1) of all served ones with a demand from `low` to `high`."""
    demand, tree, block_start, block_tree = columns.demand, columns.tree, columns.block_start, columns.block_tree
    number, of = np.empty(1024, np.int64), np.empty(1024, np.int32)
    count = 0
    for feed in feeds:
        if low <= int(columns.big_demand[feed]) <= high:
            if count == len(number):
                number, of = np.concatenate((number, number)), np.concatenate((of, of))
            number[count], of[count] = feed, -1
            count += 1
    for n in range(len(blocks)):
        block = int(blocks[n])
        begin, end = int(block_start[block]), int(block_start[block + 1])
        found = 0
        for value in demand[begin:end]:
            found += 1 if low <= int(value) <= high else 0
        if found == 0:
            continue
        while count + found > len(number):
            number, of = np.concatenate((number, number)), np.concatenate((of, of))
        mixed = int(block_tree[block]) == MIXED
        for slot in range(begin, end):
            if low <= int(demand[slot]) <= high and (not mixed or int(tree[slot]) != NO_TREE):
                number[count], of[count] = slot, block
                count += 1
    return number[:count], of[:count]


@kernel
def starve_feeds(columns: Columns, log: Log, feeds: NDArray[np.int32], size: int) -> int:
    """Starves the feeds that are larger than `size`; how much that is."""
    total = 0
    for feed in feeds:
        each = int(columns.big_demand[feed])
        if each > size:
            move_big(columns, log, int(feed), NO_TREE)
            total += each
    return total


@kernel
def starve_fitting(
    columns: Columns, log: Log, blocks: NDArray[np.int32], feeds: NDArray[np.int32], deficit: int
) -> int:
    """Starves the one that covers a deficit with the least to spare; its demand, 0 if none covers it."""
    demand, tree, block_start, block_tree = columns.demand, columns.tree, columns.block_start, columns.block_tree
    none = 1 << 62
    best, best_block, best_feed = none, -1, -1
    for feed in feeds:
        each = int(columns.big_demand[feed])
        if deficit <= each < best and int(columns.big_tree[feed]) != NO_TREE:
            best, best_feed = each, int(feed)
    for n in range(len(blocks) - 1, -1, -1):
        if best == deficit:
            break
        block = int(blocks[n])
        low, high, of = int(block_start[block]), int(block_start[block + 1]), int(block_tree[block])
        least = none
        if of == MIXED:
            for slot in range(low, high):
                each = int(demand[slot])
                least = min(least, each if each >= deficit and int(tree[slot]) != NO_TREE else none)
        elif of != NO_TREE:
            for value in demand[low:high]:
                each = int(value)
                least = min(least, each if each >= deficit else none)
        if least < best:
            best, best_block, best_feed = least, block, -1
    if best_feed >= 0:
        move_big(columns, log, best_feed, NO_TREE)
    elif best_block >= 0:
        mix(columns, best_block)
        for slot in range(int(block_start[best_block]), int(block_start[best_block + 1])):
            if int(demand[slot]) == best and int(tree[slot]) != NO_TREE:
                move_slot(columns, log, best_block, slot, NO_TREE)
                break
    return best if best < none else 0
