"""The course of one counter: what it shows becomes a number that never falls, whatever befalls its device."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan

_HALF = 0.5


@dataclass(slots=True)
class Sighting:
    """One number that a counter showed, and when it was asked for and heard, ms."""

    shown: float
    asked_ms: int
    heard_ms: int


class Course:
    """A counter's memory. All numbers are base units counted upwards from the counter's zero.

    - A fall that a wrap explains adds the span: at once where `rate` says that the step over the wrap can be, else, if
      it is shorter than half the span, as soon as a second reading confirms it.
    - Any other fall, and a rise that `rate` forbids, is held back until a second reading goes on from there: so a
      single wrong number changes nothing. Then it is a *break*: the published number goes on from where it was. What a
      fallen counter shows is added where it can have been counted since it was last heard (not more than `rate` allows;
      without a rate, less than half of what it showed before), else it was set back and nothing is added; nor is a
      leap.
    - A counter that fell to 0 and later leaps back to where it would be by now had only been silent, as meters are that
      show 0 while they start: the fall is forgotten.

    What cannot be told: a new start that has overtaken the last number before it is heard, and, without a rate, a wrong
    number that is too high.
    """

    __slots__ = (
        "_coarse",
        "_count",
        "_doubted",
        "_former",
        "_former_carry",
        "_rate",
        "_slack",
        "_span",
        "_whole",
        "_wraps_at",
        "breaks",
        "carry",
        "last",
    )

    def __init__(self, *, wraps_at: float, count: float, whole: bool, rate: float, slack: float) -> None:
        """Starts with nothing heard.

        Args:
            wraps_at: Counts at which it begins again at 0; 0: never.
            count: Base units of one count; 0: not known yet.
            whole: It shows whole counts, so that one is the least that it moves.
            rate: Most that it grows in a ms; infinite: any.
            slack: Rounding of its numbers, as a fraction of them.
        """
        self.carry = 0.0
        """What is added to what it shows."""
        self.last: Sighting | None = None
        """The last number that was believed."""
        self.breaks = 0
        """New starts, set backs and leaps since the beginning."""
        self._wraps_at, self._count, self._whole, self._rate, self._slack = wraps_at, count, whole, rate, slack
        self._span = wraps_at * count or inf
        self._coarse = 0.0
        """Rounding by a scale that moved: what one scale shows may lie below what the other showed."""
        self._doubted: Sighting | None = None
        self._former: Sighting | None = None
        self._former_carry = 0.0

    @property
    def published(self) -> float:
        """The number that never falls; NaN before the first."""
        return nan if self.last is None else self.carry + self.last.shown

    def rescale(self, count: float) -> None:
        """Takes what one count is from now on."""
        if self._whole and self._count:
            self._coarse = max(self._count, count)
        self._count, self._span = count, self._wraps_at * count or inf

    def hear(self, shown: float, asked_ms: int, heard_ms: int) -> bool:
        """Takes one number and says whether `published` holds for it; False: it is doubted.

        Args:
            shown: What the counter shows.
            asked_ms: When it was asked for; it may have been read at any time since.
            heard_ms: When the answer came.
        """
        now = Sighting(shown, asked_ms, heard_ms)
        hair = self._slack * abs(shown) + self._coarse
        if shown < -hair or shown >= self._span:
            return False
        last = self.last
        if last is None:
            self.last = now
            return True
        step = shown - last.shown
        if self._rate == inf and self._on_former(now, hair):
            self._resume(now)
            self._believe(now)
            return True
        if -hair <= step <= self._most(last, now, hair):
            now.shown = max(shown, last.shown)
            self._believe(now)
            return True
        over = step + self._span
        if step < 0 and over < inf and self._rate < inf and over <= self._most(last, now, hair):
            self.carry += self._span
            self._believe(now)
            return True
        return self._confirmed(now, last, hair)

    def _most(self, before: Sighting, now: Sighting, hair: float) -> float:
        """Most that it can have counted between two sightings."""
        return self._rate * max(now.heard_ms - before.asked_ms, 1) + (self._count if self._whole else 0.0) + hair

    def _believe(self, now: Sighting) -> None:
        self.last, self._doubted = now, None
        if self._former is not None and now.shown >= self._former.shown * _HALF:
            self._former = None

    def _confirmed(self, now: Sighting, last: Sighting, hair: float) -> bool:
        """A second number that goes on from a doubted one makes it a break; else it is doubted itself."""
        first = self._doubted
        if first is None or not -hair <= now.shown - first.shown <= self._most(first, now, hair):
            self._doubted = now
            return False
        step = first.shown - last.shown
        if step < 0 and self._rate == inf and step + self._span < self._span * _HALF:
            self._leave(last, self._span)
        elif step < 0 and self._counted_since(first, last, hair):
            self._leave(last, last.shown)
            self.breaks += 1
        elif self._on_former(first, hair):
            self._resume(first)
        else:
            self.carry -= step
            self.breaks += 1
        self._believe(now)
        return True

    def _leave(self, last: Sighting, added: float) -> None:
        """Begins anew at 0, and keeps the course that was left in mind."""
        self._former, self._former_carry = last, self.carry
        self.carry += added

    def _counted_since(self, first: Sighting, last: Sighting, hair: float) -> bool:
        """Whether all that it shows after a fall can have been counted since it was last believed."""
        if self._rate < inf:
            return first.shown <= self._most(last, first, hair)
        return first.shown < last.shown * _HALF

    def _on_former(self, now: Sighting, hair: float) -> bool:
        """Whether a number goes on from the course that was left. It is forgotten once half of it is reached again."""
        former = self._former
        return former is not None and -hair <= now.shown - former.shown <= self._most(former, now, hair)

    def _resume(self, now: Sighting) -> None:
        """Back on the course that was left; what was published since stays."""
        self.carry = max(self._former_carry, self.published - now.shown)
        self._former = None

    def snapshot(self) -> dict[str, float]:
        """What must outlive the process; empty if nothing was heard."""
        if self.last is None:
            return {}
        return {"shown": self.last.shown, "carry": self.carry, "breaks": self.breaks, "heard_ms": self.last.asked_ms}

    def restore(self, state: dict[str, float], moved_ms: int) -> None:
        """Goes on from a snapshot; `moved_ms` is added to its times."""
        if state:
            heard_ms = int(state["heard_ms"]) + moved_ms
            self.last = Sighting(state["shown"], heard_ms, heard_ms)
            self.carry, self.breaks = state["carry"], int(state["breaks"])
