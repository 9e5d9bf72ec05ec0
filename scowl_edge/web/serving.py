"""The socket that the one port is served on: plain on loopback, with TLS anywhere."""

from __future__ import annotations

import asyncio
import errno
import logging
from contextlib import suppress
from typing import cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from scowl_edge.model.errors import ScowlError
from scowl_edge.web.authority import is_loopback
from scowl_edge.web.connection import Connections
from scowl_edge.web.tls import ServerTls, TlsFiles

HANDSHAKE_S = 10.0
_ADVICE = {
    errno.EADDRINUSE: "another program uses it; choose another with `http: listen:` or --http",
    errno.EACCES: "ports below 1024 need a right of their own; choose a higher one",
    errno.EADDRNOTAVAIL: "this machine does not have the address",
}


class ListenError(ScowlError):
    """The port cannot be listened on."""


class Listener:
    """A served app. `url` says where, with the port that a configured port 0 became."""

    def __init__(
        self, runner: web.AppRunner, server: asyncio.Server, url: str, connections: Connections, tls: ServerTls | None
    ) -> None:
        self.url = url
        self.connections = connections
        self.tls = tls
        self._runner = runner
        self._server = server
        self._watch = None if tls is None else asyncio.create_task(tls.watch(), name="certificate")

    async def close(self) -> None:
        """Stops listening and ends open requests within a second."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        self._server.close()
        await self._runner.cleanup()


async def listen(
    app: web.Application,
    host: str,
    port: int,
    *,
    tls: TlsFiles | None = None,
    connections: Connections | None = None,
) -> Listener:
    """Serves the app.

    Raises:
        ListenError: the address cannot be had, or is not loopback and there is no TLS.
        TlsError: certificate and key cannot be used.
    """
    if tls is None and not is_loopback(host):
        raise ListenError(
            f"cannot listen on {host}:{port}: off loopback, tokens would cross the network in the clear; "
            "configure `http: tls:`, or listen on 127.0.0.1"
        )
    secured = None if tls is None else await asyncio.to_thread(ServerTls, tls)
    book = connections or Connections()
    # Bodies stay as sent: orders are small, and what cannot be unpacked would never reach our problem documents.
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=1.0,
        keepalive_timeout=30.0,
        auto_decompress=False,
        logger=_quiet_logger(),
    )
    await runner.setup()
    try:
        server = await asyncio.get_running_loop().create_server(
            lambda: book.guarded(cast(web.Server, runner.server)()),
            host,
            port,
            ssl=None if secured is None else secured.context,
            ssl_handshake_timeout=None if secured is None else HANDSHAKE_S,
        )
    except OSError as error:
        await runner.cleanup()
        advice = _ADVICE.get(error.errno or 0, "check `http: listen:`")
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror or error}; {advice}") from error
    bound = server.sockets[0].getsockname()[1]
    scheme = "http" if secured is None else "https"
    return Listener(runner, server, f"{scheme}://{f'[{host}]' if ':' in host else host}:{bound}", book, secured)


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")[:200]


def _quiet_logger() -> logging.Logger:
    """aiohttp's own words; what a client sends that is no HTTP is its fault, and gets a line instead of a traceback."""
    logger = logging.getLogger("scowl_edge.http")

    def without_traceback(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            record.msg, record.args = (
                "%s: not HTTP as it should be: %s",
                (record.getMessage(), _first_line(error.message)),
            )
            record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
        return True

    if not logger.filters:
        logger.addFilter(without_traceback)
    return logger
