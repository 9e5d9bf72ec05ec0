"""What an appliance's course asks of the device's actuators: selections as wishes, limits as envelopes.

Signs: a setpoint is as the course (+ consumption); the limit of a consumer is its consumption, the limit of a generator
the magnitude of its production. A device that can only be switched runs a part of each stretch.
"""

from __future__ import annotations

from dataclasses import replace

from scowl_edge.control.arbiter import Claim, Klass
from scowl_edge.dsr.course import Course
from scowl_edge.dsr.limiting import Envelope
from scowl_edge.model.command import Verb
from scowl_edge.model.flexibility import LimitClass, LimitState
from scowl_edge.model.part import ChargerPart, DeviceKind, DevicePart, ThermalPart
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, Actuator, Site

FOLLOWS = declare("flex-follows", "selection {} ({}) wants {:W}")
WAITS = declare("flex-waits", "it waits for the start of what was selected")
FREE = declare("flex-free", "nothing is selected")
LIMITED = declare("flex-limit", "limit {} of flexibility")
LEFT_ALONE = declare("flex-left-alone", "nobody who sets limits is heard ({})")

DUTY_MS = 300_000
"""In which a device that can only be switched is on once, for its share of full power."""
ANY_W = 1 << 40


def sets_power(part: DevicePart) -> int:
    """The actuator that power is set with."""
    return next(a for a in (part.do_setpoint, part.do_limit, part.do_connect) if a != NONE)


def value_of(site: Site, part: DevicePart, power_w: int, wall_ms: int) -> int:
    """What that actuator has to be set to for a power, within what it can be set to."""
    a = site.actuators[sets_power(part)]
    match a.verb:
        case Verb.SETPOINT:
            wanted = power_w
        case Verb.LIMIT if part.kind is DeviceKind.SOLAR:
            wanted = max(0, -power_w)
        case Verb.LIMIT if part.kind is DeviceKind.WASHER:
            # A programme takes what it takes.
            wanted = a.high if power_w > 0 else 0
        case Verb.LIMIT:
            wanted = max(0, power_w)
        case _:
            wanted = _switched(part, power_w, wall_ms)
    if isinstance(part.physics, ChargerPart):
        least_w = part.physics.phases * part.physics.voltage_v * part.physics.current_min_a
        wanted = 0 if 0 < wanted < least_w else wanted
    return max(a.low, min(a.high, wanted))


def _switched(part: DevicePart, power_w: int, wall_ms: int) -> int:
    if isinstance(part.physics, ThermalPart):
        return 1 if wall_ms % DUTY_MS * part.physics.rated_w < power_w * DUTY_MS else 0
    return 1 if power_w > 0 else 0


def free_value(a: Actuator) -> int:
    """What lets a device do as it would by itself: no limit, switched on, or rest."""
    return max(a.low, min(a.high, 0)) if a.verb is Verb.SETPOINT else a.high


def wishes(
    site: Site, part: DevicePart, power_w: int, klass: Klass, why: Reason, wall_ms: int
) -> dict[int, list[Claim]]:
    """Claims for a power, and for the mode that goes with it."""
    number = sets_power(part)
    value = value_of(site, part, power_w, wall_ms)
    found = {number: [_wish(site.actuators[number], klass, value, why)]}
    if part.do_mode != NONE and part.do_setpoint != NONE:
        found[part.do_mode] = [_wish(site.actuators[part.do_mode], klass, _mode(part, value), why)]
    return found


def frees(site: Site, part: DevicePart, low: int, high: int) -> dict[int, list[Claim]]:
    """Claims of a device that nothing is asked of any more, within an envelope of its actuator."""
    number = sets_power(part)
    a, why = site.actuators[number], Reason(FREE)
    value = max(low, min(high, free_value(a)))
    found = {number: [_wish(a, Klass.DEFAULT, value, why)]}
    if part.do_mode != NONE and part.do_setpoint != NONE:
        found[part.do_mode] = [_wish(site.actuators[part.do_mode], Klass.DEFAULT, _mode(part, value), why)]
    return found


def bounds(
    site: Site, part: DevicePart, course: Course, *, overridden: bool, safety: bool
) -> tuple[list[Claim], int, int]:
    """Envelopes of the limits in force, as the actuator takes them.

    Args:
        site: Whose actuators.
        part: The device.
        course: With its envelopes.
        overridden: Whether a user took over: a contract's limit stands behind him.
        safety: Whether the device is beyond them now, so that keeping to them may not wait.

    Returns:
        Claims, and what all of them together leave.
    """
    a = site.actuators[sets_power(part)]
    low, high = a.low, a.high
    found: list[Claim] = []
    for envelope in course.envelopes:
        if overridden and envelope.klass is LimitClass.CONTRACT:
            continue
        bound = _bound(a, part, envelope)
        if bound == (a.low, a.high):
            continue
        klass = Klass.SAFETY if envelope.klass is LimitClass.SAFETY else Klass.CONTRACT
        why = Reason(LIMITED, (envelope.limit_id[:8],))
        if envelope.why is not LimitState.LIMITED:
            why = Reason(LEFT_ALONE, (envelope.why.value,))
        found.append(Claim(klass=klass, low=bound[0], high=bound[1], wish=None, reason=why, safety=safety))
        if max(low, bound[0]) <= min(high, bound[1]):
            low, high = max(low, bound[0]), min(high, bound[1])
    return found, low, high


def _bound(a: Actuator, part: DevicePart, envelope: Envelope) -> tuple[int, int]:
    lower_w = -ANY_W if envelope.p_lower_w is None else envelope.p_lower_w
    upper_w = ANY_W if envelope.p_upper_w is None else envelope.p_upper_w
    match a.verb:
        case Verb.SETPOINT:
            return max(a.low, min(a.high, lower_w)), min(a.high, max(a.low, upper_w))
        case Verb.LIMIT if part.kind is DeviceKind.SOLAR:
            return a.low, max(a.low, min(a.high, -lower_w))
        case Verb.LIMIT:
            return a.low, max(a.low, min(a.high, upper_w))
        case _:
            return a.low, a.high if upper_w >= _full_w(part) else a.low


def _full_w(part: DevicePart) -> int:
    """What a device that can only be switched takes while it is on."""
    match part.physics:
        case ThermalPart() as p:
            return p.rated_w
        case p:
            return max((power_w for _, power_w in getattr(p, "programme", ())), default=0)


def joined(a: Actuator, theirs: list[Claim], mine: list[Claim]) -> list[Claim]:
    """Claims of the region and of a device's course: of two limits the narrower one counts, of two switches the one
    that is off, whoever of them comes first."""
    asked = [c for c in mine if c.wish is not None and c.klass is not Klass.DEFAULT]
    if a.verb not in (Verb.LIMIT, Verb.CONNECT) or not asked:
        return theirs + mine
    least = min(asked, key=lambda c: c.wish or 0)
    narrowed = [
        replace(c, wish=least.wish, reason=least.reason) if (c.wish or 0) > (least.wish or 0) else c for c in theirs
    ]
    return narrowed + mine


def _wish(a: Actuator, klass: Klass, value: int, why: Reason) -> Claim:
    return Claim(klass=klass, low=a.low, high=a.high, wish=value, reason=why)


def _mode(part: DevicePart, setpoint_w: int) -> int:
    idle, charging, discharging = part.modes
    return charging if setpoint_w > 0 else discharging if setpoint_w < 0 else idle
