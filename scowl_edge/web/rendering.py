"""The lists of a view as JSON: made once for all who ask, in pieces between which the loop does other work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import orjson

from scowl_edge.model.view import DecisionView, RegionView
from scowl_edge.web import populations, present, wire

AT_A_STRETCH = 16
"""Objects rendered without a pause: less than a ms."""
LOOKED_AT_A_STRETCH = 128
"""Objects compared without a pause: less than a ms."""

V = TypeVar("V")


class _Kept(Generic[V]):
    """One list's texts of the last time: what did not change is not rendered again."""

    def __init__(self, key: Callable[[V], Hashable], present_one: Callable[[V], object]) -> None:
        self._key = key
        self._present = present_one
        self._texts: dict[Hashable, tuple[V, bytes]] = {}

    async def render(self, views: Iterable[V]) -> bytes:
        """A JSON array."""
        texts: dict[Hashable, tuple[V, bytes]] = {}
        rendered = 0
        for n, view in enumerate(views):
            key = self._key(view)
            known = self._texts.get(key)
            if known is not None and known[0] == view:
                texts[key] = known
            else:
                texts[key] = (view, orjson.dumps(self._present(view)))
                rendered += 1
            if rendered == AT_A_STRETCH or n % LOOKED_AT_A_STRETCH == LOOKED_AT_A_STRETCH - 1:
                rendered = 0
                await asyncio.sleep(0)
        self._texts = texts
        return b"[" + b",".join([text for _, text in texts.values()]) + b"]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """One view's lists, each a JSON array."""

    view: RegionView
    trees: bytes
    devices: bytes
    ratings: bytes
    alarms: bytes
    decisions: bytes
    events: bytes
    populations: bytes


class Renderer:
    """Renders each view at most once, whoever asks for it."""

    def __init__(self) -> None:
        self._trees = _Kept(lambda view: view.name, present.tree)
        self._devices = _Kept(lambda view: view.name, present.device)
        self._ratings = _Kept(lambda view: view.name, present.rating)
        self._alarms = _Kept(lambda view: view.key, present.alarm)
        self._decisions: _Kept[tuple[int, DecisionView]] = _Kept(lambda at: at, lambda at: present.decision(at[1]))
        self._events = _Kept(lambda view: view.seq, present.event)
        self._populations = _Kept(lambda view: view.name, populations.population)
        self._among_trees: _Kept[wire.TreeOut] = _Kept(lambda tree: tree.name, lambda tree: tree)
        self._one_at_a_time = asyncio.Lock()
        self._last: Rendered | None = None

    async def lists(self, view: RegionView) -> Rendered:
        """The lists of a view."""
        if (last := self._last) is not None and last.view is view:
            return last
        async with self._one_at_a_time:
            if self._last is None or self._last.view is not view:
                self._last = Rendered(
                    view=view,
                    trees=await self._trees.render(view.trees),
                    devices=await self._devices.render(view.devices),
                    ratings=await self._ratings.render(view.ratings),
                    alarms=await self._alarms.render(present.worst_first(view.alarms)),
                    decisions=await self._decisions.render(_counted(view.decisions)),
                    events=await self._events.render(view.events),
                    populations=await self._populations.render(view.populations),
                )
            return self._last

    async def all_trees(self, view: RegionView) -> bytes:
        """Those of devices, then those of populations: hundreds, and so not part of what goes out with each step."""
        lists = await self.lists(view)
        if not lists.view.populations:
            return lists.trees
        async with self._one_at_a_time:
            more = await self._among_trees.render(populations.among_trees(lists.view))
        return more if lists.trees == b"[]" else lists.trees[:-1] + b"," + more[1:]


def _counted(decisions: Iterable[DecisionView]) -> Iterable[tuple[int, DecisionView]]:
    """Equal decisions told apart by how often each came before."""
    seen: dict[DecisionView, int] = {}
    for view in decisions:
        seen[view] = seen.get(view, 0) + 1
        yield seen[view], view
