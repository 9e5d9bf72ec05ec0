"""OPC-UA as the bus sees it: recurring reads that ask only for what no notification brought, and commands.

A poll confirms silence: a place that its subscription has brought lately is not asked for. So an unchanged value never
grows stale, and one whose notifications stopped is read all the same, and found out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scowl_edge.contracts import Clock, PointWrite
from scowl_edge.devices.declaration import OpcuaLink, Secret
from scowl_edge.drivers.bus import Ended, begin_task
from scowl_edge.drivers.errors import DriverError, LinkLost, NotAdmitted
from scowl_edge.drivers.opcua.places import Place, Stock
from scowl_edge.model.signal import Reading

if TYPE_CHECKING:
    from scowl_edge.drivers.opcua.admission import Means
    from scowl_edge.drivers.opcua.conversation import Conversation
    from scowl_edge.drivers.opcua.writing import Prepared

SESSION_TIMEOUT_MS = 60_000
"""At least: a server keeps a session that was lost for so long, and many keep but few."""
CHANNEL_LIFETIME_MS = 3_600_000
SHORT_LIFE_MS, SHORT_LIVES = 5_000, 2
"""After so many sessions in a row that lived no longer, there is a pause before the next; it grows up to as much."""


class Poll:
    """Places that are read together."""

    def __init__(self, poll_ms: int, places: Sequence[Place]) -> None:
        self.poll_ms = poll_ms
        self.places = tuple(places)
        self.points = sorted(slot.index for place in places for slot in place.slots)


def polls(stock: Stock) -> tuple[Poll, ...]:
    """One a period, for all devices that have it."""
    by_period: dict[int, list[Place]] = {}
    for place in stock.places:
        if place.is_read:
            by_period.setdefault(place.poll_ms, []).append(place)
    return tuple(Poll(period, places) for period, places in sorted(by_period.items()))


class OpcuaPort:
    """One session after another with one server."""

    def __init__(
        self,
        link: OpcuaLink,
        stock: Stock,
        jobs: Sequence[Poll],
        clock: Clock,
        *,
        rate: float,
        channel_lifetime_ms: int = CHANNEL_LIFETIME_MS,
    ) -> None:
        self.news: Callable[[list[Reading]], None] = lambda _readings: None
        """Takes what comes by subscription."""
        self.heard: Callable[[], None] = lambda: None
        """Called whenever places were heard: the state of devices may have changed."""
        self.remark = ""
        """What a person should know of the last connection; empty if nothing."""
        self._link = link
        self._stock = stock
        self._jobs = jobs
        self._clock = clock
        self._rate = rate
        self._channel_lifetime_ms = channel_lifetime_ms
        self._wanted: set[int] = set()
        self._conversation: Conversation | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._opened_ms = -1
        self._short_lived = 0
        self._reading: asyncio.Task[Sequence[Reading]] | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent."""
        return self._conversation is not None and self._conversation.is_open

    async def open(self, count: Callable[[str], None], lost: Callable[[], None]) -> None:
        """Connects; see `Port.open`."""
        self.close()
        await self.closed()
        await self._after_short_ones()
        try:
            conversation, means = await asyncio.to_thread(_library)
        except ImportError as error:
            raise NotAdmitted(
                f"the OPC-UA library cannot be loaded ({error}); install it: pip install 'scowl-edge[opcua]'"
            ) from error
        link = self._link
        password = ""
        if link.user and link.password is not None:
            password = await asyncio.to_thread(read_secret, link.password)
        longest_ms = max((job.poll_ms for job in self._jobs), default=0)
        self._conversation = await conversation.open(
            link,
            self._stock,
            means(
                password=password,
                now_utc_ms=self._clock.utc_ms(),
                connect_timeout_s=link.connect_timeout_ms / 1000 / self._rate,
                timeout_s=link.timeout_ms / 1000 / self._rate,
                session_timeout_ms=max(SESSION_TIMEOUT_MS, round(3 * longest_ms / self._rate)),
                channel_lifetime_ms=self._channel_lifetime_ms,
                count=count,
            ),
            now=self._clock.mono_ms,
            rate=self._rate,
            lost=lost,
            news=self._news,
        )
        self.remark = self._conversation.remark
        self._opened_ms = self._clock.mono_ms()

    async def _after_short_ones(self) -> None:
        """A session that ends at once, again and again, is not begun anew at once: that would be a storm."""
        lived_ms = self._clock.mono_ms() - self._opened_ms
        self._short_lived = self._short_lived + 1 if self._opened_ms >= 0 and lived_ms < SHORT_LIFE_MS else 0
        self._opened_ms = -1
        if self._short_lived > SHORT_LIVES:
            pause_ms = min(100 << min(self._short_lived, 10), SHORT_LIFE_MS)
            await asyncio.sleep(pause_ms / 1000 / self._rate)

    def _news(self, readings: list[Reading]) -> None:
        self.heard()
        self.news(readings)

    def close(self) -> None:
        """Disconnects; the farewell goes on in the background, `closed` waits for it."""
        if self._reading is not None:
            self._reading.cancel()
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            task = asyncio.create_task(conversation.close(), name=f"opcua {self._link.name} farewell")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def closed(self) -> None:
        """Waits until nothing of an earlier connection is left."""
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    def want(self, points: Iterable[int]) -> None:
        """The next read of these points is a real one, however fresh they are."""
        slots = self._stock.slots
        self._wanted.update(point for point in points if point in slots and slots[point][0].is_read)

    def begin(self, job: int, done: Ended) -> None:
        """Carries out one poll; see `Port.begin`. What came by subscription needs no request."""
        if not self._any_due(job):
            asyncio.get_running_loop().call_soon(done, ())
        else:
            self._reading = begin_task(self.read(job), done)

    def _any_due(self, job: int) -> bool:
        return any(self._is_due(place) for place in self._jobs[job].places)

    async def read(self, job: int) -> list[Reading]:
        """Reads those places of a poll that must be read, or raises."""
        # All of a device or nothing: a value that was read must not stand beside an older one that was notified, since
        # the two are judged together (what a consumer draws, beside what it says could wait).
        due = self._jobs[job].places
        if not any(self._is_due(place) for place in due):
            return []
        if self._conversation is None:
            raise LinkLost("the session is closed", sent=False, what=f"read {len(due)} nodes (link {self._link.name})")
        asked = {slot.index for place in due for slot in place.slots}
        try:
            readings = await self._conversation.read(due)
        except DriverError:
            # The bus calls these points bad now, and soon perhaps all: only a read makes them good again.
            for place in self._stock.places:
                place.received_ms = -1
            raise
        finally:
            self._wanted -= asked
        self.heard()
        return readings

    def _is_due(self, place: Place) -> bool:
        """Whether waiting for the next poll could let it grow older than half of what is fresh."""
        if place.monitored_ms < 0 or place.received_ms < 0 or place.doubted_ms >= 0 or place.node is None:
            return True
        if self._wanted and not self._wanted.isdisjoint(slot.index for slot in place.slots):
            return True
        age_ms = self._clock.mono_ms() - place.received_ms
        return age_ms >= place.poll_ms and age_ms + place.poll_ms >= place.fresh_for_ms / 2

    async def prepare(self, write: PointWrite) -> Prepared:
        """Encodes one write in the type that the server holds."""
        if self._conversation is None:
            raise LinkLost("the session is closed", sent=False)
        return await self._conversation.prepare(write.point, write.value)

    async def send(self, prepared: Prepared) -> None:
        """Sends one write, once."""
        if self._conversation is None:
            raise LinkLost("the session is closed", sent=False)
        await self._conversation.send(prepared)


def _library() -> tuple[type[Conversation], type[Means]]:
    """What needs asyncua: most of a second of work, so it is loaded by who connects, beside the loop."""
    from scowl_edge.drivers.opcua.admission import Means
    from scowl_edge.drivers.opcua.conversation import Conversation

    return Conversation, Means


def read_secret(secret: Secret) -> str:
    """The password as it lies there now, without the line's end.

    Raises:
        NotAdmitted: it cannot be read.
    """
    if secret.file:
        path = Path(secret.file)
    else:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise NotAdmitted(
                f"the password is the credential {secret.credential!r}, but $CREDENTIALS_DIRECTORY is not set; start "
                "the daemon under systemd with LoadCredential, or give `password: {file: ...}`"
            )
        path = Path(folder) / secret.credential
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NotAdmitted(f"the password file {path} cannot be read: {error}") from error
    if not password:
        raise NotAdmitted(f"the password file {path} is empty")
    return password
