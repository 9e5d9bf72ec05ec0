"""Walking towards a rebuild: by a budget, never above a safe load, and it arrives."""

from __future__ import annotations

import numpy as np
from population_site import assignments, copied, drawn, same, uncompiled

from scowl_edge.tracker.population.assign import same_sums, sum_trees
from scowl_edge.tracker.population.columns import BLOCK_SLOTS, MIXED, Columns, Log
from scowl_edge.tracker.population.fill import rebuild
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.walk import walk


def two_plans(consumers: int, trees: int, ratio_ppm: int = 1_300_000) -> tuple[Columns, Columns]:
    """A town in its trees, and the plan for other plants that is safe for both."""
    here, _ = drawn(consumers, trees, 2, ratio_ppm=ratio_ppm)
    rebuild(here, Log.empty(1 << 14), History.empty(here))
    there = copied(here)
    there.tree_safe[:] = there.tree_safe * (100 - 10 * (np.arange(trees) % 3)) // 100
    rebuild(there, Log.empty(1 << 14), History.empty(there))
    return here, there


def test_it_arrives_by_small_steps_and_never_above_a_safe_load() -> None:
    columns, target = two_plans(5_000, 6)
    budget, left, steps = 100, -1, 0
    while left:
        log = Log.empty(1 << 14)
        left = walk(columns, target, log, budget)
        assert 0 < int(log.totals[1]) <= budget + BLOCK_SLOTS
        assert log.totals[2:].tolist() == [0, 0]
        assert same_sums(columns)
        assert (columns.tree_load <= columns.tree_safe).all()
        steps += 1
    assert steps > 2
    arrived, planned = assignments(columns), assignments(target)
    assert np.array_equal(arrived.tree, planned.tree)
    assert np.array_equal(columns.big_tree, target.big_tree)
    assert int((columns.block_tree == MIXED).sum()) <= int((target.block_tree == MIXED).sum())


def test_full_trees_swap() -> None:
    columns, _ = drawn(3_000, 2, 4)
    pair = np.flatnonzero(np.diff(columns.block_sum) == 0)
    first = int(pair[0]) if len(pair) else 0
    columns.block_tree[:] = 0
    columns.big_tree[:] = 1
    columns.block_tree[first + 1] = 1
    columns.block_sum[first] = columns.block_sum[first + 1]
    sum_trees(columns)
    columns.tree_safe[:] = columns.tree_load
    target = copied(columns)
    target.block_tree[first], target.block_tree[first + 1] = 1, 0
    log = Log.empty(8)
    assert walk(columns, target, log, 10_000) == 0
    assert int(log.totals[0]) == 2
    assert (columns.tree_load == columns.tree_safe).all()


def test_uncompiled_it_walks_the_same_way() -> None:
    plain = uncompiled("walk")
    columns, target = two_plans(500, 4)
    other = copied(columns)
    for _ in range(4):
        logs = [Log.empty(1 << 12), Log.empty(1 << 12)]
        assert walk(columns, target, logs[0], 60) == plain.walk(other, target, logs[1], 60)
        assert same(columns, other)
        for mine, theirs in zip(*logs, strict=True):
            assert np.array_equal(mine, theirs)


def test_a_producer_is_not_taken_from_a_full_tree() -> None:
    columns, _ = drawn(3_000, 2, 4)
    columns.block_tree[:], columns.big_tree[:] = 0, 0
    columns.big_demand[0] = -500
    sum_trees(columns)
    columns.tree_safe[:] = columns.tree_load[0]
    target = copied(columns)
    target.big_tree[0] = 1
    before = int(columns.tree_load[0])
    assert walk(columns, target, Log.empty(8), 10_000) == 1
    assert int(columns.tree_load[0]) == before
    columns.tree_safe[0] += 500
    assert walk(columns, target, Log.empty(8), 10_000) == 0
    assert columns.tree_load.tolist() == [before + 500, -500]


def test_nobody_comes_into_a_tree_that_stays_over() -> None:
    # A small plant fed one of class 0 whose demand rose above it: a swap that only lessens that brings somebody there
    # who would have to go at once.
    columns, _ = drawn(3_000, 2, 4)
    columns.block_tree[:], columns.big_tree[:] = 1, 1
    columns.big_demand[:2] = [5_574, 5_176]
    columns.big_tree[0] = 0
    sum_trees(columns)
    columns.tree_safe[:] = [4_707, columns.tree_load[1] + 500]
    target = copied(columns)
    target.big_tree[:2] = [1, 0]
    log = Log.empty(8)
    assert walk(columns, target, log, 10_000) == 2
    assert int(log.totals[0]) == 0
    columns.tree_safe[0] = 5_176
    assert walk(columns, target, log, 10_000) == 0
    assert columns.big_tree[:2].tolist() == [1, 0]
