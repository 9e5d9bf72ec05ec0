"""Flexibility over HTTP: what is shown of it, and what people may order of it."""

from __future__ import annotations

from typing import Any

import pytest

from scowl_edge.model.event import HOLDS, FlexAim, FlexCancel, FlexLimit, FlexOverride, FlexSelect, FlexStretch
from scowl_edge.model.exchange import CancelAt
from scowl_edge.model.flexibility import LimitClass, Mode, OverrideScope
from tests.integration.web.cabinet import NOON_UTC_MS, Site, flex_appliance, flex_offer, flexible, region_view

FLEX = "/api/v1/flex"
SIGNED = {"who": "Ada", "why": "evening peak"}
AT_ONE = "2026-03-01T13:00:00Z"
ONE_UTC_MS = NOON_UTC_MS - 250 + 3_600_000


@pytest.fixture(autouse=True)
def with_appliances(site: Site) -> None:
    """A part in flexibility, with two appliances."""
    flexible(site.state)


async def test_the_part_in_sums(site: Site) -> None:
    answer = await site.json(FLEX)
    flex = answer["flex"]
    assert (flex["part"], flex["manager"], flex["provider"]) == ("both", "cem:house-4", "dsrsp:grid-co")
    assert (flex["peers_up"], flex["peers_down"], flex["appliances"]) == (1, 1, 2)
    assert flex["selections"] == {"ACTIVE": 1, "COMPLETED": 0}
    assert (flex["promised_w"], flex["delivered_w"], flex["unmeasured_w"]) == (3_600, 3_000, 500)
    assert flex["goal"]["text"] == "a change of -4 kW, RESPONSE, by Ada: evening peak"
    assert (
        flex["plan"]["text"] == "1 selected, deviation 75.0 % less than without, at most 0.12 % from the best possible"
    )
    assert flex["plan"]["objective"] == "250", "larger numbers than every reader keeps are text"
    assert (flex["plan_due_s"], flex["unsent"], flex["overridden"]) == (120, 5, 1)
    assert flex["findings"][0]["esa_id"] == "charger-1"
    [charger, washer] = answer["appliances"]
    assert charger["trouble"] == "delivers less than promised, keeps to its fail-safe limit"
    assert washer["trouble"] == ""


async def test_offers_selections_and_books(site: Site) -> None:
    offers = await site.json(f"{FLEX}/offers")
    assert offers["total"] == 1
    [offer] = offers["offers"]
    assert offer["text"] == "intended: 100 W to 2 kW for 2 h 0 min; most delayed: 100 W to 2 kW for 2 h 0 min"
    assert offer["start_earliest"] == "2026-03-01T12:10:00.250Z"
    [selection] = (await site.json(f"{FLEX}/selections"))["selections"]
    assert (selection["state"], selection["standing"], selection["event_ref"]) == ("ACTIVE", "EFFECTIVE", "peak")
    books = await site.json(f"{FLEX}/books")
    assert (books["total"], books["counted"], books["short_wh"]) == (1, 1, 300)
    [account] = books["accounts"]
    assert account["baseline_wh"] - account["promised_wh"] == account["asked_wh"]


async def test_one_appliance_in_full(site: Site) -> None:
    washer = await site.json(f"{FLEX}/appliances/washer-1")
    assert washer["appliance"]["kind"] == "WET"
    assert [o["offer_id"] for o in washer["offers"]] == ["offer-1"]
    refused = await site.json(f"{FLEX}/appliances/washer-2", 404)
    assert "did you mean 'washer-1'?" in refused["detail"]


async def test_without_a_part_there_is_nothing(site: Site) -> None:
    site.state.view = region_view()
    for path in ("", "/offers", "/selections", "/books", "/appliances/washer-1"):
        assert "no-flexibility" in (await site.json(FLEX + path, 404))["type"]
    await site.order(f"{FLEX}/aim", 404, SIGNED | {"level_w": 4_000})
    assert site.state.orders == []


