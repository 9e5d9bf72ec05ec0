"""`scowl-edge export`: tables of a journal that a region in virtual time left, and of a telemetry file beside it."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from scowl_edge.assembly import Assembly, load
from scowl_edge.cli.app import main
from scowl_edge.contracts import Record
from scowl_edge.journal.records import BOOT, INPUTS, PLAN, read_inputs, read_plan
from scowl_edge.journal.store import SqliteJournal
from scowl_edge.model.effect import Write
from scowl_edge.model.event import Outcome
from scowl_edge.telemetry import TelemetryStore
from scowl_edge.telemetry.buckets import Bucket
from simulators.serving import settings_of
from simulators.world import World, WorldSettings

EXAMPLE = Path(__file__).parents[3] / "examples" / "demo.yaml"
SPAN = 10_000
Export = Callable[..., tuple[int, list[dict[str, str]], str]]


@pytest.fixture(scope="module")
def assembly() -> Assembly:
    return load(EXAMPLE)


@pytest.fixture(scope="module")
def world(assembly: Assembly) -> World:
    """A minute of the demo, with a lull that makes it decide."""
    world = World(assembly, settings_of(assembly), WorldSettings(snapshot_every=40))
    world.plant.set_weather(wind=0.9, sun=0.6)
    world.run_for(20_000)
    world.plant.set_weather(wind=0.05, sun=0.05)
    world.run_for(40_000)
    return world


@pytest.fixture(scope="module")
def records(world: World) -> list[Record]:
    return [*world.journal.durable, *world.journal.volatile]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> Path:
    path = tmp_path_factory.mktemp("journal") / "site.db"
    kept = SqliteJournal(path)
    for record in records:
        kept.append(record)
    assert kept.close()
    return path


@pytest.fixture
def journal(tmp_path: Path, written: Path) -> Path:
    return Path(shutil.copy(written, tmp_path))


@pytest.fixture
def telemetry(tmp_path: Path, assembly: Assembly, world: World) -> Path:
    """Twelve buckets of every point but one, and the region's events, where a daemon would leave them."""
    path = tmp_path / "site.telemetry.db"
    points = [(p.device, p.name) for p in assembly.points]
    begin = world.core.view().utc_ms // SPAN * SPAN
    store = TelemetryStore(path, points, keep_ms=86_400_000, every_ms=SPAN, limit_bytes=50_000_000, utc_ms=lambda: None)
    for i in range(12):
        mean = np.arange(len(points), dtype=np.float32) + i
        mean[3] = np.nan
        store.put(Bucket(utc_ms=begin + i * SPAN, every_ms=SPAN, low=mean - 1, mean=mean, high=mean + 1))
    store.put(tuple(reversed(world.core.view().events)))
    assert store.close()
    return path


@pytest.fixture
def export() -> Export:
    def call(*arguments: object) -> tuple[int, list[dict[str, str]], str]:
        done = CliRunner().invoke(main, ["export", *map(str, arguments)])
        rows = list(csv.DictReader(io.StringIO(done.stdout))) if done.exit_code == 0 else []
        return done.exit_code, rows, done.stderr

    return call


def test_commands_come_with_what_became_of_them(
    export: Export, journal: Path, records: list[Record], assembly: Assembly
) -> None:
    status, rows, _ = export(journal, "--what", "commands")
    assert status == 0
    writes = [e.command for r in records if r.kind == PLAN for e in read_plan(r).effects if isinstance(e, Write)]
    decided = [row for row in rows if row["state"] == "decided"]
    assert len(writes) > 3 and [row["command"] for row in decided] == [str(c.id) for c in writes]
    for row, command in zip(decided, writes, strict=True):
        binding = assembly.actuators[command.actuator]
        assert row["device"] == assembly.points[binding.point].device
        assert (row["verb"], row["unit"]) == (command.verb.value, assembly.points[binding.point].unit)
        assert float(row["value"]) == command.value / binding.gain
        assert row["why"] == str(command.reason) and row["safety"] in ("true", "false")
        assert datetime.fromisoformat(row["time_utc"]).tzinfo is not None
    told = [e for r in records if r.kind == INPUTS for e in read_inputs(r).events if isinstance(e, Outcome)]
    assert Counter((r["command"], r["state"]) for r in rows if r["state"] != "decided") == Counter(
        (str(o.command), o.kind.value) for o in told
    )


