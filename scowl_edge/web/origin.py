"""Requests that a foreign web page made a browser send: told by their origin, and by the name they ask for."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from ipaddress import ip_address

from aiohttp import web
from yarl import URL

from scowl_edge.web.authority import is_loopback
from scowl_edge.web.problem import Refused


class OriginCheck:
    """Takes orders under the daemon's own names, from its own pages, only."""

    def __init__(self, host: str, names: Collection[str] = ()) -> None:
        """`host` is the address listened on, `names` are public ones beside it, without ports."""
        self._host = host
        self._names = {host.lower(), *(name.lower().rstrip(".") for name in names)}

    def check(self, request: web.Request) -> None:
        """Raises Refused, 421 for a foreign name and 403 for a foreign origin."""
        host = request.headers.get("Host", "")
        name = _host_name(host)
        if name is None or not self._is_own(name, request):
            raise Refused(
                HTTPStatus.MISDIRECTED_REQUEST,
                "foreign-host",
                "Not this host",
                f"The request is for host {host!r}, which is not a name of this daemon; use its address {self._host}, "
                "or list the name in `http: names:` of the configuration.",
            )
        origin = request.headers.get("Origin")
        # Behind a proxy that ends TLS, a page of ours has an https origin although the request came plain.
        schemes = ("https",) if request.secure else ("http", "https")
        if origin is not None and origin.lower() not in [f"{scheme}://{host.lower()}" for scheme in schemes]:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "foreign-origin",
                "Foreign origin",
                f"Orders are taken from this daemon's own pages only; the request's origin is {origin!r}.",
            )

    def _is_own(self, name: str, request: web.Request) -> bool:
        if name.lower().rstrip(".") in self._names or is_loopback(name):
            return True
        # Nobody can point an address elsewhere, as one can a name.
        local = request.transport.get_extra_info("sockname") if request.transport is not None else None
        try:
            return local is not None and ip_address(name) == ip_address(local[0])
        except ValueError:
            return False


def _host_name(host: str) -> str | None:
    try:
        return URL(f"http://{host}").host
    except ValueError:
        return None
