"""`scowl-edge dsr ...` as a process against a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scowl_edge.model.event import FlexCancel, FlexOverride, FlexSelect
from scowl_edge.model.exchange import CancelAt
from scowl_edge.model.flexibility import Mode, OverrideScope
from tests.integration.web.cabinet import Site, flex_offer, flexible, region_view
from tests.integration.web.test_cli_status import run

SIGNED = ("--who", "Ada", "--why", "evening peak")


async def test_offers_as_a_table_and_as_json(site: Site) -> None:
    flexible(site.state, offer_list=(flex_offer(esa_id="\x1b[2Jwasher [red]1"),))
    code, out, err = await run("dsr", "offers", site.url)
    assert (code, err) == (0, "")
    assert "\x1b" not in out and "[2Jwasher [red]1" in out.replace("\n", "")
    assert "1 offers" in out and "selectable" in out
    code, out, _ = await run("dsr", "offers", site.url, "--json")
    assert (code, json.loads(out)["offers"][0]["offer_id"]) == (0, "offer-1")


async def test_the_report(site: Site) -> None:
    flexible(site.state)
    code, out, err = await run("dsr", "report", site.url)
    assert (code, err) == (0, "")
    for words in (
        "1 up, 1 down: cem:house-5",
        "a change of -4 kW, RESPONSE, by Ada: evening peak",
        "3 kW of 3.6 kW promised",
        "STALE_REV 7",
        "charger-1 waits for the night",
        "sel-1",
        "Books: 1 accounts",
    ):
        assert words in out, words
    code, out, _ = await run("dsr", "report", site.url, "--json")
    said = json.loads(out)
    assert (code, said["flex"]["plans"], said["books"]["short_wh"]) == (0, 9, 300)
    assert said["selections"][0]["select_id"] == "sel-1"


async def test_orders_reach_the_inbox(site: Site) -> None:
    flexible(site.state)
    token = ("--token-file", str(site.token_file))
    what = ("--offer", "offer-1", "--profile", "md-1", "--start", "2026-03-01T13:00:00Z", "--response")
    code, out, err = await run("dsr", "select", "washer-1", site.url, *what, *SIGNED, *token)
    assert (code, err) == (0, "")
    assert f"{site.url}/api/v1/flex/appliances/washer-1" in out
    assert (await run("dsr", "cancel", "sel-1", site.url, "--now", *SIGNED, *token))[0] == 0
    assert (await run("dsr", "override", "charger-1", site.url, "--scope", "all", *SIGNED, *token))[0] == 0
    select, cancel, override = site.state.orders
    assert isinstance(select, FlexSelect) and (select.profile_id, select.mode) == ("md-1", Mode.RESPONSE)
    assert isinstance(cancel, FlexCancel) and (cancel.select_id, cancel.at) == ("sel-1", CancelAt.NOW)
    assert isinstance(override, FlexOverride) and override.scope is OverrideScope.ALL


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("cancel", "sel-2", "URL", *SIGNED, "--token-file", "TOKEN"), "did you mean 'sel-1'?"),
        (("cancel", "sel-1", "URL", *SIGNED), "an order needs the operator's token: --token-file FILE"),
        (("cancel", "sel-1", "URL", *SIGNED, "--token-file", "none"), "cannot be read"),
        (("override", "charger-1", "URL", "--scope", "some", *SIGNED, "--token-file", "TOKEN"), "scope"),
        (("offers", "localhost:1"), "is not the address of a daemon"),
    ],
)
async def test_what_fails_is_one_message(site: Site, arguments: tuple[str, ...], what: str) -> None:
    flexible(site.state)
    real = {"URL": site.url, "TOKEN": str(site.token_file)}
    code, out, err = await run("dsr", *(real.get(each, each) for each in arguments))
    assert (code, out) == (1, "")
    assert what in err and "Traceback" not in err
    assert site.state.orders == []


async def test_a_site_without_a_part(site: Site) -> None:
    site.state.view = region_view()
    code, _, err = await run("dsr", "report", site.url)
    assert code == 1
    assert "This site has no part in flexibility" in err


async def test_the_schema_is_the_one_that_is_published() -> None:
    code, out, _ = await run("dsr", "schema")
    published = Path(__file__).parents[3] / "docs" / "flex" / "scowl-flex-1.schema.json"
    assert (code, json.loads(out)) == (0, json.loads(published.read_text()))
