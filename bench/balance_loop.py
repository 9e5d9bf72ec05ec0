"""The closed loop: every tick all consumers draw anew, the wind moves, plants trip and return, and the tracker repairs.

What is timed is a whole tick: the stochastic step of all, recounted sums, weather, repair, refeeding the starved, and
the history of who starved. Bounds and the score are taken between the timed parts. A fifth of the plants follow the
wind; every hundred ticks one of the largest trips for fifty.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np

from bench.balance_site import SEED, Site, least_changes, site, verdict
from bench.machine import quantile
from scowl_edge.tracker.population.assign import same_sums, sum_trees
from scowl_edge.tracker.population.census import Fleet, draw_fleet
from scowl_edge.tracker.population.fairness import keep, longest
from scowl_edge.tracker.population.noise import advance, populate
from scowl_edge.tracker.population.refeed import refeed
from scowl_edge.tracker.population.repair import Learnt, repair
from scowl_edge.tracker.population.score import Score, Tally, judge
from scowl_edge.tracker.population.weather import Climate, begin, outputs

RATIOS = (1.15, 1.08, 1.03)
BUDGET = 100_000
"""Consumers that may leave over-loaded trees in one tick."""
TRIP_EVERY, TRIP_FOR = 100, 50
BAND_PPM, STEP_PPM = 1_000, 10_000
"""Of the demand: what is left free when the starved come back, and the most that comes back in a tick."""
NOON = 720
CLIMATE = Climate(trip_ticks=0)
"""Forced outages come by the clock here, so that runs can be compared."""
TICK_MS = 1_000
"""What a tick stands for in the score."""
WARM_UP = 3
"""Ticks that are not counted: they compile."""


@dataclass(frozen=True)
class Course:
    """Ticks of one run."""

    tick_ms: list[float]
    living_ms: list[float]
    """Of it: the stochastic step and the sums."""
    repair_ms: list[float]
    changed: list[int]
    """Consumers that changed hands or starved."""
    score: Score
    stuck: int
    """Ticks after which a tree was above its safe load."""


def run(s: Site, ratio: float, ticks: int) -> Course:
    """One closed loop."""
    c = s.columns
    fleet = of_mean(s, ratio)
    trees = len(fleet.rated)
    sky, online = begin(fleet, SEED, climate=CLIMATE), np.ones(trees, np.uint8)
    living = populate(s.census, s.layout, c)
    s.supply(ratio)
    s.rebuild()
    learnt, tally = Learnt.empty(), Tally(s.census.quantum_w)
    largest = np.argsort(-fleet.rated, kind="stable")
    band, step = s.wanted * BAND_PPM // 1_000_000, s.wanted * STEP_PPM // 1_000_000
    times: list[tuple[float, float, float]] = []
    changed, stuck = [], 0
    for tick in range(-WARM_UP, ticks):
        now_s = tick + WARM_UP + 1
        s.log.totals[:] = 0
        begun = time.perf_counter()
        advance(c, living, SEED, now_s)
        sum_trees(c)
        lived = time.perf_counter()
        c.tree_safe[:] = outputs(fleet, sky, SEED, now_s, NOON, fleet.rated, online, CLIMATE)
        c.tree_alive[:] = 1
        if tick >= TRIP_FOR and tick % TRIP_EVERY >= TRIP_FOR:
            dead = largest[tick // TRIP_EVERY % min(20, trees)]
            c.tree_safe[dead] = c.tree_alive[dead] = 0
        blown = time.perf_counter()
        cut, least = least_changes(s)
        again = time.perf_counter()
        repair(c, s.log, s.history, learnt, BUDGET)
        refeed(c, s.log, s.history, band, band // trees, step)
        keep(c, s.log, s.history, now_s)
        ended = time.perf_counter()
        if tick < 0:
            continue
        times.append((blown - begun + ended - again, lived - begun, ended - again))
        changed.append(int(s.log.totals[1] + s.log.totals[2]))
        stuck += bool((c.tree_load > c.tree_safe).any())
        worst = int(longest(c, s.history, now_s))
        tally.add(judge(c, s.log, least, forced=cut), TICK_MS, worst_starved_s=worst)
    if not same_sums(c):
        raise SystemExit("running sums are not what a recount gives")
    whole, lived_s, repaired = zip(*times, strict=True)
    return Course(
        [t * 1e3 for t in whole],
        [t * 1e3 for t in lived_s],
        [t * 1e3 for t in repaired],
        changed,
        tally.score(),
        stuck,
    )


def of_mean(s: Site, ratio: float) -> Fleet:
    """A fleet that gives `ratio` of the demand in mean weather at noon."""
    trees, usable = len(s.columns.tree_safe), round(s.wanted * ratio)
    drawn = draw_fleet(trees, usable, SEED)
    calm = outputs(
        drawn, begin(drawn, SEED, climate=CLIMATE), SEED, 0, NOON, drawn.rated, np.ones(trees, np.uint8), CLIMATE
    )
    # Parts per million first: the product would not fit in 64 bits.
    return Fleet(drawn.rated * (usable * 1_000_000 // int(calm.sum())) // 1_000_000, drawn.plant)


def table(consumers: int, trees: int, ticks: int, ratios: tuple[float, ...] = RATIOS) -> str:
    """The closed loop at some ratios of supply to demand."""
    lines = [
        f"Closed loop, {consumers:,} x {trees}, {ticks} ticks; all stochastic, wind, trips, nested ratings, big feeds",
        "| nominal S / D | tick: median / p99 / max, ms | Hz | must 50, aim 250 Hz, p99 8 ms | step and sums, ms | "
        "repair, refeed, history: median / p99 / max, ms | changes of hands a tick: median / mean | / least | "
        "not served | starved: mean, above the minimum: mean / worst | longest, s | ticks above a safe load |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for ratio in ratios:
        # A site of its own: the one before has wandered off.
        course = run(site(consumers, trees), ratio, ticks)
        score, median = course.score, statistics.median(course.tick_ms)
        late = quantile(course.tick_ms, 0.99)
        met = verdict(1000 / median, 50, 250, more=True)
        met = met if met != "aim" or late <= 8 else "must"
        lines.append(
            f"| {ratio:.2f} | {_three(course.tick_ms)} | {1000 / median:.0f} | {met} | "
            f"{statistics.median(course.living_ms):.2f} | {_three(course.repair_ms)} | "
            f"{statistics.median(course.changed):,.0f} / {statistics.fmean(course.changed):,.0f} | "
            f"{score.churn_ppm / 1e6:.3f} | {1 - score.served_ppb / 1e9:.1e} | "
            f"{score.starved / score.duration_ms:,.0f}, {score.excess / score.duration_ms:,.1f} / "
            f"{score.worst_excess:,} | {score.worst_starved_s} | {course.stuck} |"
        )
    return "\n".join(lines)


def _three(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} / {quantile(values, 0.99):.2f} / {max(values):.2f}"
