"""Power over time: stretches of constant power and ramps, added, shifted, clipped, merged by priority, integrated.

A timeline knows where it says nothing, which is not 0 W. Inside, power is an integer of nW and a ramp a whole number
of nW per ms, rounded once when it is made; so every sum, cut and shift after that is exact, in any order.

>>> charging = flat(0, 2 * HOUR_MS, 7_400) + ramp(2 * HOUR_MS, HOUR_MS, 7_400, 0)
>>> sun = ramp(HOUR_MS, HOUR_MS, 0, -3_000) + flat(2 * HOUR_MS, 2 * HOUR_MS, -3_000)
>>> charging.energy_j() // 3_600
18500
>>> (charging + sun).power_w(2 * HOUR_MS)
4400
>>> (charging + sun).within(upper=constant(5_000)).max_w()
5000
>>> (sun + charging) - charging == sun
False
>>> ((sun + charging) - charging).clip(HOUR_MS) == sun  # before that, it now says 0 W instead of nothing
True

`scowl_edge.model.profile_slots` has slots and comparisons, `scowl_edge.model.profile_picture` draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scowl_edge.model.errors import ScowlError
from scowl_edge.model.flexibility import Element

HOUR_MS = 3_600_000
NANO = 10**9
"""nW in one W."""
QUANTA_PER_J = 2 * NANO * 1_000
"""Quanta of energy (half a nW ms, so that the triangle under a ramp is whole) in one J."""
LONGEST_RAMP_MS = NANO
"""11 days: a longer ramp, rounded to nW per ms, could miss its end by half a watt."""
FOREVER_MS = 1 << 60
"""Bound of timelines that hold at all times."""


class ProfileError(ScowlError, ValueError):
    """Segments that make no timeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of straight power; made by `flat` and `ramp`."""

    start_ms: int
    length_ms: int
    begin_nw: int
    rate_nw_per_ms: int = 0

    def __post_init__(self) -> None:
        """Checks the length."""
        if self.length_ms < 1:
            raise ProfileError(f"a segment at {self.start_ms} ms is {self.length_ms} ms long; give it at least 1 ms")

    @property
    def end_ms(self) -> int:
        """The first ms after it."""
        return self.start_ms + self.length_ms

    @property
    def begin_w(self) -> int:
        """Power at its begin."""
        return nearest(self.begin_nw, NANO)

    @property
    def end_w(self) -> int:
        """Power that it reaches at its end."""
        return nearest(self.at_nw(self.end_ms), NANO)

    def at_nw(self, time_ms: int) -> int:
        """Power on its line, in nW."""
        return self.begin_nw + self.rate_nw_per_ms * (time_ms - self.start_ms)

    def part(self, start_ms: int, end_ms: int) -> Segment:
        """The same line from `start_ms` to `end_ms`."""
        return Segment(
            start_ms=start_ms,
            length_ms=end_ms - start_ms,
            begin_nw=self.at_nw(start_ms),
            rate_nw_per_ms=self.rate_nw_per_ms,
        )

    def quanta(self, start_ms: int, end_ms: int) -> int:
        """Energy between two times within it, in quanta of energy."""
        length = end_ms - start_ms
        return 2 * self.at_nw(start_ms) * length + self.rate_nw_per_ms * length * length


@dataclass(frozen=True, slots=True)
class Timeline:
    """Power over time, + is consumption. Two are equal if they say the same at every moment."""

    segments: tuple[Segment, ...] = ()
    """By time, none over another; neighbours on one line are joined."""

    def __post_init__(self) -> None:
        """Joins neighbours on one line.

        Raises:
            ProfileError: One segment begins before another's end.
        """
        joined: list[Segment] = []
        for segment in self.segments:
            last = joined[-1] if joined else None
            if last is not None and segment.start_ms < last.end_ms:
                raise ProfileError(
                    f"a segment at {segment.start_ms} ms begins before the one before it ends, at {last.end_ms} ms; "
                    "add or merge timelines instead"
                )
            if (
                last is not None
                and segment.start_ms == last.end_ms
                and segment.rate_nw_per_ms == last.rate_nw_per_ms
                and segment.begin_nw == last.at_nw(last.end_ms)
            ):
                joined[-1] = last.part(last.start_ms, segment.end_ms)
            else:
                joined.append(segment)
        object.__setattr__(self, "segments", tuple(joined))

    def __bool__(self) -> bool:
        """Whether it says anything at all."""
        return bool(self.segments)

    @property
    def start_ms(self) -> int:
        """Where it begins.

        Raises:
            ProfileError: It is empty.
        """
        return self._any()[0].start_ms

    @property
    def end_ms(self) -> int:
        """Where it ends.

        Raises:
            ProfileError: It is empty.
        """
        return self._any()[-1].end_ms

    def spans(self) -> tuple[tuple[int, int], ...]:
        """Where it says something: (start, end) in ms, as long as can be."""
        found: list[tuple[int, int]] = []
        for segment in self.segments:
            if found and found[-1][1] == segment.start_ms:
                found[-1] = (found[-1][0], segment.end_ms)
            else:
                found.append((segment.start_ms, segment.end_ms))
        return tuple(found)

    def covers(self, start_ms: int, end_ms: int) -> bool:
        """It says something at every moment between the two."""
        return any(start <= start_ms and end_ms <= end for start, end in self.spans())

    def power_w(self, time_ms: int) -> int | None:
        """Power at a moment, rounded to the nearest watt; at a jump what comes after it. None where it says nothing."""
        low, high = 0, len(self.segments)
        while low < high:
            middle = (low + high) // 2
            segment = self.segments[middle]
            if time_ms < segment.start_ms:
                high = middle
            elif time_ms >= segment.end_ms:
                low = middle + 1
            else:
                return nearest(segment.at_nw(time_ms), NANO)
        return None

    def energy_quanta(self, start_ms: int | None = None, end_ms: int | None = None) -> int:
        """Energy between two times (the whole, where absent), exact, in quanta; where it says nothing there is none."""
        total = 0
        for segment in self.segments:
            start = segment.start_ms if start_ms is None else max(start_ms, segment.start_ms)
            end = segment.end_ms if end_ms is None else min(end_ms, segment.end_ms)
            if start < end:
                total += segment.quanta(start, end)
        return total

    def energy_j(self, start_ms: int | None = None, end_ms: int | None = None) -> int:
        """As `energy_quanta`, rounded to the nearest joule."""
        return nearest(self.energy_quanta(start_ms, end_ms), QUANTA_PER_J)

    def mean_w(self, start_ms: int, end_ms: int) -> int | None:
        """Energy between two times by the time between them, to the nearest watt; None if it says nothing there."""
        if not self.clip(start_ms, end_ms):
            return None
        return nearest(self.energy_quanta(start_ms, end_ms), 2 * NANO * (end_ms - start_ms))

    def max_w(self) -> int | None:
        """Highest power, to the nearest watt; None if it is empty."""
        return max((max(s.begin_w, s.end_w) for s in self.segments), default=None)

    def min_w(self) -> int | None:
        """Lowest power, to the nearest watt; None if it is empty."""
        return min((min(s.begin_w, s.end_w) for s in self.segments), default=None)

    def __add__(self, other: Timeline) -> Timeline:
        """Both at once; where one says nothing, the other alone."""
        return total((self, other))

    def __neg__(self) -> Timeline:
        """Production for consumption."""
        return Timeline(
            tuple(
                Segment(
                    start_ms=s.start_ms,
                    length_ms=s.length_ms,
                    begin_nw=-s.begin_nw,
                    rate_nw_per_ms=-s.rate_nw_per_ms,
                )
                for s in self.segments
            )
        )

    def __sub__(self, other: Timeline) -> Timeline:
        """The difference; where one says nothing, it counts as 0 W."""
        return self + -other

    def shift(self, by_ms: int) -> Timeline:
        """The same, later (earlier if negative)."""
        return Timeline(
            tuple(
                Segment(
                    start_ms=s.start_ms + by_ms,
                    length_ms=s.length_ms,
                    begin_nw=s.begin_nw,
                    rate_nw_per_ms=s.rate_nw_per_ms,
                )
                for s in self.segments
            )
        )

    def clip(self, start_ms: int | None = None, end_ms: int | None = None) -> Timeline:
        """What lies between two times; absent is no bound."""
        kept = []
        for segment in self.segments:
            start = segment.start_ms if start_ms is None else max(start_ms, segment.start_ms)
            end = segment.end_ms if end_ms is None else min(end_ms, segment.end_ms)
            if start < end:
                kept.append(segment.part(start, end))
        return Timeline(tuple(kept))

    def over(self, below: Timeline) -> Timeline:
        """By priority: this one where it says something, `below` elsewhere."""
        free, kept = None, list(self.segments)
        for start, end in self.spans():
            kept += below.clip(free, start).segments
            free = end
        kept += below.clip(free, None).segments
        return Timeline(tuple(sorted(kept, key=lambda s: s.start_ms)))

    def within(self, *, lower: Timeline | None = None, upper: Timeline | None = None) -> Timeline:
        """Held between two others wherever they say something; `upper` goes first if they contradict each other.

        In the one ms in which two ramps cross, it goes straight from one to the other, never beyond a bound.
        """
        held = self if lower is None else -_lower(-self, -lower)
        return held if upper is None else _lower(held, upper)

    def _any(self) -> tuple[Segment, ...]:
        if not self.segments:
            raise ProfileError("an empty timeline has neither start nor end; ask whether it holds anything first")
        return self.segments


EMPTY = Timeline()
"""Says nothing."""


def flat(start_ms: int, length_ms: int, power_w: int) -> Timeline:
    """Constant power."""
    return Timeline((Segment(start_ms=start_ms, length_ms=length_ms, begin_nw=power_w * NANO),))


def ramp(start_ms: int, length_ms: int, begin_w: int, end_w: int) -> Timeline:
    """Power that goes straight from one value to another.

    Its rate is rounded to nW per ms, and what that amounts to is shared between begin and end (at most 22 mW each over
    a day), so that the energy is right to a nW at every ms.

    Raises:
        ProfileError: Longer than `LONGEST_RAMP_MS`, or no length.
    """
    if not 0 < length_ms <= LONGEST_RAMP_MS:
        raise ProfileError(f"a ramp of {length_ms} ms; a ramp is 1 to {LONGEST_RAMP_MS} ms long, join two if need be")
    rate = nearest((end_w - begin_w) * NANO, length_ms)
    begin_nw = begin_w * NANO + ((end_w - begin_w) * NANO - rate * length_ms) // 2
    return Timeline((Segment(start_ms=start_ms, length_ms=length_ms, begin_nw=begin_nw, rate_nw_per_ms=rate),))


def constant(power_w: int) -> Timeline:
    """The same power at all times, as a bound."""
    return flat(-FOREVER_MS, 2 * FOREVER_MS, power_w)


def of_elements(elements: Sequence[Element], start_ms: int, setpoints_w: Sequence[int] = ()) -> Timeline:
    """What a profile's elements give when started at a time, each at its setpoint or, without any, as expected.

    Raises:
        ProfileError: Some setpoints, but not one an element.
    """
    if setpoints_w and len(setpoints_w) != len(elements):
        raise ProfileError(f"{len(setpoints_w)} setpoints for {len(elements)} elements; give one each, or none")
    powers = setpoints_w or [element.p_nom_w for element in elements]
    segments, at_ms = [], start_ms
    for element, power_w in zip(elements, powers, strict=True):
        segments.append(Segment(start_ms=at_ms, length_ms=element.dur_s * 1_000, begin_nw=power_w * NANO))
        at_ms += element.dur_s * 1_000
    return Timeline(tuple(segments))


def total(timelines: Iterable[Timeline]) -> Timeline:
    """The sum of any number; defined where any of them is. Takes n log n for n segments in all."""
    # At each moment: the change of the sum's line (its value at time 0, its rate) and of how many are defined.
    changes: dict[int, tuple[int, int, int]] = {}
    for timeline in timelines:
        for s in timeline.segments:
            base = s.at_nw(0)
            for at_ms, sign in ((s.start_ms, 1), (s.end_ms, -1)):
                b, r, n = changes.get(at_ms, (0, 0, 0))
                changes[at_ms] = b + sign * base, r + sign * s.rate_nw_per_ms, n + sign
    segments, base, rate, count, since = [], 0, 0, 0, 0
    for at_ms in sorted(changes):
        if count:
            segments.append(
                Segment(start_ms=since, length_ms=at_ms - since, begin_nw=base + rate * since, rate_nw_per_ms=rate)
            )
        b, r, n = changes[at_ms]
        base, rate, count, since = base + b, rate + r, count + n, at_ms
    return Timeline(tuple(segments))


def layered(timelines: Iterable[Timeline]) -> Timeline:
    """Merged by priority: of those that say something at a moment, the first."""
    merged = EMPTY
    for timeline in timelines:
        merged = merged.over(timeline)
    return merged


def nearest(number: int, divisor: int) -> int:
    """number / divisor, rounded to the nearest integer, halves up."""
    return (2 * number + divisor) // (2 * divisor)


def _lower(line: Timeline, bound: Timeline) -> Timeline:
    """The lower of both where both are defined, else `line`."""
    cuts = sorted({t for x in (line, bound) for s in x.segments for t in (s.start_ms, s.end_ms)})
    pieces: list[Segment] = []
    above, i = iter(bound.segments), 0
    over = next(above, None)
    for segment in line.segments:
        while cuts[i] < segment.start_ms:
            i += 1
        while cuts[i] < segment.end_ms:
            start, end = cuts[i], cuts[i + 1]
            while over is not None and over.end_ms <= start:
                over = next(above, None)
            part = segment.part(start, end)
            if over is None or over.start_ms > start:
                pieces.append(part)
            else:
                pieces += _lower_of(part, over.part(start, end))
            i += 1
    return Timeline(tuple(pieces))


def _lower_of(one: Segment, two: Segment) -> list[Segment]:
    """The lower of two lines over the same span."""
    start, end = one.start_ms, one.end_ms
    first, last = one.begin_nw - two.begin_nw, one.at_nw(end) - two.at_nw(end)
    if first <= 0 and last <= 0:
        return [one]
    if first >= 0 and last >= 0:
        return [two]
    before, after = (one, two) if first < 0 else (two, one)
    whole, rest = divmod(abs(first), abs(one.rate_nw_per_ms - two.rate_nw_per_ms))
    meet, pieces = start + whole, []
    if whole:
        pieces.append(before.part(start, meet))
    if rest:
        # The lines meet within a ms. The chord of the lower one is below both.
        chord = after.at_nw(meet + 1) - before.at_nw(meet)
        pieces.append(Segment(start_ms=meet, length_ms=1, begin_nw=before.at_nw(meet), rate_nw_per_ms=chord))
        meet += 1
    if meet < end:
        pieces.append(after.part(meet, end))
    return pieces
