"""One connection from its beginning to its end: the session, what it reads and writes, and its subscription.

Imported only when a driver connects: this module and those that it uses import asyncua.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

from asyncua import ua

from scowl_edge.devices.declaration import OpcuaLink
from scowl_edge.drivers.opcua.admission import Means
from scowl_edge.drivers.opcua.decoding import Decoder, same, unknown
from scowl_edge.drivers.opcua.places import UNSEEN, Place, Stock
from scowl_edge.drivers.opcua.session import Session, node_id
from scowl_edge.drivers.opcua.subscription import Subscription
from scowl_edge.drivers.opcua.writing import Prepared, learn_types, prepare_call, prepare_write, send
from scowl_edge.model.signal import Reading

_DOUBT_PAUSE_MS, _DOUBT_LONGEST_MS = 10_000, 3_600_000
"""Between two subscriptions that are given up for missing news; doubles while a new one helps no better."""


class Conversation:
    """All that is said on one session. Get one from `Conversation.open`."""

    def __init__(self, session: Session, link: OpcuaLink, stock: Stock, now: Callable[[], int]) -> None:
        self._session = session
        self._link = link
        self._stock = stock
        self._decoder = Decoder(stock.texts, stock.faults)
        self._now = now
        self._subscription: Subscription | None = None
        self._listener: asyncio.Task[None] | None = None
        self._doubt_pause_ms = _DOUBT_PAUSE_MS
        self._patient_until_ms = 0

    @classmethod
    async def open(
        cls,
        link: OpcuaLink,
        stock: Stock,
        means: Means,
        *,
        now: Callable[[], int],
        rate: float,
        lost: Callable[[], None],
        news: Callable[[list[Reading]], None],
    ) -> Conversation:
        """Connects, resolves every node anew, and subscribes.

        Args:
            link: Declaration.
            stock: Places and methods; all that an earlier session said of them is forgotten.
            means: Password, times, counters.
            now: The driver's clock, ms.
            rate: Seconds of that clock in a real one.
            lost: Called once when the session is no more, unless it was closed.
            news: Takes what comes by subscription.

        Raises:
            DriverError: NotAdmitted where a person must change something first.
        """
        session = await Session.open(link, means, lost)
        try:
            for place in stock.places:
                place.forget()
                place.node = node_id(place.name, session.namespaces)
            await learn_types(session, stock.places, list(stock.methods.values()))
        except BaseException:
            await session.leave()
            raise
        conversation = cls(session, link, stock, now)
        monitored = [place for place in stock.places if place.node is not None and place.is_read]
        if link.subscribe and monitored:
            conversation._subscribe(monitored, means.timeout_s, rate, news)
        return conversation

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent."""
        return self._session.is_open

    @property
    def remark(self) -> str:
        """What a person should know soon; empty if nothing."""
        return self._session.remark

    def _subscribe(
        self, places: Sequence[Place], timeout_s: float, rate: float, news: Callable[[list[Reading]], None]
    ) -> None:
        def deliver(answers: list[tuple[Place, ua.DataValue]]) -> None:
            news(self._decoder.readings(answers, 0, self._now()))

        name = f"opcua {self._link.name} subscription"
        self._subscription = Subscription(
            self._session, name, places, timeout_s=timeout_s, rate=rate, now=self._now, deliver=deliver
        )
        self._listener = asyncio.create_task(self._subscription.run(), name=name)

    async def read(self, places: Sequence[Place]) -> list[Reading]:
        """Reads these places, all or nothing. Those in a namespace that the server lacks are bad unasked."""
        if self._listener is not None and self._listener.done():
            self._listener.result()  # it ends with the session; otherwise by a defect, which is not to be hidden
        requested_ms = self._now()
        known = [place for place in places if place.node is not None]
        values = await self._session.read([place.node for place in known if place.node is not None])
        answers = list(zip(known, values, strict=True))
        received_ms = self._now()
        self._doubt(answers, received_ms)
        answers += [(place, unknown()) for place in places if place.node is None]
        return self._decoder.readings(answers, requested_ms, received_ms)

    def _doubt(self, answers: Sequence[tuple[Place, ua.DataValue]], now_ms: int) -> None:
        """A place whose reads differ for long from what it was notified of shows that its subscription is dead."""
        subscription = self._subscription
        if subscription is None:
            return
        for place, data in answers:
            if place.monitored_ms < 0:
                continue
            value = data.Value.Value if data.Value is not None else None
            if place.notified is not UNSEEN and same(value, place.notified):
                place.doubted_ms = -1
            elif place.doubted_ms < 0:
                place.doubted_ms = now_ms
            elif now_ms - max(place.doubted_ms, place.monitored_ms) > self._grace_ms(place, subscription):
                self._give_up(subscription, now_ms)
                return

    def _grace_ms(self, place: Place, subscription: Subscription) -> int:
        """Longest time that a change may take to be notified of, twice."""
        return 2 * (place.poll_ms + place.sampling_ms + math.ceil(subscription.interval_ms)) + self._link.timeout_ms

    def _give_up(self, subscription: Subscription, now_ms: int) -> None:
        if now_ms >= self._patient_until_ms:
            self._patient_until_ms = now_ms + self._doubt_pause_ms
            self._doubt_pause_ms = min(self._doubt_pause_ms * 2, _DOUBT_LONGEST_MS)
            subscription.restart()

    async def prepare(self, index: int, value: float) -> Prepared:
        """Makes one write ready. Raises Unsendable."""
        method = self._stock.methods.get(index)
        if method is not None:
            return prepare_call(self._session, method, value)
        place, slot = self._stock.slots[index]
        return await prepare_write(self._session, place, slot, value)

    async def send(self, prepared: Prepared) -> None:
        """Sends it once. Raises DriverError."""
        await send(self._session, prepared)

    async def close(self) -> None:
        """Ends the subscription, says farewell and disconnects, in a bounded time."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._session.leave()
