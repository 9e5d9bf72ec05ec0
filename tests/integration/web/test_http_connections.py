"""Readers that take nothing, crowds, and what is no HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from structlog.testing import capture_logs

from scowl_edge.metrics import Metrics
from scowl_edge.web import Listener, create_app, listen
from scowl_edge.web.connection import Connections
from tests.integration.web.cabinet import State, device, region_view
from tests.integration.web.test_http_history import Kept

HUGE = tuple(device(f"device-{n}", "consumer") for n in range(10_000))
"""About 5 MB of JSON: more than the system keeps for one connection."""


@asynccontextmanager
async def bounded(state: State, connections: Connections) -> AsyncIterator[Listener]:
    """A server with these bounds."""
    listener = await listen(create_app(state, Metrics(state)), "127.0.0.1", 0, connections=connections)
    try:
        yield listener
    finally:
        await listener.close()


@asynccontextmanager
async def raw(listener: Listener, *, buffer: int = 0) -> AsyncIterator[socket.socket]:
    """A connection by hand."""
    with socket.socket() as connection:
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.setblocking(False)
        port = int(listener.url.rpartition(":")[2])
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
        yield connection


async def everything(connection: socket.socket) -> bytes:
    """Whatever still comes, to the end."""
    loop = asyncio.get_running_loop()
    parts = []
    async with asyncio.timeout(60):
        while part := await loop.sock_recv(connection, 1 << 20):
            parts.append(part)
    return b"".join(parts)


async def dropped(connections: Connections) -> None:
    """Waits for it."""
    async with asyncio.timeout(60):
        while not connections.dropped_total:  # noqa: ASYNC110 - a counter tells nobody when it changes
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", ["/api/v1/devices", "/"])
async def test_a_reader_that_takes_nothing_is_cut_off(state: State, path: str) -> None:
    state.view = region_view(devices=HUGE)
    connections = Connections(stall_s=0.3)
    async with bounded(state, connections) as listener, raw(listener, buffer=4096) as stalled:
        await asyncio.get_running_loop().sock_sendall(stalled, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        await dropped(connections)
        with pytest.raises(ConnectionError):
            await everything(stalled)
            raise ConnectionResetError("ended in order")
        assert connections.open == 0


async def test_a_slow_reader_is_not(state: State) -> None:
    state.view = region_view(devices=HUGE)
    connections = Connections(stall_s=0.2)
    async with bounded(state, connections) as listener, raw(listener, buffer=65_536) as slow:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(slow, b"GET /api/v1/devices HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        # It takes much longer in all than a reader of nothing would be given.
        taken, begun = 0, loop.time()
        while loop.time() - begun < 1.0:
            taken += len(await loop.sock_recv(slow, 65_536))
            await asyncio.sleep(0.02)
        rest = await everything(slow)
        assert rest.endswith(b"]}")
        assert connections.dropped_total == 0


async def test_only_so_many_connections(state: State) -> None:
    connections = Connections(most=2)
    async with bounded(state, connections) as listener, aiohttp.ClientSession() as http:
        async with raw(listener) as one, raw(listener) as two:
            for each in (one, two):
                await asyncio.get_running_loop().sock_sendall(each, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await asyncio.get_running_loop().sock_recv(each, 65_536)).startswith(b"HTTP/1.1 200")
            with pytest.raises(aiohttp.ClientConnectionError):
                await http.get(listener.url + "/healthz")
            # The client asks a second time by itself.
            assert connections.dropped_total >= 1
        async with asyncio.timeout(60):
            while connections.open:  # noqa: ASYNC110 - a counter tells nobody when it changes
                await asyncio.sleep(0.01)
        async with http.get(listener.url + "/healthz") as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /api/v1/region/mode HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
async def test_what_is_no_http_gets_400_and_one_line_in_the_log(
    state: State, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with bounded(state, Connections()) as listener, raw(listener) as connection:
        await asyncio.get_running_loop().sock_sendall(connection, sent)
        answer = await everything(connection)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b"Traceback" not in answer
    for record in caplog.records:
        assert record.levelno <= logging.INFO, record.getMessage()
        assert record.exc_info is None


@pytest.mark.parametrize("path", ["/api/v1/devices", "/metrics", "/api/v1/events.csv", "/api/v1/live", "/"])
async def test_who_leaves_before_the_answer_is_no_defect(state: State, path: str) -> None:
    state.history = Kept()
    connections = Connections()
    with capture_logs() as log:
        async with bounded(state, connections) as listener:
            # The answer waits for the disk; meanwhile the client goes.
            state.durable.clear()
            async with raw(listener) as connection:
                await asyncio.get_running_loop().sock_sendall(
                    connection, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
                )
                async with asyncio.timeout(60):
                    while not state.asked:  # noqa: ASYNC110 - a counter tells nobody when it changes
                        await asyncio.sleep(0.01)
            async with asyncio.timeout(60):
                while connections.open:  # noqa: ASYNC110 - a counter tells nobody when it changes
                    await asyncio.sleep(0.01)
            state.durable.set()
    assert [entry for entry in log if entry["log_level"] in ("warning", "error")] == []
