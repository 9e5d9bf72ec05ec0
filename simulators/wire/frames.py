"""Streams of bytes to Modbus frames and back, as they lie in TCP and on a serial line."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_MBAP = struct.Struct(">HHHB")
_LONGEST_LENGTH = 254
"""Unit and PDU."""
_LONGEST_SERIAL = 256
READS = (1, 2, 3, 4)
"""Functions that read."""
WRITES = (5, 6, 15, 16, 22)
"""Functions that write."""


class Framing(StrEnum):
    """How frames lie in a stream."""

    TCP = "tcp"
    """Each with a header that counts its bytes."""
    RTU = "rtu"
    """Each with a check sum, ended by silence."""
    NONE = "none"
    """Whatever comes at once, for streams that cannot be looked into."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One request or reply."""

    unit: int
    pdu: bytes
    """Function code and data."""
    transaction: int = 0
    """Of TCP only."""

    @property
    def function(self) -> int:
        """Function code, without the mark of an exception."""
        return self.pdu[0] & 0x7F

    @property
    def address(self) -> int:
        """First address of a request; 0 where it has none."""
        return int.from_bytes(self.pdu[1:3])

    def encoded(self, framing: Framing) -> bytes:
        """The bytes that go onto the wire."""
        if framing is Framing.TCP:
            return _MBAP.pack(self.transaction, 0, len(self.pdu) + 1, self.unit) + self.pdu
        if framing is Framing.RTU:
            body = bytes((self.unit,)) + self.pdu
            return body + crc(body)
        return self.pdu


def exception(request: Frame, code: int) -> Frame:
    """The exception reply to a request."""
    return Frame(request.unit, bytes((request.function | 0x80, code)), request.transaction)


def acknowledged(request: Frame) -> Frame:
    """What a device answers to a write that it has carried out."""
    pdu = request.pdu[:5] if request.function in (15, 16) else request.pdu
    return Frame(request.unit, pdu, request.transaction)


_CRC_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0xA001 if _byte & 1 else 0)
    _CRC_TABLE.append(_byte)


def crc(data: bytes) -> bytes:
    """Check sum of a serial frame, low byte first (Modbus over Serial Line V1.02, 2.5.1.2)."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _CRC_TABLE[(value ^ byte) & 0xFF]
    return value.to_bytes(2, "little")


class Cutter:
    """Cuts one direction of one stream: frames come out as `Frame`, what is none as the bytes that it is."""

    def __init__(self, framing: Framing, *, replies: bool) -> None:
        self._framing = framing
        self._length = _reply_length if replies else _request_length
        self._held = b""
        self._lost = False

    @property
    def waits(self) -> bool:
        """Whether bytes are held that only more bytes, or on a serial line silence, can explain."""
        return bool(self._held)

    def feed(self, data: bytes) -> Iterator[Frame | bytes]:
        """Takes bytes; gives what is complete."""
        if self._framing is Framing.NONE or self._lost:
            yield data
            return
        self._held += data
        cut = self._cut_tcp if self._framing is Framing.TCP else self._cut_serial
        while self._held:
            piece = cut()
            if piece is None:
                return
            yield piece

    def silence(self) -> Frame | bytes | None:
        """On a serial line silence ends whatever was begun."""
        held, self._held = self._held, b""
        if not held:
            return None
        return _checked(held) or held

    def _cut_tcp(self) -> Frame | bytes | None:
        if len(self._held) < _MBAP.size + 1:
            return None
        transaction, protocol, length, unit = _MBAP.unpack_from(self._held)
        if protocol or not 2 <= length <= _LONGEST_LENGTH:
            # After bytes that are no frame nobody knows where the next one begins.
            self._lost, held, self._held = True, self._held, b""
            return held
        end = 6 + length
        if len(self._held) < end:
            return None
        frame = Frame(unit, self._held[7:end], transaction)
        self._held = self._held[end:]
        return frame

    def _cut_serial(self) -> Frame | bytes | None:
        if len(self._held) > _LONGEST_SERIAL:
            held, self._held = self._held, b""
            return held
        length = self._length(self._held)
        if length is None or len(self._held) < length:
            return None
        frame = _checked(self._held[:length])
        if frame is not None:
            self._held = self._held[length:]
        return frame


def _checked(data: bytes) -> Frame | None:
    if len(data) < 4 or crc(data[:-2]) != data[-2:]:
        return None
    return Frame(data[0], data[1:-2])


def _request_length(held: bytes) -> int | None:
    if len(held) < 2:
        return None
    function = held[1]
    if function in (1, 2, 3, 4, 5, 6, 8):
        return 8
    if function in (15, 16):
        return 9 + held[6] if len(held) > 6 else None
    if function == 22:
        return 10
    if function == 23:
        return 13 + held[10] if len(held) > 10 else None
    return 4 if function in (7, 11, 12, 17) else None


def _reply_length(held: bytes) -> int | None:
    if len(held) < 3:
        return None
    function = held[1]
    if function & 0x80 or function == 7:
        return 5
    if function in (1, 2, 3, 4, 12, 17, 23):
        return 5 + held[2]
    if function in (5, 6, 8, 11, 15, 16):
        return 8
    return 10 if function == 22 else None
