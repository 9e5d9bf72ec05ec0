"""Declarations for tests of the OPC-UA driver, and a driver that runs as long as a block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from modbus_site import RealClock, Recorder

from scowl_edge.contracts import Clock, PointWrite, WriteRequest
from scowl_edge.devices.declaration import OpcuaDevice, OpcuaLink, OpcuaPoint, SecurityMode, SecurityPolicy
from scowl_edge.drivers.opcua import OpcuaDriver
from scowl_edge.model.command import CommandId, WriteClass
from scowl_edge.model.event import Outcome

SITE = "nsu=urn:site;"
_POINT = OpcuaPoint(
    name="p",
    node="i=2258",
    type="",
    index=-1,
    method="",
    scale=1.0,
    offset=0.0,
    nan=(),
    unit="",
    to_base=1.0,
    base_unit="",
    access="rw",
    write_class=WriteClass.VOLATILE,
    fresh_for_ms=1000,
    hold_for_ms=10000,
    low=None,
    high=None,
)


def point(name: str, node: str, type_: str = "", **changes: Any) -> OpcuaPoint:
    return replace(_POINT, name=name, node=node, **{"type": type_, **changes})


def device(name: str, *points: OpcuaPoint, first: int = 0, poll_ms: int = 100) -> OpcuaDevice:
    return OpcuaDevice(name=name, poll_ms=poll_ms, points=points, first_point=first)


def link(endpoint: str, *devices: OpcuaDevice, **changes: Any) -> OpcuaLink:
    plain = OpcuaLink(
        name="scada",
        endpoint=endpoint,
        policy=SecurityPolicy.NONE,
        mode=SecurityMode.NONE,
        user="",
        password=None,
        pki="",
        # Where a time-out is waited for, the test gives its own: a machine that stands still is none.
        timeout_ms=20_000,
        connect_timeout_ms=30_000,
        reconnect_ms=400,
        subscribe=True,
        max_items=0,
        read_only=False,
        devices=devices,
    )
    return replace(plain, **changes)


class Running:
    """A driver at work, and what it says."""

    def __init__(self, driver: OpcuaDriver, sink: Recorder) -> None:
        self.driver = driver
        self.sink = sink
        self._commands = 0

    def good(self, point: int) -> float | None:
        """The last value of a point if it is good."""
        value, quality, _ = self.sink.last.get(point, (0.0, 2, 0))
        return value if quality == 0 else None

    async def sees(self, point: int, value: float, within_s: float = 60.0) -> None:
        await self.sink.until(lambda: self.good(point) == value, within_s)

    async def command(self, *writes: tuple[int, float], valid_ms: int = 60_000) -> Outcome:
        """Sends one command and returns its one outcome."""
        self._commands += 1
        command = CommandId(1, self._commands, 0)
        until_ms = RealClock().mono_ms() + valid_ms
        self.driver.write(
            WriteRequest(command=command, writes=tuple(PointWrite(p, v) for p, v in writes), valid_until_ms=until_ms)
        )
        await self.sink.until(lambda: any(outcome.command == command for outcome in self.sink.outcomes))
        (outcome,) = [outcome for outcome in self.sink.outcomes if outcome.command == command]
        return outcome


@asynccontextmanager
async def running(opcua: OpcuaLink, clock: Clock | None = None, **options: Any) -> AsyncIterator[Running]:
    """Runs a driver; at the end it is cancelled, must not have died before, and must leave no task behind."""
    driver, sink = OpcuaDriver(opcua, clock or RealClock(), **options), Recorder()
    task = asyncio.create_task(driver.run(sink))
    try:
        yield Running(driver, sink)
    finally:
        task.cancel()
        (ended,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended
        left = [each for each in asyncio.all_tasks() if each.get_name().startswith(f"opcua {opcua.name} ")]
        assert not left, f"tasks left behind: {left}"
