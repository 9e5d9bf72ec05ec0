"""The ladder at scale: its order, what arrives in time, what bridges, and that pledges are counted once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from population_site import drawn

from scowl_edge.model.reason import words
from scowl_edge.tracker.population import dispatch, storage_cuts, stores
from scowl_edge.tracker.population import sheds as requests
from scowl_edge.tracker.population.assign import move_block
from scowl_edge.tracker.population.columns import PROTECTED, Columns, Log
from scowl_edge.tracker.population.dispatch import CONTINUOUS, FIXED, STOCHASTIC, Plants, Relief, lay_out_plants
from scowl_edge.tracker.population.escalation import (
    DESIGN,
    PRESETS,
    SEED,
    Means,
    Rung,
    climb,
    descend,
    pledged,
)
from scowl_edge.tracker.population.sheds import ASKED, GRANTED, HELD, WAITING, Sheds, lay_out_sheds
from scowl_edge.tracker.population.stores import CHARGES, POWER, Stores, lay_out_stores

MINUTE_MS = 60_000


def batteries(n: int = 40, seed: int = 1, charging: int = 0) -> Stores:
    rng = np.random.default_rng(seed)
    power = rng.integers(5, 50, n)
    fleet = lay_out_stores(power * 7_200, power, power, rng.integers(500, 9_500, n))
    storage_cuts.wake_and_fill(fleet, charging, -60_000)
    storage_cuts.forget_orders(fleet)
    return fleet


def plants(*, slow: bool = True) -> Plants:
    """One that follows the weather, curtailed by 200; one continuous that runs, one that stands; one fixed block."""
    fleet = lay_out_plants(
        np.array([STOCHASTIC, CONTINUOUS, CONTINUOUS, FIXED], np.uint8),
        np.array([500, 1_000, 1_000, 400]),
        start_ms=5 * MINUTE_MS if slow else 0,
    )
    fleet.potential[0] = 500
    fleet.target[0] = fleet.output[0] = 300
    fleet.on[1] = 1
    fleet.output[1] = fleet.target[1] = 600
    return fleet


def load() -> tuple[Columns, Sheds]:
    columns, _ = drawn(800, 2, 1)
    log = Log.empty(1)
    for block in range(len(columns.block_tree)):
        move_block(columns, log, block, 0)
    sheds = lay_out_sheds(columns, deferrable_ppm=100_000)
    sheds.klass[:2] = PROTECTED
    return columns, sheds


def everything(seed: int = 1, *, slow: bool = True) -> Means:
    columns, sheds = load()
    return Means(
        quantum_w=10, stores=batteries(60, seed, charging=400), plants=plants(slow=slow), sheds=sheds, columns=columns
    )


def rungs(course_given: list[object]) -> list[Rung]:
    return [given.rung for given in course_given]  # type: ignore[attr-defined]


def test_rungs_give_in_the_order_of_the_design_and_say_what() -> None:
    means = everything()
    course = climb(means, 150, 150, 0)
    assert rungs(course.given) == [Rung.LIFT_CURTAILMENT] and course.missing == 0
    assert words(course.given[0].why) == "1.5 kW short: gives 1.5 kW within the ride-through, 1.5 kW in the end"
    means = everything()
    course = climb(means, 100_000, 100_000, 0)
    assert rungs(course.given) == list(DESIGN)
    assert means.sheds is not None
    assert course.missing > course.asked == int(means.sheds.totals[WAITING]) > 0


def test_the_seeds_order_is_a_preset() -> None:
    means = everything()
    means.order = PRESETS["seed"]
    course = climb(means, 100_000, 100_000, 0)
    assert rungs(course.given) == list(SEED)
    assert means.plants is not None and means.plants.target[0] == 300, "it curtails nothing, so it lifts nothing"


def test_stores_bridge_until_slower_plants_arrive_and_are_released_first() -> None:
    means = Means(quantum_w=10, stores=batteries(60), plants=plants())
    assert means.stores is not None and means.plants is not None
    means.plants.target[0] = 500
    means.plants.output[0] = 500
    course = climb(means, 300, 300, 0)
    assert rungs(course.given) == [Rung.RAISE_CONTINUOUS, Rung.DISCHARGE] and course.missing == 0
    assert course.given[0].final == 300 > course.given[0].soon
    bridging = -int(means.stores.totals[POWER])
    assert bridging >= 300 - course.given[0].soon
    relief = pledged(means, 0)
    again = climb(means, 300 - bridging - relief.soon, 300 - bridging - relief.final, 0)
    assert not again.given, "what is pledged is not ordered twice"
    for minute in range(1, 11):
        now_ms = minute * MINUTE_MS
        dispatch.advance_plants(means.plants, MINUTE_MS, now_ms)
        given_w = int(means.plants.output[1]) - 600 - int(means.stores.totals[POWER])
        arriving = pledged(means, now_ms)
        back = descend(means, given_w - 300 + arriving.soon, given_w - 300 + arriving.final, now_ms)
        assert Rung.LOWER_CONTINUOUS not in rungs(back.given) or means.stores.totals[POWER] >= 0
        left = int(means.plants.output[1]) - 600 - int(means.stores.totals[POWER])
        assert left >= 300 - 2, "never short of more than the plant's ramp brings within the ride-through"
    assert means.stores.totals[POWER] >= 0, "the plant has taken over"


@given(seed=st.integers(0, 50), soon=st.integers(-500, 4_000), final=st.integers(-500, 4_000), slow=st.booleans())
@settings(max_examples=25, deadline=None)
def test_nothing_is_shed_that_lower_rungs_deliver_in_time(seed: int, soon: int, final: int, slow: bool) -> None:
    means = everything(seed, slow=slow)
    course = climb(means, soon, final, 0)
    asked = int(means.sheds.totals[WAITING]) if means.sheds is not None else 0
    assert course.asked == asked <= course.missing
    promised = [sum(given.soon for given in course.given), sum(given.final for given in course.given)]
    assert [course.soon, course.final] == [soon - promised[0], final - promised[1]]
    if not asked:
        return
    means.sheds = None
    more = climb(means, course.soon, course.final, 0)
    gained = (sum(given.soon for given in more.given), sum(given.final for given in more.given))
    assert (course.soon <= 0 or gained[0] == 0) and (course.final <= 0 or gained[1] == 0)


def test_a_shed_counts_when_it_is_granted_and_is_not_asked_twice() -> None:
    columns, sheds = load()
    means = Means(quantum_w=10, sheds=sheds, columns=columns)
    assert climb(means, 500, 500, 0, evident=False).asked == 0, "without a fresh measurement nobody is asked"
    course = climb(means, 500, 500, 0)
    assert course.asked == 500 == course.missing
    assert climb(means, 500, 500, 100).asked == 500
    assert not (sheds.state[sheds.klass == PROTECTED] == ASKED).any()
    rows = np.flatnonzero(sheds.state == ASKED).astype(np.int32)
    assert requests.answer(sheds, rows, sheds.asked[rows], 1_000) == 500
    assert climb(means, 0, 0, 2_000).missing == 0


def test_on_recovery_sheds_end_before_sources_rest_and_nothing_rests_while_somebody_starves() -> None:
    means = everything()
    assert means.sheds is not None and means.stores is not None
    climb(means, 100_000, 100_000, 0)
    rows = np.flatnonzero(means.sheds.state == ASKED).astype(np.int32)
    requests.answer(means.sheds, rows, means.sheds.asked[rows], 0)
    held, power = int(means.sheds.totals[HELD]), int(means.stores.totals[POWER])
    course = descend(means, held, held, 60_000)
    assert rungs(course.given) == [Rung.RESTORE_SHEDS]
    assert 0 < means.sheds.totals[HELD] < held, "their rebound takes room as well"
    assert (means.sheds.state == GRANTED).any() and int(means.stores.totals[POWER]) == power
    course = descend(means, 2 * held, 2 * held, 60_000, starving=held)
    assert rungs(course.given) == [Rung.RESTORE_SHEDS] and means.sheds.totals[HELD] == 0
    assert not descend(means, 100, 100, 60_000, starving=99).given
    course = descend(means, 5_000, 5_000, 60_000)
    assert rungs(course.given)[:2] == [Rung.STOP_DISCHARGE, Rung.LOWER_CONTINUOUS]


def test_inside_the_dead_band_nothing_is_given_back_and_what_is_under_way_is_not_given_away() -> None:
    means = everything()
    means.dead_band = 100
    assert not descend(means, 100, 100, 0).given
    assert not descend(means, 50, 900, 0).given
    assert descend(means, 900, 900, 0).given


def test_what_is_too_much_goes_at_once_and_curtailing_is_last() -> None:
    means = everything()
    assert means.plants is not None
    course = descend(means, 0, 0, 0, too_much=100_000)
    assert rungs(course.given) == [Rung.LOWER_CONTINUOUS, Rung.FILL, Rung.CURTAIL]
    assert means.plants.target[0] == 0
    some = everything()
    assert rungs(descend(some, 0, 0, 0, too_much=50).given) == [Rung.LOWER_CONTINUOUS]


def test_stores_fill_from_what_is_spare_beyond_the_reserve() -> None:
    means = Means(quantum_w=10, stores=batteries(60))
    assert means.stores is not None
    assert not descend(means, 200, 200, 0, reserve=200).given
    course = descend(means, 300, 300, 0, reserve=200)
    assert rungs(course.given) == [Rung.FILL] and 50 < course.given[0].final <= 100
    emptiest = means.stores.soc[means.stores.state == stores.CHARGING].max()
    assert (means.stores.soc[means.stores.state != stores.CHARGING] >= emptiest - 80).all()


@pytest.mark.parametrize("given_soon", [0, 400])
def test_a_pledge_of_a_store_counts_in_the_end_only(given_soon: int) -> None:
    fleet = lay_out_stores(np.full(2, 100_000), np.full(2, 200), np.full(2, 200), np.full(2, 8_000), dead_ms=5_000)
    means = Means(quantum_w=10, stores=fleet)
    if given_soon:
        course = climb(means, 400, 400, 0)
        assert (course.soon, course.final) == (0, 0) and pledged(means, 0) == Relief(0, 0)
        return
    storage_cuts.wake_and_fill(fleet, 400, 0)
    assert int(fleet.cell_count[CHARGES * 128 :].sum()) == 2
    course = climb(means, 800, 800, 1_000)
    assert [(given.soon, given.final) for given in course.given] == [(400, 400), (0, 400)]
    assert course.missing == 400 and pledged(means, 1_000) == Relief(0, 400)
