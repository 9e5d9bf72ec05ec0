"""`/api/v1/populations`: consumers by the thousand, in sums; and one of them with its trees and feeders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import orjson
from aiohttp import web

from scowl_edge.model.view import PopulationView, RegionView
from scowl_edge.web import populations
from scowl_edge.web.endpoint import Endpoint
from scowl_edge.web.live import LiveFeed
from scowl_edge.web.names import unknown
from scowl_edge.web.population_wire import PopulationDetailOut, PopulationsOut

_NOT_YET = (HTTPStatus.SERVICE_UNAVAILABLE,)


class PopulationApi:
    """The endpoints over populations."""

    def __init__(self, view: Callable[[], RegionView], feed: LiveFeed) -> None:
        """`view` gives the region; it raises Refused before the first step."""
        self._view = view
        self._feed = feed
        self.endpoints = (
            Endpoint(
                path="/api/v1/populations",
                handler=self.populations,
                summary="Populations: sums, classes, score, and the load of their trees as a strip",
                answer=PopulationsOut,
                problems=_NOT_YET,
            ),
            Endpoint(
                path="/api/v1/populations/{population}",
                handler=self.population,
                summary="One population with all its trees and feeders",
                answer=PopulationDetailOut,
                problems=(HTTPStatus.NOT_FOUND, *_NOT_YET),
                parameters={"population": "Name of a population in the configuration."},
            ),
        )

    async def populations(self, request: web.Request) -> web.Response:
        """All populations."""
        lists = await self._feed.renderer.lists(self._view())
        body = b'{"step":%d,"populations":%b}' % (lists.view.step, lists.populations)
        return web.Response(body=body, content_type="application/json")

    async def population(self, request: web.Request) -> web.Response:
        """One population."""
        view = self._view()
        known = {each.name: each for each in view.populations}
        name = request.match_info["population"]
        if name not in known:
            raise unknown("population", name, known)
        # Plain values that nobody changes; with thousands of trees and feeders it takes some ms.
        body = await asyncio.to_thread(_detail, view.step, known[name])
        return web.Response(body=body, content_type="application/json")


def _detail(step: int, view: PopulationView) -> bytes:
    return orjson.dumps(
        PopulationDetailOut(
            step=step,
            population=populations.population(view),
            trees=list(populations.trees(view)),
            feeders=[populations.feeder(each) for each in view.feeders],
            clamped=list(populations.clamped(view)),
        )
    )
