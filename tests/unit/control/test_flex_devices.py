"""Devices of the site as appliances: each kind offers, does what was selected, is booked and given back."""

from __future__ import annotations

import pytest
from flex_own import HOUR, MINUTE, House, config

from scowl_edge.model.event import FlexAim, FlexStretch
from scowl_edge.model.flexibility import LimitState, Mode, ProfileKind


def settled(*names: str, **more: object) -> House:
    """A house of which every device has offered."""
    house = House(names, **more)  # type: ignore[arg-type]
    house.run(3 * MINUTE)
    return house


def booked(house: House, name: str) -> tuple[int, int]:
    """(promised, delivered) Wh of its first account."""
    view = house.core.view()
    assert view is not None and view.flex is not None
    account = next(a for a in view.flex.account_list if a.esa_id == f"house.{name}")
    return account.promised_wh, account.delivered_wh


@pytest.mark.parametrize(("kind", "mode", "sign"), [(ProfileKind.LD, 2, 1), (ProfileKind.LDP, 3, -1)])
def test_a_battery_is_charged_and_discharged_as_selected(kind: ProfileKind, mode: int, sign: int) -> None:
    house = settled("battery")
    assert house.appliance("battery").limiting.state is LimitState.UNLIMITED
    before = house.values["battery", "soc"]
    profile = house.select("battery", kind)
    house.active("battery")
    house.step()
    assert house.power_w("battery") == profile.elements[0].p_nom_w and house.power_w("battery") * sign > 0
    assert house.values["battery", "mode"] == mode
    decision = [str(d.reason) for d in house.core.memory.decisions if d.rung == "flex"]
    assert "wants" in decision[-1] and "RESPONSE" in decision[-1]
    house.run(1_000 * profile.length_s)
    assert house.states("battery") == ["COMPLETED"]
    assert (house.values["battery", "soc"] - before) * sign > 300_000
    assert house.power_w("battery") == 0 and house.values["battery", "mode"] == 1, "it rests afterwards"
    promised_wh, delivered_wh = booked(house, "battery")
    assert abs(promised_wh - delivered_wh) <= 100
    assert house.appliance("battery").rev > 1, "it offers anew what it can do now"


def test_what_nobody_selects_is_left_as_it_is() -> None:
    house = settled("battery", "car", "sun", values={("car", "limit"): 6_000, ("sun", "limit"): 3_000})
    assert house.offer("battery") and house.offer("car") and house.offer("sun")
    assert house.values["car", "limit"] == 6_000 and house.values["sun", "limit"] == 3_000


def test_setpoints_slot_by_slot() -> None:
    house = settled("battery")
    profile = house.select("battery", modulated=True, setpoints_w=(1_000, -2_000, 0, 3_000))
    house.active("battery")
    seen = []
    while house.states("battery") == ["ACTIVE"]:
        house.step()
        seen.append(house.power_w("battery"))
    assert len(profile.elements) == 4
    assert [w for i, w in enumerate(seen) if i == 0 or w != seen[i - 1]] == [1_000, -2_000, 0, 3_000, 0]
    assert house.states("battery") == ["COMPLETED"]


def test_a_vehicle_waits_for_the_start_that_was_selected_and_is_full_enough_when_it_leaves() -> None:
    house = settled("car", step_ms=30_000)
    assert house.power_w("car") == 11_040, "by itself it charges at once"
    profile = house.select("car", ProfileKind.MD)
    house.step()
    offer = house.offer("car")
    house.until(utc_ms=offer.start_earliest_ms + MINUTE)
    assert house.states("car") == ["SCHEDULED"] and house.power_w("car") == 0
    house.until(utc_ms=profile.start_fixed_ms + 2 * MINUTE)
    assert house.states("car") == ["ACTIVE"] and house.power_w("car") == 11_040
    house.until(utc_ms=profile.start_fixed_ms + 1_000 * profile.length_s + MINUTE)
    assert house.states("car") == ["COMPLETED"]
    assert house.values["car", "soc"] >= 790_000


