"""Units of a serial line that answer late, twice or not at all on demand, and a log of what they held then.

Frames are built here from the standard, with a check sum computed bit by bit: nothing comes from the code under test.
"""

from __future__ import annotations

import asyncio
import os
import pty
import termios
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


def crc(data: bytes) -> bytes:
    """CRC-16/MODBUS, low byte first."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ 0xA001 if register & 1 else register >> 1
    return bytes((register & 0xFF, register >> 8))


def framed(body: bytes) -> bytes:
    """Unit and PDU with their check sum."""
    return body + crc(body)


def request_length(data: bytes) -> int:
    """Bytes of the request that `data` begins with; 0: not known yet."""
    if len(data) < 2:
        return 0
    if data[1] in (7, 11, 12, 17):
        return 4
    if data[1] in (15, 16):
        return 9 + data[6] if len(data) > 6 else 0
    return {22: 10}.get(data[1], 8)


@dataclass
class Units:
    """Register A of unit U holds U * 1000 + A until it is written. `plan` may change how a reply goes out."""

    reply_s: float = 0.0
    """Time from a request to its reply."""
    checks: str = "echo"
    """How FC 7 and 8 are met: `echo`, `refuse` or `ignore`."""
    registers: dict[tuple[int, int], int] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    """Every request, unit and PDU, in order."""
    served: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    """(unit, address, values) of every read of holding registers that was answered."""
    plan: Callable[[bytes, bytes], list[tuple[float, bytes]] | None] = lambda _request, _reply: None
    """From a request and its reply frame to what goes out and after how many seconds; None: as usual."""
    _buffer: bytes = b""
    _answered_s: dict[int, float] = field(default_factory=dict)
    """Unit -> when its last reply goes out; the next does not overtake it."""

    def truth(self, unit: int, address: int) -> int:
        return self.registers.get((unit, address), (unit * 1000 + address) & 0xFFFF)

    def take(self, data: bytes, send: Callable[[bytes], None]) -> None:
        """Bytes from the line; whole requests are answered through `send`, each after the one before it."""
        self._buffer += data
        loop = asyncio.get_running_loop()
        while (length := request_length(self._buffer)) and len(self._buffer) >= length:
            frame, self._buffer = self._buffer[:length], self._buffer[length:]
            assert crc(frame[:-2]) == frame[-2:], frame.hex(" ")
            request = frame[:-2]
            self.requests.append(request)
            answer = self.answer(request)
            if answer is None:
                continue
            reply = framed(request[:1] + answer)
            planned = self.plan(request, reply)
            pieces = [(self.reply_s, reply)] if planned is None else planned
            first_s = max(loop.time() + pieces[0][0], self._answered_s.get(request[0], 0.0)) if pieces else 0.0
            for delay_s, piece in pieces:
                at_s = self._answered_s[request[0]] = first_s + delay_s - pieces[0][0]
                loop.call_at(at_s, send, piece)
            if reply in dict(pieces).values():
                # A second copy may overtake what comes later.
                self._answered_s[request[0]] = first_s

    def answer(self, request: bytes) -> bytes | None:
        unit, function, address = request[0], request[1], int.from_bytes(request[2:4])
        if function in (7, 8, 11):
            if self.checks == "ignore":
                return None
            if self.checks == "refuse":
                return bytes((function | 0x80, 1))
            return request[1:] if function == 8 else bytes((function, 0, 0, 0, 0)[: 2 if function == 7 else 5])
        if function in (3, 4):
            values = tuple(self.truth(unit, address + i) for i in range(int.from_bytes(request[4:6])))
            if function == 3:
                self.served.append((unit, address, values))
            return bytes((function, 2 * len(values))) + b"".join(value.to_bytes(2) for value in values)
        if function == 6:
            self.registers[unit, address] = int.from_bytes(request[4:6])
            return request[1:]
        if function == 16:
            for i in range(int.from_bytes(request[4:6])):
                self.registers[unit, address + i] = int.from_bytes(request[7 + 2 * i : 9 + 2 * i])
            return request[1:6]
        return bytes((function | 0x80, 1))


class TcpLine:
    """The line behind a converter: whoever is connected gets every byte that the units send, as on a real line."""

    def __init__(self, units: Units) -> None:
        self.units = units
        self.port = 0
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def send(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while data := await reader.read(4096):
                self.units.take(data, self.send)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()


class PtyLine:
    """The line behind a pty, whose other end is found under `path`."""

    def __init__(self, units: Units, path: Path) -> None:
        self.units = units
        self.path = path
        self.echoes = False
        """Whether all that is sent comes back first, as from an adapter that hears itself."""
        self._fd = -1

    def plug_in(self) -> None:
        self._fd, other = pty.openpty()
        tty.setraw(other, termios.TCSANOW)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(other))
        os.close(other)
        os.set_blocking(self._fd, False)
        # Until somebody opens the other end, reading says that nobody is there.
        self._watch()

    def _watch(self) -> None:
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def unplug(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1

    def send(self, data: bytes) -> None:
        if self._fd >= 0:
            os.write(self._fd, data)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, 4096)
        except OSError:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._fd)
            fd = self._fd
            loop.call_later(0.005, lambda: self._watch() if self._fd == fd else None)
            return
        if self.echoes:
            self.send(data)
        self.units.take(data, self.send)
