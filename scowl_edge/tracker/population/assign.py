"""Changes of hands, and exact sums: the only functions that write a tree into the columns.

Each keeps `tree_load`, `zone_load` and `block_served` exact and writes the log. Counting is in consumers: a block
counts its members, a slot and a feed one.
"""

from __future__ import annotations

import numpy as np

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.columns import BIG, BLOCK, MIXED, NO_TREE, SLOT, Columns, Log


@kernel
def note(log: Log, kind: int, number: int, before: int, after: int, consumers: int) -> None:
    """Writes one entry and counts what it means."""
    at = log.totals[0]
    if at < len(log.kind):
        log.kind[at] = kind
        log.number[at] = number
        log.before[at] = before
        log.after[at] = after
    log.totals[0] = at + 1
    if after == NO_TREE:
        log.totals[2] += consumers
    elif before == NO_TREE:
        log.totals[3] += consumers
    else:
        log.totals[1] += consumers


@kernel
def add_to_zones(columns: Columns, zone: int, demand: int) -> None:
    """Adds served demand to a zone and to all above it."""
    z = zone
    while z >= 0:
        columns.zone_load[z] += demand
        z = int(columns.zone_parent[z])


@kernel
def move_big(columns: Columns, log: Log, feed: int, to: int) -> None:
    """Moves one big feed to a tree, or out of all (NO_TREE)."""
    before, demand = int(columns.big_tree[feed]), int(columns.big_demand[feed])
    if before == to:
        return
    zone = int(columns.big_zone[feed])
    if before != NO_TREE:
        columns.tree_load[before] -= demand
        if to == NO_TREE:
            add_to_zones(columns, zone, -demand)
    elif to != NO_TREE:
        add_to_zones(columns, zone, demand)
    if to != NO_TREE:
        columns.tree_load[to] += demand
    columns.big_tree[feed] = to
    note(log, BIG, feed, before, to, 1)


@kernel
def move_block(columns: Columns, log: Log, block: int, to: int) -> None:
    """Moves a whole block that is not mixed to a tree, or out of all (NO_TREE)."""
    before, demand = int(columns.block_tree[block]), int(columns.block_sum[block])
    if before == to:
        return
    zone = int(columns.block_zone[block])
    if before != NO_TREE:
        columns.tree_load[before] -= demand
        if to == NO_TREE:
            add_to_zones(columns, zone, -demand)
            columns.block_served[block] = 0
    elif to != NO_TREE:
        add_to_zones(columns, zone, demand)
        columns.block_served[block] = demand
    if to != NO_TREE:
        columns.tree_load[to] += demand
    columns.block_tree[block] = to
    note(log, BLOCK, block, before, to, int(columns.block_members[block]))


@kernel
def mix(columns: Columns, block: int) -> None:
    """Gives each slot of a block a tree of its own: the block's, until it is moved."""
    tree = columns.block_tree[block]
    if tree == MIXED:
        return
    columns.tree[columns.block_start[block] : columns.block_start[block + 1]] = tree
    columns.block_tree[block] = MIXED


@kernel
def unmix(columns: Columns, block: int) -> bool:
    """Makes a mixed block plain again if all its members are in one tree; whether it is plain now.

    Members without demand follow the others.
    """
    if columns.block_tree[block] != MIXED:
        return True
    found = -1
    for slot in range(columns.block_start[block], columns.block_start[block + 1]):
        if columns.demand[slot] == 0:
            continue
        tree = int(columns.tree[slot])
        if found < 0:
            found = tree
        elif tree != found:
            return False
    if found < 0:
        return False
    columns.block_tree[block] = found
    return True


@kernel
def move_slot(columns: Columns, log: Log, block: int, slot: int, to: int) -> None:
    """Moves one slot of a mixed block to a tree, or out of all (NO_TREE)."""
    before, demand = int(columns.tree[slot]), int(columns.demand[slot])
    if before == to:
        return
    zone = int(columns.block_zone[block])
    if before != NO_TREE:
        columns.tree_load[before] -= demand
        if to == NO_TREE:
            add_to_zones(columns, zone, -demand)
            columns.block_served[block] -= demand
    elif to != NO_TREE:
        add_to_zones(columns, zone, demand)
        columns.block_served[block] += demand
    if to != NO_TREE:
        columns.tree_load[to] += demand
    columns.tree[slot] = to
    note(log, SLOT, slot, before, to, 1)


@kernel
def sum_blocks(columns: Columns) -> None:
    """Counts `block_sum` anew from the demand of every slot."""
    for block in range(len(columns.block_tree)):
        total = 0
        for slot in range(columns.block_start[block], columns.block_start[block + 1]):
            total += int(columns.demand[slot])
        columns.block_sum[block] = total


@kernel
def sum_trees(columns: Columns) -> None:
    """Counts `tree_load`, `zone_load` and `block_served` anew from block sums, mixed slots and big feeds."""
    columns.tree_load[:] = 0
    columns.zone_load[:] = 0
    for block in range(len(columns.block_tree)):
        tree = int(columns.block_tree[block])
        if tree == MIXED:
            served = 0
            for slot in range(columns.block_start[block], columns.block_start[block + 1]):
                demand, at = int(columns.demand[slot]), int(columns.tree[slot])
                if at != NO_TREE:
                    columns.tree_load[at] += demand
                    served += demand
        elif tree == NO_TREE:
            served = 0
        else:
            served = int(columns.block_sum[block])
            columns.tree_load[tree] += served
        columns.block_served[block] = served
        columns.zone_load[columns.block_zone[block]] += served
    for feed in range(len(columns.big_tree)):
        tree = int(columns.big_tree[feed])
        if tree != NO_TREE:
            demand = int(columns.big_demand[feed])
            columns.tree_load[tree] += demand
            columns.zone_load[columns.big_zone[feed]] += demand
    for zone in range(len(columns.zone_parent) - 1, 0, -1):
        above = columns.zone_parent[zone]
        if above >= 0:
            columns.zone_load[above] += columns.zone_load[zone]


def same_sums(columns: Columns) -> bool:
    """Whether all running sums equal a recount: the law that every change has to keep."""
    again = columns._replace(
        block_sum=columns.block_sum.copy(),
        block_served=columns.block_served.copy(),
        tree_load=columns.tree_load.copy(),
        zone_load=columns.zone_load.copy(),
    )
    sum_blocks(again)
    sum_trees(again)
    return bool(
        np.array_equal(again.block_sum, columns.block_sum)
        and np.array_equal(again.block_served, columns.block_served)
        and np.array_equal(again.tree_load, columns.tree_load)
        and np.array_equal(again.zone_load, columns.zone_load)
    )
