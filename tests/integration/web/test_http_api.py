"""Every GET of the API, over a real socket; each answer is held against the OpenAPI document."""

from __future__ import annotations

import math
from dataclasses import replace
from urllib.parse import quote

import numpy as np
import pytest
from openapi_spec_validator import validate

from scowl_edge.inbox import PointTable
from scowl_edge.model.signal import Cause, Quality, Reading
from scowl_edge.web import Check
from tests.integration.web.cabinet import AWKWARD, NOON_UTC_MS, Point, Site, State, device, region_view, serving_site

POWER = "/api/v1/devices/wind-1/points/power"


async def test_openapi_document_is_valid_and_lists_all_paths(site: Site) -> None:
    document = await site.json("/api/v1/openapi.json")
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/healthz",
        "/readyz",
        "/api/v1/openapi.json",
        "/api/v1/region",
        "/api/v1/region/mode",
        "/api/v1/region/hold",
        "/api/v1/live",
        "/api/v1/trees",
        "/api/v1/devices",
        "/api/v1/devices/{device}",
        "/api/v1/devices/{device}/mode",
        "/api/v1/devices/{device}/manual",
        "/api/v1/devices/{device}/override",
        "/api/v1/devices/{device}/veto",
        "/api/v1/devices/{device}/points",
        "/api/v1/devices/{device}/points/{point}",
        "/api/v1/devices/{device}/points/{point}/trend",
        "/api/v1/devices/{device}/points/{point}/trend.csv",
        "/api/v1/ratings",
        "/api/v1/alarms",
        "/api/v1/alarms/{key}/acknowledge",
        "/api/v1/alarms/{key}/shelve",
        "/api/v1/alarms/{key}/unshelve",
        "/api/v1/events",
        "/api/v1/events.csv",
        "/api/v1/freshness",
        "/api/v1/decisions",
        "/api/v1/populations",
        "/api/v1/populations/{population}",
        "/api/v1/flex",
        "/api/v1/flex/offers",
        "/api/v1/flex/selections",
        "/api/v1/flex/books",
        "/api/v1/flex/appliances/{appliance}",
        "/api/v1/flex/aim",
        "/api/v1/flex/select",
        "/api/v1/flex/cancel",
        "/api/v1/flex/override",
        "/api/v1/flex/limit",
    }


async def test_region(site: Site) -> None:
    region = await site.json("/api/v1/region")
    assert region["site"] == "cabinet-17"
    assert region["time"] == "2026-03-01T12:00:00.250Z"
    assert region["unserved_w"] == 1_000
    assert region["unserved_w_by_class"] == [0, 0, 700, 0, 0, 0, 0, 300]
    assert region["consumers"] == {"served": 1, "shed": 0, "starved": 0, "choked": 0, "unassigned": 0}
    assert region["alarms"] == {"critical": 0, "high": 1, "medium": 0, "low": 1}
    assert region["worst_alarm"] == "high"
    assert region["grid_net_w"] is None
    assert region["oldest_data_s"] is None


async def test_age_of_the_oldest_data(site: Site) -> None:
    for point in (1, 3, 4):
        site.state.read(point, 1.0)
    site.state.now_ms += 1_500
    site.state.read(1, 1.0)
    assert (await site.json("/api/v1/region"))["oldest_data_s"] == 1.5


async def test_region_without_alarms_has_no_worst(site: Site) -> None:
    site.state.view = region_view(alarms=())
    region = await site.json("/api/v1/region")
    assert region["worst_alarm"] is None
    assert set(region["alarms"].values()) == {0}


async def test_trees_ratings_decisions(site: Site) -> None:
    trees = await site.json("/api/v1/trees")
    assert trees["step"] == 42
    assert (trees["trees"][0]["load_w"], trees["trees"][0]["safe_w"]) == (18_000, 1_125_000)
    ratings = await site.json("/api/v1/ratings")
    assert ratings["ratings"][0]["load_va"] == [1_000, -2_000, 3_000]
    decisions = await site.json("/api/v1/decisions")
    assert decisions["decisions"][0]["reason"] == {"code": "test-short", "args": [2_000], "text": "test-short 2000"}
    assert decisions["decisions"][0]["time"] == "2026-03-01T11:59:59.250Z"


async def test_alarms_worst_first(site: Site) -> None:
    alarms = (await site.json("/api/v1/alarms"))["alarms"]
    assert [alarm["key"] for alarm in alarms] == ["device-down:<b>&", "stale:hall-a"]
    assert alarms[0]["since"] == "2026-03-01T11:59:55.250Z"
    assert alarms[0]["since_trusted"] is False


async def test_devices(site: Site) -> None:
    devices = (await site.json("/api/v1/devices"))["devices"]
    assert [entry["name"] for entry in devices] == ["wind-1", "hall-a"]
    wind = await site.json("/api/v1/devices/wind-1")
    assert wind == devices[0]
    assert wind["why"]["text"] == "test-unknown-code grid 5"
    assert wind["actuators"][0]["state"] == "holding"
    hall = devices[1]
    assert (hall["up"], hall["since"], hall["power_w"], hall["mode_until"]) == (None, None, None, None)


