"""Answers what people ask of the telemetry, on connections that only read."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.codec import CodecError, decode
from scowl_edge.model.view import EventView, TrendRow
from scowl_edge.telemetry.file import GROUP, GROUPS, NotTelemetry, connect, picked, unpack

_AT_ONCE = 2
"""Questions that are looked up side by side; the others wait."""
_RECENT = 1_000


class StoredHistory:
    """Trends and events of one file, looked up in threads. A file that is missing or broken has nothing to tell."""

    def __init__(self, path: Path, points: Sequence[tuple[str, str]]) -> None:
        """`points` are (device, name) of each row of the point table."""
        self._path = path
        self._points = points
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._recent: deque[EventView] = deque(maxlen=_RECENT)

    def take(self, events: Sequence[EventView]) -> None:
        """Knows some events, oldest first, while they are still on their way into the file."""
        while self._recent and events and self._recent[-1].seq >= events[0].seq:
            self._recent.pop()
        self._recent.extend(events)

    async def trend(self, point: int, from_utc_ms: int, to_utc_ms: int, most: int) -> Sequence[TrendRow]:
        """At most `most` rows of a point, oldest first; stretches are as long as it takes.

        A stretch in which nothing was recorded between two others has a row without values.
        """
        async with self._turns:
            return await asyncio.to_thread(self.trend_now, self._points[point], from_utc_ms, to_utc_ms, most)

    async def events(self, before_seq: int | None, most: int) -> Sequence[EventView]:
        """Events with a smaller number (None: the newest), newest first."""
        recent = [e for e in reversed(self._recent) if before_seq is None or e.seq < before_seq][:most]
        if len(recent) == most:
            return recent
        oldest = recent[-1].seq if recent else before_seq
        async with self._turns:
            return recent + await asyncio.to_thread(self.events_now, oldest, most - len(recent))

    def trend_now(self, point: tuple[str, str], from_utc_ms: int, to_utc_ms: int, most: int) -> list[TrendRow]:
        """As `trend`, in the calling thread, of a point by its device and name."""
        try:
            with closing(connect(self._path, writable=False)) as connection:
                found = _buckets(connection, point, from_utc_ms, to_utc_ms)
        except (sqlite3.Error, NotTelemetry, ValueError):
            return []
        return _merged(found, most) if found is not None else []

    def events_now(self, before_seq: int | None, most: int) -> list[EventView]:
        """As `events`, of what is in the file, in the calling thread."""
        try:
            with closing(connect(self._path, writable=False)) as connection:
                rows = connection.execute(
                    "SELECT data FROM event WHERE seq < ? ORDER BY seq DESC LIMIT ?",
                    (before_seq if before_seq is not None else 1 << 62, most),
                ).fetchall()
        except (sqlite3.Error, NotTelemetry):
            return []
        return list(_events(rows))


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Buckets of one point, oldest first; NaN where there was no good value."""

    utc_ms: NDArray[np.int64]
    every_ms: NDArray[np.int64]
    low: NDArray[np.float64]
    mean: NDArray[np.float64]
    high: NDArray[np.float64]


def _buckets(connection: sqlite3.Connection, point: tuple[str, str], from_utc_ms: int, to_utc_ms: int) -> _Found | None:
    """All buckets of a point that begin in a time. A day of them is thousands: as little Python a row as can be."""
    row = connection.execute("SELECT id FROM point WHERE device = ? AND name = ?", point).fetchone()
    if row is None:
        return None
    group, slot = divmod(row[0], GROUP)
    rows = connection.execute(
        "SELECT b.utc_s, b.every_ms, t.data FROM bucket b LEFT JOIN trend t ON t.key = b.utc_s * ? + ? "
        "WHERE b.utc_s >= ? AND b.utc_s < ? ORDER BY b.utc_s",
        (GROUPS, group, _seconds(from_utc_ms), _seconds(to_utc_ms)),
    ).fetchall()
    if not rows:
        return None
    values = picked([data for _, _, data in rows], slot).astype(np.float64)
    return _Found(
        utc_ms=np.array([second for second, _, _ in rows], np.int64) * 1000,
        every_ms=np.array([every for _, every, _ in rows], np.int64),
        low=values[:, 0],
        mean=values[:, 1],
        high=values[:, 2],
    )


