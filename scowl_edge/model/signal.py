"""What is known of the outside: points, readings as blocks, and the image that a step reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Quality(IntEnum):
    """How far a value can be trusted."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2
    UNTRIED = 3
    """Not read since the start; only in the image."""


class Cause(IntEnum):
    """Why a point's quality is not good."""

    NONE = 0
    NEVER_READ = 1
    TIMEOUT = 2
    LINK_DOWN = 3
    EXCEPTION = 4
    BAD_REPLY = 5
    SENTINEL = 6
    IMPLAUSIBLE = 7
    STALE = 8
    NOT_READ_YET = 9
    UNKNOWN_NODE = 10
    """The server has no such node or namespace."""
    WRONG_TYPE = 11
    """What came is not of the type that the configuration says."""
    STUCK = 12
    """It has not changed at all for longer than such a measurement can."""
    UNPROVEN = 13
    """A reply came of which it is not sure that it answers this request."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One reply of one device: a block of points, never one object a point.

    `points` are indices into the site's point table; all arrays have the same length.
    """

    points: NDArray[np.int32]
    values: NDArray[np.float64]
    """Base units (W, Wh, V, A, Hz, fraction, s, 1); NaN where `quality` is BAD."""
    quality: NDArray[np.uint8]
    causes: NDArray[np.uint8]
    """A `Cause` a point."""
    requested_ms: int
    """Monotonic ms when the request left; 0 if none did."""
    received_ms: int
    """Monotonic ms when the reply was complete, or when the failure was certain."""
    source_utc_ms: int = 0
    """The device's own time stamp, 0 if it sends none. Data, never a clock."""
    span: slice | None = None
    """The same as `points` where they follow each other without a gap: many times faster to write to."""
    sound: bool = False
    """Whether it is known that all are GOOD."""


@dataclass(slots=True, eq=False)
class Image:
    """Signals that the core is bound to; a step reads nothing else. All arrays have length n."""

    value: NDArray[np.int64]
    """Exact integers in the signal's quantum (W, ms, ppm of 1, mA, mV, 1)."""
    quality: NDArray[np.uint8]
    received_ms: NDArray[np.int64]

    @classmethod
    def empty(cls, size: int) -> Image:
        """An image of which nothing was ever read."""
        return cls(np.zeros(size, np.int64), np.full(size, Quality.UNTRIED, np.uint8), np.full(size, -1, np.int64))
