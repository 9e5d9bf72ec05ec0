"""The supply of a simulated population: plants under weather, stores, and the ladder that works them.

Each tree has one plant; stores are shared out over the trees and count as part of their output while they discharge,
and against it while they charge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.site import PPM
from scowl_edge.model.site import Population as Declared
from scowl_edge.tracker.population import chance, dispatch, escalation, stores, weather
from scowl_edge.tracker.population.census import Fleet
from scowl_edge.tracker.population.escalation import Given, Means

RESERVE_PPM = 20_000
"""Of the demand, that the ladder keeps ready above it."""
BAND_PPM = 20_000
"""Of the demand, that must be to spare beyond that before anything works less."""
STORE_CHARGE_W, STORE_DISCHARGE_W, STORE_WH = 7_000, 5_000, 50_000
"""Of a store: an electric vehicle that may give back."""
_CHARGED = 51
"""Purpose of the draw of the first states of charge."""


class Supply:
    """Plants, weather and stores with their state; `live` and `balance` mutate."""

    def __init__(self, declared: Declared, fleet: Fleet, ride_through_ms: int = 2_000) -> None:
        """All plants are online and give what they are rated for; stores are charged by chance."""
        self.declared = declared
        self.fleet = fleet
        self.weather = weather.begin(fleet, declared.seed)
        self.plants = dispatch.plants_of(fleet)
        self.plants.on[:] = 1
        self.plants.target[:] = fleet.rated
        self.plants.output[:] = np.where(self.plants.kind == dispatch.STOCHASTIC, 0, fleet.rated)
        self.stores = self._stores(declared.consumers * declared.stores_ppm // PPM)
        self.means = Means(declared.quantum_w, self.stores, self.plants, ride_through_ms=ride_through_ms)
        self.lived_at = -1
        """Until when time has passed here, monotonic ms."""

    def _stores(self, count: int) -> stores.Stores | None:
        if not count:
            return None
        quantum, trees = self.declared.quantum_w, self.declared.trees
        numbers = np.arange(count, dtype=np.uint64)
        # As many to each tree as its plant is large.
        edges = np.cumsum(self.fleet.rated) * count // max(1, int(self.fleet.rated.sum()))
        return stores.lay_out_stores(
            np.full(count, STORE_WH * 3_600 // quantum, np.int64),
            np.full(count, STORE_CHARGE_W // quantum, np.int64),
            np.full(count, STORE_DISCHARGE_W // quantum, np.int64),
            2_000 + chance.below(7_000, self.declared.seed, _CHARGED, numbers),
            trees=trees,
            tree=np.minimum(np.searchsorted(edges, np.arange(count), side="right"), trees - 1).astype(np.int64),
        )

    def live(self, now_ms: int, tick: int) -> NDArray[np.int64]:
        """Lets time pass: int64[trees], what each tree gives now, quanta."""
        plants = self.plants
        ready = (plants.on != 0) & (now_ms >= plants.ready_at_ms)
        gives = weather.outputs(
            self.fleet,
            self.weather,
            self.declared.seed,
            tick,
            now_ms // 60_000,
            np.where(ready, plants.target, 0),
            ready.astype(np.uint8),
        )
        by_weather = plants.kind == dispatch.STOCHASTIC
        up = self.weather.down_ticks == 0
        plants.potential[:] = np.where(by_weather, gives, np.where(up, plants.rated, 0))
        plants.output[:] = np.where(by_weather, np.minimum(gives, plants.target), gives)
        if self.stores is None:
            self.lived_at = now_ms
            return plants.output.copy()
        since = 0 if self.lived_at < 0 else min(max(0, now_ms - self.lived_at), dispatch.HOUR_MS)
        stores.advance(self.stores, since, now_ms)
        self.lived_at = now_ms
        return np.asarray(np.maximum(0, plants.output - self.stores.tree_power), np.int64)

    def balance(self, now_ms: int, wanted: int, safe: int, output: int, starving: int) -> tuple[int, list[Given]]:
        """Works the ladder, up or down.

        Args:
            now_ms: time.
            wanted: demand of everybody, quanta.
            safe: what all trees may carry, quanta.
            output: what all trees give, quanta.
            starving: demand of those who go without, quanta.

        Returns:
            (quanta of safe load that are on their way and will be there within the ride-through, what each rung gave)
        """
        means = self.means
        pledged = escalation.pledged(means, now_ms)
        margin = max(1, safe) * PPM // max(1, output)
        missing = (wanted + wanted * RESERVE_PPM // PPM - safe) * PPM // max(1, margin)
        soon, final = missing - pledged.soon, missing - pledged.final
        means.dead_band = max(1, wanted * BAND_PPM // PPM)
        if soon > 0 or final > 0:
            course = escalation.climb(means, soon, final, now_ms)
        else:
            course = escalation.descend(means, -soon, -final, now_ms, starving=starving)
        arriving = pledged.soon + max(0, soon - course.soon)
        return arriving * margin // PPM, course.given

    @property
    def switchings(self) -> int:
        """How often plants were switched since the start."""
        return int(self.plants.switchings.sum())

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that changes, by name."""
        arrays: dict[str, NDArray[np.generic]] = {"lived_at": np.asarray([self.lived_at], np.int64)}
        for part, columns in self._parts():
            arrays |= {f"{part} {name}": column for name, column in columns.items()}
        return arrays

    def restore(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """The inverse of `arrays`. Raises KeyError or ValueError where they are of something else."""
        for part, columns in self._parts():
            for name, column in columns.items():
                column[:] = arrays[f"{part} {name}"]
        self.lived_at = int(arrays["lived_at"].tolist()[0])

    def _parts(self) -> list[tuple[str, dict[str, NDArray[np.generic]]]]:
        parts = [("weather", self.weather._asdict()), ("plants", self.plants._asdict())]
        if self.stores is not None:
            parts.append(("stores", self.stores._asdict()))
        return parts

    def shift_times(self, by_ms: int) -> None:
        """Moves every monotonic time."""
        if self.lived_at >= 0:
            self.lived_at = max(0, self.lived_at + by_ms)
        times = [self.plants.ready_at_ms, self.plants.switched_at_ms]
        if self.stores is not None:
            times.append(self.stores.free_at_ms)
        for column in times:
            column += by_ms
        waiting = self.plants.dispensable_ms >= 0
        self.plants.dispensable_ms[waiting] = np.maximum(0, self.plants.dispensable_ms[waiting] + by_ms)
