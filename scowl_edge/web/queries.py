"""What may stand behind the `?` of a reading request."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from scowl_edge.web.problem import Refused, faults_of

_LAST_SEQ = 2**63 - 1


class QueryIn(BaseModel):
    """Nothing: for what takes no query."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class LiveQuery(QueryIn):
    """How often the live stream speaks."""

    every: Annotated[float, Field(ge=1, le=60)] = 1.0
    """Least seconds between two messages."""


class EventsQuery(QueryIn):
    """A page of events."""

    before: Annotated[int, Field(ge=1, le=_LAST_SEQ)] | None = None
    """Only events with a smaller number; absent: the newest."""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    """Most events of one answer."""


class EventsCsvQuery(QueryIn):
    """Many events."""

    before: Annotated[int, Field(ge=1, le=_LAST_SEQ)] | None = None
    """Only events with a smaller number; absent: the newest."""
    limit: Annotated[int, Field(ge=1, le=100_000)] = 10_000
    """Most rows."""


class _Span(QueryIn):
    begin: Annotated[AwareDatetime | None, Field(alias="from")] = None
    """ISO 8601 with a zone; absent: 24 h before `to`."""
    end: Annotated[AwareDatetime | None, Field(alias="to")] = None
    """ISO 8601 with a zone; absent: now."""


class TrendQuery(_Span):
    """What of a trend is shown."""

    points: Annotated[int, Field(ge=1, le=2_000)] = 300
    """Most rows; stretches become as long as that takes."""


class TrendCsvQuery(_Span):
    """What of a trend is exported."""

    points: Annotated[int, Field(ge=1, le=20_000)] = 20_000
    """Most rows; stretches become as long as that takes."""


AnyQuery = TypeVar("AnyQuery", bound=QueryIn)


def read_query(request: web.Request, model: type[AnyQuery]) -> AnyQuery:
    """The request's query. Raises Refused, 400, with every fault."""
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        faults = faults_of(error, "query")
        known = ", ".join(field.alias or name for name, field in model.model_fields.items()) or "nothing"
        raise Refused(
            HTTPStatus.BAD_REQUEST,
            "invalid-query",
            "Invalid query",
            f"The query does not fit because of: {', '.join(f.field for f in faults)}; it may hold: {known}. "
            "A + in a time stands for a space there: write %2B, or Z.",
            errors=faults,
        ) from error
