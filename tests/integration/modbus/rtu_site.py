"""A line with two units, over a converter or a pty, and our end of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from rtu_units import PtyLine, TcpLine, Units

from scowl_edge.devices.declaration import Canary, LinkKind, ModbusDevice, ModbusLink, Parity, SerialLine, Table
from scowl_edge.drivers.modbus import pdu
from scowl_edge.drivers.modbus.endpoint import open_wire
from scowl_edge.drivers.modbus.owed import OwedReplies
from scowl_edge.drivers.modbus.wire import Wire, exchange


async def until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    """Waits for a condition."""
    end_s = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < end_s, "waited in vain"
        await asyncio.sleep(0.002)


def rtu_link(
    *, port: int = 0, device: str = "", timeout_ms: int = 300, late_ms: int = 0, canary: Canary | None = None
) -> ModbusLink:
    """A link over TCP, or with `device` a serial one, with the units 1 and 2."""
    return ModbusLink(
        name="line",
        host="" if device else "127.0.0.1",
        port=port,
        timeout_ms=timeout_ms,
        connect_timeout_ms=1000,
        reconnect_ms=1000,
        max_gap=8,
        max_read=125,
        pause_ms=0,
        read_only=False,
        devices=tuple(
            ModbusDevice(name=f"u{unit}", unit=unit, poll_ms=1000, points=(), first_point=0, canary=canary)
            for unit in (1, 2)
        ),
        kind=LinkKind.RTU if device else LinkKind.RTU_TCP,
        serial=SerialLine(device=device, baud=115200, data_bits=8, parity=Parity.NONE, stop_bits=1) if device else None,
        late_ms=late_ms,
    )


class RtuSite:
    """Units, their line, and our connection with what it counted."""

    def __init__(self, units: Units, line: TcpLine | PtyLine, link: ModbusLink) -> None:
        self.units = units
        self.line = line
        self.link = link
        self.owed = OwedReplies(link, rate=1.0)
        self.strays = self.bad = self.losses = 0
        self.gone = asyncio.Event()
        self.wire: Wire | None = None

    async def open(self) -> None:
        """Opens a connection, a new one if there was one."""
        if self.wire is not None:
            self.wire.close()
        self.gone.clear()
        self.wire = await open_wire(
            self.link, rate=1.0, on_stray=self._stray, on_bad=self._bad, on_lost=self._lost, owed=self.owed
        )

    def _stray(self) -> None:
        self.strays += 1

    def _bad(self) -> None:
        self.bad += 1

    def _lost(self) -> None:
        self.losses += 1
        self.gone.set()

    async def ask(self, request: bytes, unit: int = 1) -> bytes:
        """One request and its reply's PDU."""
        assert self.wire is not None
        return await exchange(self.wire, unit, request, self.link.timeout_ms / 1000)

    async def read(self, address: int, count: int = 1, unit: int = 1) -> tuple[int, ...]:
        """Holding registers."""
        reply = await self.ask(pdu.read_request(Table.HOLDING, address, count), unit)
        data = pdu.payload(reply, 2 * count)
        return tuple(int.from_bytes(data[i : i + 2]) for i in range(0, len(data), 2))

    async def write(self, address: int, value: int, unit: int = 1) -> None:
        """FC 6."""
        request = pdu.write_register(address, value.to_bytes(2))
        pdu.acknowledged(request, await self.ask(request, unit))


@asynccontextmanager
async def rtu_site(
    kind: str, folder: Path, *, timeout_ms: int = 300, late_ms: int = 0, canary: Canary | None = None
) -> AsyncIterator[RtuSite]:
    """A site with its connection open. `kind`: `converter` or `serial`."""
    units = Units()
    line: TcpLine | PtyLine
    if kind == "converter":
        line = TcpLine(units)
        await line.start()
        link = rtu_link(port=line.port, timeout_ms=timeout_ms, late_ms=late_ms, canary=canary)
    else:
        line = PtyLine(units, folder / "ttyE")
        line.plug_in()
        link = rtu_link(device=str(line.path), timeout_ms=timeout_ms, late_ms=late_ms, canary=canary)
    site = RtuSite(units, line, link)
    await site.open()
    try:
        yield site
    finally:
        assert site.wire is not None
        site.wire.close()
        if isinstance(line, TcpLine):
            await line.stop()
        else:
            line.unplug()
