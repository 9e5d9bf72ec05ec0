"""Changes of hands, and exact sums: the only functions that write a tree into the columns.

Each keeps `tree_load`, `zone_load` and `block_served` exact and writes the log. Counting is in consumers: a block
counts its members, a slot and a feed one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.columns import BIG, BLOCK, DEMAND_LIMIT, MIXED, NO_TREE, SLOT, Columns, Log


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
    zone = 0 + int(columns.big_zone[feed])
    if before != NO_TREE:
        columns.tree_load[before] -= demand
        if to == NO_TREE:
            add_to_zones(columns, zone, 0 - demand)
    elif to != NO_TREE:
        add_to_zones(columns, zone, 0 + demand)
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
    zone = 0 + int(columns.block_zone[block])
    if before != NO_TREE:
        columns.tree_load[before] -= demand
        if to == NO_TREE:
            add_to_zones(columns, zone, 0 - demand)
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
    zone = 0 + int(columns.block_zone[block])
    if before != NO_TREE:
        columns.tree_load[before] -= demand
        if to == NO_TREE:
            add_to_zones(columns, zone, 0 - demand)
            columns.block_served[block] -= demand
    elif to != NO_TREE:
        add_to_zones(columns, zone, 0 + demand)
        columns.block_served[block] += demand
    if to != NO_TREE:
        columns.tree_load[to] += demand
    columns.tree[slot] = to
    note(log, SLOT, slot, before, to, 1)


@inner_kernel
def starve_larger(columns: Columns, log: Log, blocks: NDArray[np.int32], size: int) -> int:
    """Starves all members of these blocks that are larger than `size`; how much that is.

    Where most of a block go, it goes as a whole and the others come back: fewer entries than one for each that goes.
    """
    # A call with all columns costs more than moving a slot: so this is one loop over local names.
    demand, tree, block_start, block_tree = columns.demand, columns.tree, columns.block_start, columns.block_tree
    block_served, tree_load = columns.block_served, columns.tree_load
    kind, entry, before, after = log.kind, log.number, log.before, log.after
    capacity, at = len(kind), int(log.totals[0])
    starved, fed, total = 0, 0, 0
    one, none, limit = np.int32(1), np.int32(0), np.int32(min(size, DEMAND_LIMIT))
    for n in range(len(blocks)):
        block = int(blocks[n])
        low, high, of = int(block_start[block]), int(block_start[block + 1]), int(block_tree[block])
        if of == NO_TREE:
            continue
        going, nobody = np.int32(0), np.int32(0)
        part = demand[low:high]
        for i in range(len(part)):
            going = np.int32(going + (one if np.int32(part[i]) > limit else none))
            nobody = np.int32(nobody + (one if np.int32(part[i]) == none else none))
        go = int(going)
        stay = high - low - go - int(nobody)
        if go == 0:
            continue
        out = 0
        if of != MIXED and go >= stay:
            out = int(block_served[block])
            if at < capacity:
                kind[at], entry[at], before[at], after[at] = BLOCK, block, of, NO_TREE
            at += 1
            starved += int(columns.block_members[block])
            block_tree[block] = MIXED if stay else NO_TREE
            if stay:
                tree[low:high] = NO_TREE
                for slot in range(low, high):
                    each = int(demand[slot])
                    if each != 0 and each <= size:
                        tree[slot] = of
                        out -= each
                        if at < capacity:
                            kind[at], entry[at], before[at], after[at] = SLOT, slot, NO_TREE, of
                        at += 1
                        fed += 1
            tree_load[of] -= out
        else:
            if of != MIXED:
                tree[low:high] = of
                block_tree[block] = MIXED
            rest = 0
            for slot in range(low, high):
                each, of = int(demand[slot]), int(tree[slot])
                rest += 1 if each != 0 and each <= size and of != NO_TREE else 0
                if each > size and of != NO_TREE:
                    tree[slot] = NO_TREE
                    tree_load[of] -= each
                    out += each
                    if at < capacity:
                        kind[at], entry[at], before[at], after[at] = SLOT, slot, of, NO_TREE
                    at += 1
                    starved += 1
            if rest == 0:
                block_tree[block] = NO_TREE
        block_served[block] -= out
        total += out
        add_to_zones(columns, 0 + int(columns.block_zone[block]), 0 - out)
    log.totals[0] = at
    log.totals[2] += starved
    log.totals[3] += fed
    return total


@inner_kernel
def starve_slots(columns: Columns, log: Log, blocks: NDArray[np.int32], slots: NDArray[np.int64]) -> int:
    """Starves these slots, each given with its block; how much that is."""
    demand, tree, block_start, block_tree = columns.demand, columns.tree, columns.block_start, columns.block_tree
    block_served, block_zone, tree_load = columns.block_served, columns.block_zone, columns.tree_load
    zone_load, zone_parent = columns.zone_load, columns.zone_parent
    kind, entry, before, after = log.kind, log.number, log.before, log.after
    capacity, at, starved, total = len(kind), int(log.totals[0]), 0, 0
    for n in range(len(slots)):
        block, slot = int(blocks[n]), int(slots[n])
        if int(block_tree[block]) != MIXED:
            tree[int(block_start[block]) : int(block_start[block + 1])] = block_tree[block]
            block_tree[block] = MIXED
        of, each = int(tree[slot]), int(demand[slot])
        if of == NO_TREE:
            continue
        tree[slot] = NO_TREE
        tree_load[of] -= each
        block_served[block] -= each
        zone = int(block_zone[block])
        while zone >= 0:
            zone_load[zone] -= each
            zone = int(zone_parent[zone])
        if at < capacity:
            kind[at], entry[at], before[at], after[at] = SLOT, slot, of, NO_TREE
        at += 1
        starved += 1
        total += each
    log.totals[0] = at
    log.totals[2] += starved
    return total


@kernel
def sum_blocks(columns: Columns) -> None:
    """Counts `block_sum` anew from the demand of every slot."""
    demand, block_start, block_sum = columns.demand, columns.block_start, columns.block_sum
    for block in range(len(block_sum)):
        # Numbered from 0, a part's slots are read a register at a time: five times faster than any other loop here;
        # and 32 bits hold the sum of a block.
        part, total = demand[int(block_start[block]) : int(block_start[block + 1])], np.int32(0)
        for i in range(len(part)):
            total = np.int32(total + np.int32(part[i]))
        block_sum[block] = total


@kernel
def sum_trees(columns: Columns) -> None:
    """Counts `tree_load`, `zone_load` and `block_served` anew from block sums, mixed slots and big feeds."""
    demand, tree, block_start, block_tree = columns.demand, columns.tree, columns.block_start, columns.block_tree
    block_served, block_zone = columns.block_served, columns.block_zone
    tree_load, zone_load = columns.tree_load, columns.zone_load
    tree_load[:] = 0
    zone_load[:] = 0
    for block in range(len(block_tree)):
        of, served = int(block_tree[block]), 0
        if of == MIXED:
            for slot in range(block_start[block], block_start[block + 1]):
                each, of = int(demand[slot]), int(tree[slot])
                if of != NO_TREE:
                    tree_load[of] += each
                    served += each
        elif of != NO_TREE:
            served = int(columns.block_sum[block])
            tree_load[of] += served
        block_served[block] = served
        zone_load[block_zone[block]] += served
    for feed in range(len(columns.big_tree)):
        of, each = int(columns.big_tree[feed]), int(columns.big_demand[feed])
        if of != NO_TREE:
            tree_load[of] += each
            zone_load[columns.big_zone[feed]] += each
    for zone in range(len(columns.zone_parent) - 1, 0, -1):
        above = int(columns.zone_parent[zone])
        if above >= 0:
            zone_load[above] += zone_load[zone]


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
