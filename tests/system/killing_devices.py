"""Modbus devices that end the daemon at an exact moment of a write's life, and keep a log of all that reached them.

Each device is one unit behind a socket of its own, served by plain threads. Armed with a moment, every device that is
there halts; when the last one is, the daemon is killed and waited for, and only then does anything go on.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum

MEET_S = 60.0
"""Longest time until the last device is at the moment."""
_READ_COILS, _READ_HOLDING, _WRITE_COIL, _WRITE_REGISTER, _WRITE_REGISTERS = 1, 3, 5, 6, 16


class Moment(StrEnum):
    """When the daemon is killed."""

    SEEN = "the write is seen and not applied"
    APPLIED = "the write is applied and not acknowledged"
    ACKNOWLEDGED = "the acknowledgement is sent"
    FIRST_READ = "the first read-back is seen"
    FIRST_READ_ANSWERED = "the first read-back is answered"
    SECOND_READ = "the second read-back is seen"


READS = {Moment.FIRST_READ: 1, Moment.FIRST_READ_ANSWERED: 1, Moment.SECOND_READ: 2}


@dataclass(frozen=True)
class Written:
    """One write that reached a device."""

    value: int
    applied: bool


@dataclass
class Device:
    """One value that can be written, beside a power that nothing changes."""

    name: str
    coil: bool
    readable: bool = True
    value: int = 0
    log: list[Written] = field(default_factory=list)
    reads_since: int = -1
    """Reads of the value since the last write; -1: there was none since it was armed."""

    def applied(self) -> list[int]:
        """Values that took effect, in order."""
        return [w.value for w in self.log if w.applied]


VALUE_AT, POWER_AT = 10, 0


class KillingDevices:
    """All devices, and the moment at which the daemon dies."""

    def __init__(self, *devices: Device) -> None:
        self.devices = {device.name: device for device in devices}
        self.ports: dict[str, int] = {}
        self.killed = threading.Event()
        self._moment: Moment | None = None
        self._barrier = threading.Barrier(1)
        self._lock = threading.Lock()
        self._listeners: list[socket.socket] = []
        for device in devices:
            listener = socket.create_server(("127.0.0.1", 0))
            self.ports[device.name] = listener.getsockname()[1]
            self._listeners.append(listener)
            threading.Thread(target=self._accept, args=(listener, device), daemon=True).start()

    def arm(self, moment: Moment, kill: Callable[[], None]) -> None:
        """The next write to every device is followed up to a moment; `kill` returns when the daemon is dead."""

        def end() -> None:
            self._moment = None
            kill()
            self.killed.set()

        concerned = [d for d in self.devices.values() if d.readable or moment not in READS]
        self.killed.clear()
        for device in self.devices.values():
            device.reads_since = -1
        self._barrier = threading.Barrier(len(concerned), action=end, timeout=MEET_S)
        self._moment = moment

    def close(self) -> None:
        """Ends all devices."""
        self._barrier.abort()
        for listener in self._listeners:
            listener.close()

    def _reached(self, device: Device, moment: Moment) -> bool:
        """Halts at the moment until the daemon is dead; False if this is not the one."""
        if self._moment is not moment or (moment in READS and device.reads_since != READS[moment]):
            return False
        self._barrier.wait()
        return True

    def _accept(self, listener: socket.socket, device: Device) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection, device), daemon=True).start()

    def _serve(self, connection: socket.socket, device: Device) -> None:
        with connection, suppress(OSError, threading.BrokenBarrierError):
            while header := _exactly(connection, 7):
                transaction, _, length, unit = struct.unpack(">HHHB", header)
                pdu = _exactly(connection, length - 1)
                reply, after = self._answer(device, pdu)
                if reply:
                    connection.sendall(struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit) + reply)
                    if after is not None:
                        self._reached(device, after)

    def _answer(self, device: Device, pdu: bytes) -> tuple[bytes, Moment | None]:
        """The reply, and the moment that its sending may be; no reply once the daemon is dead."""
        function = pdu[0]
        if function in (_READ_COILS, _READ_HOLDING):
            return self._read(device, function, *struct.unpack(">HH", pdu[1:5]))
        if function in (_WRITE_COIL, _WRITE_REGISTER, _WRITE_REGISTERS):
            address, value = struct.unpack(">HH", pdu[1:5])
            if function == _WRITE_REGISTERS:
                value = int.from_bytes(pdu[6:8])
            assert address == VALUE_AT, f"a write to {address} of {device.name}"
            return self._write(device, pdu, int(value != 0) if device.coil else value)
        return bytes([function | 0x80, 1]), None

    def _read(self, device: Device, function: int, address: int, count: int) -> tuple[bytes, Moment | None]:
        shows_value = (function == _READ_COILS) == device.coil and address <= VALUE_AT < address + count
        if shows_value and device.reads_since >= 0:
            device.reads_since += 1
            for moment in (Moment.FIRST_READ, Moment.SECOND_READ):
                if self._reached(device, moment):
                    return b"", None
        held = {POWER_AT: 0} | ({VALUE_AT: device.value} if (function == _READ_COILS) == device.coil else {})
        values = [held.get(address + place, 0) for place in range(count)]
        if function == _READ_COILS:
            bits = sum(value << place for place, value in enumerate(values))
            data = bits.to_bytes((count + 7) // 8, "little")
        else:
            data = struct.pack(f">{count}H", *values)
        return bytes([function, len(data)]) + data, Moment.FIRST_READ_ANSWERED if shows_value else None

    def _write(self, device: Device, pdu: bytes, value: int) -> tuple[bytes, Moment | None]:
        if self._reached(device, Moment.SEEN):
            device.log.append(Written(value, applied=False))
            return b"", None
        device.value, device.reads_since = value, 0
        device.log.append(Written(value, applied=True))
        if self._reached(device, Moment.APPLIED):
            return b"", None
        return pdu[:5], Moment.ACKNOWLEDGED


def _exactly(connection: socket.socket, count: int) -> bytes:
    """So many bytes; none at the end of the connection."""
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            return b""
        data += more
    return data
