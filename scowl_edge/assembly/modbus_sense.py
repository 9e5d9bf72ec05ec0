"""Values that are right each by itself and wrong together: within a point of a Modbus link."""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.assembly.device_schema import ModbusDeviceSection
from scowl_edge.assembly.doubt_sense import OF_MEASUREMENTS
from scowl_edge.assembly.modbus_link_schema import ModbusLinkSection
from scowl_edge.assembly.point_schema import ModbusPointSection
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path

_BITS = {"int16": 16, "uint16": 16, "bits": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64}
_REGISTERS = {"int32": 2, "uint32": 2, "float32": 2, "int64": 4, "uint64": 4, "float64": 4}


def registers_of(point: ModbusPointSection) -> int:
    """Registers (or bits) that a point takes."""
    if point.table in ("coil", "discrete"):
        return 1
    return (point.length or 1) if point.type == "string" else _REGISTERS.get(point.type or "uint16", 1)


def modbus_point_faults(
    structure: Structure,
    path: Path,
    point: ModbusPointSection,
    device: ModbusDeviceSection,
    link: ModbusLinkSection | None,
) -> Iterator[Fault]:
    """Faults of one point; `link` is None where it is not known."""
    fault = structure.document.fault
    wire_type = point.type or "uint16"
    bit_table = point.table in ("coil", "discrete")
    if bit_table:
        if point.type not in (None, "bool", "bits"):
            what = f"type {point.type} cannot lie in the table {point.table}, which holds single bits"
            yield fault((*path, "type"), what, "take `type` out, or write `table: holding`")
        for key in ("order", "length", "bit"):
            if getattr(point, key) is not None:
                what = f"`{key}` means nothing in the table {point.table}, which holds single bits"
                yield fault((*path, key), what, "take it out", at_key=True)
    else:
        longest = device.max_read or (link.max_read if link is not None else None)
        yield from _register(structure, path, point, wire_type, longest, "device" if device.max_read else "link")
    if "w" in point.access and point.table in ("input", "discrete"):
        writable = "holding" if point.table == "input" else "coil"
        what = f"the table {point.table} can only be read, but access is {point.access}"
        yield fault((*path, "access"), what, f"write access: r, or table: {writable} if the device has it there")


def _register(
    structure: Structure, path: Path, point: ModbusPointSection, wire_type: str, longest: int | None, whose: str
) -> Iterator[Fault]:
    fault = structure.document.fault
    name = path[-1]
    written = structure.names(*map(str, path))
    if wire_type == "bool":
        what = f"type bool belongs to the tables coil and discrete, not to {point.table}"
        yield fault((*path, "type"), what, "write `type: bits` with `bit: N` for one bit of a register")
    if wire_type == "string":
        if point.length is None and "length" not in written:
            yield fault(path, f"the string {name} lacks its `length`", "add its number of registers, e.g. `length: 16`")
        for key in ("scale", "offset", "scale_factor", "nan", "unit", "min", "max", *OF_MEASUREMENTS):
            if key in written:
                yield fault((*path, key), f"`{key}` means nothing for a string", "take it out", at_key=True)
        if "w" in point.access:
            yield fault((*path, "access"), "strings can only be read", "write access: r")
    elif point.length is not None:
        what = f"`length` is for strings; a {wire_type} takes {_REGISTERS.get(wire_type, 1)} by its type"
        yield fault((*path, "length"), what, "take it out", at_key=True)
    if point.bit is not None and wire_type != "bits":
        yield fault((*path, "bit"), f"`bit` picks one bit of `type: bits`, not of {wire_type}", "write `type: bits`")
    registers = registers_of(point)
    if longest is not None and registers > longest:
        what = f"{name} takes {registers} registers, but `max_read` of its {whose} is {longest}"
        yield fault(path, what, "raise `max_read`, or shorten the point")
    if point.order is not None and len(point.order) == 8 and registers != 4:
        what = f"order {point.order} has eight letters, but {wire_type} has not 64 bits"
        yield fault((*path, "order"), what, "write ABCD, BADC, CDAB or DCBA")
    if point.address + registers > 65536:
        what = f"{name} would reach register {point.address + registers - 1}, beyond the last one, 65535"
        yield fault((*path, "address"), what, "check the address and the type")
    bits = _BITS.get(wire_type)
    if bits is not None:
        for value in point.nan:
            if value != int(value) or not -(1 << (bits - 1)) <= value < (1 << bits) + (bits == 64):
                what = f"{value:g} in `nan` is no raw value of {wire_type}"
                yield fault((*path, "nan"), what, f"write raw whole numbers of {bits} bits, before scaling")
