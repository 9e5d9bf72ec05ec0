"""The one port's contents: page, API, live stream, probes and metrics."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from scowl_edge.web.api import Api
from scowl_edge.web.authority import Authority, TokenSource, guard
from scowl_edge.web.live import LiveFeed
from scowl_edge.web.orders import BODY_LIMIT_BYTES
from scowl_edge.web.origin import OriginCheck
from scowl_edge.web.page import Page
from scowl_edge.web.problem import common_headers, problems
from scowl_edge.web.published import Published
from scowl_edge.web.scrape import Exposition, Scrape


def create_app(
    published: Published,
    exposition: Exposition,
    *,
    host: str = "127.0.0.1",
    names: tuple[str, ...] = (),
    operator: TokenSource | None = None,
    viewer: TokenSource | None = None,
    feed: LiveFeed | None = None,
) -> web.Application:
    """All that is served.

    Args:
        published: what there is to show.
        exposition: what `/metrics` serves.
        host: the address it will be served on, which orders must name.
        names: public names beside it.
        operator: the token of who may order; without it nobody may.
        viewer: the token of who may read; without it reading is open on loopback, else the operator's alone.
        feed: the live stream, if somebody else wants to look at its counters.
    """
    feed = feed or LiveFeed(published)
    authority = Authority(
        operator or TokenSource("token", None, None), viewer or TokenSource("viewer", None, None), host
    )
    api = Api(published, feed, authority, OriginCheck(host, names))
    page = Page(published, feed, reading_is_open=authority.reading_open)
    app = web.Application(
        middlewares=[problems, guard(authority), _durable_first(published)], client_max_size=BODY_LIMIT_BYTES
    )
    app.on_response_prepare.append(common_headers)
    app.on_shutdown.append(feed.close)
    app.cleanup_ctx.append(feed.running)
    app.router.add_get("/", page.serve)
    app.router.add_get("/static/{name}", page.serve_static)
    app.router.add_get("/metrics", Scrape(exposition).serve, allow_head=False)
    for endpoint in api.endpoints:
        if endpoint.method == "POST":
            app.router.add_post(endpoint.path, endpoint.handler)
        else:
            # What streams has no length to tell beforehand.
            app.router.add_get(endpoint.path, endpoint.handler, allow_head=endpoint.content_type == "application/json")
    return app


def _durable_first(published: Published) -> Middleware:
    """Nothing is shown that a crash could still undo: who looks while the disk is waited for is answered after it."""

    @web.middleware
    async def settled(request: web.Request, handler: Handler) -> web.StreamResponse:
        await published.settled()
        return await handler(request)

    return settled
