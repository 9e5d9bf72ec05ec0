"""What guards a device: interlocks of its writes, and the registers of its own fail-safe."""

from __future__ import annotations

import math
from typing import NamedTuple

from scowl_edge.assembly.device_schema import DeviceSection
from scowl_edge.assembly.point_schema import InterlockSection, ModbusPointSection, PointSection
from scowl_edge.assembly.role_schema import PowerRole
from scowl_edge.assembly.signals import ACTUATORS, bindings, kind_of
from scowl_edge.model.command import Verb
from scowl_edge.model.quantity import POINT_UNITS

_WHOLE = {
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "bits": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "sbyte": (-(2**7), 2**7 - 1),
    "byte": (0, 2**8 - 1),
    "bool": (0, 1),
    "boolean": (0, 1),
}
"""Raw values of types that hold whole numbers."""
FAR = 2**53
"""Beyond every value that a signal can have."""
_ROUNDING = 1e-6
"""Noise of decimal fractions, in quanta."""
_MOST_BEAT = 2**15 - 1
"""Largest number of a heartbeat: fits every register of 16 bits."""


def raw_range(point: PointSection) -> tuple[int, int] | None:
    """Least and greatest raw value of a point; None where it can hold fractions, or the server says what."""
    if isinstance(point, ModbusPointSection):
        if point.table in ("coil", "discrete") or point.bit is not None:
            return 0, 1
        return _WHOLE.get(point.type or "uint16")
    return _WHOLE.get(point.type or "")


def step(point: PointSection, gain: float) -> float:
    """What one step of a raw value is in quanta; 0 where there are no steps, or a scale factor decides."""
    if raw_range(point) is None or getattr(point, "scale_factor", None) is not None:
        return 0.0
    return abs(point.scale) * POINT_UNITS[point.unit].to_base * gain


def held(point: PointSection, quanta: int, gain: float) -> int:
    """What a register reads back after `quanta` were written to it: rounded to its steps."""
    if not step(point, gain):
        return quanta
    unit = POINT_UNITS[point.unit].to_base * gain
    raw = round((quanta / unit - point.offset) / point.scale)
    return round((raw * point.scale + point.offset) * unit)


def beat_range(point: PointSection) -> tuple[int, int]:
    """Numbers that a heartbeat may show: what the register holds, within its `min` and `max`."""
    low, high = raw_range(point) or (0, _MOST_BEAT)
    if point.min is not None:
        low = max(low, math.ceil(point.min))
    if point.max is not None:
        high = min(high, math.floor(point.max))
    return max(low, 0), min(high, _MOST_BEAT)


class Guard(NamedTuple):
    """One register of a device's own fail-safe, as it is driven."""

    constant: int | None
    """What is kept there; None for a heartbeat, which counts from `low` to `high`."""
    low: int
    high: int
    tolerance: int
    heartbeat_ms: int


def guard(role: PowerRole, verb: Verb, point: PointSection, *, gain: float, tolerance_w: int) -> Guard | None:
    """How a register of the fail-safe is driven; None where the role does not say with what.

    Args:
        role: The device's role.
        verb: FAILSAFE, FAILSAFE_TIMEOUT or HEARTBEAT.
        point: The register.
        gain: Quanta in one base unit of the register.
        tolerance_w: The role's tolerance, in W.
    """
    given = role.failsafe
    match verb:
        case Verb.FAILSAFE if given is not None:
            # As the register can hold it: else a stored one would be written again at each start.
            value = held(point, given.limit if given.limit is not None else given.setpoint or 0, gain)
            return Guard(value, value, value, tolerance_w, 0)
        case Verb.FAILSAFE_TIMEOUT if given is not None:
            # The core grants a quarter of a tolerance to what is read back; half a step is rounding.
            return Guard(given.timeout, given.timeout, given.timeout, math.ceil(2 * step(point, gain)), 0)
        case Verb.HEARTBEAT if given is not None or role.heartbeat is not None:
            low, high = beat_range(point)
            return Guard(None, low, high, 0, role.heartbeat or 0)
        case _:
            return None


def guard_points(device: DeviceSection) -> dict[Verb, str]:
    """Points of a device that are bound to its own fail-safe and can be written."""
    if not isinstance(device.role, PowerRole):
        return {}
    kind = kind_of(device.role)
    bound = bindings(device, kind)
    return {
        verb: bound[signal]
        for signal, verb in ACTUATORS[kind].items()
        if verb in GUARDING and (point := device.points.get(bound.get(signal, ""))) is not None and "w" in point.access
    }


GUARDING = (Verb.FAILSAFE, Verb.FAILSAFE_TIMEOUT, Verb.HEARTBEAT)
"""What is written for a device's own fail-safe, and steers nothing by itself."""


def interlock_gain(point: PointSection, base: str) -> float:
    """Quanta in one base unit of a point that is only an interlock: whole numbers stay as they are, others get
    thousandths, shares millionths."""
    to_base = POINT_UNITS[point.unit].to_base
    if base == "fraction":
        return 1_000_000.0
    whole = raw_range(point) is not None and getattr(point, "scale_factor", None) is None
    return 1.0 if whole and (point.scale * to_base).is_integer() and (point.offset * to_base).is_integer() else 1_000.0


def interlock_bounds(section: InterlockSection, point: PointSection, gain: float) -> tuple[int, int]:
    """Least and greatest value, in quanta, at which a write is allowed; an open side lies beyond every value."""
    quanta = POINT_UNITS[point.unit].to_base * gain
    if section.equals is not None:
        value = round(section.equals * quanta)
        return value, value
    low = -FAR if section.min is None else math.ceil(section.min * quanta - _ROUNDING)
    high = FAR if section.max is None else math.floor(section.max * quanta + _ROUNDING)
    return low, high
