"""The OPC-UA driver with 10,000 subscribed items that change once a second: CPU, lag, and whether any change is lost.

Ours: the driver with its sessions, guards, silence check and decoding, and the inbox frozen once a second. The
reference: asyncua's own client, subscribed to the same items with a handler that only counts. Both run in turn in this
process, on uvloop where it is installed, against one server process on the other core; an idle timer runs beside them.
Lag is from a value's change at the server until the inbox has it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from asyncua import Client, ua
from numpy.typing import NDArray

from bench.machine import child, describe, on_core, quantile, spread
from bench.opcua_source import NAMESPACE
from scowl_edge.cli.run import on_fastest_loop
from scowl_edge.clocks import SystemClock
from scowl_edge.devices.declaration import OpcuaDevice, OpcuaLink, OpcuaPoint, SecurityMode, SecurityPolicy
from scowl_edge.drivers.opcua import OpcuaDriver
from scowl_edge.inbox import Inbox
from scowl_edge.model.command import WriteClass
from scowl_edge.model.signal import Reading
from scowl_edge.model.tick import Tick

POINTS = 25
"""Of one device."""


@dataclass(frozen=True, slots=True)
class Half:
    """What one half of a pair came to."""

    cpu_share: float
    """Of one core."""
    received: int
    changes: int
    overwritten: int
    """Changes that the server could not send before the next."""
    wall_s: float
    lag_ms: NDArray[np.float64]
    """Of every value; empty for the reference."""


class _Measured(Inbox):
    """The inbox, and what it costs to know the age of each value."""

    def __init__(self, points: int) -> None:
        super().__init__(points, range(points), [1.0] * points, [0] * points)
        self.notes: list[tuple[float, NDArray[np.float64]]] = []

    def reading(self, reading: Reading) -> None:
        """See `Sink.reading`."""
        super().reading(reading)
        if not reading.requested_ms:
            self.notes.append((time.monotonic(), reading.values))


def declaration(port: int, items: int) -> OpcuaLink:
    """One link of devices with 25 points each."""
    points = [
        OpcuaPoint(
            name=f"v{n}", node=f"nsu={NAMESPACE};i={n}", type="double", index=-1, method="", scale=1.0, offset=0.0,
            nan=(), unit="s", to_base=1.0, base_unit="s", access="r", write_class=WriteClass.VOLATILE,
            fresh_for_ms=10_000, hold_for_ms=60_000, low=None, high=1e12, max_change=1e9,
        )
        for n in range(1, items + 1)
    ]  # fmt: skip
    devices = tuple(
        OpcuaDevice(name=f"d{first}", poll_ms=1_000, points=tuple(points[first : first + POINTS]), first_point=first)
        for first in range(0, items, POINTS)
    )
    return OpcuaLink(
        name="scada", endpoint=f"opc.tcp://127.0.0.1:{port}/bench", policy=SecurityPolicy.NONE, mode=SecurityMode.NONE,
        user="", password=None, pki="", timeout_ms=2_000, connect_timeout_ms=15_000, reconnect_ms=5_000, subscribe=True,
        max_items=0, read_only=True, devices=devices,
    )  # fmt: skip


async def _until(condition: Callable[[], bool], within_s: float) -> None:
    """Waits for a condition; what is missing at the deadline shows in the figures."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if condition():
            return
        await asyncio.sleep(0.05)


async def _changes(server: subprocess.Popen[str], seconds: float) -> dict[str, int]:
    """Has the server change its items for so long; what it counted."""
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(f"{seconds} 1.0\n")
    server.stdin.flush()
    found: dict[str, int] = json.loads(await asyncio.to_thread(server.stdout.readline))
    return found


async def ours(server: subprocess.Popen[str], port: int, items: int, seconds: float) -> Half:
    """Our driver and inbox."""
    inbox = _Measured(items)
    task = asyncio.create_task(OpcuaDriver(declaration(port, items), SystemClock()).run(inbox))
    while int((inbox.table.received_ms >= 0).sum()) < items:
        await asyncio.sleep(0.2)
        if task.done():
            task.result()
    await asyncio.sleep(3.0)  # subscriptions settle: their first values, and reads that confirm them

    async def freeze() -> None:
        step = 0
        while True:
            await asyncio.sleep(1.0)
            step += 1
            inbox.freeze(Tick(step=step, mono_ms=0, utc_ms=0, utc_ok=True, journal_ok=True, move_budget=0))

    freezing = asyncio.create_task(freeze())
    inbox.notes.clear()
    used, began = time.process_time(), time.monotonic()
    counted = await _changes(server, seconds)
    used, wall_s = time.process_time() - used, time.monotonic() - began
    await _until(lambda: sum(len(values) for _, values in inbox.notes) >= counted["sent"], 5.0)
    for each in (freezing, task):
        each.cancel()
    await asyncio.gather(freezing, task, return_exceptions=True)
    bad = {result for (_, result), n in inbox.request_results.items() if n} - {"ok"}
    if bad or (inbox.table.quality != 0).any():
        raise SystemExit(f"the run is not clean, so its figures mean nothing: {sorted(bad)}")
    lag_ms = np.concatenate([(at - values) * 1000 for at, values in inbox.notes] or [np.zeros(0)])
    return Half(used / wall_s, len(lag_ms), counted["changes"], counted["overwritten"], wall_s, lag_ms)


