"""A day's course that is known: plants start before they are needed and stay on, and fewer go without."""

from __future__ import annotations

import numpy as np
import pytest

from scowl_edge.assembly import assemble
from scowl_edge.tracker.population import foresight, weather
from scowl_edge.tracker.population.columns import KINDS
from scowl_edge.tracker.population.dispatch import CONTINUOUS, MINUTE_MS, lay_out_plants
from scowl_edge.tracker.population.escalation import Means, Rung, climb, descend
from scowl_edge.tracker.population.population import Population

HOUR_MS = 60 * MINUTE_MS
TEXT = """
site: {{id: district}}
region: {{mode: auto}}
populations:
  town: {{consumers: 150, trees: 12, feeders: 1, seed: {seed}, supply: 200 %, stores: 0 %, deferrable: {deferrable} %,
    daily: {daily}, period: 60 s, look_ahead: {look} min}}
"""


def town(*, seed: int = 1, deferrable: int = 0, look: int = 60, daily: str = "true") -> Population:
    text = TEXT.format(seed=seed, deferrable=deferrable, look=look, daily=daily)
    return Population(assemble(text, "district.yaml").site.populations[0])


def through_the_morning(population: Population) -> tuple[int, int, int]:
    """(consumers starved, quanta unserved, quanta shed; each summed over minutes) from night until shops are open."""
    assert population.living is not None and population.supply is not None
    # Chance apart: what is left is the course of the day, and plants that take an hour to start.
    population.living.noise[:] = population.living.big_noise[:] = 0
    plants, columns, ladder = population.supply.plants, population.columns, population.supply
    plants.start_ms[plants.start_ms > 0] = 50 * MINUTE_MS
    starved, unserved, shed = 0, 0, 0
    for minute in range(3 * 60, 10 * 60):
        population.step(minute * MINUTE_MS, (), deciding=True, advisory=False)
        wanted = int(columns.block_sum.sum()) + int(columns.big_demand.sum())
        starved += int(population.standing.starved.sum())
        unserved += wanted - int(columns.tree_load.sum())
        shed += ladder.shed
    return starved, unserved, shed


@pytest.mark.parametrize(("seed", "deferrable"), [(2, 0), (6, 30)])
def test_on_a_steep_rise_fewer_starve_and_shed_with_foresight(seed: int, deferrable: int) -> None:
    blind = through_the_morning(town(seed=seed, deferrable=deferrable, look=0))
    ahead = through_the_morning(town(seed=seed, deferrable=deferrable))
    assert ahead[0] < blind[0]
    assert ahead[1] + ahead[2] < blind[1] + blind[2]


def test_what_is_ahead_is_the_course_of_the_means_and_of_the_sun() -> None:
    population = town()
    assert population.living is not None
    means = foresight.means_by_kind(population.living)
    assert int(means.sum()) == int(population.columns.block_sum.sum()) + int(population.columns.big_demand.sum())
    now_ms = 16 * HOUR_MS
    rise = foresight.rise_ahead(means, 0, 0, now_ms, 3 * HOUR_MS)
    assert len(rise) == 181 and rise[0] == 0
    only = np.zeros(len(KINDS), np.int64)
    only[0] = 1_000_000
    rise = foresight.rise_ahead(only, 0, 0, now_ms, 3 * HOUR_MS)
    assert rise[180] == int(weather.day_factors(19 * 60)[0]) - int(weather.day_factors(16 * 60)[0]) > 400_000
    none = np.zeros(len(KINDS), np.int64)
    at_dusk = foresight.rise_ahead(none, 500, 1_000, now_ms, 5 * HOUR_MS)
    assert (np.diff(at_dusk) >= 0).all() and at_dusk[300] == 500, "the sun sets"
    at_dawn = foresight.rise_ahead(none, 700, 1_000, 8 * HOUR_MS, 4 * HOUR_MS)
    assert at_dawn.min() == -300, "and gives no more than it is rated for"
    assert not foresight.rise_ahead(none, 5, 1_000, 2 * HOUR_MS, 5 * HOUR_MS).any(), "by night nothing is known of it"


def test_demand_follows_the_day_only_where_it_is_said() -> None:
    def wanted(hour: int, daily: str) -> int:
        population = town(daily=daily)
        assert population.living is not None
        population.living.noise[:] = population.living.big_noise[:] = 0
        population.step(hour * HOUR_MS, (), deciding=True, advisory=False)
        return population.view().wanted_w

    assert wanted(4, "false") == wanted(19, "false")
    assert wanted(19, "true") > wanted(4, "true") * 5 // 4
    assert town(daily="false").declared.look_ahead_ms == 0


def test_a_forecast_with_chance_in_it_stops_nothing_earlier_and_keeps_on_what_will_be_needed() -> None:
    def means(*, certain: bool) -> Means:
        plants = lay_out_plants(np.full(2, CONTINUOUS, np.uint8), np.full(2, 1_000), start_ms=5 * MINUTE_MS)
        plants.on[:] = 1
        plants.output[:] = plants.target[:] = 300
        return Means(quantum_w=1, plants=plants, certain=certain)

    for certain, gone in ((True, 1), (False, 0)):
        some = means(certain=certain)
        descend(some, 300, 300, 0, forecast=np.full(60, -300))
        assert some.plants is not None and int((some.plants.on == 0).sum()) == gone
    kept, given_up = means(certain=False), means(certain=False)
    for minute in range(40):
        later = np.full(60, -300)
        later[45:] = 1_200
        descend(kept, 300, 300, minute * MINUTE_MS, forecast=later)
        descend(given_up, 300, 300, minute * MINUTE_MS)
    assert kept.plants is not None and given_up.plants is not None
    assert kept.plants.on.all() and not given_up.plants.on.all()


def test_what_takes_long_is_started_while_there_is_still_enough_and_it_is_told() -> None:
    plants = lay_out_plants(np.full(2, CONTINUOUS, np.uint8), np.full(2, 1_000), start_ms=20 * MINUTE_MS)
    plants.on[0] = 1
    plants.output[0] = plants.target[0] = 900
    means = Means(quantum_w=1, plants=plants, certain=False)
    forecast = np.where(np.arange(61) < 20, -50, 600)
    course = descend(means, 0, 0, 0, forecast=forecast)
    assert plants.on.all()
    (started,) = [g for g in course.given if g.rung is Rung.START_FIXED]
    assert (started.soon, started.final, started.promised) == (0, 0, 1_000)
    assert str(started.why) == "600 W will be short in the next minutes: starts 1 kW, which takes as long"
    again = climb(means, 1, 1, MINUTE_MS, forecast=forecast)
    assert not [g for g in again.given if g.promised], "not twice"
