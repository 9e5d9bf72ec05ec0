"""Orders of `/api/v1`: checked, logged, and put into the inbox for the next step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from urllib.parse import quote

import orjson
import structlog
from aiohttp import web

from scowl_edge.model.event import (
    AlarmAction,
    AlarmOrder,
    AnyOrder,
    DeviceMode,
    FlexAim,
    FlexCancel,
    FlexLimit,
    FlexOverride,
    FlexSelect,
    Order,
    Rank,
    RegionMode,
    ValueOrder,
    Veto,
)
from scowl_edge.model.view import ActuatorView, DeviceView, RegionView
from scowl_edge.web import present
from scowl_edge.web.answers import AcceptedOut, ModeAcceptedOut
from scowl_edge.web.authority import Authority
from scowl_edge.web.endpoint import Endpoint
from scowl_edge.web.names import unknown
from scowl_edge.web.orders import (
    WHO,
    WHY,
    AlarmIn,
    AnyIn,
    DeviceOrderIn,
    HoldIn,
    ManualIn,
    OrderIn,
    OverrideIn,
    RegionOrderIn,
    ShelveIn,
    SignedIn,
    VetoIn,
    of_field,
    read_order,
    until_utc_ms,
)
from scowl_edge.web.origin import OriginCheck
from scowl_edge.web.problem import Refused
from scowl_edge.web.published import Published

_PROBLEMS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.MISDIRECTED_REQUEST,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_DEVICE = {"device": "Name of a device in the configuration."}
_ALARM = {"key": "Key of a standing alarm, e.g. device-down:wind-1; a / in it is written %2F."}

VETOABLE = ("consumer", "storage")
"""Kinds of devices that are made use of."""

_log = structlog.get_logger(__name__)


class OrderApi:
    """The endpoints that change something."""

    def __init__(
        self, published: Published, view: Callable[[], RegionView], authority: Authority, origin: OriginCheck
    ) -> None:
        """`view` gives the region after its last step, or raises Refused before the first."""
        self._published = published
        self._view = view
        self._authority = authority
        self._origin = origin
        device, alarm = "/api/v1/devices/{device}", "/api/v1/alarms/{key}"
        self.endpoints = (
            order_endpoint(
                "/api/v1/region/mode",
                self.order_region_mode,
                "Set the mode of the region",
                RegionOrderIn,
                ModeAcceptedOut,
            ),
            order_endpoint("/api/v1/region/hold", self.order_region_hold, "Hold the region, in one action", HoldIn),
            order_endpoint(
                f"{device}/mode",
                self.order_device_mode,
                "Set the mode of a device",
                DeviceOrderIn,
                ModeAcceptedOut,
                _DEVICE,
            ),
            order_endpoint(
                f"{device}/manual",
                self.order_device_manual,
                "Take a device into MANUAL and hold it at a value within its envelope",
                ManualIn,
                parameters=_DEVICE,
            ),
            order_endpoint(
                f"{device}/override",
                self.order_device_override,
                "Set a user's value, which goes before contracts, sheds and economy, behind safety",
                OverrideIn,
                parameters=_DEVICE,
            ),
            order_endpoint(
                f"{device}/veto",
                self.order_device_veto,
                "Keep a device from being made use of, or no longer",
                VetoIn,
                parameters=_DEVICE,
            ),
            order_endpoint(
                f"{alarm}/acknowledge", self.order_alarm_acknowledge, "Acknowledge an alarm", AlarmIn, parameters=_ALARM
            ),
            order_endpoint(
                f"{alarm}/shelve", self.order_alarm_shelve, "Put an alarm out of sight", ShelveIn, parameters=_ALARM
            ),
            order_endpoint(
                f"{alarm}/unshelve",
                self.order_alarm_unshelve,
                "Take an alarm off the shelf",
                AlarmIn,
                parameters=_ALARM,
            ),
        )

    async def order_region_mode(self, request: web.Request) -> web.Response:
        """Sets the region's mode."""
        with told(request):
            asked = await self.read(request, RegionOrderIn)
            return self._set_region(request, asked, asked.mode)

    async def order_region_hold(self, request: web.Request) -> web.Response:
        """Sets the region's mode to hold."""
        with told(request):
            return self._set_region(request, await self.read(request, HoldIn), RegionMode.HOLD)

    def _set_region(self, request: web.Request, asked: OrderIn, mode: str) -> web.Response:
        self._view()
        until_ms = until_utc_ms(asked.until)
        order = Order(target="", mode=mode, who=asked.who, why=asked.why, until_utc_ms=until_ms)
        return self.accept(request, order, "/api/v1/region")

    async def order_device_mode(self, request: web.Request) -> web.Response:
        """Sets a device's mode."""
        with told(request):
            asked = await self.read(request, DeviceOrderIn)
            name, until_ms = self._device(request).name, until_utc_ms(asked.until)
            order = Order(target=name, mode=asked.mode, who=asked.who, why=asked.why, until_utc_ms=until_ms)
            return self.accept(request, order, _place(name))

    async def order_device_manual(self, request: web.Request) -> web.Response:
        """Holds a device at an operator's value."""
        with told(request):
            return self._set_value(request, await self.read(request, ManualIn), Rank.OPERATOR)

    async def order_device_override(self, request: web.Request) -> web.Response:
        """Sets a user's value."""
        with told(request):
            return self._set_value(request, await self.read(request, OverrideIn), Rank.USER)

    def _set_value(self, request: web.Request, asked: ManualIn | OverrideIn, rank: Rank) -> web.Response:
        device = self._device(request)
        if asked.value is not None:
            _check_in_use(self._view(), device)
        _check_envelope(device, asked.verb, asked.value)
        order = ValueOrder(
            device=device.name,
            verb=asked.verb,
            value=asked.value,
            rank=rank,
            who=asked.who,
            why=asked.why,
            until_utc_ms=until_utc_ms(asked.until),
        )
        return self.accept(request, order, _place(device.name))

    async def order_device_veto(self, request: web.Request) -> web.Response:
        """Sets or lifts a veto."""
        with told(request):
            asked = await self.read(request, VetoIn)
            device, until_ms = self._device(request), until_utc_ms(asked.until)
            if device.kind not in VETOABLE:
                raise of_field("body", f"{device.name} is a {device.kind}; a veto is for a consumer or a store.")
            order = Veto(device=device.name, active=asked.active, who=asked.who, why=asked.why, until_utc_ms=until_ms)
            return self.accept(request, order, _place(device.name))

    async def order_alarm_acknowledge(self, request: web.Request) -> web.Response:
        """Acknowledges an alarm."""
        with told(request):
            return self._act(request, await self.read(request, AlarmIn), AlarmAction.ACKNOWLEDGE, 0)

    async def order_alarm_shelve(self, request: web.Request) -> web.Response:
        """Puts an alarm out of sight."""
        with told(request):
            asked = await self.read(request, ShelveIn)
            return self._act(request, asked, AlarmAction.SHELVE, until_utc_ms(asked.until))

    async def order_alarm_unshelve(self, request: web.Request) -> web.Response:
        """Takes an alarm off the shelf."""
        with told(request):
            return self._act(request, await self.read(request, AlarmIn), AlarmAction.UNSHELVE, 0)

    def _act(self, request: web.Request, asked: SignedIn, action: AlarmAction, until_ms: int) -> web.Response:
        key, known = request.match_info["key"], [alarm.key for alarm in self._view().alarms]
        if key not in known:
            raise unknown("standing alarm", key, known)
        order = AlarmOrder(key=key, action=action, who=asked.who, why=asked.why, until_utc_ms=until_ms)
        return self.accept(request, order, "/api/v1/alarms")

    async def read(self, request: web.Request, model: type[AnyIn]) -> AnyIn:
        """The body of a request that may order."""
        self._origin.check(request)
        await self._authority.may_order(request)
        return await read_order(request, model, self._published.utc_ms())

    def _device(self, request: web.Request) -> DeviceView:
        name, devices = request.match_info["device"], {device.name: device for device in self._view().devices}
        if name not in devices:
            raise unknown("device", name, devices)
        return devices[name]

    def accept(self, request: web.Request, order: AnyOrder, location: str) -> web.Response:
        """Puts it into the inbox; `location` is where its effect shows."""
        self._published.order(order)
        _log.info("order taken", path=request.rel_url.raw_path, remote=request.remote, **_shown(order))
        who, why, until = order.who, order.why, present.iso_or_none(order.until_utc_ms)
        answer: AcceptedOut | ModeAcceptedOut
        if isinstance(order, Order) and request.path.endswith("/mode"):
            answer = ModeAcceptedOut(location=location, mode=order.mode, who=who, why=why, until=until)
        else:
            answer = AcceptedOut(location=location, who=who, why=why, until=until)
        return web.Response(
            status=HTTPStatus.ACCEPTED,
            body=orjson.dumps(answer),
            content_type="application/json",
            headers={"Location": location},
        )


