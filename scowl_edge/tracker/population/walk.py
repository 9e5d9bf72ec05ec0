"""Walking from the assignment that is towards the one that a rebuild wants, a few consumers a step.

Never above any safe load on the way: what does not fit yet waits, or is swapped for one that wants to go the other way.
Who is starved, or should be, is no business of the walk: it moves those who are served in both.
"""

from __future__ import annotations

import numpy as np

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.assign import mix, move_big, move_block, move_slot, unmix
from scowl_edge.tracker.population.columns import MIXED, NO_TREE, Columns, Log
from scowl_edge.tracker.population.members import tree_of_slot
from scowl_edge.tracker.population.room import room_of


@inner_kernel
def may_go(columns: Columns, zone: int, demand: int, at: int, to: int) -> bool:
    """Whether a tree lives, may feed a zone and has room for a demand; or, of a producer, whether it can be spared."""
    if not columns.tree_alive[to] or not columns.eligible[zone, to]:
        return False
    return room_of(columns, to) >= demand if demand > 0 else room_of(columns, at) >= -demand


@inner_kernel
def may_trade(columns: Columns, zone: int, demand: int, at: int, other_zone: int, other: int, other_at: int) -> bool:
    """Whether one in tree `at` and another in `other_at` may change places."""
    if not (columns.tree_alive[at] and columns.tree_alive[other_at]):
        return False
    if not (columns.eligible[zone, other_at] and columns.eligible[other_zone, at]):
        return False
    more = demand - other
    # Whoever comes into a tree that is over might have to go again, or starve there.
    return room_of(columns, other_at) >= more and room_of(columns, at) >= -more


@inner_kernel
def walk_feeds(columns: Columns, target: Columns, log: Log, end: int) -> int:
    """Moves feeds; how many still have to move."""
    count = len(columns.big_tree)
    # The latest feed that could not go, by the tree that it is in: a partner for one that wants to come there.
    waiting = np.full(len(columns.tree_safe), -1, np.int32)
    remaining = 0
    for feed in range(count):
        at, to = int(columns.big_tree[feed]), int(target.big_tree[feed])
        if at == to or NO_TREE in (at, to):
            continue
        remaining += 1
        demand, zone = int(columns.big_demand[feed]), int(columns.big_zone[feed])
        if int(log.totals[1]) < end and may_go(columns, zone, demand, at, to):
            move_big(columns, log, feed, to)
            remaining -= 1
            continue
        other = int(waiting[to])
        if (
            other >= 0
            and int(log.totals[1]) + 1 < end
            and int(columns.big_tree[other]) == to
            and int(target.big_tree[other]) == at
            and may_trade(columns, zone, demand, at, int(columns.big_zone[other]), int(columns.big_demand[other]), to)
        ):
            move_big(columns, log, feed, to)
            move_big(columns, log, other, at)
            remaining -= 2
            continue
        waiting[at] = feed
    return remaining


@inner_kernel
def walk_blocks(columns: Columns, target: Columns, log: Log, end: int) -> int:
    """Moves blocks that are plain here and there; how many consumers still have to move."""
    waiting = np.full(len(columns.tree_safe), -1, np.int32)
    remaining = 0
    for block in range(len(columns.block_tree)):
        at, to = int(columns.block_tree[block]), int(target.block_tree[block])
        if at == to or at >= MIXED or to >= MIXED:
            continue
        members = int(columns.block_members[block])
        demand, zone = int(columns.block_sum[block]), int(columns.block_zone[block])
        # A block larger than the whole budget still goes, alone.
        if int(log.totals[1]) < end and may_go(columns, zone, demand, at, to):
            move_block(columns, log, block, to)
            continue
        remaining += members
        other = int(waiting[to])
        if (
            other >= 0
            and int(log.totals[1]) < end
            and int(columns.block_tree[other]) == to
            and int(target.block_tree[other]) == at
            and may_trade(columns, zone, demand, at, int(columns.block_zone[other]), int(columns.block_sum[other]), to)
        ):
            move_block(columns, log, block, to)
            move_block(columns, log, other, at)
            remaining -= members + int(columns.block_members[other])
            continue
        waiting[at] = block
    return remaining


@inner_kernel
def walk_slots(columns: Columns, target: Columns, log: Log, end: int) -> int:
    """Moves members of blocks that are mixed here or there; how many still have to move."""
    remaining = 0
    for block in range(len(columns.block_tree)):
        at, to = int(columns.block_tree[block]), int(target.block_tree[block])
        if (at == to and at != MIXED) or at == NO_TREE or to == NO_TREE or (at != MIXED and to != MIXED):
            continue
        zone, moved = int(columns.block_zone[block]), False
        for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
            demand = int(columns.demand[slot])
            if demand == 0:
                continue
            here, there = tree_of_slot(columns, block, slot), tree_of_slot(target, block, slot)
            if here == there or NO_TREE in (here, there):
                continue
            if int(log.totals[1]) < end and may_go(columns, zone, demand, here, there):
                mix(columns, block)
                move_slot(columns, log, block, slot, there)
                moved = True
            else:
                remaining += 1
        if moved:
            unmix(columns, block)
    return remaining


@kernel
def walk(columns: Columns, target: Columns, log: Log, budget: int) -> int:
    """Moves a few steps towards a target: big feeds first, for one of them moves most load, then blocks, then slots.

    Args:
        columns: the state; sums are exact before and after, no safe load is exceeded by a move.
        target: where to; only its trees are read.
        log: what changed hands is added.
        budget: about how many consumers may move; the last block may go beyond it.

    Returns:
        How many consumers still have to move; 0 = arrived.
    """
    end = int(log.totals[1]) + budget
    before = -1
    remaining = 0
    while before != int(log.totals[1]):
        before = int(log.totals[1])
        remaining = walk_feeds(columns, target, log, end)
        remaining += walk_blocks(columns, target, log, end)
        remaining += walk_slots(columns, target, log, end)
        if remaining == 0 or int(log.totals[1]) >= end:
            break
    return remaining
