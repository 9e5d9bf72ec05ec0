"""The driver against a server in the same process, and against what is no OPC-UA server at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from asyncua import ua
from asyncua_peer import plant
from modbus_site import RealClock, Recorder
from opcua_site import SITE, device, link, point, running

from scowl_edge.clocks import RateClock
from scowl_edge.contracts import JournalFull, PointWrite, WriteRequest
from scowl_edge.devices.declaration import Counter, Secret
from scowl_edge.drivers.opcua import OpcuaDriver
from scowl_edge.model.command import CommandId, OutcomeKind, WriteClass
from scowl_edge.model.event import LinkChanged
from scowl_edge.model.signal import Cause, Quality


async def test_types_are_learned_where_nothing_says_them(tmp_path: Path) -> None:
    async with plant() as it_there:
        await it_there.add("Mode", 2, ua.VariantType.Int32, ua.NodeId(ua.ObjectIds.ServerState))
        await it_there.add("Any", 1.5, ua.VariantType.Float, ua.NodeId(ua.ObjectIds.Number))
        await it_there.add("Unread", 5, ua.VariantType.UInt16)
        await it_there.add("Array", [1, 2, 3], ua.VariantType.Int16)
        await it_there.add("Empty", None, ua.VariantType.Null, ua.NodeId(ua.ObjectIds.Double))
        points = (
            point("mode", f"{SITE}s=Mode"),
            point("any", f"{SITE}s=Any"),
            point("unread", f"{SITE}s=Unread", access="w"),
            point("second", f"{SITE}s=Array", index=1),
            point("empty", f"{SITE}s=Empty"),
        )
        (tmp_path / "password").write_text("open sesame")
        login = {"user": "edge", "password": Secret(file=str(tmp_path / "password"), credential="")}
        async with running(link(it_there.endpoint, device("d", *points), **login)) as it:
            await it.sees(0, 2.0)
            (up,) = [e for e in it.sink.events if isinstance(e, LinkChanged) and not e.device]
            assert up.cause == "connected; the password crosses the network readable; set `security`"
            await it.sees(3, 2.0)
            assert it.sink.last[4][1:] == (Quality.BAD, Cause.SENTINEL)
            assert 2 not in it.sink.last
            for index, value in enumerate((3.0, 0.25, 9.0, 7.0, 2.5)):
                outcome = await it.command((index, value))
                assert outcome.kind is OutcomeKind.ACKNOWLEDGED, outcome
            held = [(await it_there.value(name), await it_there.kind(name)) for name in ("Mode", "Any", "Unread")]
            assert held == [(3, "Int32"), (0.25, "Float"), (9, "UInt16")]
            # This server overlooks index ranges: written blindly, one element would have become the whole array.
            assert await it_there.value("Array") == [1, 7, 3]
            assert (await it_there.value("Empty"), await it_there.kind("Empty")) == (2.5, "Double")
            await it.sees(4, 2.5)


async def test_a_subscription_without_a_sign_of_life_is_replaced() -> None:
    async with plant() as it_there:
        await it_there.add("X", 1.0, ua.VariantType.Double)
        x = device("d", point("x", f"{SITE}s=X", fresh_for_ms=600_000), poll_ms=1_000)
        site = link(it_there.endpoint, x, timeout_ms=5_000, connect_timeout_ms=15_000)
        # Ten times as fast: a sign of life is due each half second, and reads come every 30.
        async with running(site, clock=RateClock(10, RealClock()), rate=10.0) as it:
            await it.sees(0, 1.0)
            (first,) = it_there.subscriptions()
            it_there.hush()
            await it.sink.until(lambda: it_there.subscriptions() not in ([], [first]))
            await it_there.put("X", 2.0)
            await it.sees(0, 2.0, 2.0)
            assert not [reading for reading in it.sink.readings if reading.requested_ms and 2.0 in reading.values]
            assert it.sink.flips("") == [True]


@pytest.mark.parametrize("subscribe", [True, False])
async def test_a_counter_that_starts_anew_never_falls(subscribe: bool) -> None:
    async with plant() as it_there:
        for name, value in (("Energy", 10.0), ("Power", 1.0)):
            await it_there.add(name, value, ua.VariantType.Double)
        energy = point("energy", f"{SITE}s=Energy", counter=Counter(wraps_at=0))
        site = link(it_there.endpoint, device("d", point("power", f"{SITE}s=Power"), energy), subscribe=subscribe)
        async with running(site) as it:
            await it.sees(1, 10.0)
            for value in (20.0, 5.0, 6.0):
                await it_there.put("Energy", value)
                await it_there.put("Power", value)
                await it.sees(0, value)
                await it.sink.until(lambda v=value: (it.good(1) or 0.0) >= 20.0 + v % 20)  # type: ignore[misc]
            seen = it.sink.good[1]
            assert seen == sorted(seen) and seen[-1] > 20.0


async def test_what_must_not_leave_does_not() -> None:
    async with plant() as it_there:
        await it_there.add("X", 1.0, ua.VariantType.Double)
        stored = point("stored", f"{SITE}s=X", write_class=WriteClass.STORED)
        site = link(it_there.endpoint, device("d", stored, point("fixed", f"{SITE}s=X", access="r")))

        async def full(_command: CommandId) -> None:
            raise JournalFull("no room")

        async with running(site) as it:
            await it.sees(0, 1.0)
            it.driver.before_send = full
            assert "no room" in (await it.command((0, 2.0))).detail
            assert "is read-only" in (await it.command((1, 2.0))).detail
            assert "not on link" in (await it.command((99, 2.0))).detail
            assert "time was over" in (await it.command((0, 2.0), valid_ms=-1)).detail
        async with running(link(it_there.endpoint, device("d", stored), read_only=True)) as it:
            await it.sees(0, 1.0)
            assert "is read_only" in (await it.command((0, 2.0))).detail
            assert {outcome.kind for outcome in it.sink.outcomes} == {OutcomeKind.WITHHELD}
        assert await it_there.value("X") == 1.0


async def test_a_command_that_is_cut_off_has_one_outcome() -> None:
    driver = OpcuaDriver(link("opc.tcp://127.0.0.1:1/x", device("d", point("x", f"{SITE}s=X"))), RealClock())
    sink = Recorder()
    command = CommandId(1, 1, 0)
    driver.write(WriteRequest(command=command, writes=(PointWrite(0, 1.0),), valid_until_ms=1 << 60))
    task = asyncio.create_task(driver.run(sink))
    await sink.until(lambda: sink.outcomes)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [(outcome.command, outcome.kind) for outcome in sink.outcomes] == [(command, OutcomeKind.WITHHELD)]


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


async def _error(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    text = b"too busy"
    body = (0x807D0000).to_bytes(4, "little") + len(text).to_bytes(4, "little") + text
    writer.write(b"ERRF" + (8 + len(body)).to_bytes(4, "little") + body)


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (_silence, "no answer within 300 ms"),
        (_closing, "the connection was lost"),
        (_web, "greet opc.tcp://"),
        (_error, "BadTcpServerTooBusy"),
        (None, "connect to opc.tcp://"),
    ],
    ids=["silence", "closing", "web server", "error", "nobody"],
)
async def test_what_is_no_server_is_a_link_that_is_down(answer: Answer | None, word: str) -> None:
    accepted = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        try:
            assert answer is not None
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if answer is None:
        server.close()
        await server.wait_closed()
    site = link(f"opc.tcp://127.0.0.1:{port}/x", device("d", point("x", f"{SITE}s=X")), connect_timeout_ms=300)
    async with running(site) as it:
        await it.sink.until(lambda: it.sink.flips("") == [False])
        (down,) = [e for e in it.sink.events if isinstance(e, LinkChanged) and not e.device]
        assert word in down.cause, down.cause
        assert it.sink.last[0][1:] == (Quality.BAD, Cause.LINK_DOWN)
        assert it.sink.flips("d") == [False]
        failed = sum(count for result, count in it.sink.counts.items() if result != "ok")
        await it.sink.until(lambda: sum(it.sink.counts.values()) >= failed + 2)
        if answer is not None:
            assert accepted >= 2
    server.close()
