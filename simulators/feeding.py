"""Separate buses: which machine feeds which consumer, and when a tree really goes dark."""

from __future__ import annotations

from simulators.consumption import Consumer
from simulators.generation import Generator
from simulators.storage import Battery

RESTORE_MS = 10_000
"""How long the load asked of a dark tree must fit its output before it is switched on again."""


class Tree:
    """One generator or store on a separate bus, and what is connected to it."""

    __slots__ = ("_fits_ms", "_over_ms", "_ride_through_ms", "blackouts", "consumers", "dark", "load_w", "source")

    def __init__(self, source: Generator | Battery, ride_through_ms: int) -> None:
        self.source = source
        self.consumers: list[Consumer] = []
        self.load_w = 0.0
        """What the connected consumers ask for."""
        self.dark = False
        self.blackouts = 0
        self._ride_through_ms = ride_through_ms
        self._over_ms = 0
        self._fits_ms = 0

    def step(self, dt_ms: int) -> None:
        """Compares load with output; past the ride-through every consumer of this tree is without supply at once."""
        load = 0.0
        for consumer in self.consumers:
            load += consumer.demand_w
        self.load_w = load
        fits = load <= self.source.output_w
        if self.dark:
            self._fits_ms = self._fits_ms + dt_ms if fits else 0
            if self._fits_ms >= RESTORE_MS:
                self.dark = False
                self._over_ms = 0
        elif fits:
            self._over_ms = 0
        else:
            self._over_ms += dt_ms
            if self._over_ms > self._ride_through_ms:
                self.dark = True
                self.blackouts += 1
                self._fits_ms = 0
        if self.dark:
            for consumer in self.consumers:
                consumer.cut()

    def truth(self) -> dict[str, object]:
        """All that is known of it."""
        output_w = self.source.output_w
        return {
            "source": self.source.name,
            "number": self.source.tree_number,
            "output_w": output_w,
            "load_w": self.load_w,
            "dumped_w": max(0.0, output_w - (0.0 if self.dark else self.load_w)),
            "dark": self.dark,
            "blackouts": self.blackouts,
            "over_ms": self._over_ms,
            "consumers": [consumer.name for consumer in self.consumers],
        }


class SeparateBus:
    """All trees of one separate bus and the consumers that may hang on them by their `supply` register."""

    __slots__ = ("_assigned", "consumers", "name", "trees")

    def __init__(
        self, name: str, sources: list[Generator | Battery], consumers: list[Consumer], ride_through_ms: int
    ) -> None:
        self.name = name
        self.trees = {source.tree_number: Tree(source, ride_through_ms) for source in sources}
        self.consumers = consumers
        self._assigned: list[int] = [-1] * len(consumers)

    def connect(self) -> None:
        """Follows the `supply` registers. A number that no tree of this bus has leaves a consumer without supply."""
        changed = False
        for index, consumer in enumerate(self.consumers):
            number = int(consumer.command["supply"])
            if number != self._assigned[index]:
                self._assigned[index] = number
                changed = True
        if changed:
            for tree in self.trees.values():
                tree.consumers = []
            for number, consumer in zip(self._assigned, self.consumers, strict=True):
                if number in self.trees:
                    self.trees[number].consumers.append(consumer)

    def feeds(self, consumer: Consumer) -> bool:
        """Whether live supply reaches it."""
        tree = self.trees.get(int(consumer.command["supply"]))
        return tree is not None and not tree.dark
