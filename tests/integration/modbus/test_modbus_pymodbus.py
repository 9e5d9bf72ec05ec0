"""Against pymodbus's server: another implementation's idea of the protocol."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from modbus_site import RealClock, Recorder, device, link, point
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from scowl_edge.contracts import PointWrite, WriteRequest
from scowl_edge.devices.declaration import ModbusLink, Table
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.model.command import CommandId, OutcomeKind
from scowl_edge.model.signal import Cause, Quality

Start = Callable[[ModbusLink], Awaitable[tuple[ModbusDriver, Recorder]]]


@pytest.fixture
async def peer() -> AsyncIterator[ModbusTcpServer]:
    coils = [SimData(0, values=[True, False, True, True, False, False, True, False], count=2, datatype=DataType.BITS)]
    holding = [
        SimData(0, values=[-5], datatype=DataType.INT16),
        SimData(1, values=[123_456], datatype=DataType.INT32),
        SimData(3, values=[-1.5], datatype=DataType.FLOAT32),
        SimData(5, values=[0] * 20, datatype=DataType.REGISTERS),
    ]
    inputs = [SimData(0, values=[0.25], datatype=DataType.FLOAT64)]
    server = ModbusTcpServer(SimDevice(id=3, simdata=(coils, coils, holding, inputs)), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    yield server
    await server.shutdown()


async def test_reads_and_writes_agree_with_pymodbus(peer: ModbusTcpServer, start: Start) -> None:
    port = peer.transport.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    points = (
        point("a", 0, "int16"),
        point("b", 1, "int32"),
        point("c", 3, "float32"),
        point("d", 5, "float64", order="CDAB"),
        point("e", 0, "float64", table=Table.INPUT),
        *(point(f"k{n}", n, "bool", table=Table.COIL) for n in range(8)),
        point("hole", 900, access="r"),
    )
    driver, sink = await start(link(port, device("peer", 3, *points)))
    await sink.until(lambda: len(sink.last) == len(points))
    assert [sink.last[n][0] for n in range(3)] == [-5, 123_456, -1.5]
    assert sink.last[4][0] == 0.25
    assert [sink.last[5 + n][0] for n in range(8)] == [1, 0, 1, 1, 0, 0, 1, 0]
    assert sink.last[13][1:] == (Quality.BAD, Cause.EXCEPTION)
    writes = [(0, 77.0), (1, -9.0), (3, 6.25), (6, 1.0)]
    valid_until_ms = RealClock().mono_ms() + 2_000
    for n, (p, value) in enumerate(writes):
        driver.write(
            WriteRequest(command=CommandId(1, 1, n), writes=(PointWrite(p, value),), valid_until_ms=valid_until_ms)
        )
    await sink.until(lambda: len(sink.outcomes) == 4)
    assert [o.kind for o in sink.outcomes] == [OutcomeKind.ACKNOWLEDGED] * 4
    held = await peer.async_getValues(3, 3, 0, 9)
    assert not isinstance(held, ExcCodes)
    assert held[0] == 77
    assert held[1:3] == [0xFFFF, 0xFFF7]
    assert held[5:9] == list(reversed(struct.unpack(">4H", struct.pack(">d", 6.25))))
    assert (await peer.async_getValues(3, 1, 1, 1))[0]  # type: ignore[index]
