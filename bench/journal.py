"""What the journal costs: bytes a day in the file, and CPU a step to get them there.

Two regions in virtual time, each written by the real `SqliteJournal`: the demo, and one of 500 devices of which both
bound signals move at every reading. Beside each stands the plain way, in which every record is compressed by itself as
JSON: that is what a journal cost before its records became differences.
"""

from __future__ import annotations

import argparse
import itertools
import random
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from bench.machine import describe, on_core, spread
from scowl_edge.assembly import load
from scowl_edge.contracts import Record
from scowl_edge.journal.file import read_records
from scowl_edge.journal.packing import Packer
from scowl_edge.journal.records import INPUTS, SNAPSHOT, inputs_record, plan_record, read_inputs, snapshot_record
from scowl_edge.journal.store import SqliteJournal
from scowl_edge.model.codec import digest, encode
from scowl_edge.model.effect import Inputs, Plan
from scowl_edge.model.tick import Tick
from simulators.serving import settings_of
from simulators.world import World, WorldSettings

DAY_S = 86_400
SNAPSHOT_EVERY = 300
"""Steps, as in the daemon."""
SECTIONS = ("situation", "image", "recent", "region", "book", "ledger", "people", "alarms", "events", "decisions")
CALM = frozenset({"book", "ledger", "people", "alarms", "events", "decisions"})
"""Sections that do not change while nothing happens."""


def of_demo(file: Path, minutes: float) -> list[Record]:
    """The records of a region in virtual time, through calm, shortage and return."""
    assembly = load(file)
    world = World(assembly, settings_of(assembly), WorldSettings(snapshot_every=SNAPSHOT_EVERY))
    kept: list[Record] = []
    append = world.journal.append

    def note(record: Record) -> None:
        kept.append(record)
        append(record)

    vars(world.journal)["append"] = note
    phases = ((0.8, 0.6, 1.0), (0.1, 0.1, 1.0), (0.1, 0.1, 1.4), (0.8, 0.6, 1.0))
    for wind, sun, load_factor in phases:
        world.plant.set_weather(wind=wind, sun=sun)
        world.plant.set_load(load_factor)
        world.run_for(round(minutes * 60_000 / len(phases)))
    return kept


def of_fleet(devices: int, minutes: float) -> Iterator[Record]:
    """Two signals a device, each read once a second with some jitter; every value moves each time."""
    draw = np.random.default_rng(1)
    count = 2 * devices
    value = draw.integers(500, 8_000, count)
    received = np.zeros(count, np.int64)
    yield snapshot_record(1, 0, b"{}")
    for step in range(1, round(minutes * 60) + 1):
        value += draw.integers(-60, 61, count)
        received = (step - 1) * 1_000 + np.repeat(
            np.arange(devices) * 1_000 // devices + draw.integers(0, 3, devices), 2
        )
        tick = Tick(
            step=step, mono_ms=step * 1_000, utc_ms=1_767_268_800_000 + step * 1_000, utc_ok=True, journal_ok=True,
            move_budget=4,
        )  # fmt: skip
        yield inputs_record(
            1,
            Inputs(tick, np.arange(count, dtype=np.int32), value.copy(), np.zeros(count, np.uint8), received, ()),
        )
        digests = tuple((name, digest(f"{name}{0 if name in CALM else step}".encode())) for name in SECTIONS)
        yield plan_record(1, Plan(step, (), step * 1_000 + 1_000, digests, False))
        if step % SNAPSHOT_EVERY == 0:
            yield snapshot_record(1, step, b"{}")


def as_before(record: Record) -> bytes:
    """A record as JSON, compressed by itself."""
    payload = encode(read_inputs(record)) if record.kind == INPUTS else record.payload
    return zlib.compress(payload, 1) if len(payload) > 128 else payload


def stored(records: Iterable[Record], path: Path) -> tuple[int, float]:
    """(bytes of the file when all is written, a commit a step; CPU seconds of this process for it)."""
    journal = SqliteJournal(path)
    before = time.process_time()
    for record in records:
        journal.append(record)
        if record.kind not in (INPUTS, SNAPSHOT) and not journal.flush(10.0):
            raise SystemExit(f"the disk does not take it: {journal.last_error}")
    took = time.process_time() - before
    journal.close()
    return path.stat().st_size, took


def micros_a_step(work: Callable[[], object], steps: int, runs: int) -> list[float]:
    """CPU of a step in each run."""
    out = []
    for _ in range(runs):
        before = time.process_time()
        work()
        out.append((time.process_time() - before) / steps * 1e6)
    return out


def table(name: str, records: list[Record], seconds: float, runs: int) -> list[str]:
    """One region's figures."""
    steps = sum(1 for r in records if r.kind == INPUTS)
    a_day = DAY_S / seconds / 1e6
    seen = [read_inputs(r) for r in records if r.kind == INPUTS]
    plain = [(r.kind, len(as_before(r))) for r in records]
    # A row's own bytes in the table: numbers of boot and step, kind, time, lengths.
    row = 36

    def packed() -> list[tuple[str, int]]:
        packer = Packer()
        return [(r.kind, len(packer.pack(r)[1])) for r in records]

    sizes = packed()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.db")
        size, cpu = stored(records, path)
        if list(read_records(path)) != records:
            raise SystemExit("what was read back is not what was written")
    texts = [encode(one) for one in seen]
    encoding = micros_a_step(lambda: [encode(one) for one in seen], steps, runs)
    squeezing = micros_a_step(lambda: [zlib.compress(t, 1) for t in texts], steps, runs)
    joining = micros_a_step(lambda: [inputs_record(1, one) for one in seen], steps, runs)
    packing = micros_a_step(packed, steps, runs)
    lines = [f"{name}: {steps} steps in {seconds:.0f} s", "| | plain, each by itself | as stored |", "|---|---|---|"]
    for kind in sorted({k for k, _ in sizes}):
        before, after = (sum(n for k, n in some if k == kind) * a_day for some in (plain, sizes))
        lines.append(f"| {kind}, MB a day | {before:.1f} | {after:.1f} |")
    total = sum(n + row for _, n in plain) * a_day
    lines += [
        f"| with rows, MB a day | {total:.1f} | {size * a_day:.1f} (the file, measured) |",
        f"| CPU a step: bytes of the inputs, us | {spread(encoding)} | {spread(joining)} |",
        f"| CPU a step: making it small, us | {spread(squeezing)} and that of plans | {spread(packing)} |",
        f"| CPU a step: all of it, a commit a step, us | | {cpu / steps * 1e6:.0f} |",
    ]
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, writes the journals, prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.journal", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=Path(__file__).parents[1] / "examples" / "demo.yaml")
    parser.add_argument("--minutes", type=float, default=10.0, help="virtual time")
    parser.add_argument("--devices", type=int, default=500, help="of the second region")
    parser.add_argument("--runs", type=int, default=9, help="of each figure of CPU")
    options = parser.parse_args(arguments)
    on_core(0)
    random.seed(1)
    print(describe())
    seconds = options.minutes * 60
    demo = of_demo(options.file, options.minutes)
    fleet = list(of_fleet(options.devices, options.minutes))
    tables = (
        table(options.file.name, demo, seconds, options.runs),
        table(f"{options.devices} devices", fleet, seconds, options.runs),
    )
    print("\n".join(itertools.chain(tables[0], [""], tables[1])))


if __name__ == "__main__":
    main()