def _merged(found: _Found, most: int) -> list[TrendRow]:
    """Buckets in stretches of one length, all of those between the first and the last that anything is known of."""
    first, last = int(found.utc_ms[0]), int(found.utc_ms[-1])
    widest = int(found.every_ms.max())
    # A multiple of the buckets' span, on the same grid: no stretch gets one bucket more than its neighbours.
    length = widest * max(1, (last - first) // (widest * most))
    while last // length - first // length + 1 > most:
        length += widest
    stretch = found.utc_ms // length
    begins = np.flatnonzero(np.diff(stretch, prepend=stretch[0] - 1))
    weight = np.where(np.isnan(found.mean), 0, found.every_ms)
    low, high = np.fmin.reduceat(found.low, begins), np.fmax.reduceat(found.high, begins)
    weights = np.add.reduceat(weight, begins)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (
            np.add.reduceat(np.nan_to_num(found.mean, nan=0.0, posinf=np.inf, neginf=-np.inf) * weight, begins)
            / weights
        )
    known = {
        int(number): TrendRow(int(number) * length, *values) if weights[i] else None
        for i, (number, *values) in enumerate(
            zip(stretch[begins].tolist(), low.tolist(), mean.tolist(), high.tolist(), strict=True)
        )
    }
    return [
        known.get(number) or TrendRow(number * length, None, None, None)
        for number in range(first // length, last // length + 1)
    ]


def _events(rows: Sequence[tuple[bytes]]) -> Iterator[EventView]:
    for (data,) in rows:
        try:
            yield decode(EventView, data)
        except CodecError:
            # Of another version; the next start of that one reads it again.
            continue


Trend = tuple[int, int, str, str, float, float, float]
"""utc_ms, every_ms, device, point, low, mean, high."""


def all_trends(path: Path, from_utc_ms: int, to_utc_ms: int) -> Iterator[Trend]:
    """Every good value of a time, bucket by bucket. A few buckets are read at a time, so that the writer goes on.

    Raises:
        sqlite3.Error: As SQLite says.
        NotTelemetry: The file is something else.
    """
    begin, end = _seconds(from_utc_ms), _seconds(to_utc_ms)
    with closing(connect(path, writable=False)) as connection:
        names = {i: (d, n) for i, d, n in connection.execute("SELECT id, device, name FROM point")}
        while rows := connection.execute(
            "SELECT utc_s, every_ms FROM bucket WHERE utc_s >= ? AND utc_s < ? ORDER BY utc_s LIMIT 20", (begin, end)
        ).fetchall():
            for second, every_ms in rows:
                for key, data in connection.execute(
                    "SELECT key, data FROM trend WHERE key >= ? AND key < ?", (second * GROUPS, (second + 1) * GROUPS)
                ).fetchall():
                    first = key % GROUPS * GROUP
                    for slot, (low, mean, high) in enumerate(unpack(data).T.tolist()):
                        if mean == mean and (name := names.get(first + slot)) is not None:
                            yield second * 1000, every_ms, *name, low, mean, high
            begin = rows[-1][0] + 1


def all_events(path: Path, from_utc_ms: int, to_utc_ms: int) -> Iterator[EventView]:
    """Every event of a time, oldest first. Raises as `all_trends`."""
    after = -1
    with closing(connect(path, writable=False)) as connection:
        while rows := connection.execute(
            "SELECT seq, data FROM event WHERE seq > ? AND utc_ms >= ? AND utc_ms < ? ORDER BY seq LIMIT 500",
            (after, from_utc_ms, to_utc_ms),
        ).fetchall():
            after = rows[-1][0]
            yield from _events([(data,) for _, data in rows])


def _seconds(utc_ms: int) -> int:
    return -(-utc_ms // 1000)