async def test_a_level_and_a_curve_are_aims(site: Site) -> None:
    answer = await site.order(f"{FLEX}/aim", 202, SIGNED | {"level_w": 4_000, "until": AT_ONE})
    assert answer.headers["Location"] == FLEX
    curve = [{"dur_s": 900, "power_w": -2_000}, {"dur_s": 1_800, "power_w": 0}]
    more = {"curve": curve, "begin": AT_ONE, "relative": True, "mode": "RESPONSE", "event_ref": "peak"}
    await site.order(f"{FLEX}/aim", 202, SIGNED | more)
    await site.order(f"{FLEX}/aim", 202, SIGNED)
    level, change, nothing = site.state.orders
    assert level == FlexAim(
        begin_utc_ms=0, curve=(FlexStretch(dur_s=HOLDS, power_w=4_000),), relative=False, mode=Mode.ROUTINE,
        event_ref="", emergency=False, until_utc_ms=ONE_UTC_MS, **SIGNED,
    )  # fmt: skip
    assert isinstance(change, FlexAim) and isinstance(nothing, FlexAim)
    assert (change.begin_utc_ms, change.relative, change.mode) == (ONE_UTC_MS, True, Mode.RESPONSE)
    assert [s.dur_s for s in change.curve] == [900, 1_800]
    assert nothing.curve == ()


async def test_a_profile_is_selected_and_taken_back(site: Site) -> None:
    select = {"esa_id": "washer-1", "offer_id": "offer-1", "profile_id": "md-1", "start": AT_ONE}
    answer = await site.order(f"{FLEX}/select", 202, SIGNED | select)
    assert answer.headers["Location"] == f"{FLEX}/appliances/washer-1"
    await site.order(f"{FLEX}/cancel", 202, SIGNED | {"select_id": "sel-1", "at": "NOW"})
    assert site.state.orders == [
        FlexSelect(
            esa_id="washer-1", offer_id="offer-1", profile_id="md-1", start_utc_ms=ONE_UTC_MS, setpoints_w=(),
            mode=Mode.ROUTINE, **SIGNED,
        ),
        FlexCancel(select_id="sel-1", at=CancelAt.NOW, **SIGNED),
    ]  # fmt: skip


async def test_a_user_overrides_and_a_limit_bounds(site: Site) -> None:
    await site.order(f"{FLEX}/override", 202, SIGNED | {"esa_id": "charger-1", "scope": "GRID", "until": AT_ONE})
    await site.order(f"{FLEX}/limit", 202, SIGNED | {"esa_id": "charger-1", "p_upper_w": 1_400, "dur_s": 600})
    await site.order(f"{FLEX}/limit", 202, SIGNED | {"cem": "cem:house-4", "active": False, "safety": True})
    override, limit, lifted = site.state.orders
    assert override == FlexOverride(esa_id="charger-1", scope=OverrideScope.GRID, until_utc_ms=ONE_UTC_MS, **SIGNED)
    assert isinstance(limit, FlexLimit) and isinstance(lifted, FlexLimit)
    assert (limit.esa_id, limit.cem, limit.p_upper_w, limit.klass) == ("charger-1", "", 1_400, LimitClass.CONTRACT)
    assert (lifted.esa_id, lifted.cem, lifted.active, lifted.klass) == ("", "cem:house-4", False, LimitClass.SAFETY)


SELECT = {"esa_id": "washer-1", "offer_id": "offer-1", "profile_id": "md-1", "start": AT_ONE}


@pytest.mark.parametrize(
    ("path", "body", "status", "what"),
    [
        ("aim", {"level_w": 1, "curve": [{"dur_s": 900, "power_w": 1}]}, 422, "either a level or a curve"),
        ("aim", {"level_w": 1, "begin": AT_ONE}, 422, "Only a curve has a begin"),
        ("aim", {"curve": [{"dur_s": 900, "power_w": 1}], "until": AT_ONE}, 422, "A curve ends by itself"),
        ("aim", {"curve": [{"dur_s": 172_800, "power_w": 1}] * 2}, 422, "longer than 48 h"),
        ("aim", {"curve": [{"dur_s": 60, "power_w": 1}], "begin": "2026-03-01T11:00:00Z"}, 422, "in the past"),
        ("select", SELECT | {"esa_id": "nobody"}, 404, "There is no appliance 'nobody'"),
        ("select", SELECT | {"offer_id": "x"}, 422, "it offers offer-1"),
        ("select", SELECT | {"profile_id": "x"}, 422, "it has io-1, md-1"),
        ("select", SELECT | {"start": "2026-03-01T11:00:00Z"}, 422, "not in the future"),
        ("cancel", {"select_id": "sel-2"}, 404, "did you mean 'sel-1'?"),
        ("override", {"esa_id": "nobody", "scope": "ALL"}, 404, "There is no appliance"),
        ("limit", {"p_upper_w": 5}, 422, "either an appliance or a manager"),
        ("limit", {"esa_id": "washer-1"}, 422, "needs its upper bound"),
        ("limit", {"esa_id": "washer-1", "p_upper_w": -5, "p_lower_w": -4}, 422, "is above p_upper_w"),
        ("limit", {"cem": "cem:house-9", "p_upper_w": 5}, 404, "There is no manager"),
    ],
)
async def test_what_cannot_be_right_is_refused(
    site: Site, path: str, body: dict[str, Any], status: int, what: str
) -> None:
    answer = (await site.order(f"{FLEX}/{path}", status, SIGNED | body)).body
    said = answer["detail"] + " ".join(e["detail"] for e in answer.get("errors") or ())
    assert what in said
    assert site.state.orders == []


