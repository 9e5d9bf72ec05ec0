"""What a cut leaves over is settled among equals who starve, and nobody changes hands by that.

A tree that is still over starves the next ones of about the size where the cut ran; a tree with room gets back some
whom the cut has just taken from it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.columns import BIG, BLOCK, DEMAND_LIMIT, MIXED, NO_TREE, ROW, Columns, Log
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.members import block_of, tree_of_slot
from scowl_edge.tracker.population.overload import over_of
from scowl_edge.tracker.population.refeed import zones_bear
from scowl_edge.tracker.population.rehome import move_one
from scowl_edge.tracker.population.room import Room, room_of
from scowl_edge.tracker.population.threshold import equals

_EQUAL = 16
"""Those whose demand is within one part in so many of the threshold may take each other's place."""
_CLOSE = 256
"""Those that are closer than one part in so many do, if they are many."""
_EACH = 64
"""How many of them are listed at most, for each tree."""
_MOST = 16
"""How many of a tree may starve for others at most."""
_SLOT_BITS, _SIZE_BITS = 31, 15


class Trades(NamedTuple):
    """Who may starve instead, and who may be fed again, of each tree t at `first[t]` .. `first[t + 1] - 1`."""

    size: int
    """Where the cut ran, quanta; 0: there was none."""
    first_up: NDArray[np.int64]
    up: NDArray[np.int32]
    """Served slots up to that size, the largest first."""
    can: NDArray[np.int64]
    """[trees] Demand of those who may starve for others."""
    first_down: NDArray[np.int64]
    down: NDArray[np.int32]
    """Slots that the cut has taken, the largest first; grouped by the tree that had them."""


@inner_kernel
def grouped_slots(columns: Columns, slots: NDArray[np.int64], of: NDArray[np.int64]) -> tuple[
    NDArray[np.int64], NDArray[np.int32]
]:  # fmt: skip
    """Slots by tree (`of`, -1 = none), the largest first."""
    trees = len(columns.tree_safe)
    first = np.zeros(trees + 1, np.int64)
    keys, demand = np.empty(len(slots), np.int64), columns.demand
    count = 0
    for at in range(len(slots)):
        tree, slot = int(of[at]), int(slots[at])
        if tree >= 0:
            size = DEMAND_LIMIT - int(demand[slot])
            keys[count] = (tree << (_SLOT_BITS + _SIZE_BITS)) | (size << _SLOT_BITS) | slot
            first[tree + 1] += 1
            count += 1
    for tree in range(trees):
        first[tree + 1] += first[tree]
    keys = keys[:count]
    keys.sort()
    found = np.empty(count, np.int32)
    for at in range(count):
        found[at] = int(keys[at]) & ((1 << _SLOT_BITS) - 1)
    return first, found


