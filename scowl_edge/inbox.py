"""Where readings and events wait for the next step: the point table, and the freeze into `Inputs`.

Readings conflate (the last value of a point wins, and what was overwritten is counted); events are kept, each once.
What peers say, and that they come and go, waits in a queue of its own: a step takes so many and leaves the rest, in
order, to the next, so that thousands who speak at once make many short steps and not one that is late.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.batch import Batch
from scowl_edge.model.effect import Inputs
from scowl_edge.model.event import Answer, Event, LinkChanged, Outcome, Told
from scowl_edge.model.signal import Cause, Quality, Reading
from scowl_edge.model.tick import Tick

_NO_READINGS = np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.int64)
MOST_BATCH_BYTES = 64 << 20
"""Of batches that wait for a step; more are refused at the source."""

MOST_MESSAGES = 20_000
"""That wait for a step; more are refused at the source."""

MESSAGES_A_STEP = 500
"""That one step takes, with peers that came and went; at 0.02 to 0.1 ms each, a step stays far below any period."""

LEADING_FIFTHS = 4
"""Of those, at most for providers while others wait."""

ROUND_NEAREST, ROUND_UP, ROUND_DOWN = 0, 1, 2


class PointTable:
    """The last known of every point of the site. All arrays have one entry a point; times are monotonic ms.

    The shell owns it; the core sees only the signals that are bound to it, quantised at the freeze.
    """

    def __init__(self, size: int) -> None:
        self.value: NDArray[np.float64] = np.full(size, np.nan)
        self.quality: NDArray[np.uint8] = np.full(size, Quality.BAD, np.uint8)
        self.cause: NDArray[np.uint8] = np.full(size, Cause.NOT_READ_YET, np.uint8)
        self.requested_ms: NDArray[np.int64] = np.full(size, -1, np.int64)
        self.received_ms: NDArray[np.int64] = np.full(size, -1, np.int64)
        """Of the last reply or certain failure."""
        self.good_ms: NDArray[np.int64] = np.full(size, -1, np.int64)
        """Of the last good value; -1 never."""
        self.source_utc_ms: NDArray[np.int64] = np.zeros(size, np.int64)
        self.updates = 0
        """Point updates so far."""

    def take(self, reading: Reading) -> None:
        """Writes one block into the table."""
        at: slice | NDArray[np.int32] = reading.points if reading.span is None else reading.span
        self.value[at] = reading.values
        self.quality[at] = reading.quality
        self.cause[at] = reading.causes
        self.requested_ms[at] = reading.requested_ms
        self.received_ms[at] = reading.received_ms
        self.source_utc_ms[at] = reading.source_utc_ms
        if reading.sound or not reading.quality.any():
            self.good_ms[at] = reading.received_ms
        else:
            self.good_ms[reading.points[reading.quality != Quality.BAD]] = reading.received_ms
        self.updates += len(reading.points)


class Inbox:
    """The sink of all drivers and the source of every step's `Inputs`."""

    def __init__(
        self,
        points: int,
        signal_points: Sequence[int],
        gains: Sequence[float],
        roundings: Sequence[int],
        wake: Callable[[], None] | None = None,
    ) -> None:
        """`signal_points`, `gains` and `roundings` (ROUND_*) have one entry a signal of the core."""
        self.table = PointTable(points)
        self._at = np.asarray(signal_points, np.int32)
        self._gain = np.asarray(gains, np.float64)
        self._rounding = np.asarray(roundings, np.uint8)
        self._seen_ms = np.full(len(self._at), -2, np.int64)
        self._events: list[Event] = []
        self._batches: list[Batch] = []
        self._batch_bytes = 0
        self.refused_batches = 0
        self._leading: deque[Told | LinkChanged] = deque()
        """Of providers: what they order goes before what thousands of appliances tell."""
        self._talk: deque[Told | LinkChanged] = deque()
        """Of all others."""
        self.refused_messages = 0
        self._fresh = np.zeros(points, np.bool_)
        self.conflated = 0
        """Point updates that were overwritten before a step saw them."""
        self.request_results: Counter[tuple[str, str]] = Counter()
        """(link, result) -> requests."""
        self.wake = wake
        """Called on each event: the next step should not wait for its period."""
        self.patient = False
        """Whether a device that comes or goes waits for the period: what it measures is judged by its age anyway, and
        hundreds may go at once."""
        self.hurry: Callable[[], None] | None = None
        """Called on each event that people wait for: an order, a stop."""
        self.hear: Callable[[], None] | None = None
        """Called when a peer spoke, came or went: a step should follow soon, and take what others say meanwhile."""

    def reading(self, reading: Reading) -> None:
        """Takes a block; the last value of a point wins."""
        at: slice | NDArray[np.int32] = reading.points if reading.span is None else reading.span
        # Of so few, bytes are counted quicker than numbers.
        self.conflated += self._fresh[at].tobytes().count(1)
        self._fresh[at] = True
        self.table.take(reading)

    def event(self, event: Event) -> None:
        """Keeps an event for the next step, which should not wait for its period."""
        if isinstance(event, Told) or (isinstance(event, LinkChanged) and ":" in event.link):
            # A peer's node id: that it came or went is in order with what it said.
            self._heard(event)
            return
        self.keep(event)
        if self.patient and isinstance(event, LinkChanged) and event.device:
            return
        if self.wake is not None:
            self.wake()
        if self.hurry is not None and not isinstance(event, Outcome | LinkChanged | Answer):
            self.hurry()

    def keep(self, event: Event) -> None:
        """Keeps an event for the next step, whenever that comes."""
        self._events.append(event)

    def batch(self, batch: Batch) -> bool:
        """Keeps a batch for the next step; False if too much waits already: the sender has to try again later."""
        if self._batch_bytes + len(batch.data) > MOST_BATCH_BYTES:
            self.refused_batches += 1
            return False
        self._batches.append(batch)
        self._batch_bytes += len(batch.data)
        return True

    def message(self, told: Told) -> bool:
        """Keeps what a peer said for the next step; False if too much waits already: the peer has to try again."""
        if self.spoken >= MOST_MESSAGES:
            self.refused_messages += 1
            return False
        self._heard(told)
        return True

    def requests(self, link: str, result: str, count: int = 1) -> None:
        """Counts requests by their result."""
        self.request_results[link, result] += count

    @property
    def waiting(self) -> int:
        """Events not yet seen by a step."""
        return len(self._events) + self.spoken

    @property
    def spoken(self) -> int:
        """Messages of peers, and peers that came or went, not yet seen by a step."""
        return len(self._leading) + len(self._talk)

    def freeze(self, tick: Tick) -> Inputs:
        """Everything that came since the last freeze, as exact integers; of what peers said the oldest so many."""
        events = (*self._events, *self._spoken())
        self._events = []
        batches, self._batches, self._batch_bytes = tuple(self._batches), [], 0
        table, at = self.table, self._at
        if not len(at):
            return Inputs(tick, *_NO_READINGS, events, batches)
        received = table.received_ms[at]
        changed = np.flatnonzero((received != self._seen_ms) & (received >= 0)).astype(np.int32)
        self._seen_ms = received
        self._fresh[:] = False
        points = at[changed]
        quality = table.quality[points]
        scaled = table.value[points] * self._gain[changed]
        rounding = self._rounding[changed]
        # 1e-6 of a quantum is the noise of binary fractions, not a watt.
        exact = np.where(
            rounding == ROUND_UP,
            np.ceil(scaled - 1e-6),
            np.where(rounding == ROUND_DOWN, np.floor(scaled + 1e-6), np.rint(scaled)),
        )
        outside = ~(np.abs(exact) < 2**62)
        quality = np.where(outside, np.uint8(Quality.BAD), quality)
        value = np.where(outside | (quality == Quality.BAD), 0.0, exact).astype(np.int64)
        return Inputs(tick, changed, value, quality.astype(np.uint8), received[changed], events, batches)

    def _spoken(self) -> Iterator[Told | LinkChanged]:
        """So many as one step takes; a part of them is never the leading ones', so that nobody waits for ever."""
        others = min(len(self._talk), MESSAGES_A_STEP - MESSAGES_A_STEP * LEADING_FIFTHS // 5)
        leading = min(len(self._leading), MESSAGES_A_STEP - others)
        for _ in range(leading):
            yield self._leading.popleft()
        for _ in range(min(len(self._talk), MESSAGES_A_STEP - leading)):
            yield self._talk.popleft()

    def _heard(self, event: Told | LinkChanged) -> None:
        (self._leading if event.link.startswith("dsrsp:") else self._talk).append(event)
        if self.hear is not None:
            self.hear()
        elif self.wake is not None:
            self.wake()
