"""Alarms that people acknowledge and shelve, that never flood, and the list of what happened."""

from __future__ import annotations

from bench_region import MINUTE, QUICK, Bench, bench_of, device, replayed, text_of, village

from scowl_edge.control.chronicle import KEPT_EVENTS
from scowl_edge.control.portrait import happened
from scowl_edge.model.event import AlarmAction, AlarmOrder, LinkChanged
from scowl_edge.model.view import AlarmView, EventView
from simulators.faults import FaultKind
from simulators.world.world import BASE_UTC_MS

MOST_ALARMS = 10


def alarm_order(world: Bench, key: str, action: AlarmAction, until_s: int = 0) -> None:
    until = BASE_UTC_MS + world.now_ms + 1000 * until_s if until_s else 0
    world.say(AlarmOrder(key=key, action=action, who="ann", why="known", until_utc_ms=until))


def alarm(world: Bench, key: str) -> AlarmView:
    return next(a for a in world.view.alarms if a.key == key)


def events(world: Bench, kind: str) -> list[EventView]:
    """Of one kind, oldest first."""
    return [e for e in reversed(world.view.events) if e.kind == kind]


def silent_home() -> Bench:
    world = bench_of(village())
    world.run_for(10_000)
    world.fail("home-1", FaultKind.SILENCE)
    world.until(lambda: "device-down:home-1" in world.alarms())
    return world


def test_an_alarm_is_acknowledged_until_it_comes_again() -> None:
    world = silent_home()
    assert alarm(world, "device-down:home-1").source == "home-1"
    alarm_order(world, "device-down:home-1", AlarmAction.ACKNOWLEDGE)
    world.run_for(2_000)
    seen = alarm(world, "device-down:home-1")
    assert (seen.acknowledged_by, seen.acknowledged_why) == ("ann", "known")
    assert seen.acknowledged_utc_ms > seen.since_utc_ms
    world.heal("home-1")
    world.until(lambda: "device-down:home-1" not in world.alarms())
    world.fail("home-1", FaultKind.SILENCE)
    world.until(lambda: "device-down:home-1" in world.alarms())
    assert alarm(world, "device-down:home-1").acknowledged_by == ""
    [raised, again] = [e for e in events(world, "alarm-raised") if e.source == "device-down:home-1"]
    [noted] = events(world, "alarm-acknowledged")
    [cleared] = [e for e in events(world, "alarm-cleared") if e.source == "device-down:home-1"]
    assert raised.seq < noted.seq < cleared.seq < again.seq
    assert noted.who == "ann"
    assert replayed(world).identical


def test_a_shelved_alarm_stays_shelved_through_its_comings_and_goings_until_its_time() -> None:
    world = silent_home()
    alarm_order(world, "device-down:home-1", AlarmAction.SHELVE, until_s=60)
    world.run_for(2_000)
    assert alarm(world, "device-down:home-1").shelved_by == "ann"
    world.heal("home-1")
    world.until(lambda: "device-down:home-1" not in world.alarms())
    world = world.crashed()
    world.run_for(5_000)
    world.fail("home-1", FaultKind.SILENCE)
    world.until(lambda: "device-down:home-1" in world.alarms())
    assert alarm(world, "device-down:home-1").shelved_by == "ann"
    assert alarm(world, "device-down:home-1").shelved_until_utc_ms > world.view.utc_ms
    world.until(lambda: not alarm(world, "device-down:home-1").shelved_by, 2 * MINUTE)
    assert events(world, "alarm-unshelved")


def test_shelving_can_be_taken_back_and_orders_on_what_does_not_stand_change_nothing() -> None:
    world = silent_home()
    before = world.view.events[0].seq
    alarm_order(world, "device-down:home-2", AlarmAction.ACKNOWLEDGE)
    alarm_order(world, "device-down:home-2", AlarmAction.UNSHELVE)
    alarm_order(world, "device-down:home-2", AlarmAction.SHELVE, until_s=60)
    world.run_for(2_000)
    assert world.view.events[0].seq == before
    alarm_order(world, "device-down:home-1", AlarmAction.SHELVE, until_s=60)
    alarm_order(world, "device-down:home-1", AlarmAction.UNSHELVE)
    world.run_for(2_000)
    assert alarm(world, "device-down:home-1").shelved_by == ""


def test_events_have_the_time_at_which_it_happened_and_the_time_at_which_it_was_taken_in() -> None:
    world = bench_of(village())
    world.run_for(10_000)
    happened = world.now_ms - 3_000
    world.inbox.event(LinkChanged(link="plc", device="home-2", up=False, at_ms=happened, cause="no reply"))
    world.run_for(1_000)
    [down] = events(world, "device-down")
    assert (down.source, str(down.text)) == ("home-2", "no reply")
    assert down.source_utc_ms == BASE_UTC_MS + happened
    assert down.utc_ms >= BASE_UTC_MS + happened + 3_000
    numbers = [e.seq for e in world.view.events]
    assert numbers == sorted(numbers, reverse=True)
    after = world.crashed()
    after.run_for(3_000)
    [first, second] = events(after, "boot")
    assert first.seq < down.seq < second.seq


def cut(world: Bench, links: list[str]) -> None:
    """What the drivers of links say when their cable is cut."""
    for name in links:
        devices = [d.name for d in world.site.devices if d.link == name]
        for device_name in devices:
            world.fail(device_name, FaultKind.SILENCE)
        world.inbox.event(LinkChanged(link=name, device="", up=False, at_ms=world.now_ms, cause="no route to host"))
        for device_name in devices:
            world.inbox.event(
                LinkChanged(link=name, device=device_name, up=False, at_ms=world.now_ms, cause=f"link {name} is down")
            )


