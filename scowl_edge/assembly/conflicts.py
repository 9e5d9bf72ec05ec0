"""What several devices do to each other: one unit twice, fail-safe values that a rating cannot bear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scowl_edge.assembly.build import per_phase_va
from scowl_edge.assembly.device_schema import DeviceSection, ModbusDeviceSection
from scowl_edge.assembly.flex_device_fit import FITTING, failsafe_w
from scowl_edge.assembly.flex_schema import FlexAutonomous, FlexFailsafe, most_linked
from scowl_edge.assembly.modbus_link_schema import ModbusLinkSection
from scowl_edge.assembly.role_schema import ConsumerRole, GeneratorRole, PowerRole, StorageRole
from scowl_edge.assembly.schema import RatingSection
from scowl_edge.assembly.signals import phases_of
from scowl_edge.assembly.structure import Structure
from scowl_edge.compiled import NotCompiled, require_compiled
from scowl_edge.config import Fault
from scowl_edge.model.quantity import APPARENT
from scowl_edge.model.site import NONE, PPM

IMPORT, EXPORT = "import", "export"


def conflict_faults(structure: Structure) -> Iterator[Fault]:
    """All faults of this sort in the valid part of a file."""
    yield from _units(structure)
    yield from _populations(structure)
    yield from (excess.fault for excess in excesses(structure) if excess.declared)


def _populations(structure: Structure) -> Iterator[Fault]:
    for name, population in structure.configuration.populations.items():
        try:
            require_compiled(population.consumers)
        except NotCompiled as refused:
            path = ("populations", name, "consumers")
            yield structure.document.fault(path, refused.what, refused.todo)


def _units(structure: Structure) -> Iterator[Fault]:
    links = structure.configuration.links
    taken: dict[tuple[str, int], str] = {}
    for name, device in structure.configuration.devices.items():
        link = links.get(device.link)
        unsure = {("devices", name, "link"), *(("links", device.link, key) for key in ("host", "port", "device"))}
        if not isinstance(link, ModbusLinkSection) or not isinstance(device, ModbusDeviceSection):
            continue
        if unsure & structure.assumed:
            continue
        first = taken.setdefault((link.leads_to, device.unit), name)
        if first == name:
            continue
        path = ("devices", name, "unit")
        if "unit" not in structure.names("devices", name):
            path = ("devices", name, "link")
        other = structure.configuration.devices[first].link
        where = f"link {device.link}" if other == device.link else f"{link.leads_to} (links {other}, {device.link})"
        what = f"devices {first} and {name} are both unit {device.unit} on {where}"
        yield structure.document.fault(path, what, "correct one unit, or join their points in one device")


def below(ratings: dict[str, RatingSection], device: DeviceSection, name: str) -> bool:
    """Whether a device hangs below a rating, directly or through others."""
    at = device.role.on if device.role is not None else None
    seen: set[str] = set()
    while at is not None and at not in seen:
        if at == name:
            return True
        seen.add(at)
        at = ratings[at].within if at in ratings else None
    return False


def _appliances_w(structure: Structure, rating: str, direction: str) -> tuple[int, int]:
    """(how many appliances of flexibility may hang below a rating, most power of each when left alone)."""
    flex = structure.configuration.flex
    manager = flex.manager if flex is not None else None
    if flex is None or manager is None or manager.within is None:
        return 0, 0
    at: str | None = manager.within
    seen: set[str] = set()
    while at is not None and at not in seen and at != rating:
        seen.add(at)
        above = structure.configuration.ratings.get(at)
        at = above.within if above is not None else None
    if at != rating:
        return 0, 0
    alone: list[FlexFailsafe | FlexAutonomous] = [manager.failsafe]
    if manager.autonomous is not None:
        alone.append(manager.autonomous)
    return most_linked(flex), max(part.import_ if direction == IMPORT else part.export for part in alone)


def _of_flex_w(structure: Structure, name: str, direction: str) -> int | None:
    """Most power of a device that takes part in flexibility while it hears nobody; None if it does not take part."""
    flex = structure.configuration.flex
    manager = flex.manager if flex is not None else None
    if manager is None or name not in manager.devices:
        return None
    device, section = structure.configuration.devices[name], manager.devices[name]
    if not isinstance(device.role, FITTING[section.kind]):
        return None
    return failsafe_w(structure.configuration, manager, section, device)[0 if direction == IMPORT else 1]


def _fallback_w(role: PowerRole, direction: str) -> int | None:
    """Most power that a device takes (import) or gives (export) when left alone; None if it cannot do so at all."""
    given = role.failsafe
    match role, direction:
        case (ConsumerRole(), "import") | (GeneratorRole(), "export"):
            if given is None:
                return role.rated
            return given.limit if given.limit is not None else abs(given.setpoint or 0)
        case (StorageRole(), _):
            sign = 1 if direction == IMPORT else -1
            most = role.charge if direction == IMPORT else role.discharge
            if given is None:
                # A store falls idle or stays as left; what it was left with was within the rating.
                return None
            return (
                given.limit
                if given.limit is not None
                else min(max(sign * (given.setpoint or 0), 0), most or role.rated)
            )
        case _:
            return None


@dataclass(frozen=True, slots=True)
class Excess:
    """A rating that what hangs below it can exceed when nobody steers it."""

    declared: bool
    """Whether any device below names a fail-safe value; else only rated powers were summed."""
    fault: Fault


def excesses(structure: Structure) -> Iterator[Excess]:
    """Every rating and direction in which fail-safe values (rated power where there is none) add up to too much."""
    for name, rating in structure.configuration.ratings.items():
        for direction in (IMPORT, EXPORT):
            excess = _excess(structure, name, rating, direction)
            if excess is not None:
                yield excess


def _excess(structure: Structure, name: str, rating: RatingSection, direction: str) -> Excess | None:
    configuration = structure.configuration
    amount = rating.limit or (rating.import_ if direction == IMPORT else rating.export)
    most_va = per_phase_va(amount, phases=3 if rating.phases == 3 else 1, voltage_mv=rating.voltage)
    if most_va == NONE:
        return None
    load_va = dict.fromkeys("abc", 0)
    terms: list[tuple[int, str]] = []
    declared = False
    for device_name, device in configuration.devices.items():
        role = device.role
        if not isinstance(role, PowerRole) or not below(configuration.ratings, device, name):
            continue
        if ("devices", device_name, "role", "rated") in structure.assumed:
            return None
        fallback_w = _fallback_w(role, direction)
        named = role.failsafe is not None
        of_flex_w = _of_flex_w(structure, device_name, direction)
        if of_flex_w is not None:
            # While the daemon lives it keeps to this; with the daemon gone, to what is set in the device.
            fallback_w, named = max(of_flex_w, (fallback_w or 0) if named else 0), True
        declared = declared or named
        if not fallback_w:
            continue
        phases = phases_of(role, configuration.ratings.get(role.on or ""))
        # Worst power factor, and up: a sum must not fit by rounding.
        share_va = -(-fallback_w * PPM // (role.power_factor * len(phases)))
        for letter in phases if rating.phases == 3 else "a":
            load_va[letter] += share_va
        shown = "fail-safe" if named else "rated"
        terms.append((share_va, f"{device_name} {APPARENT.show(share_va)} ({shown})"))
    many, each_w = _appliances_w(structure, name, direction)
    if many and each_w:
        # Nobody knows their phases: taken as spread evenly.
        share_va = -(-many * each_w // (3 if rating.phases == 3 else 1))
        for letter in load_va if rating.phases == 3 else "a":
            load_va[letter] += share_va
        terms.append((share_va, f"{many} appliances {APPARENT.show(share_va)} (fail-safe)"))
        declared = True
    worst = max(load_va, key=lambda letter: load_va[letter])
    if load_va[worst] <= most_va:
        return None
    terms.sort(key=lambda term: -term[0])
    listed = ", ".join(text for _, text in terms[:4]) + (f" and {len(terms) - 4} more" if len(terms) > 4 else "")
    key = "limit" if rating.limit is not None else direction
    flow = "draw" if direction == IMPORT else "produce"
    what = (
        f"left alone, what hangs below rating {name} may {flow} {APPARENT.show(load_va[worst])} on phase {worst}, "
        f"but `{key}` is {APPARENT.show(most_va)} per phase: {listed}"
    )
    todo = "lower fail-safe limits, name one where the rated power counts, or raise the rating if the wires allow it"
    return Excess(declared, structure.document.fault(("ratings", name, key), what, todo))
