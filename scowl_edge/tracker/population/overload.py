"""Trees that are over their safe load: as few members as can be leave for trees that have room.

The fewest are the largest; the last one that leaves is the smallest that still covers what is left. Where room is
scarce, whoever leaves goes where it fits best, so that large pieces of room stay for large members. Where the room is
in pieces too small for anybody, a larger member is exchanged for a smaller one, so that exactly that piece is used.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.assign import move_block
from scowl_edge.tracker.population.columns import CLASSES, DEMAND_LIMIT, NO_TREE, PROTECTED, Columns, Log
from scowl_edge.tracker.population.members import (
    Members,
    demand_of,
    key_of,
    list_members,
    listed,
    number_of,
    wanted_trees,
    zone_of,
)
from scowl_edge.tracker.population.rehome import move_one
from scowl_edge.tracker.population.room import Room, room_of, roomiest, settle, tightest
from scowl_edge.tracker.population.sizes import NO_CLASS, NOBODY, Sizes, largest_to, sizes_of, smallest_from

MANY = 1 << 30
"""More than any demand."""
SCARCE = 8
"""Room is scarce if less than one part in so many of the overload would be left over."""
CLOSE = 64
"""One that covers by no more than one part in so many above the overload is taken instead of two that fit better."""
THRIFT = 4
"""While a deeper cut may still help, nobody leaves who covers less than one part in so many."""
_PIECE = 256
"""Largest piece of room that is filled by an exchange."""
_BLOCKS = 48
"""How many blocks of a tree are looked at, at first, for members that may leave."""
_SWAPS = 2
"""How often two feeds to swap are looked for in one tree."""
_TREES_TRIED = 16
"""How many trees with room are looked at for two feeds to swap."""
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
def leave(columns: Columns, log: Log, room: Room, key: int, scarce: bool) -> bool:
    """Lets one leave for where there is most room or, where that is scarce, where it fits best; whether it could."""
    number, demand = number_of(key), demand_of(key)
    zone = zone_of(columns, number)
    to = tightest(columns, zone, demand) if scarce else roomiest(columns, room, zone)
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
        leave(columns, log, room, key_of(best_demand, len(columns.demand) + best), False)


@inner_kernel
def leave_blocks(columns: Columns, log: Log, room: Room, members: Members, tree: int) -> None:
    """Moves whole blocks out of a tree that can keep next to nothing: almost all leave, so they leave together."""
    if 8 * int(columns.tree_safe[tree]) > int(columns.tree_load[tree]):
        return
    for at in range(int(members.first_block[tree]), int(members.first_block[tree + 1])):
        block = int(members.blocks[at])
        total = int(columns.block_sum[block])
        to = roomiest(columns, room, int(columns.block_zone[block]))
        if (
            int(columns.block_tree[block]) == tree
            and 0 < total <= over_of(columns, tree)
            and to >= 0
            and total <= room_of(columns, to)
        ):
            move_block(columns, log, block, to)
            settle(columns, room, to)
            settle(columns, room, tree)


@inner_kernel
def fewest(sizes: Sizes, over: int) -> int:
    """How many of the largest members cover an overload, by piles as they stand; all of them if they do not."""
    left, count = over, 0
    keys = np.sort(sizes.large)
    for at in range(len(keys) - 1, -1, -1):
        if left <= 0:
            return count
        left -= demand_of(int(keys[at]))
        count += 1
    for demand in range(int(sizes.top[0]), 0, -1):
        entry = int(sizes.pile[demand])
        while entry and left > 0:
            left -= demand
            count += 1
            entry = int(sizes.below[entry - 1])
        if left <= 0:
            return count
    return count


@inner_kernel
def cure(
    columns: Columns,
    log: Log,
    room: Room,
    members: Members,
    all_feeds: tuple[NDArray[np.int64], NDArray[np.int32]],
    tree: int,
    end: int,
    scarce: bool,
    thrifty: bool,
) -> None:
    """Lets members of a tree leave until it is not over, nothing fits, or the log counts `end` moves.

    Args:
        columns: the state.
        log: what changed hands is added.
        room: of all trees.
        members: lists that cover the tree.
        all_feeds: feeds as `listed`, of all living trees if room is scarce.
        tree: the one that is over.
        end: of the moves counted in the log.
        scarce: whether members go where they fit best.
        thrifty: whether to stop where it takes many more than the fewest.
    """
    leave_blocks(columns, log, room, members, tree)
    left = over_of(columns, tree)
    if left <= 0:
        return
    most_blocks = _BLOCKS
    sizes = sizes_of(columns, members, tree, NO_CLASS, most_blocks)
    few = fewest(sizes, left) if scarce else 0
    remaining, swaps = few, 0
    while left > 0 and int(log.totals[1]) < end and len(room.heap):
        most = room_of(columns, int(room.heap[0]))
        key = smallest_from(sizes, left, min(most, left + left // CLOSE) if scarce else most)
        if key == NOBODY:
            spare = left // CLOSE if thrifty else left
            if scarce and remaining <= 1 and swaps < _SWAPS:
                swaps += 1
                if swap_feeds(columns, log, room, all_feeds, tree, spare):
                    return
            key = next_to_leave(sizes, left, most)
            if thrifty and scarce and few < THRIFT and THRIFT * demand_of(key) < left:
                return
        if key != NOBODY:
            leave(columns, log, room, key, scarce)
            remaining -= 1
            left = over_of(columns, tree)
        elif most_blocks == MANY:
            return
        else:
            most_blocks = MANY
            sizes = sizes_of(columns, members, tree, NO_CLASS, most_blocks)


@inner_kernel
def swap_feeds(
    columns: Columns,
    log: Log,
    room: Room,
    all_feeds: tuple[NDArray[np.int64], NDArray[np.int32]],
    tree: int,
    spare: int,
) -> bool:
    """Cures a tree by one feed that goes to a tree with room for a smaller one: two moves, but a close fit.

    Between the homes and the feeds there may be nobody of the right size; among the differences there is.
    """
    left, tried = over_of(columns, tree), 0
    for other in range(len(columns.tree_safe)):
        if columns.tree_alive[other] and room_of(columns, other) >= left:
            if swap_with(columns, log, room, all_feeds, tree, other, spare):
                return True
            tried += 1
            if tried == _TREES_TRIED:
                break
    return False


@inner_kernel
def swap_with(
    columns: Columns,
    log: Log,
    room: Room,
    all_feeds: tuple[NDArray[np.int64], NDArray[np.int32]],
    tree: int,
    other: int,
    spare: int,
) -> bool:
    """Swaps the two feeds of two trees whose difference covers with least above it, at most `spare`."""
    first, feeds = all_feeds
    left = over_of(columns, tree)
    best, go, come = min(room_of(columns, other), left + spare) + 1, -1, -1
    for at in range(int(first[tree]), int(first[tree + 1])):
        feed = int(feeds[at])
        demand = int(columns.big_demand[feed])
        if (
            demand <= left
            or int(columns.big_tree[feed]) != tree
            or not columns.eligible[int(columns.big_zone[feed]), other]
        ):
            continue
        for near in range(int(first[other]), int(first[other + 1])):
            partner = int(feeds[near])
            less = demand - int(columns.big_demand[partner])
            if (
                left <= less < best
                and int(columns.big_tree[partner]) == other
                and columns.eligible[int(columns.big_zone[partner]), tree]
            ):
                best, go, come = less, feed, partner
    if go < 0:
        return False
    slots = len(columns.demand)
    move_one(columns, log, room, slots + come, tree)
    move_one(columns, log, room, slots + go, other)
    return True


@inner_kernel
def next_to_leave(sizes: Sizes, left: int, most: int) -> int:
    """Who leaves next where nobody covers closely: the largest not above `most` that does not cover all.

    Where that is less than half, one that covers too much costs fewer moves.
    """
    key = largest_to(sizes, min(most, left))
    if key == NOBODY or 2 * demand_of(key) < left:
        other = smallest_from(sizes, left, most)
        if other != NOBODY:
            return other
    return key


@inner_kernel
def partners(columns: Columns, tree: int, fed: int) -> NDArray[np.int32]:
    """[demand] 1 + a slot of a tree that has that demand, 0 if none was met; only slots that tree `fed` may feed."""
    found = np.zeros(DEMAND_LIMIT + 1, np.int32)
    seen = 0
    for block in range(len(columns.block_tree) - 1, -1, -1):
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
    while over_of(columns, tree) > 0 and int(log.totals[1]) + 2 <= end and len(room.heap):
        other = int(room.heap[0])
        piece = min(over_of(columns, tree), room_of(columns, other))
        if piece <= 0:
            return
        piece = min(piece, _PIECE)
        smaller = partners(columns, other, tree)
        sizes = sizes_of(columns, members, tree, NO_CLASS, _BLOCKS)
        key = smallest_from(sizes, piece + 1, DEMAND_LIMIT)
        while key != NOBODY:
            number, partner = number_of(key), int(smaller[demand_of(key) - piece])
            if partner and number < len(columns.demand) and columns.eligible[zone_of(columns, number), other]:
                move_one(columns, log, room, partner - 1, tree)
                move_one(columns, log, room, number, other)
                break
            key = smallest_from(sizes, demand_of(key), DEMAND_LIMIT)
        if key == NOBODY:
            return


@inner_kernel
def relieve_trees(columns: Columns, log: Log, room: Room, budget: int, thrifty: bool) -> int:
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
    for at in range(len(room.heap)):
        free += room_of(columns, int(room.heap[at]))
    for tree in trees:
        flags[tree] = 1
    first, feeds = listed(columns.big_tree, wanted_trees(flags), len(flags))
    spare = max(0, free) // len(trees)
    scarce = SCARCE * free < overload(columns)
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
    if scarce:
        first, feeds = listed(columns.big_tree, wanted_trees(columns.tree_alive), len(flags))
    for tree in trees:
        if flags[tree]:
            cure(columns, log, room, members, (first, feeds), int(tree), end, scarce, thrifty)
    if not thrifty:
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
            sizes = sizes_of(columns, members, int(tree), klass, MANY)
            left = over_of(columns, int(tree))
            while left > 0:
                key = smallest_from(sizes, left, MANY)
                if key == NOBODY:
                    key = largest_to(sizes, left)
                if key == NOBODY:
                    break
                move_one(columns, log, room, number_of(key), NO_TREE)
                left = over_of(columns, int(tree))
            klass -= 1
    return overload(columns)
