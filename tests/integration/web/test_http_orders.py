"""Orders: who may give them, and what is refused why."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import pytest

from scowl_edge.control.people import ORDERABLE
from scowl_edge.model.event import AlarmAction, AlarmOrder, Order, Rank, ValueOrder, Veto
from scowl_edge.web import TokenSource, orders
from scowl_edge.web.wire import OperatorVerb, UserVerb
from tests.integration.web.cabinet import NOON_UTC_MS, TOKEN, Site, State, region_view, serving_site

DEVICE_MODE = "/api/v1/devices/hall-a/mode"
REGION_MODE = "/api/v1/region/mode"
ORDER: dict[str, Any] = {"mode": "manual", "who": "Ada", "why": "maintenance"}


async def test_device_order_waits_in_the_inbox(site: Site) -> None:
    answer = await site.order(DEVICE_MODE, 202, ORDER | {"until": "2026-03-01T14:00:00+01:00"})
    assert answer.headers["Location"] == "/api/v1/devices/hall-a"
    assert answer.body == ORDER | {"location": "/api/v1/devices/hall-a", "until": "2026-03-01T13:00:00.000Z"}
    until_ms = NOON_UTC_MS - 250 + 3_600_000
    assert site.state.orders == [
        Order(target="hall-a", mode="manual", who="Ada", why="maintenance", until_utc_ms=until_ms)
    ]


async def test_region_order(site: Site) -> None:
    answer = await site.order(REGION_MODE, 202, ORDER | {"mode": "hold"})
    assert answer.headers["Location"] == "/api/v1/region"
    assert site.state.orders == [Order(target="", mode="hold", who="Ada", why="maintenance", until_utc_ms=0)]


async def test_own_origin_may_order(site: Site) -> None:
    await site.order(DEVICE_MODE, 202, ORDER, Origin=site.url)


@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null", "http://127.0.0.1:1"])
async def test_foreign_origin_may_not(site: Site, origin: str) -> None:
    assert "foreign-origin" in (await site.order(DEVICE_MODE, 403, ORDER, Origin=origin)).body["type"]
    assert site.state.orders == []


@pytest.mark.parametrize("host", ["rebound.example", "rebound.example:8080", "[", "127.0.0.1.example"])
async def test_foreign_host_may_not(site: Site, host: str) -> None:
    await site.order(DEVICE_MODE, 421, ORDER, Host=host, Origin=f"http://{host}")
    assert site.state.orders == []


async def test_without_a_token_401(site: Site) -> None:
    answer = await site.order(DEVICE_MODE, 401, ORDER, token=None)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="scowl-edge"'
    assert site.state.orders == []


@pytest.mark.parametrize("header", ["Bearer wrong", f"Bearer {TOKEN}x", "Bearer é", f"Basic {TOKEN}", "Bearer ", TOKEN])
async def test_wrong_token_401(site: Site, header: str) -> None:
    answer = await site.order(DEVICE_MODE, 401, ORDER, token=None, Authorization=header)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert site.state.orders == []


async def test_changed_token_file_counts_at_once(site: Site) -> None:
    site.token_file.write_text("another\n")
    await site.order(DEVICE_MODE, 401, ORDER)
    await site.order(DEVICE_MODE, 202, ORDER, token="another")


async def test_missing_or_empty_token_file_403(site: Site) -> None:
    site.token_file.write_text("\n")
    assert "empty" in (await site.order(DEVICE_MODE, 403, ORDER, token="")).body["detail"]
    site.token_file.unlink()
    assert "No such file" in (await site.order(DEVICE_MODE, 403, ORDER)).body["detail"]


async def test_no_token_configured_403(state: State) -> None:
    async with serving_site(state) as site:
        assert "No token is configured" in (await site.order(DEVICE_MODE, 403, ORDER)).body["detail"]


async def test_token_from_a_credential(state: State, tmp_path: Path) -> None:
    (tmp_path / "edge-token").write_text(TOKEN)
    source = TokenSource("token", None, "edge-token", {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    async with serving_site(state, operator=source) as site:
        await site.order(DEVICE_MODE, 202, ORDER)
    async with serving_site(state, operator=TokenSource("token", None, "edge-token", {})) as site:
        refused = await site.order(DEVICE_MODE, 403, ORDER)
        assert "$CREDENTIALS_DIRECTORY is not set" in refused.body["detail"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"mode": "local"}, "mode"),
        ({"mode": "hold"}, "mode"),
        ({"mode": None}, "mode"),
        ({"who": ""}, "who"),
        ({"who": "   "}, "who"),
        ({"who": "two\nlines"}, "who"),
        ({"who": "a\u2028b"}, "who"),
        ({"why": "\x9b2J"}, "why"),
        ({"why": "x" * 401}, "why"),
        ({"why": 5}, "why"),
        ({"until": "2026-03-01T14:00:00"}, "until"),
        ({"until": "2026-03-01T11:00:00Z"}, "until"),
        ({"until": 1_900_000_000}, "until"),
        ({"until": "tomorrow"}, "until"),
        ({"untill": "2027-03-01T11:00:00Z"}, "untill"),
    ],
)
async def test_faults_of_fields_422(site: Site, change: dict[str, Any], field: str) -> None:
    refused = await site.order(DEVICE_MODE, 422, ORDER | change)
    assert [fault["field"] for fault in refused.body["errors"]] == [field]
    assert refused.body["errors"][0]["detail"]
    assert site.state.orders == []


async def test_all_faults_in_one_answer(site: Site) -> None:
    refused = await site.order(REGION_MODE, 422, {"mode": "manual", "who": "", "x": 1})
    assert {fault["field"] for fault in refused.body["errors"]} == {"mode", "who", "why", "x"}


async def test_body_that_is_no_object_422(site: Site) -> None:
    refused = await site.order(DEVICE_MODE, 422, [ORDER])
    assert [fault["field"] for fault in refused.body["errors"]] == ["body"]


async def test_unknown_device_404(site: Site) -> None:
    refused = await site.order("/api/v1/devices/hall-b/mode", 404, ORDER)
    assert "did you mean 'hall-a'" in refused.body["detail"]


async def test_before_the_first_step_503(site: Site) -> None:
    site.state.view = None
    await site.order(DEVICE_MODE, 503, ORDER)
    await site.order(REGION_MODE, 503, ORDER | {"mode": "hold"})
    assert site.state.orders == []


async def send(site: Site, status: int, data: Any, **headers: str) -> dict[str, Any]:
    """POSTs bytes as they are."""
    sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"} | headers
    return (await site.ask("POST", DEVICE_MODE, status, data=data, headers=sent)).body


@pytest.mark.parametrize("body", [b"", b"{", b'{"mode": "manual",}', b"\xff\xfe"])
async def test_invalid_json_400(site: Site, body: bytes) -> None:
    assert (await send(site, 400, body))["type"] == "urn:scowl-edge:problem:invalid-json"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
async def test_other_types_415(site: Site, content_type: str) -> None:
    await send(site, 415, b"{}", **{"Content-Type": content_type})


@pytest.mark.parametrize("encoding", ["br", "gzip", "deflate", "nonsense"])
async def test_compressed_415(site: Site, encoding: str) -> None:
    await send(site, 415, b"{}", **{"Content-Encoding": encoding})


async def test_large_body_413(site: Site) -> None:
    await send(site, 413, b" " * (orders.BODY_LIMIT_BYTES + 1))


async def test_large_body_of_unknown_length_413(site: Site) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b" " * 4096

    await send(site, 413, endless())


async def test_slow_body_408(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "BODY_TIMEOUT_S", 0.05)
    answered = asyncio.Event()

    async def stalling() -> Any:
        yield b"{"
        await answered.wait()

    try:
        await send(site, 408, stalling())
    finally:
        answered.set()
    assert site.state.orders == []


SIGNED: dict[str, Any] = {"who": "Ada", "why": "too warm"}
WIND = "/api/v1/devices/wind-1"
STALE = "/api/v1/alarms/stale:hall-a"
ONE_PM = "2026-03-01T13:00:00Z"
ONE_PM_MS = NOON_UTC_MS - 250 + 3_600_000


@pytest.mark.parametrize("until", [{}, {"until": ONE_PM}])
async def test_hold_in_one_action(site: Site, until: dict[str, str]) -> None:
    answer = await site.order("/api/v1/region/hold", 202, SIGNED | until)
    assert answer.headers["Location"] == answer.body["location"] == "/api/v1/region"
    until_ms = ONE_PM_MS if until else 0
    assert site.state.orders == [Order(target="", mode="hold", who="Ada", why="too warm", until_utc_ms=until_ms)]


@pytest.mark.parametrize(("path", "rank"), [("manual", Rank.OPERATOR), ("override", Rank.USER)])
@pytest.mark.parametrize("value", [0, 750_000, 2_000_000, None])
async def test_values_within_the_envelope(site: Site, path: str, rank: Rank, value: int | None) -> None:
    asked = SIGNED | {"verb": "limit", "value": value, "until": ONE_PM}
    answer = await site.order(f"{WIND}/{path}", 202, asked)
    assert answer.headers["Location"] == WIND
    assert site.state.orders == [
        ValueOrder(
            device="wind-1", verb="limit", value=value, rank=rank, who="Ada", why="too warm", until_utc_ms=ONE_PM_MS
        )
    ]


@pytest.mark.parametrize("path", ["manual", "override"])
@pytest.mark.parametrize(
    ("asked", "field", "said"),
    [
        ({"verb": "limit", "value": 2_000_001}, "value", "0 to 2000000"),
        ({"verb": "limit", "value": -1}, "value", "0 to 2000000"),
        ({"verb": "setpoint", "value": 1}, "verb", "has no setpoint; it has limit"),
        ({"verb": "setpoint", "value": None}, "verb", "has no setpoint; it has limit"),
        ({"verb": "supply", "value": 1}, "verb", "'limit'"),
        ({"verb": "explode", "value": 1}, "verb", ""),
        ({"verb": "limit"}, "value", "required"),
        ({"verb": "limit", "value": 1.5}, "value", "integer"),
        ({"verb": "limit", "value": True}, "value", "integer"),
        ({"verb": "limit", "value": "1"}, "value", "integer"),
        ({"verb": "limit", "value": 10**300}, "value", ""),
    ],
)
async def test_values_that_do_not_fit_422(site: Site, path: str, asked: dict[str, Any], field: str, said: str) -> None:
    refused = await site.order(f"{WIND}/{path}", 422, SIGNED | asked)
    assert [fault["field"] for fault in refused.body["errors"]] == [field]
    assert said in refused.body["errors"][0]["detail"]
    assert site.state.orders == []


@pytest.mark.parametrize("path", ["manual", "override"])
async def test_a_value_that_would_not_be_written_409(site: Site, path: str) -> None:
    wind, hall = region_view().devices
    asked = SIGNED | {"verb": "limit", "value": 750_000}
    for view, said in (
        (region_view(mode="advisory"), "advisory: nothing is written"),
        (region_view(devices=(replace(wind, mode="out-of-service", mode_who="Eve"), hall)), "out of service (Eve"),
    ):
        site.state.view = view
        refused = await site.order(f"{WIND}/{path}", 409, asked)
        assert said in refused.body["detail"]
        assert site.state.orders == []
        await site.order(f"{WIND}/{path}", 202, asked | {"value": None})
        site.state.orders.clear()


async def test_a_device_without_actuators_takes_no_value(site: Site) -> None:
    refused = await site.order("/api/v1/devices/hall-a/manual", 422, SIGNED | {"verb": "shed", "value": 0})
    assert "nothing that can be commanded" in refused.body["errors"][0]["detail"]


async def test_a_generator_takes_no_veto(site: Site) -> None:
    refused = await site.order(f"{WIND}/veto", 422, SIGNED | {"active": True})
    assert "wind-1 is a generator" in refused.body["errors"][0]["detail"]


def test_the_core_takes_what_the_api_takes() -> None:
    assert set(get_args(OperatorVerb)) == {verb.value for verb in ORDERABLE[Rank.OPERATOR]}
    assert set(get_args(UserVerb)) == {verb.value for verb in ORDERABLE[Rank.USER]}


@pytest.mark.parametrize("active", [True, False])
async def test_veto(site: Site, active: bool) -> None:
    await site.order("/api/v1/devices/hall-a/veto", 202, SIGNED | {"active": active})
    assert site.state.orders == [Veto(device="hall-a", active=active, who="Ada", why="too warm", until_utc_ms=0)]
    refused = await site.order("/api/v1/devices/hall-a/veto", 422, SIGNED | {"active": 1})
    assert refused.body["errors"][0]["field"] == "active"


@pytest.mark.parametrize("action", [AlarmAction.ACKNOWLEDGE, AlarmAction.UNSHELVE])
async def test_acknowledge_and_unshelve(site: Site, action: AlarmAction) -> None:
    answer = await site.order(f"{STALE}/{action}", 202, SIGNED)
    assert answer.headers["Location"] == "/api/v1/alarms"
    order = AlarmOrder(key="stale:hall-a", action=action, who="Ada", why="too warm", until_utc_ms=0)
    assert site.state.orders == [order]
    refused = await site.order(f"{STALE}/{action}", 422, SIGNED | {"until": ONE_PM})
    assert refused.body["errors"][0]["field"] == "until"


async def test_shelve_for_a_week_at_most(site: Site) -> None:
    await site.order(f"{STALE}/shelve", 202, SIGNED | {"until": "2026-03-08T12:00:00Z"})
    assert [order.until_utc_ms for order in site.state.orders] == [NOON_UTC_MS - 250 + 7 * 86_400_000]
    for wrong in ({}, {"until": None}, {"until": "2026-03-01T11:00:00Z"}, {"until": "2026-03-08T12:00:01Z"}):
        refused = await site.order(f"{STALE}/shelve", 422, SIGNED | wrong)
        assert refused.body["errors"][0]["field"] == "until", wrong
    assert len(site.state.orders) == 1


async def test_awkward_alarm_keys(site: Site) -> None:
    for key in ("device-down:<b>&", "rating/feeder b:50%"):
        alarm = replace(region_view().alarms[0], key=key)
        site.state.view = region_view(alarms=(alarm,))
        await site.order(f"/api/v1/alarms/{quote(key, safe='')}/acknowledge", 202, SIGNED)
        assert getattr(site.state.orders[-1], "key", None) == key


async def test_unknown_names_404(site: Site) -> None:
    refused = await site.order("/api/v1/alarms/stale:hall-b/acknowledge", 404, SIGNED)
    assert "did you mean 'stale:hall-a'" in refused.body["detail"]
    refused = await site.order("/api/v1/devices/wind1/veto", 404, SIGNED | {"active": True})
    assert "did you mean 'wind-1'" in refused.body["detail"]
    assert site.state.orders == []


NEW = (
    ("/api/v1/region/hold", {}),
    (f"{WIND}/manual", {"verb": "limit", "value": 0}),
    (f"{WIND}/override", {"verb": "limit", "value": 0}),
    ("/api/v1/devices/hall-a/veto", {"active": True}),
    (f"{STALE}/acknowledge", {}),
    (f"{STALE}/shelve", {"until": ONE_PM}),
    (f"{STALE}/unshelve", {}),
)


@pytest.mark.parametrize(("path", "body"), NEW)
async def test_every_order_needs_the_token_words_and_a_step(site: Site, path: str, body: dict[str, Any]) -> None:
    await site.order(path, 401, SIGNED | body, token=None)
    await site.order(path, 403, SIGNED | body, Origin="http://elsewhere.example")
    await site.order(path, 421, SIGNED | body, Host="elsewhere.example")
    refused = await site.order(path, 422, body)
    assert {fault["field"] for fault in refused.body["errors"]} == {"who", "why"}
    site.state.view = None
    await site.order(path, 503, SIGNED | body)
    assert site.state.orders == []
