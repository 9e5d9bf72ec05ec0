"""What a device of the site brings along for flexibility: nameplate, fail-safe values, points, actuators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from scowl_edge.assembly.device_schema import DeviceSection
from scowl_edge.assembly.flex_device_schema import FlexDevice
from scowl_edge.assembly.flex_schema import FlexManager
from scowl_edge.assembly.role_schema import ConsumerRole, GeneratorRole, PowerRole, StorageRole
from scowl_edge.assembly.schema import Configuration
from scowl_edge.assembly.signals import ACTUATORS, DEFAULT_VOLTAGE_MV, bindings, kind_of, phases_of

FITTING: Mapping[str, tuple[type[PowerRole], ...]] = {
    "battery": (StorageRole,),
    "solar": (GeneratorRole,),
    "charger": (ConsumerRole, StorageRole),
    "heat_pump": (ConsumerRole,),
    "cold_store": (ConsumerRole,),
    "washer": (ConsumerRole,),
}
"""Roles that a device of a kind may have."""
FURTHER: Mapping[str, Mapping[str, str]] = {
    "charger": {"soc": "fraction", "present": ""},
    "heat_pump": {"temperature": "degC", "ambient": "degC"},
    "cold_store": {"temperature": "degC", "ambient": "degC"},
    "washer": {"loaded": ""},
}
"""By kind: signals beside those of the role, and the base unit of their points."""
GAINS: Mapping[str, float] = {"fraction": 1_000_000.0, "degC": 1_000.0, "": 1.0}
"""Quanta in one base unit."""


class Currents(NamedTuple):
    """Of a charge point."""

    phases: int
    voltage_v: int
    least_a: int
    most_a: int


def commands(configuration: Configuration, device: DeviceSection) -> set[str]:
    """Signals of its role that can be commanded."""
    role = device.role
    link = configuration.links.get(device.link)
    if not isinstance(role, PowerRole) or (link is not None and link.read_only):
        return set()
    kind = kind_of(role)
    bound = bindings(device, kind)
    return {s for s in ACTUATORS[kind] if s in bound and "w" in _access(device, bound[s])}


def readings(device: DeviceSection) -> set[str]:
    """Signals of its role that can be read."""
    if device.role is None:
        return set()
    return {s for s, point in bindings(device, kind_of(device.role)).items() if "r" in _access(device, point)}


def further(section: FlexDevice, device: DeviceSection) -> dict[str, str]:
    """Signal to point, of those beside its role's."""
    known = FURTHER.get(section.kind, {})
    if section.signals is not None:
        return {s: p for s, p in section.signals.items() if s in known}
    return {s: s for s in known if s in device.points}


def currents(configuration: Configuration, section: FlexDevice, role: PowerRole) -> Currents:
    """What a charge point may take in each phase."""
    above = configuration.ratings.get(role.on) if role.on is not None else None
    voltage_v = (above.voltage if above is not None else DEFAULT_VOLTAGE_MV) // 1_000
    phases = len(phases_of(role, above))
    most_w = role.charge or role.rated if isinstance(role, StorageRole) else role.rated
    return Currents(phases, voltage_v, -(-section.current_min // 1_000), most_w // (phases * voltage_v))


def nameplate_w(configuration: Configuration, section: FlexDevice, role: PowerRole) -> tuple[int, int]:
    """(most that it draws, most that it feeds back)."""
    match section.kind, role:
        case "battery", StorageRole():
            return _given(role.charge, role.rated), _given(role.discharge, role.rated)
        case "solar", _:
            return 0, role.rated
        case "charger", _:
            c = currents(configuration, section, role)
            feeds = section.discharge and isinstance(role, StorageRole)
            most_w = _given(role.discharge, role.rated) if isinstance(role, StorageRole) else 0
            return c.phases * c.voltage_v * c.most_a, most_w if feeds else 0
        case "washer", _:
            return max((power_w for _, power_w in section.programme or ()), default=role.rated), 0
        case _:
            return role.rated, 0


def failsafe_w(
    configuration: Configuration, manager: FlexManager, section: FlexDevice, device: DeviceSection
) -> tuple[int, int]:
    """(most that it draws, most that it feeds back) while it hears nobody; magnitudes."""
    role = device.role
    if not isinstance(role, PowerRole):
        return 0, 0
    draws_w, feeds_w = nameplate_w(configuration, section, role)
    if section.failsafe is not None:
        return section.failsafe.import_, section.failsafe.export
    if switched(configuration, device):
        # It takes all or nothing; nothing would be a fridge that thaws.
        return draws_w, 0
    return min(draws_w, manager.failsafe.import_), min(feeds_w, manager.failsafe.export)


def switched(configuration: Configuration, device: DeviceSection) -> bool:
    """Whether it can only be switched on and off."""
    can = commands(configuration, device)
    return "connect" in can and not {"limit", "setpoint"} & can


def _given(value: int | None, otherwise: int) -> int:
    return otherwise if value is None else value


def _access(device: DeviceSection, point: str) -> str:
    section = device.points.get(point)
    return section.access if section is not None else ""
