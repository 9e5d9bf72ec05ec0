"""Who is in some trees: feeds, blocks and single slots, listed by tree and picked by size.

No lists are kept from step to step: they are made for the few trees that need it, in one pass over blocks and feeds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.columns import DEMAND_LIMIT, MIXED, ROW, Columns

_TREES = 65_536
_HALF = 1 << 31
NO_CLASS = -1
"""Instead of a class: all of them."""


class Members(NamedTuple):
    """Members of the wanted trees as they were when listed; those of tree t are at `first[t]` .. `first[t + 1] - 1`."""

    first_feed: NDArray[np.int64]
    feeds: NDArray[np.int32]
    first_block: NDArray[np.int64]
    blocks: NDArray[np.int32]
    """Blocks that were not mixed."""
    first_slot: NDArray[np.int64]
    slots: NDArray[np.int32]
    """Slots of mixed blocks, without those that have no demand."""


@inner_kernel
def key_of(demand: int, number: int) -> int:
    """A number to sort by: demand first; the lower number counts as the larger among equals."""
    return ((demand + _HALF) << 31) | (_HALF - 1 - number)


@inner_kernel
def demand_of(key: int) -> int:
    """The demand in a key, quanta."""
    return (key >> 31) - _HALF


@inner_kernel
def number_of(key: int) -> int:
    """The number in a key: a slot's, or, from the count of slots on, a feed's."""
    return _HALF - 1 - (key & (_HALF - 1))


@inner_kernel
def listed(
    tree_of: NDArray[np.uint16], wanted: NDArray[np.uint8], trees: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Blocks or feeds by tree; `wanted` has an entry for each value that a column of trees can hold."""
    first = np.zeros(trees + 1, np.int64)
    for value in tree_of:
        tree = int(value)
        if wanted[tree]:
            first[tree + 1] += 1
    for tree in range(trees):
        first[tree + 1] += first[tree]
    numbers = np.empty(first[trees], np.int32)
    at = first.copy()
    for number in range(len(tree_of)):
        tree = int(tree_of[number])
        if wanted[tree]:
            numbers[at[tree]] = number
            at[tree] += 1
    return first, numbers


@inner_kernel
def mixed_blocks(columns: Columns) -> NDArray[np.int32]:
    """Numbers of the mixed blocks."""
    found = np.empty(len(columns.block_tree), np.int32)
    count = 0
    for block in range(len(found)):
        if int(columns.block_tree[block]) == MIXED:
            found[count] = block
            count += 1
    return found[:count]


