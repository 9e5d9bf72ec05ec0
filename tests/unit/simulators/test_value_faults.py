"""Faults that show in values, as registers hold them: jumps, scale factors that move, and what is counted."""

from __future__ import annotations

import struct
from copy import deepcopy

import pytest

from scowl_edge.assembly import assemble
from scowl_edge.devices.declaration import ModbusLink, Table
from simulators.binding import bind
from simulators.faults import Fault, FaultKind
from simulators.plant import Plant
from simulators.serving import settings_of
from simulators.unit import Unit

SITE = """
site: {id: bench}
links: {plc: {type: modbus-tcp, host: 127.0.0.1}}
devices:
  inverter:
    link: plc
    points:
      energy: {address: 0, type: uint32, unit: Wh, scale_factor: factor}
      factor: {address: 2, type: int16}
      level: {address: 3, type: int16, scale_factor: factor}
      alone: {address: 4, type: uint16, access: rw}
simulation: {devices: {inverter: {initial: {energy: 1234000, factor: 1, level: 500, alone: 7}}}}
"""


def inverter() -> tuple[Plant, Unit]:
    assembly = assemble(SITE, "site.yaml")
    plant = Plant(assembly.site, settings_of(assembly))
    (link,) = assembly.links
    assert isinstance(link, ModbusLink)
    return plant, Unit(plant, link.devices, bind(assembly))


def seen(unit: Unit) -> tuple[int, int, int]:
    """Raw energy, scale factor and raw level of one request."""
    return struct.unpack(">Ihh", struct.pack(">4H", *unit.read(Table.HOLDING, 0, 4)))


def test_scale_factors_move_and_the_physical_value_stays() -> None:
    plant, unit = inverter()
    assert seen(unit) == (123_400, 1, 50)
    plant.add_fault("inverter", Fault(kind=FaultKind.MOVING_SCALE))
    assert [seen(unit) for _ in range(3)] == [(12_340, 2, 5), (123_400, 1, 50), (12_340, 2, 5)]
    torn_raw = unit.read(Table.HOLDING, 0, 2)
    (torn_factor,) = unit.read(Table.HOLDING, 2, 1)
    assert (torn_raw[0] << 16 | torn_raw[1]) * 10**torn_factor != 1_234_000, "two requests do not fit together"
    assert plant.standing.injected["inverter", FaultKind.MOVING_SCALE] == 5
    plant.clear_fault("inverter")
    assert seen(unit) == (123_400, 1, 50)


def test_readings_jump_now_and_then() -> None:
    plant, unit = inverter()
    plant.add_fault("inverter", Fault(kind=FaultKind.JUMPING, signal="alone", value=100, probability=0.5))
    found = [unit.read(Table.HOLDING, 4, 1)[0] for _ in range(100)]
    assert set(found) == {7, 107}
    assert plant.standing.injected["inverter", FaultKind.JUMPING] == found.count(107)
    assert seen(unit) == (123_400, 1, 50), "the others do not"
    plant.add_fault("inverter", Fault(kind=FaultKind.JUMPING, signal="alone", times=1))
    assert [unit.read(Table.HOLDING, 4, 1)[0] for _ in range(2)] == [65_535, 7], "as high as the register goes, once"
    assert plant.faults() == {}


@pytest.mark.parametrize("kind", [FaultKind.ACK_NOT_APPLIED, FaultKind.STUCK])
def test_faults_in_the_device_are_counted_when_they_show(kind: FaultKind) -> None:
    plant, unit = inverter()
    plant.add_fault("inverter", Fault(kind=kind))
    twin = deepcopy(plant)
    assert plant.standing.injected["inverter", kind] == 0
    unit.write(Table.HOLDING, 4, [9])
    assert unit.read(Table.HOLDING, 4, 1) == [7]
    assert plant.standing.injected["inverter", kind] == 1
    assert twin.standing.injected["inverter", kind] == 0
    plant.clear_fault("inverter")
    assert unit.read(Table.HOLDING, 4, 1) == [7 if kind is FaultKind.ACK_NOT_APPLIED else 9]


def test_a_refusal_by_chance_is_not_the_devices_own() -> None:
    plant, unit = inverter()
    plant.add_fault("inverter", Fault(kind=FaultKind.REFUSAL, probability=0.5))
    unit.write(Table.HOLDING, 4, [9])
    assert unit.read(Table.HOLDING, 4, 1) == [9], "whether it strikes is decided on the way"
    plant.add_fault("inverter", Fault(kind=FaultKind.BUSY))
    assert not plant.keep("inverter", "alone", 1.0)
