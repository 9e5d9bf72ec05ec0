"""The laws that every plan for a population has to keep, counted anew from the columns and by nobody's running sums.

Nothing here uses what the tracker itself computes or believes: sums are taken from single places, in numpy.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population.columns import MIXED, NO_TREE, PROTECTED, Columns


class Law(StrEnum):
    """What must hold after every step. The value is what people read."""

    SOUND = "no step raises a fault of the program"
    CONSERVATION = "what is wanted is served or starved, and each consumer is in at most one tree"
    SUMS = "running sums equal a recount"
    SAFE = "no tree is loaded above what is safe"
    MARGIN = "what a tree may carry is its plant's latest output less the margin, at most"
    ZONES = "no feeder, substation or connection is loaded above its limit"
    ALIVE = "a dead plant keeps nobody, while another lives"
    ELIGIBLE = "a tree feeds only zones that it may feed"
    PROTECTED = "class 0 is never starved by software"
    SERVED = "no more is served than the bound"
    CHURN = "no fewer change hands than the bound"
    NAMEPLATE = "nobody counts for more than the nameplate"
    LATEST = "what counts is the latest message that came, and none older"
    STALE = "nothing stale is used as fresh"
    REPLAY = "the journal, run again, gives the same digests"
    RECOVERY = "a restart finds the state that the journal's last step left"
    ONE_IDENTITY = "an identity stands once"
    CONVERGED = "when all is quiet again, nobody starves while supply suffices, and everybody holds what the plan says"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A law that did not hold."""

    law: Law
    step: int
    text: str

    def __str__(self) -> str:
        return f"step {self.step}: {self.law}: {self.text}"


