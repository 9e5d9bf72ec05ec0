"""The life cycle of an appliance at its energy manager."""

from __future__ import annotations

from dataclasses import replace

from flex_world import EPOCH_MS, ESA, REGISTER, offers

from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.lifecycle import Concern, Life, Lifecycle
from scowl_edge.model.exchange import (
    Code,
    Deregister,
    DeregisterReason,
    InitDone,
    Outcome,
    Override,
    Report,
    ReportKind,
    Running,
    State,
)
from scowl_edge.model.flexibility import OverrideBy, OverrideScope


def at(seconds: float) -> Now:
    return Now(mono_ms=int(seconds * 1_000), utc_ms=0, utc_ok=False)


def state(value: Running = Running.IDLE, override: OverrideScope = OverrideScope.NONE) -> State:
    return State(esa_id=ESA, value=value, override=override)


def override(scope: OverrideScope) -> Override:
    return Override(esa_id=ESA, scope=scope, by=OverrideBy.USER)


def normal() -> Lifecycle:
    life = Lifecycle(esa_id=ESA)
    assert life.asked(REGISTER, at(0)).outcome is Outcome.PENDING
    assert life.authenticated(True, at(1)).outcome is Outcome.ACCEPTED
    life.init_sent(at(2))
    life.told(InitDone(esa_id=ESA), at(3))
    assert life.life is Life.INITIALISING, "neither offers nor a forecast yet"
    life.told(offers(1, EPOCH_MS), at(4))
    assert life.life is Life.NORMAL
    return life


def test_without_consent_nothing_begins() -> None:
    life = Lifecycle(esa_id=ESA)
    assert life.asked(replace(REGISTER, consent_ref=""), at(0)).code is Code.CONSENT_MISSING
    assert life.life is Life.UNREGISTERED


def test_a_bad_certificate_and_30_s_without_an_answer_send_back_and_make_wait_longer_each_time() -> None:
    life, now, waits = Lifecycle(esa_id=ESA), 0.0, []
    for round_ in range(12):
        assert life.asked(REGISTER, at(now)).outcome is Outcome.PENDING
        if round_ % 2:
            assert life.authenticated(False, at(now)).code is Code.AUTH_FAILED
        else:
            now += 30
            life.advance(at(now))
        assert life.life is Life.UNREGISTERED
        wait_s = (life.retry_mono_ms - 1_000 * now) / 1_000
        assert life.asked(REGISTER, at(now + wait_s - 0.001)).code is Code.RATE
        waits.append(wait_s)
        now += wait_s
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_initialising_takes_at_most_120_s() -> None:
    life = Lifecycle(esa_id=ESA)
    life.asked(REGISTER, at(0))
    life.authenticated(True, at(0))
    life.init_sent(at(0))
    life.told(InitDone(esa_id=ESA, code=Code.OUT_OF_BOUNDS), at(1))
    life.told(offers(1, EPOCH_MS), at(1))
    life.advance(at(119.9))
    assert life.life is Life.INITIALISING, "settings that were refused are not settled"
    life.advance(at(120))
    assert (life.life, life.code) == (Life.REGISTERED, Code.INIT_TIMEOUT)


def test_a_forecast_will_do_in_place_of_offers() -> None:
    life = Lifecycle(esa_id=ESA)
    life.asked(REGISTER, at(0))
    life.authenticated(True, at(0))
    life.init_sent(at(0))
    life.told(InitDone(esa_id=ESA), at(1))
    life.told(Report(esa_id=ESA, kind=ReportKind.ACTUAL, start_ms=0, slot_s=60, slots=()), at(1))
    assert life.life is Life.INITIALISING
    life.told(Report(esa_id=ESA, kind=ReportKind.FORECAST, start_ms=0, slot_s=900, slots=()), at(1))
    assert life.life is Life.NORMAL


def test_who_opted_out_comes_back_with_new_offers_only() -> None:
    life = normal()
    life.told(override(OverrideScope.GRID), at(10))
    assert life.life is Life.OPTED_OUT
    life.told(override(OverrideScope.NONE), at(20))
    assert life.life is Life.OPTED_OUT
    life.told(offers(2, EPOCH_MS), at(21))
    assert life.life is Life.NORMAL
    life.told(override(OverrideScope.THIS), at(30))
    assert life.life is Life.NORMAL, "one job is not the whole of flexibility"


def test_a_fault_suspends_and_a_day_of_it_is_shown() -> None:
    life = normal()
    life.told(state(Running.FAULT), at(10))
    assert life.life is Life.SUSPENDED
    assert life.concerns(60, at(10 + 86_399)) == ()
    assert life.concerns(60, at(10 + 86_400)) == (Concern.SUSPENDED_LONG,)
    life.told(state(Running.RUNNING), at(90_000))
    assert life.life is Life.NORMAL


def test_two_intervals_without_a_report_are_shown() -> None:
    life = normal()
    life.told(Report(esa_id=ESA, kind=ReportKind.ACTUAL, start_ms=0, slot_s=60, slots=()), at(100))
    assert life.concerns(60, at(220)) == ()
    assert life.concerns(60, at(221)) == (Concern.DATA_STALE,)


def test_a_lost_link_detaches_until_offers_and_state_are_known_again() -> None:
    life = normal()
    life.link_lost(at(10))
    assert life.life is Life.DETACHED
    life.told(offers(2, EPOCH_MS), at(20))
    assert life.life is Life.DETACHED
    life.told(state(override=OverrideScope.ALL), at(21))
    assert life.life is Life.OPTED_OUT, "what happened meanwhile counts"


def test_the_end_is_final_until_a_new_registration() -> None:
    life = normal()
    life.told(Deregister(esa_id=ESA, reason=DeregisterReason.USER), at(10))
    for body in (state(), offers(3, EPOCH_MS), InitDone(esa_id=ESA)):
        life.told(body, at(11))
    life.link_lost(at(12))
    assert (life.life, life.register) == (Life.DEREGISTERED, None)
    assert life.asked(REGISTER, at(13)).outcome is Outcome.PENDING


def test_a_restart_begins_anew_what_was_half_done_and_detaches_what_was_whole() -> None:
    restart = Restart(mono_base_ms=-1_000, gap_known=True)
    life = normal()
    life.restarted(restart, at(5))
    assert life.life is Life.DETACHED
    life = Lifecycle(esa_id=ESA)
    life.asked(REGISTER, at(2))
    life.restarted(restart, at(3))
    assert life.life is Life.UNREGISTERED
    life.asked(REGISTER, at(4))
    life.authenticated(True, at(4))
    life.init_sent(at(4))
    life.restarted(restart, at(5))
    assert life.life is Life.REGISTERED
