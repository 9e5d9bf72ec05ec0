"""The book of commitments: each promise is counted once, and never for more than was ordered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.capacity import Book, Pledge, Shed, ShedState

WATTS = st.integers(-100_000, 100_000)


def pledge(base_w: int, goal_w: int, begins_at: int = 0, ramp_w_s: int = 0) -> Pledge:
    return Pledge(base_w=base_w, goal_w=goal_w, begins_at=begins_at, ramp_w_s=ramp_w_s, deadline_at=60_000)


def shed(state: ShedState, requested_w: int = 3_000, granted_w: int = 0, **more: bool) -> Shed:
    return Shed(
        state=state,
        requested_w=requested_w,
        granted_w=granted_w,
        base_w=10_000,
        deferrable_w=-1,
        unshed_w=10_000,
        lowest_w=10_000,
        asked_at=0,
        answer_by_at=0,
        judged_at=0,
        expires_at=0,
        **more,
    )


@given(WATTS, WATTS, WATTS)
def test_a_promise_is_between_nothing_and_what_was_ordered(base_w: int, goal_w: int, power_w: int) -> None:
    rest = pledge(base_w, goal_w).remaining_w(power_w)
    ordered = goal_w - base_w
    assert min(0, ordered) <= rest <= max(0, ordered)
    assert pledge(base_w, goal_w).remaining_w(base_w) == ordered
    assert pledge(base_w, goal_w).remaining_w(goal_w) == 0


@given(WATTS, WATTS, WATTS, st.integers(0, 20_000), st.integers(0, 5_000), st.integers(0, 30_000))
def test_what_arrives_in_time_is_a_part_of_it(
    base_w: int, goal_w: int, power_w: int, begins_at: int, ramp_w_s: int, by_ms: int
) -> None:
    p = pledge(base_w, goal_w, begins_at, ramp_w_s)
    rest, soon = p.remaining_w(power_w), p.within_w(power_w, 0, by_ms)
    assert abs(soon) <= abs(rest)
    assert soon == 0 or (soon > 0) == (rest > 0)
    if begins_at > by_ms:
        assert soon == 0
    elif ramp_w_s:
        assert abs(soon) <= ramp_w_s * (by_ms - begins_at) // 1000 + 1


def test_weather_that_takes_more_away_is_not_promised_back() -> None:
    assert pledge(-20_000, -25_000).remaining_w(-5_000) == -5_000


def test_a_shed_relieves_what_is_seen_until_it_had_effect_and_nothing_once_it_failed() -> None:
    granted = shed(ShedState.GRANTED, granted_w=3_000)
    assert granted.relief_w(10_000) == 0
    assert granted.relief_w(9_000) == 1_000
    assert granted.relief_w(2_000) == 3_000
    assert shed(ShedState.GRANTED, granted_w=3_000, effective=True).relief_w(12_000) == 3_000
    assert shed(ShedState.GRANTED, granted_w=3_000, failed=True).relief_w(2_000) == 0


def test_only_what_is_asked_and_not_answered_is_on_its_way() -> None:
    book = Book(
        sheds={
            0: shed(ShedState.ASKED),
            1: shed(ShedState.ASKED, requested_w=5_000, granted_w=1_000),
            2: shed(ShedState.GRANTED, granted_w=3_000),
            3: shed(ShedState.IN_DOUBT),
        }
    )
    assert book.asked_w() == 7_000
    assert book.asked_w(frozenset({1, 2})) == 4_000
