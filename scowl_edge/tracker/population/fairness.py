"""Who starved, how often and how long; and turns: in a lasting shortage equals starve one after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.assign import mix, move_big, move_slot
from scowl_edge.tracker.population.columns import BIG, BLOCK, MIXED, NO_TREE, PROTECTED, Columns, Log
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.members import block_of, tree_of_slot
from scowl_edge.tracker.population.refeed import zones_bear
from scowl_edge.tracker.population.room import room_of

EQUAL = 16
"""Two are equals if they are of one class and their demands differ by at most one part in so many."""
REACH = 16
"""Equals are looked for in so many blocks before and behind: blocks stand sorted by size."""
_OFTEN = 255


@inner_kernel
def begin_spell(
    times: NDArray[np.uint8], since: NDArray[np.uint32], totals: NDArray[np.int64], at: int, now_s: int
) -> None:
    """One starves from now on, unless it does already."""
    if int(since[at]) == 0:
        since[at] = max(1, now_s)
        times[at] = min(_OFTEN, int(times[at]) + 1)
        totals[0] += 1


@inner_kernel
def end_spell(
    times: NDArray[np.uint8],
    since: NDArray[np.uint32],
    total: NDArray[np.uint32],
    totals: NDArray[np.int64],
    at: int,
    now_s: int,
) -> int:
    """One is served again; its seconds starved in all. A spell that lasts no second is none: nothing was cut."""
    began = int(since[at])
    if began:
        since[at] = 0
        if began >= now_s:
            if int(times[at]) < _OFTEN:
                times[at] = int(times[at]) - 1
            totals[0] -= 1
        else:
            total[at] = int(total[at]) + now_s - began
    return int(total[at])


@kernel
def survey(columns: Columns, history: History, now_s: int, block_from: int, block_to: int) -> int:
    """Compares the history of some blocks, and of all feeds, with who starves, and mends it.

    Returns:
        Most seconds starved in all of those whose spell was ended.
    """
    worst = 0
    h = history
    for block in range(block_from, block_to):
        tree = int(columns.block_tree[block])
        for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
            at = int(columns.tree[slot]) if tree == MIXED else tree
            if at == NO_TREE and int(columns.demand[slot]) != 0:
                begin_spell(h.slot_times, h.slot_since, h.totals, slot, now_s)
            elif int(h.slot_since[slot]) and at != NO_TREE:
                worst = max(worst, end_spell(h.slot_times, h.slot_since, h.slot_total, h.totals, slot, now_s))
    for feed in range(len(columns.big_tree)):
        if int(columns.big_tree[feed]) == NO_TREE:
            begin_spell(h.feed_times, h.feed_since, h.totals, feed, now_s)
        elif int(h.feed_since[feed]):
            worst = max(worst, end_spell(h.feed_times, h.feed_since, h.feed_total, h.totals, feed, now_s))
    return worst


@kernel
def keep(columns: Columns, log: Log, history: History, now_s: int) -> int:
    """Brings the history up to date after a step.

    Args:
        columns: the state after the step.
        log: of the step; if it overflowed, all are looked at instead.
        history: is changed.
        now_s: seconds since some fixed instant; at least 1.

    Returns:
        Most seconds starved in all by one who is served again; 0 if nobody is.
    """
    entries = int(log.totals[0])
    if entries > len(log.kind):
        return survey(columns, history, now_s, 0, len(columns.block_tree))
    worst = 0
    h = history
    for entry in range(entries):
        starves, starved = int(log.after[entry]) == NO_TREE, int(log.before[entry]) == NO_TREE
        if starves == starved:
            continue
        kind, number = int(log.kind[entry]), int(log.number[entry])
        if kind == BIG:
            if starves:
                begin_spell(h.feed_times, h.feed_since, h.totals, number, now_s)
            else:
                worst = max(worst, end_spell(h.feed_times, h.feed_since, h.feed_total, h.totals, number, now_s))
            continue
        first, end = number, number + 1
        if kind == BLOCK:
            first, end = int(columns.block_start[number]), int(columns.block_start[number + 1])
        for slot in range(first, end):
            if not starves:
                worst = max(worst, end_spell(h.slot_times, h.slot_since, h.slot_total, h.totals, slot, now_s))
            elif int(columns.demand[slot]) != 0:
                begin_spell(h.slot_times, h.slot_since, h.totals, slot, now_s)
    return worst


@kernel
def longest(columns: Columns, history: History, now_s: int) -> int:
    """Most seconds starved in all, the present spell included, of those who starve now."""
    worst = 0
    for block in range(len(columns.block_tree)):
        tree = int(columns.block_tree[block])
        if tree < MIXED:
            continue
        for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
            since = int(history.slot_since[slot])
            if since and (tree == NO_TREE or int(columns.tree[slot]) == NO_TREE):
                worst = max(worst, int(history.slot_total[slot]) + now_s - since)
    for feed in range(len(columns.big_tree)):
        since = int(history.feed_since[feed])
        if since and int(columns.big_tree[feed]) == NO_TREE:
            worst = max(worst, int(history.feed_total[feed]) + now_s - since)
    return worst


@inner_kernel
def may_swap(columns: Columns, zone: int, demand: int, tree: int, other_zone: int, other: int) -> bool:
    """Whether one may take the place of another in a tree, by its safe load, its zones and all limits."""
    if not columns.tree_alive[tree] or not columns.eligible[zone, tree]:
        return False
    more = demand - other
    if more > 0 and room_of(columns, tree) < more:
        return False
    # In one zone only the difference counts; else the whole demand comes in, which is on the safe side.
    return zones_bear(columns, zone, more, 0) if zone == other_zone else zones_bear(columns, zone, demand, 0)


@inner_kernel
def equal_slot(columns: Columns, history: History, block: int, slot: int) -> int:
    """A served equal near a starved slot that starved less often, the least often; -1 if there is none."""
    demand, zone, klass = int(columns.demand[slot]), int(columns.block_zone[block]), int(columns.block_class[block])
    band, times, best = demand // EQUAL, int(history.slot_times[slot]), -1
    for near in range(max(0, block - REACH), min(len(columns.block_tree), block + REACH + 1)):
        tree = int(columns.block_tree[near])
        if tree == NO_TREE or int(columns.block_zone[near]) != zone or int(columns.block_class[near]) != klass:
            continue
        for other in range(int(columns.block_start[near]), int(columns.block_start[near + 1])):
            value = int(columns.demand[other])
            if demand - band <= value <= demand + band and int(history.slot_times[other]) < times:
                at = int(columns.tree[other]) if tree == MIXED else tree
                if at != NO_TREE and may_swap(columns, zone, demand, at, zone, value):
                    best, times = other, int(history.slot_times[other])
                    if times == 0:
                        return best
    return best


@inner_kernel
def equal_feed(columns: Columns, history: History, feed: int) -> int:
    """A served equal of a starved feed that starved less often, the least often; -1 if there is none."""
    demand, zone, klass = int(columns.big_demand[feed]), int(columns.big_zone[feed]), int(columns.big_class[feed])
    band, times, best = demand // EQUAL, int(history.feed_times[feed]), -1
    for other in range(len(columns.big_tree)):
        value, at = int(columns.big_demand[other]), int(columns.big_tree[other])
        if (
            demand - band <= value <= demand + band
            and at != NO_TREE
            and int(columns.big_class[other]) == klass
            and int(history.feed_times[other]) < times
            and may_swap(columns, zone, demand, at, int(columns.big_zone[other]), value)
        ):
            best, times = other, int(history.feed_times[other])
    return best


@kernel
def rotate(columns: Columns, log: Log, history: History, now_s: int, term_s: int, budget: int) -> int:
    """Ends the spells of those who have starved for a term, where an equal who starved less often can take the turn.

    Args:
        columns: the state; sums are exact before and after, and no tree or zone gets above what it may carry.
        log: what changed hands is added; `keep` notes it.
        history: read only.
        now_s: as in `keep`. Blocks are looked at from another one on each second, so that all come to their turn.
        term_s: how long one starves before its turn is over, seconds.
        budget: most swaps.

    Returns:
        Swaps made.
    """
    swaps = 0
    for feed in range(len(columns.big_tree)):
        since = int(history.feed_since[feed])
        if swaps < budget and since and now_s - since >= term_s and int(columns.big_tree[feed]) == NO_TREE:
            other = equal_feed(columns, history, feed) if int(columns.big_class[feed]) != PROTECTED else -1
            if other >= 0:
                tree = int(columns.big_tree[other])
                move_big(columns, log, other, NO_TREE)
                move_big(columns, log, feed, tree)
                swaps += 1
    blocks = len(columns.block_tree)
    for n in range(blocks):
        block = (n + now_s * 7919) % blocks
        tree = int(columns.block_tree[block])
        if swaps >= budget:
            break
        if tree < MIXED or int(columns.block_class[block]) == PROTECTED:
            continue
        for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
            since = int(history.slot_since[slot])
            if swaps >= budget or not since or now_s - since < term_s or int(columns.demand[slot]) <= 0:
                continue
            if tree_of_slot(columns, block, slot) != NO_TREE:
                continue
            other = equal_slot(columns, history, block, slot)
            if other >= 0:
                near = block_of(columns, other)
                to = tree_of_slot(columns, near, other)
                mix(columns, near)
                mix(columns, block)
                move_slot(columns, log, near, other, NO_TREE)
                move_slot(columns, log, block, slot, to)
                swaps += 1
    return swaps
