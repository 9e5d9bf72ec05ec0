"""Modbus RTU frames: their check sum, where they end, and which reply can answer which request.

Nothing marks the end of a frame but its content and silence. Here the content says it: the function, and the count
that stands in the frame. (Modbus over Serial Line V1.02; Modbus Application Protocol V1.1b3.)
"""

from __future__ import annotations

from typing import NamedTuple

RETURN_QUERY, EXCEPTION_STATUS, EVENT_COUNTER = 8, 7, 11
CHECKS = (RETURN_QUERY, EXCEPTION_STATUS, EVENT_COUNTER)
"""Functions that only the wire itself asks for, to find out where the unit is in its queue of requests."""
_READ_BITS, _READ_REGISTERS = (1, 2), (3, 4)
READS = _READ_BITS + _READ_REGISTERS
_WRITE_ONE, _WRITE_MANY, _MASK = (5, 6), (15, 16), 22
_COUNTED = (1, 2, 3, 4, 12, 17, 20, 21, 23)
"""Replies whose third byte says how many follow."""
_FIXED = {5: 8, 6: 8, 7: 5, 8: 8, 11: 8, 15: 8, 16: 8, 22: 10}
_IDENTIFICATION, _MEI = 43, 14
_FRAME_MOST = 256
_EXCEPTION_SIZE = 5


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes | bytearray | memoryview) -> int:
    """Check sum of a frame; it is sent low byte first, so that a whole good frame has 0."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def frame(unit: int, pdu: bytes) -> bytes:
    """A PDU as it goes out on the line."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def reply_length(data: bytes | bytearray) -> int:
    """Bytes of the reply frame that `data` begins with; 0: not known yet; -1: no reply begins so."""
    if len(data) < 2:
        return 0
    function = data[1]
    if function & 0x80:
        return _EXCEPTION_SIZE
    if function in _FIXED:
        return _FIXED[function]
    if function in _COUNTED:
        return _counted(data)
    if function == _IDENTIFICATION:
        return _identification(data)
    return -1


def _counted(data: bytes | bytearray) -> int:
    if len(data) < 3:
        return 0
    size = data[2] + 5
    return size if 5 < size <= _FRAME_MOST else -1


def _identification(data: bytes | bytearray) -> int:
    """FC 43/14: a list of objects, each with its own length."""
    if len(data) < 3:
        return 0
    if data[2] != _MEI:
        return -1
    if len(data) < 8:
        return 0
    at = 8
    for _ in range(data[7]):
        if len(data) < at + 2:
            return 0 if at + 4 <= _FRAME_MOST else -1
        at += 2 + data[at + 1]
    return at + 2 if at + 2 <= _FRAME_MOST else -1


class Shape(NamedTuple):
    """What replies look like, apart from their content: two shapes that differ cannot be taken for each other."""

    function: int
    size: int
    """Bytes of the reply's PDU; 0: not known in advance."""

    def differs(self, other: Shape) -> bool:
        """Whether no good reply of the one can be a good reply of the other."""
        return self.function != other.function or (self.size != other.size and bool(self.size and other.size))


def shape(request: bytes) -> Shape:
    """The shape of the good reply to a request."""
    function, count = request[0], int.from_bytes(request[3:5])
    if function in _READ_BITS:
        return Shape(function, 2 + -(-count // 8))
    if function in _READ_REGISTERS or function == 23:
        return Shape(function, 2 + count * 2)
    return Shape(function, _FIXED.get(function, 3) - 3)


def answers(request: bytes, reply: bytes) -> bool:
    """Whether a reply PDU can be that to a request: its function, its length, and of a write the place it repeats."""
    function = request[0]
    if reply[0] == function | 0x80:
        return len(reply) == 2
    if reply[0] != function:
        return False
    if function in _READ_BITS or function in _READ_REGISTERS or function == 23:
        size = shape(request).size
        return len(reply) == size and reply[1] == size - 2
    if function == RETURN_QUERY and request[1:3] == b"\0\0":
        return reply == request
    if function in _WRITE_ONE or function in (_MASK, RETURN_QUERY):
        return len(reply) == len(request) and reply[:3] == request[:3]
    if function in _WRITE_MANY:
        return reply == request[:5]
    return True


def repeats_itself(request: bytes) -> bool:
    """Whether the good reply to a request is the request itself, so that an adapter's echo looks like it."""
    return request[0] in _WRITE_ONE or request[0] in (_MASK, RETURN_QUERY)
