"""Who may give orders: the bearer token, and requests that a foreign web page made a browser send."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path

import structlog
from aiohttp import web
from yarl import URL

from scowl_edge.web.problem import Refused

_LONGEST_TOKEN_FILE = 4096

_log = structlog.get_logger(__name__)


class TokenGate:
    """Compares a request's bearer token with the configured one, read anew for each order: a changed file counts."""

    def __init__(self, token_file: Path | None, token_credential: str | None, environ: Mapping[str, str]) -> None:
        """`token_credential` is a name in `$CREDENTIALS_DIRECTORY` as systemd's LoadCredential makes it."""
        self._path = token_file
        self._why_none = "No token is configured (`http: token:` in the configuration), so orders are not taken."
        if token_file is None and token_credential is not None:
            directory = environ.get("CREDENTIALS_DIRECTORY")
            if directory is None:
                self._why_none = (
                    f"The token is the credential {token_credential!r}, but $CREDENTIALS_DIRECTORY is not set: "
                    "start the daemon under systemd with LoadCredential, or configure `http: token: {file: ...}`."
                )
            else:
                self._path = Path(directory) / token_credential

    async def check(self, request: web.Request) -> None:
        """Returns if the request may give orders.

        Raises:
            Refused: 403 if no token can be had here, 401 if the request's is missing or wrong.
        """
        expected = await self._expected()
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise self._unauthorised(request, "token-missing", "An order needs the header `Authorization: Bearer ...`.")
        if not hmac.compare_digest(given.strip().encode(errors="surrogateescape"), expected):
            raise self._unauthorised(request, "token-wrong", "The bearer token is not the configured one.")

    async def _expected(self) -> bytes:
        if self._path is None:
            raise _no_orders(self._why_none)
        try:
            token = await asyncio.to_thread(_read_token, self._path)
        except OSError as error:
            _log.error("token file cannot be read", path=str(self._path), error=str(error))
            raise _no_orders(
                f"The configured token cannot be read ({error.strerror}), so orders are not taken; see the log."
            ) from error
        if not token:
            _log.error("token file is empty", path=str(self._path))
            raise _no_orders("The configured token file is empty, so orders are not taken.")
        return token

    def _unauthorised(self, request: web.Request, kind: str, detail: str) -> Refused:
        _log.warning("order without a right", path=request.rel_url.raw_path, remote=request.remote, why=detail)
        challenge = 'Bearer realm="scowl-edge"' + (', error="invalid_token"' if kind == "token-wrong" else "")
        return Refused(HTTPStatus.UNAUTHORIZED, kind, "Not authorised", detail, headers={"WWW-Authenticate": challenge})


def _read_token(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LONGEST_TOKEN_FILE).strip()


def _no_orders(detail: str) -> Refused:
    return Refused(HTTPStatus.FORBIDDEN, "orders-not-configured", "Orders are not taken", detail)


def check_origin(request: web.Request, own_host: str) -> None:
    """Refuses orders that a page from elsewhere made a browser send, by its origin or by a name that it points here.

    `own_host` is the address that the daemon listens on. Raises Refused, 403 or 421.
    """
    host = request.headers.get("Host", "")
    name = _host_name(host)
    if name is None or not _is_own(name, own_host):
        raise Refused(
            HTTPStatus.MISDIRECTED_REQUEST,
            "foreign-host",
            "Not this host",
            f"The request is for host {host!r}, which is not a name of this daemon; use its address {own_host}.",
        )
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        _log.warning("order from a foreign origin", path=request.rel_url.raw_path, origin=origin)
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "foreign-origin",
            "Foreign origin",
            f"Orders are taken from this daemon's own pages only; the request's origin is {origin!r}.",
        )


def _host_name(host: str) -> str | None:
    try:
        return URL(f"http://{host}").host
    except ValueError:
        return None


def _is_own(name: str, own_host: str) -> bool:
    if name in (own_host, "localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
