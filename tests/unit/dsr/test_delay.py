"""The random delay."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.dsr.delay import CAP_S, Delayed, drawn_s, offset_s
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.model.flexibility import Mode

ESA = "esa-0001"


def at(seconds: int) -> Now:
    return Now(mono_ms=1_000 * seconds, utc_ms=0, utc_ok=False)


@given(st.integers(0, 2**63), st.integers(0, 10**6), st.integers(0, 5_000))
def test_a_draw_is_a_whole_second_within_the_maximum_and_always_the_same(seed: int, n: int, max_s: int) -> None:
    delay_s = offset_s(seed=seed, esa_id=ESA, occasion=n, max_s=max_s)
    assert 0 <= delay_s <= min(max_s, CAP_S)
    assert delay_s == offset_s(seed=seed, esa_id=ESA, occasion=n, max_s=max_s)


def test_draws_are_even_over_appliances_and_over_occasions() -> None:
    for draws in (
        [drawn_s(1, f"esa-{n:08}", 1, 9) for n in range(20_000)],
        [drawn_s(1, ESA, n, 9) for n in range(20_000)],
    ):
        counts = Counter(draws)
        assert set(counts) == set(range(10))
        assert all(1_800 < n < 2_200 for n in counts.values())


def test_no_delay_for_a_response_an_override_or_where_one_was_applied() -> None:
    drawn = offset_s(seed=1, esa_id=ESA, occasion=4, max_s=1_800)
    assert drawn > 0
    assert offset_s(seed=1, esa_id=ESA, occasion=4, max_s=1_800, mode=Mode.RESPONSE) == 0
    assert offset_s(seed=1, esa_id=ESA, occasion=4, max_s=1_800, overridden=True) == 0
    assert offset_s(seed=1, esa_id=ESA, occasion=4, max_s=1_800, already_applied=True) == 0


def test_each_change_of_a_wish_is_delayed_by_a_draw_of_its_own() -> None:
    delayed, waits, second = Delayed(seed=1, esa_id=ESA), [], 0
    for power_w in (7_000, 0, 7_000, 3_000):
        asked = second
        while delayed.wish(power_w, 600, Mode.ROUTINE, at(second)) != power_w:
            second += 1
        waits.append(second - asked)
    assert len(set(waits)) == 4
    assert all(0 <= w <= 600 for w in waits)
    assert delayed.occasions == 4


def test_a_wish_that_returns_waits_no_more_and_an_override_goes_at_once() -> None:
    delayed = Delayed(seed=1, esa_id=ESA)
    assert delayed.wish(0, 0, Mode.ROUTINE, at(0)) == 0
    assert delayed.wish(7_000, 600, Mode.ROUTINE, at(0)) == 0
    assert delayed.wish(0, 600, Mode.ROUTINE, at(1)) == 0
    assert delayed.wish(0, 600, Mode.ROUTINE, at(700)) == 0, "the wish that was taken back came through"
    assert delayed.wish(7_000, 600, Mode.ROUTINE, at(700)) == 0
    assert delayed.wish(7_000, 600, Mode.ROUTINE, at(701), overridden=True) == 7_000


def test_a_restart_goes_on_with_the_same_delay() -> None:
    delayed = Delayed(seed=1, esa_id=ESA)
    delayed.wish(0, 0, Mode.ROUTINE, at(0))
    delayed.wish(7_000, 600, Mode.ROUTINE, at(100))
    assert delayed.due_mono_ms is not None
    left_ms = delayed.due_mono_ms - 130_000
    delayed.restarted(Restart(mono_base_ms=-130_000, gap_known=True))
    assert delayed.due_mono_ms == left_ms
