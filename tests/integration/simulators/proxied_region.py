"""A bare client of a fault proxy, over TCP frames, serial frames in TCP, or a serial port, and what it may expect."""

from __future__ import annotations

import asyncio
import os
import struct
import termios
import tty
from pathlib import Path

READ_POWER = bytes.fromhex("0300640002")
READ_LIMIT = bytes.fromhex("03006e0001")
WRITE_LIMIT = bytes.fromhex("06006e0032")


def check_sum(data: bytes) -> bytes:
    """The standard's own description of CRC-16, bit by bit."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register, carry = register >> 1, register & 1
            if carry:
                register ^= 0xA001
    return struct.pack("<H", register)


def serial(unit: int, pdu: bytes) -> bytes:
    """A frame as it lies on a serial line."""
    body = bytes((unit,)) + pdu
    return body + check_sum(body)


def tcp(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A frame as it lies in TCP."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


class Client:
    """One connection that takes bytes as they come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def of(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def take(self, count: int, within_s: float = 60.0) -> bytes:
        """So many bytes, or fewer if the other side ends."""
        async with asyncio.timeout(within_s):
            try:
                return await self.reader.readexactly(count)
            except asyncio.IncompleteReadError as error:
                return error.partial

    async def ask(self, request: bytes, count: int) -> bytes:
        self.send(request)
        return await self.take(count)

    async def quiet(self, for_s: float) -> bool:
        """Whether nothing comes for so long."""
        try:
            return not await asyncio.wait_for(self.reader.read(1), for_s)
        except TimeoutError:
            return True

    def close(self) -> None:
        self.writer.transport.abort()


class SerialClient:
    """A master on a serial port."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._descriptor, termios.TCSANOW)

    def send(self, data: bytes) -> None:
        os.write(self._descriptor, data)

    async def take(self, count: int, within_s: float = 60.0) -> bytes:
        loop = asyncio.get_running_loop()
        taken = b""
        ready = asyncio.Event()
        loop.add_reader(self._descriptor, ready.set)
        try:
            async with asyncio.timeout(within_s):
                while len(taken) < count:
                    await ready.wait()
                    ready.clear()
                    try:
                        taken += os.read(self._descriptor, count - len(taken))
                    except BlockingIOError:
                        continue
        finally:
            loop.remove_reader(self._descriptor)
        return taken

    async def ask(self, request: bytes, count: int) -> bytes:
        self.send(request)
        return await self.take(count)

    def close(self) -> None:
        os.close(self._descriptor)
