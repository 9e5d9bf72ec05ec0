"""The one thread that writes the telemetry's file."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from scowl_edge.model.codec import encode
from scowl_edge.model.view import EventView
from scowl_edge.telemetry.buckets import Bucket
from scowl_edge.telemetry.file import GROUP, GROUPS, ROW_BYTES, NotTelemetry, connect, is_damage, numbers_of, pack

log = structlog.get_logger(__name__)

MOST_EVENTS = 100_000
_ROW_OVERHEAD = 40
"""Bytes of a row beside its values: key, lengths, its share of the pages above."""
_FOR_TRENDS = 0.8
"""Share of the file's bound; the rest is for events, the log and free pages."""
_QUEUE = 64
_BACK_OFF_S = (0.5, 30.0)
_ROWS_AT_ONCE = 8_000
_LOG_BYTES = 1 << 20
_TENTH = 10
"""Share of the oldest buckets that go at once where all is too much."""
_PAGES_AT_ONCE = 256
_DAY_MS = 86_400_000

Work = Bucket | tuple[EventView, ...]


def span_that_fits(points: int, *, every_ms: int, keep_ms: int, limit_bytes: int) -> int:
    """The span of a bucket, doubled until `keep_ms` of all points fit, however little their values compress."""
    groups = -(-points // GROUP)
    every_ms = -(-every_ms // 1000) * 1000
    room = int(limit_bytes * _FOR_TRENDS)
    while groups * (ROW_BYTES + _ROW_OVERHEAD) * (keep_ms // every_ms + 1) > room and every_ms < keep_ms:
        every_ms *= 2
    return every_ms


class TelemetryStore:
    """Writes buckets and events into a bounded SQLite file, on a thread of its own. No call waits for the disk.

    Attributes:
        every_ms: Span of a bucket: as wanted, or longer where that would not fit.
        widened: Whether it is longer than wanted.
        healthy: Whether the last attempt to write succeeded.
        last_error: What it was told else; empty while healthy.
        dropped: Buckets and lists of events that the full queue did not take.
        records_written, bytes_written: Rows since the start, and their bytes.
        moved_aside: Where a damaged file was moved to; None if none was.
    """

    def __init__(
        self,
        path: Path,
        points: Sequence[tuple[str, str]],
        *,
        keep_ms: int,
        every_ms: int,
        limit_bytes: int,
        utc_ms: Callable[[], int | None],
        most_events: int = MOST_EVENTS,
    ) -> None:
        """Starts the thread; what is wrong with the file is told by `healthy`, never raised.

        Args:
            path: The file; made if missing.
            points: (device, name) of each row of the point table.
            keep_ms: How long values and events are kept.
            every_ms: Wanted span of a bucket.
            limit_bytes: Most that the file and its log take.
            utc_ms: Wall clock, None while it cannot be trusted: then nothing is deleted for its age.
            most_events: Events that are kept at most.
        """
        self.path = path
        self.points = points
        self.every_ms = span_that_fits(len(points), every_ms=every_ms, keep_ms=keep_ms, limit_bytes=limit_bytes)
        self.widened = self.every_ms > every_ms
        if self.widened:
            log.warning(
                "telemetry_widened", points=len(points), keep_ms=keep_ms, wanted_ms=every_ms, every_ms=self.every_ms,
                why=f"more would not fit into {limit_bytes} bytes; raise telemetry.limit or lower telemetry.keep",
            )  # fmt: skip
        self.healthy = True
        self.last_error = ""
        self.dropped = self.records_written = self.bytes_written = 0
        self.moved_aside: Path | None = None
        self._keep_ms = keep_ms
        self._limit_bytes = limit_bytes
        self._utc_ms = utc_ms
        self._log_bytes = min(_LOG_BYTES, limit_bytes // 4)
        self._most_events = most_events
        self._connection: sqlite3.Connection | None = None
        self._numbers: NDArray[np.int64] = np.zeros(0, np.int64)
        self._changed = threading.Condition()
        self._queue: deque[Work] = deque()
        self._busy = False
        self._closing = False
        self._give_up_at = 0.0
        self._writer = threading.Thread(target=self._write, name="telemetry", daemon=True)
        self._writer.start()

    @property
    def queued(self) -> int:
        """What waits to be written."""
        return len(self._queue)

    @property
    def size_bytes(self) -> int:
        """File and log on the disk."""
        size = 0
        for path in (self.path, self.path.with_name(self.path.name + "-wal")):
            with contextlib.suppress(OSError):
                size += path.stat().st_size
        return size

    def put(self, work: Work) -> bool:
        """Queues a bucket, or events (oldest first); False and counted where the queue is full or closed."""
        with self._changed:
            if self._closing or len(self._queue) >= _QUEUE:
                self.dropped += 1
                return False
            self._queue.append(work)
            self._changed.notify_all()
            return True

    def flush(self, timeout_s: float) -> bool:
        """Waits until all that was queued is written; False if that takes longer."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._busy, timeout_s)

    def close(self, timeout_s: float = 2.0) -> bool:
        """Writes what waits and closes the file; whether all is written."""
        with self._changed:
            if not self._closing:
                self._closing = True
                self._give_up_at = time.monotonic() + timeout_s
                self._changed.notify_all()
        self._writer.join(timeout_s + 1.0)
        return not self._queue and not self._writer.is_alive()

    def _write(self) -> None:
        """The writer thread."""
        pause = 0.0
        while (work := self._next(pause)) is not None:
            try:
                self._store(work)
                pause, error = 0.0, ""
            except (sqlite3.Error, OSError, NotTelemetry) as fault:
                error = f"{type(fault).__name__}: {fault}"
                pause = min(max(2 * pause, _BACK_OFF_S[0]), _BACK_OFF_S[1])
                if self._leave(fault) and pause == _BACK_OFF_S[0]:
                    pause = 0.0
            except Exception as fault:
                # A defect of ours: this piece would fail again and again, the next one may not.
                log.exception("telemetry_defect", file=str(self.path))
                self._leave(fault)
                self.dropped += 1
                error = ""
            with self._changed:
                self._busy = False
                if error and error != self.last_error:
                    log.warning("telemetry_not_written", file=str(self.path), error=error)
                self.healthy, self.last_error = not error, error
                if not error and self._queue and self._queue[0] is work:
                    self._queue.popleft()
                self._changed.notify_all()
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()

    def _next(self, pause_s: float) -> Work | None:
        """The oldest that waits, which stays in the queue until it is written; None when the thread is to end."""
        until = time.monotonic() + pause_s
        with self._changed:
            while True:
                now = time.monotonic()
                if self._closing and (not self._queue or now >= self._give_up_at):
                    return None
                if self._queue and now >= until:
                    self._busy = True
                    return self._queue[0]
                end = until if now < until else None
                if self._closing:
                    end = min(self._give_up_at, end if end is not None else self._give_up_at)
                self._changed.wait(None if end is None else max(0.0, end - now))

    def _store(self, work: Work) -> None:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        if isinstance(work, Bucket):
            self._put_bucket(connection, work)
        else:
            self._put_events(connection, work)
        connection.execute("COMMIT")
        self._shrink(connection)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = connect(self.path, writable=True)
            try:
                connection.execute(f"PRAGMA journal_size_limit = {self._log_bytes}")
                connection.execute(f"PRAGMA wal_autocheckpoint = {max(16, self._log_bytes // 4096 // 2)}")
                self._numbers = numbers_of(connection, self.points, utc_ms=self._utc_ms(), keep_ms=self._keep_ms)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _put_bucket(self, connection: sqlite3.Connection, bucket: Bucket) -> None:
        highest = int(self._numbers.max(initial=-1))
        groups = min(highest // GROUP + 1, GROUPS)
        kept = self._numbers < GROUPS * GROUP
        spread = np.full((3, groups * GROUP), np.nan, np.float32)
        for row, values in zip(spread, (bucket.low, bucket.mean, bucket.high), strict=True):
            row[self._numbers[kept]] = values[kept]
        second = bucket.utc_ms // 1000
        blocks = spread.reshape(3, groups, GROUP)
        filled = np.flatnonzero(~np.isnan(blocks).all(axis=(0, 2)))
        rows = [(second * GROUPS + int(g), pack(blocks[:, g])) for g in filled]
        connection.execute("INSERT OR REPLACE INTO bucket VALUES (?, ?)", (second, bucket.every_ms))
        connection.executemany("INSERT OR REPLACE INTO trend VALUES (?, ?)", rows)
        self.records_written += len(rows)
        self.bytes_written += sum(len(data) for _, data in rows)
        self._drop_old(connection)

    def _put_events(self, connection: sqlite3.Connection, events: tuple[EventView, ...]) -> None:
        if not events:
            return
        rows = [(e.seq, e.utc_ms, encode(e)) for e in events]
        # A new journal counts from 1 again: what has a higher number than the newest is of the one before.
        connection.execute("DELETE FROM event WHERE seq > ?", (rows[-1][0],))
        connection.executemany("INSERT OR REPLACE INTO event VALUES (?, ?, ?)", rows)
        connection.execute("DELETE FROM event WHERE seq <= ?", (rows[-1][0] - self._most_events,))
        self.records_written += len(rows)
        self.bytes_written += sum(len(row[2]) for row in rows)

    def _drop_old(self, connection: sqlite3.Connection) -> None:
        """What is too old by a trusted clock, or stamped by one that went ahead; and the oldest, if all is too much."""
        utc_ms = self._utc_ms()
        if utc_ms is not None:
            first = (utc_ms - self._keep_ms) // 1000
            last = (utc_ms + _DAY_MS) // 1000
            self._drop(connection, "key < ?", first * GROUPS)
            self._drop(connection, "key >= ?", last * GROUPS)
            connection.execute("DELETE FROM bucket WHERE utc_s < ? OR utc_s >= ?", (first, last))
            connection.execute("DELETE FROM event WHERE utc_ms < ?", (utc_ms - self._keep_ms,))
        if self._used_bytes(connection) > self._limit_bytes:
            oldest = connection.execute(
                f"SELECT utc_s FROM bucket ORDER BY utc_s LIMIT 1 OFFSET (SELECT count(*) / {_TENTH} + 1 FROM bucket)"
            ).fetchone()
            if oldest is not None:
                self._drop(connection, "key < ?", oldest[0] * GROUPS)
                connection.execute("DELETE FROM bucket WHERE utc_s < ?", oldest)

    def _drop(self, connection: sqlite3.Connection, which: str, bound: int) -> None:
        """Some of the rows; the next bucket takes more."""
        connection.execute(
            f"DELETE FROM trend WHERE key IN (SELECT key FROM trend WHERE {which} ORDER BY key LIMIT ?)",
            (bound, _ROWS_AT_ONCE),
        )

    def _used_bytes(self, connection: sqlite3.Connection) -> int:
        pages, free, page_bytes = (
            int(connection.execute(f"PRAGMA {what}").fetchone()[0])
            for what in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * page_bytes + self._log_bytes

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Gives pages back where many are free, or the file is larger than it may be."""
        pages, free = (int(connection.execute(f"PRAGMA {w}").fetchone()[0]) for w in ("page_count", "freelist_count"))
        if free > max(_PAGES_AT_ONCE, pages // 4) or (free and self.size_bytes > self._limit_bytes):
            connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
        if self.size_bytes > self._limit_bytes:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _leave(self, fault: Exception) -> bool:
        """Closes a connection that failed; a damaged file is moved aside: True, the next attempt begins one."""
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        if not is_damage(fault):
            return False
        aside = self.path.with_name(self.path.name + ".damaged")
        try:
            self.path.replace(aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        except OSError:
            return False
        self.moved_aside = aside
        log.error("telemetry_moved_aside", file=str(self.path), to=str(aside), error=str(fault))
        return True
