"""A proxy that knows where an OPC-UA chunk begins and ends, and does one thing at a time to what a server says."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

READ_ANSWER = b"\x01\x00\x7a\x02"
"""Type of a ReadResponse, i=634, where a chunk's body begins."""
_BODY = 24
"""Without security: 8 bytes of header, 4 each of channel, token, sequence number and request id."""


class Wire:
    """One connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client = client
        self.server = server

    def reset(self) -> None:
        """Cuts it, with a reset to the client."""
        raw = self.client.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.transport.abort()
        self.server.transport.abort()


Treatment = Callable[["WireProxy", Wire, bytes], bytes | float | None]
"""What becomes of a chunk from the server: other bytes, seconds to wait before it goes on, or None: nothing passes."""


class WireProxy:
    """Forwards, and treats each chunk from the server that says something of a session (MSG) as it was told."""

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self.injected = 0
        """What was not passed on as it came: chunks of the server, or whatever came while nothing passes."""
        self.accepted = 0
        self.mute = False
        """Nothing passes, in either direction; connections stay."""
        self.treat: Treatment | None = None
        self.kept = b""
        """For treatments: the last answer to a read."""
        self._to_port = to_port
        self._tasks: set[asyncio.Task[None]] = set()

    def heal(self) -> None:
        """Everything passes as it is, from now on."""
        self.treat, self.mute = None, False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        self.accepted += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        wire = Wire(writer, far_writer)
        for pump in (self._up(reader, wire), self._down(far_reader, wire)):
            task = asyncio.create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _up(self, reader: asyncio.StreamReader, wire: Wire) -> None:
        try:
            while data := await reader.read(65536):
                if self.mute:
                    self.injected += 1
                else:
                    wire.server.write(data)
        except ConnectionError:
            pass
        finally:
            wire.server.close()

    async def _down(self, reader: asyncio.StreamReader, wire: Wire) -> None:
        try:
            while True:
                head = await reader.readexactly(8)
                chunk = head + await reader.readexactly(int.from_bytes(head[4:8], "little") - 8)
                if self.mute:
                    self.injected += 1
                    continue
                treated: bytes | float | None = chunk
                if self.treat is not None and head[:3] == b"MSG":
                    treated = self.treat(self, wire, chunk)
                if treated != chunk:
                    self.injected += 1
                if isinstance(treated, float):
                    await asyncio.sleep(treated)
                    treated = chunk
                if treated is None:
                    continue
                for piece in self._pieces(treated):
                    wire.client.write(piece)
                    await wire.client.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            wire.client.close()

    def _pieces(self, data: bytes) -> list[bytes]:
        return [data]

    async def stop(self) -> None:
        """Ends what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class ByteWise(WireProxy):
    """Sends each byte by itself while it has a treatment."""

    def _pieces(self, data: bytes) -> list[bytes]:
        if self.treat is None:
            return [data]
        self.injected += 1
        return [data[n : n + 1] for n in range(len(data))]


def is_read_answer(chunk: bytes) -> bool:
    """Whether it answers a read."""
    return chunk[_BODY : _BODY + 4] == READ_ANSWER


def with_request_id(chunk: bytes, number: int) -> bytes:
    """The chunk as if it answered another request."""
    return chunk[: _BODY - 4] + number.to_bytes(4, "little") + chunk[_BODY:]


def request_id(chunk: bytes) -> int:
    """Number of the request that it answers."""
    return int.from_bytes(chunk[_BODY - 4 : _BODY], "little")


def with_handle(chunk: bytes, more: int) -> bytes:
    """The chunk with another request handle in its answer: after the type and 8 bytes of time."""
    at = _BODY + 12
    handle = (int.from_bytes(chunk[at : at + 4], "little") + more) & 0xFFFFFFFF
    return chunk[:at] + handle.to_bytes(4, "little") + chunk[at + 4 :]


def with_body(chunk: bytes, other: bytes) -> bytes:
    """The chunk's envelope around the body of another of the same length."""
    return chunk[:_BODY] + other[_BODY:]


@asynccontextmanager
async def wire_proxy(to_port: int, kind: type[WireProxy] = WireProxy) -> AsyncIterator[WireProxy]:
    """A proxy on a port of its own."""
    proxy = kind(to_port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
