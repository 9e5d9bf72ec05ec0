"""The fewest departures: how many members each tree must lose at least. See `bounds.departures`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.columns import MIXED, NO_TREE, Columns
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


@kernel
def count_departures(columns: Columns, least: NDArray[np.int64]) -> None:
    """Writes the fewest departures of each tree, int64[trees]."""
    trees = len(columns.tree_load)
    over = np.zeros(trees, np.int64)
    some = False
    for tree in range(trees):
        least[tree] = 0
        if columns.tree_alive[tree] == 0:
            over[tree] = NO_LIMIT
        else:
            over[tree] = max(0, columns.tree_load[tree] - columns.tree_safe[tree])
        some = some or over[tree] > 0
    if not some:
        return

    feed_key = np.full(len(columns.big_tree), -1, np.int64)
    for feed in range(len(feed_key)):
        tree = int(columns.big_tree[feed])
        if tree != NO_TREE and over[tree] > 0 and columns.big_demand[feed] != 0:
            feed_key[feed] = tree
    feed_start, feeds = grouped(feed_key, trees)
    large, result = np.zeros(len(feeds), np.int64), np.zeros(4, np.int64)
    open_trees = 0
    for tree in range(trees):
        if over[tree] == 0:
            continue
        many, total = 0, 0
        for i in range(feed_start[tree], feed_start[tree + 1]):
            demand = int(columns.big_demand[feeds[i]])
            if demand >= SIZES:
                large[many] = demand
                total += demand
                many += 1
        if over[tree] == NO_LIMIT:
            least[tree] = feed_start[tree + 1] - feed_start[tree]
            open_trees += 1
        elif total >= over[tree]:
            least_covering(large, many, over[tree], result)
            least[tree] = result[0]
            over[tree] = 0
        else:
            # What is left of the overload is for feeds and slots of lesser size.
            least[tree] = many
            over[tree] -= total
            open_trees += 1
    if open_trees:
        count_small_departures(columns, feed_start, feeds, over, least)


@inner_kernel
def count_small_departures(
    columns: Columns,
    feed_start: NDArray[np.int64],
    feeds: NDArray[np.int64],
    over: NDArray[np.int64],
    least: NDArray[np.int64],
) -> None:
    """Adds to `least` the feeds below `SIZES` and the slots that must leave where `over` is not covered yet."""
    trees = len(over)
    block_key = np.full(len(columns.block_tree), -1, np.int64)
    mixed = 0
    for block in range(len(block_key)):
        tree = int(columns.block_tree[block])
        if tree == MIXED:
            mixed += columns.block_start[block + 1] - columns.block_start[block]
        elif tree != NO_TREE and over[tree] > 0:
            block_key[block] = tree
    block_start, blocks = grouped(block_key, trees)
    # Mixed blocks lend their slots one by one.
    slot_key, mixed_slots = np.full(mixed, -1, np.int64), np.zeros(mixed, np.int64)
    mixed = 0
    for block in range(len(block_key)):
        if columns.block_tree[block] == MIXED:
            for slot in range(columns.block_start[block], columns.block_start[block + 1]):
                tree = int(columns.tree[slot])
                if columns.demand[slot] != 0 and tree != NO_TREE and over[tree] > 0:
                    slot_key[mixed], mixed_slots[mixed] = tree, slot
                    mixed += 1
    slot_start, slot_order = grouped(slot_key[:mixed], trees)
    # Slots of each tree that is above its safe load.
    slots, most, some_many = np.zeros(trees, np.int64), 0, False
    for tree in range(trees):
        if 0 < over[tree] < NO_LIMIT:
            slots[tree] = slot_start[tree + 1] - slot_start[tree]
            for i in range(block_start[tree], block_start[tree + 1]):
                slots[tree] += columns.block_start[blocks[i] + 1] - columns.block_start[blocks[i]]
            if slots[tree] > FEW:
                some_many = True
            else:
                most = max(most, slots[tree] + feed_start[tree + 1] - feed_start[tree])
    sizes, values = np.zeros((2, SIZES if some_many else 0), np.int32), np.empty(most, np.int64)
    tops, no_limit, result = np.zeros(len(blocks), np.int16), np.full(trees, NO_LIMIT, np.int64), np.zeros(4, np.int64)
    for tree in range(trees):
        if over[tree] == 0:
            continue
        if over[tree] == NO_LIMIT:
            members = 0
            for i in range(block_start[tree], block_start[tree + 1]):
                here = 0
                for demand in columns.demand[
                    columns.block_start[blocks[i]] : columns.block_start[blocks[i] + 1]
                ]:  # fmt: skip
                    here += demand != 0
                members += here
            least[tree] += members + slot_start[tree + 1] - slot_start[tree]
            continue
        few, count = slots[tree] <= FEW, 0
        for i in range(slot_start[tree], slot_start[tree + 1]):
            size = int(columns.demand[mixed_slots[slot_order[i]]])
            if few and size > 0:
                values[count] = size
                count += 1
            elif not few:
                sizes[0, max(0, size)] += 1
        for i in range(feed_start[tree], feed_start[tree + 1]):
            size = int(columns.big_demand[feeds[i]])
            if few and 0 < size < SIZES:
                values[count] = size
                count += 1
            elif 0 < size < SIZES:
                sizes[0, size] += 1
        if few:
            for i in range(block_start[tree], block_start[tree + 1]):
                start, stop = columns.block_start[blocks[i]], columns.block_start[blocks[i] + 1]
                count = gather(columns.demand[start:stop], SIZES, values, count)
            total = 0
            for i in range(count):
                total += values[i]
            if total >= over[tree]:
                least_covering(values, count, over[tree], result)
            else:
                result[0] = count
        else:
            count_largest(columns, block_start, blocks, tree, tree + 1, no_limit, over[tree], tops, sizes)
            walk_down(sizes[0], over[tree], result)
            sizes[:] = 0
        least[tree] += result[0]
