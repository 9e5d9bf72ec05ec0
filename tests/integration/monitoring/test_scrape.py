"""`/metrics` beyond the contract: what else is told, and what many points, many scrapers and slow ones do to it."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from prometheus_client.parser import text_string_to_metric_families

from scowl_edge.inbox import PointTable
from scowl_edge.metrics import Metrics
from scowl_edge.model.signal import Cause, Quality, Reading
from scowl_edge.web import listen
from scowl_edge.web.scrape import Scrape, packed, worth_packing
from tests.integration.web.cabinet import NOON_UTC_MS, Point, State, flex_view, population, region_view

MANY = 20_000


@dataclasses.dataclass(frozen=True)
class Feed:
    """What the live page counts."""

    viewers: int
    dropped_total: int
    replaced_total: int


def series(text: str) -> dict[str, float]:
    """NAME{labels, sorted} -> value, as the library's parser reads it; each once."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}"
            assert key not in found, key
            found[key] = sample.value
    return found


def told(state: State, feed: Feed | None = None) -> dict[str, float]:
    """All series of a state."""
    return series(b"".join(Metrics(state, feed).chunks()).decode())


def full(points: int = MANY) -> State:
    """So many points with a good value each."""
    state = State(
        table=PointTable(points), points=tuple(Point(device=f"d{i // 50}", name=f"p{i % 50}") for i in range(points))
    )
    at, good = np.arange(points, dtype=np.int32), np.zeros(points, np.uint8)
    state.table.take(Reading(at, np.sqrt(at + 2.0), good, good, state.now_ms - 20, state.now_ms, 0))
    return state


def test_links_stores_and_the_daemon() -> None:
    seen = told(State(view=region_view()))
    expected = {
        "scowl_link_missed_polls_total{link=plc}": 2,
        "scowl_link_skipped_polls_total{link=plc}": 7,
        "scowl_link_busy_seconds_total{link=plc}": 12.5,
        "scowl_link_probes_total{link=plc}": 3,
        "scowl_link_worst_delay_seconds{link=plc}": 1.8,
        "scowl_link_guest_requests_total{link=plc,result=ok}": 40,
        "scowl_link_guest_requests_total{link=plc,result=write_refused}": 1,
        "scowl_link_guest_connections{client=10.0.0.9,link=plc}": 2,
        "scowl_link_guests_turned_away_total{link=plc}": 4,
        "scowl_link_up{link=plc}": 1,
        "scowl_link_up{link=scada}": 0,
        "scowl_store_ok{store=journal}": 1,
        "scowl_store_written_records_total{store=journal}": 84,
        "scowl_store_written_bytes_total{store=journal}": 16_800,
        "scowl_store_dropped_records_total{store=journal}": 0,
        "scowl_store_queued_records{store=journal}": 2,
        "scowl_store_file_bytes{store=journal}": 65_536,
        "scowl_step_lag_seconds{}": 0.25,
        "scowl_steps_total{}": 42,
        "scowl_site_info{site=cabinet-17}": 1,
        "scowl_device_info{device=hall-a,kind=consumer,link=scada}": 1,
        "scowl_device_state_info{device=wind-1,state=curtailed,tree=wind-1}": 1,
        "scowl_rating_limit_voltamperes{direction=export,rating=grid}": 41_400,
        "scowl_rating_fresh{rating=grid}": 1,
        "scowl_ladder_rung{rung=shed}": 1,
        "scowl_ladder_rung{rung=balanced}": 0,
    }
    assert {key: seen.get(key) for key in expected} == expected


def test_viewers_are_told_where_there_is_a_feed() -> None:
    assert not any(key.startswith("scowl_viewer") for key in told(State()))
    seen = told(State(), Feed(viewers=3, dropped_total=2, replaced_total=9))
    assert seen["scowl_viewers{}"] == 3
    assert seen["scowl_viewers_dropped_total{}"] == 2
    assert seen["scowl_viewer_messages_replaced_total{}"] == 9


def test_alarms_that_are_shelved_or_acknowledged() -> None:
    view = region_view()
    low, high = view.alarms
    before = told(State(view=view))
    assert before["scowl_alarms{priority=high}"] == before["scowl_alarms_unacknowledged{priority=high}"] == 1
    assert before["scowl_alarm_standing{kind=stale,priority=low,source=hall-a}"] == 1
    seen = told(
        State(
            view=region_view(
                alarms=(
                    dataclasses.replace(low, shelved_by="Kim", shelved_until_utc_ms=NOON_UTC_MS + 1),
                    dataclasses.replace(high, acknowledged_by="Kim", acknowledged_utc_ms=NOON_UTC_MS),
                )
            )
        )
    )
    assert seen["scowl_alarms{priority=low}"] == 0
    assert seen["scowl_alarms_shelved{priority=low}"] == 1
    assert seen["scowl_alarm_standing{kind=stale,priority=low,source=hall-a}"] == 0
    assert seen["scowl_alarms{priority=high}"] == 1
    assert seen["scowl_alarms_unacknowledged{priority=high}"] == seen["scowl_alarms_shelved{priority=high}"] == 0


