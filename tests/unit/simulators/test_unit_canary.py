"""Registers of a simulated unit that no point names: its canary, and the holes that nobody may read."""

from __future__ import annotations

import pytest

from scowl_edge.assembly import assemble
from scowl_edge.devices.declaration import ModbusLink, Table
from simulators.binding import bind
from simulators.plant import Plant
from simulators.unit import ModbusException, Unit


def unit(canary: str) -> Unit:
    text = f"""
site: {{id: s}}
links: {{line: {{type: modbus-rtu, device: /dev/ttyUSB0}}}}
devices:
  meter:
    link: line
    canary: {{{canary}, equals: 0xBEEF}}
    holes: {{holding: [40-49]}}
    points: {{a: {{address: 30, access: rw}}, b: {{address: 50}}}}
"""
    assembly = assemble(text, "f")
    (link,) = assembly.links
    assert isinstance(link, ModbusLink)
    return Unit(Plant(assembly.site), link.devices, bind(assembly))


@pytest.mark.parametrize(
    ("canary", "table", "address"), [("address: 0", "holding", 0), ("table: input, address: 7", "input", 7)]
)
def test_a_canary_shows_what_it_must_wherever_it_lies(canary: str, table: str, address: int) -> None:
    found = unit(canary)
    assert found.read(Table(table), address, 1) == [0xBEEF]
    with pytest.raises(ModbusException, match="exception 2"):
        found.read(Table(table), address + 1, 1)


def test_a_canary_among_points_is_read_with_them() -> None:
    assert unit("address: 32").read(Table.HOLDING, 30, 4) == [0, 0, 0xBEEF, 0]


@pytest.mark.parametrize(
    ("address", "count", "refused"), [(30, 10, False), (30, 11, True), (49, 2, True), (50, 1, False)]
)
def test_whoever_reads_a_hole_is_refused(address: int, count: int, refused: bool) -> None:
    found = unit("address: 0")
    if refused:
        with pytest.raises(ModbusException, match="exception 2"):
            found.read(Table.HOLDING, address, count)
    else:
        assert found.read(Table.HOLDING, address, count) == [0] * count
