"""One Modbus TCP connection: a request goes out, and only its own reply comes back.

Every reply must carry the transaction id, unit and function of the request under way. A frame with another transaction
id is counted as stray and dropped; bytes that are no frame end the connection, for after them nothing can be trusted.
A reply that was cut short could be filled up by the late reply to an earlier request: so while a late reply is owed, a
reply must come in one piece, and bytes behind a reply must be frames too before it counts.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from struct import Struct
from typing import cast

from scowl_edge.drivers.errors import BadReply, DriverError, LinkLost, ReplyTimeout
from scowl_edge.drivers.modbus.pdu import refusal

_MBAP = Struct(">HHHB")
_LENGTH_LEAST = 3
"""Unit, function and one byte more: no reply is shorter."""
_LENGTH_MOST = 254
_KEEPALIVE_IDLE_S, _KEEPALIVE_EVERY_S, _KEEPALIVE_COUNT = 10, 5, 3


class Connection(asyncio.Protocol):
    """One request at a time over one TCP connection."""

    def __init__(self, timeout_s: float, on_stray: Callable[[], None], on_lost: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._on_stray = on_stray
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._partial = b""
        self._transaction = 0
        self._unit = 0
        self._function = 0
        self._owed = 0
        """Requests given up whose reply may still come."""
        self._pending: asyncio.Future[bytes] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a request may be sent."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sets the socket up for short frames and for peers that vanish."""
        # uvloop's transports have the methods, not the base class.
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is None:
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
            ("TCP_KEEPINTVL", _KEEPALIVE_EVERY_S),
            ("TCP_KEEPCNT", _KEEPALIVE_COUNT),
        ):
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails the request under way, if any."""
        was_open, self._transport = self._transport is not None, None
        reason = f"the connection broke: {exc}" if exc else "the other side closed the connection"
        self._fail(LinkLost(reason, sent=True))
        if was_open:
            self._on_lost()

    def close(self) -> None:
        """Closes at once; a request under way fails."""
        transport, self._transport = self._transport, None
        self._partial = b""
        if transport is not None:
            transport.abort()
        self._fail(LinkLost("the connection was closed", sent=True))

    async def exchange(self, unit: int, pdu: bytes) -> bytes:
        """Sends one request and returns the PDU of its reply.

        Raises:
            ReplyTimeout: no complete reply in time.
            BadReply: the reply is of another unit or function, or no Modbus at all.
            Refused: an exception reply.
            LinkLost: the connection is not there, or broke meanwhile.
        """
        if self._transport is None:
            raise LinkLost("the connection is closed", sent=False)
        if self._pending is not None:
            raise RuntimeError("a request is under way: one at a time")
        self._transaction = (self._transaction + 1) & 0xFFFF
        self._unit, self._function = unit, pdu[0]
        pending: asyncio.Future[bytes] = self._loop.create_future()
        self._pending = pending
        timer = self._loop.call_later(self._timeout_s, self._expire)
        self._transport.write(_MBAP.pack(self._transaction, 0, len(pdu) + 1, unit) + pdu)
        try:
            return await pending
        except asyncio.CancelledError:
            self._owed += 1
            raise
        finally:
            timer.cancel()
            self._pending = None

    def data_received(self, data: bytes) -> None:
        """Cuts the stream into frames."""
        patched = False
        if self._partial:
            data = self._partial + data
            self._partial = b""
            patched = self._owed > 0
        reply: bytes | None = None
        while len(data) >= 6:
            transaction, protocol, length = (
                int.from_bytes(data[:2]),
                int.from_bytes(data[2:4]),
                int.from_bytes(data[4:6]),
            )
            if protocol or not _LENGTH_LEAST <= length <= _LENGTH_MOST:
                self._garbage(data)
                return
            end = 6 + length
            if len(data) < end:
                break
            if self._pending is None or self._pending.done() or transaction != self._transaction or reply is not None:
                self._owed = max(self._owed - 1, 0)
                self._on_stray()
            elif patched:
                self._garbage(data)
                return
            else:
                reply = self._checked(data[6], data[7:end])
            data = data[end:]
            patched = False
        self._partial = data
        if reply is not None and self._pending is not None and not self._pending.done():
            self._pending.set_result(reply)

    def _checked(self, unit: int, pdu: bytes) -> bytes | None:
        """The PDU of a frame with the right transaction id, if the rest is right; else fails the request."""
        if unit != self._unit:
            self._fail(BadReply(f"the reply is from unit {unit}"))
        elif pdu[0] == self._function:
            return pdu
        elif pdu[0] == self._function | 0x80 and len(pdu) == 2:
            self._fail(refusal(pdu[1]))
        else:
            self._fail(BadReply(f"the reply has function {pdu[0]}, {len(pdu)} bytes long; asked was {self._function}"))
        return None

    def _garbage(self, data: bytes) -> None:
        self._fail(
            BadReply(f"the bytes {data[:12].hex(' ')} came, which are no sure Modbus TCP; the connection is reopened")
        )
        self.close()
        self._on_lost()

    def _expire(self) -> None:
        """The time of the request under way is over. Half a frame means that the stream can no longer be cut safely."""
        self._owed += 1
        self._fail(ReplyTimeout(f"no reply within {self._timeout_s * 1000:g} ms"))
        if self._partial:
            self.close()
            self._on_lost()

    def _fail(self, error: DriverError) -> None:
        if self._pending is not None and not self._pending.done():
            self._pending.set_exception(error)


async def connect(
    host: str,
    port: int,
    *,
    connect_timeout_s: float,
    timeout_s: float,
    on_stray: Callable[[], None],
    on_lost: Callable[[], None],
) -> Connection:
    """Opens a connection. The name is looked up each time, so that a host whose address changes is followed.

    Raises:
        LinkLost: nobody there, or not in time.
    """
    what = f"connect to {host} port {port}"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_timeout_s):
            _, connection = await loop.create_connection(lambda: Connection(timeout_s, on_stray, on_lost), host, port)
    except TimeoutError:
        raise LinkLost(
            f"no answer within {connect_timeout_s:g} s; is the address right?", sent=False, what=what
        ) from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LinkLost(f"{reason}; is the device on, and host and port right?", sent=False, what=what) from None
    return connection
