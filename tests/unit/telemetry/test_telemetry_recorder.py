"""What the recorder sees of a table: least, mean and greatest of what was good and fresh, and every event once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.model.reason import Reason
from scowl_edge.model.signal import Quality
from scowl_edge.model.view import EventView, TrendRow
from scowl_edge.telemetry import Recorder, TelemetryStore
from scowl_edge.telemetry.buckets import Gathering

T0 = 1_767_268_800_000
POINTS = [("wind-1", "power"), ("wind-1", "limit"), ("hall-a", "power")]
FRESH = [3_000, 60_000, 3_000]


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.ms = 0

    def mono_ms(self) -> int:
        return 500_000 + self.ms

    def utc_ms(self) -> int:
        return T0 + self.ms


class Table:
    """Three points."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.value = np.full(3, np.nan)
        self.quality = np.full(3, Quality.BAD, np.uint8)
        self.good_ms = np.full(3, -1, np.int64)

    def read(self, point: int, value: float, quality: Quality = Quality.GOOD) -> None:
        self.value[point], self.quality[point] = value, quality
        if quality != Quality.BAD:
            self.good_ms[point] = self._clock.mono_ms()


class Rig:
    """A recorder on a table and a clock that the test moves."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.table = Table(self.clock)
        self.events: list[EventView] = []
        self.store = TelemetryStore(
            path, POINTS, keep_ms=3_600_000, every_ms=10_000, limit_bytes=10_000_000, utc_ms=self.clock.utc_ms
        )
        self.recorder = Recorder(self.store, self.table, self.clock, FRESH, self._after, rate=1000.0)

    def _after(self, seq: int) -> list[EventView]:
        return self.events[seq:] if seq <= len(self.events) else list(self.events)

    def happen(self, count: int = 1) -> None:
        for _ in range(count):
            self.events.append(
                EventView(
                    seq=len(self.events) + 1, source_utc_ms=self.clock.utc_ms(), utc_ms=self.clock.utc_ms(),
                    utc_ok=True, kind="boot", source="", priority="", who="", text=Reason("boot", ()),
                )
            )  # fmt: skip

    def second(self) -> None:
        self.recorder.look()
        self.clock.ms += 1_000

    def rows(self, point: int) -> list[TrendRow]:
        assert self.store.flush(10)
        return self.recorder.history.trend_now(POINTS[point], T0, T0 + 3_600_000, 1_000)

    def seqs(self) -> list[int]:
        assert self.store.flush(10)
        return [e.seq for e in self.recorder.history.events_now(None, 1_000)]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "t.db")
    yield rig
    rig.store.close()


def test_a_bucket_holds_what_was_good_in_it(rig: Rig) -> None:
    for second in range(25):
        if second < 10:
            rig.table.read(0, float(second))
        elif second == 12:
            rig.table.read(0, 99.0, Quality.BAD)
        if second == 3:
            rig.table.read(1, 0.5, Quality.UNCERTAIN)
        rig.second()
    rig.recorder.close()
    # Read at 9 s for the last time and fresh for 3 s, had it not turned bad at 12 s.
    assert rig.rows(0) == [
        TrendRow(T0, 0.0, 4.5, 9.0), TrendRow(T0 + 10_000, 9.0, 9.0, 9.0), TrendRow(T0 + 20_000, None, None, None),
    ]  # fmt: skip
    assert [r.mean for r in rig.rows(1)] == [0.5, 0.5, 0.5]
    assert [r.mean for r in rig.rows(2)] == [None, None, None]


def test_a_value_that_is_no_longer_read_ends(rig: Rig) -> None:
    rig.table.read(2, 7.0)
    for _ in range(30):
        rig.second()
    rig.recorder.close()
    assert [r.mean for r in rig.rows(2)] == [7.0, None, None]


def test_every_event_is_kept_once_however_many_a_step_has(rig: Rig) -> None:
    rig.recorder.follow()
    assert rig.seqs() == []
    rig.happen(3)
    rig.recorder.follow()
    rig.recorder.follow()
    assert rig.seqs() == [3, 2, 1]
    rig.happen(700)
    rig.recorder.close()
    assert rig.seqs() == list(range(703, 0, -1))


async def test_what_the_file_does_not_have_yet_is_known(rig: Rig) -> None:
    rig.happen(1_500)
    rig.recorder.follow()
    assert rig.store.flush(10)
    rig.store.close()
    rig.happen(200)
    rig.recorder.follow()
    assert [e.seq for e in await rig.recorder.history.events(None, 2_000)] == list(range(1_700, 0, -1))
    assert [e.seq for e in await rig.recorder.history.events(1_600, 50)] == list(range(1_599, 1_549, -1))
    assert [e.seq for e in await rig.recorder.history.events(800, 900)] == list(range(799, 0, -1))


def test_a_new_journal_begins_its_events_anew(rig: Rig) -> None:
    rig.happen(5)
    rig.recorder.follow()
    del rig.events[:]
    rig.happen(2)
    rig.recorder.follow()
    assert rig.seqs() == [2, 1]


async def test_it_runs_until_it_is_cancelled(rig: Rig) -> None:
    rig.table.read(0, 1.0)
    task = asyncio.create_task(rig.recorder.run())
    async with asyncio.timeout(10):
        while not rig.store.records_written:
            rig.clock.ms += 500
            rig.table.read(0, 1.0)
            await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert rig.rows(0)[0].mean == 1.0


@given(st.lists(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=4, max_size=4), max_size=40))
def test_gathering_is_what_one_reckons_by_hand(looks: list[list[float | None]]) -> None:
    gathering = Gathering(4, 10_000)
    done = []
    for i, look in enumerate(looks):
        value = np.array([np.nan if v is None else v for v in look])
        found = gathering.add(T0 + i * 1_000, value, np.array([v is not None for v in look]))
        done += [found] if found is not None else []
    last = gathering.take()
    done += [last] if last is not None else []
    assert gathering.take() is None
    assert [b.utc_ms for b in done] == [T0 + i * 1_000 for i in range(0, len(looks), 10)]
    for b, first in zip(done, range(0, len(looks), 10), strict=True):
        for p in range(4):
            known = [v for look in looks[first : first + 10] if (v := look[p]) is not None]
            if not known:
                assert np.isnan([b.low[p], b.mean[p], b.high[p]]).all()
            else:
                expected = np.array([min(known), np.mean(known), max(known)], np.float32)
                assert np.allclose([b.low[p], b.mean[p], b.high[p]], expected, rtol=1e-6, atol=1e-3)
