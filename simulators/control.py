"""The control port: HTTP on loopback for weather, load, time and faults, and for the plant's own truth."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any, Protocol, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from scowl_edge.assembly import Assembly
from simulators.faults import Fault, FaultKind, ServerAction
from simulators.plant import Plant, SimulationError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BodyT = TypeVar("_BodyT", bound="Body")


class Clock(Protocol):
    """What the control port asks of the plant's clock."""

    rate: float


class Server(Protocol):
    """What the control port asks of a server that sessions are opened with."""

    async def act(self, action: ServerAction) -> None:
        """Does something to it as a whole."""

    def described(self) -> dict[str, object]:
        """How it fares."""


class Body(BaseModel):
    """What is sent to the control port: no key that is not known."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class WeatherBody(Body):
    """POST /weather."""

    wind: float | None = Field(None, ge=0, le=1)
    """Fraction of rated power that the wind gives."""
    sun: float | None = Field(None, ge=0, le=1)


class LoadBody(Body):
    """POST /load."""

    fraction: float = Field(ge=0, le=10)
    """1 = normal."""
    device: str | None = None
    """Only this consumer, on top of everyone's level; absent: all."""


class RateBody(Body):
    """POST /rate."""

    rate: float = Field(ge=0.01, le=1000)


class UnmeteredBody(Body):
    """POST /unmetered."""

    rating: str
    power_w: float


class FaultBody(Body):
    """POST /faults. Names either one device or a link with all its devices."""

    kind: str
    device: str | None = None
    link: str | None = None
    ms: int = Field(0, ge=0)
    code: int = Field(4, ge=1, le=255)
    signal: str = ""
    value: float = 0.0
    every_s: float = Field(1.0, gt=0)
    for_s: float | None = Field(None, gt=0)


class ActionBody(Body):
    """POST /servers/L."""

    action: str


