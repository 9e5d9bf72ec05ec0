"""What is doubtful in a configuration without being wrong: warnings for a second look."""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.assembly.assembly import Assembly
from scowl_edge.assembly.conflicts import excesses
from scowl_edge.assembly.cost import ROUND_TRIP_MS, opcua_cost
from scowl_edge.assembly.device_schema import ModbusDeviceSection
from scowl_edge.assembly.guard_findings import guard_findings
from scowl_edge.assembly.modbus_findings import modbus_findings
from scowl_edge.assembly.modbus_link_schema import ModbusLinkSection
from scowl_edge.assembly.opcua_findings import opcua_findings
from scowl_edge.assembly.point_schema import ModbusPointSection
from scowl_edge.assembly.port_findings import port_findings
from scowl_edge.assembly.role_schema import PowerRole
from scowl_edge.assembly.signals import ACTUATORS, bindings, kind_of
from scowl_edge.assembly.structure import Structure, examine
from scowl_edge.config import Fault, Path
from scowl_edge.devices.declaration import OpcuaLink
from scowl_edge.model.quantity import TIME
from scowl_edge.model.site import NONE, BusKind, RatingKind

_REFERENCE_BASE = {"holding": 40001, "input": 30001, "discrete": 10001}
"""First number of each table in manuals that number all tables in one row."""
_REFERENCE_SPAN = 9999
_BUSY = 0.8
_WIDE = ("int32", "uint32", "float32", "int64", "uint64", "float64")
_FEWEST_ODD = 3


def warnings(assembly: Assembly) -> tuple[Fault, ...]:
    """Everything worth a second look, sorted by place."""
    structure = examine(assembly.document)
    found = {
        *_addresses(structure),
        *_links(assembly, structure),
        *opcua_findings(assembly, structure),
        *port_findings(assembly, structure),
        *_ratings(assembly, structure),
        *_buses(assembly, structure),
        *_flexibility(structure),
        *_devices(assembly, structure),
        *guard_findings(assembly, structure),
        *modbus_findings(assembly, structure),
        *(excess.fault for excess in excesses(structure) if not excess.declared),
    }
    return tuple(sorted(found))


def _flexibility(structure: Structure) -> Iterator[Fault]:
    flex = structure.configuration.flex
    manager = flex.manager if flex is not None else None
    if manager is None or manager.provider is not None or manager.autonomous is not None or manager.unlimited:
        return
    yield structure.document.fault(
        ("flex", "manager"),
        "there is no `provider` who could say what limit holds, so the appliances keep to `failsafe` for good",
        "name a `provider`, or say what holds without one: `autonomous: {...}` or `unlimited: true`",
        at_key=True,
    )


def _addresses(structure: Structure) -> Iterator[Fault]:
    for name, device in structure.configuration.devices.items():
        if not isinstance(device, ModbusDeviceSection):
            continue
        for table, base in _REFERENCE_BASE.items():
            points = {key: point for key, point in device.points.items() if point.table == table}
            yield from _numbered_in_a_row(structure, name, points, table, base)
        for table in ("holding", "input"):
            wide = {
                key: point
                for key, point in device.points.items()
                if point.table == table and (point.type or "uint16") in _WIDE
            }
            yield from _counted_from_one(structure, name, wide, device)


def _numbered_in_a_row(
    structure: Structure, device: str, points: dict[str, ModbusPointSection], table: str, base: int
) -> Iterator[Fault]:
    if not points or not all(base <= point.address <= base + _REFERENCE_SPAN - 1 for point in points.values()):
        return
    name, first = min(points.items(), key=lambda item: item[1].address)
    path: Path = ("devices", device, "points", name, "address")
    what = (
        f"all {table} addresses of {device} are {base} or more; as written, {name} is protocol address "
        f"{first.address}, but in a manual that calls the first {table} register {base} this number means "
        f"protocol address {first.address - base}"
    )
    yield structure.document.fault(path, what, f"compare with the manual; in that case take {base} off each address")


