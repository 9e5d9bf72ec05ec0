"""The ladder in a slow scarcity and back: order, fairness, the protected, and steps no larger than they may be."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from bench_region import METER, MINUTE, QUICK, SHEDDABLE, Bench, bench_of, device, text_of

HOMES = tuple(f"home-{n}" for n in range(1, 7))
ORDER = (
    "lift-curtailment",
    "stop-storing",
    "raise-continuous",
    "discharge-storage",
    "start-fixed",
    "shed",
    "starve",
)
STEP_W, EVERY_MS = 5_000, 2_000


def everything() -> str:
    """One of each: wind (held back by the export limit), store, gas, a block, six homes of two classes, a hospital."""
    home = "kind: consumer, rated: 8 kW, deferrable: 2 kW, demand_responsive: 500 W, power_factor: 98 %, on: grid"
    return text_of(
        [
            device("grid-meter", METER, "kind: grid"),
            device(
                "wind-1",
                "power available limit",
                "kind: generator, dispatch: stochastic, rated: 60 kW, power_factor: 98 %, on: grid, settle: 1 s",
            ),
            device(
                "gas-1",
                "power setpoint",
                "kind: generator, dispatch: continuous, rated: 10 kW, minimum: 2 kW, ramp: 5 kW/s, settle: 1 s,"
                " power_factor: 98 %, on: grid",
            ),
            device(
                "chp-1",
                "power connect",
                "kind: generator, dispatch: fixed, rated: 3 kW, ramp: 8 kW/s, start_time: 1 s, min_up: 5 s,"
                " power_factor: 98 %, on: grid",
            ),
            device(
                "battery-1",
                "power soc setpoint",
                "kind: storage, rated: 5 kW, capacity: 50 kWh, ramp: 5 kW/s, settle: 1 s, power_factor: 98 %, on: grid",
            ),
            device("hospital", "power", "kind: consumer, rated: 8 kW, class: 0, power_factor: 98 %, on: grid"),
            *(
                device(name, f"{SHEDDABLE} connect", f"{home}, class: {2 if k < 2 else 3}")
                for k, name in enumerate(HOMES)
            ),
        ],
        region=f"{QUICK}, restore_step: 5 kW, ride_through: 5 s",
        ratings=["grid: {kind: grid, import: 4 A, export: 6 A, meter: grid-meter}"],
        simulated=[
            "wind-1: {model: wind, noise: 0 %}",
            "battery-1: {model: battery, standby: 0 W}",
            "hospital: {model: building, base: 3 kW, noise: 0 %}",
            *(f"{name}: {{model: home, base: 3 kW, deferrable: 1 kW, noise: 0 %}}" for name in HOMES),
        ],
        simulation="weather: {wind: 90 %, sun: 0 %}, front: 100 ms",
    )


def scarce() -> Bench:
    """The wind dies slowly, until there is nothing but the grid's 4 A and what the region has itself."""
    world = bench_of(everything())
    world.run_for(40_000)
    assert world.seen("wind-1").state == "curtailed"
    assert world.power("battery-1") > 4_000
    world.decided.clear()
    for percent in range(90, -1, -3):
        world.plant.set_weather(wind=percent / 100)
        world.run_for(8_000)
        protected(world)
    world.plant.set_load(1.2)
    world.run_for(40_000)
    return world


def protected(world: Bench) -> None:
    assert world.seen("hospital").state == "served"
    assert world.power("hospital") >= 3_000
    assert world.view.conservation_error_w == 0


def returning_w(world: Bench, run_ms: int) -> list[tuple[int, int]]:
    """(time, W) of what was given back, while time passes."""
    since = len(world.decided)
    begun = world.view.step
    world.run_for(run_ms)
    times = {t.view.step: t.at_ms for t in world.turned if t.view.step > begun}
    return [(times[d.step], d.amount_w) for d in world.decided[since:] if d.rung in ("feed-starving", "restore-shed")]


def test_each_rung_comes_in_the_order_of_the_design() -> None:
    world = scarce()
    first: dict[str, int] = {}
    for place, decision in enumerate(world.decided):
        # In a slow decline a store stops by itself as soon as own generation leaves nothing over.
        stopped = decision.rung == "fill-storage" and decision.amount_w < 0
        first.setdefault("stop-storing" if stopped else decision.rung, place)
    assert set(ORDER) <= set(first)
    assert sorted(ORDER, key=lambda rung: first[rung]) == list(ORDER)
    assert world.power("grid-meter") <= 4 * 690


def test_the_less_important_give_way_first_and_nobody_twice_before_his_equals() -> None:
    world = scarce()
    starved = [d.device for d in world.decided if d.rung == "starve"]
    assert starved
    assert "hospital" not in starved
    third = set(HOMES[2:])
    if set(starved) - third:
        assert third <= set(starved), "class 2 only after all of class 3"
    for _ in range(4):
        world.plant.set_weather(wind=0.9)
        world.until(lambda: "starved" not in world.states(), 2 * MINUTE)
        world.plant.set_weather(wind=0.0)
        world.run_for(40_000)
        protected(world)
    times = Counter(dict.fromkeys(third, 0))
    for decision in world.decided:
        if decision.rung == "starve" and decision.device in third:
            times[decision.device] += 1
            assert times[decision.device] < 2 or min(times.values()) >= 1, "nobody twice before all equals once"
    assert max(times.values()) >= 2


def test_what_returns_returns_once_and_in_steps_no_larger_than_configured() -> None:
    world = scarce()
    away = {name for name in HOMES if world.seen(name).state != "served"}
    world.plant.set_load(1.0)
    world.plant.set_weather(wind=0.9)
    given = returning_w(world, 3 * MINUTE)
    assert world.states() == {"served": 7}
    by_time: dict[int, int] = {}
    for at_ms, watts in given:
        by_time[at_ms] = by_time.get(at_ms, 0) + watts
    for at_ms in by_time:
        window = sum(watts for t, watts in by_time.items() if at_ms <= t < at_ms + EVERY_MS)
        assert window <= STEP_W
    back = [d for d in world.decided if d.step > 0 and d.rung == "feed-starving"]
    starved = [d for d in world.decided if d.rung == "starve"]
    assert Counter(d.device for d in back) == Counter(d.device for d in starved), "each return answers one loss"
    assert away
    connects = {name: [w.value for w in world.writes(name, "connect")] for name in away}
    assert all(a != b for values in connects.values() for a, b in pairwise(values))


def test_after_the_scarcity_everything_works_less_again_and_stays_quiet() -> None:
    world = scarce()
    world.plant.set_load(1.0)
    world.plant.set_weather(wind=0.9)
    world.until(lambda: world.states() == {"served": 7}, 3 * MINUTE)
    world.run_for(3 * MINUTE)
    assert world.power("gas-1") == 0.0
    assert world.power("chp-1") == 0.0
    assert world.power("battery-1") > 4_000
    assert world.seen("wind-1").state == "curtailed"
    assert not world.core.memory.book.sheds
    assert world.fact("chp-1", "violations") == 0
    written = len(world.writes())
    world.run_for(5 * MINUTE)
    assert len(world.writes()) - written <= 3, "no flapping"
