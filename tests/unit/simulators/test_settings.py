"""The `simulation:` section: what is read, and every fault with its place."""

from __future__ import annotations

import pytest

from scowl_edge.config import ConfigError, parse
from simulators.settings import SimulationSettings, read_settings

DEVICES = ("wind-1", "home-1", "grid-meter")
RATINGS = ("grid",)


def read(text: str) -> SimulationSettings:
    return read_settings(parse(text, "site.yaml"), DEVICES, RATINGS)


def test_without_a_section_everything_has_its_default() -> None:
    assert read("site: {id: x}\n") == SimulationSettings()


def test_values_are_in_base_units() -> None:
    settings = read(
        """
simulation:
  seed: 7
  weather: {wind: 80 %}
  front: 20 s
  load: 140 %
  unknown_unit: 11
  unmetered: {grid: 2 kW}
  pki: certificates
  devices:
    wind-1: {model: wind, noise: 1 %, noise_period: 2 s, ramp: 5 kW/s}
    home-1: {model: home, base: 2 kW, shape: home, initial: {supply: 2, serial: "A1"}}
    grid-meter: {model: grid, rating: grid}
"""
    )
    assert (settings.seed, settings.wind, settings.sun, settings.load) == (7, 0.8, 0.6, 1.4)
    assert (settings.front_ms, settings.unknown_unit) == (20_000, 11)
    assert settings.unmetered == {"grid": 2000.0}
    assert settings.pki == "certificates"
    assert settings.devices["wind-1"].numbers == {"noise": 0.01, "noise_period": 2000.0, "ramp": 5000.0}
    assert settings.devices["home-1"].initial == {"supply": 2.0, "serial": "A1"}
    assert settings.devices["home-1"].shape == "home"
    assert settings.devices["grid-meter"].rating == "grid"


def test_every_fault_is_found_in_one_go_with_its_place() -> None:
    with pytest.raises(ConfigError) as raised:
        read(
            """simulation:
  sed: 7
  weather: {wind: 0.8}
  unknown_unit: 3
  devices:
    wind-2: {model: wind}
    wind-1: {model: wind, soc: 50 %, noise: 1 kW}
    home-1: {model: house}
"""
        )
    text = str(raised.value)
    for expected in (
        "site.yaml:2:3: sed is not known here; did you mean seed?",
        "site.yaml:3:19: wind is 0.8 without a unit",
        "site.yaml:4:17: unknown_unit is 3; write silence, 10 or 11",
        "site.yaml:6:5: wind-2 is not known here; did you mean wind-1?",
        "site.yaml:7:27: soc is not known here",
        "noise cannot be read",
        "site.yaml:8:21: there is no model house",
    ):
        assert expected in text
