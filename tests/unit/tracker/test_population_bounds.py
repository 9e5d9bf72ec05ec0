"""The bounds against all plans there are, tried one by one; and against numpy's sorts where there are too many."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scowl_edge.tracker.population import bounds
from scowl_edge.tracker.population.assign import mix, sum_blocks, sum_trees
from scowl_edge.tracker.population.columns import (
    CLASSES,
    DEMAND_LIMIT,
    NO_TREE,
    Census,
    Columns,
    lay_out,
)
from scowl_edge.tracker.population.largest import SIZES, least_covering, walk_down
from tests.population_site import drawn, uncompiled

PLAIN = uncompiled("bounds")
LARGEST = uncompiled("largest")
COUNTED = uncompiled("bounds")
"""Counts slots by size however few there are."""
for kernel in (COUNTED.cut_fewest, COUNTED.count_departures):
    kernel.__globals__["FEW"] = -1


@dataclass(frozen=True)
class Item:
    """One consumer of a tiny site, as the test knows it."""

    demand: int
    zone: int
    klass: int


@dataclass(frozen=True)
class Site:
    """A handful of consumers."""

    items: tuple[Item, ...]
    safe: tuple[int, ...]
    parents: tuple[int, ...]
    limits: tuple[int, ...]
    big: int

    def columns(self) -> Columns:
        """Laid out, nobody in any tree."""
        n = len(self.items)
        census = Census(
            10,
            np.asarray([i.demand for i in self.items], np.int64),
            np.asarray([i.zone for i in self.items], np.uint16),
            np.asarray([i.klass for i in self.items], np.uint8),
            np.zeros(n, np.uint8),
            np.zeros(n, np.int32),
            np.zeros(n, np.int32),
        )
        columns, _ = lay_out(
            census,
            len(self.safe),
            zone_parent=np.asarray(self.parents, np.int32),
            big=self.big,
            feed=1 << 31,
            block_energy=60,
        )
        columns.tree_safe[:] = self.safe
        columns.tree_alive[:] = 1
        columns.zone_limit[:] = self.limits
        return columns

    def rings(self) -> list[tuple[set[int], int]]:
        """Each limit with all who are below it, the supply as the last."""
        found = []
        for z, limit in enumerate(self.limits):
            if limit >= 0:
                below = {z}
                for child in range(z + 1, len(self.parents)):
                    if self.parents[child] in below:
                        below.add(child)
                found.append(({n for n, i in enumerate(self.items) if i.zone in below}, limit))
        return [*found, (set(range(len(self.items))), sum(self.safe))]

    def fewest(self) -> tuple[list[int], int]:
        """(lexicographically least counts of starved by class, quanta that class 0 leaves uncovered): all plans tried.

        Where all that may be starved below a limit is not enough for it, it is all starved.
        """
        demand = np.array([i.demand for i in self.items], np.int64)
        klass = np.array([i.klass for i in self.items])
        cuttable = np.flatnonzero((demand > 0) & (klass > 0))
        plans = np.arange(1 << len(cuttable))[:, None] >> np.arange(len(cuttable)) & 1
        feasible, uncovered = np.ones(len(plans), np.bool_), 0
        for ring, limit in self.rings():
            inside = np.isin(np.arange(len(demand)), list(ring))
            over, most = int(demand[inside].sum()) - limit, int(demand[cuttable][inside[cuttable]].sum())
            feasible &= plans @ (demand * inside)[cuttable] >= min(over, most)
            uncovered = max(uncovered, over - most)
        counts = np.stack([plans[feasible] @ (klass[cuttable] == k) for k in range(CLASSES)], axis=1)
        return min(counts.tolist()), uncovered

    def nested(self) -> bool:
        """Whether one limit that is exceeded, the supply being one, lies within another."""
        exceeded = []
        for zone, limit in enumerate(self.limits):
            below = {zone}
            for child in range(zone + 1, len(self.parents)):
                if self.parents[child] in below:
                    below.add(child)
            exceeded.append((below, limit if limit >= 0 else 1 << 62))
        exceeded.append((set(range(len(self.parents))), sum(self.safe)))
        found = [zones for zones, limit in exceeded if sum(i.demand for i in self.items if i.zone in zones) > limit]
        return any(a & b for a, b in combinations(found, 2))


ZONES = ((-1,), (-1, 0, 0), (-1, 0, 1, 1, 0), (-1, -1, 1))


@st.composite
def sites(draw: st.DrawFn, most: int = 7, classes: int = 4) -> Site:
    parents = draw(st.sampled_from(ZONES))
    large = draw(st.sampled_from([20, 20, 20, DEMAND_LIMIT, 2**31 - 1]))
    demand = st.integers(-8 if large == 20 else 0, large)
    zone, klass = st.integers(0, len(parents) - 1), st.integers(0, classes - 1)
    items = draw(st.lists(st.builds(Item, demand, zone, klass), min_size=1, max_size=most))
    total = max(4, sum(i.demand for i in items))
    limits = st.lists(st.one_of(st.just(-1), st.integers(0, total)), min_size=len(parents), max_size=len(parents))
    safe = st.lists(st.integers(0, total), min_size=1, max_size=3)
    return Site(tuple(items), tuple(draw(safe)), parents, tuple(draw(limits)), draw(st.sampled_from([1, 8, 8_000])))


@settings(max_examples=400, deadline=None)
@given(sites(9, 5))
@example(Site((Item(5, 0, 3), Item(5, 0, 3), Item(9, 0, 3)), (10,), (-1,), (-1,), 8))
@example(Site((Item(9, 0, 1), Item(4, 0, 2), Item(1, 0, 3), Item(1, 0, 4)), (4,), (-1,), (-1,), 8_000))
@example(Site((Item(7, 1, 1), Item(8, 2, 1), Item(3, 1, 2), Item(3, 2, 2)), (9,), (-1, 0, 0), (-1, 5, 10), 8_000))
def test_no_plan_starves_fewer_the_most_important_class_first(site: Site) -> None:
    columns = site.columns()
    found = bounds.fewest_starved(columns)
    assert astuple(found) == astuple(PLAIN.fewest_starved(columns)) == astuple(COUNTED.fewest_starved(columns))
    best, uncovered = site.fewest()
    bound = list(found.starved_of)
    assert bound <= best and found.starved == sum(bound)
    assert found.uncovered == uncovered
    first = next((k for k, count in enumerate(best) if count), CLASSES - 1)
    assert bound[: first + 1] == best[: first + 1], "exact down to the most important class that is cut"
    if not site.nested():
        assert bound == best, "exact in all classes"


def test_the_best_choice_of_zones_is_a_knapsack_and_only_bounded() -> None:
    # The region is short by more than class 2 wants, so one of class 1 has to go. That spares the one of class 2 in its
    # own zone; the bound grants it to both zones.
    items = (Item(12, 1, 1), Item(12, 2, 1), Item(5, 1, 2), Item(5, 2, 2))
    site = Site(items, (22,), (-1, -1, -1), (-1, 12, 12), 8_000)
    assert site.nested()
    assert site.fewest()[0][:3] == [0, 1, 1]
    assert bounds.fewest_starved(site.columns()).starved_of[:3] == (0, 1, 0)
    # Without the region's shortage no limit lies within another one.
    site = Site(items, (34,), (-1, -1, -1), (-1, 12, 12), 8_000)
    assert not site.nested()
    assert list(bounds.fewest_starved(site.columns()).starved_of) == site.fewest()[0]


@settings(max_examples=200, deadline=None)
@given(sites(6), st.lists(st.booleans(), min_size=15, max_size=15) | st.none())
@example(Site((Item(1, 0, 0), Item(1, 0, 1), Item(-1, 0, 1)), (0,), (-1,), (-1,), 1), None)
def test_no_plan_serves_more_than_the_energy_bounds(site: Site, eligible: list[bool] | None) -> None:
    columns = site.columns()
    if eligible is not None:
        columns.eligible[:] = np.reshape(eligible[: columns.eligible.size], columns.eligible.shape)
    most = bounds.energy(columns)
    assert astuple(most) == astuple(PLAIN.energy(columns))
    rings = site.rings()[:-1]
    trees = len(site.safe)
    best = [0] * CLASSES
    for place in product(range(trees + 1), repeat=len(site.items)):
        served = {n for n, at in enumerate(place) if at < trees}
        if any(i.demand < 0 and n not in served for n, i in enumerate(site.items)):
            continue
        if not all(columns.eligible[site.items[n].zone, place[n]] for n in served):
            continue
        loads = [sum(i.demand for i, at in zip(site.items, place, strict=True) if at == t) for t in range(trees)]
        if any(load > safe for load, safe in zip(loads, site.safe, strict=True)):
            continue
        if any(sum(site.items[n].demand for n in ring & served) > limit for ring, limit in rings):
            continue
        for k in range(CLASSES):
            best[k] = max(best[k], sum(site.items[n].demand for n in served if site.items[n].klass <= k))
    assert all(reached <= bound for reached, bound in zip(best, most.most_up_to, strict=True))
    assert most.most <= max(0, min(sum(site.safe), sum(i.demand for i in site.items)))
    assert (most.supply, most.wanted) == (sum(site.safe), sum(i.demand for i in site.items))


def test_zones_that_few_trees_may_feed_lower_the_bound() -> None:
    items = (Item(50, 1, 3), Item(30, 1, 2), Item(40, 2, 3))
    columns = Site(items, (60, 60), (-1, 0, 0), (-1, -1, -1), 8_000).columns()
    assert bounds.energy(columns).most == 120
    columns.eligible[1] = [1, 0]
    assert bounds.energy(columns).most == 100, "zone 1 wants 80 and its only tree has 60"
    assert bounds.energy(columns).most_up_to[2] == 30
    columns.eligible[2] = [0, 0]
    assert bounds.energy(columns).most == 60, "and nobody may feed zone 2"


def test_feeds_larger_than_any_tree_lower_the_bound() -> None:
    items = (Item(90, 0, 1), Item(90, 0, 1), Item(10, 0, 3))
    most = bounds.energy(Site(items, (80, 80, 30), (-1,), (-1,), 8).columns())
    assert most.most == 10, "no tree can take 90"
    most = bounds.energy(Site(items, (90, 50, 50), (-1,), (-1,), 8).columns())
    assert most.most == 100, "only one of the two of 90 has a tree that can take it"


@settings(max_examples=200, deadline=None)
@given(sites(), st.data())
def test_departures_are_the_fewest_that_cure_every_tree(site: Site, data: st.DataObject) -> None:
    columns = site.columns()
    trees = len(site.safe)
    at = data.draw(st.lists(st.integers(0, trees), min_size=columns.block_tree.size, max_size=columns.block_tree.size))
    columns.block_tree[:] = [NO_TREE if t == trees else t for t in at]
    for block in range(len(columns.block_tree)):
        if data.draw(st.booleans()):
            mix(columns, block)
            start, stop = columns.block_start[block : block + 2].tolist()
            where = data.draw(st.lists(st.integers(0, trees - 1), min_size=stop - start, max_size=stop - start))
            columns.tree[start:stop] = where
    columns.big_tree[:] = data.draw(
        st.lists(st.integers(0, trees - 1), min_size=len(columns.big_tree), max_size=len(columns.big_tree))
    )
    columns.tree_alive[data.draw(st.integers(0, trees - 1))] = data.draw(st.integers(0, 1))
    sum_trees(columns)
    found = bounds.departures(columns)
    assert found.tolist() == PLAIN.departures(columns).tolist() == COUNTED.departures(columns).tolist()
    for tree in range(trees):
        members = members_of(columns, tree)
        if not columns.tree_alive[tree]:
            assert found[tree] == len(members)
            continue
        over, count = int(columns.tree_load[tree] - columns.tree_safe[tree]), 0
        for size in sorted(members, reverse=True):
            if over <= 0:
                break
            over -= size
            count += 1
        assert found[tree] == count


def members_of(columns: Columns, tree: int) -> list[int]:
    """Demand of all in a tree that draw or produce anything."""
    each = np.repeat(columns.block_tree, np.diff(columns.block_start))
    mixed = each == 65_534
    each[mixed] = columns.tree[mixed]
    found = [*columns.demand[each == tree].tolist(), *columns.big_demand[columns.big_tree == tree].tolist()]
    return [d for d in found if d != 0]


@pytest.mark.parametrize("ratio_ppm", [1_050_000, 1_000_000, 950_000, 700_000, 300_000])
def test_fewest_starved_equals_a_sort_by_class(ratio_ppm: int) -> None:
    columns, _ = drawn(20_000, 20, 3, ratio_ppm=ratio_ppm)
    found = bounds.fewest_starved(columns)
    klass = np.concatenate([np.repeat(columns.block_class, np.diff(columns.block_start)), columns.big_class])
    demand = np.concatenate([columns.demand.astype(np.int64), columns.big_demand.astype(np.int64)])
    excess = int(demand.sum() - columns.tree_safe.sum())
    largest = [np.sort(demand[(klass == k) & (demand > 0)])[::-1] for k in range(CLASSES)]
    expected = [0] * CLASSES
    for k in range(1, CLASSES):
        # What all of lesser classes cannot give.
        need = excess - sum(int(sizes.sum()) for sizes in largest[k + 1 :])
        if need > 0:
            expected[k] = int(np.searchsorted(np.cumsum(largest[k]), need)) + 1
            excess -= int(largest[k][: expected[k]].sum())
    assert list(found.starved_of) == expected
    assert (found.starved > 0) == (ratio_ppm < 1_000_000)


def test_departures_equal_a_sort_of_each_tree() -> None:
    columns, _ = drawn(20_000, 10, 5)
    rng = np.random.default_rng(1)
    columns.block_tree[:] = rng.integers(0, 10, len(columns.block_tree))
    columns.big_tree[:] = rng.integers(0, 10, len(columns.big_tree))
    sum_blocks(columns)
    sum_trees(columns)
    for percent in (99, 90, 50, 1):
        columns.tree_safe[:] = columns.tree_load * percent // 100
        expected = []
        for tree in range(10):
            sizes = np.sort([d for d in members_of(columns, tree) if d > 0])[::-1]
            over = int(columns.tree_load[tree] - columns.tree_safe[tree])
            expected.append(int(np.searchsorted(np.cumsum(sizes), over)) + 1)
        assert bounds.departures(columns).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 2**31 - 1), min_size=1, max_size=40), st.data())
def test_the_largest_that_cover_a_need(values: list[int], data: st.DataObject) -> None:
    need = data.draw(st.integers(1, sum(values)))
    covered, count = 0, 0
    for value in sorted(values, reverse=True):
        if covered < need:
            covered, count, last = covered + value, count + 1, value
    left = sorted(values, reverse=True)[count:].count(last)
    for module in (least_covering, LARGEST.least_covering):
        result = np.zeros(4, np.int64)
        module(np.asarray(values, np.int64), len(values), need, result)
        assert result.tolist() == [count, last, left, covered]
    if max(values) < SIZES:
        sizes = np.bincount(values, minlength=SIZES).astype(np.int32)
        walk_down(sizes, need, result)
        assert result.tolist() == [count, last, left, covered]


def test_who_starves_is_counted_by_class() -> None:
    columns, _ = drawn(5_000, 5, 2)
    sum_trees(columns)
    count, quanta = bounds.starved_now(columns)
    assert int(quanta.sum()) == int(columns.block_sum.sum() + columns.big_demand.sum())
    assert int(count.sum()) == int((columns.demand > 0).sum() + (columns.big_demand > 0).sum())
    columns.block_tree[:], columns.big_tree[:] = 0, 1
    mix(columns, 0)
    columns.tree[0] = NO_TREE
    sum_trees(columns)
    count, quanta = bounds.starved_now(columns)
    assert (int(count.sum()), int(quanta.sum())) == (1, int(columns.demand[0]))
    assert [x.tolist() for x in PLAIN.starved_now(columns)] == [count.tolist(), quanta.tolist()]


def test_an_empty_population_has_bounds() -> None:
    columns = Site((Item(0, 0, 1),), (0,), (-1,), (-1,), 8).columns()
    assert bounds.energy(columns).most == 0
    assert bounds.fewest_starved(columns).starved == 0
    assert bounds.departures(columns).tolist() == [0]
