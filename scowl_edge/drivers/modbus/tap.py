"""A link's proxy: other tools read the link's units through it, over Modbus TCP, without a connection of their own.

Their requests reach the bus as guests: after all that is due, within the share of bus time that the link grants.
Whatever a client does or leaves undone, it holds nobody up: it may have a few requests under way, what gets no reply in
time is answered with an exception, and who does not take its answers is cut off.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from struct import Struct
from typing import NoReturn, cast

from scowl_edge.contracts import Clock
from scowl_edge.devices.declaration import ModbusLink
from scowl_edge.drivers.errors import DriverError, LinkLost, NoTurn, Refused, ReplyTimeout
from scowl_edge.drivers.modbus.guests import BUSY, NO_ANSWER, NO_PATH, Gate
from scowl_edge.drivers.modbus.mbap import watch_peer

CLIENTS_MOST = 8
WAITING_OF_CLIENT = 4
"""Requests of one client under way at once; one more is answered with `busy`."""
WAITING_IN_ALL = 32
WAIT_S = 1.0
"""Longest wait for a turn on the bus, in real seconds: clients wait about as long before they ask again."""
SILENT_FIRST_S, SILENT_LONGEST_S = 1.0, 8.0
"""A unit that gave a guest no answer is not asked again for so long, doubling: its time-outs would eat the share, and
on a serial line the daemon itself must wait after each until no late reply can come."""
IDLE_S = 30.0
"""A client without a request for so long makes room for a new one when there are too many."""
LISTEN_AGAIN_S = 5.0
_FRAMES_AT_ONCE = 64
"""Frames in one chunk, at most: more is no Modbus client, and would hold up the event loop."""
_UNREAD_MOST_BYTES = 4096

_MBAP = Struct(">HHHB")
_LENGTH_MOST = 254

Forward = Callable[[int, bytes, int], Awaitable[bytes]]
"""Asks a unit: (unit, PDU, latest monotonic ms at which it may be sent) to the PDU of what is surely the answer; raises
DriverError. Cancelled, the request is not sent any more."""


class Tap:
    """The proxy of one link."""

    def __init__(self, link: ModbusLink, forward: Forward, clock: Clock, *, rate: float = 1.0) -> None:
        """Opens nothing yet.

        Args:
            link: Declaration; must have a `proxy`.
            forward: Takes requests to the bus.
            clock: Source of monotonic ms.
            rate: Seconds of `clock` that pass in a real second. Clients live in real time.
        """
        if link.proxy is None:
            raise ValueError(f"link {link.name} has no proxy")
        self.results: Counter[str] = Counter()
        """Requests of clients by result: ok, exception, timeout, bad_reply, link_down, busy, refused, write_refused;
        abandoned where the client left before its answer."""
        self.turned_away = 0
        """Connections refused because there were too many, since the start."""
        self.fault = ""
        """Why it does not listen, in words; empty while it does."""
        self._proxy = link.proxy
        self._gate = Gate(link)
        self._forward = forward
        self._now = clock.mono_ms
        self._rate = rate
        self._timeout_s = max((d.timeout_ms or link.timeout_ms for d in link.devices), default=0) / 1000 / rate
        self._clients: dict[_Client, None] = {}
        self._waiting = 0
        self._silent: dict[int, tuple[float, float]] = {}
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens; 0 while it does not."""
        sockets = self._server.sockets if self._server is not None else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    @property
    def clients(self) -> dict[str, int]:
        """Address of a client -> its connections."""
        return dict(Counter(client.host for client in self._clients))

    @property
    def waiting(self) -> int:
        """Requests under way, of all clients."""
        return self._waiting

    async def run(self) -> NoReturn:
        """Serves until cancelled. An address that cannot be taken is tried again and again; `fault` says why."""
        try:
            while True:
                await self._serve()
        finally:
            self.fault = "it has ended"

    async def _serve(self) -> None:
        host, port = self._proxy.host, self._proxy.port
        async with asyncio.TaskGroup() as group:
            loop = asyncio.get_running_loop()
            try:
                self._server = await loop.create_server(lambda: _Client(self, group), host, port)
            except OSError as error:
                self.fault = f"cannot listen on {host} port {port}: {error.strerror or error}"
                await asyncio.sleep(LISTEN_AGAIN_S)
                return
            self.fault = ""
            try:
                await loop.create_future()
            finally:
                self._server.close()
                self._server = None
                for client in list(self._clients):
                    client.abort()

    def admit(self, client: _Client) -> bool:
        """Takes a new client in, if need be in place of one that asks nothing any more."""
        if len(self._clients) >= CLIENTS_MOST:
            idle = min(self._clients, key=lambda other: other.active_s)
            if asyncio.get_running_loop().time() - idle.active_s < IDLE_S:
                self.turned_away += 1
                return False
            idle.abort()
        self._clients[client] = None
        return True

    def gone(self, client: _Client) -> None:
        """A client's connection has ended."""
        self._clients.pop(client, None)

    def denied(self, unit: int, request: bytes, waiting: int) -> bytes:
        """The exception with which a request is turned down at once; empty if it may go to the bus.

        Args:
            unit: Unit that it is for.
            request: Its PDU.
            waiting: Requests of the same client under way.
        """
        code, result = 0, ""
        if (found := self._gate.denied(unit, request)) is not None:
            code, result = found.code, found.result
        elif waiting >= WAITING_OF_CLIENT or self._waiting >= WAITING_IN_ALL:
            code, result = BUSY, NoTurn.result
        elif asyncio.get_running_loop().time() < self._silent.get(unit, (0.0, 0.0))[0]:
            code, result = NO_ANSWER, ReplyTimeout.result
        if not code:
            return b""
        self.results[result] += 1
        return _exception(request, code)

    async def ask(self, unit: int, request: bytes) -> bytes:
        """Brings a request to the unit, and its reply or an exception back, within a bounded time."""
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_S + self._timeout_s):
                valid_until_ms = self._now() + int(WAIT_S * 1000 * self._rate)
                reply = await self._forward(unit, request, valid_until_ms)
            result = "ok"
        except TimeoutError:
            reply, result = _exception(request, NO_ANSWER), ReplyTimeout.result
        except DriverError as error:
            reply, result = _exception(request, _code(error)), error.result
            if isinstance(error, ReplyTimeout) and error.sent:
                self._hush(unit)
        except asyncio.CancelledError:
            self.results["abandoned"] += 1
            raise
        finally:
            self._waiting -= 1
        if result in ("ok", Refused.result):
            self._silent.pop(unit, None)
        self.results[result] += 1
        return reply

    def _hush(self, unit: int) -> None:
        """Leaves a silent unit alone for a while."""
        pause_s = min(2 * self._silent.get(unit, (0.0, SILENT_FIRST_S / 2))[1], SILENT_LONGEST_S)
        self._silent[unit] = (asyncio.get_running_loop().time() + pause_s, pause_s)


