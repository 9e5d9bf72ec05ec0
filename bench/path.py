"""CPU of the whole path, socket to image, beside a bare client of the same frames.

Ours: the Modbus TCP driver with its schedule, guards and time-outs, and the inbox frozen once a second. The reference:
one asyncio.Protocol a connection with a timer a request, which checks the header and takes the values as float32.
Both run in turn in this process, on uvloop where it is installed, against one server process on the other core.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import struct
import time
from typing import cast

import numpy as np

from bench.machine import child, describe, on_core, spread
from scowl_edge.cli.run import on_fastest_loop
from scowl_edge.clocks import SystemClock
from scowl_edge.devices.declaration import ModbusDevice, ModbusLink, ModbusPoint, Table
from scowl_edge.drivers.modbus import ModbusDriver
from scowl_edge.inbox import Inbox
from scowl_edge.model.command import WriteClass
from scowl_edge.model.tick import Tick

REGISTERS = 100
POINTS = REGISTERS // 2
TIMEOUT_S = 0.5
_REQUEST = struct.Struct(">HHHBBHH")


class BareClient(asyncio.Protocol):
    """The least that reads a block in time: send, wait with a limit, check, convert."""

    def __init__(self, period_s: float) -> None:
        self.replies = 0
        self.values = np.zeros(POINTS, np.float32)
        self._period_s = period_s
        self._transaction = 0
        self._buffer = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to ask."""
        # uvloop's transports have the methods, not the base class.
        self.transport = cast(asyncio.Transport, transport)
        self._due = self._loop.time()
        self._ask()

    def _ask(self) -> None:
        self._transaction = self._transaction + 1 & 0xFFFF
        self.transport.write(_REQUEST.pack(self._transaction, 0, 6, 1, 3, 0, REGISTERS))
        self._limit = self._loop.call_later(TIMEOUT_S, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        """Takes a whole reply, and asks again at the next due time."""
        self._buffer += data
        if len(self._buffer) < 9 + 2 * REGISTERS:
            return
        reply, self._buffer = self._buffer, b""
        transaction, protocol, _, unit, function, size = struct.unpack_from(">HHHBBB", reply)
        if (transaction, protocol, unit, function, size) != (self._transaction, 0, 1, 3, 2 * REGISTERS):
            self.transport.abort()
            return
        self._limit.cancel()
        self.values = np.frombuffer(reply, ">f4", POINTS, 9).astype(np.float32)
        self.replies += 1
        self._due += self._period_s
        self._next = self._loop.call_at(self._due, self._ask)

    def close(self) -> None:
        """Stops asking."""
        self._limit.cancel()
        self._next.cancel()
        self.transport.abort()


def declaration(port: int, number: int, period_ms: int) -> ModbusLink:
    """One connection with one unit of 50 float32 in one block."""
    points = tuple(
        ModbusPoint(
            name=f"p{i}", table=Table.HOLDING, address=2 * i, type="float32", order="ABCD", length=2, bit=-1,
            scale=1.0, offset=0.0, scale_factor="", nan=(), unit="W", to_base=1.0, base_unit="W", access="r",
            write_class=WriteClass.VOLATILE, fresh_for_ms=3 * period_ms, hold_for_ms=60_000, low=None, high=None,
        )
        for i in range(POINTS)
    )  # fmt: skip
    unit = ModbusDevice(name=f"d{number}", unit=1, poll_ms=period_ms, points=points, first_point=number * POINTS)
    return ModbusLink(
        name=f"l{number}", host="127.0.0.1", port=port, timeout_ms=int(TIMEOUT_S * 1000), connect_timeout_ms=2_000,
        reconnect_ms=5_000, max_gap=8, max_read=125, pause_ms=0, read_only=True, devices=(unit,),
    )  # fmt: skip


async def ours(port: int, connections: int, period_s: float, seconds: float) -> tuple[float, int]:
    """(CPU seconds, requests) of our driver and inbox."""
    clock = SystemClock()
    size = connections * POINTS
    inbox = Inbox(size, range(size), [1.0] * size, [0] * size)
    links = [declaration(port, i, round(period_s * 1000)) for i in range(connections)]
    tasks = [asyncio.create_task(ModbusDriver(link, clock).run(inbox)) for link in links]
    await asyncio.sleep(1.0)
    before, asked = time.process_time(), sum(inbox.request_results.values())
    end = time.monotonic() + seconds
    step = 0
    while time.monotonic() < end:
        await asyncio.sleep(min(1.0, seconds))
        step += 1
        inbox.freeze(Tick(step=step, mono_ms=0, utc_ms=0, utc_ok=True, journal_ok=True, move_budget=0))
    used, count = time.process_time() - before, sum(inbox.request_results.values()) - asked
    bad = {result for (_, result), n in inbox.request_results.items() if n} - {"ok"}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if bad or not count:
        raise SystemExit(f"the path is not clean, so its cost means nothing: {sorted(bad)}, {count} requests")
    return used, count


async def bare(port: int, connections: int, period_s: float, seconds: float) -> tuple[float, int]:
    """(CPU seconds, requests) of the reference."""
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: BareClient(period_s), "127.0.0.1", port)
        clients.append(client)
        await asyncio.sleep(period_s / connections)
    await asyncio.sleep(max(0.0, 1.0 - period_s))
    before, asked = time.process_time(), sum(c.replies for c in clients)
    await asyncio.sleep(seconds)
    used, count = time.process_time() - before, sum(c.replies for c in clients) - asked
    for client in clients:
        client.close()
    return used, count


async def measure(port: int, connections: int, period_s: float, seconds: float, pairs: int) -> str:
    """The table."""
    mine: list[float] = []
    reference: list[float] = []
    for _ in range(pairs):
        used, count = await ours(port, connections, period_s, seconds)
        mine.append(used / count * 1e6)
        used, count = await bare(port, connections, period_s, seconds)
        reference.append(used / count * 1e6)
    ratio = [a / b for a, b in zip(mine, reference, strict=True)]
    difference = [a - b for a, b in zip(mine, reference, strict=True)]
    return "\n".join(
        [
            f"Whole path, {connections} connections, {REGISTERS} registers = {POINTS} float32 a request, "
            f"{connections / period_s:.0f} requests a second, {pairs} interleaved pairs",
            "| | us CPU a request, median (range) | us CPU a point |",
            "|---|---|---|",
            f"| ours, socket to image | {spread(mine)} | {statistics.median(mine) / POINTS:.2f} |",
            f"| bare asyncio client | {spread(reference)} | {statistics.median(reference) / POINTS:.2f} |",
            f"| ours / bare | {spread(ratio, 2)} | |",
            f"| ours - bare | {spread(difference)} | {statistics.median(difference) / POINTS:.2f} |",
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, starts the server, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.path", description=__doc__)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--period", type=float, default=0.1, help="seconds between requests of a connection")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one half of a pair")
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args(arguments)
    apart = on_core(0)
    print(f"{describe()}; load generator on {'the other' if apart else 'the same'} core")
    with child("-m", "bench.responder") as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())

        async def run() -> None:
            print(await measure(port, options.connections, options.period, options.seconds, options.pairs))

        on_fastest_loop(run())


if __name__ == "__main__":
    main()
