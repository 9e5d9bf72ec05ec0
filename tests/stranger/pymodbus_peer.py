"""Modbus servers on pymodbus, for tests: three ports, one set of registers, asked for its own truth in text.

    python pymodbus_peer.py CA CERTIFICATE KEY

It prints `tcp PORT rtu PORT tls PORT` once it listens: Modbus TCP, frames of a serial line in TCP, Modbus/TCP Security.
Then each line on standard input is answered by one line on standard output:
  put TABLE TYPE ORDER ADDRESS VALUE    sets registers (holding, input) or a bit (coil, discrete)
  get TABLE TYPE ORDER ADDRESS          prints what lies there
  writes                                prints how many write requests were answered
Orders are ABCD and CDAB. It ends when standard input does.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from typing import Literal

from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

SIZE = 2000
READS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
WRITES = {5, 6, 15, 16, 22, 23}
TYPES = ModbusClientMixin.DATATYPE


def word_order(order: str) -> Literal["big", "little"]:
    """The order as this library calls it."""
    return {"ABCD": "big", "CDAB": "little"}[order]  # type: ignore[return-value]


class Servers:
    """The three servers."""

    def __init__(self, ca: str, certificate: str, key: str) -> None:
        self.writes = 0
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        tls.load_verify_locations(ca)
        tls.verify_mode = ssl.CERT_REQUIRED
        anywhere = ("127.0.0.1", 0)
        count = self._count
        self.tcp = ModbusTcpServer(self._device(), address=anywhere, trace_pdu=count)
        self.rtu = ModbusTcpServer(self._device(), framer=FramerType.RTU, address=anywhere, trace_pdu=count)
        self.tls = ModbusTlsServer(self._device(), address=anywhere, sslctx=tls, trace_pdu=count)
        # Registers are the first server's; each of the others has been made with some that nobody sees.
        self.rtu.context = self.tls.context = self.tcp.context

    def _device(self) -> SimDevice:
        bits = [SimData(0, values=[False] * 16, count=SIZE // 16, datatype=DataType.BITS)]
        words = [SimData(0, values=[0], count=SIZE, datatype=DataType.REGISTERS)]
        return SimDevice(id=1, simdata=(bits, bits, words, words))

    def _count(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        self.writes += sending and pdu.function_code in WRITES
        return pdu

    async def start(self) -> str:
        """Listens; where, in words."""
        told = []
        for name in ("tcp", "rtu", "tls"):
            server = getattr(self, name)
            await server.serve_forever(background=True)
            told.append(f"{name} {server.transport.sockets[0].getsockname()[1]}")
        return " ".join(told)

    async def put(self, table: str, kind: str, order: str, address: int, value: str) -> None:
        """Sets a value."""
        if table in ("coil", "discrete"):
            values: list[int] | list[bool] = [bool(int(value))]
        else:
            number = float(value) if kind.startswith("float") else int(value)
            values = ModbusClientMixin.convert_to_registers(number, TYPES[kind.upper()], word_order(order))
        await self.tcp.async_setValues(1, READS[table], address, values)

    async def get(self, table: str, kind: str, order: str, address: int) -> float:
        """What lies there."""
        if table in ("coil", "discrete"):
            return int((await self.tcp.async_getValues(1, READS[table], address, 1))[0])
        data_type = TYPES[kind.upper()]
        held = [int(word) for word in await self.tcp.async_getValues(1, READS[table], address, data_type.value[1])]
        found = ModbusClientMixin.convert_from_registers(held, data_type, word_order(order))
        assert isinstance(found, (int, float))
        return found

    async def answer(self, line: str) -> str:
        """The answer to one line."""
        match line.split():
            case ["put", table, kind, order, address, value]:
                await self.put(table, kind, order, int(address), value)
                return "ok"
            case ["get", table, kind, order, address]:
                return repr(await self.get(table, kind, order, int(address)))
            case ["writes"]:
                return str(self.writes)
        return "what?"


async def main() -> None:
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    servers = Servers(*sys.argv[1:4])
    print(await servers.start(), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(await servers.answer(line.decode()), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
