"""Values that are right each by itself and wrong together: within an OPC-UA link and its points."""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.assembly.doubt_sense import OF_MEASUREMENTS
from scowl_edge.assembly.link_schema import OpcuaLinkSection
from scowl_edge.assembly.point_schema import NO_VALUE, OpcuaPointSection
from scowl_edge.assembly.port_sense import source_faults
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path

_RANGES = {
    "sbyte": (-(2**7), 2**7 - 1),
    "byte": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64),
}
"""Least and greatest raw value; the last one as a double cannot tell it from the next."""
_OF_NUMBERS = ("scale", "offset", "nan", "unit", "min", "max", *OF_MEASUREMENTS)


def opcua_link_faults(structure: Structure, name: str, link: OpcuaLinkSection) -> Iterator[Fault]:
    """Faults of one link."""
    path = ("links", name)
    yield from source_faults(structure, (*path, "password"), link.password)
    if link.password is not None and link.user is None and "user" not in structure.names(*path):
        what = f"link {name} has a `password` but no `user`"
        yield structure.document.fault((*path, "password"), what, "add `user: NAME`, or take it out", at_key=True)


def opcua_point_faults(structure: Structure, path: Path, point: OpcuaPointSection) -> Iterator[Fault]:
    """Faults of one point."""
    fault = structure.document.fault
    written = structure.names(*map(str, path))
    if point.method is not None:
        if point.access != "w" and (*path, "access") not in structure.faulty:
            what = f"{path[-1]} calls a method, which cannot be read, but access is {point.access}"
            todo = "write access: w, and read the result as a point of its own"
            yield fault((*path, "access"), what, todo)
        if point.index is not None:
            what = "`index` picks an element of an array, but a method is called"
            yield fault((*path, "index"), what, "take it out", at_key=True)
    if point.type == NO_VALUE and "method" not in written:
        what = "type none is for methods without arguments, but no `method` is named"
        yield fault((*path, "type"), what, 'add `method: "nsu=URI;s=NAME"`, or write the type of the value')
    if point.type in (NO_VALUE, "string"):
        thing = "a string" if point.type == "string" else "a call without a value"
        for key in _OF_NUMBERS:
            if key in written:
                yield fault((*path, key), f"`{key}` means nothing for {thing}", "take it out", at_key=True)
    if point.type == "string" and "w" in point.access:
        yield fault((*path, "access"), "strings can only be read", "write access: r")
    low, high = _RANGES.get(point.type or "", (None, None))
    for value in point.nan:
        if low is not None and high is not None and (value != int(value) or not low <= value <= high):
            what = f"{value:g} in `nan` is no raw value of {point.type}"
            yield fault((*path, "nan"), what, f"write raw whole numbers from {low} to {high}, before scaling")