def test_each_family_is_explained_with_its_labels() -> None:
    """docs/monitoring.md names exactly the families that there are."""
    state = State(view=region_view(grid_net_w=5, populations=(population(),), flex=flex_view()))
    state.read(0, 1.0)
    text = b"".join(Metrics(state, Feed(1, 0, 0)).chunks()).decode()
    told = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith("scowl_") and family.samples:
            suffix = "_total" if family.type == "counter" and not family.name.endswith("_total") else ""
            labels = {name for sample in family.samples for name in sample.labels} - {"le"}
            told[family.name + suffix] = labels
    table = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text().partition("| Series |")[2]
    names = re.findall(r"`(scowl_\w+)(?:\{([\w,]+)\})?`", table.partition("\n\n")[0])
    explained = {name: set(labels.split(",")) - {""} for name, labels in names}
    # The daemon alone knows its Python.
    explained["scowl_build_info"] -= {"python"}
    assert explained == told


def test_what_has_no_limit_has_no_series() -> None:
    (rating,) = region_view().ratings
    seen = told(State(view=region_view(ratings=(dataclasses.replace(rating, export_va=-1, headroom_w=1 << 50),))))
    assert "scowl_rating_limit_voltamperes{direction=import,rating=grid}" in seen
    assert "scowl_rating_limit_voltamperes{direction=export,rating=grid}" not in seen
    assert "scowl_headroom_watts{rating=grid}" not in seen


def test_points_by_quality_and_the_oldest() -> None:
    state = State()
    seen = told(state)
    assert seen["scowl_device_points{device=wind-1,quality=bad}"] == 2
    assert "scowl_oldest_data_age_seconds{}" not in seen
    state.read(0, -5.0)
    state.now_ms += 4_000
    state.read(1, 0.5)
    seen = told(state)
    assert seen["scowl_device_points{device=wind-1,quality=good}"] == 1
    assert seen["scowl_device_points{device=wind-1,quality=uncertain}"] == 1
    assert seen["scowl_device_points{device=hall-a,quality=bad}"] == 2
    assert seen["scowl_oldest_data_age_seconds{}"] == 4


def test_many_points_read_back_exactly() -> None:
    state = full(5_000)
    state.table.quality[::7], state.table.cause[::7] = Quality.BAD, Cause.TIMEOUT
    seen = told(state)
    for i, point in enumerate(state.points):
        value = seen.get(f"scowl_point_value{{device={point.device},point={point.name},unit=W}}")
        assert value == (None if i % 7 == 0 else state.table.value[i])
        assert seen[f"scowl_point_age_seconds{{device={point.device},point={point.name}}}"] == 0


async def test_scrapes_at_one_time_share_the_work() -> None:
    metrics = Metrics(full())
    first, second = await asyncio.gather(metrics.render(), metrics.render())
    assert first is second
    assert await metrics.render() is not first


async def test_who_goes_away_takes_nobody_along() -> None:
    metrics = Metrics(full())
    first, second = asyncio.create_task(metrics.render()), asyncio.create_task(metrics.render())
    await asyncio.sleep(0)
    first.cancel()
    assert sum(map(len, await second)) > 1_000_000
    assert first.cancelled()


async def test_the_event_loop_goes_on_meanwhile() -> None:
    metrics = Metrics(full())
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    await metrics.render()
    task.cancel()
    pieces = sum(1 for _ in metrics.chunks())
    assert turns >= 5, f"{turns} turns of others while {pieces} pieces were rendered"


@pytest.mark.parametrize(
    ("accepted", "remote", "packs"),
    [
        ("gzip", "192.0.2.7", True),
        ("deflate, GZIP;q=0.5", "192.0.2.7", True),
        ("gzip;q=0", "192.0.2.7", False),
        ("identity", "192.0.2.7", False),
        ("", "192.0.2.7", False),
        ("gzip", "127.0.0.1", False),
        ("gzip", "::1", False),
        ("gzip", None, False),
    ],
)
def test_packed_only_over_a_network_for_who_asks(accepted: str, remote: str | None, packs: bool) -> None:
    request = make_mocked_request("GET", "/metrics", headers={"Accept-Encoding": accepted}).clone(remote=remote or "")
    assert worth_packing(request) is packs


def test_packed_is_the_same_text() -> None:
    pieces = list(Metrics(full(3_000)).chunks())
    small = b"".join(packed(pieces))
    assert gzip.decompress(small) == b"".join(pieces)
    assert len(small) < sum(map(len, pieces)) / 4


async def test_head_has_no_body_and_get_has_its_length() -> None:
    app = web.Application()
    app.router.add_get("/metrics", Scrape(Metrics(full(200))).serve)
    listener = await listen(app, "127.0.0.1", 0)
    async with aiohttp.ClientSession() as http:
        async with http.get(listener.url + "/metrics") as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert "Content-Encoding" not in answer.headers
            assert len(await answer.read()) == int(answer.headers["Content-Length"])
        async with http.head(listener.url + "/metrics") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        async with http.get(listener.url + "/metrics") as answer:
            assert answer.status == 200
    await listener.close()


async def test_a_scraper_that_takes_nothing_is_cut_off() -> None:
    scrape = Scrape(Metrics(full(100_000)), send_s=0.3)
    over = asyncio.Event()

    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            return await scrape.serve(request)
        finally:
            over.set()

    app = web.Application()
    app.router.add_get("/metrics", serve)
    listener = await listen(app, "127.0.0.1", 0)
    place = urlsplit(listener.url)
    # So small a limit makes the client stop to read.
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1_024)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    async with asyncio.timeout(60):
        await over.wait()
    taken = 0
    with suppress(ConnectionError):
        while part := await reader.read(1 << 20):
            taken += len(part)
    assert taken < length
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    await listener.close()
