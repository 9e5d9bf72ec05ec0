"""Plants: by effect per cost, within ramps and minimum times, looking ahead; measured against the best in hindsight."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from population_site import uncompiled

from scowl_edge.tracker.population import dispatch, hindsight
from scowl_edge.tracker.population.census import draw_fleet
from scowl_edge.tracker.population.dispatch import (
    CONTINUOUS,
    FIXED,
    MINUTE_MS,
    STOCHASTIC,
    Plants,
    Relief,
    advance_plants,
    goal,
    lay_out_plants,
    plants_of,
)
from scowl_edge.tracker.population.hindsight import CHEAPEST, FEWEST, as_it_happens, best_course, step_of, verdict

RIDE_MS = 2_000


def some(*kinds: int, rated: tuple[int, ...] = (4_000, 2_500, 2_000, 1_000), on: int = 0) -> Plants:
    """Plants of these kinds, the first `on` of them at their minimum; later ones are smaller and dearer."""
    plants = lay_out_plants(
        np.array(kinds, np.uint8),
        np.array(rated[: len(kinds)]),
        ramp_ppm_min=200_000,
        start_ms=10 * MINUTE_MS,
        min_up_ms=30 * MINUTE_MS,
        min_down_ms=20 * MINUTE_MS,
    )
    plants.cost[:] = [10, 14, 18, 25][: len(kinds)]
    plants.idle_cost[:] = plants.rated * 4
    plants.start_cost[:] = plants.rated * 6
    plants.on[:on] = 1
    plants.output[:on] = plants.target[:on] = plants.minimum[:on]
    return plants


def recorded_day(seed: int) -> NDArray[np.int64]:
    """A demand by the minute with two peaks, its nights below what three plants give at their minimum."""
    rng = np.random.default_rng(seed)
    t = np.arange(1_440)
    base = 4_800 + 2_400 * np.sin((t / 1_440 - 0.3) * 2 * np.pi) + 1_200 * np.sin((t / 720 - 0.4) * 2 * np.pi)
    walk = np.cumsum(rng.normal(0, 30, len(t)))
    walk -= np.linspace(walk[0], walk[-1], len(t))
    return np.clip(base + walk + rng.normal(0, 40, len(t)), 700, 9_000).astype(np.int64)


def test_the_cheapest_is_raised_first_and_what_is_fast_bridges() -> None:
    plants = some(CONTINUOUS, CONTINUOUS, on=2)
    assert dispatch.raise_continuous(plants, Relief(0, 3_000), 0, RIDE_MS) == Relief(26 + 16, 3_000)
    assert plants.target.tolist() == [4_000, 950]
    # The first is at its end soon enough; the second goes beyond what the end needs, to bridge.
    again = some(CONTINUOUS, CONTINUOUS, on=2)
    again.ramp[1] = 0
    relief = dispatch.raise_continuous(again, Relief(1_000, 1_000), 0, RIDE_MS)
    assert relief == Relief(1_000, 1_000 + 1_000 - 26)
    assert again.target.tolist() == [2_200, 750 + 974]
    assert dispatch.under_way(again, 0, RIDE_MS) == relief, "counted once, as a pledge"


def test_curtailment_is_lifted_to_the_weather_and_then_there_is_no_limit() -> None:
    plants = some(STOCHASTIC, STOCHASTIC)
    plants.potential[:] = [3_000, 1_000]
    plants.output[:] = plants.target[:] = [1_000, 500]
    assert dispatch.lift_curtailment(plants, Relief(300, 300), 0, RIDE_MS) == Relief(300, 300)
    assert plants.target.tolist() == [1_300, 500]
    assert dispatch.lift_curtailment(plants, Relief(0, 9_000), 0, RIDE_MS).final == 2_200
    assert plants.target.tolist() == plants.rated.tolist()


@settings(deadline=None)
@given(
    given_w=st.lists(st.integers(0, 1 << 33), min_size=1, max_size=20), excess=st.integers(0, 1 << 36), data=st.data()
)
def test_curtailment_is_shared_in_proportion_and_adds_up(given_w: list[int], excess: int, data: st.DataObject) -> None:
    plants = lay_out_plants(np.full(len(given_w), STOCHASTIC, np.uint8), np.full(len(given_w), 1 << 33))
    plants.potential[:] = plants.output[:] = given_w
    total = sum(given_w)
    assert dispatch.curtail(plants, excess) == min(excess, total)
    less = np.array(given_w) - goal(plants)
    assert int(less.sum()) == min(excess, total)
    for part, whole in zip(less.tolist(), given_w, strict=True):
        assert total == 0 or abs(part * total - whole * min(excess, total)) <= total, "to the quantum"


def test_of_equals_the_smallest_that_covers_is_started_and_the_least_cost_first() -> None:
    plants = some(FIXED, FIXED, FIXED, FIXED)
    for column in (plants.cost, plants.idle_cost, plants.start_cost):
        column[:] = 0
    dispatch.start(plants, FIXED, Relief(0, 1_500), 0, RIDE_MS)
    assert plants.on.tolist() == [0, 0, 1, 0]
    dear = some(FIXED, FIXED, FIXED, FIXED)
    dear.start_cost[2] = 10_000_000
    dispatch.start(dear, FIXED, Relief(0, 1_500), 0, RIDE_MS)
    assert dear.on.tolist() == [0, 1, 0, 0]
    assert dispatch.start(dear, FIXED, Relief(100, 0), 0, RIDE_MS) == Relief(0, 0), "none comes in time to bridge"


def test_nothing_is_started_for_a_need_that_will_be_over_and_what_starts_slowly_is_started_ahead() -> None:
    plants = some(FIXED)
    passing = np.array([1_500] * 5 + [-100] * 55)
    assert dispatch.start(plants, FIXED, Relief(1_500, 1_500), 0, RIDE_MS, passing).final == 0
    lasting = np.array([1_500] * 60)
    assert dispatch.start(plants, FIXED, Relief(1_500, 1_500), 0, RIDE_MS, lasting).final == 4_000
    ahead = some(CONTINUOUS, CONTINUOUS, on=1)
    coming = np.concatenate((np.full(11, -100), np.full(49, 4_000)))
    assert dispatch.start_ahead(ahead, coming, 0).final == 0, "a minute later is soon enough"
    assert dispatch.start_ahead(ahead, coming[1:], 0).final == 2_500
    assert ahead.ready_at_ms[1] == 10 * MINUTE_MS


def test_a_plant_leaves_when_the_others_have_taken_over_and_not_when_it_is_needed_again() -> None:
    for needed_again in (True, False):
        plants = some(CONTINUOUS, CONTINUOUS, on=2)
        plants.output[0] = plants.target[0] = 2_000
        forecast = np.full(90, -10)
        forecast[25:] = 3_000 if needed_again else -10
        dispatch.watch(plants, 10, 0)
        held = dispatch.stop(plants, 10, 10, 0, forecast)
        assert plants.leaving.tolist() == ([0, 0] if needed_again else [0, 1])
        assert held == dispatch.reserved(plants) == (0 if needed_again else 750)
    assert plants.target.tolist() == [2_740, 750] and plants.on[1] == 1
    for minute in range(1, 3):
        advance_plants(plants, MINUTE_MS, minute * MINUTE_MS)
        present = int(plants.output.sum()) - 2_740
        dispatch.watch(plants, 750, minute * MINUTE_MS)
        dispatch.stop(plants, 750, present, minute * MINUTE_MS, forecast)
    assert plants.on.tolist() == [1, 0] and plants.switchings.tolist() == [0, 1]


def test_without_a_forecast_a_plant_goes_when_standing_by_has_cost_as_much_as_a_start() -> None:
    plants = some(FIXED, on=1)
    stopped_at = None
    for minute in range(200):
        dispatch.watch(plants, 5_000, minute * MINUTE_MS)
        dispatch.stop(plants, 5_000, 5_000, minute * MINUTE_MS)
        if plants.on[0] == 0 and stopped_at is None:
            stopped_at = minute
    assert stopped_at == 90, "start cost 6, stand-by 4 an hour"


@given(seed=st.integers(0, 30), look=st.sampled_from([0, 15, 60]))
@settings(max_examples=6, deadline=None)
def test_minimum_times_ramps_and_ratings_hold_in_any_course(seed: int, look: int) -> None:
    plants = some(CONTINUOUS, CONTINUOUS, CONTINUOUS, FIXED, on=3)
    rng = np.random.default_rng(seed)
    demand = np.clip(np.cumsum(rng.normal(0, 400, 400)) + 4_000, 0, 10_000).astype(np.int64)
    course = as_it_happens(plants, demand, look)
    for p in range(4):
        edges = np.flatnonzero(np.diff(course.online[:, p].astype(np.int8))) + 1
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            # Off begins with the order; on ends with it, and begins at the end of the minute in which a start is over.
            least = 30 if course.online[begin, p] else 20 + 10 - 1
            assert end - begin >= least, f"plant {p}: {begin}..{end}"
    assert (plants.output <= plants.rated).all() and (plants.output >= 0).all()
    running = plants.output > 0
    assert (plants.output[running] >= plants.minimum[running]).all()


@pytest.mark.parametrize("seed", range(2))
def test_it_switches_hardly_more_often_than_the_best_in_hindsight(seed: int) -> None:
    plants = some(CONTINUOUS, CONTINUOUS, CONTINUOUS, FIXED, on=3)
    demand = recorded_day(seed)
    worst = demand.reshape(-1, 20).max(axis=1)
    fewest = best_course(plants, worst, 20 * MINUTE_MS, FEWEST)
    cheapest = best_course(plants, worst, 20 * MINUTE_MS, CHEAPEST)
    assert fewest.unserved == fewest.spilled == cheapest.unserved == cheapest.spilled == 0
    assert 0 < fewest.switchings <= cheapest.switchings and cheapest.cost <= fewest.cost
    for look in (0, 60):
        copy = Plants._make(column.copy() for column in plants)
        course = as_it_happens(copy, demand, look)
        assert course.switchings <= cheapest.switchings + 4
        assert course.switchings <= 2 * fewest.switchings + 2
        assert course.unserved * 1_000 < int(demand.sum()), "what a minute's ramp leaves"
        assert course.cost * 100 < cheapest.cost * 110
    assert "fewest switchings in hindsight" in verdict(plants, demand, step_minutes=20, look_minutes=(60,))


def test_the_best_course_is_the_best_of_all_courses() -> None:
    plants = some(CONTINUOUS, FIXED, rated=(100, 60), on=1)
    plants.start_ms[:] = [10 * MINUTE_MS, 0]
    plants.min_up_ms[:] = 20 * MINUTE_MS
    plants.min_down_ms[:] = [20 * MINUTE_MS, 10 * MINUTE_MS]
    demand = np.array([40, 110, 150, 20, 10, 90, 130])
    step_ms = 10 * MINUTE_MS
    for weights in (FEWEST, CHEAPEST):
        least = None
        for bits in product((0, 1), repeat=2 * len(demand)):
            worth = course_worth(plants, np.array(bits).reshape(-1, 2), demand, step_ms, weights)
            least = worth if least is None or (worth is not None and worth < least) else least
        course = best_course(plants, demand, step_ms, weights)
        found = (
            course.unserved * weights.unserved
            + course.spilled * weights.spilled
            + course.switchings * weights.switching
            + course.cost * weights.cost
        )
        assert found == least


def course_worth(
    plants: Plants, online: NDArray[np.int64], demand: NDArray[np.int64], step_ms: int, weights: hindsight.Weights
) -> int | None:
    """What a course is worth by going through it, or None if the minimum times forbid it."""
    worth = 0
    for p in range(online.shape[1]):
        down, up = int(plants.min_down_ms[p]) // step_ms, int(plants.min_up_ms[p]) // step_ms
        starting = int(plants.start_ms[p]) // step_ms
        state, since = int(plants.on[p]), -10_000
        for t in range(len(online)):
            if online[t, p] == state:
                continue
            # Coming online at t, it was ordered on a start earlier, after its rest.
            if t - since < (up if state else down + starting) or (not state and t - starting < 0):
                return None
            worth += weights.switching + (0 if state else int(plants.start_cost[p]) * weights.cost)
            state, since = 1 - state, t
    for t in range(len(demand)):
        unserved, spilled, money = step_of(plants, online[t] == 1, demand[t : t + 1], step_ms)
        worth += int(unserved[0]) * weights.unserved + int(spilled[0]) * weights.spilled + int(money[0]) * weights.cost
    return worth


def test_the_program_is_the_same_uncompiled() -> None:
    plants = some(CONTINUOUS, FIXED, on=1)
    demand = recorded_day(7)[::60]
    plain: Any = uncompiled("hindsight")
    one = best_course(plants, demand, 30 * MINUTE_MS, CHEAPEST)
    other = plain.best_course(plants, demand, 30 * MINUTE_MS, CHEAPEST)
    assert np.array_equal(one.online, other.online) and one.cost == other.cost


def test_too_many_states_are_refused() -> None:
    plants = some(CONTINUOUS, CONTINUOUS, CONTINUOUS, FIXED)
    with pytest.raises(ValueError, match="take longer steps"):
        best_course(plants, np.zeros(10, np.int64), MINUTE_MS, FEWEST)


def test_a_drawn_fleet_has_its_plants() -> None:
    fleet = draw_fleet(50, 1_000_000, 1)
    plants = plants_of(fleet)
    assert np.array_equal(plants.rated, fleet.rated)
    assert set(plants.kind.tolist()) == {CONTINUOUS, FIXED, STOCHASTIC}
    assert (plants.on == (plants.kind == STOCHASTIC)).all()


@given(
    places=st.lists(st.tuples(st.integers(300, 1_000), st.integers(300, 1_000)), min_size=1, max_size=4),
    soon=st.integers(0, 1_500),
    final=st.integers(0, 3_000),
)
@settings(max_examples=60, deadline=None)
def test_what_raising_promises_arrives_also_from_plants_on_their_way_down(
    places: list[tuple[int, int]], soon: int, final: int
) -> None:
    plants = lay_out_plants(np.full(len(places), CONTINUOUS, np.uint8), np.full(len(places), 1_000))
    plants.ramp[:] = 100
    plants.on[:] = 1
    plants.output[:], plants.target[:] = np.array(places).T
    before = dispatch.under_way(plants, 0, RIDE_MS)
    most = plants._replace(target=plants.rated.copy())
    there_is = dispatch.under_way(most, 0, RIDE_MS)
    given_ = dispatch.raise_continuous(plants, Relief(soon, final), 0, RIDE_MS)
    after = dispatch.under_way(plants, 0, RIDE_MS)
    assert Relief(after.soon - before.soon, after.final - before.final) == given_
    assert given_.soon >= min(soon, there_is.soon - before.soon)
    assert given_.final >= min(final, there_is.final - before.final)
    assert (plants.target <= plants.rated).all()
