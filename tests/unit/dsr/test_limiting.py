"""The limit controller, state by state."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.dsr.course import together
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.limiting import Envelope, Fallback, Limiting
from scowl_edge.model.exchange import Code, Limit
from scowl_edge.model.flexibility import LimitClass, LimitState

FALLBACK = Fallback(failsafe_p_upper_w=1_500, failsafe_p_lower_w=-200, failsafe_min_s=7_200)


def at(seconds: float) -> Now:
    return Now(mono_ms=int(seconds * 1_000), utc_ms=0, utc_ok=False)


def first(fallback: Fallback = FALLBACK) -> Limiting:
    return Limiting(fallback=fallback, since_mono_ms=0)


def cap(power_w: int, **more: object) -> Limit:
    fields: dict[str, object] = {"active": True, "klass": LimitClass.SAFETY, "p_upper_w": power_w, **more}
    return Limit(limit_id=f"l{power_w}", esa_id="esa-0001", **fields)  # type: ignore[arg-type]


def lift(klass: LimitClass = LimitClass.SAFETY) -> Limit:
    return Limit(limit_id="lift", esa_id="esa-0001", active=False, klass=klass)


def in_state(state: LimitState) -> Limiting:
    """A controller that came to a state in the regular way, at most at 200 s."""
    limiting = first()
    if state is LimitState.AUTONOMOUS:
        limiting.advance(at(120))
    elif state is not LimitState.INIT:
        limiting.heartbeat(at(1))
        assert limiting.limit(cap(900) if state is LimitState.LIMITED else lift(), 0, at(2)) is None
        if state is LimitState.FAILSAFE:
            limiting.advance(at(121))
    assert limiting.state is state
    return limiting


def upper_w(limiting: Limiting, now: Now) -> int | None:
    return together(limiting.envelopes(now), False)[1]


def test_a_first_start_holds_the_failsafe_value_and_after_120_s_goes_on_by_itself() -> None:
    limiting = first()
    assert upper_w(limiting, at(0)) == 1_500
    limiting.advance(at(119.999))
    assert limiting.state is LimitState.INIT
    limiting.advance(at(120))
    assert limiting.state is LimitState.AUTONOMOUS
    assert upper_w(limiting, at(120)) == 1_500


def test_autonomous_is_unlimited_only_if_the_configuration_says_so() -> None:
    for fallback, expected_w in (
        (FALLBACK, 1_500),
        (replace(FALLBACK, autonomous_p_upper_w=3_000), 3_000),
        (replace(FALLBACK, autonomous_unlimited=True), None),
    ):
        limiting = first(fallback)
        assert upper_w(limiting, at(60)) == 1_500
        limiting.advance(at(120))
        assert upper_w(limiting, at(120)) == expected_w


@pytest.mark.parametrize("state", [LimitState.INIT, LimitState.FAILSAFE, LimitState.AUTONOMOUS])
@pytest.mark.parametrize(("age_s", "taken"), [(0, True), (59.999, True), (60, False)])
def test_while_blind_a_limit_needs_a_heartbeat_within_60_s(state: LimitState, age_s: float, taken: bool) -> None:
    for limit, then in ((cap(900), LimitState.LIMITED), (lift(), LimitState.UNLIMITED)):
        limiting, start_s = in_state(state), 300 if state is not LimitState.INIT else 10
        assert limiting.limit(limit, 0, at(start_s)) is Code.LINK_LOST
        assert limiting.state is state
        limiting.heartbeat(at(start_s))
        code = limiting.limit(limit, 0, at(start_s + age_s))
        assert (code is None) is taken
        assert (limiting.state is then) is taken


@pytest.mark.parametrize("state", [LimitState.UNLIMITED, LimitState.LIMITED])
def test_120_s_of_silence_lead_to_the_failsafe_value(state: LimitState) -> None:
    limiting = in_state(state)
    limiting.advance(at(120.999))
    assert limiting.state is state
    limiting.advance(at(121))
    assert limiting.state is LimitState.FAILSAFE
    assert upper_w(limiting, at(121)) == 1_500
    assert limiting.limits == ()


def test_failsafe_ends_after_its_time_or_when_somebody_is_alive_and_sets_no_limit() -> None:
    limiting = in_state(LimitState.FAILSAFE)
    limiting.advance(at(121 + 7_199.999))
    assert limiting.state is LimitState.FAILSAFE
    limiting.advance(at(121 + 7_200))
    assert limiting.state is LimitState.AUTONOMOUS

    limiting = in_state(LimitState.FAILSAFE)
    for beat_s in range(200, 320, 30):
        limiting.heartbeat(at(beat_s))
        assert limiting.state is LimitState.FAILSAFE
    limiting.heartbeat(at(320))
    assert limiting.state is LimitState.AUTONOMOUS


def test_two_single_heartbeats_are_nobody_who_is_alive() -> None:
    limiting = in_state(LimitState.FAILSAFE)
    limiting.heartbeat(at(200))
    limiting.heartbeat(at(350))
    limiting.advance(at(351))
    assert limiting.state is LimitState.FAILSAFE


def test_a_limit_ends_with_its_time_and_the_other_class_stays() -> None:
    limiting = in_state(LimitState.UNLIMITED)
    limiting.heartbeat(at(100))
    assert limiting.limit(cap(900, dur_s=50), 0, at(100)) is None
    assert limiting.limit(cap(2_000, klass=LimitClass.CONTRACT), 0, at(100)) is None
    assert [e.klass for e in limiting.envelopes(at(100))] == [LimitClass.SAFETY, LimitClass.CONTRACT]
    limiting.advance(at(149.999))
    assert upper_w(limiting, at(149.999)) == 900
    limiting.advance(at(150))
    assert upper_w(limiting, at(150)) == 2_000
    assert limiting.state is LimitState.LIMITED
    assert limiting.limit(lift(LimitClass.CONTRACT), 0, at(151)) is None
    assert limiting.state is LimitState.UNLIMITED
    assert upper_w(limiting, at(151)) is None


def test_a_ramp_is_approached_from_the_power_of_now_and_goes_on_when_told_again() -> None:
    limiting = in_state(LimitState.UNLIMITED)
    limit = cap(1_000, ramp_w_per_s=100)
    assert limiting.limit(limit, 3_000, at(10)) is None
    assert [upper_w(limiting, at(s)) for s in (10, 11, 20, 30, 40)] == [3_000, 2_900, 2_000, 1_000, 1_000]
    assert limiting.limit(limit, 3_000, at(20)) is None
    assert [upper_w(limiting, at(s)) for s in (20, 25, 30)] == [2_000, 1_500, 1_000]


def test_self_protection_ends_limits_and_says_which() -> None:
    limiting = in_state(LimitState.LIMITED)
    assert [limit.limit_id for limit in limiting.self_protection(at(3))] == ["l900"]
    assert limiting.state is LimitState.UNLIMITED


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        (replace(cap(0), p_upper_w=None), Code.SCHEMA),
        (cap(100, p_lower_w=1), Code.OUT_OF_BOUNDS),
        (cap(-100, p_lower_w=-50), Code.OUT_OF_BOUNDS),
        (cap(100, dur_s=0), Code.OUT_OF_BOUNDS),
        (cap(100, ramp_w_per_s=0), Code.OUT_OF_BOUNDS),
    ],
)
def test_a_limit_that_nobody_can_keep_changes_nothing(limit: Limit, code: Code) -> None:
    limiting = in_state(LimitState.LIMITED)
    assert limiting.limit(limit, 0, at(5)) is code
    assert upper_w(limiting, at(5)) == 900


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (LimitState.INIT, LimitState.INIT),
        (LimitState.UNLIMITED, LimitState.FAILSAFE),
        (LimitState.LIMITED, LimitState.FAILSAFE),
        (LimitState.FAILSAFE, LimitState.FAILSAFE),
        (LimitState.AUTONOMOUS, LimitState.AUTONOMOUS),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_a_restart_goes_on_blind(before: LimitState, after: LimitState, known: bool) -> None:
    limiting = in_state(before)
    start_s = 200 if before not in (LimitState.INIT, LimitState.UNLIMITED, LimitState.LIMITED) else 10
    limiting.restarted(Restart(mono_base_ms=0, gap_known=known), at(start_s))
    assert limiting.state is after
    assert upper_w(limiting, at(start_s)) == 1_500
    assert limiting.limit(lift(), 0, at(start_s)) is Code.LINK_LOST, "a heartbeat from before proves nothing"


def test_a_restart_keeps_the_rest_of_the_failsafe_time_and_a_pause_of_unknown_length_takes_nothing_off() -> None:
    # FAILSAFE was entered at 121 s; at 1121 s the machine starts anew, and its clock with it.
    for away_s, known in ((500, True), (0, False)):
        limiting = in_state(LimitState.FAILSAFE)
        limiting.advance(at(1_121))
        limiting.restarted(Restart(mono_base_ms=-1_000 * (1_121 + away_s), gap_known=known), at(0))
        limiting.advance(at(6_199.999 - away_s))
        assert limiting.state is LimitState.FAILSAFE
        limiting.advance(at(6_200 - away_s))
        assert limiting.state is LimitState.AUTONOMOUS


def test_a_wake_is_never_in_the_past_and_never_late() -> None:
    for state in LimitState:
        limiting = in_state(state)
        now = at(200)
        limiting.advance(now)
        for _ in range(4):
            wake_ms = limiting.wake_mono_ms(now)
            if wake_ms is None:
                break
            assert wake_ms > now.mono_ms
            entered = dict(limiting.entries)
            limiting.advance(Now(mono_ms=wake_ms - 1, utc_ms=0, utc_ok=False))
            assert limiting.entries == entered, "something happened before the wake"
            now = Now(mono_ms=wake_ms, utc_ms=0, utc_ok=False)
            limiting.advance(now)


WATTS = st.none() | st.integers(-50, 50)


@st.composite
def envelopes(draw: st.DrawFn) -> tuple[Envelope, ...]:
    made = []
    for klass in LimitClass:
        lower, upper = draw(WATTS), draw(WATTS)
        if lower is not None and upper is not None and lower > upper:
            lower, upper = upper, lower
        made.append(Envelope(klass=klass, p_lower_w=lower, p_upper_w=upper, why=LimitState.LIMITED))
    return tuple(made)


@given(envelopes())
def test_bounds_taken_together_keep_the_higher_class_and_the_lower_one_as_far_as_that_lets(
    both: tuple[Envelope, ...],
) -> None:
    safety, contract = both
    lower, upper = together(both, False)
    least, most = (-99 if lower is None else lower), (99 if upper is None else upper)
    assert least <= most
    for power_w in range(least, most + 1):
        assert safety.clip(power_w) == power_w
    agreed = [p for p in range(-99, 100) if safety.clip(p) == p == contract.clip(p)]
    if agreed:
        assert (least, most) == (agreed[0], agreed[-1])
    assert together(both, True) == together((safety,), False)
