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
    inside = np.zeros(len(columns.zone_parent), np.uint8)
    inside[zone_from:zone_to] = 1
    return starve_inside(columns, log, history, inside, deficit)


@kernel
def starve_inside(columns: Columns, log: Log, history: History, inside: NDArray[np.uint8], deficit: int) -> int:
    """`starve` for any set of zones: uint8[zones], 1 = in it."""
    left = deficit
    k = CLASSES - 1
    while left > 0 and k > PROTECTED:
        left = starve_class(columns, log, history, inside, k, left)
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
    columns: Columns, log: Log, history: History, inside: NDArray[np.uint8], klass: int, deficit: int
) -> int:
    """The cut within one class; what is still to be covered after it, positive only if all of the class are starved."""
    blocks = served_blocks(columns, inside, klass)
    feeds = served_feeds(columns, inside, klass)
    if len(blocks) + len(feeds) == 0:
        return deficit
    size, above = threshold_of(columns, blocks, feeds, deficit)
    if size == 0:
        return deficit - starve_feeds(columns, log, feeds, 0) - starve_larger(columns, log, blocks, 0)
    width = size // EQUAL if history.totals[0] else 0
    number, of, need = choose(columns, history, blocks, feeds, size, width, deficit - above)
    if width:
        fewest = counted(columns, blocks, feeds, size) + len(
            choose(columns, history, blocks, feeds, size, 0, deficit - above)[0]
        )
        # Where fairness among all equals would cost too many, the range of equals is a narrower one.
        while width and counted(columns, blocks, feeds, size + width) + len(number) > fewest + fewest // DEARER:
            width //= 2
            number, of, need = choose(columns, history, blocks, feeds, size, width, deficit - above)
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
def served_blocks(columns: Columns, inside: NDArray[np.uint8], klass: int) -> NDArray[np.int32]:
    """Blocks of a class in these zones of which at least a part is in a tree."""
    zone_from, zone_to = 0, len(inside)
    while zone_from < zone_to and not inside[zone_from]:
        zone_from += 1
    while zone_to > zone_from and not inside[zone_to - 1]:
        zone_to -= 1
    first, end = first_block(columns, zone_from), first_block(columns, zone_to)
    block_class, block_tree, block_zone = columns.block_class, columns.block_tree, columns.block_zone
    found = np.empty(max(0, end - first), np.int32)
    count = 0
    for block in range(first, end):
        if int(block_class[block]) == klass and inside[block_zone[block]] and int(block_tree[block]) != NO_TREE:
            found[count] = block
            count += 1
    return found[:count]


@kernel
def served_feeds(columns: Columns, inside: NDArray[np.uint8], klass: int) -> NDArray[np.int32]:
    """Big feeds of a class in these zones that are in a tree and consume."""
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
            and inside[big_zone[feed]]
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


@kernel
def feeds_from(columns: Columns, feeds: NDArray[np.int32], size: int) -> int:
    """Sum of the demands of at least `size` among these big feeds."""
    big_demand, total = columns.big_demand, 0
    for feed in feeds:
        each = int(big_demand[feed])
        total += each if each >= size else 0
    return total


@kernel
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
        return search(columns, blocks, feeds, deficit, 1, 0)
    # The guess of a sample is off by little; all together check it and put it right.
    guess, above = search(columns, blocks, feeds, deficit, SAMPLE, 0)
    return search(columns, blocks, feeds, deficit, 1, guess)


@kernel
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


@kernel
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


@kernel
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
            part = feeds_from(columns, feeds, which) + sums_from(columns, blocks, 1, which, which, which, which)[0]
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


@kernel
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
    limit, beyond = np.int32(min(deficit, DEMAND_LIMIT + 1)), np.int32(DEMAND_LIMIT + 1)
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
        least, part = beyond, demand[low:high]
        if of == MIXED:
            trees = tree[low:high]
            for i in range(len(part)):
                one = np.int32(part[i]) if int(trees[i]) != NO_TREE else np.int32(0)
                least = min(least, one if one >= limit else beyond)
        elif of != NO_TREE:
            for i in range(len(part)):
                one = np.int32(part[i])
                least = min(least, one if one >= limit else beyond)
        if int(least) < best and least != beyond:
            best, best_block, best_feed = int(least), block, -1
    if best_feed >= 0:
        move_big(columns, log, best_feed, NO_TREE)
    elif best_block >= 0:
        mix(columns, best_block)
        for slot in range(int(block_start[best_block]), int(block_start[best_block + 1])):
            if int(demand[slot]) == best and int(tree[slot]) != NO_TREE:
                move_slot(columns, log, best_block, slot, NO_TREE)
                break
    return best if best < none else 0
