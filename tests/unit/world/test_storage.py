"""A store: sleeps at its floor, wakes from what is spare, is protected below, and is not blamed for physics."""

from __future__ import annotations

import pytest
from bench_region import METER, MINUTE, QUICK, SHEDDABLE, Bench, bench_of, device, text_of

from scowl_edge.control.entry import Stage
from scowl_edge.model.command import Verb
from simulators.faults import FaultKind


def house(*, soc: str = "50 %", storage: str = "", import_a: int = 20) -> str:
    """Solar of 20 kW, a store of 5 kW and 1 kWh, two homes of 3 kW, 13.8 kW of import."""
    home = "kind: consumer, rated: 6 kW, deferrable: 2 kW, demand_responsive: 1 kW, power_factor: 98 %, on: grid"
    return text_of(
        [
            device("grid-meter", METER, "kind: grid"),
            device(
                "solar-1",
                "power available limit",
                "kind: generator, dispatch: stochastic, rated: 20 kW, power_factor: 98 %, on: grid",
            ),
            device(
                "battery-1",
                "power soc setpoint",
                "kind: storage, rated: 5 kW, capacity: 1 kWh, ramp: 5 kW/s, settle: 1 s, power_factor: 98 %,"
                f" on: grid{storage}",
            ),
            device("home-1", f"{SHEDDABLE} connect", f"{home}, class: 1"),
            device("home-2", f"{SHEDDABLE} connect", f"{home}, class: 2"),
        ],
        region=QUICK,
        ratings=[f"grid: {{kind: grid, import: {import_a} A, export: 60 A, meter: grid-meter}}"],
        simulated=[
            "solar-1: {model: solar, noise: 0 %}",
            f"battery-1: {{model: battery, soc: {soc}, standby: 0 W}}",
            *(f"home-{n}: {{model: home, base: 2 kW, deferrable: 1 kW, noise: 0 %}}" for n in (1, 2)),
        ],
        simulation="weather: {wind: 0 %, sun: 0 %}, front: 100 ms",
    )


def soc(world: Bench) -> float:
    return world.fact("battery-1", "soc_fraction")


def test_it_discharges_to_its_floor_sleeps_there_and_is_not_counted_as_starved() -> None:
    world = bench_of(house(soc="14 %", import_a=6))
    world.until(lambda: world.power("battery-1") < -1_000, 20_000)
    world.until(lambda: world.seen("battery-1").state == "sleeping", 3 * MINUTE)
    assert soc(world) == pytest.approx(0.1, abs=0.01)
    assert world.power("battery-1") == 0.0
    world.run_for(MINUTE)
    assert world.seen("battery-1").state == "sleeping"
    assert world.power("battery-1") == 0.0
    unserved = sum(world.view.unserved_w)
    assert unserved == sum(world.seen(name).unserved_w for name in ("home-1", "home-2"))
    assert sum(world.states().values()) == 2, "a store is no consumer"
    assert world.power("grid-meter") <= 6 * 690


def test_it_wakes_from_what_is_spare_only_and_discharges_again_above_its_wake_level() -> None:
    world = bench_of(house(soc="14 %", import_a=6))
    world.until(lambda: world.seen("battery-1").state == "sleeping", 3 * MINUTE)
    # Enough for everybody, nothing beyond: it sleeps on.
    world.plant.set_weather(sun=0.3)
    world.until(lambda: world.states() == {"served": 2}, 2 * MINUTE)
    world.run_for(30_000)
    assert world.power("battery-1") == 0.0
    world.plant.set_weather(sun=0.8)
    world.until(lambda: world.power("battery-1") > 1_000, MINUTE)
    assert world.states() == {"served": 2}
    world.until(lambda: soc(world) > 0.2, 2 * MINUTE)
    world.plant.set_weather(sun=0.0)
    world.until(lambda: world.power("battery-1") < -500, MINUTE)


def test_below_its_protection_level_it_trickles_whatever_the_region_wants() -> None:
    world = bench_of(house(soc="3 %"))
    world.until(lambda: world.power("battery-1") == 100.0, 20_000)
    world.until(lambda: soc(world) >= 0.05, 20 * MINUTE)
    assert world.power("grid-meter") <= 20 * 690


def test_reversal_takes_its_dead_time_and_is_no_lack_of_effect() -> None:
    world = bench_of(house(import_a=6, storage=", dead_time: 8 s"))
    world.plant.set_weather(sun=0.8)
    world.until(lambda: world.power("battery-1") > 2_000, MINUTE)
    world.plant.set_weather(sun=0.0)
    world.until(lambda: world.power("battery-1") < -500, MINUTE)
    assert world.fact("battery-1", "reversals") == 1
    world.run_for(10_000)
    assert not [a for a in world.alarms() if a.startswith("no-effect")]
    assert ("setpoint", "no_effect") not in {(verb, outcome) for verb, outcome, _ in world.view.commands}


def test_a_full_store_is_not_found_without_effect() -> None:
    world = bench_of(house(soc="90 %"))
    world.plant.set_weather(sun=0.9)
    world.until(lambda: world.power("battery-1") > 2_000, MINUTE)
    world.until(lambda: world.power("battery-1") == 0.0, 3 * MINUTE)
    world.run_for(MINUTE)
    assert soc(world) >= 0.949
    assert "no-effect:battery-1" not in world.alarms()
    assert world.entry("battery-1", Verb.SETPOINT).stage is not Stage.NO_EFFECT


def test_an_unknown_state_of_charge_counts_as_empty_and_as_full() -> None:
    world = bench_of(house(import_a=6).replace("unit: 3", "unit: 3, hold_for: 2 s"))
    world.plant.set_weather(sun=0.3)
    world.run_for(20_000)
    world.fail("battery-1", FaultKind.SILENCE)
    world.run_for(10_000)
    written = len(world.writes("battery-1"))
    world.plant.set_weather(sun=0.0)
    world.run_for(20_000)
    assert len(world.writes("battery-1")) == written
    assert world.power("grid-meter") <= 6 * 690
