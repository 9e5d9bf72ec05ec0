"""Joins at a bounded rate: a queue of fixed length, first come, first served; a full one tells the source so."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population.roster import Outcome, People
from scowl_edge.tracker.population.seating import Newcomers


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
            np.zeros(length, np.uint32),
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

    @property
    def room(self) -> int:
        """How many more may wait."""
        return self._length - self.waiting

    def offer(self, new: Newcomers) -> int:
        """Takes as many as there is room for, from the first on; how many it took. The others are to come again."""
        count = min(len(new.zone), self.room)
        at = (self._first + self.waiting + np.arange(count)) % self._length
        for name in Newcomers._fields:
            getattr(self._rows, name)[at] = getattr(new, name)[:count]
        self.waiting += count
        self.offered += len(new.zone)
        self.turned_away += len(new.zone) - count
        return count

    def withdraw(self, identity: NDArray[np.int64], sender: int) -> NDArray[np.bool_]:
        """Those of these identities (int64[n, 2]) whom this sender brought and who wait go home; bool[n]: who waited.

        `sender` is as in `Newcomers`.
        """
        if not self.waiting or not len(identity):
            return np.zeros(len(identity), np.bool_)
        rows = self.queued()
        mine = rows.sender == sender
        there, gone = _whole(rows.identity), _whole(identity)
        leaving = mine & np.isin(there, gone)
        stay = np.flatnonzero(~leaving)
        self._first, self.waiting = 0, len(stay)
        for name in Newcomers._fields:
            getattr(self._rows, name)[: len(stay)] = getattr(rows, name)[stay]
        return np.isin(gone, there[leaving])

    def queued(self) -> Newcomers:
        """Those who wait, the first ones first."""
        at = (self._first + np.arange(self.waiting)) % self._length
        return self._rows_at(at)

    def _rows_at(self, at: NDArray[np.int64]) -> Newcomers:
        rows = self._rows
        return rows._replace(**{name: getattr(rows, name)[at] for name in rows._fields})

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


def _whole(identity: NDArray[np.int64]) -> NDArray[np.void]:
    """[n] Both halves as one value that can be compared."""
    return np.ascontiguousarray(identity).view([("high", np.int64), ("low", np.int64)])[:, 0]
