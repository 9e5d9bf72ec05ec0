"""A simulated device falls back by itself, unless its limit is written again or its heartbeat keeps changing."""

from __future__ import annotations

from scowl_edge.assembly import Assembly, assemble
from simulators.binding import Behind, bind
from simulators.plant import Plant

SITE = """
site: {id: s}
links: {line: {type: modbus-rtu, device: /dev/ttyUSB0}}
devices:
  inverter:
    link: line
    points:
      power: {address: 0, type: int32, unit: W, scale: -1}
      remote: {table: discrete, address: 3}
      limit: {address: 10, unit: "%", access: rw, interlock: {point: remote, equals: 1}}
      failsafe_limit: {address: 20, unit: "%", access: rw}
      failsafe_timeout: {address: 21, unit: s, access: rw}
      heartbeat: {address: 22, access: rw}
    role: {kind: generator, dispatch: stochastic, rated: 20 kW, failsafe: {limit: 6 kW, timeout: 10 s}}
"""


def behind(assembly: Assembly, plant: Plant, point: str) -> Behind:
    return Behind.of(plant, "inverter", point, bind(assembly))


def test_a_heartbeat_that_changes_keeps_a_device_from_falling_back() -> None:
    assembly = assemble(SITE, "f")
    plant = Plant(assembly.site)
    limit, beat = behind(assembly, plant, "limit"), behind(assembly, plant, "heartbeat")
    assert limit.take(0.9)
    for number in range(1, 8):
        plant.advance(number * 5_000)
        assert beat.take(float(number))
        assert beat.shown() == number
    assert limit.shown() == 0.9, "35 s without a write of the limit"
    for second in range(36, 44):
        plant.advance(second * 1_000)
        beat.take(7.0)
    assert limit.shown() == 0.9
    plant.advance(45_000)
    assert limit.shown() == 0.3, "the same number again is no heartbeat"


def test_what_has_no_physics_is_a_register_that_keeps_what_is_written() -> None:
    assembly = assemble(SITE, "f")
    plant = Plant(assembly.site)
    for point, value in (("failsafe_limit", 0.3), ("failsafe_timeout", 10.0), ("remote", 1.0)):
        register = behind(assembly, plant, point)
        assert register.shown() == 0.0
        assert register.take(value)
        assert register.shown() == value
