"""`scowl-edge replay` on the real core: what it prints and how it exits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from scowl_edge.assembly import assemble
from scowl_edge.cli.replay import replay
from scowl_edge.contracts import Record
from scowl_edge.control.core import Core
from scowl_edge.journal.records import (
    BootRecord,
    boot_record,
    gap_record,
    inputs_record,
    plan_record,
    read_inputs,
    read_snapshot,
    snapshot_record,
)
from scowl_edge.journal.store import SqliteJournal
from scowl_edge.model.effect import Inputs
from scowl_edge.model.event import Booted, JournalGap
from scowl_edge.model.tick import Tick

CONFIG = """
site: {id: cabinet-17}
links:
  plc: {type: modbus-tcp, host: 127.0.0.1, port: 5020}
region: {mode: auto}
buses: {main: {kind: synchronous}}
devices:
  wind-1:
    link: plc
    unit: 3
    points:
      power: {table: holding, address: 100, type: float32, unit: kW, scale: -1, access: r}
      limit: {table: holding, address: 110, type: uint16, unit: "%", access: rw}
    role: {kind: generator, dispatch: stochastic, rated: 2 MW, bus: main, signals: {power: power, limit: limit}}
  hall-a:
    link: plc
    unit: 4
    points:
      power: {table: holding, address: 100, type: float32, unit: kW, access: r}
    role: {kind: consumer, rated: 60 kW, class: 2, bus: main, signals: {power: power}}
"""


def decided(steps: int, snapshot_every: int = 10) -> list[Record]:
    """The records of a first boot of the real core."""
    core = Core(assemble(CONFIG, "test.yaml").site)
    count = len(core.site.signals)
    first = BootRecord(
        version="1", seed=1, boot=1, mono_ms=0, utc_ms=0, utc_ok=False, config=CONFIG, fingerprint=core.site.fingerprint
    )
    out = [boot_record(first, 0)]
    for step in range(1, steps + 1):
        at_ms = step * 1_000
        booted = Booted(boot=1, version="1", mono_base_ms=0, rebased_by_utc=False)
        inputs = Inputs(
            tick=Tick(step=step, mono_ms=at_ms, utc_ms=at_ms, utc_ok=False, journal_ok=True, move_budget=4),
            signals=np.arange(count, dtype=np.int32),
            value=(np.arange(count, dtype=np.int64) * 1_000 + step * 137) % 50_000,
            quality=np.zeros(count, np.uint8),
            received_ms=np.full(count, at_ms, np.int64),
            events=(booted,) if step == 1 else (),
        )
        out += [inputs_record(1, inputs), plan_record(1, core.step(inputs))]
        if step % snapshot_every == 0:
            out.append(snapshot_record(1, step, core.snapshot()))
    return out


def write(path: Path, records: list[Record]) -> Path:
    journal = SqliteJournal(path)
    for record in records:
        journal.append(record)
    assert journal.close()
    return path


@pytest.fixture
def run() -> Callable[[Path], tuple[int, str]]:
    app = typer.Typer()
    app.command()(replay)

    def call(path: Path) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(path)])
        return result.exit_code, result.output

    return call


def test_identical_decisions_exit_0(tmp_path: Path, run: Callable[[Path], tuple[int, str]]) -> None:
    status, text = run(write(tmp_path / "j.db", decided(25)))
    assert status == 0, text
    assert text == (
        "boot 1: steps 1 to 25, 3 segments, up to end of the journal: identical\nidentical: 25 steps in 3 segments\n"
    )


def test_a_differing_step_exits_1_and_is_named(tmp_path: Path, run: Callable[[Path], tuple[int, str]]) -> None:
    records = decided(25)
    # One watt more in an input than when it was decided.
    i = next(i for i, r in enumerate(records) if r.kind == "inputs" and r.step == 14)
    seen = read_inputs(records[i])
    records[i] = inputs_record(1, replace(seen, value=seen.value + 1))
    status, text = run(write(tmp_path / "j.db", records))
    assert status == 1, text
    assert "different: step 14 (boot 1): " in text
    assert "3 segments, up to end of the journal: 1 different" in text


def test_steps_that_no_snapshot_covers_are_said(tmp_path: Path, run: Callable[[Path], tuple[int, str]]) -> None:
    records = [r for r in decided(25) if r.step not in (13, 14)]
    i = next(i for i, r in enumerate(records) if r.step == 15)
    records.insert(i, gap_record(1, JournalGap(first_step=13, last_step=14, why="disk full")))
    status, text = run(write(tmp_path / "j.db", records))
    assert status == 0, text
    assert "boot 1: steps 1 to 12, 2 segments, up to gap of steps 13 to 14: disk full: identical" in text
    assert "boot 1: steps 15 to 20, 1 segment, up to snapshot: not covered" in text
    assert "not covered: 6 steps" in text


def test_what_is_no_journal_exits_2(tmp_path: Path, run: Callable[[Path], tuple[int, str]]) -> None:
    assert run(tmp_path / "none.db")[0] == 2
    (tmp_path / "text.db").write_text("site: {id: cabinet-17}\n" * 300)
    status, text = run(tmp_path / "text.db")
    assert (status, "not a database" in text) == (2, True)
    status, text = run(write(tmp_path / "empty.db", []))
    assert (status, "holds no step" in text) == (2, True)


def test_the_real_core_restores_what_it_wrote() -> None:
    snapshot = next(r for r in decided(10) if r.kind == "snapshot")
    core = Core(assemble(CONFIG, "test.yaml").site)
    core.restore(read_snapshot(snapshot))
    assert core.snapshot() == read_snapshot(snapshot)
