"""A driver that runs as long as a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modbus_site import RealClock, Recorder

from scowl_edge.devices.declaration import ModbusLink
from scowl_edge.drivers.modbus import ModbusDriver

Running = tuple[ModbusDriver, Recorder]


@asynccontextmanager
async def running(link: ModbusLink) -> AsyncIterator[Running]:
    driver, sink = ModbusDriver(link, RealClock()), Recorder()
    task = asyncio.create_task(driver.run(sink))
    try:
        yield driver, sink
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended
