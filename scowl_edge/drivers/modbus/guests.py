"""What other tools may ask of a link's units: what changes nothing, and only where the daemon itself would read."""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.devices.declaration import ModbusLink, Table
from scowl_edge.drivers.errors import BadReply
from scowl_edge.drivers.modbus import pdu
from scowl_edge.drivers.modbus.planner import MAX_BITS
from scowl_edge.drivers.modbus.registers import BIT_TABLES

ILLEGAL_ADDRESS, ILLEGAL_VALUE, BUSY, NO_PATH, NO_ANSWER = 2, 3, 6, 10, 11
"""Exceptions that a gateway answers with (Modbus Application Protocol V1.1b3, 7)."""

_READ_DEVICE_IDENTIFICATION = 14
"""The one transport inside function 43 that only reads; the other, CANopen, writes too."""
_WRITES = frozenset((5, 6, 15, 16, 21, 22, 23))
_TABLES = {function: table for table, function in pdu.READ.items()}
_ADDRESSES = 0x10000


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a request does not pass."""

    code: int
    """Exception that the client gets."""
    result: str
    """Label in `scowl_link_guest_requests_total`: `write_refused` or `refused`."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """What may be read of one unit, all devices on it together."""

    registers: int
    """Most in one read."""
    holes: tuple[tuple[Table, int, int], ...]
    """Table, first and last address of what must never be read."""


class Gate:
    """Judges requests. It knows the functions that only read, and lets nothing else through, known or not."""

    def __init__(self, link: ModbusLink) -> None:
        self._units: dict[int, _Unit] = {}
        for device in link.devices:
            known = self._units.get(device.unit, _Unit(pdu.MAX_READ, ()))
            self._units[device.unit] = _Unit(
                min(known.registers, device.max_read or link.max_read),
                known.holes + tuple((hole.table, hole.first, hole.last) for hole in device.holes),
            )

    def denied(self, unit: int, request: bytes) -> Denied | None:
        """Why a request (its PDU, at least one byte) must not reach the unit; None: it may."""
        function = request[0]
        if function in _WRITES:
            return Denied(pdu.ILLEGAL_FUNCTION, "write_refused")
        if function not in _TABLES and not _asks_who(request):
            return Denied(pdu.ILLEGAL_FUNCTION, "refused")
        known = self._units.get(unit)
        if known is None:
            return Denied(NO_PATH, "refused")
        code = _fault_of_read(known, request) if function in _TABLES else 0
        return Denied(code, "refused") if code else None


def _asks_who(request: bytes) -> bool:
    """Whether a well-formed request asks a device for its name and make."""
    if request[0] == pdu.REPORT_SERVER_ID:
        return len(request) == 1
    return request[:2] == bytes((pdu.DEVICE_IDENTIFICATION, _READ_DEVICE_IDENTIFICATION)) and len(request) == 4


def _fault_of_read(unit: _Unit, request: bytes) -> int:
    """The exception that a read deserves; 0 if none."""
    if len(request) != 5:
        return ILLEGAL_VALUE
    table, address, count = _TABLES[request[0]], int.from_bytes(request[1:3]), int.from_bytes(request[3:5])
    most = min(unit.registers * 16, MAX_BITS) if table in BIT_TABLES else unit.registers
    if not 1 <= count <= most:
        return ILLEGAL_VALUE
    end = address + count
    if end > _ADDRESSES or any(t is table and address <= last and first < end for t, first, last in unit.holes):
        return ILLEGAL_ADDRESS
    return 0


def accepted(request: bytes, reply: bytes) -> bytes:
    """The reply to a request that passed the gate, if it can be its answer.

    Raises:
        BadReply: it has another length or form than the request asks for.
    """
    function = request[0]
    if function in _TABLES:
        pdu.payload(reply, pdu.reply_size(_TABLES[function], int.from_bytes(request[3:5])))
    elif function == pdu.REPORT_SERVER_ID:
        pdu.payload(reply, max(len(reply) - 2, 0))
    elif len(reply) < 7 or reply[1:3] != request[1:3]:
        raise BadReply(f"the reply {reply[:8].hex(' ')} is no device identification of the kind that was asked for")
    return reply
