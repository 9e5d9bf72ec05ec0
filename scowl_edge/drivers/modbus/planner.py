"""From points to few reads: what lies close together is read together, and nothing is ever cut in two.

A *need* is the stretch of registers that must come in one reply: a value, or a value with its scale factor and all
between. An *island* is a stretch in which a read may join what it finds: no hole, no gap beyond the limit. Needs that
lie in another are met with it; what is left is in order both of first and of last registers, so that each read meets a
run of needs, and the best cut into runs is found exactly.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from scowl_edge.devices.declaration import Hole, ModbusDevice, ModbusLink, ModbusPoint, Table
from scowl_edge.drivers.errors import LayoutError
from scowl_edge.drivers.modbus.pdu import MAX_READ
from scowl_edge.drivers.modbus.registers import BIT_TABLES

MAX_BITS = 2000
_TABLE_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class Span:
    """One read request."""

    table: Table
    address: int
    count: int
    """Registers, or bits in a bit table."""
    members: tuple[int, ...]
    """Indices of the points that are decoded from it. A scale factor may be a member of several spans."""


Transaction = tuple[Span, ...]
"""Reads that follow each other with nothing between: one, unless a scale factor lies too far from its values. Then its
read comes first, and it is read again at the end: see `scowl_edge.drivers.modbus.torn`."""


@dataclass(frozen=True, slots=True)
class Poll:
    """One transaction and how often it is due."""

    period_ms: int
    spans: Transaction


Reach = tuple[int, int]
"""First address, and the one after the last."""


def plan_device(device: ModbusDevice, link: ModbusLink) -> tuple[Poll, ...]:
    """Everything that is read of a device: points of one period together, each period as though it were alone.

    A scale factor is read with every period that needs it; it has a read of its own only where it asks for a shorter
    period than all of them.

    Raises:
        LayoutError: see `plan`.
    """
    factors = _factors(device.points)
    groups: dict[int, set[int]] = {}
    for place, point in enumerate(device.points):
        if "r" in point.access:
            groups.setdefault(point.poll_ms or device.poll_ms, set()).add(place)
    carried: dict[int, int] = {}
    for period_ms, wanted in groups.items():
        for place in wanted:
            if place in factors:
                carried[factors[place]] = min(carried.get(factors[place], period_ms), period_ms)
    polls: list[Poll] = []
    for period_ms, wanted in sorted(groups.items()):
        only = {place for place in wanted if carried.get(place, period_ms) >= period_ms}
        polls += [
            Poll(period_ms, spans)
            for spans in plan(
                device.points,
                max_gap=device.max_gap if device.max_gap >= 0 else link.max_gap,
                max_read=device.max_read or link.max_read,
                holes=device.holes,
                only=only,
            )
        ]
    return tuple(polls)


def plan(
    points: Sequence[ModbusPoint],
    *,
    max_gap: int,
    max_read: int,
    holes: Sequence[Hole] = (),
    only: Collection[int] | None = None,
) -> tuple[Transaction, ...]:
    """Joins readable points of one unit into the fewest requests that keep the limits; of those, with fewest registers.

    A value and its scale factor come in one request wherever the limits allow one that holds both; the scale factor is
    then read again with each request that needs it. Else they come in one transaction: scale factor, values, and the
    scale factor again, since a device may change it in between.

    Args:
        points: All points of the unit.
        max_gap: Registers (or bits) side by side that no point asked for covers and that may be read to join two.
        max_read: Registers of the longest read; a bit table takes 16 bits for each, at most 2000.
        holes: What no request may touch. Neither does one touch points that are only written.
        only: Places of the points asked for; all readable ones if not given. Their scale factors come along.

    Raises:
        LayoutError: a value is longer than the longest read, lies in a hole or beyond the table, or a scale factor is
            not a point.
    """
    factors = _factors(points)
    wanted = {place for place, point in enumerate(points) if "r" in point.access and (only is None or place in only)}
    factor_of = {place: factor for place, factor in factors.items() if place in wanted}
    wanted |= set(factor_of.values())
    drafts: list[_Draft] = []
    far: dict[int, int] = {}
    for table in Table:
        area = _Area.of(table, points, wanted, max_gap=max_gap, max_read=max_read, holes=holes)
        drafts += _drafts(area, points, factor_of, far)
    if not far:
        return tuple((draft.span(points),) for draft in drafts)
    closing = {
        factor: _Area.of(points[factor].table, points, wanted, max_gap=max_gap, max_read=max_read, holes=holes)
        for factor in set(far.values())
    }
    return _transactions(drafts, points, far, closing)


def _factors(points: Sequence[ModbusPoint]) -> dict[int, int]:
    """Place of the scale factor of each point that has one."""
    by_name = {point.name: place for place, point in enumerate(points)}
    found: dict[int, int] = {}
    for place, point in enumerate(points):
        if not point.scale_factor:
            continue
        if point.scale_factor not in by_name:
            raise LayoutError(f"point {point.name}: scale_factor {point.scale_factor!r} is not a point of the device")
        found[place] = by_name[point.scale_factor]
        if points[found[place]].scale_factor:
            raise LayoutError(f"point {point.scale_factor}: is a scale factor and cannot have one itself")
    return found


def _reach(point: ModbusPoint) -> Reach:
    return point.address, point.address + point.registers


@dataclass(frozen=True, slots=True)
class _Area:
    """What is wanted of one table, and where reads may go there."""

    table: Table
    wanted: tuple[int, ...]
    islands: tuple[Reach, ...]
    longest: int

    @classmethod
    def of(
        cls,
        table: Table,
        points: Sequence[ModbusPoint],
        wanted: Collection[int],
        *,
        max_gap: int,
        max_read: int,
        holes: Sequence[Hole],
    ) -> _Area:
        longest = min(max_read * 16, MAX_BITS) if table in BIT_TABLES else min(max_read, MAX_READ)
        here = tuple(sorted(place for place in wanted if points[place].table is table))
        barred = [(hole.first, hole.last + 1) for hole in holes if hole.table is table]
        for place in here:
            _check(points[place], barred, longest)
        writable = [_reach(point) for point in points if point.table is table and "r" not in point.access]
        readable = [_reach(point) for place, point in enumerate(points) if point.table is table and place in wanted]
        return cls(table, here, _islands(readable, [*barred, *writable], max_gap), longest)

    def allows(self, reach: Reach) -> bool:
        """Whether one request may read all of it."""
        return reach[1] - reach[0] <= self.longest and self.island(reach[0]) == self.island(reach[1] - 1)

    def island(self, address: int) -> int:
        """Number of the island that an address lies in."""
        return bisect_right(self.islands, address, key=lambda island: island[0])


def _check(point: ModbusPoint, barred: Iterable[Reach], longest: int) -> None:
    first, end = _reach(point)
    if end - first > longest:
        raise LayoutError(
            f"point {point.name}: takes {end - first} registers, but one read has {longest}; "
            "raise max_read or shorten it"
        )
    if end > _TABLE_SIZE:
        raise LayoutError(f"point {point.name}: ends at {end - 1}, but a table ends at {_TABLE_SIZE - 1}")
    for low, high in barred:
        if first < high and low < end:
            raise LayoutError(
                f"point {point.name}: lies in a hole, {point.table} {low} to {high - 1}, where nothing is read; "
                "take one of the two away"
            )


def _islands(readable: Iterable[Reach], barred: Iterable[Reach], max_gap: int) -> tuple[Reach, ...]:
    """Stretches of what is wanted, joined over gaps that hold nothing barred. What is wanted itself is never barred."""
    closed = sorted(barred)
    islands: list[Reach] = []
    furthest = 0
    """End of the longest barred stretch among those that begin before the gap's end."""
    at = 0
    for first, end in sorted(readable):
        while at < len(closed) and closed[at][0] < first:
            furthest, at = max(furthest, closed[at][1]), at + 1
        if islands and first - islands[-1][1] <= max_gap and (first <= islands[-1][1] or furthest <= islands[-1][1]):
            islands[-1] = (islands[-1][0], max(islands[-1][1], end))
        else:
            islands.append((first, end))
    return tuple(islands)


