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
from scowl_edge.tracker.population.assign import mix, move_big, move_block, move_slot, unmix
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
    """The cut within one class; what is still to be covered after it, never positive unless all are starved."""
    blocks = served_blocks(columns, zone_from, zone_to, klass)
    feeds = served_feeds(columns, zone_from, zone_to, klass)
    if len(blocks) + len(feeds) == 0:
        return deficit
    threshold = threshold_of(columns, blocks, feeds, deficit)
    left = deficit - starve_above(columns, log, blocks, feeds, threshold)
    if threshold == 0 or left <= 0:
        return left
    for n in range(len(feeds)):
        feed = int(feeds[n])
        if left >= threshold and int(columns.big_demand[feed]) == threshold:
            move_big(columns, log, feed, NO_TREE)
            left -= threshold
    for n in range(len(blocks)):
        if left < threshold:
            break
        block = int(blocks[n])
        for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
            if left >= threshold and int(columns.demand[slot]) == threshold and is_served(columns, block, slot):
                mix(columns, block)
                move_slot(columns, log, block, slot, NO_TREE)
                left -= threshold
    if left > 0:
        left -= starve_fitting(columns, log, blocks, feeds, left)
    return left


@kernel
def is_served(columns: Columns, block: int, slot: int) -> bool:
    """Whether a slot is in a tree."""
    tree = int(columns.block_tree[block])
    if tree == MIXED:
        tree = int(columns.tree[slot])
    return tree != NO_TREE


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
    found = np.empty(max(0, end - first), np.int32)
    count = 0
    for block in range(first, end):
        if int(columns.block_class[block]) == klass and int(columns.block_tree[block]) != NO_TREE:
            found[count] = block
            count += 1
    return found[:count]


@kernel
def served_feeds(columns: Columns, zone_from: int, zone_to: int, klass: int) -> NDArray[np.int32]:
    """Big feeds of a class in a range of zones that are in a tree and consume."""
    found = np.empty(len(columns.big_tree), np.int32)
    count = 0
    for feed in range(len(columns.big_tree)):
        if (
            int(columns.big_class[feed]) == klass
            and zone_from <= int(columns.big_zone[feed]) < zone_to
            and int(columns.big_tree[feed]) != NO_TREE
            and int(columns.big_demand[feed]) > 0
        ):
            found[count] = feed
            count += 1
    return found[:count]


@kernel
def slots_from(columns: Columns, blocks: NDArray[np.int32], step: int, size: int) -> int:
    """Sum of the served demands of at least `size` in every `step`-th block."""
    total = 0
    for n in range(0, len(blocks), step):
        block = int(blocks[n])
        low, high = columns.block_start[block], columns.block_start[block + 1]
        if int(columns.block_tree[block]) == MIXED:
            for slot in range(low, high):
                demand = int(columns.demand[slot])
                total += demand if demand >= size and int(columns.tree[slot]) != NO_TREE else 0
        else:
            for value in columns.demand[low:high]:
                demand = int(value)
                total += demand if demand >= size else 0
    return total


@kernel
def feeds_from(columns: Columns, feeds: NDArray[np.int32], size: int) -> int:
    """Sum of the demands of at least `size` among these big feeds."""
    total = 0
    for feed in feeds:
        demand = int(columns.big_demand[feed])
        total += demand if demand >= size else 0
    return total


@kernel
def threshold_of(columns: Columns, blocks: NDArray[np.int32], feeds: NDArray[np.int32], deficit: int) -> int:
    """The largest size such that all of at least that size cover the deficit; 0 if all together do not."""
    low, high = 0, DEMAND_LIMIT + 1
    for feed in feeds:
        high = max(high, int(columns.big_demand[feed]) + 1)
    while high - low > 1:
        size = (low + high) // 2
        if feeds_from(columns, feeds, size) + slots_from(columns, blocks, 1, size) >= deficit:
            low = size
        else:
            high = size
    return low


@kernel
def starve_above(columns: Columns, log: Log, blocks: NDArray[np.int32], feeds: NDArray[np.int32], size: int) -> int:
    """Starves all that are larger than `size`; how much that is."""
    total = 0
    for feed in feeds:
        demand = int(columns.big_demand[feed])
        if demand > size:
            move_big(columns, log, int(feed), NO_TREE)
            total += demand
    for n in range(len(blocks)):
        total += starve_in_block(columns, log, int(blocks[n]), size)
    return total


@kernel
def starve_in_block(columns: Columns, log: Log, block: int, size: int) -> int:
    """Starves the members of a block that are larger than `size`; how much that is.

    Where most go, the block goes as a whole and the others come back: fewer entries than one for each that goes.
    """
    low, high = int(columns.block_start[block]), int(columns.block_start[block + 1])
    before = int(columns.block_served[block])
    tree = int(columns.block_tree[block])
    go, stay = 0, 0
    for value in columns.demand[low:high]:
        demand = int(value)
        go += 1 if demand > size else 0
        stay += 1 if demand != 0 and demand <= size else 0
    if go == 0:
        return 0
    if tree != MIXED and go >= stay:
        move_block(columns, log, block, NO_TREE)
        if stay:
            mix(columns, block)
            for slot in range(low, high):
                demand = int(columns.demand[slot])
                if demand != 0 and demand <= size:
                    move_slot(columns, log, block, slot, tree)
    else:
        mix(columns, block)
        for slot in range(low, high):
            if int(columns.demand[slot]) > size:
                move_slot(columns, log, block, slot, NO_TREE)
        if stay == 0:
            unmix(columns, block)
    return before - int(columns.block_served[block])


@kernel
def starve_fitting(
    columns: Columns, log: Log, blocks: NDArray[np.int32], feeds: NDArray[np.int32], deficit: int
) -> int:
    """Starves the one that covers a deficit with the least to spare; its demand, 0 if none covers it."""
    best, best_block, best_slot, best_feed = 0, -1, -1, -1
    for feed in feeds:
        demand = int(columns.big_demand[feed])
        if demand >= deficit and (best == 0 or demand < best) and int(columns.big_tree[feed]) != NO_TREE:
            best, best_feed = demand, int(feed)
    for n in range(len(blocks)):
        if best == deficit:
            break
        block = int(blocks[n])
        if int(columns.block_tree[block]) == NO_TREE:
            continue
        for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
            demand = int(columns.demand[slot])
            if demand >= deficit and (best == 0 or demand < best) and is_served(columns, block, slot):
                best, best_block, best_slot, best_feed = demand, block, slot, -1
    if best_feed >= 0:
        move_big(columns, log, best_feed, NO_TREE)
    elif best_slot >= 0:
        mix(columns, best_block)
        move_slot(columns, log, best_block, best_slot, NO_TREE)
    return best
