"""OPC-UA as the bus sees it: recurring reads that ask only for what no notification brought, and commands.

A poll confirms silence: a place that its subscription has brought lately is not asked for. So an unchanged value never
grows stale, and one whose notifications stopped is read all the same, and found out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scowl_edge.contracts import Clock, PointWrite
from scowl_edge.devices.declaration import OpcuaLink
from scowl_edge.drivers.bus import Ended, begin_task, failed
from scowl_edge.drivers.errors import DriverError, LinkLost, NotAdmitted, Refused, ReplyTimeout
from scowl_edge.drivers.opcua.parts import Part, Parts
from scowl_edge.drivers.opcua.places import Place, Stock
from scowl_edge.drivers.opcua.secret import read_secret
from scowl_edge.model.signal import Reading

if TYPE_CHECKING:
    from scowl_edge.drivers.opcua.admission import Means
    from scowl_edge.drivers.opcua.conversation import Conversation
    from scowl_edge.drivers.opcua.writing import Prepared

SESSION_TIMEOUT_MS = 60_000
"""At least: a server keeps a session that was lost for so long, and many keep but few."""
CHANNEL_LIFETIME_MS = 3_600_000


class Poll:
    """Places that are read together: those of one period and one session."""

    def __init__(self, part: int, poll_ms: int, places: Sequence[Place]) -> None:
        self.part = part
        self.poll_ms = poll_ms
        self.places = tuple(places)
        self.numbers = np.array([place.number for place in places], np.intp)
        self.points = sorted(slot.index for place in places for slot in place.slots)


def polls(stock: Stock) -> tuple[Poll, ...]:
    """One a period and session, for all devices that have it. The places must have been shared out."""
    by_period: dict[tuple[int, int], list[Place]] = {}
    for place in stock.places:
        if place.is_read:
            by_period.setdefault((place.poll_ms, place.part), []).append(place)
    return tuple(Poll(part, period, places) for (period, part), places in sorted(by_period.items()))


class OpcuaPort:
    """The sessions with one server, one after another or several at once, as one connection."""

    def __init__(
        self,
        link: OpcuaLink,
        stock: Stock,
        jobs: Sequence[Poll],
        sessions: int,
        clock: Clock,
        *,
        rate: float,
        channel_lifetime_ms: int = CHANNEL_LIFETIME_MS,
    ) -> None:
        self.news: Callable[[list[Reading]], None] = lambda _readings: None
        """Takes what comes by subscription."""
        self.failures: Callable[[list[Reading]], None] = lambda _readings: None
        """Takes what is certain of places that cannot be heard."""
        self.heard: Callable[[], None] = lambda: None
        """Called whenever places were heard: the state of devices may have changed."""
        self.remark = ""
        """What a person should know of the last connection; empty if nothing."""
        self.parts = Parts(stock, sessions, link.name, clock, reconnect_ms=link.reconnect_ms, rate=rate)
        self.parts.news = self._certain
        self._link = link
        self._stock = stock
        self._jobs = jobs
        self._clock = clock
        self._rate = rate
        self._channel_lifetime_ms = channel_lifetime_ms
        self._wanted: set[int] = set()
        self._reading: asyncio.Task[Sequence[Reading]] | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent."""
        return self.parts.is_open

    async def open(self, count: Callable[[str], None], lost: Callable[[], None]) -> None:
        """Connects; see `Port.open`. It is open with the first session; more follow by themselves."""
        try:
            conversations, means = await asyncio.to_thread(_library)
        except ImportError as error:
            raise NotAdmitted(
                f"the OPC-UA library cannot be loaded ({error}); install it: pip install 'scowl-edge[opcua]'"
            ) from error
        link = self._link
        longest_ms = max((job.poll_ms for job in self._jobs), default=0)

        async def session(part: Part) -> Conversation:
            password = ""
            if link.user and link.password is not None:
                password = await asyncio.to_thread(read_secret, link.password)
            return await conversations.open(
                link,
                self._stock,
                part.places,
                means(
                    password=password,
                    now_utc_ms=self._clock.utc_ms(),
                    connect_timeout_s=link.connect_timeout_ms / 1000 / self._rate,
                    timeout_s=link.timeout_ms / 1000 / self._rate,
                    session_timeout_ms=max(SESSION_TIMEOUT_MS, round(3 * longest_ms / self._rate)),
                    channel_lifetime_ms=self._channel_lifetime_ms,
                    count=count,
                ),
                first=not self.is_open,
                now=self._clock.mono_ms,
                rate=self._rate,
                lost=lambda: self.parts.lost(part),
                news=self._news,
            )

        self.remark = (await self.parts.open(session, lost)).remark

    def _news(self, readings: list[Reading]) -> None:
        self.heard()
        self.news(readings)

    def _certain(self, readings: list[Reading]) -> None:
        self.heard()
        self.failures(readings)

    def close(self) -> None:
        """Disconnects; the farewell goes on in the background, `closed` waits for it."""
        if self._reading is not None:
            self._reading.cancel()
        self.parts.close()

    async def closed(self) -> None:
        """Waits until nothing of an earlier connection is left."""
        await self.parts.closed()

    def want(self, points: Iterable[int]) -> None:
        """The next read of these points is a real one, however fresh they are."""
        slots = self._stock.slots
        self._wanted.update(point for point in points if point in slots and slots[point][0].is_read)

    def begin(self, job: int, done: Ended) -> None:
        """Carries out one poll; see `Port.begin`. What came by subscription needs no request."""
        self._reading = None
        if self.parts.parts[self._jobs[job].part].is_open and not len(self._due(self._jobs[job])):
            asyncio.get_running_loop().call_soon(done, ())
        else:
            self._reading = begin_task(self.read(job), done)

    def _due(self, poll: Poll) -> NDArray[np.intp]:
        """Places that must be read, by number: all of a device or none.

        A value that was read must not stand beside an older one that was notified, since the two are judged together
        (what a consumer draws, beside what it says could wait).
        """
        columns, at = self._stock.columns, poll.numbers
        received_ms = columns.received_ms[at]
        age_ms = self._clock.mono_ms() - received_ms
        # Waiting for the next poll could let it grow older than half of what is fresh.
        due = (age_ms >= poll.poll_ms) & (age_ms + poll.poll_ms >= columns.fresh_for_ms[at] / 2)
        due |= (columns.monitored_ms[at] < 0) | (received_ms < 0) | (columns.doubted_ms[at] >= 0) | ~columns.known[at]
        if self._wanted:
            due |= np.isin(at, [self._stock.slots[point][0].number for point in self._wanted])
        if not due.any():
            return at[:0]
        devices = columns.device[at]
        return at[np.isin(devices, devices[due])]

    async def read(self, job: int) -> list[Reading]:
        """Reads those places of a poll that must be read, or raises.

        Where another session lives, one that does not answer is the trouble of its own places only.
        """
        self.parts.check()
        poll = self._jobs[job]
        part = self.parts.parts[poll.part]
        if not part.is_open:
            return []  # the others go on; its points are called bad when it cannot be opened anew
        due = [self._stock.places[number] for number in self._due(poll)]
        assert part.conversation is not None
        began_ms = self._clock.mono_ms()
        try:
            readings = await part.conversation.read(due)
        except DriverError as error:
            # The bus calls these points bad now, and soon perhaps all: only a read makes them good again.
            alone = not self.parts.others_live(part)
            mine = self._stock.places if alone else part.places
            self._stock.columns.received_ms[[place.number for place in mine]] = -1
            if error.result == "timeout":
                self.parts.timed_out(part)
            if alone or isinstance(error, Refused):
                raise
            return [failed(np.array(poll.points, np.int32), error.cause, began_ms, self._clock.mono_ms())]
        finally:
            self._wanted.difference_update(slot.index for place in due for slot in place.slots)
        part.silent = 0
        self.heard()
        return readings

    def _speaker(self) -> tuple[Part, Conversation]:
        part = self.parts.speaker()
        if part is None or part.conversation is None:
            raise LinkLost("the session is closed", sent=False)
        return part, part.conversation

    async def prepare(self, write: PointWrite) -> Prepared:
        """Encodes one write in the type that the server holds."""
        return await self._speaker()[1].prepare(write.point, write.value)

    async def send(self, prepared: Prepared) -> None:
        """Sends one write, once."""
        part, conversation = self._speaker()
        try:
            await conversation.send(prepared)
        except ReplyTimeout:
            self.parts.timed_out(part)
            raise
        part.silent = 0


def _library() -> tuple[type[Conversation], type[Means]]:
    """What needs asyncua: most of a second of work, so it is loaded by who connects, beside the loop."""
    from scowl_edge.drivers.opcua.admission import Means
    from scowl_edge.drivers.opcua.conversation import Conversation

    return Conversation, Means
