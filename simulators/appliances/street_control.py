"""The control port of a street: HTTP on loopback for what its users do, and for the truth about its appliances."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from scowl_edge.model.exchange import Override
from scowl_edge.model.flexibility import UNSET, OverrideBy, OverrideScope
from simulators.appliances.neighbourhood import Neighbourhood, StreetError
from simulators.appliances.wired import WiredAppliance
from simulators.control_bodies import Body, Refused, as_json, read_body

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class OverrideBody(Body):
    """POST /override: a user at an appliance."""

    esa_id: str
    scope: OverrideScope
    """NONE gives it back."""


class StreetControl:
    """Serves the control port."""

    def __init__(self, street: Neighbourhood) -> None:
        self._street = street
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listens; the port that it got, if 0 was asked for. Raises OSError."""
        application = web.Application(middlewares=[self._guarded], client_max_size=65_536)
        application.router.add_get("/truth", self._truth)
        application.router.add_post("/override", self._override)
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
        """Every refusal is JSON, in words."""
        try:
            return await handler(request)
        except Refused as refused:
            return as_json({"error": str(refused)}, refused.status)
        except StreetError as error:
            return as_json({"error": str(error)}, 404)
        except web.HTTPException as error:
            text = f"{request.method} {request.path}: {error.reason}; there are GET /truth and POST /override"
            return as_json({"error": text}, error.status)

    async def _truth(self, request: web.Request) -> web.Response:
        street = self._street
        return as_json(
            {
                "utc_ms": street.meter.utc_ms,
                "begun_ms": street.begun_ms,
                "power_w": street.power_w,
                "base_wms": street.base_wms,
                "appliances": {esa_id: _told(one) for esa_id, one in street.appliances.items()},
            }
        )

    async def _override(self, request: web.Request) -> web.Response:
        body = await read_body(request, OverrideBody)
        self._street.override(
            Override(esa_id=body.esa_id, scope=body.scope, by=OverrideBy.USER, until_ms=UNSET),
        )
        return as_json(_told(self._street.appliance(body.esa_id)))


def _told(one: WiredAppliance) -> dict[str, object]:
    appliance = one.appliance
    return {
        "type": appliance.adapter.esa_type.value,
        "manager": one.manager,
        "up": one.up,
        "power_w": one.power_w,
        "energy_wms": appliance.energy_wms,
        "limits": appliance.esa.limiting.state.value,
        "longest_over_ms": appliance.longest_over_ms,
        "selections": {
            selection.select_id: [selection.state.value, selection.code.value if selection.code else ""]
            for selection in appliance.esa.selections.kept
        },
        "refusals": one.refusals,
        "complaints": appliance.complaints[-3:],
    }
