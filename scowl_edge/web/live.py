"""`/api/v1/live`: everything after each step, to everybody who looks, as server-sent events.

A message is rendered and compressed once for all viewers. Each viewer has at most one message waiting, the latest; one
that takes nothing is dropped, so that viewers cost memory and time by their number and never by their behaviour.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

import orjson
import structlog
from aiohttp import web

from scowl_edge.model.view import RegionView
from scowl_edge.web import flexibility, present
from scowl_edge.web.codings import takes_gzip
from scowl_edge.web.freshness import Freshness
from scowl_edge.web.points import PointJudge
from scowl_edge.web.problem import Refused
from scowl_edge.web.published import Published
from scowl_edge.web.rendering import Renderer

MOST_VIEWERS = 256
STALL_S = 10.0
"""Longest time that a viewer's full buffer may stay full."""
KEEP_ALIVE_S = 15.0
"""Longest silence: a comment goes out before a proxy, or the reader, takes the connection for dead."""
CHECK_AGAIN_S = 15.0
"""How often a viewer's token is looked at again."""
TICK_S = 1.0
AGAIN_AFTER_S = 10
"""When somebody for whom there was no room may ask again."""
SEND_BUFFER_BYTES = 256 * 1024
"""What the system may hold for one viewer; left alone it grows to megabytes for each that stalls."""
WOKEN_AT_A_STRETCH = 4
"""Viewers that are given a message before the loop does other work: each costs it one write."""

_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Message:
    """What goes to viewers, as it is and compressed."""

    plain: bytes
    packed: bytes


def _pack(text: bytes) -> bytes:
    """A piece of a deflate stream that refers to nothing before it, so that all viewers' streams may share it."""
    packer = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS)
    return packer.compress(text) + packer.flush(zlib.Z_FULL_FLUSH)


_KEEP_ALIVE = _Message(b":\n\n", _pack(b":\n\n"))


