"""A charger whose register echoes but draws on: it is found out, and somebody else keeps the rating."""

from __future__ import annotations

from bench_region import QUICK, Bench, bench_of, device, text_of, village

from scowl_edge.model.command import Verb
from simulators.faults import FaultKind


def garage(chargers: int = 3) -> str:
    """A cable of 40 A (27.6 kVA) to chargers of 11 kW that know a limit only, all of one class."""
    names = [f"charger-{n}" for n in range(1, chargers + 1)]
    charger = (
        "kind: consumer, rated: 11 kW, interruptible: true, class: 3, power_factor: 98 %, ramp: 5 kW/s, settle: 1 s"
    )
    return text_of(
        [
            device("cable-meter", "power current_a current_b current_c", "kind: feeder"),
            *(device(name, "power limit", f"{charger}, on: cable") for name in names),
        ],
        region=f"{QUICK}, retry: 60 s",
        ratings=["cable: {kind: feeder, limit: 40 A, meter: cable-meter}"],
        simulated=[f"{name}: {{model: charger}}" for name in names],
    )


def over_w(world: Bench) -> float:
    return world.power("cable-meter") - 40 * 690


def test_the_ladder_goes_on_to_the_next_so_that_the_rating_holds_anyway() -> None:
    world = bench_of(garage())
    for name in ("charger-2", "charger-3"):
        world.plant.set_load_of(name, 0.7)
    world.plant.set_load_of("charger-1", 0.0)
    world.run_for(20_000)
    assert over_w(world) < 0
    world.fail("charger-1", FaultKind.ECHO_WITHOUT_EFFECT)
    for n in (1, 2, 3):
        world.plant.set_load_of(f"charger-{n}", 1.0)
    took = world.until(lambda: over_w(world) > 0)
    # Settle, ramp and two polls for each attempt, one after the other.
    took = world.until(lambda: over_w(world) <= 0, 40_000)
    assert took < 40_000
    assert world.power("charger-1") == 11_000, "it draws on"
    world.run_for(10_000)
    assert over_w(world) <= 0
    assert world.register("charger-1", "limit") < 11_000, "though its register echoes"
    assert world.actuator("charger-1", "limit").state == "no_effect"
    assert "no-effect:charger-1" in world.alarms()
    assert world.entry("charger-1", Verb.LIMIT).target is not None
    assert world.view.conservation_error_w == 0
    # Not asked again and again: a device without effect is left alone for the time of `retry`.
    written = len(world.writes("charger-1", "limit"))
    world.run_for(40_000)
    assert len(world.writes("charger-1", "limit")) <= written + 1
    assert over_w(world) <= 0


def test_it_counts_again_once_it_obeys() -> None:
    world = bench_of(garage())
    world.fail("charger-1", FaultKind.ECHO_WITHOUT_EFFECT)
    world.run_for(60_000)
    assert over_w(world) <= 0
    assert "no-effect:charger-1" in world.alarms()
    world.heal("charger-1")
    world.until(lambda: "no-effect:charger-1" not in world.alarms(), 120_000)
    world.run_for(60_000)
    assert over_w(world) <= 0
    assert world.actuator("charger-1", "limit").state in ("effective", "holding", "idle")


def test_a_generator_that_only_echoes_is_replaced_by_the_next_rung() -> None:
    world = bench_of(village(grid_a=17, region=f"{QUICK}, retry: 5 min"))
    world.plant.set_weather(wind=0.5)
    world.run_for(20_000)
    assert world.power("grid-meter") <= 17 * 690
    world.fail("gas-1", FaultKind.ECHO_WITHOUT_EFFECT)
    world.plant.set_load(1.3)
    world.plant.set_weather(wind=0.3)
    world.until(lambda: "no-effect:gas-1" in world.alarms())
    world.until(lambda: world.power("grid-meter") <= 17 * 690, 30_000)
    assert world.power("gas-1") == 0.0
    assert world.register("gas-1", "setpoint") > 0
    assert {"shed", "starve"} & {d.rung for d in world.decided}
    assert world.power("hospital") > 3_000
