"""Which signals each role knows, which units a point may have to be one, and how its value becomes exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from scowl_edge.assembly.device_schema import DeviceSection
from scowl_edge.assembly.role_schema import PowerRole
from scowl_edge.assembly.schema import Configuration, RatingSection
from scowl_edge.model.command import Verb
from scowl_edge.model.quantity import POINT_UNITS, VOLTAGE

DEFAULT_VOLTAGE_MV = VOLTAGE("230 V")


class Rounding(StrEnum):
    """Where a value between two quanta goes."""

    UP = "up"
    DOWN = "down"
    NEAREST = "nearest"


class Measured(StrEnum):
    """What a signal stands for; decides its quantum and the base units that fit."""

    POWER = "power"
    CHARGE = "charge"
    CURRENT = "current"
    VOLTAGE = "voltage"
    ENERGY = "energy"
    TIME = "time"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class SignalRule:
    """One standard signal."""

    measured: Measured
    rounding: Rounding
    meaning: str


_UP, _DOWN, _NEAREST = Rounding.UP, Rounding.DOWN, Rounding.NEAREST
_POWER = SignalRule(Measured.POWER, _UP, "Measured active power, + consumption, - production.")
_NUMBER = Measured.NUMBER
_OWN_FAILSAFE = {
    "failsafe_limit": SignalRule(
        Measured.POWER, _NEAREST, "Power that it falls back to by itself; kept at what `failsafe` names."
    ),
    "failsafe_timeout": SignalRule(
        Measured.TIME, _NEAREST, "Time without a word after which it does; kept at what `failsafe` names."
    ),
    "heartbeat": SignalRule(_NUMBER, _NEAREST, "A number that must keep changing, else it falls back."),
}
"""Registers of a device's own fail-safe."""
_GUARDED = {
    "failsafe_limit": Verb.FAILSAFE,
    "failsafe_timeout": Verb.FAILSAFE_TIMEOUT,
    "heartbeat": Verb.HEARTBEAT,
}

SIGNALS: Mapping[str, Mapping[str, SignalRule]] = {
    "generator": {
        "power": SignalRule(Measured.POWER, _UP, "Measured active power; negative while it produces."),
        "available": SignalRule(
            Measured.POWER, _DOWN, "What it could produce if it were not curtailed; a positive magnitude."
        ),
        "limit": SignalRule(Measured.POWER, _NEAREST, "Most it may produce; a positive magnitude."),
        "connect": SignalRule(_NUMBER, _NEAREST, "1 connected or online, 0 not."),
        "setpoint": SignalRule(Measured.POWER, _NEAREST, "What it shall produce; a positive magnitude."),
        **_OWN_FAILSAFE,
    },
    "consumer": {
        "power": SignalRule(Measured.POWER, _UP, "Measured active power; positive while it consumes."),
        "deferrable": SignalRule(Measured.POWER, _UP, "Part of its present load that can wait."),
        "shed_request": SignalRule(Measured.POWER, _NEAREST, "Power that it is asked to give up; 0 ends the shed."),
        "shed_granted": SignalRule(Measured.POWER, _DOWN, "Power that it says it gives up."),
        "shed_expiry": SignalRule(Measured.TIME, _NEAREST, "How long it keeps the shed by itself; written before it."),
        "limit": SignalRule(Measured.POWER, _NEAREST, "Most it may consume."),
        "connect": SignalRule(_NUMBER, _NEAREST, "1 connected, 0 not."),
        "supply": SignalRule(
            _NUMBER, _NEAREST, "Number of the tree that feeds it (simulated separate buses); 0 = none."
        ),
        **_OWN_FAILSAFE,
    },
    "storage": {
        "power": SignalRule(Measured.POWER, _UP, "Measured active power; + charging, - discharging."),
        "soc": SignalRule(Measured.CHARGE, _NEAREST, "State of charge."),
        "mode": SignalRule(_NUMBER, _NEAREST, "Mode, by the numbers under `modes`."),
        "setpoint": SignalRule(Measured.POWER, _NEAREST, "Power it shall take; + charge, - discharge."),
        **_OWN_FAILSAFE,
    },
    "meter": {
        "power": SignalRule(Measured.POWER, _UP, "Active power of all phases; + import, - export."),
        "current_a": SignalRule(Measured.CURRENT, _NEAREST, "Current of phase a."),
        "current_b": SignalRule(Measured.CURRENT, _NEAREST, "Current of phase b."),
        "current_c": SignalRule(Measured.CURRENT, _NEAREST, "Current of phase c."),
        "voltage": SignalRule(Measured.VOLTAGE, _NEAREST, "Voltage from phase to neutral."),
        "energy_import": SignalRule(Measured.ENERGY, _NEAREST, "Energy taken in so far."),
        "energy_export": SignalRule(Measured.ENERGY, _NEAREST, "Energy given out so far."),
    },
}
"""By role; insertion order is the order in documentation and in `Site.signals`."""

