"""Sheds: refused, granted in part, rested, counted by the day, ended by the device itself, and what comes after."""

from __future__ import annotations

from bench_region import MINUTE, QUICK, Bench, bench_of, village

from simulators.faults import FaultKind

HOMES = ("home-1", "home-2", "home-3", "home-4")
LIMIT_W = 19 * 690
WINDY, CALM = 0.6, 0.34


def only_sheds(homes: str = "", region: str = QUICK, third: str = "1 kW") -> Bench:
    """A village that has nothing but its homes' sheds; at rest. `third` is what really can wait at home-3."""
    can_wait = "home-3: {model: home, base: 2 kW, deferrable: "
    text = village(region=region, grid_a=19, homes=homes).replace(f"{can_wait}1 kW", f"{can_wait}{third}")
    world = bench_of(text)
    world.order("gas-1", "manual")
    world.order("charger-1", "manual")
    world.plant.set_weather(wind=WINDY)
    world.run_for(10_000)
    assert world.states() == {"served": 6}
    return world


def asked(world: Bench, name: str) -> list[float]:
    return [w.value for w in world.writes(name, "shed_request") if w.value > 0]


def booked(world: Bench) -> dict[str, int]:
    site = world.site
    return {
        site.devices[site.consumers[c].device].name: s.granted_w
        for c, s in world.core.memory.book.sheds.items()
        if s.granted_w
    }


def held(world: Bench) -> dict[str, int]:
    return {h: round(world.register(h, "shed_granted")) for h in HOMES if world.register(h, "shed_granted")}


def test_a_refusal_is_respected_for_a_while_and_the_next_is_asked() -> None:
    world = only_sheds(region=f"{QUICK}, retry: 1 min")
    world.fail("home-3", FaultKind.REFUSAL)
    world.plant.set_weather(wind=CALM)
    world.until(lambda: "home-4" in held(world), 15_000)
    world.run_for(30_000)
    assert "home-3" not in booked(world)
    assert {d.rung for d in world.decided if d.device == "home-3"} >= {"shed", "refused"}
    tried = [d for d in world.decided if d.device == "home-3" and d.rung == "shed"]
    assert len(tried) == 1, "not asked again before `retry`"
    assert world.power("grid-meter") <= LIMIT_W
    assert booked(world) == held(world)


def test_what_is_granted_in_part_counts_in_part() -> None:
    # It may give up 1.5 kW by its declaration, but has no more than 0.4 kW that can wait.
    world = only_sheds(third="400 W")
    world.plant.set_weather(wind=0.3)
    world.run_for(20_000)
    assert 0 < held(world)["home-3"] <= 400
    assert booked(world) == held(world)
    assert world.seen("home-3").shed_w == held(world)["home-3"]
    assert len(held(world)) >= 2, "the rest comes from the next"
    assert world.power("grid-meter") <= LIMIT_W
    assert world.view.conservation_error_w == 0


def test_a_consumer_rests_between_two_sheds() -> None:
    world = only_sheds(homes=", rest: 2 min, deferral: 10 min")
    world.plant.set_weather(wind=CALM)
    world.until(lambda: bool(held(world)), 15_000)
    first = set(held(world))
    world.plant.set_weather(wind=WINDY)
    world.until(lambda: not held(world), MINUTE)
    world.run_for(5_000)
    world.plant.set_weather(wind=CALM)
    world.until(lambda: bool(held(world)), 15_000)
    world.run_for(10_000)
    assert not first & set(held(world)), "others first"
    world.run_for(2 * MINUTE)
    world.plant.set_weather(wind=WINDY)
    world.until(lambda: not held(world), MINUTE)


def test_a_consumer_is_asked_no_more_often_a_day_than_it_allows() -> None:
    world = only_sheds(homes=", times_a_day: 1")
    for _ in range(6):
        world.plant.set_weather(wind=CALM)
        world.run_for(20_000)
        world.plant.set_weather(wind=WINDY)
        world.until(lambda: not held(world) and world.states() == {"served": 6}, 2 * MINUTE)
    assert all(world.fact(name, "sheds") <= 1 for name in HOMES)
    assert sum(world.fact(name, "sheds") for name in HOMES) == 4
    world.utc_shift_ms = 24 * 60 * MINUTE
    world.plant.set_weather(wind=CALM)
    world.run_for(20_000)
    assert held(world), "a new day"


def test_the_device_ends_its_shed_itself_and_the_book_agrees() -> None:
    world = only_sheds(homes=", deferral: 20 s, rest: 5 min")
    world.plant.set_weather(wind=CALM)
    world.until(lambda: bool(held(world)), 15_000)
    first = set(held(world))
    apart_ms = 0
    for _ in range(120):
        world.run_for(500)
        apart_ms = apart_ms + 500 if booked(world) != held(world) else 0
        assert apart_ms <= 6_000, "no longer apart than an answer, a poll and a turn"
    assert booked(world) == held(world)
    assert all(world.fact(name, "sheds_expired") == 1 for name in first)
    assert all(len(asked(world, name)) <= 2 for name in first), "raised at most, never asked again after its end"
    assert all(world.fact(name, "sheds") == 1 for name in first)
    assert all(world.fact(name, "overlong_sheds") == 0 for name in HOMES)


def test_a_rebound_is_foreseen_when_sheds_end() -> None:
    world = only_sheds(homes=", rebound: 50 %")
    world.plant.set_weather(wind=0.25)
    world.until(lambda: len(held(world)) >= 2, 15_000)
    world.run_for(20_000)
    world.plant.set_weather(wind=0.45)
    highest = 0.0
    for _ in range(240):
        world.run_for(500)
        highest = max(highest, world.power("grid-meter"))
    assert not held(world)
    assert highest <= LIMIT_W
    assert max(world.fact(name, "sheds") for name in HOMES) == 1, "none had to be shed again"
