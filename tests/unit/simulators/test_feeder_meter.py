"""The feeder's meter as its registers show it."""

from __future__ import annotations

import struct

import pytest

from scowl_edge.devices.declaration import Table
from simulators.appliances.feeder_meter import WORDS, FeederMeter
from simulators.unit import ModbusException


def registers(meter: FeederMeter) -> tuple[int, ...]:
    words = meter.read(Table.INPUT, 0, WORDS)
    return struct.unpack(">iQQQQq", struct.pack(f">{WORDS}H", *words))


def test_it_counts_each_direction_by_itself() -> None:
    meter = FeederMeter()
    meter.show(2_000, 5 << 40, 1_000)
    meter.show(-3_500, -7, 2_000)
    meter.quarter(1_500, -9)
    assert registers(meter) == (-3_500, 5 << 40, 7, 2_000, 1_500, -9)
    assert meter.read(Table.INPUT, 0, 2) == [0xFFFF, 0x10000 - 3_500]


def test_each_part_shows_its_own_power() -> None:
    meter = FeederMeter(parts_w=(7_000, -2))
    words = meter.read(Table.INPUT, WORDS, 4)
    assert struct.unpack(">2i", struct.pack(">4H", *words)) == (7_000, -2)
    assert meter.read(Table.INPUT, WORDS + 2, 2) == [0xFFFF, 0xFFFE]
    with pytest.raises(ModbusException):
        meter.read(Table.INPUT, WORDS, 6)


@pytest.mark.parametrize(("table", "address", "count"), [(Table.INPUT, 21, 2), (Table.HOLDING, 0, 1)])
def test_there_is_nothing_else(table: Table, address: int, count: int) -> None:
    with pytest.raises(ModbusException) as refused:
        FeederMeter().read(table, address, count)
    assert refused.value.code == 2
    with pytest.raises(ModbusException):
        FeederMeter().write(Table.HOLDING, 0, [1])
