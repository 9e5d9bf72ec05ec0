"""A separate bus: an over-loaded tree really goes dark; who was on it is fed from another, the protected first."""

from __future__ import annotations

from bench_region import MINUTE, QUICK, Bench, bench_of, islands

HOMES = ("home-1", "home-2", "home-3", "home-4")
ALL = ("clinic", *HOMES)


def running(gas_w: int = 12_000) -> Bench:
    """All five on solar and gas, and at rest; nobody can be quicker than this ride-through."""
    world = bench_of(islands(gas_w=gas_w, region=f"{QUICK}, ride_through: 500 ms"))
    world.plant.set_weather(sun=0.8)
    world.until(lambda: world.states() == {"served": 5})
    world.run_for(30_000)
    return world


def supplies(world: Bench) -> dict[str, int]:
    return {name: round(world.register(name, "supply")) for name in ALL}


def assert_registers_show_the_trees(world: Bench) -> None:
    """What the core believes and what the registers and the plant say are one."""
    numbers = {"solar-1": 1, "gas-1": 2, "": 0}
    for name in ALL:
        seen = world.seen(name)
        if seen.state == "served":
            assert numbers[seen.tree] == supplies(world)[name]
            assert world.plant.truth(name)["fed"]


def test_overload_beyond_the_ride_through_blacks_out_in_the_plant_and_in_the_core() -> None:
    world = running()
    dark = [name for name in ALL if supplies(world)[name] == 1]
    assert dark
    world.plant.set_weather(sun=0.0)
    world.until(lambda: world.plant.blackouts == 1, 10_000)
    world.until(lambda: "blackout:solar-1" in world.alarms(), 5_000)
    assert world.core.memory.region.blackouts == 1
    assert world.tree("solar-1").blackout
    assert {d.device for d in world.decided if d.rung == "blackout"} == {"solar-1"}


def test_everybody_is_rehomed_the_protected_first_and_comes_back() -> None:
    world = running()
    world.plant.set_weather(sun=0.0)
    world.until(lambda: world.core.memory.region.blackouts == 1, 10_000)
    world.until(lambda: world.power("clinic") > 1_000, 30_000)
    assert not any(world.power(name) for name in HOMES), "the protected first"
    assert not [t for t in world.turned for d in t.view.devices if d.name == "clinic" and d.state == "starved"]
    world.until(lambda: world.states() == {"served": 5}, 3 * MINUTE)
    world.run_for(20_000)
    assert_registers_show_the_trees(world)
    assert all(world.power(name) > 1_900 for name in ALL)
    assert set(supplies(world).values()) == {2}
    assert world.plant.blackouts == 1, "nobody was sent to a tree that could not carry him"


def test_where_no_tree_has_room_the_least_important_starve_and_never_the_protected() -> None:
    world = running(gas_w=6_000)
    world.plant.set_weather(sun=0.0)
    world.until(lambda: world.core.memory.region.blackouts >= 1, 10_000)
    world.run_for(2 * MINUTE)
    assert world.power("clinic") > 1_900
    assert world.states().get("starved", 0) >= 2
    starved = {name for name in ALL if world.seen(name).state == "starved"}
    assert "home-1" not in starved
    assert {"home-3", "home-4"} <= starved
    assert all(world.power(name) == 0 for name in starved)
    assert_registers_show_the_trees(world)
    assert world.view.conservation_error_w == 0
    blackouts = world.plant.blackouts
    world.plant.set_weather(sun=0.8)
    world.until(lambda: world.states() == {"served": 5}, 3 * MINUTE)
    world.run_for(20_000)
    assert world.plant.blackouts == blackouts
    assert_registers_show_the_trees(world)
    assert all(world.power(name) > 1_900 for name in ALL)


def test_a_dip_shorter_than_the_ride_through_darkens_nobody() -> None:
    world = bench_of(islands(region=f"{QUICK}, ride_through: 5 s"))
    world.plant.set_weather(sun=0.8)
    world.until(lambda: world.states() == {"served": 5})
    world.run_for(30_000)
    world.plant.set_weather(sun=0.0)
    world.run_for(2_000)
    world.plant.set_weather(sun=0.8)
    world.run_for(30_000)
    assert world.plant.blackouts == 0
    assert world.core.memory.region.blackouts == 0
    assert world.states() == {"served": 5}


def test_a_restart_while_dark_goes_on_where_it_was() -> None:
    world = running()
    world.plant.set_weather(sun=0.0)
    world.until(lambda: world.core.memory.region.blackouts == 1, 10_000)
    after = world.crashed()
    after.until(lambda: after.states() == {"served": 5}, 3 * MINUTE)
    after.run_for(20_000)
    assert_registers_show_the_trees(after)
    assert all(after.power(name) > 1_900 for name in ALL)
