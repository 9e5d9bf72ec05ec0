"""The plants of a region as they really are: what follows wind and sun, what trips, what blacks out when overloaded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population.census import Fleet, Plant
from simulators.world.schedule import mix

MILLION = 1_000_000
DAY_MS = 86_400_000


class Plants:
    """One plant a tree. Powers in quanta, as magnitudes."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.rated = fleet.rated.astype(np.int64)
        self.seed = seed
        self.wind_ppm = 700_000
        """Of the region, of what it could be."""
        self.calm_until_ms = 0
        self.short_until_ms = 0
        """Until then every plant gives less."""
        self.short_ppm = 0
        count = len(self.rated)
        self.off_until_ms: NDArray[np.int64] = np.zeros(count, np.int64)
        """Tripped, or black, until then."""
        self.over_since_ms: NDArray[np.int64] = np.full(count, -1, np.int64)
        self.output: NDArray[np.int64] = np.zeros(count, np.int64)
        self._wind = fleet.plant == Plant.WIND
        self._sun = fleet.plant == Plant.SUN

    def advance(self, now_ms: int, tick: int) -> None:
        """The weather goes on: the wind walks between its bounds, the sun follows the day."""
        step = mix(self.seed, 77, tick) % 40_001 - 20_000
        self.wind_ppm = min(950_000, max(250_000, self.wind_ppm + step))
        self.observe(now_ms)

    def observe(self, now_ms: int) -> None:
        """Outputs as they are now."""
        wind = 60_000 if now_ms < self.calm_until_ms else self.wind_ppm
        hour_ppm = now_ms % DAY_MS * MILLION // DAY_MS
        # A parabola between six in the morning and six in the evening.
        sun = max(0, 16 * (hour_ppm - 250_000) * (750_000 - hour_ppm) // MILLION)
        output = self.rated.copy()
        output[self._wind] = output[self._wind] * wind // MILLION
        output[self._sun] = output[self._sun] * sun // MILLION
        if now_ms < self.short_until_ms:
            output -= output * self.short_ppm // MILLION
        output[now_ms < self.off_until_ms] = 0
        self.output = output

    def trip(self, tree: int, now_ms: int, lasts_ms: int) -> None:
        """One stops at once."""
        self.off_until_ms[tree] = max(int(self.off_until_ms[tree]), now_ms + lasts_ms)
        self.observe(now_ms)

    def overloaded(self, loads: NDArray[np.int64], now_ms: int, ride_through_ms: int) -> NDArray[np.int64]:
        """The trees that black out now: loaded above their output for longer than the ride-through."""
        over = (loads > self.output) & (self.output > 0)
        self.over_since_ms[~over] = -1
        self.over_since_ms[over & (self.over_since_ms < 0)] = now_ms
        return np.flatnonzero(over & (now_ms - self.over_since_ms > ride_through_ms))
