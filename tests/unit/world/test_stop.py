"""What a stop leaves behind, how long it may take, and who could not be confirmed."""

from __future__ import annotations

from bench_region import QUICK, Bench, bench_of, village

from scowl_edge.model.command import Verb
from simulators.faults import FaultKind

HOMES = ("home-1", "home-2", "home-3", "home-4")


def busy(gas: str, homes: str = ", on_stop: release", region: str = QUICK) -> Bench:
    """Gas was found at 5 kW and is run higher; homes are shed and cut off."""
    world = bench_of(village(region=region, grid_a=8, homes=homes, gas=gas))
    world.plant.write("gas-1", "setpoint", 5_000.0)
    world.plant.accepted.clear()
    world.plant.set_weather(wind=0.2)
    world.plant.set_load(1.6)
    world.until(lambda: world.register("gas-1", "setpoint") > 15_000)
    world.until(lambda: any(world.register(h, "shed_granted") for h in HOMES))
    world.run_for(15_000)
    assert world.register("gas-1", "setpoint") > 15_000
    return world


def unconfirmed(world: Bench) -> set[str]:
    site = world.site
    return {site.devices[a.device].name for i, a in enumerate(site.actuators) if not world.core.stop_confirmed(i)}


def test_release_returns_to_the_value_found_and_ends_every_shed() -> None:
    world = busy(", on_stop: release")
    found = {(h, s): 1.0 for h in HOMES for s in ("connect",)}
    world.stop()
    begun = world.now_ms
    world.until(lambda: world.stopped, 10_000)
    assert world.now_ms - begun < 5_000, "it does not wait longer than it must"
    assert world.plans[-1].final
    assert unconfirmed(world) == set()
    assert world.register("gas-1", "setpoint") == 5_000
    assert all(world.register(h, "shed_granted") == 0 for h in HOMES)
    assert {key: world.register(*key) for key in found} == found


def test_release_outlives_a_restart_in_between() -> None:
    world = busy(", on_stop: release")
    after = world.crashed()
    after.run_for(10_000)
    after.stop()
    after.until(lambda: after.stopped, 10_000)
    assert after.register("gas-1", "setpoint") == 5_000
    assert all(after.register(h, "shed_granted") == 0 for h in HOMES)


def test_hold_leaves_everything_as_it_is() -> None:
    world = busy(", on_stop: hold", homes=", on_stop: hold")
    registers = {(h, s): world.register(h, s) for h in HOMES for s in ("connect", "shed_request")}
    registers["gas-1", "setpoint"] = world.register("gas-1", "setpoint")
    written = len(world.writes())
    world.stop()
    world.until(lambda: world.stopped, 10_000)
    assert len(world.writes()) == written
    assert {key: world.register(*key) for key in registers} == registers
    assert unconfirmed(world) == set()


def test_what_was_never_touched_is_not_written_at_a_stop() -> None:
    world = bench_of(village(homes=", on_stop: release", gas=", on_stop: release"))
    world.run_for(10_000)
    assert not world.plant.accepted
    world.stop()
    world.until(lambda: world.stopped, 5_000)
    assert not world.plant.accepted


def test_no_decision_is_taken_after_the_order_to_stop() -> None:
    world = busy(", on_stop: hold", homes=", on_stop: hold")
    decided = len(world.decided)
    world.fail("gas-1", FaultKind.SILENCE)
    world.stop()
    world.plant.set_load(3.0)
    world.until(lambda: world.stopped, 12_000)
    assert len(world.decided) == decided


def test_a_silent_device_is_listed_and_the_stop_is_bounded() -> None:
    world = busy(", on_stop: release", region=f"{QUICK}, stop_timeout: 6 s")
    world.fail("gas-1", FaultKind.SILENCE)
    world.stop()
    begun = world.now_ms
    world.until(lambda: world.stopped, 20_000)
    assert world.now_ms - begun <= 6_000 + 1_500
    assert unconfirmed(world) == {"gas-1"}
    assert world.entry("gas-1", Verb.SETPOINT).target == 5_000
    assert all(world.register(h, "shed_granted") == 0 for h in HOMES), "nobody waits for the silent one"


def test_a_release_is_a_safety_command_and_goes_with_a_dead_disk_too() -> None:
    world = busy(", on_stop: release")
    world.journal.delay_ms = -1
    world.stop()
    world.until(lambda: world.stopped, 12_000)
    assert world.register("gas-1", "setpoint") == 5_000
    assert all(world.register(h, "shed_granted") == 0 for h in HOMES)
