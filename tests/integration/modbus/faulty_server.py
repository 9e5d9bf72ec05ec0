"""A Modbus TCP server on raw streams that misbehaves on demand and keeps a log of what really happened."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from dataclasses import dataclass, field

OK = "ok"
ANY = (
    *["ok"] * 12,
    "silence",
    "garbage",
    "truncated",
    "wrong unit",
    "wrong transaction",
    "wrong function",
    "short",
    "lying count",
    "empty",
    "duplicate",
    "late",
    "byte by byte",
    "exception",
    "reset",
    "close",
)


def truth(unit: int, address: int) -> int:
    """What a register holds until somebody writes it: tells unit and address apart."""
    return unit * 1000 + address


@dataclass
class FaultyServer:
    """Every register of every unit exists. `faults` says how a unit misbehaves from now on."""

    faults: dict[int, str] = field(default_factory=dict)
    registers: dict[tuple[int, int], int] = field(default_factory=dict)
    coils: dict[tuple[int, int], bool] = field(default_factory=dict)
    log: list[tuple[int, bytes]] = field(default_factory=list)
    """(unit, PDU) of every request, in order."""
    injected: int = 0
    """Faults really done."""
    port: int = 0
    host: str = "127.0.0.1"
    unknown_functions: set[int] = field(default_factory=set)
    exception: int = 2
    delay_s: float = 0.0
    """How late a `late` reply is."""
    noise: random.Random = field(default_factory=lambda: random.Random(11))
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes everything with a reset, so that the port is free at once."""
        assert self._server is not None
        self._server.close()
        for _ in range(5):
            # Who was taken a moment ago gets as far as to be known here.
            await asyncio.sleep(0)
        for writer in list(self._writers):
            reset(writer)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def requests_to(self, unit: int) -> int:
        return sum(1 for number, _ in self.log if number == unit)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            while True:
                transaction, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                pdu = await reader.readexactly(length - 1)
                self.log.append((unit, pdu))
                await self._misbehave(writer, transaction, unit, pdu)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _misbehave(self, writer: asyncio.StreamWriter, transaction: int, unit: int, pdu: bytes) -> None:
        fault = self.faults.get(unit, OK)
        if fault == "any":
            fault = self.noise.choice(ANY)
        self.injected += fault != OK
        if fault == "silence":
            return
        if fault == "exception":
            writer.write(frame(transaction, unit, bytes((pdu[0] | 0x80, self.exception))))
            return
        reply = self.answer(unit, pdu)
        whole = frame(transaction, unit, reply)
        if fault == OK:
            writer.write(whole)
        elif fault == "garbage":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif fault == "truncated":
            writer.write(whole[: len(whole) - 3])
        elif fault == "wrong unit":
            writer.write(frame(transaction, unit + 1, reply))
        elif fault == "wrong transaction":
            writer.write(frame(transaction + 1 & 0xFFFF, unit, reply))
        elif fault == "wrong function":
            writer.write(frame(transaction, unit, bytes((pdu[0] ^ 7,)) + reply[1:]))
        elif fault == "short":
            writer.write(frame(transaction, unit, bytes((reply[0], reply[1] - 2)) + reply[2:-2]))
        elif fault == "lying count":
            writer.write(frame(transaction, unit, reply[:1] + bytes((reply[1] + 2,)) + reply[2:]))
        elif fault == "empty":
            writer.write(frame(transaction, unit, reply[:1]))
        elif fault == "duplicate":
            writer.write(whole + whole)
        elif fault == "late":
            asyncio.get_running_loop().call_later(self.delay_s, self._write_late, writer, whole)
        elif fault == "byte by byte":
            for byte in whole:
                writer.write(bytes((byte,)))
                await asyncio.sleep(0.001)
        elif fault == "reset":
            reset(writer)
        elif fault == "close":
            writer.close()
        else:
            raise AssertionError(fault)

    def _write_late(self, writer: asyncio.StreamWriter, whole: bytes) -> None:
        if not writer.is_closing():
            writer.write(whole)

    def answer(self, unit: int, pdu: bytes) -> bytes:
        """An honest server's reply."""
        function, address = pdu[0], int.from_bytes(pdu[1:3])
        if function in self.unknown_functions:
            return bytes((function | 0x80, 1))
        count = int.from_bytes(pdu[3:5])
        if function in (1, 2):
            bits = [self.coils.get((unit, address + n), False) for n in range(count)]
            packed = bytes(sum(bit << n for n, bit in enumerate(bits[at : at + 8])) for at in range(0, count, 8))
            return bytes((function, len(packed))) + packed
        if function in (3, 4):
            held = [self.registers.get((unit, address + n), truth(unit, address + n)) for n in range(count)]
            return bytes((function, count * 2)) + struct.pack(f">{count}H", *held)
        if function == 5:
            self.coils[unit, address] = count == 0xFF00
            return pdu
        if function == 6:
            self.registers[unit, address] = count
            return pdu
        if function == 16:
            for n, value in enumerate(struct.unpack(f">{count}H", pdu[6:])):
                self.registers[unit, address + n] = value
            return pdu[:5]
        if function == 22:
            and_mask, or_mask = struct.unpack(">HH", pdu[3:7])
            held_now = self.registers.get((unit, address), truth(unit, address))
            self.registers[unit, address] = (held_now & and_mask) | (or_mask & ~and_mask & 0xFFFF)
            return pdu
        return bytes((function | 0x80, 1))


def frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
