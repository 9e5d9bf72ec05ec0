"""One subscription for all of a link: created, listened to, and created anew when it goes silent.

Imported only when a driver connects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from asyncua import ua

from scowl_edge.drivers.errors import BadReply, DriverError, LinkLost, Refused
from scowl_edge.drivers.opcua.answers import News
from scowl_edge.drivers.opcua.places import Notified, Place
from scowl_edge.drivers.opcua.session import Session
from scowl_edge.drivers.opcua.values import Values

KEEP_ALIVE_MS = 5_000
"""How often a server that has nothing new says that it lives."""
LEAST_INTERVAL_MS = 50
MOST_AT_ONCE = 250
"""Values in one notification: bounds how long one holds the loop up."""
WAITS, MOST_WAITS = 2, 5
"""Requests for news that the server holds: while one answer is on its way it can give the next."""
_PAUSE_FIRST_S, _PAUSE_LONGEST_S = 0.25, 60.0

_TOO_MANY_WAITS = int(ua.StatusCodes.BadTooManyPublishRequests)

Deliver = Callable[[Values], None]


class Subscription:
    """Monitors places and hands on what they bring. `run` ends only with the session or by cancellation."""

    def __init__(
        self,
        session: Session,
        name: str,
        places: Sequence[Place],
        *,
        timeout_s: float,
        rate: float,
        now: Callable[[], int],
        deliver: Deliver,
    ) -> None:
        """Sends nothing yet.

        Args:
            session: Where to.
            name: Name of its tasks.
            places: What is monitored; those that the server refuses stay unmonitored.
            timeout_s: Longest delay of a sign of life, in real seconds.
            rate: Seconds of the driver's clock in a real one: intervals shrink with it.
            now: The driver's clock, ms.
            deliver: Takes what each notification brings.
        """
        self.interval_ms = 0.0
        """Publishing interval in real ms, as the server revised it; 0 while there is no subscription."""
        self.created = 0
        """Subscriptions created so far."""
        self._session = session
        self._places = tuple(places)
        self._columns = places[0].columns
        self._numbers = np.array([place.number for place in places], np.intp)
        self._timeout_s = timeout_s
        self._name = name
        self._rate = rate
        self._now = now
        self._deliver = deliver
        self._id = 0
        self._silent_after_s = 0.0
        self._sequence = 0
        self._acknowledged: list[ua.SubscriptionAcknowledgement] = []
        self._waits: list[asyncio.Task[News]] = []
        """Requests that the server holds until it has something to say; oldest first, as they are answered."""
        self._most_waits = WAITS
        self._given_up: asyncio.Future[None] | None = None

    def restart(self) -> None:
        """Gives the present subscription up for a new one: it lives, but brings no news."""
        if self._given_up is not None and not self._given_up.done():
            self._given_up.set_result(None)

    async def run(self) -> None:
        """Serves until the session is gone."""
        pause_s = _PAUSE_FIRST_S
        try:
            while True:
                try:
                    await self._create()
                    while True:
                        await self._listen()
                        pause_s = _PAUSE_FIRST_S
                except LinkLost:
                    return
                except DriverError:
                    # Silent, ended by the server or refused. What it no longer brings is read until it does again.
                    self._drop()
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _PAUSE_LONGEST_S)
        finally:
            self._drop()
            for wait in self._waits:
                wait.cancel()

    def _drop(self) -> None:
        self.interval_ms = 0.0
        for place in self._places:
            place.unmonitored()
        self._columns.received_ms[self._numbers] = -1

    async def _create(self) -> None:
        if self._id:
            stale, self._id = self._id, 0
            try:
                await self._session.unsubscribe(stale)
            except LinkLost:
                raise
            except DriverError:
                pass  # it is gone already, or the server will drop it by its lifetime
        shortest = max(min(place.poll_ms for place in self._places) / self._rate, LEAST_INTERVAL_MS)
        result = await self._session.subscribe(
            ua.CreateSubscriptionParameters(
                RequestedPublishingInterval=shortest,
                RequestedLifetimeCount=max(round(60_000 / shortest), 30),
                RequestedMaxKeepAliveCount=max(round(KEEP_ALIVE_MS / self._rate / shortest), 1),
                MaxNotificationsPerPublish=MOST_AT_ONCE,
            )
        )
        self._id, self._sequence = int(result.SubscriptionId), 0
        self._acknowledged = []
        self.interval_ms = float(result.RevisedPublishingInterval)
        self._silent_after_s = self.interval_ms * int(result.RevisedMaxKeepAliveCount) / 1000 + self._timeout_s
        await self._monitor()
        # Waits that ended with the last subscription say nothing of this one.
        self._waits = [wait for wait in self._waits if not wait.done() or _brings(wait, self._id)]
        self.created += 1

    async def _monitor(self) -> None:
        requests = [
            ua.MonitoredItemCreateRequest(
                ItemToMonitor=ua.ReadValueId(NodeId=place.node, AttributeId=ua.AttributeIds.Value),
                MonitoringMode=ua.MonitoringMode.Reporting,
                RequestedParameters=ua.MonitoringParameters(
                    ClientHandle=handle, SamplingInterval=place.poll_ms / self._rate, QueueSize=1
                ),
            )
            for handle, place in enumerate(self._places)
        ]
        results = await self._session.monitor(self._id, requests)
        now_ms = self._now()
        for place, result in zip(self._places, results, strict=True):
            if result.StatusCode.is_good():
                sampling_ms = round(float(result.RevisedSamplingInterval) * self._rate)
                self._columns.monitored_ms[place.number], self._columns.sampling_ms[place.number] = now_ms, sampling_ms

    async def _publish(self) -> News | None:
        """The server's next word; None if it has none.

        Waits are never withdrawn: the server would answer them all the same, and what it says there would be lost.
        After a silence there is one more, in case it has forgotten one.
        """
        while len(self._waits) < self._most_waits:
            acknowledged, self._acknowledged = self._acknowledged, []
            wait = asyncio.create_task(self._session.publish(acknowledged), name=self._name)
            wait.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._waits.append(wait)
        self._given_up = asyncio.get_running_loop().create_future()
        try:
            either: list[asyncio.Future[Any]] = [*self._waits, self._given_up]
            await asyncio.wait(either, timeout=self._silent_after_s, return_when=asyncio.FIRST_COMPLETED)
            over = self._given_up.done()
        finally:
            self._given_up = None
        answered = next((wait for wait in self._waits if wait.done()), None)
        if answered is None or over:
            self._most_waits = min(self._most_waits + 1, MOST_WAITS)
            raise BadReply("the subscription brings no news" if over else "the subscription gives no sign of life")
        self._waits.remove(answered)
        try:
            return answered.result()
        except Refused as error:
            if error.code != _TOO_MANY_WAITS or not self._waits:
                raise
            self._most_waits = len(self._waits)
            return None

    async def _listen(self) -> None:
        """One notification or sign of life."""
        news = await self._publish()
        if news is None or news.subscription != self._id or news.is_empty:
            return
        self._acknowledged.append(
            ua.SubscriptionAcknowledgement(SubscriptionId=self._id, SequenceNumber=ua.UInt32(news.sequence))
        )
        if news.sequence != self._sequence % 0xFFFFFFFF + 1:
            self._columns.received_ms[self._numbers] = -1  # something between was lost: read what it may have been
        self._sequence = news.sequence
        for values in news.values:
            self._take(values)
        if news.ended:
            raise BadReply(f"the server ended the subscription ({news.ended})")

    def _take(self, values: Values) -> None:
        values = values.below(len(self._numbers))
        at, columns = self._numbers[values.items], self._columns
        columns.notified[at], columns.notified_number[at], columns.doubted_ms[at] = Notified.NUMBER, values.numbers, -1
        for item, data in values.others:
            place = self._places[item]
            columns.notified[place.number], columns.doubted_ms[place.number] = Notified.OTHER, -1
            place.notified = data.Value.Value if data.Value is not None else None
        self._deliver(values)


def _brings(wait: asyncio.Task[News], subscription: int) -> bool:
    """Whether a wait that is over brought something of this subscription."""
    return not wait.cancelled() and wait.exception() is None and wait.result().subscription == subscription
