"""What a raw value means in base units, and the raw value that a base value is written as: exact inverses."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

from scowl_edge.devices.declaration import OPCUA_TYPES, OpcuaPoint
from scowl_edge.drivers.errors import LayoutError, Unsendable
from scowl_edge.model.signal import Cause

TYPE_IDS = {name: number for number, name in enumerate(OPCUA_TYPES, 1)}
"""Numbers of the built-in types (OPC 10000-6, table 1)."""
TYPE_NAMES = {number: name for name, number in TYPE_IDS.items()}
BOOLEAN, FLOAT, DOUBLE, STRING, DATETIME = (
    TYPE_IDS[name] for name in ("boolean", "float", "double", "string", "datetime")
)
_INTEGERS = {
    TYPE_IDS[name]: ((-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1))
    for name, bits, signed in (
        ("sbyte", 8, True),
        ("byte", 8, False),
        ("int16", 16, True),
        ("uint16", 16, False),
        ("int32", 32, True),
        ("uint32", 32, False),
        ("int64", 64, True),
        ("uint64", 64, False),
    )
}
_HAIR = 1e-9
"""Slack of the plausibility limits: 3 * 0.1 must not be above a limit of 0.3."""

Raw = bool | int | float


class Meaning:
    """base = raw * factor + offset, and what is no value at all."""

    __slots__ = ("_factor", "_offset", "_point", "factor", "high", "low", "nan", "offset")

    def __init__(self, point: OpcuaPoint) -> None:
        """Joined exactly, so that 0.1 kW becomes 100 W a count.

        Raises:
            LayoutError: the scale is 0 or not a number.
        """
        if not (math.isfinite(point.scale * point.to_base) and point.scale * point.to_base):
            raise LayoutError(
                f"point {point.name}: scale {point.scale} makes every value 0 or none; give a number not 0"
            )
        base = Fraction(repr(float(point.to_base)))
        self._factor = Fraction(repr(float(point.scale))) * base
        self._offset = Fraction(repr(float(point.offset))) * base
        self.factor, self.offset = float(self._factor), float(self._offset)
        self._point = point
        self.nan = frozenset(point.nan) | frozenset(_single(value) for value in point.nan if abs(value) < 1e38)
        low = -math.inf if point.low is None else point.low * point.to_base
        high = math.inf if point.high is None else point.high * point.to_base
        self.low = low - abs(low) * _HAIR if math.isfinite(low) else low
        self.high = high + abs(high) * _HAIR if math.isfinite(high) else high

    def base(self, raw: float) -> tuple[float, Cause]:
        """Value in base units; NaN and why where it is none."""
        if raw in self.nan or not math.isfinite(raw):
            return math.nan, Cause.SENTINEL
        value = raw * self.factor + self.offset
        if not self.low <= value <= self.high or not math.isfinite(value):
            return math.nan, Cause.IMPLAUSIBLE
        return value, Cause.NONE

    def raw(self, value: float, type_id: int) -> Raw:
        """What must be written so that the point reads as `value`; seconds since 1970 where it is a datetime.

        Args:
            value: In base units.
            type_id: Built-in type that the server holds there.

        Raises:
            Unsendable: beyond the point's limits or what the type can hold, or it would read as 'not available'.
                Nothing is clamped.
        """
        point = self._point
        if not math.isfinite(value):
            raise Unsendable(f"point {point.name}: {value} is not a number that can be written")
        for limit, beyond, word in ((point.low, value < self.low, "low"), (point.high, value > self.high, "high")):
            if limit is not None and beyond:
                raise Unsendable(
                    f"point {point.name}: {value / point.to_base:g} {point.unit} is beyond its {word} of {limit:g}"
                )
        # The decimal that it prints as; beyond 2 ** 53 that would be another whole number.
        given = Fraction(value) if float(value).is_integer() else Fraction(repr(float(value)))
        exact = (given - self._offset) / self._factor
        raw = self._typed(exact, type_id, value)
        if float(raw) in self.nan:
            raise Unsendable(f"point {point.name}: raw {raw} means 'not available' there (nan), so it is not written")
        return raw

    def _typed(self, exact: Fraction, type_id: int, value: float) -> Raw:
        name, point = TYPE_NAMES.get(type_id, str(type_id)), self._point
        if type_id == BOOLEAN:
            if exact not in (0, 1):
                raise Unsendable(f"point {point.name}: a boolean is 0 or 1, not {float(exact):g}")
            return bool(exact)
        try:
            if type_id in (DOUBLE, DATETIME):
                return float(exact)
            if type_id == FLOAT:
                return _single(float(exact))
            low, high = _INTEGERS[type_id]
        except OverflowError:
            low, high = 1, 0
        except KeyError:
            raise Unsendable(f"point {point.name} is a {name}; only numbers are written") from None
        number = round(exact)
        if not low <= number <= high:
            raise Unsendable(
                f"point {point.name}: {value / point.to_base:g} {point.unit} is beyond what {name} can hold there; "
                "check the value, scale and unit"
            )
        return number


def _single(value: float) -> float:
    """The nearest float of 32 bits. Raises OverflowError where there is none."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])
