"""The fewest starved: the cut that supply and nested ratings force, at its least. See `bounds.fewest_starved`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.columns import CLASSES, PROTECTED, Columns
from scowl_edge.tracker.population.largest import (
    NO_LIMIT,
    SIZES,
    count_largest,
    count_smallest,
    grouped,
    least_covering,
    walk_down,
)


@kernel
def cut_fewest(columns: Columns, count: NDArray[np.int64]) -> int:
    """Adds those starved at least, by class; returns what class 0 leaves uncovered, in quanta."""
    zones = len(columns.zone_parent)
    wanted, removed = np.zeros(zones, np.int64), np.zeros(zones, np.int64)
    for block in range(len(columns.block_tree)):
        wanted[columns.block_zone[block]] += columns.block_sum[block]
    for feed in range(len(columns.big_tree)):
        wanted[columns.big_zone[feed]] += int(columns.big_demand[feed])
    wanted_of_all, removed_of_all, uncovered, some = 0, 0, 0, False
    for zone in range(zones - 1, -1, -1):
        limit, above = int(columns.zone_limit[zone]), int(columns.zone_parent[zone])
        some = some or (limit >= 0 and wanted[zone] > limit)
        if above >= 0:
            wanted[above] += wanted[zone]
        else:
            wanted_of_all += wanted[zone]
    supply = 0
    for tree in range(len(columns.tree_safe)):
        supply += columns.tree_safe[tree]
    if not some and wanted_of_all <= supply:
        return 0

    cells = zones * CLASSES
    # Zones of one class stand side by side: all of a class below a zone are one range.
    block_key = columns.block_class.astype(np.int64) * zones + columns.block_zone
    feed_key = columns.big_class.astype(np.int64) * zones + columns.big_zone
    block_start, blocks = grouped(block_key, cells)
    feed_start, feeds = grouped(feed_key, cells)
    # In each cell all of `limit_size` and above are out, but `left_count` of `left_size` (noted where it was cut).
    limit_size = np.full(cells, NO_LIMIT, np.int64)
    left_size, left_count = np.zeros(cells, np.int64), np.zeros(cells, np.int64)
    large, sizes = np.zeros(len(feeds), np.int64), np.zeros((2, SIZES), np.int32)
    tops, result = np.zeros(len(blocks), np.int16), np.zeros(4, np.int64)
    here = np.zeros(CLASSES, np.int64)
    for zone in range(zones - 1, -2, -1):
        if zone >= 0:
            first, end, limit = zone, int(columns.zone_end[zone]), int(columns.zone_limit[zone])
            excess = wanted[zone] - removed[zone] - limit if limit >= 0 else 0
        else:
            first, end, excess = 0, zones, wanted_of_all - removed_of_all - supply
        noted, klass = max(0, zone), CLASSES - 1
        here[:] = 0
        while excess > 0 and klass > PROTECTED:
            base = klass * zones
            many, sum_large = 0, 0
            for cell in range(base + first, base + end):
                for i in range(feed_start[cell], feed_start[cell + 1]):
                    demand = int(columns.big_demand[feeds[i]])
                    if SIZES <= demand < limit_size[cell]:
                        large[many] = demand
                        sum_large += demand
                        many += 1
                if left_size[cell] >= SIZES:
                    for _ in range(left_count[cell]):
                        large[many] = left_size[cell]
                        sum_large += left_size[cell]
                        many += 1
            if sum_large >= excess:
                least_covering(large, many, excess, result)
            else:
                for cell in range(base + first, base + end):
                    for i in range(feed_start[cell], feed_start[cell + 1]):
                        demand = int(columns.big_demand[feeds[i]])
                        if 0 < demand < min(SIZES, limit_size[cell]):
                            sizes[0, demand] += 1
                    if 0 < left_size[cell] < SIZES:
                        sizes[0, left_size[cell]] += left_count[cell]
                count_largest(
                    columns, block_start, blocks, base + first, base + end, limit_size, excess - sum_large, tops, sizes
                )
                walk_down(sizes[0], excess - sum_large, result)
                result[0] += many
                result[3] += sum_large
                sizes[:] = 0
            for cell in range(base + first, base + end):
                limit_size[cell] = min(limit_size[cell], max(1, result[1]))
                if left_size[cell] >= result[1]:
                    left_count[cell] = 0
            left_size[base + noted], left_count[base + noted] = result[1], result[2]
            here[klass] = result[0]
            excess -= result[3]
            if zone >= 0:
                removed[zone] += result[3]
            else:
                removed_of_all += result[3]
            klass -= 1
        # The last one cut may be large: what it leaves over feeds some of the less important again.
        for lesser in range(klass + 2, CLASSES):
            if excess < 0 and here[lesser] > 0:
                base = lesser * zones
                fed = count_smallest(
                    columns, block_start, blocks, feed_start, feeds, base + first, base + end, -excess, sizes
                )
                here[lesser] -= min(here[lesser], fed)
        count += here
        uncovered = max(uncovered, excess)
        if zone >= 0:
            above = int(columns.zone_parent[zone])
            if above >= 0:
                removed[above] += removed[zone]
            else:
                removed_of_all += removed[zone]
    return int(uncovered)
