"""Simulations on free ports, bare Modbus connections and OPC-UA sessions to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from asyncua import Client, ua
from simulated_region import Start, Wire

from scowl_edge.assembly import assemble
from simulators.serving import Simulator, serve


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a simulation from the text of a configuration; all are closed at the end."""
    running: list[Simulator] = []

    async def started(text: str, clock_rate: float = 1.0, *, ephemeral: bool = True) -> Simulator:
        simulator = await serve(assemble(text, "site.yaml"), clock_rate, "127.0.0.1:0", ephemeral=ephemeral)
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
        # Some tests have the other side reset the connection.
        with suppress(ConnectionError):
            await wire.writer.wait_closed()


@pytest.fixture
async def client() -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Opens sessions of a client that is not ours with the OPC-UA server of a simulation."""
    clients: list[Client] = []

    async def connected(simulator: Simulator, prepare: Callable[[Client], Awaitable[None]] | None = None) -> Client:
        made = Client(simulator.opcua["scada"].endpoint, timeout=2, watchdog_intervall=60, auto_reconnect=False)
        made.session_timeout = 60_000
        if prepare is not None:
            await prepare(made)
        await made.connect()
        clients.append(made)
        return made

    yield connected
    for each in clients:
        # Some tests cut the connection; there is nothing left to say goodbye to, then.
        with suppress(OSError, ua.UaError, TimeoutError):
            await each.disconnect()
