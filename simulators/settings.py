"""The `simulation:` section of a configuration: weather, seed, and each model's own numbers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scowl_edge.config import ConfigError, Document, Fault
from scowl_edge.model import quantity
from scowl_edge.model.quantity import Family, QuantityError
from simulators.consumption import SHAPES


@dataclass(frozen=True, slots=True)
class Knob:
    """One number of a model."""

    family: Family | None
    """None: a plain number."""
    meaning: str


_ELECTRIC = {"power_factor": Knob(quantity.FRACTION, "real power factor, lagging (100 %)")}
_NOISY = {
    "noise": Knob(quantity.FRACTION, "height of the noise, of the value (3 %)"),
    "noise_period": Knob(quantity.TIME, "distance of its turning points (5 s)"),
}
_RAMP = {"ramp": Knob(quantity.RAMP, "real ramp (the one that the role declares)")}
_HOUSEHOLD = {
    **_ELECTRIC,
    **_NOISY,
    "base": Knob(quantity.POWER, "part that cannot wait, at load 100 % (70 % of rated less deferrable)"),
    "deferrable": Knob(quantity.POWER, "part that can wait, at load 100 % (70 % of the role's deferrable)"),
    "answer": Knob(quantity.TIME, "time it takes to grant a shed (0 s)"),
}
MODELS: Mapping[str, Mapping[str, Knob]] = {
    "wind": {**_ELECTRIC, **_NOISY, **_RAMP},
    "solar": {**_ELECTRIC, **_NOISY, **_RAMP},
    "chp": {**_ELECTRIC, **_RAMP},
    "gas": {**_ELECTRIC, **_RAMP},
    "battery": {
        **_ELECTRIC,
        **_RAMP,
        "soc": Knob(quantity.FRACTION, "state of charge at the start (50 %)"),
        "charge_efficiency": Knob(quantity.FRACTION, "stored, of what is drawn (95 %)"),
        "discharge_efficiency": Knob(quantity.FRACTION, "delivered, of what is taken out (95 %)"),
        "standby": Knob(quantity.POWER, "loss that never rests (20 W)"),
        "floor": Knob(quantity.FRACTION, "charge at which it stops discharging (the role's)"),
        "ceiling": Knob(quantity.FRACTION, "charge at which it stops charging (the role's)"),
    },
    "building": _HOUSEHOLD,
    "home": _HOUSEHOLD,
    "charger": {
        **_ELECTRIC,
        **_RAMP,
        "car": Knob(quantity.POWER, "what the car draws if it may (rated)"),
        "minimum": Knob(quantity.POWER, "limit below which charging pauses (0 W)"),
        "session": Knob(quantity.ENERGY, "energy after which the car is full (0 Wh: never)"),
    },
    "feeder": {},
    "grid": {},
}
"""Models of devices, each with its own numbers."""

_WORDS = {"building": {"shape"}, "home": {"shape"}, "feeder": {"rating"}, "grid": {"rating"}}
_TOP = ("control", "seed", "weather", "front", "start_hour", "load", "unknown_unit", "unmetered", "pki", "devices")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSettings:
    """How one device is simulated."""

    model: str = ""
    """Name in `MODELS`; empty: by role (wind, chp, gas, building, battery, feeder)."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """By name in `MODELS`, in base units (W, Wh, ms, W/s, fraction)."""
    shape: str = "flat"
    """Course of a household's day: flat, home or office."""
    rating: str = ""
    """For a meter that no rating names: the rating it measures."""
    initial: Mapping[str, float | str] = field(default_factory=dict)
    """Registers at the start: by signal in its base unit, or by point for plain registers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """The whole section, in base units."""

    control: str = "127.0.0.1:0"
    """HOST:PORT of the control port."""
    seed: int = 1
    wind: float = 0.7
    sun: float = 0.6
    load: float = 1.0
    front_ms: int = 5000
    """Time that a change of wind or sun takes to arrive."""
    start_hour: float = 12.0
    """Hour of the day at plant time 0, for loads with a daily shape."""
    unknown_unit: int = 0
    """Exception code for units that nobody simulates; 0: silence."""
    unmetered: Mapping[str, float] = field(default_factory=dict)
    """Load in W that no device accounts for, by rating."""
    pki: str = ""
    """Folder of the certificates of OPC-UA servers; empty: one that goes with the simulator."""
    devices: Mapping[str, DeviceSettings] = field(default_factory=dict)


def read_settings(document: Document, devices: Iterable[str], ratings: Iterable[str]) -> SimulationSettings:
    """Reads the `simulation:` section of a configuration; without one everything has its default.

    Raises:
        ConfigError: with every fault of the section, as `file:line:column: what; what to do`.
    """
    section = document.get(("simulation",))
    if section is None:
        return SimulationSettings()
    reader = _Reader(document)
    settings = reader.settings(section, tuple(devices), tuple(ratings))
    if reader.faults:
        raise ConfigError(reader.faults)
    return settings


class _Reader:
    """Collects every fault on the way."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.faults: list[Fault] = []

    def _fault(self, path: tuple[str, ...], what: str, todo: str, *, at_key: bool = False) -> None:
        self.faults.append(self._document.fault(("simulation", *path), what, todo, at_key=at_key))

    def _mapping(self, value: Any, path: tuple[str, ...], known: Iterable[str] | None) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._fault(path, f"{path[-1] if path else 'simulation'} is no mapping", "write keys and values below it")
            return {}
        if known is None:
            return value
        choices = list(known)
        for key in value:
            if key not in choices:
                near = difflib.get_close_matches(str(key), choices, n=1)
                todo = f"did you mean {near[0]}?" if near else f"known are: {', '.join(choices) or 'none'}"
                self._fault((*path, str(key)), f"{key} is not known here", todo, at_key=True)
        return {key: inner for key, inner in value.items() if key in choices}

    def _measure(self, value: Any, family: Family | None, path: tuple[str, ...], default: float) -> float:
        if family is None:
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return float(value)
            self._fault(path, f"{path[-1]} is {value!r}, not a number", "write a number without a unit")
            return default
        if not isinstance(value, str):
            units = quantity.units_in_words(family)
            self._fault(path, f"{path[-1]} is {value!r} without a unit", f"write one of {units}, e.g. {family.example}")
            return default
        try:
            quanta = family(value)
        except QuantityError as error:
            self._fault(path, f"{path[-1]} cannot be read: {error.what}", error.todo)
            return default
        return quanta / 1_000_000 if family is quantity.FRACTION else float(quanta)

    def settings(self, section: Any, devices: tuple[str, ...], ratings: tuple[str, ...]) -> SimulationSettings:
        top = self._mapping(section, (), _TOP)
        weather = self._mapping(top.get("weather"), ("weather",), ("wind", "sun"))
        default = SimulationSettings()

        def share(value: Any, path: tuple[str, ...], other: float) -> float:
            return other if value is None else self._measure(value, quantity.FRACTION, path, other)

        code = top.get("unknown_unit", "silence")
        if code not in ("silence", 10, 11):
            self._fault(("unknown_unit",), f"unknown_unit is {code!r}", "write silence, 10 or 11")
            code = 0
        seed = top.get("seed", default.seed)
        if not isinstance(seed, int) or isinstance(seed, bool):
            self._fault(("seed",), f"seed is {seed!r}", "write a whole number")
            seed = default.seed
        front = top.get("front")
        hour = top.get("start_hour")
        return SimulationSettings(
            control=str(top.get("control", default.control)),
            seed=seed,
            wind=share(weather.get("wind"), ("weather", "wind"), default.wind),
            sun=share(weather.get("sun"), ("weather", "sun"), default.sun),
            load=share(top.get("load"), ("load",), default.load),
            front_ms=default.front_ms if front is None else int(self._measure(front, quantity.TIME, ("front",), 5000)),
            start_hour=default.start_hour if hour is None else self._measure(hour, None, ("start_hour",), 12.0),
            unknown_unit=0 if code == "silence" else int(code),
            unmetered={
                name: self._measure(value, quantity.POWER, ("unmetered", name), 0.0)
                for name, value in self._mapping(top.get("unmetered"), ("unmetered",), ratings).items()
            },
            pki=str(top.get("pki", default.pki)),
            devices={
                name: self._device(value, ("devices", name), ratings)
                for name, value in self._mapping(top.get("devices"), ("devices",), devices).items()
            },
        )

    def _device(self, value: Any, path: tuple[str, ...], ratings: tuple[str, ...]) -> DeviceSettings:
        inner = self._mapping(value, path, None)
        model = inner.get("model", "")
        if model and model not in MODELS:
            self._fault((*path, "model"), f"there is no model {model}", f"known are: {', '.join(MODELS)}")
            return DeviceSettings()
        knobs = MODELS[model] if model else {}
        words = _WORDS.get(model, set())
        inner = self._mapping(value, path, ("model", "initial", *sorted(words), *knobs))
        shape = inner.get("shape", "flat")
        if shape not in SHAPES:
            self._fault((*path, "shape"), f"there is no shape {shape}", f"known are: {', '.join(SHAPES)}")
            shape = "flat"
        rating = inner.get("rating", "")
        if rating and rating not in ratings:
            self._fault((*path, "rating"), f"there is no rating {rating}", f"known are: {', '.join(ratings)}")
        initial: dict[str, float | str] = {}
        for name, given in self._mapping(inner.get("initial"), (*path, "initial"), None).items():
            text = isinstance(given, str)
            initial[str(name)] = given if text else self._measure(given, None, (*path, "initial", str(name)), 0.0)
        return DeviceSettings(
            model=model,
            numbers={
                name: self._measure(inner[name], knob.family, (*path, name), 0.0)
                for name, knob in knobs.items()
                if name in inner
            },
            shape=shape,
            rating=rating,
            initial=initial,
        )