@pytest.mark.parametrize("path", ["aim", "select", "cancel", "override", "limit"])
async def test_orders_need_the_token_and_who_and_why(site: Site, path: str) -> None:
    await site.order(f"{FLEX}/{path}", 401, SIGNED, token=None)
    faults = (await site.order(f"{FLEX}/{path}", 422, {})).body["errors"]
    assert {"who", "why"} <= {fault["field"] for fault in faults}
    assert site.state.orders == []


async def test_an_offer_that_is_not_to_be_selected(site: Site) -> None:
    site.state.appliances["washer-1"] = flex_appliance(offers=(flex_offer(state="expired"),))
    refused = (await site.order(f"{FLEX}/select", 422, SIGNED | SELECT)).body
    assert "expired" in refused["errors"][0]["detail"]
    site.state.appliances["washer-1"] = flex_appliance(offers=(flex_offer(state="selected"),))
    assert "busy" in (await site.order(f"{FLEX}/select", 409, SIGNED | SELECT)).body["type"]


async def test_what_belongs_to_another_part_is_refused(site: Site) -> None:
    flexible(site.state, provider="")
    for path, body in (("aim", {"level_w": 5}), ("select", SELECT), ("cancel", {"select_id": "sel-1"})):
        assert "is no provider" in (await site.order(f"{FLEX}/{path}", 409, SIGNED | body)).body["detail"]
    flexible(site.state, manager="")
    body = {"esa_id": "washer-1", "scope": "ALL"}
    assert "manages no appliances" in (await site.order(f"{FLEX}/override", 409, SIGNED | body)).body["detail"]


async def test_series_are_sums(site: Site) -> None:
    async with site.http.get(site.url + "/metrics") as answer:
        lines = set((await answer.text()).splitlines())
    assert {
        'scowl_flex_links{state="up"} 1',
        'scowl_flex_links{state="down"} 1',
        'scowl_flex_appliances{life="NORMAL"} 2',
        'scowl_flex_offers{state="selectable"} 1',
        'scowl_flex_selections{state="ACTIVE"} 1',
        "scowl_flex_promised_watts 3600",
        "scowl_flex_delivered_watts 3000",
        "scowl_flex_unmeasured_watts 500",
        'scowl_flex_books_watthours{what="short"} 300',
        "scowl_flex_goal_watts -4000",
        "scowl_flex_plan_gap_ratio 0.001234",
        "scowl_flex_plans_total 9",
        "scowl_flex_plans_failed_total 1",
        'scowl_flex_refused_total{code="STALE_REV"} 7',
        "scowl_flex_failsafe_entries_total 2",
        'scowl_flex_site_limit_state{state="UNLIMITED"} 1',
        'scowl_flex_site_limit_state{state="FAILSAFE"} 0',
        'scowl_flex_limit_states{state="FAILSAFE"} 1',
        'scowl_flex_overrides{scope="GRID"} 1',
        "scowl_flex_reports_waiting 4",
        "scowl_flex_unsent_total 5",
        'scowl_flex_link_refused_total{code="RATE"} 8',
        'scowl_flex_link_events_total{what="slowed"} 2',
        "scowl_flex_clock_skew_seconds 1.5",
    } <= lines
    assert not any("washer-1" in line for line in lines), "an appliance has no series"
    flexible(site.state, delivered_w=None, plan=None, goal=None)
    async with site.http.get(site.url + "/metrics") as answer:
        text = await answer.text()
    assert "\nscowl_flex_delivered_watts" not in text and "\nscowl_flex_goal_watts" not in text
    site.state.view = region_view()
    async with site.http.get(site.url + "/metrics") as answer:
        assert "scowl_flex" not in await answer.text()
