"""The load's other side: a Modbus TCP server that answers every read at once with plausible float32 values.

Any number of connections and unit ids on each port. It prints the ports on one line, then takes orders a line each from
standard input, and answers each with a line: `mute PORTS UNITS` (numbers joined by commas, or `all`; ports counted from
0 in the order printed) leaves what is asked of these units there unanswered, `speak` answers everything again, `count`
tells how many requests were answered and how many were not.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import sys
from functools import cache
from typing import cast

from bench.machine import many_files, on_core

_REQUEST = struct.Struct(">HHHBBHH")
_FLOAT = struct.Struct(">f")
_VARIANTS = 7
"""Every reply differs from the one before, as a meter's do."""


@cache
def _answers(function: int, registers: int) -> tuple[bytes, ...]:
    """What follows the unit in replies of this size."""
    rest = b"".join(_FLOAT.pack(5.0 + i) for i in range(1, registers // 2))
    size = 2 * registers
    return tuple(
        bytes((function, size)) + (_FLOAT.pack(1.0 + n) + rest).ljust(size, b"\0")[:size] for n in range(_VARIANTS)
    )


@cache
def _lengths(registers: int) -> bytes:
    """Protocol and length of the header of a reply."""
    return struct.pack(">HH", 0, 3 + 2 * registers)


class Plant:
    """What is behind all ports: who is silent, and how often it was asked."""

    def __init__(self) -> None:
        self.answered = self.ignored = 0
        self.muted: dict[int, frozenset[int] | None] = {}
        """Port -> its silent units, None for all of them."""

    def obey(self, order: str) -> str:
        """Carries out one line. Raises ValueError where it is none."""
        match order.split():
            case ["mute", ports, units]:
                silent = None if units == "all" else frozenset(int(unit) for unit in units.split(","))
                self.muted = {int(port): silent for port in ports.split(",")}
                return "muted"
            case ["speak"]:
                self.muted = {}
                return "speaking"
            case ["count"]:
                return f"{self.answered} {self.ignored}"
        raise ValueError(f"{order!r} is no order; there are: mute PORTS UNITS, speak, count")


class Responder(asyncio.Protocol):
    """One connection."""

    def __init__(self, plant: Plant, port: int) -> None:
        self._plant = plant
        self._port = port
        self._buffer = b""
        self._count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport to answer on."""
        # uvloop's transports have the methods, not the base class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answers every whole request, unless its unit is silent."""
        if self._buffer:
            data = self._buffer + data
        plant, replies, at = self._plant, [], 0
        muted = plant.muted.get(self._port, frozenset()) if plant.muted else frozenset()
        while len(data) - at >= _REQUEST.size:
            _, _, _, unit, function, _, registers = _REQUEST.unpack_from(data, at)
            if not 1 <= registers <= 125:
                # Whoever speaks something else here, perhaps in search of a free port, is not served.
                self._transport.abort()
                return
            if muted is None or unit in muted:
                plant.ignored += 1
            else:
                plant.answered += 1
                self._count = (self._count + 1) % _VARIANTS
                replies += [data[at : at + 2], _lengths(registers), data[at + 6 : at + 7]]
                replies.append(_answers(function, registers)[self._count])
            at += _REQUEST.size
        self._buffer = data[at:]
        if replies:
            self._transport.write(b"".join(replies))


async def serve(ports: int) -> None:
    """Serves on free ports of the loopback until standard input ends or the process is stopped."""
    loop = asyncio.get_running_loop()
    plant = Plant()
    servers = [await loop.create_server(lambda n=n: Responder(plant, n), "127.0.0.1", 0) for n in range(ports)]  # type: ignore[misc]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(plant.obey(line), flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Runs the server on the second core."""
    parser = argparse.ArgumentParser(prog="python -m bench.responder", description=__doc__)
    parser.add_argument("--ports", type=int, default=1)
    options = parser.parse_args()
    on_core(1)
    many_files()
    from scowl_edge.cli.run import on_fastest_loop

    on_fastest_loop(serve(options.ports))


if __name__ == "__main__":
    main()