def _counted_from_one(
    structure: Structure, device: str, points: dict[str, ModbusPointSection], section: ModbusDeviceSection
) -> Iterator[Fault]:
    if len(points) < _FEWEST_ODD or not all(point.address % 2 for point in points.values()):
        return
    if any(point.address >= _REFERENCE_BASE["input"] for point in points.values()):
        return
    name, first = min(points.items(), key=lambda item: item[1].address)
    path: Path = ("devices", device, "points", name, "address")
    what = (
        f"all wide values of {device} lie at odd addresses; as written, {name} is protocol address {first.address}, "
        f"but in a manual that counts from 1 the number {first.address} means protocol address {first.address - 1}"
    )
    yield structure.document.fault(path, what, "compare with the manual; in that case take 1 off each address")


def _links(assembly: Assembly, structure: Structure) -> Iterator[Fault]:
    taken: dict[tuple[str, str], str] = {}
    for link in assembly.links:
        fault = structure.document.fault
        path: Path = ("links", link.name)
        section = structure.configuration.links[link.name]
        if isinstance(section, ModbusLinkSection):
            place, leads_to, user = "host", section.leads_to, ""
        else:
            place, leads_to, user = "endpoint", f"{link.host}:{link.port}", getattr(link, "user", "")
        first = taken.setdefault((leads_to, user), link.name)
        if first != link.name:
            what = f"links {first} and {link.name} both lead to {leads_to}"
            yield fault((*path, place), what, "many devices take only one connection: put the devices on one link")
        if not link.devices:
            yield fault(path, f"no device is on link {link.name}", "take it out, or name it in a device", at_key=True)
            continue
        if isinstance(link, OpcuaLink):
            load = opcua_cost(link, reply_ms=ROUND_TRIP_MS).load_fraction
            if load > _BUSY:
                what = f"polling takes {100 * load:.0f} % of link {link.name} at {ROUND_TRIP_MS:g} ms a request"
                todo = "poll slower, raise `max_items`, or split the devices over links"
                yield fault(path, what, todo, at_key=True)


def _ratings(assembly: Assembly, structure: Structure) -> Iterator[Fault]:
    for rating in assembly.site.ratings:
        if rating.power == NONE and rating.currents[0] == NONE:
            what = f"rating {rating.name} has no meter, so its load is taken from the devices below and `residue`"
            todo = "name a `meter`, or set `residue` to the load that no device stands for"
            yield structure.document.fault(("ratings", rating.name), what, todo, at_key=True)


def _buses(assembly: Assembly, structure: Structure) -> Iterator[Fault]:
    site = assembly.site
    for number, bus in enumerate(site.buses):
        covered = any(r.kind is RatingKind.GRID and r.bus == number for r in site.ratings)
        sources = any(g.bus == number for g in site.generators) or any(s.bus == number for s in site.storages)
        loads = any(c.bus == number and c.interruptible for c in site.consumers)
        if bus.kind is BusKind.SYNCHRONOUS and sources and loads and not covered:
            what = (
                f"bus {bus.name} has generators and loads but no grid connection, so what its own generators do not "
                "cover is shed and cut off"
            )
            todo = "add `ratings: {grid: {kind: grid, import: ..., meter: ...}}` if a grid stands behind it"
            yield structure.document.fault(("devices",), what, todo, at_key=True)


def _devices(assembly: Assembly, structure: Structure) -> Iterator[Fault]:
    read_only = {link.name for link in assembly.links if link.read_only}
    fault = structure.document.fault
    for name, device in structure.configuration.devices.items():
        path: Path = ("devices", name)
        if not any("r" in point.access for point in device.points.values()):
            yield fault(path, f"device {name} has no readable point", "add one, else nobody sees it fail", at_key=True)
        if device.fresh_for is not None and device.fresh_for < device.poll:
            what = f"`fresh_for` of {name} is shorter than its poll, so its values are stale between polls"
            yield fault((*path, "fresh_for"), what, f"write e.g. {TIME.show(3 * device.poll)}")
        if not isinstance(device.role, PowerRole):
            continue
        kind = kind_of(device.role)
        bound = bindings(device, kind)
        if "power" not in bound:
            what = f"the {kind} {name} has no signal `power`, so the effect of commands cannot be seen"
            yield fault((*path, "role"), what, "name the point of its active power `power`, or bind it under `signals`")
        if device.link in read_only and any(
            "w" in device.points[bound[s]].access for s in ACTUATORS[kind] if s in bound
        ):
            what = f"{name} has points that could be commanded, but its link {device.link} is read_only"
            yield fault((*path, "link"), what, "take `read_only` off the link if the device shall be steered")
