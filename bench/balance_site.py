"""What the balancing benchmarks run on: populations from a file, sites with nested ratings, and paired times.

The population is drawn from its seed once and kept under `build/`; all sites are laid out from it. Times come in pairs
with a bare numpy pass over the same arrays: demand is read once, a tree is written once for each slot.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.machine import spread
from scowl_edge.tracker.population import bounds, packing
from scowl_edge.tracker.population.assign import same_sums, sum_trees
from scowl_edge.tracker.population.census import draw, draw_fleet, nested_zones
from scowl_edge.tracker.population.columns import MIXED, NO_TREE, Census, Columns, Layout, Log, lay_out
from scowl_edge.tracker.population.cut import relieve_zones, starve
from scowl_edge.tracker.population.fill import rebuild
from scowl_edge.tracker.population.history import History

STATE = 8_900_000
STATE_TREES = 342
SEED = 1
BUILD = Path(__file__).parents[1] / "build"
FEEDERS = 64
"""Leaves of the tree of ratings: feeders in substations in the region."""
LOG = 1 << 20
_CHANGING = ("tree", "block_tree", "block_served", "big_tree", "tree_load", "zone_load", "tree_safe", "tree_alive")
_LIVING = ("demand", "block_sum", "big_demand")
_FORM = 2
"""Of the file's name: a new number where the generator draws, or the file holds it, otherwise."""


def population(consumers: int) -> Census:
    """The census of so many consumers, from its file; drawn and written first where there is none."""
    path = BUILD / f"population-{_FORM}-{SEED}-{consumers}.bin"
    names = ("nominal", "zone", "klass", "kind", "noise_ppm", "deferrable_ppm")
    if not path.exists():
        drawn = draw(consumers, SEED, zones=FEEDERS)
        BUILD.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.write_bytes(packing.pack({name: getattr(drawn, name) for name in names}))
        unfinished.replace(path)
    arrays = packing.unpack(path.read_bytes())
    return Census(quantum_w=10, **{name: arrays[name] for name in names})  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Site:
    """A population laid out, with plants; and a copy to go back to."""

    columns: Columns
    layout: Layout
    census: Census
    wanted: int
    """Quanta."""
    log: Log
    history: History

    def supply(self, ratio: float) -> NDArray[np.int64]:
        """Gives all trees safe loads that add up to `ratio` of the demand; all are alive."""
        rated = draw_fleet(len(self.columns.tree_safe), round(self.wanted * ratio), SEED).rated
        self.columns.tree_safe[:] = rated
        self.columns.tree_alive[:] = 1
        return rated

    def rebuild(self) -> None:
        """A full rebuild."""
        self.log.totals[:] = 0
        rebuild(self.columns, self.log, self.history)

    def keep(self, *, demand: bool = False) -> Callable[[], None]:
        """Notes the present state; what it gives goes back to it."""
        names = _CHANGING + (_LIVING if demand else ())
        kept = {name: getattr(self.columns, name).copy() for name in names}

        def back() -> None:
            for name, array in kept.items():
                np.copyto(getattr(self.columns, name), array)
            self.log.totals[:] = 0

        return back

    def check(self) -> None:
        """Ends the run if a law is broken: a figure of a wrong plan means nothing."""
        c = self.columns
        alive = c.tree_alive == 1
        if bool((c.tree_load[alive] > c.tree_safe[alive]).any()) or bool((c.tree_load[~alive] != 0).any()):
            raise SystemExit("a tree is above its safe load")
        if bool(((c.zone_limit >= 0) & (c.zone_load > c.zone_limit)).any()):
            raise SystemExit("a feeder is above its rating")
        if not same_sums(c):
            raise SystemExit("running sums are not what a recount gives")

    def gap(self) -> tuple[float, int, int]:
        """(share of the energy bound that is not served, starved, the fewest that must be)."""
        most, served = bounds.energy(self.columns).most, int(self.columns.tree_load.sum())
        starved = int(bounds.starved_now(self.columns)[0].sum())
        fewest = bounds.fewest_starved(self.columns).starved
        if served > most:
            raise SystemExit(f"beyond the bound: served {served} of {most}")
        return 1 - served / max(1, most), starved, fewest


