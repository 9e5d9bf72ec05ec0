"""Joins at a bounded rate: a queue of fixed length, first come, first served; a full one tells the source so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population.roster import Newcomers, Outcome, People


class Admission:
    """A burst of joins waits here, so that control goes on; a step takes a few.

    Its memory is that of its length, however many come.
    """

    def __init__(self, length: int, per_step: int) -> None:
        """Room for so many who wait, and how many a step admits."""
        if length < 1 or per_step < 1:
            raise ValueError(f"a queue of {length} with {per_step} a step: both must be at least 1")
        self._rows = Newcomers(
            np.zeros((length, 2), np.int64),
            np.zeros(length, np.uint16),
            np.zeros(length, np.uint8),
            np.zeros(length, np.int64),
            np.zeros(length, np.uint8),
            np.zeros(length, np.uint8),
        )
        self._length, self._per_step = length, per_step
        self._first = 0
        self.waiting = 0
        """How many wait."""
        self.offered = 0
        self.turned_away = 0
        """How many were refused since the queue was full."""
        self.outcomes = dict.fromkeys(Outcome, 0)
        """What became of those whose turn came."""

    def offer(self, new: Newcomers) -> int:
        """Takes as many as there is room for, from the first on; how many it took. The others are to come again."""
        count = min(len(new.zone), self._length - self.waiting)
        at = (self._first + self.waiting + np.arange(count)) % self._length
        for name in Newcomers._fields:
            getattr(self._rows, name)[at] = getattr(new, name)[:count]
        self.waiting += count
        self.offered += len(new.zone)
        self.turned_away += len(new.zone) - count
        return count

    def queued(self) -> Newcomers:
        """Those who wait, the first ones first."""
        at = (self._first + np.arange(self.waiting)) % self._length
        return self._rows_at(at)

    def _rows_at(self, at: NDArray[np.int64]) -> Newcomers:
        rows = self._rows
        return Newcomers(
            rows.identity[at], rows.zone[at], rows.klass[at], rows.nominal[at], rows.noise[at], rows.kind[at]
        )

    def admit(self, people: People) -> tuple[Newcomers, NDArray[np.uint8], NDArray[np.int64]]:
        """Lets the next ones join: (who, `Outcome` of each, place of each).

        Those who find no room are handed back as NO_ROOM, not kept: the caller grows the population
        (`People.room_wanted`) and offers them again.
        """
        count = min(self.waiting, self._per_step)
        at = (self._first + np.arange(count)) % self._length
        turn = self._rows_at(at)
        self._first = (self._first + count) % self._length
        self.waiting -= count
        outcome, place = people.join(turn)
        for kind in Outcome:
            self.outcomes[kind] += int(np.count_nonzero(outcome == kind))
        return turn, outcome, place