class Refused(Exception):
    """A request that cannot be served, with its status and reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class ControlPort:
    """Serves the control port of one plant."""

    def __init__(
        self,
        plant: Plant,
        clock: Clock,
        assembly: Assembly,
        servers: Mapping[str, Server],
        catch_up: Callable[[], None],
    ) -> None:
        self._plant = plant
        self._servers = servers
        self._clock = clock
        self._links = {link.name: [device.name for device in link.devices] for link in assembly.links}
        self._catch_up = catch_up
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens; the port that it got, if 0 was asked for."""
        application = web.Application(middlewares=[self._guarded], client_max_size=65_536)
        application.router.add_get("/truth", self._truth)
        application.router.add_get("/truth/{device}", self._truth)
        application.router.add_get("/writes", self._writes)
        application.router.add_get("/clock", self._tell_clock)
        application.router.add_get("/faults", self._list_faults)
        application.router.add_post("/faults", self._add_fault)
        application.router.add_delete("/faults", self._clear_faults)
        application.router.add_delete("/faults/{device}", self._clear_faults)
        application.router.add_get("/servers", self._list_servers)
        application.router.add_post("/servers/{link}", self._act)
        application.router.add_post("/weather", self._weather)
        application.router.add_post("/load", self._load)
        application.router.add_post("/rate", self._rate)
        application.router.add_post("/unmetered", self._unmetered)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every request sees the plant at the present; every refusal is JSON, in words."""
        try:
            self._catch_up()
            return await handler(request)
        except Refused as refused:
            return _json({"error": str(refused)}, refused.status)
        except SimulationError as error:
            return _json({"error": str(error)}, 404 if request.method in ("GET", "DELETE") else 400)
        except web.HTTPException as error:
            known = (
                "GET /truth, /truth/D, /writes, /faults, /clock, /servers; "
                "POST /weather, /load, /rate, /faults, /unmetered, /servers/L; "
            )
            reason = f"{request.method} {request.path}: {error.reason}; there are {known}DELETE /faults, /faults/D"
            return _json({"error": reason}, error.status)

    async def _truth(self, request: web.Request) -> web.Response:
        device = request.match_info.get("device")
        return _json(self._plant.whole_truth() if device is None else self._plant.truth(device))

    async def _writes(self, request: web.Request) -> web.Response:
        writes = self._plant.accepted
        device = request.query.get("device")
        if device is not None:
            self._plant.index(device)
            writes = [write for write in writes if write.device == device]
        return _json([asdict(write) for write in writes])

    async def _tell_clock(self, request: web.Request) -> web.Response:
        return _json({"now_ms": self._plant.now_ms, "rate": self._clock.rate})

    async def _weather(self, request: web.Request) -> web.Response:
        body = await _body(request, WeatherBody)
        if body.wind is None and body.sun is None:
            raise Refused(400, 'POST /weather: neither wind nor sun is given; send e.g. {"wind": 0.8}')
        self._plant.set_weather(body.wind, body.sun)
        return _json({"wind": body.wind, "sun": body.sun})

    async def _load(self, request: web.Request) -> web.Response:
        body = await _body(request, LoadBody)
        if body.device is None:
            self._plant.set_load(body.fraction)
        else:
            self._plant.set_load_of(body.device, body.fraction)
        return _json({"fraction": body.fraction, "device": body.device})

    async def _rate(self, request: web.Request) -> web.Response:
        body = await _body(request, RateBody)
        self._clock.rate = body.rate
        return await self._tell_clock(request)

    async def _unmetered(self, request: web.Request) -> web.Response:
        body = await _body(request, UnmeteredBody)
        self._plant.set_unmetered(body.rating, body.power_w)
        return _json({"rating": body.rating, "power_w": body.power_w})

    async def _list_faults(self, request: web.Request) -> web.Response:
        return _json({device: [asdict(fault) for fault in faults] for device, faults in self._plant.faults().items()})

    async def _add_fault(self, request: web.Request) -> web.Response:
        body = await _body(request, FaultBody)
        try:
            kind = FaultKind(body.kind.replace("_", "-"))
        except ValueError:
            known = ", ".join(FaultKind)
            raise Refused(400, f"POST /faults: there is no fault {body.kind!r}; known are: {known}") from None
        fault = Fault(
            kind=kind,
            ms=body.ms,
            code=body.code,
            signal=body.signal,
            value=body.value,
            every_ms=max(1, round(body.every_s * 1000)),
            until_ms=None if body.for_s is None else self._plant.now_ms + round(body.for_s * 1000),
        )
        devices = self._named(body)
        for device in devices:
            self._plant.add_fault(device, fault)
        return _json({"kind": kind, "devices": devices, "now_ms": self._plant.now_ms}, 201)

    def _named(self, body: FaultBody) -> list[str]:
        if (body.device is None) == (body.link is None):
            raise Refused(400, 'POST /faults: name either a device or a link, e.g. {"device": "wind-1", ...}')
        if body.device is not None:
            self._plant.index(body.device)
            return [body.device]
        if body.link not in self._links:
            raise Refused(400, f"POST /faults: there is no link {body.link}; known are: {', '.join(self._links)}")
        return self._links[body.link]

    async def _clear_faults(self, request: web.Request) -> web.Response:
        device = request.match_info.get("device")
        wanted = request.query.get("kind")
        try:
            kind = None if wanted is None else FaultKind(wanted.replace("_", "-"))
        except ValueError:
            raise Refused(404, f"there is no fault {wanted!r}; known are: {', '.join(FaultKind)}") from None
        for name in list(self._plant.faults()) if device is None else [device]:
            self._plant.clear_fault(name, kind)
        return await self._list_faults(request)

    async def _list_servers(self, request: web.Request) -> web.Response:
        return _json({link: server.described() for link, server in self._servers.items()})

    async def _act(self, request: web.Request) -> web.Response:
        link = request.match_info["link"]
        server = self._servers.get(link)
        if server is None:
            known = ", ".join(self._servers) or "none"
            raise Refused(404, f"there is no OPC-UA server behind a link {link}; known are: {known}")
        body = await _body(request, ActionBody)
        try:
            action = ServerAction(body.action)
        except ValueError:
            known = ", ".join(ServerAction)
            raise Refused(
                400, f"POST /servers/{link}: there is no action {body.action!r}; known are: {known}"
            ) from None
        await server.act(action)
        return _json(server.described())


async def _body(request: web.Request, model: type[_BodyT]) -> _BodyT:
    what = f"{request.method} {request.path}"
    try:
        parsed = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"{what}: the body is no JSON ({error}); send an object") from None
    try:
        return model.model_validate(parsed)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the body'}: {fault['msg']}" for fault in error.errors()
        )
        known = ", ".join(model.model_fields)
        raise Refused(400, f"{what}: {faults}; known keys are: {known}") from None


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