async def test_people_and_what_they_did_are_shown(site: Site) -> None:
    held = {"value": 1_500_000, "rank": "user", "who": "Ada", "why": "noise", "until": None}
    limit = (await site.json("/api/v1/devices/wind-1"))["actuators"][0]
    assert (limit["low"], limit["high"], limit["ordered"]) == (0, 2_000_000, held)
    down = device(
        "hall-a", "consumer", up=False, down_cause="no reply within 500 ms",
        vetoed=True, veto_who="Ada", veto_why="guests", veto_until_utc_ms=NOON_UTC_MS,
    )  # fmt: skip
    site.state.view = region_view(devices=(down,))
    hall = await site.json("/api/v1/devices/hall-a")
    assert hall["down_cause"] == "no reply within 500 ms"
    assert hall["veto"] == {"active": True, "by": "Ada", "why": "guests", "until": "2026-03-01T12:00:00.250Z"}
    assert (await site.json("/api/v1/ratings"))["ratings"][0]["uses"] == [
        {"device": "wind-1", "net_w": -1_250_000},
        {"device": "hall-a", "net_w": 18_000},
    ]


async def test_shelved_alarms_are_counted_apart(site: Site) -> None:
    low, high = region_view().alarms
    site.state.view = region_view(
        alarms=(low, replace(high, shelved_by="Ada", shelved_why="known", shelved_until_utc_ms=NOON_UTC_MS + 1_000))
    )
    region = await site.json("/api/v1/region")
    assert (region["alarms"]["high"], region["alarms"]["low"], region["alarms_shelved"]) == (0, 1, 1)
    assert region["worst_alarm"] == "low"
    shelved, standing = (await site.json("/api/v1/alarms"))["alarms"]
    assert shelved["shelved"] == {"by": "Ada", "why": "known", "until": "2026-03-01T12:00:01.250Z"}
    assert (shelved["acknowledged"], standing["shelved"]) == (None, None)
    assert standing["acknowledged"] == {"by": "Ada", "why": "seen", "at": "2026-03-01T12:00:00.250Z"}
    assert standing["source"] == "hall-a"


async def test_mode_until_is_shown(site: Site) -> None:
    site.state.view = region_view(devices=(device("wind-1", "generator", mode_until_utc_ms=NOON_UTC_MS),))
    assert (await site.json("/api/v1/devices/wind-1"))["mode_until"] == "2026-03-01T12:00:00.250Z"


async def test_good_point(site: Site) -> None:
    site.state.read(0, -1_250_000.0, source_utc_ms=NOON_UTC_MS - 1)
    assert await site.json(POWER) == {
        "device": "wind-1",
        "point": "power",
        "value": -1_250_000.0,
        "unit": "W",
        "quality": "good",
        "reason": None,
        "detail": None,
        "source_time": "2026-03-01T12:00:00.249Z",
        "request_time": "2026-03-01T12:00:00.230Z",
        "receive_time": "2026-03-01T12:00:00.250Z",
        "type": "float32",
        "access": "r",
    }


@pytest.mark.parametrize(
    ("age_ms", "value", "quality", "reason"),
    [
        (3_000, -1_250_000.0, "good", None),
        (3_001, -1_250_000.0, "uncertain", "stale"),
        (63_000, -1_250_000.0, "uncertain", "stale"),
        (63_001, None, "bad", "stale"),
    ],
)
async def test_point_ages(site: Site, age_ms: int, value: float | None, quality: str, reason: str | None) -> None:
    site.state.now_ms += age_ms
    point = await site.json(POWER)
    assert (point["value"], point["quality"], point["reason"]) == (value, quality, reason)
    assert point["receive_time"] == "2026-03-01T12:00:00.250Z"


async def test_bad_point_keeps_its_cause_however_old(site: Site) -> None:
    site.state.read(0, float("nan"), cause=Cause.TIMEOUT)
    site.state.now_ms += 100_000
    point = await site.json(POWER)
    assert (point["value"], point["quality"], point["reason"]) == (None, "bad", "timeout")


async def test_what_was_answered_is_told_while_it_is_the_reason(site: Site) -> None:
    site.state.faults[0] = "BadNodeIdUnknown"
    told = []
    for cause in (Cause.UNKNOWN_NODE, Cause.LINK_DOWN, Cause.NONE):
        site.state.read(0, float("nan") if cause else 1.0, cause=cause)
        point = await site.json(POWER)
        told.append((point["reason"], point["detail"]))
    assert told == [("unknown_node", "BadNodeIdUnknown"), ("link_down", None), (None, None)]


