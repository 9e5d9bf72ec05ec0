"""Mass starts, spread: the sum of what begins and ends never climbs or falls faster than the grid may be asked to bear.

A response draws no random delay at the appliance, so whoever selects thousands of them at once has to stagger them.
Every edge of a course (a step of power at a whole second) takes room of its direction: `max_ramp` watts a second. A
step larger than that takes the seconds after it too. A delay drawn over R seconds spreads its edges over as many, so
it takes a small part of each of them. Ups and downs do not make room for each other: nobody knows that both arrive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scowl_edge.model.flexibility import Element
from scowl_edge.model.reason import Reason, declare

NO_ROOM = declare("no-ramp-room", "its step of {:W} finds no second between its earliest and latest start; ramp {:W}/s")
PAST = declare("start-past", "its latest start is before its earliest by {:s}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A start that is wanted."""

    key: str
    """The selection."""
    wanted_ms: int
    earliest_ms: int
    latest_ms: int
    powers_w: tuple[int, ...]
    """Power of each element."""
    durations_s: tuple[int, ...]
    before_w: int = 0
    """Power until it starts."""
    after_w: int = 0
    """Power when it has ended."""
    delay_max_s: int = 0
    """Longest delay that the appliance draws on top; 0 for a response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A start that was given its second."""

    key: str
    start_ms: int
    moved_ms: int
    """Away from what was wanted; negative is earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """A start that would break the ramp wherever it is put."""

    key: str
    why: Reason


@dataclass(frozen=True, slots=True)
class Edge:
    """A step of power."""

    second: int
    delta_w: int
    over_s: int
    """Seconds that a drawn delay spreads it over; 1 for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What became of a mass start."""

    placed: tuple[Placed, ...]
    unplaced: tuple[Unplaced, ...]


def edges(start: Start, start_ms: int) -> tuple[Edge, ...]:
    """The steps of power of a course that starts then; its second is rounded up."""
    at, found = -(-start_ms // 1000), []
    over = start.delay_max_s + 1
    before = start.before_w
    for power, seconds in zip(start.powers_w, start.durations_s, strict=True):
        if power != before:
            found.append(Edge(at, power - before, over))
        before = power
        at += seconds
    if start.after_w != before:
        found.append(Edge(at, start.after_w - before, over))
    return tuple(found)


class Ramp:
    """Room for steps, by second and direction."""

    def __init__(self, max_ramp_w_per_s: int) -> None:
        """`max_ramp_w_per_s`: W/s of the sum, above 0.

        Raises:
            ValueError: It is not.
        """
        if max_ramp_w_per_s <= 0:
            raise ValueError(f"max_ramp {max_ramp_w_per_s} W/s; it must be above 0, or spreading left out")
        self.max_w = max_ramp_w_per_s
        self._used: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._next: tuple[dict[int, int], dict[int, int]] = ({}, {})
        """A full second points to a later one, so that a long queue is not walked again and again."""

    def used_w(self, second: int, *, up: bool) -> int:
        """Room taken in one second."""
        return self._used[up].get(second, 0)

    def free_from(self, second: int, *, up: bool) -> int:
        """The first second from then on that is not full."""
        after, path = self._next[up], []
        while second in after:
            path.append(second)
            second = after[second]
        for full in path:
            after[full] = second
        return second

    def shares(self, edge: Edge) -> Iterable[tuple[int, int]]:
        """(second, W) that an edge takes."""
        size = abs(edge.delta_w)
        if edge.over_s > 1:
            part = -(-size // edge.over_s)
            # What does not fit into one second even so is taken by those after it.
            width = -(-part // self.max_w)
            for s in range(edge.second, edge.second + edge.over_s + width - 1):
                yield s, min(self.max_w, part)
            return
        whole, rest = divmod(size, self.max_w)
        for s in range(edge.second, edge.second + whole):
            yield s, self.max_w
        if rest:
            yield edge.second + whole, rest

    def fits(self, course: Sequence[Edge]) -> bool:
        """Whether there is room for all of its edges at once."""
        wanted: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for edge in course:
            up = edge.delta_w > 0
            for second, part in self.shares(edge):
                wanted[up][second] = total = wanted[up].get(second, 0) + part
                if total + self._used[up].get(second, 0) > self.max_w:
                    return False
        return True

    def take(self, course: Iterable[Edge]) -> None:
        """Takes the room, whether it is there or not: what has been promised already happens all the same."""
        for edge in course:
            up = edge.delta_w > 0
            used, after = self._used[up], self._next[up]
            for second, part in self.shares(edge):
                used[second] = total = used.get(second, 0) + part
                if total >= self.max_w:
                    after[second] = second + 1


def spread(starts: Sequence[Start], ramp: Ramp, seed: int) -> Spread:
    """Gives each start the second nearest to the one it wants that has room, later ones before earlier ones.

    Who has least freedom goes first; who goes first among equals is drawn by hash, so the same seed gives the same
    order and no appliance is always the last. Takes the room of those it places from `ramp`.
    """
    placed: list[Placed] = []
    unplaced: list[Unplaced] = []
    for start in sorted(starts, key=lambda s: (s.latest_ms - s.earliest_ms, _drawn(seed, s.key), s.key)):
        if start.latest_ms < start.earliest_ms:
            unplaced.append(Unplaced(key=start.key, why=Reason(PAST, (start.earliest_ms - start.latest_ms,))))
            continue
        at = _place(start, ramp)
        if at is None:
            step = max((abs(e.delta_w) for e in edges(start, start.wanted_ms)), default=0)
            unplaced.append(Unplaced(key=start.key, why=Reason(NO_ROOM, (step, ramp.max_w))))
            continue
        ramp.take(edges(start, at))
        placed.append(Placed(key=start.key, start_ms=at, moved_ms=at - start.wanted_ms))
    return Spread(placed=tuple(placed), unplaced=tuple(unplaced))


def _place(start: Start, ramp: Ramp) -> int | None:
    """The start in ms, a whole second unless it is the one wanted; None if there is no room."""
    wanted = min(max(start.wanted_ms, start.earliest_ms), start.latest_ms)
    if ramp.fits(edges(start, wanted)):
        return wanted
    first, last = -(-start.earliest_ms // 1000), start.latest_ms // 1000
    course = edges(start, 0)
    leading = course[0] if course and course[0].second == 0 and course[0].over_s == 1 else None
    second = -(-wanted // 1000)
    while second <= last:
        if leading is not None:
            second = ramp.free_from(second, up=leading.delta_w > 0)
            if second > last:
                break
        if ramp.fits([Edge(e.second + second, e.delta_w, e.over_s) for e in course]):
            return second * 1000
        second += 1
    for second in range(min(wanted // 1000, last), first - 1, -1):
        if ramp.fits([Edge(e.second + second, e.delta_w, e.over_s) for e in course]):
            return second * 1000
    return None


def expected_energy_w_ms(
    elements: Sequence[Element], start_ms: int, delay_max_s: int, begin_ms: int, end_ms: int
) -> int:
    """Expected energy in W·ms of a course between two times, its delay drawn evenly from 0 to `delay_max_s`.

    Rounded down once, at the end.
    """
    total, at = 0, start_ms
    for element in elements:
        ends = at + element.dur_s * 1000
        held = _reach(end_ms - at, delay_max_s) - _reach(begin_ms - at, delay_max_s)
        held -= _reach(end_ms - ends, delay_max_s) - _reach(begin_ms - ends, delay_max_s)
        total += element.p_nom_w * held
        at = ends
    return total // (delay_max_s + 1)


def _reach(span_ms: int, delay_max_s: int) -> int:
    """Sum over all delays d of max(0, span - d), in ms."""
    if span_ms <= 0:
        return 0
    last = min(delay_max_s, span_ms // 1000)
    return (last + 1) * span_ms - 1000 * (last * (last + 1) // 2)


def _drawn(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/spread/{key}".encode(), digest_size=8).digest(), "big")
