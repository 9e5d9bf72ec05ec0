"""What people order: values by hand, overrides and vetoes by users, and that no rating is exceeded by any of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bench_region import MINUTE, QUICK, Bench, bench_of, device, example, replayed, text_of, village

from scowl_edge.model.event import Rank, ValueOrder, Veto
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


def at_rest(region: str = QUICK, grid_a: int = 17) -> Bench:
    world = bench_of(village(region=region, grid_a=grid_a))
    world.run_for(10_000)
    return world


def hold(world: Bench, name: str, verb: str, value: int | None, rank: Rank = Rank.OPERATOR, until_s: int = 0) -> None:
    until = BASE_UTC_MS + world.now_ms + 1000 * until_s if until_s else 0
    world.say(
        ValueOrder(device=name, verb=verb, value=value, rank=rank, who="ann", why="a test run", until_utc_ms=until)
    )


def veto(world: Bench, name: str, *, active: bool = True) -> None:
    world.say(Veto(device=name, active=active, who="ben", why="guests", until_utc_ms=0))


@BOTH
def test_a_value_by_hand_is_held_and_given_back(through: Restart) -> None:
    world = at_rest()
    hold(world, "gas-1", "setpoint", 8_000)
    world.until(lambda: world.power("gas-1") == -8_000)
    world = through(world)
    world.plant.set_weather(wind=1.0)
    world.run_for(30_000)
    assert world.power("gas-1") == -8_000, "nothing that the region would rather have changes it"
    shown = world.seen("gas-1")
    assert (shown.mode, shown.mode_who, shown.mode_why) == ("manual", "ann", "a test run")
    ordered = world.actuator("gas-1", "setpoint")
    assert (ordered.ordered, ordered.ordered_rank, ordered.ordered_who) == (8_000, "operator", "ann")
    assert ordered.state in ("effective", "holding")
    writes = len(world.writes("gas-1"))
    hold(world, "gas-1", "setpoint", None)
    world.run_for(20_000)
    assert world.power("gas-1") == -8_000
    assert len(world.writes("gas-1")) == writes, "in MANUAL and without a value it is left alone"
    world.order("gas-1", "auto")
    world.until(lambda: world.power("gas-1") == 0.0)
    assert replayed(world).identical


def test_a_value_ends_with_its_mode_and_with_its_time() -> None:
    world = at_rest()
    hold(world, "gas-1", "setpoint", 8_000, until_s=20)
    world.until(lambda: world.power("gas-1") == -8_000)
    world.until(lambda: world.seen("gas-1").mode == "auto", 30_000)
    assert world.actuator("gas-1", "setpoint").ordered is None
    assert any(e.kind == "order-ended" and e.source == "gas-1" for e in world.view.events)
    hold(world, "gas-1", "setpoint", 6_000)
    world.until(lambda: world.power("gas-1") == -6_000)
    world.order("gas-1", "out-of-service")
    world.run_for(2_000)
    world.order("gas-1", "manual")
    writes = len(world.writes("gas-1"))
    world.run_for(20_000)
    assert len(world.writes("gas-1")) == writes, "the old value is not taken up again"


def test_a_value_outside_the_range_of_the_device_is_refused_and_not_cut() -> None:
    world = at_rest()
    hold(world, "gas-1", "setpoint", 90_000)
    world.run_for(5_000)
    assert world.actuator("gas-1", "setpoint").ordered is None
    assert world.seen("gas-1").mode == "auto"
    assert world.writes("gas-1") == []
    assert "90000 is outside of 0 to 20000" in str(world.view.events[0].text)


def test_a_value_that_the_rating_has_no_room_for_is_cut_with_the_reason() -> None:
    world = bench_of(village(grid_a=17, homes=", interruptible: false"))
    world.run_for(10_000)
    world.order("gas-1", "out-of-service")
    hold(world, "charger-1", "limit", 0)
    world.until(lambda: world.power("charger-1") == 0.0)
    world.plant.set_weather(wind=0.3)
    world.run_for(10_000)
    hold(world, "charger-1", "limit", 11_000)
    world.run_for(60_000)
    assert all(turned.view.grid_net_w is None or turned.view.grid_net_w <= LIMIT_W for turned in world.turned[-50:])
    assert 0 < world.power("charger-1") < 5_000, "as much as fits"
    conflict = next(a for a in world.view.alarms if a.key == "conflict:charger-1")
    assert "a rating or fail-safe limit bounds it to" in str(conflict.cause)
    assert "the operator asked for 11000" in str(conflict.cause)
    world.plant.set_weather(wind=0.8)
    world.until(lambda: world.power("charger-1") == 5_000)
    world.until(lambda: "conflict:charger-1" not in world.alarms())


@BOTH
def test_an_override_stays_until_it_is_taken_back_and_then_the_region_gives_back_what_there_is(
    through: Restart,
) -> None:
    world = at_rest(grid_a=30)
    hold(world, "charger-1", "limit", 2_000, Rank.USER)
    world.until(lambda: world.power("charger-1") == 2_000)
    world = through(world)
    world.run_for(20_000)
    assert world.power("charger-1") == 2_000
    assert world.seen("charger-1").mode == "auto"
    assert world.actuator("charger-1", "limit").klass == 4
    hold(world, "charger-1", "limit", None, Rank.USER)
    world.until(lambda: world.power("charger-1") == 5_000)
    assert replayed(world).identical


def test_what_a_user_holds_is_not_made_use_of_but_does_not_break_a_rating() -> None:
    world = at_rest()
    world.order("gas-1", "out-of-service")
    hold(world, "charger-1", "limit", 11_000, Rank.USER)
    world.run_for(2_000)
    world.plant.set_weather(wind=0.3)
    world.run_for(60_000)
    assert not [d for d in world.decided if d.device == "charger-1" and d.rung in ("shed", "starve")]
    assert world.power("grid-meter") <= LIMIT_W


@BOTH
def test_who_has_a_veto_is_not_asked_to_shed(through: Restart) -> None:
    world = at_rest(grid_a=19)
    world.order("gas-1", "out-of-service")
    world.order("charger-1", "manual")
    veto(world, "home-3")
    world = through(world)
    world.plant.set_weather(wind=0.3)
    world.run_for(30_000)
    assert not world.writes("home-3", "shed_request")
    assert world.register("home-4", "shed_granted") > 0
    shown = world.seen("home-3")
    assert (shown.vetoed, shown.veto_who, shown.veto_why) == (True, "ben", "guests")


def test_a_veto_ends_a_shed_and_lifting_it_allows_one_again() -> None:
    world = at_rest(grid_a=19)
    world.order("gas-1", "out-of-service")
    world.order("charger-1", "manual")
    world.plant.set_weather(wind=0.34)
    world.until(lambda: world.register("home-3", "shed_granted") > 0)
    veto(world, "home-3")
    world.until(lambda: world.register("home-3", "shed_granted") == 0, 10_000)
    world.run_for(20_000)
    assert world.register("home-3", "shed_granted") == 0
    assert world.register("home-4", "shed_granted") > 0, "the next one instead"
    veto(world, "home-3", active=False)
    world.plant.set_weather(wind=0.1)
    world.until(lambda: world.register("home-3", "shed_granted") > 0 or world.register("home-3", "connect") == 0)


def test_who_has_a_veto_is_cut_off_last_of_its_class() -> None:
    world = at_rest(grid_a=19)
    world.order("gas-1", "out-of-service")
    world.order("charger-1", "out-of-service")
    veto(world, "home-3")
    world.plant.set_weather(wind=0.05)
    world.until(lambda: "starved" in world.states(), 30_000)
    starved = [d.device for d in world.decided if d.rung == "starve"]
    assert starved[0] == "home-4"


def test_a_store_with_a_veto_rests() -> None:
    world = example("building")
    world.run_for(20_000)
    store = world.site.devices[world.site.storages[0].device].name
    world.plant.set_weather(wind=0.0, sun=0.9)
    world.until(lambda: abs(world.power(store)) > 500, 2 * MINUTE)
    veto(world, store)
    world.until(lambda: abs(world.power(store)) < 100, MINUTE)
    world.run_for(MINUTE)
    assert world.register(store, "setpoint") == 0
    veto(world, store, active=False)
    world.until(lambda: abs(world.power(store)) > 500, 2 * MINUTE)


def test_a_veto_of_a_generator_and_a_value_nobody_can_set_are_noted_and_change_nothing() -> None:
    world = at_rest()
    veto(world, "gas-1")
    hold(world, "hospital", "limit", 1_000)
    hold(world, "home-1", "connect", 0, Rank.USER)
    world.run_for(5_000)
    said = [e for e in world.view.events if e.text.code == "not-orderable"]
    assert [e.source for e in said] == ["home-1", "hospital", "gas-1"]
    assert not world.seen("gas-1").vetoed
    assert world.seen("hospital").mode == "auto"
    assert world.register("home-1", "connect") == 1


def test_in_advisory_nothing_is_written_for_anybody() -> None:
    world = at_rest(region="mode: advisory")
    hold(world, "gas-1", "setpoint", 8_000)
    hold(world, "charger-1", "limit", 2_000, Rank.USER)
    world.run_for(20_000)
    assert not world.writes()


def test_in_hold_a_person_still_may() -> None:
    world = at_rest()
    world.order("", "hold")
    hold(world, "gas-1", "setpoint", 8_000)
    world.until(lambda: world.power("gas-1") == -8_000)


def test_what_people_ordered_outlives_a_changed_configuration() -> None:
    world = at_rest(grid_a=30)
    hold(world, "charger-1", "limit", 2_000, Rank.USER)
    veto(world, "home-2")
    world.until(lambda: world.power("charger-1") == 2_000)
    other = bench_of(village(grid_a=40, more=[device("spare", "power", "kind: meter")]))
    other.core.adopt(world.core)
    assert [other.site.devices[d].name for d in other.core.memory.people.vetoes] == ["home-2"]
    held = other.core.memory.people.user
    assert [other.site.devices[other.site.actuators[i].device].name for i in held] == ["charger-1"]


def test_text_of_is_enough_for_a_site_without_ratings() -> None:
    world = bench_of(
        text_of(
            [
                device("gas-1", "power setpoint", "kind: generator, dispatch: continuous, rated: 20 kW, settle: 1 s"),
                device("load", "power", "kind: consumer, rated: 5 kW"),
            ],
            simulated=["load: {model: building, base: 3 kW, noise: 0 %}"],
        )
    )
    world.run_for(5_000)
    hold(world, "gas-1", "setpoint", 12_000)
    world.until(lambda: world.power("gas-1") == -12_000)


def test_what_is_out_of_service_is_not_taken_back_by_a_value() -> None:
    world = at_rest()
    world.order("gas-1", "out-of-service", who="eve", why="somebody stands beside it")
    hold(world, "gas-1", "setpoint", 8_000)
    world.run_for(10_000)
    assert world.seen("gas-1").mode == "out-of-service"
    assert not world.writes("gas-1")
    assert world.view.events[0].text.code == "not-orderable"
