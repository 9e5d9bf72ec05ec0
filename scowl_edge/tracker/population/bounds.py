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

from scowl_edge.compiled import kernel
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
    """How few consumers can starve where no class is cut as long as a less important one can be cut instead."""

    starved: int
    starved_of: tuple[int, ...]
    """[CLASSES] Of each class."""
    uncovered: int
    """Quanta by which the protected class alone is above supply and ratings."""


def energy(columns: Columns) -> Energy:
    """The most that can be served, in all and by class. From block sums; slots are read in a deep shortage only."""
    wanted = np.zeros((len(columns.zone_parent), CLASSES), np.int64)
    sum_cells(columns, wanted)
    supply = int(columns.tree_safe.sum())
    up_to = np.cumsum(wanted, axis=1)
    produced = np.zeros_like(wanted)
    least = int(np.flatnonzero(wanted.any(axis=0))[-1]) if wanted.any() else 0
    over = up_to[:, :least]
    # Only where more important classes alone are too much does it matter what the roofs of lesser ones give.
    if least and (int(over.sum(axis=0).max()) > supply or _some_zone_over(columns, over)):
        sum_production(columns, produced)
    barred = _barred(columns, wanted)
    most, total = [], []
    for k in range(CLASSES):
        beyond = produced[:, k + 1 :].sum(axis=1)
        total.append(int(up_to[:, k].sum()))
        cut = max(barred[k], int(least_cut(columns, up_to[:, k] - beyond, supply)))
        most.append(max(0, total[k] - cut))
    most[-1] = min(most[-1], _too_big(columns, supply, total[-1], most[-1]))
    return Energy(
        supply=supply, wanted=total[-1], most=most[-1], wanted_up_to=tuple(total), most_up_to=tuple(most)
    )  # fmt: skip


def fewest_starved(columns: Columns) -> Fewest:
    """The fewest that can starve now, however the others are spread over the trees.

    Inside a zone, and inside a class, those who are cut are the largest; a zone is cut before the one around it, whose
    own cut is less by that. With one class it is reached exactly where all trees are one; with several it may be a
    little too low, for the last large one cut makes room for some small ones of lesser classes, and all that could find
    it count as served. Reads no slot where there is enough for all.
    """
    count = np.zeros(CLASSES, np.int64)
    uncovered = int(cut_fewest(columns, count))
    return Fewest(
        starved=int(count.sum()),
        starved_of=tuple(count.tolist()),
        uncovered=uncovered,
    )


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


def _some_zone_over(columns: Columns, over: NDArray[np.int64]) -> bool:
    limited = np.flatnonzero(columns.zone_limit >= 0)
    return any(
        int(over[z : columns.zone_end[z]].sum(axis=0).max()) > int(columns.zone_limit[z]) for z in limited.tolist()
    )


def _barred(columns: Columns, wanted: NDArray[np.int64]) -> list[int]:
    """[CLASSES] What at least goes unserved, up to each class, because not every tree may feed every zone.

    A cut through the flow of zones to trees. What is produced anywhere may end up in any tree, so it is taken off.
    """
    usable = np.where(columns.tree_alive == 1, columns.tree_safe, 0)
    if columns.eligible[:, usable > 0].all():
        return [0] * CLASSES
    consumed = np.zeros_like(wanted)
    sum_production(columns, consumed)
    produced = int(consumed.sum())
    consumed += wanted
    groups, count = group_zones(columns, usable)
    arcs = arcs_of(columns, groups, count, usable)
    homeless = np.cumsum(consumed[groups < 0].sum(axis=0))
    total = np.zeros((count, CLASSES), np.int64)
    np.add.at(total, groups[groups >= 0], consumed[groups >= 0])
    barred: list[int] = []
    for k in range(CLASSES):
        up_to = total.copy()
        up_to[:, k + 1 :] = 0
        lost = barred[-1] if k and not total[:, k].any() else int(unmet(up_to, arcs, usable).sum())
        barred.append(lost)
    return [max(0, lost + int(none) - produced) for lost, none in zip(barred, homeless, strict=True)]


def _too_big(columns: Columns, supply: int, wanted: int, most: int) -> int:
    """The bound that big feeds set: what is larger than a tree's safe load must go to one of the larger trees.

    For every size t: served <= demand of all up to t + min(demand of those above t, supply of trees above t).
    """
    sizes = columns.big_demand[columns.big_demand > 0].astype(np.int64)
    safe = np.sort(columns.tree_safe)
    if not len(sizes) or not len(safe) or int(sizes.max()) <= int(safe[0]):
        return most
    bound = _by_size(sizes, safe, supply, wanted, 0)
    if bound < most:
        # A tree also bears as much more as the roofs in it produce.
        produced = np.zeros((len(columns.zone_parent), CLASSES), np.int64)
        sum_production(columns, produced)
        bound = _by_size(sizes, safe, supply, wanted, int(produced.sum()))
    return max(0, min(most, bound))


def _by_size(sizes: NDArray[np.int64], safe: NDArray[np.int64], supply: int, wanted: int, produced: int) -> int:
    smaller_trees = np.searchsorted(safe, sizes - produced, side="left")
    demand = np.zeros(len(safe) + 1, np.int64)
    np.add.at(demand, smaller_trees, sizes)
    above = np.cumsum(demand[::-1])[::-1][1:]
    room = supply - np.cumsum(safe) + produced
    return int((wanted - above + np.minimum(above, room)).min())


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


@kernel
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
