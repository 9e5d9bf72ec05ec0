"""Modes of devices and of the region: each does what it says, and does so after a restart too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bench_region import MINUTE, QUICK, Bench, bench_of, example, village

from scowl_edge.model.command import Verb
from simulators.world.world import BASE_UTC_MS

LIMIT_W = 17 * 690
Restart = Callable[[Bench], Bench]


def same(world: Bench) -> Bench:
    return world


def restarted(world: Bench) -> Bench:
    world.run_for(2_000)
    after = world.crashed()
    after.run_for(5_000)
    return after


BOTH = pytest.mark.parametrize("through", [same, restarted])


def in_need(region: str = QUICK) -> Bench:
    """Runs on 17 A, and is about to lack 4 kW of wind."""
    world = bench_of(village(region=region, grid_a=17))
    world.run_for(10_000)
    assert world.power("gas-1") == 0.0
    return world


@BOTH
@pytest.mark.parametrize("mode", ["manual", "out-of-service"])
def test_a_device_out_of_the_regions_hands_is_never_written_and_the_ladder_works_around_it(
    mode: str, through: Restart
) -> None:
    world = in_need()
    world.order("gas-1", mode, who="ann", why="repair")
    world = through(world)
    world.plant.set_weather(wind=0.2)
    world.run_for(20_000)
    assert not world.writes("gas-1")
    assert world.power("gas-1") == 0.0
    assert world.power("grid-meter") <= LIMIT_W, "others gave way instead"
    assert {"shed", "starve"} & {d.rung for d in world.decided}
    shown = world.seen("gas-1")
    assert (shown.mode, shown.mode_who, shown.mode_why) == (mode, "ann", "repair")
    assert shown.power_w == 0, "it is still read"


@BOTH
def test_what_a_manual_device_does_counts_as_it_is(through: Restart) -> None:
    world = in_need()
    world.order("gas-1", "manual")
    world = through(world)
    world.run_for(2_000)
    world.plant.write("gas-1", "setpoint", 8_000.0)
    world.run_for(10_000)
    world.plant.set_weather(wind=0.2)
    world.run_for(20_000)
    assert world.register("gas-1", "setpoint") == 8_000, "nobody takes it back"
    assert not {"shed", "starve"} & {d.rung for d in world.decided}, "its power carries the region"


def test_back_in_auto_it_is_taken_up_again() -> None:
    world = in_need()
    world.order("gas-1", "manual")
    world.plant.set_weather(wind=0.2)
    world.run_for(20_000)
    assert world.states() != {"served": 6}
    world.order("gas-1", "auto")
    world.until(lambda: world.states() == {"served": 6}, 2 * MINUTE)
    assert world.power("gas-1") < -4_000
    assert world.power("grid-meter") <= LIMIT_W


@BOTH
def test_a_region_on_hold_keeps_its_targets_and_decides_nothing(through: Restart) -> None:
    world = in_need()
    world.plant.set_weather(wind=0.3)
    world.until(lambda: world.actuator("gas-1", "setpoint").state == "holding")
    setpoint = world.register("gas-1", "setpoint")
    world.order("", "hold", who="ann", why="test")
    world = through(world)
    decided, written = len(world.decided), len(world.writes())
    world.plant.set_weather(wind=0.0)
    world.run_for(30_000)
    assert world.view.mode == "hold"
    assert world.register("gas-1", "setpoint") == setpoint
    assert len(world.writes()) == written
    assert {d.rung for d in world.decided[decided:]} <= {"order"}
    # A target is still a target: what somebody changes is set right.
    world.plant.write("gas-1", "setpoint", 0.0)
    world.run_for(10_000)
    assert world.register("gas-1", "setpoint") == setpoint
    world.order("", "auto")
    world.until(lambda: world.power("grid-meter") <= LIMIT_W, 30_000)


@BOTH
@pytest.mark.parametrize("ordered", [False, True])
def test_an_advisory_region_shows_its_whole_plan_and_writes_nothing(ordered: bool, through: Restart) -> None:
    world = bench_of(village(region=QUICK if ordered else QUICK.replace("auto", "advisory"), grid_a=17))
    if ordered:
        world.order("", "advisory")
    world = through(world)
    world.plant.set_weather(wind=0.0)
    world.plant.set_load(1.4)
    world.run_for(30_000)
    assert world.plant.accepted == []
    assert world.view.mode == "advisory"
    assert "raise-continuous" in {d.rung for d in world.decided}
    assert any(d.device == "gas-1" and d.amount_w > 0 and d.reason is not None for d in world.view.decisions)
    assert world.entry("gas-1", Verb.SETPOINT).written is None


def test_a_new_configuration_starts_in_advisory() -> None:
    world = bench_of(village(region="restore_after: 5 s", grid_a=5))
    world.run_for(30_000)
    assert world.view.mode == "advisory"
    assert world.plant.accepted == []
    assert world.decided


@BOTH
def test_an_order_with_an_end_returns_to_the_configured_mode(through: Restart) -> None:
    world = in_need()
    until = BASE_UTC_MS + world.now_ms + 40_000
    world.order("gas-1", "out-of-service", until_utc_ms=until)
    world.order("", "hold", until_utc_ms=until)
    world = through(world)
    world.run_for(1_000)
    assert (world.seen("gas-1").mode, world.view.mode) == ("out-of-service", "hold")
    assert world.seen("gas-1").mode_until_utc_ms == until
    world.run_until(until - BASE_UTC_MS + 1_500)
    assert (world.seen("gas-1").mode, world.view.mode) == ("auto", "auto")
    assert world.seen("gas-1").mode_who == "configuration"


def test_an_end_that_passed_while_nothing_ran_counts_at_once() -> None:
    world = in_need()
    world.order("gas-1", "manual", until_utc_ms=BASE_UTC_MS + world.now_ms + 5_000)
    world.run_for(2_000)
    after = world.crashed(down_ms=MINUTE)
    after.run_for(2_000)
    assert after.seen("gas-1").mode == "auto"


def test_an_end_in_the_past_is_over_at_once() -> None:
    world = in_need()
    world.order("gas-1", "manual", until_utc_ms=BASE_UTC_MS + world.now_ms - 1)
    world.run_for(2_000)
    assert world.seen("gas-1").mode == "auto"


def test_a_shed_consumer_that_goes_manual_keeps_its_shed_until_it_ends_by_itself() -> None:
    world = bench_of(village(region=QUICK, grid_a=17, homes=", deferral: 30 s"))
    for name in ("gas-1", "charger-1"):
        world.order(name, "manual")
    world.plant.set_weather(wind=0.4)
    world.until(lambda: world.register("home-3", "shed_granted") > 0)
    world.run_for(5_000)
    world.order("home-3", "manual")
    world.run_for(1_000)
    written = len(world.writes("home-3"))
    world.plant.set_weather(wind=0.9)
    world.until(lambda: world.register("home-3", "shed_granted") == 0, MINUTE)
    world.run_for(20_000)
    assert len(world.writes("home-3")) == written
    assert world.seen("home-3").shed_w == 0
    assert world.states() == {"served": 6}


def test_every_mode_of_the_demo_writes_only_what_it_may() -> None:
    world = example("demo")
    world.order("battery-1", "out-of-service")
    world.order("wind-1", "manual")
    world.run_for(MINUTE)
    touched = {w.device for w in world.plant.accepted}
    assert touched
    assert not touched & {"battery-1", "wind-1"}
