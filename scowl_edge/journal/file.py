"""The journal's file: its schema, who may write it, and reading it.

One table of records in the order in which they were appended. The database is in WAL mode, so a reader disturbs no
writer, and a torn tail is left out by SQLite's own frame checksums.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from scowl_edge.contracts import Record
from scowl_edge.journal.packing import Damaged, Unpacker
from scowl_edge.journal.records import SNAPSHOT, JournalError, read_snapshot
from scowl_edge.journal.recovery import Recovery, recover
from scowl_edge.journal.segments import Segment, segments

FORMAT = 2
"""Number of the schema and of the records' form."""
_APPLICATION_ID = 0x53434F57
_MOVE_AWAY = "move the file (and those beside it ending in -wal and -shm) away to start a new journal"

ANSWERED_INDEX = "CREATE INDEX IF NOT EXISTS record_answered ON record (seq) WHERE kind = 'answered'"
"""Journals that were begun without it get it when they are next opened for writing."""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE record (
    seq INTEGER PRIMARY KEY,
    boot INTEGER NOT NULL,
    step INTEGER NOT NULL,
    kind TEXT NOT NULL,
    packed INTEGER NOT NULL,
    written_utc_ms INTEGER,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX record_snapshot ON record (seq) WHERE kind = 'snapshot';
CREATE INDEX record_boot ON record (seq) WHERE kind = 'boot';
{ANSWERED_INDEX};
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {FORMAT};
COMMIT;
"""

SNAPSHOTS = "record INDEXED BY record_snapshot WHERE kind = 'snapshot'"
BOOTS = "record INDEXED BY record_boot WHERE kind = 'boot'"
"""Left to itself SQLite looks for these by walking back through all records."""

_AT_ONCE = 500
"""Records that are read in one transaction: a longer one would keep the writer's log from being folded in."""
LOG_LIMIT = 1 << 20
"""Bytes that the write-ahead log keeps once it was folded in."""


class WriterLock:
    """The right to write one file, for one process and one object in it.

    It is an advisory lock (flock) on the database itself: it goes with the process however that ends, so there is no
    lock file to go stale. SQLite's own locks are of another kind (POSIX), and a process loses all of those when it
    closes any descriptor of the file. So a second writer in this process is refused before the file is opened again,
    and `release` comes after the connection is closed.
    """

    _held: set[tuple[int, int]] = set()  # noqa: RUF012  (one for the process is the point)

    def __init__(self, path: Path) -> None:
        """Takes the lock; creates the file where there is none.

        Raises:
            JournalError: Another writer has it, or the file cannot be opened.
        """
        refusal = f"open journal {path}: another scowl-edge writes it; stop that one, or give this one its own file"
        try:
            found = path.stat() if path.exists() else None
            if found is not None and (found.st_dev, found.st_ino) in self._held:
                raise JournalError(refusal)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise JournalError(
                f"open journal {path}: {error.strerror}; the directory must exist and be writable by this user"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise JournalError(refusal) from error
        opened = os.fstat(self._fd)
        self.identity = (opened.st_dev, opened.st_ino)
        self._held.add(self.identity)

    def release(self) -> None:
        """Gives the lock up; more than once does no harm."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            self._held.discard(self.identity)


def connect(path: Path, *, writable: bool, busy_ms: int = 1_000) -> sqlite3.Connection:
    """A connection in autocommit mode, usable from any one thread at a time. Never creates a file.

    Raises:
        sqlite3.Error: As SQLite says.
    """
    mode = "rw" if writable else "ro"
    log = path.with_name(path.name + "-wal")
    if not writable and not log.exists() and not os.access(path.parent, os.W_OK):
        # WAL mode wants a shared-memory file beside the database; a read-only copy has no writer to share it with.
        mode = "ro&immutable=1"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=busy_ms / 1000,
        cached_statements=16,
    )
    if writable:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
        # Folding in is the keeper's, between commits; this is for when it does not get to it.
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
    return connection


def prepare(path: Path) -> sqlite3.Connection:
    """Opens the file for writing, makes an empty one into a journal and checks any other. The lock must be held.

    Raises:
        JournalError: Damaged, of another format, or not a journal.
    """
    connection = None
    try:
        connection = connect(path, writable=True)
        if _is_blank(connection):
            # Before the first page is written, else it would not count; a maker that died may have written one.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            if path.stat().st_size:
                connection.execute("VACUUM")
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise JournalError(f"open journal {path}: this file system does not bear WAL mode; choose a local one")
            connection.executescript(_SCHEMA)
        _check(path, connection)
        connection.execute(ANSWERED_INDEX)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise _unreadable(path, error) from error
    except JournalError:
        if connection is not None:
            connection.close()
        raise
    return connection


def _is_blank(connection: sqlite3.Connection) -> bool:
    """A new file, or one whose maker died before the schema was in it."""
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return bool(tables == 0 and connection.execute("PRAGMA application_id").fetchone()[0] == 0)


def _check(path: Path, connection: sqlite3.Connection) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != _APPLICATION_ID:
        raise JournalError(f"open journal {path}: it is a database, but not a journal of scowl-edge; {_MOVE_AWAY}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT:
        raise JournalError(
            f"open journal {path}: it has format {version}, this version reads format {FORMAT}; "
            f"start the version that wrote it, or {_MOVE_AWAY}"
        )
    # Touches the table, its index and its last page.
    connection.execute("SELECT max(seq) FROM record").fetchone()
    connection.execute(f"SELECT seq FROM {SNAPSHOTS} ORDER BY seq DESC LIMIT 1").fetchone()


def _unreadable(path: Path, error: Exception) -> JournalError:
    return JournalError(f"open journal {path}: {error}; if it is damaged, {_MOVE_AWAY}")


_Row = tuple[int, int, int, str, int, bytes]
_COLUMNS = "seq, boot, step, kind, packed, payload"


def _record(row: _Row, unpacker: Unpacker) -> Record:
    _, boot, step, kind, form, stored = row
    try:
        return Record(boot=boot, step=step, kind=kind, payload=unpacker.unpack(kind, form, stored))
    except Damaged as error:
        raise JournalError(
            f"the {kind} record of step {step} (boot {boot}) is damaged: {error}; {_MOVE_AWAY}"
        ) from error


def _reader(path: Path) -> sqlite3.Connection | None:
    """A connection that only reads; None where nothing was ever written."""
    if not path.is_file():
        raise JournalError(f"read journal {path}: there is no such file")
    try:
        connection = connect(path, writable=False)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    try:
        if not _is_blank(connection):
            _check(path, connection)
            return connection
    except sqlite3.Error as error:
        connection.close()
        raise _unreadable(path, error) from error
    except JournalError:
        connection.close()
        raise
    connection.close()
    return None


def read_records(path: Path) -> Iterator[Record]:
    """All records in the order in which they were appended; also while a daemon writes.

    Raises:
        JournalError: No journal, or a damaged one.
    """
    connection = _reader(path)
    if connection is not None:
        with closing(connection):
            yield from _from(path, connection, 0)


def _from(path: Path, connection: sqlite3.Connection, first: int) -> Iterator[Record]:
    """From one record on; `first` must be a snapshot, a boot, or before all.

    Retention may delete meanwhile: it takes a segment from its end, so what is left can always be unpacked.
    """
    unpacker = Unpacker()
    page = f"SELECT {_COLUMNS} FROM record WHERE seq >= ? ORDER BY seq LIMIT {_AT_ONCE}"
    try:
        while rows := connection.execute(page, (first,)).fetchall():
            for row in rows:
                try:
                    yield _record(row, unpacker)
                except JournalError:
                    # A damaged snapshot can be done without; the reader of the stream sees that its checksum is wrong.
                    if row[3] != SNAPSHOT:
                        raise
                    yield Record(boot=row[1], step=row[2], kind=SNAPSHOT, payload=b"")
            first = rows[-1][0] + 1
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def steps_of(path: Path) -> tuple[int, int]:
    """(first, last) step of a file; (0, 0) of an empty one. Raises JournalError like `read_records`."""
    connection = _reader(path)
    if connection is None:
        return 0, 0
    with closing(connection):
        try:
            first, last = (
                connection.execute(f"SELECT step FROM record ORDER BY seq {way} LIMIT 1").fetchone() or (0,)
                for way in ("ASC", "DESC")
            )
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error
    return first[0], last[0]


def recover_file(path: Path) -> Recovery:
    """What a restart learns; reads no more than lies behind the last usable snapshot.

    A missing or empty file is an empty journal.

    Raises:
        JournalError: Damaged beyond a snapshot, of another format, or not a journal.
    """
    connection = _reader(path) if path.exists() else None
    if connection is None:
        return recover(())
    with closing(connection):
        try:
            return recover(_tail(path, connection))
        except sqlite3.Error as error:
            raise _unreadable(path, error) from error


def _tail(path: Path, connection: sqlite3.Connection) -> Iterator[Record]:
    """The last boot before the last usable snapshot, and all from that snapshot on; everything if there is none."""
    last_of = "SELECT {columns} FROM {kind} AND seq < ? ORDER BY seq DESC LIMIT 1"
    last_snapshot, last_boot = (last_of.format(columns=_COLUMNS, kind=kind) for kind in (SNAPSHOTS, BOOTS))
    before = 1 << 62
    while (found := connection.execute(last_snapshot, (before,)).fetchone()) is not None:
        before = found[0]
        try:
            read_snapshot(_record(found, Unpacker()))
        except JournalError:
            continue
        boot = connection.execute(last_boot, (before,)).fetchone()
        if boot is not None:
            yield _record(boot, Unpacker())
        yield from _from(path, connection, before)
        return
    yield from _from(path, connection, 0)


def from_snapshot(path: Path, back: int) -> Generator[Record, None, None]:
    """All records from the snapshot on that is so many before the end; all of them where there are fewer.

    Raises:
        JournalError: The file cannot be read.
    """
    connection = _reader(path) if path.exists() else None
    if connection is None:
        return
    with closing(connection):
        nth = f"SELECT seq FROM {SNAPSHOTS} ORDER BY seq DESC LIMIT 1 OFFSET ?"
        row = connection.execute(nth, (back - 1,)).fetchone()
        yield from _from(path, connection, row[0] if row is not None else 0)


def read_segments(path: Path) -> Iterator[Segment]:
    """The gap-free segments of a file. Raises JournalError like `read_records`."""
    return segments(read_records(path))