class _Viewer:
    """One open stream."""

    def __init__(self, request: web.Request, every_s: float, *, packed: bool) -> None:
        self.every_s = every_s
        self.packed = packed
        self.due = 0.0
        self.given = 0.0
        """When it was last given anything; loop time."""
        self.step = -1
        """Of the last state it was given."""
        self.full_since: float | None = None
        self.gone = False
        self._protocol = request.protocol
        self._transport = request.transport
        self._waiting: _Message | None = None
        self._woken = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether what was written before still waits for the reader."""
        return self._protocol.writing_paused

    @property
    def lost(self) -> bool:
        """Whether the connection is closed, by whomever."""
        return self._transport is None or self._transport.is_closing()

    def give(self, message: _Message) -> bool:
        """Puts a message in the one place there is; whether an older one had to go."""
        replaced = self._waiting is not None and self._waiting is not _KEEP_ALIVE
        self._waiting = message
        self.wake()
        return replaced

    def wake(self) -> None:
        """Lets it send, if it can."""
        if not self.full:
            self._woken.set()

    def end(self) -> None:
        """Nothing more comes."""
        self.gone = True
        self._woken.set()

    def abort(self) -> None:
        """Ends the connection with what waits in it."""
        if self._transport is not None:
            self._transport.abort()
        self.end()

    async def next(self) -> bytes | None:
        """What to send now; None at the end."""
        while not self.gone:
            if self._waiting is not None and not self.full:
                message, self._waiting = self._waiting, None
                return message.packed if self.packed else message.plain
            self._woken.clear()
            await self._woken.wait()
        return None


class LiveFeed:
    """Renders each step once and hands it to all viewers."""

    def __init__(
        self,
        published: Published,
        *,
        most: int = MOST_VIEWERS,
        stall_s: float = STALL_S,
        keep_alive_s: float = KEEP_ALIVE_S,
        tick_s: float = TICK_S,
    ) -> None:
        """`tick_s` is the least time between two messages, and how often viewers are looked after."""
        self.renderer = Renderer()
        self.judge = PointJudge(published)
        self.freshness = Freshness(published, self.judge)
        self.age = present.DataAge(published)
        self.dropped_total = 0
        """Viewers that were dropped because they took nothing."""
        self.replaced_total = 0
        """Messages that a newer one replaced before the viewer took them."""
        self._published = published
        self._most = most
        self._stall_s = stall_s
        self._keep_alive_s = keep_alive_s
        self._tick_s = tick_s
        self._viewers: set[_Viewer] = set()
        self._somebody = asyncio.Event()
        self._step = -1
        self._message: _Message | None = None
        self._closing = False

    @property
    def viewers(self) -> int:
        """Open streams."""
        return len(self._viewers)

    async def serve(
        self, request: web.Request, every_s: float, may_stay: Callable[[web.Request], Awaitable[None]]
    ) -> web.StreamResponse:
        """Streams until the viewer leaves, stalls, or may no longer look.

        Args:
            request: the viewer's.
            every_s: least seconds between two states.
            may_stay: raises Refused when the viewer's right is gone.

        Raises:
            Refused: 503 if there are too many viewers already.
        """
        if len(self._viewers) >= self._most or self._closing:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too-many-viewers",
                "Too many viewers",
                f"{len(self._viewers)} viewers look already, and no more than {self._most} may; close one, or read "
                "/api/v1/region now and then.",
                headers={"Retry-After": str(AGAIN_AFTER_S)},
            )
        packed = takes_gzip(request)
        viewer = _Viewer(request, every_s, packed=packed)
        self._viewers.add(viewer)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        if packed:
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Vary"] = "Accept-Encoding"
        try:
            _bound_buffer(request)
            await response.prepare(request)
            await self._send(request, response, viewer, may_stay)
        except ConnectionError:
            # It left, or was dropped: nobody is there to be told.
            pass
        except Refused as refused:
            _log.info("viewer's right ended", remote=request.remote, why=str(refused))
        finally:
            self._viewers.discard(viewer)
        return response

    async def _send(
        self,
        request: web.Request,
        response: web.StreamResponse,
        viewer: _Viewer,
        may_stay: Callable[[web.Request], Awaitable[None]],
    ) -> None:
        loop = asyncio.get_running_loop()
        checked = loop.time()
        if viewer.packed:
            await response.write(_GZIP_HEAD)
        if self._message is not None and self._somebody.is_set():
            self._give(viewer, loop.time())
        self._somebody.set()
        while (text := await viewer.next()) is not None:
            if loop.time() - checked > CHECK_AGAIN_S:
                await may_stay(request)
                checked = loop.time()
            await response.write(text)

    async def running(self, app: web.Application) -> AsyncIterator[None]:
        """A cleanup context of the app: the feed works as long as the app does."""
        task = asyncio.create_task(self._run(), name="live feed")
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def close(self, app: web.Application) -> None:
        """Ends all streams: the first step of the app's end, which would else wait for them."""
        self._closing = True
        for viewer in self._viewers:
            viewer.end()

    async def _run(self) -> None:
        while True:
            try:
                await self._feed()
            except Exception:  # noqa: BLE001
                # A defect of ours: it must not leave viewers with an old state for ever.
                _log.exception("live feed failed; it goes on")
                await asyncio.sleep(TICK_S)

    async def _feed(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._viewers:
                self._somebody.clear()
                await self._somebody.wait()
            begun = loop.time()
            await self._published.settled()
            view = self._published.region()
            if view is not None and view.step != self._step:
                self._message = await self._render(view)
                self._step = view.step
            await self._look_after(loop)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(begun + 2 * self._tick_s):
                    await asyncio.sleep(begun + self._tick_s - loop.time())
                    await self._published.stepped(self._step)

    async def _render(self, view: RegionView) -> _Message:
        lists = await self.renderer.lists(view)
        region = orjson.dumps(present.region(view, self.age.oldest_s()))
        text = b"".join(
            (
                b"id: %d\nevent: state\ndata: " % view.step,
                b'{"region":', region,
                b',"trees":', lists.trees,
                b',"devices":', lists.devices,
                b',"freshness":', orjson.dumps(self.freshness.now()),
                b',"ratings":', lists.ratings,
                b',"alarms":', lists.alarms,
                b',"decisions":', lists.decisions,
                b',"events":', lists.events,
                b',"populations":', lists.populations,
                b',"flex":', orjson.dumps(flexibility.summary_or_none(view, self._published.flex_unsent)),
                b"}\n\n",
            )
        )  # fmt: skip
        packed = b""
        if any(viewer.packed for viewer in self._viewers):
            packed = await asyncio.to_thread(_pack, text)
        return _Message(text, packed)

    async def _look_after(self, loop: asyncio.AbstractEventLoop) -> None:
        """Gives every viewer what it is due, and ends those that are gone or stalled."""
        for n, viewer in enumerate(tuple(self._viewers)):
            now = loop.time()
            if viewer.lost:
                viewer.end()
            elif self._stalls(viewer, now):
                self.dropped_total += 1
                _log.warning("viewer dropped", why=f"it took nothing for {self._stall_s:g} s", viewers=self.viewers)
                viewer.abort()
            elif self._message is not None and viewer.step != self._step and now >= viewer.due:
                self._give(viewer, now)
            elif now - viewer.given >= self._keep_alive_s:
                viewer.given = now
                viewer.give(_KEEP_ALIVE)
            else:
                viewer.wake()
            if n % WOKEN_AT_A_STRETCH == WOKEN_AT_A_STRETCH - 1:
                await asyncio.sleep(0)

    def _give(self, viewer: _Viewer, now: float) -> None:
        assert self._message is not None
        message = self._message
        if viewer.packed and not message.packed:
            # It came while the message was rendered for others.
            message = self._message = _Message(message.plain, _pack(message.plain))
        # Who wants each tick's gets it, and half a tick early is on time.
        viewer.given, viewer.due, viewer.step = now, now + viewer.every_s - TICK_S + self._tick_s / 2, self._step
        self.replaced_total += viewer.give(message)

    def _stalls(self, viewer: _Viewer, now: float) -> bool:
        if not viewer.full:
            viewer.full_since = None
            return False
        if viewer.full_since is None:
            viewer.full_since = now
        return now - viewer.full_since >= self._stall_s


def _bound_buffer(request: web.Request) -> None:
    place = request.transport.get_extra_info("socket") if request.transport is not None else None
    if place is not None:
        with suppress(OSError):
            place.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
