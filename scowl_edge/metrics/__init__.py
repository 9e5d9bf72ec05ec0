"""`/metrics`: the daemon itself (`own`), its `links`, the region after its last step, and every point (`points`).

It is rendered in small pieces, so that a scrape of many points never holds up a step, and once for all who scrape at
the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from scowl_edge.metrics import flexibility
from scowl_edge.metrics.links import link_chunks
from scowl_edge.metrics.own import Feed, OwnSeries
from scowl_edge.metrics.points import PointSeries
from scowl_edge.metrics.region import region_chunks
from scowl_edge.web.published import Published

__all__ = ["Feed", "Metrics"]

HOLD_S = 0.0005
"""After this long at a stretch the event loop may do other work; one piece more is the longest hold."""
SHARE = 0.1
"""Of the time that the others' work takes in between, where that is more: a scrape of a daemon that has hardly any time
left must end all the same."""
LONGEST_HOLD_S = 0.02


class Metrics:
    """Holds the daemon's timers and renders all there is to scrape.

    The daemon calls `observe_step`, `observe_journal` and `observe_lateness`, each with seconds.
    """

    def __init__(self, published: Published, feed: Feed | None = None) -> None:
        """`feed` sends the live page, where there is one."""
        self._feed = feed
        self._published = published
        self._own = OwnSeries(published)
        self._points = PointSeries(published)
        self._rendering: asyncio.Task[Sequence[bytes]] | None = None
        self.observe_step: Callable[[float], None] = self._own.step.observe
        self.observe_journal: Callable[[float], None] = self._own.journal.observe
        self.observe_lateness: Callable[[float], None] = self._own.lateness.observe

    def chunks(self) -> Iterator[bytes]:
        """The whole exposition in pieces of about a ms each."""
        yield from self._own.chunks(self._feed)
        yield from link_chunks(self._published)
        if (view := self._published.region()) is not None:
            yield from region_chunks(view)
            if view.flex is not None:
                yield from flexibility.flex_chunks(view.flex, self._published.flex_unsent)
                if (troubles := self._published.flex_troubles) is not None:
                    yield from flexibility.link_chunks(troubles)
        yield from self._points.chunks()

    async def render(self) -> Sequence[bytes]:
        """The whole exposition; who comes while it is being rendered for another gets the same."""
        if self._rendering is None or self._rendering.done():
            self._rendering = asyncio.create_task(self._render())
        # One scraper that goes away must not take the others' answer along.
        return await asyncio.shield(self._rendering)

    async def _render(self) -> Sequence[bytes]:
        now = asyncio.get_running_loop().time
        pieces = []
        began, hold_s = now(), HOLD_S
        for piece in self.chunks():
            pieces.append(piece)
            if (paused := now()) - began > hold_s:
                await asyncio.sleep(0)
                began = now()
                hold_s = min(max(HOLD_S, SHARE * (began - paused)), LONGEST_HOLD_S)
        return pieces
