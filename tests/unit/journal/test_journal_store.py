"""The journal on disk keeps what a barrier has acknowledged, whatever happens to the disk or the process."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tally import TallyCore, boot, run

from scowl_edge.contracts import JournalFull, Record
from scowl_edge.journal.file import read_records, read_segments, recover_file
from scowl_edge.journal.memory import MemoryJournal
from scowl_edge.journal.records import BOOT, INPUTS, SNAPSHOT, JournalError, snapshot_record
from scowl_edge.journal.replay import replay
from scowl_edge.journal.store import SqliteJournal


@contextmanager
def opened(path: Path, **settings: object) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(path, **settings)  # type: ignore[arg-type]
    try:
        yield journal
    finally:
        journal.close(timeout_s=0.5)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


def filler(step: int, size: int = 4_000) -> Record:
    """A record that does not compress."""
    return Record(boot=1, step=step, kind=INPUTS, payload=random.Random(step).randbytes(size))


def a_story(boots: int = 1) -> list[Record]:
    core = TallyCore("3")
    out: list[Record] = []
    step = 0
    for number in range(1, boots + 1):
        out.append(boot(number, step))
        if step:
            out.append(snapshot_record(number, step, core.snapshot()))
        out += run(core, number, range(step + 1, step + 13), snapshot_every=5)
        step += 12
    return out


def fill(journal: SqliteJournal | MemoryJournal, records: list[Record]) -> None:
    for record in records:
        journal.append(record)


async def test_what_was_appended_comes_back_in_order_after_a_clean_close(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    took: list[float] = []
    with opened(path, on_commit=took.append) as journal:
        fill(journal, a_story())
        assert await journal.barrier(5_000)
        journal.append(inputs_after := boot(2, 12))
        assert journal.close()
        assert journal.close()
        assert (journal.records_written, journal.commits) == (len(a_story()) + 1, len(took))
        assert 0 < journal.bytes_written < 20_000 and all(t > 0 for t in took)
        with pytest.raises(JournalError, match="closed"):
            journal.append(boot(3))
    assert os.listdir(tmp_path) == ["j.db"]  # noqa: PTH208  (the log is merged and gone)
    assert list(read_records(path)) == [*a_story(), inputs_after]


def test_disk_and_memory_recover_and_replay_alike(tmp_path: Path) -> None:
    records = a_story(boots=3)
    memory = MemoryJournal()
    fill(memory, records)
    memory.make_durable()
    with opened(tmp_path / "j.db") as journal:
        fill(journal, records)
        assert journal.flush(5.0)
        # The file of a living daemon can be read.
        assert recover_file(tmp_path / "j.db") == memory.recover()
    on_disk = replay(read_records(tmp_path / "j.db"), TallyCore)
    assert on_disk == replay(memory.durable, TallyCore)
    assert on_disk.identical and on_disk.steps == 36
    assert len(list(read_segments(tmp_path / "j.db"))) == len(on_disk.segments)


@pytest.mark.parametrize("damaged", [1, 2, 99])
def test_recovery_from_a_file_passes_over_damaged_snapshots(tmp_path: Path, damaged: int) -> None:
    path = tmp_path / "j.db"
    records = a_story(boots=2)
    with opened(path) as journal:
        fill(journal, records)
    with closing(sqlite3.connect(path)) as connection, connection:
        found = connection.execute("SELECT seq FROM record WHERE kind = 'snapshot' ORDER BY seq DESC").fetchall()
        for i, (seq,) in enumerate(found[:damaged]):
            # One by a wrong checksum, the others by bytes that cannot even be unpacked.
            garbage = (1, zlib.compress(b"x" * 30)) if i == 0 else (1, b"garbage")
            connection.execute("UPDATE record SET packed = ?, payload = ? WHERE seq = ?", (*garbage, seq))
    snapshots = [r for r in records if r.kind == SNAPSHOT]
    recovery = recover_file(path)
    if damaged < len(snapshots):
        assert recovery.snapshot == snapshots[-1 - damaged]
        after = records[records.index(snapshots[-1 - damaged]) + 1 :]
        assert recovery.records == tuple(r for r in after if r.kind != SNAPSHOT)
    else:
        assert recovery.snapshot is None and recovery.records[0] == records[0]
    assert len(recovery.damage) == min(damaged, len(snapshots))
    assert recovery.booted is not None and recovery.booted.boot == recovery.boot == 2


def test_a_damaged_record_other_than_a_snapshot_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with opened(path) as journal:
        fill(journal, a_story())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE record SET packed = 1, payload = x'00' WHERE kind = 'inputs' AND step = 12")
    with pytest.raises(JournalError, match=r"inputs record of step 12 \(boot 1\) is damaged.*move the file"):
        recover_file(path)


def test_a_missing_or_empty_file_is_an_empty_journal(tmp_path: Path) -> None:
    assert recover_file(tmp_path / "none.db").boot == 0
    (tmp_path / "empty.db").touch()
    assert recover_file(tmp_path / "empty.db").records == ()
    assert list(read_records(tmp_path / "empty.db")) == []
    with pytest.raises(JournalError, match="no such file"):
        list(read_records(tmp_path / "none.db"))
    with opened(tmp_path / "empty.db") as journal:
        journal.append(boot(1))
    assert recover_file(tmp_path / "empty.db").boot == 1


def test_a_maker_that_died_before_the_schema_leaves_a_file_that_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    assert path.stat().st_size > 0
    assert recover_file(path).boot == 0
    with opened(path) as journal:
        journal.append(boot(1))
    assert recover_file(path).boot == 1


def spoil(path: Path, how: str) -> None:
    if how == "text":
        path.write_text("site: {id: cabinet-17}\n" * 300)
    elif how == "other":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE t (x)")
    elif how == "format":
        with opened(path):
            pass
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 9")
    elif how == "pages":
        with opened(path) as journal:
            fill(journal, [filler(i) for i in range(50)])
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
    elif how == "directory":
        path.mkdir()


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("text", "file is not a database; if it is damaged, move the file"),
        ("other", "not a journal of scowl-edge; move the file"),
        ("format", "it has format 9, this version reads format 2; start the version that wrote it, or move"),
        ("pages", "malformed; if it is damaged, move the file"),
        ("directory", "Is a directory; the directory must exist and be writable"),
    ],
)
def test_a_file_that_is_no_journal_is_refused_with_what_to_do(tmp_path: Path, how: str, text: str) -> None:
    path = tmp_path / "j.db"
    spoil(path, how)
    with pytest.raises(JournalError, match=f"open journal {path}: .*{text}"):
        SqliteJournal(path)
    if how != "directory":
        with pytest.raises(JournalError, match=text):
            recover_file(path)
        path.unlink()
        with opened(path) as journal:
            journal.append(boot(1))
            assert journal.flush(5.0)


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file or directory; the directory must exist"):
        SqliteJournal(tmp_path / "none" / "j.db")


_SECOND_WRITER = """
import sys
from pathlib import Path
from scowl_edge.journal import JournalError, SqliteJournal
try:
    SqliteJournal(Path(sys.argv[1])).close()
    print("opened")
