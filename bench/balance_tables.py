"""The rebuild at other sizes, with large items, under ratings that bind; beside bounds, and a solver where it can."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, hstack, identity, kron

from bench import flapping
from bench.balance_site import SEED, STATE, STATE_TREES, Site, paired, site
from bench.muted import muted
from scowl_edge.tracker.assignment import balanced, by_capacity, by_hash, served_apart
from scowl_edge.tracker.population import bounds
from scowl_edge.tracker.population.census import draw_fleet
from scowl_edge.tracker.population.chance import lognormal
from scowl_edge.tracker.population.columns import Census, Log, lay_out
from scowl_edge.tracker.population.fill import rebuild
from scowl_edge.tracker.population.history import History

SIZES = (
    (1_000, 10), (10_000, 10), (10_000, 100), (100_000, 100), (1_000_000, 50), (1_000_000, 1_000),
    (STATE, STATE_TREES), (STATE, 1_000),
)  # fmt: skip
RATIOS = (1.05, 1.00, 0.95, 0.80)
LARGE = (0.01, 0.03, 0.1, 0.2, 0.35, 0.5)
TREE = 1_000_000
"""Quanta of the mean tree among large items."""


def tables(*, quick: bool) -> Iterator[str]:
    """All of them; the quick ones are small."""
    pairs = 2 if quick else 9
    yield sizes(SIZES[:2] if quick else SIZES, pairs)
    yield ratings(SIZES[1] if quick else SIZES[6], pairs)
    yield solver(((100, 4), (300, 10)) if quick else ((100, 4), (300, 10), (1_000, 10)), 1.0 if quick else 30.0)
    yield large(2 if quick else 5, 0.5 if quick else 20.0)
    yield apart(3 if quick else 25)
    yield flapping.table(seeds=1 if quick else 6, hours=1 if quick else 24)


def sizes(of: tuple[tuple[int, int], ...], pairs: int) -> str:
    """Full rebuilds at many sizes, one zone."""
    lines = [
        "Full rebuild by size, no feeders: ms (not served of min(S, D); starved, of at least)",
        "| consumers x trees | " + " | ".join(f"S = {r:.2f} D" for r in RATIOS) + " |",
        "|---" * (1 + len(RATIOS)) + "|",
    ]
    for consumers, trees in of:
        s = site(consumers, trees, feeders=False)
        lines.append(f"| {consumers:,} x {trees} | " + " | ".join(_rebuilt(s, r, pairs) for r in RATIOS) + " |")
    return "\n".join(lines)


def ratings(of: tuple[int, int], pairs: int) -> str:
    """Three levels of ratings that bind: each feeder and substation has so much of its mean demand."""
    lines = [
        f"Ratings that bind, {of[0]:,} x {of[1]}, three levels: ms (not served of the bound; starved, of at least)",
        "| rating / mean demand | " + " | ".join(f"S = {r:.2f} D" for r in RATIOS) + " |",
        "|---" * (1 + len(RATIOS)) + "|",
    ]
    for limit in (1.25, 1.00, 0.97, 0.90):
        s = site(*of, limit=limit)
        lines.append(f"| {limit:.2f} | " + " | ".join(_rebuilt(s, r, pairs) for r in RATIOS) + " |")
    return "\n".join(lines)


def _rebuilt(s: Site, ratio: float, pairs: int) -> str:
    s.supply(ratio)
    timing = paired(s.columns, s.rebuild, lambda: None, pairs)
    s.check()
    gap, starved, fewest = s.gap()
    return f"{timing.median:.2f} ({gap:.0e}; {starved:,}, {fewest:,})"


def solver(of: tuple[tuple[int, int], ...], limit_s: float) -> str:
    """A solver on the whole problem, every consumer to every tree."""
    lines = [
        f"Beside HiGHS ({limit_s:.0f} s at most), energy not served of min(S, D)",
        "| consumers x trees | S / D | rebuild: ms | not served | HiGHS: s | not served | proven to be at least |",
        "|---|---|---|---|---|---|---|",
    ]
    for consumers, trees in of:
        s = site(consumers, trees, feeders=False)
        for ratio in (1.00, 0.95):
            s.supply(ratio)
            timing = paired(s.columns, s.rebuild, lambda: None, 5)
            gap = s.gap()[0]
            demand = np.concatenate([s.columns.demand, s.columns.big_demand]).astype(np.int64)
            begun = time.perf_counter()
            found, proven = most_served(demand[demand != 0], s.columns.tree_safe, limit_s)
            took = time.perf_counter() - begun
            most = bounds.energy(s.columns).most
            best = f"{1 - found / most:.1e}" if found else "no plan yet"
            lines.append(
                f"| {consumers:,} x {trees} | {ratio:.2f} | {timing.median:.3f} | {gap:.1e} | {took:.1f} | "
                f"{best} | {max(0.0, 1 - proven / most):.1e} |"
            )
    return "\n".join(lines)


def most_served(demand: NDArray[np.int64], safe: NDArray[np.int64], limit_s: float) -> tuple[float, float]:
    """(best that HiGHS found, what it proved to be the most), quanta."""
    n, trees = len(demand), len(safe)
    once = hstack([identity(n, format="csr")] * trees)
    room = kron(identity(trees, format="csr"), csr_array(demand[None, :]), format="csr")
    with muted():
        answer = milp(
            -np.tile(demand, trees).astype(float),
            constraints=[LinearConstraint(once, ub=np.ones(n)), LinearConstraint(room, ub=safe.astype(float))],
            integrality=np.ones(n * trees),
            bounds=Bounds(0, 1),
            options={"time_limit": limit_s, "mip_rel_gap": 0.0},
        )
    # Stopped early it may know neither.
    proven = float(demand.sum()) if answer.mip_dual_bound is None else -answer.mip_dual_bound
    return (-answer.fun if answer.x is not None else 0.0), min(float(demand.sum()), proven)


def large(seeds: int, limit_s: float) -> str:
    """Items that are a good part of a tree: 20 trees, demand = supply, medians over seeds."""
    lines = [
        f"Large items: 20 trees, S = D, medians of {seeds}; not served of the bound",
        "| mean item / mean tree | rebuild | ms | in feeds of a quarter | HiGHS on the first | proven to be at least |",
        "|---|---|---|---|---|---|",
    ]
    for share in LARGE:
        whole, parts, took = [], [], []
        for seed in range(seeds):
            gap, ms = _of_large(share, seed, 1 << 31)
            whole.append(gap)
            took.append(ms)
            parts.append(_of_large(share, seed, max(1, int(TREE * share) // 4))[0])
        demand, safe = _large_site(share, 0)
        found, proven = most_served(demand, safe, limit_s)
        most = min(int(demand.sum()), int(safe.sum()))
        best = f"{1 - found / most:.2%}" if found else "no plan yet"
        lines.append(
            f"| {share} | {statistics.median(whole):.2%} | {statistics.median(took):.2f} | "
            f"{statistics.median(parts):.3%} | {best} | {max(0.0, 1 - proven / most):.2%} |"
        )
    return "\n".join(lines)


def _large_site(share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    count = max(1, round(20 / share))
    demand = lognormal(max(1, int(TREE * share)), 500_000, seed, 1, np.arange(count, dtype=np.uint64))
    return demand, draw_fleet(20, int(demand.sum()), seed).rated


def _of_large(share: float, seed: int, feed: int) -> tuple[float, float]:
    demand, safe = _large_site(share, seed)
    none = np.zeros(len(demand), np.int32)
    census = Census(10, demand, none.astype(np.uint16), none.astype(np.uint8) + 3, none.astype(np.uint8), none, none)
    columns, _ = lay_out(census, len(safe), big=1, feed=feed)
    columns.tree_safe[:], columns.tree_alive[:] = safe, 1
    s = Site(columns, _, census, int(demand.sum()), Log.empty(1 << 12), History.empty(columns))
    rebuild(columns, s.log, s.history)
    begun = time.perf_counter()
    rebuild(columns, s.log, s.history)
    ms = (time.perf_counter() - begun) * 1e3
    s.check()
    return 1 - int(columns.tree_load.sum()) / min(int(demand.sum()), int(safe.sum())), ms


def apart(draws: int) -> str:
    """What isolation costs where the plants of a region are spread over trackers that do not help each other."""
    lines = [
        f"{STATE_TREES} plants over trackers that do not help each other: served of min(S, D), {draws} draws",
        "| trackers | S / D | bare hash | its weakest tracker, of the mean | 10 hand-overs a tracker | by capacity |",
        "|---|---|---|---|---|---|",
    ]
    demand = 3_200_000_000
    for trackers in (8, 16):
        for ratio in (1.05, 1.02, 1.00):
            wanted = np.full(trackers, demand // trackers, np.int64)
            rows = []
            for draw in range(draws):
                usable = draw_fleet(STATE_TREES, round(demand * ratio), draw).rated
                addresses = [f"10.{draw}.{i // 256}.{i % 256}:33000" for i in range(STATE_TREES)]
                hashed = by_hash(addresses, [SEED] * STATE_TREES, trackers)
                has = np.zeros(trackers, np.int64)
                np.add.at(has, hashed, usable)
                mended = balanced(hashed, usable, wanted, 10 * trackers)
                rows.append(
                    (
                        served_apart(hashed, usable, wanted) / int(wanted.sum()),
                        int(has.min()) * trackers / int(usable.sum()),
                        served_apart(mended, usable, wanted) / int(wanted.sum()),
                        served_apart(by_capacity(usable, wanted), usable, wanted) / int(wanted.sum()),
                    )
                )
            cells = " | ".join(f"{statistics.median(column):.2%}" for column in zip(*rows, strict=True))
            lines.append(f"| {trackers} | {ratio:.2f} | {cells} |")
    return "\n".join(lines)
