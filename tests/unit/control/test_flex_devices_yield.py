"""Devices of the site give way to people, limits, silence, faults and the region's ladder, and go on after."""

from __future__ import annotations

import pytest
from flex_own import HOUR, MINUTE, House, config

from scowl_edge.control.flex_devices import GONE_MS
from scowl_edge.dsr.limiting import SILENCE_MS
from scowl_edge.model.event import (
    DeviceMode,
    FlexLimit,
    FlexOverride,
    Order,
    Rank,
    RegionMode,
    Stopping,
    ValueOrder,
    Veto,
)
from scowl_edge.model.exchange import Running
from scowl_edge.model.flexibility import LimitClass, LimitState, Mode, OverrideScope, ProfileKind


def charging(mode: Mode = Mode.ROUTINE, **more: object) -> House:
    """A house whose battery charges because that was selected."""
    house = House(("battery",), **more)  # type: ignore[arg-type]
    house.run(3 * MINUTE)
    house.select("battery", ProfileKind.LD, mode=mode)
    house.active("battery")
    house.run(MINUTE)
    assert house.power_w("battery") > 4_000
    return house


def limit(house: House, klass: LimitClass, upper_w: int | None) -> None:
    house.events.append(
        FlexLimit(
            esa_id="house.battery", cem="", klass=klass, active=upper_w is not None, p_upper_w=upper_w,
            p_lower_w=None if upper_w is None else -1_000, dur_s=None, who="test", why="test", until_utc_ms=0,
        )
    )  # fmt: skip


# People


def test_a_user_who_overrides_ends_it_and_a_contract_no_longer_binds() -> None:
    house = charging()
    limit(house, LimitClass.CONTRACT, 1_500)
    house.run(MINUTE)
    assert house.power_w("battery") == 1_500 and house.states("battery") == ["ACTIVE"]
    order = FlexOverride(esa_id="house.battery", scope=OverrideScope.ALL, who="test", why="no", until_utc_ms=0)
    house.events.append(order)
    house.run(MINUTE)
    assert house.states("battery") == ["OVERRIDDEN"] and house.power_w("battery") == 0
    house.events.append(
        ValueOrder(device="battery", verb="setpoint", value=4_000, rank=Rank.USER, who="u", why="w", until_utc_ms=0)
    )
    house.run(MINUTE)
    assert house.power_w("battery") == 4_000, "below the user nothing binds"


@pytest.mark.parametrize("how", ["manual", "out-of-service", "veto", "value", "advisory", "hold"])
def test_whoever_steers_by_hand_takes_it_out_and_gives_it_back(how: str) -> None:
    house = charging()
    order = {"who": "test", "why": "test", "until_utc_ms": 0}
    begin, end = {
        "manual": (Order(target="battery", mode=DeviceMode.MANUAL, **order), None),
        "out-of-service": (Order(target="battery", mode=DeviceMode.OUT_OF_SERVICE, **order), None),
        "veto": (Veto(device="battery", active=True, **order), Veto(device="battery", active=False, **order)),
        "value": (
            ValueOrder(device="battery", verb="setpoint", value=-700, rank=Rank.USER, **order),
            ValueOrder(device="battery", verb="setpoint", value=None, rank=Rank.USER, **order),
        ),
        "advisory": (Order(target="", mode=RegionMode.ADVISORY, **order), Order(target="", mode="auto", **order)),
        "hold": (Order(target="", mode=RegionMode.HOLD, **order), Order(target="", mode="auto", **order)),
    }[how]  # type: ignore[arg-type]
    house.events.append(begin)
    house.run(MINUTE)
    assert house.states("battery") == ["OVERRIDDEN"]
    held = house.appliance("battery").override_held
    assert held is not None and held.scope is OverrideScope.ALL
    if how == "value":
        assert house.power_w("battery") == -700
    if how == "veto":
        assert house.power_w("battery") == 0
    if how in ("manual", "out-of-service", "advisory"):
        assert house.power_w("battery") > 4_000, "nobody touches it"
    rev = house.appliance("battery").rev
    house.events.append(end or Order(target="battery", mode=DeviceMode.AUTO, **order))  # type: ignore[arg-type]
    house.run(3 * MINUTE)
    assert house.appliance("battery").override_held is None
    assert house.appliance("battery").rev > rev, "it offers again"
    house.select("battery", ProfileKind.LDP)
    house.active("battery")


