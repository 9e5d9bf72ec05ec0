"""Bounds that no plan can beat, from the state alone: most energy served, fewest starved, fewest who change hands.

They are the measure of every step: what was reached is told beside what was possible. All are exact integers. What
produces (negative demand) is taken to be in a tree always, and no roof is moved in order to relieve another tree; apart
from that they hold for every plan, however it was found. A bound counts in consumers as the log does: a slot and a big
feed one each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.cells import arcs_of, group_zones, unmet
from scowl_edge.tracker.population.columns import CLASSES, MIXED, NO_TREE, Columns
from scowl_edge.tracker.population.departures import count_departures
from scowl_edge.tracker.population.fewest import cut_fewest


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """How much can be served at most, in quanta."""

    supply: int
    """Safe loads of all trees."""
    wanted: int
    """Demand of all, net of what roofs produce."""
    most: int
    """min(supply, wanted), less what ratings, eligibility and trees too small for big feeds keep from being served."""
    wanted_up_to: tuple[int, ...]
    """[CLASSES] Net demand of this class and all more important ones."""
    most_up_to: tuple[int, ...]
    """[CLASSES] The most of it that can be served if those less important get nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fewest:
    """How few consumers can starve where none of a class does as long as less important ones can instead."""

    starved: int
    """The sum of `starved_of`."""
    starved_of: tuple[int, ...]
    """[CLASSES] Of each class: no plan has a lexicographically smaller one, the most important class first."""
    uncovered: int
    """Quanta by which the protected class alone is above supply and ratings."""

    def had_to(self, count: NDArray[np.int64]) -> int:
        """How many of those who starve, int64[CLASSES], had to; who starves beyond that did so without need."""
        return sum(map(min, self.starved_of, count.tolist()))


def energy(columns: Columns) -> Energy:
    """The most that can be served, in all and by class. From block sums; slots are read in a deep shortage only."""
    total, most = np.empty(CLASSES, np.int64), np.empty(CLASSES, np.int64)
    barred = np.zeros(CLASSES, np.int64) if columns.eligible.all() else _barred(columns)
    supply = int(bound_energy(columns, np.sort(columns.tree_safe), barred, total, most))
    up_to = tuple(most.tolist())
    return Energy(
        supply=supply, wanted=int(total[-1]), most=up_to[-1], wanted_up_to=tuple(total.tolist()), most_up_to=up_to
    )  # fmt: skip


def fewest_starved(columns: Columns) -> Fewest:
    """The fewest that must starve now, class by class, however the others are spread over the trees.

    A plan starves some (never of class 0, never what produces) so that nowhere more is served than a zone's limit or,
    in all, than the supply; trees are one pool. Of all plans those count that starve the fewest of class 1, among them
    those that starve the fewest of class 2, and so on: the vector of counts is lexicographically the least. Where class
    0 alone is too much somewhere, all others there starve.

    That vector is exact down to the most important class that is cut; and all of it where no limit that is exceeded
    lies within another that is, the supply being one: so without limits. Elsewhere, after that class, no plan has a
    smaller one, and maybe none this one: which few large consumers to cut in which zone, so that most of lesser classes
    are spared, is a knapsack, and here every limit is granted the choice that is best for it alone.

    A plan that is worse may starve fewer in all, if it cuts one more of an important class in order to spare several of
    a lesser one. Reads no slot where there is enough for all.
    """
    count = np.zeros(CLASSES, np.int64)
    uncovered = int(cut_fewest(columns, count))
    starved_of = tuple(count.tolist())
    return Fewest(starved=sum(starved_of), starved_of=starved_of, uncovered=uncovered)


def departures(columns: Columns) -> NDArray[np.int64]:
    """int64[trees]: the fewest who must leave each tree as it stands now, moved or starved; call it before a repair.

    A living tree above its safe load: the least number whose largest members cover the overload. A dead tree: all
    that draw or produce anything. Moves that only ratings force are not in it.
    """
    least = np.zeros(len(columns.tree_load), np.int64)
    count_departures(columns, least)
    return least