def order_endpoint(
    path: str,
    handler: Callable[[web.Request], object],
    summary: str,
    body: type[SignedIn],
    answer: type = AcceptedOut,
    parameters: dict[str, str] | None = None,
    *,
    unknown_name: bool = False,
) -> Endpoint:
    """An order; with `parameters`, or where the body names what it is about, the name may be unknown."""
    return Endpoint(
        method="POST",
        path=path,
        handler=handler,  # type: ignore[arg-type]
        summary=summary,
        answer=answer,
        status=HTTPStatus.ACCEPTED,
        problems=((HTTPStatus.NOT_FOUND,) if parameters or unknown_name else ()) + _PROBLEMS,
        body=body,
        parameters=parameters or {},
    )


@contextmanager
def told(request: web.Request) -> Iterator[None]:
    """Logs an order that is refused, with who it says to be from."""
    try:
        yield
    except (Refused, web.HTTPException) as error:
        _log.warning(
            "order refused",
            path=request.rel_url.raw_path,
            remote=request.remote,
            status=int(error.status),
            because=str(error),
            who=request.get(WHO, ""),
            why=request.get(WHY, ""),
        )
        raise


def _shown(order: AnyOrder) -> dict[str, object]:
    """An order's fields for the log."""
    until = present.iso_or_none(order.until_utc_ms)
    signed: dict[str, object] = {"who": order.who, "why": order.why, "until": until}
    match order:
        case Order():
            return signed | {"target": order.target or "region", "mode": order.mode}
        case ValueOrder():
            return signed | {"target": order.device, "verb": order.verb, "value": order.value, "rank": order.rank.value}
        case Veto():
            return signed | {"target": order.device, "veto": order.active}
        case AlarmOrder():
            return signed | {"target": order.key, "action": order.action.value}
        case FlexAim():
            return signed | {"target": "flexibility", "stretches": len(order.curve), "relative": order.relative}
        case FlexSelect():
            return signed | {"target": order.esa_id, "offer": order.offer_id, "profile": order.profile_id}
        case FlexCancel():
            return signed | {"target": order.select_id, "at": order.at.value}
        case FlexOverride():
            return signed | {"target": order.esa_id, "scope": order.scope.value}
        case FlexLimit():
            return signed | {"target": order.esa_id or order.cem, "active": order.active, "upper_w": order.p_upper_w}


def _check_in_use(view: RegionView, device: DeviceView) -> None:
    """Refuses a value that would not be written: one must not think that it was."""
    if view.mode == RegionMode.ADVISORY:
        why = "The region is in advisory: nothing is written. Set its mode to auto or hold first."
    elif device.mode == DeviceMode.OUT_OF_SERVICE:
        why = f"{device.name} is out of service ({device.mode_who}: {device.mode_why}). Set its mode to auto or manual."
    else:
        return
    raise Refused(HTTPStatus.CONFLICT, "not-in-use", "Not in use", why)


def _check_envelope(device: DeviceView, verb: str, value: int | None) -> None:
    actuators: dict[str, ActuatorView] = {actuator.verb: actuator for actuator in device.actuators}
    actuator = actuators.get(verb)
    if actuator is None:
        has = ", ".join(actuators) or "nothing that can be commanded"
        raise of_field("verb", f"{device.name} has no {verb}; it has {has}.")
    if value is not None and not actuator.low <= value <= actuator.high:
        envelope = f"{actuator.low} to {actuator.high}"
        raise of_field("value", f"{value} is outside of {device.name}'s envelope for {verb}: {envelope}.")


def _place(device: str) -> str:
    return f"/api/v1/devices/{quote(device, safe='')}"
