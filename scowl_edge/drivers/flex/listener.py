"""The listening side of `scowl-flex/1`: a port of its own with mutual TLS, WebSocket and HTTPS, one link a peer."""

from __future__ import annotations

import asyncio
import errno
import logging
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import cast

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from scowl_edge.contracts import Clock
from scowl_edge.drivers.errors import NotAdmitted
from scowl_edge.drivers.flex import http_side
from scowl_edge.drivers.flex.acceptance import Acceptance, bound
from scowl_edge.drivers.flex.delivery import FlexSink
from scowl_edge.drivers.flex.envelope import FRAME_MAX_BYTES
from scowl_edge.drivers.flex.link import Link, Moments
from scowl_edge.drivers.flex.link_socket import READ_MAX_BYTES, SocketChannel, serve
from scowl_edge.drivers.flex.link_tls import FlexTls, PeerCertificate, peer_of, server_context
from scowl_edge.drivers.flex.session import Session
from scowl_edge.drivers.flex.session_intake import Rate
from scowl_edge.drivers.flex.session_timing import Timers
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.exchange import Code, Message, NodeRole

SOCKET_PATH = "/flex/v1/ws"
MESSAGES_PATH = "/flex/v1/messages"
REQUEST_S = 10.0
"""Longest time from the connection to the first bytes of a request."""
LOOK_AGAIN_S = 10.0
"""How often the files of TLS and the ends of certificates are looked at."""
MOST_PER_PEER = 4
MOST_CONNECTIONS = 10_000
MOST_IDS = 16_000_000
"""Ids that are known of all peers together, 12 bytes each; each peer has an equal part of it."""
_LEAST_IDS, _USUAL_IDS = 256, 65_536
_ADVICE = {
    errno.EADDRINUSE: "another program uses it; choose another with `flex: listen:`",
    errno.EACCES: "ports below 1024 need a right of their own; choose a higher one",
    errno.EADDRNOTAVAIL: "this machine does not have the address",
}

_log = structlog.get_logger(__name__)
_Handler = Callable[[Link, web.Request], Awaitable[web.StreamResponse]]


class FlexListenError(ScowlError):
    """The port for flexibility cannot be listened on."""


