"""RTU over a converter and over a serial port: plain reads and writes, adapters that echo, noise, dead units."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from rtu_site import RtuSite, rtu_site, until
from rtu_units import PtyLine, TcpLine, framed

from scowl_edge.drivers.errors import BadReply, LinkLost, Refused, ReplyTimeout, Unproven
from scowl_edge.drivers.modbus import pdu
from scowl_edge.drivers.modbus.rtu_line import turn_ms

KINDS = ("converter", "serial")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_reads_and_writes(kind: str, tmp_path: Path) -> None:
    async with rtu_site(kind, tmp_path) as site:
        assert await site.read(100, 3) == (1100, 1101, 1102)
        assert await site.read(7, 125, unit=2) == tuple(range(2007, 2132))
        await site.write(40, 777)
        assert await site.read(39, 2) == (1039, 777)
        request = pdu.write_registers(50, bytes((1, 2, 3, 4)))
        pdu.acknowledged(request, await site.ask(request))
        assert await site.read(50, 2) == (0x0102, 0x0304)
        with pytest.raises(Refused, match="illegal function"):
            await site.ask(pdu.mask_register(1, 2, True))
        assert (site.strays, site.bad) == (0, 0)


async def test_the_first_request_to_each_unit_follows_a_check(kind: str, tmp_path: Path) -> None:
    """What another process asked for a moment ago may still come."""
    async with rtu_site(kind, tmp_path) as site:
        for address in (1, 2, 3):
            await site.read(address)
            await site.read(address, unit=2)
        functions = [(request[0], request[1]) for request in site.units.requests]
        assert functions == [(1, 7), (1, 3), (2, 8), (2, 3), (1, 3), (2, 3), (1, 3), (2, 3)]


async def test_byte_by_byte(kind: str, tmp_path: Path) -> None:
    async with rtu_site(kind, tmp_path, timeout_ms=400) as site:
        site.units.plan = lambda _, reply: [(0.002 * i, reply[i : i + 1]) for i in range(len(reply))]
        whole = 0
        while whole < 5:
            try:
                values = await site.read(whole, 4)
            except (BadReply, ReplyTimeout, Unproven):
                # A machine that stands still for long tears a frame apart.
                await asyncio.sleep(0.05)
            else:
                assert values == tuple(range(1000 + whole, 1004 + whole))
                whole += 1


@pytest.mark.parametrize("count", (1, 3))
async def test_an_adapter_that_repeats_what_is_sent(count: int, tmp_path: Path) -> None:
    async with rtu_site("serial", tmp_path) as site:
        assert isinstance(site.line, PtyLine)
        site.line.echoes = True
        site.units.reply_s = 0.01
        for address in range(0x0200, 0x0203):
            await site.write(address, 5 * address)
            assert (await site.read(address, count))[0] == 5 * address
        assert (site.strays, site.bad) == (0, 0)


async def test_an_echo_is_no_answer_of_a_dead_unit(tmp_path: Path) -> None:
    async with rtu_site("serial", tmp_path, timeout_ms=40, late_ms=40) as site:
        assert isinstance(site.line, PtyLine)
        site.line.echoes = True
        site.units.plan = lambda _request, _reply: []
        site.units.answer = lambda _request: None  # type: ignore[method-assign]
        for attempt in range(4):
            with pytest.raises((ReplyTimeout, Unproven)):
                await site.write(attempt, attempt)
            await asyncio.sleep(0.03)


async def test_noise_before_a_reply_spoils_it_and_no_other(kind: str, tmp_path: Path) -> None:
    async with rtu_site(kind, tmp_path) as site:
        await site.read(1)
        site.units.plan = lambda _, reply: [(0.0, b"\xff\x00\xff" + reply)]
        with pytest.raises(BadReply, match="no whole frame"):
            await site.read(2)
        site.units.plan = lambda _request, _reply: None
        assert site.bad == 1
        assert await site.read(3) == (1003,)
        assert site.wire is not None and site.wire.is_open


async def test_a_flipped_bit_is_never_a_value(kind: str, tmp_path: Path) -> None:
    async with rtu_site(kind, tmp_path, timeout_ms=60) as site:
        await site.read(1)
        for bit in (0, 11, 18, 27, 40, 55):
            mask = 1 << bit

            def flip(request: bytes, reply: bytes, mask: int = mask) -> list[tuple[float, bytes]] | None:
                if request[1] != 3:
                    return None
                return [(0.0, (int.from_bytes(reply) ^ mask).to_bytes(len(reply)))]

            site.units.plan = flip
            with pytest.raises((BadReply, ReplyTimeout)):
                await site.read(2)
        site.units.plan = lambda _request, _reply: None
        assert await site.read(3) == (1003,)


async def test_replies_of_others_do_not_end_the_wait(kind: str, tmp_path: Path) -> None:
    async with rtu_site(kind, tmp_path, timeout_ms=200) as site:
        await site.read(1)
        others = framed(bytes((2, 3, 2, 0, 9))) + framed(bytes((1, 4, 2, 0, 9))) + framed(bytes((1, 3, 4, 0, 9, 0, 9)))
        site.units.plan = lambda request, reply: [(0.0, others), (0.05, reply)] if request[1] == 3 else None
        assert await site.read(5) == (1005,)
        assert site.strays == 3


async def test_a_dead_unit_costs_two_time_outs_at_most(kind: str, tmp_path: Path) -> None:
    async with rtu_site(kind, tmp_path, timeout_ms=120) as site:
        site.units.plan = lambda request, _reply: [] if request[0] == 2 else None
        longest_s = turn_ms(site.link, 120) / 1000
        loop = asyncio.get_running_loop()
        for address in range(6):
            began_s = loop.time()
            with pytest.raises((ReplyTimeout, Unproven)):
                await asyncio.wait_for(site.read(address, unit=2), 20 * longest_s)
            assert await site.read(address) == (1000 + address,)
            assert loop.time() > began_s
        # While it is barred it takes no time of the line: far fewer requests than were asked for.
        assert len([request for request in site.units.requests if request[0] == 2]) < 6


async def test_a_unit_that_knows_no_check(kind: str, tmp_path: Path) -> None:
    """It is barred until nothing can come any more, and then read like the others."""
    async with rtu_site(kind, tmp_path, timeout_ms=120, late_ms=240) as site:
        site.units.checks = "ignore"
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        with pytest.raises(ReplyTimeout, match="not sent") as silent:
            await site.write(1, 5)
        assert not silent.value.sent
        with pytest.raises(Unproven, match="asked again in") as barred:
            await site.write(1, 5)
        assert not barred.value.sent
        assert not [request for request in site.units.requests if request[1] == 6]
        value: tuple[int, ...] = ()
        while not value:
            try:
                value = await site.read(9)
            except Unproven:
                await asyncio.sleep(0.005)
        assert value == (1009,)
        assert loop.time() - began_s >= 0.36
        assert await site.read(10) == (1010,)


async def test_requests_leave_in_their_order(kind: str, tmp_path: Path) -> None:
    async with rtu_site(kind, tmp_path) as site:
        site.units.reply_s = 0.003
        values = await asyncio.gather(*(site.read(address, unit=1 + address % 2) for address in range(8)))
        assert [value for (value,) in values] == [1000 * (1 + address % 2) + address for address in range(8)]
        assert [request[3] for request in site.units.requests if request[1] == 3] == list(range(8))


async def test_a_port_that_is_unplugged_and_plugged_in_again(tmp_path: Path) -> None:
    async with rtu_site("serial", tmp_path) as site:
        assert isinstance(site.line, PtyLine)
        assert await site.read(1) == (1001,)
        site.units.plan = lambda _request, _reply: []
        under_way = asyncio.create_task(site.read(2))
        await until(lambda: site.units.served[-1][1] == 2)
        site.line.unplug()
        with pytest.raises(LinkLost, match="unplugged"):
            await under_way
        await asyncio.wait_for(site.gone.wait(), 60)
        assert site.wire is not None and not site.wire.is_open
        with pytest.raises(LinkLost):
            await site.open()
        site.line.plug_in()
        site.units.plan = lambda _request, _reply: None
        await site.open()
        assert await site.read(3) == (1003,)
        assert site.losses == 1


async def test_a_port_belongs_to_one(tmp_path: Path) -> None:
    async with rtu_site("serial", tmp_path) as site:
        other = RtuSite(site.units, site.line, site.link)
        with pytest.raises(LinkLost, match="another program"):
            await other.open()
        assert await site.read(1) == (1001,)
        assert site.wire is not None
        site.wire.close()
        await other.open()
        assert await other.read(1) == (1001,)
        assert other.wire is not None
        other.wire.close()


async def test_what_is_no_port(tmp_path: Path) -> None:
    async with rtu_site("serial", tmp_path) as site:
        path = Path(site.link.serial.device) if site.link.serial is not None else tmp_path
        path.unlink()
        with pytest.raises(LinkLost, match="plugged in"):
            await site.open()
        path.write_text("")
        with pytest.raises(LinkLost, match="no serial port"):
            await site.open()
        if os.geteuid() != 0:
            path.chmod(0)
            with pytest.raises(LinkLost, match="dialout"):
                await site.open()
        path.unlink()


async def test_a_connection_that_breaks(tmp_path: Path) -> None:
    async with rtu_site("converter", tmp_path) as site:
        assert isinstance(site.line, TcpLine)
        assert await site.read(1) == (1001,)
        site.units.plan = lambda _request, _reply: []
        under_way = asyncio.create_task(site.read(2))
        await until(lambda: site.units.served[-1][1] == 2)
        site.line.cut()
        with pytest.raises(LinkLost) as lost:
            await under_way
        assert lost.value.sent and site.losses == 1
