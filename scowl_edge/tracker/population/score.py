"""The score: what a run reached beside what was possible. All in integers, summed over the steps.

A step is judged once its plan stands (`judge`), against bounds taken from the same state (`bounds`); a `Tally` sums the
steps of a run, each as long as it lasted. A run that betters one measure by worsening another is not better.
"""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.tracker.population import bounds
from scowl_edge.tracker.population.columns import CLASSES, Columns, Log

CLASS_WEIGHT = tuple(4 ** (CLASSES - 1 - k) for k in range(CLASSES))
"""What an unserved Wh of each class weighs: four times one of the next class."""
_MS_PER_H = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step beside its bounds. Powers in quanta, others in consumers."""

    served: int
    most: int
    """That could be served."""
    starved: int
    fewest: int
    """Of them, who had to: of each class at most the bound's count, so that breaking their order gains nothing."""
    changed: int
    """Moved or starved in this step, without those whom supply and ratings force out."""
    least_changes: int
    unserved: tuple[int, ...]
    """[CLASSES] Net demand of those in no tree."""


def judge(columns: Columns, log: Log, least_changes: int, *, forced: int = 0) -> Step:
    """Judges a state after its plan.

    Args:
        columns: after the step.
        log: what changed hands in this step alone.
        least_changes: sum of `bounds.departures` before the plan was made, with this step's demands and safe loads;
            where somebody has to be starved first, of what is left after that.
        forced: how many had to be; who goes without is settled before who moves, so they are no churn.
    """
    count, unserved = bounds.starved_now(columns)
    least = bounds.fewest_starved(columns)
    most = bounds.energy(columns)
    return Step(
        served=most.wanted - int(unserved.sum()),
        most=most.most,
        starved=int(count.sum()),
        fewest=least.had_to(count),
        changed=int(log.totals[1]) + int(log.totals[2]) - forced,
        least_changes=least_changes,
        unserved=tuple(unserved.tolist()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A run's score. Sums over time are in quanta or consumers times ms."""

    quantum_w: int
    steps: int
    duration_ms: int
    served: int
    most: int
    starved: int
    fewest: int
    worst_excess: int
    """Most consumers above the fewest in one step."""
    changed: int
    """Consumers."""
    least_changes: int
    unserved: tuple[int, ...]
    worst_starved_s: int
    """Of the single consumer that starved longest."""
    switchings: int
    """Of plants and storage."""

    @property
    def served_ppb(self) -> int:
        """Served of what could be, in parts per thousand million."""
        return 1_000_000_000 if self.most <= 0 else self.served * 1_000_000_000 // self.most

    @property
    def churn_ppm(self) -> int:
        """Changes of hands beside the fewest possible; a million where none was needed and none made."""
        return (self.changed + (self.least_changes == 0)) * 1_000_000 // max(1, self.least_changes)

    @property
    def excess(self) -> int:
        """Consumers times ms starved above the minimum."""
        return self.starved - self.fewest

    @property
    def unserved_wh(self) -> tuple[int, ...]:
        """Wh by class, whole ones."""
        return tuple(q * self.quantum_w // _MS_PER_H for q in self.unserved)

    @property
    def weighted_wh(self) -> int:
        """Unserved Wh, those of important classes counted more."""
        return self._weighted() * self.quantum_w // _MS_PER_H

    def _weighted(self) -> int:
        return sum(q * weight for q, weight in zip(self.unserved, CLASS_WEIGHT, strict=True))

    def measures(self) -> tuple[tuple[int, int], ...]:
        """What is compared, as (amount, of what): the less of each the better."""
        time = max(1, self.duration_ms)
        return (
            (self.most - self.served, max(1, self.most)),
            (self.excess, time),
            (self.worst_excess, 1),
            (self.changed - self.least_changes, max(1, self.steps)),
            (self._weighted() * self.quantum_w, time),
            (self.worst_starved_s, 1),
            (self.switchings, time),
        )


def better(a: Score, b: Score) -> bool:
    """Whether a is better than b: in nothing worse, and in something better."""
    pairs = list(zip(a.measures(), b.measures(), strict=True))
    worse = any(x * of_y > y * of_x for (x, of_x), (y, of_y) in pairs)
    return not worse and any(x * of_y < y * of_x for (x, of_x), (y, of_y) in pairs)


class Tally:
    """Sums the steps of a run."""

    def __init__(self, quantum_w: int) -> None:
        self._quantum_w = quantum_w
        self._steps = self._duration_ms = self._served = self._most = 0
        self._starved = self._fewest = self._worst_excess = self._changed = self._least_changes = 0
        self._unserved = [0] * CLASSES
        self._worst_starved_s = self._switchings = 0

    def add(self, step: Step, duration_ms: int, *, worst_starved_s: int = 0, switchings: int = 0) -> None:
        """Adds a step.

        Args:
            step: as judged.
            duration_ms: how long its plan stood.
            worst_starved_s: seconds of the consumer that has starved longest until now.
            switchings: of plants and storage in this step.
        """
        self._steps += 1
        self._duration_ms += duration_ms
        self._served += step.served * duration_ms
        self._most += step.most * duration_ms
        self._starved += step.starved * duration_ms
        self._fewest += step.fewest * duration_ms
        self._worst_excess = max(self._worst_excess, step.starved - step.fewest)
        self._changed += step.changed
        self._least_changes += step.least_changes
        for k, quanta in enumerate(step.unserved):
            self._unserved[k] += quanta * duration_ms
        self._worst_starved_s = max(self._worst_starved_s, worst_starved_s)
        self._switchings += switchings

    def numbers(self) -> list[int]:
        """All sums, for a snapshot; some may not fit into 64 bits."""
        return [
            self._steps,
            self._duration_ms,
            self._served,
            self._most,
            self._starved,
            self._fewest,
            self._worst_excess,
            self._changed,
            self._least_changes,
            self._worst_starved_s,
            self._switchings,
            *self._unserved,
        ]

    @classmethod
    def of(cls, quantum_w: int, numbers: list[int]) -> Tally:
        """The inverse of `numbers`. Raises ValueError where they are too few or too many."""
        tally = cls(quantum_w)
        (
            tally._steps,
            tally._duration_ms,
            tally._served,
            tally._most,
            tally._starved,
            tally._fewest,
            tally._worst_excess,
            tally._changed,
            tally._least_changes,
            tally._worst_starved_s,
            tally._switchings,
            *tally._unserved,
        ) = numbers
        if len(tally._unserved) != CLASSES:
            raise ValueError(f"{len(tally._unserved)} classes in a tally of {CLASSES}")
        return tally

    def score(self) -> Score:
        """The score until now."""
        return Score(
            quantum_w=self._quantum_w,
            steps=self._steps,
            duration_ms=self._duration_ms,
            served=self._served,
            most=self._most,
            starved=self._starved,
            fewest=self._fewest,
            worst_excess=self._worst_excess,
            changed=self._changed,
            least_changes=self._least_changes,
            unserved=tuple(self._unserved),
            worst_starved_s=self._worst_starved_s,
            switchings=self._switchings,
        )
