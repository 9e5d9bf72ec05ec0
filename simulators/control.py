"""The control port: HTTP on loopback for weather, load, time and faults, and for the plant's own truth."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Protocol

from aiohttp import web
from pydantic import Field

from scowl_edge.assembly import Assembly
from scowl_edge.devices.declaration import ModbusLink
from simulators.control_bodies import Body, FaultBody, Refused, as_json, fault_row, read_body, since_of
from simulators.faults import ON_MODBUS, ON_OPCUA, Fault, FaultKind, ServerAction
from simulators.plant import Plant, SimulationError
from simulators.wire.record import Record

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Clock(Protocol):
    """What the control port asks of the plant's clock."""

    rate: float


class Server(Protocol):
    """What the control port asks of the server behind a link."""

    async def act(self, action: ServerAction) -> None:
        """Does something to it as a whole."""

    def described(self) -> dict[str, object]:
        """How it fares."""


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


class ActionBody(Body):
    """POST /servers/L."""

    action: str


class ControlPort:
    """Serves the control port of one plant."""

    def __init__(
        self,
        plant: Plant,
        clock: Clock,
        assembly: Assembly,
        servers: Mapping[str, Server],
        record: Record,
        catch_up: Callable[[], None],
    ) -> None:
        self._plant = plant
        self._servers = servers
        self._record = record
        self._clock = clock
        self._link_of = {device.name: link for link in assembly.links for device in link.devices}
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
        application.router.add_get("/injected", self._tell_injected)
        application.router.add_get("/log", self._tell_log)
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
            return as_json({"error": str(refused)}, refused.status)
        except SimulationError as error:
            return as_json({"error": str(error)}, 404 if request.method in ("GET", "DELETE") else 400)
        except web.HTTPException as error:
            known = (
                "GET /truth, /truth/D, /writes, /faults, /injected, /log, /clock, /servers; "
                "POST /weather, /load, /rate, /faults, /unmetered, /servers/L; "
            )
            reason = f"{request.method} {request.path}: {error.reason}; there are {known}DELETE /faults, /faults/D"
            return as_json({"error": reason}, error.status)

    async def _truth(self, request: web.Request) -> web.Response:
        device = request.match_info.get("device")
        return as_json(self._plant.whole_truth() if device is None else self._plant.truth(device))

    async def _writes(self, request: web.Request) -> web.Response:
        writes = self._plant.accepted
        device = request.query.get("device")
        if device is not None:
            self._plant.index(device)
            writes = [write for write in writes if write.device == device]
        return as_json([asdict(write) for write in writes])

    async def _tell_clock(self, request: web.Request) -> web.Response:
        return as_json({"now_ms": self._plant.now_ms, "rate": self._clock.rate})

    async def _weather(self, request: web.Request) -> web.Response:
        body = await read_body(request, WeatherBody)
        if body.wind is None and body.sun is None:
            raise Refused(400, 'POST /weather: neither wind nor sun is given; send e.g. {"wind": 0.8}')
        self._plant.set_weather(body.wind, body.sun)
        return as_json({"wind": body.wind, "sun": body.sun})

    async def _load(self, request: web.Request) -> web.Response:
        body = await read_body(request, LoadBody)
        if body.device is None:
            self._plant.set_load(body.fraction)
        else:
            self._plant.set_load_of(body.device, body.fraction)
        return as_json({"fraction": body.fraction, "device": body.device})

    async def _rate(self, request: web.Request) -> web.Response:
        body = await read_body(request, RateBody)
        self._clock.rate = body.rate
        return await self._tell_clock(request)

    async def _unmetered(self, request: web.Request) -> web.Response:
        body = await read_body(request, UnmeteredBody)
        self._plant.set_unmetered(body.rating, body.power_w)
        return as_json({"rating": body.rating, "power_w": body.power_w})

    async def _list_faults(self, request: web.Request) -> web.Response:
        injected = self._plant.standing.injected
        return as_json(
            {
                device: [fault_row(fault, injected[device, fault.kind]) for fault in faults]
                for device, faults in self._plant.faults().items()
            }
        )

    async def _tell_injected(self, request: web.Request) -> web.Response:
        found: dict[str, dict[str, int]] = {}
        for (device, kind), count in self._plant.standing.injected.items():
            found.setdefault(device, {})[kind.value] = count
        return as_json(found)

    async def _tell_log(self, request: web.Request) -> web.Response:
        return as_json([asdict(answer) for answer in self._record.since(since_of(request))])

    async def _add_fault(self, request: web.Request) -> web.Response:
        body = await read_body(request, FaultBody)
        if body.unit is not None or body.address is not None:
            raise Refused(400, "POST /faults: unit and address are a proxy's; name the device")
        try:
            kind = FaultKind(body.kind.replace("_", "-"))
        except ValueError:
            known = ", ".join(FaultKind)
            raise Refused(400, f"POST /faults: there is no fault {body.kind!r}; known are: {known}") from None
        devices = self._named(body)
        if body.ms < 0 and kind is not FaultKind.CLOCK_JUMP:
            raise Refused(400, f"POST /faults: ms is {body.ms}; only a clock can jump back, give {kind} 0 or more")
        for device in devices:
            self._refuse_where_it_cannot_be(kind, device)
        fault = Fault(
            kind=kind,
            every_ms=max(1, round(body.every_s * 1000)),
            until_ms=None if body.for_s is None else self._plant.now_ms + round(body.for_s * 1000),
            **body.parameters(),
        )
        for device in devices:
            self._plant.add_fault(device, fault)
        return as_json({"kind": kind, "devices": devices, "now_ms": self._plant.now_ms}, 201)

    def _refuse_where_it_cannot_be(self, kind: FaultKind, device: str) -> None:
        link = self._link_of.get(device)
        if link is None:
            return
        if kind not in (ON_MODBUS if isinstance(link, ModbusLink) else ON_OPCUA):
            todo = "bytes are spoiled by a proxy before it, see `scowl-edge simulator proxy`"
            if isinstance(link, ModbusLink):
                todo = "Modbus has no time stamps, only OPC-UA has"
            raise Refused(400, f"POST /faults: {kind} is no fault of {device} behind link {link.name}: {todo}")
        if isinstance(link, ModbusLink):
            if kind is FaultKind.WRONG_ID and link.is_serial:
                raise Refused(400, f"POST /faults: frames of link {link.name} have no transaction id; take wrong-unit")
            declared = next(each for each in link.devices if each.name == device)
            if kind is FaultKind.MOVING_SCALE and not any(point.scale_factor for point in declared.points):
                raise Refused(400, f"POST /faults: no point of {device} has a scale_factor that could move")

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
        return as_json({link: server.described() for link, server in self._servers.items()})

    async def _act(self, request: web.Request) -> web.Response:
        link = request.match_info["link"]
        server = self._servers.get(link)
        if server is None:
            known = ", ".join(self._servers) or "none"
            raise Refused(404, f"there is no server behind a link {link}; known are: {known}")
        body = await read_body(request, ActionBody)
        try:
            action = ServerAction(body.action)
        except ValueError:
            known = ", ".join(ServerAction)
            raise Refused(
                400, f"POST /servers/{link}: there is no action {body.action!r}; known are: {known}"
            ) from None
        await server.act(action)
        return as_json(server.described())
