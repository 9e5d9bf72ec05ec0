"""What the real cut, rebuild, repair and refeed reach, beside the bounds: several classes, nested limits, odd sizes."""

from __future__ import annotations

import numpy as np
import pytest

from scowl_edge.tracker.population import bounds
from scowl_edge.tracker.population.census import nested_zones
from scowl_edge.tracker.population.columns import Census, Columns, Log, lay_out
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.repair import Learnt
from scowl_edge.tracker.population.score import judge
from tests.population_site import uncompiled

rebuild, repair, refeed = uncompiled("fill").rebuild, uncompiled("repair").repair, uncompiled("refeed").refeed
"""The same plans as compiled, which other tests hold."""


def region(rng: np.random.Generator, consumers: int, trees: int) -> Columns:
    """Consumers of classes 0 to 4 under nested limits; most are small, a few are a thousand times as large."""
    parents, leaf = nested_zones(int(rng.integers(1, 5)))
    demand = rng.integers(1, 40, consumers) * rng.choice([1, 1, 1, 10, 1_000], consumers)
    demand[rng.random(consumers) < 0.05] *= -1
    klass = rng.choice(5, consumers, p=[0.02, 0.08, 0.2, 0.3, 0.4])
    zone, zeros = leaf[rng.integers(0, len(leaf), consumers)], np.zeros(consumers, np.int32)
    census = Census(10, demand, zone, klass.astype(np.uint8), zeros.astype(np.uint8), zeros, zeros)
    columns, _ = lay_out(census, trees, zone_parent=parents, big=5_000, feed=20_000, block_energy=60_000)
    return columns


def restrict(rng: np.random.Generator, columns: Columns) -> None:
    """Supply and limits anew, each from far too little to enough."""
    trees, zones = len(columns.tree_safe), len(columns.zone_limit)
    wanted = np.zeros(zones, np.int64)
    np.add.at(wanted, columns.block_zone, columns.block_sum)
    np.add.at(wanted, columns.big_zone, columns.big_demand)
    share = rng.dirichlet(np.full(trees, 5.0))
    total = max(1, int(wanted.sum()))
    columns.tree_safe[:] = (share * total * rng.choice([0.1, 0.3, 0.5, 0.8, 0.95, 1.0, 1.2])).astype(np.int64)
    columns.tree_alive[:] = 1
    if trees > 1 and rng.random() < 0.3:
        columns.tree_safe[0] = columns.tree_alive[0] = 0
    for zone in range(zones):
        below = max(0, int(wanted[zone : int(columns.zone_end[zone])].sum()))
        columns.zone_limit[zone] = rng.choice([-1, -1, below // 4, below // 2, below * 9 // 10, below])


@pytest.mark.parametrize("consumers", [20, 60, 200, 2_000])
def test_no_plan_that_was_made_is_better_than_its_bounds(consumers: int) -> None:
    kept = reached = 0
    for seed in range(8 if consumers < 1_000 else 4):
        rng = np.random.default_rng((consumers, seed))
        columns = region(rng, consumers, int(rng.integers(1, 6)))
        log, history, learnt = Log.empty(10_000), History.empty(columns), Learnt.empty()
        for step in range(8):
            restrict(rng, columns)
            log.totals[:] = 0
            (rebuild(columns, log, history) if step % 4 == 0 else repair(columns, log, history, learnt, 1 << 40))
            if step % 4 == 3:
                refeed(columns, log, history, 0, 0, 1 << 40)
            if (columns.tree_load > columns.tree_safe).any():
                continue
            if ((columns.zone_limit >= 0) & (columns.zone_load > columns.zone_limit)).any():
                continue
            kept += 1
            count, _ = bounds.starved_now(columns)
            least = bounds.fewest_starved(columns)
            judged = judge(columns, log, 0)
            assert count.tolist() >= list(least.starved_of), "the most important class first"
            assert judged.served <= judged.most
            equal = count.tolist() == list(least.starved_of)
            assert (judged.starved > judged.fewest) != equal, "whoever is not as good as the bound has an excess"
            reached += equal
    assert kept >= 20 and reached >= 1
