"""Meters of a street on Modbus TCP: what flows to all homes, and to the appliances of each manager.

```
input registers, big-endian; unit 1: the feeder, all homes; units 2, 3, ...: the appliances of each manager in turn
0    int32   power, W; + is towards the homes
2    uint64  energy towards the homes, W·ms
6    uint64  energy from the homes, W·ms
10   uint64  the meter's own clock, ms since 1970
14   uint64  end of the latest quarter of an hour, ms since 1970; 0: none yet
18   int64   energy at that moment: towards the homes less from the homes, W·ms
22   int32   power of each appliance of that manager, in the order of their ids, W; unit 1 has none
```

All of a read is of one moment.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from scowl_edge.devices.declaration import Table
from simulators.functions import carry_out
from simulators.unit import ILLEGAL_ADDRESS, ModbusException, Unit
from simulators.wire.ends import End, Session, TcpListener
from simulators.wire.frames import Frame, Framing, exception
from simulators.wire.intake import Intake

UNIT = 1
WORDS = 22
"""Registers before those of the parts."""
_LAYOUT = struct.Struct(">iQQQQq")
_NO_SUCH_UNIT = 0x0B


@dataclass(slots=True)
class FeederMeter:
    """What the meter shows; `show` is called as time passes. Read by Modbus as a unit of its own."""

    power_w: int = 0
    import_wms: int = 0
    export_wms: int = 0
    utc_ms: int = 0
    quarter_ms: int = 0
    quarter_wms: int = 0
    parts_w: tuple[int, ...] = ()
    """Power of each of its parts, W."""

    def show(self, power_w: int, energy_wms: int, utc_ms: int) -> None:
        """Takes the present power, and the energy since the last call (+ is towards the homes)."""
        self.power_w, self.utc_ms = power_w, utc_ms
        if energy_wms >= 0:
            self.import_wms += energy_wms
        else:
            self.export_wms -= energy_wms

    def quarter(self, utc_ms: int, energy_wms: int) -> None:
        """Takes what had flowed when a quarter of an hour ended."""
        self.quarter_ms, self.quarter_wms = utc_ms, energy_wms

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """Registers as they are now.

        Raises:
            ModbusException: 2, there is nothing at these addresses.
        """
        data = _LAYOUT.pack(
            self.power_w, self.import_wms, self.export_wms, self.utc_ms, self.quarter_ms, self.quarter_wms
        ) + struct.pack(f">{len(self.parts_w)}i", *self.parts_w)
        words = struct.unpack(f">{len(data) // 2}H", data)
        if table is not Table.INPUT or address + count > len(words):
            raise ModbusException(ILLEGAL_ADDRESS)
        return list(words[address : address + count])

    def write(self, table: Table, address: int, words: list[int]) -> None:
        """A meter takes nothing. Raises ModbusException: 2."""
        raise ModbusException(ILLEGAL_ADDRESS)


class MeterServer:
    """Serves meters, each as a unit of its own."""

    def __init__(self, meters: Mapping[int, FeederMeter]) -> None:
        self.meters = meters
        self._listener = TcpListener(self._accept)

    async def start(self, host: str, port: int) -> int:
        """Listens; the port that it got, if 0 was asked for. Raises OSError: the port is taken."""
        return await self._listener.start(host, port)

    async def close(self) -> None:
        """Stops listening and drops every connection."""
        await self._listener.close()

    def _accept(self, end: End) -> Session:
        return _Client(self.meters, end)


class _Client:
    """One connection."""

    def __init__(self, meters: Mapping[int, FeederMeter], end: End) -> None:
        self._meters, self._end = meters, end
        self._intake = Intake(Framing.TCP, self._taken)

    def received(self, data: bytes) -> None:
        self._intake.received(data)

    def lost(self) -> None:
        self._intake.stop()

    def _taken(self, piece: Frame | bytes) -> None:
        if not isinstance(piece, Frame):
            # After bytes that are no frame nobody knows where the next one begins.
            self._end.close()
            self._intake.stop()
            return
        try:
            meter = self._meters.get(piece.unit)
            if meter is None:
                raise ModbusException(_NO_SUCH_UNIT)
            # It has all that functions ask of a unit.
            pdu = carry_out(cast(Unit, meter), piece.pdu, serial=False)
            reply = Frame(piece.unit, pdu, piece.transaction)
        except ModbusException as refused:
            reply = exception(piece, refused.code)
        self._end.write(reply.encoded(Framing.TCP))
