"""Interlocks, least intervals, and the registers of a device's own fail-safe: what they become."""

from __future__ import annotations

import pytest

from scowl_edge.assembly import Assembly, assemble
from scowl_edge.model.command import Verb, WriteClass
from scowl_edge.model.site import NONE, Actuator, Interlock

SITE = """
site: {id: s}
links: {plc: {type: modbus-tcp, host: h}}
devices:
  inverter:
    link: plc
    points:
      power: {address: 0, type: int32, unit: W, scale: -1}
      remote: {table: discrete, address: 3}
      frequency: {address: 9, type: int16, scale: 0.01, unit: Hz}
      limit: {address: 10, unit: "%", access: rw, min_interval: 5 s, interlock: {point: remote, equals: 1}}
      connect:
        address: 11
        access: rw
        interlock: {point: frequency, min: 49.8, max: 50.2}
      failsafe_limit: {address: 20, unit: kW, scale: 0.1, access: rw, write_class: stored}
      failsafe_timeout: {address: 21, unit: s, access: rw, write_class: stored}
      heartbeat: {address: 22, access: rw, max: 999}
    role: {kind: generator, dispatch: stochastic, rated: 20 kW, failsafe: {limit: 6 kW, timeout: 90 s}}
"""


def actuators(assembly: Assembly) -> dict[Verb, Actuator]:
    return {one.verb: one for one in assembly.site.actuators}


def bound(assembly: Assembly, verb: Verb) -> tuple[str, float]:
    """The point that an actuator writes, and quanta in one of its base units."""
    binding = next(
        binding for one, binding in zip(assembly.site.actuators, assembly.actuators, strict=True) if one.verb is verb
    )
    return assembly.points[binding.point].name, binding.gain


def test_the_registers_of_a_device_s_own_fail_safe() -> None:
    assembly = assemble(SITE, "site.yaml")
    found = actuators(assembly)
    value, timeout, beat = found[Verb.FAILSAFE], found[Verb.FAILSAFE_TIMEOUT], found[Verb.HEARTBEAT]
    assert (value.constant, value.low, value.high) == (6_000, 6_000, 6_000)
    assert bound(assembly, Verb.FAILSAFE) == ("failsafe_limit", 1.0)
    assert (timeout.constant, bound(assembly, Verb.FAILSAFE_TIMEOUT)) == (90_000, ("failsafe_timeout", 1_000.0))
    assert (beat.constant, beat.low, beat.high, beat.heartbeat_ms) == (None, 0, 999, 0)
    assert {one.device_timeout_ms for one in (value, timeout, beat)} == {90_000}
    assert (value.write_class, value.daily_budget, beat.write_class, beat.daily_budget) == (
        WriteClass.STORED,
        20,
        WriteClass.VOLATILE,
        0,
    )
    for one in (value, timeout, beat):
        assert one.effect == NONE
        assert one.failsafe is None
    signals = assembly.site.signals
    assert [signals[one.feedback].name for one in (value, timeout, beat)] == [
        "failsafe_limit",
        "failsafe_timeout",
        "heartbeat",
    ]
    (inverter,) = assembly.site.generators
    assert assembly.site.actuators[inverter.do_limit].verb is Verb.LIMIT


def test_a_heartbeat_register_is_paced_instead_of_the_target() -> None:
    paced = SITE.replace("failsafe: {limit", "heartbeat: 10 s, failsafe: {limit")
    found = actuators(assemble(paced, "f"))
    assert (found[Verb.HEARTBEAT].heartbeat_ms, found[Verb.LIMIT].heartbeat_ms) == (10_000, 0)
    without = paced.replace("heartbeat: {address: 22, access: rw, max: 999}", "heartbeat: {address: 22}")
    found = actuators(assemble(without, "f"))
    assert Verb.HEARTBEAT not in found, "it can only be read"
    assert found[Verb.LIMIT].heartbeat_ms == 10_000


@pytest.mark.parametrize(
    ("declared", "range_"),
    [
        ("address: 22", (0, 32_767)),
        ("address: 22, type: int16", (0, 32_767)),
        ("address: 22, min: 1, max: 4", (1, 4)),
        ("table: coil, address: 22", (0, 1)),
        ("address: 22, type: bits, bit: 3", (0, 1)),
        ("address: 22, type: float32", (0, 32_767)),
    ],
)
def test_numbers_of_a_heartbeat_fit_its_register(declared: str, range_: tuple[int, int]) -> None:
    text = SITE.replace("address: 22, access: rw, max: 999", f"{declared}, access: rw")
    beat = actuators(assemble(text, "f"))[Verb.HEARTBEAT]
    assert (beat.low, beat.high) == range_


