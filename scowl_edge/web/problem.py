"""Every error of the HTTP side as a problem document (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from http import HTTPStatus

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from scowl_edge.model.errors import ScowlError
from scowl_edge.web.wire import FieldFault, Problem

CONTENT_TYPE = "application/problem+json"
_COMMON_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_log = structlog.get_logger(__name__)


class Refused(ScowlError):
    """A request that cannot be answered as asked; becomes the response.

    `kind` names the problem for programs (`urn:scowl-edge:problem:KIND`), `title` and the text are for people.
    """

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[FieldFault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def response(self, request: web.Request) -> web.Response:
        """The problem document."""
        problem = asdict(
            Problem(
                type=f"urn:scowl-edge:problem:{self.kind}",
                title=self.title,
                status=self.status,
                detail=str(self),
                instance=request.rel_url.raw_path,
                errors=list(self.errors) or None,
            )
        )
        if problem["errors"] is None:
            del problem["errors"]
        return web.Response(
            status=self.status, body=orjson.dumps(problem), content_type=CONTENT_TYPE, headers=self.headers
        )


def faults_of(error: ValidationError, whole: str) -> list[FieldFault]:
    """What pydantic found wrong, field by field; `whole` names what the fields lie in."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [FieldFault(field=".".join(map(str, f["loc"])) or whole, detail=f["msg"]) for f in found]


def _of_http_exception(error: web.HTTPException, request: web.Request) -> Refused:
    """What aiohttp itself refuses: unknown paths, methods, bodies that are too large."""
    status = HTTPStatus(error.status)
    path = request.rel_url.raw_path
    kind, detail, headers = f"http-{error.status}", f"{request.method} {path}: {status.phrase}.", {}
    if isinstance(error, web.HTTPNotFound):
        kind, detail = "not-found", f"There is nothing at {path}; /api/v1/openapi.json lists all paths."
    elif isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        kind, detail = "method-not-allowed", f"{path} does not take {request.method}; it takes {allowed}."
        headers = {"Allow": allowed}
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        # The rest of the body is not worth reading.
        kind, headers = "body-too-large", {"Connection": "close"}
        detail = f"The body is larger than the {request.client_max_size} bytes that are taken."
    return Refused(status, kind, status.phrase, detail, headers=headers)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers every failed request with a problem document."""
    try:
        return await handler(request)
    except Refused as refused:
        return refused.response(request)
    except web.HTTPException as error:
        return _of_http_exception(error, request).response(request)
    except Exception as error:  # noqa: BLE001
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            # The client left before its answer was ready; this one reaches nobody either.
            return web.Response(status=HTTPStatus.REQUEST_TIMEOUT)
        # A defect of ours must not end the server, and what it says is nobody's business outside.
        _log.exception("request failed", method=request.method, path=request.rel_url.raw_path)
        return Refused(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal",
            "Internal error",
            "The daemon failed to answer this request; its log says where.",
        ).response(request)


async def common_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries, streams included; a handler that says otherwise is left to it."""
    for name, value in _COMMON_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "scowl-edge"
