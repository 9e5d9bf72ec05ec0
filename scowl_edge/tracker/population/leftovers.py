"""Who found no room in a rebuild: left without a tree, or given whatever room there is at the end."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.assign import add_to_zones, mix
from scowl_edge.tracker.population.columns import CLASSES, MIXED, NO_TREE, Columns
from scowl_edge.tracker.population.seams import Crumbs, drop_feed, drop_slot
from scowl_edge.tracker.population.shares import blocks_of, feeds_of


@inner_kernel
def place_crumbs(target: Columns, usable: NDArray[np.int64], crumbs: Crumbs) -> None:
    """Gives those who found no room to the eligible tree with the most, if it has enough."""
    for n in range(int(crumbs.used[0])):
        block, number = 0 + int(crumbs.block[n]), int(crumbs.slot[n])
        zone = int(target.big_zone[number]) if block < 0 else int(target.block_zone[block])
        demand = int(target.big_demand[number]) if block < 0 else int(target.demand[number])
        best, room = roomiest_for(target.tree_load, target.eligible[zone], usable)
        if best >= 0 and demand <= min(room, headroom(target, zone)):
            feed_again(target, block, number, best)
    crumbs.used[0] = 0


@inner_kernel
def feed_again(target: Columns, block: int, number: int, tree: int) -> None:
    """Gives a starved slot of a block, or a big feed (block -1), to a tree."""
    if block < 0:
        zone, demand = 0 + int(target.big_zone[number]), 0 + int(target.big_demand[number])
        target.big_tree[number] = tree
    else:
        zone, demand = 0 + int(target.block_zone[block]), 0 + int(target.demand[number])
        mix(target, block)
        target.block_served[block] += demand
        target.tree[number] = tree
    target.tree_load[tree] += demand
    add_to_zones(target, zone, demand)


@inner_kernel
def headroom(target: Columns, zone: int) -> int:
    """How much more may be served in a zone."""
    least = 1 << 62
    z = zone
    while z >= 0:
        if target.zone_limit[z] >= 0:
            least = min(least, int(target.zone_limit[z]) - int(target.zone_load[z]))
        z = int(target.zone_parent[z])
    return least


@inner_kernel
def roomiest_for(
    tree_load: NDArray[np.int64], eligible: NDArray[np.uint8], usable: NDArray[np.int64]
) -> tuple[int, int]:
    """(the eligible tree with the most room, its room), or (-1, 0)."""
    best, best_room = -1, 0
    for tree in range(len(usable)):
        room = int(usable[tree]) - int(tree_load[tree])
        if room > best_room and eligible[tree]:
            best, best_room = tree, room
    return best, best_room


@inner_kernel
def top_up(target: Columns, usable: NDArray[np.int64]) -> None:
    """Feeds whoever is starved and still fits, the most important first; after an exact fill nobody does."""
    demand, tree, block_start, block_tree = target.demand, target.tree, target.block_start, target.block_tree
    block_class, block_served, block_sum = target.block_class, target.block_served, target.block_sum
    big_tree, big_class, tree_load = target.big_tree, target.big_class, target.tree_load
    if int(usable.sum()) == int(target.tree_load.sum()):
        return
    for k in range(CLASSES):
        for feed in range(len(big_tree)):
            if int(big_tree[feed]) == NO_TREE and int(big_class[feed]) == k:
                zone, each = int(target.big_zone[feed]), int(target.big_demand[feed])
                best, room = roomiest_for(tree_load, target.eligible[zone], usable)
                if best >= 0 and each <= min(room, headroom(target, zone)):
                    feed_again(target, int(np.int64(-1)), feed, best)
        for block in range(len(block_tree)):
            if int(block_class[block]) != k or block_served[block] == block_sum[block]:
                continue
            zone = int(target.block_zone[block])
            best, room = roomiest_for(tree_load, target.eligible[zone], usable)
            room = min(room, headroom(target, zone))
            mixed = int(block_tree[block]) == MIXED
            for slot in range(int(block_start[block]), int(block_start[block + 1])):
                each = int(demand[slot])
                if each != 0 and each <= room and best >= 0 and (not mixed or int(tree[slot]) == NO_TREE):
                    feed_again(target, block, slot, best)
                    mixed = True
                    best, room = roomiest_for(tree_load, target.eligible[zone], usable)
                    room = min(room, headroom(target, zone))


@inner_kernel
def drop_block(target: Columns, crumbs: Crumbs, block: int) -> None:
    """Leaves all members of a block without a tree."""
    mix(target, block)
    for slot in range(int(target.block_start[block]), int(target.block_start[block + 1])):
        if int(target.demand[slot]) != 0 and int(target.tree[slot]) != NO_TREE:
            drop_slot(target, crumbs, block, slot)
    target.block_tree[block] = NO_TREE


@inner_kernel
def drop_group(target: Columns, groups: NDArray[np.int32], group: int) -> None:
    """Leaves all of a group without a tree."""
    nobody = Crumbs(np.empty(0, np.int32), np.empty(0, np.int64), np.zeros(1, np.int64))
    for feed in feeds_of(target, groups, group):
        drop_feed(target, nobody, 0 + int(feed))
    for block in blocks_of(target, groups, group):
        drop_block(target, nobody, 0 + int(block))
