"""Class 0 is put into trees at once, within ratings and beside no more of its own than a tree may carry."""

from __future__ import annotations

import numpy as np
import pytest
from population_site import assignments, copied, drawn, same, uncompiled

from scowl_edge.tracker.population.assign import same_sums, sum_trees
from scowl_edge.tracker.population.columns import NO_TREE, PROTECTED, Columns, Log
from scowl_edge.tracker.population.fill import rebuild
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.protect import feed_protected
from scowl_edge.tracker.population.repair import Learnt, repair

plain = uncompiled("protect")
TREES = 8


def short(seed: int, *, leaves: int = 1) -> Columns:
    """A third of what is wanted; all of class 0 is outside, and nobody knows why."""
    columns, _ = drawn(900, TREES, seed, ratio_ppm=350_000, leaves=leaves)
    columns.block_class[::9] = PROTECTED
    rebuild(columns, Log.empty(1 << 14), History.empty(columns))
    columns.block_tree[columns.block_class == PROTECTED] = NO_TREE
    columns.big_tree[columns.big_class == PROTECTED] = NO_TREE
    sum_trees(columns)
    return columns


def outside(columns: Columns) -> int:
    """Quanta that class 0 wants and is not given."""
    klass = np.repeat(columns.block_class, np.diff(columns.block_start))
    small = (klass == PROTECTED) & (assignments(columns).tree == NO_TREE) & (columns.demand > 0)
    big = (columns.big_class == PROTECTED) & (columns.big_tree == NO_TREE)
    return int(columns.demand[small].astype(int).sum()) + int(columns.big_demand[big].astype(int).sum())


@pytest.mark.parametrize("seed", range(4))
def test_class_0_is_fed_and_others_make_way(seed: int) -> None:
    columns = short(seed)
    wanted = outside(columns)
    assert wanted > 0
    fed = feed_protected(columns, Log.empty(1 << 12), np.ones(TREES, np.uint8))
    assert same_sums(columns)
    assert outside(columns) == wanted - fed
    repair(columns, Log.empty(1 << 12), History.empty(columns), Learnt.empty(), 1 << 40)
    assert (columns.tree_load <= columns.tree_safe).all()
    assert outside(columns) == wanted - fed, "and it stays so"
    assert outside(columns) == 0


def test_neither_a_rating_nor_a_tree_that_takes_nobody_is_given_it() -> None:
    columns = short(2, leaves=4)
    columns.zone_limit[0] = columns.zone_load[0]
    assert feed_protected(columns, Log.empty(1 << 12), np.ones(TREES, np.uint8)) == 0
    columns.zone_limit[0] = -1
    assert feed_protected(columns, Log.empty(1 << 12), np.zeros(TREES, np.uint8)) == 0
    columns.eligible[:, 1:] = 0
    only = np.ones(TREES, np.uint8)
    loads = columns.tree_load.copy()
    feed_protected(columns, Log.empty(1 << 12), only)
    assert np.array_equal(columns.tree_load[1:], loads[1:])
    columns.tree_alive[:] = 0
    assert feed_protected(columns, Log.empty(1 << 12), only) == 0


@pytest.mark.parametrize("seed", range(3))
def test_uncompiled_it_feeds_the_same(seed: int) -> None:
    columns = short(seed, leaves=3)
    if len(columns.big_demand):
        columns.big_demand[-1] = 2**31 - 1
        sum_trees(columns)
    other = copied(columns)
    log, again = Log.empty(1 << 12), Log.empty(1 << 12)
    takes = np.ones(TREES, np.uint8)
    assert feed_protected(columns, log, takes) == plain.feed_protected(other, again, takes)
    assert same(columns, other)
    assert log.totals.tolist() == again.totals.tolist()
