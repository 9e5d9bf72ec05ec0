"""A provider alone, told everything by hand: what it asks, what it lets go, and what it never does twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scowl_edge.dsr.goal import Terms
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.planning import Job
from scowl_edge.dsr.provider import Provider, ProviderError, Step
from scowl_edge.model.codec import decode, encode
from scowl_edge.model.exchange import (
    Ack,
    Body,
    Cancel,
    Code,
    Constraint,
    Heartbeat,
    Init,
    Limit,
    Message,
    Register,
    Running,
    Select,
    SelectStatus,
    State,
    Want,
)
from scowl_edge.model.flexibility import (
    Control,
    Element,
    EsaType,
    LimitClass,
    LimitState,
    Mode,
    Offer,
    OfferSet,
    OverrideScope,
    Pick,
    Profile,
    ProfileKind,
    Proposal,
    SelectionState,
)
from scowl_edge.model.profile import flat

UTC = 1_700_000_100_000
HOUR = 3_600_000
CEM = "cem:a"
TERMS = Terms(failsafe_p_upper_w=4_200, max_ramp_w_per_s=0, answer_ms=5_000)


def now(mono_ms: int) -> Now:
    return Now(mono_ms=mono_ms, utc_ms=UTC + mono_ms, utc_ok=True)


def told(provider: Provider, body: Body, mono_ms: int, src: str = CEM) -> Step:
    message = Message(id="m", ts_ms=UTC + mono_ms, src=src, dst=provider.node, body=body)
    return provider.receive(message, now(mono_ms))


def bodies(step: Step, kind: type[Body]) -> list[Body]:
    return [m.body for m in step.send if isinstance(m.body, kind)]


def register(esa_id: str) -> Register:
    return Register(
        esa_id=esa_id,
        esa_type=EsaType.EVSE,
        p_max_w=4_000,
        p_min_w=0,
        modes=(Mode.ROUTINE, Mode.RESPONSE),
        controls=(Control.PROFILE,),
        consent_ref="c",
        cert_fp="0" * 64,
    )


def offers(esa_id: str, rev: int = 1) -> OfferSet:
    """2 kW for an hour, intended in an hour, possible until five hours from now."""
    element = Element(dur_s=3_600, p_nom_w=2_000, p_min_w=2_000, p_max_w=2_000)
    intended = Profile(profile_id="io", kind=ProfileKind.IO, elements=(element,))
    return OfferSet(
        esa_id=esa_id,
        rev=rev,
        offers=(
            Offer(
                offer_id=f"o-{esa_id}",
                valid_from_ms=UTC,
                valid_until_ms=UTC + HOUR,
                start_earliest_ms=UTC + HOUR,
                start_latest_ms=UTC + 5 * HOUR,
                min_notice_s=60,
                modes=(Mode.ROUTINE, Mode.RESPONSE),
                default_profile_id="io",
                profiles=(intended,),
            ),
        ),
    )


def ready(names: tuple[str, ...] = ("e1", "e2"), terms: Terms = TERMS) -> Provider:
    provider = Provider(node="dsrsp:x", seed=1, terms=terms)
    provider.link(CEM, True, now(0))
    for name in names:
        told(provider, register(name), 0)
        told(provider, offers(name), 0)
        told(provider, State(esa_id=name, value=Running.IDLE, override=OverrideScope.NONE), 0)
    return provider


def less(provider: Provider, mono_ms: int, mode: Mode = Mode.RESPONSE) -> Job:
    """4 kW less in the hour in which all intend to run."""
    provider.aim(flat(UTC + HOUR, HOUR, -4_000), now(mono_ms), relative=True, mode=mode, event_ref="peak")
    job = provider.question(now(mono_ms))
    assert job is not None
    return job


def answer(job: Job, starts: dict[str, int], *, rev: int = 1) -> Proposal:
    picks = tuple(
        Pick(esa_id=e, rev=rev, offer_id=f"o-{e}", profile_id="io", start_ms=s) for e, s in sorted(starts.items())
    )
    return Proposal(number=job.number, picks=picks, objective=0, idle_objective=9, bound=0, gap_ppm=0)


def status(select: Body, state: SelectionState, code: Code | None = None) -> SelectStatus:
    assert isinstance(select, Select)
    return SelectStatus(select_id=select.select_id, esa_id=select.esa_id, state=state, code=code)


def test_an_appliance_that_registers_is_told_how_to_report() -> None:
    provider = Provider(node="dsrsp:x", seed=1, terms=TERMS)
    step = told(provider, register("e1"), 0)
    [init] = bodies(step, Init)
    assert isinstance(init, Init)
    assert init.failsafe_p_upper_w == 4_200


def test_a_goal_asks_for_offers_and_then_a_worker() -> None:
    provider = ready()
    step = provider.aim(flat(UTC + HOUR, HOUR, -4_000), now(0), relative=True, mode=Mode.ROUTINE)
    wishes = bodies(step, Constraint)
    assert [w.slots[0].want for w in wishes if isinstance(w, Constraint)] == [Want.DOWN, Want.DOWN]
    assert provider.question(now(0)) is None, "appliances have time to offer something better"
    job = provider.question(now(5_000))
    assert job is not None
    assert [c.esa_id for c in job.candidates] == ["e1", "e2"]
    # 4 kW intended and 4 kW less wanted.
    slot = (UTC + HOUR - job.start_ms) // job.slot_ms + 1
    assert job.target_w[slot] == 0
    assert provider.question(now(6_000)) is None, "one question at a time"


def test_it_asks_frozen_against_what_was_intended_and_the_books_begin_with_the_yes() -> None:
    provider = ready()
    job = less(provider, 0)
    step = provider.answered(answer(job, {"e1": UTC + 3 * HOUR}), now(1_000))
    [select] = bodies(step, Select)
    assert not provider.portfolio.books.accounts
    told(provider, offers("e1", rev=2), 1_500)
    told(provider, status(select, SelectionState.SCHEDULED), 2_000)
    [account] = provider.portfolio.books.accounts.values()
    assert (account.rev, account.event_ref) == (1, "peak")
    assert account.baseline.power_w(UTC + HOUR) == 2_000
    assert account.promised.power_w(UTC + HOUR) == 0
    assert account.promised.power_w(UTC + 3 * HOUR) == 2_000


def test_what_is_selected_is_not_asked_for_again_and_the_goal_counts_from_what_was_intended() -> None:
    provider = ready()
    job = less(provider, 0)
    [select] = bodies(provider.answered(answer(job, {"e1": UTC + 3 * HOUR}), now(1_000)), Select)
    told(provider, status(select, SelectionState.SCHEDULED), 2_000)
    again = provider.question(now(400_000))
    assert again is not None
    assert [c.esa_id for c in again.candidates] == ["e2"]
    slot = (UTC + HOUR - again.start_ms) // again.slot_ms + 1
    # Still 0 W for the hour, not 4 kW below what is left: the relief is not asked for twice.
    assert again.target_w[slot] == 0


def test_a_new_goal_takes_back_what_has_not_begun() -> None:
    provider = ready()
    job = less(provider, 0)
    [select] = bodies(provider.answered(answer(job, {"e1": UTC + 3 * HOUR}), now(1_000)), Select)
    told(provider, status(select, SelectionState.SCHEDULED), 2_000)
    fresh = less(provider, 10_000)
    assert [c.present is not None for c in fresh.candidates] == [True, False]
    step = provider.answered(answer(fresh, {"e1": UTC + 4 * HOUR}), now(11_000))
    kinds = [type(m.body) for m in step.send]
    assert kinds == [Cancel, Select]
    unchanged = ready()
    job = less(unchanged, 0)
    [select] = bodies(unchanged.answered(answer(job, {"e1": UTC + 3 * HOUR}), now(1_000)), Select)
    told(unchanged, status(select, SelectionState.SCHEDULED), 2_000)
    fresh = less(unchanged, 10_000)
    assert unchanged.answered(answer(fresh, {"e1": UTC + 3 * HOUR}), now(11_000)).send == []


def test_what_has_begun_is_frozen() -> None:
    provider = ready()
    job = less(provider, 0)
    [select] = bodies(provider.answered(answer(job, {"e1": UTC + 2 * HOUR}), now(1_000)), Select)
    told(provider, status(select, SelectionState.ACTIVE), 2_000)
    assert [c.esa_id for c in less(provider, 10_000).candidates] == ["e2"]


def test_the_promise_moves_by_the_delay_that_was_drawn_and_the_baseline_stays() -> None:
    provider = ready()
    job = less(provider, 0, Mode.RESPONSE)
    [select] = bodies(provider.answered(answer(job, {"e1": UTC + 3 * HOUR}), now(1_000)), Select)
    granted = replace(status(select, SelectionState.SCHEDULED), applied_offset_s=300)
    told(provider, granted, 2_000)
    [account] = provider.portfolio.books.accounts.values()
    start = UTC + 3 * HOUR
    assert [account.promised.power_w(start + s * 1000) for s in (0, 299, 300, 3_899, 3_900)] == [
        0,
        0,
        2_000,
        2_000,
        None,
    ]
    assert account.end_ms == start + HOUR + 300_000
    assert account.baseline.power_w(UTC + HOUR) == 2_000


@pytest.mark.parametrize("end", [SelectionState.OVERRIDDEN, SelectionState.ABORTED])
def test_a_user_may_override_and_an_appliance_may_not_just_stop(end: SelectionState) -> None:
    provider = ready()
    job = less(provider, 0)
    [select] = bodies(provider.answered(answer(job, {"e1": UTC + 3 * HOUR}), now(1_000)), Select)
    told(provider, status(select, SelectionState.SCHEDULED), 2_000)
    told(provider, status(select, end), HOUR)
    provider.advance(now(6 * HOUR))
    assert ("e1" in provider.portfolio.trust.weights_ppm) == (end is SelectionState.ABORTED)
    [amounts] = provider.portfolio.books.closed.values()
    assert amounts.unproven_w_ms == 0
    assert amounts.missing_ms == 3 * HOUR


def test_of_two_selections_the_later_one_is_expected() -> None:
    provider = ready()
    job = less(provider, 0)
    step = provider.answered(answer(job, {"e1": UTC + 3 * HOUR}), now(1_000))
    [select] = bodies(step, Select)
    told(provider, status(select, SelectionState.SCHEDULED), 2_000)
    fresh = less(provider, 10_000)
    step = provider.answered(answer(fresh, {"e1": UTC + 4 * HOUR}), now(11_000))
    [later] = bodies(step, Select)
    told(provider, status(later, SelectionState.SCHEDULED), 12_000)
    outlook = provider.outlook()
    assert outlook.expected("e1").power_w(UTC + 3 * HOUR + 1) == 0
    assert outlook.expected("e1").power_w(UTC + 4 * HOUR + 1) == 2_000
    assert outlook.reference("e1").power_w(UTC + HOUR) == 2_000


def test_an_answer_is_held_against_the_present_revision() -> None:
    provider = ready()
    job = less(provider, 0)
    told(provider, offers("e1", rev=2), 500)
    step = provider.answered(answer(job, {"e1": UTC + 3 * HOUR, "e2": UTC + 3 * HOUR}), now(1_000))
    assert [s.esa_id for s in bodies(step, Select) if isinstance(s, Select)] == ["e2"]
    assert [str(n) for n in step.notes] == ["e1 was left out of the plan: STALE_REV"]


def test_an_answer_to_an_older_question_is_let_go_and_a_bad_one_refused() -> None:
    provider = ready()
    job = less(provider, 0)
    old = replace(answer(job, {"e1": UTC + 3 * HOUR}), number=job.number - 1)
    assert provider.answered(old, now(1_000)).send == []
    worse = replace(answer(job, {"e1": UTC + 3 * HOUR}), objective=10)
    with pytest.raises(ProviderError, match="worse"):
        provider.answered(worse, now(1_000))


def test_no_answer_is_a_no_and_a_late_yes_is_cancelled() -> None:
    provider = ready()
    job = less(provider, 0)
    [select] = bodies(provider.answered(answer(job, {"e1": UTC + 3 * HOUR}), now(1_000)), Select)
    step = provider.advance(now(11_000))
    assert [c.select_id for c in bodies(step, Cancel) if isinstance(c, Cancel)] == [select.select_id]  # type: ignore[union-attr]
    assert not provider.portfolio.asked
    late = told(provider, status(select, SelectionState.SCHEDULED), 12_000)
    assert bodies(late, Cancel)
    assert not provider.portfolio.books.accounts
    assert "e1" not in [c.esa_id for c in less(provider, 13_000).candidates]


def test_who_refuses_is_left_alone_for_a_while_and_others_are_planned_at_once() -> None:
    provider = ready()
    job = less(provider, 0)
    [select] = bodies(provider.answered(answer(job, {"e1": UTC + 3 * HOUR}), now(1_000)), Select)
    told(provider, status(select, SelectionState.REJECTED, Code.OPTED_OUT), 2_000)
    again = provider.question(now(2_000 + TERMS.answer_ms))
    assert again is not None
    assert [c.esa_id for c in again.candidates] == ["e2"]
    later = provider.question(now(400_000))
    assert later is not None
    assert [c.esa_id for c in later.candidates] == ["e1", "e2"]


def test_nobody_speaks_for_another_managers_appliance() -> None:
    provider = ready()
    step = told(provider, offers("e1", rev=9), 1_000, src="cem:thief")
    [ack] = bodies(step, Ack)
    assert isinstance(ack, Ack)
    assert ack.code is Code.UNKNOWN_ESA
    assert provider.mirrors["e1"].rev == 1
    assert bodies(told(provider, register("e1"), 1_000, src="cem:thief"), Init) == []
    assert provider.cems["e1"] == CEM


def test_offline_and_cut_off_appliances_are_not_asked() -> None:
    provider = ready()
    told(provider, State(esa_id="e1", value=Running.OFFLINE, override=OverrideScope.NONE), 0)
    assert [c.esa_id for c in less(provider, 0).candidates] == ["e2"]
    provider.link(CEM, False, now(1_000))
    provider.aim(flat(UTC + HOUR, HOUR, -1), now(1_000), relative=True, mode=Mode.RESPONSE)
    assert provider.question(now(1_000)) is None


def test_starts_are_spread_below_the_ramp_and_who_finds_no_room_is_named() -> None:
    names = tuple(f"e{n}" for n in range(8))
    provider = ready(names, replace(TERMS, max_ramp_w_per_s=500))
    job = less(provider, 0)
    step = provider.answered(answer(job, dict.fromkeys(names, UTC + 3 * HOUR)), now(1_000))
    starts = sorted(s.start_ms for s in bodies(step, Select) if isinstance(s, Select))
    # Up by 2 kW takes 4 s of 500 W/s; so does the end an hour later.
    assert starts == [UTC + 3 * HOUR + 4_000 * n for n in range(8)]
    tight = ready(names, replace(TERMS, max_ramp_w_per_s=500))
    job = less(tight, 0)
    step = tight.answered(answer(job, dict.fromkeys(names, UTC + 5 * HOUR)), now(1_000))
    # The latest start is the one wanted, so the others come before it.
    assert sorted(s.start_ms for s in bodies(step, Select) if isinstance(s, Select)) == [
        UTC + 5 * HOUR - 4_000 * n for n in range(7, -1, -1)
    ]


def test_a_site_in_the_dark_is_told_its_limit_or_that_there_is_none() -> None:
    provider = ready()
    blind = Heartbeat(limit_state=LimitState.FAILSAFE, rev=0)
    [none] = bodies(told(provider, blind, 0), Limit)
    assert isinstance(none, Limit)
    assert not none.active
    limit = Limit(limit_id="l", esa_id="", active=True, klass=LimitClass.SAFETY, p_upper_w=9_000, dur_s=60)
    provider.limit_site(CEM, limit, now(0))
    [rest] = bodies(told(provider, blind, 20_000), Limit)
    assert rest == replace(limit, dur_s=40)
    [over] = bodies(told(provider, blind, 60_000), Limit)
    assert isinstance(over, Limit)
    assert not over.active
    with pytest.raises(ProviderError, match="known managers"):
        provider.limit_site("cem:nobody", limit, now(0))


def test_a_crash_after_any_call_loses_nothing() -> None:
    def story(crash_at: int) -> tuple[Provider, list[Body]]:
        provider, sent, calls = ready(), list[Body](), 0

        def step(did: Step) -> None:
            nonlocal provider, calls
            sent.extend(m.body for m in did.send)
            calls += 1
            if calls == crash_at:
                job = provider.job
                provider = decode(Provider, encode(provider))
                assert provider.job == job

        step(provider.aim(flat(UTC + HOUR, HOUR, -4_000), now(0), relative=True, mode=Mode.RESPONSE))
        job = provider.question(now(0))
        assert job is not None
        step(provider.answered(answer(job, {"e1": UTC + 3 * HOUR}), now(1_000)))
        select = next(b for b in sent if isinstance(b, Select))
        step(told(provider, status(select, SelectionState.SCHEDULED), 2_000))
        step(told(provider, status(select, SelectionState.ACTIVE), 3 * HOUR))
        step(told(provider, status(select, SelectionState.COMPLETED), 4 * HOUR))
        step(provider.advance(now(5 * HOUR + 16 * 60_000)))
        return provider, sent

    whole, sent = story(0)
    assert whole.portfolio.books.closed
    for crash_at in range(1, 7):
        again, other = story(crash_at)
        assert other == sent
        assert encode(again) == encode(whole)


def test_after_a_restart_what_is_open_is_asked_again_with_the_same_words() -> None:
    provider = ready()
    job = less(provider, 0)
    [select] = bodies(provider.answered(answer(job, {"e1": UTC + 3 * HOUR}), now(1_000)), Select)
    provider = decode(Provider, encode(provider))
    provider.restarted(Restart(mono_base_ms=0, gap_known=True), now(3_000))
    assert provider.question(now(3_000)) is None
    assert select in bodies(provider.link(CEM, True, now(4_000)), Select)
