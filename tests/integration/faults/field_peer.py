"""One simulated peer behind every kind of Modbus link, whose registers say for which request they were read.

On each link stand two units. The input registers of both hold numbers that nobody can mistake: the high word is the
address, the low word counts the requests that the unit ever answered. Unit 1 is a generator as well, with power, a
limit and a voltage with its scale factor in its holding registers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from modbus_cells import COLUMNS

from scowl_edge.assembly import assemble
from scowl_edge.devices.declaration import ModbusLink, Table
from simulators.faults import Fault, FaultKind, Response
from simulators.serving import Simulator, moved, serve
from simulators.unit import Unit

RATE = 5.0
"""How many times faster than the wall the peer goes: a second of its own is 200 ms."""
STALL_S = 0.008
"""A machine that kept the event loop waiting for so long may have spoiled a case by itself."""
RATED_W, VOLTS = 10_000, 230

_LINKS = """
site: {{id: matrix}}
links:
  tcp: {{type: modbus-tcp, host: 127.0.0.1}}
  rtu-tcp: {{type: modbus-rtu-tcp, host: 127.0.0.1, port: 4001}}
  rtu: {{type: modbus-rtu, device: {folder}/ttyF, baud: 921600, parity: none, stop_bits: 2}}
  tls:
    type: modbus-tls
    host: 127.0.0.1
    ca: {folder}/ca.pem
    certificate: {folder}/edge.pem
    key: {folder}/edge-key.pem
devices:
"""
_DEVICES = """
  {name}-1:
    link: {name}
    unit: 1
    points:
      power: {{address: 0, type: int32, unit: W, scale: -1}}
      limit: {{address: 4, type: uint32, unit: W, access: rw}}
      volts: {{address: 20, type: int16, unit: V, scale_factor: volts_sf}}
      volts_sf: {{address: 21, type: int16}}
      first: {{table: input, address: 0}}
    role: {{kind: generator, dispatch: stochastic, rated: 10 kW}}
  {name}-2:
    link: {name}
    unit: 2
    points:
      first: {{table: input, address: 0}}
"""
_SIMULATION = """
simulation:
  weather: {wind: 80 %}
  front: 1 ms
  devices:
"""
_MACHINE = """
    {name}-1: {{model: wind, noise: 10 %, noise_period: 1 s, initial: {{volts: 230, volts_sf: -1}}}}
"""


class Numbered:
    """A unit whose input registers are numbered; all else is the simulated unit's."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self.device, self.link = unit.device, unit.link
        self.served = 0
        """Reads of numbered registers so far."""

    def response(self, table: Table | None, address: int) -> Response:
        return self._unit.response(table, address)

    def read(self, table: Table, address: int, count: int) -> list[int]:
        if table is not Table.INPUT:
            return self._unit.read(table, address, count)
        self.served += 1
        return [self.served & 0xFFFF if at % 2 else at for at in range(address, address + count)]

    def write(self, table: Table, address: int, words: list[int]) -> None:
        self._unit.write(table, address, words)


class Peer:
    """The simulator with all its links."""

    def __init__(self, simulator: Simulator, links: dict[str, ModbusLink]) -> None:
        self.simulator = simulator
        self.links = links
        self.stalls = 0
        """Moments so far at which the machine itself came late."""
        for column in COLUMNS:
            server = simulator.modbus[column]
            server.units = {number: Numbered(unit) for number, unit in server.units.items()}  # type: ignore[misc]

    async def watch_machine(self) -> None:
        """Counts stalls."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + 0.005
            await asyncio.sleep(0.005)
            self.stalls += loop.time() - due_s > STALL_S

    def begin(self, column: str, fault: Fault, unit: int = 1) -> None:
        """A fault of one unit begins."""
        self.simulator.plant.add_fault(f"{column}-{unit}", fault)

    def clear(self, column: str, unit: int = 1) -> None:
        """All faults of one unit are over."""
        self.simulator.plant.clear_fault(f"{column}-{unit}")

    def produce_freely(self, column: str) -> None:
        """Takes back what an earlier case wrote to the generator, and lets it follow."""
        plant = self.simulator.plant
        assert plant.write(f"{column}-1", "limit", float(RATED_W))
        plant.advance(plant.now_ms + 1_000)

    def injected(self, column: str, kind: FaultKind, unit: int = 1) -> int:
        """How often a fault has struck since the peer was started."""
        return self.simulator.plant.standing.injected[f"{column}-{unit}", kind]


@asynccontextmanager
async def field_peer(folder: Path) -> AsyncIterator[Peer]:
    """Serves all links, at `RATE`; `folder` takes the serial port and the certificates."""
    text = _LINKS.format(folder=folder) + "".join(_DEVICES.format(name=name) for name in COLUMNS)
    text += _SIMULATION + "".join(_MACHINE.format(name=name) for name in COLUMNS)
    assembly = assemble(text, "matrix.yaml")
    simulator = await serve(assembly, RATE, "127.0.0.1:0", ephemeral=True)
    try:
        links = {link.name: link for link in moved(assembly.links, simulator.ports) if isinstance(link, ModbusLink)}
        peer = Peer(simulator, links)
        watching = asyncio.create_task(peer.watch_machine())
        yield peer
        watching.cancel()
    finally:
        await simulator.close()
