"""What an appliance grants, and what becomes of it, rule by rule."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from flex_world import EPOCH_MS, ESA, FALLBACK, REGISTER, offers
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.dsr.appliance import Answer, Appliance, OfferError
from scowl_edge.dsr.course import Cause
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.selecting import MOST_REMEMBERED, Tolerance
from scowl_edge.dsr.selection import energy_wms
from scowl_edge.model import codec
from scowl_edge.model.exchange import (
    AckStatus,
    Body,
    Cancel,
    CancelAt,
    Code,
    Deregister,
    DeregisterReason,
    Heartbeat,
    Init,
    InitDone,
    Limit,
    LimitStatus,
    Override,
    Running,
    Select,
    SelectStatus,
    State,
)
from scowl_edge.model.flexibility import (
    UNSET,
    LimitClass,
    LimitState,
    Mode,
    OfferSet,
    OnLinkLoss,
    OverrideBy,
    OverrideScope,
    SelectionState,
)

INIT = Init(esa_id=ESA, failsafe_p_upper_w=1_500, random_offset_max_s=300, hold_max_s=3_600)


def at(seconds: float, *, utc_ok: bool = True, shift_ms: int = 0) -> Now:
    return Now(mono_ms=int(seconds * 1_000), utc_ms=EPOCH_MS + int(seconds * 1_000) + shift_ms, utc_ok=utc_ok)


def appliance(new: OfferSet | None = None, init: Init = INIT) -> Appliance:
    made = Appliance.first(REGISTER, FALLBACK, at(0), seed=7, tolerance=Tolerance())
    made.receive(init, at(0))
    made.receive(Heartbeat(limit_state=LimitState.UNLIMITED, rev=0), at(0))
    lift = Limit(limit_id="none", esa_id=ESA, active=False, klass=LimitClass.SAFETY)
    made.receive(lift, at(0))
    made.offers(new or offers(1, EPOCH_MS, notice_s=10), at(0))
    return made


def wish(select_id: str = "s", start_s: float = 20, **more: object) -> Select:
    fields: dict[str, object] = {"offer_id": "offer-1-0", "profile_id": "io", "rev": 1, "mode": Mode.RESPONSE, **more}
    start_ms = EPOCH_MS + int(start_s * 1_000)
    return Select(select_id=select_id, esa_id=ESA, start_ms=start_ms, **fields)  # type: ignore[arg-type]


def states(told: tuple[Body, ...], select_id: str = "s") -> list[tuple[SelectionState, Code | None]]:
    return [(b.state, b.code) for b in told if isinstance(b, SelectStatus) and b.select_id == select_id]


def last(answer: Answer) -> tuple[SelectionState, Code | None]:
    [*_, status] = [b for b in answer.tell if isinstance(b, SelectStatus)]
    return status.state, status.code


def alive(made: Appliance, now: Now) -> tuple[Body, ...]:
    return made.receive(Heartbeat(limit_state=LimitState.UNLIMITED, rev=0), now).tell


REFUSED = (SelectionState.REJECTED,)


@pytest.mark.parametrize(
    ("select", "code"),
    [
        (wish(rev=0), Code.STALE_REV),
        (wish(rev=2), Code.STALE_REV),
        (wish(offer_id="offer-1-9"), Code.UNKNOWN_OFFER),
        (wish(profile_id="other"), Code.UNKNOWN_OFFER),
        (wish(start_s=9.999), Code.TOO_LATE),
        (wish(start_s=-1), Code.OUT_OF_WINDOW),
        (wish(start_s=1_500.001), Code.OUT_OF_WINDOW),
        (wish(profile_id="md"), Code.OUT_OF_BOUNDS),
        (wish(profile_id="md", emergency=True, mode=Mode.ROUTINE), Code.OUT_OF_BOUNDS),
        (wish(profile_id="ld", setpoints_w=(0,)), Code.OUT_OF_BOUNDS),
        (wish(profile_id="ld", setpoints_w=(0, 4_001)), Code.OUT_OF_BOUNDS),
        (wish(profile_id="ld", setpoints_w=(-1, 0)), Code.OUT_OF_BOUNDS),
        (wish(random_offset_max_s=1_801), Code.OUT_OF_BOUNDS),
        (wish(random_offset_max_s=-1), Code.OUT_OF_BOUNDS),
    ],
)
def test_a_wish_that_cannot_be_granted_is_rejected_with_the_reason(select: Select, code: Code) -> None:
    made = appliance()
    answer = made.receive(select, at(0))
    assert (answer.ack.status, last(answer)) == (AckStatus.OK, (SelectionState.REJECTED, code))
    assert made.selections.open() == []


@pytest.mark.parametrize("start_s", [10, 1_500])
def test_the_edges_of_window_and_notice_are_inside(start_s: float) -> None:
    assert last(appliance().receive(wish(start_s=start_s), at(0))) == (SelectionState.SCHEDULED, None)


def _only(profile: dict[str, object], offer: dict[str, object] | None = None) -> OfferSet:
    """The usual offers, with something else in their profile `ld` and in themselves."""
    base = offers(1, EPOCH_MS, notice_s=10)
    changed = tuple(
        replace(
            o,
            profiles=tuple(replace(p, **profile) if p.profile_id == "ld" else p for p in o.profiles),  # type: ignore[arg-type]
            **(offer or {}),  # type: ignore[arg-type]
        )
        for o in base.offers
    )
    return replace(base, offers=changed)


@pytest.mark.parametrize(
    ("setpoints_w", "granted"),
    [((2_400, 2_400), True), ((2_400, 2_399), False), ((4_000, 3_200), True), ((4_000, 3_201), False)],
)
def test_setpoints_keep_to_the_energy_of_the_whole(setpoints_w: tuple[int, ...], granted: bool) -> None:
    # 15 s each: 20 Wh are 72 kWs, 30 Wh are 108 kWs.
    made = appliance(_only({"e_min_wh": 20, "e_max_wh": 30}))
    state, code = last(made.receive(wish(profile_id="ld", setpoints_w=setpoints_w), at(0)))
    assert (state is SelectionState.SCHEDULED) is granted
    assert granted or code is Code.OUT_OF_BOUNDS


def test_a_fixed_start_is_the_only_one() -> None:
    new = _only({"start_fixed_ms": EPOCH_MS + 60_000})
    assert last(appliance(new).receive(wish(profile_id="ld", start_s=61), at(0)))[1] is Code.OUT_OF_WINDOW
    assert last(appliance(new).receive(wish(profile_id="ld", start_s=60), at(0)))[0] is SelectionState.SCHEDULED


def test_offers_are_selectable_within_their_time_only() -> None:
    made = appliance(_only({}, {"valid_from_ms": EPOCH_MS + 5_000, "valid_until_ms": EPOCH_MS + 9_000}))
    assert last(made.receive(wish("early"), at(4.999)))[1] is Code.OUT_OF_WINDOW
    assert last(made.receive(wish("in time"), at(5)))[0] is SelectionState.SCHEDULED
    assert last(made.receive(wish("late", offer_id="offer-1-1", start_s=200), at(9.001)))[1] is Code.EXPIRED


@given(st.integers(0, 2_000), st.integers(0, 1_500))
def test_a_random_delay_never_makes_a_profile_end_too_late(max_s: int, start_s: int) -> None:
    made = appliance()
    select = wish(start_s=max(10, start_s), mode=Mode.ROUTINE, random_offset_max_s=min(max_s, 1_800))
    answer = made.receive(select, at(0))
    [status] = [b for b in answer.tell if isinstance(b, SelectStatus) and b.state is SelectionState.SCHEDULED]
    assert status.applied_offset_s is not None
    assert 0 <= status.applied_offset_s <= max_s
    assert select.start_ms + 1_000 * (status.applied_offset_s + 50) <= EPOCH_MS + 1_620_000


def test_only_routine_selections_are_delayed_and_each_by_a_draw_of_its_own() -> None:
    made, offsets = appliance(), []
    for n in range(6):
        made.receive(wish(f"r{n}", start_s=700, mode=Mode.ROUTINE), at(n))
        selection = made.selections.find(f"r{n}")
        assert selection is not None
        offsets.append(selection.offset_s)
        made.receive(Cancel(select_id=f"r{n}", esa_id=ESA), at(n))
    assert len(set(offsets)) > 3
    made.receive(wish("x", start_s=700), at(10))
    selection = made.selections.find("x")
    assert selection is not None and selection.offset_s == 0


def test_it_runs_from_start_to_end_as_selected() -> None:
    made = appliance()
    assert states(made.receive(wish(), at(0)).tell) == [
        (SelectionState.ACCEPTED, None),
        (SelectionState.SCHEDULED, None),
    ]
    assert made.course(at(0)).wish_w is None
    powers, told = [], []
    for second in range(15, 75, 5):
        told += states(made.advance(at(second)))
        powers.append(made.course(at(second)).setpoint_w)
    assert powers == [None, *[3_000] * 4, *[1_000] * 6, None]
    assert told == [(SelectionState.ACTIVE, None), (SelectionState.COMPLETED, None)]
    assert made.course(at(75)).cause is Cause.DEFAULT


def test_waking_when_it_asks_to_be_woken_misses_no_second() -> None:
    made = appliance()
    made.receive(wish(), at(0))
    now, seen = at(0), []
    while now.mono_ms < 100_000:
        now = at(made.wake_mono_ms(now) / 1_000)
        told = states(made.advance(now))
        if told or not seen or seen[-1][1] != made.course(now).wish_w:
            seen.append((now.mono_ms, made.course(now).wish_w))
    assert [s for s in seen if s[0] <= 70_000] == [(20_000, 3_000), (40_000, 1_000), (70_000, None)]


def test_told_again_it_is_answered_with_how_it_stands_and_other_words_are_a_duplicate() -> None:
    made = appliance()
    made.receive(wish(), at(0))
    made.advance(at(25))
    before = codec.encode(made.selections)
    assert last(made.receive(wish(), at(25))) == (SelectionState.ACTIVE, None)
    answer = made.receive(wish(priority=1), at(25))
    assert (answer.ack.code, answer.ack.status, answer.tell) == (Code.DUPLICATE_ID, AckStatus.INVALID_CONTENT, ())
    assert codec.encode(made.selections) == before
    made.advance(at(80))
    assert last(made.receive(wish(), at(80))) == (SelectionState.COMPLETED, None)


def test_more_than_30_s_late_it_does_not_start() -> None:
    made = appliance()
    made.receive(wish(), at(0))
    assert states(made.advance(at(50))) == [(SelectionState.ACTIVE, None)]
    assert made.course(at(50)).wish_w == 1_000, "30 s late, it is where it would be"
    made = appliance()
    made.receive(wish(), at(0))
    assert states(made.advance(at(50.001))) == [(SelectionState.ABORTED, Code.START_MISSED)]


def test_without_a_trusted_clock_it_goes_on_by_the_monotonic_one_if_it_ever_knew_the_time() -> None:
    made = appliance()
    made.receive(wish(), at(0))
    assert states(made.advance(at(20, utc_ok=False, shift_ms=-99_999))) == [(SelectionState.ACTIVE, None)]
    fresh = Appliance.first(REGISTER, FALLBACK, at(0, utc_ok=False), seed=1, tolerance=Tolerance())
    fresh.offers(offers(1, EPOCH_MS), at(0, utc_ok=False))
    assert last(fresh.receive(wish(), at(0, utc_ok=False)))[1] is Code.CLOCK_SKEW


def test_a_cancellation_ends_at_once_or_with_the_element_and_the_last_element_is_the_end() -> None:
    for cancelled_s, when, ended_s, end in (
        (5, CancelAt.ELEMENT_END, 5, SelectionState.CANCELLED),
        (25, CancelAt.NOW, 25, SelectionState.CANCELLED),
        (25, CancelAt.ELEMENT_END, 40, SelectionState.CANCELLED),
        (45, CancelAt.ELEMENT_END, 70, SelectionState.COMPLETED),
        (70, CancelAt.NOW, 70, SelectionState.COMPLETED),
    ):
        made = appliance()
        made.receive(wish(), at(0))
        made.advance(at(20) if cancelled_s > 20 else at(0))
        cancel = Cancel(select_id="s", esa_id=ESA, at=when)
        told = states(made.receive(cancel, at(cancelled_s)).tell)
        if ended_s > cancelled_s:
            told = states(made.advance(at(ended_s - 0.001)))
            assert made.selections.open()
            told = states(made.advance(at(ended_s)))
        assert told[-1] == (end, None)
        assert states(made.receive(cancel, at(90)).tell) == [(end, None)]


def test_a_cancellation_that_comes_before_its_selection_keeps_it_from_starting() -> None:
    made = appliance()
    answer = made.receive(Cancel(select_id="s", esa_id=ESA), at(0))
    assert answer.ack.code is Code.UNKNOWN_SELECT
    assert last(made.receive(wish(), at(1))) == (SelectionState.CANCELLED, Code.UNKNOWN_SELECT)
    made.advance(at(30))
    assert made.course(at(30)).wish_w is None


@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        ({}, {}, False),
        ({"priority": 100}, {"priority": 99}, True),
        ({"priority": 100}, {"priority": 101}, False),
        ({"mode": Mode.ROUTINE, "random_offset_max_s": 0, "priority": 0}, {}, True),
        ({}, {"mode": Mode.ROUTINE, "random_offset_max_s": 0, "priority": 0}, False),
        ({"priority": 0}, {"emergency": True}, True),
    ],
)
def test_of_two_that_want_the_same_time_only_a_higher_one_drives_out(
    first: dict[str, object], second: dict[str, object], wins: bool
) -> None:
    made = appliance()
    made.receive(wish("one", **first), at(0))
    answer = made.receive(wish("two", start_s=69.999, offer_id="offer-1-1", **second), at(1))
    expected = (SelectionState.SCHEDULED, None) if wins else (SelectionState.REJECTED, Code.BUSY)
    assert last(answer) == expected
    assert states(answer.tell, "one") == ([(SelectionState.CANCELLED, Code.PREEMPTED)] if wins else [])


def test_one_after_the_other_is_no_conflict_but_one_offer_is_good_for_one_selection() -> None:
    made = appliance()
    made.receive(wish("one"), at(0))
    assert last(made.receive(wish("again", start_s=300), at(0)))[1] is Code.BUSY
    assert last(made.receive(wish("two", start_s=70, offer_id="offer-1-1"), at(0)))[0] is SelectionState.SCHEDULED
    made.advance(at(20))
    told = made.advance(at(70))
    assert states(told, "one") == [(SelectionState.COMPLETED, None)]
    assert states(told, "two") == [(SelectionState.ACTIVE, None)]
    assert last(made.receive(wish("more", start_s=300), at(71)))[1] is Code.EXPIRED


def test_what_runs_gives_way_only_to_what_was_offered_while_it_ran() -> None:
    made = appliance()
    made.receive(wish("one", priority=50), at(0))
    made.advance(at(25))
    again = wish("two", start_s=40, offer_id="offer-1-1", priority=0)
    assert last(made.receive(again, at(25)))[1] is Code.BUSY
    made.offers(offers(2, EPOCH_MS), at(26))
    newer = wish("three", start_s=40, offer_id="offer-2-0", rev=2, priority=0)
    answer = made.receive(newer, at(27))
    assert last(answer) == (SelectionState.SCHEDULED, None)
    assert states(answer.tell, "one") == [(SelectionState.CANCELLED, Code.PREEMPTED)]


def test_a_pause_stops_progress_and_runs_out_after_its_time() -> None:
    made = appliance()
    made.receive(wish(profile_id="ld"), at(0))
    made.advance(at(25))
    assert states(made.pause("s", at(25)).tell) == [(SelectionState.INTERRUPTED, None)]
    assert (made.course(at(25)).wish_w, made.course(at(25)).cause) == (0, Cause.PAUSE)
    made.advance(at(40))
    assert states(made.resume("s", at(40)).tell) == [(SelectionState.ACTIVE, None)]
    assert made.pause("s", at(41)).ack.code is None
    # 15 of 40 s are used up: it goes on at 66 s with 6 of 30 s done, and ends at 90 s.
    assert states(made.advance(at(65.999))) == []
    assert states(made.advance(at(66))) == [(SelectionState.ACTIVE, None)]
    assert made.pause("s", at(67)).ack.code is Code.OUT_OF_BOUNDS
    assert states(made.advance(at(89.999))) == []
    assert states(made.advance(at(90))) == [(SelectionState.COMPLETED, None)]
    other = appliance()
    other.receive(wish(), at(0))
    other.advance(at(25))
    assert other.pause("s", at(25)).ack.code is Code.OUT_OF_BOUNDS, "this profile may not be paused"


def test_a_pause_leaves_room_for_the_end() -> None:
    made = appliance(_only({}, {"end_latest_ms": EPOCH_MS + 60_000}))
    made.receive(wish(profile_id="ld"), at(0))
    made.advance(at(25))
    made.pause("s", at(25))
    assert states(made.advance(at(35))) == [(SelectionState.ACTIVE, None)]
    assert states(made.advance(at(60))) == [(SelectionState.COMPLETED, None)]


def test_three_slots_in_a_row_off_the_promise_end_it() -> None:
    made = appliance()
    made.receive(wish(), at(0))
    made.advance(at(20))
    made.measured(0, at(21))  # Began within this slot: no fault of the appliance.
    told = []
    for second, power_w in ((22, 0), (23, 3_000), (24, 2_399), (25, None), (26, 3_601), (27, 0)):
        told += [(second, s) for s in states(made.measured(power_w, at(second)))]
    assert told == [(27, (SelectionState.ABORTED, Code.DEVIATION))]


def test_a_slot_that_a_limit_cut_is_not_held_against_it() -> None:
    made = appliance()
    made.receive(wish(), at(0))
    made.advance(at(20))
    made.measured(3_000, at(20))
    limit = Limit(limit_id="l", esa_id=ESA, active=True, klass=LimitClass.CONTRACT, p_upper_w=500)
    told = made.receive(limit, at(21)).tell
    assert states(told) == [(SelectionState.ACTIVE, Code.LIMITED)]
    assert (made.course(at(21)).wish_w, made.course(at(21)).setpoint_w, made.course(at(21)).cause) == (
        3_000,
        500,
        Cause.LIMIT,
    )
    for second in range(22, 28):
        assert states(made.measured(500, at(second))) == []
    told = made.receive(replace(limit, active=False), at(30)).tell
    assert states(told) == [(SelectionState.ACTIVE, None)]


@pytest.mark.parametrize(
    ("scope", "one", "other", "new"),
    [
        (OverrideScope.THIS, SelectionState.OVERRIDDEN, SelectionState.SCHEDULED, Code.BUSY),
        (OverrideScope.LOCAL, SelectionState.ACTIVE, SelectionState.SCHEDULED, Code.BUSY),
        (OverrideScope.GRID, SelectionState.OVERRIDDEN, SelectionState.OVERRIDDEN, Code.OPTED_OUT),
        (OverrideScope.ALL, SelectionState.OVERRIDDEN, SelectionState.OVERRIDDEN, Code.OPTED_OUT),
    ],
)
def test_an_override_ends_what_its_scope_says(
    scope: OverrideScope, one: SelectionState, other: SelectionState, new: Code
) -> None:
    made = appliance()
    made.receive(wish("one"), at(0))
    made.receive(wish("other", start_s=200, offer_id="offer-1-1"), at(0))
    made.advance(at(25))
    told = made.override(Override(esa_id=ESA, scope=scope, by=OverrideBy.USER), at(25))
    assert [s.state for s in made.selections.kept] == [one, other]
    assert [b.scope for b in told if isinstance(b, Override)] == [scope]
    assert [b.override for b in told if isinstance(b, State)] == [scope]
    assert last(made.receive(wish("new", start_s=210, offer_id="offer-1-1"), at(26)))[1] is new


def test_an_override_of_one_job_ends_with_that_job() -> None:
    made = appliance()
    made.receive(wish("one"), at(0))
    made.advance(at(25))
    made.override(Override(esa_id=ESA, scope=OverrideScope.THIS, by=OverrideBy.USER), at(25))
    early = wish("early", start_s=69, offer_id="offer-1-1")
    assert last(made.receive(early, at(26)))[1] is Code.OVERRIDDEN
    told = made.advance(at(70))
    assert [b.scope for b in told if isinstance(b, Override)] == [OverrideScope.NONE]
    assert last(made.receive(wish("late", start_s=90, offer_id="offer-1-1"), at(71)))[0] is SelectionState.SCHEDULED


def test_after_an_opt_out_new_offers_come_first() -> None:
    made = appliance()
    until_ms = EPOCH_MS + 60_000
    made.override(Override(esa_id=ESA, scope=OverrideScope.ALL, by=OverrideBy.USER, until_ms=until_ms), at(0))
    made.advance(at(59.999))
    assert made.override_held is not None
    made.advance(at(60))
    assert made.override_held is None
    assert last(made.receive(wish("a", start_s=100), at(61)))[1] is Code.OPTED_OUT
    made.offers(offers(2, EPOCH_MS), at(62))
    again = wish("b", start_s=100, rev=2, offer_id="offer-2-0")
    assert last(made.receive(again, at(63)))[0] is SelectionState.SCHEDULED


def test_an_override_goes_before_a_contract_and_not_before_safety() -> None:
    made = appliance()
    for klass, power_w in ((LimitClass.SAFETY, 2_000), (LimitClass.CONTRACT, 500)):
        limit = Limit(limit_id=klass.value, esa_id=ESA, active=True, klass=klass, p_upper_w=power_w)
        [status] = [b for b in made.receive(limit, at(1)).tell if isinstance(b, LimitStatus)]
        assert status.applied
    assert made.course(at(1)).p_upper_w == 500
    made.override(Override(esa_id=ESA, scope=OverrideScope.ALL, by=OverrideBy.USER), at(2))
    assert (made.course(at(2)).p_upper_w, made.course(at(2)).cause) == (2_000, Cause.OVERRIDE)


def test_a_fault_ends_what_runs_and_keeps_the_next_from_starting() -> None:
    made = appliance()
    made.receive(wish("one"), at(0))
    made.receive(wish("two", start_s=100, offer_id="offer-1-1"), at(0))
    made.advance(at(25))
    assert states(made.runs(Running.FAULT, at(25)), "one") == [(SelectionState.ABORTED, Code.FAULT)]
    assert states(made.advance(at(100)), "two") == [(SelectionState.ABORTED, Code.FAULT)]
    assert last(made.receive(wish("three", start_s=300), at(101)))[1] is Code.FAULT


def test_without_a_link_what_runs_is_finished_up_to_the_longest_hold() -> None:
    for hold_s, end in ((3_600, (SelectionState.COMPLETED, None)), (30, (SelectionState.ABORTED, Code.LINK_LOST))):
        made = appliance(init=replace(INIT, hold_max_s=hold_s))
        made.receive(wish(), at(0))
        made.advance(at(21))
        made.link_lost(at(21))
        told = [s for second in range(22, 80) for s in states(made.advance(at(second)))]
        assert told[-1] == end


def test_without_a_link_it_may_have_to_end_with_its_element() -> None:
    made = appliance(init=replace(INIT, on_link_loss=OnLinkLoss.TO_DEFAULT))
    made.receive(wish("s"), at(0))
    made.receive(wish("next", start_s=300, offer_id="offer-1-1"), at(0))
    made.advance(at(25))
    told = made.link_lost(at(25))
    assert states(told, "next") == [(SelectionState.ABORTED, Code.LINK_LOST)]
    assert states(made.advance(at(39.999))) == []
    assert states(made.advance(at(40))) == [(SelectionState.ABORTED, Code.LINK_LOST)]


def test_120_s_of_silence_are_a_lost_link() -> None:
    made = appliance(init=replace(INIT, on_link_loss=OnLinkLoss.TO_DEFAULT))
    made.receive(wish(start_s=400), at(0))
    alive(made, at(30))
    assert states(made.advance(at(149.999))) == []
    assert states(made.advance(at(150))) == [(SelectionState.ABORTED, Code.LINK_LOST)]


def test_a_restart_goes_on_with_what_runs_only_if_the_pause_is_known() -> None:
    made = appliance()
    made.receive(wish(), at(0))
    made.advance(at(25))
    data = codec.encode(made)
    # The machine was off for 10 s, and its clocks begin anew at 1 s.
    went_on = codec.decode(Appliance, data)
    restart = Restart(mono_base_ms=-34_000, gap_known=True)
    now = Now(mono_ms=1_000, utc_ms=0, utc_ok=False)
    told = went_on.restarted(restart, now)
    assert states(told) == [(SelectionState.ACTIVE, Code.LIMITED)], "nobody who limits was heard since"
    selection = went_on.selections.running()
    assert selection is not None and selection.progress_ms == 15_000
    blind = codec.decode(Appliance, data)
    told = blind.restarted(replace(restart, gap_known=False, mono_base_ms=-24_000), now)
    assert states(told) == [(SelectionState.ABORTED, Code.FAULT)]


def test_a_start_that_passed_during_a_pause_of_unknown_length_is_missed_once_the_time_is_known() -> None:
    made = appliance()
    made.receive(wish(), at(0))
    made.restarted(Restart(mono_base_ms=0, gap_known=False), at(30, utc_ok=False))
    made.advance(at(40, utc_ok=False))
    assert [s.state for s in made.selections.kept] == [SelectionState.SCHEDULED]
    assert states(made.advance(at(51))) == [(SelectionState.ABORTED, Code.START_MISSED)]


def test_settings_may_lower_the_failsafe_value_and_not_raise_it() -> None:
    made = appliance()
    for init, code in (
        (replace(INIT, failsafe_p_upper_w=1_501), Code.OUT_OF_BOUNDS),
        (replace(INIT, failsafe_p_lower_w=-1), Code.OUT_OF_BOUNDS),
        (replace(INIT, random_offset_max_s=1_801), Code.OUT_OF_BOUNDS),
        (replace(INIT, failsafe_p_upper_w=700), None),
    ):
        [done] = [b for b in made.receive(init, at(1)).tell if isinstance(b, InitDone)]
        assert done.code is code
    made.advance(at(121))
    assert made.course(at(121)).p_upper_w == 700


def test_a_limit_below_what_it_can_go_is_refused() -> None:
    made = appliance()
    limit = Limit(limit_id="l", esa_id=ESA, active=True, klass=LimitClass.SAFETY, p_upper_w=-3_001)
    [status] = [b for b in made.receive(limit, at(1)).tell if isinstance(b, LimitStatus)]
    assert (status.applied, status.code) == (False, Code.OUT_OF_BOUNDS)
    [status] = [b for b in made.receive(replace(limit, p_upper_w=-3_000), at(1)).tell if isinstance(b, LimitStatus)]
    assert status.applied


def test_messages_for_others_and_of_no_meaning_here_change_nothing() -> None:
    made = appliance()
    made.receive(wish(), at(1))
    before = codec.encode(made.selections)
    assert made.receive(replace(wish(), esa_id="somebody-else"), at(1)).ack.code is Code.UNKNOWN_ESA
    assert made.receive(InitDone(esa_id=ESA), at(1)).ack.code is Code.UNSUPPORTED
    assert codec.encode(made.selections) == before
    assert made.refused == {"UNKNOWN_ESA": 1, "UNSUPPORTED": 1}


def test_offers_are_numbered_upwards() -> None:
    made = appliance()
    with pytest.raises(OfferError, match="revision 1, given to esa-0001, which is at revision 1"):
        made.offers(offers(1, EPOCH_MS), at(1))


def test_the_end_of_a_registration_ends_all_and_erases_offers() -> None:
    made = appliance()
    made.receive(wish(), at(0))
    told = made.receive(Deregister(esa_id=ESA, reason=DeregisterReason.USER), at(1)).tell
    assert states(told) == [(SelectionState.CANCELLED, None)]
    assert made.offer_set is None
    assert last(made.receive(wish("new"), at(2)))[1] is Code.OPTED_OUT


def test_a_flood_is_bounded_and_what_starts_nothing_is_forgotten_first() -> None:
    made = appliance()
    for n in range(2 * MOST_REMEMBERED):
        made.receive(wish(f"n{n}", rev=0), at(0))
    assert len(made.selections.kept) <= MOST_REMEMBERED
    assert last(made.receive(wish("good"), at(1)))[0] is SelectionState.SCHEDULED
    for n in range(2 * MOST_REMEMBERED):
        answer = made.receive(wish(f"m{n}", start_s=1), at(1))
    assert answer.ack.code is Code.RATE
    assert len(made.selections.kept) == MOST_REMEMBERED
    assert last(made.receive(wish("good"), at(2)))[0] is SelectionState.SCHEDULED
    made.advance(at(86_500))
    answer = made.receive(wish("next day"), at(86_500))
    assert answer.ack.code is None
    assert [s.select_id for s in made.selections.kept] == ["good", "next day"]


@given(st.lists(st.integers(0, 50_000), min_size=2, max_size=6).map(sorted))
def test_energy_of_parts_is_that_of_the_whole(cuts: list[int]) -> None:
    [_, ld, _] = offers(1, EPOCH_MS).offers[0].profiles
    parts = [energy_wms(ld, (700, -300), a, b) for a, b in pairwise(cuts)]
    assert sum(parts) == energy_wms(ld, (700, -300), cuts[0], cuts[-1])
    assert energy_wms(ld, (700, -300), 0, 30_000) == 15_000 * 400


def test_an_override_without_end_keeps_its_words() -> None:
    made = appliance()
    told = made.override(Override(esa_id=ESA, scope=OverrideScope.GRID, by=OverrideBy.SAFETY), at(0))
    [override] = [b for b in told if isinstance(b, Override)]
    assert (override.until_ms, override.by) == (UNSET, OverrideBy.SAFETY)
    assert override in made.resync(at(1))


@pytest.mark.parametrize(
    ("step_ms", "at_70_s"),
    [(0, SelectionState.SCHEDULED), (20_000, SelectionState.ACTIVE), (46_000, SelectionState.ABORTED)],
)
def test_when_the_clock_is_set_the_next_waits_for_the_one_that_runs_30_s_at_most(
    step_ms: int, at_70_s: SelectionState
) -> None:
    made = appliance()
    made.receive(wish("one"), at(0))
    made.receive(wish("two", start_s=75, offer_id="offer-1-1"), at(0))
    made.advance(at(20))
    made.advance(at(60, shift_ms=step_ms))
    running = made.selections.running()
    assert running is not None and running.select_id == "one"
    assert sum(s.state is SelectionState.ACTIVE for s in made.selections.kept) == 1
    made.advance(at(70, shift_ms=step_ms))
    two = made.selections.find("two")
    assert two is not None and two.state is at_70_s


def test_one_that_waits_past_its_start_is_no_reason_to_wake_all_the_time() -> None:
    made = appliance()
    made.receive(wish("one"), at(0))
    made.receive(wish("two", start_s=75, offer_id="offer-1-1"), at(0))
    made.advance(at(20))
    now = at(60, shift_ms=20_000)
    made.advance(now)
    assert made.wake_mono_ms(now) == 70_000, "when the one that runs ends"


def test_after_a_known_pause_a_start_is_met_without_a_trusted_clock() -> None:
    made = appliance()
    made.receive(wish(start_s=100), at(0))
    # Off from 30 s to 90 s; the clocks begin anew at 0, and nobody has told the time yet.
    made.advance(at(30))
    made.restarted(Restart(mono_base_ms=-90_000, gap_known=True), Now(mono_ms=0, utc_ms=5, utc_ok=False))
    assert states(made.advance(Now(mono_ms=9_999, utc_ms=5, utc_ok=False))) == []
    assert states(made.advance(Now(mono_ms=10_000, utc_ms=5, utc_ok=False)))[0][0] is SelectionState.ACTIVE


def test_giving_up_ends_what_is_open_and_nothing_else() -> None:
    made = appliance()
    made.receive(wish(), at(0))
    assert states(made.abort("s", Code.FAULT, at(1))) == [(SelectionState.ABORTED, Code.FAULT)]
    assert states(made.abort("s", Code.SAFETY, at(2))) == []
    assert made.abort("unknown", Code.FAULT, at(3)) == ()
    assert last(made.receive(wish(), at(4))) == (SelectionState.ABORTED, Code.FAULT)


def test_self_protection_tells_whose_limits_it_does_not_keep() -> None:
    made = appliance()
    limit = Limit(limit_id="l", esa_id=ESA, active=True, klass=LimitClass.SAFETY, p_upper_w=0)
    made.receive(limit, at(1))
    [status] = [b for b in made.self_protection(at(2)) if isinstance(b, LimitStatus)]
    assert (status.limit_id, status.applied, status.code) == ("l", False, Code.SAFETY)
    assert made.course(at(2)).p_upper_w is None
    assert made.heartbeat() == Heartbeat(limit_state=LimitState.UNLIMITED, rev=1)


def test_resync_tells_offers_state_limits_and_what_is_open() -> None:
    made = appliance()
    made.receive(wish("done"), at(0))
    made.receive(wish("open", start_s=200, offer_id="offer-1-1"), at(0))
    limit = Limit(limit_id="l", esa_id=ESA, active=True, klass=LimitClass.SAFETY, p_upper_w=2_000)
    made.receive(limit, at(1))
    made.advance(at(20))
    made.advance(at(80))
    told = made.resync(at(80))
    assert made.offer_set in told
    assert [type(b) for b in told] == [OfferSet, State, LimitStatus, SelectStatus]
    assert states(told, "open") == [(SelectionState.SCHEDULED, None)]
