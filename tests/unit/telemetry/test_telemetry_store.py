"""What was recorded is found again, within its bounds, whatever happens to the file or the configuration."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scowl_edge.model.reason import Reason
from scowl_edge.model.view import EventView, TrendRow
from scowl_edge.telemetry import StoredHistory, TelemetryStore
from scowl_edge.telemetry.buckets import Bucket
from scowl_edge.telemetry.file import GROUP, connect, numbers_of, pack, unpack
from scowl_edge.telemetry.store import span_that_fits

T0 = 1_767_268_800_000
SPAN = 10_000
DAY = 86_400_000
Point = tuple[str, str]


def names(count: int) -> list[Point]:
    return [(f"meter-{i // 4}", f"p{i % 4}") for i in range(count)]


@contextmanager
def opened(path: Path, points: Sequence[Point], now: int | None = T0, **settings: int) -> Iterator[TelemetryStore]:
    chosen = {"keep_ms": DAY, "every_ms": SPAN, "limit_bytes": 50_000_000} | settings
    store = TelemetryStore(path, points, utc_ms=lambda: now, **chosen)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        store.close()


def bucket(utc_ms: int, mean: np.ndarray, every_ms: int = SPAN) -> Bucket:
    mean = mean.astype(np.float32)
    return Bucket(utc_ms=utc_ms, every_ms=every_ms, low=mean - 1, mean=mean, high=mean + 1)


def until(condition: Callable[[], object], what: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.005)


def event(seq: int, utc_ms: int = T0, why: str = "x") -> EventView:
    return EventView(
        seq=seq, source_utc_ms=utc_ms, utc_ms=utc_ms, utc_ok=True, kind="boot", source="", priority="", who="",
        text=Reason("boot", (why,)),
    )  # fmt: skip


def trend(
    store: TelemetryStore, point: Point, most: int = 1_000_000, begin: int = T0 - 9 * DAY, end: int = T0 + 9 * DAY
) -> list[TrendRow]:
    assert store.flush(10)
    return StoredHistory(store.path, store.points).trend_now(point, begin, end, most)


@given(arrays(np.float32, (3, GROUP), elements=st.floats(width=32)))
def test_a_row_gives_back_every_value(block: np.ndarray) -> None:
    assert unpack(pack(block)).tobytes() == block.tobytes()
    assert unpack(pack(np.zeros_like(block))).tobytes() == np.zeros_like(block).tobytes()
    assert len(pack(np.full_like(block, np.nan))) < 60


def test_each_point_has_its_own_trend(tmp_path: Path) -> None:
    points = names(150)
    with opened(tmp_path / "t.db", points) as store:
        for i in range(20):
            assert store.put(bucket(T0 + i * SPAN, np.arange(150) * 100.0 + i))
        for at in (0, 63, 64, 149):
            expected = [TrendRow(T0 + i * SPAN, at * 100 + i - 1, at * 100 + i, at * 100 + i + 1) for i in range(20)]
            assert trend(store, points[at]) == expected
        assert trend(store, points[0], begin=T0 + 2 * SPAN, end=T0 + 4 * SPAN) == trend(store, points[0])[2:4]
        assert trend(store, ("nobody", "power")) == []
        assert (store.healthy, store.dropped, store.widened) == (True, 0, False)
        # Read beside the writer; a second reader asks when it is closed.
    assert len(StoredHistory(tmp_path / "t.db", points).trend_now(points[5], T0, T0 + DAY, 100)) == 20


def test_long_times_are_told_in_few_rows(tmp_path: Path) -> None:
    points = names(1)
    with opened(tmp_path / "t.db", points) as store:
        for i in range(50):
            value = np.nan if 20 <= i < 30 else float(i)
            store.put(bucket(T0 + i * SPAN, np.array([value])))
            assert store.flush(10)
        rows = trend(store, points[0], most=5, begin=T0, end=T0 + 50 * SPAN)
        assert [(r.low, r.mean, r.high) for r in rows] == [
            (-1, 4.5, 10), (9, 14.5, 20), (None, None, None), (29, 34.5, 40), (39, 44.5, 50),
        ]  # fmt: skip
        for most in range(1, 60):
            rows = trend(store, points[0], most=most, begin=T0 - 3 * SPAN, end=T0 + 77 * SPAN)
            assert 0 < len(rows) <= most
            assert min(r.low for r in rows if r.low is not None) == -1
            assert max(r.high for r in rows if r.high is not None) == 50
            assert [r.utc_ms for r in rows] == sorted(r.utc_ms for r in rows)


def test_a_trend_survives_another_order_of_points_and_a_pause(tmp_path: Path) -> None:
    path, points = tmp_path / "t.db", names(100)
    with opened(path, points) as store:
        store.put(bucket(T0, np.arange(100.0)))
    other = [("new", "power"), *reversed(points[:90])]
    with opened(path, other) as store:
        store.put(bucket(T0 + SPAN, np.concatenate([[7.0], np.arange(90.0)[::-1] + 0.5])))
        assert [r.mean for r in trend(store, points[3])] == [3.0, 3.5]
        assert [r.mean for r in trend(store, other[0])] == [None, 7.0]
    with opened(path, points) as store:
        store.put(bucket(T0 + 2 * SPAN, np.arange(100.0) + 0.75))
        assert [r.mean for r in trend(store, points[3])] == [3.0, 3.5, 3.75]
        assert [r.mean for r in trend(store, points[95])] == [95.0, None, 95.75]


def test_numbers_of_points_long_gone_are_given_away(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    for round_ in range(6):
        points = [(f"round-{round_}", f"p{i}") for i in range(64)]
        with opened(path, points, now=T0 + round_ * 2 * DAY) as store:
            store.put(bucket(T0 + round_ * 2 * DAY, np.full(64, float(round_))))
            assert [r.mean for r in trend(store, points[0], end=T0 + 20 * DAY)] == [float(round_)]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT max(id) FROM point").fetchone()[0] < 64 * 4


def test_points_of_one_device_that_stand_apart_keep_their_numbers_and_new_ones_take_the_lowest(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "t.db", writable=True)) as connection:
        first = numbers_of(connection, [("a", "1"), ("b", "1"), ("a", "2"), ("c", "1")], utc_ms=T0, keep_ms=DAY)
        assert first.tolist() == [0, 1, 2, 3]
        connection.execute("DELETE FROM point WHERE device = 'b' OR name = '2'")
        mixed = [("c", "1"), ("n", "1"), ("a", "3"), ("c", "2"), ("a", "1")]
        assert numbers_of(connection, mixed, utc_ms=T0, keep_ms=DAY).tolist() == [3, 1, 2, 4, 0]
        gone = connection.execute("SELECT count(*) FROM point WHERE gone_utc_ms NOT NULL")
        assert gone.fetchone()[0] == 0
        assert numbers_of(connection, [("n", "1")], utc_ms=T0, keep_ms=DAY).tolist() == [1]
        assert connection.execute("SELECT count(*) FROM point WHERE gone_utc_ms = ?", (T0,)).fetchone()[0] == 4
        assert numbers_of(connection, mixed[:3], utc_ms=None, keep_ms=DAY).tolist() == [3, 1, 2]
        assert connection.execute("SELECT id FROM point WHERE gone_utc_ms NOT NULL").fetchall() == [(0,), (4,)]


def test_what_is_too_old_goes_by_a_trusted_clock_only(tmp_path: Path) -> None:
    path, points = tmp_path / "t.db", names(10)
    with opened(path, points, now=None) as store:
        for day in range(5):
            store.put(bucket(T0 - day * DAY, np.zeros(10)))
        store.put(bucket(T0 + 40 * DAY, np.zeros(10)))
        store.put((event(1, T0 - 3 * DAY), event(2, T0)))
        assert [r.mean for r in trend(store, points[0])].count(0.0) == 5
    with opened(path, points, keep_ms=2 * DAY) as store:
        store.put(bucket(T0 + SPAN, np.zeros(10)))
        assert [r.utc_ms for r in trend(store, points[0], end=T0 + 99 * DAY) if r.mean is not None] == [
            T0 - 2 * DAY, T0 - DAY, T0, T0 + SPAN,
        ]  # fmt: skip
        assert [e.seq for e in StoredHistory(path, points).events_now(None, 9)] == [2]


@pytest.mark.parametrize(
    ("points", "limit", "expected"),
    [(100, 500_000_000, 10_000), (15_000, 500_000_000, 80_000), (15_000, 1 << 34, 10_000)],
)
def test_the_span_is_widened_until_all_fits(points: int, limit: int, expected: int) -> None:
    assert span_that_fits(points, every_ms=10_000, keep_ms=DAY, limit_bytes=limit) == expected
    assert span_that_fits(points, every_ms=1_500, keep_ms=DAY, limit_bytes=1 << 40) == 2_000


def test_a_file_that_would_outgrow_its_bound_has_wider_buckets_and_stays_within(tmp_path: Path) -> None:
    limit = 3_000_000
    path, points = tmp_path / "t.db", names(256)
    draw = np.random.default_rng(1)
    largest = 0
    with opened(path, points, now=None, limit_bytes=limit) as store:
        assert store.widened and store.every_ms == 160_000
        # Twice what was reckoned with, since nothing ages: the clock is not trusted.
        for i in range(2 * DAY // store.every_ms):
            store.put(bucket(T0 + i * store.every_ms, draw.normal(size=256), store.every_ms))
            if i % 30 == 0:
                assert store.flush(10)
                largest = max(largest, store.size_bytes)
        rows = trend(store, points[200])
        largest = max(largest, store.size_bytes)
        assert rows[-1].utc_ms == T0 + i * store.every_ms and rows[0].utc_ms > T0
        assert len(rows) > DAY // store.every_ms * 0.8
    assert limit * 0.5 < largest <= limit
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone()[0] == 2, "space can be given back"


def test_events_come_once_and_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with opened(path, [], most_events=50) as store:
        store.put(tuple(event(i) for i in range(1, 41)))
        store.put(tuple(event(i) for i in range(30, 61)))
        assert store.flush(10)
    with opened(path, [], most_events=50) as store:
        store.put(tuple(event(i) for i in range(50, 63)))
        assert store.flush(10)
        history = StoredHistory(path, [])
        assert [e.seq for e in history.events_now(None, 100)] == list(range(62, 12, -1))
        assert history.events_now(40, 2) == [event(39), event(38)]
        # The journal was moved away: numbers begin again.
        store.put((event(1, why="new"), event(2, why="new")))
        assert store.flush(10)
        assert history.events_now(None, 100) == [event(2, why="new"), event(1, why="new")]


async def test_questions_are_answered_beside_the_event_loop(tmp_path: Path) -> None:
    points = names(3)
    with opened(tmp_path / "t.db", points) as store:
        store.put(bucket(T0, np.array([1.0, 2.0, np.nan])))
        store.put((event(4),))
        assert store.flush(10)
        history = StoredHistory(store.path, points)
        assert await history.trend(1, T0, T0 + SPAN, 10) == [TrendRow(T0, 1.0, 2.0, 3.0)]
        assert await history.trend(2, T0, T0 + SPAN, 10) == [TrendRow(T0, None, None, None)]
        assert await history.events(None, 5) == [event(4)]


async def test_a_missing_file_has_nothing_to_tell(tmp_path: Path) -> None:
    history = StoredHistory(tmp_path / "none.db", names(1))
    assert await history.trend(0, 0, T0, 10) == [] and await history.events(None, 5) == []


@pytest.mark.parametrize("how", ["text", "pages", "format"])
def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(tmp_path: Path, how: str) -> None:
    path, points = tmp_path / "t.db", names(200)
    with opened(path, points) as store:
        for i in range(50):
            store.put(bucket(T0 + i * SPAN, np.random.default_rng(i).normal(size=200)))
            assert store.flush(10)
    if how == "text":
        path.write_text("not a database\n" * 1000)
    elif how == "pages":
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
    spoiled = path.read_bytes()
    with opened(path, points) as store:
        store.put(bucket(T0 + 60 * SPAN, np.full(200, 5.0)))
        assert [r.mean for r in trend(store, points[7])] == [5.0]
        assert store.moved_aside == tmp_path / "t.db.damaged" and store.healthy
    assert (tmp_path / "t.db.damaged").read_bytes()[100:] == spoiled[100:]


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE precious (x)")
    before = path.read_bytes()
    with opened(path, names(4)) as store:
        store.put(bucket(T0, np.zeros(4)))
        until(lambda: not store.healthy, "seen")
        assert "no telemetry of scowl-edge; name another file" in store.last_error
        assert store.moved_aside is None
        store.close(timeout_s=0.1)
    assert path.read_bytes() == before


def test_trouble_with_the_disk_is_counted_and_gets_over(tmp_path: Path) -> None:
    path, points = tmp_path / "later" / "t.db", names(4)
    with opened(path, points) as store:
        taken = [store.put(bucket(T0 + i * SPAN, np.full(4, float(i)))) for i in range(100)]
        assert taken == [True] * 64 + [False] * 36
        assert store.dropped == 36 and store.queued == 64
        until(lambda: not store.healthy, "seen")
        assert "unable to open" in store.last_error
        path.parent.mkdir()
        until(lambda: store.healthy and not store.queued, "written when the directory is there")
        assert [r.mean for r in trend(store, points[0])] == [float(i) for i in range(64)]
    assert not store.put(bucket(T0, np.zeros(4))), "closed"


def test_what_cannot_be_written_at_all_is_left_out(tmp_path: Path) -> None:
    points = names(4)
    with opened(tmp_path / "t.db", points) as store:
        store.put(bucket(T0, np.zeros(3)))
        store.put(bucket(T0 + SPAN, np.zeros(4)))
        assert [r.utc_ms for r in trend(store, points[0])] == [T0 + SPAN]
        assert store.dropped == 1 and store.healthy
