"""Plausibility with memory: what is too fast, what does not move; in blocks of Modbus and in pieces of OPC-UA."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_site import point

from scowl_edge.devices.declaration import Counter, ModbusPoint, OpcuaPoint
from scowl_edge.drivers.plausible import Judge
from scowl_edge.model.command import WriteClass
from scowl_edge.model.signal import Cause, Quality, Reading

Seen = tuple[float, Quality, Cause]
GOOD = (Quality.GOOD, Cause.NONE)
FAST = (Quality.BAD, Cause.IMPLAUSIBLE)
STILL = (Quality.UNCERTAIN, Cause.STUCK)


def reading(points: list[int], values: list[float], asked_ms: int, heard_ms: int = -1) -> Reading:
    """What a decoder hands over: NaN came as a sentinel."""
    nan = np.isnan(values)
    return Reading(
        np.array(points, np.int32),
        np.array(values, np.float64),
        np.where(nan, Quality.BAD, Quality.GOOD).astype(np.uint8),
        np.where(nan, Cause.SENTINEL, Cause.NONE).astype(np.uint8),
        asked_ms,
        asked_ms if heard_ms < 0 else heard_ms,
    )


def seen(found: Reading) -> dict[int, Seen]:
    rows = zip(found.points.tolist(), found.values.tolist(), found.quality, found.causes, strict=True)
    return {p: (v, Quality(q), Cause(c)) for p, v, q, c in rows}


def judged(*points: ModbusPoint | OpcuaPoint, first: int = 40) -> Judge:
    judge = Judge.of(points, range(first, first + len(points)))
    assert judge is not None
    return judge


def story(judge: Judge, *moments: tuple[int, float], index: int = 40) -> list[Seen]:
    """One point through (time in ms, value) after each other."""
    return [seen(judge.look(reading([index], [value], at)))[index] for at, value in moments]


def kinds(rows: list[Seen]) -> list[tuple[Quality, Cause]]:
    return [(quality, cause) for _, quality, cause in rows]


def test_points_without_a_memory_need_no_judge() -> None:
    assert Judge.of([point("a", 0, low=0.0, high=5.0), point("b", 1)], [1, 2]) is None


def test_a_jump_is_doubted_once_and_taken_when_the_next_agrees() -> None:
    judge = judged(point("p", 0, "float32", max_change=2.0, to_base=1000.0))
    rows = story(judge, (0, 5000), (1000, 6000), (2000, 9000), (3000, 9500), (4000, 9600))
    assert kinds(rows) == [GOOD, GOOD, FAST, GOOD, GOOD]
    assert math.isnan(rows[2][0])
    assert [rows[n][0] for n in (0, 1, 3, 4)] == [5000, 6000, 9500, 9600]


def test_a_spike_is_gone_with_the_next_reading() -> None:
    judge = judged(point("p", 0, "float32", max_change=1.0))
    rows = story(judge, (0, 10), (1000, 900), (2000, 11), (3000, 900), (4000, -900), (5000, 12))
    assert kinds(rows) == [GOOD, FAST, GOOD, FAST, FAST, GOOD]


def test_time_unread_widens_what_is_allowed_and_so_does_the_way_of_a_request() -> None:
    judge = judged(point("p", 0, "float32", max_change=1.0))
    assert kinds(story(judge, (0, 0), (10_000, 10))) == [GOOD, GOOD]
    late = judge.look(reading([40], [11.5], 11_000, 11_500))
    assert seen(late)[40][1:] == GOOD


def test_one_count_is_never_too_fast_and_a_scale_factor_says_what_a_count_is() -> None:
    judge = judged(point("p", 0, "int16", scale=100.0, max_change=1.0))
    assert kinds(story(judge, (0, 0), (100, 100), (200, 300))) == [GOOD, GOOD, FAST]
    scaled = judged(point("v", 0, "int16", scale_factor="sf", max_change=1.0), point("sf", 1, "int16"))
    for at, value, exponent, kind in ((0, 7.0, 0.0, GOOD), (1000, 10.0, 1.0, GOOD), (2000, 40.0, 1.0, FAST)):
        assert seen(scaled.look(reading([40, 41], [value, exponent], at)))[40][1:] == kind


def test_what_is_not_available_never_enters_the_memory() -> None:
    judge = judged(point("p", 0, "float32", max_change=1.0, stuck_after_ms=5000))
    rows = story(judge, (0, 3), (1000, math.nan), (2000, math.nan), (3000, 3), (6000, 3))
    assert kinds(rows) == [GOOD, (Quality.BAD, Cause.SENTINEL), (Quality.BAD, Cause.SENTINEL), GOOD, STILL]


def test_a_value_that_stands_still_is_doubted_until_it_moves() -> None:
    judge = judged(point("p", 0, "float32", stuck_after_ms=3000), point("q", 2, "float32"))
    rows = story(judge, (0, 1), (3000, 1), (3001, 1), (4000, 1), (5000, 1.5), (8000, 1.5), (8001, 1.5))
    assert kinds(rows) == [GOOD, GOOD, STILL, STILL, GOOD, GOOD, STILL]
    assert [row[0] for row in rows] == [1, 1, 1, 1, 1.5, 1.5, 1.5]


def test_a_spike_does_not_count_as_a_move() -> None:
    judge = judged(point("p", 0, "float32", stuck_after_ms=3000, max_change=1.0))
    assert kinds(story(judge, (0, 1), (2000, 99), (3500, 1))) == [GOOD, FAST, STILL]


def test_nothing_is_copied_where_nothing_changes() -> None:
    judge = judged(
        point("p", 0, "float32", max_change=1.0), point("c", 1, counter=Counter(wraps_at=0)), point("plain", 2)
    )
    for at in range(5):
        given = reading([40, 41, 42], [at / 10, 100 + at, 7.0], at * 1000)
        assert judge.look(given) is given
    other = reading([42, 7], [1.0, 2.0], 9000)
    assert judge.look(other) is other
    spiked = reading([40, 41, 42], [500.0, 105, 7.0], 6000)
    found = judge.look(spiked)
    assert found is not spiked and spiked.values[0] == 500.0
    assert seen(found)[40][1:] == FAST
    assert (seen(found)[41], seen(found)[42]) == ((105.0, *GOOD), (7.0, *GOOD))


def test_points_of_opcua_come_in_any_order_alone_and_twice() -> None:
    opcua = OpcuaPoint(
        name="o",
        node="i=5",
        type="",
        index=-1,
        method="",
        scale=1.0,
        offset=0.0,
        nan=(),
        unit="",
        to_base=1.0,
        base_unit="",
        access="r",
        write_class=WriteClass.VOLATILE,
        fresh_for_ms=1,
        hold_for_ms=1,
        low=None,
        high=None,
        max_change=1.0,
    )
    judge = Judge.of([opcua, opcua], [9, 3])
    assert judge is not None
    judge.look(reading([3, 9], [100.0, 5.0], 0))
    assert seen(judge.look(reading([3], [101.0], 1000)))[3][1:] == GOOD
    unasked = reading([77, 9, 9, 3], [0.0, 50.0, 50.0, 0.0], 0, 2000)
    found = judge.look(unasked)
    assert found.causes.tolist() == [Cause.NONE, Cause.IMPLAUSIBLE, Cause.NONE, Cause.IMPLAUSIBLE]
    assert found.values[2] == 50.0


TYPES = st.sampled_from(["float32", "float64", "int32"])
STEPS = st.tuples(
    st.integers(0, 3000),
    st.integers(0, 400),
    st.one_of(st.just(math.nan), st.floats(-50, 50), st.sampled_from([0.0, 1.0, 1000.0])),
)


@settings(deadline=None, max_examples=200)
@given(TYPES, st.lists(STEPS, min_size=2, max_size=40))
def test_nothing_implausible_is_ever_good_and_nothing_plausible_ever_bad(
    type_: str, steps: list[tuple[int, int, float]]
) -> None:
    judge = judged(point("p", 0, type_, max_change=4.0))
    count = 1.0 if type_ == "int32" else 0.0
    believed: tuple[float, int] | None = None
    doubted: tuple[float, int] | None = None
    now = 0

    def reaches(before: tuple[float, int] | None, value: float, heard: int, spare: float) -> bool:
        if before is None:
            return False
        return abs(value - before[0]) <= 4.0 * max(heard - before[1], 1) / 1000 + count + spare

    for pause, way, drawn in steps:
        now += pause
        value = drawn if math.isnan(drawn) else float(round(drawn)) if type_ == "int32" else float(np.float32(drawn))
        asked, now = now, now + way
        found, quality, cause = seen(judge.look(reading([40], [value], asked, now)))[40]
        if math.isnan(value):
            assert (quality, cause) == (Quality.BAD, Cause.SENTINEL)
        elif quality == Quality.GOOD:
            assert found == value
            spare = 1e-6 * abs(value)
            assert believed is None or reaches(believed, value, now, spare) or reaches(doubted, value, now, spare)
            believed, doubted = (value, asked), None
        else:
            assert cause == Cause.IMPLAUSIBLE
            # On the very edge rounding decides, either way.
            assert not reaches(believed, value, now, -1e-6 * abs(value))
            assert not reaches(doubted, value, now, 0.0)
            doubted = (value, asked)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_block_is_judged_as_its_points_are_one_by_one(data: st.DataObject) -> None:
    points = [
        point("a", 0, "float32", max_change=4.0),
        point("plain", 2, "float32"),
        point("b", 4, "int32", max_change=9.0, stuck_after_ms=2500),
        point("c", 6, "uint32", max_change=9.0, counter=Counter(wraps_at=1000)),
        point("d", 8, "float32", stuck_after_ms=1500),
    ]
    whole = judged(*points)
    alone = [Judge.of([p], [40 + n]) for n, p in enumerate(points)]
    shuffled = judged(*points)
    now = 0
    for drawn in data.draw(
        st.lists(
            st.lists(
                st.one_of(st.just(math.nan), st.integers(-3, 30).map(float), st.just(990.0)), min_size=5, max_size=5
            ),
            max_size=12,
        )
    ):
        now += 700
        expected = {}
        for n, judge in enumerate(alone):
            given = reading([40 + n], [drawn[n]], now)
            expected |= seen(judge.look(given) if judge is not None else given)
        order = data.draw(st.permutations(range(5)))
        pieces = [[40 + n for n in order[:2]], [40 + n for n in order[2:]]]
        found = [seen(whole.look(reading([40, 41, 42, 43, 44], drawn, now)))]
        parts = [seen(shuffled.look(reading(piece, [drawn[p - 40] for p in piece], now))) for piece in pieces]
        found.append(parts[0] | parts[1])
        for rows in found:
            assert {p: str(row) for p, row in rows.items()} == {p: str(row) for p, row in expected.items()}
