"""An energy manager alone: what it hands on, what it keeps, and how a site's limit becomes one for each appliance."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from role_world import DAY, FALLBACK, HOUR, MIN, SITE, Device, at, now, registered

from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.cem_state import CemError
from scowl_edge.dsr.instant import Restart
from scowl_edge.dsr.lifecycle import Life
from scowl_edge.dsr.member import UserSettings
from scowl_edge.dsr.selecting import Tolerance
from scowl_edge.dsr.site_share import Claimant, shares_w
from scowl_edge.model.codec import decode, encode
from scowl_edge.model.exchange import (
    Ack,
    AckStatus,
    Body,
    Code,
    Heartbeat,
    Init,
    InitDone,
    Limit,
    LimitStatus,
    Message,
    Override,
    Register,
    RegisterResult,
    Report,
    ReportKind,
    ReportSlot,
    Running,
    Select,
    SelectStatus,
    SlotQuality,
    State,
)
from scowl_edge.model.flexibility import (
    LimitClass,
    LimitState,
    Mode,
    OfferSet,
    OverrideBy,
    OverrideScope,
    SelectionState,
)

DSRSP = "dsrsp:main"
T0 = at(16)
ALIVE = Heartbeat(limit_state=LimitState.UNLIMITED, rev=0)


def device(n: int) -> Device:
    return Device(f"esa-{n:04}-abc", 2_000, HOUR, at(17), at(21))


def manager(count: int = 2) -> Cem:
    cem = Cem.first("cem:0", DSRSP, SITE, now(T0), seed=3)
    cem.link(True, now(T0))
    for n in range(count):
        own = device(n)
        appliance = Appliance.first(registered(own), FALLBACK, now(T0), seed=3, tolerance=Tolerance())
        cem.add(appliance, now(T0))
        cem.offers(own.offer_set(1), now(T0))
        cem.runs(own.esa_id, Running.RUNNING, now(T0))
    return cem


def told(cem: Cem, body: Body, mono_ms: int = T0, src: str = DSRSP, corr: str = "") -> list[Message]:
    return cem.receive(Message(id="m", ts_ms=0, src=src, dst=cem.node, body=body, corr=corr), now(mono_ms))


def bodies(messages: list[Message], kind: type[Body], dst: str = DSRSP) -> list[Body]:
    return [m.body for m in messages if isinstance(m.body, kind) and m.dst == dst]


def select(n: int = 0, select_id: str = "s", mode: Mode = Mode.RESPONSE) -> Select:
    offers = device(n).offer_set(1)
    [offer] = offers.offers
    return Select(
        select_id=select_id,
        esa_id=offers.esa_id,
        offer_id=offer.offer_id,
        profile_id=offer.profiles[-1].profile_id,
        rev=1,
        start_ms=DAY + at(18),
        mode=mode,
    )


def states(messages: list[Message]) -> list[tuple[SelectionState, Code | None]]:
    return [(b.state, b.code) for b in bodies(messages, SelectStatus) if isinstance(b, SelectStatus)]


def test_an_appliance_of_its_own_is_in_service_and_known_to_the_provider() -> None:
    cem = Cem.first("cem:0", DSRSP, SITE, now(T0), seed=3)
    cem.link(True, now(T0))
    own = device(0)
    appliance = Appliance.first(registered(own), FALLBACK, now(T0), seed=3, tolerance=Tolerance())
    sent = [*cem.add(appliance, now(T0)), *cem.offers(own.offer_set(1), now(T0))]
    assert [type(m.body) for m in sent] == [Register, State, InitDone, OfferSet]
    assert cem.members[own.esa_id].life.life is Life.NORMAL
    with pytest.raises(CemError, match="has one of this id"):
        cem.add(appliance, now(T0))


def test_a_selection_is_handed_on_and_answered() -> None:
    cem = manager()
    assert states(told(cem, select()))[-1] == (SelectionState.SCHEDULED, None)
    for mono_ms in range(T0, at(18), MIN):
        assert cem.courses(now(mono_ms))[device(0).esa_id].setpoint_w is None
        told(cem, ALIVE, mono_ms)
    assert states(cem.advance(now(at(18)))) == [(SelectionState.ACTIVE, None)]
    assert cem.courses(now(at(18)))[device(0).esa_id].setpoint_w == 2_000


def test_the_users_word_goes_before_the_providers() -> None:
    cem = manager()
    [offers] = bodies(cem.set_user(device(0).esa_id, UserSettings(modes=(Mode.ROUTINE,)), now(T0)), OfferSet)
    assert isinstance(offers, OfferSet)
    assert offers.offers[0].modes == (Mode.ROUTINE,)
    assert states(told(cem, select())) == [(SelectionState.REJECTED, Code.OPTED_OUT)]
    [nothing] = bodies(cem.set_user(device(1).esa_id, UserSettings(modes=()), now(T0)), OfferSet)
    assert isinstance(nothing, OfferSet)
    assert nothing.offers == ()


def test_the_users_delay_is_drawn() -> None:
    cem = manager()
    cem.set_user(device(0).esa_id, UserSettings(random_offset_max_s=0), now(T0))
    told(cem, replace(select(mode=Mode.ROUTINE), random_offset_max_s=600))
    appliance = cem.members[device(0).esa_id].appliance
    assert appliance is not None
    assert [s.offset_s for s in appliance.selections.open()] == [0]


def test_an_override_ends_what_runs_and_both_sides_know() -> None:
    cem = manager()
    told(cem, select())
    override = Override(esa_id=device(0).esa_id, scope=OverrideScope.ALL, by=OverrideBy.USER)
    sent = cem.override(override, now(at(16, 30)))
    assert (SelectionState.OVERRIDDEN, None) in states(sent)
    assert cem.members[device(0).esa_id].life.life is Life.OPTED_OUT


def test_what_nobody_knows_is_refused_and_changes_nothing() -> None:
    cem = manager()
    before = [encode(m) for m in cem.members.values()]
    [ack] = told(cem, replace(select(), esa_id="somebody-else"))
    assert isinstance(ack.body, Ack)
    assert ack.body.code is Code.UNKNOWN_ESA
    [ack] = told(cem, State(esa_id=device(0).esa_id, value=Running.IDLE, override=OverrideScope.NONE))
    assert isinstance(ack.body, Ack)
    assert ack.body.code is Code.UNSUPPORTED
    [ack] = told(cem, device(0).offer_set(7), src=f"esa:{device(0).esa_id}")
    assert isinstance(ack.body, Ack)
    assert ack.body.code is Code.UNKNOWN_ESA
    assert [encode(m) for m in cem.members.values()] == before


def report(begin: int) -> Report:
    slots = (ReportSlot(p_avg_w=5, q=SlotQuality.OK),)
    return Report(esa_id=device(0).esa_id, kind=ReportKind.ACTUAL, start_ms=DAY + begin, slot_s=60, slots=slots)


def test_reports_wait_until_the_provider_has_them() -> None:
    cem = manager()
    [first] = cem.measured(report(T0 - MIN), now(T0))
    told(cem, Ack(status=AckStatus.OK), corr=first.id)
    assert not cem.waiting
    cem.measured(report(T0), now(T0 + MIN))
    cem.link(False, now(T0 + 2 * MIN))
    assert bodies(cem.measured(report(T0 + MIN), now(T0 + 2 * MIN)), Report) == []
    sent = cem.link(True, now(T0 + 10 * MIN))
    assert bodies(sent, Report) == [report(T0), report(T0 + MIN)]
    kinds = {type(m.body) for m in sent}
    assert {Register, OfferSet, State} <= kinds


def test_after_a_gap_the_provider_hears_of_every_open_selection() -> None:
    cem = manager()
    told(cem, select())
    cem.link(False, now(T0 + MIN))
    assert (SelectionState.SCHEDULED, None) in states(cem.link(True, now(T0 + 2 * MIN)))


def test_the_sites_limit_is_shared_and_given_back() -> None:
    cem = manager(3)
    cem.other_w = 1_000
    told(cem, ALIVE)
    limit = Limit(limit_id="l", esa_id="", active=True, klass=LimitClass.SAFETY, p_upper_w=7_000, dur_s=600)
    [status] = bodies(told(cem, limit), LimitStatus)
    assert isinstance(status, LimitStatus)
    assert status.applied
    courses = cem.courses(now(T0))
    assert [c.p_upper_w for c in courses.values()] == [2_000] * 3
    told(cem, ALIVE, T0 + 60_000)
    for second in range(60, 601, 60):
        told(cem, ALIVE, T0 + second * 1000)
        cem.advance(now(T0 + second * 1000))
    told(cem, Limit(limit_id="n", esa_id="", active=False, klass=LimitClass.SAFETY), T0 + 601_000)
    assert [c.p_upper_w for c in cem.courses(now(T0 + 602_000)).values()] == [None] * 3


def test_a_dead_provider_leaves_everybody_at_the_fail_safe_value() -> None:
    cem = manager()
    told(cem, ALIVE)
    told(cem, Limit(limit_id="n", esa_id="", active=False, klass=LimitClass.SAFETY))
    assert [c.p_upper_w for c in cem.courses(now(T0)).values()] == [None] * 2
    cem.advance(now(T0 + 119_999))
    assert [c.p_upper_w for c in cem.courses(now(T0 + 119_999)).values()] == [None] * 2
    cem.advance(now(T0 + 120_000))
    assert [c.p_upper_w for c in cem.courses(now(T0 + 120_000)).values()] == [FALLBACK.failsafe_p_upper_w] * 2
    again = decode(Cem, encode(cem))
    again.restarted(Restart(mono_base_ms=0, gap_known=False), now(T0 + 130_000))
    assert [c.p_upper_w for c in again.courses(now(T0 + 130_000)).values()] == [FALLBACK.failsafe_p_upper_w] * 2


def test_an_appliance_behind_a_link_registers_and_is_lost_and_found() -> None:
    cem = Cem.first("cem:0", DSRSP, SITE, now(T0), seed=3)
    cem.link(True, now(T0))
    own = device(5)
    node = f"esa:{own.esa_id}"
    sent = told(cem, registered(own), src=node)
    assert bodies(sent, RegisterResult, node)
    early = told(cem, own.offer_set(1), src=node)
    assert [m.body.code for m in early if isinstance(m.body, Ack)] == [Code.AUTH_FAILED]
    sent = cem.authenticated(own.esa_id, True, now(T0))
    assert bodies(sent, Init, node)
    assert bodies(sent, Register)
    told(cem, InitDone(esa_id=own.esa_id), src=node)
    told(cem, own.offer_set(1), src=node)
    assert cem.members[own.esa_id].life.life is Life.NORMAL
    assert bodies(told(cem, select(5)), Select, node) == [select(5)]
    told(cem, ALIVE)
    told(cem, Limit(limit_id="n", esa_id="", active=False, klass=LimitClass.SAFETY))
    told(cem, Heartbeat(limit_state=LimitState.UNLIMITED, rev=1), src=node)
    assert bodies(told(cem, ALIVE), Limit, node) == []
    told(cem, Heartbeat(limit_state=LimitState.FAILSAFE, rev=1), src=node)
    [again] = bodies(told(cem, ALIVE), Limit, node)
    assert isinstance(again, Limit)
    assert not again.active
    lost = cem.link_of(own.esa_id, False, now(T0 + MIN))
    assert [b.value for b in bodies(lost, State) if isinstance(b, State)] == [Running.OFFLINE]
    assert states(told(cem, select(5, "t"), T0 + MIN)) == [(SelectionState.REJECTED, Code.LINK_LOST)]
    found = cem.link_of(own.esa_id, True, now(T0 + 2 * MIN))
    assert select(5) in bodies(found, Select, node)


claimants = st.lists(st.tuples(st.integers(0, 20_000), st.one_of(st.none(), st.integers(0, 20_000))), max_size=12).map(
    lambda parts: [Claimant(esa_id=str(i), most_w=m, blind_w=b) for i, (m, b) in enumerate(parts)]
)


@given(claimants, st.integers(-10_000, 200_000))
def test_shares_never_exceed_the_bound(parts: list[Claimant], bound_w: int) -> None:
    shares = shares_w(parts, bound_w)
    assert set(shares) == {c.esa_id for c in parts if c.blind_w is None}
    blind = sum(c.blind_w for c in parts if c.blind_w is not None)
    assert sum(shares.values()) <= max(0, bound_w - blind)
    for c in parts:
        assert 0 <= shares.get(c.esa_id, 0) <= c.most_w
    if sum(c.most_w for c in parts if c.blind_w is None) <= bound_w - blind:
        assert all(shares[c.esa_id] == c.most_w for c in parts if c.blind_w is None)
