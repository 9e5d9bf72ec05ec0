"""What the watchdog goes by: a driver that waits for somebody dead makes progress, one stuck in a defect does not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from faulty_server import FaultyServer
from modbus_site import RealClock, Recorder, device, link, point
from running_driver import Running

from scowl_edge.devices.declaration import ModbusLink
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.drivers.modbus.port import ModbusPort

Start = Callable[[ModbusLink], Awaitable[Running]]
TIMEOUT_MS = 100
SLACK_MS = 500
"""Of a busy machine."""


def plant(port: int, **changes: int) -> ModbusLink:
    """One device on a link with short time-outs."""
    times = {"timeout_ms": TIMEOUT_MS, "connect_timeout_ms": TIMEOUT_MS, "reconnect_ms": 3000}
    return link(port, device("a", 1, point("p", 5)), **{**times, **changes})


async def longest_idle_ms(driver: ModbusDriver, until: Callable[[], object]) -> int:
    """The longest time without progress until the condition holds."""
    clock, longest = RealClock(), 0
    async with asyncio.timeout(10):
        while not until():
            await asyncio.sleep(0.005)
            longest = max(longest, clock.mono_ms() - driver.last_progress_ms)
    return longest


def refusals(sink: Recorder, at_least: int) -> Callable[[], bool]:
    """Whether the time in which so many polls were due has passed, all of them in vain."""
    began = RealClock().mono_ms()
    return lambda: RealClock().mono_ms() - began > at_least * 100 and not any(sink.flips("a"))


async def test_waiting_for_a_link_that_is_down_is_progress(start: Start) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        driver, sink = await start(plant(closed.getsockname()[1]))
        assert await longest_idle_ms(driver, refusals(sink, 15)) < TIMEOUT_MS + SLACK_MS
        assert sink.flips("") == [False]


async def test_waiting_for_a_silent_device_is_progress(start: Start, server: FaultyServer) -> None:
    server.faults[1] = "silence"
    driver, sink = await start(plant(server.port))
    assert await longest_idle_ms(driver, refusals(sink, 15)) < TIMEOUT_MS + SLACK_MS
    assert sink.flips("a") == [False]


async def test_waiting_for_nothing_in_particular_is_progress(start: Start, server: FaultyServer) -> None:
    """A link that is only written to: nothing is due until somebody orders something."""
    only_written = link(server.port, device("a", 1, point("p", 5, access="w")))
    driver, sink = await start(only_written)
    await sink.until(lambda: sink.flips("") == [True])
    assert await longest_idle_ms(driver, refusals(sink, 10)) < SLACK_MS


async def test_hanging_in_a_defect_is_none(start: Start, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    driver, sink = await start(plant(server.port))
    await sink.until(lambda: 0 in sink.last)

    monkeypatch.setattr(ModbusPort, "begin", lambda _port, _job, _done: None)
    clock = RealClock()
    await longest_idle_ms(driver, lambda: clock.mono_ms() - driver.last_progress_ms > TIMEOUT_MS + 2 * SLACK_MS)
