"""Faults that lie in the device itself, in virtual time."""

from __future__ import annotations

from copy import deepcopy

import pytest
from plant_sites import SiteBuilder

from simulators.faults import Fault, FaultKind
from simulators.plant import Plant, SimulationError
from simulators.settings import DeviceSettings, SimulationSettings


def plant_with_charger() -> Plant:
    site = SiteBuilder()
    grid = site.rating("grid")
    site.consumer("charger-1", 11_000, rating=grid)
    plant = Plant(site.build(), SimulationSettings(devices={"charger-1": DeviceSettings(model="charger")}))
    plant.advance(1000)
    return plant


def test_acknowledged_but_not_applied() -> None:
    plant = plant_with_charger()
    plant.add_fault("charger-1", Fault(kind=FaultKind.ACK_NOT_APPLIED))
    assert plant.write("charger-1", "limit", 4000)
    plant.advance(2000)
    assert plant.read("charger-1", "limit") == 11_000
    assert [(write.value, write.applied) for write in plant.accepted] == [(4000, False)]


def test_echo_without_effect_draws_on_until_it_is_mended() -> None:
    plant = plant_with_charger()
    plant.add_fault("charger-1", Fault(kind=FaultKind.ECHO_WITHOUT_EFFECT))
    plant = deepcopy(plant)
    plant.write("charger-1", "limit", 4000)
    plant.advance(5000)
    assert plant.read("charger-1", "limit") == 4000
    assert plant.read("charger-1", "power") == 11_000
    assert plant.read("grid-meter", "power") == 11_000
    plant.clear_fault("charger-1")
    plant.advance(6000)
    assert plant.read("charger-1", "power") == 4000


def test_stuck_readings_hide_what_the_machine_does() -> None:
    plant = plant_with_charger()
    plant.keep("charger-1", "lamp", 1.0)
    plant.add_fault("charger-1", Fault(kind=FaultKind.STUCK))
    assert plant.keep("charger-1", "lamp", 0.0)
    assert plant.kept("charger-1", "lamp") == 1.0
    plant.write("charger-1", "limit", 4000)
    plant.advance(5000)
    assert plant.read("charger-1", "power") == 11_000
    assert plant.read("charger-1", "limit") == 11_000
    assert plant.read("grid-meter", "power") == 4000
    assert plant.truth("charger-1")["power_w"] == 4000
    plant.clear_fault("charger-1", FaultKind.STUCK)
    assert plant.read("charger-1", "power") == 4000
    assert plant.kept("charger-1", "lamp") == 0.0


def test_a_second_master_keeps_writing_and_is_told_apart() -> None:
    plant = plant_with_charger()
    fault = Fault(kind=FaultKind.SECOND_MASTER, signal="limit", value=9000.0, every_ms=10_000)
    plant.add_fault("charger-1", fault)
    plant.write("charger-1", "limit", 4000)
    plant.advance(10_500)
    assert plant.read("charger-1", "limit") == 4000
    plant.advance(11_000)
    assert plant.read("charger-1", "limit") == 9000
    plant.write("charger-1", "limit", 4000)
    plant.advance(21_500)
    assert [(write.source, write.value, write.at_ms) for write in plant.accepted] == [
        ("daemon", 4000, 1000),
        ("second-master", 9000, 11_000),
        ("daemon", 4000, 11_000),
        ("second-master", 9000, 21_000),
    ]
    plant.clear_fault("charger-1")
    plant.advance(60_000)
    assert len(plant.accepted) == 4


def test_a_second_master_cannot_write_what_is_not_there() -> None:
    plant = plant_with_charger()
    with pytest.raises(SimulationError, match="does not take"):
        plant.add_fault("charger-1", Fault(kind=FaultKind.SECOND_MASTER, signal="setpoint", value=1.0))


def test_a_value_returns_after_a_while() -> None:
    plant = plant_with_charger()
    plant.add_fault("charger-1", Fault(kind=FaultKind.RESET_AFTER, ms=5000))
    plant.write("charger-1", "limit", 4000)
    plant.advance(5500)
    assert plant.read("charger-1", "power") == 4000
    plant.advance(6500)
    assert plant.read("charger-1", "power") == 11_000


def test_refusal_keeps_the_register_and_ends_by_itself() -> None:
    plant = plant_with_charger()
    plant.add_fault("charger-1", Fault(kind=FaultKind.REFUSAL, code=6, until_ms=10_000))
    assert plant.response("charger-1").refusal == 6
    assert not plant.write("charger-1", "limit", 4000)
    assert plant.accepted == []
    plant.advance(10_000)
    assert plant.faults() == {}
    assert plant.write("charger-1", "limit", 4000)


def test_replies_can_be_silent_late_or_lost() -> None:
    plant = plant_with_charger()
    plant.add_fault("charger-1", Fault(kind=FaultKind.SILENCE))
    plant.add_fault("charger-1", Fault(kind=FaultKind.DELAY, ms=700))
    plant.add_fault("charger-1", Fault(kind=FaultKind.LOST_ANSWER))
    response = plant.response("charger-1")
    assert (response.silent, response.delay_ms, response.lost_answer) == (True, 700, True)
    plant.clear_fault("charger-1", FaultKind.SILENCE)
    assert not plant.response("charger-1").silent