@dataclass(slots=True)
class _Draft:
    """A request of which the members are still being found."""

    table: Table
    reach: Reach
    members: set[int]

    def span(self, points: Sequence[ModbusPoint]) -> Span:
        ordered = sorted(self.members, key=lambda place: (points[place].address, place))
        return Span(self.table, self.reach[0], self.reach[1] - self.reach[0], tuple(ordered))


def _drafts(area: _Area, points: Sequence[ModbusPoint], factor_of: dict[int, int], far: dict[int, int]) -> list[_Draft]:
    """Requests for what is wanted of one table; puts into `far` the values whose scale factor cannot come with them."""
    needs: dict[int, Reach] = {}
    for place in area.wanted:
        needs[place] = _reach(points[place])
        factor = factor_of.get(place)
        if factor is None:
            continue
        low, high = _reach(points[factor])
        hull = min(low, needs[place][0]), max(high, needs[place][1])
        if points[factor].table is area.table and area.allows(hull):
            needs[place] = hull
        else:
            far[place] = factor
    drafts = [_Draft(area.table, reach, set()) for reach in cover(needs.values(), area.islands, area.longest)]
    ends = [draft.reach[1] for draft in drafts]
    shared = set(factor_of.values())
    for place in sorted(area.wanted, key=lambda place: place in shared):
        # Reads are in order of their ends too: the first that ends late enough is the first that can hold it.
        home = drafts[bisect_left(ends, needs[place][1])]
        if place in shared and any(place in draft.members for draft in drafts):
            continue
        home.members.add(place)
        if place in factor_of and place not in far:
            home.members.add(factor_of[place])
    return drafts


