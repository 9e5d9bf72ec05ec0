"""A link's proxy beside the daemon's own work on the link: other tools come last, and harm nobody."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_server import FaultyServer, frame
from modbus_site import RealClock, Recorder, device, link, point
from rtu_units import PtyLine, TcpLine, Units
from running_driver import running
from tap_line import ANY_PORT, HOLDING_10, Client, client_of, serving

from scowl_edge.contracts import PointWrite, WriteRequest
from scowl_edge.devices.declaration import LinkKind, ModbusLink, Parity, SerialLine
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.drivers.modbus import tap as tap_module
from scowl_edge.drivers.modbus.tap import Tap
from scowl_edge.model.command import CommandId, OutcomeKind


def site(port: int, **changes: object) -> ModbusLink:
    return replace(
        link(port, device("first", 1, point("a", 0)), device("second", 2, point("b", 0), first=1), proxy=ANY_PORT),
        **changes,  # type: ignore[arg-type]
    )


@asynccontextmanager
async def proxied(declared: ModbusLink) -> AsyncIterator[tuple[ModbusDriver, Recorder, Tap, Client]]:
    async with running(declared) as (driver, sink):
        assert driver.tap is not None
        async with serving(driver.tap) as tap, client_of(tap.port) as client:
            await sink.until(lambda: len(sink.last) == 2)
            yield driver, sink, tap, client


async def test_a_link_without_a_proxy_has_none(server: FaultyServer) -> None:
    assert ModbusDriver(site(server.port, proxy=None), RealClock()).tap is None


async def test_other_tools_read_what_lies_there_and_never_write(server: FaultyServer) -> None:
    async with proxied(site(server.port)) as (_, sink, tap, client):
        assert await client.ask(2, HOLDING_10, 0xCAFE) == server.answer(2, HOLDING_10)
        for function in (5, 6, 15, 16, 22, 23):
            assert await client.ask(1, bytes((function, 0, 0, 0, 1, 2, 0, 9))) == bytes((function | 0x80, 1))
        assert tap.results == {"ok": 1, "write_refused": 6}
        assert not server.registers
        assert set(sink.counts) == {"ok"}


async def test_what_a_device_never_answers_says_nothing_of_it(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others ask at will: a healthy device must not be taken for dead, nor the connection be doubted, for it."""
    monkeypatch.setattr(tap_module, "SILENT_FIRST_S", 0.0)
    strange = struct.pack(">BHH", 4, 777, 1)
    plain = server.answer
    connections = 0

    class Mute(FaultyServer):
        async def _misbehave(self, writer: asyncio.StreamWriter, transaction: int, unit: int, pdu: bytes) -> None:
            if pdu != strange:
                writer.write(frame(transaction, unit, plain(unit, pdu)))

        async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await super()._serve(reader, writer)

    mute = Mute()
    await mute.start()
    quick = replace(ANY_PORT, share_ppm=900_000)
    # Polls are rare, so that several unanswered requests of others come in a row.
    slow = tuple(replace(each, poll_ms=400) for each in site(0).devices)
    try:
        async with proxied(site(mute.port, timeout_ms=60, devices=slow, proxy=quick)) as (_, sink, _, client):
            for _ in range(6):
                assert await client.ask(1, strange) == b"\x84\x0b"
            assert sum(1 for entry in mute.log if entry == (1, strange)) == 6
            seen = len(sink.readings)
            await sink.until(lambda: len(sink.readings) > seen + 2)
            assert sink.flips("first") == sink.flips("second") == [True]
            assert await client.ask(1, HOLDING_10) == plain(1, HOLDING_10)
        assert connections == 1
    finally:
        await mute.stop()