ACTUATORS: Mapping[str, Mapping[str, Verb]] = {
    "generator": {"limit": Verb.LIMIT, "connect": Verb.CONNECT, "setpoint": Verb.SETPOINT, **_GUARDED},
    "consumer": {
        "shed_request": Verb.SHED,
        "limit": Verb.LIMIT,
        "connect": Verb.CONNECT,
        "supply": Verb.SUPPLY,
        **_GUARDED,
    },
    "storage": {"setpoint": Verb.SETPOINT, "mode": Verb.MODE, **_GUARDED},
    "meter": {},
}
"""By role: the signals that become actuators where their point can be written."""

BASE_UNITS: Mapping[Measured, tuple[str, ...]] = {
    Measured.POWER: ("W", "fraction", "A"),
    Measured.CHARGE: ("fraction",),
    Measured.CURRENT: ("A",),
    Measured.VOLTAGE: ("V",),
    Measured.ENERGY: ("Wh",),
    Measured.TIME: ("s",),
    Measured.NUMBER: ("",),
}


def kind_of(role: object) -> str:
    """The kind of a role with its synonyms resolved."""
    kind = str(getattr(role, "kind", "meter"))
    return "meter" if kind in ("feeder", "grid") else kind


def bindings(device: DeviceSection, kind: str) -> dict[str, str]:
    """Signal to point of a device in a role, in the order of `SIGNALS`."""
    named = device.role.signals if device.role is not None and kind_of(device.role) == kind else None
    known = SIGNALS[kind]
    if named is None:
        return {signal: signal for signal in known if signal in device.points}
    return {signal: named[signal] for signal in known if signal in named}


def units_for(rule: SignalRule, *, role_has_rated: bool) -> list[str]:
    """Units that a point may carry to be such a signal."""
    bases = BASE_UNITS[rule.measured]
    if rule.measured is Measured.POWER and not role_has_rated:
        bases = ("W", "A")
    return [unit for unit, meaning in POINT_UNITS.items() if meaning.base in bases]


def gain(rule: SignalRule, base: str, *, rated_w: int, voltage_mv: int, phases: int) -> float:
    """Quanta of the signal in one base unit of its point.

    A share counts of the role's rated power; a current counts as `voltage_mv` times `phases`.
    """
    match rule.measured:
        case Measured.POWER:
            return {"W": 1.0, "fraction": float(rated_w), "A": voltage_mv / 1_000 * phases}[base]
        case Measured.CHARGE:
            return 1_000_000.0
        case Measured.CURRENT | Measured.VOLTAGE | Measured.TIME:
            return 1_000.0
        case Measured.ENERGY | Measured.NUMBER:
            return 1.0


def gain_in(configuration: Configuration, device: DeviceSection, kind: str, signal: str, base: str) -> float:
    """Quanta of a device's signal in one base unit of its point."""
    role = device.role
    above = configuration.ratings[role.on] if role is not None and role.on is not None else None
    return gain(
        SIGNALS[kind][signal],
        base,
        rated_w=rated_of(role),
        voltage_mv=above.voltage if above is not None else DEFAULT_VOLTAGE_MV,
        phases=len(phases_of(role, above)),
    )


def phases_of(role: object, rating: RatingSection | None) -> str:
    """Letters of the phases a role is on."""
    given = getattr(role, "phases", None)
    if given:
        return str(given)
    return "a" if rating is not None and rating.phases == 1 else "abc"


def rated_of(role: object) -> int:
    """Rated power in W; 0 for meters."""
    return role.rated if isinstance(role, PowerRole) else 0