# Limits and silence


@pytest.mark.parametrize("klass", list(LimitClass))
def test_a_limit_holds_whatever_is_selected(klass: LimitClass) -> None:
    house = charging()
    limit(house, klass, 2_000)
    house.run(2 * MINUTE)
    assert house.power_w("battery") == 2_000 and house.states("battery") == ["ACTIVE"]
    limit(house, klass, None)
    house.run(2 * MINUTE)
    assert house.power_w("battery") > 4_000


def test_a_device_whose_provider_is_silent_keeps_to_its_fail_safe_limit_even_by_hand() -> None:
    house = House(("battery", "car", "sun"), text=config("battery", "car", "sun", far=True))
    house.run(MINUTE)
    # Nobody was ever heard: 2 kW to draw, 1 kW to feed back, the sun all of it.
    assert house.cem.site.state is LimitState.INIT
    assert house.values["car", "limit"] == 2_000 and house.power_w("car") == 0
    assert house.values["sun", "limit"] == 8_000
    house.run(SILENCE_MS + MINUTE)
    assert house.cem.site.state is LimitState.AUTONOMOUS
    house.events.append(
        ValueOrder(device="battery", verb="setpoint", value=4_000, rank=Rank.OPERATOR, who="o", why="w", until_utc_ms=0)
    )
    house.run(MINUTE)
    assert house.power_w("battery") == 2_000, "an operator is bounded by what is safe"


# The region


def test_the_regions_ladder_goes_before_a_selection_and_keeps_the_rating() -> None:
    house = charging(text=config("battery", limit="20 A"))
    house.other_w = 11_500
    house.run(2 * MINUTE)
    assert house.states("battery") == ["OVERRIDDEN"]
    assert house.power_w("battery") + house.other_w <= 3 * 20 * 230
    assert any(d.rung == "flex-taken" for d in house.core.memory.decisions)
    refused = house.offer("battery")
    house.other_w = 500
    house.run(20 * MINUTE)
    assert house.offer("battery").offer_id != refused.offer_id


def test_the_regions_economy_leaves_a_device_alone_that_runs_a_selection() -> None:
    house = House(("battery", "sun"))
    house.values["sun", "available"] = 7_000
    house.run(10 * MINUTE)
    assert house.power_w("battery") > 2_000, "the region stores what is spare"
    house.select("battery", ProfileKind.LDP, mode=Mode.ROUTINE)
    house.active("battery")
    for _ in range(40):
        house.step()
        if house.states("battery") == ["ACTIVE"]:
            assert house.core.memory.region.storage_setpoint_w[0] < 0 or house.power_w("battery") <= 0
    assert house.states("battery")[0] == "ACTIVE" and house.power_w("battery") < -1_000


# Faults


def test_a_device_that_does_not_follow_is_found_out() -> None:
    house = charging()
    house.stuck.add("battery")
    house.run(6 * MINUTE)
    assert house.states("battery") == ["ABORTED"]


