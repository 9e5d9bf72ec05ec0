"""Laws of timelines, by drawn ones; the doctests of their modules."""

from __future__ import annotations

import doctest
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.model import profile, profile_picture, profile_slots
from scowl_edge.model.codec import decode, encode
from scowl_edge.model.flexibility import Element
from scowl_edge.model.profile import (
    EMPTY,
    HOUR_MS,
    NANO,
    QUANTA_PER_J,
    ProfileError,
    Segment,
    Timeline,
    constant,
    flat,
    layered,
    of_elements,
    ramp,
    total,
)
from scowl_edge.model.profile_picture import picture
from scowl_edge.model.profile_slots import compare, from_slots, slot_means

POWER = st.integers(-20_000, 20_000)
TIME = st.integers(-50, 250)


@st.composite
def timelines(draw: st.DrawFn, step_ms: int = 1) -> Timeline:
    """Up to six stretches, with gaps, jumps and ramps; odd slopes where `step_ms` is large."""
    pieces, at = [], draw(st.integers(-20, 20))
    for _ in range(draw(st.integers(0, 6))):
        at += draw(st.integers(0, 9)) * draw(st.integers(0, 1))
        length = draw(st.integers(1, 40))
        begin = draw(POWER)
        end = draw(st.one_of(st.just(begin), POWER))
        pieces += ramp(at * step_ms, length * step_ms, begin, end).segments
        at += length
    return Timeline(tuple(pieces))


def nw(timeline: Timeline, at_ms: int) -> int | None:
    """Power at a ms in nW, by looking at every segment."""
    return next((s.at_nw(at_ms) for s in timeline.segments if s.start_ms <= at_ms < s.end_ms), None)


def reached(timeline: Timeline) -> list[tuple[int, int, int]]:
    """(start, begin, end) of every ms of it, in nW: the end is what it reaches, before any jump."""
    return [(t, s.at_nw(t), s.at_nw(t + 1)) for s in timeline.segments for t in range(s.start_ms, s.end_ms)]


@settings(deadline=None)
@given(timelines(7), timelines(7), timelines(7))
def test_sums_commute_and_associate_exactly_and_add_their_energies(a: Timeline, b: Timeline, c: Timeline) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c) == total((c, a, b))
    assert (a + b).energy_quanta() == a.energy_quanta() + b.energy_quanta()
    assert a + EMPTY == a


@settings(deadline=None)
@given(timelines(), timelines(), TIME)
def test_a_sum_is_that_of_the_moments(a: Timeline, b: Timeline, at: int) -> None:
    one, two = nw(a, at), nw(b, at)
    assert nw(a + b, at) == (None if one is None and two is None else (one or 0) + (two or 0))


@settings(deadline=None)
@given(timelines(5), timelines(5))
def test_taking_away_what_was_added_leaves_the_same_where_it_was_defined(a: Timeline, b: Timeline) -> None:
    rest = (a + b) - b
    for start, end in a.spans():
        assert rest.clip(start, end) == a.clip(start, end)
    assert (rest - a).energy_quanta() == 0
    assert EMPTY - (EMPTY - a) == a


@settings(deadline=None)
@given(timelines(3), st.integers(-(10**13), 10**13))
def test_a_shift_keeps_the_energy_and_goes_back(a: Timeline, by: int) -> None:
    moved = a.shift(by)
    assert moved.energy_quanta() == a.energy_quanta()
    assert moved.shift(-by) == a
    if a:
        assert (moved.start_ms, moved.end_ms) == (a.start_ms + by, a.end_ms + by)


@settings(deadline=None)
@given(timelines(), TIME, TIME)
def test_a_clip_in_time_keeps_what_lies_inside(a: Timeline, start: int, end: int) -> None:
    part = a.clip(start, end)
    assert part.energy_quanta() == a.energy_quanta(start, end)
    for t in range(-50, 260):
        assert nw(part, t) == (nw(a, t) if start <= t < end else None)
    assert a.clip(None, start).over(a.clip(start, None)) == a


