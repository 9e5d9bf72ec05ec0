"""The sessions of one link: how its places are shared out among them, and the life of each.

A server, or the gateway behind it, may bear only so many subscribed items in one session. With more, the link opens
several. Each lives by itself: one that ends is opened anew alone, while the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scowl_edge.contracts import Clock
from scowl_edge.drivers.bus import (
    RECONNECT_FIRST_MS,
    REFUSED_FIRST_MS,
    REFUSED_LONGEST_MS,
    SILENT_BEFORE_REOPEN,
    failed,
)
from scowl_edge.drivers.cancelling import heed_cancellation
from scowl_edge.drivers.errors import DriverError, NotAdmitted
from scowl_edge.drivers.opcua.places import Place, Stock
from scowl_edge.drivers.schedule import jitter
from scowl_edge.model.signal import Cause, Reading

if TYPE_CHECKING:
    from scowl_edge.drivers.opcua.conversation import Conversation

SHORT_LIFE_MS, SHORT_LIVES = 5_000, 2
"""After so many sessions in a row that lived no longer, there is a pause before the next; it grows up to as much."""


def share_out(places: Sequence[Place], most: int) -> int:
    """Gives each place that is read its session, and returns how many sessions there are.

    A device stays in one session where it fits: what is judged together should come together. It goes to the first that
    has room. What is only written belongs to the first.

    Args:
        places: Of one link, in order of devices.
        most: Most subscribed places in one session; 0: no limit.
    """
    if not most:
        return 1
    of_device: dict[int, list[Place]] = {}
    for place in places:
        if place.is_read:
            of_device.setdefault(place.device, []).append(place)
    taken = [0]
    for mine in of_device.values():
        for first in range(0, len(mine), most):
            some = mine[first : first + most]
            part = next((n for n, count in enumerate(taken) if count + len(some) <= most), len(taken))
            taken += [0] * (part + 1 - len(taken))
            taken[part] += len(some)
            for place in some:
                place.part = part
    return len(taken)


class Part:
    """One session after another, for the same places."""

    def __init__(self, number: int, places: Sequence[Place]) -> None:
        self.number = number
        self.places = tuple(places)
        """Those that are read."""
        self.points = np.array(sorted(slot.index for place in places for slot in place.slots), np.int32)
        self.conversation: Conversation | None = None
        self.silent = 0
        """Requests in a row that had no answer."""
        self.retry_ms = 0
        """When it is opened next, if it is not open."""
        self._opened_ms = -1
        self._short_lived = 0
        self._attempts = 0

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent on it."""
        return self.conversation is not None and self.conversation.is_open

    def opened(self, conversation: Conversation, now_ms: int) -> None:
        """It has a session."""
        self.conversation, self._opened_ms = conversation, now_ms
        self.silent = self._attempts = 0

    def pause_ms(self, now_ms: int) -> int:
        """How long to wait before a new session, the last having ended.

        One that ends at once, again and again, is not begun anew at once: that would be a storm.
        """
        lived_ms = now_ms - self._opened_ms
        self._short_lived = self._short_lived + 1 if self._opened_ms >= 0 and lived_ms < SHORT_LIFE_MS else 0
        self._opened_ms = -1
        return min(100 << min(self._short_lived, 10), SHORT_LIFE_MS) if self._short_lived > SHORT_LIVES else 0

    def refused(self, error: DriverError, key: str, longest_ms: int) -> int:
        """How long to wait, an attempt having failed: ever longer."""
        first_ms = RECONNECT_FIRST_MS
        if isinstance(error, NotAdmitted):
            first_ms, longest_ms = REFUSED_FIRST_MS, max(longest_ms, REFUSED_LONGEST_MS)
        pause_ms = min(first_ms << min(self._attempts, 16), longest_ms)
        self._attempts += 1
        return int(pause_ms * jitter(f"{key}/{self.number}", self._attempts))