def cover(needs: Iterable[Reach], islands: Sequence[Reach], longest: int) -> list[Reach]:
    """The fewest reads so that each need lies whole in one of them; of those, with fewest registers.

    Args:
        needs: Each lies in one island and is no longer than `longest`.
        islands: In order; no read reaches from one into another.
        longest: Registers of the longest read.

    Returns:
        In order, both of first and of last registers.
    """
    left: list[Reach] = []
    for need in sorted(set(needs), key=lambda need: (need[0], -need[1])):
        if not left or need[1] > left[-1][1]:
            left.append(need)
    starts = [island[0] for island in islands]
    island = [bisect_right(starts, need[0]) for need in left]
    best: list[tuple[int, int]] = [(0, 0)]
    """Requests and registers for the first n needs."""
    cut: list[int] = []
    low = 0
    for last, (_, end) in enumerate(left):
        while end - left[low][0] > longest or island[low] != island[last]:
            low += 1
        # More needs never take fewer requests, so only those that tie with the first can be better.
        found, found_at = (best[low][0], best[low][1] + end - left[low][0]), low
        for first in range(low + 1, last + 1):
            if best[first][0] > found[0]:
                break
            registers = best[first][1] + end - left[first][0]
            if registers < found[1]:
                found, found_at = (found[0], registers), first
        best.append((found[0] + 1, found[1]))
        cut.append(found_at)
    reads: list[Reach] = []
    last = len(left)
    while last:
        first = cut[last - 1]
        reads.append((left[first][0], left[last - 1][1]))
        last = first
    return reads[::-1]


def _transactions(
    drafts: list[_Draft], points: Sequence[ModbusPoint], far: dict[int, int], areas: dict[int, _Area]
) -> tuple[Transaction, ...]:
    """Puts requests that need another's scale factor between two reads of it; all others stand alone."""
    needed = [{far[place] for place in draft.members if place in far} for draft in drafts]
    home: dict[int, int] = {}
    """Number of the request that reads a far scale factor anyway and waits for none itself."""
    for factor in set(far.values()):
        for number, draft in enumerate(drafts):
            if factor in draft.members and not needed[number]:
                home.setdefault(factor, number)
    leader = list(range(len(drafts)))
    by_factor: dict[int, int] = {}
    for number, factors in enumerate(needed):
        for factor in sorted(factors):
            for other in (home.get(factor, number), by_factor.setdefault(factor, number)):
                old, new = leader[number], leader[other]
                leader = [new if value == old else value for value in leader]
    transactions: list[Transaction] = []
    for head in dict.fromkeys(leader):
        group = [number for number, value in enumerate(leader) if value == head]
        factors = set().union(*(needed[number] for number in group))
        first = [drafts[number].span(points) for number in group if not needed[number]]
        between = [drafts[number].span(points) for number in group if needed[number]]
        opening = _alone({factor for factor in factors if factor not in home}, points, areas)
        transactions.append((*first, *opening, *between, *_alone(factors, points, areas)))
    return tuple(transactions)


def _alone(factors: set[int], points: Sequence[ModbusPoint], areas: dict[int, _Area]) -> list[Span]:
    """Reads of nothing but these scale factors."""
    spans: list[Span] = []
    for table in dict.fromkeys(points[factor].table for factor in sorted(factors)):
        here = [factor for factor in factors if points[factor].table is table]
        area = replace(areas[here[0]], wanted=tuple(sorted(here)))
        spans += [draft.span(points) for draft in _drafts(area, points, {}, {})]
    return spans
