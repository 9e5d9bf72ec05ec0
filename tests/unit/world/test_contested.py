"""Somebody else writes the same register: a bounded fight, then it is left alone, said aloud, and worked around."""

from __future__ import annotations

import pytest
from bench_region import MINUTE, QUICK, Bench, bench_of, village

from simulators.faults import FaultKind

CONTESTS = 2
REGION = f"{QUICK}, max_contests: {CONTESTS}, retry: 2 min"


def in_need(grid_a: int = 14) -> Bench:
    """The village needs some of its gas engine."""
    world = bench_of(village(region=REGION, grid_a=grid_a))
    world.plant.set_weather(wind=0.4)
    world.plant.set_load(1.1)
    world.until(lambda: world.actuator("gas-1", "setpoint").state == "holding")
    world.run_for(10_000)
    assert world.power("gas-1") < -3_000
    return world


@pytest.mark.parametrize("every_ms", [700, 3_000, 20_000])
def test_a_second_master_is_written_over_a_bounded_number_of_times_however_slow_it_is(every_ms: int) -> None:
    world = in_need()
    written, decided = len(world.writes("gas-1", "setpoint")), len(world.decided)
    world.fail("gas-1", FaultKind.SECOND_MASTER, signal="setpoint", value=0.0, every_ms=every_ms)
    world.until(lambda: world.actuator("gas-1", "setpoint").state == "contested", 5 * MINUTE)
    again = len(world.writes("gas-1", "setpoint")) - written
    moved = len([d for d in world.decided[decided:] if d.device == "gas-1"])
    assert 1 <= again <= CONTESTS + moved
    assert "contested:gas-1" in world.alarms()
    world.run_for(5 * MINUTE)
    assert len(world.writes("gas-1", "setpoint")) - written == again, "left alone from then on"
    assert "contested:gas-1" in world.alarms()
    # Uncontrollable: others carry the region.
    assert world.power("gas-1") == 0.0
    assert world.power("grid-meter") <= 14 * 690
    assert {"shed", "starve"} & {d.rung for d in world.decided}


@pytest.mark.parametrize("every_ms", [700, 3_000, 20_000])
def test_a_target_that_stays_is_re_asserted_no_more_often_than_configured(every_ms: int) -> None:
    world = in_need()
    world.order("", "hold")
    world.run_for(2_000)
    written = len(world.writes("gas-1", "setpoint"))
    world.fail("gas-1", FaultKind.SECOND_MASTER, signal="setpoint", value=0.0, every_ms=every_ms)
    world.until(lambda: "contested:gas-1" in world.alarms(), 5 * MINUTE)
    world.run_for(5 * MINUTE)
    assert 1 <= len(world.writes("gas-1", "setpoint")) - written <= CONTESTS


def test_an_operator_who_takes_it_back_into_auto_reopens_it() -> None:
    world = in_need()
    world.fail("gas-1", FaultKind.SECOND_MASTER, signal="setpoint", value=0.0, every_ms=1_000)
    world.until(lambda: "contested:gas-1" in world.alarms(), 5 * MINUTE)
    world.heal("gas-1")
    world.run_for(3 * MINUTE)
    assert world.power("gas-1") == 0.0, "it stays left alone until somebody looks at it"
    world.order("gas-1", "auto", who="ann", why="the other controller is off")
    world.until(lambda: world.power("gas-1") < -3_000)
    world.until(lambda: world.actuator("gas-1", "setpoint").state == "holding")
    assert "contested:gas-1" not in world.alarms()
    world.until(lambda: world.states() == {"served": 6}, 2 * MINUTE)


def test_a_contest_outlives_a_restart() -> None:
    world = in_need()
    world.fail("gas-1", FaultKind.SECOND_MASTER, signal="setpoint", value=0.0, every_ms=1_000)
    world.until(lambda: "contested:gas-1" in world.alarms(), 5 * MINUTE)
    world.run_for(2_000)
    after = world.crashed()
    written = len(after.writes("gas-1"))
    after.run_for(MINUTE)
    assert "contested:gas-1" in after.alarms()
    assert len(after.writes("gas-1")) == written


def test_a_single_correction_by_somebody_else_is_simply_set_right() -> None:
    world = in_need()
    for _ in range(4):
        world.plant.write("gas-1", "setpoint", 0.0)
        world.until(lambda: world.register("gas-1", "setpoint") > 0)
        world.until(lambda: world.actuator("gas-1", "setpoint").state == "holding")
        # Rare enough to be chance, not a fight: quieter than `retry`.
        world.run_for(3 * MINUTE)
    assert "contested:gas-1" not in world.alarms()
