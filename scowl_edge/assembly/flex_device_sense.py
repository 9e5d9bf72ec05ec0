"""Devices of flexibility that are no devices of the file, cannot do what their kind needs, or contradict themselves."""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.assembly.device_schema import DeviceSection
from scowl_edge.assembly.flex_device_fit import (
    FITTING,
    FURTHER,
    commands,
    currents,
    failsafe_w,
    further,
    nameplate_w,
    readings,
    switched,
)
from scowl_edge.assembly.flex_device_schema import COMMON_KEYS, OWN_KEYS, FlexDevice
from scowl_edge.assembly.flex_schema import FlexManager
from scowl_edge.assembly.kinds import suggest
from scowl_edge.assembly.role_schema import ROLES, PowerRole, StorageRole
from scowl_edge.assembly.signals import kind_of
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path
from scowl_edge.model.quantity import POINT_UNITS, POWER

_WORDS = {"generator": "generator", "consumer": "consumer", "storage": "store", "meter": "meter"}
LEAST_ID, MOST_ID = 8, 64


def esa_id_of(manager: FlexManager, name: str) -> str:
    """The id of a device as an appliance."""
    return manager.devices[name].id or f"{manager.node.removeprefix('cem:')}.{name}"


def device_faults(structure: Structure, manager: FlexManager) -> Iterator[Fault]:
    """All faults of `flex.manager.devices`."""
    fault = structure.document.fault
    at: Path = ("flex", "manager", "devices")
    known = structure.names("devices")
    if manager.devices and manager.provider is None and "provider" not in structure.names("flex", "manager"):
        yield fault(at, "nobody selects among the offers of these devices", "name `provider` beside them", at_key=True)
    taken: dict[str, str] = {}
    for name, section in manager.devices.items():
        path = (*at, name)
        if (*path, "kind") in structure.assumed:
            continue
        yield from _keys(structure, path, section)
        yield from _id(structure, path, manager, name, taken)
        if name not in known:
            yield fault(path, f"there is no device {name}", suggest(name, known, noun="devices are"), at_key=True)
            continue
        device = structure.configuration.devices.get(name)
        if device is not None and ("devices", name, "role") not in structure.faulty:
            yield from _device(structure, path, manager, name, section, device)


def _keys(structure: Structure, path: Path, section: FlexDevice) -> Iterator[Fault]:
    own = OWN_KEYS[section.kind]
    for key in structure.names(*map(str, path)):
        if key in {*FlexDevice.model_fields} and key not in (*own, *COMMON_KEYS):
            what = f"`{key}` is no key of a {section.kind}"
            todo = f"take it out; its keys are: {', '.join(own)}"
            yield structure.document.fault((*path, key), what, todo, at_key=True)


def _id(structure: Structure, path: Path, manager: FlexManager, name: str, taken: dict[str, str]) -> Iterator[Fault]:
    esa_id = esa_id_of(manager, name)
    fault = structure.document.fault
    if not LEAST_ID <= len(esa_id) <= MOST_ID and ("flex", "manager", "node") not in structure.assumed:
        what = f"its id {esa_id} has {len(esa_id)} characters, and ids have {LEAST_ID} to {MOST_ID}"
        yield fault(path, what, "add `id:` with one that nobody else has", at_key=True)
    first = taken.setdefault(esa_id, name)
    if first != name:
        yield fault((*path, "id"), f"devices {first} and {name} both have the id {esa_id}", "change one of them")


def _device(
    structure: Structure, path: Path, manager: FlexManager, name: str, section: FlexDevice, device: DeviceSection
) -> Iterator[Fault]:
    fault, role, configuration = structure.document.fault, device.role, structure.configuration
    wanted = [_WORDS[next(k for k, r in ROLES.items() if r is fits)] for fits in FITTING[section.kind]]
    if not isinstance(role, FITTING[section.kind]):
        has = f"is a {_WORDS[kind_of(role)]}" if role is not None else "has no role"
        todo = "give it that role, or correct `kind`"
        yield fault((*path, "kind"), f"a {section.kind} is a {' or a '.join(wanted)}, but device {name} {has}", todo)
        return
    assert isinstance(role, PowerRole)
    can, tells = commands(configuration, device), readings(device)
    needs = _needed(section, role)
    if not needs & can:
        listed = " or ".join(f"`{n}`" for n in sorted(needs))
        what = f"device {name} cannot be commanded as a {section.kind}: it needs {listed}, which can be written"
        yield fault(path, what, "bind such a point to its role (access rw), or take the device out here", at_key=True)
    for signal in ("power", *(("soc",) if section.kind == "battery" else ())):
        if signal not in tells:
            what = f"device {name} does not tell its `{signal}`"
            yield fault(path, what, f"bind a point that can be read as `{signal}` of its role", at_key=True)
    yield from _signals(structure, path, name, section, device)
    yield from _values(structure, path, name, section, role)
    if section.failsafe is not None and needs & can and switched(configuration, device):
        draws_w, _ = nameplate_w(configuration, section, role)
        if 0 < section.failsafe.import_ < draws_w:
            what = f"device {name} can only be switched, so it cannot keep to {POWER.show(section.failsafe.import_)}"
            todo = f"write {POWER.show(draws_w)}, or 0 W to have it off"
            yield fault((*path, "failsafe", "import"), what, todo)
    if failsafe_w(configuration, manager, section, device)[1] > nameplate_w(configuration, section, role)[1]:
        what = f"device {name} feeds back {POWER.show(nameplate_w(configuration, section, role)[1])} at most"
        yield fault((*path, "failsafe", "export"), what, "write no more than that")


