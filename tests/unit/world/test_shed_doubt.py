"""A shed whose answer never came: it counts nothing, is read again, and is settled; it is never forgotten."""

from __future__ import annotations

import pytest
from bench_region import MINUTE, QUICK, Bench, bench_of, village

from scowl_edge.capacity import ShedState
from simulators.faults import FaultKind

HOMES = ("home-1", "home-2", "home-3", "home-4")
LIMIT_W = 19 * 690


def short_of_a_little(fault: FaultKind, deferral: str = "3 min") -> Bench:
    """A village that needs one or two sheds, in which home-3 fails at the very moment at which it is asked."""
    world = bench_of(village(region=QUICK, grid_a=19, homes=f", deferral: {deferral}"))
    world.order("gas-1", "manual")
    world.order("charger-1", "manual")
    world.run_for(15_000)
    assert world.states() == {"served": 6}
    assert not world.core.memory.book.sheds

    def watch(name: str) -> None:
        world._keep(name)
        asked = [d for d in world.decided if d.rung == "shed" and d.device == "home-3"]
        if name == "decided" and asked and asked[-1].step == world.view.step:
            world.fail("home-3", fault)

    world.on_boundary = watch
    world.plant.set_weather(wind=0.34)
    world.until(lambda: "home-3" in in_book(world))
    return world


def in_book(world: Bench) -> dict[str, ShedState]:
    site = world.site
    return {site.devices[site.consumers[c].device].name: s.state for c, s in world.core.memory.book.sheds.items()}


def assert_book_agrees(world: Bench) -> None:
    """What the book counts is what the devices hold."""
    site = world.site
    book = {
        site.devices[site.consumers[c].device].name: s.granted_w
        for c, s in world.core.memory.book.sheds.items()
        if s.granted_w
    }
    held = {name: round(world.register(name, "shed_granted")) for name in HOMES}
    assert book == {name: w for name, w in held.items() if w}


def test_it_counts_nothing_while_in_doubt_and_the_ladder_goes_on() -> None:
    world = short_of_a_little(FaultKind.SILENCE)
    world.until(lambda: in_book(world).get("home-3") is ShedState.IN_DOUBT, 10_000)
    assert world.seen("home-3").shed_w == 0
    assert "in-doubt:home-3" in world.alarms()
    world.run_for(10_000)
    assert in_book(world)["home-3"] is ShedState.IN_DOUBT, "never forgotten"
    assert in_book(world).get("home-4") is ShedState.GRANTED, "the next one was asked"
    assert world.power("grid-meter") <= LIMIT_W


def test_it_is_granted_when_the_register_says_so() -> None:
    world = short_of_a_little(FaultKind.LOST_ANSWER)
    world.until(lambda: in_book(world).get("home-3") is ShedState.IN_DOUBT, 10_000)
    world.run_for(5_000)
    written = len(world.writes("home-3", "shed_request"))
    assert written == 1
    world.on_boundary = world._keep
    world.heal("home-3")
    world.until(lambda: in_book(world).get("home-3") is ShedState.GRANTED, 10_000)
    assert_book_agrees(world)
    assert world.seen("home-3").shed_w == round(world.register("home-3", "shed_granted")) > 0
    assert "in-doubt:home-3" not in world.alarms()
    assert len(world.writes("home-3", "shed_request")) == written, "read, not asked again"
    assert world.fact("home-3", "sheds") == 1


def test_it_is_forgotten_only_after_the_register_said_no() -> None:
    world = short_of_a_little(FaultKind.SILENCE)
    world.until(lambda: in_book(world).get("home-3") is ShedState.IN_DOUBT, 10_000)
    world.run_for(10_000)
    assert "home-3" in in_book(world)
    world.on_boundary = world._keep
    world.heal("home-3")
    world.until(lambda: in_book(world).get("home-3") is not ShedState.IN_DOUBT, 10_000)
    world.run_for(5_000)
    assert_book_agrees(world)
    assert world.register("home-3", "shed_granted") == 0 or in_book(world)["home-3"] is ShedState.GRANTED
    assert "in-doubt:home-3" not in world.alarms()


@pytest.mark.parametrize("fault", [FaultKind.LOST_ANSWER, FaultKind.SILENCE])
def test_a_device_that_stays_silent_until_its_own_expiry_is_settled_all_the_same(fault: FaultKind) -> None:
    world = short_of_a_little(fault, "1 min")
    held = fault is FaultKind.LOST_ANSWER
    world.run_for(30_000)
    assert in_book(world)["home-3"] is ShedState.IN_DOUBT
    assert (world.register("home-3", "shed_granted") > 0) == held
    world.plant.set_weather(wind=0.6)
    world.run_for(45_000)
    assert world.register("home-3", "shed_granted") == 0, "it restored itself"
    assert world.fact("home-3", "sheds_expired") == held
    assert "home-3" not in in_book(world)
    written = len(world.writes("home-3"))
    world.on_boundary = world._keep
    world.heal("home-3")
    world.until(lambda: world.states() == {"served": 6}, 2 * MINUTE)
    world.run_for(20_000)
    assert_book_agrees(world)
    assert not [w for w in world.writes("home-3", "shed_request")[written:] if w.value > 0], "nothing is re-asserted"
    assert world.fact("home-3", "sheds") == held
    assert "in-doubt:home-3" not in world.alarms()


@pytest.mark.parametrize("fault", [FaultKind.LOST_ANSWER, FaultKind.SILENCE])
def test_a_restart_in_the_middle_of_the_doubt_settles_it_too(fault: FaultKind) -> None:
    world = short_of_a_little(fault)
    world.until(lambda: in_book(world).get("home-3") is ShedState.IN_DOUBT, 10_000)
    after = world.crashed()
    after.run_for(10_000)
    assert in_book(after)["home-3"] is ShedState.IN_DOUBT
    after.heal("home-3")
    after.until(lambda: in_book(after).get("home-3") is not ShedState.IN_DOUBT, 10_000)
    after.run_for(5_000)
    assert_book_agrees(after)
    assert after.fact("home-3", "sheds") <= 1
