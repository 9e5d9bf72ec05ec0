"""Scale factors that move between reads: no value is ever published with the factor of another moment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_site import device, link, point

from scowl_edge.devices.declaration import Hole, ModbusPoint, Table
from scowl_edge.drivers.modbus.layout import Block, exponents_of
from scowl_edge.drivers.modbus.planner import plan, plan_device
from scowl_edge.drivers.modbus.torn import Bracket
from scowl_edge.model.signal import Cause, Quality, Reading

FIRST = 300
TRUE_W = 4_000
"""What every value is at all times, however it is scaled."""


def device_shows(points: tuple[ModbusPoint, ...], exponent: int) -> dict[Table, bytearray]:
    """All registers of a device whose scale factors are this at the moment."""
    memory = {table: bytearray(2 * 1000) for table in (Table.HOLDING, Table.INPUT)}
    for p in points:
        raw = TRUE_W // 10**exponent if p.scale_factor else exponent
        memory[p.table][p.address * 2 : p.address * 2 + 2] = raw.to_bytes(2, "big", signed=True)
    return memory


def poll(points: tuple[ModbusPoint, ...], transaction: tuple, exponents: list[int]) -> list[Reading]:  # type: ignore[type-arg]
    """Reads a transaction as a port does; each request finds the device at another moment."""
    readings: list[Reading] = []
    known: dict[int, float] = {}
    for span in transaction:
        memory = device_shows(points, exponents.pop(0))
        data = bytes(memory[span.table][span.address * 2 : (span.address + span.count) * 2])
        readings.append(Block(span, points, FIRST).decode(data, 1, 2, exponents=known))
        known |= exponents_of(readings[-1])
    bracket = Bracket.of(transaction, points, FIRST)
    return readings if bracket is None else bracket.check(readings)


@st.composite
def scaled_sites(draw: st.DrawFn) -> tuple[tuple[ModbusPoint, ...], tuple[Hole, ...]]:
    places = draw(
        st.lists(
            st.tuples(st.sampled_from([Table.HOLDING, Table.INPUT]), st.integers(0, 90)),
            min_size=2,
            max_size=14,
            unique=True,
        )
    )
    factors = draw(st.integers(1, min(4, len(places) - 1)))
    points = tuple(
        point(
            f"p{n}",
            address,
            "int16",
            table=table,
            scale_factor=f"p{draw(st.integers(0, factors - 1))}" if n >= factors else "",
            poll_ms=draw(st.sampled_from([0, 1000])),
        )
        for n, (table, address) in enumerate(places)
    )
    free = [(t, a) for t in (Table.HOLDING, Table.INPUT) for a in range(91) if (t, a) not in places]
    holes = draw(st.lists(st.sampled_from(free), max_size=3))
    return points, tuple(Hole(table=table, first=address, last=address) for table, address in holes)


@settings(deadline=None, max_examples=150)
@given(scaled_sites(), st.integers(0, 30), st.integers(2, 60), st.data())
def test_no_value_is_published_with_the_factor_of_another_moment(
    site: tuple[tuple[ModbusPoint, ...], tuple[Hole, ...]], max_gap: int, max_read: int, data: st.DataObject
) -> None:
    points, holes = site
    plain = device("d", 1, *points)
    found: set[int] = set()
    for item in plan(points, max_gap=max_gap, max_read=max_read, holes=holes):
        moments = sorted(data.draw(st.lists(st.integers(0, 3), min_size=len(item), max_size=len(item))))
        torn = 0
        for reading in poll(points, item, list(moments)):
            for index, value, quality, cause in zip(
                reading.points.tolist(), reading.values, reading.quality, reading.causes, strict=True
            ):
                found.add(index - FIRST)
                if not points[index - FIRST].scale_factor:
                    continue
                if quality == Quality.GOOD:
                    assert value == pytest.approx(TRUE_W)
                else:
                    torn += 1
                    assert (quality, cause) == (Quality.BAD, Cause.UNPROVEN) and np.isnan(value)
        assert not torn or (len(set(moments)) > 1 and len(item) > 1)
    assert found == set(range(len(points)))
    for each in plan_device(plain, link(1, plain, max_gap=max_gap, max_read=max_read)):
        assert all(r.quality[0] == Quality.GOOD for r in poll(points, each.spans, [2] * len(each.spans)))


def test_a_factor_in_the_same_request_needs_no_second_look() -> None:
    points = (point("v", 0, "int16", scale_factor="sf"), point("sf", 1, "int16"))
    (transaction,) = plan(points, max_gap=8, max_read=125)
    assert len(transaction) == 1 and Bracket.of(transaction, points, FIRST) is None


def row(reading: Reading) -> dict[str, float]:
    """Each value by name, or why there is none."""
    names = ("far", "near", "sf")
    return {
        names[index - FIRST]: float(cause) if quality else float(value)
        for index, value, quality, cause in zip(
            reading.points.tolist(), reading.values, reading.quality, reading.causes, strict=True
        )
    }


def test_a_far_factor_that_moves_makes_its_values_bad_and_no_others() -> None:
    points = (
        point("far", 0, "int16", scale_factor="sf"),
        point("near", 301, "int16", scale_factor="sf"),
        point("sf", 300, "int16"),
    )
    (transaction,) = plan(points, max_gap=8, max_read=125)
    assert [span.address for span in transaction] == [300, 0, 300]
    steady = poll(points, transaction, [1, 1, 1])
    assert [row(reading) for reading in steady] == [{"near": TRUE_W, "sf": 1.0}, {"far": TRUE_W}, {"sf": 1.0}]
    moved = poll(points, transaction, [1, 2, 2])
    assert [row(reading) for reading in moved] == [{"near": TRUE_W, "sf": 1.0}, {"far": Cause.UNPROVEN}, {"sf": 2.0}]
