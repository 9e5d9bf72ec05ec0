"""Every kernel called once on a small population, so that none is compiled inside a control step.

The first time on a machine this takes up to a minute; what was compiled is kept on disk. As a program
(`python -m scowl_edge.tracker.population.warm`) it does only that.
"""

from __future__ import annotations

import numpy as np

from scowl_edge.model.batch import ROWS, Batch, BatchKind
from scowl_edge.model.site import PeerKind
from scowl_edge.model.site import Population as Declared
from scowl_edge.tracker.population import assign, fairness, fill, protect, refeed, response, sheds, walk
from scowl_edge.tracker.population.balancing import ROTATION_S, seconds
from scowl_edge.tracker.population.columns import Log
from scowl_edge.tracker.population.population import Population

_HOUR_MS = 3_600_000


def warm() -> None:
    """Lives through a little of everything: plenty, shortage, a plant lost, joins, a restart."""
    _simulated()
    _reported()


def _declared(kind: PeerKind) -> Declared:
    return Declared(
        name="warm",
        kind=kind,
        consumers=600,
        trees=10,
        seed=1,
        quantum_w=10,
        feeders=4,
        feeder_limit_ppm=1_500_000,
        supply_ppm=1_600_000,
        stores_ppm=100_000,
        deferrable_ppm=100_000,
        margin_ppm=100_000,
        sigma_milli=4_000,
        correlated_ppm=20_000,
        period_ms=1_000,
        fresh_ms=5_000,
        hold_ms=5_000,
        dead_band_ppm=2_000,
        move_budget=50,
    )


def _simulated() -> None:
    population = Population(_declared(PeerKind.SIMULATED))
    now_ms = _HOUR_MS
    for step in range(12):
        # The ladder is asked for more and for less, and the starve cut has its turn.
        population.columns.zone_limit[0] = (10**9, 0, 10**9)[step // 4]
        now_ms += 1_000 * (1 + step)
        population.step(now_ms, (), deciding=True, advisory=step == 11)
    columns, log, history = population.columns, Log.empty(10_000), population.history
    refeed.refeed(columns, log, history, 0, 0, 1 << 40)
    protect.feed_protected(columns, log, np.ones(len(columns.tree_safe), np.uint8))
    fairness.rotate(columns, log, history, seconds(now_ms) + 2 * ROTATION_S, ROTATION_S, 10)
    fairness.keep(columns, log, history, seconds(now_ms))
    fairness.longest(columns, history, seconds(now_ms))
    _shed(population, now_ms)
    target = fill.blank(columns)
    fill.rebuild(target, log, history)
    walk.walk(columns, target, log, 1_000)
    Population(_declared(PeerKind.SIMULATED)).restore(population.snapshot())
    population.section()


def _shed(population: Population, now_ms: int) -> None:
    """Asks everybody, takes answers and doubts, and ends it all."""
    supply = population.supply
    if supply is None or supply.sheds is None or supply.response is None:
        return
    asked, columns = supply.sheds, population.columns
    sheds.ask(asked, columns, 0, 1 << 30, 1 << 40, now_ms, 0)
    rows = np.flatnonzero(asked.state == sheds.ASKED)
    sheds.answer(asked, rows[: len(rows) // 2].astype(np.int32), asked.asked[rows], now_ms)
    sheds.pass_time(asked, now_ms + 1, 1)
    response.bend(columns, rows, -asked.granted[rows], asked.deferrable_ppm[rows], supply.response.moved)
    assign.sum_trees(columns)
    sheds.restore(asked, 1 << 40, now_ms + 2)
    sheds.forget_requests(asked)


def _reported() -> None:
    population = Population(_declared(PeerKind.REPORTED))
    rated = population.fleet.rated.tolist()
    told = {
        BatchKind.OUTPUT: list(enumerate(rated)),
        BatchKind.DEMAND: [(0, 1), (1 << 30, 1)],
        BatchKind.FEED: [(0, 1_000)],
        BatchKind.HELD: [(0, 0, 0), (1, 0, 0), (2, 0, 0)],
        BatchKind.JOIN: [(1, 2, int(population.columns.block_zone[0]), 3, 50), (3, 4, 0, 3, 100_000)],
        BatchKind.LEAVE: [(5, 6)],
        BatchKind.CHANGE: [(1, 2, int(population.columns.block_zone[0]), 3, 40)],
    }
    for step in range(3):
        batches = [
            Batch(
                population=0,
                kind=kind,
                sender=min(kind, BatchKind.JOIN),
                sequence=step * len(BatchKind) + kind + 1,
                at_ms=0,
                data=np.array(rows, ROWS[kind]).tobytes(),
            )
            for kind, rows in told.items()
        ]
        population.step(_HOUR_MS * (1 + step), batches, deciding=True, advisory=False)
    population.step(_HOUR_MS * 9, (), deciding=True, advisory=False)


if __name__ == "__main__":
    warm()
