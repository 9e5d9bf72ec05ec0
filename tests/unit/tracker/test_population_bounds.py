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

    def fewest(self) -> tuple[int, int] | None:
        """(fewest starved of all plans that keep every limit, fewest of those that serve most by class); None = none.

        The second are those that serve the most of class 1, of them the most of classes up to 2, and so on.
        """
        rings = self.rings()
        cuttable = [n for n, i in enumerate(self.items) if i.demand > 0 and i.klass > 0]
        plans = []
        for count in range(len(cuttable) + 1):
            for out in combinations(cuttable, count):
                if all(self._load(ring - set(out)) <= limit for ring, limit in rings):
                    lost = tuple(sum(self.items[n].demand for n in out if self.items[n].klass <= k) for k in (1, 2, 3))
                    plans.append((*lost, count))
        return (min(plan[-1] for plan in plans), min(plans)[-1]) if plans else None

    def _load(self, members: set[int]) -> int:
        return sum(self.items[n].demand for n in members)


ZONES = ((-1,), (-1, 0, 0), (-1, 0, 1, 1, 0), (-1, -1, 1))


@st.composite
def sites(draw: st.DrawFn, most: int = 7) -> Site:
    parents = draw(st.sampled_from(ZONES))
    large = draw(st.sampled_from([20, 20, 20, DEMAND_LIMIT, 2**31 - 1]))
    demand = st.integers(-8 if large == 20 else 0, large)
    zone, klass = st.integers(0, len(parents) - 1), st.integers(0, 3)
    items = draw(st.lists(st.builds(Item, demand, zone, klass), min_size=1, max_size=most))
    total = max(4, sum(i.demand for i in items))
    limits = st.lists(st.one_of(st.just(-1), st.integers(0, total)), min_size=len(parents), max_size=len(parents))
    safe = st.lists(st.integers(0, total), min_size=1, max_size=3)
    return Site(tuple(items), tuple(draw(safe)), parents, tuple(draw(limits)), draw(st.sampled_from([1, 8, 8_000])))


@settings(max_examples=300, deadline=None)
@given(sites())
@example(Site((Item(5, 0, 3), Item(5, 0, 3), Item(9, 0, 3)), (10,), (-1,), (-1,), 8))
def test_no_plan_that_keeps_the_order_of_classes_starves_fewer(site: Site) -> None:
    columns = site.columns()
    found = bounds.fewest_starved(columns)
    assert astuple(found) == astuple(PLAIN.fewest_starved(columns))
    best = site.fewest()
    if best is not None:
        # What one large item leaves over may feed some of lesser classes again: on so tiny a site that tells.
        cut = next((k for k, count in enumerate(found.starved_of) if count), CLASSES)
        lesser = sum(found.starved_of[cut + 1 :])
        assert found.uncovered == 0 and found.starved - lesser <= best[1]
        if len({i.klass for i in site.items if i.demand > 0}) == 1:
            assert found.starved == best[0], "with one class it is the least of all plans"
    else:
        assert found.uncovered > 0
    assert found.starved_of[0] == 0 and sum(found.starved_of) == found.starved


@settings(max_examples=200, deadline=None)
@given(sites(6), st.data())
def test_no_plan_serves_more_than_the_energy_bounds(site: Site, data: st.DataObject) -> None:
    columns = site.columns()
    if data.draw(st.booleans()):
        barred = st.lists(st.booleans(), min_size=columns.eligible.size, max_size=columns.eligible.size)
        columns.eligible[:] = np.reshape(data.draw(barred), columns.eligible.shape)
    most = bounds.energy(columns)
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
    assert found.tolist() == PLAIN.departures(columns).tolist()
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
    expected = [0] * CLASSES
    for k in range(CLASSES - 1, 0, -1):
        sizes = np.sort(demand[(klass == k) & (demand > 0)])[::-1]
        if excess > 0 and len(sizes):
            covered = np.cumsum(sizes)
            expected[k] = min(len(sizes), int(np.searchsorted(covered, excess)) + 1)
            excess -= int(covered[expected[k] - 1])
            for lesser in range(k + 1, CLASSES):
                if excess < 0 and expected[lesser]:
                    # What the last one leaves over might feed the smallest again.
                    smallest = np.cumsum(np.sort(demand[(klass == lesser) & (demand > 0)]))
                    expected[lesser] -= int(np.searchsorted(smallest, -excess, side="right"))
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
