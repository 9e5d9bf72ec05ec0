"""Who may read: without a token, with the viewer's, with the operator's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from structlog.testing import capture_logs

from scowl_edge.web import TokenSource
from tests.integration.web.cabinet import TOKEN, Site, State, serving_site

VIEWER = "only-looking-0123456789"
ORDER = {"mode": "manual", "who": "Ada", "why": "maintenance"}
DEVICE_MODE = "/api/v1/devices/hall-a/mode"
CLOSED = (
    *("region", "trees", "devices", "devices/wind-1", "devices/wind-1/points", "devices/wind-1/points/power"),
    *("ratings", "alarms", "decisions", "events", "events.csv", "live", "openapi.json"),
    *("devices/wind-1/points/power/trend", "devices/wind-1/points/power/trend.csv"),
)


@pytest.fixture
async def guarded(state: State, tmp_path: Path) -> AsyncIterator[Site]:
    """A site with a token for each role."""
    operator, viewer = tmp_path / "operator", tmp_path / "viewer"
    operator.write_text(TOKEN + "\n")
    viewer.write_text(VIEWER + "\n")
    sources = {"operator": TokenSource("token", operator, None), "viewer": TokenSource("viewer", viewer, None)}
    async with (
        serving_site(state, viewer, **sources) as site,
        # The document is closed as well: what fetches it says who it is.
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {VIEWER}"}) as http,
    ):
        yield Site(state, site.metrics, site.url, http, viewer)


@pytest.mark.parametrize("path", ["/metrics", *(f"/api/v1/{path}" for path in CLOSED)])
async def test_everything_that_holds_data_is_closed(guarded: Site, path: str) -> None:
    async with aiohttp.ClientSession() as http:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {VIEWER}"}):
            for method in ("GET", "HEAD"):
                async with http.request(method, guarded.url + path, headers=headers) as answer:
                    if method == "HEAD" and answer.status == 405:
                        continue
                    assert answer.status == 401, (method, headers)
                    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="scowl-edge"')
                    assert answer.content_type == "application/problem+json"
                    assert "1250000" not in await answer.text()


@pytest.mark.parametrize("token", [VIEWER, TOKEN])
async def test_both_tokens_read(guarded: Site, token: str) -> None:
    authorization = {"Authorization": f"Bearer {token}"}
    answer = await guarded.ask("GET", "/api/v1/region", 200, headers=authorization)
    assert answer.body["site"] == "cabinet-17"
    async with guarded.http.get(guarded.url + "/metrics", headers=authorization) as scraped:
        assert scraped.status == 200
        assert "scowl_point_value" in await scraped.text()


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
async def test_the_page_and_the_probes_are_open_and_the_page_holds_no_data(guarded: Site, path: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(guarded.url + path) as answer:
        assert answer.status in (200, 503)
        text = await answer.text()
    assert "hall-a" not in text and "cabinet-17" not in text


async def test_the_document_says_that_reading_needs_a_token(guarded: Site, site: Site) -> None:
    closed = await guarded.json("/api/v1/openapi.json")
    assert closed["paths"]["/api/v1/region"]["get"]["security"] == [{"token": []}]
    assert {"401", "403"} <= set(closed["paths"]["/api/v1/region"]["get"]["responses"])
    assert "security" not in closed["paths"]["/healthz"]["get"]
    assert "security" not in (await site.json("/api/v1/openapi.json"))["paths"]["/api/v1/region"]["get"]


async def test_a_viewer_may_not_order_and_the_log_says_who_tried(guarded: Site) -> None:
    with capture_logs() as log:
        refused = await guarded.order(DEVICE_MODE, 403, ORDER, token=VIEWER)
    assert "viewer's and may only read" in refused.body["detail"]
    assert guarded.state.orders == []
    [entry] = [entry for entry in log if entry["event"] == "order refused"]
    assert (entry["status"], entry["path"], entry["remote"]) == (403, DEVICE_MODE, "127.0.0.1")
    await guarded.order(DEVICE_MODE, 202, ORDER)
    assert len(guarded.state.orders) == 1


async def test_one_token_for_both_makes_no_operator_of_a_viewer(guarded: Site) -> None:
    guarded.token_file.write_text(TOKEN)
    async with guarded.http.post(
        guarded.url + DEVICE_MODE, json=ORDER, headers={"Authorization": f"Bearer {TOKEN}"}
    ) as answer:
        assert answer.status == 403
        assert "are the same" in (await answer.json(content_type=None))["detail"]
    assert guarded.state.orders == []


async def test_a_changed_token_counts_at_once(guarded: Site) -> None:
    guarded.token_file.write_text("another")
    async with guarded.http.get(guarded.url + "/api/v1/region") as answer:
        assert answer.status == 401
    headers = {"Authorization": "Bearer another"}
    async with guarded.http.get(guarded.url + "/api/v1/region", headers=headers) as answer:
        assert answer.status == 200


async def test_a_lost_token_file_closes_and_the_operator_still_reads(guarded: Site) -> None:
    guarded.token_file.unlink()
    async with guarded.http.get(guarded.url + "/api/v1/region") as answer:
        assert answer.status == 403
        assert "No such file" in (await answer.json(content_type=None))["detail"]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with guarded.http.get(guarded.url + "/api/v1/region", headers=headers) as answer:
        assert answer.status == 200


async def test_off_loopback_reading_is_the_operators_where_there_is_no_viewer(state: State, tmp_path: Path) -> None:
    operator = tmp_path / "operator"
    operator.write_text(TOKEN)
    async with serving_site(state, host="192.0.2.1", operator=TokenSource("token", operator, None)) as site:
        async with site.http.get(site.url + "/api/v1/region") as answer:
            assert answer.status == 401
        async with site.http.get(site.url + "/api/v1/region", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("host", ["Edge.Example", "edge.example:8443", "edge.example."])
async def test_public_names_may_be_asked_for(state: State, tmp_path: Path, host: str) -> None:
    operator = tmp_path / "operator"
    operator.write_text(TOKEN)
    source = TokenSource("token", operator, None)
    async with serving_site(state, operator=source, names=("edge.example",)) as site:
        for scheme in ("http", "https"):
            await site.order(DEVICE_MODE, 202, ORDER, Host=host, Origin=f"{scheme}://{host.lower()}")
        await site.order(DEVICE_MODE, 403, ORDER, Host=host, Origin="https://elsewhere.example")
        await site.order(DEVICE_MODE, 421, ORDER, Host="elsewhere.example")


async def test_a_taken_and_a_refused_order_are_logged_with_who_and_why(site: Site) -> None:
    with capture_logs() as log:
        await site.order(DEVICE_MODE, 202, ORDER)
        await site.order("/api/v1/devices/hall-z/mode", 404, ORDER)
        await site.order(DEVICE_MODE, 422, ORDER | {"mode": "off"})
        await site.order(DEVICE_MODE, 401, ORDER, token="wrong")
    told = [(e["event"], e.get("status"), e["who"], e["why"], e["remote"]) for e in log if "order " in e["event"]]
    ada = ("Ada", "maintenance", "127.0.0.1")
    assert told == [
        ("order taken", None, *ada),
        ("order refused", 404, *ada),
        ("order refused", 422, *ada),
        # What a stranger says of itself is not read.
        ("order refused", 401, "", "", "127.0.0.1"),
    ]
