"""The one port: page, API, probes and metrics, and the socket that they are served on."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from scowl_edge.model.errors import ScowlError
from scowl_edge.web.api import Api
from scowl_edge.web.authority import TokenGate
from scowl_edge.web.orders import BODY_LIMIT_BYTES
from scowl_edge.web.page import Page
from scowl_edge.web.problem import problems
from scowl_edge.web.published import Published
from scowl_edge.web.scrape import Exposition, Scrape


class ListenError(ScowlError):
    """The port cannot be listened on."""


def create_app(
    published: Published,
    exposition: Exposition,
    *,
    host: str = "127.0.0.1",
    token_file: Path | None = None,
    token_credential: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> web.Application:
    """All that is served; `host` is the address it will be served on, which orders must name."""
    api = Api(published, TokenGate(token_file, token_credential, environ), host)
    page = Page(published)

    app = web.Application(middlewares=[problems], client_max_size=BODY_LIMIT_BYTES)
    app.router.add_get("/", page.serve)
    app.router.add_get("/metrics", Scrape(exposition).serve)
    for endpoint in api.endpoints:
        if endpoint.method == "GET":
            app.router.add_get(endpoint.path, endpoint.handler)
        else:
            app.router.add_post(endpoint.path, endpoint.handler)
    return app


class Listener:
    """A served app. `url` says where, with the port that a configured port 0 became."""

    def __init__(self, runner: web.AppRunner, url: str) -> None:
        self._runner = runner
        self.url = url

    async def close(self) -> None:
        """Stops listening and ends open requests within a second."""
        await self._runner.cleanup()


async def listen(app: web.Application, host: str, port: int) -> Listener:
    """Serves the app. Raises ListenError."""
    # Bodies stay as sent: orders are small, and what cannot be unpacked would never reach our problem documents.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=30.0, auto_decompress=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        advice = {
            errno.EADDRINUSE: "another program uses it; choose another with `http: listen:` or --http",
            errno.EACCES: "ports below 1024 need a right of their own; choose a higher one",
            errno.EADDRNOTAVAIL: "this machine does not have the address",
        }.get(error.errno or 0, "check `http: listen:`")
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror or error}; {advice}") from error
    address = runner.addresses[0]
    shown = f"[{host}]" if ":" in host else host
    return Listener(runner, f"http://{shown}:{address[1]}")
