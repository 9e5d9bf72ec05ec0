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
    """Who goes; answered by `Seated`. Only the sender that brought somebody may say so."""
    CHANGE = 6
    """Members who are from now on as a row of a join says; answered by `Seated`, perhaps with another place. Only the
    sender that brought somebody may say so."""


_MEMBER = np.dtype([("high", "<u8"), ("low", "<u8"), ("zone", "<u2"), ("klass", "u1"), ("nominal", "<i4")])
ROWS: dict[BatchKind, np.dtype[np.void]] = {
    BatchKind.DEMAND: np.dtype([("slot", "<u4"), ("value", "<i4")]),
    BatchKind.FEED: np.dtype([("feed", "<u4"), ("value", "<i4")]),
    BatchKind.OUTPUT: np.dtype([("tree", "<u4"), ("value", "<i8")]),
    BatchKind.HELD: np.dtype([("kind", "u1"), ("number", "<u4"), ("tree", "<u2")]),
    BatchKind.JOIN: _MEMBER,
    BatchKind.LEAVE: np.dtype([("high", "<u8"), ("low", "<u8")]),
    BatchKind.CHANGE: _MEMBER,
}
"""The fields of a row, by kind."""


STEP_BITS = 40
"""Of `Assign.stamp`: more steps than that no journal has."""


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

    def __post_init__(self) -> None:
        for name, bits in (("population", 16), ("sender", 32), ("sequence", 64)):
            if not 0 <= (number := getattr(self, name)) < 1 << bits:
                raise ValueError(f"a batch with the {name} {number}: it must fit in {bits} bits without a sign")

    def rows(self) -> NDArray[np.void] | None:
        """The rows, without a copy; None where the bytes are not whole rows."""
        dtype = ROWS[self.kind]
        if len(self.data) % dtype.itemsize:
            return None
        return np.frombuffer(self.data, dtype)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assign:
    """Who is in which tree from now on: one message for each block, slot or feed that changed hands.

    It is repeated until a HELD batch confirms it. A receiver heeds none with a lower `stamp` than the last that it
    heeded for the same place: messages overtake each other. Arrays have the same length.
    """

    population: int
    boot: int
    """Of the tracker that decided it."""
    step: int
    """Of the plan that it belongs to; after a journal that lost its end a number may come twice, in another boot."""
    kind: NDArray[np.uint8]
    """0 block, 1 slot, 2 big feed."""
    number: NDArray[np.int64]
    tree: NDArray[np.int64]
    """65,535 = none: starved."""

    @property
    def stamp(self) -> int:
        """(boot, step) as one number, which grows with every decision."""
        return (self.boot << STEP_BITS) + self.step


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seated:
    """What became of those who wanted to join, to leave or to change. Arrays have the same length."""

    population: int
    high: NDArray[np.int64]
    """Identity, upper half, as a signed number."""
    low: NDArray[np.int64]
    place: NDArray[np.int64]
    """Slot from now on; -2 - first feed of a big one; -1 where it was refused, or left."""
    outcome: NDArray[np.uint8]
    """0 seated or changed, 1 the identity is taken, 2 nobody has it, 3 no room (who wanted to change stays as it was),
    4 refused (zone, class or demand out of range), 6 left, 7 another sender brought it.

    Who asks again in the same words through the same sender is told 0 and the place once more; who says again that it
    left is told 2.
    """
