"""Class 0 in no tree is put into one at once: who matters less makes way.

That is newcomers, and those for whom the room of a rebuild was in pieces. Refeeding would let them wait for room to
spare, which a shortage never has.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.assign import mix, move_big, move_slot
from scowl_edge.tracker.population.columns import MIXED, NO_TREE, PROTECTED, Columns, Log


@inner_kernel
def room_above_protected(columns: Columns) -> NDArray[np.int64]:
    """int64[trees] quanta that each may carry beyond what class 0 draws there."""
    room = np.zeros(len(columns.tree_safe), np.int64)
    for tree in range(len(room)):
        room[tree] = max(0, int(columns.tree_safe[tree]))
    for block in range(len(columns.block_tree)):
        tree = int(columns.block_tree[block])
        if columns.block_class[block] != PROTECTED or tree == NO_TREE:
            continue
        if tree != MIXED:
            room[tree] -= int(columns.block_served[block])
            continue
        for slot in range(columns.block_start[block], columns.block_start[block + 1]):
            at = int(columns.tree[slot])
            if at != NO_TREE:
                room[at] -= int(columns.demand[slot])
    for feed in range(len(columns.big_tree)):
        tree = int(columns.big_tree[feed])
        if columns.big_class[feed] == PROTECTED and tree != NO_TREE:
            room[tree] -= int(columns.big_demand[feed])
    return room


@inner_kernel
def tree_for(columns: Columns, takes: NDArray[np.uint8], room: NDArray[np.int64], zone: int, demand: int) -> int:
    """The tree with most room above class 0; -1 if none has enough of it, or a rating above the zone has not."""
    above = zone
    while above >= 0:
        limit = int(columns.zone_limit[above])
        if limit >= 0 and int(columns.zone_load[above]) + demand > limit:
            return -1
        above = int(columns.zone_parent[above])
    best, most = -1, demand - 1
    for tree in range(len(room)):
        fits = takes[tree] != 0 and columns.tree_alive[tree] != 0 and columns.eligible[zone, tree] != 0
        if fits and room[tree] > most:
            best, most = tree, room[tree]
    return best


@kernel
def feed_protected(columns: Columns, log: Log, takes: NDArray[np.uint8]) -> int:
    """Puts every consumer of class 0 that is in no tree into one, above its safe load if need be.

    A repair has to follow: it makes others make way. No rating of a zone is exceeded, and no tree is given more of
    class 0 than it may carry.

    Args:
        columns: sums are exact before and after.
        log: what changed hands is added.
        takes: uint8[trees], 1 where new members may go.

    Returns:
        Quanta that were fed.
    """
    room = room_above_protected(columns)
    fed = 0
    for feed in range(len(columns.big_tree)):
        demand = int(columns.big_demand[feed])
        if columns.big_class[feed] == PROTECTED and int(columns.big_tree[feed]) == NO_TREE and demand > 0:
            to = tree_for(columns, takes, room, int(columns.big_zone[feed]) + 0, demand)
            if to >= 0:
                move_big(columns, log, feed, to)
                room[to] -= demand
                fed += demand
    for block in range(len(columns.block_tree)):
        tree = int(columns.block_tree[block])
        if columns.block_class[block] != PROTECTED or (tree != NO_TREE and tree != MIXED):
            continue
        for slot in range(columns.block_start[block], columns.block_start[block + 1]):
            demand = int(columns.demand[slot])
            outside = tree == NO_TREE or int(columns.tree[slot]) == NO_TREE
            if demand <= 0 or not outside:
                continue
            to = tree_for(columns, takes, room, int(columns.block_zone[block]) + 0, demand)
            if to >= 0:
                mix(columns, block)
                tree = int(columns.block_tree[block])
                move_slot(columns, log, block, slot, to)
                room[to] -= demand
                fed += demand
    return fed
