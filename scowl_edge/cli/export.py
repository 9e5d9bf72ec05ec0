"""`scowl-edge export FILE --what ...`: tables of a journal or of the telemetry, as CSV or Parquet."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from scowl_edge.cli.export_files import ExportError, save
from scowl_edge.journal.file import read_records, steps_of
from scowl_edge.model.errors import ScowlError
from scowl_edge.telemetry.file import APPLICATION_ID, NotTelemetry

if TYPE_CHECKING:
    from scowl_edge.cli.export_tables import Row, Span

WHATS = ("commands", "decisions", "inputs", "events", "trends")
FORMATS = ("csv", "parquet")
WRONG = 2
_TELL_EVERY_S = 0.5


def export(
    file: Path, *, what: str, form: str, output: Path | None, begin: str | None, end: str | None, telemetry: Path | None
) -> None:
    """Writes one table. Exit status 2 where that cannot be done."""
    try:
        counted, notes = _export(file, what, form, output, begin, end, telemetry)
    except BrokenPipeError:
        # Who reads has enough. What is still buffered must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except ScowlError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG) from error
    for note in notes:
        typer.echo(note, err=True)
    if output is not None:
        typer.echo(f"{output}: {counted} rows", err=True)


def _export(
    file: Path, what: str, form: str, output: Path | None, begin: str | None, end: str | None, telemetry: Path | None
) -> tuple[int, list[str]]:
    """(rows, what else is to be said).

    Raises:
        ScowlError: What was asked for is wrong, or a file cannot be read or written.
    """
    for given, known, option in ((what, WHATS, "--what"), (form, FORMATS, "--format")):
        if given not in known:
            raise ExportError(f"{option} {given!r} is not known; choose one of {', '.join(known)}")
    # Imported here: a mistake above is told at once.
    from scowl_edge.cli import export_tables as tables

    span = tables.Span(_time("--from", begin), _time("--to", end))
    if span.begin >= span.end:
        raise ExportError(f"--from {begin} is not before --to {end}")
    if not file.is_file():
        raise ExportError(f"export {file}: there is no such file; name the journal or the telemetry's file")
    if output is not None and any(
        output.exists() and output.samefile(f) for f in (file, telemetry) if f and f.exists()
    ):
        raise ExportError(f"-o {output} is the file that is read; name another one")
    progress = tables.Progress(_teller(file) if not _is_telemetry(file) and what != "trends" else lambda _: None)
    if what == "trends" or telemetry is not None or _is_telemetry(file):
        rows = _guarded(_of_telemetry(file, what, telemetry, span), file)
    else:
        rows = tables.FROM_JOURNAL[what](read_records(file), file, span, progress)
    count = save(rows, tables.COLUMNS[what], output, parquet=form == "parquet")
    if sys.stderr.isatty():
        typer.echo("\r\x1b[K", nl=False, err=True)
    notes = []
    if progress.uncovered:
        notes.append(f"not covered: {progress.uncovered} steps, since no snapshot tells the state before them")
    return count, notes


def _of_telemetry(file: Path, what: str, telemetry: Path | None, span: Span) -> Iterable[Row]:
    from scowl_edge.cli import export_tables as tables

    units: dict[tuple[str, str], str] = {}
    if _is_telemetry(file):
        found: Path = file
    else:
        units, configured = tables.units_of(read_records(file), file)
        found = telemetry or _beside(file, configured)
    if not found.is_file():
        raise ExportError(f"export {what}: there is no file {found}; name it with --telemetry FILE")
    if what == "trends":
        return tables.trends(found, units, span)
    if what == "events":
        return tables.kept_events(found, span)
    raise ExportError(f"{found} holds trends and events; {what} are in the journal: name that one")


def _beside(journal: Path, configured: Path | None) -> Path:
    """The telemetry's file of a journal: where its configuration says, or beside it, where it was copied to."""
    beside = journal.with_name(f"{journal.stem}.telemetry.db")
    return configured if configured is not None and configured.is_file() and not beside.is_file() else beside


def _guarded(rows: Iterable[Row], file: Path) -> Iterator[Row]:
    try:
        yield from rows
    except (sqlite3.Error, NotTelemetry, ValueError) as error:
        raise ExportError(f"read the telemetry of {file}: {error}; is it damaged, or of another version?") from error


def _is_telemetry(file: Path) -> bool:
    """By the number in the head of the database."""
    with file.open("rb") as head:
        return head.read(100)[68:72] == APPLICATION_ID.to_bytes(4, "big")


def _time(option: str, text: str | None) -> int | None:
    """ms since 1970 of an ISO 8601 time; without a zone it is UTC."""
    if text is None:
        return None
    try:
        time_ = datetime.fromisoformat(text)
    except ValueError as error:
        raise ExportError(
            f"{option} {text!r} is no time; write e.g. 2026-01-31, 2026-01-31T12:00 or 2026-01-31T12:00:00+01:00"
        ) from error
    if time_.tzinfo is None:
        time_ = time_.replace(tzinfo=UTC)
    return round(time_.timestamp() * 1000)


def _teller(journal: Path) -> Callable[[int], None]:
    """Says now and then how far it is, to people only."""
    if not sys.stderr.isatty():
        return lambda _: None
    first, last = steps_of(journal)
    due = time.monotonic() + _TELL_EVERY_S

    def tell(step: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _TELL_EVERY_S
            share = (step - first) / max(1, last - first)
            typer.echo(f"\r\x1b[Kstep {step} of {last} ({share:.0%})", nl=False, err=True)

    return tell
