"""The wall clock: what goes by it, what does not, and what waits while it is not set."""

from __future__ import annotations

import pytest
from bench_region import MINUTE, Bench, bench_of, example, replayed, village

from simulators.world import WorldSettings
from simulators.world.world import BASE_UTC_MS

HOUR = 3_600_000


def deeds(world: Bench) -> list[tuple[int, str, str, float]]:
    return [(w.at_ms, w.device, w.signal, w.value) for w in world.plant.accepted]


def rungs(world: Bench) -> list[tuple[int, str, str, int]]:
    return [(d.step, d.rung, d.device, d.amount_w) for d in world.decided]


@pytest.mark.parametrize("step_ms", [HOUR, -HOUR])
@pytest.mark.parametrize("name", ["demo", "building"])
def test_a_step_of_an_hour_changes_no_decision_and_no_timer(name: str, step_ms: int) -> None:
    stepped, steady = example(name), example(name)
    for world in (stepped, steady):
        world.run_for(20_000)
        world.plant.set_weather(0.1, 0.1)
        world.plant.set_load(1.2)
        world.run_for(20_000)
    stepped.utc_shift_ms = step_ms
    for world in (stepped, steady):
        world.run_for(20_000)
        world.plant.set_weather(0.8, 0.6)
        world.plant.set_load(0.9)
        world.run_for(40_000)
    assert deeds(stepped) == deeds(steady)
    assert rungs(stepped) == rungs(steady)
    assert stepped.plant.whole_truth() == steady.plant.whole_truth()
    assert len(deeds(steady)) > 5
    assert replayed(stepped).identical


def test_without_a_set_clock_decisions_go_on_and_an_alarm_says_so() -> None:
    unset, trusted = bench_of(village(grid_a=17), WorldSettings(utc_ok=False)), bench_of(village(grid_a=17))
    for world in (unset, trusted):
        world.run_for(10_000)
        world.plant.set_weather(wind=0.2)
        world.run_for(20_000)
    assert deeds(unset) == deeds(trusted)
    assert deeds(unset)
    assert "clock" in unset.alarms()
    assert "clock" not in trusted.alarms()
    assert not unset.view.utc_ok


def test_the_end_of_an_order_waits_for_a_set_clock() -> None:
    world = bench_of(village(), WorldSettings(utc_ok=False))
    world.run_for(2_000)
    world.order("gas-1", "manual", until_utc_ms=BASE_UTC_MS + world.now_ms + 5_000)
    world.run_for(MINUTE)
    assert world.seen("gas-1").mode == "manual"
    world.utc_ok = True
    world.run_for(2_000)
    assert world.seen("gas-1").mode == "auto"
    assert "clock" not in world.alarms()


def test_an_alarm_raised_without_a_set_clock_says_so() -> None:
    world = bench_of(village(grid_a=5), WorldSettings(utc_ok=False))
    world.order("gas-1", "manual")
    world.plant.set_weather(wind=0.0)
    world.run_for(20_000)
    alarm = next(a for a in world.view.alarms if a.key == "starving")
    assert not alarm.since_utc_ok


def test_a_restart_after_a_step_of_the_clock_keeps_its_timers() -> None:
    world = bench_of(village(grid_a=17, homes=", deferral: 2 min"))
    for name in ("gas-1", "charger-1"):
        world.order(name, "manual")
    world.run_for(10_000)
    world.plant.set_weather(wind=0.4)
    world.until(lambda: world.view.shed_w > 0)
    world.run_for(5_000)
    book = {c: s.expires_at for c, s in world.core.memory.book.sheds.items()}
    after = world.crashed(down_ms=1_500)
    after.utc_shift_ms = HOUR
    after.run_for(5_000)
    assert {c: s.expires_at for c, s in after.core.memory.book.sheds.items()} == book
