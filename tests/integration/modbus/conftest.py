"""Servers and drivers that live as long as a test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from faulty_server import FaultyServer
from running_driver import Running, running

from scowl_edge.devices.declaration import ModbusLink


@pytest.fixture
async def server() -> AsyncIterator[FaultyServer]:
    faulty = FaultyServer()
    await faulty.start()
    yield faulty
    await faulty.stop()


@pytest.fixture
async def start() -> AsyncIterator[Callable[[ModbusLink], Awaitable[Running]]]:
    """Starts a driver; at the end each is cancelled, and must not have died before."""
    async with AsyncExitStack() as stack:

        async def begin(link: ModbusLink) -> Running:
            return await stack.enter_async_context(running(link))

        yield begin