class _Counting:
    """asyncua's handler that does nothing more."""

    def __init__(self) -> None:
        self.count = 0

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """One value."""
        self.count += 1


async def bare(server: subprocess.Popen[str], port: int, items: int, seconds: float) -> Half:
    """The reference."""
    client = Client(f"opc.tcp://127.0.0.1:{port}/bench", timeout=30)
    async with client:
        namespace = await client.get_namespace_index(NAMESPACE)
        handler = _Counting()
        subscription = await client.create_subscription(1_000, handler)
        nodes = [client.get_node(ua.NodeId(ua.Int32(n), ua.Int16(namespace))) for n in range(1, items + 1)]
        for first in range(0, items, 1_000):
            await subscription.subscribe_data_change(nodes[first : first + 1_000])
        await _until(lambda: handler.count >= items, 60.0)
        await asyncio.sleep(1.0)
        handler.count = 0
        used, began = time.process_time(), time.monotonic()
        counted = await _changes(server, seconds)
        used, wall_s = time.process_time() - used, time.monotonic() - began
        await _until(lambda: handler.count >= counted["sent"], 5.0)
    return Half(used / wall_s, handler.count, counted["changes"], counted["overwritten"], wall_s, np.zeros(0))


def table(items: int, pairs: list[tuple[Half, Half]], idle: dict[str, float]) -> str:
    """All halves in words."""
    mine, reference = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    lag_ms = np.concatenate([half.lag_ms for half in mine])
    rows = [
        f"OPC-UA, {items} subscribed items changing once a second, {len(pairs)} interleaved pairs",
        "| | ours, socket to inbox | asyncua's client, counting |",
        "|---|---|---|",
    ]
    for name, take, digits in (
        ("CPU of one core, %, median (range)", lambda half: half.cpu_share * 100, 1),
        ("us CPU a value", lambda half: half.cpu_share * half.wall_s * 1e6 / max(half.received, 1), 1),
        ("values a second", lambda half: half.received / half.wall_s, 0),
    ):
        rows.append(f"| {name} | {spread([*map(take, mine)], digits)} | {spread([*map(take, reference)], digits)} |")
    for name, count in (
        ("changes at the server", lambda half: half.changes),
        ("received", lambda half: half.received),
        ("lost", lambda half: half.changes - half.received),
        ("of these overwritten at the server before it could send them", lambda half: half.overwritten),
    ):
        rows.append(f"| {name} | {sum(map(count, mine))} | {sum(map(count, reference))} |")
    rows.append(
        f"| lag p50 / p99 / max, ms | {' / '.join(f'{q:.1f}' for q in np.quantile(lag_ms, (0.5, 0.99, 1)))} | |"
    )
    ratio = statistics.median(r.cpu_share / max(m.cpu_share, 1e-9) for m, r in pairs)
    rows.append(f"| asyncua's client / ours | {ratio:.1f} | |")
    rows.append(f"| idle timer beside it p50 / p99 late, ms | {idle['p50_ms']:.2f} / {idle['p99_ms']:.2f} | |")
    return "\n".join(rows)


async def measure(server: subprocess.Popen[str], port: int, items: int, seconds: float, pairs: int, alone: bool) -> str:
    """Runs the pairs beside the idle timer."""
    found: list[tuple[Half, Half]] = []
    idle: list[dict[str, float]] = []
    for _ in range(pairs):
        with child("-m", "bench.idle_timer", "--seconds", str(seconds)) as timer:
            mine = await ours(server, port, items, seconds)
            assert timer.stdout is not None
            idle.append(json.loads(await asyncio.to_thread(timer.stdout.readline)))
        found.append((mine, mine if alone else await bare(server, port, items, seconds)))
    return table(items, found, {key: quantile([each[key] for each in idle], 0.5) for key in idle[0]})


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, starts the server, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.opcua_items", description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of one half of a pair")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument(
        "--alone", action="store_true", help="without the reference, for a profile; it shows our figures"
    )
    options = parser.parse_args(arguments)
    apart = on_core(0)
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
    print(f"{describe()}; server on {'the other' if apart else 'the same'} core")
    with child("-m", "bench.opcua_source", "--items", str(options.items), stdin=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())

        async def run() -> None:
            print(await measure(server, port, options.items, options.seconds, options.pairs, options.alone))

        on_fastest_loop(run())


if __name__ == "__main__":
    main()
