"""Keeps a journal's file small, one short step at a time, between the commits of the thread that writes it.

Three things are done, each in steps of a bounded number of rows or pages, so that a barrier waits for one of them at
most: the write-ahead log is folded into the file, old segments are deleted, freed pages go back to the file system.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scowl_edge.journal.file import LOG_LIMIT, SNAPSHOTS
from scowl_edge.journal.records import BOOT

ROWS_AT_ONCE = 200
PAGES_AT_ONCE = 64
FOLD_AFTER_PAGES = 256
"""Pages of the log that are let gather: folding them in costs one more sync, and each page is written twice."""
_SPARE_PAGES = 256
"""Free pages that stay in the file for the records to come."""

_SUPERFLUOUS = "seq < ? AND (kind <> ? OR boot < ?)"
"""Before a snapshot, but for the boot that the snapshot belongs to: its configuration builds the core."""


@dataclass(frozen=True, slots=True)
class _Size:
    pages: int
    free: int
    page_bytes: int
    log_bytes: int

    @property
    def used_bytes(self) -> int:
        """What records take. A log that a reader keeps from being folded in is no reason to delete: that adds to it."""
        return (self.pages - self.free) * self.page_bytes + min(self.log_bytes, LOG_LIMIT)


def log_bytes(path: Path) -> int:
    """Size of the write-ahead log of a database; 0 where there is none."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size
    except FileNotFoundError:
        return 0


