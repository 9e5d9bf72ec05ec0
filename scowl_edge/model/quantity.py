"""Quantities with units, exact: text such as "5 kW" to an integer in the family's quantum, and back.

No float takes part: decimals are parsed as such, and what is finer than the quantum is refused, not rounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from scowl_edge.model.errors import ScowlError

_PARTS = re.compile(r"\s*([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?)\s*([A-Za-z%].*?)?\s*")
_LARGEST = 2**53
"""Larger values would not survive a float on their way to a device."""


class QuantityError(ScowlError, ValueError):
    """Text that is no quantity of the family; `what` and `todo` say it in words."""

    def __init__(self, what: str, todo: str) -> None:
        self.what = what
        self.todo = todo
        super().__init__(f"{what}; {todo}")


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """Units that measure the same thing."""

    name: str
    """What is measured, with its article: "a power"."""
    quantum: str
    """Name of the integer's unit."""
    units: Mapping[str, Decimal]
    """Quanta in one of each unit, smallest unit first."""
    example: str

    def __call__(self, text: str) -> int:
        """The quantity in quanta.

        Raises:
            QuantityError: no number, no unit, a unit of another family, or finer than a quantum.
        """
        return parse(text, self).value

    def show(self, value: int) -> str:
        """Text that `parse` reads back to `value`, in the largest unit that needs no more than three decimals."""
        if value == 0:
            return f"0 {self.example.split(' ', 1)[1]}"
        for unit, size in sorted(self.units.items(), key=lambda item: item[1], reverse=True):
            amount = Decimal(value) / size
            if abs(amount) >= 1 and amount == amount.quantize(Decimal("0.001")):
                return f"{_plain(amount)} {unit}"
        unit, size = min(self.units.items(), key=lambda item: item[1])
        return f"{_plain(Decimal(value) / size)} {unit}"


class Quantity(NamedTuple):
    """A parsed quantity: the integer and what it counts."""

    value: int
    family: Family
    unit: str


def parse(text: str, *families: Family) -> Quantity:
    """Reads a quantity that belongs to one of `families`.

    Raises:
        QuantityError: no number, no unit, a unit of none of the families, or finer than a quantum.
    """
    fits = units_in_words(*families)
    example = families[0].example
    match = _PARTS.fullmatch(text)
    if match is None:
        hint = "with a decimal point, " if "," in text else ""
        todo = f"write a number {hint}and one of {fits}, e.g. {example}"
        raise QuantityError(f"{text!r} is no number with a unit", todo)
    number, unit = match[1], match[2]
    if unit is None:
        raise QuantityError(f"{number} has no unit", f"write one of {fits} behind it, e.g. {example}")
    for family in families:
        size = family.units.get(unit)
        if size is None:
            continue
        try:
            quanta = Decimal(number) * size
        except InvalidOperation:
            break
        if quanta != int(quanta):
            smallest = "ppm" if family.quantum == "ppm" else family.quantum
            raise QuantityError(f"{text.strip()} is finer than 1 {smallest}", f"round it to whole {smallest}")
        if abs(quanta) > _LARGEST:
            raise QuantityError(f"{text.strip()} is too large", "check the number and its unit")
        return Quantity(int(quanta), family, unit)
    alike = next((known for family in families for known in family.units if known.lower() == unit.lower()), None)
    if alike is not None:
        raise QuantityError(f"{unit!r} is no unit here", f"did you mean {alike}? (capitals matter)")
    kind = " or ".join(family.name for family in families)
    raise QuantityError(f"{unit!r} is no unit of {kind}", f"use one of {fits}, e.g. {example}")


def units_in_words(*families: Family) -> str:
    """All units of the families: "W, kW, MW, GW"."""
    return ", ".join(unit for family in families for unit in family.units)


def _plain(number: Decimal) -> str:
    text = format(number.normalize(), "f")
    return "0" if text == "-0" else text


def _metric(unit: str, prefixes: str, base: str = "1") -> dict[str, Decimal]:
    """Units with SI prefixes ("-" for none) and the quanta in each."""
    sizes = {"m": "0.001", "-": "1", "k": "1000", "M": "1000000", "G": "1000000000"}
    return {(prefix if prefix != "-" else "") + unit: Decimal(sizes[prefix]) * Decimal(base) for prefix in prefixes}


POWER = Family("a power", "W", _metric("W", "-kMG"), "5 kW")
APPARENT = Family("an apparent power", "VA", _metric("VA", "-kMG"), "40 kVA")
REACTIVE = Family("a reactive power", "var", _metric("var", "-kM"), "5 kvar")
ENERGY = Family("an energy", "Wh", _metric("Wh", "-kMG"), "10 kWh")
CURRENT = Family("a current", "mA", _metric("A", "m-k", "1000"), "100 A")
VOLTAGE = Family("a voltage", "mV", _metric("V", "m-k", "1000"), "230 V")
FREQUENCY = Family("a frequency", "mHz", _metric("Hz", "m-k", "1000"), "50 Hz")
RAMP = Family("a ramp", "W/s", _metric("W/s", "-kM"), "5 kW/s")
FRACTION = Family("a share", "ppm", {"ppm": Decimal(1), "%": Decimal(10_000)}, "10 %")
TIME = Family(
    "a time",
    "ms",
    {
        "ms": Decimal(1),
        "s": Decimal(1_000),
        "min": Decimal(60_000),
        "h": Decimal(3_600_000),
        "d": Decimal(86_400_000),
    },
    "500 ms",
)
TEMPERATURE = Family("a temperature", "m°C", {"degC": Decimal(1_000)}, "20 degC")
SIZE = Family("a size", "B", _metric("B", "-kMG"), "500 MB")
FAMILIES = (POWER, APPARENT, REACTIVE, ENERGY, CURRENT, VOLTAGE, FREQUENCY, RAMP, FRACTION, TIME, TEMPERATURE, SIZE)


class PointUnit(NamedTuple):
    """What the unit of a point means: base unit = configured unit * to_base."""

    base: str
    to_base: float


POINT_UNITS: Mapping[str, PointUnit] = {
    "": PointUnit("", 1.0),
    "mW": PointUnit("W", 0.001),
    "W": PointUnit("W", 1.0),
    "kW": PointUnit("W", 1_000.0),
    "MW": PointUnit("W", 1_000_000.0),
    "Wh": PointUnit("Wh", 1.0),
    "kWh": PointUnit("Wh", 1_000.0),
    "MWh": PointUnit("Wh", 1_000_000.0),
    "VA": PointUnit("VA", 1.0),
    "kVA": PointUnit("VA", 1_000.0),
    "MVA": PointUnit("VA", 1_000_000.0),
    "var": PointUnit("var", 1.0),
    "kvar": PointUnit("var", 1_000.0),
    "Mvar": PointUnit("var", 1_000_000.0),
    "mV": PointUnit("V", 0.001),
    "V": PointUnit("V", 1.0),
    "kV": PointUnit("V", 1_000.0),
    "mA": PointUnit("A", 0.001),
    "A": PointUnit("A", 1.0),
    "kA": PointUnit("A", 1_000.0),
    "mHz": PointUnit("Hz", 0.001),
    "Hz": PointUnit("Hz", 1.0),
    "ms": PointUnit("s", 0.001),
    "s": PointUnit("s", 1.0),
    "min": PointUnit("s", 60.0),
    "h": PointUnit("s", 3_600.0),
    "%": PointUnit("fraction", 0.01),
    "degC": PointUnit("degC", 1.0),
}
"""Units that a point may carry, and the base unit in which its value is shown and used."""