class LawBook:
    """Counts every check, and keeps what did not hold."""

    def __init__(self) -> None:
        self.checks: Counter[str] = Counter()
        self.violations: list[Violation] = []

    def hold(self, law: Law, step: int, holds: object, text: str = "") -> None:
        """Notes one check; `text` says what was found where it does not hold."""
        self.checks[law.name] += 1
        if not holds:
            self.violations.append(Violation(law=law, step=step, text=text))


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """What does not change from step to step: all slots, then all big feeds."""

    block: NDArray[np.int64]
    """[slots]"""
    zone: NDArray[np.int64]
    """[places]"""
    klass: NDArray[np.int64]
    """[places]"""

    @classmethod
    def of(cls, columns: Columns) -> Places:
        """Looks at every block and feed."""
        block = np.repeat(np.arange(len(columns.block_tree)), np.diff(columns.block_start))
        zone = np.concatenate([columns.block_zone[block], columns.big_zone]).astype(np.int64)
        klass = np.concatenate([columns.block_class[block], columns.big_class]).astype(np.int64)
        return cls(block, zone, klass)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One look at a population: who is where, counted from single places."""

    tree: NDArray[np.int64]
    """[places] NO_TREE = none."""
    demand: NDArray[np.int64]
    """[places] quanta."""
    places: Places
    load: NDArray[np.int64]
    """[trees]"""

    @classmethod
    def blank(cls, columns: Columns, places: Places) -> Sight:
        """One to be written by `glance.look`."""
        tree, demand = np.empty(len(places.zone), np.int64), np.empty(len(places.zone), np.int64)
        return cls(tree, demand, places, np.empty(len(columns.tree_load), np.int64))

    @classmethod
    def of(cls, columns: Columns, places: Places | None = None) -> Sight:
        """Looks at every place."""
        places = places or Places.of(columns)
        whole = columns.block_tree[places.block]
        slot_tree = np.where(whole == MIXED, columns.tree, whole)
        tree = np.concatenate([slot_tree, columns.big_tree]).astype(np.int64)
        demand = np.concatenate([columns.demand, columns.big_demand]).astype(np.int64)
        return cls(tree, demand, places, _by_tree(tree, demand, len(columns.tree_load)))


def hold_columns(book: LawBook, columns: Columns) -> None:
    """Notes the checks of `check_columns` where a glance found all of them sound."""
    for law, checks in ((Law.SUMS, 4), (Law.ZONES, len(columns.zone_load))):
        book.checks[law.name] += checks
    for law in (Law.CONSERVATION, Law.ALIVE, Law.ELIGIBLE, Law.SERVED):
        book.checks[law.name] += 1


def check_columns(book: LawBook, step: int, columns: Columns, now: Sight) -> None:
    """The laws that one look at the columns is enough for, but SAFE and PROTECTED."""
    places, tree, demand = now.places, now.tree, now.demand
    trees, slots, blocks = len(columns.tree_load), len(places.block), len(columns.block_tree)
    outside = tree >= trees
    served = np.where(outside, 0, demand)
    wanted, in_trees, in_none = int(demand.sum()), int(now.load.sum()), int(demand[tree == NO_TREE].sum())
    nowhere = outside & (tree != NO_TREE)
    book.hold(
        Law.CONSERVATION,
        step,
        in_trees + in_none == wanted and not nowhere.any(),
        f"{wanted} wanted, {in_trees} in trees, {in_none} in none, {nowhere.sum()} places in trees that are not there",
    )
    own = _exact(np.bincount(places.zone, served, len(columns.zone_load)))
    below = np.concatenate([[0], np.cumsum(own)])
    zone_load = below[columns.zone_end] - below[: len(own)]
    for name, counted, running in (
        ("block_sum", _exact(np.bincount(places.block, demand[:slots], blocks)), columns.block_sum),
        ("block_served", _exact(np.bincount(places.block, served[:slots], blocks)), columns.block_served),
        ("tree_load", now.load, columns.tree_load),
        ("zone_load", zone_load, columns.zone_load),
    ):
        same = np.array_equal(counted, running)
        book.hold(Law.SUMS, step, same, "" if same else _first(name, counted, running))
    over = np.flatnonzero((columns.zone_limit >= 0) & (zone_load > columns.zone_limit))
    book.checks[Law.ZONES.name] += len(own) - len(over)
    # What is left in a zone above its limit may be of class 0 alone: that is never starved by software.
    for z in over:
        there = ~outside & (places.zone >= z) & (places.zone < columns.zone_end[z]) & (demand > 0)
        only_protected = (places.klass[there] == PROTECTED).all()
        book.hold(Law.ZONES, step, only_protected, f"zone {z} carries {zone_load[z]} of {columns.zone_limit[z]}")
    at = np.where(outside, 0, tree)
    counts = served != 0
    dead = counts & (columns.tree_alive[at] == 0)
    nobody = not columns.tree_alive.any()
    if nobody:
        # Class 0 is never starved by software, and a roof is never cut: they stay where they were.
        dead &= (places.klass != PROTECTED) & (demand > 0)
    book.hold(Law.ALIVE, step, not dead.any(), f"{dead.sum()} places in dead trees {np.unique(tree[dead])[:5]}")
    wrong = counts & (columns.eligible[places.zone, at] == 0)
    book.hold(Law.ELIGIBLE, step, not wrong.any(), f"{wrong.sum()} places")
    alive = columns.tree_alive != 0
    supply = int(columns.tree_safe[alive].sum())
    held = int(np.maximum(0, now.load - columns.tree_safe)[alive | nobody].sum())
    most = int(np.maximum(0, demand).sum())
    text = f"{in_trees} served of {most} wanted, with a supply of {supply}"
    book.hold(Law.SERVED, step, in_trees <= min(supply + held, most), text)


def overloaded(columns: Columns, now: Sight) -> NDArray[np.int64]:
    """Trees above their safe load, but those in which only class 0 is left."""
    over = np.flatnonzero(now.load > columns.tree_safe)
    return np.asarray(
        [t for t in over if (now.places.klass[(now.tree == t) & (now.demand > 0)] != PROTECTED).any()], dtype=np.int64
    )


def least_departures(before: Sight, demand: NDArray[np.int64], columns: Columns) -> NDArray[np.int64]:
    """[trees] How many of a tree's members have to go at least, with the demands and safe loads of now.

    Of an overloaded tree the fewest whose largest demands cover the excess; of a dead one all.
    """
    trees = len(columns.tree_load)
    load = _by_tree(before.tree, demand, trees)
    least = np.zeros(trees, np.int64)
    for t in np.flatnonzero((load > columns.tree_safe) | (columns.tree_alive == 0)):
        members = demand[before.tree == t]
        if not columns.tree_alive[t]:
            least[t] = np.count_nonzero(members)
            continue
        largest = np.cumsum(np.sort(members[members > 0])[::-1])
        least[t] = min(len(largest), 1 + int(np.searchsorted(largest, load[t] - columns.tree_safe[t])))
    return least


def check_churn(book: LawBook, step: int, columns: Columns, before: Sight, now: Sight) -> tuple[int, int]:
    """CHURN; gives (departures, least departures) of the trees that had to let go and are within their limits now."""
    # Places may have been added since.
    places = min(len(before.tree), len(now.tree))
    earlier = Sight(before.tree[:places], before.demand[:places], before.places, before.load)
    demand = now.demand[:places]
    least = least_departures(earlier, demand, columns)
    went, bound = 0, 0
    # Where no plant lives there is nowhere to go.
    for t in np.flatnonzero(least) if columns.tree_alive.any() else ():
        gone = int(np.count_nonzero((earlier.tree == t) & (now.tree[:places] != t) & (demand != 0)))
        if now.load[t] <= columns.tree_safe[t]:
            arrived = int(demand[(earlier.tree != t) & (now.tree[:places] == t) & (demand < 0)].sum())
            # Producers that came in relieve a tree as well as consumers that went.
            if arrived == 0:
                book.hold(Law.CHURN, step, gone >= least[t], f"{gone} left tree {t}, at least {least[t]} have to")
                went, bound = went + gone, bound + int(least[t])
    return went, bound


def _exact(sums: NDArray[Any]) -> NDArray[np.int64]:
    # Weights of bincount are doubles: exact up to 2^53, which is a million times what is summed here.
    return sums.astype(np.int64)


def _by_tree(tree: NDArray[np.int64], value: NDArray[np.int64], trees: int) -> NDArray[np.int64]:
    """Sums by tree; what is in none is left out."""
    inside = np.minimum(tree, trees)
    return _exact(np.bincount(inside, value, trees + 1)[:trees])


def _first(name: str, counted: NDArray[np.int64], running: NDArray[np.int64]) -> str:
    differing = np.flatnonzero(counted != running)
    if not len(differing):
        return ""
    at = int(differing[0])
    return f"{name}[{at}] is {running[at]}, counted {counted[at]} ({len(differing)} differ)"
