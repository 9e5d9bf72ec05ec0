"""Limits in force and meters beside them: how long anything was above, and what the machine took of that time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a meter."""

    utc_ms: int
    """The meter's clock."""
    power_w: int
    lost_ms: int
    """What the machine kept this process from doing since its start, by the meter's clock."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """A limit in force above a meter, since a moment."""

    name: str
    limit_w: int
    since_ms: int
    lost_ms: int
    """Before it."""
    bound_w: int
    """Power when it began: above the limit, it had to do something."""
    above: list[Sample] = field(default_factory=list)
    """First and latest look of the present excursion."""
    kept_ms: int | None = None
    """From the beginning of the limit until it was kept for the first time."""
    kept_lost_ms: int = 0
    """Of that, the machine's own."""
    excursions: list[tuple[int, int, int]] = field(default_factory=list)
    """(begin of the look before, ms; length, ms; of that the machine's own, ms) of each time above it."""
    _before: Sample | None = None

    def look(self, sample: Sample) -> None:
        """Takes what the meter shows now."""
        if self._before is None:
            self._before = Sample(self.since_ms, self.bound_w, self.lost_ms)
        if sample.utc_ms <= self._before.utc_ms:
            return
        if sample.power_w > self.limit_w:
            # It may have begun just after the look before.
            self.above = [self.above[0] if self.above else self._before, sample]
        else:
            if self.kept_ms is None:
                self.kept_ms, self.kept_lost_ms = sample.utc_ms - self.since_ms, sample.lost_ms - self.lost_ms
            self.end_excursion(sample)
        self._before = sample

    def end_excursion(self, sample: Sample) -> None:
        """It is kept again, or no longer in force."""
        if self.above:
            first = self.above[0]
            self.excursions.append((first.utc_ms, sample.utc_ms - first.utc_ms, sample.lost_ms - first.lost_ms))
            self.above = []

    def told(self) -> dict[str, object]:
        """For whoever judges."""
        return {
            "name": self.name,
            "limit_w": self.limit_w,
            "bound_w": self.bound_w,
            "since_ms": self.since_ms,
            "kept_ms": self.kept_ms,
            "kept_lost_ms": self.kept_lost_ms,
            "excursions": self.excursions,
        }


class Lost:
    """Counts time that the machine took: whatever passes beyond what was meant to be waited."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._lost_s = 0.0
        self._begun_s: float | None = None

    def ms(self) -> int:
        """So far, by a clock that runs `rate` times faster."""
        return round(1_000 * self._rate * self._lost_s)

    def turn(self, now_s: float, meant_s: float) -> None:
        """Called once in each turn; `meant_s` is what a turn waits."""
        if self._begun_s is not None:
            self._lost_s += max(0.0, now_s - self._begun_s - meant_s)
        self._begun_s = now_s


def longest(watches: Iterable[dict[str, object]]) -> int:
    """The longest excursion of all, the machine's own time left out, ms."""
    found = [0]
    for watch in watches:
        excursions = watch["excursions"]
        assert isinstance(excursions, list)
        found += [length_ms - lost_ms for _, length_ms, lost_ms in excursions]
    return max(found)
