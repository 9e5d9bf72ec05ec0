"""Wind, sun, trips and ramps: within ratings at all times, as likely as asked for, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.tracker.population import weather
from scowl_edge.tracker.population.census import Fleet, Plant, draw_fleet
from scowl_edge.tracker.population.weather import Climate, Weather

FLEET = draw_fleet(60, 3_000_000, 5)
ALL_ON = np.ones(60, np.uint8)


def full(fleet: Fleet) -> np.ndarray:
    return fleet.rated.copy()


def alone(plant: Plant, rated: int = 1_000) -> Fleet:
    return Fleet(np.asarray([rated], np.int64), np.asarray([plant], np.uint8))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(-(2**63), 2**63),
    tick=st.integers(0, 2**40),
    minute=st.integers(-5_000, 5_000),
    step=st.sampled_from([0, 60, 50_000]),
    aims=st.lists(st.integers(-(2**40), 2**40), min_size=60, max_size=60),
)
def test_no_output_is_below_nothing_or_above_the_rating(
    seed: int, tick: int, minute: int, step: int, aims: list[int]
) -> None:
    law = Climate(wind_step_mm_s=step, trip_ticks=3, repair_ticks=2, ramp_ppm=400_000)
    state = weather.begin(FLEET, seed, climate=law)
    online = np.asarray([a & 1 for a in aims], np.uint8)
    for t in range(5):
        gives = weather.outputs(FLEET, state, seed, tick + t, minute + t, np.asarray(aims), online, law)
        assert gives.dtype == np.int64
        assert ((gives >= 0) & (gives <= FLEET.rated)).all()
        assert not gives[state.down_ticks > 0].any()
        running = (FLEET.plant == Plant.CONTINUOUS) & (gives > 0)
        assert (gives[running] >= FLEET.rated[running] * 400_000 // 1_000_000).all()


def test_the_same_seed_gives_the_same_years_and_another_seed_does_not() -> None:
    def story(seed: int) -> np.ndarray:
        state = weather.begin(FLEET, seed)
        law = Climate(trip_ticks=200, repair_ticks=5)
        return np.asarray(
            [weather.outputs(FLEET, state, seed, t, 600 + t, full(FLEET), ALL_ON, law) for t in range(30)]
        )

    assert np.array_equal(story(4), story(4))
    assert not np.array_equal(story(4), story(5))
    # Neighbouring seeds must not be the same story one tick later.
    assert not np.array_equal(story(4)[1:], story(5)[:-1])


def test_a_step_is_a_function_of_the_state() -> None:
    state = weather.begin(FLEET, 1)
    for t in range(10):
        weather.outputs(FLEET, state, 1, t, 700, full(FLEET), ALL_ON)
    kept = Weather(*(column.copy() for column in state))
    one = weather.outputs(FLEET, state, 1, 10, 700, full(FLEET), ALL_ON)
    assert np.array_equal(one, weather.outputs(FLEET, kept, 1, 10, 700, full(FLEET), ALL_ON))


def test_the_power_of_the_wind_is_its_cube_between_cut_in_and_rated_and_nothing_in_a_storm() -> None:
    law = Climate()
    speeds = np.asarray([0, 2_999, 3_000, 7_500, 12_000, 24_999, 25_000, 30_000])
    middle = (7.5**3 - 27) / (12**3 - 27) * 1e6
    expected = [0, 0, 0, middle, 1_000_000, 1_000_000, 0, 0]
    assert weather.wind_share_ppm(speeds, law) == pytest.approx(expected, abs=1)
    rising = weather.wind_share_ppm(np.arange(3_000, 12_000), law)
    assert (np.diff(rising) >= 0).all()


def test_wind_walks_about_its_mean_within_bounds_each_zone_for_itself() -> None:
    state = weather.begin(FLEET, 3, zones=50)
    law = Climate(trip_ticks=0, wind_step_mm_s=200, wind_return_ppm=5_000)
    seen = []
    for t in range(3_000):
        weather.outputs(FLEET, state, 3, t, 0, full(FLEET), ALL_ON, law)
        seen.append(state.wind_mm_s.copy())
    wind = np.asarray(seen)[500:]
    assert wind.min() >= 0
    assert wind.max() <= 30_000
    # The stationary spread of the walk: (step / sqrt 3) / sqrt(2 return).
    sigma = 200 / np.sqrt(3) / np.sqrt(2 * 0.005)
    assert wind.std() == pytest.approx(sigma, rel=0.1)
    assert wind.mean() == pytest.approx(8_500, abs=4 * sigma / np.sqrt(50 * 2_500 * 0.005 / 2))
    assert np.abs(np.diff(wind, axis=0)).max() <= 200 + 0.005 * 30_000
    assert abs(np.corrcoef(wind[:, 0], wind[:, 1])[0, 1]) < 0.8
    assert not np.array_equal(wind[:, 0], wind[:, 1])


def test_the_sun_is_a_half_wave_from_rise_to_set() -> None:
    law = Climate(sunrise_minute=360, sunset_minute=1_080)
    for minute in range(0, 1_440, 7):
        x = (minute - 360) / 720
        expected = 1e6 * np.sin(np.pi * x) if 0 <= x <= 1 else 0
        assert weather.sun_share_ppm(minute, law) == pytest.approx(expected, abs=2_000)
    assert weather.sun_share_ppm(720 + 1_440 * 3, law) == 1_000_000
    assert weather.sun_share_ppm(-720, law) == 1_000_000


def test_clouds_take_their_share_and_night_takes_all() -> None:
    panels = alone(Plant.SUN)
    law = Climate(trip_ticks=0, cloud_step_ppm=0, cloud_return_ppm=0)
    state = weather.begin(panels, 1, zones=1, climate=law)
    for cloud, expected in ((0, 1_000), (400_000, 700), (1_000_000, 250)):
        state.cloud_ppm[:] = cloud
        assert weather.outputs(panels, state, 1, 1, 780, full(panels), ALL_ON[:1], law).tolist() == [expected]
    assert weather.outputs(panels, state, 1, 1, 60, full(panels), ALL_ON[:1], law).tolist() == [0]


def test_outages_are_as_frequent_and_as_long_as_asked_for() -> None:
    fleet = draw_fleet(2_000, 10_000_000, 1)
    law = Climate(trip_ticks=500, repair_ticks=40)
    state = weather.begin(fleet, 9)
    down, begun, before = [], 0, np.zeros(2_000, bool)
    for t in range(600):
        gives = weather.outputs(fleet, state, 9, t, 720, full(fleet), np.ones(2_000, np.uint8), law)
        out = state.down_ticks > 0
        assert not gives[out].any()
        begun += int((out & ~before).sum())
        before = out.copy()
        down.append(out.mean())
    in_service = 1 - np.mean(down)
    assert begun == pytest.approx(2_000 * 600 * in_service / 500, rel=0.08)
    assert np.mean(down[200:]) == pytest.approx(40 / (500 + 40), rel=0.1)


def test_a_continuous_plant_keeps_to_its_ramp_and_its_stable_minimum() -> None:
    plant = alone(Plant.CONTINUOUS, 10_000)
    law = Climate(trip_ticks=0, ramp_ppm=20_000)
    state = weather.begin(plant, 1, climate=law)

    def follow(aim: int, ticks: int) -> list[int]:
        return [
            int(weather.outputs(plant, state, 1, t, 0, np.asarray([aim]), ALL_ON[:1], law)[0]) for t in range(ticks)
        ]

    assert follow(9_500, 4) == [9_800, 9_600, 9_500, 9_500]
    assert follow(1_000, 60)[-1] == 4_000, "between standing still and the minimum there is nothing"
    assert follow(0, 2) == [0, 0]
    assert follow(9_000, 3) == [4_000, 4_200, 4_400]
    assert follow(99_999, 60)[-1] == 10_000
    state.down_ticks[:] = 3
    assert follow(10_000, 4) == [0, 0, 4_000, 4_200], "after an outage it begins anew"


def test_a_fixed_plant_is_on_or_off() -> None:
    plant = alone(Plant.FIXED)
    law = Climate(trip_ticks=0)
    state = weather.begin(plant, 1)
    for on, expected in ((1, 1_000), (0, 0)):
        got = weather.outputs(plant, state, 1, 1, 0, np.asarray([7]), np.asarray([on], np.uint8), law)
        assert got.tolist() == [expected]


def test_the_day_of_demand_is_smooth_and_leaves_the_mean_of_consumers_as_it_is() -> None:
    day = np.asarray([weather.day_factors(minute) for minute in range(1_440)])
    assert day.shape == (1_440, 5)
    assert day[:, :4].mean(axis=0) == pytest.approx([1e6] * 4, rel=0.005)
    assert (day >= 0).all()
    assert day.max() <= 4_000_000
    assert np.abs(np.diff(day, axis=0, append=day[:1])).max() < 12_000
    assert day[:300, 4].max() == 0
    assert np.array_equal(weather.day_factors(1_440 + 65), day[65])
