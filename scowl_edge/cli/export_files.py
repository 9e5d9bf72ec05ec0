"""Tables of any length as files: CSV, and Parquet where pyarrow is installed. Rows are written as they come."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from scowl_edge.model.errors import ScowlError

Cell = str | int | float | bool | None
_BATCH = 5_000
"""Rows of one piece of a Parquet file."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ExportError(ScowlError):
    """What was asked for cannot be exported; the text says why and what to do."""


class Kind(Enum):
    """What the cells of a column are."""

    TIME = "time"
    """ms since 1970, UTC."""
    TEXT = "text"
    WHOLE = "whole"
    NUMBER = "number"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. Its name ends in its unit, unless another column tells that."""

    name: str
    kind: Kind


class Sheet(Protocol):
    """Where rows go."""

    def write(self, rows: Sequence[Sequence[Cell]]) -> None:
        """Adds rows. Raises OSError as the disk does."""


def iso(utc_ms: int) -> str:
    """ms since 1970 as ISO 8601, e.g. 2026-01-01T12:00:00.250Z."""
    try:
        return (_EPOCH + timedelta(milliseconds=utc_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except OverflowError:
        return str(utc_ms)


class _Csv:
    def __init__(self, file: Any, columns: Sequence[Column]) -> None:
        self._writer = csv.writer(file, lineterminator="\n")
        self._times = [i for i, c in enumerate(columns) if c.kind is Kind.TIME]
        self._flags = [i for i, c in enumerate(columns) if c.kind is Kind.FLAG]
        self._writer.writerow([c.name for c in columns])

    def write(self, rows: Sequence[Sequence[Cell]]) -> None:
        out = []
        for row in rows:
            cells = list(row)
            for i in self._times:
                if isinstance(at := cells[i], int):
                    cells[i] = iso(at)
            for i in self._flags:
                cells[i] = "true" if cells[i] else "false"
            out.append(cells)
        self._writer.writerows(out)


class _Parquet:
    def __init__(self, writer: Any, schema: Any, arrow: Any) -> None:
        self._writer = writer
        self._schema = schema
        self._arrow = arrow

    def write(self, rows: Sequence[Sequence[Cell]]) -> None:
        if rows:
            columns = [
                self._arrow.array(cells, kind)
                for cells, kind in zip(zip(*rows, strict=True), self._schema.types, strict=True)
            ]
            self._writer.write_batch(self._arrow.record_batch(columns, schema=self._schema))


@contextmanager
def csv_sheet(path: Path | None, columns: Sequence[Column]) -> Iterator[Sheet]:
    """A CSV file, or standard output."""
    with nullcontext(sys.stdout) if path is None else path.open("w", encoding="utf-8", newline="") as file:
        yield _Csv(file, columns)


@contextmanager
def parquet_sheet(path: Path, columns: Sequence[Column]) -> Iterator[Sheet]:
    """A Parquet file.

    Raises:
        ExportError: pyarrow is not installed.
    """
    arrow, parquet = _pyarrow()
    kinds = {
        Kind.TIME: arrow.timestamp("ms", tz="UTC"),
        Kind.TEXT: arrow.string(),
        Kind.WHOLE: arrow.int64(),
        Kind.NUMBER: arrow.float64(),
        Kind.FLAG: arrow.bool_(),
    }
    schema = arrow.schema([(c.name, kinds[c.kind]) for c in columns])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield _Parquet(writer, schema, arrow)


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise ExportError(
            "Parquet needs the package pyarrow, which is not installed; "
            "install it with: pip install pyarrow, or use --format csv"
        ) from error


def save(rows: Iterable[Sequence[Cell]], columns: Sequence[Column], path: Path | None, *, parquet: bool) -> int:
    """Writes all rows; the file gets its name only when it is whole. Returns how many rows there were.

    Raises:
        ExportError: The file cannot be written, or Parquet is asked for and not to be had.
    """
    if path is None:
        if parquet:
            raise ExportError("Parquet cannot be written to a terminal or pipe; name a file with -o FILE")
        with csv_sheet(None, columns) as sheet:
            return _fill(sheet, rows)
    part = path.with_name(path.name + ".part")
    try:
        with parquet_sheet(part, columns) if parquet else csv_sheet(part, columns) as sheet:
            count = _fill(sheet, rows)
        part.replace(path)
    except OSError as error:
        raise ExportError(
            f"write {path}: {error.strerror or error}; the directory must exist, be writable and have room"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _fill(sheet: Sheet, rows: Iterable[Sequence[Cell]]) -> int:
    count = 0
    waiting: list[Sequence[Cell]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) >= _BATCH:
            sheet.write(waiting)
            count += len(waiting)
            waiting = []
    sheet.write(waiting)
    return count + len(waiting)
