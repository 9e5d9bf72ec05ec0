"""The laws of a full rebuild, and how close to the bounds it comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scowl_edge.tracker.population.assign import same_sums, sum_blocks
from scowl_edge.tracker.population.columns import NO_TREE, Columns, Log
from scowl_edge.tracker.population.fill import blank, rebuild
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.shares import proportional, scaled
from tests.population_site import assignments, copied, drawn, same, uncompiled


def rebuilt(columns: Columns) -> Columns:
    target = blank(columns)
    rebuild(target, Log.empty(1 << 16), History.empty(columns))
    return target


def check_laws(target: Columns) -> None:
    """Sums are exact, nobody is where he must not be, no tree and no zone is above what it may carry."""
    assert same_sums(target)
    usable = np.where(target.tree_alive > 0, np.maximum(target.tree_safe, 0), 0)
    assert (target.tree_load <= usable).all()
    flat = assignments(target)
    zone = np.repeat(target.block_zone, np.diff(target.block_start))
    fed, big_fed = flat.tree != NO_TREE, target.big_tree != NO_TREE
    assert target.eligible[zone[fed], flat.tree[fed]].all()
    assert target.eligible[target.big_zone[big_fed], target.big_tree[big_fed]].all()
    assert (target.tree_alive[flat.tree[fed]] > 0).all() and (target.tree_alive[target.big_tree[big_fed]] > 0).all()


def total(columns: Columns) -> int:
    return int(columns.block_sum.sum() + columns.big_demand.sum())


def served(target: Columns) -> int:
    return int(target.tree_load.sum())


def demands_of_starved(target: Columns) -> list[int]:
    flat = assignments(target)
    slots = target.demand[(flat.tree == NO_TREE) & (target.demand > 0)]
    feeds = target.big_demand[(target.big_tree == NO_TREE) & (target.big_demand > 0)]
    return [*slots.tolist(), *feeds.tolist()]


def fewest(columns: Columns, supply: int) -> int:
    """The least number that can be starved, the least important class first: by a sort."""
    left, count = total(columns) - supply, 0
    klass = np.repeat(columns.block_class, np.diff(columns.block_start))
    for k in range(7, 0, -1):
        both = (columns.demand[klass == k].astype(np.int64), columns.big_demand[columns.big_class == k])
        largest_first = np.sort(np.concatenate(both))[::-1]
        sums = np.cumsum(largest_first[largest_first > 0])
        if left <= 0:
            break
        if len(sums) and sums[-1] >= left:
            return count + int(np.searchsorted(sums, left)) + 1
        left -= int(sums[-1]) if len(sums) else 0
        count += len(sums)
    return count


@pytest.mark.parametrize("ratio_ppm", [1_050_000, 1_000_000, 950_000, 800_000])
@pytest.mark.parametrize("trees", [10, 100])
def test_a_rebuild_serves_all_there_is_and_starves_the_fewest(trees: int, ratio_ppm: int) -> None:
    columns, _ = drawn(100_000, trees, ratio_ppm=ratio_ppm)
    target = rebuilt(columns)
    check_laws(target)
    supply = int(columns.tree_safe.sum())
    bound = min(supply, total(columns))
    assert bound - served(target) <= bound // 1_000_000
    assert len(demands_of_starved(target)) <= fewest(columns, supply) + 2


def test_with_headroom_all_trees_carry_about_the_same_share() -> None:
    columns, _ = drawn(100_000, 10, ratio_ppm=1_100_000)
    target = rebuilt(columns)
    share_ppm = target.tree_load * 1_000_000 // target.tree_safe
    assert int(share_ppm.max()) - int(share_ppm.min()) < 40_000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    consumers=st.integers(0, 600),
    trees=st.integers(1, 12),
    leaves=st.sampled_from([1, 1, 5]),
    ratio_ppm=st.integers(300_000, 1_500_000),
    fuss=st.sampled_from(["calm", "limits", "eligible", "dead", "extreme"]),
)
def test_laws_hold_and_both_copies_agree(
    seed: int, consumers: int, trees: int, leaves: int, ratio_ppm: int, fuss: str
) -> None:
    columns, _ = drawn(consumers, trees, seed, ratio_ppm=ratio_ppm, leaves=leaves)
    disturb(columns, seed, fuss)
    target, log = blank(columns), Log.empty(4096)
    history = History.empty(columns)
    uncovered = rebuild(target, log, history)
    check_laws(target)
    if uncovered == 0 and not (columns.eligible == 0).any():
        limited = columns.zone_limit >= 0
        assert (target.zone_load[limited] <= np.maximum(columns.zone_limit[limited], 0)).all() or fuss == "extreme"
    plain, plain_log = blank(columns), Log.empty(4096)
    assert PLAIN.rebuild(plain, plain_log, history) == uncovered
    assert same(target, plain)
    assert np.array_equal(log.totals, plain_log.totals)


PLAIN = uncompiled("fill")


def disturb(columns: Columns, seed: int, fuss: str) -> None:
    chance = np.random.default_rng(seed)
    zones, trees = columns.eligible.shape
    if fuss == "limits":
        columns.zone_limit[:] = np.where(chance.random(zones) < 0.5, total(columns) // max(1, zones), -1)
    elif fuss == "eligible":
        columns.eligible[:] = chance.random((zones, trees)) < 0.6
    elif fuss == "dead":
        columns.tree_alive[:] = chance.random(trees) < 0.5
        columns.tree_safe[chance.random(trees) < 0.2] *= -1
    elif fuss == "extreme":
        columns.demand[columns.demand != 0] = chance.choice(
            np.array([-32_768, -1, 1, 2, 500, 32_767], np.int16), int((columns.demand != 0).sum())
        )
        if len(columns.big_demand):
            columns.big_demand[:] = chance.choice(np.array([1, 40_000, 2**31 - 1], np.int32), len(columns.big_demand))
        sum_blocks(columns)
        columns.tree_safe[:] = chance.integers(0, 2**40, trees)


def test_what_still_fits_is_served() -> None:
    columns, _ = drawn(3_000, 7, ratio_ppm=900_000)
    target = rebuilt(columns)
    room = int((columns.tree_safe - target.tree_load).max())
    assert min(demands_of_starved(target)) > room


def test_a_class_is_exhausted_before_a_more_important_one_is_touched() -> None:
    columns, _ = drawn(20_000, 10, ratio_ppm=500_000)
    target = rebuilt(columns)
    flat = assignments(target)
    klass = np.repeat(columns.block_class, np.diff(columns.block_start))
    starved = (flat.tree == NO_TREE) & (columns.demand > 0)
    # What is served of the last class is crumbs of room that nobody of the one before it fits into.
    crumbs = columns.demand[(flat.tree != NO_TREE) & (columns.demand > 0) & (klass == 3)]
    assert crumbs.max(initial=0) < columns.demand[starved & (klass == 2)].min()
    assert starved[klass == 2].any() and not starved[klass == 1].any() and not starved[klass == 0].any()
    assert not (target.big_tree[columns.big_class <= 1] == NO_TREE).any()


def test_nobody_is_served_without_a_tree_and_everybody_from_one_that_is_large_enough() -> None:
    columns, _ = drawn(500, 3)
    columns.tree_alive[:] = 0
    target = rebuilt(columns)
    check_laws(target)
    assert served(target) == 0
    columns.tree_alive[1] = 1
    columns.tree_safe[1] = total(columns)
    assert served(rebuilt(columns)) == total(columns)


def test_the_same_input_gives_the_same_assignment() -> None:
    columns, _ = drawn(20_000, 10, ratio_ppm=950_000)
    again = copied(rebuilt(columns))
    assert same(rebuilt(columns), again)


def test_shares_are_exact_where_products_are_beyond_64_bits() -> None:
    assert scaled(3 << 40, 5 << 40, 7 << 41) == (3 << 40) * (5 << 40) // (7 << 41)
    usable = np.array([1 << 50, 3, 1 << 49], np.int64)
    assert int(proportional(usable, int(usable.sum()), (1 << 50) + 1).sum()) == (1 << 50) + 1
