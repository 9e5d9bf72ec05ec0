"""Values that are right each by itself and wrong together: within a point, a role, the port."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from scowl_edge.assembly.build import split_listen
from scowl_edge.assembly.role_schema import ConsumerRole, GeneratorRole, PowerRole, RoleSection, StorageRole
from scowl_edge.assembly.schema import DeviceSection, Link, PointSection
from scowl_edge.assembly.section import Source
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path

_BITS = {"int16": 16, "uint16": 16, "bits": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64}
_REGISTERS = {"int32": 2, "uint32": 2, "float32": 2, "int64": 4, "uint64": 4, "float64": 4}


def sense_faults(structure: Structure) -> Iterator[Fault]:
    """All faults of this sort in the valid part of a file."""
    yield from _http(structure)
    yield from _telemetry(structure)
    for name, device in structure.configuration.devices.items():
        for point, section in device.points.items():
            yield from _point(structure, name, point, section, device)
        if device.role is not None:
            yield from _role(structure, ("devices", name, "role"), device.role)
    yield from _trees(structure)


def _http(structure: Structure) -> Iterator[Fault]:
    http = structure.configuration.http
    fault = structure.document.fault
    host, port = split_listen(http.listen)
    path: Path = ("http", "listen")
    if port > 65535:
        yield fault(path, f"port {port} does not exist", "write a port from 0 to 65535")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and http.tls is None and "tls" not in structure.names("http"):
        what = f"{host} is not a loopback address, and over plain HTTP the network could read tokens and values"
        todo = "add `tls: {certificate: {file: PATH}, key: {file: PATH}}`, or listen on 127.0.0.1"
        yield fault(path, what, todo)
    if not loopback and not {"token", "viewer"} & set(structure.names("http")):
        what = f"{host} is not a loopback address, and without a token reading would be open to the network"
        yield fault(path, what, "add `viewer: {file: PATH}`, and `token: {file: PATH}` for orders")
    for key in ("token", "viewer"):
        yield from _source(structure, ("http", key), getattr(http, key))
    if http.tls is not None:
        yield from _source(structure, ("http", "tls", "certificate"), http.tls.certificate)
        yield from _source(structure, ("http", "tls", "key"), http.tls.key)


def _source(structure: Structure, path: tuple[str, ...], source: Source | None) -> Iterator[Fault]:
    if source is None or (source.file is None) != (source.credential is None) or path in structure.assumed:
        return
    given = structure.names(*path)
    if source.file is not None or (not {"file", "credential"} & set(given) and structure.all_known(*path)):
        both = "both `file` and `credential`" if source.file is not None else "neither `file` nor `credential`"
        yield structure.document.fault(path, f"`{path[-1]}` names {both}", "name exactly one of them")


def _telemetry(structure: Structure) -> Iterator[Fault]:
    configuration = structure.configuration
    if configuration.telemetry.path == configuration.journal.path:
        what = "`path` of the telemetry is the journal's file"
        yield structure.document.fault(("telemetry", "path"), what, "name another file, or take it out")


def _point(
    structure: Structure, device: str, name: str, point: PointSection, section: DeviceSection
) -> Iterator[Fault]:
    path: Path = ("devices", device, "points", name)
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
        link = structure.configuration.links.get(section.link)
        yield from _register(structure, path, point, wire_type, link)
    if "w" in point.access and point.table in ("input", "discrete"):
        writable = "holding" if point.table == "input" else "coil"
        what = f"the table {point.table} can only be read, but access is {point.access}"
        yield fault((*path, "access"), what, f"write access: r, or table: {writable} if the device has it there")
    if point.min is not None and point.max is not None and point.min > point.max:
        yield fault((*path, "min"), f"`min` {point.min:g} is above `max` {point.max:g}", "exchange them")
    fresh = point.fresh_for
    if fresh is not None and fresh < section.poll:
        what = f"`fresh_for` of {name} is shorter than the poll of {device}, so it would be stale between polls"
        yield fault((*path, "fresh_for"), what, "make it at least the poll, better three times")


def _register(
    structure: Structure, path: Path, point: PointSection, wire_type: str, link: Link | None
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
        for key in ("scale", "offset", "scale_factor", "nan", "unit", "min", "max"):
            if key in written:
                yield fault((*path, key), f"`{key}` means nothing for a string", "take it out", at_key=True)
        if "w" in point.access:
            yield fault((*path, "access"), "strings can only be read", "write access: r")
    elif point.length is not None:
        what = f"`length` is for strings; a {wire_type} takes {_REGISTERS.get(wire_type, 1)} by its type"
        yield fault((*path, "length"), what, "take it out", at_key=True)
    if point.bit is not None and wire_type != "bits":
        yield fault((*path, "bit"), f"`bit` picks one bit of `type: bits`, not of {wire_type}", "write `type: bits`")
    registers = (point.length or 1) if wire_type == "string" else _REGISTERS.get(wire_type, 1)
    longest = link.max_read if link is not None else registers
    if registers > longest:
        what = f"{name} takes {registers} registers, but `max_read` of its link is {longest}"
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


def _role(structure: Structure, path: Path, role: RoleSection) -> Iterator[Fault]:
    fault = structure.document.fault
    if not isinstance(role, PowerRole) or (*path, "rated") in structure.assumed:
        return
    if role.failsafe is not None:
        written = structure.names(*map(str, path), "failsafe")
        if (role.failsafe.limit is None) == (role.failsafe.setpoint is None):
            both = role.failsafe.limit is not None
            known = structure.all_known(*map(str, path), "failsafe")
            if both or (known and not {"limit", "setpoint"} & set(written)):
                what = f"`failsafe` names {'both' if both else 'neither'} `limit` {'and' if both else 'nor'} `setpoint`"
                yield fault((*path, "failsafe"), what, "name exactly one of them")
        for key in ("limit", "setpoint"):
            value = getattr(role.failsafe, key)
            if value is not None and abs(value) > role.rated:
                what = f"the fail-safe {key} is above `rated`"
                yield fault((*path, "failsafe", key), what, "correct one of the two")
    match role:
        case GeneratorRole() if role.minimum > role.rated:
            yield fault((*path, "minimum"), "`minimum` is above `rated`", "correct one of the two")
        case ConsumerRole():
            if role.deferrable > role.rated:
                yield fault((*path, "deferrable"), "`deferrable` is above `rated`", "it is a part of the rated load")
            if role.demand_responsive > role.deferrable:
                what = "`demand_responsive` is above `deferrable`"
                yield fault((*path, "demand_responsive"), what, "it is a part of the deferrable load")
            if role.klass == 0 and role.interruptible:
                what = "class 0 is protected, so it cannot be interruptible"
                yield fault((*path, "interruptible"), what, "write false, or another class")
        case StorageRole():
            yield from _storage(structure, path, role)
        case _:
            pass


def _storage(structure: Structure, path: Path, role: StorageRole) -> Iterator[Fault]:
    fault = structure.document.fault
    if role.floor >= role.ceiling:
        yield fault((*path, "floor"), "`floor` is not below `ceiling`", "correct one of the two")
    if role.wake is not None and not role.floor <= role.wake <= role.ceiling:
        yield fault((*path, "wake"), "`wake` is not between `floor` and `ceiling`", "correct it")
    if role.protection > role.floor:
        yield fault((*path, "protection"), "`protection` is above `floor`", "it lies at or below the floor")
    for key in ("charge", "discharge"):
        value = getattr(role, key)
        if value is not None and value > role.rated:
            yield fault((*path, key), f"`{key}` is above `rated`", "correct one of the two")
    modes = role.modes
    numbers = (modes.idle, modes.charging, modes.discharging, modes.sleeping)
    if len(set(numbers)) < len(numbers):
        yield fault(
            (*path, "modes"), "two modes have the same number", "give each mode its own, as in the device's manual"
        )


def _trees(structure: Structure) -> Iterator[Fault]:
    taken: dict[int, str] = {}
    place = 0
    for name, device in structure.configuration.devices.items():
        if not isinstance(device.role, (GeneratorRole, StorageRole)):
            continue
        place += 1
        number = device.role.tree or place
        if number in taken:
            what = f"{name} and {taken[number]} are both tree {number}"
            path = ("devices", name, "role")
            todo = "give each generator and store another number with `tree`"
            yield structure.document.fault((*path, "tree") if device.role.tree else path, what, todo)
        taken.setdefault(number, name)
