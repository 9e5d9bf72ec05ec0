"""One read that is answered late must not shift the answers after it: over a converter and over a serial port, and the
same with refusals, with replies that come twice and with one that is held while others are asked for; and over TCP."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from modbus_site import link as tcp_link
from rtu_site import RtuSite, rtu_site, until
from rtu_units import TcpLine

from scowl_edge.devices.declaration import Canary, Table
from scowl_edge.drivers.errors import BadReply, DriverError, Refused, ReplyTimeout, Unproven
from scowl_edge.drivers.modbus import pdu
from scowl_edge.drivers.modbus.endpoint import open_wire
from scowl_edge.drivers.modbus.wire import exchange

TIMEOUT_MS, LATE_MS = 30, 120
Plan = Callable[[bytes, bytes], list[tuple[float, bytes]] | None]


def is_read_of(request: bytes, address: int) -> bool:
    return request[1] == 3 and int.from_bytes(request[2:4]) == address


async def read_on(site: RtuSite, first: int, good: int) -> None:
    """Reads registers one after the other until so many came. None may be another's."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + 60
    address = first
    while good:
        assert loop.time() < end_s, "hardly anything comes through"
        try:
            (value,) = await site.read(address)
        except (Unproven, ReplyTimeout):
            await asyncio.sleep(0.005)
        else:
            assert (address, value) == (address, site.units.truth(1, address))
            assert site.units.served[-1][:2] == (1, address)
            good -= 1
        address += 1


