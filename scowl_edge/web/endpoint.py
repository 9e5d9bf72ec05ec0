"""An endpoint as data: the routes and the OpenAPI document come from the same list."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from aiohttp.typedefs import Handler

from scowl_edge.web.orders import SignedIn
from scowl_edge.web.queries import QueryIn


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path."""

    method: Literal["GET", "POST"] = "GET"
    path: str
    """With `{device}`, `{point}` and `{key}` where they stand."""
    handler: Handler
    summary: str
    answer: Any
    """The wire type of the JSON answer; str for a text."""
    status: HTTPStatus = HTTPStatus.OK
    also: tuple[HTTPStatus, ...] = ()
    """Further status codes with an answer of the same type."""
    problems: tuple[HTTPStatus, ...] = ()
    """Status codes of its problem documents."""
    content_type: str = "application/json"
    """Of the answer."""
    query: type[QueryIn] | None = None
    """What may stand behind the `?`."""
    body: type[SignedIn] | None = None
    """What is posted; such an endpoint needs the token."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Name of a place in the path -> what it is."""