def test_inputs_name_device_signal_and_unit(
    export: Export, journal: Path, records: list[Record], assembly: Assembly
) -> None:
    status, rows, _ = export(journal, "--what", "inputs")
    seen = [read_inputs(r) for r in records if r.kind == INPUTS]
    assert status == 0 and len(rows) == sum(len(one.signals) for one in seen)
    first = next(one for one in seen if len(one.signals))
    signal, binding = assembly.site.signals[first.signals[0]], assembly.signals[first.signals[0]]
    assert rows[0]["device"] == assembly.site.devices[signal.device].name
    assert (rows[0]["signal"], rows[0]["unit"]) == (signal.name, assembly.points[binding.point].unit)
    assert float(rows[0]["value"]) == int(first.value[0]) / binding.gain
    assert int(rows[0]["age_ms"]) == first.tick.mono_ms - int(first.received_ms[0])
    assert {row["quality"] for row in rows} <= {"good", "uncertain", "bad"}
    assert all((row["value"] == "") == (row["quality"] == "bad") for row in rows)


def test_decisions_and_events_are_found_by_deciding_again(export: Export, journal: Path, world: World) -> None:
    status, rows, errors = export(journal, "--what", "decisions")
    assert status == 0 and "not covered" not in errors
    held = world.core.memory.decisions
    names = [d.name for d in world.core.site.devices]
    assert len(rows) >= len(held) > 0
    assert [(int(r["step"]), r["rung"], r["device"], int(r["amount_w"]), r["why"]) for r in rows[-len(held) :]] == [
        (d.step, d.rung, names[d.device] if d.device >= 0 else "", d.amount_w, str(d.reason)) for d in held
    ]
    status, rows, _ = export(journal, "--what", "events")
    assert status == 0
    assert [int(r["seq"]) for r in rows] == list(range(1, world.core.memory.situation.events + 1))
    newest = world.core.memory.events[-1]
    assert (rows[-1]["kind"], rows[-1]["source"], rows[-1]["text"]) == (newest.kind, newest.source, str(newest.text))


def test_only_a_part_of_the_time(export: Export, journal: Path) -> None:
    _, everything, _ = export(journal, "--what", "inputs")
    times = sorted({r["time_utc"] for r in everything})
    begin, end = times[10], times[30]
    for what in ("inputs", "commands", "events"):
        key = "receive_time_utc" if what == "events" else "time_utc"
        _, everything, _ = export(journal, "--what", what)
        status, rows, _ = export(journal, "--what", what, "--from", begin, "--to", end)
        assert status == 0 and rows == [r for r in everything if begin <= r[key] < end]
    assert export(journal, "--what", "inputs", "--from", times[-1][:10], "--to", "2199-01-01")[0] == 0


def test_trends_of_the_file_beside_the_journal(
    export: Export, journal: Path, telemetry: Path, assembly: Assembly
) -> None:
    status, rows, _ = export(journal, "--what", "trends")
    assert status == 0
    assert len(rows) == 12 * (len(assembly.points) - 1)
    point = assembly.points[70]
    one = [r for r in rows if (r["device"], r["point"]) == (point.device, point.name)]
    assert [(float(r["low"]), float(r["mean"]), float(r["high"])) for r in one] == [
        (69.0 + i, 70.0 + i, 71.0 + i) for i in range(12)
    ]
    assert {r["unit"] for r in one} == {point.unit} and {r["span_ms"] for r in one} == {str(SPAN)}
    # The file alone knows no units.
    status, alone, _ = export(telemetry, "--what", "trends", "--from", one[6]["time_utc"])
    assert status == 0 and len(alone) == len(rows) // 2 and {r["unit"] for r in alone} == {""}


def test_events_of_the_telemetry_are_those_of_the_journal(export: Export, journal: Path, telemetry: Path) -> None:
    _, decided, _ = export(journal, "--what", "events")
    for arguments in ((telemetry,), (journal, "--telemetry", telemetry)):
        status, kept, _ = export(*arguments, "--what", "events")
        assert status == 0 and kept == decided[-len(kept) :] and len(kept) > 3


def test_the_journal_of_a_running_daemon(export: Export, tmp_path: Path, records: list[Record]) -> None:
    path = tmp_path / "live.db"
    running = SqliteJournal(path)
    half = len(records) // 2
    for record in records[:half]:
        running.append(record)
    assert running.flush(5.0)
    status, rows, _ = export(path, "--what", "inputs")
    assert status == 0 and rows
    for record in records[half:]:
        running.append(record)
    assert running.flush(5.0)
    assert len(export(path, "--what", "inputs")[1]) > len(rows)
    assert running.close()


