"""The starve cut: as few as can be, the least important first, nobody who may not be starved, fair among equals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.tracker.population.assign import mix, same_sums, sum_blocks, sum_trees
from scowl_edge.tracker.population.columns import BIG, CLASSES, NO_TREE, SLOT, Columns, Log
from scowl_edge.tracker.population.cut import relieve_zones, starve
from scowl_edge.tracker.population.history import History
from tests.population_site import assignments, copied, drawn, same, uncompiled

PLAIN = uncompiled("cut")


def standing(consumers: int, seed: int, *, leaves: int = 1, mixed: bool = True) -> Columns:
    """A population in five trees: some blocks are mixed, and a part of those is starved already."""
    columns, _ = drawn(consumers, 5, seed, leaves=leaves)
    chance = np.random.default_rng(seed)
    columns.block_tree[:] = chance.integers(0, 5, len(columns.block_tree))
    columns.big_tree[:] = chance.integers(0, 5, len(columns.big_tree))
    sum_trees(columns)
    for block in range(0, len(columns.block_tree), 3) if mixed else ():
        mix(columns, block)
        slots = slice(int(columns.block_start[block]), int(columns.block_start[block + 1]))
        columns.tree[slots] = chance.choice(np.array([0, 1, 4, NO_TREE], np.uint16), columns.tree[slots].size)
    sum_trees(columns)
    return columns


def served_by_class(columns: Columns) -> list[list[int]]:
    """Demands of the served that may be starved, by class."""
    flat = assignments(columns)
    klass = np.repeat(columns.block_class, np.diff(columns.block_start))
    fed = (flat.tree != NO_TREE) & (columns.demand > 0)
    big = (columns.big_tree != NO_TREE) & (columns.big_demand > 0)
    return [
        [*columns.demand[fed & (klass == k)].tolist(), *columns.big_demand[big & (columns.big_class == k)].tolist()]
        for k in range(CLASSES)
    ]


def fewest(classes: list[list[int]], deficit: int) -> int:
    """The least number whose demands cover a deficit, the least important class first."""
    count = 0
    for demands in reversed(classes[1:]):
        for demand in sorted(demands, reverse=True):
            if deficit <= 0:
                return count
            deficit -= demand
            count += 1
    return count


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    consumers=st.integers(0, 400),
    share_ppm=st.integers(0, 1_200_000),
    leaves=st.sampled_from([1, 6]),
    extreme=st.booleans(),
    fair=st.booleans(),
)
def test_laws_of_the_cut(seed: int, consumers: int, share_ppm: int, leaves: int, extreme: bool, fair: bool) -> None:
    columns = standing(consumers, seed, leaves=leaves)
    chance = np.random.default_rng(seed)
    if extreme:
        limits = np.array([-32_768, -1, 1, 32_766, 32_767], np.int16)
        columns.demand[columns.demand != 0] = chance.choice(limits, int((columns.demand != 0).sum()))
        columns.big_demand[:] = chance.choice(np.array([-(2**31), 1, 2**31 - 1], np.int32), len(columns.big_demand))
        sum_blocks(columns)
        sum_trees(columns)
    history = History.empty(columns)
    if fair:
        history.slot_times[:] = chance.integers(0, 3, len(history.slot_times))
        history.feed_times[:] = chance.integers(0, 3, len(history.feed_times))
        history.totals[0] = 1
    zones = len(columns.zone_parent)
    before, could = copied(columns), served_by_class(columns)
    deficit = sum(sum(k) for k in could) * share_ppm // 1_000_000
    plain, log, plain_log = copied(columns), Log.empty(4096), Log.empty(4096)
    uncovered = starve(columns, log, history, 0, zones, deficit)
    assert PLAIN.starve(plain, plain_log, history, 0, zones, deficit) == uncovered
    assert same(columns, plain) and np.array_equal(log.totals, plain_log.totals)
    assert same_sums(columns)
    left = served_by_class(columns)
    cut = int(before.tree_load.sum()) - int(columns.tree_load.sum())
    assert cut + uncovered >= deficit
    assert left[0] == could[0]
    least = min(fewest(could, deficit), sum(len(k) for k in could[1:]))
    number = sum(len(k) for k in could) - sum(len(k) for k in left)
    assert least <= number <= least + (1 + least // 1000 if fair else 0)
    if uncovered:
        assert not any(left[1:])
    touched = [k for k in range(CLASSES) if len(left[k]) < len(could[k])]
    assert all(not left[k] for k in range(CLASSES) if touched and k > touched[0])
    negative = (assignments(before).tree != NO_TREE) & (columns.demand < 0)
    assert (assignments(columns).tree[negative] == assignments(before).tree[negative]).all()


def test_the_last_one_fits_exactly_where_there_are_many() -> None:
    columns = standing(100_000, 3, mixed=False)
    before = int(columns.tree_load.sum())
    assert starve(columns, Log.empty(1 << 16), History.empty(columns), 0, 1, 123_457) == 0
    assert before - int(columns.tree_load.sum()) == 123_457


def test_a_zone_is_relieved_by_its_own_members_the_innermost_first() -> None:
    columns = standing(5_000, 4, leaves=6, mixed=False)
    inner = len(columns.zone_parent) - 1
    columns.zone_limit[inner] = int(columns.zone_load[inner]) * 8 // 10
    columns.zone_limit[0] = int(columns.zone_load[0]) - 10
    loads = columns.zone_load.copy()
    assert relieve_zones(columns, Log.empty(1 << 12), History.empty(columns)) == 0
    assert same_sums(columns)
    assert columns.zone_load[inner] <= columns.zone_limit[inner]
    # What the inner zone gave up is enough for the outer one: nobody else was touched.
    assert (columns.zone_load[1 : inner - 7] == loads[1 : inner - 7]).all()


@pytest.mark.parametrize("times", [1, 255])
def test_among_equals_those_go_who_were_starved_less_often(times: int) -> None:
    columns = standing(60, 1, mixed=False)
    columns.big_tree[:] = NO_TREE
    columns.demand[columns.demand != 0] = 1_000
    sum_blocks(columns)
    sum_trees(columns)
    first = copied(columns)
    log = Log.empty(64)
    history = History.empty(columns)
    starve(first, log, history, 0, 1, 5_000)
    flat = assignments(first)
    gone = np.flatnonzero((flat.tree == NO_TREE) & (columns.demand > 0))
    assert len(gone) == 5
    history.slot_times[gone] = times
    history.totals[0] = 5
    starve(columns, log, history, 0, 1, 5_000)
    again = np.flatnonzero((assignments(columns).tree == NO_TREE) & (columns.demand > 0))
    assert len(again) == 5 and not set(again) & set(gone)


def test_the_log_tells_everything() -> None:
    columns = standing(3_000, 2)
    state = assignments(columns)
    log = Log.empty(1 << 14)
    starve(columns, log, History.empty(columns), 0, 1, int(columns.tree_load.sum()) // 3)
    tree, big = state.tree.copy(), state.big_tree.copy()
    for at in range(int(log.totals[0])):
        number, after = int(log.number[at]), int(log.after[at])
        if log.kind[at] == BIG:
            big[number] = after
        elif log.kind[at] == SLOT:
            tree[number] = after
        else:
            tree[int(columns.block_start[number]) : int(columns.block_start[number + 1])] = after
    there = columns.demand != 0
    assert np.array_equal(tree[there], assignments(columns).tree[there])
    assert np.array_equal(big, columns.big_tree)
