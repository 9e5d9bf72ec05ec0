"""What the configuration makes of devices that take part in flexibility."""

from __future__ import annotations

from pathlib import Path

import pytest
from flex_own import FLEX, config

from scowl_edge.assembly import ConfigError, assemble
from scowl_edge.cli.check import summary
from scowl_edge.model.flexibility import Mode
from scowl_edge.model.part import BatteryPart, ChargerPart, DevicePart, ThermalPart, WasherPart
from scowl_edge.model.site import NONE


def parts(text: str) -> dict[str, DevicePart]:
    site = assemble(text, "house.yaml").site
    assert site.flex is not None and site.flex.manager is not None
    return {site.devices[part.device].name: part for part in site.flex.manager.devices}


def test_what_the_role_says_is_not_said_again() -> None:
    found = parts(config(*FLEX))
    battery, car, heat, freezer, washer = (found[n].physics for n in ("battery", "car", "heat", "freezer", "washer"))
    assert isinstance(battery, BatteryPart) and isinstance(car, ChargerPart) and isinstance(washer, WasherPart)
    assert (battery.capacity_wh, battery.charge_w, battery.floor_ppm) == (10_000, 5_000, 100_000)
    assert (car.phases, car.current_max_a, car.leave_ms) == (3, 16, 23_400_000)
    assert isinstance(heat, ThermalPart) and isinstance(freezer, ThermalPart)
    assert heat.gain_ppm > 0 > freezer.gain_ppm and heat.capacity_j_per_k == 25_200_000
    assert washer.programme == ((1_200, 2_000), (2_400, 200))
    assert found["battery"].esa_id == "house.battery" and found["battery"].do_mode != NONE
    # The manager's fail-safe value, as far as the device can; what can only be switched keeps its power.
    assert (found["car"].failsafe_p_upper_w, found["battery"].failsafe_p_lower_w) == (2_000, -1_000)
    assert (found["freezer"].failsafe_p_upper_w, found["sun"].failsafe_p_lower_w) == (400, -8_000)


def test_what_the_owner_wants() -> None:
    text = config("battery", battery="{kind: battery, id: my-battery, services: response, consent: c 1}")
    battery = parts(text)["battery"]
    assert battery.esa_id == "my-battery" and battery.consent_ref == "c 1"
    assert battery.services == (Mode.RESPONSE,) and battery.random_offset_max_s == 600


def test_a_site_that_talks_to_nobody_needs_no_certificates() -> None:
    assembly = assemble(config("battery"), "house.yaml")
    assert assembly.flex is None and assembly.site.flex is not None
    assert assembly.site.flex.manager is not None and assembly.site.flex.manager.appliances == 0
    assert "in flexibility battery as battery" in summary(assembly, Path("house.yaml"))
    with pytest.raises(ConfigError, match="lacks its key `tls`, which its links need"):
        assemble(config("battery").replace("flex:\n", "flex:\n  listen: 127.0.0.1:8443\n"), "house.yaml")


def test_fail_safe_values_join_the_sum_below_a_rating() -> None:
    wide = "{kind: battery, failsafe: {import: 5 kW, export: 5 kW}}"
    with pytest.raises(ConfigError, match=r"left alone, .* may draw .*battery .*\(fail-safe\)"):
        assemble(config("battery", "heat", limit="8 A", battery=wide), "house.yaml")
    narrow = "{kind: battery, failsafe: {import: 1 kW, export: 5 kW}}"
    assert parts(config("battery", "heat", limit="8 A", battery=narrow))