def test_steps_that_cannot_be_decided_again_are_said(export: Export, tmp_path: Path, records: list[Record]) -> None:
    path = tmp_path / "hole.db"
    kept = SqliteJournal(path)
    for record in records:
        if record.step != 50:
            kept.append(record)
    assert kept.close()
    status, rows, errors = export(path, "--what", "events")
    assert status == 0 and "not covered: " in errors and rows


def test_parquet_holds_the_same(export: Export, journal: Path, telemetry: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install pyarrow")
    for what in ("commands", "events", "trends"):
        _, rows, _ = export(journal, "--what", what)
        target = tmp_path / f"{what}.parquet"
        status, _, errors = export(journal, "--what", what, "--format", "parquet", "-o", target)
        assert status == 0 and f"{target}: {len(rows)} rows" in errors
        table = parquet.read_table(target)
        assert table.column_names == list(rows[0]) and table.num_rows == len(rows)
        for name in table.column_names:
            column = table.column(name)
            if str(column.type) == "timestamp[ms, tz=UTC]":
                assert column[0].as_py() == datetime.fromisoformat(rows[0][name])
            elif str(column.type) in ("int64", "double"):
                expected = [float(r[name]) if r[name] else None for r in rows]
                assert column.to_pylist() == expected
            elif str(column.type) == "bool":
                assert column.to_pylist() == [r[name] == "true" for r in rows]
            else:
                assert column.to_pylist() == [r[name] for r in rows]


def test_without_pyarrow_it_says_what_to_install(
    export: Export, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    status, _, errors = export(journal, "--what", "inputs", "--format", "parquet", "-o", tmp_path / "x.parquet")
    assert status == 2 and "pip install pyarrow" in errors
    assert not list(tmp_path.glob("x.parquet*"))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["{journal}", "--what", "weather"], "--what 'weather' is not known; choose one of commands, decisions"),
        (["{journal}", "--what", "inputs", "--format", "xlsx"], "--format 'xlsx' is not known; choose one of csv"),
        (["{journal}", "--what", "inputs", "--from", "soon"], "--from 'soon' is no time; write e.g. 2026-01-31"),
        (["{journal}", "--what", "inputs", "--from", "2026-01-02", "--to", "2026-01-01"], "is not before --to"),
        (["{journal}", "--what", "trends"], "there is no file {folder}/site.telemetry.db; name it with --telemetry"),
        (["{journal}", "--what", "inputs", "-o", "{folder}/none/x.csv"], "none/x.csv: No such file or directory"),
        (["{journal}", "--what", "inputs", "-o", "{journal}"], "is the file that is read; name another one"),
        (["{journal}", "--what", "inputs", "--format", "parquet"], "name a file with -o FILE"),
        (["{folder}/none.db", "--what", "inputs"], "there is no such file"),
        (["{text}", "--what", "inputs"], "file is not a database"),
        (["{text}", "--what", "inputs", "--telemetry", "{text}"], "file is not a database"),
        (["{journal}", "--what", "trends", "--telemetry", "{text}"], "is it damaged, or of another version"),
    ],
)
def test_bad_input_is_told(export: Export, journal: Path, arguments: list[str], text: str) -> None:
    places = {"journal": str(journal), "folder": str(journal.parent), "text": str(journal.parent / "notes.txt")}
    Path(places["text"]).write_text("just words\n" * 500)
    before = journal.read_bytes()
    status, _, errors = export(*(a.format(**places) for a in arguments))
    assert status == 2 and text.format(**places) in errors, errors
    assert "Traceback" not in errors
    assert journal.read_bytes() == before


def test_inputs_are_not_in_the_telemetry(export: Export, telemetry: Path) -> None:
    status, _, errors = export(telemetry, "--what", "inputs")
    assert status == 2 and "inputs are in the journal" in errors


def test_a_boot_that_is_missing_is_told(export: Export, tmp_path: Path, records: list[Record]) -> None:
    path = tmp_path / "cut.db"
    kept = SqliteJournal(path)
    for record in records:
        if record.kind != BOOT:
            kept.append(record)
    assert kept.close()
    status, _, errors = export(path, "--what", "inputs")
    assert status == 2 and "the record of boot 1 is missing" in errors