except JournalError as error:
    print(error)
"""


def second_writer(path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", _SECOND_WRITER, str(path)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with opened(path) as journal:
        assert "another scowl-edge writes it" in second_writer(path)
        with pytest.raises(JournalError, match="another scowl-edge writes it"):
            SqliteJournal(path)
        # The refused ones took nothing from the first.
        assert "another scowl-edge writes it" in second_writer(path)
        fill(journal, a_story())
        assert journal.flush(5.0)
    assert second_writer(path) == "opened\n"
    with opened(path):
        pass


@contextmanager
def tiny_disk(tmp_path: Path) -> Iterator[Path | None]:
    """A tmpfs of 512 kB where this user may mount one."""
    place = tmp_path / "tiny"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)], capture_output=True)
    if done.returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


async def test_a_full_disk_is_answered_and_written_on_when_space_returns(tmp_path: Path) -> None:
    with tiny_disk(tmp_path) as disk:
        path = (disk or tmp_path) / "j.db"
        ballast = path.with_name("ballast")
        with opened(path) as journal:
            connection = journal._connection
            assert connection is not None
            if disk is None:
                pages = connection.execute("PRAGMA page_count").fetchone()[0]
                connection.execute(f"PRAGMA max_page_count = {pages + 4}")
            else:
                ballast.write_bytes(b"x" * 300_000)
            records = [filler(i) for i in range(60)]
            fill(journal, records)
            started = time.monotonic()
            assert not await journal.barrier(5_000)
            assert time.monotonic() - started < 4, "an error is told at once, not after the time-out"
            assert not journal.healthy and "full" in journal.last_error
            assert not await journal.barrier(5_000)
            journal.append(filler(60))
            assert journal.queued == 61
            if disk is None:
                connection.execute("PRAGMA max_page_count = 1000000")
            else:
                ballast.unlink()
            until(lambda: journal.healthy and not journal.queued, "written on after space returned")
            assert await journal.barrier(5_000)
            assert journal.last_error == ""
        assert list(read_records(path)) == [*records, filler(60)]


async def test_the_page_limit_of_sqlite_is_met_like_a_full_disk(tmp_path: Path) -> None:
    with opened(tmp_path / "j.db") as journal:
        connection = journal._connection
        assert connection is not None
        connection.execute("PRAGMA max_page_count = 8")
        fill(journal, [filler(i) for i in range(20)])
        assert not await journal.barrier(5_000)
        assert "full" in journal.last_error
        connection.execute("PRAGMA max_page_count = 1000000")
        until(lambda: not journal.queued, "written on")
    assert len(list(read_records(tmp_path / "j.db"))) == 20


async def test_a_lock_held_by_another_is_waited_for_no_longer_than_allowed(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with opened(path, busy_ms=400) as journal, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        journal.append(boot(1))
        started = time.monotonic()
        assert not await journal.barrier(100)
        assert 0.09 < time.monotonic() - started < 0.35
        until(lambda: not journal.healthy, "the lock is seen as an error")
        assert "locked" in journal.last_error
        journal.append(boot(2))
        other.execute("ROLLBACK")
        until(lambda: journal.healthy, "written on")
        assert await journal.barrier(5_000)
    assert [r.boot for r in read_records(path)] == [1, 2]


async def test_a_stalled_disk_fills_the_queue_and_then_refuses(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with (
        opened(path, busy_ms=50, max_records=10, max_bytes=100_000) as journal,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        with pytest.raises(JournalFull, match="0 records"):
            journal.append(filler(0, 100_001))
        other.execute("BEGIN IMMEDIATE")
        fill(journal, [filler(i, 10) for i in range(10)])
        until(lambda: not journal.healthy, "the lock is seen as an error")
        with pytest.raises(
            JournalFull, match=r"inputs record of step 10 .* 10 records \(100 bytes\) wait already.*locked"
        ):
            journal.append(filler(10, 10))
        other.execute("ROLLBACK")
        until(lambda: not journal.queued, "written on")
        journal.append(filler(11, 10))
        assert await journal.barrier(5_000)
    assert [r.step for r in read_records(path)] == [*range(10), 11]


async def test_a_file_that_was_moved_away_is_an_error_and_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with opened(path) as journal:
        journal.append(boot(1))
        assert await journal.barrier(5_000)
        path.rename(tmp_path / "elsewhere.db")
        journal.append(boot(2))
        assert not await journal.barrier(5_000)
        assert "No such file" in journal.last_error
        (tmp_path / "elsewhere.db").rename(path)
        until(lambda: journal.healthy and not journal.queued, "written on when the file is back")
    assert [r.boot for r in read_records(path)] == [1, 2]


def test_close_gives_up_on_a_disk_that_stays_bad(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    journal = SqliteJournal(path, busy_ms=50)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        journal.append(boot(1))
        started = time.monotonic()
        assert not journal.close(timeout_s=0.3)
        assert time.monotonic() - started < 2
        other.execute("ROLLBACK")
    with opened(path) as again:
        assert again.healthy


async def test_many_waiters_share_a_commit(tmp_path: Path) -> None:
    with opened(tmp_path / "j.db") as journal:

        async def producer(number: int) -> bool:
            journal.append(boot(number))
            return await journal.barrier(5_000)

        assert all(await asyncio.gather(*(producer(i) for i in range(500))))
        assert journal.commits < 100
        commits = journal.commits
        assert await journal.barrier(0)
        assert journal.commits == commits


def test_a_record_for_which_nobody_waits_is_written_soon(tmp_path: Path) -> None:
    with opened(tmp_path / "j.db", linger_ms=30) as journal:
        journal.append(boot(1))
        until(lambda: journal.records_written == 1, "written without a barrier", timeout_s=2)


def test_a_barrier_whose_loop_is_gone_hurts_nobody(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with opened(path, busy_ms=5_000) as journal, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        journal.append(boot(1))

        async def leave() -> None:
            task = asyncio.create_task(journal.barrier(60_000))
            await asyncio.sleep(0)
            task.cancel()

        asyncio.run(leave())
        other.execute("ROLLBACK")
        assert journal.flush(5.0)


class Days:
    """A wall clock that the test moves; None while it is not to be trusted."""

    def __init__(self) -> None:
        self.now: int | None = 0

    def __call__(self) -> int | None:
        return self.now


def test_retention_deletes_whole_segments_and_keeps_what_a_replay_needs(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    clock = Days()
    core = TallyCore("3")
    day = 86_400_000
    with opened(path, keep_ms=3 * day, utc_ms=clock, retention_every_ms=1) as journal:
        for number, last_step in enumerate((30, 60, 90), start=1):
            journal.append(boot(number, last_step - 30))
            if number > 1:
                journal.append(snapshot_record(number, last_step - 30, core.snapshot()))
            for step in range(last_step - 29, last_step + 1):
                clock.now = step * day // 10
                fill(journal, run(core, number, range(step, step + 1), snapshot_every=5))
                assert journal.flush(5.0)
        # Day 9: snapshots before day 6 are older than 3 days; the newest of them is that after step 55.
        until(lambda: next(r.step for r in read_records(path) if r.kind == SNAPSHOT) == 55, "old segments deleted")
        commits = journal.commits
        clock.now = None
        journal.append(boot(4, 90))
        until(lambda: journal.commits > commits, "written")
    records = list(read_records(path))
    assert [(r.boot, r.step) for r in records if r.kind == BOOT] == [(2, 30), (3, 60), (4, 90)]
    assert min(r.step for r in records if r.kind == INPUTS) == 56
    report = replay(records, TallyCore)
    assert (report.identical, report.steps, report.uncovered) == (True, 35, 0)
    assert recover_file(path).boot == 4


def test_nothing_is_deleted_while_the_clock_cannot_be_trusted(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    clock = Days()
    clock.now = None
    looked: list[int] = []

    def utc_ms() -> int | None:
        looked.append(1)
        return clock()

    with opened(path, keep_ms=1, utc_ms=utc_ms, retention_every_ms=1) as journal:
        fill(journal, a_story())
        assert journal.flush(5.0)
        # The clock is set at last: what was written before is of unknown age, and stays until a later snapshot ages.
        clock.now = 1_767_268_800_000
        before = len(looked)
        until(lambda: len(looked) > before + 5, "retention has looked")
        assert list(read_records(path)) == a_story()


def test_retention_in_small_steps_gets_through_a_long_journal(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    clock = Days()
    with opened(path, keep_ms=1_000, utc_ms=clock, retention_every_ms=20) as journal:
        journal.append(boot(1))
        fill(journal, [filler(i, 10) for i in range(1, 3_000)])
        journal.append(snapshot_record(1, 2_999, b"state"))
        journal.append(filler(3_000, 10))
        assert journal.flush(5.0)
        clock.now = 1_000_000
        until(lambda: len(list(read_records(path))) == 3, "all before the snapshot deleted but the boot")
    assert [r.kind for r in read_records(path)] == [BOOT, SNAPSHOT, INPUTS]


_WRITER = """
import sys
from pathlib import Path
from scowl_edge.contracts import Record
from scowl_edge.journal.store import SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]), linger_ms=5)
step = int(sys.argv[2])
while True:
    for _ in range(7):
        step += 1
        journal.append(Record(boot=1, step=step, kind="inputs", payload=b"%d" % step * 20))
    if not journal.flush(10.0):
        sys.exit("a barrier failed: " + journal.last_error)
    print(step, flush=True)
