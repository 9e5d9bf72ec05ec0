"""Mass starts: the ramp of the sum holds in every window, and what cannot be spread is said."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.dsr.spreading import Ramp, Start, edges, expected_energy_w_ms, spread
from scowl_edge.model.flexibility import Element

T0 = 1_700_000_000_000


def start(key: str, *, wanted_s: int = 0, window_s: int = 600, power_w: int = 2_000, **more: int) -> Start:
    return Start(
        key=key,
        wanted_ms=T0 + wanted_s * 1000,
        earliest_ms=T0,
        latest_ms=T0 + window_s * 1000,
        powers_w=(power_w,),
        durations_s=(1800,),
        **more,
    )


def worst_window(steps: Counter[int], max_ramp: int, largest: int) -> bool:
    """Whether all windows keep the promise: n seconds hold n ramps, and the overhang of one large step."""
    seconds = sorted(steps)
    for i, a in enumerate(seconds):
        total = 0
        for b in seconds[i:]:
            total += steps[b]
            if total > max_ramp * (b - a + 1) + max(0, largest - max_ramp):
                return False
    return True


starts = st.builds(
    lambda n, wanted, window, powers, before: Start(
        key=f"s{n}",
        wanted_ms=T0 + wanted * 1000,
        earliest_ms=T0,
        latest_ms=T0 + window * 1000,
        powers_w=tuple(p for p, _ in powers),
        durations_s=tuple(d for _, d in powers),
        before_w=before,
    ),
    st.integers(0, 10_000),
    st.integers(-20, 120),
    st.integers(0, 100),
    st.lists(st.tuples(st.integers(-5_000, 5_000), st.integers(1, 60)), min_size=1, max_size=4),
    st.integers(-3_000, 3_000),
)


@given(st.lists(starts, max_size=25, unique_by=lambda s: s.key), st.integers(200, 6_000), st.integers(0, 9))
@settings(max_examples=150, deadline=None)
def test_no_window_climbs_or_falls_faster_than_the_ramp(wanted: list[Start], max_ramp: int, seed: int) -> None:
    result = spread(wanted, Ramp(max_ramp), seed)
    by_key = {s.key: s for s in wanted}
    assert {p.key for p in result.placed} | {u.key for u in result.unplaced} == set(by_key)
    assert len(result.placed) + len(result.unplaced) == len(wanted)
    up, down, largest = Counter[int](), Counter[int](), 0
    for placed in result.placed:
        own = by_key[placed.key]
        assert own.earliest_ms <= placed.start_ms <= own.latest_ms
        for edge in edges(own, placed.start_ms):
            (up if edge.delta_w > 0 else down)[edge.second] += abs(edge.delta_w)
            largest = max(largest, abs(edge.delta_w))
    assert worst_window(up, max_ramp, largest)
    assert worst_window(down, max_ramp, largest)
    assert result == spread(wanted[::-1], Ramp(max_ramp), seed)


def test_a_thousand_responses_take_the_time_that_the_ramp_says() -> None:
    result = spread([start(f"s{n}") for n in range(1000)], Ramp(10_000), 1)
    assert not result.unplaced
    last = max(p.start_ms for p in result.placed)
    assert last - T0 == (1000 * 2_000 // 10_000 - 1) * 1000
    assert spread([start(f"s{n}") for n in range(1000)], Ramp(10_000), 2) != result


def test_who_finds_no_second_is_named_with_the_reason() -> None:
    result = spread([start(f"s{n}", window_s=4) for n in range(10)], Ramp(2_000), 1)
    assert len(result.placed) == 5
    assert len(result.unplaced) == 5
    assert str(result.unplaced[0].why) == (
        "its step of 2 kW finds no second between its earliest and latest start; ramp 2 kW/s"
    )


def test_the_ends_are_spread_too() -> None:
    """All begin at the same power as before, and all fall to 0 when they end."""
    result = spread([start(f"s{n}", before_w=2_000) for n in range(50)], Ramp(4_000), 1)
    falls = Counter(p.start_ms for p in result.placed)
    assert max(falls.values()) == 2


def test_one_large_step_takes_the_seconds_after_it() -> None:
    ramp = Ramp(1_000)
    spread([start("a", power_w=5_500, window_s=0)], ramp, 1)
    second = T0 // 1000
    assert [ramp.used_w(second + n, up=True) for n in range(7)] == [1000] * 5 + [500, 0]


def test_what_was_promised_before_keeps_its_room() -> None:
    ramp = Ramp(2_000)
    ramp.take(edges(start("old"), T0))
    [placed] = spread([start("new")], ramp, 1).placed
    assert placed.start_ms == T0 + 1000


def test_a_drawn_delay_makes_room_for_many_at_once() -> None:
    at_once = spread([start(f"s{n}", delay_max_s=599, window_s=0) for n in range(300)], Ramp(1_200), 1)
    assert len(at_once.placed) == 300


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(-3_000, 3_000)), min_size=1, max_size=4),
    st.integers(0, 90),
    st.integers(-200, 600),
    st.integers(1, 500),
)
@settings(max_examples=60, deadline=None)
def test_the_expected_load_is_the_mean_over_all_delays(
    parts: list[tuple[int, int]], delay_max_s: int, begin_s: int, long_s: int
) -> None:
    elements = [Element(dur_s=d, p_nom_w=p, p_min_w=p, p_max_w=p) for d, p in parts]
    begin, end = begin_s * 1000 + 250, (begin_s + long_s) * 1000
    total = 0
    for delay in range(delay_max_s + 1):
        at = delay * 1000
        for element in elements:
            ends = at + element.dur_s * 1000
            total += element.p_nom_w * max(0, min(end, ends) - max(begin, at))
            at = ends
    assert expected_energy_w_ms(elements, 0, delay_max_s, begin, end) == total // (delay_max_s + 1)
