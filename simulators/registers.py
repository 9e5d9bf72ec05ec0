"""Values to registers and back, from the declarations alone.

Written apart from the daemon's driver on purpose: where the two disagree, one of them is wrong.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from scowl_edge.devices.declaration import ModbusPoint, Table

Value = float | str

_INTEGERS: dict[str, tuple[int, bool]] = {
    "int16": (2, True),
    "uint16": (2, False),
    "bits": (2, False),
    "int32": (4, True),
    "uint32": (4, False),
    "int64": (8, True),
    "uint64": (8, False),
}
_FLOATS = {"float32": ">f", "float64": ">d"}


def encode(point: ModbusPoint, value: Value | None, exponent: int = 0) -> list[int]:
    """Registers (or the one bit) that show a value in the point's base unit; None shows as 'not available'.

    Integers are rounded to the nearest and stop at the ends of their type. `exponent` is what the point's scale factor
    says.
    """
    if point.type == "string":
        text = value if isinstance(value, str) else ""
        return _words(text.encode("ascii", "replace").ljust(2 * point.length, b"\0")[: 2 * point.length])
    if value is None or isinstance(value, str):
        raw = point.nan[0] if point.nan else math.nan if point.type in _FLOATS else 0.0
    else:
        raw = (value / point.to_base - point.offset) / point.scale / 10.0**exponent
    if is_bit(point):
        return [int(math.isfinite(raw) and round(raw) != 0)]
    if point.type in _FLOATS:
        try:
            data = struct.pack(_FLOATS[point.type], raw)
        except OverflowError:
            data = struct.pack(_FLOATS[point.type], math.copysign(math.inf, raw))
    else:
        size, signed = _INTEGERS[point.type]
        low, high = (-(1 << 8 * size - 1), (1 << 8 * size - 1) - 1) if signed else (0, (1 << 8 * size) - 1)
        whole = round(raw) if math.isfinite(raw) else 0
        if value is None:
            # A sentinel may be given as it looks in hexadecimal: 0x8000 of an int16 is -32768.
            whole = (whole - low) % (1 << 8 * size) + low
        data = min(high, max(low, whole)).to_bytes(size, "big", signed=signed)
    return _words(_to_wire(data, point.order))


def decode(point: ModbusPoint, words: Sequence[int], exponent: int = 0) -> Value:
    """The value in the point's base unit that was written as these registers (or this bit)."""
    if is_bit(point):
        raw = float(words[0])
    else:
        data = b"".join(word.to_bytes(2, "big") for word in words)
        if point.type == "string":
            return data.split(b"\0", 1)[0].decode("ascii", "replace")
        data = _from_wire(data, point.order)
        if point.type in _FLOATS:
            raw = float(struct.unpack(_FLOATS[point.type], data)[0])
        else:
            raw = float(int.from_bytes(data, "big", signed=_INTEGERS[point.type][1]))
    return (raw * point.scale * 10.0**exponent + point.offset) * point.to_base


def is_bit(point: ModbusPoint) -> bool:
    """Whether the point is a single bit: of a table of bits, or of a register."""
    return point.table in (Table.COIL, Table.DISCRETE) or (point.type == "bits" and point.bit >= 0)


def bit_mask(point: ModbusPoint) -> int:
    """Mask of a `bits` point's bit in its register as it lies on the wire."""
    return 1 << (point.bit ^ 8 if _swaps_bytes(point.order) else point.bit)


def _swaps_bytes(order: str) -> bool:
    """One register knows no order of words: of four or eight letters only the order of its two bytes is left."""
    return order[0] > order[1]


def _places(size: int, order: str) -> list[int]:
    """For each byte on the wire, which byte of the value it is, counted from the most significant."""
    if size == 2:
        return [1, 0] if _swaps_bytes(order) else [0, 1]
    if size == 8 and len(order) == 4:
        order = {"ABCD": "ABCDEFGH", "BADC": "BADCFEHG", "CDAB": "GHEFCDAB", "DCBA": "HGFEDCBA"}[order]
    return ["ABCDEFGH".index(letter) for letter in order]


def _to_wire(data: bytes, order: str) -> bytes:
    return bytes(data[place] for place in _places(len(data), order))


def _from_wire(data: bytes, order: str) -> bytes:
    value = bytearray(len(data))
    for at, place in enumerate(_places(len(data), order)):
        value[place] = data[at]
    return bytes(value)


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
