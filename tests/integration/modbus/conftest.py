"""Servers and drivers that live as long as a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from faulty_server import FaultyServer
from modbus_site import RealClock, Recorder

from scowl_edge.devices.declaration import ModbusLink
from scowl_edge.drivers.modbus import ModbusTcpDriver

Running = tuple[ModbusTcpDriver, Recorder]


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    faulty = FaultyServer()
    await faulty.start()
    yield faulty
    await faulty.stop()


@asynccontextmanager
async def running(link: ModbusLink) -> AsyncIterator[Running]:
    driver, sink = ModbusTcpDriver(link, RealClock()), Recorder()
    task = asyncio.create_task(driver.run(sink))
    try:
        yield driver, sink
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


@pytest.fixture
async def start() -> AsyncIterator[Callable[[ModbusLink], Awaitable[Running]]]:
    """Starts a driver; at the end each is cancelled, and must not have died before."""
    async with AsyncExitStack() as stack:

        async def begin(link: ModbusLink) -> Running:
            return await stack.enter_async_context(running(link))

        yield begin
