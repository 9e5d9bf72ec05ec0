"""CPU of one scrape with a hundred thousand per-point series, beside prometheus_client's own text of the same series.

Both run in turn in this process on the same values. The longest hold is the longest time for which one scrape, with its
sending to a client on loopback, kept the event loop from everything else.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
import numpy as np
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from bench.machine import child, describe, on_core, spread
from scowl_edge.cli.run import on_fastest_loop
from scowl_edge.inbox import PointTable
from scowl_edge.metrics import Metrics
from scowl_edge.model.event import AnyOrder
from scowl_edge.model.flex_view import FlexApplianceView
from scowl_edge.model.signal import Cause, Quality, Reading
from scowl_edge.model.view import RegionView
from scowl_edge.web import Check, listen
from scowl_edge.web.published import History, PublishedGuests, StoreFigures
from scowl_edge.web.scrape import Scrape

POINTS_A_DEVICE = 50
_NOW_MS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One row of the table."""

    device: str
    name: str
    unit: str = "W"
    link: str = "plc"
    access: str = "r"
    type: str = "float32"
    fresh_ms: int = 3_000
    hold_ms: int = 60_000


@dataclass
class Cabinet:
    """A published state with many points, and no region: what is measured is the points."""

    table: PointTable
    points: Sequence[Point]
    request_results: Mapping[tuple[str, str], int] = field(default_factory=lambda: {("plc", "ok"): 1})
    conflated: int = 0
    missed_polls: Mapping[str, int] = field(default_factory=dict)
    link_busy_s: Mapping[str, float] = field(default_factory=dict)
    link_skipped_polls: Mapping[str, int] = field(default_factory=dict)
    link_probes: Mapping[str, int] = field(default_factory=dict)
    link_worst_delays_s: Mapping[str, float] = field(default_factory=dict)
    guests: Mapping[str, PublishedGuests] = field(default_factory=dict)
    links_up: Mapping[str, bool] = field(default_factory=dict)
    stores: Mapping[str, StoreFigures] = field(default_factory=dict)
    flex_unsent: int = 0
    flex_troubles: None = None
    step_lag_s: float = 0.0
    texts: Mapping[int, str] = field(default_factory=dict)
    faults: Mapping[int, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=lambda: {"version": "bench"})
    history: History | None = None

    def region(self) -> RegionView | None:
        """None."""
        return None

    async def settled(self) -> None:
        """At once."""

    async def stepped(self, after: int) -> None:
        """At once: there are no steps."""

    def health(self) -> Mapping[str, Check]:
        """Nothing to tell."""
        return {}

    def mono_ms(self) -> int:
        """Stands still."""
        return _NOW_MS

    def utc_ms(self) -> int:
        """Stands still."""
        return _NOW_MS

    def flex_appliance(self, esa_id: str) -> FlexApplianceView | None:
        """There is none."""
        return None

    def order(self, order: AnyOrder) -> None:
        """Nobody is commanded here."""

    def change(self, seed: int) -> None:
        """New values everywhere, a third of them whole, each of an age of its own."""
        draw = np.random.default_rng(seed)
        size = len(self.points)
        values = draw.normal(0, 1e5, size)
        values[::3] = np.rint(values[::3])
        self.table.take(
            Reading(
                np.arange(size, dtype=np.int32), values, np.full(size, Quality.GOOD, np.uint8),
                np.full(size, Cause.NONE, np.uint8), _NOW_MS - 1_000, _NOW_MS - 1_000, 0,
            )
        )  # fmt: skip
        self.table.good_ms[:] = _NOW_MS - draw.integers(0, 1_000, size)


def cabinet(points: int) -> Cabinet:
    """So many points, fifty a device."""
    named = [Point(device=f"device-{i // POINTS_A_DEVICE}", name=f"point-{i % POINTS_A_DEVICE}") for i in range(points)]
    return Cabinet(PointTable(points), named)


class Library:
    """The same two families as gauges of prometheus_client."""

    def __init__(self, state: Cabinet) -> None:
        self._state = state
        self._registry = CollectorRegistry()
        value = Gauge("scowl_point_value", "Value.", ["device", "point", "unit"], registry=self._registry)
        age = Gauge("scowl_point_age_seconds", "Age.", ["device", "point"], registry=self._registry)
        self._values = [value.labels(p.device, p.name, p.unit) for p in state.points]
        self._ages = [age.labels(p.device, p.name) for p in state.points]

    def render(self) -> int:
        """Sets all and makes the text; its size in bytes."""
        ages = (self._state.mono_ms() - self._state.table.good_ms) / 1000
        for gauge, number in zip(self._values, self._state.table.value.tolist(), strict=True):
            gauge.set(number)
        for gauge, number in zip(self._ages, ages.tolist(), strict=True):
            gauge.set(number)
        return len(generate_latest(self._registry))


