"""The laws of a sticky repair, in drawn sequences of events, and how close it comes to the least churn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from population_site import assignments, copied, drawn, same, uncompiled

from scowl_edge.tracker.population.assign import same_sums, sum_blocks, sum_trees
from scowl_edge.tracker.population.bounds import fewest_starved, starved_now
from scowl_edge.tracker.population.columns import DEMAND_LIMIT, NO_TREE, PROTECTED, Columns, Log
from scowl_edge.tracker.population.cut import starve
from scowl_edge.tracker.population.fill import rebuild
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.refeed import refeed
from scowl_edge.tracker.population.repair import Learnt, Repaired, repair

ALL = 1 << 40
Random = np.random.Generator


def placed(consumers: int, trees: int, seed: int = 1, *, ratio_ppm: int = 1_050_000, leaves: int = 1) -> Columns:
    """A population in its trees."""
    columns, _ = drawn(consumers, trees, seed, ratio_ppm=ratio_ppm, leaves=leaves)
    rebuild(columns, Log.empty(1 << 16), History.empty(columns))
    return columns


def loads_change(columns: Columns, random: Random) -> None:
    slots = np.flatnonzero(columns.demand)
    some = random.choice(slots, max(1, len(slots) // 8), replace=False)
    changed = columns.demand[some] * random.integers(0, 31, len(some)) // 10
    columns.demand[some] = np.minimum(DEMAND_LIMIT, np.maximum(-DEMAND_LIMIT, changed))
    extreme = random.choice(slots, 2)
    columns.demand[extreme] = [DEMAND_LIMIT, -DEMAND_LIMIT]
    if len(columns.big_demand):
        columns.big_demand[random.integers(len(columns.big_demand))] = random.integers(0, 100_000)
    sum_blocks(columns)
    sum_trees(columns)


def tree_dies(columns: Columns, random: Random) -> None:
    tree = random.integers(len(columns.tree_safe))
    columns.tree_alive[tree] = 0
    columns.tree_safe[tree] = 0


def trees_shrink(columns: Columns, random: Random) -> None:
    columns.tree_safe[:] = columns.tree_safe * random.integers(60, 101, len(columns.tree_safe)) // 100


def supply_sinks(columns: Columns, random: Random) -> None:
    loads = columns.tree_load * (1_000 - random.integers(0, 6, len(columns.tree_load))) // 1_000
    columns.tree_safe[:] = np.where(columns.tree_alive == 1, np.maximum(0, loads), 0)


def trees_return(columns: Columns, random: Random) -> None:
    columns.tree_alive[:] = 1
    total = int(columns.block_sum.sum() + columns.big_demand.sum())
    columns.tree_safe[:] = max(1, total) * random.integers(80, 130) // 100 // len(columns.tree_safe)


def zone_limited(columns: Columns, random: Random) -> None:
    zone = random.integers(len(columns.zone_limit))
    columns.zone_limit[zone] = max(0, int(columns.zone_load[zone]) * random.integers(50, 120) // 100)


def barred(columns: Columns, random: Random) -> None:
    columns.eligible[random.integers(len(columns.zone_parent)), random.integers(len(columns.tree_safe))] = 0


def some_return(columns: Columns, random: Random) -> None:
    refeed(columns, Log.empty(1 << 12), History.empty(columns), 100, 10, int(random.integers(1, 100_000)))


EVENTS: tuple[Callable[[Columns, Random], None], ...] = (
    loads_change, tree_dies, trees_shrink, trees_return, zone_limited, barred, some_return, supply_sinks,
)  # fmt: skip


def class_of_slots(columns: Columns) -> NDArray[np.uint8]:
    return np.repeat(columns.block_class, np.diff(columns.block_start))


def check_laws(before: Columns, after: Columns, log: Log, result: Repaired) -> None:
    assert same_sums(after)
    alive = after.tree_alive == 1
    over = np.where(alive, after.tree_load - np.maximum(0, after.tree_safe), after.tree_load)
    assert int(np.maximum(0, over).sum()) <= result.over + result.uncovered
    limited = after.zone_limit >= 0
    assert int(np.maximum(0, after.zone_load - after.zone_limit)[limited].sum()) <= result.zones
    was, now = assignments(before).tree, assignments(after).tree
    starved = (was != NO_TREE) & (now == NO_TREE) & (after.demand != 0)
    klass = class_of_slots(after)
    assert not (starved & ((klass == PROTECTED) | (after.demand < 0))).any()
    feeds_starved = (before.big_tree != NO_TREE) & (after.big_tree == NO_TREE)
    assert not (feeds_starved & (after.big_class == PROTECTED)).any()
    assert not ((was == NO_TREE) & (now != NO_TREE)).any(), "a repair feeds nobody"
    moved = (was != now) & (was != NO_TREE) & (now != NO_TREE)
    zone = np.repeat(after.block_zone, np.diff(after.block_start))
    assert after.eligible[zone[moved], now[moved]].all()
    if result.stuck == 0 and not limited.any() and after.eligible.all() and result.uncovered == 0:
        cut = [*klass[starved].tolist(), *after.big_class[feeds_starved].tolist()]
        served = [
            *klass[(now != NO_TREE) & (after.demand > 0)].tolist(),
            *after.big_class[(after.big_tree != NO_TREE) & (after.big_demand > 0)].tolist(),
        ]
        if cut and served:
            assert min(cut) >= max(served), "the least important class is exhausted first"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.sampled_from(range(len(EVENTS))), min_size=1, max_size=8))
def test_laws_hold_after_every_event(seed: int, events: list[int]) -> None:
    columns = placed(600, 6, seed % 7 + 1, leaves=5)
    random, learnt, history = np.random.default_rng(seed), Learnt.empty(), History.empty(columns)
    for event in events:
        EVENTS[event](columns, random)
        before, log = copied(columns), Log.empty(1 << 12)
        result = repair(columns, log, history, learnt, ALL)
        assert result.over == 0
        check_laws(before, columns, log, result)


def test_the_same_source_uncompiled_gives_the_same_integers() -> None:
    plain = uncompiled("repair")
    for seed in range(4):
        one = placed(300, 5, seed + 1, ratio_ppm=1_010_000, leaves=3)
        other = copied(one)
        states = [(one, repair, Learnt.empty()), (other, plain.repair, Learnt.empty())]
        random = np.random.default_rng(seed)
        for event in (supply_sinks, loads_change, tree_dies, supply_sinks, zone_limited, trees_shrink, barred):
            event(one, random)
            for mine, theirs in zip(other, one, strict=True):
                mine[:] = theirs
            logs = [Log.empty(1 << 12), Log.empty(1 << 12)]
            results = [
                kernel(columns, log, History.empty(columns), learnt, ALL)
                for (columns, kernel, learnt), log in zip(states, logs, strict=True)
            ]
            assert tuple(results[0]) == tuple(results[1])
            assert same(one, other)
            assert np.array_equal(states[0][2].numbers, states[1][2].numbers)
            for mine, theirs in zip(*logs, strict=True):
                assert np.array_equal(mine, theirs), "the same moves in the same order"


def least_churn(before: Columns, after: Columns) -> int:
    """Of those who are served in both: all of a dead tree, and the fewest largest that cover an overload."""
    was, now = assignments(before).tree, assignments(after).tree
    total = 0
    for tree in range(len(before.tree_safe)):
        stay = (was == tree) & (now != NO_TREE)
        feeds = (before.big_tree == tree) & (after.big_tree != NO_TREE)
        demand = np.concatenate([before.demand[stay].astype(np.int64), before.big_demand[feeds].astype(np.int64)])
        if not before.tree_alive[tree]:
            total += int(np.count_nonzero(demand))
            continue
        over = int(demand.sum()) - int(before.tree_safe[tree])
        if over > 0:
            total += int(np.searchsorted(np.cumsum(-np.sort(-demand)), over)) + 1
    return total


@pytest.fixture(scope="module")
def town() -> Columns:
    return placed(100_000, 20)


def repaired(columns: Columns) -> tuple[Columns, Log, Repaired, int]:
    """The state before, the log, what was left over, and the least churn."""
    before, log = copied(columns), Log.empty(1 << 17)
    result = repair(columns, log, History.empty(columns), Learnt.empty(), ALL)
    check_laws(before, columns, log, result)
    return before, log, result, least_churn(before, columns)


def test_a_trip_moves_the_members_of_the_dead_tree_and_nobody_else(town: Columns) -> None:
    columns = copied(town)
    columns.tree_safe[:] = columns.tree_safe * 21 // 20
    tree = int(np.argsort(columns.tree_safe)[len(columns.tree_safe) // 2])
    columns.tree_alive[tree], columns.tree_safe[tree] = 0, 0
    _, log, result, least = repaired(columns)
    assert least > 0
    assert int(log.totals[1]) == least
    assert int(log.totals[2]) == 0
    assert tuple(result) == (0, 0, 0, 0)


def test_one_percent_of_changed_loads_moves_nobody(town: Columns) -> None:
    columns, random = copied(town), np.random.default_rng(3)
    some = random.choice(len(columns.demand), len(columns.demand) // 100, replace=False)
    columns.demand[some] = columns.demand[some] * random.integers(50, 151, len(some)) // 100
    sum_blocks(columns)
    sum_trees(columns)
    _, log, _, least = repaired(columns)
    assert least == 0
    assert int(log.totals[1]) == 0


def test_where_some_plants_lose_a_third_few_more_than_the_fewest_move(town: Columns) -> None:
    columns = copied(town)
    columns.tree_safe[:] = columns.tree_safe * 6 // 5
    columns.tree_safe[::5] = columns.tree_safe[::5] * 7 // 10
    _, log, result, least = repaired(columns)
    assert least > 4
    assert least <= int(log.totals[1]) <= least + least // 20 + 1
    assert result.stuck == 0


def test_where_all_plants_lose_a_little_hardly_more_starve_and_move_than_must(town: Columns) -> None:
    """Nothing is left over then: room and overload are of one size, and in pieces."""
    columns = copied(town)
    columns.tree_safe[:] = columns.tree_load * 997 // 1_000
    before = copied(columns)
    fewest = int(fewest_starved(columns).starved)
    _, log, result, least = repaired(columns)
    check_laws(before, columns, log, result)
    trees, starved = len(columns.tree_safe), int(starved_now(columns)[0].sum())
    assert fewest <= starved <= fewest + fewest // 1_000 + trees
    was, now = assignments(before), assignments(columns)
    moved = int(np.count_nonzero((was.tree != now.tree) & (now.tree != NO_TREE) & (columns.demand != 0)))
    moved += int(np.count_nonzero((was.big_tree != now.big_tree) & (now.big_tree != NO_TREE)))
    assert moved == int(log.totals[1]) <= 2 * least + trees
    assert int(log.totals[2] - log.totals[3]) == starved


def test_equals_who_starved_less_often_are_cut_before_others_change_places(town: Columns) -> None:
    columns, history = copied(town), History.empty(town)
    columns.tree_safe[:] = columns.tree_load * 997 // 1_000
    random = np.random.default_rng(3)
    history.slot_times[:] = random.integers(0, 3, len(columns.demand))
    history.totals[0] = 1
    alone = copied(columns)
    starve(alone, Log.empty(1 << 16), history, 0, len(columns.zone_parent), deficit(columns))
    cut = (assignments(alone).tree == NO_TREE) & (columns.demand > 0)
    assert repair(columns, Log.empty(1 << 16), history, Learnt.empty(), ALL).uncovered == 0
    now = (assignments(columns).tree == NO_TREE) & (columns.demand > 0)
    instead = now & ~cut
    assert not instead.any() or int(history.slot_times[instead].max()) <= int(history.slot_times[cut].max())


def deficit(columns: Columns) -> int:
    return int(columns.tree_load.sum()) - int(columns.tree_safe.sum())


def test_a_budget_bounds_the_moves_and_leaves_the_rest_for_the_next_step(town: Columns) -> None:
    columns, learnt = copied(town), Learnt.empty()
    columns.tree_safe[:] = columns.tree_safe * 6 // 5
    columns.tree_safe[::5] = columns.tree_safe[::5] // 2
    left, steps = 1, 0
    while left:
        log = Log.empty(1 << 16)
        left = repair(columns, log, History.empty(columns), learnt, 10).over
        assert int(log.totals[1]) <= 12
        steps += 1
        assert steps < 1_000
    assert steps > 1
    assert (columns.tree_load <= columns.tree_safe).all()


def test_a_dead_tree_whose_load_is_just_0_is_left_too(town: Columns) -> None:
    """Roofs may produce exactly what the others of the tree draw."""
    columns = copied(town)
    feeds = np.flatnonzero(columns.big_tree == 2)
    columns.big_tree[feeds], columns.big_demand[feeds] = NO_TREE, 0
    slots = np.flatnonzero(assignments(columns).tree == 2)
    columns.demand[slots] = 0
    columns.demand[slots[:2]] = [700, -700]
    sum_blocks(columns)
    sum_trees(columns)
    assert columns.tree_load[2] == 0
    columns.tree_alive[2], columns.tree_safe[2] = 0, 0
    before, log = copied(columns), Log.empty(1 << 12)
    check_laws(before, columns, log, repair(columns, log, History.empty(columns), Learnt.empty(), ALL))
    assert (assignments(columns).tree[slots[:2]] != 2).all()
    log = Log.empty(1 << 12)
    repair(columns, log, History.empty(columns), Learnt.empty(), ALL)
    assert int(log.totals[0]) == 0, "once it is empty, nothing is left to do"


def test_without_any_living_tree_the_protected_keep_their_place_and_are_told() -> None:
    columns = placed(400, 3)
    columns.tree_alive[:], columns.tree_safe[:] = 0, 0
    before, log = copied(columns), Log.empty(1 << 12)
    result = repair(columns, log, History.empty(columns), Learnt.empty(), ALL)
    check_laws(before, columns, log, result)
    assert int(columns.tree_load[columns.tree_load > 0].sum()) == result.uncovered


def test_a_closed_loop_keeps_the_laws_for_500_ticks() -> None:
    columns = placed(20_000, 12, 5, ratio_ppm=1_080_000)
    nominal, safe = columns.demand.astype(np.int64), columns.tree_safe.copy()
    random, learnt, history = np.random.default_rng(9), Learnt.empty(), History.empty(columns)
    wind, moved, starved, fed = np.ones(len(safe)), 0, 0, 0
    for tick in range(500):
        columns.demand[:] = nominal * random.integers(80, 121, len(nominal)) // 100
        sum_blocks(columns)
        sum_trees(columns)
        wind = np.clip(wind + random.uniform(-0.03, 0.03, len(wind)), 0.7, 1.1)
        tripped = tick % 100 > 50
        columns.tree_alive[:] = 1
        columns.tree_safe[:] = safe * np.where(np.arange(len(safe)) % 5 == 0, wind, 1)
        if tripped:
            columns.tree_alive[3], columns.tree_safe[3] = 0, 0
        log = Log.empty(1 << 14)
        result = repair(columns, log, history, learnt, ALL)
        assert tuple(result)[:3] == (0, 0, 0)
        assert (columns.tree_load <= columns.tree_safe).all()
        refeed(columns, log, history, int(columns.tree_safe.sum()) // 200, 500, 50_000)
        assert (columns.tree_load <= columns.tree_safe).all()
        moved += int(log.totals[1])
        starved += int(log.totals[2])
        fed += int(log.totals[3])
    assert same_sums(columns)
    assert min(moved, starved, fed) > 0, "the loop has seen trips, a shortage and its end"
