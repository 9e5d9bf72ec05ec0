"""Several requests under way at once, where the configuration says that the device can."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from modbus_site import Recorder, device, link, point

from scowl_edge.devices.declaration import ModbusLink
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.model.signal import Quality

Start = Callable[[ModbusLink], Awaitable[tuple[ModbusDriver, Recorder]]]

BLOCKS = (0, 200, 400, 600)


class Patient:
    """Answers only once `crowd` requests are there, the last one first; or each after a moment, if they stay away."""

    def __init__(self, crowd: int) -> None:
        self.crowd = crowd
        self.most = 0
        self._waiting: list[bytes] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while head := await reader.read(12):
            self._waiting.append(head)
            self.most = max(self.most, len(self._waiting))
            if len(self._waiting) >= self.crowd:
                self._answer(writer)
            elif len(self._waiting) == 1:
                loop.call_later(0.05, self._answer, writer)
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter) -> None:
        for head in reversed(self._waiting):
            transaction, _, _, unit, _, address, _ = struct.unpack(">HHHBBHH", head)
            writer.write(struct.pack(">HHHBBBH", transaction, 0, 5, unit, 3, 2, address + unit))
        self._waiting.clear()


@pytest.mark.parametrize("slots", [1, 3])
async def test_as_many_as_configured_are_under_way_and_each_gets_its_own(start: Start, slots: int) -> None:
    server = Patient(crowd=slots)
    port = await server.start()
    units = [
        device(f"d{unit}", unit, *(point(f"p{a}", a) for a in BLOCKS), first=10 * unit, poll_ms=100) for unit in (1, 2)
    ]
    _, sink = await start(replace(link(port, *units), pipeline=slots))
    places = [(10 * unit + place, a + unit) for unit in (1, 2) for place, a in enumerate(BLOCKS)]
    await sink.until(lambda: all(len(sink.good.get(p, [])) >= 5 for p, _ in places))
    assert server.most == slots
    for place, value in places:
        assert set(sink.good[place]) == {float(value)}
        assert sink.last[place][1] == Quality.GOOD
    assert set(sink.counts) == {"ok"}
    await server.stop()
