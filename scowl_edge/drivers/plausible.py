"""Plausibility with memory: what a value was tells whether it can be what came. The same for every protocol.

Limits that need no memory (`min`, `max`, sentinels) were checked when the reply was decoded; what is NaN never enters
the memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scowl_edge.devices.declaration import ModbusPoint, OpcuaPoint
from scowl_edge.drivers.counting import Course
from scowl_edge.model.signal import Cause, Quality, Reading

_SINGLE, _DOUBLE, _DECIMAL = 2.0**-23, 2.0**-52, 1e-12
"""Rounding of a float of 32 and of 64 bit, and of a whole number times a decimal scale, as a fraction of the value."""
_WHOLE = ("int16", "uint16", "int32", "uint32", "int64", "uint64", "bits", "sbyte", "byte")

_MOST_EXPONENT = 300
"""Beyond it, 10 to the power of a scale factor is no number; what it scales is bad then anyway."""

JudgedPoint = ModbusPoint | OpcuaPoint
Some = slice | list[int]
"""Which entries of columns: all of them, or these."""


class Judge:
    """Judges each reading of some points by what they were before, and keeps what is needed for the next.

    - **max_change**: a value that moved faster since the last one believed is BAD (IMPLAUSIBLE), once: when the next
      goes on from there, within `max_change` of it, it was real. Time that passed unread widens what is allowed; so
      does one count of a whole number, the least that it can move.
    - **stuck_after**: a value that was the same for longer is UNCERTAIN (STUCK) until it changes.
    - **counter**: the published value never falls; see `scowl_edge.drivers.counting.Course`. It starts at what the
      device shows. After a restart of the daemon it does so again, unless `restore` is given the last `snapshot`.

    A judge lives as long as its points are configured: reconnects do not touch it.
    """

    def __init__(self, points: Sequence[JudgedPoint], indices: Sequence[int] | NDArray[np.int32]) -> None:
        """Starts with an empty memory; arguments as of `of`."""
        self._block: NDArray[np.int32] = np.asarray(indices, np.int32)
        self._pace = _Pace(points, self._block)
        self._counts = _Counts(points, self._block)
        self._still = _Still(points, self._block)
        self._factors = _Factors(points, self._block)
        self._known = frozenset(self._block.tolist())

    @classmethod
    def of(cls, points: Sequence[JudgedPoint], indices: Sequence[int] | NDArray[np.int32]) -> Judge | None:
        """A judge of a block; None where no point needs one.

        Args:
            points: Declarations. A scale factor among them tells what a count of its points is.
            indices: Index of each in the site's point table. A reading of exactly these, in this order, is judged
                fastest; any other may hold some of them, in any order, also twice.
        """
        if any(point.max_change or point.stuck_after_ms or point.counter is not None for point in points):
            return cls(points, indices)
        return None

    @property
    def breaks(self) -> dict[int, int]:
        """How often each counter broke off its course since the beginning, by point index."""
        return {index: course.breaks for index, _, course in self._counts.courses}

    def snapshot(self) -> dict[str, dict[str, float]]:
        """What of the counters must outlive the process, by point name; times on the clock of the readings."""
        found = {name: course.snapshot() for _, name, course in self._counts.courses}
        return {name: state for name, state in found.items() if state}

    def restore(self, state: Mapping[str, dict[str, float]], *, moved_ms: int = 0) -> None:
        """Goes on from a snapshot, before the first reading; names that are no counters any more are passed over.

        Args:
            state: As `snapshot` gave it.
            moved_ms: Added to its times where the clock began anew since: reading of the new clock minus that of the
                old one at the same moment.
        """
        for _, name, course in self._counts.courses:
            course.restore(state.get(name, {}), moved_ms)

    def look(self, reading: Reading) -> Reading:
        """The reading as it may be published: the same object where nothing is changed."""
        points, block = reading.points, self._block
        if points is block or (len(points) == len(block) and bool((points == block).all())):
            return self._look(reading, None)
        for places in self._rounds(points.tolist()):
            reading = self._look(reading, places)
        return reading

    def _rounds(self, points: list[int]) -> list[dict[int, int]]:
        """Places by point index; a point that is there twice is in two rounds, in order."""
        rounds: list[dict[int, int]] = []
        for place, index in enumerate(points):
            if index not in self._known:
                continue
            for places in rounds:
                if index not in places:
                    places[index] = place
                    break
            else:
                rounds.append({index: place})
        return rounds

    def _look(self, reading: Reading, places: dict[int, int] | None) -> Reading:
        """One look at a whole block, or at these places by point index."""
        verdict = _Verdict(reading)
        for index, count in self._factors.moved(verdict, places):
            self._pace.rescale(index, count)
            self._counts.rescale(index, count)
        self._pace.look(verdict, places)
        self._counts.look(verdict, places)
        self._still.look(verdict, places)
        return verdict.reading()


class _Verdict:
    """What becomes of a reading: copies are made only of what changes."""

    def __init__(self, reading: Reading) -> None:
        self.given = reading
        self.values = reading.values
        """As they came: what one judgement changes, the next still sees."""
        self.asked_ms = reading.requested_ms or reading.received_ms
        self.heard_ms = reading.received_ms
        self.doubted: set[int] = set()
        """Places of values that are not believed."""
        self.stuck: list[int] = []
        self.counted: dict[int, float] = {}
        """What is published in place of what a counter shows."""

    def reading(self) -> Reading:
        if not (self.doubted or self.stuck or self.counted):
            return self.given
        values, quality, causes = self.values.copy(), self.given.quality.copy(), self.given.causes.copy()
        for place, value in self.counted.items():
            values[place] = value
        for place in self.stuck:
            quality[place], causes[place] = Quality.UNCERTAIN, Cause.STUCK
        for place in self.doubted:
            values[place], quality[place], causes[place] = np.nan, Quality.BAD, Cause.IMPLAUSIBLE
        return replace(self.given, values=values, quality=quality, causes=causes, sound=False)


class _Columns:
    """Some points of a block: their places in it, and their slots in columns."""

    def __init__(self, chosen: list[int], block: NDArray[np.int32]) -> None:
        self.size = len(chosen)
        self._at: Some = chosen if self.size < len(block) else slice(None)
        self._places = chosen
        self._slot = {int(block[place]): slot for slot, place in enumerate(chosen)}

    def select(self, places: dict[int, int] | None) -> tuple[Some, Some, list[int]]:
        """Slots, places in the reading as an index, and the same as a list."""
        if places is None:
            return slice(None), self._at, self._places
        few = places if len(places) < self.size else self._slot
        here = [index for index in few if index in places and index in self._slot]
        there = [places[index] for index in here]
        return [self._slot[index] for index in here], there, there


class _Factors:
    """What one count of a whole number is, where a scale factor of the same block says it."""

    def __init__(self, points: Sequence[JudgedPoint], block: NDArray[np.int32]) -> None:
        by_name = {point.name: place for place, point in enumerate(points)}
        self._of: dict[int, list[tuple[int, float]]] = {}
        """By index of the scale factor: indices of the points that it scales, with their count at 10 ** 0."""
        for place, point in enumerate(points):
            if isinstance(point, ModbusPoint) and point.scale_factor in by_name:
                factor = int(block[by_name[point.scale_factor]])
                self._of.setdefault(factor, []).append((int(block[place]), _count(point)))
        self._place = {index: int(np.flatnonzero(block == index)[0]) for index in self._of}
        self._known: dict[int, float] = {}

    def moved(self, verdict: _Verdict, places: dict[int, int] | None) -> list[tuple[int, float]]:
        """Points of which a scale factor is another than before, and base units of one count from now on."""
        found: list[tuple[int, float]] = []
        for factor, scaled in self._of.items():
            place = self._place[factor] if places is None else places.get(factor, -1)
            exponent = float(verdict.values[place]) if place >= 0 else math.nan
            if math.isnan(exponent) or self._known.get(factor) == exponent or abs(exponent) > _MOST_EXPONENT:
                continue
            self._known[factor] = exponent
            found += [(index, count * 10.0**exponent) for index, count in scaled]
        return found


def _slack(point: JudgedPoint) -> float:
    if point.type in _WHOLE:
        return _DECIMAL
    return _DOUBLE if point.type in ("float64", "double") else _SINGLE


def _count(point: JudgedPoint) -> float:
    """One count in base units, before any scale factor."""
    return abs(point.scale * point.to_base)


def _least_step(point: JudgedPoint) -> float:
    """Base units of the least that it can move; 0 where its type or a scale factor does not tell."""
    scaled = isinstance(point, ModbusPoint) and point.scale_factor
    return _count(point) if point.type in _WHOLE and not scaled else 0.0


class _Pace:
    """max_change of values that are no counters."""

    def __init__(self, points: Sequence[JudgedPoint], block: NDArray[np.int32]) -> None:
        chosen = [n for n, point in enumerate(points) if point.max_change and point.counter is None]
        mine = [points[n] for n in chosen]
        self._columns = _Columns(chosen, block)
        self._index = [int(block[n]) for n in chosen]
        self._rate = np.array([point.max_change * abs(point.to_base) / 1000 for point in mine])
        self._slack = [_slack(point) for point in mine]
        self._whole = [point.type in _WHOLE for point in mine]
        self._count = [_least_step(point) for point in mine]
        self._grain = np.array(self._count)
        self._last = np.full(len(mine), np.nan)
        self._asked = np.zeros(len(mine))
        self._doubted: dict[int, tuple[float, int]] = {}
        """By slot: what moved too fast, and when it was asked for."""

    def rescale(self, index: int, count: float) -> None:
        """Takes what one count of a point is now. The value before was rounded with the old one."""
        if index in self._index:
            slot = self._index.index(index)
            if self._whole[slot]:
                self._grain[slot], self._count[slot] = max(self._count[slot], count), count

    def look(self, verdict: _Verdict, places: dict[int, int] | None) -> None:
        """Doubts what moved too fast; remembers the rest."""
        if not self._columns.size:
            return
        slots, at, listed = self._columns.select(places)
        values = verdict.values[at]
        most = np.maximum(verdict.heard_ms - self._asked[slots], 1.0) * self._rate[slots] + self._grain[slots]
        usual = np.abs(values - self._last[slots]) <= most
        if usual.all():
            self._last[slots] = values
            self._asked[slots] = verdict.asked_ms
            if self._doubted:
                self._clear(range(self._columns.size) if isinstance(slots, slice) else slots)
            return
        numbers = range(self._columns.size) if isinstance(slots, slice) else slots
        for slot, place, plain in zip(numbers, listed, usual.tolist(), strict=True):
            value = float(verdict.values[place])
            if math.isnan(value):
                continue
            if plain or self._real(slot, value, verdict):
                self._last[slot], self._asked[slot] = value, verdict.asked_ms
                self._doubted.pop(slot, None)
            else:
                self._doubted[slot] = value, verdict.asked_ms
                verdict.doubted.add(place)

    def _clear(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self._doubted.pop(slot, None)

    def _real(self, slot: int, value: float, verdict: _Verdict) -> bool:
        """A closer look, with the rounding of floats: the first value, in reach of the last, or of the one doubted."""
        last = float(self._last[slot])
        if math.isnan(last):
            return True
        known = [(last, float(self._asked[slot]))]
        if slot in self._doubted:
            known.append(self._doubted[slot])
        spare = float(self._grain[slot]) + self._slack[slot] * abs(value)
        return any(
            abs(value - before) <= max(verdict.heard_ms - asked_ms, 1) * float(self._rate[slot]) + spare
            for before, asked_ms in known
        )


class _Counts:
    """Counters, one by one."""

    def __init__(self, points: Sequence[JudgedPoint], block: NDArray[np.int32]) -> None:
        chosen = [n for n, point in enumerate(points) if point.counter is not None]
        self._columns = _Columns(chosen, block)
        self._zero: list[tuple[float, float]] = []
        """Value of each at a count of 0, and the direction that it counts in."""
        self.courses: list[tuple[int, str, Course]] = []
        """(index, name, course) of each."""
        for n in chosen:
            point = points[n]
            assert point.counter is not None
            upwards = math.copysign(1.0, point.scale * point.to_base)
            self._zero.append((point.offset * point.to_base, upwards))
            scaled = isinstance(point, ModbusPoint) and point.scale_factor
            course = Course(
                wraps_at=point.counter.wraps_at,
                count=0.0 if scaled else _count(point),
                whole=point.type in _WHOLE,
                rate=point.max_change * abs(point.to_base) / 1000 or math.inf,
                slack=_slack(point),
            )
            self.courses.append((int(block[n]), point.name, course))

    def rescale(self, index: int, count: float) -> None:
        """Takes what one count of a point is from now on."""
        for mine, _, course in self.courses:
            if mine == index:
                course.rescale(count)

    def look(self, verdict: _Verdict, places: dict[int, int] | None) -> None:
        """Counts on, or doubts."""
        if not self.courses:
            return
        slots, _, listed = self._columns.select(places)
        numbers = range(len(listed)) if isinstance(slots, slice) else slots
        for slot, place in zip(numbers, listed, strict=True):
            value = float(verdict.values[place])
            if math.isnan(value):
                continue
            zero, upwards = self._zero[slot]
            course, shown = self.courses[slot][2], (value - zero) * upwards
            if not course.hear(shown, verdict.asked_ms, verdict.heard_ms):
                verdict.doubted.add(place)
            elif course.published != shown:
                verdict.counted[place] = course.published * upwards + zero


class _Still:
    """stuck_after."""

    def __init__(self, points: Sequence[JudgedPoint], block: NDArray[np.int32]) -> None:
        chosen = [n for n, point in enumerate(points) if point.stuck_after_ms]
        self._columns = _Columns(chosen, block)
        self._after = np.array([points[n].stuck_after_ms for n in chosen])
        self._seen = np.full(len(chosen), np.nan)
        self._since = np.zeros(len(chosen))
        """When the present value was heard first."""

    def look(self, verdict: _Verdict, places: dict[int, int] | None) -> None:
        """Finds what did not move for too long. What is doubted counts neither as moved nor as still."""
        if not self._columns.size:
            return
        slots, at, listed = self._columns.select(places)
        values = verdict.values[at]
        heard = np.isfinite(values)
        if verdict.doubted:
            heard &= np.array([place not in verdict.doubted for place in listed], np.bool_)
        moved = heard & (values != self._seen[slots])
        self._seen[slots] = np.where(moved, values, self._seen[slots])
        self._since[slots] = np.where(moved, verdict.heard_ms, self._since[slots])
        still = heard & (verdict.heard_ms - self._since[slots] > self._after[slots])
        if still.any():
            verdict.stuck += [listed[n] for n in np.flatnonzero(still).tolist()]
