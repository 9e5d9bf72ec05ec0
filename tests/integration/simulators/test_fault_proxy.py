"""The fault proxy before a simulated region: each fault is seen by the client as it is said to be, and counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from proxied_region import READ_LIMIT, READ_POWER, WRITE_LIMIT, Client, SerialClient, serial, tcp
from simulated_region import REGION, until

from scowl_edge.assembly import assemble
from simulators.proxy import FaultProxy
from simulators.serving import Simulator, serve

LIMIT = bytes((3, 2, 0, 100))
POWER = bytes.fromhex("0304447a0000")


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    running = await serve(assemble(REGION, "site.yaml"), 1.0, "127.0.0.1:0", ephemeral=True)
    yield running
    await running.close()


@pytest.fixture
async def proxy(simulator: Simulator) -> AsyncIterator[FaultProxy]:
    async with FaultProxy("127.0.0.1:0", f"127.0.0.1:{simulator.ports['plc']}", name="plc") as made:
        yield made


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Client]:
    made = await Client.of(proxy.port)
    yield made
    made.close()


@pytest.fixture
async def line(simulator: Simulator) -> AsyncIterator[FaultProxy]:
    """Frames of a serial line through TCP, before a device that speaks TCP frames."""
    to = f"127.0.0.1:{simulator.ports['plc']}"
    async with FaultProxy("127.0.0.1:0", to, "rtu", to_framing="tcp") as made:
        yield made


async def test_it_hands_on_what_it_gets_and_logs_what_the_device_said(proxy: FaultProxy, client: Client) -> None:
    for transaction in range(20):
        reply = tcp(transaction, 3, LIMIT)
        assert await client.ask(tcp(transaction, 3, READ_LIMIT), len(reply)) == reply
    assert [(each.table, each.address, each.values) for each in proxy.answered()] == [("holding", 110, (100,))] * 20
    assert [each.number for each in proxy.answered(since=17)] == [18, 19, 20]
    assert [seen.way for seen in proxy.log()[:4]] == ["request", "forwarded", "answer", "sent"]
    assert not proxy.injected


async def test_late_replies_are_overtaken_and_delayed_ones_are_not(proxy: FaultProxy, client: Client) -> None:
    proxy.inject("late", ms=150, times=1)
    for transaction in (1, 2):
        client.send(tcp(transaction, 3, READ_LIMIT))
    both = await client.take(22)
    assert both == tcp(2, 3, LIMIT) + tcp(1, 3, LIMIT)
    proxy.inject("delay", ms=100, times=1)
    begun = asyncio.get_running_loop().time()
    for transaction in (3, 4):
        client.send(tcp(transaction, 3, READ_LIMIT))
    assert await client.take(22) == tcp(3, 3, LIMIT) + tcp(4, 3, LIMIT)
    assert asyncio.get_running_loop().time() - begun >= 0.099
    assert proxy.injected == {"late": 1, "delay": 1}


async def test_a_reply_is_held_for_some_requests(proxy: FaultProxy, client: Client) -> None:
    proxy.inject("late", hold=2, times=1)
    client.send(tcp(1, 3, READ_LIMIT))
    assert await client.ask(tcp(2, 3, READ_LIMIT), 11) == tcp(2, 3, LIMIT)
    assert await client.ask(tcp(3, 3, READ_LIMIT), 22) == tcp(1, 3, LIMIT) + tcp(3, 3, LIMIT)


async def test_shifted_replies_are_those_of_the_request_before(line: FaultProxy) -> None:
    client = await Client.of(line.port)
    line.inject("shifted")
    client.send(serial(3, READ_POWER))
    assert await client.quiet(0.1)
    assert await client.ask(serial(3, READ_LIMIT), 9) == serial(3, POWER)
    assert await client.ask(serial(3, READ_LIMIT), 7) == serial(3, LIMIT)
    line.clear()
    assert await client.ask(serial(3, READ_POWER), 9) == serial(3, POWER)
    assert line.injected["shifted"] == 3
    client.close()


async def test_a_late_reply_of_a_serial_line_meets_the_next_connection(line: FaultProxy) -> None:
    first = await Client.of(line.port)
    line.inject("late", ms=150, times=1)
    first.send(serial(3, READ_POWER))
    await until(lambda: line.injected["late"] == 1)
    first.close()
    second = await Client.of(line.port)
    assert await second.take(9) == serial(3, POWER), "nobody asked for it here"
    second.close()


async def test_a_reset_and_a_half_open_connection(proxy: FaultProxy, client: Client) -> None:
    proxy.inject("half-open", times=1)
    client.send(tcp(1, 3, READ_LIMIT))
    await until(lambda: proxy.injected["half-open"] == 1)
    client.send(tcp(2, 3, READ_LIMIT))
    assert await client.quiet(0.1), "dead for good"
    other = await Client.of(proxy.port)
    assert await other.ask(tcp(1, 3, READ_LIMIT), 11) == tcp(1, 3, LIMIT)
    proxy.inject("reset", keep=5, at="reply", times=1)
    other.send(tcp(2, 3, READ_LIMIT))
    with pytest.raises(ConnectionResetError):
        while await asyncio.wait_for(other.reader.read(100), 60):
            pass
    assert proxy.injected == {"half-open": 1, "reset": 1}


async def test_a_write_that_is_acknowledged_or_not_and_applied_or_not(
    proxy: FaultProxy, client: Client, simulator: Simulator
) -> None:
    proxy.inject("ack-not-applied")
    assert await client.ask(tcp(1, 3, WRITE_LIMIT), 12) == tcp(1, 3, WRITE_LIMIT)
    assert simulator.plant.accepted == []
    proxy.clear()
    proxy.inject("lost-answer")
    client.send(tcp(2, 3, WRITE_LIMIT))
    assert await client.ask(tcp(3, 3, READ_LIMIT), 11) == tcp(3, 3, bytes((3, 2, 0, 50)))
    assert len(simulator.plant.accepted) == 1
    assert proxy.injected == {"ack-not-applied": 1, "lost-answer": 1}


async def test_readings_stick_and_a_second_master_writes(
    proxy: FaultProxy, client: Client, simulator: Simulator
) -> None:
    proxy.inject("stuck", unit=3)
    assert await client.ask(tcp(1, 3, READ_LIMIT), 11) == tcp(1, 3, LIMIT)
    proxy.inject("second-master", unit=3, address=110, value=7, every_s=0.02)
    await until(lambda: len(simulator.plant.accepted) >= 2)
    assert await client.ask(tcp(2, 3, READ_LIMIT), 11) == tcp(2, 3, LIMIT), "as it was"
    proxy.clear()
    assert await client.ask(tcp(3, 3, READ_LIMIT), 11) == tcp(3, 3, bytes((3, 2, 0, 7)))
    assert proxy.injected["stuck"] == 1
    assert proxy.injected["second-master"] >= 2


async def test_bytes_are_spaced_by_a_fault_or_by_the_pace_of_a_line(line: FaultProxy) -> None:
    client = await Client.of(line.port)
    loop = asyncio.get_running_loop()
    line.inject("pace", baud=2400)
    begun = loop.time()
    assert await client.ask(serial(3, READ_POWER), 9) == serial(3, POWER)
    assert loop.time() - begun >= (8 + 8) * 11 / 2400, "the request's bytes take their time as well as the reply's"
    line.clear()
    line.inject("bytewise", ms=4)
    begun = loop.time()
    assert await client.ask(serial(3, READ_POWER), 9) == serial(3, POWER)
    assert loop.time() - begun >= 8 * 0.0039
    assert line.injected == {"pace": 1, "bytewise": 1}
    client.close()


async def test_a_serial_port_before_a_device_behind_tcp(simulator: Simulator, tmp_path: Path) -> None:
    port = tmp_path / "ttyRS485"
    to = f"127.0.0.1:{simulator.ports['plc']}"
    async with FaultProxy(f"pty:{port}", to, "rtu", to_framing="tcp") as proxy:
        master = SerialClient(port)
        assert await master.ask(serial(3, READ_LIMIT), 7) == serial(3, LIMIT)
        proxy.inject("garbage", times=1)
        spoiled = await master.ask(serial(3, READ_LIMIT), 7)
        assert spoiled != serial(3, LIMIT)
        assert await master.ask(serial(3, READ_LIMIT), 7) == serial(3, LIMIT)
        master.close()
        again = SerialClient(port)
        assert await again.ask(serial(3, READ_LIMIT), 7) == serial(3, LIMIT), "the port can be opened again"
        again.close()
        # And a proxy the other way round: TCP before a serial port.
        async with FaultProxy("127.0.0.1:0", f"pty:{port}", "tcp", to_framing="rtu") as gateway:
            client = await Client.of(gateway.port)
            assert await client.ask(tcp(77, 3, READ_POWER), 13) == tcp(77, 3, POWER)
            client.close()
    assert not port.is_symlink()


async def test_a_stream_that_is_not_looked_into(simulator: Simulator) -> None:
    async with FaultProxy("127.0.0.1:0", f"127.0.0.1:{simulator.ports['plc']}", "none") as proxy:
        client = await Client.of(proxy.port)
        proxy.inject("truncate", keep=4, rest="next", times=1)
        assert await client.ask(tcp(1, 3, READ_LIMIT), 4) == tcp(1, 3, LIMIT)[:4]
        assert await client.ask(tcp(2, 3, READ_LIMIT), 18) == tcp(1, 3, LIMIT)[4:] + tcp(2, 3, LIMIT)
        proxy.inject("reset", times=1)
        client.send(tcp(3, 3, READ_LIMIT))
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(client.reader.read(1), 60)
        assert proxy.injected == {"truncate": 1, "reset": 1}
        client.close()


async def test_a_device_that_is_not_there_resets_its_clients() -> None:
    gone = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    async with FaultProxy("127.0.0.1:0", f"127.0.0.1:{port}") as proxy:
        client = await Client.of(proxy.port)
        with pytest.raises(ConnectionResetError):
            assert await asyncio.wait_for(client.reader.read(1), 60) == b"", "or it was closed before it was reset"
            raise ConnectionResetError
