"""How a number lies in registers: widths, dtypes and byte orders, in one place for reading and writing."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from scowl_edge.devices.declaration import ModbusPoint, Table
from scowl_edge.drivers.errors import LayoutError

FORMATS = {
    "int16": "i2",
    "uint16": "u2",
    "bits": "u2",
    "int32": "i4",
    "uint32": "u4",
    "float32": "f4",
    "int64": "i8",
    "uint64": "u8",
    "float64": "f8",
}
"""numpy's name of each numeric type. Integers beyond 2**53 are rounded to the nearest double when read."""

_LETTERS = "ABCDEFGH"
_WIDE = {"ABCD": "ABCDEFGH", "BADC": "BADCFEHG", "CDAB": "GHEFCDAB", "DCBA": "HGFEDCBA"}
_NARROW = {"ABCD": "AB", "CDAB": "AB", "BADC": "BA", "DCBA": "BA"}
"""One register has no word order: only the order of its two bytes is left of the four letters."""

BIT_TABLES = (Table.COIL, Table.DISCRETE)


def letters(point: ModbusPoint) -> str:
    """The order in full: the i-th letter is the significance (A = most) of the i-th byte on the wire.

    Raises:
        LayoutError: the order does not fit the type.
    """
    size = int(FORMATS[point.type][1]) if point.type in FORMATS else 2
    order = point.order
    if size == 4 and order in _WIDE:
        return order
    if size == 8 and (order in _WIDE or sorted(order) == list(_LETTERS)):
        return _WIDE.get(order, order)
    if size == 2 and order in _NARROW:
        return _NARROW[order]
    raise LayoutError(
        f"point {point.name}: order {order!r} does not fit type {point.type}; "
        f"use ABCD, BADC, CDAB or DCBA{', or eight letters A to H' if size == 8 else ''}"
    )


def little_endian(point: ModbusPoint) -> list[int]:
    """Places of the value's bytes on the wire, least significant first."""
    order = letters(point)
    return [order.index(letter) for letter in reversed(_LETTERS[: len(order)])]


@dataclass(frozen=True, slots=True)
class Line:
    """base = raw * factor * 10 ** exponent + offset."""

    factor: Decimal
    offset: Decimal

    @classmethod
    def of(cls, point: ModbusPoint) -> Line:
        """Joined in decimal, so that 0.1 kW becomes exactly 100 W a count.

        Raises:
            LayoutError: the scale is 0 or not a number.
        """
        scale, to_base = Decimal(repr(point.scale)), Decimal(repr(point.to_base))
        if not scale.is_finite() or not to_base.is_finite() or not scale * to_base:
            raise LayoutError(
                f"point {point.name}: scale {point.scale} makes every value 0 or none; give a number not 0"
            )
        return cls(scale * to_base, Decimal(repr(point.offset)) * to_base)


def sentinels(point: ModbusPoint) -> tuple[float, ...]:
    """The point's `nan` values as its type would read them: 0x8000 for an int16 means -32768, -1 for a uint16 65535."""
    form = FORMATS.get(point.type)
    if form is None or form[0] == "f":
        return point.nan
    size = 1 << 8 * int(form[1])
    return tuple(_wrapped(value, size, signed=form[0] == "i") for value in point.nan)


def _wrapped(value: float, size: int, *, signed: bool) -> float:
    if signed and size / 2 <= value < size:
        return value - size
    if not signed and -size / 2 <= value < 0:
        return value + size
    return value
