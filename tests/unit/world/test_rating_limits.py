"""Nested ratings, phases, load that nobody measures, and meters that fall silent."""

from __future__ import annotations

from bench_region import METER, MINUTE, QUICK, Bench, bench_of, device, example, text_of

from simulators.faults import FaultKind


def currents(world: Bench, meter: str) -> list[float]:
    shown = world.plant.truth(meter)["currents_a"]
    assert isinstance(shown, list)
    return shown


def settled(world: Bench, sun: float = 0.5) -> Bench:
    world.plant.set_weather(sun=sun)
    world.run_for(MINUTE)
    return world


def test_nested_limits_hold_on_every_phase_of_the_building() -> None:
    world = example("building")
    for sun, load in ((0.5, 1.0), (0.0, 1.3), (0.9, 0.8), (0.1, 1.5)):
        world.plant.set_weather(sun=sun)
        world.plant.set_load(load)
        world.run_for(40_000)
        for _ in range(10):
            world.run_for(1_000)
            assert max(currents(world, "grid-meter")) <= 63
            assert max(currents(world, "garage-meter")) <= 50


def test_a_single_phase_charger_is_held_by_its_own_phase() -> None:
    names = ("charger-1", "charger-2", "charger-3")
    world = bench_of(
        text_of(
            [
                device("meter", METER, "kind: feeder"),
                *(
                    device(
                        name,
                        "power limit",
                        f"kind: consumer, rated: 7360 W, class: {klass}, interruptible: true, phases: {phase},"
                        " power_factor: 98 %, settle: 1 s, on: garage",
                    )
                    for name, klass, phase in (("charger-1", 1, "a"), ("charger-2", 2, "a"), ("charger-3", 3, "b"))
                ),
            ],
            ratings=["garage: {kind: feeder, limit: 40 A, meter: meter}"],
            simulated=[f"{name}: {{model: charger}}" for name in names],
        )
    )
    world.run_for(40_000)
    a, b, c = currents(world, "meter")
    assert a <= 40
    assert b == 32
    assert c == 0
    assert world.power("charger-1") == 7_360
    assert world.power("charger-2") < 2_000, "the less important on the same phase gives way"
    assert world.power("charger-3") == 7_360, "another phase does not help, so it is left alone"
    assert not world.writes("charger-3")


def test_load_that_nobody_measures_takes_its_room() -> None:
    world = settled(example("building"), sun=0.0)
    before = sum(world.power(f"charger-{n}") for n in (1, 2, 3, 4))
    world.plant.set_unmetered("grid", 9_000.0)
    world.run_for(30_000)
    after = sum(world.power(f"charger-{n}") for n in (1, 2, 3, 4))
    assert max(currents(world, "grid-meter")) <= 63
    assert after < before - 1_500
    assert 8_500 <= world.rating("grid").unmetered_w <= 9_500
    world.plant.set_unmetered("grid", 0.0)
    world.until(lambda: abs(world.rating("grid").unmetered_w) < 500, 30_000)


def test_below_a_stale_meter_nobody_gets_more_and_nobody_starves_for_it() -> None:
    world = example("building")
    world.plant.set_weather(sun=0.0)
    world.plant.set_unmetered("grid", 22_000.0)
    world.run_for(40_000)
    chargers = [f"charger-{n}" for n in (1, 2, 3, 4)]
    world.fail("grid-meter", FaultKind.SILENCE)
    world.run_for(5_000)
    limits = {name: world.register(name, "limit") for name in chargers}
    decided = len(world.decided)
    world.plant.set_unmetered("grid", 0.0)
    world.plant.set_weather(sun=0.9)
    for _ in range(120):
        world.run_for(1_000)
        assert all(world.register(name, "limit") <= limits[name] for name in chargers), "no increase"
    assert "meter-stale:grid" in world.alarms() or "device-down:grid-meter" in world.alarms()
    assert not {d.rung for d in world.decided[decided:]} & {"starve", "feed-starving", "restore-shed"}
    assert "starved" not in world.states()
    world.heal("grid-meter")
    world.run_for(2 * MINUTE)
    assert sum(world.register(name, "limit") for name in chargers) > sum(limits.values())
    assert max(currents(world, "grid-meter")) <= 63


def test_a_rating_without_an_import_limit_holds_nobody_back() -> None:
    home = "kind: consumer, rated: 8 kW, interruptible: true, power_factor: 98 %, settle: 1 s, on: cable"
    world = bench_of(
        text_of(
            [
                device("grid-meter", METER, "kind: grid"),
                device("cable-meter", METER, "kind: feeder"),
                *(device(f"charger-{n}", "power limit", home) for n in (1, 2)),
            ],
            region=QUICK,
            ratings=[
                "grid: {kind: grid, export: 10 A, meter: grid-meter}",
                "cable: {kind: feeder, limit: 18 A, within: grid, meter: cable-meter}",
            ],
            simulated=["charger-1: {model: charger}", "charger-2: {model: charger}"],
        )
    )
    world.run_for(30_000)
    assert max(currents(world, "cable-meter")) <= 18
    world.plant.set_load_of("charger-1", 0.1)
    world.until(lambda: world.power("charger-2") > 7_900, MINUTE)
    assert max(currents(world, "cable-meter")) <= 18
