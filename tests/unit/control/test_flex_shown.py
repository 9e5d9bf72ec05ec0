"""What is shown of flexibility, and what becomes of orders: by hand, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flex_site import CEM, DSRSP, HOUR, MINUTE, FlexSite, manager_part, provider_part

from scowl_edge.control import flex_courses
from scowl_edge.control.flex_portrait import LISTED, RECKONED_AT_ONCE
from scowl_edge.model.effect import Send
from scowl_edge.model.event import (
    HOLDS,
    FlexAim,
    FlexCancel,
    FlexLimit,
    FlexOrder,
    FlexOverride,
    FlexSelect,
    FlexStretch,
)
from scowl_edge.model.exchange import CancelAt, Limit, Override, Running
from scowl_edge.model.flex_view import FlexView
from scowl_edge.model.flexibility import LimitClass, Mode, OverrideScope, SelectionState
from scowl_edge.model.part import FlexPart


def shown(site: FlexSite) -> FlexView:
    return site.flexible.view(site.tick)


def ordered(site: FlexSite, order: FlexOrder) -> str:
    """Takes an order and steps; what was noted of it."""
    _, what = site.flexible.order(order, site.tick)
    site.step()
    return str(what)


def level(power_w: int | None, until_utc_ms: int = 0) -> FlexAim:
    curve = () if power_w is None else (FlexStretch(dur_s=HOLDS, power_w=power_w),)
    return FlexAim(
        begin_utc_ms=0, curve=curve, relative=False, mode=Mode.RESPONSE, event_ref="", emergency=False, who="ann",
        why="peak", until_utc_ms=until_utc_ms,
    )  # fmt: skip


def select(site: FlexSite, esa_id: str) -> FlexSelect:
    return FlexSelect(
        esa_id=esa_id, offer_id=f"o-{esa_id}", profile_id="io", start_utc_ms=site.utc_ms + 2 * HOUR, setpoints_w=(),
        mode=Mode.RESPONSE, who="ann", why="test",
    )  # fmt: skip


def test_everything_is_counted_with_its_noughts() -> None:
    site = FlexSite()
    empty = shown(site)
    assert (empty.manager, empty.provider, empty.appliance_ids) == (CEM, DSRSP, ())
    assert dict(empty.lives)["NORMAL"] == 0 and dict(empty.selections)["ACTIVE"] == 0
    site.join("e1")
    site.join("e2")
    site.runs("e2", Running.IDLE, OverrideScope.GRID)
    view = shown(site)
    assert dict(view.lives)["NORMAL"] == 1 and dict(view.lives)["OPTED_OUT"] == 1
    assert dict(view.offers) == {"selectable": 2, "selected": 0, "early": 0, "expired": 0, "withheld": 0}
    assert (view.peers_up, view.peers_down) == (2, 0)
    site.step(2 * HOUR)
    assert dict(shown(site).offers)["expired"] == 2


def test_looking_changes_nothing() -> None:
    site = FlexSite()
    site.join("e1")
    before = site.flexible.section()
    assert shown(site) == shown(site)
    assert site.flexible.appliance("e1", site.tick) is not None
    assert site.flexible.section() == before


def test_a_selection_by_hand_is_asked_for_booked_and_shown() -> None:
    site = FlexSite()
    site.join("e1")
    assert ordered(site, select(site, "e1")) == "selected by ann: test"
    [asked] = site.selects()
    assert dict(shown(site).selections)["PENDING"] == 1
    site.status(asked, SelectionState.SCHEDULED)
    view = shown(site)
    assert dict(view.offers)["selected"] == 1
    [selection] = view.selection_list
    assert (selection.esa_id, selection.state, selection.standing) == ("e1", "SCHEDULED", "PLEDGED")
    assert view.open_ids == (asked.select_id,)
    [account] = view.account_list
    assert (account.asked_wh, account.unproven_wh, account.settled) == (0, 0, False), "it is all to come"
    assert "BUSY" in ordered(site, select(site, "e1"))


def test_delivered_stands_against_promised_while_it_runs() -> None:
    site = FlexSite()
    site.join("e1")
    ordered(site, select(site, "e1"))
    [asked] = site.selects()
    for state in (SelectionState.ACCEPTED, SelectionState.SCHEDULED):
        site.status(asked, state)
    site.step(2 * HOUR)
    site.status(asked, SelectionState.ACTIVE)
    assert shown(site).unmeasured_w == 2_000, "it runs, and nobody has measured it"
    site.step(10 * MINUTE)
    site.report("e1", site.utc_ms - 5 * MINUTE, [1_500], slot_s=300)
    view = shown(site)
    assert (view.promised_w, view.delivered_w, view.unmeasured_w) == (2_000, 1_500, 0)


def test_what_was_moved_is_in_the_books_up_and_down_alike() -> None:
    site = FlexSite()
    site.join("e1")
    ordered(site, select(site, "e1"))
    [asked] = site.selects()
    site.status(asked, SelectionState.SCHEDULED)
    site.step(4 * HOUR)
    [account] = shown(site).account_list
    assert account.asked_wh == 0 and 3_500 < account.unproven_wh <= 4_000, "nobody measured any of it"
    slot = 15 * MINUTE
    begin = (site.utc_ms - 4 * HOUR) // slot * slot
    site.report("e1", begin, [2_000 if 8 <= n < 13 else 0 for n in range(16)])
    [account] = shown(site).account_list
    assert account.asked_wh > 3_500 and account.unproven_wh < 100
    assert account.credited_wh + account.short_wh in (account.asked_wh, account.asked_wh - 1)
    assert shown(site).asked_wh == account.asked_wh


def test_the_coming_hours_are_the_sum_of_all_that_is_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flex_courses, "AT_ONCE", 2)
    site, names = FlexSite(), [f"e{n}" for n in range(5)]
    for name in names:
        site.join(name)
    assert shown(site).ahead == ()
    asked = []
    for name in names:
        ordered(site, select(site, name))
        asked += site.selects()
    for _ in range(3):
        view = shown(site)
    provider = site.flexible.talks.provider
    assert provider is not None
    accounts = [provider.portfolio.asked[s].account for s in view.open_ids]
    assert len(accounts) == 5 and view.ahead
    for slot in view.ahead:
        end_ms = slot.start_utc_ms + 1_000 * slot.length_s
        for shown_w, courses in (
            (slot.promised_w, [a.promised for a in accounts]),
            (slot.intended_w, [a.baseline for a in accounts]),
        ):
            energy_wms = sum(c.energy_j(slot.start_utc_ms, end_ms) for c in courses) * 1_000
            assert abs(shown_w * (end_ms - slot.start_utc_ms) - energy_wms) <= 5 * (end_ms - slot.start_utc_ms)
    assert max(slot.promised_w for slot in view.ahead) == 10_000
    for one in asked[:4]:
        site.status(one, SelectionState.REJECTED)
    for _ in range(3):
        view = shown(site)
    assert max(slot.promised_w for slot in view.ahead) == 2_000


def test_no_plan_moves_what_a_person_selected() -> None:
    site = FlexSite()
    for name in ("e1", "e2"):
        site.join(name)
    ordered(site, select(site, "e1"))
    [asked] = site.selects()
    site.status(asked, SelectionState.SCHEDULED)
    ordered(site, level(0))
    job = site.flexible.talks.provider.job if site.flexible.talks.provider else None
    assert job is not None
    assert [c.esa_id for c in job.candidates] == ["e2"]


def test_a_level_replaces_the_configured_one_until_its_time_is_over() -> None:
    site = FlexSite(FlexPart(manager=manager_part(), provider=provider_part(level_w=9_000)))
    site.join("e1")
    site.step()
    goal = shown(site).goal
    assert goal is not None and (goal.power_w, goal.who) == (9_000, "")
    assert "a target of 3 kW now, by ann" in ordered(site, level(3_000, site.utc_ms + HOUR))
    goal = shown(site).goal
    assert goal is not None and (goal.power_w, goal.who, goal.mode) == (3_000, "ann", "RESPONSE")
    assert goal.end_utc_ms <= site.utc_ms + HOUR
    site.flexible.begin()
    site.step(HOUR)
    assert [str(what) for _, what in site.flexible.notes] == ["the time of the target by ann is over"]
    goal = shown(site).goal
    assert goal is not None and (goal.power_w, goal.who) == (9_000, "")


def test_a_level_without_end_is_set_anew_and_taken_back() -> None:
    site = FlexSite()
    site.join("e1")
    ordered(site, level(3_000))
    first = shown(site).goal
    site.step(30 * HOUR)
    later = shown(site).goal
    assert first is not None and later is not None
    assert later.number == first.number + 1 and later.power_w == 3_000
    assert "no ordered target" in ordered(site, level(None))
    assert shown(site).goal is None


def test_a_curve_ends_by_itself_and_outlives_a_restart() -> None:
    site = FlexSite()
    site.join("e1")
    curve = (FlexStretch(dur_s=1_800, power_w=-2_000), FlexStretch(dur_s=1_800, power_w=-1_000))
    order = FlexAim(
        begin_utc_ms=site.utc_ms, curve=curve, relative=True, mode=Mode.ROUTINE, event_ref="peak", emergency=False,
        who="ann", why="peak", until_utc_ms=0,
    )  # fmt: skip
    assert "a change of -2 kW now" in ordered(site, order)
    again = FlexSite()
    again.flexible.restore(site.flexible.snapshot())
    again.now_ms, again.steps = site.now_ms, site.steps
    again.flexible.booted(2, 0, gap_known=True, tick=again.tick)
    again.step(40 * MINUTE)
    goal = shown(again).goal
    assert goal is not None and (goal.power_w, goal.event_ref, goal.who) == (-1_000, "peak", "ann")
    again.step(25 * MINUTE)
    assert shown(again).goal is None


def test_cancel_override_and_limit_reach_the_appliance() -> None:
    site = FlexSite()
    site.join("e1")
    ordered(site, select(site, "e1"))
    [asked] = site.selects()
    site.status(asked, SelectionState.SCHEDULED)
    said = ordered(site, FlexCancel(select_id=asked.select_id, at=CancelAt.NOW, who="ann", why="over"))
    assert "is taken back by ann: over" in said
    assert any(s.message.body.__class__.__name__ == "Cancel" for s in site.said if isinstance(s, Send))
    assert shown(site).selection_list[0].cancelling
    ordered(site, FlexOverride(esa_id="e1", scope=OverrideScope.ALL, who="ann", why="guests", until_utc_ms=0))
    [override] = [s.message.body for s in site.said if isinstance(s, Send) and isinstance(s.message.body, Override)]
    assert override.scope is OverrideScope.ALL
    site.tell("esa:e1", override)
    assert dict(shown(site).overrides)["ALL"] == 1
    limit = FlexLimit(
        esa_id="e1", cem="", klass=LimitClass.CONTRACT, active=True, p_upper_w=900, p_lower_w=None, dur_s=600,
        who="ann", why="fuse",
    )  # fmt: skip
    assert "limited to 900 W (CONTRACT) by ann: fuse" in ordered(site, limit)
    limits = [s.message.body for s in site.said if isinstance(s, Send) and isinstance(s.message.body, Limit)]
    assert 900 in [each.p_upper_w for each in limits]


def test_what_cannot_be_done_is_said_and_changes_nothing() -> None:
    site = FlexSite()
    site.join("e1")
    before = site.flexible.section()
    for order in (
        select(site, "e9"),
        FlexCancel(select_id="none", at=CancelAt.NOW, who="ann", why="x"),
        FlexOverride(esa_id="e9", scope=OverrideScope.ALL, who="ann", why="x", until_utc_ms=0),
    ):
        _, what = site.flexible.order(order, site.tick)
        assert "an order by ann could not be carried out" in str(what)
    assert site.flexible.section() == before
    alone = FlexSite(FlexPart(manager=manager_part(provider=""), provider=None))
    _, what = alone.flexible.order(level(5), alone.tick)
    assert "this site is no provider" in str(what)


def test_of_many_the_worst_are_listed_and_all_are_counted() -> None:
    site = FlexSite(FlexPart(manager=replace(manager_part(), appliances=500), provider=provider_part()))
    names = [f"e{n:03}" for n in range(LISTED + 20)]
    for name in names:
        site.join(name)
    site.runs(names[-1], Running.FAULT)
    view = shown(site)
    assert len(view.appliance_ids) == sum(n for _, n in view.lives) == len(names)
    assert len(view.appliance_list) == len(view.offer_list) == LISTED
    assert view.appliance_list[0].esa_id == names[-1], "the faulty one first"
    for name in names:
        site.flexible.order(select(site, name), site.tick)
    site.step()
    for asked in site.selects():
        site.status(asked, SelectionState.SCHEDULED)
    # Accounts are worth some work: so many at a look, and all of them after a few.
    view = shown(site)
    assert (view.accounts, view.accounts_counted) == (len(names), RECKONED_AT_ONCE)
    for _ in range(len(names) // RECKONED_AT_ONCE):
        view = shown(site)
    assert view.accounts_counted == len(names)
    assert len(view.selection_list) == LISTED and len(view.open_ids) == len(names)