async def give_up(site: RtuSite, address: int) -> None:
    """Asks until the request was sent and its reply did not come in time."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + 60
    while loop.time() < end_s:
        try:
            await site.read(address)
        except (Unproven, ReplyTimeout) as error:
            if error.sent and isinstance(error, ReplyTimeout):
                return
            await asyncio.sleep(0.005)
    raise AssertionError("it was never late")


def late_by(address: int, after_ms: int) -> Plan:
    """The reply to a read of a register comes so late."""
    return lambda request, reply: [(after_ms / 1000, reply)] if is_read_of(request, address) else None


@pytest.mark.parametrize("checks", ("echo", "refuse", "ignore"))
@pytest.mark.parametrize("kind", ("converter", "serial"))
async def test_a_late_reply_answers_no_later_request(kind: str, checks: str, tmp_path: Path) -> None:
    """At many moments after the time-out: while nothing, the check, or one of the next requests is under way."""
    async with rtu_site(kind, tmp_path, timeout_ms=TIMEOUT_MS, late_ms=LATE_MS) as site:
        site.units.checks = checks
        site.units.reply_s = 0.001
        await read_on(site, 5, 1)
        for after_ms in (31, 32, 34, 38, 45, 61, 90):
            site.units.plan = late_by(100, after_ms)
            await give_up(site, 100)
            await read_on(site, 7, 20 if checks != "ignore" else 2)
        assert site.strays >= 4


@pytest.mark.parametrize("kind", ("converter", "serial"))
async def test_two_hundred_reads_after_one_late_reply(kind: str, tmp_path: Path) -> None:
    async with rtu_site(kind, tmp_path, timeout_ms=TIMEOUT_MS, late_ms=LATE_MS) as site:
        await read_on(site, 1, 1)
        site.units.plan = late_by(100, 34)
        await give_up(site, 100)
        await read_on(site, 107, 200)
        assert site.strays >= 1 and site.bad == 0


@pytest.mark.parametrize("kind", ("converter", "serial"))
async def test_a_late_refusal_refuses_nothing_else(kind: str, tmp_path: Path) -> None:
    async with rtu_site(kind, tmp_path, timeout_ms=TIMEOUT_MS, late_ms=LATE_MS) as site:
        await read_on(site, 1, 1)
        refuse = site.units.answer
        site.units.answer = lambda request: b"\x83\x02" if is_read_of(request, 100) else refuse(request)  # type: ignore[method-assign]
        for after_ms in (32, 36, 45, 60):
            site.units.plan = late_by(100, after_ms)
            await give_up(site, 100)
            await read_on(site, 7, 30)
        site.units.plan = lambda _request, _reply: None
        with pytest.raises(Refused):
            while True:
                try:
                    await site.read(100)
                except (Unproven, ReplyTimeout):
                    await asyncio.sleep(0.005)


@pytest.mark.parametrize("after_ms", (0, 1, 3, 10, 40))
async def test_replies_that_come_twice(after_ms: int, tmp_path: Path) -> None:
    async with rtu_site("converter", tmp_path, timeout_ms=TIMEOUT_MS, late_ms=LATE_MS) as site:
        await read_on(site, 1, 1)
        site.units.plan = lambda _, reply: [(0.002, reply), (0.002 + after_ms / 1000, reply)]
        await read_on(site, 7, 40)
        assert site.strays > 10


async def test_a_reply_that_is_held_while_others_are_asked_for(tmp_path: Path) -> None:
    """The unit sends it, in order, only when the third request after it has come."""
    async with rtu_site("converter", tmp_path, timeout_ms=TIMEOUT_MS, late_ms=4 * LATE_MS) as site:
        await read_on(site, 1, 1)
        held: list[bytes] = []
        asked = 0

        def hold(request: bytes, reply: bytes) -> list[tuple[float, bytes]] | None:
            nonlocal asked
            if is_read_of(request, 100):
                held.append(reply)
            elif held:
                asked += 1
                held.append(reply)
            else:
                return None
            if asked < 3:
                return []
            burst = [(0.001, frame) for frame in held]
            held.clear()
            return burst

        site.units.plan = hold
        await give_up(site, 100)
        other = 0
        while held:
            try:
                await site.read(50 + other)
            except (ReplyTimeout, Unproven):
                await asyncio.sleep(0.005)
            other += 1
        await read_on(site, 107, 50)


async def test_what_is_owed_outlives_the_connection(tmp_path: Path) -> None:
    """A converter hands the late reply to whoever is connected by then."""
    async with rtu_site("converter", tmp_path, timeout_ms=TIMEOUT_MS, late_ms=LATE_MS) as site:
        line = site.line
        assert isinstance(line, TcpLine)
        await read_on(site, 1, 1)
        site.units.plan = late_by(100, 50)
        under_way = asyncio.create_task(site.read(100))
        await until(lambda: site.units.served[-1][1] == 100)
        await site.open()
        with pytest.raises(DriverError):
            await under_way
        await until(lambda: line.connections == 2)
        await read_on(site, 7, 50)
        assert site.strays >= 1


async def test_with_a_canary_each_reply_is_followed_by_it(tmp_path: Path) -> None:
    canary = Canary(table=Table.INPUT, address=9, equals=1009)
    async with rtu_site("converter", tmp_path, timeout_ms=150, late_ms=450, canary=canary) as site:
        await site.read(1)
        before = len(site.units.requests)
        site.units.plan = late_by(100, 180)
        with pytest.raises(ReplyTimeout):
            await site.read(100)
        assert await site.read(7) == (1007,)
        assert [request[1] for request in site.units.requests[before:]] == [3, 8, 3, 4]
        assert site.strays == 1


async def test_a_canary_takes_the_place_of_a_check_that_the_unit_does_not_know(tmp_path: Path) -> None:
    canary = Canary(table=Table.INPUT, address=9, equals=1009)
    async with rtu_site("converter", tmp_path, timeout_ms=150, late_ms=450, canary=canary) as site:
        site.units.checks = "ignore"
        await read_on(site, 1, 2)
        before = len(site.units.requests)
        site.units.plan = late_by(100, 180)
        with pytest.raises(ReplyTimeout):
            await site.read(100)
        assert await site.read(7) == (1007,)
        assert [request[1] for request in site.units.requests[before:]] == [3, 4, 3, 4]


async def test_a_canary_with_another_value_ends_the_connection(tmp_path: Path) -> None:
    canary = Canary(table=Table.INPUT, address=9, equals=4711)
    async with rtu_site("converter", tmp_path, timeout_ms=150, late_ms=450, canary=canary) as site:
        with pytest.raises(BadReply, match=r"canary .* brought 1009 instead of 4711"):
            await site.read(1)
        assert site.losses == 1
        assert site.wire is not None and not site.wire.is_open
        await site.open()
        with pytest.raises(Unproven):
            await site.read(1)


async def test_the_twin_over_tcp() -> None:
    """There the transaction id tells: the late reply is dropped, and nothing else is lost."""
    strays = 0

    def stray() -> None:
        nonlocal strays
        strays += 1

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                head = await reader.readexactly(12)
                transaction, _, _, unit, function, address, _ = struct.unpack(">HHHBBHH", head)
                reply = struct.pack(">HHHBBBH", transaction, 0, 5, unit, function, 2, 1000 + address)
                loop.call_later(0.04 if address == 100 else 0.0, writer.write, reply)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    plant = tcp_link(server.sockets[0].getsockname()[1])
    wire = await open_wire(plant, rate=1.0, on_stray=stray, on_lost=lambda: None)
    with pytest.raises(ReplyTimeout):
        await exchange(wire, 1, pdu.read_request(Table.HOLDING, 100, 1), TIMEOUT_MS / 1000)
    end_s = asyncio.get_running_loop().time() + 60
    address = 7
    while address < 207 or not strays:
        reply = await exchange(wire, 1, pdu.read_request(Table.HOLDING, address, 1), 1.0)
        assert int.from_bytes(pdu.payload(reply, 2)) == 1000 + address
        address += 1
        assert asyncio.get_running_loop().time() < end_s
    assert strays == 1
    wire.close()
    server.close()
