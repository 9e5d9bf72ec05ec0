"""Values that are right each by itself and wrong together: interlocks, and registers of a device's own fail-safe."""

from __future__ import annotations

from collections.abc import Iterator

from scowl_edge.assembly.device_schema import DeviceSection
from scowl_edge.assembly.guarding import beat_range, guard_points, raw_range, step
from scowl_edge.assembly.kinds import suggest
from scowl_edge.assembly.point_schema import NO_VALUE, InterlockSection, PointSection
from scowl_edge.assembly.role_schema import Failsafe, PowerRole
from scowl_edge.assembly.signals import BASE_UNITS, SIGNALS, gain_in, kind_of
from scowl_edge.assembly.structure import Structure
from scowl_edge.config import Fault, Path
from scowl_edge.model.command import Verb
from scowl_edge.model.quantity import POINT_UNITS, POWER, TIME


def guard_faults(structure: Structure, name: str, device: DeviceSection) -> Iterator[Fault]:
    """Faults of one device."""
    for point, section in device.points.items():
        if section.interlock is not None:
            yield from _interlock(structure, name, device, point, section.interlock)
    if isinstance(device.role, PowerRole):
        yield from _registers(structure, name, device, device.role)


def _interlock(
    structure: Structure, name: str, device: DeviceSection, point: str, lock: InterlockSection
) -> Iterator[Fault]:
    path: Path = ("devices", name, "points", point, "interlock")
    fault = structure.document.fault
    at = (*path, "point")
    points = structure.names("devices", name, "points")
    deciding = device.points.get(lock.point)
    if at in structure.assumed:
        pass
    elif lock.point == point:
        yield fault(at, f"{point} is named as its own interlock", "name the point that allows the write")
    elif lock.point not in points:
        yield fault(at, f"device {name} has no point {lock.point}", suggest(lock.point, points, noun="its points are"))
    elif deciding is not None:
        if "r" not in deciding.access:
            what = f"{lock.point} decides whether {point} may be written, but cannot be read"
            yield fault(at, what, f"give {lock.point} access r or rw, or name another point")
        elif deciding.type in ("string", "datetime", NO_VALUE):
            yield fault(at, f"{lock.point} is a {deciding.type}, but an interlock compares numbers", "name a number")
    written = set(structure.names(*map(str, path)))
    if lock.equals is not None and (lock.min is not None or lock.max is not None):
        yield fault(path, "the interlock names `equals` beside `min` or `max`", "keep `equals`, or the others")
    elif not {"equals", "min", "max"} & written and structure.all_known(*map(str, path)):
        yield fault(path, "the interlock names no value", "add `equals: 1`, or `min` and `max`")
    if lock.min is not None and lock.max is not None and lock.min > lock.max:
        yield fault((*path, "min"), f"`min` {lock.min:g} is above `max` {lock.max:g}", "exchange them")


def _registers(structure: Structure, name: str, device: DeviceSection, role: PowerRole) -> Iterator[Fault]:
    """What is to be written must fit its register: the driver refuses the rest, never clamps it."""
    fault = structure.document.fault
    unsure = ("devices", name, "role", "rated") in structure.assumed or (
        role.on is not None and role.on not in structure.configuration.ratings
    )
    for verb, point in guard_points(device).items():
        section = device.points[point]
        path: Path = ("devices", name, "points", point)
        if verb is Verb.HEARTBEAT:
            low, high = beat_range(section)
            if low >= high:
                yield fault(path, f"{point} serves as the heartbeat, but holds no two numbers", "widen `min` and `max`")
            continue
        if role.failsafe is None or unsure:
            continue
        yield from _fits(structure, name, device, role.failsafe, verb, point, section)


def _fits(
    structure: Structure,
    name: str,
    device: DeviceSection,
    given: Failsafe,
    verb: Verb,
    point: str,
    section: PointSection,
) -> Iterator[Fault]:
    kind, signal = kind_of(device.role), "failsafe_limit" if verb is Verb.FAILSAFE else "failsafe_timeout"
    meaning = POINT_UNITS[section.unit]
    if meaning.base not in BASE_UNITS[SIGNALS[kind][signal].measured]:
        return
    gain = gain_in(structure.configuration, device, kind, signal, meaning.base)
    key = "timeout" if verb is Verb.FAILSAFE_TIMEOUT else "limit" if given.limit is not None else "setpoint"
    quanta = getattr(given, key)
    path = ("devices", name, "role", "failsafe", key)
    if quanta is None or path in structure.assumed:
        return
    shown = (TIME if key == "timeout" else POWER).show(quanta)
    value = quanta / gain / meaning.to_base
    width = step(section, gain)
    if key == "timeout" and width and abs(quanta / width - round(quanta / width)) > 1e-6:
        what = f"`timeout` is {shown}, but {point} takes it in steps of {TIME.show(max(round(width), 1))}"
        yield structure.document.fault(path, what, "write a multiple of that")
    span = raw_range(section)
    if span is not None and getattr(section, "scale_factor", None) is None:
        raw = round((value - section.offset) / section.scale)
        if not span[0] <= raw <= span[1]:
            what = f"`{key}` is {shown}, which {point} cannot hold: raw {raw}, outside of {span[0]} to {span[1]}"
            yield structure.document.fault(path, what, f"check the unit and scale of {point}")
            return
    low, high = section.min, section.max
    if (low is not None and value < low) or (high is not None and value > high):
        what = f"`{key}` is {shown}, outside of what {point} takes by its `min` and `max`"
        yield structure.document.fault(path, what, "correct one of them")