def starved_now(columns: Columns) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(consumers that want something and are in no tree, net demand outside of all trees in quanta), int64[CLASSES]."""
    count, quanta = np.zeros(CLASSES, np.int64), np.zeros(CLASSES, np.int64)
    count_starved(columns, count, quanta)
    return count, quanta


def _barred(columns: Columns) -> NDArray[np.int64]:
    """int64[CLASSES]: what at least goes unserved, up to each class, because not every tree may feed every zone.

    A cut through the flow of zones to trees. What is produced anywhere may end up in any tree, so it is taken off.
    """
    usable = np.where(columns.tree_alive == 1, columns.tree_safe, 0)
    barred = np.zeros(CLASSES, np.int64)
    if columns.eligible[:, usable > 0].all():
        return barred
    consumed = np.zeros((len(columns.zone_parent), CLASSES), np.int64)
    sum_production(columns, consumed)
    produced = int(consumed.sum())
    sum_cells(columns, consumed)
    groups, count = group_zones(columns, usable)
    arcs = arcs_of(columns, groups, count, usable)
    homeless = np.cumsum(consumed[groups < 0].sum(axis=0))
    total = np.zeros((count, CLASSES), np.int64)
    np.add.at(total, groups[groups >= 0], consumed[groups >= 0])
    for k in range(CLASSES):
        up_to = total.copy()
        up_to[:, k + 1 :] = 0
        barred[k] = barred[k - 1] if k and not total[:, k].any() else int(unmet(up_to, arcs, usable).sum())
    barred[:] = np.maximum(0, barred + homeless - produced)
    return barred


@kernel
def bound_energy(
    columns: Columns,
    safe: NDArray[np.int64],
    barred: NDArray[np.int64],
    total: NDArray[np.int64],
    most: NDArray[np.int64],
) -> int:
    """Writes what is wanted, and what can be served of it at most, by all up to each class; returns the supply.

    Args:
        columns: the state.
        safe: int64[trees] safe loads, the smallest first.
        barred: int64[CLASSES] what eligibility keeps from being served, up to each class.
        total: int64[CLASSES] gets the net demand.
        most: int64[CLASSES] gets the bound.
    """
    zones = len(columns.zone_parent)
    up_to, produced = np.zeros((zones, CLASSES), np.int64), np.zeros((zones, CLASSES), np.int64)
    sum_cells(columns, up_to)
    supply, least = 0, 0
    for load in safe:
        supply += load
    total[:] = 0
    for block in range(len(columns.block_class)):
        if columns.block_members[block] > 0:
            least = max(least, int(columns.block_class[block]))
    for feed in range(len(columns.big_class)):
        if columns.big_demand[feed] != 0:
            least = max(least, int(columns.big_class[feed]))
    for zone in range(zones):
        for k in range(CLASSES):
            if k:
                up_to[zone, k] += up_to[zone, k - 1]
            total[k] += up_to[zone, k]
    lost, known = np.zeros(CLASSES, np.int64), True
    for k in range(least + 1):
        lost[k] = least_cut(columns, up_to[:, k], supply)
        known = known and (k == least or lost[k] <= 0)
    if not known:
        # Only where more important classes alone are too much does it matter what the roofs of lesser ones give.
        sum_production(columns, produced)
        for k in range(least - 1, -1, -1):
            for zone in range(zones):
                up_to[zone, k] -= produced[zone, k + 1]
                produced[zone, k] += produced[zone, k + 1]
            lost[k] = least_cut(columns, up_to[:, k], supply)
    for k in range(CLASSES):
        most[k] = max(0, total[k] - max(barred[k], lost[min(k, least)]))
    last = CLASSES - 1
    if total[last] - oversize(columns, safe, 0) < most[last]:
        # A tree also bears as much more as the roofs in it produce.
        produced[:] = 0
        sum_production(columns, produced)
        most[last] = max(0, min(most[last], total[last] - oversize(columns, safe, produced.sum())))
    return supply


@inner_kernel
def oversize(columns: Columns, safe: NDArray[np.int64], produced: int) -> int:
    """Quanta that go unserved because what is larger than a tree's safe load must go to one of the larger trees.

    For every size t it is the demand of feeds above t less the supply of trees above t.

    Args:
        columns: the state.
        safe: int64[trees] safe loads, the smallest first.
        produced: by which each tree may be loaded more.
    """
    trees = len(safe)
    # Demand of those for which so many trees are too small.
    demand = np.zeros(trees + 1, np.int64)
    for feed in range(len(columns.big_tree)):
        size = int(columns.big_demand[feed])
        if size > 0 and trees > 0 and size - produced > safe[0]:
            low, high = 0, trees
            while low < high:
                middle = (low + high) // 2
                if safe[middle] < size - produced:
                    low = middle + 1
                else:
                    high = middle
            demand[low] += size
    larger, room, most = 0, produced, 0
    for tree in range(trees - 1, -1, -1):
        larger += demand[tree + 1]
        most = max(most, larger - room)
        room += safe[tree]
    return most


@kernel
def sum_cells(columns: Columns, wanted: NDArray[np.int64]) -> None:
    """Adds the net demand of every block and feed to int64[zones, CLASSES]."""
    for block in range(len(columns.block_tree)):
        wanted[columns.block_zone[block], columns.block_class[block]] += columns.block_sum[block]
    for feed in range(len(columns.big_tree)):
        wanted[columns.big_zone[feed], columns.big_class[feed]] += int(columns.big_demand[feed])


@kernel
def sum_production(columns: Columns, produced: NDArray[np.int64]) -> None:
    """Adds what is produced, as magnitudes, to int64[zones, CLASSES]. Reads every slot."""
    for block in range(len(columns.block_tree)):
        total = 0
        for slot_demand in columns.demand[columns.block_start[block] : columns.block_start[block + 1]]:
            total -= min(0, int(slot_demand))
        produced[columns.block_zone[block], columns.block_class[block]] += total
    for feed in range(len(columns.big_tree)):
        produced[columns.big_zone[feed], columns.big_class[feed]] -= min(0, int(columns.big_demand[feed]))


@inner_kernel
def least_cut(columns: Columns, wanted: NDArray[np.int64], supply: int) -> int:
    """Quanta of `wanted` (int64[zones], of each zone itself) that ratings and supply leave out at least."""
    zones = len(columns.zone_parent)
    load, cut = wanted.copy(), np.zeros(zones, np.int64)
    load_of_all, cut_of_all = 0, 0
    for zone in range(zones - 1, -1, -1):
        limit = int(columns.zone_limit[zone])
        if limit >= 0:
            cut[zone] = max(cut[zone], load[zone] - limit)
        above = int(columns.zone_parent[zone])
        if above >= 0:
            load[above] += load[zone]
            cut[above] += cut[zone]
        else:
            load_of_all += load[zone]
            cut_of_all += cut[zone]
    return int(max(cut_of_all, load_of_all - supply))


@kernel
def count_starved(columns: Columns, count: NDArray[np.int64], quanta: NDArray[np.int64]) -> None:
    """Adds those in no tree that want something, and the net demand outside of all trees, by class."""
    for block in range(len(columns.block_tree)):
        tree, klass = int(columns.block_tree[block]), int(columns.block_class[block])
        start, stop = columns.block_start[block], columns.block_start[block + 1]
        quanta[klass] += columns.block_sum[block] - columns.block_served[block]
        here = 0
        if tree == NO_TREE:
            for demand in columns.demand[start:stop]:
                here += demand > 0
        elif tree == MIXED:
            for slot in range(start, stop):
                here += columns.demand[slot] > 0 and columns.tree[slot] == NO_TREE
        count[klass] += here
    for feed in range(len(columns.big_tree)):
        if columns.big_tree[feed] == NO_TREE:
            klass = int(columns.big_class[feed])
            quanta[klass] += int(columns.big_demand[feed])
            count[klass] += columns.big_demand[feed] > 0
