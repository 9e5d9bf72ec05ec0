"""Batches: what a population's peers tell, many in one message, as packed rows. One batch = one sender's message.

Rows are little-endian and without gaps; a power is in quanta of the population, + consumption. Numbers of slots, feeds
and trees are those that the tracker gave out at the join; identities are 128 bit, as two halves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class BatchKind(IntEnum):
    """What the rows of a batch are."""

    DEMAND = 0
    """Demand of consumers in slots."""
    FEED = 1
    """Demand of big feeds."""
    OUTPUT = 2
    """Output of plants, as magnitudes."""
    HELD = 3
    """Which tree the receivers of assignments hold: the confirmation of `Assign`."""
    JOIN = 4
    """Who wants to be in; answered by `Seated`. Whoever got no answer asks again, through the same sender."""
    LEAVE = 5


ROWS: dict[BatchKind, np.dtype[np.void]] = {
    BatchKind.DEMAND: np.dtype([("slot", "<u4"), ("value", "<i4")]),
    BatchKind.FEED: np.dtype([("feed", "<u4"), ("value", "<i4")]),
    BatchKind.OUTPUT: np.dtype([("tree", "<u4"), ("value", "<i8")]),
    BatchKind.HELD: np.dtype([("kind", "u1"), ("number", "<u4"), ("tree", "<u2")]),
    BatchKind.JOIN: np.dtype([("high", "<u8"), ("low", "<u8"), ("zone", "<u2"), ("klass", "u1"), ("nominal", "<i4")]),
    BatchKind.LEAVE: np.dtype([("high", "<u8"), ("low", "<u8")]),
}
"""The fields of a row, by kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One message of one sender."""

    population: int
    """Index into the site's populations."""
    kind: BatchKind
    sender: int
    """A gateway, concentrator or plant; its messages are numbered."""
    sequence: int
    """Counts up by one from 1 for each sender; an older one than the last taken is refused."""
    at_ms: int
    """Monotonic: when it came."""
    data: bytes

    def rows(self) -> NDArray[np.void] | None:
        """The rows, without a copy; None where the bytes are not whole rows."""
        dtype = ROWS[self.kind]
        if len(self.data) % dtype.itemsize:
            return None
        return np.frombuffer(self.data, dtype)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assign:
    """Who is in which tree from now on: one message for each block, slot or feed that changed hands.

    It is repeated until a HELD batch confirms it. Arrays have the same length.
    """

    population: int
    kind: NDArray[np.uint8]
    """0 block, 1 slot, 2 big feed."""
    number: NDArray[np.int64]
    tree: NDArray[np.int64]
    """65,535 = none: starved."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seated:
    """What became of those who wanted to join. Arrays have the same length."""

    population: int
    high: NDArray[np.int64]
    """Identity, upper half, as a signed number."""
    low: NDArray[np.int64]
    place: NDArray[np.int64]
    """Slot from now on; -2 - first feed of a big one; -1 where it was refused."""
    outcome: NDArray[np.uint8]
    """0 seated, 1 the identity is taken, 3 no room, 4 refused (zone, class or demand out of range).

    Who asks again in the same words through the same sender is told 0 and the place once more.
    """
