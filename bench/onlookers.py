"""Everybody who looks at a daemon: viewers of the live stream, some of whom take nothing, and a scraper.

Viewers ask for the compressed stream, as browsers do, and throw it away unread, so that they cost the machine little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import time
from typing import cast
from urllib.parse import urlsplit

from bench.machine import on_core

SCRAPE_EVERY_S = 1.0
_READ = 1 << 20


class Viewer(asyncio.Protocol):
    """One open stream."""

    received = 0
    """Bytes of all viewers together."""
    lost = 0
    """Streams that ended."""

    def __init__(self, host: str) -> None:
        self._request = f"GET /api/v1/live HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n\r\n".encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        # uvloop's transports have the methods, not the base class.
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Counts."""
        Viewer.received += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts."""
        Viewer.lost += 1


async def stall(host: str, port: int) -> None:
    """Asks and takes nothing; asks anew when it was dropped."""
    loop = asyncio.get_running_loop()
    request = f"GET /api/v1/live HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    while True:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            await loop.sock_connect(connection, (host, port))
            await loop.sock_sendall(connection, request)
            # The end is told without reading, as the reset's error.
            while not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):  # noqa: ASYNC110 - nobody else tells
                await asyncio.sleep(0.5)


async def scrape(host: str, port: int, seconds: list[float]) -> None:
    """Reads /metrics each second; notes how long each took."""
    while True:
        began = time.monotonic()
        reader, writer = await asyncio.open_connection(host, port, limit=_READ)
        writer.write(f"GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        while await reader.read(_READ):
            pass
        writer.close()
        seconds.append(time.monotonic() - began)
        await asyncio.sleep(max(0.0, SCRAPE_EVERY_S - (time.monotonic() - began)))


async def look(url: str, viewers: int, stalled: int) -> None:
    """Looks until SIGTERM; prints what was seen as JSON."""
    place = urlsplit(url)
    host, port = str(place.hostname), int(place.port or 80)
    loop = asyncio.get_running_loop()
    for _ in range(viewers):
        await loop.create_connection(lambda: Viewer(host), host, port)
    seconds: list[float] = []
    tasks = [loop.create_task(stall(host, port)) for _ in range(stalled)]
    tasks.append(loop.create_task(scrape(host, port, seconds)))
    print("looking", flush=True)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    for task in tasks:
        task.cancel()
    print(json.dumps({"bytes": Viewer.received, "lost": Viewer.lost, "scrapes_s": seconds}), flush=True)


def main() -> None:
    """Reads the options and looks."""
    parser = argparse.ArgumentParser(prog="python -m bench.onlookers", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--stalled", type=int, default=4)
    options = parser.parse_args()
    on_core(1)
    asyncio.run(look(options.url, options.viewers, options.stalled))


if __name__ == "__main__":
    main()
