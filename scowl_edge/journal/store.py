"""The journal on disk: one thread writes, in group commits; nobody else ever waits for the disk."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import structlog

from scowl_edge.contracts import JournalFull, Record
from scowl_edge.journal.file import WriterLock, connect, prepare
from scowl_edge.journal.keeping import Keeper
from scowl_edge.journal.packing import Packer
from scowl_edge.journal.records import ANSWERED, KINDS, SNAPSHOT, JournalError

log = structlog.get_logger(__name__)

_INSERT = "INSERT INTO record (boot, step, kind, packed, written_utc_ms, payload) VALUES (?, ?, ?, ?, ?, ?)"
_BACK_OFF_MIN_S = 0.05
_BACK_OFF_MAX_S = 2.0
_BETWEEN_STEPS_S = 0.02
"""Pause between two steps of keeping, so that they never take the disk for themselves."""


class SqliteJournal:
    """Append-only records in one SQLite file (WAL, synchronous=FULL).

    Records wait in a bounded queue. The writer takes all of them into one transaction as soon as somebody waits at a
    barrier, or `linger_ms` after the first came. An error of the disk (full, I/O, read-only, locked, damaged) never
    ends the writer: the queue stays, barriers answer False, and it tries again with growing pauses until it succeeds.

    Attributes:
        healthy: Whether the last attempt to write succeeded.
        last_error: What the last failed attempt was told, empty while healthy.
        commits, records_written, bytes_written: Counts since the start; bytes as stored.
        keeper: What keeps the file small; its figures may be read from any thread.
        keeping_error: What its last step was told if it failed, else empty. That keeps no record from being written.
        records_refused: Records not taken since the start because the queue was full.
    """

    def __init__(
        self,
        path: Path,
        *,
        keep_ms: int = 0,
        limit_bytes: int = 0,
        utc_ms: Callable[[], int | None] = lambda: None,
        on_commit: Callable[[float], None] | None = None,
        max_records: int = 20_000,
        max_bytes: int = 32_000_000,
        linger_ms: int = 100,
        busy_ms: int = 1_000,
        retention_every_ms: int = 60_000,
    ) -> None:
        """Opens the file, or makes it, and starts the writer.

        Args:
            path: The database file; its directory must exist.
            keep_ms: Records are deleted once a snapshot older than this has made them superfluous; 0 keeps all.
            limit_bytes: The oldest segments are deleted while the file and its log are larger; 0: no bound.
            utc_ms: Wall clock, None while it cannot be trusted; then nothing is deleted for its age. Called by the
                writer thread.
            on_commit: Told the seconds that each commit took, on the writer thread.
            max_records: Most records that may wait.
            max_bytes: Most bytes of payload that may wait; a larger snapshot goes while there is half of it.
            linger_ms: How long a record may wait for company while nobody waits for it.
            busy_ms: How long one attempt waits for another connection's lock.
            retention_every_ms: Pause between looks for what may be deleted.

        Raises:
            JournalError: Another process writes it, or it cannot be opened, is damaged, or of another format.
        """
        self.healthy = True
        self.last_error = self.keeping_error = ""
        self.commits = self.records_written = self.bytes_written = self.records_refused = 0
        self._path = path
        self._packer = Packer()
        self.keeper = Keeper(path, keep_ms=keep_ms, limit_bytes=limit_bytes, utc_ms=utc_ms)
        self._utc_ms = utc_ms
        self._on_commit = on_commit
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._linger_s = linger_ms / 1000
        self._busy_ms = busy_ms
        self._keep_every_s = retention_every_ms / 1000
        self._next_keeping = self._next_fold = 0.0
        self._lock = WriterLock(path)
        try:
            self._connection: sqlite3.Connection | None = prepare(path)
        except JournalError:
            self._lock.release()
            raise
        self._connection.execute(f"PRAGMA busy_timeout = {busy_ms}")
        # All below is shared with the writer and touched only under the condition.
        self._changed = threading.Condition()
        self._queue: deque[Record] = deque()
        self._queued_bytes = 0
        self._oldest = 0.0
        self._appended = self._durable = 0
        self._waiting: list[tuple[int, Callable[[bool], None]]] = []
        self._closing = False
        self._give_up_at = 0.0
        self._writer = threading.Thread(target=self._write, name="journal", daemon=True)
        self._writer.start()

    @property
    def queued(self) -> int:
        """Records that are not durable yet."""
        return len(self._queue)

    @property
    def alive(self) -> bool:
        """Whether the writer thread is there; a slow or full disk does not end it."""
        return self._writer.is_alive()

    def append(self, record: Record) -> None:
        """Queues a record. Never waits for the disk.

        Raises:
            JournalFull: The queue is full: the disk has not kept up. The record is not taken.
            JournalError: The journal is closed.
        """
        if record.kind not in KINDS:
            raise ValueError(f"append: unknown kind of record {record.kind!r}")
        size = len(record.payload)
        with self._changed:
            if self._closing:
                raise JournalError(f"append to journal {self._path}: it is closed")
            if len(self._queue) >= self._max_records or self._queued_bytes + size > self._room_for(record):
                self.records_refused += 1
                raise JournalFull(
                    f"the {record.kind} record of step {record.step} was not taken by journal {self._path}: "
                    f"{len(self._queue)} records ({self._queued_bytes} bytes) wait already; "
                    f"the disk says: {self.last_error or 'nothing yet'}"
                )
            if not self._queue:
                self._oldest = time.monotonic()
                self._changed.notify()
            self._queue.append(record)
            self._queued_bytes += size
            self._appended += 1

    def _room_for(self, record: Record) -> int:
        """Bytes that may wait with a record: a state that is larger than the queue still goes, by itself."""
        size = len(record.payload)
        if record.kind != SNAPSHOT or size <= self._max_bytes:
            return self._max_bytes
        return size + self._max_bytes // 2

    async def barrier(self, timeout_ms: int) -> bool:
        """True when all appended so far is durable; False after `timeout_ms`, or at once when the disk fails."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()

        def settle(durable: bool) -> None:
            if not future.done():
                future.set_result(durable)

        def report(durable: bool) -> None:
            # The loop may be gone by the time that a slow disk answers.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, durable)

        settled = self._wait_for_all(report)
        if settled is not None:
            return settled
        try:
            # Not wait_for: in Python 3.11 it loses a cancellation that comes together with the answer.
            async with asyncio.timeout(timeout_ms / 1000):
                return await future
        except TimeoutError:
            return False
        finally:
            self._forget(report)

    def flush(self, timeout_s: float) -> bool:
        """The barrier for callers without an event loop."""
        settled = threading.Event()
        results: list[bool] = []

        def report(durable: bool) -> None:
            results.append(durable)
            settled.set()

        at_once = self._wait_for_all(report)
        if at_once is not None:
            return at_once
        settled.wait(timeout_s)
        self._forget(report)
        return bool(results and results[0])

    def close(self, timeout_s: float = 5.0) -> bool:
        """Writes what waits, tries again after errors until `timeout_s`, and closes the file.

        Returns:
            Whether all records are durable. A second call does nothing and gives the same answer.
        """
        with self._changed:
            if not self._closing:
                self._closing = True
                self._give_up_at = time.monotonic() + timeout_s
                self._changed.notify()
        # A disk that hangs inside the kernel holds the thread; the process must be able to end all the same.
        self._writer.join(timeout_s + 1.0)
        return self._durable == self._appended

    def _wait_for_all(self, report: Callable[[bool], None]) -> bool | None:
        """The answer if it is known already, else None: `report` is called once with it by the writer."""
        with self._changed:
            if self._durable == self._appended:
                return True
            if not self.healthy or not self._writer.is_alive():
                return False
            self._waiting.append((self._appended, report))
            self._changed.notify()
            return None

    def _forget(self, report: Callable[[bool], None]) -> None:
        with self._changed:
            self._waiting = [w for w in self._waiting if w[1] is not report]

    def _write(self) -> None:
        """The writer thread."""
        back_off_s = 0.0
        try:
            while self._await_work(back_off_s):
                try:
                    self._commit()
                    back_off_s = 0.0
                    self._settle(failed="")
                except (sqlite3.Error, OSError) as error:
                    self._recover_connection(error)
                    back_off_s = min(max(2 * back_off_s, _BACK_OFF_MIN_S), _BACK_OFF_MAX_S)
                    self._settle(failed=f"{type(error).__name__}: {error}")
                else:
                    # After those who wait were answered: none of them waits for more than one step of it.
                    self._keep()
        finally:
            # Also when a defect of ours ended the loop: whoever waits must not wait for a dead thread.
            with self._changed:
                if not self._closing:
                    self._closing = True
                    self.healthy = False
                    self.last_error = "the writer thread ended by a defect; its traceback is on stderr"
                for _, report in self._waiting:
                    report(False)
                self._waiting.clear()
            if self._connection is not None:
                with suppress(sqlite3.Error):
                    self._connection.close()
            self._lock.release()

    def _await_work(self, back_off_s: float) -> bool:
        """Waits until something is to be written, or deleted; False when the thread is to end."""
        with self._changed:
            until = time.monotonic() + back_off_s
            while True:
                now = time.monotonic()
                if self._closing and (not self._queue or now >= self._give_up_at):
                    return False
                if now >= until:
                    if self._queue and (self._closing or self._waiting or self._is_due(now)):
                        return True
                    if (at := self._next_step()) is not None and now >= at:
                        return True
                self._changed.wait(self._pause_s(now, until))

    def _is_due(self, now: float) -> bool:
        return now >= self._oldest + self._linger_s

    def _pause_s(self, now: float, until: float) -> float | None:
        if now < until:
            return min(until, self._give_up_at) - now if self._closing else until - now
        pauses = []
        if self._queue:
            pauses.append(self._oldest + self._linger_s - now)
        if (at := self._next_step()) is not None:
            pauses.append(at - now)
        return max(min(pauses), 0.0) if pauses else None

    def _commit(self) -> None:
        """Writes all that waits in one transaction. On an error nothing has left the queue."""
        with self._changed:
            batch = list(islice(self._queue, self._max_records))
        if not batch:
            return
        connection = self._connected()
        utc_ms = self._utc_ms()
        stored = 0
        rows = []
        for record in batch:
            form, payload = self._packer.pack(record)
            stored += len(payload)
            # A time is asked for of these only; a column that is null costs nothing.
            written = utc_ms if record.kind in (SNAPSHOT, ANSWERED) else None
            rows.append((record.boot, record.step, record.kind, form, written, payload))
        started = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, rows)
        connection.execute("COMMIT")
        took_s = time.perf_counter() - started
        with self._changed:
            for record in batch:
                self._queue.popleft()
                self._queued_bytes -= len(record.payload)
            self._oldest = time.monotonic()
            self._durable += len(batch)
            self.commits += 1
            self.records_written += len(batch)
            self.bytes_written += stored
        self.keeper.wrote(stored)
        if self._on_commit is not None:
            self._on_commit(took_s)

    def _settle(self, failed: str) -> None:
        """Answers those who wait: True where all they wait for is durable, False to all others if writing failed."""
        with self._changed:
            self.healthy = not failed
            self.last_error = failed
            still = []
            for target, report in self._waiting:
                if target <= self._durable:
                    report(True)
                elif failed:
                    report(False)
                else:
                    still.append((target, report))
            self._waiting = still

    def _connected(self) -> sqlite3.Connection:
        """The connection, made anew if an error spoiled the last one.

        Raises:
            OSError: The file is not the one that was opened: writing on would be writing to nowhere.
        """
        found = self._path.stat()
        if (found.st_dev, found.st_ino) != self._lock.identity:
            raise OSError(f"journal {self._path} was replaced while in use; stop the daemon and put it back")
        if self._connection is None:
            self._connection = connect(self._path, writable=True, busy_ms=self._busy_ms)
        return self._connection

    def _recover_connection(self, error: Exception) -> None:
        """Rolls back; a connection that met more than a full or busy disk is not trusted any further."""
        # Whether what was written last is in the file is not certain: what comes next must not lean on it.
        self._packer.restart()
        if self._connection is None:
            return
        code = getattr(error, "sqlite_errorcode", None)
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if code is not None and code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY):
                return
        except sqlite3.Error:
            pass
        with suppress(sqlite3.Error):
            self._connection.close()
        self._connection = None

    def _next_step(self) -> float | None:
        """When the keeper is to do its next step; None if only a commit can give it something to do."""
        if self.keeper.fold_due:
            return self._next_fold
        return self._next_keeping if self.keeper.bounded else None

    def _keep(self) -> None:
        """One step of keeping the file small, if it is time."""
        at, now = self._next_step(), time.monotonic()
        if at is None or now < at or self._closing:
            return
        folding = self.keeper.fold_due
        try:
            more = self.keeper.step(self._connected())
            self.keeping_error = ""
            rest_s = _BETWEEN_STEPS_S
        except (sqlite3.Error, OSError) as error:
            more = False
            rest_s = self._keep_every_s
            failure = f"{type(error).__name__}: {error}"
            if failure != self.keeping_error:
                log.warning("journal_not_kept_small", file=str(self._path), error=failure)
            self.keeping_error = failure
            self._recover_connection(error)
            self._next_fold = time.monotonic() + rest_s
        # A long log is folded in at once; all else leaves the disk alone for a while after each step.
        if not folding:
            self._next_keeping = time.monotonic() + (rest_s if more else self._keep_every_s)
        else:
            self._next_keeping = max(self._next_keeping, time.monotonic() + rest_s)
