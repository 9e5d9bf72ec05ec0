"""What an operator may ask for, and how a request's body becomes an order."""

from __future__ import annotations

import asyncio
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, TypeVar

import orjson
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from scowl_edge.web.problem import Refused, faults_of
from scowl_edge.web.wire import FieldFault, OperatorVerb, OrderableDeviceMode, OrderableRegionMode, UserVerb

BODY_LIMIT_BYTES = 64 * 1024
BODY_TIMEOUT_S = 5.0
LONGEST_SHELF_MS = 7 * 86_400_000
"""An alarm that nobody wants to see for longer wants its cause mended, or its limit changed."""
_EXACT = 2**53
"""Integers up to here are the same in every JSON reader."""
_SHOWN = 400
WHO = web.RequestKey("who", str)
WHY = web.RequestKey("why", str)
"""What a request's body says of who ordered and why, for the log."""

# No control characters nor line ends of any kind: these words go into logs and onto terminals.
_Words = StringConstraints(
    strip_whitespace=True, min_length=1, max_length=_SHOWN, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
)


class SignedIn(BaseModel):
    """Who orders and why: all orders carry it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    who: Annotated[str, _Words]
    """Who orders it; goes into the journal."""
    why: Annotated[str, _Words]
    """Why; goes into the journal."""


class OrderIn(SignedIn):
    """An order that may end by itself."""

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


class HoldIn(OrderIn):
    """Holds the region: its targets stay as they are, and nothing new is decided."""


_Value = Annotated[int, Field(ge=-_EXACT, le=_EXACT)]


class ManualIn(OrderIn):
    """Holds a device at an operator's value, or no longer."""

    verb: OperatorVerb
    """Which of the device's actuators: a `verb` of `/api/v1/devices/{device}`."""
    value: _Value | None
    """W; 0 or 1 for connect. Between the actuator's low and high. null takes it back."""


class OverrideIn(OrderIn):
    """Sets a user's value, or takes it back."""

    verb: UserVerb
    """Which of the device's actuators: a `verb` of `/api/v1/devices/{device}`."""
    value: _Value | None
    """W, between the actuator's low and high. null takes it back."""


class VetoIn(OrderIn):
    """Keeps a device from being made use of, or no longer."""

    active: bool


class AlarmIn(SignedIn):
    """Acknowledges an alarm, or takes it off the shelf."""


class ShelveIn(SignedIn):
    """Puts an alarm out of sight for a time."""

    until: AwareDatetime
    """ISO 8601 with a zone, in the future, at most 7 days ahead."""


AnyIn = TypeVar("AnyIn", bound=SignedIn)


async def read_order(request: web.Request, model: type[AnyIn], now_utc_ms: int) -> AnyIn:
    """Reads and checks the body. Raises Refused (400, 408, 413, 415, 422) with every fault of every field.

    Leaves WHO and WHY in the request, as far as the body gives them.
    """
    _check_type(request)
    body = await _read_body(request)
    _note(request, body)
    try:
        order = model.model_validate_json(body)
    except ValidationError as error:
        raise _of_validation(error) from error
    if isinstance(order, OrderIn | ShelveIn) and order.until is not None:
        _check_until(order.until, now_utc_ms, LONGEST_SHELF_MS if isinstance(order, ShelveIn) else None)
    return order


def until_utc_ms(until: datetime | None) -> int:
    """The end of an order in ms since 1970; 0 if it has none."""
    return 0 if until is None else int(until.timestamp() * 1000)


def of_field(field: str, detail: str) -> Refused:
    """422 for one field."""
    return _of_fields([FieldFault(field=field, detail=detail)])


def _check_until(until: datetime, now_utc_ms: int, longest_ms: int | None) -> None:
    at_ms = until_utc_ms(until)
    if at_ms <= now_utc_ms:
        raise of_field("until", f"{until.isoformat()} is not in the future.")
    if longest_ms is not None and at_ms > now_utc_ms + longest_ms:
        raise of_field("until", f"{until.isoformat()} is more than {longest_ms // 86_400_000} days ahead.")


def _note(request: web.Request, body: bytes) -> None:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return
    if isinstance(said, dict):
        for name, key in (("who", WHO), ("why", WHY)):
            if isinstance(said.get(name), str):
                request[key] = said[name][:_SHOWN]


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
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Refused(HTTPStatus.BAD_REQUEST, "invalid-json", "Invalid JSON", f"The body is not JSON: {first['msg']}.")
    return _of_fields(faults_of(error, "body"))


def _of_fields(faults: list[FieldFault]) -> Refused:
    fields = ", ".join(fault.field for fault in faults)
    return Refused(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid-order",
        "Invalid order",
        f"The order was not taken because of: {fields}. See `errors`, and /api/v1/openapi.json for what fits.",
        errors=faults,
    )
