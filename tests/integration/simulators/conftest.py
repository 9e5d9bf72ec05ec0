"""Simulations on free ports, and bare Modbus connections to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from simulated_region import Start, Wire

from scowl_edge.assembly import assemble
from simulators.serving import Simulator, serve


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a simulation from the text of a configuration; all are closed at the end."""
    running: list[Simulator] = []

    async def started(text: str, clock_rate: float = 1.0) -> Simulator:
        simulator = await serve(assemble(text, "site.yaml"), clock_rate, "127.0.0.1:0", ephemeral=True)
        running.append(simulator)
        return simulator

    yield started
    for simulator in running:
        await simulator.close()


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[int], Awaitable[Wire]]]:
    """Opens bare connections to a port of this machine."""
    wires: list[Wire] = []

    async def connected(port: int) -> Wire:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
        wires.append(wire)
        return wire

    yield connected
    for wire in wires:
        wire.writer.close()
        await wire.writer.wait_closed()
