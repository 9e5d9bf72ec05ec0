"""Coming back: the most important first, then who starved longest; a step at a time, with a dead band left free."""

from __future__ import annotations

import numpy as np
import pytest
from population_site import assignments, copied, drawn, same, uncompiled

from scowl_edge.tracker.population.assign import same_sums
from scowl_edge.tracker.population.columns import NO_TREE, Columns, Log
from scowl_edge.tracker.population.fairness import keep
from scowl_edge.tracker.population.fill import rebuild
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.refeed import refeed
from scowl_edge.tracker.population.repair import Learnt, repair

BAND = 50


def short_of_supply(consumers: int = 3_000, trees: int = 5) -> tuple[Columns, History, np.ndarray]:
    """A town in which almost half of the demand starves since second 10, and the safe loads that would feed all."""
    columns, _ = drawn(consumers, trees, 3, ratio_ppm=1_200_000)
    history = History.empty(columns)
    rebuild(columns, Log.empty(1 << 14), history)
    safe = columns.tree_safe.copy()
    columns.tree_safe[:] = safe * 45 // 100
    log = Log.empty(1 << 14)
    repair(columns, log, history, Learnt.empty(), 1 << 40)
    keep(columns, log, history, 10)
    return columns, history, safe


def starved_demand(columns: Columns) -> dict[int, int]:
    tree, found = assignments(columns).tree, {}
    klass = np.repeat(columns.block_class, np.diff(columns.block_start))
    for k in range(8):
        slots = int(columns.demand[(tree == NO_TREE) & (klass == k)].astype(np.int64).sum())
        feeds = int(columns.big_demand[(columns.big_tree == NO_TREE) & (columns.big_class == k)].sum())
        found[k] = slots + feeds
    return found


def test_all_come_back_step_by_step_and_the_important_first() -> None:
    columns, history, safe = short_of_supply()
    columns.tree_safe[:] = safe
    step, largest, before = 20_000, int(columns.big_demand.max()), starved_demand(columns)
    assert before[3] > 0
    assert before[2] > 0
    for _ in range(10_000):
        log = Log.empty(1 << 14)
        fed = refeed(columns, log, history, BAND, BAND, step)
        now = starved_demand(columns)
        assert same_sums(columns)
        assert fed <= max(step, largest)
        assert fed == sum(before.values()) - sum(now.values())
        assert (columns.tree_load <= columns.tree_safe - BAND).all()
        if now[3] < before[3]:
            assert now[2] == 0, "shops are back before the first home"
        before = now
        if not fed:
            break
    assert sum(before.values()) == 0


def test_nobody_comes_back_into_the_dead_band_and_nobody_flaps() -> None:
    columns, history, _ = short_of_supply()
    free = int(columns.tree_safe.sum() - columns.tree_load.sum())
    assert refeed(columns, Log.empty(9), history, free, 0, 1 << 40) == 0
    columns.tree_safe[:] += 40_000
    log = Log.empty(1 << 14)
    band = 30_000
    fed = refeed(columns, log, history, band, 100, 1 << 40)
    assert 0 < fed <= free + 40_000 * len(columns.tree_safe) - band
    log = Log.empty(1 << 14)
    repair(columns, log, history, Learnt.empty(), 1 << 40)
    assert log.totals[:4].tolist() == [0, 0, 0, 0]


def test_limits_of_zones_and_bars_hold() -> None:
    columns, _ = drawn(2_000, 4, 5, leaves=4)
    history = History.empty(columns)
    columns.zone_limit[0] = int(columns.block_sum.sum() + columns.big_demand.sum()) // 2
    columns.eligible[2, :3] = 0
    columns.tree_safe[:] *= 2
    assert refeed(columns, Log.empty(1 << 12), history, 0, BAND, 1 << 40) > 0
    assert same_sums(columns)
    assert int(columns.zone_load[0]) <= int(columns.zone_limit[0]) - BAND
    tree, zone = assignments(columns).tree, np.repeat(columns.block_zone, np.diff(columns.block_start))
    served = tree != NO_TREE
    assert columns.eligible[zone[served], tree[served]].all()


@pytest.mark.parametrize("seed", [1, 2])
def test_who_starved_longest_comes_back_first(seed: int) -> None:
    columns, _ = drawn(500, 2, seed)
    history = History.empty(columns)
    homes = np.flatnonzero(columns.block_class == 3)
    last = int(homes[-1])
    history.slot_since[:] = 100
    history.slot_since[columns.block_start[last] : columns.block_start[last + 1]] = 50
    columns.block_class[:], columns.big_class[:], history.feed_since[:] = 3, 3, 100
    log = Log.empty(1 << 10)
    refeed(columns, log, history, 0, 0, int(columns.block_sum[last]))
    assert int(log.number[0]) == last
    assert int(log.after[0]) != NO_TREE


def test_uncompiled_it_feeds_the_same() -> None:
    plain = uncompiled("refeed")
    columns, history, safe = short_of_supply(400, 3)
    columns.tree_safe[:] = safe
    other = copied(columns)
    for _ in range(5):
        logs = [Log.empty(1 << 10), Log.empty(1 << 10)]
        assert refeed(columns, logs[0], history, 10, 5, 9_000) == plain.refeed(other, logs[1], history, 10, 5, 9_000)
        assert same(columns, other)
        for mine, theirs in zip(*logs, strict=True):
            assert np.array_equal(mine, theirs)
