"""How often the ladder switches plants, beside the least that would have been possible, known only afterwards.

Small populations with few enough plants for the exact search (`hindsight.py`), over days of their own demand and
weather; with and without looking ahead along the course of the day.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.site import PPM, PeerKind
from scowl_edge.model.site import Population as Declared
from scowl_edge.tracker.population.dispatch import STOCHASTIC, Plants
from scowl_edge.tracker.population.hindsight import FEWEST, best_course
from scowl_edge.tracker.population.population import Population

PERIOD_MS = 30_000
STEP_MS = 600_000
"""Of the search: plants are on or off for whole steps."""
MOST_PLANTS = 5
MARGIN_PPM = 100_000


def table(*, seeds: int, hours: int) -> str:
    """Switchings an hour of the first populations that are small enough, and the least in hindsight."""
    lines = [
        f"Plants switched an hour, over {hours} h with the day's course (starved seconds of all consumers)",
        "| population | plants | ladder | looking 30 min ahead | least in hindsight |",
        "|---|---|---|---|---|",
    ]
    seed = 0
    while len(lines) < 3 + seeds:
        seed += 1
        begin = Population(_declared(seed, 0)).supply
        count = int(np.count_nonzero(begin.plants.kind != STOCHASTIC)) if begin is not None else 0
        if not 2 <= count <= MOST_PLANTS:
            continue
        (blind, starved, need, plants), (ahead, ahead_starved, *_) = (
            _day(Population(_declared(seed, look_ms)), hours) for look_ms in (0, 1_800_000)
        )
        least = best_course(plants, need, STEP_MS, FEWEST).switchings
        lines.append(
            f"| seed {seed} | {count} | {blind / hours:.2f} ({starved:,}) | {ahead / hours:.2f} ({ahead_starved:,}) | "
            f"{least / hours:.2f} |"
        )
    return "\n".join(lines)


def _declared(seed: int, look_ahead_ms: int) -> Declared:
    return Declared(
        name="flapping",
        kind=PeerKind.SIMULATED,
        consumers=300,
        trees=6,
        seed=seed,
        quantum_w=1,
        feeders=1,
        feeder_limit_ppm=0,
        supply_ppm=2_000_000,
        daily=True,
        look_ahead_ms=look_ahead_ms,
        margin_ppm=MARGIN_PPM,
        sigma_milli=0,
        correlated_ppm=0,
        period_ms=PERIOD_MS,
        fresh_ms=3 * PERIOD_MS,
        hold_ms=60_000,
        dead_band_ppm=2_000,
        move_budget=10,
    )


def _day(population: Population, hours: int) -> tuple[int, int, NDArray[np.int64], Plants]:
    """(switchings, starved seconds, int64[steps] what those plants had to give that can be switched, they at first)."""
    supply, columns = population.supply, population.columns
    assert supply is not None
    mine = supply.plants.kind != STOCHASTIC
    plants = Plants._make(column[mine].copy() for column in supply.plants)
    need = np.zeros(hours * 3_600_000 // PERIOD_MS, np.int64)
    starved = 0
    for n in range(len(need)):
        population.step((n + 1) * PERIOD_MS, (), deciding=True, advisory=False)
        wanted = int(columns.block_sum.sum()) + int(columns.big_demand.sum())
        need[n] = wanted * PPM // (PPM - MARGIN_PPM) - int(supply.plants.output[~mine].sum())
        starved += int(population.standing.starved.sum()) * PERIOD_MS // 1000
    by_step = need.reshape(-1, STEP_MS // PERIOD_MS).max(axis=1)
    return supply.switchings, starved, np.maximum(0, by_step), plants
