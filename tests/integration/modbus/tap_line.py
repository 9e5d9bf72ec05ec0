"""A link's proxy over one real wire, and clients of it on plain sockets."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from modbus_site import RealClock

from scowl_edge.devices.declaration import LinkProxy, ModbusLink
from scowl_edge.drivers.errors import NoTurn
from scowl_edge.drivers.modbus.endpoint import open_wire
from scowl_edge.drivers.modbus.guests import accepted
from scowl_edge.drivers.modbus.tap import Tap
from scowl_edge.drivers.modbus.wire import Wire, exchange

ANY_PORT = LinkProxy(host="127.0.0.1", port=0, share_ppm=200_000)
HOLDING_10 = struct.pack(">BHH", 3, 10, 2)


@dataclass
class Line:
    """One wire that takes one request after the other, as a bus does; `sent` are those that left."""

    link: ModbusLink
    wire: Wire
    turn: asyncio.Lock
    sent: list[tuple[int, bytes]]

    async def forward(self, unit: int, request: bytes, valid_until_ms: int) -> bytes:
        async with self.turn:
            if RealClock().mono_ms() > valid_until_ms:
                raise NoTurn("its time was over before the bus was free")
            self.sent.append((unit, request))
            return accepted(request, await exchange(self.wire, unit, request, self.link.timeout_ms / 1000))


@dataclass
class Client:
    """Another tool's connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, transaction: int, unit: int, request: bytes) -> None:
        self.writer.write(struct.pack(">HHHB", transaction, 0, len(request) + 1, unit) + request)

    async def receive(self) -> tuple[int, int, bytes]:
        """Transaction id, unit and PDU of the next frame; it must come within 60 s."""
        async with asyncio.timeout(60):
            transaction, protocol, length, unit = struct.unpack(">HHHB", await self.reader.readexactly(7))
            assert protocol == 0
            return transaction, unit, await self.reader.readexactly(length - 1)

    async def ask(self, unit: int, request: bytes, transaction: int = 1) -> bytes:
        self.send(transaction, unit, request)
        answer = await self.receive()
        assert answer[:2] == (transaction, unit)
        return answer[2]

    async def ended(self) -> bool:
        """Whether the other side closes, without a word more, within 60 s."""
        async with asyncio.timeout(60):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        self.writer.transport.abort()


async def until(condition: Callable[[], object]) -> None:
    """Waits for a condition, with a deadline."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "not so within 60 s"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def client_of(port: int) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def line_to(link: ModbusLink) -> AsyncIterator[Line]:
    wire = await open_wire(link, rate=1.0, on_stray=lambda: None, on_lost=lambda: None)
    try:
        yield Line(link, wire, asyncio.Lock(), [])
    finally:
        wire.close()


@asynccontextmanager
async def serving(tap: Tap) -> AsyncIterator[Tap]:
    task = asyncio.create_task(tap.run())
    try:
        await until(lambda: tap.port or task.done())
        yield tap
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended
