"""The same driver on uvloop, and over IPv6."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop
from faulty_server import FaultyServer, truth
from modbus_site import device, link, point
from running_driver import running

from scowl_edge.model.signal import Cause, Quality


async def story(host: str) -> None:
    """Reads, a silent unit, a reset, and the link down and back."""
    server = FaultyServer(host=host)
    await server.start()
    plant = link(server.port, device("a", 1, point("p", 5)), device("b", 2, point("p", 6), first=1), host=host)
    async with running(plant) as (_, sink):
        await sink.until(lambda: len(sink.last) == 2)
        assert (sink.last[0][0], sink.last[1][0]) == (truth(1, 5), truth(2, 6))
        for fault, cause in (("silence", Cause.TIMEOUT), ("reset", Cause.LINK_DOWN)):
            server.faults[2] = fault
            await sink.until(lambda want=cause: sink.last[1][1:] == (Quality.BAD, want))
            server.faults[2] = "ok"
            await sink.until(lambda: sink.last[1][1] == Quality.GOOD)
        await server.stop()
        await sink.until(lambda: sink.last[0][1:] == (Quality.BAD, Cause.LINK_DOWN))
        await server.start()
        await sink.until(lambda: sink.last[0][1] == sink.last[1][1] == Quality.GOOD)
        assert sink.flips("") == [True, False, True]
    await server.stop()


def test_on_uvloop() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story("127.0.0.1"))


async def test_over_ipv6() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    await story("::1")
