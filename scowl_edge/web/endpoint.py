"""An endpoint as data: the routes and the OpenAPI document come from the same list."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from scowl_edge.web.orders import OrderIn
from scowl_edge.web.problem import Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path."""

    method: Literal["GET", "POST"] = "GET"
    path: str
    """With `{device}` and `{point}` where they stand."""
    handler: Handler
    summary: str
    answer: Any
    """The wire type of the JSON answer."""
    status: HTTPStatus = HTTPStatus.OK
    also: tuple[HTTPStatus, ...] = ()
    """Further status codes with an answer of the same type."""
    problems: tuple[HTTPStatus, ...] = ()
    """Status codes of its problem documents."""
    body: type[OrderIn] | None = None
    """What is posted; such an endpoint needs the token."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Name of a place in the path -> what it is."""
