"""A device that comes back into AUTO stays as somebody left it; limits come back to what was drawn, then further."""

from __future__ import annotations

from example_regions import world_of

from simulators.world import World


def setpoints(world: World, since: int) -> list[float]:
    """What was written to the battery's set point since a write of that number."""
    return [w.value for w in world.plant.accepted[since:] if (w.device, w.signal) == ("battery-1", "setpoint")]


def test_an_old_set_point_is_not_written_again_without_a_look_at_the_room() -> None:
    world = world_of("demo")
    world.run_for(20_000)
    assert world.plant.read("battery-1", "setpoint") == 30_000
    world.order("battery-1", "manual")
    world.run_for(2_000)
    assert world.plant.write("battery-1", "setpoint", 0.0), "somebody stops it by hand"
    world.plant.set_weather(0.1, 0.1)
    world.run_for(60_000)
    before = len(world.plant.accepted)
    world.order("battery-1", "auto")
    world.run_for(20_000)
    assert all(value <= 0 for value in setpoints(world, before)), "it does not charge from a grid that is full"


def test_a_limit_comes_back_to_what_was_drawn_and_is_relaxed_in_steps_that_fit() -> None:
    world = world_of("demo")
    world.plant.set_weather(0.1, 0.1)
    world.plant.set_load(1.4)
    assert world.run_while(lambda: (world.plant.read("charger-1", "limit") or 0.0) > 0, 120_000)
    before = len(world.plant.accepted)
    world.plant.set_weather(0.8, 0.6)
    world.plant.set_load(1.0)
    rated = next(c.rated_w for c in world.site.consumers if world.site.devices[c.device].name == "charger-1")
    assert world.run_while(lambda: (world.plant.read("charger-1", "limit") or 0.0) < rated * 0.99, 240_000)
    raised = [w.value for w in world.plant.accepted[before:] if (w.device, w.signal) == ("charger-1", "limit")]
    assert raised == sorted(raised), "never down again"
    assert raised[0] < rated, "first what it drew before"
    rungs = [d.rung for d in world.core.memory.decisions if world.site.devices[d.device].name == "charger-1"]
    assert rungs.count("restore-shed") == 1
    assert "relax-limit" in rungs, raised
