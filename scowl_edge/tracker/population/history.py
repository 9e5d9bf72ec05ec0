"""Who was starved, how often and how long: what a cut and a rotation have to know to be fair."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population.columns import Columns


class History(NamedTuple):
    """A life's record of each slot and big feed. Untouched pages of zeros take no memory."""

    slot_times: NDArray[np.uint8]
    """[slots] How often it was starved; stays at 255."""
    feed_times: NDArray[np.uint8]
    slot_since: NDArray[np.uint32]
    """[slots] Second in which it was starved; 0 = it is not."""
    feed_since: NDArray[np.uint32]
    slot_total: NDArray[np.uint32]
    """[slots] Seconds starved in all, without the present spell."""
    feed_total: NDArray[np.uint32]
    totals: NDArray[np.int64]
    """[1] Times anybody was starved: while 0, a cut need not look at the times of each."""

    @classmethod
    def empty(cls, columns: Columns) -> History:
        """Nobody was ever starved."""
        slots, feeds = len(columns.demand), len(columns.big_demand)
        return cls(
            np.zeros(slots, np.uint8),
            np.zeros(feeds, np.uint8),
            np.zeros(slots, np.uint32),
            np.zeros(feeds, np.uint32),
            np.zeros(slots, np.uint32),
            np.zeros(feeds, np.uint32),
            np.zeros(1, np.int64),
        )
