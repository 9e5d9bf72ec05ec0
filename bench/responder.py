"""The load's other side: a Modbus TCP server that answers every read at once with plausible float32 values.

Any number of connections and unit ids on each port; it prints the ports on one line and serves until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
from typing import cast

from bench.machine import on_core

_HEADER = struct.Struct(">HHHBB")
_REQUEST = struct.Struct(">HHHBBHH")
_FLOAT = struct.Struct(">f")


class Responder(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._buffer = b""
        self._payloads: dict[int, bytes] = {}
        self._count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport to answer on."""
        # uvloop's transports have the methods, not the base class.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answers every whole request."""
        self._buffer += data
        replies = []
        while len(self._buffer) >= _REQUEST.size:
            transaction, _, _, unit, function, _, count = _REQUEST.unpack_from(self._buffer)
            self._buffer = self._buffer[_REQUEST.size :]
            size = 2 * count
            self._count += 1
            # Every reply differs from the one before, as a meter's do.
            body = bytes((size,)) + self._values(count)
            replies.append(_HEADER.pack(transaction, 0, 2 + len(body), unit, function) + body)
        self._transport.write(b"".join(replies))

    def _values(self, registers: int) -> bytes:
        rest = self._payloads.setdefault(registers, b"".join(_FLOAT.pack(5.0 + i) for i in range(registers // 2)))
        return _FLOAT.pack(1.0 + self._count % 7) + rest[4:] if registers >= 2 else bytes(2 * registers)


async def serve(ports: int) -> None:
    """Serves on free ports of the loopback."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Responder, "127.0.0.1", 0) for _ in range(ports)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """Runs the server on the second core."""
    parser = argparse.ArgumentParser(prog="python -m bench.responder", description=__doc__)
    parser.add_argument("--ports", type=int, default=1)
    options = parser.parse_args()
    on_core(1)
    from scowl_edge.cli.run import on_fastest_loop

    on_fastest_loop(serve(options.ports))


if __name__ == "__main__":
    main()
