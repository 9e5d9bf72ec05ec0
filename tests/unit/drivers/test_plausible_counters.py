"""Counters through wraps, new starts, outages and wrong numbers: what is published grows by what was really counted."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_site import point

from scowl_edge.devices.declaration import Counter
from scowl_edge.drivers.plausible import Judge
from scowl_edge.model.signal import Cause, Quality, Reading


def judge_of(wraps_at: int = 0, **changes: object) -> Judge:
    p = point("energy", 0, **{"type_": "uint32", "counter": Counter(wraps_at=wraps_at), **changes})  # type: ignore[arg-type]
    judge = Judge.of([p], [5])
    assert judge is not None
    return judge


def look(judge: Judge, value: float, asked_ms: int, heard_ms: int = -1) -> float:
    """What is published; NaN where it is BAD."""
    bad = math.isnan(value)
    given = Reading(
        np.array([5], np.int32),
        np.array([value], np.float64),
        np.array([Quality.BAD if bad else Quality.GOOD], np.uint8),
        np.array([Cause.TIMEOUT if bad else Cause.NONE], np.uint8),
        asked_ms,
        asked_ms if heard_ms < 0 else heard_ms,
    )
    found = judge.look(given)
    assert math.isnan(found.values[0]) == (found.quality[0] == Quality.BAD)
    assert found.quality[0] in (Quality.GOOD, Quality.BAD)
    assert bad or found.causes[0] == (Cause.IMPLAUSIBLE if found.quality[0] == Quality.BAD else Cause.NONE)
    return float(found.values[0])


def run(judge: Judge, *values: float, start_ms: int = 0) -> list[float | None]:
    """One value a second."""
    found = [look(judge, value, start_ms + 1000 * n) for n, value in enumerate(values)]
    return [None if math.isnan(value) else value for value in found]


def test_a_wrap_adds_its_span_at_once_where_the_rate_explains_it() -> None:
    assert run(judge_of(65536, max_change=50.0), 65500, 65530, 20, 60) == [65500, 65530, 65556, 65596]


def test_a_wrap_without_a_rate_waits_for_a_second_reading() -> None:
    assert run(judge_of(65536), 65500, 65530, 20, 60) == [65500, 65530, None, 65596]


def test_a_step_over_the_wrap_that_is_too_large_is_a_new_start() -> None:
    judge = judge_of(65536, max_change=50.0)
    assert run(judge, 30000, 20, 60, 70) == [30000, None, 30060, 30070]
    assert judge.breaks == {5: 1}


def test_a_single_low_number_changes_nothing() -> None:
    judge = judge_of()
    assert run(judge, 900, 0, 910, 455, 920) == [900, None, 910, None, 920]
    assert judge.breaks == {5: 0}


def test_zeros_for_a_while_and_back_again_are_no_energy() -> None:
    for changes in ({}, {"max_change": 20.0}):
        judge = judge_of(**changes)
        found = run(judge, 90_000, 90_010, 0, 0, 0, 90_040, 90_050)
        assert found[:5] == [90_000, 90_010, None, 90_010, 90_010]
        assert found[5] in (None, 90_040) and found[6] == 90_050


def test_a_course_left_is_forgotten_once_half_of_it_is_counted_again() -> None:
    assert run(judge_of(), 1000, 0, 10, 600, 1005) == [1000, None, 1010, 1600, 2005]


def test_a_counter_set_back_a_little_goes_on_from_where_it_was() -> None:
    judge = judge_of()
    assert run(judge, 5000, 4900, 4910, 4920) == [5000, None, 5010, 5020]
    assert judge.breaks == {5: 1}


def test_a_new_meter_that_shows_much_more_is_no_energy() -> None:
    judge = judge_of(max_change=10.0)
    assert run(judge, 500, 505, 80_000, 80_006, 80_010) == [500, 505, None, 511, 515]


def test_what_the_declaration_rules_out_is_never_believed() -> None:
    assert run(judge_of(1000, type_="int32"), 10, -3, -3, 1000, 1000, 12) == [10, None, None, None, None, 12]


def test_a_counter_of_production_falls_and_one_with_an_offset_starts_there() -> None:
    judge = judge_of(65536, scale=-1.0, max_change=50.0)
    assert run(judge, -65500, -65530, -20, -60) == [-65500, -65530, -65556, -65596]
    judge = judge_of(100, offset=7.0, max_change=50.0)
    assert run(judge, 97.0, 9.0, 27.0) == [97.0, 109.0, 127.0]


def test_a_scale_factor_that_moves_makes_no_new_start_and_no_wrap_of_its_own() -> None:
    points = [
        point("energy", 0, "uint32", counter=Counter(wraps_at=10_000), scale_factor="sf", max_change=2000.0),
        point("sf", 2, "int16"),
    ]
    judge = Judge.of(points, [5, 6])
    assert judge is not None
    published = []
    for n, (raw, exponent) in enumerate([(9876, 0), (987, 1), (988, 1), (9885, 0), (9990, 0), (10, 0), (1, 1)]):
        given = Reading(
            np.array([5, 6], np.int32),
            np.array([raw * 10.0**exponent, exponent]),
            np.zeros(2, np.uint8),
            np.zeros(2, np.uint8),
            n * 1000,
            n * 1000,
        )
        published.append(float(judge.look(given).values[0]))
    assert published == [9876, 9876, 9880, 9885, 9990, 10_010, 10_010]
    assert judge.breaks == {5: 0}


def test_a_float_that_trembles_in_its_last_digit_is_no_new_start() -> None:
    values = [float(np.float32(v)) for v in (16_777_216.0, 16_777_215.0, 16_777_218.0)]
    assert run(judge_of(type_="float32"), *values) == [16_777_216.0, 16_777_216.0, 16_777_218.0]


def test_after_a_restart_it_begins_where_the_device_is_or_goes_on_from_a_snapshot() -> None:
    before = judge_of(65536, max_change=50.0)
    assert run(before, 65500, 20, 60)[-1] == 65596
    state = json.loads(json.dumps(before.snapshot()))
    assert run(judge_of(65536, max_change=50.0), 80, 100, start_ms=9000) == [80, 100]
    after = judge_of(65536, max_change=50.0)
    after.restore(state)
    assert run(after, 80, 100, start_ms=9000) == [65616, 65636]
    rebooted = judge_of(65536, max_change=50.0)
    rebooted.restore(state, moved_ms=-2000 - 600_000)
    assert run(rebooted, 30_000, 30_010) == [95_536, 95_546]
    other = judge_of(65536)
    other.restore({"gone": {"shown": 1.0, "carry": 1.0, "breaks": 0, "heard_ms": 1}})
    assert run(other, 7) == [7] and judge_of().snapshot() == {}


@dataclass
class Meter:
    """A counter that really counts, and what a reader gets to see of it."""

    wraps_at: int
    total: int
    """Counted since it was made: the truth."""
    started: int = 0
    """The truth when it last began at 0."""
    shown: list[tuple[float, int, bool]] = field(default_factory=list)
    """(number, truth, whether the number is a wrong one) a poll."""

    @property
    def number(self) -> int:
        raw = self.total - self.started
        return raw % self.wraps_at if self.wraps_at else raw

    def poll(self, grows: int, *, wrong: float | None = None) -> None:
        self.total += grows
        self.shown.append((self.number if wrong is None else wrong, self.total, wrong is not None))


RATE = 6000
MOST = 5000
"""Counts a poll: under the rate."""
FAR = 100_000
"""What an event needs below it, and to the wrap, so that it can be told what it is."""

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["run", "run", "outage", "lost", "reset", "low", "high", "silent"]),
        st.integers(1, 40),
        st.integers(0, MOST),
        st.floats(0, 0.99),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=300)
@given(
    EVENTS,
    st.sampled_from([0, 2**20, 10**6, 2**32]),
    st.integers(0, 2**20 - 1),
    st.booleans(),
    st.integers(0, 300),
)
def test_published_increments_are_the_true_increments(
    events: list[tuple[str, int, int, float]], wraps_at: int, started: int, rated: bool, way_ms: int
) -> None:
    meter = Meter(wraps_at, started)
    meter.poll(0)
    for kind, times, grows, fraction in events:
        meter.poll(grows)
        clear = meter.number >= FAR and (not wraps_at or meter.number + FAR <= wraps_at)
        early = not wraps_at or meter.number + FAR <= wraps_at // 2
        if kind == "run":
            for _ in range(times):
                meter.poll(grows)
        elif kind == "outage":
            for _ in range(min(times, 4)):
                meter.poll(grows, wrong=math.inf)
        elif kind == "lost":
            meter.poll(grows, wrong=math.nan)
        elif kind == "reset" and clear and (rated or early):
            meter.started = meter.total
            meter.poll(grows)
            meter.poll(grows)
        elif kind == "low" and clear:
            meter.poll(grows, wrong=int(meter.number * fraction))
        elif kind == "high" and rated and clear:
            meter.poll(grows, wrong=meter.number + FAR * (0.5 + fraction / 3))
        elif kind == "silent" and clear and (rated or early):
            for _ in range(min(times, 5)):
                meter.poll(grows, wrong=0)
        meter.poll(grows)
        meter.poll(grows)
    judge = judge_of(wraps_at, type_="int64", **({"max_change": float(RATE)} if rated else {}))
    last, believed, doubts = -math.inf, 0, 0
    before = started - meter.shown[0][0]
    """Counted before the first reading, and not in it."""
    for n, (number, truth, wrong) in enumerate(meter.shown):
        if math.isinf(number):
            continue
        published = look(judge, number, n * 1000, n * 1000 + way_ms)
        if math.isnan(published):
            doubts += 1
            continue
        assert published >= last
        last = published
        if wrong:
            assert published <= truth - before
        else:
            believed += 1
            assert published == truth - before
    assert believed + doubts >= 1


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 300), st.integers(-10, 1100)), min_size=2, max_size=40),
    st.sampled_from([0, 1000]),
)
def test_whatever_comes_nothing_falls_and_nothing_grows_faster_than_it_can(
    steps: list[tuple[int, int, int]], wraps_at: int
) -> None:
    judge = judge_of(wraps_at, type_="int32", max_change=40.0)
    now = 0
    good: list[tuple[float, int]] = []
    most = math.inf
    """All that can have been counted by now."""
    for pause, way, number in steps:
        asked, now = now + pause, now + pause + way
        published = look(judge, number, asked, now)
        if math.isnan(published):
            continue
        if good:
            # A break is told by two readings, each with a count of rounding.
            grown = [40.0 * (now - since) / 1000 + 2 + 1e-6 for _, since in good]
            most += grown[-1]
            assert good[-1][0] <= published <= most
            # It grew no faster than it can since the last one, or since one before it stood still for nothing.
            assert any(published - value <= growth for (value, _), growth in zip(good, grown, strict=True))
        else:
            most = published
        good.append((published, asked))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(-10, 1100), max_size=40), st.sampled_from([0, 1000]))
def test_without_a_rate_nothing_falls_either(numbers: list[int], wraps_at: int) -> None:
    published = [value for value in run(judge_of(wraps_at, type_="int32"), *numbers) if value is not None]
    assert published == sorted(published)
