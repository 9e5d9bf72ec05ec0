"""Margins: a fixed share or the statistics of the members, in exact integers."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from population_site import drawn, uncompiled

from scowl_edge.model.reason import words
from scowl_edge.tracker.population.assign import mix, move_big, move_block, move_slot
from scowl_edge.tracker.population.columns import NO_TREE, Columns, Log
from scowl_edge.tracker.population.margin import Decided, Policy, margins, root, safe, tree_variances

MOST = 1 << 61


def dealt(consumers: int, trees: int, seed: int) -> Columns:
    """A population whose blocks and feeds are dealt out to trees, some mixed and partly starved."""
    columns, _ = drawn(consumers, trees, seed)
    rng, log = np.random.default_rng(seed), Log.empty(1)
    for block in range(len(columns.block_tree)):
        move_block(columns, log, block, int(rng.integers(0, trees)))
        if block % 5 == 0:
            mix(columns, block)
            for slot in range(columns.block_start[block], columns.block_start[block + 1], 3):
                move_slot(columns, log, block, slot, NO_TREE if slot % 2 else int(rng.integers(0, trees)))
    for feed in range(len(columns.big_tree)):
        move_big(columns, log, feed, int(rng.integers(0, trees)))
    return columns


@settings(deadline=None)
@given(st.one_of(st.integers(0, 1 << 61), st.integers(0, 1 << 30).map(lambda r: r * r), st.integers(0, 300)))
def test_the_root_is_exact_and_rounded_up(value: int) -> None:
    floor = isqrt(value)
    assert root(value) == floor + (floor * floor < value) == margin_plain().root(value)


def test_a_fixed_share_is_rounded_to_the_safe_side() -> None:
    assert safe(np.array([1_000, 1_001, 1, 0, -5]), 100_000).tolist() == [900, 900, 0, 0, 0]


@given(seed=st.integers(0, 50), scale=st.sampled_from([1, 1 << 20, 1 << 44]))
@settings(max_examples=12, deadline=None)
def test_variances_of_trees_add_up_and_are_the_same_uncompiled(seed: int, scale: int) -> None:
    columns = dealt(800, 6, seed)
    columns.block_variance[:] = np.minimum(columns.block_variance * scale, MOST // 4)
    one, other = np.zeros(6, np.int64), np.zeros(6, np.int64)
    total = tree_variances(columns, one)
    assert total == margin_plain().tree_variances(columns, other)
    assert np.array_equal(one, other)
    exact = sum(columns.block_variance.tolist()) + sum(columns.big_variance.tolist())
    assert total == min(MOST, exact)
    assert sum(one.tolist()) <= exact
    wholly = columns.block_tree < 6
    for tree in range(6):
        sure = sum(columns.block_variance[wholly & (columns.block_tree == tree)].tolist())
        sure += sum(columns.big_variance[columns.big_tree == tree].tolist())
        assert min(sure, MOST) <= one[tree]


def test_a_mixed_block_is_dealt_out_in_proportion() -> None:
    columns, _ = drawn(200, 2, 4)
    log = Log.empty(1)
    move_block(columns, log, 0, 0)
    mix(columns, 0)
    begin, end = int(columns.block_start[0]), int(columns.block_start[1])
    for slot in range(begin, end, 2):
        move_slot(columns, log, 0, slot, 1)
    variance = np.zeros(2, np.int64)
    tree_variances(columns, variance)
    assert int(variance.sum()) == int(columns.block_variance[0])
    size = np.abs(columns.demand[begin:end].astype(np.int64))
    share = int(columns.block_variance[0]) * int(size[::2].sum()) // int(size.sum())
    assert abs(int(variance[1]) - share) <= end - begin


def test_a_large_tree_keeps_less_back_than_a_small_one_and_says_why() -> None:
    columns = dealt(20_000, 4, 1)
    load = int(columns.tree_load.sum())
    output = np.array([load, load // 2, load // 100, 0])
    policy = Policy(fixed_ppm=20_000, z_milli=4_000, correlated_ppm=10_000)
    result = margins(columns, output, policy)
    kept_ppm = (output - result.safe)[:3] * 1_000_000 // output[:3]
    assert kept_ppm[0] < kept_ppm[1] < kept_ppm[2]
    assert result.decided.tolist() == [*[Decided.MEMBERS] * 3, Decided.NOTHING] and result.safe[3] == 0
    assert (result.safe >= 0).all() and (result.safe <= output).all()
    held = output[0] - result.safe[0]
    assert held == -(-int(result.sigma[0]) * 4) + int(result.correlated[0])
    text = words(result.why(0, int(output[0]), 10))
    assert "4000 thousandths" in text and "keeps" in text
    fixed = margins(columns, output, Policy(fixed_ppm=100_000))
    assert np.array_equal(fixed.safe, safe(output, 100_000)) and set(fixed.decided[:3].tolist()) == {Decided.FIXED}
    assert "100000 ppm" in words(fixed.why(0, int(output[0]), 10))


def test_an_empty_tree_does_not_promise_everything() -> None:
    columns, _ = drawn(5_000, 3, 2)
    demand = int(np.abs(columns.block_sum).sum()) + int(np.abs(columns.big_demand.astype(np.int64)).sum())
    output = np.full(3, demand // 3)
    result = margins(columns, output, Policy(fixed_ppm=0, z_milli=4_000))
    whole = isqrt(int(columns.block_variance.sum() + columns.big_variance.sum()))
    assert whole // 2 < int(result.sigma[0]) < whole, "a third of the region: 1 / sqrt(3) of its deviation"


def test_the_limits_of_the_types_hold() -> None:
    columns = dealt(500, 3, 3)
    columns.block_variance[:] = MOST
    columns.big_variance[:] = MOST
    output = np.full(3, (1 << 40) - 1)
    result = margins(columns, output, Policy(fixed_ppm=0, z_milli=100_000))
    assert result.sigma.tolist() == [root(MOST)] * 3
    assert (result.safe >= 0).all()
    plain = margin_plain().margins(columns, output, Policy(fixed_ppm=0, z_milli=100_000))
    assert np.array_equal(plain.safe, result.safe) and np.array_equal(plain.sigma, result.sigma)


_plain: dict[str, Any] = {}


def margin_plain() -> Any:
    if "margin" not in _plain:
        _plain["margin"] = uncompiled("margin")
    return _plain["margin"]
