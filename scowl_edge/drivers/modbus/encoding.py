"""From a value in base units to the bytes of a write: the exact inverse of reading. Out of range is an error."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

from scowl_edge.devices.declaration import ModbusPoint, Table
from scowl_edge.drivers.errors import Unsendable
from scowl_edge.drivers.modbus.layout import MAX_EXPONENT
from scowl_edge.drivers.modbus.registers import FORMATS, Line, letters, little_endian, sentinels

_STRUCT = {"i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q", "f4": "f", "f8": "d"}


@dataclass(frozen=True, slots=True)
class Coil:
    """FC 5."""

    address: int
    on: bool


@dataclass(frozen=True, slots=True)
class RegisterBit:
    """FC 22, or read, change and write where the device does not know it."""

    address: int
    bit: int
    """As it lies on the wire, 0 = least significant."""
    on: bool


@dataclass(frozen=True, slots=True)
class Registers:
    """FC 6 or FC 16."""

    address: int
    data: bytes


Encoded = Coil | RegisterBit | Registers


def encode(point: ModbusPoint, value: float, exponent: float | None = None) -> Encoded:
    """What must be written so that the point reads as `value`.

    Args:
        point: Where to.
        value: In base units.
        exponent: Present value of the point's scale factor, None if it has none.

    Raises:
        Unsendable: no table that is written, out of range of the type or of the point's own limits, or it would read as
            'not available'. Nothing is clamped.
    """
    if point.table not in (Table.HOLDING, Table.COIL):
        raise Unsendable(f"point {point.name} lies in table {point.table}, which no device lets write")
    if point.type == "string":
        raise Unsendable(f"point {point.name} is a string; only numbers are written")
    if not math.isfinite(value):
        raise Unsendable(f"point {point.name}: {value} is not a number that can be written")
    raw = _raw(point, value, exponent)
    if point.table is Table.COIL or (point.type == "bits" and point.bit >= 0):
        if raw not in (0, 1):
            raise Unsendable(f"point {point.name}: a single bit is 0 or 1, not {float(raw):g}")
        if point.table is Table.COIL:
            return Coil(point.address, bool(raw))
        wire_bit = point.bit ^ 8 if letters(point) == "BA" else point.bit
        return RegisterBit(point.address, wire_bit, bool(raw))
    return Registers(point.address, _arranged(point, _packed(point, raw, value)))


def _raw(point: ModbusPoint, value: float, exponent: float | None) -> Fraction:
    """The raw number, exactly: the value is taken as the decimal that it prints as."""
    for limit, beyond, word in ((point.low, -1, "low"), (point.high, 1, "high")):
        if limit is not None and beyond * (value - limit * point.to_base) > abs(limit * point.to_base) * 1e-9:
            raise Unsendable(
                f"point {point.name}: {value / point.to_base:g} {point.unit} is beyond its {word} of {limit:g}"
            )
    line = Line.of(point)
    factor = Fraction(line.factor)
    if point.scale_factor:
        if exponent is None or exponent != round(exponent) or abs(exponent) > MAX_EXPONENT:
            raise Unsendable(f"point {point.name}: its scale factor {point.scale_factor} is not known; is it readable?")
        factor *= Fraction(10) ** round(exponent)
    return (Fraction(repr(float(value))) - Fraction(line.offset)) / factor


def _packed(point: ModbusPoint, raw: Fraction, value: float) -> bytes:
    """Least significant byte first."""
    form = FORMATS[point.type]
    try:
        number: float = float(raw) if form[0] == "f" else round(raw)
        data = struct.pack(f"<{_STRUCT[form]}", number)
    except (struct.error, OverflowError):
        raise Unsendable(
            f"point {point.name}: {value / point.to_base:g} {point.unit} is beyond what {point.type} can hold there; "
            "check the value, scale and unit"
        ) from None
    stored = struct.unpack(f"<{_STRUCT[form]}", data)[0]
    if any(
        stored == (struct.unpack("<f", struct.pack("<f", nan))[0] if form == "f4" else nan) for nan in sentinels(point)
    ):
        raise Unsendable(f"point {point.name}: raw {stored} means 'not available' there (nan), so it is not written")
    return data


def _arranged(point: ModbusPoint, data: bytes) -> bytes:
    """Puts little-endian bytes into the point's order."""
    wire = bytearray(len(data))
    for source, place in enumerate(little_endian(point)):
        wire[place] = data[source]
    return bytes(wire)
