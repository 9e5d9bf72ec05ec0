"""Alarms of flexibility: what is wrong, for long enough, once for one cause."""

from __future__ import annotations

from dataclasses import replace

from flex_site import CEM, DSRSP, HOUR, MINUTE, FlexSite, manager_part, provider_part

from scowl_edge.control.flex_alarms import LOST_FOR_MS, found
from scowl_edge.dsr.delivery import Fault
from scowl_edge.model.event import Answer, FlexSelect
from scowl_edge.model.exchange import Heartbeat, Limit
from scowl_edge.model.flexibility import LimitClass, LimitState, Mode, SelectionState
from scowl_edge.model.part import FlexPart


def alarms(site: FlexSite) -> dict[str, str]:
    """Key -> cause."""
    return {each.key: str(each.cause) for each in found(site.flexible, site.tick)}


def managed() -> FlexSite:
    return FlexSite(FlexPart(manager=manager_part("dsrsp:far"), provider=None))


def test_a_provider_that_is_away_for_long_enough() -> None:
    site = managed()
    assert alarms(site) == {}, "it has just begun"
    site.step(LOST_FOR_MS)
    assert list(alarms(site)) == ["flex-provider-lost:dsrsp:far"]
    [alarm] = found(site.flexible, site.tick)
    assert alarm.at_ms < site.now_ms - LOST_FOR_MS + 2_000
    site.flexible.link("dsrsp:far", True, "connected", site.tick)
    assert alarms(site) == {}
    for _ in range(3):
        # Tried again and again: it is down since the first.
        site.flexible.link("dsrsp:far", False, "refused", site.tick)
        site.step(LOST_FOR_MS // 2)
    assert list(alarms(site)) == ["flex-provider-lost:dsrsp:far"]


def test_a_start_gives_links_time_to_come_up() -> None:
    site = managed()
    site.step(10 * LOST_FOR_MS)
    site.flexible.booted(2, 0, gap_known=True, tick=site.tick)
    assert not any(key.startswith("flex-provider-lost") for key in alarms(site))


def test_the_fail_safe_state_is_one_alarm() -> None:
    site = managed()
    site.flexible.link("dsrsp:far", True, "connected", site.tick)
    site.tell("dsrsp:far", Heartbeat(limit_state=LimitState.UNLIMITED, rev=0))
    lifted = Limit(limit_id="l", esa_id="", active=False, klass=LimitClass.CONTRACT)
    site.tell("dsrsp:far", lifted)
    assert alarms(site) == {}
    site.step(3 * MINUTE)
    assert "keep to their own values (FAILSAFE)" in alarms(site)["flex-failsafe"]
    assert site.flexible.view(site.tick).failsafe_entries == 1
    site.tell("dsrsp:far", Heartbeat(limit_state=LimitState.UNLIMITED, rev=0))
    site.tell("dsrsp:far", lifted)
    assert alarms(site) == {}


def test_nobody_is_missed_where_nobody_is_meant_to_be() -> None:
    site = FlexSite(FlexPart(manager=manager_part(""), provider=None))
    site.step(5 * HOUR)
    assert alarms(site) == {}


def test_managers_that_are_away_share_an_alarm() -> None:
    site = FlexSite(FlexPart(manager=None, provider=provider_part()))
    for node in ("cem:a", "cem:b", "cem:c"):
        site.flexible.link(node, True, "connected", site.tick)
    for node in ("cem:a", "cem:b"):
        site.flexible.link(node, False, "refused", site.tick)
    site.step(LOST_FOR_MS)
    assert alarms(site) == {"flex-managers-lost": "2 managers cannot be reached, with 0 appliances: cem:a, cem:b"}


def test_plans_that_fail_again_and_again() -> None:
    site = FlexSite()
    failed = Answer(job="selection", revision=1, proposal=None, failure="the worker died")
    for _ in range(2):
        site.flexible.answer(failed, site.tick)
    assert alarms(site) == {}
    site.flexible.answer(failed, site.tick)
    assert alarms(site) == {"flex-plans-fail": "3 plans in a row failed, the last: the worker died"}
    assert site.flexible.view(site.tick).plans_failed == 3


def test_under_delivery_of_one_and_of_many() -> None:
    site = FlexSite(FlexPart(manager=replace(manager_part(), appliances=99), provider=provider_part()))
    provider = site.flexible.talks.provider
    assert provider is not None and provider.node == DSRSP and site.flexible.talks.cem is not None
    assert site.flexible.talks.cem.node == CEM
    for n in range(5):
        name = f"e{n}"
        site.join(name)
        order = FlexSelect(
            esa_id=name, offer_id=f"o-{name}", profile_id="io", start_utc_ms=site.utc_ms + 2 * HOUR, setpoints_w=(),
            mode=Mode.RESPONSE, who="ann", why="test",
        )  # fmt: skip
        site.flexible.order(order, site.tick)
        site.step()
        [asked] = site.selects()
        site.status(asked, SelectionState.SCHEDULED)
    for minutes in range(0, 240, 5):
        for n in range(5):
            # The last one does what it promised, the others do nothing at all.
            on = n == 4 and 120 <= minutes < 185
            site.report(f"e{n}", site.utc_ms - 5 * MINUTE, [2_000 if on else 0], slot_s=300)
        site.step(5 * MINUTE)
        told = provider.portfolio.delivery.told
        if sum(Fault.UNDER_DELIVERED in faults for faults in told.values()) == 4:
            break
    said = alarms(site)
    singles = [key for key in said if key.startswith("flex-under-delivery:")]
    assert singles == ["flex-under-delivery:e0", "flex-under-delivery:e1"]
    assert said["flex-more-under-delivery"] == "2 more appliances do not deliver as promised: e2, e3"
