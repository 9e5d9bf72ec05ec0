"""What a town costs the daemon: the loop, the page, the journal, the snapshot; and what a small box needs.

The demo, devices on real sockets and all, runs with and without a town, one after the other and several times over. A
timer of 10 ms in its event loop tells how late the loop wakes, a viewer of the live stream how often the page is told.
The journal is the real one on this disk.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import resource
import statistics
import tempfile
import threading
import time
import urllib.request
from array import array
from pathlib import Path

from bench.machine import child, describe, quantile, resident_mb, spread
from bench.timed import timer
from scowl_edge.assembly import assemble
from scowl_edge.cli.demo import play, prepared
from scowl_edge.cli.run import on_fastest_loop
from scowl_edge.compiled import COMPILED
from scowl_edge.control import Core
from scowl_edge.inbox import Inbox
from scowl_edge.journal.file import recover_file
from scowl_edge.journal.store import SqliteJournal
from scowl_edge.turn import Clocks, Turn, resume

FACTOR = 1.5
"""The town may make the loop's p99 and the page's interval longer by this at most."""
SETTLE_S = 6.0
STATE = (
    "{{site: {{id: state}}, region: {{mode: auto}}, populations: {{state: {{consumers: {}, trees: {}, feeders: 62}}}}}}"
)


def serve(population: int, result: Path) -> None:
    """The demo with a timer in its loop, until SIGTERM; what the timer noted goes to a file as doubles."""
    notes: array[float] = array("d")

    async def timed(assembly: object) -> None:
        beside = asyncio.create_task(timer(notes))
        try:
            await play(assembly, "127.0.0.1:0", 1)  # type: ignore[arg-type]
        finally:
            beside.cancel()

    with tempfile.TemporaryDirectory() as directory:
        on_fastest_loop(timed(prepared(Path(directory), population)))
    with result.open("wb") as out:
        notes.tofile(out)


class Viewer(threading.Thread):
    """Notes when the live stream brings something."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.times: list[float] = []

    def run(self) -> None:
        """Reads until the daemon ends."""
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/live", timeout=30) as stream:
                for line in stream:
                    if line.startswith(b"data:"):
                        self.times.append(time.monotonic())
        except OSError:
            return


