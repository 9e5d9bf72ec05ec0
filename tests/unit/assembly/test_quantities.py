"""Quantities: exact both ways, and refusals in words."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.model.quantity import (
    APPARENT,
    CURRENT,
    FAMILIES,
    FRACTION,
    POINT_UNITS,
    POWER,
    RAMP,
    SIZE,
    TIME,
    VOLTAGE,
    Family,
    QuantityError,
    parse,
)


@pytest.mark.parametrize(
    ("text", "family", "quanta"),
    [
        ("5 kW", POWER, 5_000),
        ("5kW", POWER, 5_000),
        (" 0.001 MW ", POWER, 1_000),
        ("-2.5 kW", POWER, -2_500),
        ("1e3 W", POWER, 1_000),
        ("10 %", FRACTION, 100_000),
        ("0.0001 %", FRACTION, 1),
        ("500 ms", TIME, 500),
        ("30 d", TIME, 2_592_000_000),
        ("1.5 h", TIME, 5_400_000),
        ("100 A", CURRENT, 100_000),
        ("16.5 A", CURRENT, 16_500),
        ("230 V", VOLTAGE, 230_000),
        ("5 kW/s", RAMP, 5_000),
        ("40 kVA", APPARENT, 40_000),
        (".5 kW", POWER, 500),
        ("500 MB", SIZE, 500_000_000),
        ("1.5 GB", SIZE, 1_500_000_000),
    ],
)
def test_quantities(text: str, family: Family, quanta: int) -> None:
    assert family(text) == quanta


@pytest.mark.parametrize(
    ("text", "family", "part"),
    [
        ("5", POWER, "has no unit"),
        ("kW", POWER, "no number"),
        ("", POWER, "no number"),
        ("5 KW", POWER, "did you mean kW"),
        ("5 kWh", POWER, "no unit of a power"),
        ("0.5 ms", TIME, "finer than 1 ms"),
        ("1.0001 kW", TIME, "no unit of a time"),
        ("2 GiB", SIZE, "no unit of a size"),
        ("2 gb", SIZE, "did you mean GB"),
        ("0.0001 kW", POWER, "finer than 1 W"),
        ("1e99 W", POWER, "too large"),
        ("5 kW 3 W", POWER, "no unit of a power"),
        ("1,5 kW", POWER, "decimal point"),
        ("NaN W", POWER, "no number"),
        ("inf W", POWER, "no number"),
    ],
)
def test_refusals(text: str, family: Family, part: str) -> None:
    with pytest.raises(QuantityError) as caught:
        family(text)
    assert part in str(caught.value)
    assert caught.value.todo


@given(st.sampled_from(FAMILIES), st.integers(-(2**53), 2**53))
def test_shown_quantities_read_back_exactly(family: Family, value: int) -> None:
    assert family(family.show(value)) == value


@given(st.sampled_from(FAMILIES), st.decimals(-100_000, 100_000, places=4), st.data())
def test_no_rounding_whatever_the_unit(family: Family, number: Decimal, data: st.DataObject) -> None:
    unit = data.draw(st.sampled_from(sorted(family.units)))
    exact = number * family.units[unit]
    text = f"{number} {unit}"
    if exact == int(exact) and abs(exact) <= 2**53:
        assert family(text) == exact
    else:
        with pytest.raises(QuantityError):
            family(text)


def test_several_families_tell_which_it_was() -> None:
    assert parse("100 A", CURRENT, APPARENT, POWER)[:2] == (100_000, CURRENT)
    assert parse("40 kVA", CURRENT, APPARENT, POWER)[:2] == (40_000, APPARENT)


def test_no_unit_belongs_to_two_families() -> None:
    units = [unit for family in FAMILIES for unit in family.units]
    assert len(units) == len(set(units))


@pytest.mark.parametrize(("unit", "base", "size"), [("kW", "W", 1000), ("%", "fraction", 0.01), ("ms", "s", 0.001)])
def test_units_of_points(unit: str, base: str, size: float) -> None:
    assert POINT_UNITS[unit] == (base, size)
