"""Events and trends, as JSON and as files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import aiohttp
import pytest

from scowl_edge.model.reason import Reason
from scowl_edge.model.view import EventView
from scowl_edge.web.published import TrendRow
from tests.integration.web.cabinet import NOON_UTC_MS, Site, device, event, region_view

TREND = "/api/v1/devices/wind-1/points/power/trend"
DAY_MS = 86_400_000


@dataclass
class Kept:
    """A store of events 1 to 4 and whatever rows a test puts in; it remembers what it was asked."""

    rows: tuple[TrendRow, ...] = ()
    asked: list[tuple[int, ...]] = field(default_factory=list)
    kept: tuple[EventView, ...] = tuple(event(seq) for seq in (4, 3, 2, 1))
    fails_before: int = 0
    """Asking for events below this number fails, as a broken disk would."""

    async def trend(self, point: int, from_utc_ms: int, to_utc_ms: int, most: int) -> Sequence[TrendRow]:
        self.asked.append((point, from_utc_ms, to_utc_ms, most))
        return self.rows[:most]

    async def events(self, before_seq: int | None, most: int) -> Sequence[EventView]:
        if before_seq is not None and before_seq < self.fails_before:
            raise OSError("disk gone")
        return [e for e in self.kept if before_seq is None or e.seq < before_seq][:most]


@pytest.fixture
def kept(site: Site) -> Kept:
    """The site's store."""
    site.state.history = kept = Kept()
    return kept


async def table(site: Site, path: str) -> list[list[str]]:
    """A file's cells, read as any program would."""
    async with site.http.get(site.url + path) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="')
        body = await answer.read()
    assert body.count(b"\r\n") == body.count(b"\n")
    return list(csv.reader(StringIO(body.decode(), newline=""), strict=True))


def numbers(page: dict[str, Any]) -> list[int]:
    return [entry["seq"] for entry in page["events"]]


async def test_events_go_back_from_the_view_into_the_store(site: Site, kept: Kept) -> None:
    page = await site.json("/api/v1/events?limit=2")
    assert (numbers(page), page["before"]) == ([7, 6], 6)
    page = await site.json("/api/v1/events?limit=3&before=6")
    assert (numbers(page), page["before"]) == ([5, 4, 3], 3)
    page = await site.json("/api/v1/events?before=3")
    assert (numbers(page), page["before"]) == ([2, 1], None)
    page = await site.json("/api/v1/events")
    assert (numbers(page), page["before"]) == ([7, 6, 5, 4, 3, 2, 1], None)
    assert page["events"][0] == {
        "seq": 7,
        "source_time": "2026-03-01T11:59:57.250Z",
        "receive_time": "2026-03-01T11:59:57.500Z",
        "time_trusted": True,
        "kind": "alarm-raised",
        "source": "hall-a",
        "priority": "low",
        "who": "",
        "text": {"code": "test-stale", "args": ["hall-a"], "text": "test-stale hall-a"},
    }


async def test_without_a_store_the_views_events_are_shown_and_older_ones_refused(site: Site) -> None:
    page = await site.json("/api/v1/events")
    assert (numbers(page), page["before"]) == ([7, 6, 5], None)
    refused = await site.json("/api/v1/events?before=5", 503)
    assert "Telemetry is off" in refused["detail"]
    assert "Telemetry is off" in (await site.json("/api/v1/events.csv", 503))["detail"]
    site.state.view = region_view(events=())
    assert numbers(await site.json("/api/v1/events")) == []


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "before=0", "before=x", "after=3", f"before={2**63}"])
async def test_wrong_queries_400(site: Site, kept: Kept, query: str) -> None:
    refused = await site.json(f"/api/v1/events?{query}", 400)
    assert [fault["field"] for fault in refused["errors"]] == [query.partition("=")[0]]
    assert "it may hold: before, limit" in refused["detail"]


async def test_events_as_a_file(site: Site, kept: Kept) -> None:
    head, *rows = await table(site, "/api/v1/events.csv")
    assert head[:3] == ["seq", "source_time", "receive_time"]
    assert [row[0] for row in rows] == ["7", "6", "5", "4", "3", "2", "1"]
    assert dict(zip(head, rows[0], strict=True))["text"] == "test-stale hall-a"
    assert [row[0] for row in (await table(site, "/api/v1/events.csv?limit=4&before=7"))[1:]] == ["6", "5", "4", "3"]