class Parts:
    """All sessions of a link. The first that opens makes the link; the others follow one after the other."""

    def __init__(self, stock: Stock, count: int, link: str, clock: Clock, *, reconnect_ms: int, rate: float) -> None:
        """Opens nothing.

        Args:
            stock: Places, shared out.
            count: How many sessions there are.
            link: Name, for tasks and for what is said.
            clock: Source of monotonic ms.
            reconnect_ms: Longest pause between attempts to open one.
            rate: Seconds of `clock` in a real one.
        """
        self.parts = [
            Part(n, [place for place in stock.places if place.part == n and place.is_read]) for n in range(count)
        ]
        self.news: Callable[[list[Reading]], None] = lambda _readings: None
        """Takes what is certain of places whose session cannot be had."""
        self.joined: Callable[[Part], None] = lambda _part: None
        """Told when a session has followed the others."""
        self._stock = stock
        self._link = link
        self._clock = clock
        self._reconnect_ms = reconnect_ms
        self._rate = rate
        self._open: Callable[[Part], Awaitable[Conversation]] | None = None
        self._all_lost: Callable[[], None] = lambda: None
        self._keeper: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether any session is there."""
        return any(part.is_open for part in self.parts)

    async def open(self, open_: Callable[[Part], Awaitable[Conversation]], lost: Callable[[], None]) -> Conversation:
        """Opens the first, and has the others follow. Raises DriverError where the first cannot be had.

        Args:
            open_: Opens the session of a part.
            lost: Called when no session is left.
        """
        self.close()
        await self.closed()
        first = self.parts[0]
        await asyncio.sleep(first.pause_ms(self._clock.mono_ms()) / 1000 / self._rate)
        self._open, self._all_lost = open_, lost
        conversation = await open_(first)
        now_ms = self._clock.mono_ms()
        first.opened(conversation, now_ms)
        if len(self.parts) > 1:
            for part in self.parts[1:]:
                part.retry_ms = now_ms
            self._gone.clear()
            self._keeper = asyncio.create_task(self._keep(), name=f"opcua {self._link} sessions")
        return conversation

    def lost(self, part: Part) -> None:
        """A session has ended by itself: it is opened anew alone, unless no other is left."""
        if not self.is_open:
            self._all_lost()
        elif self._keeper is not None:
            self._say_farewell(part)
            now_ms = self._clock.mono_ms()
            part.retry_ms = now_ms + part.pause_ms(now_ms)
            self._gone.set()

    def give_up(self, part: Part) -> None:
        """Its session answers no more; the others do."""
        self._say_farewell(part)
        part.retry_ms = self._clock.mono_ms()
        self._gone.set()

    def timed_out(self, part: Part) -> None:
        """No answer came. After some in a row its session is doubted, if another shows that the server lives."""
        part.silent += 1
        if part.silent >= SILENT_BEFORE_REOPEN and self.others_live(part):
            self.give_up(part)

    def check(self) -> None:
        """Raises what ended the task that opens sessions: a defect, which is not to be hidden."""
        if self._keeper is not None and self._keeper.done() and not self._keeper.cancelled():
            self._keeper.result()

    def others_live(self, part: Part) -> bool:
        """Whether another session is open and answers."""
        return any(other.is_open and not other.silent for other in self.parts if other is not part)

    def speaker(self) -> Part | None:
        """The session that commands go through: the first that answers, else the first that is open."""
        open_ones = [part for part in self.parts if part.is_open]
        return next((part for part in open_ones if not part.silent), open_ones[0] if open_ones else None)

    async def _keep(self) -> None:
        """Opens what is not open, one after the other."""
        while True:
            heed_cancellation()
            waiting = [part for part in self.parts if not part.is_open]
            if not waiting:
                await self._gone.wait()
                self._gone.clear()
                continue
            part = min(waiting, key=lambda each: each.retry_ms)
            if (wait_ms := part.retry_ms - self._clock.mono_ms()) > 0:
                self._gone.clear()
                try:
                    async with asyncio.timeout(wait_ms / 1000 / self._rate):
                        await self._gone.wait()
                except TimeoutError:
                    pass
                continue
            if not await self._follow(part):
                return

    async def _follow(self, part: Part) -> bool:
        """Tries to open one; False where all were closed instead."""
        assert self._open is not None
        if part.conversation is not None:
            self._say_farewell(part)
        try:
            conversation = await self._open(part)
        except DriverError as error:
            heed_cancellation()
            part.retry_ms = self._clock.mono_ms() + part.refused(error, self._link, self._reconnect_ms)
            self._out(part, str(error))
            return True
        part.opened(conversation, self._clock.mono_ms())
        try:
            heed_cancellation()
        except asyncio.CancelledError:
            self._say_farewell(part)
            raise
        if conversation.namespaces != self._namespaces(part):
            # Names would mean other nodes on one session than on the next: all begin anew.
            self.close()
            self._all_lost()
            return False
        self.joined(part)
        return True

    def _namespaces(self, but: Part) -> list[str]:
        others = (part.conversation for part in self.parts if part is not but and part.conversation is not None)
        return next((conversation.namespaces for conversation in others), [])

    def _out(self, part: Part, why: str) -> None:
        """Its session cannot be had: its points are bad, and say so."""
        fault = f"its session cannot be opened: {why}"
        columns = self._stock.columns
        for place in part.places:
            place.unheard()
            place.fault, columns.heard[place.number] = fault, True
            self._stock.faults.update(dict.fromkeys((slot.index for slot in place.slots), fault))
            columns.stirred.add(place.device)
        self.news([failed(part.points, Cause.LINK_DOWN, 0, self._clock.mono_ms())])

    def _say_farewell(self, part: Part) -> None:
        conversation, part.conversation = part.conversation, None
        if conversation is not None:
            task = asyncio.create_task(conversation.close(), name=f"opcua {self._link} farewell")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def close(self) -> None:
        """Ends all sessions; their farewells go on in the background, `closed` waits for them."""
        if self._keeper is not None:
            keeper, self._keeper = self._keeper, None
            if keeper is not asyncio.current_task():
                keeper.cancel()
                self._closing.add(keeper)
                keeper.add_done_callback(self._closing.discard)
        for part in self.parts:
            self._say_farewell(part)

    async def closed(self) -> None:
        """Waits until nothing of an earlier connection is left."""
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)