def _needed(section: FlexDevice, role: PowerRole) -> set[str]:
    """Signals of which one has to be writable."""
    match section.kind:
        case "battery":
            return {"setpoint"}
        case "solar":
            return {"limit"}
        case "charger":
            return {"setpoint"} if isinstance(role, StorageRole) else {"limit"}
        case _:
            return {"limit", "connect"}


def _signals(
    structure: Structure, path: Path, name: str, section: FlexDevice, device: DeviceSection
) -> Iterator[Fault]:
    fault, known = structure.document.fault, FURTHER.get(section.kind, {})
    points = structure.names("devices", name, "points")
    for signal, point in (section.signals or {}).items():
        if signal not in known:
            todo = suggest(signal, known) if known else "take it out"
            yield fault((*path, "signals", signal), f"{signal} is no signal of a {section.kind}", todo, at_key=True)
        elif point not in points:
            todo = suggest(point, points, noun="its points are")
            yield fault((*path, "signals", signal), f"device {name} has no point {point}", todo)
    bound = further(section, device)
    for signal, point in bound.items():
        told = device.points.get(point)
        if told is None:
            continue
        base = POINT_UNITS[told.unit].base
        if base != known[signal] or told.type == "string" or "r" not in told.access:
            fits = next((u for u, m in POINT_UNITS.items() if m.base == known[signal] and u), "")
            what = f"point {point} of device {name} cannot be `{signal}`"
            todo = "it has to be a number that can be read" + (
                f", with the unit {fits}" if fits else ", without a unit"
            )
            yield fault((*path, "signals", signal) if section.signals else path, what, todo, at_key=not section.signals)
    for signal in {"washer": ("loaded",), "heat_pump": ("temperature",), "cold_store": ("temperature",)}.get(
        section.kind, ()
    ):
        if signal not in bound and signal not in (section.signals or {}):
            what = f"no point of device {name} tells its `{signal}`"
            yield fault(path, what, f"add `signals: {{{signal}: POINT}}`", at_key=True)


def _values(structure: Structure, path: Path, name: str, section: FlexDevice, role: PowerRole) -> Iterator[Fault]:
    fault = structure.document.fault

    def lacks(key: str, example: str) -> Iterator[Fault]:
        if key not in structure.names(*map(str, path)):
            yield fault(path, f"{section.kind} {name} lacks its key `{key}`", f"add `{key}: {example}`", at_key=True)

    if section.kind == "charger":
        if not isinstance(role, StorageRole):
            yield from lacks("capacity", "60 kWh")
            if section.discharge:
                todo = "take `discharge` out, or make it a store with `setpoint`"
                yield fault((*path, "discharge"), f"device {name} is a consumer and cannot discharge", todo)
        c = currents(structure.configuration, section, role)
        if c.least_a > c.most_a and ("devices", name, "role", "rated") not in structure.assumed:
            what = f"its least current of {c.least_a} A is above the {c.most_a} A that its rated power comes to"
            yield fault((*path, "current_min"), what, "lower it, or correct `rated` or `phases` of its role")
        if section.floor > section.target:
            yield fault((*path, "floor"), "`floor` is above `target`", "exchange them")
    if section.kind in ("heat_pump", "cold_store"):
        yield from lacks("heat_capacity", "7 kWh")
        yield from lacks("loss", "180 W")
        low, preferred, high = band(section)
        if low >= high:
            yield fault((*path, "low"), "`low` is not below `high`", "exchange them")
        elif not low <= preferred <= high:
            yield fault((*path, "preferred"), "`preferred` is outside of `low` to `high`", "write one between them")
    if section.kind == "washer":
        yield from lacks("programme", "[20 min at 2 kW, 40 min at 200 W]")
        if section.programme and max(power_w for _, power_w in section.programme) > role.rated:
            what = f"its programme takes more than the rated power of device {name}, {POWER.show(role.rated)}"
            yield fault((*path, "programme"), what, "correct one of them")


def band(section: FlexDevice) -> tuple[int, int, int]:
    """Coldest, preferred and warmest, in thousandths of a degree."""
    cold = section.kind == "cold_store"
    low = (-22_000 if cold else 19_500) if section.low is None else section.low
    high = (-17_000 if cold else 22_500) if section.high is None else section.high
    return low, (low + high) // 2 if section.preferred is None else section.preferred, high