def test_a_vehicle_that_does_not_tell_its_level_is_reckoned() -> None:
    text = config("car").replace('      soc: {address: 5, type: uint16, unit: "%", scale: 0.01}\n', "")
    house = House(("car",), text=text, values={("car", "present"): 0})
    house.run(2 * MINUTE)
    offered = house.appliance("car").offer_set
    assert offered is None or not offered.offers, "nobody is there"
    house.values["car", "present"] = 1
    house.run(30 * MINUTE)
    watched = house.flexible.talks.devices["house.car"].watched
    # 20 % of 60 kWh when it came, and half an hour of 11 kW since.
    assert abs(watched.level_j - 3_600 * (12_000 + 5_520 * 93 // 100)) < 3_600 * 150
    house.values["car", "present"] = 0
    house.run(2 * MINUTE)
    assert not house.flexible.talks.devices["house.car"].watched.present


def test_a_charger_that_tells_nothing_expects_another_vehicle_every_day() -> None:
    text = config("car").replace('      soc: {address: 5, type: uint16, unit: "%", scale: 0.01}\n', "")
    text = text.replace("      present: {address: 4, type: uint16}\n", "")
    house = House(("car",), text=text, now_ms=5 * HOUR, step_ms=60_000)
    house.run(HOUR)
    watched = house.flexible.talks.devices["house.car"].watched
    before = watched.level_j
    assert watched.present and before > 3_600 * 20_000
    house.run(35 * MINUTE)
    assert watched.level_j < before, "at half past six one left, and another one came with 20 %"


def test_the_sun_is_curtailed_as_selected_and_let_go_after() -> None:
    house = settled("sun")
    offer = house.offer("sun")
    intended = offer.profiles[0]
    assert intended.elements[0].p_nom_w == -4_000
    count = len(intended.elements)
    profile = house.select("sun", ProfileKind.IO, setpoints_w=(-1_500, *(e.p_nom_w for e in intended.elements[1:])))
    house.active("sun")
    house.step()
    assert house.power_w("sun") == -1_500 and house.values["sun", "limit"] == 1_500
    house.run(15 * MINUTE)
    assert house.power_w("sun") == -4_000
    house.run(1_000 * profile.length_s)
    assert count >= 2 and house.values["sun", "limit"] == 8_000, "nobody limits it any more"


def test_a_heat_pump_runs_lower_than_it_meant_to() -> None:
    house = settled("heat", step_ms=30_000, values={("heat", "temperature"): 20_500})
    intended = house.offer("heat").profiles[0]
    lows = tuple(e.p_min_w for e in intended.elements)
    house.select("heat", ProfileKind.IO, setpoints_w=lows)
    house.active("heat")
    for _ in range(6):
        wanted = house.appliance("heat").selections.running()
        assert wanted is not None
        house.run(5 * MINUTE)
        assert house.values["heat", "limit"] == wanted.setpoint_w()
    assert house.states("heat") == ["ACTIVE"]


def test_a_freezer_that_can_only_be_switched_runs_a_part_of_the_time() -> None:
    house = settled("freezer", step_ms=5_000)
    intended = house.offer("freezer").profiles[0]
    house.select("freezer", ProfileKind.IO)
    house.active("freezer")
    wanted_w = intended.elements[0].p_nom_w
    assert 50 < wanted_w < 350
    house.run(MINUTE)
    before = house.flows_wms["freezer"]
    house.run(10 * MINUTE)
    assert abs((house.flows_wms["freezer"] - before) // (10 * MINUTE) - wanted_w) < 20
    assert house.states("freezer") == ["ACTIVE"]


def test_a_washer_waits_is_started_as_selected_and_finishes() -> None:
    house = settled("washer")
    offered = house.appliance("washer").offer_set
    assert offered is None or not offered.offers, "it has no job"
    house.values["washer", "job"] = 1
    house.run(3 * MINUTE)
    assert house.power_w("washer") == 0, "it waits for a better start"
    offer = house.offer("washer")
    profile = next(p for p in offer.profiles if p.kind is ProfileKind.OTHER)
    house.select("washer", ProfileKind.LD)
    house.active("washer")
    house.run(2 * MINUTE)
    assert house.power_w("washer") == 2_000
    house.run(1_000 * profile.length_s)
    assert house.states("washer") == ["COMPLETED"] and house.values["washer", "job"] == 0


def test_a_loaded_washer_that_nobody_selects_begins_by_itself() -> None:
    house = settled("washer", values={("washer", "job"): 1})
    assert house.power_w("washer") == 0
    house.run(15 * MINUTE)
    assert house.power_w("washer") == 2_000


def test_the_sum_follows_a_level_that_is_ordered() -> None:
    house = settled("battery", "car", step_ms=30_000)
    aim = FlexAim(
        begin_utc_ms=0, curve=(FlexStretch(dur_s=0, power_w=6_000),), relative=False, mode=Mode.RESPONSE,
        event_ref="", emergency=False, who="test", why="test", until_utc_ms=house.utc_ms + 8 * HOUR,
    )  # fmt: skip
    house.events.append(aim)
    house.run(30 * MINUTE)
    followed = []
    for _ in range(60):
        house.run(2 * MINUTE)
        followed.append(house.power_w("battery") + house.power_w("car"))
    assert sum(abs(w - 6_000) <= 1_000 for w in followed) > 45, followed
    assert house.flexible.talks.plans_failed == 0 and house.flexible.talks.refused == {}


def test_all_of_them_together_repeat_from_their_inputs() -> None:
    names = ("battery", "car", "sun", "heat", "freezer", "washer")
    house = settled(*names, values={("washer", "job"): 1}, step_ms=30_000)
    for name in ("battery", "car", "sun", "heat", "freezer", "washer"):
        house.select(name, ProfileKind.LD if name != "sun" else ProfileKind.IO)
    house.run(30 * MINUTE)
    assert {house.states(n)[0] for n in house.names} <= {"ACTIVE", "COMPLETED", "OVERRIDDEN"}
    house.replayed()
