"""Values to what an OPC-UA variable holds and back, from the declarations alone.

Written apart from the daemon's driver on purpose: where the two disagree, one of them is wrong.
"""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta

from scowl_edge.devices.declaration import OpcuaPoint
from simulators.registers import Value

Raw = bool | int | float | str | datetime

_INTEGERS = {
    "sbyte": (-(1 << 7), (1 << 7) - 1),
    "byte": (0, (1 << 8) - 1),
    "int16": (-(1 << 15), (1 << 15) - 1),
    "uint16": (0, (1 << 16) - 1),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint32": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
    "uint64": (0, (1 << 64) - 1),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_S = 2.0**37
"""A date further away than this is none (year 6325)."""


def type_of(point: OpcuaPoint, initial: Value | None) -> str:
    """The type that the server gives a point: the declared one; without one text is a string, all else a double."""
    return point.type or ("string" if isinstance(initial, str) else "double")


def encode(point: OpcuaPoint, wire_type: str, value: Value | None) -> Raw | None:
    """What a variable holds for a value in the point's base unit; None where it can say only 'no data'.

    Integers are rounded to the nearest and stop at the ends of their type.
    """
    if wire_type == "string":
        return value if isinstance(value, str) else ""
    if value is None or isinstance(value, str):
        if not point.nan and wire_type not in ("float", "double"):
            return None
        raw = point.nan[0] if point.nan else math.nan
    else:
        raw = (value / point.to_base - point.offset) / point.scale
    if wire_type == "boolean":
        return math.isfinite(raw) and round(raw) != 0
    if wire_type == "double":
        return raw
    if wire_type == "float":
        return _single(raw)
    if wire_type == "datetime":
        return _EPOCH + timedelta(seconds=min(_LONGEST_S, max(0.0, raw))) if math.isfinite(raw) else None
    low, high = _INTEGERS[wire_type]
    return min(high, max(low, round(raw))) if math.isfinite(raw) else 0


def decode(point: OpcuaPoint, raw: Raw) -> Value:
    """The value in the point's base unit that was written so."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, datetime):
        # The library hands out dates without a zone; they are in UTC.
        aware = raw if raw.tzinfo else raw.replace(tzinfo=UTC)
        return ((aware - _EPOCH).total_seconds() * point.scale + point.offset) * point.to_base
    return (float(raw) * point.scale + point.offset) * point.to_base


def _single(raw: float) -> float:
    """As a single-precision float holds it, so that equal values compare as equal."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", raw))[0])
    except OverflowError:
        return math.copysign(math.inf, raw)
