"""A link's proxy: what other tools get from it, and what they cannot do to it."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
from faulty_server import FaultyServer, truth
from modbus_site import RealClock, device, link, point
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from tap_line import ANY_PORT, HOLDING_10, Client, Line, client_of, line_to, serving, until

from scowl_edge.devices.declaration import Hole, ModbusLink, Table
from scowl_edge.drivers.errors import LinkLost
from scowl_edge.drivers.modbus import tap as tap_module
from scowl_edge.drivers.modbus.tap import CLIENTS_MOST, WAITING_OF_CLIENT, Tap


def site(port: int) -> ModbusLink:
    first = replace(device("first", 1, point("a", 0)), holes=(Hole(table=Table.HOLDING, first=500, last=509),))
    return link(port, first, device("second", 2, point("b", 0), first=1), proxy=ANY_PORT)


@asynccontextmanager
async def tapped(declared: ModbusLink) -> AsyncIterator[tuple[Tap, Line]]:
    async with line_to(declared) as line, serving(Tap(declared, line.forward, RealClock())) as tap:
        yield tap, line


def words(reply: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{reply[1] // 2}H", reply[2:])


async def test_replies_pass_byte_for_byte_with_the_clients_own_transaction_id(server: FaultyServer) -> None:
    server.registers[2, 65535] = 7
    async with tapped(site(server.port)) as (tap, _), client_of(tap.port) as client:
        for transaction, unit, request in [
            (0xBEEF, 1, HOLDING_10),
            (0, 2, struct.pack(">BHH", 4, 65535, 1)),
            (7, 2, struct.pack(">BHH", 1, 3, 13)),
            (7, 1, struct.pack(">BHH", 2, 0, 2000)),
        ]:
            assert await client.ask(unit, request, transaction) == server.answer(unit, request)
        assert words(await client.ask(2, HOLDING_10)) == (truth(2, 10), truth(2, 11))
        assert tap.results == {"ok": 5}


async def test_what_the_device_refuses_is_passed_on_as_it_came(server: FaultyServer) -> None:
    server.faults[1], server.exception = "exception", 4
    async with tapped(site(server.port)) as (tap, _), client_of(tap.port) as client:
        assert await client.ask(1, HOLDING_10) == b"\x83\x04"
        assert tap.results == {"exception": 1}


async def test_no_write_hole_long_read_or_strange_unit_reaches_the_line(server: FaultyServer) -> None:
    refused = {
        1: [bytes((function, 0, 10, 0, 1, 2, 0, 1)) for function in (5, 6, 15, 16, 21, 22, 23)],
        2: [struct.pack(">BHH", 3, 505, 1), struct.pack(">BHH", 3, 499, 2)],
        3: [struct.pack(">BHH", 3, 0, 126), struct.pack(">BHH", 3, 0, 0)],
    }
    async with tapped(site(server.port)) as (tap, line), client_of(tap.port) as client:
        for code, requests in refused.items():
            for request in requests:
                assert await client.ask(1, request) == bytes((request[0] | 0x80, code))
        assert await client.ask(9, HOLDING_10) == b"\x83\x0a"
        assert tap.results == {"write_refused": 7, "refused": 5}
        assert not line.sent
    assert not server.log


@pytest.mark.parametrize("fault", ["silence", "wrong function", "short", "wrong unit"])
async def test_what_is_no_answer_is_a_gateways_exception(server: FaultyServer, fault: str) -> None:
    server.faults[1] = fault
    async with tapped(site(server.port)) as (tap, _), client_of(tap.port) as client:
        assert await client.ask(1, HOLDING_10) == b"\x83\x0b"
        assert server.injected == 1
        assert tap.results == {"timeout" if fault == "silence" else "bad_reply": 1}
        assert await client.ask(2, HOLDING_10) == server.answer(2, HOLDING_10)


async def test_a_silent_unit_is_left_alone_and_comes_back(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap_module, "SILENT_FIRST_S", 0.2)
    server.faults[1] = "silence"
    async with tapped(site(server.port)) as (tap, line), client_of(tap.port) as client:
        for _ in range(3):
            assert await client.ask(1, HOLDING_10) == b"\x83\x0b"
        assert len(line.sent) == 1
        assert tap.results == {"timeout": 3}
        del server.faults[1]
        replies = []
        async with asyncio.timeout(60):
            while server.answer(1, HOLDING_10) not in replies:
                replies.append(await client.ask(1, HOLDING_10))
        assert set(replies[:-1]) <= {b"\x83\x0b"}


async def test_a_link_that_is_down_is_a_path_that_is_not_there(server: FaultyServer) -> None:
    declared = site(server.port)

    async def down(unit: int, request: bytes, valid_until_ms: int) -> bytes:
        raise LinkLost("link plc is down", sent=False)

    async with serving(Tap(declared, down, RealClock())) as tap, client_of(tap.port) as client:
        assert await client.ask(1, HOLDING_10) == b"\x83\x0a"
        assert tap.results == {"link_down": 1}


async def test_more_than_a_few_at_once_is_busy_and_all_are_answered(server: FaultyServer) -> None:
    async with tapped(site(server.port)) as (tap, line), client_of(tap.port) as client:
        async with line.turn:
            for transaction in range(WAITING_OF_CLIENT + 2):
                client.send(transaction, 1, HOLDING_10)
            busy = [await client.receive() for _ in range(2)]
        assert busy == [(n, 1, b"\x83\x06") for n in range(WAITING_OF_CLIENT, WAITING_OF_CLIENT + 2)]
        answered = [await client.receive() for _ in range(WAITING_OF_CLIENT)]
        assert answered == [(n, 1, server.answer(1, HOLDING_10)) for n in range(WAITING_OF_CLIENT)]
        assert tap.results == {"busy": 2, "ok": WAITING_OF_CLIENT}


async def test_a_bus_that_is_never_free_is_told_in_time(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_module, "WAIT_S", 0.1)
    async with tapped(site(server.port)) as (tap, line), client_of(tap.port) as client:
        async with line.turn:
            assert await client.ask(1, HOLDING_10) == b"\x83\x0b"
        assert await client.ask(1, HOLDING_10) == server.answer(1, HOLDING_10)
        assert len(line.sent) == 1


async def test_a_request_whose_time_is_over_is_not_sent(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap_module, "WAIT_S", 0.05)
    async with tapped(site(server.port)) as (tap, line), client_of(tap.port) as client:
        async with line.turn:
            client.send(1, 1, HOLDING_10)
            began_ms = RealClock().mono_ms()
            await until(lambda: RealClock().mono_ms() > began_ms + 80)
        assert await client.receive() == (1, 1, b"\x83\x06")
        assert not line.sent
        assert tap.results == {"busy": 1}


async def test_a_client_that_leaves_withdraws_what_it_asked(server: FaultyServer) -> None:
    async with tapped(site(server.port)) as (tap, line), client_of(tap.port) as stays:
        async with line.turn:
            async with client_of(tap.port) as leaves:
                leaves.send(1, 1, HOLDING_10)
                leaves.send(2, 2, HOLDING_10)
                assert tap.clients == {"127.0.0.1": 2}
                await until(lambda: tap.results or tap.waiting == 2)
            await until(lambda: tap.results["abandoned"] == 2)
        assert await stays.ask(1, HOLDING_10) == server.answer(1, HOLDING_10)
        assert len(line.sent) == 1
        assert tap.clients == {"127.0.0.1": 1}


@pytest.mark.parametrize(
    "junk", [b"GET / HTTP/1.1\r\n\r\n", bytes((0, 1, 0, 0, 0, 1, 1, 3)), bytes((0, 1, 0, 0, 1, 0, 1, 3))]
)
async def test_bytes_that_are_no_request_end_the_connection(server: FaultyServer, junk: bytes) -> None:
    async with tapped(site(server.port)) as (tap, line), client_of(tap.port) as client:
        client.writer.write(junk)
        assert await client.ended()
        assert not line.sent


async def test_requests_may_come_byte_by_byte(server: FaultyServer) -> None:
    async with tapped(site(server.port)) as (tap, _), client_of(tap.port) as client:
        for byte in struct.pack(">HHHB", 5, 0, 6, 1) + HOLDING_10:
            client.writer.write(bytes((byte,)))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert await client.receive() == (5, 1, server.answer(1, HOLDING_10))


async def test_who_does_not_take_its_answers_is_cut_off(server: FaultyServer) -> None:
    async with tapped(site(server.port)) as (tap, _), client_of(tap.port) as good:
        loop = asyncio.get_running_loop()
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        await loop.sock_connect(deaf, ("127.0.0.1", tap.port))
        await until(lambda: tap.clients == {"127.0.0.1": 2})
        # A refused write is answered without the line.
        frames = (struct.pack(">HHHB", 1, 0, 6, 1) + bytes((6, 0, 0, 0, 0))) * 50
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(60):
                while True:
                    await loop.sock_sendall(deaf, frames)
        deaf.close()
        assert await good.ask(1, HOLDING_10) == server.answer(1, HOLDING_10)
        assert tap.clients == {"127.0.0.1": 1}


async def test_clients_are_few_and_an_idle_one_makes_room(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with tapped(site(server.port)) as (tap, _), AsyncExitStack() as stack:
        clients: list[Client] = []
        for _ in range(CLIENTS_MOST):
            clients.append(await stack.enter_async_context(client_of(tap.port)))
            assert await clients[-1].ask(1, HOLDING_10)
        assert await (await stack.enter_async_context(client_of(tap.port))).ended()
        assert tap.turned_away == 1
        monkeypatch.setattr(tap_module, "IDLE_S", 0.0)
        late = await stack.enter_async_context(client_of(tap.port))
        assert await late.ask(1, HOLDING_10) == server.answer(1, HOLDING_10)
        assert await clients[0].ended()
        assert tap.clients == {"127.0.0.1": CLIENTS_MOST}
        assert await clients[1].ask(1, HOLDING_10) == server.answer(1, HOLDING_10)


async def test_an_address_that_is_taken_is_told_and_tried_again(
    server: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tap_module, "LISTEN_AGAIN_S", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        declared = replace(site(server.port), proxy=replace(ANY_PORT, port=port))
        async with line_to(declared) as line:
            tap = Tap(declared, line.forward, RealClock())
            task = asyncio.create_task(tap.run())
            await until(lambda: tap.fault)
            assert f"port {port}" in tap.fault
            taken.close()
            await until(lambda: tap.port == port)
            assert not tap.fault
            async with client_of(port) as client:
                assert await client.ask(1, HOLDING_10) == server.answer(1, HOLDING_10)
                task.cancel()
                assert await client.ended()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def named() -> AsyncIterator[ModbusTcpServer]:
    """A server of pymodbus that says who it is."""
    registers = [SimData(0, values=[11, 22, 33], datatype=DataType.REGISTERS)]
    server = ModbusTcpServer(
        SimDevice(id=1, simdata=registers),
        address=("127.0.0.1", 0),
        identity=ModbusDeviceIdentification(info_name={"VendorName": "Sun & Sons", "ProductCode": "S-1"}),
    )
    await server.serve_forever(background=True)
    yield server
    await server.shutdown()


async def test_a_device_says_who_it_is_through_the_proxy(named: ModbusTcpServer) -> None:
    port = named.transport.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    async with tapped(site(port)) as (tap, _), client_of(tap.port) as client, client_of(port) as direct:
        for request in (b"\x2b\x0e\x01\x00", b"\x11"):
            reply = await client.ask(1, request)
            assert reply == await direct.ask(1, request)
            assert reply[0] == request[0]
        assert b"Sun & Sons" in await client.ask(1, b"\x2b\x0e\x01\x00")


@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="no mbpoll; as root run: sh tests/system-packages.sh")
async def test_mbpoll_reads_through_the_proxy_and_cannot_write(server: FaultyServer) -> None:
    async def mbpoll(port: int, *options: str, value: str = "") -> tuple[int | None, str]:
        command = ["mbpoll", "-m", "tcp", "-p", str(port), "-a", "1", "-0", "-1", "-q", "-o", "3", *options]
        process = await asyncio.create_subprocess_exec(
            *(*command, "127.0.0.1", *([value] if value else [])),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 90)
        return process.returncode, out.decode()

    async with tapped(site(server.port)) as (tap, _):
        status, said = await mbpoll(tap.port, "-r", "10", "-c", "3", "-t", "4")
        assert status == 0, said
        assert [line.split()[-1] for line in said.splitlines() if line.startswith("[")] == ["1010", "1011", "1012"]
        status, said = await mbpoll(tap.port, "-r", "10", "-t", "4", value="5")
        assert status != 0 or "Illegal function" in said, said
        assert tap.results["write_refused"] == 1
    assert not server.registers


async def test_eight_clients_at_full_speed_all_read_the_truth(server: FaultyServer) -> None:
    async with tapped(site(server.port)) as (tap, _):

        async def keep_asking(n: int) -> None:
            async with client_of(tap.port) as client:
                for _ in range(30):
                    for transaction in range(3):
                        client.send(transaction, 1 + n % 2, struct.pack(">BHH", 3, 100 * n + transaction, 1))
                    for _ in range(3):
                        transaction, unit, reply = await client.receive()
                        assert words(reply) == (truth(unit, 100 * n + transaction),)

        async with asyncio.TaskGroup() as group:
            for n in range(CLIENTS_MOST):
                group.create_task(keep_asking(n))
        assert tap.results == {"ok": CLIENTS_MOST * 90}
