"""What a unit answers to each function code."""

from __future__ import annotations

import struct

from scowl_edge.devices.declaration import Table
from simulators.unit import ModbusException, Unit

_READS = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT}
_WRITES = {5: Table.COIL, 6: Table.HOLDING, 15: Table.COIL, 16: Table.HOLDING, 22: Table.HOLDING}
_DIAGNOSTICS = 8
_ILLEGAL_FUNCTION = 1
_ILLEGAL_VALUE = 3
_MOST_BITS_READ, _MOST_BITS_WRITTEN = 2000, 1968
_MOST_REGISTERS_READ, _MOST_REGISTERS_WRITTEN = 125, 123


def table_of(function: int) -> Table | None:
    """The table that a function reads or writes; None if it does neither."""
    return _READS.get(function) or _WRITES.get(function)


def carry_out(unit: Unit, request: bytes, *, serial: bool) -> bytes:
    """The PDU of the reply to the PDU of a request.

    Args:
        unit: Whom it is for.
        request: Function code and data.
        serial: Whether functions of serial lines are known.

    Raises:
        ModbusException: the request is refused.
    """
    function = request[0]
    if function in _READS:
        return _read(unit, _READS[function], request)
    if function in (5, 6):
        return _write_one(unit, function, request)
    if function in (15, 16):
        return _write_many(unit, function, request)
    if function == 22:
        return _mask_write(unit, request)
    if serial and function == _DIAGNOSTICS and request[1:3] == b"\0\0":
        return request
    raise ModbusException(_ILLEGAL_FUNCTION)


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
