"""The dialling side of `scowl-flex/1`: one link to one listener, kept up for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWSTimeout,
    ServerDisconnectedError,
    TCPConnector,
    WSServerHandshakeError,
)

from scowl_edge.contracts import Clock
from scowl_edge.drivers.errors import NotAdmitted
from scowl_edge.drivers.flex.delivery import FlexSink
from scowl_edge.drivers.flex.dialer_http import HttpDialChannel
from scowl_edge.drivers.flex.link import Link, Moments
from scowl_edge.drivers.flex.link_socket import READ_MAX_BYTES, SocketChannel, serve
from scowl_edge.drivers.flex.link_tls import FlexTls, client_context, peer_of
from scowl_edge.drivers.flex.session import Session
from scowl_edge.drivers.flex.session_intake import Rate
from scowl_edge.drivers.flex.session_timing import Timers, back_off_ms
from scowl_edge.model.exchange import NodeRole

SOCKET_PATH = "/flex/v1/ws"
MESSAGES_PATH = "/flex/v1/messages"
CONNECT_S = 10.0
_PATIENT = 6
"""Failures that one for which a person is needed counts as: a minute between attempts, and more soon."""
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_CROWDED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

_log = structlog.get_logger(__name__)


class _WrongPeer(ClientConnectionError):
    """The listener is not the node that it should be."""


class _Connector(TCPConnector):
    """Looks who is there before anything is sent, on every connection."""

    def __init__(self, peer: str, pin: str, **options: Any) -> None:
        super().__init__(**options)
        self._peer, self._pin = peer, pin
        self._newest: asyncio.Transport | None = None

    def abort(self) -> None:
        """Ends the newest connection at once."""
        if self._newest is not None:
            self._newest.abort()

    async def connect(self, *args: Any, **options: Any) -> Any:
        """As the base. Raises _WrongPeer."""
        connection = await super().connect(*args, **options)
        transport = connection.transport
        try:
            shown = peer_of(
                None if transport is None else transport.get_extra_info("ssl_object"),
                {self._peer: self._pin} if self._pin else {},
            )
            if shown.node != self._peer:
                raise NotAdmitted(f"the listener is {shown.node}, not {self._peer}; is the address right?")
        except NotAdmitted as error:
            connection.close()
            raise _WrongPeer(str(error)) from None
        self._newest = transport
        return connection


class FlexDialer:
    """A link that this node keeps up to a listener."""

    def __init__(
        self,
        name: str,
        node: str,
        role: NodeRole,
        peer: str,
        url: str,
        tls: FlexTls,
        sink: FlexSink,
        clock: Clock,
        *,
        seed: int,
        pin: str = "",
        timers: Timers | None = None,
        rate: Rate | None = None,
        fallback_after: int = 3,
        clock_rate: float = 1.0,
    ) -> None:
        """`url` as `https://host:port`; `pin` is the SHA-256 fingerprint that the peer must have, if it is known.

        `clock_rate` is how much faster than the machine the clock runs.

        After `fallback_after` WebSockets in a row that came to nothing, HTTPS is used.
        """
        self.timers = timers or Timers()
        session = Session(node, role, peer, dials=True, seed=seed, timers=self.timers, rate=rate)
        self.link = Link(name, session, sink, Moments(clock, clock_rate))
        self.over_https = False
        """How the present or last connection was made."""
        self._url = url.rstrip("/")
        self._tls = tls
        self._pin = pin
        self._clock, self._clock_rate = clock, clock_rate
        self._seed = seed
        self._fallback_after = fallback_after
        self._no_upgrade = 0
        self._permanent = False

    async def run(self) -> None:
        """Connects, and connects again, until cancelled."""
        failures = 0
        try:
            while True:
                began_ms = self._clock.mono_ms()
                cause = await self._once()
                self.link.failed(cause)
                steady = self._clock.mono_ms() - began_ms >= self.timers.steady_ms
                if self._permanent or self.link.permanent:
                    failures = max(failures + 1, _PATIENT)
                else:
                    failures = 0 if steady else failures + 1
                pause_ms = back_off_ms(self.timers, failures, self._seed, self.link.name, began_ms)
                _log.info("flex link waits", link=self.link.name, why=cause, seconds=pause_ms // 1_000)
                await asyncio.sleep(pause_ms / 1_000 / self._clock_rate)
        finally:
            self.link.rest()

    async def _once(self) -> str:
        """One connection, from its beginning to its end. Returns why it ended."""
        self._permanent = False
        self.over_https = self._no_upgrade >= self._fallback_after
        try:
            # Read anew each time, so that renewed certificates are taken.
            context = await asyncio.to_thread(client_context, self._tls)
            connector = _Connector(self.link.session.peer, self._pin, ssl=context, limit=4)
            timeout = ClientTimeout(total=None, sock_connect=CONNECT_S)
            async with ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as http:
                if self.over_https:
                    # When this ends, a WebSocket is tried once before HTTPS is used again.
                    self._no_upgrade -= 1
                    return await HttpDialChannel(self.link, http, self._url + MESSAGES_PATH).run()
                return await self._over_socket(http, connector.abort)
        except (NotAdmitted, _WrongPeer, ClientConnectorCertificateError) as error:
            self._permanent = True
            return str(error)
        except (ClientError, OSError, TimeoutError) as error:
            return str(error) or f"{type(error).__name__} at {self._url}"

    async def _over_socket(self, http: ClientSession, abort: Callable[[], None]) -> str:
        ping_s = float(self.timers.ping_s)
        try:
            async with asyncio.timeout(2 * CONNECT_S):
                socket = await http.ws_connect(
                    self._url + SOCKET_PATH,
                    heartbeat=ping_s,
                    max_msg_size=READ_MAX_BYTES,
                    compress=0,
                    decode_text=False,
                    autoclose=False,
                    timeout=ClientWSTimeout(ws_close=5.0),
                )
        except (WSServerHandshakeError, ServerDisconnectedError) as error:
            status = error.status if isinstance(error, WSServerHandshakeError) else 0
            if status in _REFUSED:
                self._permanent = True
                return f"{self._url} does not admit this node ({status}); is its certificate by the right issuer?"
            if status not in _CROWDED:
                self._no_upgrade += 1
            return f"{self._url} makes no WebSocket: {error}"
        before = self.link.session.session_id
        cause = await serve(self.link, socket, SocketChannel(socket, abort))
        greeted = self.link.session.session_id != before
        # Some that stand in between let the upgrade through, and no frame after it.
        self._no_upgrade = 0 if greeted or self.link.permanent else self._no_upgrade + 1
        return cause
