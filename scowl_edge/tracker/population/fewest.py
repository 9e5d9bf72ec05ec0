"""The fewest starved: the cut that supply and nested ratings force, at its least. See `bounds.fewest_starved`.

A *ring* is all that one limit holds for: a zone and all below it, last the whole population, whose limit is the supply.

Why no plan has less: what a class must give in a ring is what is too much there once all of the less important classes
are cut and the more important ones gave the most that so few of them can be worth. Within one class the rings are
served from the innermost outwards, each with the largest that are left: the sets with at least so many members in every
ring are the bases of a matroid, where that greedy choice is the fewest and worth the most for its number. Where no ring
that is exceeded lies within another, the fewest of a class are also worth the most in each ring at once, so nothing is
given away and the bound is reached.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.columns import CLASSES, PROTECTED, Columns
from scowl_edge.tracker.population.largest import (
    FEW,
    NO_LIMIT,
    SIZES,
    count_largest,
    gather,
    grouped,
    least_covering,
    walk_down,
)

NUMBER, QUANTA, OWN, LAST = 0, 1, 2, 3
"""Rows of what `cut_class` tells of each ring: how many are cut in it, their demand, how many of them the ring's own
limit forces beyond those of the rings within it, and the smallest of these."""


@kernel
def cut_fewest(columns: Columns, count: NDArray[np.int64]) -> int:
    """Adds those starved at least, by class; returns what class 0 leaves uncovered, in quanta.

    The most important class first: it gives what no cut of all the less important ones could. How much the less
    important need not give for that is taken to be the most that so few of it can be worth, in every ring by itself.
    """
    zones = len(columns.zone_parent)
    above, excess = np.empty(zones, np.int64), np.empty(zones + 1, np.int64)
    first = first_cut(columns, above, excess)
    if first == CLASSES:
        return 0
    # What the classes that come after one could give: at most, of each ring.
    after, here = np.zeros(zones + 1, np.int64), np.zeros((CLASSES, zones + 1), np.int64)
    for k in range(first + 1, CLASSES):
        sum_consumption(columns, k, above, here[k])
        after += here[k]
    if after[zones] > 0:
        sum_consumption(columns, first, above, here[first])
    cut, extra = np.zeros((4, zones + 1), np.int64), np.zeros(zones + 1, np.int64)
    uncovered = 0
    for k in range(first, CLASSES):
        need = excess - after
        if need.max() > 0:
            cut_class(columns, k, need, above, cut)
            count[k] += cut[NUMBER, zones]
            if k == PROTECTED + 1:
                uncovered = max(0, int((need - cut[QUANTA]).max()))
            # From the outermost ring to the innermost: how many of those cut without need elsewhere may be in each.
            for zone in range(zones):
                extra[zone] = extra[above[zone]] + cut[OWN, above[zone]]
            for ring in range(zones + 1):
                worth = cut[QUANTA, ring]
                if extra[ring] > 0:
                    worth = here[k, ring]
                    if cut[OWN, ring] > 0:
                        worth = min(worth, cut[QUANTA, ring] + extra[ring] * cut[LAST, ring])
                excess[ring] -= worth
        if after[zones] == 0:
            break
        after -= here[k + 1]
    return uncovered


@inner_kernel
def first_cut(columns: Columns, above: NDArray[np.int64], excess: NDArray[np.int64]) -> int:
    """The most important class that may have to be cut, CLASSES = none; reads no slot.

    Args:
        columns: the state.
        above: int64[zones] gets the next ring around each zone.
        excess: int64[zones + 1] gets what each ring wants above its limit, quanta.
    """
    zones = len(columns.zone_parent)
    net = np.zeros((zones + 1, CLASSES), np.int64)
    for block in range(len(columns.block_tree)):
        net[columns.block_zone[block], columns.block_class[block]] += columns.block_sum[block]
    for feed in range(len(columns.big_tree)):
        net[columns.big_zone[feed], columns.big_class[feed]] += int(columns.big_demand[feed])
    supply = 0
    for tree in range(len(columns.tree_safe)):
        supply += columns.tree_safe[tree]
    first = CLASSES
    for ring in range(zones, 2 * zones + 1):
        # Zones from the last to the first, then all.
        at, limit = zones, supply
        if ring < 2 * zones:
            at = 2 * zones - 1 - ring
            parent = int(columns.zone_parent[at])
            above[at] = parent if parent >= 0 else zones
            net[above[at]] += net[at]
            limit = columns.zone_limit[at]
        excess[at] = -NO_LIMIT
        if limit >= 0 or at == zones:
            wanted = 0
            for k in range(CLASSES):
                wanted += net[at, k]
            excess[at] = wanted - limit
        # The less important give at least as much as they want net of roofs.
        left, k = int(excess[at]), CLASSES
        while left > 0 and k > PROTECTED + 1:
            k -= 1
            left -= max(0, net[at, k])
        first = min(first, k)
    return first


@inner_kernel
def sum_consumption(columns: Columns, klass: int, above: NDArray[np.int64], total: NDArray[np.int64]) -> None:
    """Adds what all consumers of a class draw in each ring to int64[zones + 1]; what roofs produce is not taken off."""
    for block in range(len(columns.block_tree)):
        if int(columns.block_class[block]) == klass:
            here = 0
            for slot_demand in columns.demand[columns.block_start[block] : columns.block_start[block + 1]]:
                here += max(0, int(slot_demand))
            total[columns.block_zone[block]] += here
    for feed in range(len(columns.big_tree)):
        if int(columns.big_class[feed]) == klass:
            total[columns.big_zone[feed]] += max(0, int(columns.big_demand[feed]))
    for zone in range(len(above) - 1, -1, -1):
        total[above[zone]] += total[zone]


@inner_kernel
def cut_class(
    columns: Columns, klass: int, need: NDArray[np.int64], above: NDArray[np.int64], cut: NDArray[np.int64]
) -> None:
    """The fewest of one class that cover the need of every ring: from the innermost outwards the largest that are left.

    Args:
        columns: the state.
        klass: the class.
        need: int64[zones + 1] quanta. Where all there are do not cover it, all are cut.
        above: int64[zones] the next ring around each zone.
        cut: int64[4, zones + 1] is overwritten with what was cut, see `NUMBER`; no other choice of so many in a ring
            is worth more, as long as the rings within it are covered too.
    """
    zones = len(above)
    block_key = np.full(len(columns.block_tree), -1, np.int64)
    for block in range(len(block_key)):
        if int(columns.block_class[block]) == klass:
            block_key[block] = columns.block_zone[block]
    feed_key = np.full(len(columns.big_tree), -1, np.int64)
    for feed in range(len(feed_key)):
        if int(columns.big_class[feed]) == klass:
            feed_key[feed] = columns.big_zone[feed]
    block_start, blocks = grouped(block_key, zones)
    feed_start, feeds = grouped(feed_key, zones)
    # In each zone all of `limit_size` and above are out, but `left_count` of `left_size` (noted where it was cut).
    limit_size = np.full(zones, NO_LIMIT, np.int64)
    left_size, left_count = np.zeros(zones, np.int64), np.zeros(zones, np.int64)
    slots = 0
    for block in blocks:
        slots += columns.block_start[block + 1] - columns.block_start[block]
    few = slots <= FEW
    large = np.empty(len(feeds) + (slots if few else 0), np.int64)
    sizes, tops = np.zeros((2, 0 if few else SIZES), np.int32), np.zeros(len(blocks), np.int16)
    single, result = 1 if few else SIZES, np.zeros(4, np.int64)
    cut[:] = 0
    for turn in range(zones + 1):
        ring = zones - 1 - turn if turn < zones else zones
        first, end = (ring, int(columns.zone_end[ring])) if turn < zones else (0, zones)
        missing = int(need[ring]) - int(cut[QUANTA, ring])
        if missing > 0:
            many, sum_large = 0, 0
            for zone in range(first, end):
                for i in range(feed_start[zone], feed_start[zone + 1]):
                    demand = int(columns.big_demand[feeds[i]])
                    if single <= demand < limit_size[zone]:
                        large[many] = demand
                        many += 1
                if left_size[zone] >= single:
                    for _ in range(left_count[zone]):
                        large[many] = left_size[zone]
                        many += 1
                if few:
                    for i in range(block_start[zone], block_start[zone + 1]):
                        start, stop = columns.block_start[blocks[i]], columns.block_start[blocks[i] + 1]
                        many = gather(columns.demand[start:stop], limit_size[zone], large, many)
            for i in range(many):
                sum_large += large[i]
            if sum_large >= missing:
                least_covering(large, many, missing, result)
            elif few:
                result[0], result[1], result[2], result[3] = many, 0, 0, sum_large
            else:
                for zone in range(first, end):
                    for i in range(feed_start[zone], feed_start[zone + 1]):
                        demand = int(columns.big_demand[feeds[i]])
                        if 0 < demand < min(SIZES, limit_size[zone]):
                            sizes[0, demand] += 1
                    if 0 < left_size[zone] < SIZES:
                        sizes[0, left_size[zone]] += left_count[zone]
                missing -= sum_large
                count_largest(columns, block_start, blocks, first, end, limit_size, missing, tops, sizes)
                walk_down(sizes[0], missing, result)
                result[0] += many
                result[3] += sum_large
                sizes[:] = 0
            for zone in range(first, end):
                limit_size[zone] = min(limit_size[zone], max(1, result[1]))
                if left_size[zone] >= result[1]:
                    left_count[zone] = 0
            left_size[first], left_count[first] = result[1], result[2]
            cut[NUMBER, ring] += result[0]
            cut[QUANTA, ring] += result[3]
            cut[OWN, ring], cut[LAST, ring] = result[0], result[1]
        if turn < zones:
            cut[NUMBER, above[ring]] += cut[NUMBER, ring]
            cut[QUANTA, above[ring]] += cut[QUANTA, ring]