@settings(deadline=None)
@given(timelines(), timelines(), timelines())
def test_within_stays_within_and_changes_nothing_that_was(a: Timeline, b: Timeline, c: Timeline) -> None:
    held = a.within(lower=b, upper=c)
    assert held.spans() == a.spans()
    uppers = {t: (begin, end) for t, begin, end in reached(c)}
    lowers = {t: (begin, end) for t, begin, end in reached(b)}
    was = {t: (begin, end) for t, begin, end in reached(a)}
    for t, begin, end in reached(held):
        if t in uppers:
            assert begin <= uppers[t][0] and end <= uppers[t][1]
        if t in lowers and t not in uppers:
            assert begin >= lowers[t][0] and end >= lowers[t][1]
        wanted = [max(x, lowers[t][i]) if t in lowers else x for i, x in enumerate(was[t])]
        assert [begin, end] == [min(x, uppers[t][i]) if t in uppers else x for i, x in enumerate(wanted)]
    assert held.within(lower=b, upper=c) == held


@settings(deadline=None)
@given(timelines(11), POWER, st.integers(0, 9_000))
def test_within_watts_bounds_the_extremes(a: Timeline, low: int, width: int) -> None:
    held = a.within(lower=constant(low), upper=constant(low + width))
    if a:
        assert low <= (held.min_w() or 0) <= (held.max_w() or 0) <= low + width


@settings(deadline=None)
@given(timelines(), timelines(), timelines(), TIME)
def test_of_layers_the_first_that_says_something_counts(a: Timeline, b: Timeline, c: Timeline, at: int) -> None:
    merged = layered((a, b, c))
    said = [x for x in (nw(a, at), nw(b, at), nw(c, at)) if x is not None]
    assert nw(merged, at) == (said[0] if said else None)
    assert a.over(b.over(c)) == merged == (a.over(b)).over(c)
    assert a.over(a) == a.over(EMPTY) == EMPTY.over(a) == a


@settings(deadline=None)
@given(timelines(13), st.integers(1, 200), st.integers(-100, 100))
def test_slots_keep_the_energy_to_half_a_watt_of_one_slot(a: Timeline, slot_ms: int, start: int) -> None:
    means = slot_means(a, start_ms=start, slot_ms=slot_ms, count=30)
    slots = from_slots(means, start_ms=start, slot_ms=slot_ms)
    for i in range(31):
        end = start + i * slot_ms
        assert abs(slots.energy_quanta(start, end) - a.energy_quanta(start, end)) <= NANO * slot_ms
    for i, mean in enumerate(means):
        assert (mean is None) == (not a.clip(start + i * slot_ms, start + (i + 1) * slot_ms))


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), POWER), max_size=20), st.integers(1, 900_000), st.integers(0, 2**41))
def test_slots_make_a_round_trip(powers: list[int | None], slot_ms: int, start: int) -> None:
    there = from_slots(powers, start_ms=start, slot_ms=slot_ms)
    assert slot_means(there, start_ms=start, slot_ms=slot_ms, count=len(powers)) == tuple(powers)


@settings(deadline=None)
@given(timelines(1_000_003))
def test_a_timeline_goes_through_the_codec(a: Timeline) -> None:
    assert decode(Timeline, encode(a)) == a


@settings(deadline=None)
@given(POWER, POWER, st.integers(1, 86_400_000), st.integers(0, 2**41))
def test_a_ramp_has_its_ends_and_the_energy_of_a_trapezium(begin: int, end: int, length: int, start: int) -> None:
    (segment,) = ramp(start, length, begin, end).segments
    assert (segment.begin_w, segment.end_w) == (begin, end)
    trapezium = (begin + end) * length * NANO
    assert abs(segment.quanta(segment.start_ms, segment.end_ms) - trapezium) <= 2 * length


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90_000), POWER), min_size=1, max_size=9), st.integers(0, 2**41))
def test_elements_run_one_after_the_other(parts: list[tuple[int, int]], start: int) -> None:
    elements = [Element(dur_s=s, p_nom_w=w, p_min_w=w - 5, p_max_w=w + 5) for s, w in parts]
    timeline = of_elements(elements, start)
    assert timeline.spans() == ((start, start + 1_000 * sum(s for s, _ in parts)),)
    assert timeline.energy_quanta() == sum(s * w for s, w in parts) * QUANTA_PER_J
    raised = of_elements(elements, start, [e.p_max_w for e in elements])
    assert raised - timeline == from_slots([5], start_ms=start, slot_ms=timeline.end_ms - start)


