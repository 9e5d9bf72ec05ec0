"""Who may read and who may order: bearer tokens of a viewer and an operator."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from scowl_edge.web.problem import Refused

_LONGEST_TOKEN_FILE = 4096
OPEN = frozenset({"/", "/healthz", "/readyz"})
"""Answered without a token: the page asks for one before it shows anything, and the probes tell little."""
OPEN_FOLDER = "/static/"
"""Parts of the page."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why there is no token to compare with, in a sentence for who asks."""

    why: str


class TokenSource:
    """Where a token comes from; read anew each time, so that a changed file counts at once."""

    def __init__(
        self, key: str, file: Path | None, credential: str | None, environ: Mapping[str, str] = os.environ
    ) -> None:
        """`key` is its name in the configuration; `credential` one in `$CREDENTIALS_DIRECTORY`, as systemd makes it."""
        self.configured = file is not None or credential is not None
        self._path = file
        self._why_none = f"No token is configured (`http: {key}:` in the configuration)"
        if file is None and credential is not None:
            directory = environ.get("CREDENTIALS_DIRECTORY")
            if directory is None:
                self._why_none = (
                    f"The token is the credential {credential!r}, but $CREDENTIALS_DIRECTORY is not set: "
                    f"start the daemon under systemd with LoadCredential, or configure `http: {key}: {{file: ...}}`"
                )
            else:
                self._path = Path(directory) / credential

    async def token(self) -> bytes | Unreadable:
        """The token, or why there is none; what is wrong with a file is logged."""
        if self._path is None:
            return Unreadable(self._why_none)
        try:
            token = await asyncio.to_thread(_read_token, self._path)
        except OSError as error:
            _log.error("token file cannot be read", path=str(self._path), error=str(error))
            return Unreadable(f"The configured token cannot be read ({error.strerror}); see the log")
        if not token:
            _log.error("token file is empty", path=str(self._path))
            return Unreadable("The configured token file is empty")
        return token


def _read_token(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LONGEST_TOKEN_FILE).strip()


class Authority:
    """Says what a request may do by the bearer token that it carries."""

    def __init__(self, operator: TokenSource, viewer: TokenSource, host: str) -> None:
        """`host` is the address listened on: without a viewer's token, reading is open on loopback only."""
        self._operator = operator
        self._viewer = viewer
        self.reading_open = not viewer.configured and is_loopback(host)

    async def may_read(self, request: web.Request) -> None:
        """Raises Refused, 401 or 403, unless reading is open or the token is the viewer's or the operator's."""
        if self.reading_open:
            return
        given = _bearer(request)
        if given is None:
            raise _challenge("token-missing", "Reading needs the header `Authorization: Bearer ...`.")
        missing = ""
        for source in (self._operator, self._viewer):
            expected = await source.token()
            if isinstance(expected, Unreadable):
                missing = missing or (expected.why if source.configured else "")
            elif _same(given, expected):
                return
        if missing:
            raise Refused(HTTPStatus.FORBIDDEN, "reading-not-configured", "Not readable", f"{missing}.")
        _log.warning("read without a right", path=request.rel_url.raw_path, remote=request.remote)
        raise _challenge("token-wrong", "The bearer token is neither the viewer's nor the operator's.")

    async def may_order(self, request: web.Request) -> None:
        """Raises Refused unless the token is the operator's: 401 if it is missing or wrong, 403 if it is the viewer's.

        403 also if no operator's token is to be had here.
        """
        expected = await self._operator.token()
        if isinstance(expected, Unreadable):
            why = f"{expected.why}, so orders are not taken."
            raise Refused(HTTPStatus.FORBIDDEN, "orders-not-configured", "Orders are not taken", why)
        given = _bearer(request)
        if given is None:
            raise _challenge("token-missing", "An order needs the header `Authorization: Bearer ...`.")
        viewer = await self._viewer.token()
        looks = not isinstance(viewer, Unreadable) and _same(given, viewer)
        if not _same(given, expected):
            if looks:
                raise _not_an_operator("This token is the viewer's and may only read; orders need the operator's.")
            raise _challenge("token-wrong", "The bearer token is not the configured one.")
        if looks:
            raise _not_an_operator("The viewer's token and the operator's are the same; the operator needs another.")


def guard(authority: Authority) -> Middleware:
    """Lets only who may read reach anything but the page's own parts and the probes.

    What nobody serves (404, 405) tells nothing; orders ask for more by themselves.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        if resource is not None and request.method in ("GET", "HEAD"):
            path = resource.canonical
            if path not in OPEN and not path.startswith(OPEN_FOLDER):
                await authority.may_read(request)
        return await handler(request)

    return guarded


def _not_an_operator(detail: str) -> Refused:
    return Refused(HTTPStatus.FORBIDDEN, "viewer-only", "Not allowed", detail)


def _bearer(request: web.Request) -> bytes | None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    token = given.strip().encode(errors="surrogateescape")
    return token if scheme.lower() == "bearer" and token else None


def _same(given: bytes, expected: bytes) -> bool:
    return hmac.compare_digest(given, expected)


def _challenge(kind: str, detail: str) -> Refused:
    challenge = 'Bearer realm="scowl-edge"' + (', error="invalid_token"' if kind == "token-wrong" else "")
    return Refused(HTTPStatus.UNAUTHORIZED, kind, "Not authorised", detail, headers={"WWW-Authenticate": challenge})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; a name other than localhost is taken to be reachable."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
