"""The rung "activate accepted offers", whole: from a shortage at the grid meter to vehicles that wait, and back."""

from __future__ import annotations

import pytest
from offers_world import CAR_W, LIMIT_W, STEP_MS, OffersWorld

from scowl_edge.capacity import CallState
from scowl_edge.control import Core
from scowl_edge.control.memory import shift_times
from scowl_edge.control.relief import relief_of
from scowl_edge.dsr.settlement import Account
from scowl_edge.model.profile import EMPTY, flat

MINUTE = 60_000
QUARTER = 15 * MINUTE
ENOUGH = 3 * QUARTER
"""A selection begins with the next quarter of an hour, and may find the one after it better."""


def short_of_supply(cars: int = 4, **more: str) -> OffersWorld:
    """All charge, then the load beside them rises: 9 kW are missing."""
    world = OffersWorld(cars, base_w=0, **more)
    world.run_for(2 * MINUTE)
    assert world.power_w() == cars * CAR_W
    world.base_w = LIMIT_W + 9_000 - cars * CAR_W
    world.decided.clear()
    return world


def relieved_w(world: OffersWorld) -> int:
    return LIMIT_W + 9_000 - world.power_w()


def test_vehicles_wait_as_long_as_power_is_short_and_go_on_after_it() -> None:
    world = short_of_supply()
    assert world.until(lambda: world.power_w() <= LIMIT_W, ENOUGH)
    assert world.until(lambda: CallState.PLEDGED not in {c.state for c in world.calls}, 3 * MINUTE)
    for _ in range(2):
        assert relieved_w(world) <= 2 * CAR_W, "9 kW are two vehicles, or one and a part of the other"
        assert world.power_w() <= LIMIT_W
        world.run_for(QUARTER)
    assert "end-offers" not in world.rungs(), "there is no room for it"
    world.base_w = 0
    assert world.until(lambda: world.selected() == 0, 10 * MINUTE)
    assert world.until(lambda: world.power_w() == 4 * CAR_W, QUARTER)
    assert world.rungs()[-1] == "end-offers"
    assert world.until(lambda: not world.calls, 5 * MINUTE)
    world.run_for(QUARTER)
    assert world.selected() == 0, "nobody is asked once there is room"


def test_nobody_is_asked_twice_for_the_same_need() -> None:
    world = short_of_supply()
    world.run_for(3 * MINUTE)
    pledged = sum(c.relief_w for c in world.calls if c.state is CallState.PLEDGED)
    assert 9_000 <= pledged <= 2 * CAR_W
    sought = world.rungs().count("activate-offers")
    world.run_for(3 * MINUTE)
    assert sum(c.relief_w for c in world.calls) == pledged
    assert world.rungs().count("activate-offers") == sought


def test_before_the_yes_nothing_counts_and_no_deadline_is_waited_beyond() -> None:
    world = short_of_supply()
    world.answers = False
    assert world.until(lambda: "activate-offers" in world.rungs(), MINUTE)
    offers = world.core.memory.book.offers
    assert offers.awaited_w(world.mono_ms) > 0
    assert offers.pledged_w({}, world.mono_ms, 1 << 60) == 0
    world.run_for(15_000)
    assert offers.awaited_w(world.mono_ms) == 0, "the worker had its time"
    world.answers = True
    assert world.until(lambda: world.selected() > 0, 5 * MINUTE), "and is asked again"


def test_an_appliance_that_says_nothing_is_not_waited_for() -> None:
    world = short_of_supply(cars=5)
    world.deaf = set(world.cars)
    assert world.until(lambda: bool(world.calls), 2 * MINUTE)
    offers = world.core.memory.book.offers
    assert {c.state for c in world.calls} == {CallState.ASKED}
    assert offers.pledged_w({}, world.mono_ms, 1 << 60) == 0
    world.run_for(20_000)
    assert offers.awaited_w(world.mono_ms) == 0
    assert all(c.state is not CallState.PLEDGED for c in world.calls)


def test_in_advisory_mode_it_is_said_and_not_done() -> None:
    world = short_of_supply(cars=3, mode="advisory")
    world.run_for(5 * MINUTE)
    assert "activate-offers" in world.rungs()
    assert world.selected() == 0
    assert world.provider.goal is None
    assert world.power_w() == LIMIT_W + 9_000


def test_a_region_that_nobody_offers_anything_asks_and_goes_on() -> None:
    world = OffersWorld(0, base_w=LIMIT_W + 9_000)
    world.run_for(5 * MINUTE)
    assert "activate-offers" in world.rungs()
    assert world.core.memory.book.offers.awaited_w(world.mono_ms) == 0
    assert not world.calls


@pytest.mark.parametrize("moment", (3, 150))
def test_what_was_agreed_survives_a_restart_at_any_moment(moment: int) -> None:
    world = short_of_supply()
    world.run_for(moment * STEP_MS)
    before = world.core
    world.core = Core(before.site)
    world.core.restore(before.snapshot())
    assert world.core.memory.book == before.memory.book
    assert world.core.snapshot() == before.snapshot()
    assert world.until(lambda: world.power_w() <= LIMIT_W, ENOUGH + QUARTER)
    assert 9_000 <= relieved_w(world) <= 2 * CAR_W


def test_the_same_inputs_give_the_same_decisions_again() -> None:
    world = short_of_supply()
    world.run_for(QUARTER)
    assert world.calls
    again = Core(world.core.site)
    for inputs, plan in world.turned:
        assert again.step(inputs).digests == plan.digests


def test_an_agreement_is_not_older_after_a_restart_on_another_clock() -> None:
    world = short_of_supply()
    assert world.until(lambda: CallState.PLEDGED in {c.state for c in world.calls}, 5 * MINUTE)
    offers, shift_ms = world.core.memory.book.offers, 70_000
    before = {s: (c.begins_at, c.ends_at, c.effect_by_at) for s, c in offers.calls.items()}
    shift_times(world.core.memory.book, shift_ms)
    assert {s: (c.begins_at, c.ends_at, c.effect_by_at) for s, c in offers.calls.items()} == {
        s: tuple(at + shift_ms for at in times) for s, times in before.items()
    }
    assert all(c.pledge is not None and c.pledge.begins_at == c.begins_at for c in world.calls)


def account(promised_w: list[int]) -> Account:
    promised = EMPTY
    for quarter, power_w in enumerate(promised_w):
        promised = flat(QUARTER * quarter, QUARTER, power_w).over(promised)
    end = QUARTER * len(promised_w)
    baseline = flat(0, end, 7_000)
    return Account(
        select_id="s",
        esa_id="e",
        cem="c",
        event_ref="region",
        rev=1,
        number=0,
        begin_ms=0,
        end_ms=end,
        baseline=baseline,
        promised=promised,
    )


def test_relief_is_the_least_of_the_first_stretch_that_draws_less() -> None:
    assert relief_of(account([7_000, 2_000, 0, 3_000, 9_000]), 0) == (QUARTER, 3 * QUARTER, 5_000)
    assert relief_of(account([7_000, 2_000, 0, 3_000, 9_000]), 2 * QUARTER) == (2 * QUARTER, 3 * QUARTER, 7_000)
    assert relief_of(account([7_000, 9_000]), 0) is None
