"""Who is in some trees: feeds, blocks and single slots, listed by tree.

No lists are kept from step to step: they are made for the few trees that need it, in one pass over blocks and feeds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.columns import MIXED, ROW, Columns

_TREES = 65_536
_HALF = 1 << 31


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
        for slot in range(int(columns.block_start[block]), int(columns.block_start[int(block) + 1])):
            tree = int(columns.tree[slot])
            if wanted[tree] and int(columns.demand[slot]) != 0:
                first[tree + 1] += 1
    for tree in range(trees):
        first[tree + 1] += first[tree]
    numbers = np.empty(first[trees], np.int32)
    at = first.copy()
    for block in mixed:
        for slot in range(int(columns.block_start[block]), int(columns.block_start[int(block) + 1])):
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