def test_a_device_that_cannot_be_reached_for_long_is_faulty() -> None:
    house = charging()
    house.down("battery")
    house.run(GONE_MS // 2)
    assert house.appliance("battery").running is Running.OFFLINE and house.states("battery") == ["ACTIVE"]
    house.run(GONE_MS)
    assert house.appliance("battery").running is Running.FAULT and house.states("battery") == ["ABORTED"]
    house.down("battery", up=True)
    house.run(3 * MINUTE)
    assert house.appliance("battery").running in (Running.IDLE, Running.RUNNING)
    assert house.offer("battery")


def test_power_that_nobody_knows_is_a_missing_slot_and_a_level_that_nobody_knows_no_offer() -> None:
    house = House(("battery",))
    house.run(3 * MINUTE)
    assert house.offer("battery")
    house.bad.add(("battery", "power"))
    house.bad.add(("battery", "soc"))
    house.run(5 * MINUTE)
    readings = house.provider.portfolio.books.reported["house.battery"]
    powers = [readings.by_begin[b].power_w for b in readings.begins_ms]
    assert powers[0] is not None and powers[-1] is None
    offered = house.appliance("battery").offer_set
    assert offered is not None and not offered.offers, "what is not known is not offered"
    house.bad.clear()
    house.run(3 * MINUTE)
    assert house.offer("battery")


# Restarts and new configurations


def test_what_runs_goes_on_after_a_restart() -> None:
    house = charging()
    selection = house.appliance("battery").selections.running()
    assert selection is not None
    house.restart()
    house.run(MINUTE)
    assert house.states("battery") == ["ACTIVE"] and house.power_w("battery") > 4_000
    house.run(HOUR)
    assert house.states("battery") == ["COMPLETED"] and house.power_w("battery") == 0


def test_a_stop_leaves_it_as_the_role_says() -> None:
    house = charging()
    house.events.append(Stopping(why="test"))
    power_w = house.power_w("battery")
    for _ in range(4):
        plan = house.step()
    assert plan.final and house.power_w("battery") == power_w, "`on_stop: hold`"


def test_a_new_configuration_keeps_what_runs_and_gives_up_who_is_gone() -> None:
    house = charging()
    house.names = ("battery", "car")
    house.configure(config("battery", "car", battery="{kind: battery, services: response, random_offset: 0 s}"))
    house.run(3 * MINUTE)
    assert set(house.cem.members) == {"house.battery", "house.car"} == set(house.provider.mirrors)
    assert house.states("battery") == ["ACTIVE"] and house.power_w("battery") > 4_000
    assert house.cem.members["house.battery"].settings.modes == (Mode.RESPONSE,)
    house.names = ("car",)
    house.configure(config("car"))
    house.run(2 * MINUTE)
    assert set(house.cem.members) == {"house.car"} == set(house.provider.mirrors)
    assert set(house.flexible.talks.devices) == {"house.car"}


def test_what_the_owner_does_not_allow_is_not_offered() -> None:
    house = House(("battery",), text=config("battery", battery="{kind: battery, services: none}"))
    house.run(3 * MINUTE)
    offered = house.provider.mirrors["house.battery"].offer_set
    assert house.offer("battery") and (offered is None or not offered.offers)


def test_a_vehicle_that_waits_loses_nothing_to_the_ladder() -> None:
    house = House(("car",), text=config("car", limit="25 A"))
    house.run(3 * MINUTE)
    house.select("car", ProfileKind.MD)
    house.step()
    house.until(utc_ms=house.offer("car").start_earliest_ms + MINUTE)
    assert house.power_w("car") == 0
    house.other_w = 25_000
    house.run(5 * MINUTE)
    assert house.states("car") == ["SCHEDULED"] and house.power_w("car") == 0


def test_a_vehicle_that_charges_gives_way_to_the_ladder() -> None:
    house = House(("car",), text=config("car", limit="25 A"))
    house.run(3 * MINUTE)
    house.select("car", ProfileKind.LD)
    house.active("car")
    house.run(MINUTE)
    assert house.states("car") == ["ACTIVE"] and house.power_w("car") == 11_040
    house.other_w = 12_000
    house.run(3 * MINUTE)
    assert house.states("car") == ["OVERRIDDEN"]
    assert house.power_w("car") + house.other_w <= 3 * 25 * 230
