"""A host is an IPv4 or IPv6 address, or a name whose addresses may change while the daemon runs."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest
from faulty_server import FaultyServer, truth
from modbus_site import link as tcp_link

from scowl_edge.devices.declaration import ModbusLink, Table
from scowl_edge.drivers.errors import LinkLost
from scowl_edge.drivers.modbus import pdu
from scowl_edge.drivers.modbus.endpoint import open_wire
from scowl_edge.drivers.modbus.wire import Wire, exchange


class Names:
    """A name server: `table` is what it says now."""

    def __init__(self) -> None:
        self.table: dict[str, list[str]] = {}
        self.asked = 0

    async def look_up(self, host: str, port: int) -> list[tuple[object, ...]]:
        self.asked += 1
        if host not in self.table:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [entry for address in self.table[host] for entry in socket.getaddrinfo(address, port)]


async def opened(link: ModbusLink, names: Names | None = None) -> Wire:
    look_up = None if names is None else names.look_up
    return await open_wire(link, rate=1.0, on_stray=lambda: None, on_lost=lambda: None, look_up=look_up)


async def read(wire: Wire) -> int:
    reply = await exchange(wire, 3, pdu.read_request(Table.HOLDING, 5, 1), 2.0)
    return int.from_bytes(pdu.payload(reply, 2))


def named(port: int) -> ModbusLink:
    return replace(tcp_link(port), host="inverter.example", connect_timeout_ms=1000)


async def test_ipv6() -> None:
    server = FaultyServer(host="::1")
    await server.start()
    wire = await opened(replace(tcp_link(server.port), host="::1"))
    assert await read(wire) == truth(3, 5)
    wire.close()
    await server.stop()


async def test_a_name_of_this_machine() -> None:
    """The system's own look-up."""
    server = FaultyServer()
    await server.start()
    wire = await opened(replace(tcp_link(server.port), host="localhost"))
    assert await read(wire) == truth(3, 5)
    wire.close()
    await server.stop()


async def test_a_name_is_followed_to_another_address() -> None:
    first = FaultyServer(host="127.0.0.2")
    await first.start()
    names = Names()
    names.table["inverter.example"] = ["127.0.0.2"]
    wire = await opened(named(first.port), names)
    assert await read(wire) == truth(3, 5)
    await first.stop()
    with pytest.raises(LinkLost):
        await opened(named(first.port), names)
    second = FaultyServer(host="127.0.0.3", port=first.port)
    await second.start()
    with pytest.raises(LinkLost):
        await opened(named(first.port), names)
    names.table["inverter.example"] = ["127.0.0.3"]
    wire = await opened(named(first.port), names)
    assert await read(wire) == truth(3, 5)
    assert second.requests_to(3) == 1 and names.asked == 4
    wire.close()
    await second.stop()


async def test_all_addresses_of_a_name_are_tried() -> None:
    server = FaultyServer(host="::1")
    await server.start()
    names = Names()
    names.table["inverter.example"] = ["127.0.0.2", "127.0.0.3", "::1"]
    wire = await opened(named(server.port), names)
    assert await read(wire) == truth(3, 5)
    wire.close()
    await server.stop()
    with pytest.raises(LinkLost) as refused:
        await opened(named(server.port), names)
    text = str(refused.value)
    assert all(f"{address}: " in text for address in ("127.0.0.2", "127.0.0.3", "::1"))
    assert f"inverter.example port {server.port}" in text


async def test_an_address_that_swallows_everything_leaves_time_for_the_next() -> None:
    """A full backlog: connection requests are dropped there, as by a firewall."""
    swallowing = socket.socket()
    swallowing.bind(("127.0.0.2", 0))
    swallowing.listen(0)
    port = swallowing.getsockname()[1]
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.2", port))
        fillers.append(filler)
    server = FaultyServer(host="127.0.0.3", port=port)
    await server.start()
    names = Names()
    names.table["inverter.example"] = ["127.0.0.2", "127.0.0.3"]
    try:
        wire = await opened(named(port), names)
        assert await read(wire) == truth(3, 5)
        wire.close()
    finally:
        for filler in (*fillers, swallowing):
            filler.close()
        await server.stop()


async def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(LinkLost, match="the name has no address"):
        await opened(named(1), Names())


async def test_a_name_server_that_does_not_answer() -> None:
    async def never(_host: str, _port: int) -> list[tuple[object, ...]]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    with pytest.raises(LinkLost, match="does the name server answer"):
        link = replace(named(1), connect_timeout_ms=100)
        await open_wire(link, rate=1.0, on_stray=lambda: None, on_lost=lambda: None, look_up=never)
