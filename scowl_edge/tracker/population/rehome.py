"""Members of dead trees get another: big feeds first, then whole blocks, then what was left at the seams.

Each goes where there is most room, the largest first. What fits nowhere although the region has room for it in all is
put where there is most room nevertheless: that tree is over then, and is relieved by moving smaller ones out of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.assign import mix, move_big, move_block, move_slot
from scowl_edge.tracker.population.columns import MIXED, NO_TREE, PROTECTED, Columns, Log
from scowl_edge.tracker.population.members import (
    block_of,
    demand_of,
    key_of,
    list_members,
    number_of,
    tree_of_slot,
    wanted_trees,
    zone_of,
)
from scowl_edge.tracker.population.room import Room, room_of, roomiest, settle

_TREES = 65_536
_BALANCED = 2
"""Instead of 0 or 1: dead, and its load is 0."""


@inner_kernel
def dead_trees(columns: Columns) -> NDArray[np.uint8]:
    """[trees] 1 where a dead tree still has members that draw or produce anything."""
    trees, balanced = len(columns.tree_safe), 0
    flags = np.zeros(_TREES, np.uint8)
    for tree in range(trees):
        if not columns.tree_alive[tree]:
            flags[tree] = 1 if int(columns.tree_load[tree]) != 0 else _BALANCED
            balanced += 1 if int(columns.tree_load[tree]) == 0 else 0
    if balanced:
        # What is drawn and what is produced may be equal: then the load does not tell.
        look_for_members(columns, flags)
    for tree in range(trees):
        flags[tree] = 1 if flags[tree] == 1 else 0
    return flags[:trees]


@inner_kernel
def look_for_members(columns: Columns, flags: NDArray[np.uint8]) -> None:
    """Sets 1 where a tree that is flagged as balanced has a member with any demand."""
    block_tree, block_start, demand, tree_of = columns.block_tree, columns.block_start, columns.demand, columns.tree
    for block in range(len(block_tree)):
        tree = int(block_tree[block])
        if tree == MIXED:
            for slot in range(int(block_start[block]), int(block_start[block + 1])):
                if flags[tree_of[slot]] == _BALANCED and demand[slot] != 0:
                    flags[tree_of[slot]] = 1
        elif flags[tree] == _BALANCED:
            for slot in range(int(block_start[block]), int(block_start[block + 1])):
                if demand[slot] != 0:
                    flags[tree] = 1
    for feed in range(len(columns.big_tree)):
        if flags[columns.big_tree[feed]] == _BALANCED and columns.big_demand[feed] != 0:
            flags[columns.big_tree[feed]] = 1


@inner_kernel
def any_set(flags: NDArray[np.uint8]) -> bool:
    """Whether a flag is set."""
    found = 0
    for flag in flags:
        found |= int(flag)
    return found > 0


@inner_kernel
def move_one(columns: Columns, log: Log, room: Room, number: int, to: int) -> None:
    """Moves a slot or, from the count of slots on, a feed; keeps the room of both trees."""
    slots = len(columns.demand)
    if number >= slots:
        before = int(columns.big_tree[number - slots])
        move_big(columns, log, number - slots, to)
    else:
        block = block_of(columns, number)
        before = tree_of_slot(columns, block, number)
        mix(columns, block)
        move_slot(columns, log, block, number, to)
    if to != NO_TREE:
        settle(columns, room, to)
    if before != NO_TREE:
        settle(columns, room, before)


@inner_kernel
def press(columns: Columns, log: Log, room: Room, number: int, demand: int, klass: int) -> int:
    """Puts one that fits nowhere where there is most room; starves it where no tree may feed it.

    The protected and those who produce stay in the dead tree then.

    Returns:
        Quanta starved.
    """
    to = roomiest(columns, room, zone_of(columns, number))
    if to >= 0:
        move_one(columns, log, room, number, to)
        return 0
    if klass == PROTECTED or demand <= 0:
        return 0
    move_one(columns, log, room, number, NO_TREE)
    return demand


@inner_kernel
def turn(keys: NDArray[np.int64], step: int) -> int:
    """Whose turn it is among sorted keys: those that produce first, for they make room, then the largest."""
    if demand_of(int(keys[step])) < 0:
        return step
    low, high = 0, step
    while low < high:
        middle = (low + high) // 2
        if demand_of(int(keys[middle])) < 0:
            low = middle + 1
        else:
            high = middle
    return len(keys) - 1 - (step - low)


@inner_kernel
def place_all(columns: Columns, log: Log, room: Room, keys: NDArray[np.int64]) -> int:
    """Places slots and feeds, the largest first, each where there is most room; quanta that no tree may feed."""
    keys.sort()
    starved, slots = 0, len(columns.demand)
    for step in range(len(keys)):
        key = int(keys[turn(keys, step)])
        number, demand = number_of(key), demand_of(key)
        to = roomiest(columns, room, zone_of(columns, number))
        if to >= 0 and demand <= room_of(columns, to):
            move_one(columns, log, room, number, to)
        else:
            klass = int(
                columns.big_class[number - slots] if number >= slots else columns.block_class[block_of(columns, number)]
            )
            starved += press(columns, log, room, number, demand, klass)
    return starved


@inner_kernel
def split(columns: Columns, log: Log, room: Room, block: int, keys: NDArray[np.int64], count: int) -> int:
    """Deals out a block that fits nowhere: one tree is filled before the next, so that few share it.

    Returns:
        How many keys there are after those that fit nowhere were added.
    """
    home = int(columns.block_tree[block])
    zone = int(columns.block_zone[block])
    mix(columns, block)
    to = roomiest(columns, room, zone)
    for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
        demand = int(columns.demand[slot])
        if demand == 0 or int(columns.tree[slot]) != home:
            continue
        if to >= 0 and demand > room_of(columns, to):
            settle(columns, room, to)
            to = roomiest(columns, room, zone)
        if to >= 0 and demand <= room_of(columns, to):
            move_slot(columns, log, block, slot, to)
        else:
            keys[count] = key_of(demand, slot)
            count += 1
    if to >= 0:
        settle(columns, room, to)
    return count


@inner_kernel
def rehome(columns: Columns, log: Log, room: Room) -> int:
    """Empties the dead trees.

    Returns:
        Quanta starved because no living tree may feed them.
    """
    flags = dead_trees(columns)
    if not any_set(flags):
        return 0
    members = list_members(columns, wanted_trees(flags))
    slots = len(columns.demand)
    keys = np.empty(len(members.feeds), np.int64)
    for at in range(len(keys)):
        feed = int(members.feeds[at])
        keys[at] = key_of(int(columns.big_demand[feed]), slots + feed)
    starved = place_all(columns, log, room, keys)
    order = np.empty(len(members.blocks), np.int64)
    most = len(members.slots)
    for at in range(len(order)):
        block = int(members.blocks[at])
        # Two blocks of one size stand in the order of their numbers; a block's sum is within 32 bits.
        order[at] = key_of(int(columns.block_sum[block]), block)
        most += int(columns.block_start[block + 1]) - int(columns.block_start[block])
    order.sort()
    keys = np.empty(most, np.int64)
    count = 0
    for step in range(len(order)):
        block = number_of(int(order[turn(order, step)]))
        to = roomiest(columns, room, int(columns.block_zone[block]))
        if to >= 0 and int(columns.block_sum[block]) <= room_of(columns, to):
            move_block(columns, log, block, to)
            settle(columns, room, to)
        else:
            count = split(columns, log, room, block, keys, count)
    for at in range(len(members.slots)):
        slot = int(members.slots[at])
        keys[count] = key_of(int(columns.demand[slot]), slot)
        count += 1
    return starved + place_all(columns, log, room, keys[:count])