@settings(deadline=None)
@given(timelines(60_000), timelines(60_000))
def test_a_comparison_counts_only_slots_that_are_known(expected: Timeline, measured: Timeline) -> None:
    slot_ms, count = 300_000, 50
    found = compare(expected, measured, start_ms=0, slot_ms=slot_ms, count=count, tolerance_w=50)
    starts = {slot.start_ms for slot in found.slots}
    assert not starts & set(found.missing_ms)
    error = 0
    for i in range(count):
        start, end = i * slot_ms, (i + 1) * slot_ms
        if expected.covers(start, end) and measured.covers(start, end):
            error += measured.energy_quanta(start, end) - expected.energy_quanta(start, end)
            assert start in starts
        else:
            assert (start in found.missing_ms) == bool(expected.clip(start, end))
    assert abs(2 * (found.energy_error_j * QUANTA_PER_J - error)) <= QUANTA_PER_J
    assert found.beyond == sum(slot.beyond for slot in found.slots)
    if found.worst is not None:
        assert all(abs(slot.deviation_w) <= abs(found.worst.deviation_w) for slot in found.slots)


def test_a_tolerance_is_watts_or_a_share_whichever_is_more() -> None:
    expected = from_slots([1_000, 10_000, 100], start_ms=0, slot_ms=1_000)
    measured = from_slots([1_060, 10_900, 151], start_ms=0, slot_ms=1_000)
    found = compare(expected, measured, start_ms=0, slot_ms=1_000, count=3, tolerance_w=50, tolerance_ppm=100_000)
    assert [slot.beyond for slot in found.slots] == [False, False, True]
    assert found.worst is not None and found.worst.deviation_w == 900
    assert found.energy_error_j == 60 + 900 + 51


def test_nothing_is_not_zero() -> None:
    zero = flat(0, 10, 0)
    assert not EMPTY and zero and zero != EMPTY
    assert (EMPTY.power_w(0), zero.power_w(0), zero.power_w(10)) == (None, 0, None)
    assert (EMPTY.max_w(), EMPTY.min_w(), EMPTY.mean_w(0, 10)) == (None, None, None)
    assert zero.mean_w(0, 20) == 0
    with pytest.raises(ProfileError, match="empty timeline"):
        _ = EMPTY.start_ms


@settings(deadline=None)
@given(timelines(2), TIME)
def test_power_at_a_moment_is_found(a: Timeline, at: int) -> None:
    there = nw(a, at)
    assert a.power_w(at) == (None if there is None else (2 * there + NANO) // (2 * NANO))


def test_equal_courses_are_equal_however_they_were_cut() -> None:
    whole = ramp(0, 1_000, 0, 500)
    pieces = Timeline(tuple(s for a in range(0, 1_000, 125) for s in whole.clip(a, a + 125).segments))
    assert pieces == whole
    assert len(pieces.segments) == 1
    assert flat(0, 5, 7).over(flat(5, 5, 7)) == flat(0, 10, 7)


def test_what_makes_no_timeline_is_refused() -> None:
    one, two = Segment(start_ms=0, length_ms=10, begin_nw=0), Segment(start_ms=9, length_ms=1, begin_nw=0)
    with pytest.raises(ProfileError, match="begins before the one before it ends, at 10 ms"):
        Timeline((one, two))
    with pytest.raises(ProfileError, match="at least 1 ms"):
        flat(0, 0, 5)
    with pytest.raises(ProfileError, match="join two"):
        ramp(0, 10**9 + 1, 0, 1)
    with pytest.raises(ProfileError, match="1 setpoints for 2 elements"):
        of_elements([Element(dur_s=1, p_nom_w=1, p_min_w=1, p_max_w=1)] * 2, 0, [3])
    with pytest.raises(ProfileError, match="slots of 0 ms"):
        slot_means(EMPTY, start_ms=0, slot_ms=0, count=1)


@settings(deadline=None)
@given(timelines(HOUR_MS), st.integers(1, 80), st.integers(2, 20))
def test_a_picture_has_the_size_that_was_asked_for(a: Timeline, width: int, height: int) -> None:
    lines = picture(a, width=width, height=height).splitlines()
    if not a:
        assert lines == ["nothing"]
        return
    assert len(lines) == (1 if a.max_w() == a.min_w() == 0 else height + 1)
    assert all(len(line.split("|", 1)[1]) <= width for line in lines)


@pytest.mark.parametrize("module", [profile, profile_slots, profile_picture])
def test_examples_in_docstrings_are_true(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
