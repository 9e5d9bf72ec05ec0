"""The sticky repair of a step: only who must move moves, and nobody starves who need not.

In this order: zones above their limits; the region's shortage (before anybody is re-homed, else large members fill the
room and many small ones starve for a few large ones); members of dead trees; trees that are over. What still does not
fit, because the room is in pieces, is starved where it is, and counted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.assign import unmix
from scowl_edge.tracker.population.chains import trade
from scowl_edge.tracker.population.columns import MIXED, Columns, Log
from scowl_edge.tracker.population.cut import relieve_zones, starve
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.overload import relieve_trees, starve_over
from scowl_edge.tracker.population.rehome import rehome
from scowl_edge.tracker.population.room import open_room

ROUNDS = 5
"""How often a shortage is cut a little deeper because of pieces of room that nobody fits in."""
WASTE_PPM = 30
"""Most of the supply that is given up as pieces."""
FORGET = 64
"""In so many steps without need, what was learnt about pieces has worn off."""
TIDY_BLOCKS = 64
"""Mixed blocks that are looked at in one step: are they plain again?"""


class Learnt(NamedTuple):
    """What one step teaches the next; part of the state, for equal states must move alike."""

    numbers: NDArray[np.int64]
    """[2] Supply in pieces too small to be used, quanta; the block where tidying goes on."""

    @classmethod
    def empty(cls) -> Learnt:
        """Nothing is known yet."""
        return cls(np.zeros(2, np.int64))


class Repaired(NamedTuple):
    """What a repair could not do, in quanta. How many moved and starved stands in the log's totals."""

    over: int
    """Above safe loads, left for the next step: the budget was spent."""
    uncovered: int
    """Above safe loads and nothing is left there but what may not be starved, or nobody to feed the protected."""
    zones: int
    """Above the limits of zones, where nothing is left but what may not be starved."""
    stuck: int
    """Starved although the region had supply: it is in pieces, or may not feed them."""


@inner_kernel
def supply_of(columns: Columns) -> int:
    """Quanta that the living trees may carry together."""
    total = 0
    for tree in range(len(columns.tree_safe)):
        if columns.tree_alive[tree]:
            total += max(0, int(columns.tree_safe[tree]))
    return total


@inner_kernel
def served_of(columns: Columns) -> int:
    """Demand in all trees, dead ones included, quanta; net of what members produce."""
    total = 0
    for load in columns.tree_load:
        total += int(load)
    return total


@inner_kernel
def anybody_anywhere(columns: Columns) -> bool:
    """Whether every living tree may feed every zone."""
    barred = 0
    for zone in range(len(columns.zone_parent)):
        for tree in range(len(columns.tree_safe)):
            barred += 1 if columns.tree_alive[tree] and not columns.eligible[zone, tree] else 0
    return barred == 0


@inner_kernel
def reaches(columns: Columns, zone: int, end: int, tree: int) -> bool:
    """Whether a tree may feed any zone of a range."""
    found = 0
    for z in range(zone, end):
        found += int(columns.eligible[z, tree])
    return found > 0


@inner_kernel
def relieve_islands(columns: Columns, log: Log, history: History) -> None:
    """Starves within zones for which the trees that may feed them cannot do, the innermost first.

    Each zone stands here with all below it; sets of zones that are no such branch are left to the trees' relief.
    """
    trees = len(columns.tree_safe)
    for zone in range(len(columns.zone_parent) - 1, -1, -1):
        end = int(columns.zone_end[zone])
        supply = 0
        for tree in range(trees):
            if columns.tree_alive[tree] and reaches(columns, zone, end, tree):
                supply += max(0, int(columns.tree_safe[tree]))
        short = int(columns.zone_load[zone]) - supply
        if short > 0:
            starve(columns, log, history, zone, end, short)


@inner_kernel
def tidy(columns: Columns, learnt: Learnt) -> None:
    """Makes mixed blocks plain whose members are together again; a few in each step."""
    blocks = len(columns.block_tree)
    at, seen = int(learnt.numbers[1]), 0
    if at >= blocks:
        at = 0
    for _ in range(blocks):
        if int(columns.block_tree[at]) == MIXED:
            unmix(columns, at)
            seen += 1
        at = at + 1 if at + 1 < blocks else 0
        if seen == TIDY_BLOCKS:
            break
    learnt.numbers[1] = at


@kernel
def repair(columns: Columns, log: Log, history: History, learnt: Learnt, budget: int) -> Repaired:
    """Repairs the assignment after demands, safe loads, living trees or limits have changed.

    Args:
        columns: the state; sums are exact before and after.
        log: what changed hands is added.
        history: read by the cuts, for fairness; not changed.
        learnt: of earlier repairs.
        budget: about how many consumers may move out of trees that are over; those of dead trees are not counted.

    Returns:
        What is left over. Without it no living tree is above its safe load, no zone above its limit, and no dead tree
        has load.
    """
    zones = relieve_zones(columns, log, history)
    free = anybody_anywhere(columns)
    if not free:
        relieve_islands(columns, log, history)
    supply = supply_of(columns)
    stuck, left, before = 0, 0, int(log.totals[1])
    end = before + budget
    wasted = supply * WASTE_PPM // 1_000_000
    for turn in range(ROUNDS):
        short = served_of(columns) - supply
        cut_at = int(log.totals[0])
        log.cut[1] = 0
        if short + int(learnt.numbers[0]) > 0:
            starve(columns, log, history, 0, len(columns.zone_parent), short + int(learnt.numbers[0]))
        room = open_room(columns)
        moved = int(log.totals[1])
        stuck += rehome(columns, log, room)
        end += int(log.totals[1]) - moved
        if free and int(log.cut[1]) > 0:
            trade(columns, log, history, room, cut_at, max(0, end - int(log.totals[1])))
        # The last round has no other way left.
        thrifty = free and turn + 1 < ROUNDS and int(learnt.numbers[0]) < wasted
        left = relieve_trees(columns, log, room, max(0, end - int(log.totals[1])), thrifty)
        if left == 0 or not free or int(log.totals[1]) >= end:
            break
        learnt.numbers[0] = min(int(learnt.numbers[0]) + left, wasted)
    if left == 0:
        learnt.numbers[0] -= (int(learnt.numbers[0]) + FORGET - 1) // FORGET
    uncovered = 0
    if left and int(log.totals[1]) < end:
        uncovered = starve_over(columns, log, open_room(columns))
        stuck += left - uncovered
        left = 0
    for tree in range(len(columns.tree_safe)):
        if not columns.tree_alive[tree]:
            uncovered += max(0, int(columns.tree_load[tree]))
    tidy(columns, learnt)
    return Repaired(left, uncovered, zones, stuck)