"""


def test_kill_9_takes_nothing_that_a_barrier_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    last = 0
    for _ in range(3):
        acknowledged = draw.randrange(1, 40)
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(last)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            told = last
            for _ in range(acknowledged):
                told = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            # What it told between our last line and the signal was acknowledged as well.
            for line in writer.stdout.read().splitlines(keepends=True):
                if line.endswith("\n"):
                    told = int(line)
        steps = [r.step for r in read_records(path)]
        assert steps == list(range(1, len(steps) + 1)), f"seed {seed}"
        assert len(steps) >= told, f"seed {seed}: {told} were acknowledged, {len(steps)} are there"
        assert all(r.payload == b"%d" % r.step * 20 for r in read_records(path))
        last = len(steps)


def test_a_torn_tail_of_the_log_is_left_out(tmp_path: Path) -> None:
    path, copy = tmp_path / "j.db", tmp_path / "copy.db"
    with opened(path) as journal:
        for step in range(1, 11):
            journal.append(filler(step))
            assert journal.flush(5.0)
        # As the disk looks when power fails in the middle of a write.
        shutil.copy(path, copy)
        log = (tmp_path / "j.db-wal").read_bytes()
    (tmp_path / "copy.db-wal").write_bytes(log[:-2_000])
    assert [r.step for r in read_records(copy)] == list(range(1, 10))
    with opened(copy) as journal:
        journal.append(filler(10))
        assert journal.flush(5.0)
    assert [r.step for r in read_records(copy)] == list(range(1, 11))
