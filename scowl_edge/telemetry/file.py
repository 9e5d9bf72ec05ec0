"""The telemetry's file: its schema, and how values lie in it.

64 points of one stretch of time are one row. Its key is `seconds since 1970 * 4096 + group`: new rows are appended at
the table's end, old ones leave at its begin, and a point's trend is found by key without an index.

A point keeps its number for as long as its device and name are in the configuration, wherever they stand in it. The
number of one that is gone is given away when nothing of it is kept any more.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from itertools import chain, count, groupby
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
APPLICATION_ID = 0x53434F54
GROUP = 64
"""Points in a row."""
GROUPS = 4096
"""Most groups; the lower part of a key."""
ROW_BYTES = 3 * GROUP * 4
_WORTH_PACKING = 0.9

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE point (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    name TEXT NOT NULL,
    gone_utc_ms INTEGER,
    UNIQUE (device, name)
) STRICT;
CREATE TABLE bucket (utc_s INTEGER PRIMARY KEY, every_ms INTEGER NOT NULL) STRICT;
CREATE TABLE trend (key INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE event (seq INTEGER PRIMARY KEY, utc_ms INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
COMMIT;
"""


class NotTelemetry(Exception):
    """A database, but none of ours; it is left alone."""


class OtherFormat(NotTelemetry):
    """Ours, of a format that this version does not read."""


def connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    """A connection in autocommit mode, usable from any one thread at a time; a writable one makes the file.

    Raises:
        sqlite3.Error: As SQLite says.
        NotTelemetry: It is something else.
    """
    mode = "rwc" if writable else "ro"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=1.0
    )
    try:
        if writable:
            _prepare(connection)
        _check(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        # A file that a power cut leaves half made is moved aside: no reason to keep the journal's disk busy.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(_SCHEMA)
    # The last seconds before a power cut may be missing: that wears the disk ten times less.
    connection.execute("PRAGMA synchronous = NORMAL")


def _check(path: Path, connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise NotTelemetry(f"{path} is a database, but no telemetry of scowl-edge; name another file in telemetry.path")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT:
        raise OtherFormat(f"{path} has format {version}, this version reads format {FORMAT}")


def is_damage(error: Exception) -> bool:
    """Whether the file itself is at fault, so that trying again is of no use."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, OtherFormat) or (
        code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    )


def numbers_of(
    connection: sqlite3.Connection, points: Sequence[tuple[str, str]], *, utc_ms: int | None, keep_ms: int
) -> NDArray[np.int64]:
    """The number of each (device, name); new ones take the lowest that are free.

    Args:
        connection: Writable.
        points: Of the present configuration.
        utc_ms: Now, None if that cannot be trusted: then no number becomes free.
        keep_ms: How long values are kept.

    Raises:
        sqlite3.Error: As SQLite says.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        numbers = np.full(len(points), -1, np.int64)
        # Device by device: all names of a large site at once would take memory that an interpreter hardly gives back.
        for device, places in _by_device(points):
            known = dict(connection.execute("SELECT name, id FROM point WHERE device = ?", (device,)))
            numbers[list(places.values())] = [known.get(name, -1) for name in places]
        _retire(connection, numbers, utc_ms=utc_ms, keep_ms=keep_ms)
        if (numbers < 0).any():
            free = _free(connection)
            for device, places in _by_device(points):
                new = {name: next(free) for name, place in places.items() if numbers[place] < 0}
                rows = [(number, device, name) for name, number in new.items()]
                connection.executemany("INSERT INTO point (id, device, name) VALUES (?, ?, ?)", rows)
                numbers[[places[name] for name in new]] = list(new.values())
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return numbers


def _by_device(points: Sequence[tuple[str, str]]) -> Iterator[tuple[str, dict[str, int]]]:
    """Each device with the places of its points, by name."""
    for device, run in groupby(enumerate(points), lambda placed: placed[1][0]):
        yield device, {name: place for place, (_, name) in run}


def _retire(connection: sqlite3.Connection, wanted: NDArray[np.int64], *, utc_ms: int | None, keep_ms: int) -> None:
    """Notes which numbers are used again and which no longer, and gives away those that are long out of use."""
    back = [(number,) for (number,) in connection.execute("SELECT id FROM point WHERE gone_utc_ms NOT NULL")]
    used = set(np.intersect1d(np.array(back, np.int64), wanted).tolist())
    connection.executemany("UPDATE point SET gone_utc_ms = NULL WHERE id = ?", [(number,) for number in used])
    if utc_ms is not None:
        gone = np.setdiff1d(_taken(connection), wanted).tolist()
        connection.executemany(
            "UPDATE point SET gone_utc_ms = coalesce(gone_utc_ms, ?) WHERE id = ?",
            [(utc_ms, number) for number in gone],
        )
        connection.execute("DELETE FROM point WHERE gone_utc_ms < ?", (utc_ms - 2 * keep_ms,))


def _taken(connection: sqlite3.Connection) -> NDArray[np.int64]:
    """Numbers that are given away, in order."""
    return np.fromiter((number for (number,) in connection.execute("SELECT id FROM point ORDER BY id")), np.int64)


def _free(connection: sqlite3.Connection) -> Iterator[int]:
    """Numbers that are not, from the lowest on."""
    taken = _taken(connection)
    beyond = int(taken.max(initial=-1)) + 1
    return chain(np.setdiff1d(np.arange(beyond), taken).tolist(), count(beyond))


def pack(block: NDArray[np.float32]) -> bytes:
    """A row's bytes: (3, 64) low, mean, high; bytes of one rank together, compressed where that pays."""
    raw = np.ascontiguousarray(block.astype("<f4").view(np.uint8).reshape(-1, 4).T).tobytes()
    packed = zlib.compress(raw, 1)
    return packed if len(packed) < _WORTH_PACKING * len(raw) else raw


def unpack(data: bytes) -> NDArray[np.float32]:
    """(3, 64) low, mean, high. Raises ValueError where these are no bytes of `pack`."""
    return np.ascontiguousarray(np.frombuffer(_raw(data), np.uint8).reshape(4, -1).T).view("<f4").reshape(3, GROUP)


def picked(rows: Sequence[bytes | None], slot: int) -> NDArray[np.float32]:
    """(n, 3) low, mean, high of one point in n rows; NaN where there is no row. Raises ValueError like `unpack`."""
    raw = b"".join(_NOTHING if data is None else _raw(data) for data in rows)
    ranks = np.frombuffer(raw, np.uint8).reshape(-1, 4, 3, GROUP)[:, :, :, slot]
    return np.ascontiguousarray(ranks.transpose(0, 2, 1)).view("<f4").reshape(-1, 3)


def _raw(data: bytes) -> bytes:
    try:
        raw = data if len(data) == ROW_BYTES else zlib.decompress(data)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(raw) != ROW_BYTES:
        raise ValueError(f"{len(raw)} bytes instead of {ROW_BYTES}")
    return raw


_NOTHING = _raw(pack(np.full((3, GROUP), np.nan, np.float32)))
