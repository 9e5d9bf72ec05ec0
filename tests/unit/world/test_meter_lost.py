"""A healthy generator's meter is cut for ten minutes: nobody pays for what is merely not seen."""

from __future__ import annotations

import pytest
from bench_region import MINUTE, Bench, bench_of, islands, village

from simulators.faults import FaultKind

HURT = {"shed", "starved", "choked", "unassigned"}


def calm(world: Bench) -> None:
    """What holds all the time."""
    assert not HURT & set(world.states())
    assert not {d.rung for d in world.decided} & {"shed", "starve", "blackout"}
    assert world.plant.blackouts == 0


@pytest.mark.parametrize("wind", [0.5, 0.9])
def test_nobody_is_shed_or_starved_while_the_grid_meter_is_good(wind: float) -> None:
    world = bench_of(village())
    world.plant.set_weather(wind=wind)
    world.run_for(20_000)
    before = {name: world.power(name) for name in ("home-1", "home-4", "charger-1", "wind-1", "grid-meter")}
    written = len(world.writes())
    world.fail("wind-1", FaultKind.SILENCE)
    for _ in range(10):
        world.run_for(MINUTE)
        calm(world)
        assert world.alarms() == {"device-down:wind-1"}
        assert {name: world.power(name) for name in before} == pytest.approx(before, abs=1)
    assert world.seen("wind-1").power_w is None
    world.heal("wind-1")
    world.run_for(20_000)
    calm(world)
    assert world.alarms() == set()
    assert world.seen("wind-1").power_w == pytest.approx(-20_000 * wind, abs=1)
    assert {name: world.power(name) for name in before} == pytest.approx(before, abs=1)
    assert len(world.writes()) == written


def test_nobody_is_shed_although_the_unseen_generator_really_carries_most_of_the_load() -> None:
    # The connection imports 2 kW of its 12; the wind carries 18 of 20. Taken as zero it would mean a shortage.
    world = bench_of(village(grid_a=18))
    world.plant.set_weather(wind=0.9)
    world.run_for(20_000)
    world.fail("wind-1", FaultKind.SILENCE)
    world.run_for(10 * MINUTE)
    calm(world)
    assert world.power("grid-meter") == pytest.approx(2_000, abs=1)


def test_a_real_loss_behind_the_cut_meter_is_still_seen_at_the_grid_meter() -> None:
    world = bench_of(village(grid_a=18))
    world.plant.set_weather(wind=0.9)
    world.run_for(20_000)
    world.fail("wind-1", FaultKind.SILENCE)
    world.run_for(MINUTE)
    world.plant.set_weather(wind=0.0)
    world.run_for(30_000)
    assert world.power("gas-1") < -5_000
    assert world.power("grid-meter") <= 18 * 690
    assert "starved" not in world.states()


def test_no_choke_and_no_blackout_on_a_separate_bus() -> None:
    world = bench_of(islands())
    world.plant.set_weather(sun=0.8)
    world.until(lambda: world.states() == {"served": 5})
    world.run_for(20_000)
    supplies = {name: world.register(name, "supply") for name in ("clinic", "home-1", "home-2", "home-3", "home-4")}
    assert 1 in supplies.values()
    since = len(world.writes())
    decided = len(world.decided)
    world.fail("solar-1", FaultKind.SILENCE)
    for _ in range(10):
        world.run_for(MINUTE)
        assert world.states() == {"served": 5}
        assert {name: world.register(name, "supply") for name in supplies} == supplies
        assert all(world.power(name) == pytest.approx(2_000, abs=1) for name in supplies)
    assert world.plant.blackouts == 0
    assert world.core.memory.region.blackouts == 0
    world.heal("solar-1")
    world.run_for(20_000)
    assert world.states() == {"served": 5}
    assert {name: world.register(name, "supply") for name in supplies} == supplies
    assert not [d for d in world.decided[decided:] if d.rung in ("blackout", "shed", "starve")]
    assert not world.writes(signal="supply")[since:]
