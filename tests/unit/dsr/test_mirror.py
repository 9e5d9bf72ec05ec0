"""The copy of an appliance: deadlines, what counts, and old news."""

from __future__ import annotations

import pytest
from flex_world import EPOCH_MS, ESA, offers

from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.mirror import Mirror, Standing
from scowl_edge.model.exchange import (
    Cancel,
    CancelAt,
    Code,
    Init,
    Limit,
    OfferWithdraw,
    Override,
    Running,
    Select,
    SelectStatus,
    State,
    WithdrawReason,
)
from scowl_edge.model.flexibility import LimitClass, Mode, OverrideBy, OverrideScope, SelectionState

START_MS = EPOCH_MS + 20_000


def at(seconds: float) -> Now:
    return Now(mono_ms=int(seconds * 1_000), utc_ms=EPOCH_MS + int(seconds * 1_000), utc_ok=True)


SELECT = Select(
    select_id="s",
    esa_id=ESA,
    offer_id="offer-1-0",
    profile_id="ld",
    rev=1,
    start_ms=START_MS,
    mode=Mode.RESPONSE,
    setpoints_w=(4_000, 500),
)
TAKE_BACK = Cancel(select_id="s", esa_id=ESA, at=CancelAt.NOW)


def mirror(*, asks: bool = True) -> Mirror:
    made = Mirror(esa_id=ESA, asks=asks)
    made.told(offers(1, EPOCH_MS), at(0))
    assert made.select(SELECT, at(0)).send == (SELECT,)
    return made


def status(state: SelectionState, **more: int | Code | None) -> SelectStatus:
    return SelectStatus(select_id="s", esa_id=ESA, state=state, **more)  # type: ignore[arg-type]


def test_nothing_counts_before_it_is_accepted_it_is_pledged_until_measured_and_then_there() -> None:
    made = mirror()
    seen = []
    for state in (None, SelectionState.ACCEPTED, SelectionState.SCHEDULED, SelectionState.ACTIVE):
        if state is not None:
            made.told(status(state, applied_offset_s=0), at(1))
        made.measured("other")
        seen.append([made.counted_w(START_MS + 1_000, s) for s in (Standing.PLEDGED, Standing.EFFECTIVE)])
    assert seen == [[None, None], [4_000, None], [4_000, None], [4_000, None]]
    made.measured("s")
    assert made.counted_w(START_MS + 1_000, Standing.EFFECTIVE) == 4_000
    assert made.counted_w(START_MS + 1_000, Standing.PLEDGED) is None
    made.told(status(SelectionState.COMPLETED), at(60))
    assert made.counted_w(START_MS + 1_000, Standing.EFFECTIVE) is None


def test_what_is_not_running_was_not_measured() -> None:
    made = mirror()
    made.told(status(SelectionState.SCHEDULED), at(1))
    made.measured("s")
    assert made.counted_w(START_MS, Standing.PLEDGED) == 4_000


def test_promised_power_begins_with_the_delay_that_was_drawn_and_ends_with_the_profile() -> None:
    made = mirror()
    made.told(status(SelectionState.SCHEDULED, applied_offset_s=7), at(1))
    copy = made.find("s")
    assert copy is not None
    powers = [copy.power_w(START_MS + ms) for ms in (6_999, 7_000, 21_999, 22_000, 36_999, 37_000)]
    assert powers == [None, 4_000, 4_000, 500, 500, None]
    assert copy.intended is not None
    assert copy.intended.profile_id == "io"


def test_without_an_answer_in_10_s_it_is_refused_and_taken_back_even_if_granted_later() -> None:
    made = mirror()
    assert made.advance(at(9.999)).send == ()
    turned = made.advance(at(10))
    assert turned.send == (TAKE_BACK,)
    assert [(s.state, s.code) for s in turned.changed] == [(SelectionState.REJECTED, Code.NO_ANSWER)]
    assert made.advance(at(11)).send == (), "told once"
    for state in (SelectionState.ACCEPTED, SelectionState.SCHEDULED):
        turned = made.told(status(state), at(12))
        assert (turned.send, turned.changed) == ((TAKE_BACK,), ())
        assert made.counted_w(START_MS, Standing.PLEDGED) is None
    assert made.resync(at(13)).send == (TAKE_BACK,)
    assert made.told(status(SelectionState.CANCELLED), at(14)).send == ()
    assert made.resync(at(15)).send == ()
    assert made.select(SELECT, at(16)).send == (), "what was given up is not asked for again"


def test_who_only_hands_on_gives_nothing_up() -> None:
    made = mirror(asks=False)
    assert made.advance(at(1_000)).send == ()
    assert len(made.open()) == 1