@inner_kernel
def listed_slots(
    columns: Columns, wanted: NDArray[np.uint8], trees: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Slots of mixed blocks that have demand, by tree."""
    mixed = mixed_blocks(columns)
    first = np.zeros(trees + 1, np.int64)
    for block in mixed:
        for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
            tree = int(columns.tree[slot])
            if wanted[tree] and int(columns.demand[slot]) != 0:
                first[tree + 1] += 1
    for tree in range(trees):
        first[tree + 1] += first[tree]
    numbers = np.empty(first[trees], np.int32)
    at = first.copy()
    for block in mixed:
        for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
            tree = int(columns.tree[slot])
            if wanted[tree] and int(columns.demand[slot]) != 0:
                numbers[at[tree]] = slot
                at[tree] += 1
    return first, numbers


@inner_kernel
def list_members(columns: Columns, wanted: NDArray[np.uint8]) -> Members:
    """All members of the wanted trees."""
    trees = len(columns.tree_safe)
    first_feed, feeds = listed(columns.big_tree, wanted, trees)
    first_block, blocks = listed(columns.block_tree, wanted, trees)
    first_slot, slots = listed_slots(columns, wanted, trees)
    return Members(first_feed, feeds, first_block, blocks, first_slot, slots)


@inner_kernel
def wanted_trees(flags: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Flags of trees, widened to every value that a column of trees can hold."""
    wanted = np.zeros(_TREES, np.uint8)
    for tree in range(len(flags)):
        wanted[tree] = flags[tree]
    return wanted


@inner_kernel
def block_of(columns: Columns, slot: int) -> int:
    """The block that a slot is in."""
    return int(columns.row_block[slot // ROW])


@inner_kernel
def tree_of_slot(columns: Columns, block: int, slot: int) -> int:
    """The tree of a slot, in a mixed block or not."""
    tree = int(columns.block_tree[block])
    return int(columns.tree[slot]) if tree == MIXED else tree


@inner_kernel
def zone_of(columns: Columns, number: int) -> int:
    """The zone of a slot or, from the count of slots on, of a feed."""
    slots = len(columns.demand)
    if number >= slots:
        return int(columns.big_zone[number - slots])
    return int(columns.block_zone[block_of(columns, number)])


@inner_kernel
def picked(
    columns: Columns,
    members: Members,
    tree: int,
    klass: int,
    low: int,
    high: int,
    most: NDArray[np.int64],
    keys: NDArray[np.int64],
) -> tuple[int, int]:
    """Members of a tree whose demand is in `low` .. `high` and not above `most` of their zone.

    Args:
        columns: the state.
        members: lists that cover the tree; who has left it since is passed over.
        tree: whose members.
        klass: only this class; NO_CLASS for all.
        low: least demand, quanta; positive.
        high: most demand.
        most: [zones] most demand by zone.
        keys: their keys are written here as long as there is room; an empty array only counts.

    Returns:
        How many, and the sum of their demand.
    """
    count, total, slots = 0, 0, len(columns.demand)
    for at in range(int(members.first_feed[tree]), int(members.first_feed[tree + 1])):
        feed = int(members.feeds[at])
        demand = int(columns.big_demand[feed])
        top = min(high, int(most[columns.big_zone[feed]]))
        if (
            low <= demand <= top
            and int(columns.big_tree[feed]) == tree
            and (klass == NO_CLASS or klass == int(columns.big_class[feed]))
        ):
            if count < len(keys):
                keys[count] = key_of(demand, slots + feed)
            count += 1
            total += demand
    if low > DEMAND_LIMIT:
        return count, total
    for at in range(int(members.first_block[tree]), int(members.first_block[tree + 1])):
        block = int(members.blocks[at])
        top = min(high, int(most[columns.block_zone[block]]))
        if top < low or not (klass == NO_CLASS or klass == int(columns.block_class[block])):
            continue
        at_tree = int(columns.block_tree[block])
        begin, end = int(columns.block_start[block]), int(columns.block_start[block + 1])
        hits, held = 0, 0
        if at_tree == tree:
            for value in columns.demand[begin:end]:
                demand = int(value)
                inside = low <= demand <= top
                hits += 1 if inside else 0
                held += demand if inside else 0
        elif at_tree == MIXED:
            hits = 1
        if hits == 0:
            continue
        if at_tree == tree and len(keys) == 0:
            count += hits
            total += held
            continue
        for slot in range(begin, end):
            demand = int(columns.demand[slot])
            if low <= demand <= top and tree_of_slot(columns, block, slot) == tree:
                if count < len(keys):
                    keys[count] = key_of(demand, slot)
                count += 1
                total += demand
    for at in range(int(members.first_slot[tree]), int(members.first_slot[tree + 1])):
        slot = int(members.slots[at])
        demand = int(columns.demand[slot])
        if demand < low or demand > high:
            continue
        block = block_of(columns, slot)
        if (
            demand <= int(most[columns.block_zone[block]])
            and tree_of_slot(columns, block, slot) == tree
            and (klass == NO_CLASS or klass == int(columns.block_class[block]))
        ):
            if count < len(keys):
                keys[count] = key_of(demand, slot)
            count += 1
            total += demand
    return count, total


@inner_kernel
def sorted_keys(
    columns: Columns, members: Members, tree: int, klass: int, low: int, high: int, most: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Keys of the members that `picked` finds, the smallest demand first."""
    count, _ = picked(columns, members, tree, klass, low, high, most, np.empty(0, np.int64))
    keys = np.empty(count, np.int64)
    if count:
        picked(columns, members, tree, klass, low, high, most, keys)
        keys.sort()
    return keys