class Keeper:
    """Decides what is superfluous, and does the next step of taking it away.

    What lies before the newest snapshot that was written longer ago than `keep_ms`, by a trusted clock, is superfluous;
    and where the file with its log is larger than `limit_bytes`, the oldest segment, whatever its age. The newest
    snapshot and all after it is never taken: a restart needs it.

    Attributes:
        steps: Steps done since the start.
        segments_dropped: Segments deleted for the sake of the size.
        over_limit: The file is larger than it may be, and nothing more can be taken away.
        size_bytes: File and log when last looked at; 0 before that.
    """

    def __init__(self, path: Path, *, keep_ms: int, limit_bytes: int, utc_ms: Callable[[], int | None]) -> None:
        """0 for `keep_ms` or `limit_bytes`: without bound."""
        self.steps = self.segments_dropped = self.size_bytes = 0
        self.over_limit = False
        self._path = path
        self._keep_ms = keep_ms
        self._limit_bytes = limit_bytes
        self._utc_ms = utc_ms
        self._log_pages = 0
        self._dropping = 0
        """The snapshot up to which a segment is being dropped for the sake of the size."""

    @property
    def bounded(self) -> bool:
        """Whether there is anything to look for from time to time."""
        return bool(self._keep_ms or self._limit_bytes)

    @property
    def fold_due(self) -> bool:
        """Whether the log is long enough to be folded in."""
        return self._log_pages >= FOLD_AFTER_PAGES

    def wrote(self, stored_bytes: int) -> None:
        """A commit put this much into the log; some pages of the tables' own come with it."""
        self._log_pages += 3 + stored_bytes // 4096

    def step(self, connection: sqlite3.Connection) -> bool:
        """One step. True if the next one should follow soon.

        Raises:
            sqlite3.Error: The disk did not take it; nothing is lost by trying again later.
        """
        self.steps += 1
        if self.fold_due:
            self.fold(connection)
            return False
        # Each step is folded in before the next: taking away must not make the log grow.
        if self._delete(connection) or self._shrink(connection):
            self._log_pages = FOLD_AFTER_PAGES
            return True
        return False

    def fold(self, connection: sqlite3.Connection) -> None:
        """Folds the log into the file as far as readers let it, and cuts a long one; waits for none of them."""
        self._log_pages = 0
        if log_bytes(self._path) <= LOG_LIMIT:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            return
        wait_ms = connection.execute("PRAGMA busy_timeout").fetchone()[0]
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.execute(f"PRAGMA busy_timeout = {wait_ms}")

    def _delete(self, connection: sqlite3.Connection) -> bool:
        """Deletes the end of the oldest superfluous segment; whether there was one.

        From its end: its records can be read only from its beginning on, and a reader or a crash may come in between.
        """
        cut = self._first_kept(connection)
        if cut is None:
            return False
        seq, boot = cut
        bounds = (seq, BOOT, boot)
        first = connection.execute(
            f"SELECT seq FROM record WHERE {_SUPERFLUOUS} ORDER BY seq LIMIT 1", bounds
        ).fetchone()
        if first is None:
            return False
        until = connection.execute(
            f"SELECT seq FROM {SNAPSHOTS} AND seq > ? AND seq < ? ORDER BY seq LIMIT 1", (first[0], seq)
        ).fetchone()
        deleted = connection.execute(
            f"DELETE FROM record WHERE seq IN (SELECT seq FROM record WHERE {_SUPERFLUOUS} ORDER BY seq DESC LIMIT ?)",
            (until[0] if until else seq, BOOT, boot, ROWS_AT_ONCE),
        ).rowcount
        return deleted > 0

    def _first_kept(self, connection: sqlite3.Connection) -> tuple[int, int] | None:
        """(seq, boot) of the snapshot before which everything is superfluous."""
        by_age = self._by_age(connection)
        by_size = self._by_size(connection)
        return max((cut for cut in (by_age, by_size) if cut is not None), default=None)

    def _by_age(self, connection: sqlite3.Connection) -> tuple[int, int] | None:
        utc_ms = self._utc_ms() if self._keep_ms else None
        if utc_ms is None:
            return None
        found = connection.execute(
            f"SELECT seq, boot FROM {SNAPSHOTS} AND written_utc_ms < ? ORDER BY seq DESC LIMIT 1",
            (utc_ms - self._keep_ms,),
        ).fetchone()
        return (found[0], found[1]) if found else None

    def _by_size(self, connection: sqlite3.Connection) -> tuple[int, int] | None:
        used = self._measure(connection).used_bytes
        if not self._limit_bytes:
            return None
        over = used > self._limit_bytes
        if not over and not self._dropping:
            self.over_limit = False
            return None
        for seq, boot in connection.execute(f"SELECT seq, boot FROM {SNAPSHOTS} ORDER BY seq LIMIT 3").fetchall():
            if not connection.execute(
                f"SELECT 1 FROM record WHERE {_SUPERFLUOUS} LIMIT 1", (seq, BOOT, boot)
            ).fetchone():
                continue
            # A segment that was begun is taken whole, though half of it might have been enough.
            if seq != self._dropping:
                if not over:
                    break
                self._dropping = seq
                self.segments_dropped += 1
            return seq, boot
        self._dropping = 0
        self.over_limit = over
        return None

    def _shrink(self, connection: sqlite3.Connection) -> bool:
        """Gives some free pages back; whether there were more than the records to come will fill."""
        if connection.execute("PRAGMA auto_vacuum").fetchone()[0] != 2:
            return False
        found = self._measure(connection)
        free, spare = found.free, max(_SPARE_PAGES, found.pages // 20)
        if self._limit_bytes:
            spare = min(spare, max(0, (self._limit_bytes - found.used_bytes) // found.page_bytes))
        if free <= spare:
            return False
        # It gives back a page each time that it is stepped; only a script steps it to its end.
        connection.executescript(f"PRAGMA incremental_vacuum({min(PAGES_AT_ONCE, free - spare)})")
        return True

    def _measure(self, connection: sqlite3.Connection) -> _Size:
        pages, free, page_bytes = (
            int(connection.execute(f"PRAGMA {what}").fetchone()[0])
            for what in ("page_count", "freelist_count", "page_size")
        )
        found = _Size(pages, free, page_bytes, log_bytes(self._path))
        self.size_bytes = found.pages * found.page_bytes + found.log_bytes
        return found
