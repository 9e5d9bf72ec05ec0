"""Names that one part of a configuration uses for another: do they exist, and do they make sense together?"""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.assembly.device_schema import DeviceSection, ModbusDeviceSection
from scowl_edge.assembly.kinds import suggest
from scowl_edge.assembly.role_schema import PowerRole, RoleSection
from scowl_edge.assembly.signals import ACTUATORS, SIGNALS, bindings, kind_of, units_for
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path
from scowl_edge.model.quantity import POINT_UNITS


def reference_faults(structure: Structure) -> Iterator[Fault]:
    """All faults of names, in the valid part of a file; names of faulty entries count as existing."""
    yield from _ratings(structure)
    for name, device in structure.configuration.devices.items():
        yield from _name(structure, ("devices", name, "link"), device.link, "links", "link")
        if device.role is not None:
            yield from _role(structure, name, device, device.role)
        if isinstance(device, ModbusDeviceSection):
            yield from _scale_factors(structure, name, device)


def _name(structure: Structure, path: Path, name: str | None, section: str, noun: str) -> Iterator[Fault]:
    if name is None or structure.unread(section) or path in structure.assumed:
        return
    known = structure.names(section)
    if section == "buses" and not known:
        known = ("main",)
    if name not in known:
        what = f"there is no {noun} {name}"
        yield structure.document.fault(path, what, suggest(name, known, noun=f"under `{section}` are"))


def _ratings(structure: Structure) -> Iterator[Fault]:
    ratings = structure.configuration.ratings
    for name, rating in ratings.items():
        path = ("ratings", name)
        fault = structure.document.fault
        yield from _name(structure, (*path, "within"), rating.within, "ratings", "rating")
        yield from _name(structure, (*path, "bus"), rating.bus, "buses", "bus")
        yield from _name(structure, (*path, "meter"), rating.meter, "devices", "device")
        written = structure.names(*path)
        if rating.limit is not None and (rating.import_ is not None or rating.export is not None):
            what = f"rating {name} has `limit` beside `import` or `export`"
            yield fault((*path, "limit"), what, "`limit` holds both ways: keep it, or the others", at_key=True)
        elif not {"limit", "import", "export"} & set(written) and structure.all_known(*path):
            what = f"rating {name} limits nothing"
            yield fault(path, what, "add `limit: 40 kVA`, or `import: 100 A` and `export: 60 A`")
        if rating.phases == 2:
            yield fault((*path, "phases"), "`phases` is 2, outside of its range", "write 1 or 3")
        yield from _cycle(structure, name)
        meter = structure.configuration.devices.get(rating.meter) if rating.meter is not None else None
        if rating.meter is not None and meter is not None:
            bound = bindings(meter, "meter")
            points = structure.names("devices", rating.meter, "points")
            if "power" not in bound and "current_a" not in bound and not {"power", "current_a"} & set(points):
                what = f"device {rating.meter} measures neither `power` nor `current_a`, so it cannot be a meter"
                todo = "name its point of power `power`, or add `role: {kind: meter, signals: {power: POINT}}` to it"
                yield fault((*path, "meter"), what, todo)


def _cycle(structure: Structure, name: str) -> Iterator[Fault]:
    ratings = structure.configuration.ratings
    chain = [name]
    while True:
        section = ratings.get(chain[-1])
        if section is None or section.within is None:
            return
        if section.within == name:
            if name != min(chain, key=list(ratings).index):
                return
            ring = " within ".join([*chain, name])
            path = ("ratings", name, "within")
            yield structure.document.fault(path, f"ratings hang in a circle: {ring}", "take one `within` out")
            return
        if section.within in chain:
            return
        chain.append(section.within)


def _role(structure: Structure, name: str, device: DeviceSection, role: RoleSection) -> Iterator[Fault]:
    path: Path = ("devices", name, "role")
    fault = structure.document.fault
    yield from _name(structure, (*path, "on"), role.on, "ratings", "rating")
    yield from _name(structure, (*path, "bus"), role.bus, "buses", "bus")
    above = structure.configuration.ratings.get(role.on) if role.on is not None else None
    if above is not None and above.phases == 1 and role.phases is not None and len(role.phases) > 1:
        what = f"{role.phases} are {len(role.phases)} phases, but rating {role.on} has one"
        yield fault((*path, "phases"), what, "write the one phase, e.g. a")
    kind = kind_of(role)
    known = SIGNALS[kind]
    points = structure.names("devices", name, "points")
    for signal, point in (role.signals or {}).items():
        if signal not in known:
            what = f"{signal} is no signal of a {kind}"
            yield fault((*path, "signals", signal), what, suggest(signal, known), at_key=True)
        if point not in points:
            what = f"device {name} has no point {point}"
            yield fault((*path, "signals", signal), what, suggest(point, points, noun="its points are"))
    for signal, point in bindings(device, kind).items():
        yield from _unit(structure, name, device, role, signal, point)


def _unit(
    structure: Structure, name: str, device: DeviceSection, role: RoleSection, signal: str, point: str
) -> Iterator[Fault]:
    section = device.points.get(point)
    if section is None:
        return
    kind = kind_of(role)
    rule = SIGNALS[kind][signal]
    fits = units_for(rule, role_has_rated=isinstance(role, PowerRole))
    path: Path = ("devices", name, "points", point)
    fault = structure.document.fault
    if section.type == "string":
        yield fault((*path, "type"), f"{point} is a string, but serves as the signal `{signal}`", "use a number")
    elif section.unit not in fits:
        shown = ", ".join(unit or '""' for unit in fits)
        what = f"point {point} serves as the signal `{signal}`, but "
        what += f"its unit is {section.unit}" if section.unit else "has no unit"
        place = (*path, "unit") if "unit" in structure.names(*map(str, path)) else path
        todo = f"write one of {shown} as its `unit`" if POINT_UNITS[fits[0]].base else "take its `unit` out"
        yield fault(place, what, todo)
    if "r" not in section.access and signal not in ACTUATORS[kind] and signal != "shed_expiry":
        yield fault((*path, "access"), f"{point} serves as `{signal}`, but cannot be read", "write access r or rw")


def _scale_factors(structure: Structure, name: str, device: ModbusDeviceSection) -> Iterator[Fault]:
    points = structure.names("devices", name, "points")
    for point, section in device.points.items():
        if section.scale_factor is None:
            continue
        path: Path = ("devices", name, "points", point, "scale_factor")
        fault = structure.document.fault
        target = device.points.get(section.scale_factor)
        if section.scale_factor == point:
            yield fault(path, f"{point} is named as its own scale factor", "name another point")
        elif section.scale_factor not in points:
            what = f"device {name} has no point {section.scale_factor}"
            yield fault(path, what, suggest(section.scale_factor, points, noun="its points are"))
        elif target is not None:
            if target.scale_factor is not None:
                what = f"{section.scale_factor} has a scale factor itself"
                yield fault(path, what, "name the point that holds the plain power of ten")
            wire_type = target.type or "uint16"
            if target.table in ("coil", "discrete") or "int" not in wire_type or "r" not in target.access:
                what = f"{section.scale_factor} is no whole number that can be read"
                yield fault(path, what, "a scale factor is a readable integer point, mostly int16")
