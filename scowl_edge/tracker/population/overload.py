"""Trees that are over their safe load: as few members as can be leave for trees that have room.

The fewest are the largest; the last one that leaves is the smallest that still covers what is left. Where the room is
in pieces too small for anybody, a larger member is exchanged for a smaller one, so that exactly that piece is used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.assign import move_block
from scowl_edge.tracker.population.columns import CLASSES, DEMAND_LIMIT, NO_TREE, PROTECTED, ROW, Columns, Log
from scowl_edge.tracker.population.members import (
    NO_CLASS,
    Members,
    demand_of,
    key_of,
    list_members,
    listed,
    number_of,
    picked,
    sorted_keys,
    tree_of_slot,
    wanted_trees,
    zone_of,
)
from scowl_edge.tracker.population.rehome import move_one
from scowl_edge.tracker.population.room import Room, most_room, room_of, roomiest, settle

MANY = 1 << 30
"""More than any demand."""
_WINDOW = 512
"""How far above a piece of room a member is looked for to exchange."""
_SAMPLE = 2_048
"""How many slots of a tree are looked at for a partner in an exchange."""


@inner_kernel
def over_of(columns: Columns, tree: int) -> int:
    """Quanta by which a living tree is above its safe load; 0 if it is not."""
    return max(0, -room_of(columns, tree)) if columns.tree_alive[tree] else 0


@inner_kernel
def overload(columns: Columns) -> int:
    """Quanta above safe loads in all living trees."""
    total = 0
    for tree in range(len(columns.tree_safe)):
        total += over_of(columns, tree)
    return total


@inner_kernel
def over_trees(columns: Columns) -> NDArray[np.int64]:
    """Trees that are over, the one that is over most first."""
    found = np.empty(len(columns.tree_safe), np.int64)
    count = 0
    for tree in range(len(found)):
        over = over_of(columns, tree)
        if over > 0:
            # A load may be beyond what a key holds; the order among those does not matter.
            found[count] = key_of(min(over, MANY), tree)
            count += 1
    found = found[:count]
    found.sort()
    trees = np.empty(count, np.int64)
    for at in range(count):
        trees[count - 1 - at] = number_of(int(found[at]))
    return trees


@inner_kernel
def leave(columns: Columns, log: Log, room: Room, number: int, demand: int, starving: int) -> bool:
    """Lets one leave for where there is most room, or starve; whether it could."""
    if starving:
        move_one(columns, log, room, number, NO_TREE)
        return True
    to = roomiest(columns, room, zone_of(columns, number))
    if to < 0 or demand > room_of(columns, to):
        return False
    move_one(columns, log, room, number, to)
    return True


@inner_kernel
def leave_feed(
    columns: Columns, log: Log, room: Room, first: NDArray[np.int64], feeds: NDArray[np.int32], tree: int, spare: int
) -> None:
    """Cures a tree by the smallest single feed that covers its overload by no more than `spare` above it, if any does.

    A feed is preferred to a slot, which would cost a mixed block.
    """
    left = over_of(columns, tree)
    best, best_demand = -1, left + spare + 1
    for at in range(int(first[tree]), int(first[tree + 1])):
        feed = int(feeds[at])
        demand = int(columns.big_demand[feed])
        if left <= demand < best_demand:
            to = roomiest(columns, room, int(columns.big_zone[feed]))
            if to >= 0 and demand <= room_of(columns, to):
                best, best_demand = feed, demand
    if best >= 0:
        leave(columns, log, room, len(columns.demand) + best, best_demand, 0)


@inner_kernel
def leave_blocks(columns: Columns, log: Log, room: Room, members: Members, tree: int, size: int) -> None:
    """Moves blocks of which every member is larger than `size`: all of them leave anyway, so they leave together."""
    for at in range(int(members.first_block[tree]), int(members.first_block[tree + 1])):
        block = int(members.blocks[at])
        total, count = int(columns.block_sum[block]), int(columns.block_members[block])
        if int(columns.block_tree[block]) != tree or total <= size * count or total > over_of(columns, tree):
            continue
        larger = 0
        for value in columns.demand[columns.block_start[block] : columns.block_start[block + 1]]:
            larger += 1 if int(value) > size else 0
        to = roomiest(columns, room, int(columns.block_zone[block]))
        if larger == count and to >= 0 and total <= room_of(columns, to):
            move_block(columns, log, block, to)
            settle(columns, room, to)
            settle(columns, room, tree)


@inner_kernel
def leave_fitting(
    columns: Columns,
    log: Log,
    room: Room,
    members: Members,
    tree: int,
    klass: int,
    most: NDArray[np.int64],
    starving: int,
) -> bool:
    """Cures a tree by the smallest member that covers its overload; whether there is one."""
    left = over_of(columns, tree)
    width = left // 64 + 1
    low = left
    while low < MANY:
        keys = sorted_keys(columns, members, tree, klass, low, low + width, most)
        for at in range(len(keys)):
            key = int(keys[at])
            if leave(columns, log, room, number_of(key), demand_of(key), starving):
                return True
        low += width + 1
        width *= 8
    return False


@inner_kernel
def cure(
    columns: Columns, log: Log, room: Room, members: Members, tree: int, klass: int, starving: int, end: int
) -> None:
    """Lets members of a tree leave, or starve, until it is not over, nothing fits, or the log counts `end` moves."""
    nothing = np.empty(0, np.int64)
    while over_of(columns, tree) > 0 and int(log.totals[1]) < end:
        left = over_of(columns, tree)
        most = np.full(len(columns.zone_parent), MANY, np.int64) if starving else most_room(columns, room)
        count, _ = picked(columns, members, tree, klass, left, MANY, most, nothing)
        if count and leave_fitting(columns, log, room, members, tree, klass, most, starving):
            return
        low = max(1, min(left, DEMAND_LIMIT) // 2)
        total = 0
        while True:
            count, total = picked(columns, members, tree, klass, low, MANY, most, nothing)
            if total >= left or low == 1:
                break
            low = max(1, low // 2)
        keys = sorted_keys(columns, members, tree, klass, low, MANY, most)
        last, rest = len(keys) - 1, left
        while last > 0 and demand_of(int(keys[last])) < rest:
            rest -= demand_of(int(keys[last]))
            last -= 1
        if len(keys) - last > ROW and not starving:
            leave_blocks(columns, log, room, members, tree, demand_of(int(keys[last])))
        moved = False
        for at in range(len(keys) - 1, -1, -1):
            key = int(keys[at])
            left, number, demand = over_of(columns, tree), number_of(key), demand_of(key)
            if left <= 0 or int(log.totals[1]) >= end:
                return
            if demand >= left:
                break
            if stands_in(columns, number, tree) and leave(columns, log, room, number, demand, starving):
                moved = True
        left = over_of(columns, tree)
        if not moved:
            # What is left may be smaller than before: blocks have left. Else nobody fits.
            most = np.full(len(columns.zone_parent), MANY, np.int64) if starving else most_room(columns, room)
            if left <= 0 or not leave_fitting(columns, log, room, members, tree, klass, most, starving):
                return


@inner_kernel
def stands_in(columns: Columns, number: int, tree: int) -> bool:
    """Whether a slot or, from the count of slots on, a feed is in a tree."""
    slots = len(columns.demand)
    if number >= slots:
        return int(columns.big_tree[number - slots]) == tree
    block = int(columns.row_block[number // ROW])
    return tree_of_slot(columns, block, number) == tree


@inner_kernel
def sizes_in(columns: Columns, tree: int, fed: int) -> NDArray[np.int32]:
    """[demand] 1 + a slot of a tree that has that demand, 0 if none was met; only slots that tree `fed` may feed."""
    found = np.zeros(DEMAND_LIMIT + 1, np.int32)
    seen = 0
    for block in range(len(columns.block_tree)):
        if int(columns.block_tree[block]) == tree and columns.eligible[columns.block_zone[block], fed]:
            for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
                demand = int(columns.demand[slot])
                if demand > 0:
                    found[demand] = slot + 1
                    seen += 1
            if seen > _SAMPLE:
                break
    return found


@inner_kernel
def exchange(columns: Columns, log: Log, room: Room, members: Members, tree: int, end: int) -> None:
    """Swaps members of a tree for smaller ones of the roomiest trees until it is not over or no pair is found."""
    most = np.full(len(columns.zone_parent), MANY, np.int64)
    while over_of(columns, tree) > 0 and int(log.totals[1]) + 2 <= end and len(room.heap):
        other = int(room.heap[0])
        piece = min(over_of(columns, tree), room_of(columns, other))
        if piece <= 0:
            return
        sizes = sizes_in(columns, other, tree)
        keys = sorted_keys(columns, members, tree, NO_CLASS, piece + 1, piece + _WINDOW, most)
        done = False
        for use in range(piece, max(0, piece - ROW), -1):
            for at in range(len(keys)):
                key = int(keys[at])
                number, smaller = number_of(key), demand_of(key) - use
                if (
                    0 < smaller <= DEMAND_LIMIT
                    and sizes[smaller]
                    and number < len(columns.demand)
                    and columns.eligible[zone_of(columns, number), other]
                ):
                    move_one(columns, log, room, int(sizes[smaller]) - 1, tree)
                    move_one(columns, log, room, number, other)
                    done = True
                    break
            if done:
                break
        if not done:
            return


@inner_kernel
def relieve_trees(columns: Columns, log: Log, room: Room, budget: int) -> int:
    """Relieves the trees that are over, by at most about `budget` consumers moved.

    Returns:
        Quanta that are still above safe loads.
    """
    trees = over_trees(columns)
    if len(trees) == 0:
        return 0
    end = int(log.totals[1]) + budget
    flags = np.zeros(len(columns.tree_safe), np.uint8)
    free = 0
    for tree in range(len(flags)):
        if columns.tree_alive[tree]:
            free += room_of(columns, tree)
    for tree in trees:
        flags[tree] = 1
    first, feeds = listed(columns.big_tree, wanted_trees(flags), len(flags))
    spare = max(0, free) // len(trees)
    left = 0
    for tree in trees:
        if int(log.totals[1]) >= end:
            return overload(columns)
        leave_feed(columns, log, room, first, feeds, int(tree), spare)
        flags[tree] = 1 if over_of(columns, int(tree)) > 0 else 0
        left += over_of(columns, int(tree))
    if left == 0:
        return 0
    members = list_members(columns, wanted_trees(flags))
    for tree in trees:
        if flags[tree]:
            cure(columns, log, room, members, int(tree), NO_CLASS, 0, end)
    for tree in trees:
        if flags[tree]:
            exchange(columns, log, room, members, int(tree), end)
    return overload(columns)


@inner_kernel
def starve_over(columns: Columns, log: Log, room: Room) -> int:
    """Starves in each tree that is still over, the least important class first, the fewest within it.

    Returns:
        Quanta above safe loads that are left: only what may not be starved is there.
    """
    trees = over_trees(columns)
    if len(trees) == 0:
        return 0
    flags = np.zeros(len(columns.tree_safe), np.uint8)
    for tree in trees:
        flags[tree] = 1
    members = list_members(columns, wanted_trees(flags))
    for tree in trees:
        klass = CLASSES - 1
        while klass > PROTECTED and over_of(columns, int(tree)) > 0:
            cure(columns, log, room, members, int(tree), klass, 1, MANY)
            klass -= 1
    return overload(columns)