def one(population: int, seconds: float) -> dict[str, float]:
    """One run of the demo: figures over so many seconds after it has settled."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "late")
        began = time.monotonic()
        with child("-m", "bench.town", "--serve", str(population), "--result", str(result)) as daemon:
            assert daemon.stdout is not None
            url = ""
            for line in daemon.stdout:
                if line.startswith("http://"):
                    url = line.strip()
                    break
            if not url:
                raise SystemExit("the demo did not start; run `scowl-edge demo` to see why")
            ready_s = time.monotonic() - began
            viewer = Viewer(url)
            viewer.start()
            time.sleep(SETTLE_S)
            since = time.monotonic()
            time.sleep(seconds)
            until = time.monotonic()
            memory = resident_mb(daemon.pid)
            daemon.terminate()
            daemon.wait(30)
        notes: array[float] = array("d")
        notes.frombytes(result.read_bytes())
    late = [notes[i + 1] for i in range(0, len(notes), 3) if since <= notes[i] <= until]
    told = [t for t in viewer.times if since <= t <= until]
    gaps = [b - a for a, b in itertools.pairwise(told)]
    return {
        "ready_s": ready_s,
        "memory_mb": memory,
        "p99_ms": quantile(late, 0.99) * 1e3,
        "worst_ms": max(late, default=0.0) * 1e3,
        "page_s": statistics.median(gaps) if gaps else 0.0,
        "page_p99_s": quantile(gaps, 0.99),
    }


def beside_devices(population: int, seconds: float, pairs: int) -> str:
    """The demo with a town and without."""
    runs = {0: [], population: []}  # type: dict[int, list[dict[str, float]]]
    for _ in range(pairs):
        for size, figures in runs.items():
            figures.append(one(size, seconds))
    lines = [
        f"The demo beside a town of {population:,}, {pairs} interleaved pairs of {seconds:g} s",
        f"| | without | with {population:,} | ratio of medians (at most {FACTOR:g}) |",
        "|---|---|---|---|",
    ]
    for key, what, digits in (
        ("p99_ms", "loop wakes late, p99, ms", 2),
        ("worst_ms", "at worst, ms", 1),
        ("page_s", "the page is told every, s", 3),
        ("page_p99_s", "p99, s", 3),
        ("ready_s", "start to ready, s", 1),
        ("memory_mb", "resident memory, MB", 0),
    ):
        without, beside = ([run[key] for run in runs[size]] for size in (0, population))
        ratio = statistics.median(beside) / max(1e-9, statistics.median(without))
        lines.append(f"| {what} | {spread(without, digits)} | {spread(beside, digits)} | {ratio:.2f} |")
    return "\n".join(lines)


class Driven:
    """A tracker of a state on the real journal, stepped by hand."""

    def __init__(self, consumers: int, trees: int, path: Path) -> None:
        text = STATE.format(consumers, trees)
        assembly = assemble(text, "state.yaml")
        began = time.perf_counter()
        self.core = Core(assembly.site)
        self.built_s = time.perf_counter() - began
        self.journal = SqliteJournal(path, keep_ms=0, limit_bytes=0, utc_ms=lambda: None)
        self.now_ms = 1_000_000
        inbox = Inbox(0, [], [], [], lambda: None)
        self.turn: Turn = resume(
            recover_file(path), self.core, lambda _: Core(assembly.site), inbox, self.journal, self._clocks(),
            version="bench", seed=1, text=text, fingerprint=assembly.fingerprint, snapshot_every=1 << 30,
        )  # fmt: skip
        self.step_s: list[float] = []
        self.journal_s: list[float] = []
        self.bytes: dict[str, int] = {}
        self._step, self._append = self.core.step, self.journal.append
        vars(self.core)["step"] = self._timed_step
        vars(self.journal)["append"] = self._timed_append

    def _clocks(self) -> Clocks:
        return Clocks(mono_ms=self.now_ms, utc_ms=1_900_000_000_000 + self.now_ms, utc_ok=True)

    def _timed_step(self, inputs: object) -> object:
        began = time.perf_counter()
        plan = self._step(inputs)  # type: ignore[arg-type]
        self.step_s.append(time.perf_counter() - began)
        return plan

    def _timed_append(self, record: object) -> None:
        began = time.perf_counter()
        self._append(record)  # type: ignore[arg-type]
        self.journal_s.append(time.perf_counter() - began)
        kind, size = record.kind, len(record.payload)  # type: ignore[attr-defined]
        self.bytes[kind] = self.bytes.get(kind, 0) + size

    async def live(self, steps: int) -> tuple[list[float], list[float]]:
        """(turn, of it the journal) of so many turns, s: records packed and appended, and the disk waited for."""
        turns, shares = [], []
        for _ in range(steps):
            self.now_ms += 1_000
            before, began = sum(self.journal_s), time.perf_counter()
            self.turn.decide(self._clocks())
            waited = time.perf_counter()
            durable = await self.journal.barrier(2_000)
            ended = time.perf_counter()
            if self.turn.failure:
                raise SystemExit(f"a step raised {self.turn.failure}")
            self.turn.settled(durable)
            turns.append(ended - began)
            shares.append(sum(self.journal_s) - before + ended - waited)
        return turns, shares


def journal_of_a_state(consumers: int, trees: int, steps: int) -> str:
    """Steps with the journal, its bytes a day, snapshot to the disk and back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.db")

        async def lived() -> tuple[Driven, list[float], list[float], float, int, str]:
            driven = Driven(consumers, trees, path)
            await driven.live(3)
            driven.bytes.clear()
            driven.step_s.clear()
            turns, shares = await driven.live(steps)
            began = time.perf_counter()
            driven.turn.snapshot()
            await driven.journal.barrier(30_000)
            snapshot_s = time.perf_counter() - began
            size = driven.bytes["snapshot"]
            digest = driven.core.populations[0].digest()
            driven.journal.close()
            return driven, turns, shares, snapshot_s, size, digest

        driven, turns, shares, snapshot_s, size, digest = asyncio.run(lived())
        again = Core(driven.core.site)
        began = time.perf_counter()
        recovery = recover_file(path)
        assert recovery.snapshot is not None
        again.restore(recovery.snapshot.payload[16:])
        restore_s = time.perf_counter() - began
        if again.populations[0].digest() != digest:
            raise SystemExit("what was restored is not what was stored")
        day = sum(driven.bytes.get(kind, 0) for kind in ("inputs", "plan")) / steps * 86_400
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    share = statistics.median(shares) / statistics.median(turns) * 100
    return "\n".join(
        [
            f"A state of {consumers:,} x {trees} in the core, {steps} steps of 1 s, on the real journal",
            "| | |",
            "|---|---|",
            f"| drawn and laid out, s | {driven.built_s:.1f} |",
            f"| core step, ms | {spread([s * 1e3 for s in driven.step_s], 2)} |",
            f"| p99 | {quantile(driven.step_s, 0.99) * 1e3:.2f} |",
            f"| whole turn with the disk, ms | {spread([s * 1e3 for s in turns], 2)} |",
            f"| of it the journal | {share:.0f} % |",
            f"| bytes a day at a step a second, before packing | {day / 1e6:.0f} MB, snapshots apart |",
            f"| a snapshot | {size / 1e6:.0f} MB, on the disk after {snapshot_s:.2f} s (must 1, aim 0.3) |",
            f"| read and restored | {restore_s:.2f} s (must 1, aim 0.3), the same digest |",
            f"| peak memory of the process, MB | {peak:.0f} |",
        ]
    )


def small_box(pairs: int) -> str:
    """A daemon with 100 consumers, with compiled kernels and without, and with none at all."""
    lines = [
        "A small box: the demo's devices and 100 simulated consumers",
        "| | start to ready, s | resident memory, MB |",
        "|---|---|---|",
    ]
    for what, population, kernels in (
        ("devices alone", 0, "plain"),
        ("100 consumers, uncompiled (without the extra `scale`)", 100, "plain"),
        ("100 consumers, compiled, kernels kept from before", 100, ""),
    ):
        if not kernels and not COMPILED:
            continue
        os.environ["SCOWL_KERNELS"] = kernels
        figures = [one(population, 2.0) for _ in range(pairs)]
        lines.append(
            f"| {what} | {spread([f['ready_s'] for f in figures])} | {spread([f['memory_mb'] for f in figures], 0)} |"
        )
    os.environ.pop("SCOWL_KERNELS", None)
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Reads the options and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.town", description=__doc__)
    parser.add_argument("--population", type=int, default=1_000_000)
    parser.add_argument("--state", type=int, default=8_900_000, help="consumers of the state")
    parser.add_argument("--trees", type=int, default=342)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of one half of a pair")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve is not None:
        serve(options.serve, options.result)
        return
    print(describe())
    print(journal_of_a_state(options.state, options.trees, options.steps))
    print()
    print(beside_devices(options.population, options.seconds, options.pairs))
    print()
    print(small_box(min(options.pairs, 3)))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