async def test_a_dead_unit_is_told_without_touching_the_line(server: FaultyServer) -> None:
    server.faults[1] = "silence"
    async with running(site(server.port)) as (driver, sink):
        assert driver.tap is not None
        async with serving(driver.tap) as tap, client_of(tap.port) as client:
            await sink.until(lambda: sink.flips("first") == [False] and sink.flips("second") == [True])
            assert await client.ask(1, HOLDING_10) == b"\x83\x0b"
            assert (1, HOLDING_10) not in server.log
            assert await client.ask(2, HOLDING_10) == server.answer(2, HOLDING_10)


async def test_a_link_that_is_down_is_no_path(server: FaultyServer) -> None:
    async with proxied(site(server.port)) as (_, sink, tap, client):
        await server.stop()
        await sink.until(lambda: sink.flips("first") == [True, False])
        assert await client.ask(1, HOLDING_10) == b"\x83\x0a"
        assert tap.results["link_down"] == 1
        await server.start()
        await sink.until(lambda: sink.flips("first") == [True, False, True])
        assert await client.ask(1, HOLDING_10) == server.answer(1, HOLDING_10)


@pytest.mark.parametrize("kind", [LinkKind.RTU_TCP, LinkKind.RTU])
async def test_other_tools_speak_tcp_to_units_on_a_serial_line(kind: LinkKind, tmp_path: Path) -> None:
    units = Units()
    line: TcpLine | PtyLine
    if kind is LinkKind.RTU:
        line = PtyLine(units, tmp_path / "ttyE")
        line.plug_in()
        port = SerialLine(device=str(line.path), baud=115200, data_bits=8, parity=Parity.NONE, stop_bits=1)
        declared = site(0, host="", kind=kind, serial=port)
    else:
        line = TcpLine(units)
        await line.start()
        declared = site(line.port, kind=kind)
    try:
        async with proxied(declared) as (_, sink, tap, client):
            for transaction, unit in ((0x1234, 1), (0x1234, 2), (0xFFFF, 1)):
                registers = (unit * 1000 + 10, unit * 1000 + 11)
                expected = struct.pack(">BB2H", 3, 4, *registers)
                assert await client.ask(unit, HOLDING_10, transaction) == expected
            assert await client.ask(1, b"\x11") == b"\x91\x01"
            assert await client.ask(1, bytes((6, 0, 10, 0, 5))) == b"\x86\x01"
            assert tap.results == {"ok": 3, "exception": 1, "write_refused": 1}
            assert not units.registers
            assert sink.last[0][0] == 1000
    finally:
        if isinstance(line, TcpLine):
            await line.stop()
        else:
            line.unplug()


@pytest.mark.parametrize("pipeline", [1, 4])
async def test_eight_greedy_clients_cost_no_poll_and_delay_no_command(server: FaultyServer, pipeline: int) -> None:
    declared = site(server.port, pipeline=pipeline)
    async with proxied(declared) as (driver, sink, tap, _):
        stop = asyncio.Event()

        async def keep_asking() -> None:
            async with client_of(tap.port) as client:
                while not stop.is_set():
                    for transaction in range(4):
                        client.send(transaction, 1 + transaction % 2, HOLDING_10)
                    for _ in range(4):
                        _, unit, reply = await client.receive()
                        assert reply in (server.answer(unit, HOLDING_10), b"\x83\x06")

        async with asyncio.TaskGroup() as group:
            for _ in range(7):
                group.create_task(keep_asking())
            await sink.until(lambda: tap.results["ok"] > 50)
            for n in range(5):
                request = WriteRequest(
                    command=CommandId(1, 1, n),
                    writes=(PointWrite(0, float(n)),),
                    valid_until_ms=RealClock().mono_ms() + 60_000,
                )
                before = len(server.log)
                driver.write(request)
                await sink.until(lambda n=n: len(sink.outcomes) > n)  # type: ignore[misc]
                between = [pdu[0] for _, pdu in server.log[before:]].index(6)
                # Only what had begun before it: on the line, or about to be.
                assert between <= 2 * pipeline
            stop.set()
        assert [outcome.kind for outcome in sink.outcomes] == [OutcomeKind.ACKNOWLEDGED] * 5
        assert set(sink.counts) == {"ok"}