@inner_kernel
def just_cut(columns: Columns, log: Log, first_entry: int, low: int, high: int) -> tuple[
    NDArray[np.int64], NDArray[np.int64]
]:  # fmt: skip
    """(slots, the tree that each was in) of whom the log tells that they were starved, of a demand in a range."""
    # A call with all columns costs more than looking at a slot.
    demand, tree, row_block, block_start = columns.demand, columns.tree, columns.row_block, columns.block_start
    block_tree, trees = columns.block_tree, len(columns.tree_safe)
    slots, of = np.empty(1024, np.int64), np.empty(1024, np.int64)
    count = 0
    for entry in range(first_entry, min(int(log.totals[0]), len(log.kind))):
        kind, before = int(log.kind[entry]), int(log.before[entry])
        if kind == BIG or int(log.after[entry]) != NO_TREE or before >= trees:
            continue
        start, end = 0 + int(log.number[entry]), 1 + int(log.number[entry])
        block = start
        if kind == BLOCK:
            start, end = 0 + int(block_start[block]), 0 + int(block_start[block + 1])
        else:
            block = 0 + int(row_block[start // ROW])
        found = 0
        for each in demand[start:end]:
            found += low <= each <= high
        if found == 0:
            continue
        mixed, plain = int(block_tree[block]) == MIXED, int(block_tree[block]) == NO_TREE
        for slot in range(start, end):
            if low <= int(demand[slot]) <= high and (plain or (mixed and int(tree[slot]) == NO_TREE)):
                if count == len(slots):
                    slots, of = np.concatenate((slots, slots)), np.concatenate((of, of))
                slots[count], of[count] = slot, before
                count += 1
    return slots[:count], of[:count]


@inner_kernel
def find_trades(columns: Columns, log: Log, history: History, first_entry: int) -> Trades:
    """Who may change places after the cut whose entries begin at `first_entry`: equals who starved as often."""
    klass, size = int(log.cut[0]), int(log.cut[1])
    trees = len(columns.tree_safe)
    nobody = np.zeros(0, np.int64)
    if size <= 0 or size > DEMAND_LIMIT or int(log.totals[0]) > len(log.kind):
        first, none = grouped_slots(columns, nobody, nobody)
        return Trades(0, first, none, np.zeros(trees, np.int64), first, none)
    width = size // _EQUAL
    slots, of = just_cut(columns, log, first_entry, max(1, size - size // _CLOSE), size + size // _CLOSE)
    if len(slots) < _MOST * trees:
        slots, of = just_cut(columns, log, first_entry, max(1, size - width), size + width)
    often = 0
    for slot in slots:
        often = max(often, int(history.slot_times[slot]))
    row_block, block_class = columns.row_block, columns.block_class
    for at in range(len(slots)):
        slot = int(slots[at])
        if int(history.slot_times[slot]) != often or int(block_class[row_block[slot // ROW]]) != klass:
            of[at] = -1
    first_down, down = grouped_slots(columns, slots, of)
    blocks = np.empty(len(columns.block_tree), np.int32)
    count = 0
    for block in range(len(blocks)):
        if int(columns.block_class[block]) == klass and int(columns.block_tree[block]) != NO_TREE:
            blocks[count] = block
            count += 1
    no_feeds = np.empty(0, np.int32)
    wanted = _EACH * trees
    served, block_of_each = equals(columns, blocks[:count], no_feeds, max(1, size - size // _CLOSE), size, wanted)
    if 2 * len(served) < wanted:
        served, block_of_each = equals(columns, blocks[:count], no_feeds, max(1, size - width), size, wanted)
    of = np.empty(len(served), np.int64)
    block_tree, tree_of, times = columns.block_tree, columns.tree, history.slot_times
    for at in range(len(served)):
        slot, tree = int(served[at]), int(block_tree[block_of_each[at]])
        if tree == MIXED:
            tree = 0 + int(tree_of[slot])
        of[at] = tree if tree < trees and int(times[slot]) <= often else -1
    first_up, up = grouped_slots(columns, served, of)
    can = np.zeros(trees, np.int64)
    for tree in range(trees):
        start = int(first_up[tree])
        for at in range(start, min(int(first_up[tree + 1]), start + _MOST)):
            can[tree] += int(columns.demand[up[at]])
    return Trades(size, first_up, up, can, first_down, down)


@inner_kernel
def starve_equals(columns: Columns, log: Log, room: Room, trades: Trades, tree: int) -> None:
    """Starves slots of a tree that are about as large as the threshold, until it is not over."""
    low, high = int(trades.first_up[tree]), int(trades.first_up[tree + 1])
    while low < high and over_of(columns, tree) > 0:
        over, at = over_of(columns, tree), low
        if int(columns.demand[trades.up[low]]) > over:
            # The last one: the smallest that still covers.
            at = high - 1
            while at > low and int(columns.demand[trades.up[at]]) < over:
                at -= 1
        slot = int(trades.up[at])
        trades.up[at] = trades.up[low]
        low += 1
        # It may have moved to another tree meanwhile.
        if tree_of_slot(columns, block_of(columns, slot), slot) == tree:
            move_one(columns, log, room, slot, NO_TREE)


@inner_kernel
def feed_again(columns: Columns, log: Log, room: Room, trades: Trades, tree: int) -> None:
    """Gives a tree with room back whom the cut has taken from it: as if they had never been cut."""
    for at in range(int(trades.first_down[tree]), int(trades.first_down[tree + 1])):
        slot = int(trades.down[at])
        demand, block = int(columns.demand[slot]), block_of(columns, slot)
        if (
            demand <= room_of(columns, tree)
            and tree_of_slot(columns, block, slot) == NO_TREE
            and zones_bear(columns, 0 + int(columns.block_zone[block]), 0 + demand, 0)
        ):
            move_one(columns, log, room, slot, tree)
            log.totals[2] -= 1
            log.totals[3] -= 1
