"""One connection from its beginning to its end: the session, what it reads and writes, and its subscription.

Imported only when a driver connects: this module and those that it uses import asyncua.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from scowl_edge.devices.declaration import OpcuaLink
from scowl_edge.drivers.opcua.admission import Means
from scowl_edge.drivers.opcua.decoding import Decoder, unknown
from scowl_edge.drivers.opcua.places import Notified, Place, Stock
from scowl_edge.drivers.opcua.session import Session, node_id
from scowl_edge.drivers.opcua.subscription import Subscription
from scowl_edge.drivers.opcua.values import Values, equal
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
        self._decoder = Decoder(stock)
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
        places: Sequence[Place],
        means: Means,
        *,
        first: bool,
        now: Callable[[], int],
        rate: float,
        lost: Callable[[], None],
        news: Callable[[list[Reading]], None],
    ) -> Conversation:
        """Connects and subscribes; the first session of a connection also resolves every node of the link anew.

        Args:
            link: Declaration.
            stock: Places and methods of the link.
            places: Those that this session brings; all that an earlier one said of them is forgotten.
            means: Password, times, counters.
            first: No other session is open.
            now: The driver's clock, ms.
            rate: Seconds of that clock in a real one.
            lost: Called once when the session is no more, unless it was closed.
            news: Takes what comes by subscription.

        Raises:
            DriverError: NotAdmitted where a person must change something first.
        """
        session = await Session.open(link, means, lost)
        try:
            for place in places:
                place.unheard()
            if first:
                for place in stock.places:
                    place.named(node_id(place.name, session.namespaces))
                await learn_types(session, stock.places, list(stock.methods.values()))
        except BaseException:
            await session.leave()
            raise
        conversation = cls(session, link, stock, now)
        monitored = [place for place in places if place.node is not None]
        if link.subscribe and monitored:
            conversation._subscribe(monitored, means.timeout_s, rate, news)
        return conversation

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent."""
        return self._session.is_open

    @property
    def namespaces(self) -> list[str]:
        """The server's, as they were when it began."""
        return self._session.namespaces

    @property
    def remark(self) -> str:
        """What a person should know soon; empty if nothing."""
        return self._session.remark

    def _subscribe(
        self, places: Sequence[Place], timeout_s: float, rate: float, news: Callable[[list[Reading]], None]
    ) -> None:
        numbers = np.array([place.number for place in places], np.intp)

        def deliver(values: Values) -> None:
            news(self._decoder.readings(numbers, values, 0, self._now()))

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
        values = await self._session.read_values([place.node for place in known if place.node is not None])
        received_ms = self._now()
        numbers = np.array([place.number for place in known], np.intp)
        if self._subscription is not None:
            self._doubt(self._subscription, numbers, values, received_ms)
        readings = self._decoder.readings(numbers, values, requested_ms, received_ms)
        absent = [(place, unknown(), 0) for place in places if place.node is None]
        return readings + self._decoder.one_by_one(absent, requested_ms, received_ms) if absent else readings

    def _doubt(self, subscription: Subscription, numbers: NDArray[np.intp], values: Values, now_ms: int) -> None:
        """A place whose reads differ for long from what it was notified of shows that its subscription is dead."""
        columns = self._stock.columns
        at = numbers[values.items]
        known = columns.notified_number[at]
        same = (known == values.numbers) | (np.isnan(known) & np.isnan(values.numbers))
        same &= columns.notified[at] == Notified.NUMBER
        odd = [at[~same]]
        for item, data in values.others:
            number, place = numbers[item], self._stock.places[numbers[item]]
            value = data.Value.Value if data.Value is not None else None
            if columns.notified[number] == Notified.OTHER and equal(value, place.notified):
                columns.doubted_ms[number] = -1
            else:
                odd.append(np.array([number]))
        columns.doubted_ms[at[same]] = -1
        doubted = np.concatenate(odd)
        doubted = doubted[columns.monitored_ms[doubted] >= 0]
        since_ms = columns.doubted_ms[doubted]
        columns.doubted_ms[doubted[since_ms < 0]] = now_ms
        # Longest time that a change may take to be notified of, twice.
        grace_ms = 2 * (columns.poll_ms[doubted] + columns.sampling_ms[doubted] + math.ceil(subscription.interval_ms))
        waited_ms = now_ms - np.maximum(since_ms, columns.monitored_ms[doubted])
        if ((since_ms >= 0) & (waited_ms > grace_ms + self._link.timeout_ms)).any():
            self._give_up(subscription, now_ms)

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
