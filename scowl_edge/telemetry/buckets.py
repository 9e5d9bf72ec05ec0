"""What a point did in one stretch of time: its least, mean and greatest value, for all points at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bucket:
    """One stretch of time. The arrays have one entry a point, NaN where it had no good value."""

    utc_ms: int
    """Begin; a multiple of `every_ms`."""
    every_ms: int
    low: NDArray[np.float32]
    mean: NDArray[np.float32]
    high: NDArray[np.float32]


class Gathering:
    """The bucket that is being filled."""

    def __init__(self, points: int, every_ms: int) -> None:
        self._every_ms = every_ms
        self._utc_ms = -1
        self._low = np.full(points, np.nan)
        self._high = np.full(points, np.nan)
        self._sum = np.zeros(points)
        self._count = np.zeros(points, np.int32)

    def add(self, utc_ms: int, value: NDArray[np.float64], good: NDArray[np.bool_]) -> Bucket | None:
        """Takes one look at all points; gives the bucket before, if this look belongs to another one.

        Args:
            utc_ms: Of this look.
            value: One a point.
            good: Whether it counts.
        """
        begin = utc_ms - utc_ms % self._every_ms
        done = self.take() if begin != self._utc_ms else None
        self._utc_ms = begin
        good = good & np.isfinite(value)
        counted = np.where(good, value, np.nan)
        np.fmin(self._low, counted, out=self._low)
        np.fmax(self._high, counted, out=self._high)
        self._sum += np.where(good, value, 0.0)
        self._count += good
        return done

    def take(self) -> Bucket | None:
        """What was gathered so far, None if nothing was; begins anew."""
        if self._utc_ms < 0:
            return None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            done = Bucket(
                utc_ms=self._utc_ms,
                every_ms=self._every_ms,
                low=self._low.astype(np.float32),
                mean=(self._sum / self._count).astype(np.float32),
                high=self._high.astype(np.float32),
            )
        self._utc_ms = -1
        self._low.fill(np.nan)
        self._high.fill(np.nan)
        self._sum.fill(0)
        self._count.fill(0)
        return done
