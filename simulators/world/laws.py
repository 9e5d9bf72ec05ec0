"""The laws that every plan for a population has to keep, counted anew from the columns and by nobody's running sums.

Nothing here uses what the tracker itself computes or believes: sums are taken from single places, in numpy.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population.columns import MIXED, NO_TREE, PROTECTED, Columns


class Law(StrEnum):
    """What must hold after every step. The value is what people read."""

    CONSERVATION = "what is wanted is served or starved, and each consumer is in at most one tree"
    SUMS = "running sums equal a recount"
    SAFE = "no tree is loaded above what is safe"
    ZONES = "no feeder, substation or connection is loaded above its limit"
    ALIVE = "a dead plant keeps nobody"
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
class Sight:
    """One look at a population: who is where, counted from single places (all slots, then all big feeds)."""

    tree: NDArray[np.int64]
    """[places] NO_TREE = none."""
    demand: NDArray[np.int64]
    """[places] quanta."""
    zone: NDArray[np.int64]
    klass: NDArray[np.int64]
    load: NDArray[np.int64]
    """[trees]"""

    @classmethod
    def of(cls, columns: Columns) -> Sight:
        """Looks at every place."""
        block = np.repeat(np.arange(len(columns.block_tree)), np.diff(columns.block_start))
        whole = columns.block_tree[block]
        slot_tree = np.where(whole == MIXED, columns.tree, whole)
        tree = np.concatenate([slot_tree, columns.big_tree]).astype(np.int64)
        demand = np.concatenate([columns.demand, columns.big_demand]).astype(np.int64)
        zone = np.concatenate([columns.block_zone[block], columns.big_zone]).astype(np.int64)
        klass = np.concatenate([columns.block_class[block], columns.big_class]).astype(np.int64)
        return cls(tree, demand, zone, klass, _by(tree, demand, len(columns.tree_load)))


def check_columns(book: LawBook, step: int, columns: Columns, now: Sight) -> None:
    """The laws that one look at the columns is enough for, but SAFE and PROTECTED."""
    trees = len(columns.tree_load)
    somewhere = now.tree != NO_TREE
    inside = now.tree < trees
    book.hold(
        Law.CONSERVATION,
        step,
        bool((inside | ~somewhere).all())
        and int(now.load.sum()) + int(now.demand[~somewhere].sum()) == now.demand.sum(),
        f"{now.demand.sum()} wanted, {now.load.sum()} in trees, {now.demand[~somewhere].sum()} in none",
    )
    block = np.repeat(np.arange(len(columns.block_tree)), np.diff(columns.block_start))
    slots = len(block)
    served = np.where(somewhere[:slots], now.demand[:slots], 0)
    block_sum = _by(block, now.demand[:slots], len(columns.block_tree))
    block_served = _by(block, served, len(columns.block_tree))
    own = _by(now.zone[somewhere], now.demand[somewhere], len(columns.zone_load))
    below = np.concatenate([[0], np.cumsum(own)])
    zone_load = below[columns.zone_end] - below[np.arange(len(own))]
    for name, counted, running in (
        ("block_sum", block_sum, columns.block_sum),
        ("block_served", block_served, columns.block_served),
        ("tree_load", now.load, columns.tree_load),
        ("zone_load", zone_load, columns.zone_load),
    ):
        book.hold(Law.SUMS, step, np.array_equal(counted, running), _first(name, counted, running))
    limited = columns.zone_limit >= 0
    over = limited & (zone_load > columns.zone_limit)
    # What is left in a zone above its limit may be of class 0 alone: that is never starved by software.
    for z in np.flatnonzero(over):
        there = somewhere & (now.zone >= z) & (now.zone < columns.zone_end[z]) & (now.demand > 0)
        book.hold(
            Law.ZONES,
            step,
            (now.klass[there] == PROTECTED).all(),
            f"zone {z} carries {zone_load[z]} of {columns.zone_limit[z]}",
        )
    book.checks[Law.ZONES.name] += int(limited.sum()) - int(over.sum())
    placed = somewhere & inside
    dead = placed & (columns.tree_alive[np.where(inside, now.tree, 0)] == 0) & (now.demand != 0)
    book.hold(Law.ALIVE, step, not dead.any(), f"{dead.sum()} in trees {np.unique(now.tree[dead])[:5]}")
    wrong = placed & (columns.eligible[now.zone, np.where(inside, now.tree, 0)] == 0) & (now.demand != 0)
    book.hold(Law.ELIGIBLE, step, not wrong.any(), f"{wrong.sum()} places")
    supply = int(columns.tree_safe[columns.tree_alive != 0].sum())
    held = int(np.maximum(0, now.load - columns.tree_safe)[columns.tree_alive != 0].sum())
    wanted = int(now.demand[now.demand > 0].sum())
    book.hold(
        Law.SERVED,
        step,
        int(now.load.sum()) <= min(supply + held, wanted),
        f"{now.load.sum()} served of {wanted} wanted, with a supply of {supply}",
    )


def overloaded(columns: Columns, now: Sight) -> NDArray[np.int64]:
    """Trees above their safe load, but those in which only class 0 is left."""
    over = np.flatnonzero(now.load > columns.tree_safe)
    return np.asarray(
        [t for t in over if (now.klass[(now.tree == t) & (now.demand > 0)] != PROTECTED).any()], dtype=np.int64
    )


def least_departures(before: Sight, demand: NDArray[np.int64], columns: Columns) -> NDArray[np.int64]:
    """[trees] How many of a tree's members have to go at least, with the demands and safe loads of now.

    Of an overloaded tree the fewest whose largest demands cover the excess; of a dead one all.
    """
    trees = len(columns.tree_load)
    load = _by(before.tree, demand, trees)
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
    places = min(len(before.tree), len(now.tree))
    earlier = Sight(
        before.tree[:places], before.demand[:places], before.zone[:places], before.klass[:places], before.load
    )
    demand = now.demand[:places]
    least = least_departures(earlier, demand, columns)
    went, bound = 0, 0
    for t in np.flatnonzero(least):
        gone = int(np.count_nonzero((earlier.tree == t) & (now.tree[:places] != t) & (demand != 0)))
        if now.load[t] <= columns.tree_safe[t]:
            arrived = int(demand[(earlier.tree != t) & (now.tree[:places] == t) & (demand < 0)].sum())
            # Producers that came in relieve a tree as well as consumers that went.
            if arrived == 0:
                book.hold(Law.CHURN, step, gone >= least[t], f"{gone} left tree {t}, at least {least[t]} have to")
                went, bound = went + gone, bound + int(least[t])
    return went, bound


def _by(index: NDArray[np.int64], value: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Exact sums by index; what lies beyond `size` is left out."""
    # Weights of bincount are doubles: exact up to 2^53, which is a billion times what is summed here.
    kept = index < size
    return np.bincount(index[kept], value[kept], size).astype(np.int64)


def _first(name: str, counted: NDArray[np.int64], running: NDArray[np.int64]) -> str:
    differing = np.flatnonzero(counted != running)
    if not len(differing):
        return ""
    at = int(differing[0])
    return f"{name}[{at}] is {running[at]}, counted {counted[at]} ({len(differing)} differ)"
