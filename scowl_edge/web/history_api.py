"""What was: events and trends, as JSON by the page and as CSV as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from http import HTTPStatus

import orjson
from aiohttp import web

from scowl_edge.model.view import EventView, RegionView
from scowl_edge.web import csv_text, present
from scowl_edge.web.answers import EventsOut, TrendOut
from scowl_edge.web.csv_text import Cell
from scowl_edge.web.endpoint import Endpoint
from scowl_edge.web.problem import Refused
from scowl_edge.web.published import History, Published, TrendRow
from scowl_edge.web.queries import EventsCsvQuery, EventsQuery, TrendCsvQuery, TrendQuery, read_query

PAGE = 500
"""Events fetched at once."""
_DAY_MS = 86_400_000
_FIRST_SEQ = 1
_BAD_QUERY = (HTTPStatus.BAD_REQUEST,)
_ABSENT = (HTTPStatus.SERVICE_UNAVAILABLE,)
_UNKNOWN = (HTTPStatus.NOT_FOUND,)
_POINT = {"device": "Name of a device in the configuration.", "point": "Name of a point of that device."}
_EVENT_HEAD = (
    *("seq", "source_time", "receive_time", "time_trusted", "kind", "source", "priority", "who"),
    *("text", "code"),
)


class HistoryApi:
    """The endpoints over what was."""

    def __init__(
        self, published: Published, view: Callable[[], RegionView], index_of: Callable[[web.Request], int]
    ) -> None:
        """`view` gives the region, `index_of` the point that a request names; both raise Refused."""
        self._published = published
        self._view = view
        self._index_of = index_of
        point = "/api/v1/devices/{device}/points/{point}"
        self.endpoints = (
            Endpoint(
                path="/api/v1/events",
                handler=self.events,
                summary="Events, newest first",
                answer=EventsOut,
                query=EventsQuery,
                problems=_BAD_QUERY + _ABSENT,
            ),
            Endpoint(
                path="/api/v1/events.csv",
                handler=self.events_csv,
                summary="Events as a file, newest first",
                answer=str,
                content_type=csv_text.CONTENT_TYPE,
                query=EventsCsvQuery,
                problems=_BAD_QUERY + _ABSENT,
            ),
            Endpoint(
                path=f"{point}/trend",
                handler=self.trend,
                summary="What a point did over a time: least, mean and greatest value of each stretch",
                answer=TrendOut,
                query=TrendQuery,
                problems=_BAD_QUERY + _UNKNOWN + _ABSENT,
                parameters=_POINT,
            ),
            Endpoint(
                path=f"{point}/trend.csv",
                handler=self.trend_csv,
                summary="The same as a file",
                answer=str,
                content_type=csv_text.CONTENT_TYPE,
                query=TrendCsvQuery,
                problems=_BAD_QUERY + _UNKNOWN + _ABSENT,
                parameters=_POINT,
            ),
        )

    async def events(self, request: web.Request) -> web.Response:
        """A page of events."""
        query = read_query(request, EventsQuery)
        found = await self._page(query.before, query.limit)
        more = bool(found) and found[-1].seq > _FIRST_SEQ and len(found) == query.limit
        answer = EventsOut(events=[present.event(event) for event in found], before=found[-1].seq if more else None)
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    async def events_csv(self, request: web.Request) -> web.StreamResponse:
        """Many events; asked for as the rows go out."""
        query = read_query(request, EventsCsvQuery)
        self._history()
        first = await self._page(query.before, min(PAGE, query.limit))

        async def pages() -> AsyncIterator[Sequence[Sequence[Cell]]]:
            found, left = first, query.limit
            while found:
                yield [_event_row(event) for event in found]
                left -= len(found)
                if left <= 0 or found[-1].seq <= _FIRST_SEQ:
                    return
                found = await self._page(found[-1].seq, min(PAGE, left))

        return await csv_text.send(request, "events", _EVENT_HEAD, pages())

    async def _page(self, before: int | None, most: int) -> list[EventView]:
        """The newest events below a number: what the region still holds, then the store's."""
        held = [event for event in self._view().events if before is None or event.seq < before]
        found = held[:most]
        oldest = found[-1].seq if found else before
        if len(found) == most or oldest == _FIRST_SEQ:
            return found
        history = self._published.history
        if history is None:
            # Without any event in hand nobody can tell whether there ever were older ones.
            if before is not None and not found:
                raise _no_history()
            return found
        return found + list(await history.events(oldest, most - len(found)))

    async def trend(self, request: web.Request) -> web.Response:
        """A point's trend."""
        query = read_query(request, TrendQuery)
        index = self._index_of(request)
        begin_ms, end_ms = self._span(query.begin, query.end)
        rows = await self._rows(index, begin_ms, end_ms, query.points)
        point = self._published.points[index]
        answer = TrendOut(
            device=point.device,
            point=point.name,
            unit=point.unit or "1",
            begin=present.iso(begin_ms),
            end=present.iso(end_ms),
            rows=[present.trend_row(row) for row in rows],
        )
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    async def trend_csv(self, request: web.Request) -> web.StreamResponse:
        """A point's trend as a file."""
        query = read_query(request, TrendCsvQuery)
        index = self._index_of(request)
        rows = await self._rows(index, *self._span(query.begin, query.end), query.points)
        point = self._published.points[index]
        unit = point.unit or "1"

        async def pages() -> AsyncIterator[Sequence[Sequence[Cell]]]:
            yield [(present.iso(row.utc_ms), row.low, row.mean, row.high) for row in rows]

        head = ("time", f"low_{unit}", f"mean_{unit}", f"high_{unit}")
        return await csv_text.send(request, f"{point.device}.{point.name}", head, pages())

    async def _rows(self, index: int, begin_ms: int, end_ms: int, most: int) -> Sequence[TrendRow]:
        return await self._history().trend(index, begin_ms, end_ms, most)

    def _history(self) -> History:
        history = self._published.history
        if history is None:
            raise _no_history()
        return history

    def _span(self, begin: datetime | None, end: datetime | None) -> tuple[int, int]:
        end_ms = self._published.utc_ms() if end is None else int(end.timestamp() * 1000)
        begin_ms = max(0, end_ms - _DAY_MS) if begin is None else int(begin.timestamp() * 1000)
        if not 0 <= begin_ms < end_ms:
            raise Refused(
                HTTPStatus.BAD_REQUEST,
                "invalid-query",
                "Invalid query",
                "`from` must lie before `to`, and after 1970.",
            )
        return begin_ms, end_ms


def _event_row(event: EventView) -> Sequence[Cell]:
    shown = present.event(event)
    trusted = "yes" if shown.time_trusted else "no"
    return (
        *(shown.seq, shown.source_time, shown.receive_time, trusted, shown.kind, shown.source, shown.priority),
        *(shown.who, shown.text.text, shown.text.code),
    )


def _no_history() -> Refused:
    return Refused(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "no-history",
        "No history",
        "Telemetry is off, or its store is broken (see the log and /healthz), so trends and older events are not kept; "
        "`telemetry:` in the configuration turns it on.",
    )
