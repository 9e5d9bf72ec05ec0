"""The starve cut: who goes without when there is less than is wanted. As few as can be, the least important first.

Classes go from the largest number down to 1; a class is exhausted before the next is touched. Inside the class that is
cut the largest go first and the last one is the best fitting, so that no more is cut than must be. Class 0 and what
produces are never cut. Among equals those go first who were starved less often.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.assign import (
    mix,
    move_big,
    move_slot,
    starve_larger,
    starve_slots,
)
from scowl_edge.tracker.population.columns import CLASSES, DEMAND_LIMIT, MIXED, NO_TREE, PROTECTED, Columns, Log
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.threshold import choose, counted, threshold_of

EQUAL = 16
"""Those whose demand is within one part in so many of the threshold are equals."""
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
            uncovered += starve(columns, log, history, zone, 0 + int(columns.zone_end[zone]), over)
    return uncovered


@inner_kernel
def starve_class(
    columns: Columns, log: Log, history: History, inside: NDArray[np.uint8], klass: int, deficit: int
) -> int:
    """The cut within one class; what is still to be covered after it, positive only if all of the class are starved."""
    blocks = served_blocks(columns, inside, klass)
    feeds = served_feeds(columns, inside, klass)
    if len(blocks) + len(feeds) == 0:
        return deficit
    size, above = threshold_of(columns, blocks, feeds, deficit)
    log.cut[0], log.cut[1] = klass, size
    if size == 0:
        return deficit - starve_feeds(columns, log, feeds, size) - starve_larger(columns, log, blocks, size)
    width = size // EQUAL if history.totals[0] else 0
    number, of, need = choose(columns, history, blocks, feeds, size, width, deficit - above)
    if width:
        fewest = counted(columns, blocks, feeds, size) + len(
            choose(columns, history, blocks, feeds, size, 0 * width, deficit - above)[0]
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


@inner_kernel
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


@inner_kernel
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


@inner_kernel
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


@inner_kernel
def starve_feeds(columns: Columns, log: Log, feeds: NDArray[np.int32], size: int) -> int:
    """Starves the feeds that are larger than `size`; how much that is."""
    total = 0
    for feed in feeds:
        each = int(columns.big_demand[feed])
        if each > size:
            move_big(columns, log, 0 + int(feed), NO_TREE)
            total += each
    return total


@inner_kernel
def starve_fitting(
    columns: Columns, log: Log, blocks: NDArray[np.int32], feeds: NDArray[np.int32], deficit: int
) -> int:
    """Starves the one that covers a deficit with the least to spare; its demand, 0 if none covers it."""
    demand, tree, block_start, block_tree = columns.demand, columns.tree, columns.block_start, columns.block_tree
    none = 1 << 62
    limit, beyond = np.int32(min(deficit, DEMAND_LIMIT + 1)), np.int32(DEMAND_LIMIT + 1)
    best, best_block, best_feed = none, int(np.int64(-1)), int(np.int64(-1))
    for feed in feeds:
        each = int(columns.big_demand[feed])
        if deficit <= each < best and int(columns.big_tree[feed]) != NO_TREE:
            best, best_feed = each, 0 + int(feed)
    for n in range(len(blocks) - 1, -1, -1):
        if best == deficit:
            break
        block = 0 + int(blocks[n])
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