@pytest.mark.parametrize("declared", ["string", ""])
async def test_a_text_is_shown_whether_declared_or_found(declared: str) -> None:
    state = State(points=(Point(device="hall-a", name="state", type=declared),), view=region_view())
    state.table = PointTable(1)
    state.texts[0] = "idle"
    shown = []
    async with serving_site(state) as site:
        for value, quality in ((math.nan, Quality.UNCERTAIN), (math.nan, Quality.BAD), (1.5, Quality.GOOD)):
            cause = Cause.TIMEOUT if quality is Quality.BAD else Cause.NONE
            at = np.array([0], np.int32), np.array([value]), np.array([quality], np.uint8), np.array([cause], np.uint8)
            state.table.take(Reading(*at, state.now_ms, state.now_ms))
            point = await site.json("/api/v1/devices/hall-a/points/state")
            shown.append((point["value"], point["quality"], point["reason"]))
            async with site.http.get(site.url + "/metrics") as answer:
                metrics = await answer.text()
            assert ("scowl_point_value{" in metrics) is (value == 1.5 and not declared)
    found = "idle" if declared else 1.5
    assert shown == [("idle", "good", None), (None, "bad", "timeout"), (found, "good", None)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
async def test_a_good_value_that_is_no_number_is_not_shown(site: Site, value: float) -> None:
    site.state.read(0, value)
    point = await site.json(POWER)
    assert (point["value"], point["quality"], point["reason"]) == (None, "bad", "implausible")


async def test_a_garbled_device_clock_is_not_shown(site: Site) -> None:
    site.state.read(0, 1.0, source_utc_ms=2**62)
    assert (await site.json(POWER))["source_time"] is None


async def test_point_never_read(site: Site) -> None:
    point = await site.json(f"/api/v1/devices/hall-a/points/{quote(AWKWARD, safe='')}")
    assert point["point"] == AWKWARD
    assert (point["quality"], point["reason"], point["request_time"]) == ("bad", "not_read_yet", None)


async def test_points_of_a_device(site: Site) -> None:
    answer = await site.json("/api/v1/devices/wind-1/points")
    assert answer["device"] == "wind-1"
    assert [(point["point"], point["access"]) for point in answer["points"]] == [
        ("power", "r"),
        ("limit", "rw"),
        ("start", "w"),
    ]
    assert answer["points"][0] == await site.json(POWER)


async def test_unknown_names_are_problems_with_a_suggestion(site: Site) -> None:
    assert "did you mean 'wind-1'" in (await site.json("/api/v1/devices/wind1", 404))["detail"]
    assert "wind-1, hall-a" in (await site.json("/api/v1/devices/x/points", 404))["detail"]
    assert "no device 'x'" in (await site.json("/api/v1/devices/x/points/power", 404))["detail"]
    assert "did you mean 'power'" in (await site.json("/api/v1/devices/wind-1/points/powr", 404))["detail"]


async def test_unknown_path_and_method(site: Site) -> None:
    assert (await site.json("/nothing/here", 404))["type"] == "urn:scowl-edge:problem:not-found"
    refused = await site.ask("DELETE", "/api/v1/region", 405)
    assert refused.headers["Allow"] == "GET, HEAD"
    assert (await site.ask("GET", "/api/v1/region/mode", 405)).headers["Allow"] == "POST"


@pytest.mark.parametrize("path", ["region", "trees", "devices", "devices/wind-1", "ratings", "alarms", "decisions"])
async def test_before_the_first_step(site: Site, path: str) -> None:
    site.state.view = None
    answer = await site.ask("GET", f"/api/v1/{path}", 503)
    assert answer.headers["Retry-After"] == "1"


async def test_a_defect_is_a_problem_that_tells_nothing(site: Site) -> None:
    site.state.view = region_view(utc_ms=10**20)
    async with site.http.get(site.url + "/api/v1/region") as answer:
        assert answer.status == 500
        assert answer.content_type == "application/problem+json"
        assert "its log says where" in (await answer.json(content_type=None))["detail"]


async def test_healthz(site: Site) -> None:
    assert (await site.json("/healthz"))["ok"] is True
    site.state.checks["links"] = Check(ok=False, detail="plc: connection refused", vital=False)
    assert (await site.json("/healthz"))["ok"] is True
    site.state.checks["loop"] = Check(ok=False, detail="no step for 12 s")
    health = await site.json("/healthz", 503)
    assert health["ok"] is False
    assert health["checks"]["loop"] == {"ok": False, "detail": "no step for 12 s", "vital": True}


async def test_readyz(site: Site) -> None:
    ready = await site.json("/readyz", 503)
    assert ready == {"ready": False, "first_step_done": True, "links_not_tried": ["scada"]}
    site.state.read(3, float("nan"), cause=Cause.LINK_DOWN)
    assert (await site.json("/readyz"))["ready"] is True
    site.state.view = None
    assert (await site.json("/readyz", 503))["first_step_done"] is False