async def test_many_events_are_fetched_in_pages(site: Site, kept: Kept) -> None:
    kept.kept = tuple(event(seq) for seq in range(2_500, 0, -1))
    site.state.view = region_view(events=())
    rows = (await table(site, "/api/v1/events.csv"))[1:]
    assert [int(row[0]) for row in rows] == list(range(2_500, 0, -1))


async def test_no_cell_becomes_a_formula(site: Site, kept: Kept) -> None:
    kept.kept = ()
    for begin in "=+-@\t\r":
        evil = f'{begin}cmd|"/C calc"!A1, "x"\r\ny'
        told = event(7, who=evil, source=evil, text=Reason(evil))
        site.state.view = region_view(events=(told, event(1, priority="")))
        head, first, second = await table(site, "/api/v1/events.csv")
        cells = dict(zip(head, first, strict=True))
        assert cells["who"] == cells["source"] == cells["text"] == cells["code"] == "'" + evil
        assert second[head.index("priority")] == ""


async def test_a_file_that_fails_on_the_way_is_cut_and_not_ended(site: Site, kept: Kept) -> None:
    kept.kept = tuple(event(seq) for seq in range(2_500, 0, -1))
    kept.fails_before = 1_500
    site.state.view = region_view(events=())
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
        await table(site, "/api/v1/events.csv")


async def test_trend(site: Site, kept: Kept) -> None:
    kept.rows = (TrendRow(NOON_UTC_MS, -3.5, -2.0, 1e6), TrendRow(NOON_UTC_MS + 10_000, None, None, None))
    trend = await site.json(f"{TREND}?points=10")
    assert kept.asked == [(0, NOON_UTC_MS - DAY_MS, NOON_UTC_MS, 10)]
    assert trend == {
        "device": "wind-1",
        "point": "power",
        "unit": "W",
        "begin": "2026-02-28T12:00:00.250Z",
        "end": "2026-03-01T12:00:00.250Z",
        "rows": [
            {"time": "2026-03-01T12:00:00.250Z", "low": -3.5, "mean": -2.0, "high": 1e6},
            {"time": "2026-03-01T12:00:10.250Z", "low": None, "mean": None, "high": None},
        ],
    }


async def test_trend_of_a_time(site: Site, kept: Kept) -> None:
    await site.json(f"{TREND}?from=2026-03-01T10:00:00%2B01:00&to=2026-03-01T10:00:00Z")
    begin = datetime(2026, 3, 1, 9, tzinfo=UTC).timestamp() * 1000
    assert kept.asked == [(0, begin, begin + 3_600_000, 300)]


async def test_trend_as_a_file(site: Site, kept: Kept) -> None:
    kept.rows = tuple(TrendRow(NOON_UTC_MS + n * 10_000, -n, -n / 2, None) for n in range(1_000))
    head, *rows = await table(site, f"{TREND}.csv")
    assert head == ["time", "low_W", "mean_W", "high_W"]
    assert len(rows) == 1_000
    assert rows[1] == ["2026-03-01T12:00:10.250Z", "-1", "-0.5", ""]
    assert kept.asked[0][3] == 20_000


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=2026-03-01T10:00:00", "from"),
        ("from=2026-03-01T10:00:00+01:00", "%2B"),
        ("from=2026-03-02T10:00:00Z&to=2026-03-01T10:00:00Z", "before"),
        ("to=2026-03-01T10:00:00Z&from=2026-03-01T10:00:00Z", "before"),
        ("from=1960-03-01T10:00:00Z", "after 1970"),
        ("points=0", "points"),
        ("points=2001", "points"),
        ("until=2026-03-01T10:00:00Z", "it may hold: from, to, points"),
    ],
)
async def test_wrong_times_400(site: Site, kept: Kept, query: str, said: str) -> None:
    assert said in (await site.json(f"{TREND}?{query}", 400))["detail"]
    assert kept.asked == []


@pytest.mark.parametrize("path", [TREND, f"{TREND}.csv"])
async def test_no_trend_503_and_no_such_point_404(site: Site, path: str) -> None:
    assert "Telemetry is off" in (await site.json(path, 503))["detail"]
    assert "did you mean 'power'" in (await site.json(path.replace("/power", "/powr"), 404))["detail"]
    assert "did you mean 'wind-1'" in (await site.json(path.replace("wind-1", "wind1"), 404))["detail"]
    site.state.view = region_view(devices=(device("wind-1", "generator"),))
    assert "Telemetry is off" in (await site.json(path, 503))["detail"]