async def _rendered(metrics: Metrics) -> tuple[float, int]:
    """(CPU seconds, bytes) of one rendering."""
    before = time.process_time()
    size = sum(map(len, await metrics.render()))
    return time.process_time() - before, size


class Watch:
    """Turns the event loop without a pause, and notes the longest time between two turns."""

    def __init__(self) -> None:
        self.cpu_s = self.wall_s = 0.0
        self._last = (0.0, 0.0)
        self._on = False

    def begin(self) -> None:
        """Starts anew."""
        self.cpu_s = self.wall_s = 0.0
        self._last, self._on = (time.thread_time(), time.perf_counter()), True
        asyncio.get_running_loop().call_soon(self._turn)

    def end(self) -> tuple[float, float]:
        """The longest hold in ms: CPU of the loop's thread, and wall, which other processes on the core prolong."""
        self._on = False
        return self.cpu_s * 1000, self.wall_s * 1000

    def _turn(self) -> None:
        cpu, wall = time.thread_time(), time.perf_counter()
        self.cpu_s = max(self.cpu_s, cpu - self._last[0])
        self.wall_s = max(self.wall_s, wall - self._last[1])
        self._last = cpu, wall
        if self._on:
            asyncio.get_running_loop().call_soon(self._turn)


async def measure(points: int, pairs: int) -> str:
    """The table."""
    state = cabinet(points)
    metrics = Metrics(state)
    library = Library(state)
    app = web.Application()
    app.router.add_get("/metrics", Scrape(metrics).serve)
    listener = await listen(app, "127.0.0.1", 0)
    ours: list[float] = []
    theirs: list[float] = []
    served: list[float] = []
    holds: list[tuple[float, float]] = []
    idle: list[tuple[float, float]] = []
    size = 0
    watch = Watch()
    with child("-m", "bench.scrape", "--scraper", listener.url + "/metrics", stdin=subprocess.PIPE) as scraper:
        assert scraper.stdout is not None and scraper.stdin is not None
        for pair in range(pairs + 1):
            state.change(pair)
            used, size = await _rendered(metrics)
            before = time.process_time()
            library.render()
            reference = time.process_time() - before
            before = time.process_time()
            scraper.stdin.write("\n")
            scraper.stdin.flush()
            await asyncio.to_thread(scraper.stdout.readline)
            whole = time.process_time() - before
            watch.begin()
            await asyncio.sleep(0.3)
            quiet = watch.end()
            watch.begin()
            scraper.stdin.write("\n")
            scraper.stdin.flush()
            await asyncio.to_thread(scraper.stdout.readline)
            busy = watch.end()
            if pair:
                # The first round warms caches and the connection.
                ours.append(used * 1000)
                theirs.append(reference * 1000)
                served.append(whole * 1000)
                holds.append(busy)
                idle.append(quiet)
    await listener.close()
    ratio = [b / a for a, b in zip(ours, theirs, strict=True)]
    return "\n".join(
        [
            f"One scrape of {2 * points:,} per-point series ({size / 1e6:.1f} MB), {pairs} interleaved pairs",
            "| | ms, median (range) |",
            "|---|---|",
            f"| CPU, rendered | {spread(ours)} |",
            f"| CPU, rendered and sent on loopback | {spread(served)} |",
            f"| CPU, prometheus_client generate_latest | {spread(theirs)} |",
            f"| prometheus_client / ours | {spread(ratio)} times |",
            f"| longest hold of the event loop in a scrape, CPU | {spread([cpu for cpu, _ in holds], 2)} |",
            f"| longest hold in 0.3 s without a scrape, CPU | {spread([cpu for cpu, _ in idle], 2)} |",
            f"| longest hold of the event loop in a scrape, wall | {spread([wall for _, wall in holds], 2)} |",
            f"| longest hold in 0.3 s without a scrape, wall | {spread([wall for _, wall in idle], 2)} |",
            f"| a scrape costs at most 100 ms CPU | {'yes' if statistics.median(served) <= 100 else 'NO'} |",
        ]
    )


async def scrape_when_asked(url: str) -> None:
    """The other process: one scrape for each line on standard input."""
    on_core(0)
    async with aiohttp.ClientSession() as http:
        while await asyncio.to_thread(sys.stdin.readline):
            async with http.get(url) as answer:
                print(len(await answer.read()), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.scrape", description=__doc__)
    parser.add_argument("--points", type=int, default=50_000, help="each has two series")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--scraper", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.scraper:
        asyncio.run(scrape_when_asked(options.scraper))
        return
    apart = on_core(1)
    print(f"{describe()}; scraper on {'the other' if apart else 'the same'} core")

    async def run() -> None:
        print(await measure(options.points, options.pairs))

    on_fastest_loop(run())


if __name__ == "__main__":
    main()
