"""Watches every step of one population and holds it against the laws, with what the messages said and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np

from scowl_edge.model.effect import Inputs, Plan
from scowl_edge.model.site import Population as Declared
from scowl_edge.tracker.population.columns import NO_TREE, PROTECTED, Columns
from scowl_edge.tracker.population.population import Population
from simulators.world.laws import Law, LawBook, Places, Sight, check_churn, check_columns, overloaded

PATIENCE = 3
"""Steps that a bounded repair may leave a tree above its safe load."""


class Watch:
    """Keeps what the laws compare a step with."""

    def __init__(self, declared: Declared, book: LawBook) -> None:
        self.declared, self.book = declared, book
        self.went = 0
        self.least = 0
        """Departures from trees that had to let go, and the fewest that would have done."""
        self.starved_steps = 0
        """Consumers starved, summed over steps."""
        self._before: Sight | None = None
        self._places: Places | None = None
        self._over: dict[int, int] = {}

    def counts(self) -> Counter[str]:
        """Figures for the report."""
        return Counter(
            {
                "departures from trees that had to let go": self.went,
                "departures that would have done": self.least,
                "consumers starved, summed over steps": self.starved_steps,
            }
        )

    def restarted(self, step: int) -> None:
        """The tracker started again: what it did last is not compared."""
        self._before = None
        self._over.clear()

    def stepped(self, population: Population, inputs: Inputs, plan: Plan) -> None:
        """One step was done, and nothing of it has left yet."""
        columns: Columns = population.columns
        step = plan.step
        if self._places is None or len(self._places.zone) != len(columns.demand) + len(columns.big_demand):
            self._places = Places.of(columns)
        now = Sight.of(columns, self._places)
        check_columns(self.book, step, columns, now)
        self._check_safe(columns, now, step)
        self._check_protected(columns, now, step)
        if self._before is not None:
            went, least = check_churn(self.book, step, columns, self._before, now)
            self.went, self.least = self.went + went, self.least + least
        self.starved_steps += int(((now.tree == NO_TREE) & (now.demand > 0)).sum())
        self._before = now

    def _check_safe(self, columns: Columns, now: Sight, step: int) -> None:
        over = overloaded(columns, now).tolist()
        self._over = {t: self._over.get(t, 0) + 1 for t in over}
        worst = max(self._over.values(), default=0)
        text = ", ".join(f"tree {t} carries {now.load[t]} of {columns.tree_safe[t]}" for t in over[:3])
        self.book.hold(Law.SAFE, step, worst <= PATIENCE, f"for {worst} steps: {text}")

    def _check_protected(self, columns: Columns, now: Sight, step: int) -> None:
        starved = (now.tree == NO_TREE) & (now.places.klass == PROTECTED) & (now.demand > 0)
        fed = bool((columns.tree_alive != 0).any())
        self.book.hold(Law.PROTECTED, step, not starved.any() or not fed, f"{starved.sum()} of class 0 are in no tree")

    def settled(self, population: Population, held: np.ndarray[tuple[int], np.dtype[np.uint16]]) -> None:
        """All has been quiet for long: CONVERGED."""
        columns = population.columns
        now = Sight.of(columns)
        supply = int(columns.tree_safe[columns.tree_alive != 0].sum())
        wanted = int(now.demand.sum())
        starved = (now.tree == NO_TREE) & (now.demand > 0)
        if supply * 98 >= wanted * 100:
            self.book.hold(Law.CONVERGED, 0, not starved.any(), f"{starved.sum()} starve, {wanted} of {supply} wanted")
        other = (now.demand != 0) & (held != now.tree)
        self.book.hold(Law.CONVERGED, 0, not other.any(), f"{other.sum()} peers hold another tree than the plan says")
