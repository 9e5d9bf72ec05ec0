"""Modbus PDUs: requests, the exact replies they must have, and both in words (Modbus Application Protocol V1.1b3)."""

from __future__ import annotations

from struct import Struct

from scowl_edge.devices.declaration import Table
from scowl_edge.drivers.errors import BadReply, Refused

READ = {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}
REPORT_SERVER_ID, DEVICE_IDENTIFICATION = 17, 43
WRITE_COIL, WRITE_REGISTER, WRITE_REGISTERS, MASK_REGISTER = 5, 6, 16, 22
_NOUNS = {1: "coils", 2: "discrete inputs", 3: "holding registers", 4: "input registers"}

MAX_READ = 125
"""Registers in one read, at most."""
ILLEGAL_FUNCTION = 1
_EXCEPTIONS = {
    1: "exception 1, illegal function",
    2: "exception 2, illegal data address; check table, address (from 0) and length",
    3: "exception 3, illegal data value",
    4: "exception 4, device failure",
    5: "exception 5, acknowledged and still working on it",
    6: "exception 6, device busy",
    8: "exception 8, memory parity error",
    10: "exception 10, gateway path unavailable",
    11: "exception 11, the gateway got no answer from the unit",
}
_TAKEN = 5
_NO_ANSWER_FROM_UNIT = (10, 11)

_HEAD = Struct(">BHH")
_MASK = Struct(">BHHH")
_MANY = Struct(">BHHB")


def read_request(table: Table, address: int, count: int) -> bytes:
    """Reads `count` registers or bits from `address`."""
    return _HEAD.pack(READ[table], address, count)


def reply_size(table: Table, count: int) -> int:
    """Data bytes in the reply to a read."""
    return -(-count // 8) if READ[table] < 3 else count * 2


def write_coil(address: int, on: bool) -> bytes:
    """FC 5."""
    return _HEAD.pack(WRITE_COIL, address, 0xFF00 if on else 0)


def write_register(address: int, data: bytes) -> bytes:
    """FC 6 with the two bytes as they lie on the wire."""
    return _HEAD.pack(WRITE_REGISTER, address, int.from_bytes(data))


def write_registers(address: int, data: bytes) -> bytes:
    """FC 16 with the bytes as they lie on the wire."""
    return _MANY.pack(WRITE_REGISTERS, address, len(data) // 2, len(data)) + data


def mask_register(address: int, bit: int, on: bool) -> bytes:
    """FC 22: changes one bit (0 = least significant on the wire) and leaves the others to the device."""
    return _MASK.pack(MASK_REGISTER, address, 0xFFFF ^ (1 << bit), (1 << bit) if on else 0)


def payload(reply: bytes, size: int) -> bytes:
    """The data bytes of the reply to a read.

    Raises:
        BadReply: the reply has another length than the request asks for.
    """
    if len(reply) != size + 2 or reply[1] != size:
        raise BadReply(
            f"the reply has {max(len(reply) - 2, 0)} data bytes and says {reply[1] if len(reply) > 1 else 'nothing'}; "
            f"{size} were asked for"
        )
    return reply[2:]


def acknowledged(request: bytes, reply: bytes) -> None:
    """Checks that the reply to a write repeats what was written and where.

    Raises:
        BadReply: it does not.
    """
    expected = request[:5] if request[0] == WRITE_REGISTERS else request
    if reply != expected:
        raise BadReply(f"the reply {reply.hex(' ')} does not repeat the write {expected.hex(' ')}")


def refusal(code: int) -> Refused:
    """An exception reply as an error."""
    words = _EXCEPTIONS.get(code, f"exception {code}")
    return Refused(words, code=code, silent=code in _NO_ANSWER_FROM_UNIT, unsure=code == 11, taken=code == _TAKEN)


def describe(unit: int, request: bytes) -> str:
    """The request in words: read 10 holding registers at 100 from unit 3."""
    function, address = request[0], int.from_bytes(request[1:3])
    value = int.from_bytes(request[3:5])
    if function in _NOUNS:
        return f"read {value} {_NOUNS[function]} at {address} from unit {unit}"
    if function == WRITE_COIL:
        return f"write {'on' if value else 'off'} to coil {address} of unit {unit}"
    if function == WRITE_REGISTER:
        return f"write {value} to holding register {address} of unit {unit}"
    if function in (REPORT_SERVER_ID, DEVICE_IDENTIFICATION):
        return f"ask unit {unit} who it is (function {function})"
    if function == MASK_REGISTER:
        return f"change bits of holding register {address} of unit {unit}"
    return f"write {value} holding registers at {address} of unit {unit}"
