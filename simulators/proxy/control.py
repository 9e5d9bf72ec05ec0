"""The control port of a proxy: faults, their counters, the logs; the same bodies as the simulator's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from scowl_edge.model.errors import ScowlError
from simulators.control_bodies import FaultBody, Refused, as_json, fault_row, read_body, since_of
from simulators.faults import Fault
from simulators.proxy.active import FaultError
from simulators.proxy.relay import FaultProxy

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_KNOWN = "GET /faults, /injected, /log, /frames, /proxy; POST /faults, /cut; DELETE /faults, /faults/UNIT"


class ProxyControl:
    """Serves the control port of one proxy."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens; the port that it got, if 0 was asked for.

        Raises:
            OSError: the port is taken.
        """
        application = web.Application(middlewares=[self._guarded], client_max_size=65_536)
        application.router.add_get("/faults", self._list)
        application.router.add_post("/faults", self._add)
        application.router.add_delete("/faults", self._clear)
        application.router.add_delete("/faults/{unit}", self._clear)
        application.router.add_get("/injected", self._injected)
        application.router.add_get("/log", self._log)
        application.router.add_get("/frames", self._frames)
        application.router.add_get("/proxy", self._tell)
        application.router.add_post("/cut", self._cut)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            return as_json({"error": str(refused)}, refused.status)
        except ScowlError as error:
            return as_json({"error": str(error)}, 400)
        except web.HTTPException as error:
            reason = f"{request.method} {request.path}: {error.reason}; there are {_KNOWN}"
            return as_json({"error": reason}, error.status)

    async def _list(self, request: web.Request) -> web.Response:
        found: dict[str, list[dict[str, Any]]] = {}
        for fault, injected in self._proxy.faults.described():
            where = "all" if fault.unit is None else str(fault.unit)
            found.setdefault(where, []).append(fault_row(fault, injected))
        return as_json(found)

    async def _add(self, request: web.Request) -> web.Response:
        fault = begin(self._proxy, await read_body(request, FaultBody))
        return as_json({"kind": fault.kind, "unit": fault.unit}, 201)

    async def _clear(self, request: web.Request) -> web.Response:
        unit = request.match_info.get("unit")
        if unit is not None and not (unit.isascii() and unit.isdigit()):
            raise Refused(404, f"there is no unit {unit!r}; write its number")
        kind = request.query.get("kind")
        self._proxy.clear(None if kind is None else kind.replace("_", "-"), unit=None if unit is None else int(unit))
        return await self._list(request)

    async def _injected(self, request: web.Request) -> web.Response:
        return as_json(dict(self._proxy.injected))

    async def _log(self, request: web.Request) -> web.Response:
        return as_json([asdict(answer) for answer in self._proxy.answered(since_of(request))])

    async def _frames(self, request: web.Request) -> web.Response:
        seen = self._proxy.log(since_of(request))
        return as_json([{**asdict(each), "data": each.data.hex()} for each in seen])

    async def _tell(self, request: web.Request) -> web.Response:
        proxy = self._proxy
        return as_json(
            {
                "listen": str(proxy.listen),
                "to": str(proxy.to),
                "framing": proxy.framing,
                "to_framing": proxy.to_framing,
                "connections": proxy.connections,
                "open": proxy.open_connections,
            }
        )

    async def _cut(self, request: web.Request) -> web.Response:
        self._proxy.cut()
        return await self._tell(request)


def begin(proxy: FaultProxy, body: FaultBody) -> Fault:
    """Begins the fault that a body or a command line asks for.

    Raises:
        FaultError: it makes no sense here.
    """
    if body.device is not None or body.link is not None:
        raise FaultError("a proxy knows neither devices nor links; name a unit, or nothing for all of them")
    if body.ms < 0:
        raise FaultError(f"ms is {body.ms}; give 0 or more")
    given = body.parameters()
    signal = given.pop("signal")
    if signal:
        raise FaultError("a proxy knows no signals; give unit and address")
    return proxy.inject(
        body.kind, for_s=body.for_s, every_s=body.every_s, unit=body.unit, address=body.address, **given
    )


def parse_fault(text: str) -> FaultBody:
    """A fault as the command line gives it: KIND[,key=value...].

    Raises:
        FaultError: it cannot be understood.
    """
    kind, *pairs = text.split(",")
    given: dict[str, str] = {"kind": kind}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise FaultError(f"fault {text!r}: {pair!r} is no key=value; write e.g. delay,ms=300,unit=3")
        given[key] = value
    try:
        return FaultBody.model_validate(given)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        known = ", ".join(FaultBody.model_fields)
        raise FaultError(f"fault {text!r}: {wrong}; known keys are: {known}") from None
