"""Measured power: told late, twice, out of order, corrected, with holes; the same set of facts gives the same sums."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.dsr.readings import Entered, Readings
from scowl_edge.model.exchange import Report, ReportKind, ReportSlot, SlotQuality

LATE = 10_000_000


def slot(power_w: int | None, q: SlotQuality = SlotQuality.OK) -> ReportSlot:
    return ReportSlot(p_avg_w=power_w, q=q)


def told(readings: Readings) -> list[tuple[int, int, int, bool]]:
    return list(readings.known(0, LATE))


@given(st.permutations(list(range(12))), st.sets(st.integers(0, 11)), st.lists(st.integers(0, 11), max_size=6))
@settings(max_examples=60, deadline=None)
def test_order_and_repetition_do_not_matter(order: list[int], missing: set[int], again: list[int]) -> None:
    readings = Readings()
    for n in [*order, *again]:
        power = None if n in missing else n * 100
        readings.enter(n * 60_000, 60_000, slot(power, SlotQuality.MISSING if n in missing else SlotQuality.OK), LATE)
    expected = [(n * 60_000, (n + 1) * 60_000, n * 100, False) for n in range(12) if n not in missing]
    assert told(readings) == expected
    assert readings.begins_ms == sorted(readings.by_begin)
    assert readings.counted.get(Entered.SAME, 0) == len(again)


def test_a_correction_counts_and_a_later_hole_takes_nothing_back() -> None:
    readings = Readings()
    assert readings.enter(0, 1000, slot(5), LATE) is Entered.NEW
    assert readings.enter(0, 1000, slot(7), LATE) is Entered.CORRECTED
    assert readings.enter(0, 1000, slot(None, SlotQuality.MISSING), LATE) is Entered.SAME
    assert told(readings) == [(0, 1000, 7, False)]


def test_a_bad_figure_is_a_hole_and_a_good_one_fills_it() -> None:
    readings = Readings()
    readings.enter(0, 1000, slot(99_999, SlotQuality.BAD), LATE)
    assert told(readings) == []
    assert readings.enter(0, 1000, slot(4, SlotQuality.ESTIMATED), LATE) is Entered.NEW
    assert told(readings) == [(0, 1000, 4, True)]


def test_a_mean_over_another_grid_is_left_out_and_counted() -> None:
    readings = Readings()
    readings.enter(0, 60_000, slot(10), LATE)
    assert readings.enter(30_000, 60_000, slot(10), LATE) is Entered.CONFLICTING
    assert readings.enter(0, 900_000, slot(10), LATE) is Entered.CONFLICTING
    assert told(readings) == [(0, 60_000, 10, False)]


def test_holes_give_way_to_another_grid() -> None:
    readings = Readings()
    for n in range(3):
        readings.enter(n * 60_000, 60_000, slot(None, SlotQuality.MISSING), LATE)
    assert readings.enter(0, 180_000, slot(10), LATE) is Entered.NEW
    assert told(readings) == [(0, 180_000, 10, False)]


def test_nobody_measured_the_future() -> None:
    readings = Readings()
    assert readings.enter(0, 1000, slot(1), 999) is Entered.FUTURE
    assert told(readings) == []


def test_a_forecast_is_no_measurement() -> None:
    readings = Readings()
    forecast = Report(esa_id="e", kind=ReportKind.FORECAST, start_ms=0, slot_s=1, slots=(slot(1),))
    assert readings.report(forecast, LATE) == []
    assert told(readings) == []


def test_what_is_forgotten_is_what_ended_before() -> None:
    readings = Readings()
    for n in range(4):
        readings.enter(n * 1000, 1000, slot(n), LATE)
    readings.forget(1500)
    assert readings.begins_ms == [1000, 2000, 3000]
    assert set(readings.by_begin) == {1000, 2000, 3000}