def test_old_news_changes_nothing() -> None:
    made = mirror()
    for state, progress_s, then in (
        (SelectionState.SCHEDULED, None, SelectionState.SCHEDULED),
        (SelectionState.ACCEPTED, None, SelectionState.SCHEDULED),
        (SelectionState.ACTIVE, 5, SelectionState.ACTIVE),
        (SelectionState.INTERRUPTED, 6, SelectionState.INTERRUPTED),
        (SelectionState.ACTIVE, 5, SelectionState.INTERRUPTED),
        (SelectionState.ACTIVE, 6, SelectionState.ACTIVE),
        (SelectionState.COMPLETED, 30, SelectionState.COMPLETED),
        (SelectionState.ACTIVE, 31, SelectionState.COMPLETED),
        (SelectionState.CANCELLED, 31, SelectionState.COMPLETED),
    ):
        made.told(status(state, progress_s=progress_s), at(1))
        copy = made.find("s")
        assert copy is not None
        assert copy.state is then
    assert made.told(offers(3, EPOCH_MS), at(2)) and made.told(offers(2, EPOCH_MS), at(3))
    assert (made.rev, made.offer_set) == (3, offers(3, EPOCH_MS))


def test_a_cancellation_is_told_again_until_the_end_is_known_and_never_gets_softer() -> None:
    made = mirror()
    made.told(status(SelectionState.ACTIVE), at(1))
    softly = Cancel(select_id="s", esa_id=ESA, at=CancelAt.ELEMENT_END)
    assert made.cancel("s", CancelAt.ELEMENT_END, at(2)).send == (softly,)
    assert made.resync(at(3)).send == (softly,)
    made.cancel("s", CancelAt.NOW, at(4))
    made.cancel("s", CancelAt.ELEMENT_END, at(5))
    assert made.resync(at(6)).send == (TAKE_BACK,)
    made.told(status(SelectionState.COMPLETED), at(7))
    assert made.resync(at(8)).send == ()
    assert [s.state for s in made.cancel("s", CancelAt.NOW, at(9)).changed] == [SelectionState.COMPLETED]


def test_a_selection_that_it_does_not_know_is_taken_back_by_the_one_who_selects() -> None:
    for asks, send in ((True, (TAKE_BACK,)), (False, ())):
        made = Mirror(esa_id=ESA, asks=asks)
        assert made.told(status(SelectionState.ACTIVE), at(0)).send == send


def test_resync_repeats_settings_what_is_left_of_limits_and_open_selections() -> None:
    made = mirror()
    init = Init(esa_id=ESA, failsafe_p_upper_w=1_000)
    made.initialise(init)
    short = Limit(limit_id="a", esa_id=ESA, active=True, klass=LimitClass.SAFETY, p_upper_w=100, dur_s=60)
    long = Limit(limit_id="b", esa_id=ESA, active=True, klass=LimitClass.CONTRACT, p_upper_w=200)
    made.limit(short, at(0))
    made.limit(long, at(0))
    made.told(status(SelectionState.SCHEDULED), at(1))
    sent = made.resync(at(45)).send
    assert [getattr(b, "dur_s", "") for b in sent] == ["", 15, None, ""]
    assert sent[0] == init and sent[2:] == (long, SELECT)
    assert made.resync(at(60)).send == (init, long, SELECT)
    made.restarted(Restart(mono_base_ms=-50_000, gap_known=True), at(0))
    assert [getattr(b, "dur_s", "") for b in made.resync(at(5)).send] == ["", 5, None, ""]


def test_a_lost_link_makes_offers_void_until_they_come_again_and_keeps_pledges() -> None:
    made = mirror()
    made.told(status(SelectionState.SCHEDULED), at(1))
    made.link_lost()
    assert (made.offer_set, made.running) == (None, Running.OFFLINE)
    assert made.counted_w(START_MS, Standing.PLEDGED) == 4_000
    made.told(offers(1, EPOCH_MS), at(2))
    assert made.offer_set == offers(1, EPOCH_MS)


@pytest.mark.parametrize("known", [True, False])
def test_after_a_restart_a_deadline_goes_on_or_is_over(known: bool) -> None:
    made = mirror()
    turned = made.restarted(Restart(mono_base_ms=-5_000, gap_known=known), at(0))
    assert turned.send == (() if known else (TAKE_BACK,))
    if known:
        assert made.advance(at(4.999)).send == ()
        assert made.advance(at(5)).send == (TAKE_BACK,)


def test_states_overrides_and_withdrawals_are_kept() -> None:
    made = mirror()
    override = Override(esa_id=ESA, scope=OverrideScope.ALL, by=OverrideBy.USER)
    made.told(override, at(1))
    made.told(State(esa_id=ESA, value=Running.RUNNING, override=OverrideScope.ALL), at(1))
    assert (made.override, made.running) == (override, Running.RUNNING)
    made.told(State(esa_id=ESA, value=Running.IDLE, override=OverrideScope.NONE), at(2))
    assert made.override is None
    made.told(OfferWithdraw(esa_id=ESA, offer_ids=("offer-1-0",), reason=WithdrawReason.USER), at(3))
    assert made.offer_set is not None
    assert [o.offer_id for o in made.offer_set.offers] == ["offer-1-1"]


def test_what_ended_a_day_ago_is_forgotten() -> None:
    made = mirror()
    made.told(status(SelectionState.COMPLETED), at(100))
    made.advance(at(86_499))
    assert made.find("s") is not None
    made.advance(at(86_500))
    assert made.find("s") is None


def test_who_hands_on_forgets_what_was_never_answered() -> None:
    made = mirror(asks=False)
    made.advance(at(86_399))
    assert made.find("s") is not None
    made.advance(at(86_400))
    assert made.find("s") is None