def site(consumers: int, trees: int, *, feeders: bool = True, limit: float = 1.25, **layout: int) -> Site:
    """A site without anybody in a tree yet.

    Args:
        consumers: how many.
        trees: how many.
        feeders: whether there are nested ratings, three levels deep.
        limit: rating of each feeder and substation, of its mean demand.
        layout: `big`, `feed`, `block_energy` as `lay_out` has them.
    """
    census = population(consumers)
    parents = None
    if feeders:
        parents, leaf = nested_zones(FEEDERS)
        census = replace(census, zone=leaf[census.zone])
    else:
        census = replace(census, zone=np.zeros(consumers, np.uint16))
    columns, placed = lay_out(census, trees, zone_parent=parents, **layout)
    if feeders:
        # With everybody in one tree for a moment, the sums by zone are the demand of each.
        columns.block_tree[:], columns.big_tree[:] = 0, 0
        sum_trees(columns)
        columns.zone_limit[1:] = (columns.zone_load[1:] * limit).astype(np.int64)
        columns.block_tree[:], columns.big_tree[:] = NO_TREE, NO_TREE
        sum_trees(columns)
    wanted = int(census.nominal.sum())
    return Site(columns, placed, census, wanted, Log.empty(LOG), History.empty(columns))


@dataclass(frozen=True)
class Timing:
    """Pairs of ms of wall time."""

    ours: list[float]
    reference: list[float]
    cpu: list[float]
    """Of ours: ms of all threads of this process."""

    @property
    def median(self) -> float:
        """Ours, ms."""
        return statistics.median(self.ours)

    def cells(self, digits: int = 2) -> str:
        """Three cells of a table: ours with its spread, CPU, ratio to the bare pass."""
        ratio = [a / b for a, b in zip(self.ours, self.reference, strict=True)]
        return f"{spread(self.ours, digits)} | {statistics.median(self.cpu):.{digits}f} | {spread(ratio, 2)}"


def paired(columns: Columns, work: Callable[[], object], before: Callable[[], object], pairs: int) -> Timing:
    """Times `work` in turn with the bare pass; `before` puts the state back and is not timed."""
    scratch = np.zeros(len(columns.demand), np.uint16)
    ours, reference, cpu = [], [], []
    for turn in range(pairs + 1):
        before()
        used, begun = time.process_time(), time.perf_counter()
        work()
        took, took_cpu = time.perf_counter() - begun, time.process_time() - used
        begun = time.perf_counter()
        total = int(columns.demand.sum(dtype=np.int64))
        scratch[:] = total & 1
        bare = time.perf_counter() - begun
        # The first turn compiles, and fetches what was never touched.
        if turn:
            ours.append(took * 1e3)
            cpu.append(took_cpu * 1e3)
            reference.append(bare * 1e3)
    return Timing(ours, reference, cpu)


def verdict(value: float, must: float, aim: float, *, more: bool = False) -> str:
    """Whether a figure meets its aim or at least what it must."""
    if more:
        value, must, aim = -value, -must, -aim
    return "aim" if value <= aim else "must" if value <= must else "**missed**"


def members(columns: Columns) -> NDArray[np.int64]:
    """int64[trees]: how many are in each, from the bound of a site in which all trees are dead."""
    dead = columns._replace(tree_alive=np.zeros_like(columns.tree_alive))
    return bounds.departures(dead)


def places(columns: Columns) -> NDArray[np.int64]:
    """int64[slots + feeds]: the tree of each, `NO_TREE` for who starves and where nobody is."""
    blocks = columns.block_tree.astype(np.int64).repeat(np.diff(columns.block_start))
    slots = np.where(blocks == MIXED, columns.tree[: len(blocks)].astype(np.int64), blocks)
    slots[columns.demand[: len(blocks)] == 0] = NO_TREE
    feeds = np.where(columns.big_demand == 0, NO_TREE, columns.big_tree.astype(np.int64))
    return np.concatenate([slots, feeds])


def least_changes(s: Site) -> tuple[int, int]:
    """(who must starve more than now, the fewest others who change hands), of a state before its repair.

    Who goes without is settled before who moves: the cut is made on a copy, and the bound is taken of what is left.
    """
    c = s.columns
    served, supply = int(c.tree_load.sum()), int(c.tree_safe.sum())
    if served <= supply and not ((c.zone_limit >= 0) & (c.zone_load > c.zone_limit)).any():
        return 0, int(bounds.departures(c).sum())
    after = c._replace(**{name: getattr(c, name).copy() for name in _CHANGING})
    log = Log.empty(0)
    relieve_zones(after, log, s.history)
    starve(after, log, s.history, 0, len(c.zone_parent), int(after.tree_load.sum()) - supply)
    return int(log.totals[2]), int(bounds.departures(after).sum())
