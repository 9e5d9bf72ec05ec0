"""Looks at the published values once a second and hands on what is to be kept."""

from __future__ import annotations

import asyncio
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
        events: Callable[[], Sequence[EventView]],
        last_seq: Callable[[], int],
        *,
        rate: float = 1.0,
    ) -> None:
        """All in one.

        Args:
            store: Takes what is to be kept.
            table: Looked at each second.
            clock: Stamps the buckets.
            fresh_ms: How long a value of each point counts after it was read.
            events: The last events, newest first; asked only when `last_seq` has moved.
            last_seq: Number of the newest event, 0 if there is none.
            rate: How much faster than the machine the clock runs.
        """
        self.history = StoredHistory(store.path, store.points)
        self._store = store
        self._table = table
        self._clock = clock
        self._fresh_ms = np.asarray(fresh_ms, np.int64)
        self._events = events
        self._last_seq = last_seq
        self._rate = rate
        self._gathering = Gathering(len(store.points), store.every_ms)
        self._seq = 0

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
        self._follow()

    def _follow(self) -> None:
        newest = self._last_seq()
        if newest == self._seq:
            return
        # After a start all that the region still holds comes again: the store knows each by its number.
        after = self._seq if 0 < self._seq < newest else 0
        fresh = tuple(e for e in reversed(self._events()) if e.seq > after)
        # Nothing, where they are not settled yet; and what a full queue did not take: asked again at the next look.
        if fresh and self._store.put(fresh):
            self._seq = fresh[-1].seq

    def close(self) -> None:
        """Hands on what was gathered since the last bucket; the store is closed by who made it."""
        self._follow()
        if (rest := self._gathering.take()) is not None:
            self._store.put(rest)
