"""A Modbus TCP server for one link: frames in, frames out, in order, with the faults that live in replies."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress

from scowl_edge.devices.declaration import Table
from simulators.faults import Response
from simulators.unit import ModbusException, Unit

_HEADER = struct.Struct(">HHHB")
_LONGEST_PDU = 253
_READS = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT}
_WRITES = {5: Table.COIL, 6: Table.HOLDING, 15: Table.COIL, 16: Table.HOLDING, 22: Table.HOLDING}
_ILLEGAL_FUNCTION = 1
_ILLEGAL_VALUE = 3
_MOST_BITS_READ, _MOST_BITS_WRITTEN = 2000, 1968
_MOST_REGISTERS_READ, _MOST_REGISTERS_WRITTEN = 125, 123


class ModbusServer:
    """Serves the units of one link. Time passes in the plant before each request is looked at."""

    def __init__(
        self,
        units: Mapping[int, Unit],
        *,
        catch_up: Callable[[], None],
        seconds: Callable[[int], float],
        unknown_unit: int = 0,
    ) -> None:
        """Takes its units by number.

        Args:
            units: Units by their number.
            catch_up: Lets the plant's time reach the present.
            seconds: Wall seconds that so many ms of the plant's time take.
            unknown_unit: Exception code for units that are not there; 0 = silence.
        """
        self._units = units
        self._catch_up = catch_up
        self._seconds = seconds
        self._unknown_unit = unknown_unit
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self, host: str, port: int) -> int:
        """Listens; the port that it got, if 0 was asked for."""
        self._server = await asyncio.start_server(self._accept, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stops listening and drops every connection."""
        if self._server is None:
            return
        self._server.close()
        # One turn of the loop, so that connections accepted just now are among those to drop.
        await asyncio.sleep(0)
        for writer in self._connections.values():
            writer.transport.abort()
        await asyncio.gather(*self._connections)
        await self._server.wait_closed()
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        answers: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sender = asyncio.create_task(_send(answers, writer))
        # The other side may go away at any moment, in the middle of a frame or between two.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._serve(reader, answers)
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        del self._connections[task]

    async def _serve(self, reader: asyncio.StreamReader, answers: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            transaction, protocol, length, number = _HEADER.unpack(await reader.readexactly(_HEADER.size))
            if protocol != 0 or not 2 <= length <= _LONGEST_PDU + 1:
                return
            request = await reader.readexactly(length - 1)
            self._catch_up()
            answer, delay_ms = self._answer(number, request)
            if answer is not None:
                frame = _HEADER.pack(transaction, 0, len(answer) + 1, number) + answer
                await answers.put((loop.time() + self._seconds(delay_ms), frame))

    def _answer(self, number: int, request: bytes) -> tuple[bytes | None, int]:
        """The reply's PDU, None for silence, and its delay in ms of the plant's time."""
        function = request[0]
        unit = self._units.get(number)
        if unit is None:
            return (_exception(function, self._unknown_unit) if self._unknown_unit else None), 0
        table = _READS.get(function) or _WRITES.get(function)
        address = int.from_bytes(request[1:3], "big")
        response = unit.response(table, address)
        if response.silent:
            return None, 0
        try:
            answer = self._carry_out(unit, response, function, request)
        except ModbusException as exception:
            answer = _exception(function, exception.code)
        if response.lost_answer and function in _WRITES:
            return None, 0
        return answer, response.delay_ms

    @staticmethod
    def _carry_out(unit: Unit, response: Response, function: int, request: bytes) -> bytes:
        if response.exception:
            raise ModbusException(response.exception)
        if function in _READS:
            return _read(unit, _READS[function], request)
        if function not in _WRITES:
            raise ModbusException(_ILLEGAL_FUNCTION)
        if response.refusal:
            raise ModbusException(response.refusal)
        if function in (5, 6):
            return _write_one(unit, function, request)
        if function == 22:
            return _mask_write(unit, request)
        return _write_many(unit, function, request)


def _exception(function: int, code: int) -> bytes:
    return bytes((function | 0x80, code))


def _read(unit: Unit, table: Table, request: bytes) -> bytes:
    bits = table in (Table.COIL, Table.DISCRETE)
    if len(request) != 5:
        raise ModbusException(_ILLEGAL_VALUE)
    address, count = struct.unpack(">HH", request[1:])
    if not 1 <= count <= (_MOST_BITS_READ if bits else _MOST_REGISTERS_READ):
        raise ModbusException(_ILLEGAL_VALUE)
    words = unit.read(table, address, count)
    if bits:
        data = bytearray((count + 7) // 8)
        for place, bit in enumerate(words):
            data[place // 8] |= bit << place % 8
        return bytes((request[0], len(data))) + bytes(data)
    return bytes((request[0], 2 * count)) + struct.pack(f">{count}H", *words)


def _write_one(unit: Unit, function: int, request: bytes) -> bytes:
    if len(request) != 5:
        raise ModbusException(_ILLEGAL_VALUE)
    address, value = struct.unpack(">HH", request[1:])
    if function == 5:
        if value not in (0x0000, 0xFF00):
            raise ModbusException(_ILLEGAL_VALUE)
        unit.write(Table.COIL, address, [int(value == 0xFF00)])
    else:
        unit.write(Table.HOLDING, address, [value])
    return request


def _write_many(unit: Unit, function: int, request: bytes) -> bytes:
    if len(request) < 6:
        raise ModbusException(_ILLEGAL_VALUE)
    address, count, size = struct.unpack(">HHB", request[1:6])
    data = request[6:]
    bits = function == 15
    expected = (count + 7) // 8 if bits else 2 * count
    if not 1 <= count <= (_MOST_BITS_WRITTEN if bits else _MOST_REGISTERS_WRITTEN):
        raise ModbusException(_ILLEGAL_VALUE)
    if size != expected or len(data) != expected:
        raise ModbusException(_ILLEGAL_VALUE)
    if bits:
        unit.write(Table.COIL, address, [data[place // 8] >> place % 8 & 1 for place in range(count)])
    else:
        unit.write(Table.HOLDING, address, list(struct.unpack(f">{count}H", data)))
    return request[:5]


def _mask_write(unit: Unit, request: bytes) -> bytes:
    if len(request) != 7:
        raise ModbusException(_ILLEGAL_VALUE)
    address, and_mask, or_mask = struct.unpack(">HHH", request[1:])
    present = unit.read(Table.HOLDING, address, 1)[0]
    unit.write(Table.HOLDING, address, [(present & and_mask) | (or_mask & ~and_mask & 0xFFFF)])
    return request


async def _send(answers: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due, frame = await answers.get()
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        writer.write(frame)
        await writer.drain()
