"""A device's own fail-safe: set before it is commanded, kept alive by a number that changes, and left to itself."""

from __future__ import annotations

import itertools

import pytest
from bench_region import MINUTE, QUICK, Bench, bench_of, device, replayed, text_of

from scowl_edge.model.command import Verb
from scowl_edge.model.event import Rank, ValueOrder
from simulators.faults import FaultKind

TIMEOUT_S = 30


def inverter(
    region: str = QUICK, extra: str = "", signals: str = "failsafe_limit failsafe_timeout heartbeat", role: str = ""
) -> Bench:
    """A grid connection that takes 4.1 kW of an inverter which gives 8 kW, unless it is held back."""
    own = f", failsafe: {{limit: 2 kW, timeout: {TIMEOUT_S} s}}"
    return bench_of(
        text_of(
            [
                device("grid-meter", "power current_a current_b current_c voltage", "kind: grid"),
                device(
                    "inverter",
                    f"power limit {signals}",
                    f"kind: generator, dispatch: stochastic, rated: 10 kW, settle: 1 s, on: grid{own}{role}",
                    extra,
                ),
            ],
            region=region,
            ratings=["grid: {kind: grid, import: 30 A, export: 6 A, phases: 3, meter: grid-meter}"],
            simulated=["inverter: {model: solar, noise: 0 %}"],
            simulation="weather: {wind: 0 %, sun: 80 %}, front: 100 ms",
        )
    )


def kept(world: Bench, point: str) -> float:
    """What a plain register of the inverter holds."""
    return float(world.plant.kept("inverter", point))


def limited(world: Bench) -> bool:
    return world.register("inverter", "limit") < 8_000


def test_it_is_set_before_the_first_limit_and_read_back() -> None:
    world = inverter()
    world.until(lambda: world.entry("inverter", Verb.LIMIT).stage == "holding")
    order = [w.signal for w in world.writes("inverter")]
    assert order.index("failsafe_limit") < order.index("limit")
    assert order.index("failsafe_timeout") < order.index("limit")
    assert (kept(world, "failsafe_limit"), kept(world, "failsafe_timeout")) == (2_000, TIMEOUT_S)
    for verb in (Verb.FAILSAFE, Verb.FAILSAFE_TIMEOUT):
        assert world.entry("inverter", verb).stage == "holding"
        assert world.actuator("inverter", verb.value).writes_total == 1
    assert replayed(world).difference is None


def test_what_is_set_already_is_not_written() -> None:
    world = inverter(extra="failsafe_limit:write_class: stored;failsafe_timeout:write_class: stored")
    index = world.plant.index("inverter")
    world.plant.plain[index, "failsafe_limit"] = 2_000.0
    world.plant.plain[index, "failsafe_timeout"] = float(TIMEOUT_S)
    world.run_for(2 * MINUTE)
    assert limited(world)
    assert world.writes("inverter", "failsafe_limit") == world.writes("inverter", "failsafe_timeout") == []


def test_a_device_that_lost_it_gets_it_again() -> None:
    world = inverter()
    world.until(lambda: kept(world, "failsafe_timeout") == TIMEOUT_S)
    world.run_for(10_000)
    world.plant.plain[world.plant.index("inverter"), "failsafe_timeout"] = 0.0
    world.until(lambda: kept(world, "failsafe_timeout") == TIMEOUT_S, 10_000)


def test_the_heartbeat_is_a_number_that_changes_three_times_in_a_time_out() -> None:
    world = inverter()
    world.run_for(5 * MINUTE)
    beats = world.writes("inverter", "heartbeat")
    assert len(beats) >= 29
    assert all(a.value != b.value for a, b in itertools.pairwise(beats))
    assert max(b.at_ms - a.at_ms for a, b in itertools.pairwise(beats)) <= TIMEOUT_S * 1000 // 3 + 1_500
    assert len(world.writes("inverter", "limit")) < 10, "the limit itself is written on change only"
    assert world.fact("inverter", "failsafe_trips") == 0
    assert world.alarms() <= {"clock"}


def test_a_short_range_of_numbers_goes_round() -> None:
    world = inverter(extra="heartbeat:min: 1, max: 2")
    world.run_for(MINUTE)
    assert {w.value for w in world.writes("inverter", "heartbeat")} == {1.0, 2.0}