class _Client(asyncio.Protocol):
    """One connection of another tool."""

    def __init__(self, tap: Tap, group: asyncio.TaskGroup) -> None:
        self.host = ""
        self.active_s = asyncio.get_running_loop().time()
        """When its last request came."""
        self._tap = tap
        self._group = group
        self._transport: asyncio.Transport | None = None
        self._partial = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes its place, or is closed again."""
        # uvloop's transports have the methods, not the base class.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.host = str(peer[0]) if peer else ""
        watch_peer(transport.get_extra_info("socket"))
        self._transport.set_write_buffer_limits(high=_UNREAD_MOST_BYTES)
        if not self._tap.admit(self):
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Withdraws what it waits for."""
        self._transport = None
        self._tap.gone(self)
        for task in self._tasks:
            task.cancel()

    def abort(self) -> None:
        """Cuts it off."""
        self._tap.gone(self)
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        """It does not take its answers: nobody waits for it."""
        self.abort()

    def data_received(self, data: bytes) -> None:
        """Cuts the stream into requests. Bytes that are none end the connection."""
        self.active_s = asyncio.get_running_loop().time()
        data = self._partial + data
        at = frames = 0
        while len(data) - at >= 8:
            transaction, protocol, length, unit = _MBAP.unpack_from(data, at)
            frames += 1
            if protocol or not 2 <= length <= _LENGTH_MOST or frames > _FRAMES_AT_ONCE:
                self.abort()
                return
            if len(data) - at < 6 + length:
                break
            self._request(transaction, unit, data[at + 7 : at + 6 + length])
            at += 6 + length
        self._partial = data[at:]

    def _request(self, transaction: int, unit: int, request: bytes) -> None:
        if denied := self._tap.denied(unit, request, len(self._tasks)):
            self._reply(transaction, unit, denied)
            return
        task = self._group.create_task(self._pass_on(transaction, unit, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, transaction: int, unit: int, request: bytes) -> None:
        self._reply(transaction, unit, await self._tap.ask(unit, request))

    def _reply(self, transaction: int, unit: int, reply: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_MBAP.pack(transaction, 0, len(reply) + 1, unit) + reply)


def _exception(request: bytes, code: int) -> bytes:
    return bytes((request[0] | 0x80, code))


def _code(error: DriverError) -> int:
    """The exception that tells a client what went wrong: the device's own, or a gateway's."""
    if isinstance(error, Refused):
        return error.code
    if isinstance(error, NoTurn):
        return BUSY
    return NO_PATH if isinstance(error, LinkLost) else NO_ANSWER
