"""Looks at the published values once a second and hands on what is to be kept."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.signal import Quality
from scowl_edge.model.view import EventView
from scowl_edge.telemetry.buckets import Gathering
from scowl_edge.telemetry.history import StoredHistory
from scowl_edge.telemetry.store import TelemetryStore

LOOK_EVERY_S = 1.0
MOST_WAITING = 10_000
"""Events that wait for a store that does not take them; the oldest are lost first."""


class Table(Protocol):
    """The last known of every point; one entry a point, times monotonic ms, -1 never."""

    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    good_ms: NDArray[np.int64]


class Time(Protocol):
    """The clocks of the table and of the people who look back."""

    def mono_ms(self) -> int:
        """That of the table."""

    def utc_ms(self) -> int:
        """Wall clock."""


class Recorder:
    """Samples the table and follows the list of events. A value counts as long as it is fresh.

    Attributes:
        history: What was recorded.
    """

    def __init__(
        self,
        store: TelemetryStore,
        table: Table,
        clock: Time,
        fresh_ms: Sequence[int],
        events: Callable[[int], Sequence[EventView]],
        *,
        rate: float = 1.0,
    ) -> None:
        """All in one.

        Args:
            store: Takes what is to be kept.
            table: Looked at each second.
            clock: Stamps the buckets.
            fresh_ms: How long a value of each point counts after it was read.
            events: Those after a number, oldest first; all, if they began anew. Asked in `follow`.
            rate: How much faster than the machine the clock runs.
        """
        self.history = StoredHistory(store.path, store.points)
        self._store = store
        self._table = table
        self._clock = clock
        self._fresh_ms = np.asarray(fresh_ms, np.int64)
        self._events = events
        self._rate = rate
        self._gathering = Gathering(len(store.points), store.every_ms)
        self._seq = 0
        self._waiting: deque[EventView] = deque(maxlen=MOST_WAITING)

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S / self._rate)

    def look(self) -> None:
        """One look: under a millisecond for 15,000 points."""
        table, now = self._table, self._clock.mono_ms()
        good = (table.quality != Quality.BAD) & (table.good_ms >= 0) & (now - table.good_ms <= self._fresh_ms)
        done = self._gathering.add(self._clock.utc_ms(), table.value, good)
        if done is not None:
            self._store.put(done)

    def follow(self) -> None:
        """Takes what happened since the last call. To be called after each step, when no crash can undo it."""
        if fresh := self._events(self._seq):
            self._seq = fresh[-1].seq
            self._waiting += fresh
            self.history.take(fresh)
        # What a full queue did not take is tried again after the next step.
        if self._waiting and self._store.put(tuple(self._waiting)):
            self._waiting.clear()

    def close(self) -> None:
        """Hands on what was gathered since the last bucket; the store is closed by who made it."""
        self.follow()
        if (rest := self._gathering.take()) is not None:
            self._store.put(rest)