def test_it_survives_lost_answers_and_two_lost_beats() -> None:
    world = inverter()
    world.run_for(MINUTE)
    world.fail("inverter", FaultKind.SILENCE)
    world.run_for(15_000)
    world.heal("inverter")
    world.run_for(MINUTE)
    assert world.fact("inverter", "failsafe_trips") == 0


@pytest.mark.parametrize("on_stop", ["hold", "release"])
def test_after_a_stop_there_is_no_heartbeat_and_the_device_falls_back_by_itself(on_stop: str) -> None:
    world = inverter(role=f", on_stop: {on_stop}")
    world.until(lambda: limited(world))
    world.run_for(20_000)
    world.stop()
    stopped_at = world.now_ms
    world.run_for(20_000)
    assert world.stopped
    assert not [w for w in world.writes("inverter", "heartbeat") if w.at_ms > stopped_at]
    assert kept(world, "failsafe_timeout") == TIMEOUT_S, "the guard itself stays"
    world.plant.advance(world.now_ms + TIMEOUT_S * 1000)
    assert world.register("inverter", "limit") == 2_000


def test_a_crash_is_survived_by_the_heartbeat_of_the_next_life() -> None:
    world = inverter()
    world.run_for(MINUTE)
    last = world.writes("inverter", "heartbeat")[-1].value
    after = world.crashed(down_ms=10_000)
    after.run_for(15_000)
    mine = [w for w in after.writes("inverter", "heartbeat") if w.at_ms > world.now_ms]
    assert mine[0].value != last
    after.run_for(MINUTE)
    assert after.fact("inverter", "failsafe_trips") == 0


@pytest.mark.parametrize("mode", ["manual", "out-of-service"])
def test_a_device_that_is_not_commanded_is_told_nothing(mode: str) -> None:
    world = inverter()
    world.order("inverter", mode)
    world.run_for(MINUTE)
    assert world.writes("inverter") == []


def test_in_advisory_nothing_is_written() -> None:
    world = inverter(region="mode: advisory")
    world.run_for(MINUTE)
    assert world.writes() == []


def test_a_value_that_a_person_holds_is_kept_alive() -> None:
    world = inverter()
    world.say(
        ValueOrder(
            device="inverter", verb="limit", value=1_000, rank=Rank.OPERATOR, who="ann", why="a test", until_utc_ms=0
        )
    )
    world.run_for(3 * MINUTE)
    assert world.register("inverter", "limit") == 1_000
    assert world.fact("inverter", "failsafe_trips") == 0
    assert len(world.writes("inverter", "heartbeat")) > 10


def test_a_device_without_a_heartbeat_is_said_the_limit_again() -> None:
    world = inverter(signals="", role=", heartbeat: 10 s")
    world.run_for(3 * MINUTE)
    assert world.fact("inverter", "failsafe_trips") == 0
    assert len(world.writes("inverter", "limit")) >= 15


def test_who_falls_back_and_who_stays_as_left() -> None:
    world = inverter()
    world.run_for(5_000)
    assert world.seen("inverter").stays_as_left is False
    assert world.seen("grid-meter").stays_as_left is None
    assert world.actuator("inverter", "limit").stays_as_left is False


# -- an interlock, from the configuration to the page


def test_an_interlock_withholds_with_its_reason_and_an_alarm() -> None:
    world = inverter(extra="limit:interlock: {point: remote, equals: 1}", signals="remote")
    world.run_for(20_000)
    assert world.writes("inverter") == []
    shown = world.actuator("inverter", "limit")
    assert shown.target is None, "the region does not count on what it cannot command"
    world.say(
        ValueOrder(
            device="inverter", verb="limit", value=1_000, rank=Rank.OPERATOR, who="ann", why="a test", until_utc_ms=0
        )
    )
    world.run_for(5_000)
    shown = world.actuator("inverter", "limit")
    assert (shown.target, shown.state) == (1_000, "intended")
    assert str(shown.withheld) == "not while remote of inverter is 0; it is written between 1 and 1 only"
    assert "withheld:inverter" in world.alarms()
    world.plant.plain[world.plant.index("inverter"), "remote"] = 1.0
    world.until(lambda: world.register("inverter", "limit") == 1_000, 10_000)
    assert world.actuator("inverter", "limit").withheld is None
    assert "withheld:inverter" not in world.alarms()