def large_site(links: int) -> str:
    """Feeders with their meters, stores, generators and forty homes, dealt out to so many links."""
    homes = [
        device(f"home-{n}", "power deferrable shed_request shed_granted connect",
               f"kind: consumer, rated: 8 kW, deferrable: 2 kW, demand_responsive: 1 kW, class: 3, on: feeder-{n % 6}")
        for n in range(40)
    ]  # fmt: skip
    meters = [device(f"meter-{n}", "power current_a current_b current_c", "kind: feeder") for n in range(6)]
    wind = [
        device("wind-1", "power available limit", "kind: generator, dispatch: stochastic, rated: 40 kW, on: grid"),
        device("grid-meter", "power current_a current_b current_c", "kind: grid"),
    ]
    devices = [*homes, *meters, *wind]
    dealt = [d.replace("link: plc", f"link: plc{n % links}") for n, d in enumerate(devices)]
    text = text_of(
        dealt,
        region=QUICK,
        ratings=[
            "grid: {kind: grid, import: 120 A, meter: grid-meter}",
            *(f"feeder-{n}: {{kind: feeder, limit: 60 kVA, within: grid, meter: meter-{n}}}" for n in range(6)),
        ],
        simulated=[
            "wind-1: {model: wind, noise: 0 %}",
            *(f"home-{n}: {{model: home, base: 2 kW, deferrable: 1 kW, noise: 0 %}}" for n in range(40)),
        ],
    )
    all_links = ", ".join(f"plc{n}: {{type: modbus-tcp, host: 127.0.0.1, port: {5020 + n}}}" for n in range(links))
    return text.replace("links: {plc: {type: modbus-tcp, host: 127.0.0.1, port: 5020}}", f"links: {{{all_links}}}")


def test_a_cut_cable_is_a_handful_of_alarms() -> None:
    for links, cut_off in ((1, 1), (2, 1), (12, 12), (48, 48), (12, 7)):
        world = bench_of(large_site(links))
        world.run_for(10_000)
        world.plant.set_weather(wind=0.0)
        world.until(lambda w=world: bool(w.core.memory.book.sheds), MINUTE)  # type: ignore[misc]
        cut(world, [f"plc{n}" for n in range(cut_off)])
        most = 0
        for _ in range(30):
            world.run_for(5_000)
            most = max(most, len(world.alarms()))
        assert 0 < most <= MOST_ALARMS, (links, sorted(world.alarms()))
        assert any(key.startswith("link-down:") for key in world.alarms())


def test_devices_that_fall_silent_on_a_living_link_share_alarms_too() -> None:
    world = bench_of(large_site(1))
    world.run_for(10_000)
    for n in range(30):
        world.fail(f"home-{n}", FaultKind.SILENCE)
    world.until(lambda: "more-devices-down:plc0" in world.alarms(), MINUTE)
    world.run_for(MINUTE)
    assert len(world.alarms()) <= MOST_ALARMS, sorted(world.alarms())
    assert "28 more of its devices" in str(alarm(world, "more-devices-down:plc0").cause)
    for d in world.site.devices:
        world.fail(d.name, FaultKind.SILENCE)
    world.until(lambda: "link-silent:plc0" in world.alarms(), MINUTE)
    world.run_for(MINUTE)
    assert not [key for key in world.alarms() if key.startswith(("device-down:", "more-devices-down:"))]
    for d in world.site.devices:
        world.heal(d.name)
    world.until(lambda: not [k for k in world.alarms() if "down" in k or "silent" in k or "stale" in k], 2 * MINUTE)


def test_a_link_that_comes_back_is_given_time_to_hear_its_devices() -> None:
    world = bench_of(large_site(2))
    world.run_for(10_000)
    cut(world, ["plc1"])
    world.until(lambda: "link-down:plc1" in world.alarms())
    world.inbox.event(LinkChanged(link="plc1", device="", up=True, at_ms=world.now_ms, cause="connected"))
    world.run_for(3_000)
    assert not [key for key in world.alarms() if "plc1" in key]
    world.until(lambda: "link-silent:plc1" in world.alarms(), 20_000)


def test_what_uses_a_rating_is_named() -> None:
    world = bench_of(village())
    world.run_for(10_000)
    uses = dict(world.rating("grid").uses)
    assert uses["wind-1"] < 0
    assert uses["charger-1"] == 5_000
    assert sum(uses.values()) + world.rating("grid").unmetered_w == world.view.grid_net_w


def test_a_follower_of_the_steps_misses_no_event_of_a_storm() -> None:
    """A link may take hundreds of devices with it in one step, more than are kept from step to step."""
    world = bench_of(village())
    world.run_for(5_000)
    memory = world.core.memory
    seen = happened(memory, 0)[-1].seq
    for i in range(KEPT_EVENTS):
        for up in (False, True):
            world.say(LinkChanged(link="plc", device="home-1", up=up, at_ms=world.now_ms, cause=f"storm {i}"))
    world.run_for(1_000)
    fresh = happened(world.core.memory, seen)
    storm = [e for e in fresh if "storm" in str(e.text)]
    assert [e.seq for e in fresh] == list(range(seen + 1, seen + 1 + len(fresh)))
    assert [e.kind for e in storm] == ["device-down", "device-up"] * KEPT_EVENTS
    assert len(world.view.events) == KEPT_EVENTS
    world.run_for(2_000)
    assert len(world.core.memory.events) <= KEPT_EVENTS + 20
    assert replayed(world).identical
