"""`/api/v1` and the probes: what is now; orders, and what was, stand in files of their own."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from scowl_edge.model.view import RegionView
from scowl_edge.web import answers, present
from scowl_edge.web.authority import OPEN, Authority
from scowl_edge.web.endpoint import Endpoint
from scowl_edge.web.flex_api import FlexApi
from scowl_edge.web.history_api import HistoryApi
from scowl_edge.web.live import LiveFeed
from scowl_edge.web.names import unknown
from scowl_edge.web.openapi import document
from scowl_edge.web.order_api import OrderApi
from scowl_edge.web.origin import OriginCheck
from scowl_edge.web.population_api import PopulationApi
from scowl_edge.web.problem import Refused
from scowl_edge.web.published import Published
from scowl_edge.web.queries import LiveQuery, read_query
from scowl_edge.web.wire import DeviceOut, PointOut, RegionOut

_NOT_YET = (HTTPStatus.SERVICE_UNAVAILABLE,)
_UNKNOWN = (HTTPStatus.NOT_FOUND,)
_DEVICE = {"device": "Name of a device in the configuration."}
_POINT = {"point": "Name of a point of that device."}


def _json(answer: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return _text(orjson.dumps(answer), status)


def _text(body: bytes, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")


def _list(name: str, step: int, rendered: bytes) -> web.Response:
    return _text(b'{"step":%d,"%b":%b}' % (step, name.encode(), rendered))


class Api:
    """The endpoints over one published state."""

    def __init__(self, published: Published, feed: LiveFeed, authority: Authority, origin: OriginCheck) -> None:
        self._published = published
        self._feed = feed
        self._authority = authority
        self._judge = feed.judge
        self._age = feed.age
        orders = OrderApi(published, self._view, authority, origin)
        history = HistoryApi(published, self._view, self._index_of)
        of_populations = PopulationApi(self._view, feed)
        flex = FlexApi(published, self._view, orders)
        self.endpoints = (
            *self._endpoints(),
            *of_populations.endpoints,
            *flex.endpoints,
            *history.endpoints,
            *orders.endpoints,
        )
        self._document = b""

    def _endpoints(self) -> tuple[Endpoint, ...]:
        v1 = "/api/v1"
        return (
            Endpoint(
                path="/healthz",
                handler=self.healthz,
                summary="Whether the daemon itself works",
                answer=answers.HealthOut,
                also=_NOT_YET,
            ),
            Endpoint(
                path="/readyz",
                handler=self.readyz,
                summary="Whether the first step is done and every link was tried once",
                answer=answers.ReadyOut,
                also=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/region",
                handler=self.region,
                summary="The region: balance, mode, ladder",
                answer=RegionOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/trees",
                handler=self.trees,
                summary="Distribution trees with load against safe load: those of devices, then those of populations",
                answer=answers.TreesOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/devices",
                handler=self.devices,
                summary="All devices",
                answer=answers.DevicesOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/devices/{{device}}",
                handler=self.device,
                summary="One device",
                answer=DeviceOut,
                problems=_UNKNOWN + _NOT_YET,
                parameters=_DEVICE,
            ),
            Endpoint(
                path=f"{v1}/devices/{{device}}/points",
                handler=self.points,
                summary="All points of a device as they are now",
                answer=answers.PointsOut,
                problems=_UNKNOWN,
                parameters=_DEVICE,
            ),
            Endpoint(
                path=f"{v1}/devices/{{device}}/points/{{point}}",
                handler=self.point,
                summary="One point as it is now",
                answer=PointOut,
                problems=_UNKNOWN,
                parameters=_DEVICE | _POINT,
            ),
            Endpoint(
                path=f"{v1}/freshness",
                handler=self.freshness,
                summary="How far the data of each device can be trusted now, and how old they are",
                answer=answers.FreshnessListOut,
            ),
            Endpoint(
                path=f"{v1}/ratings",
                handler=self.ratings,
                summary="Ratings with their head-room",
                answer=answers.RatingsOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/alarms",
                handler=self.alarms,
                summary="Standing alarms, worst first",
                answer=answers.AlarmsOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/decisions",
                handler=self.decisions,
                summary="The last decisions with their reasons, newest first",
                answer=answers.DecisionsOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/live",
                handler=self.live,
                summary="All of it after each step, as server-sent events: `event: state`, its data a LiveOut",
                answer=str,
                content_type="text/event-stream",
                query=LiveQuery,
                problems=(HTTPStatus.BAD_REQUEST, *_NOT_YET),
            ),
            Endpoint(
                path=f"{v1}/openapi.json",
                handler=self.openapi,
                summary="This document",
                answer=dict[str, Any],
            ),
        )

    async def healthz(self, request: web.Request) -> web.Response:
        """200 while all vital checks are good, else 503."""
        checks = {
            name: answers.CheckOut(ok=check.ok, detail=check.detail, vital=check.vital)
            for name, check in self._published.health().items()
        }
        ok = all(check.ok for check in checks.values() if check.vital)
        answer = answers.HealthOut(ok=ok, version=self._published.versions["version"], checks=checks)
        return _json(answer, HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE)

    async def readyz(self, request: web.Request) -> web.Response:
        """200 once the first step is done and every link was tried, else 503."""
        stepped, waiting = self._published.region() is not None, self._judge.links_not_tried()
        ready = stepped and not waiting
        answer = answers.ReadyOut(ready=ready, first_step_done=stepped, links_not_tried=waiting)
        return _json(answer, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def openapi(self, request: web.Request) -> web.Response:
        """The OpenAPI document."""
        if not self._document:
            # Made when somebody asks: a start should not wait for it.
            self._document = await asyncio.to_thread(self._describe)
        return _text(self._document)

    def _describe(self) -> bytes:
        closed = [] if self._authority.reading_open else [e.path for e in self.endpoints if e.path not in OPEN]
        return orjson.dumps(document(self.endpoints, self._published.versions["version"], closed))

    async def region(self, request: web.Request) -> web.Response:
        """The region after its last step."""
        return _json(present.region(self._view(), self._age.oldest_s()))

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Everything after each step, until the viewer leaves."""
        query = read_query(request, LiveQuery)
        return await self._feed.serve(request, query.every, self._authority.may_read)

    async def trees(self, request: web.Request) -> web.Response:
        """All trees."""
        lists = await self._feed.renderer.lists(self._view())
        return _list("trees", lists.view.step, await self._feed.renderer.all_trees(lists.view))

    async def devices(self, request: web.Request) -> web.Response:
        """All devices."""
        lists = await self._feed.renderer.lists(self._view())
        return _list("devices", lists.view.step, lists.devices)

    async def device(self, request: web.Request) -> web.Response:
        """One device."""
        name, devices = request.match_info["device"], {device.name: device for device in self._view().devices}
        if name not in devices:
            raise unknown("device", name, devices)
        return _json(present.device(devices[name]))

    async def points(self, request: web.Request) -> web.Response:
        """All points of one device."""
        device = request.match_info["device"]
        indices = self._judge.of_device.get(device)
        if indices is None:
            raise unknown("device", device, self._judge.of_device)
        return _json(answers.PointsOut(device=device, points=present.points(self._published, self._judge, indices)))

    async def point(self, request: web.Request) -> web.Response:
        """One point."""
        return _json(present.points(self._published, self._judge, [self._index_of(request)])[0])

    async def freshness(self, request: web.Request) -> web.Response:
        """All devices that are read."""
        return _json(answers.FreshnessListOut(freshness=self._feed.freshness.now()))

    async def ratings(self, request: web.Request) -> web.Response:
        """All ratings."""
        lists = await self._feed.renderer.lists(self._view())
        return _list("ratings", lists.view.step, lists.ratings)

    async def alarms(self, request: web.Request) -> web.Response:
        """All standing alarms."""
        lists = await self._feed.renderer.lists(self._view())
        return _list("alarms", lists.view.step, lists.alarms)

    async def decisions(self, request: web.Request) -> web.Response:
        """The last decisions."""
        lists = await self._feed.renderer.lists(self._view())
        return _list("decisions", lists.view.step, lists.decisions)

    def _index_of(self, request: web.Request) -> int:
        """Index in the table of the point that a request names."""
        device, name = request.match_info["device"], request.match_info["point"]
        index = self._judge.index_of(device, name)
        if index is None:
            if device not in self._judge.of_device:
                raise unknown("device", device, self._judge.of_device)
            names = [self._published.points[i].name for i in self._judge.of_device[device]]
            raise unknown(f"point of {device}", name, names)
        return index

    def _view(self) -> RegionView:
        view = self._published.region()
        if view is None:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "not-yet",
                "Not yet",
                "The region did not do its first step yet; ask again in a second.",
                headers={"Retry-After": "1"},
            )
        return view
