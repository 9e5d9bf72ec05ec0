"""What an operator may ask for, and how a request's body becomes an order."""

from __future__ import annotations

import asyncio
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, TypeVar

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints, ValidationError

from scowl_edge.web.problem import Refused
from scowl_edge.web.wire import FieldFault, OrderableDeviceMode, OrderableRegionMode

BODY_LIMIT_BYTES = 64 * 1024
BODY_TIMEOUT_S = 5.0

# No control characters nor line ends of any kind: these words go into logs and onto terminals.
_Words = StringConstraints(
    strip_whitespace=True, min_length=1, max_length=400, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
)


class OrderIn(BaseModel):
    """What all orders carry."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    who: Annotated[str, _Words]
    """Who orders it; goes into the journal."""
    why: Annotated[str, _Words]
    """Why; goes into the journal."""
    until: AwareDatetime | None = None
    """ISO 8601 with a zone, in the future; absent: until changed."""


class DeviceOrderIn(OrderIn):
    """Sets the mode of a device."""

    mode: OrderableDeviceMode
    """auto; manual or out-of-service: polled but never written."""


class RegionOrderIn(OrderIn):
    """Sets the mode of the region."""

    mode: OrderableRegionMode
    """advisory: full plan, nothing written; hold: targets stay as they are."""


AnyOrder = TypeVar("AnyOrder", bound=OrderIn)


async def read_order(request: web.Request, model: type[AnyOrder], now_utc_ms: int) -> AnyOrder:
    """Reads and checks the body. Raises Refused (400, 408, 413, 415, 422) with every fault of every field."""
    _check_type(request)
    body = await _read_body(request)
    try:
        order = model.model_validate_json(body)
    except ValidationError as error:
        raise _of_validation(error) from error
    if order.until is not None and until_utc_ms(order.until) <= now_utc_ms:
        fault = FieldFault(field="until", detail=f"{order.until.isoformat()} is not in the future.")
        raise _of_fields([fault])
    return order


def until_utc_ms(until: datetime | None) -> int:
    """The end of an order in ms since 1970; 0 if it has none."""
    return 0 if until is None else int(until.timestamp() * 1000)


def _check_type(request: web.Request) -> None:
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    charset = (request.charset or "utf-8").lower()
    if request.content_type == "application/json" and charset == "utf-8" and encoding == "identity":
        return
    given = request.headers.get("Content-Type", "none")
    raise Refused(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "not-json",
        "Not JSON",
        f"An order is `Content-Type: application/json` in UTF-8, not compressed; this one is {given!r} ({encoding}).",
        headers={"Accept-Post": "application/json"},
    )


async def _read_body(request: web.Request) -> bytes:
    if (request.content_length or 0) > BODY_LIMIT_BYTES:
        raise web.HTTPRequestEntityTooLarge(BODY_LIMIT_BYTES, request.content_length or 0)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError as error:
        raise Refused(
            HTTPStatus.REQUEST_TIMEOUT,
            "body-too-slow",
            "Body too slow",
            f"The body did not arrive within {BODY_TIMEOUT_S:g} s; send it at once.",
            headers={"Connection": "close"},
        ) from error
    except (ClientPayloadError, HttpProcessingError) as error:
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            "body-broken",
            "Broken body",
            "The body's transfer encoding is broken.",
            headers={"Connection": "close"},
        ) from error


def _of_validation(error: ValidationError) -> Refused:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        return Refused(
            HTTPStatus.BAD_REQUEST, "invalid-json", "Invalid JSON", f"The body is not JSON: {faults[0]['msg']}."
        )
    return _of_fields([FieldFault(field=".".join(map(str, f["loc"])) or "body", detail=f["msg"]) for f in faults])


def _of_fields(faults: list[FieldFault]) -> Refused:
    fields = ", ".join(fault.field for fault in faults)
    return Refused(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid-order",
        "Invalid order",
        f"The order was not taken because of: {fields}. See `errors`, and /api/v1/openapi.json for what fits.",
        errors=faults,
    )
