"""Answers what people ask of the telemetry, on connections that only read."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from scowl_edge.model.codec import CodecError, decode
from scowl_edge.model.view import EventView, TrendRow
from scowl_edge.telemetry.file import GROUP, GROUPS, NotTelemetry, connect, unpack

_AT_ONCE = 2
"""Questions that are looked up side by side; the others wait."""


class StoredHistory:
    """Trends and events of one file, looked up in threads. A file that is missing or broken has nothing to tell."""

    def __init__(self, path: Path, points: Sequence[tuple[str, str]]) -> None:
        """`points` are (device, name) of each row of the point table."""
        self._path = path
        self._points = points
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def trend(self, point: int, from_utc_ms: int, to_utc_ms: int, most: int) -> Sequence[TrendRow]:
        """At most `most` rows of a point, oldest first; stretches are as long as it takes.

        A stretch in which nothing was recorded between two others has a row without values.
        """
        async with self._turns:
            return await asyncio.to_thread(self.trend_now, self._points[point], from_utc_ms, to_utc_ms, most)

    async def events(self, before_seq: int | None, most: int) -> Sequence[EventView]:
        """Events with a smaller number (None: the newest), newest first."""
        async with self._turns:
            return await asyncio.to_thread(self.events_now, before_seq, most)

    def trend_now(self, point: tuple[str, str], from_utc_ms: int, to_utc_ms: int, most: int) -> list[TrendRow]:
        """As `trend`, in the calling thread, of a point by its device and name."""
        try:
            with closing(connect(self._path, writable=False)) as connection:
                found = list(_buckets(connection, point, from_utc_ms, to_utc_ms))
        except (sqlite3.Error, NotTelemetry):
            return []
        return _merged(found, most)

    def events_now(self, before_seq: int | None, most: int) -> list[EventView]:
        """As `events`, in the calling thread."""
        try:
            with closing(connect(self._path, writable=False)) as connection:
                rows = connection.execute(
                    "SELECT data FROM event WHERE seq < ? ORDER BY seq DESC LIMIT ?",
                    (before_seq if before_seq is not None else 1 << 62, most),
                ).fetchall()
        except (sqlite3.Error, NotTelemetry):
            return []
        return list(_events(rows))


_Found = tuple[int, int, float, float, float]
"""utc_ms, every_ms, low, mean, high; NaN where there was no good value."""


def _buckets(
    connection: sqlite3.Connection, point: tuple[str, str], from_utc_ms: int, to_utc_ms: int
) -> Iterator[_Found]:
    """All buckets of a point that begin in a time, oldest first."""
    row = connection.execute("SELECT id FROM point WHERE device = ? AND name = ?", point).fetchone()
    if row is None:
        return
    group, slot = divmod(row[0], GROUP)
    for second, every_ms, data in connection.execute(
        "SELECT b.utc_s, b.every_ms, t.data FROM bucket b LEFT JOIN trend t ON t.key = b.utc_s * ? + ? "
        "WHERE b.utc_s >= ? AND b.utc_s < ? ORDER BY b.utc_s",
        (GROUPS, group, _seconds(from_utc_ms), _seconds(to_utc_ms)),
    ):
        low = mean = high = np.nan
        if data is not None:
            try:
                low, mean, high = (float(x) for x in unpack(data)[:, slot])
            except ValueError:
                continue
        yield second * 1000, every_ms, low, mean, high


def _merged(found: list[_Found], most: int) -> list[TrendRow]:
    """Buckets in stretches of one length, all of those between the first and the last that anything is known of."""
    if not found:
        return []
    widest = max(every_ms for _, every_ms, *_ in found)
    # A multiple of the buckets' span, on the same grid: no stretch gets one bucket more than its neighbours.
    length = widest * max(1, (found[-1][0] - found[0][0]) // (widest * most))
    while (found[-1][0] // length) - (found[0][0] // length) + 1 > most:
        length += widest
    by_stretch: dict[int, list[_Found]] = {}
    for one in found:
        by_stretch.setdefault(one[0] // length, []).append(one)
    out = []
    for stretch in range(min(by_stretch), max(by_stretch) + 1):
        known = [one for one in by_stretch.get(stretch, ()) if one[3] == one[3]]
        if not known:
            out.append(TrendRow(stretch * length, None, None, None))
            continue
        weight = sum(one[1] for one in known)
        out.append(
            TrendRow(
                stretch * length,
                min(one[2] for one in known),
                sum(one[3] * one[1] for one in known) / weight,
                max(one[4] for one in known),
            )
        )
    return out


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