def test_a_time_out_in_steps_is_granted_half_a_step() -> None:
    text = SITE.replace("address: 21, unit: s", "address: 21, unit: min").replace("timeout: 90 s", "timeout: 2 min")
    timeout = actuators(assemble(text, "f"))[Verb.FAILSAFE_TIMEOUT]
    assert timeout.constant == 120_000
    assert timeout.tolerance == 4 * 30_000, "the core grants a quarter"


@pytest.mark.parametrize(
    ("limit", "register", "constant"),
    [
        ("6 kW", 'unit: "%"', 6_000),
        ("6.15 kW", 'unit: "%"', 6_200),
        ("6.1 kW", 'unit: "%", scale: 0.1', 6_100),
        ("6.1 kW", 'unit: "%", type: float32', 6_100),
        ("6.1 kW", "unit: kW, scale: 0.5, offset: 0.25", 6_250),
        ("5 kW", "unit: A", 4_830),
    ],
)
def test_a_fail_safe_value_is_what_its_register_can_hold(limit: str, register: str, constant: int) -> None:
    """Else a stored register would never show it, and be written again at each start."""
    text = SITE.replace("limit: 6 kW", f"limit: {limit}")
    text = text.replace("address: 20, unit: kW, scale: 0.1", f"address: 20, {register}")
    assert actuators(assemble(text, "f"))[Verb.FAILSAFE].constant == constant


def test_without_a_fail_safe_there_is_nothing_to_write_there() -> None:
    found = actuators(assemble(SITE.replace(", failsafe: {limit: 6 kW, timeout: 90 s}", ""), "f"))
    assert set(found) == {Verb.LIMIT, Verb.CONNECT}


def test_a_store_falls_back_to_a_setpoint() -> None:
    text = """
site: {id: s}
links: {plc: {type: modbus-tcp, host: h}}
devices:
  battery:
    link: plc
    points:
      setpoint: {address: 4, type: int16, unit: W, scale: 10, access: rw}
      standby: {address: 5, type: int16, unit: W, scale: 10, access: w}
    role: {kind: storage, rated: 50 kW, capacity: 100 kWh, failsafe: {setpoint: -2 kW, timeout: 1 min},
           signals: {setpoint: setpoint, failsafe_limit: standby}}
"""
    fallback = actuators(assemble(text, "f"))[Verb.FAILSAFE]
    assert (fallback.constant, fallback.feedback) == (-2_000, NONE)


def test_an_interlock_becomes_a_signal_and_its_bounds() -> None:
    assembly = assemble(SITE, "site.yaml")
    found = actuators(assembly)
    limit, connect = found[Verb.LIMIT], found[Verb.CONNECT]
    assert limit.min_interval_ms == 5_000
    assert isinstance(limit.interlock, Interlock) and isinstance(connect.interlock, Interlock)
    assert (limit.interlock.low, limit.interlock.high) == (1, 1)
    remote = assembly.site.signals[limit.interlock.signal]
    assert (remote.name, remote.device, remote.fresh_ms) == ("remote", 0, 3_000)
    assert assembly.signals[limit.interlock.signal].gain == 1.0
    assert (connect.interlock.low, connect.interlock.high) == (49_800, 50_200)
    assert assembly.signals[connect.interlock.signal].gain == 1_000.0
    assert assembly.points[assembly.signals[connect.interlock.signal].point].name == "frequency"


def test_an_interlock_on_a_bound_point_uses_its_signal() -> None:
    text = SITE.replace("{point: remote, equals: 1}", "{point: power, max: -100}")
    assembly = assemble(text, "f")
    (inverter,) = assembly.site.generators
    lock = actuators(assembly)[Verb.LIMIT].interlock
    assert lock is not None
    assert lock.signal == inverter.power
    assert (lock.low, lock.high) == (-(2**53), -100)
    assert len(assembly.site.signals) == len(assembly.signals)


def test_two_interlocks_share_one_signal() -> None:
    text = SITE.replace("{point: frequency, min: 49.8, max: 50.2}", "{point: remote, equals: 1}")
    found = actuators(assemble(text, "f"))
    assert found[Verb.LIMIT].interlock == found[Verb.CONNECT].interlock
