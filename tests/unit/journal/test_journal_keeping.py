"""The file stays within its bound, gives space back, and no commit ever waits for more than one short step of that."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tally import TallyCore, boot, run

from scowl_edge.contracts import Record
from scowl_edge.journal.file import connect, prepare, read_records, recover_file
from scowl_edge.journal.keeping import FOLD_AFTER_PAGES, PAGES_AT_ONCE, ROWS_AT_ONCE, Keeper
from scowl_edge.journal.records import BOOT, INPUTS, SENDING, SNAPSHOT
from scowl_edge.journal.replay import replay
from scowl_edge.journal.store import SqliteJournal


@contextmanager
def opened(path: Path, **settings: object) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(path, **settings)  # type: ignore[arg-type]
    try:
        yield journal
    finally:
        journal.close(timeout_s=2)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


def ballast(step: int, size: int) -> Record:
    """What does not compress and does not matter to a replay."""
    return Record(boot=1, step=step, kind=SENDING, payload=random.Random(step).randbytes(size))


def story(first: int, last: int, core: TallyCore, size: int = 2_000) -> list[Record]:
    """Steps with a snapshot every 50 and `size` bytes of ballast in each."""
    out: list[Record] = [boot(1)] if first == 1 else []
    for step in range(first, last + 1):
        out += [ballast(step, size), *run(core, 1, range(step, step + 1), snapshot_every=50)]
    return out


def fill(journal: SqliteJournal, records: list[Record]) -> None:
    for record in records:
        journal.append(record)
    assert journal.flush(10.0)


def size_of(path: Path) -> int:
    return sum(p.stat().st_size for p in path.parent.glob(f"{path.name}*") if not p.name.endswith("-shm"))


def pragma(path: Path, name: str) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


LIMIT = 2_500_000


def test_the_oldest_segments_go_when_the_file_outgrows_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    core = TallyCore("3")
    with opened(path, limit_bytes=LIMIT, retention_every_ms=20) as journal:
        for first in range(1, 1001, 100):
            fill(journal, story(first, first + 99, core, size=4_000))
        until(lambda: size_of(path) <= LIMIT and journal.keeper.size_bytes <= LIMIT, "within its bound")
        assert not journal.keeper.over_limit
        assert 5 <= journal.keeper.segments_dropped < 20
        assert not journal.keeping_error
    records = list(read_records(path))
    assert records[0].kind == BOOT and records[1].kind == SNAPSHOT
    # About 5 kB a step: what fits beside the log is kept, in whole segments.
    assert {r.step for r in records if r.kind == INPUTS} == set(range(records[1].step + 1, 1001))
    assert 300 < records[1].step < 950
    report = replay(records, TallyCore)
    assert report.identical and report.uncovered == 0 and report.steps == 1000 - records[1].step
    found = recover_file(path)
    assert found.step == 1000 and found.snapshot is not None and found.snapshot.step == 1000


def test_what_a_restart_needs_is_never_taken_and_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    core = TallyCore("3")
    with opened(path, limit_bytes=1_150_000, retention_every_ms=20) as journal:
        fill(journal, story(1, 130, core, size=45_000))
        until(lambda: journal.keeper.over_limit, "said that it does not fit")
        until(lambda: min(r.step for r in read_records(path) if r.kind == INPUTS) == 101, "all else was taken")
        # More and more comes, and no snapshot: nothing of it may go.
        fill(journal, story(131, 149, core, size=45_000))
        steps = journal.keeper.steps
        until(lambda: journal.keeper.steps > steps + 2, "looked again")
        assert journal.keeper.over_limit
        # The next snapshot sets the segment before it free; it fits again once the ballast is small.
        fill(journal, [*story(150, 150, core, size=10), *story(151, 160, core, size=10)])
        until(lambda: not journal.keeper.over_limit, "fits again")
    assert recover_file(path).step == 160
    assert replay(read_records(path), TallyCore).identical
    assert min(r.step for r in read_records(path) if r.kind == INPUTS) == 151


def test_the_bound_needs_no_trusted_clock(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with opened(path, limit_bytes=LIMIT, keep_ms=1, utc_ms=lambda: None, retention_every_ms=20) as journal:
        fill(journal, story(1, 900, TallyCore("3"), size=4_000))
        until(lambda: size_of(path) <= LIMIT, "within its bound")
    assert replay(read_records(path), TallyCore).identical


def test_space_that_retention_frees_goes_back_to_the_file_system(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    now = [0]
    core = TallyCore("3")
    with opened(path, keep_ms=1_000, utc_ms=lambda: now[0], retention_every_ms=20) as journal:
        fill(journal, story(1, 1_500, core))
        before = pragma(path, "page_count")
        now[0] = 1_000_000
        until(lambda: pragma(path, "page_count") < 300, f"{before} pages given back")
        fill(journal, story(1_501, 1_510, core))
    assert before > 1_000
    assert path.stat().st_size < 300 * 4096
    assert replay(read_records(path), TallyCore).identical


def test_a_file_of_before_is_kept_without_giving_space_back(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    with closing(prepare_without_auto_vacuum(path)):
        pass
    assert pragma(path, "auto_vacuum") == 0
    now = [0]
    with opened(path, keep_ms=1_000, utc_ms=lambda: now[0], retention_every_ms=20) as journal:
        fill(journal, story(1, 400, TallyCore("3")))
        pages = pragma(path, "page_count")
        now[0] = 1_000_000
        until(lambda: pragma(path, "freelist_count") > pages // 2, "old segments deleted")
        assert not journal.keeping_error
    assert pragma(path, "page_count") >= pages


def prepare_without_auto_vacuum(path: Path) -> sqlite3.Connection:
    """An empty journal as an earlier version made it."""
    path.touch()
    prepare(path).close()
    connection = connect(path, writable=True)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA auto_vacuum = NONE")
    connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def test_a_new_file_can_give_space_back(tmp_path: Path) -> None:
    for name, maker_died in (("new.db", False), ("begun.db", True)):
        path = tmp_path / name
        if maker_died:
            with closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        with opened(path):
            pass
        assert pragma(path, "auto_vacuum") == 2


def test_each_step_is_short(tmp_path: Path) -> None:
    """Counted in rows and pages: what a commit may have to wait for."""
    path = tmp_path / "j.db"
    with opened(path) as journal:
        fill(journal, story(1, 1_200, TallyCore("3")))
    with closing(connect(path, writable=True)) as connection:

        def count(what: str) -> int:
            return int(connection.execute(what).fetchone()[0])

        keeper = Keeper(path, keep_ms=1, limit_bytes=0, utc_ms=lambda: 1 << 50)
        connection.execute("UPDATE record SET written_utc_ms = 0")
        rows, pages = count("SELECT count(*) FROM record"), count("PRAGMA page_count")
        first_pages, kinds = pages, {"delete": 0, "shrink": 0, "fold": 0}
        while True:
            folding = keeper.fold_due
            if not keeper.step(connection) and not folding:
                break
            left_rows, left_pages = count("SELECT count(*) FROM record"), count("PRAGMA page_count")
            assert 0 <= rows - left_rows <= ROWS_AT_ONCE
            # Pages that only said where others lay go along with them.
            assert 0 <= pages - left_pages <= PAGES_AT_ONCE + 2
            assert rows == left_rows or pages == left_pages
            kinds["delete" if rows > left_rows else "shrink" if pages > left_pages else "fold"] += 1
            rows, pages = left_rows, left_pages
            assert replay(read_records(path), TallyCore).identical if kinds["delete"] % 6 == 1 else True
        assert kinds["delete"] >= 3_600 // ROWS_AT_ONCE - 1
        assert kinds["shrink"] >= (first_pages - 400) // PAGES_AT_ONCE
        assert kinds["fold"] >= kinds["delete"]
        assert pages < 300 + FOLD_AFTER_PAGES


def test_no_commit_waits_for_more_than_one_step(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    now = [0]
    core = TallyCore("3")
    steps_at_commit: list[int] = []

    def note(_: float) -> None:
        steps_at_commit.append(journal.keeper.steps)

    with opened(path, keep_ms=1_000, utc_ms=lambda: now[0], retention_every_ms=5, on_commit=note) as journal:
        fill(journal, story(1, 1_000, core))
        now[0] = 1_000_000
        began, most, commits = journal.keeper.steps, 0, 0
        while pragma(path, "page_count") > 300:
            assert commits < 5_000, "compaction goes on between commits"
            journal.append(ballast(2_000, 100))
            before = journal.keeper.steps
            assert journal.flush(10.0)
            commits += 1
            most = max(most, steps_at_commit[-1] - before)
        assert journal.keeper.steps - began > 30
    assert commits > 5 and most <= 1


def test_the_log_is_folded_in_while_records_come(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    log = tmp_path / "j.db-wal"
    largest = 0
    with opened(path) as journal:
        for step in range(200):
            journal.append(ballast(step, 40_000))
            assert journal.flush(10.0)
            largest = max(largest, log.stat().st_size)
        until(lambda: path.stat().st_size > 6_000_000, "folded in")
    assert largest < 2_000_000, f"8 MB written, log up to {largest}"


def test_a_reader_is_undisturbed_and_hinders_nobody(tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    now = [0]
    core = TallyCore("3")
    with opened(path, keep_ms=1_000, utc_ms=lambda: now[0], retention_every_ms=5) as journal:
        fill(journal, story(1, 1_200, core))
        reading = read_records(path)
        seen = [next(reading) for _ in range(10)]
        now[0] = 1_000_000
        until(lambda: pragma(path, "page_count") < 300, "compacted while somebody reads")
        fill(journal, story(1_201, 1_210, core))
        seen += list(reading)
    steps = [r.step for r in seen if r.kind == INPUTS]
    assert steps == sorted(set(steps)) and steps[:2] == [1, 2] and steps[-1] == 1_210
    assert replay(seen, TallyCore).identical


def test_trouble_with_keeping_keeps_no_record_from_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j.db"
    tried = threading.Event()

    def full(self: Keeper, connection: sqlite3.Connection) -> bool:
        tried.set()
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Keeper, "_delete", full)
    with opened(path, keep_ms=1, retention_every_ms=5) as journal:
        assert tried.wait(5)
        fill(journal, story(1, 60, TallyCore("3")))
        assert journal.healthy and not journal.last_error
        until(lambda: "full" in journal.keeping_error, "said")
    assert replay(read_records(path), TallyCore).steps == 60


@pytest.mark.parametrize("failing", [1, 2])
def test_what_a_failed_commit_may_have_left_does_not_spoil_the_rest(tmp_path: Path, failing: int) -> None:
    """A commit that was told to have failed may be in the file all the same; its records then come twice."""
    path = tmp_path / "j.db"
    core = TallyCore("3")
    with opened(path) as journal:
        fill(journal, story(1, 3, core))
        real = journal._connection
        assert real is not None
        journal._connection = _Lying(real, failing)  # type: ignore[assignment]
        fill_slowly(journal, story(4, 6, core))
    steps = [r.step for r in read_records(path) if r.kind == INPUTS]
    assert sorted(set(steps)) == [1, 2, 3, 4, 5, 6] and len(steps) > 6


def fill_slowly(journal: SqliteJournal, records: list[Record]) -> None:
    for record in records:
        journal.append(record)
    until(lambda: not journal.queued, "written in the end")


class _Lying:
    """A connection whose commits succeed and then say that the disk failed, some times."""

    def __init__(self, real: sqlite3.Connection, failures: int) -> None:
        self._real = real
        self._left = failures

    def execute(self, sql: str, *rest: object) -> object:
        done = self._real.execute(sql, *rest)  # type: ignore[arg-type]
        if sql == "COMMIT" and self._left:
            self._left -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return done

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)