class FlexListener:
    """All links of peers that connect to this node."""

    def __init__(
        self,
        node: str,
        role: NodeRole,
        tls: FlexTls,
        sink: FlexSink,
        clock: Clock,
        *,
        seed: int,
        pins: Mapping[str, str] | None = None,
        only_pinned: bool = False,
        timers: Timers | None = None,
        rate: Rate | None = None,
        clock_rate: float = 1.0,
    ) -> None:
        """`pins` are SHA-256 fingerprints by node id; with `only_pinned` nobody else is admitted."""
        self.node, self.role = node, role
        self.url = ""
        self.refused_total = 0
        """Connections and requests that were not admitted."""
        self.floor_ms = 0
        """UTC: what peers were answered until then may not be known any more, of those either that come later."""
        self._tls = tls
        self._sink = sink
        self._moments = Moments(clock, clock_rate)
        self._seed = seed
        self._pins = dict(pins or {})
        self._only_pinned = only_pinned
        self._timers = timers or Timers()
        self._rate = rate or Rate()
        self._links: dict[str, Link] = {}
        self._shown: dict[str, PeerCertificate] = {}
        self._open: Counter[str] = Counter()
        self._connections: set[_Admission] = set()
        self._context: ssl.SSLContext | None = None
        self._stamp: tuple[tuple[int, int, int], ...] = ()
        self._told = ""
        self._runner: web.AppRunner | None = None
        self._acceptance: Acceptance | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> None:
        """Listens; `url` says where.

        Raises:
            FlexListenError: the address cannot be had.
            NotAdmitted: certificate, key or issuers cannot be used.
        """
        self._stamp, self._context = await asyncio.to_thread(self._load)
        outer = await asyncio.to_thread(server_context, self._tls)
        outer.sni_callback = self._choose
        app = web.Application(client_max_size=FRAME_MAX_BYTES + 1)
        app.router.add_get(SOCKET_PATH, self._known(self._socket))
        app.router.add_get(MESSAGES_PATH, self._known(http_side.get))
        app.router.add_post(MESSAGES_PATH, self._known(http_side.post))
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=60.0, auto_decompress=False, logger=_quiet()
        )
        await self._runner.setup()
        try:
            listening = await bound(host, port)
        except OSError as error:
            await self._runner.cleanup()
            advice = _ADVICE.get(error.errno or 0, "check `flex: listen:`")
            raise FlexListenError(
                f"cannot listen for flexibility on {host}:{port}: {error.strerror or error}; {advice}"
            ) from error
        self._acceptance = Acceptance(listening, outer, self._admission)
        self.url = f"https://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        self._watch = asyncio.create_task(self._look(), name="flex-certificates")

    async def close(self) -> None:
        """Stops listening and closes all links."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        if self._acceptance is not None:
            await self._acceptance.close()
        for link in self._links.values():
            link.drop("this node stops")
        if self._runner is not None:
            await self._runner.cleanup()
        for admission in tuple(self._connections):
            admission.abort()
        for link in self._links.values():
            link.rest()

    def link(self, name: str) -> Link:
        """The link of a peer, by its node id; made if there was none, so that ids can be restored before it comes."""
        found = self._links.get(name)
        if found is None:
            session = Session(
                self.node,
                self.role,
                name,
                dials=False,
                seed=self._seed,
                timers=self._timers,
                rate=self._rate,
            )
            session.remember((), self.floor_ms, self._moments.now())
            found = self._links[name] = Link(name, session, self._sink, self._moments)
            # For as many links as there may be before their number doubles; then the parts are made anew.
            room = 1 << (len(self._links) - 1).bit_length()
            most = max(_LEAST_IDS, min(_USUAL_IDS, MOST_IDS // room))
            for each in self._links.values() if len(self._links) * 2 == room + 2 else (found,):
                each.session.keep_ids(most)
        return found

    @property
    def links(self) -> Mapping[str, Link]:
        """By the peer's node id: all that ever connected, or were asked for."""
        return self._links

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._connections)

    def send(self, name: str, message: Message, until_ms: int | None = None) -> str:
        """As `Link.send`."""
        return self.link(name).send(message, until_ms)

    def stored(self, name: str, message_id: str) -> None:
        """As `Link.stored`."""
        self.link(name).stored(message_id)

    def refused(self, name: str, message_id: str, code: Code, detail: str) -> None:
        """As `Link.refused`."""
        self.link(name).refused(message_id, code, detail)

    def pin(self, pins: Mapping[str, str]) -> None:
        """Replaces all pins; links of peers that do not fit any more are closed."""
        self._pins = dict(pins)
        for name, shown in list(self._shown.items()):
            pinned = self._pins.get(name)
            if (pinned is None and self._only_pinned) or (pinned is not None and pinned.lower() != shown.fingerprint):
                self._expel(name, "the certificate is not the one that is pinned")

    async def refresh(self) -> None:
        """Looks once whether files changed or a peer's certificate has ended.

        After a change all links are closed, and their peers judged anew when they come back.
        """
        now = self._moments.now()
        for name, shown in list(self._shown.items()):
            # A certificate ends by the world's time; where a simulation's runs ahead of it, TLS alone is the judge.
            if now.utc_ok and self._moments.rate == 1 and shown.until_utc_ms <= now.utc_ms:
                self._expel(name, "the peer's certificate has expired")
        try:
            if await asyncio.to_thread(self._tls.stamp) == self._stamp:
                return
            self._stamp, self._context = await asyncio.to_thread(self._load)
        except (OSError, NotAdmitted) as error:
            # Files are often replaced one after the other: the next look finds all.
            if str(error) != self._told:
                self._told = str(error)
                _log.error("flex certificates not replaced; the last good ones stay", why=str(error))
            return
        self._told = ""
        _log.info("flex certificates replaced; all peers connect anew", links=len(self._shown))
        for name in list(self._shown):
            self._expel(name, "certificates changed; connect again")

    # Inside.

    def _load(self) -> tuple[tuple[tuple[int, int, int], ...], ssl.SSLContext]:
        stamp = self._tls.stamp() if self._tls.ca.exists() else ()
        return stamp, server_context(self._tls)

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        # In each handshake, so that changed files count for new connections.
        if self._context is not None:
            connection.context = self._context

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            await self.refresh()

    def _expel(self, name: str, cause: str) -> None:
        self._shown.pop(name, None)
        link = self._links.get(name)
        if link is not None:
            link.drop(cause, permanent=True)
        for admission in tuple(self._connections):
            if admission.node == name:
                # In order first, where the link has it; then whatever else this peer holds open.
                asyncio.get_running_loop().call_later(1.0, admission.abort)

    def _admission(self) -> asyncio.Protocol:
        assert self._runner is not None
        return _Admission(cast(web.Server, self._runner.server)(), self)

    def _known(self, handler: _Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def admitted(request: web.Request) -> web.StreamResponse:
            transport = request.transport
            if transport is None:
                return web.Response(status=HTTPStatus.BAD_REQUEST)
            try:
                shown = peer_of(transport.get_extra_info("ssl_object"), self._pins)
                if self._only_pinned and shown.node not in self._pins:
                    raise NotAdmitted(f"no fingerprint is pinned for {shown.node}")
                if shown.node == self.node:
                    raise NotAdmitted(f"{shown.node} is this node itself")
            except NotAdmitted as error:
                self.refused_total += 1
                _log.warning("flex peer refused", why=str(error), remote=request.remote)
                answer = http_side.refused(Code.AUTH_FAILED, str(error))
                answer.force_close()
                return answer
            self._shown[shown.node] = shown
            return await handler(self.link(shown.node), request)

        return admitted

    async def _socket(self, link: Link, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            heartbeat=float(self._timers.ping_s),
            max_msg_size=READ_MAX_BYTES,
            compress=False,
            decode_text=False,
            autoclose=False,
            timeout=5.0,
        )
        if not socket.can_prepare(request):
            return http_side.refused(Code.SCHEMA, f"{SOCKET_PATH} is for WebSockets; or use {MESSAGES_PATH}", 426)
        transport = request.transport
        assert transport is not None
        await socket.prepare(request)
        await serve(link, socket, SocketChannel(socket, transport.abort))
        return socket


class _Admission(asyncio.Protocol):
    """Bounds what connections may cost before they are links; hands everything on to the protocol within."""

    __slots__ = ("_inner", "_limit", "_listener", "_transport", "node")

    def __init__(self, inner: asyncio.Protocol, listener: FlexListener) -> None:
        self._inner: asyncio.Protocol | None = inner
        self._listener = listener
        self._limit: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.node = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done."""
        # uvloop's transports have the methods, not the base class.
        self._transport = cast(asyncio.Transport, transport)
        listener, inner = self._listener, self._inner
        with suppress(NotAdmitted):
            # Whom it refuses it tells over HTTP; here it only counts.
            self.node = peer_of(transport.get_extra_info("ssl_object"), {}).node
        if len(listener._connections) >= MOST_CONNECTIONS or listener._open[self.node] >= MOST_PER_PEER:
            listener.refused_total += 1
            self._inner = None
            self._transport.abort()
            return
        listener._connections.add(self)
        listener._open[self.node] += 1
        self._limit = asyncio.get_running_loop().call_later(REQUEST_S, self.abort)
        if inner is not None:
            inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts it out."""
        self._quiet()
        if self._inner is None:
            return
        listener = self._listener
        listener._connections.discard(self)
        listener._open[self.node] -= 1
        if not listener._open[self.node]:
            del listener._open[self.node]
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hands on."""
        self._quiet()
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Hands on."""
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        """Hands on."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Hands on."""
        if self._inner is not None:
            self._inner.resume_writing()

    def abort(self) -> None:
        """Ends it at once."""
        if self._transport is not None:
            self._transport.abort()

    def _quiet(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None


def _quiet() -> logging.Logger:
    """aiohttp's own words; what a peer sends that is no HTTP gets a line instead of a traceback."""
    logger = logging.getLogger("scowl_edge.flex.http")

    def without_traceback(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg, record.args = "not HTTP as it should be: %s", (str(error.message)[:200],)
            record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
        return True

    if not logger.filters:
        logger.addFilter(without_traceback)
    return logger
