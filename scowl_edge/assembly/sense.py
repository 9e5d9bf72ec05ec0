"""Values that are right each by itself and wrong together: all of them, and those within a role."""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.assembly.device_schema import DeviceSection, ModbusDeviceSection
from scowl_edge.assembly.doubt_sense import doubt_faults
from scowl_edge.assembly.flex_sense import flex_faults
from scowl_edge.assembly.guard_sense import guard_faults
from scowl_edge.assembly.link_schema import OpcuaLinkSection
from scowl_edge.assembly.modbus_link_schema import ModbusLinkSection
from scowl_edge.assembly.modbus_link_sense import modbus_device_faults, modbus_link_faults
from scowl_edge.assembly.modbus_sense import modbus_point_faults
from scowl_edge.assembly.opcua_sense import opcua_link_faults, opcua_point_faults
from scowl_edge.assembly.point_schema import ModbusPointSection, OpcuaPointSection, PointSection
from scowl_edge.assembly.port_sense import http_faults, telemetry_faults
from scowl_edge.assembly.role_schema import ConsumerRole, GeneratorRole, PowerRole, RoleSection, StorageRole
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path


def sense_faults(structure: Structure) -> Iterator[Fault]:
    """All faults of this sort in the valid part of a file."""
    yield from http_faults(structure)
    yield from telemetry_faults(structure)
    yield from flex_faults(structure)
    yield from modbus_link_faults(structure)
    for name, link in structure.configuration.links.items():
        if isinstance(link, OpcuaLinkSection):
            yield from opcua_link_faults(structure, name, link)
    for name, device in structure.configuration.devices.items():
        for point, section in device.points.items():
            yield from _point(structure, name, point, section, device)
        yield from guard_faults(structure, name, device)
        if isinstance(device, ModbusDeviceSection):
            found = structure.configuration.links.get(device.link)
            known = found if isinstance(found, ModbusLinkSection) else None
            yield from modbus_device_faults(structure, name, device, known)
        if device.role is not None:
            yield from _role(structure, ("devices", name, "role"), device.role)
    yield from _trees(structure)


def _point(
    structure: Structure, device: str, name: str, point: PointSection, section: DeviceSection
) -> Iterator[Fault]:
    path: Path = ("devices", device, "points", name)
    fault = structure.document.fault
    link = structure.configuration.links.get(section.link)
    poll = section.poll
    if isinstance(point, ModbusPointSection) and isinstance(section, ModbusDeviceSection):
        known = link if isinstance(link, ModbusLinkSection) else None
        yield from modbus_point_faults(structure, path, point, section, known)
        poll = point.poll or poll
    elif isinstance(point, OpcuaPointSection):
        yield from opcua_point_faults(structure, path, point)
    yield from doubt_faults(structure, path, point, poll)
    if point.min is not None and point.max is not None and point.min > point.max:
        yield fault((*path, "min"), f"`min` {point.min:g} is above `max` {point.max:g}", "exchange them")
    fresh = point.fresh_for
    if fresh is not None and fresh < poll:
        slower = f"the poll of {device}" if poll == section.poll else "its own `poll`"
        what = f"`fresh_for` of {name} is shorter than {slower}, so it would be stale between polls"
        yield fault((*path, "fresh_for"), what, "make it at least the poll, better three times")


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
