"""What is doubtful about devices that can be commanded: what they do when nobody commands them, and what wears out."""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.assembly.assembly import Assembly
from scowl_edge.assembly.device_schema import DeviceSection
from scowl_edge.assembly.guarding import guard_points
from scowl_edge.assembly.role_schema import PowerRole
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path
from scowl_edge.model.command import Verb, WriteClass
from scowl_edge.model.quantity import TIME
from scowl_edge.model.site import NONE, Actuator

_POWER_VERBS = (Verb.LIMIT, Verb.SETPOINT, Verb.SHED, Verb.CONNECT)
_DAY_MS = TIME("1 d")


def guard_findings(assembly: Assembly, structure: Structure) -> Iterator[Fault]:
    """Warnings about actuators and what guards them."""
    commanded: dict[str, set[Verb]] = {}
    written: dict[str, set[str]] = {}
    for actuator, binding in zip(assembly.site.actuators, assembly.actuators, strict=True):
        name = assembly.site.devices[actuator.device].name
        commanded.setdefault(name, set()).add(actuator.verb)
        written.setdefault(name, set()).add(assembly.points[binding.point].name)
        path: Path = ("devices", name, "role")
        if actuator.verb is Verb.SHED and binding.expiry_point == NONE:
            what = f"{name} takes sheds without a `shed_expiry`, so a shed outlives a crash of the daemon"
            yield structure.document.fault(path, what, "bind `shed_expiry` if the device has a register for it")
        yield from _repeated(structure, actuator, name)
        yield from _worn(structure, actuator, name, assembly.points[binding.point].name)
    for name, device in structure.configuration.devices.items():
        verbs = commanded.get(name, set())
        yield from _unused(structure, name, device, written.get(name, set()))
        if isinstance(device.role, PowerRole) and verbs:
            yield from _left_alone(structure, name, device, device.role, verbs)
    yield from _forgotten(assembly, structure)


def _left_alone(
    structure: Structure, name: str, device: DeviceSection, role: PowerRole, verbs: set[Verb]
) -> Iterator[Fault]:
    """What becomes of a device when the daemon or the link is gone."""
    fault = structure.document.fault
    path: Path = ("devices", name, "role")
    if not verbs & {*_POWER_VERBS}:
        return
    if role.failsafe is None:
        what = f"{name} names no `failsafe`: it stays as left when the daemon or the link is gone"
        yield fault(path, what, "set one in the device and declare it here, if it has one")
        for verb, point in guard_points(device).items():
            if verb not in verbs:
                what = f"{point} of {name} could be written, but without a `failsafe` there is nothing to write"
                todo = "add `failsafe: {limit: ..., timeout: ...}` to its role, or write access: r"
                yield fault(("devices", name, "points", point), what, todo, at_key=True)
        return
    if Verb.FAILSAFE_TIMEOUT not in verbs:
        what = (
            f"`failsafe` of {name} is declared, but its time-out is written nowhere: if the device does not have it, "
            "or lost it, it stays as left"
        )
        todo = "bind `failsafe_timeout` (and `failsafe_limit`) if it has registers for them, else set it there"
        yield fault((*path, "failsafe"), what, todo, at_key=True)


def _forgotten(assembly: Assembly, structure: Structure) -> Iterator[Fault]:
    """Devices that fall back while all is well, since nothing is said to them in time."""
    fault = structure.document.fault
    beating = {actuator.device for actuator in assembly.site.actuators if actuator.verb is Verb.HEARTBEAT}
    for actuator in assembly.site.actuators:
        name = assembly.site.devices[actuator.device].name
        path: Path = ("devices", name, "role")
        timeout_ms, beat_ms = actuator.device_timeout_ms, actuator.heartbeat_ms
        if not timeout_ms or actuator.verb in (Verb.FAILSAFE, Verb.FAILSAFE_TIMEOUT):
            continue
        if actuator.verb is Verb.HEARTBEAT:
            if beat_ms >= timeout_ms:
                what = f"{name} falls back after {TIME.show(timeout_ms)} without a heartbeat, which comes more seldom"
                yield fault((*path, "heartbeat"), what, f"write e.g. {TIME.show(max(timeout_ms // 3, 1))}, or leave it")
        elif (
            actuator.device not in beating
            and actuator.write_class is not WriteClass.STORED
            and not 0 < beat_ms < timeout_ms
        ):
            what = f"{name} falls back after {TIME.show(timeout_ms)} without a write, which no `heartbeat` prevents"
            yield fault(path, what, f"add e.g. `heartbeat: {TIME.show(max(timeout_ms // 3, 1))}`")


def _repeated(structure: Structure, actuator: Actuator, device: str) -> Iterator[Fault]:
    if not actuator.heartbeat_ms or actuator.write_class is WriteClass.VOLATILE:
        return
    path: Path = ("devices", device, "role", "heartbeat")
    fault = structure.document.fault
    if actuator.write_class is WriteClass.PULSE:
        what = f"`heartbeat` of {device} does not reach its `{actuator.verb.value}`, since a pulse is never repeated"
        yield fault(path, what, "take `heartbeat` out if no other register needs it", at_key=True)
        return
    writes = _DAY_MS // actuator.heartbeat_ms
    if actuator.daily_budget and writes > actuator.daily_budget:
        what = (
            f"`heartbeat` of {device} asks for {writes} writes a day to a stored register, but `daily_budget` is "
            f"{actuator.daily_budget}"
        )
        yield fault(path, what, "write less often, or bind a register that is not stored", at_key=True)


def _worn(structure: Structure, actuator: Actuator, device: str, point: str) -> Iterator[Fault]:
    """Stored registers that nothing keeps from being written to death."""
    if actuator.write_class is not WriteClass.STORED:
        return
    fault = structure.document.fault
    if not actuator.daily_budget:
        what = f"{point} of {device} is a stored register, which wears out, but `daily_budget` sets no limit"
        path: Path = ("devices", device, "role", "daily_budget")
        yield fault(path, what, "write how often a day it may be written, e.g. 20", at_key=True)
    if actuator.verb is Verb.HEARTBEAT:
        what = f"{point} of {device} is a stored register, but a heartbeat is written all the time"
        yield fault(("devices", device, "points", point, "write_class"), what, "bind a register that is volatile")


def _unused(structure: Structure, name: str, device: DeviceSection, written: set[str]) -> Iterator[Fault]:
    """Keys about writing at points that are never written."""
    fault = structure.document.fault
    read_only = structure.configuration.links[device.link].read_only
    for point, section in device.points.items():
        path: Path = ("devices", name, "points", point)
        for key in ("write_class", "min_interval", "interlock"):
            if getattr(section, key) is None:
                continue
            if "w" not in section.access:
                what = f"`{key}` of {point} means nothing while its access is r"
                yield fault((*path, key), what, "write access rw, or take it out", at_key=True)
            elif key != "write_class" and point not in written and not read_only:
                what = f"`{key}` of {point} means nothing, since no signal that is commanded is bound to it"
                yield fault((*path, key), what, "bind it in the device's role, or take it out", at_key=True)
