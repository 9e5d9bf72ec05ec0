"""`/api/v1` and the probes: each endpoint reads the published state, two put an order into the inbox."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson
import structlog
from aiohttp import web

from scowl_edge.model.event import Order
from scowl_edge.model.view import RegionView
from scowl_edge.web import present, wire
from scowl_edge.web.authority import TokenGate, check_origin
from scowl_edge.web.endpoint import Endpoint
from scowl_edge.web.openapi import document
from scowl_edge.web.orders import DeviceOrderIn, OrderIn, RegionOrderIn, read_order, until_utc_ms
from scowl_edge.web.points import PointJudge
from scowl_edge.web.problem import Refused
from scowl_edge.web.published import Published

_NOT_YET = (HTTPStatus.SERVICE_UNAVAILABLE,)
_UNKNOWN = (HTTPStatus.NOT_FOUND,)
_ORDER_PROBLEMS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_DEVICE = {"device": "Name of a device in the configuration."}
_POINT = {"point": "Name of a point of that device."}

_log = structlog.get_logger(__name__)


def _json(answer: Any, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(answer), content_type="application/json", headers=headers)


class Api:
    """The endpoints over one published state."""

    def __init__(self, published: Published, gate: TokenGate, own_host: str) -> None:
        """`own_host` is the address listened on, without the port."""
        self._published = published
        self._gate = gate
        self._own_host = own_host
        self._judge = PointJudge(published)
        self.endpoints = self._endpoints()
        self._document = orjson.dumps(document(self.endpoints, published.versions["version"]))

    def _endpoints(self) -> tuple[Endpoint, ...]:
        v1 = "/api/v1"
        return (
            Endpoint(
                path="/healthz",
                handler=self.healthz,
                summary="Whether the daemon itself works",
                answer=wire.HealthOut,
                also=_NOT_YET,
            ),
            Endpoint(
                path="/readyz",
                handler=self.readyz,
                summary="Whether the first step is done and every link was tried once",
                answer=wire.ReadyOut,
                also=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/region",
                handler=self.region,
                summary="The region: balance, mode, ladder",
                answer=wire.RegionOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/trees",
                handler=self.trees,
                summary="Distribution trees with load against safe load",
                answer=wire.TreesOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/devices",
                handler=self.devices,
                summary="All devices",
                answer=wire.DevicesOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/devices/{{device}}",
                handler=self.device,
                summary="One device",
                answer=wire.DeviceOut,
                problems=_UNKNOWN + _NOT_YET,
                parameters=_DEVICE,
            ),
            Endpoint(
                path=f"{v1}/devices/{{device}}/points",
                handler=self.points,
                summary="All points of a device as they are now",
                answer=wire.PointsOut,
                problems=_UNKNOWN,
                parameters=_DEVICE,
            ),
            Endpoint(
                path=f"{v1}/devices/{{device}}/points/{{point}}",
                handler=self.point,
                summary="One point as it is now",
                answer=wire.PointOut,
                problems=_UNKNOWN,
                parameters=_DEVICE | _POINT,
            ),
            Endpoint(
                path=f"{v1}/ratings",
                handler=self.ratings,
                summary="Ratings with their head-room",
                answer=wire.RatingsOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/alarms",
                handler=self.alarms,
                summary="Standing alarms, worst first",
                answer=wire.AlarmsOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path=f"{v1}/decisions",
                handler=self.decisions,
                summary="The last decisions with their reasons, newest first",
                answer=wire.DecisionsOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                method="POST",
                path=f"{v1}/devices/{{device}}/mode",
                handler=self.order_device_mode,
                summary="Set the mode of a device",
                answer=wire.AcceptedOut,
                status=HTTPStatus.ACCEPTED,
                problems=_UNKNOWN + _ORDER_PROBLEMS,
                body=DeviceOrderIn,
                parameters=_DEVICE,
            ),
            Endpoint(
                method="POST",
                path=f"{v1}/region/mode",
                handler=self.order_region_mode,
                summary="Set the mode of the region",
                answer=wire.AcceptedOut,
                status=HTTPStatus.ACCEPTED,
                problems=_ORDER_PROBLEMS,
                body=RegionOrderIn,
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
            name: wire.CheckOut(ok=check.ok, detail=check.detail, vital=check.vital)
            for name, check in self._published.health().items()
        }
        ok = all(check.ok for check in checks.values() if check.vital)
        answer = wire.HealthOut(ok=ok, version=self._published.versions["version"], checks=checks)
        return _json(answer, HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE)

    async def readyz(self, request: web.Request) -> web.Response:
        """200 once the first step is done and every link was tried, else 503."""
        stepped, waiting = self._published.region() is not None, self._judge.links_not_tried()
        ready = stepped and not waiting
        answer = wire.ReadyOut(ready=ready, first_step_done=stepped, links_not_tried=waiting)
        return _json(answer, HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)

    async def openapi(self, request: web.Request) -> web.Response:
        """The OpenAPI document."""
        return web.Response(body=self._document, content_type="application/json")

    async def region(self, request: web.Request) -> web.Response:
        """The region after its last step."""
        return _json(present.region(self._view(), present.oldest_data_s(self._published)))

    async def trees(self, request: web.Request) -> web.Response:
        """All trees."""
        view = self._view()
        return _json(wire.TreesOut(step=view.step, trees=[present.tree(tree) for tree in view.trees]))

    async def devices(self, request: web.Request) -> web.Response:
        """All devices."""
        view = self._view()
        return _json(wire.DevicesOut(step=view.step, devices=[present.device(device) for device in view.devices]))

    async def device(self, request: web.Request) -> web.Response:
        """One device."""
        name, devices = request.match_info["device"], {device.name: device for device in self._view().devices}
        if name not in devices:
            raise _unknown("device", name, devices)
        return _json(present.device(devices[name]))

    async def points(self, request: web.Request) -> web.Response:
        """All points of one device."""
        device = request.match_info["device"]
        indices = self._judge.of_device.get(device)
        if indices is None:
            raise _unknown("device", device, self._judge.of_device)
        return _json(wire.PointsOut(device=device, points=present.points(self._published, self._judge, indices)))

    async def point(self, request: web.Request) -> web.Response:
        """One point."""
        device, name = request.match_info["device"], request.match_info["point"]
        index = self._judge.index.get((device, name))
        if index is None:
            if device not in self._judge.of_device:
                raise _unknown("device", device, self._judge.of_device)
            names = [self._published.points[i].name for i in self._judge.of_device[device]]
            raise _unknown(f"point of {device}", name, names)
        return _json(present.points(self._published, self._judge, [index])[0])

    async def ratings(self, request: web.Request) -> web.Response:
        """All ratings."""
        view = self._view()
        return _json(wire.RatingsOut(step=view.step, ratings=[present.rating(rating) for rating in view.ratings]))

    async def alarms(self, request: web.Request) -> web.Response:
        """All standing alarms."""
        view = self._view()
        return _json(wire.AlarmsOut(step=view.step, alarms=present.alarms(view.alarms)))

    async def decisions(self, request: web.Request) -> web.Response:
        """The last decisions."""
        view = self._view()
        listed = [present.decision(decision) for decision in view.decisions]
        return _json(wire.DecisionsOut(step=view.step, decisions=listed))

    async def order_device_mode(self, request: web.Request) -> web.Response:
        """Puts a device's mode into the inbox."""
        await self._may_order(request)
        order = await read_order(request, DeviceOrderIn, self._published.utc_ms())
        name, known = request.match_info["device"], [device.name for device in self._view().devices]
        if name not in known:
            raise _unknown("device", name, known)
        return self._accept(request, name, order.mode, order, f"/api/v1/devices/{quote(name, safe='')}")

    async def order_region_mode(self, request: web.Request) -> web.Response:
        """Puts the region's mode into the inbox."""
        await self._may_order(request)
        order = await read_order(request, RegionOrderIn, self._published.utc_ms())
        self._view()
        return self._accept(request, "", order.mode, order, "/api/v1/region")

    async def _may_order(self, request: web.Request) -> None:
        check_origin(request, self._own_host)
        await self._gate.check(request)

    def _accept(self, request: web.Request, target: str, mode: str, order: OrderIn, location: str) -> web.Response:
        until_ms = until_utc_ms(order.until)
        self._published.order(Order(target=target, mode=mode, who=order.who, why=order.why, until_utc_ms=until_ms))
        _log.info("order taken", target=target or "region", mode=mode, who=order.who, why=order.why)
        answer = wire.AcceptedOut(
            location=location, mode=mode, who=order.who, why=order.why, until=present.iso_or_none(until_ms)
        )
        return _json(answer, HTTPStatus.ACCEPTED, {"Location": location})

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


def _unknown(what: str, name: str, known: Iterable[str]) -> Refused:
    names = list(known)
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names[:20]) or 'none'}."
    return Refused(HTTPStatus.NOT_FOUND, "unknown-name", "Unknown name", f"There is no {what} {name!r}; {hint}")
