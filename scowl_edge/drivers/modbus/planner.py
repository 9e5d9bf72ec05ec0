"""From points to few reads: what lies close together is read together, and nothing is ever cut in two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scowl_edge.devices.declaration import ModbusPoint, Table
from scowl_edge.drivers.errors import LayoutError
from scowl_edge.drivers.modbus.pdu import MAX_READ
from scowl_edge.drivers.modbus.registers import BIT_TABLES

MAX_BITS = 2000


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
"""Reads that follow each other with nothing between: one, unless a scale factor lies too far from its values."""


def plan(points: Sequence[ModbusPoint], *, max_gap: int, max_read: int) -> tuple[Transaction, ...]:
    """Joins the readable points of one unit into transactions.

    A value and its scale factor come in one request where the distance allows; the scale factor is then read again with
    each request that needs it. Else the two requests form one transaction, scale factor first.

    Args:
        points: All points of the unit.
        max_gap: Unused registers (or bits) that may be read to join two points.
        max_read: Registers of the longest read; a bit table takes 16 bits for each, at most 2000.

    Raises:
        LayoutError: a value is longer than the longest read, or a scale factor is not a point.
    """
    by_name = {point.name: index for index, point in enumerate(points)}
    factor_of: dict[int, int] = {}
    for index, point in enumerate(points):
        if point.scale_factor:
            if point.scale_factor not in by_name:
                raise LayoutError(
                    f"point {point.name}: scale_factor {point.scale_factor!r} is not a point of the device"
                )
            factor_of[index] = by_name[point.scale_factor]
            if points[factor_of[index]].scale_factor:
                raise LayoutError(f"point {point.scale_factor}: is a scale factor and cannot have one itself")
    wanted = {index for index, point in enumerate(points) if "r" in point.access}
    wanted |= {factor for index, factor in factor_of.items() if index in wanted}
    spans: list[Span] = []
    for table in Table:
        longest = min(max_read * 16, MAX_BITS) if table in BIT_TABLES else min(max_read, MAX_READ)
        members = [index for index in sorted(wanted) if points[index].table is table]
        spans += _spans(points, members, factor_of, table, max_gap, longest)
    return _transactions(spans, points, {index: factor for index, factor in factor_of.items() if index in wanted})


def _end(point: ModbusPoint) -> int:
    return point.address + point.registers


def _spans(
    points: Sequence[ModbusPoint],
    members: list[int],
    factor_of: dict[int, int],
    table: Table,
    max_gap: int,
    longest: int,
) -> list[Span]:
    for index in members:
        if points[index].registers > longest:
            raise LayoutError(
                f"point {points[index].name}: takes {points[index].registers} registers, but one read has {longest}; "
                "raise max_read or shorten it"
            )
    starts = sorted((points[index].address, _end(points[index])) for index in members)
    hulls = []
    for index in members:
        first, last = points[index].address, _end(points[index])
        factor = factor_of.get(index, -1)
        if factor >= 0 and points[factor].table is table:
            low, high = min(first, points[factor].address), max(last, _end(points[factor]))
            if high - low <= longest and _largest_gap(starts, low, high) <= max_gap:
                first, last = low, high
        hulls.append((first, last, index))
    spans: list[Span] = []
    for first, last, index in sorted(hulls):
        if spans:
            block = spans[-1]
            end = max(block.address + block.count, last)
            if first - (block.address + block.count) <= max_gap and end - block.address <= longest:
                spans[-1] = Span(table, block.address, end - block.address, (*block.members, index))
                continue
        spans.append(Span(table, first, last - first, (index,)))
    return [_with_factors(span, points, factor_of) for span in spans]


def _largest_gap(starts: list[tuple[int, int]], low: int, high: int) -> int:
    """Longest run in [low, high) that no point covers."""
    gap, reached = 0, low
    for first, last in starts:
        if last <= low or first >= high:
            continue
        gap = max(gap, first - reached)
        reached = max(reached, last)
    return max(gap, high - reached)


def _with_factors(span: Span, points: Sequence[ModbusPoint], factor_of: dict[int, int]) -> Span:
    """Adds the scale factors that the span covers and its members need."""
    members = set(span.members)
    for index in span.members:
        factor = factor_of.get(index, -1)
        if factor < 0 or points[factor].table is not span.table:
            continue
        if span.address <= points[factor].address and _end(points[factor]) <= span.address + span.count:
            members.add(factor)
    return Span(span.table, span.address, span.count, tuple(sorted(members, key=lambda i: (points[i].address, i))))


def _transactions(
    spans: list[Span], points: Sequence[ModbusPoint], factor_of: dict[int, int]
) -> tuple[Transaction, ...]:
    """Puts spans that need another's scale factor behind it; all others stand alone.

    A scale factor whose own span waits for a further one is read alone, so that no two spans wait for each other.
    """
    missing = [{factor_of[index] for index in span.members if index in factor_of} - set(span.members) for span in spans]
    spans = list(spans)
    home = {index: place for place, span in enumerate(spans) if not missing[place] for index in span.members}
    for factor in sorted(set().union(*missing) - home.keys()):
        point = points[factor]
        home[factor] = len(spans)
        spans.append(Span(point.table, point.address, point.registers, (factor,)))
        missing.append(set())
    group = list(range(len(spans)))
    for place, factors in enumerate(missing):
        for factor in factors:
            old, new = group[place], group[home[factor]]
            group = [new if value == old else value for value in group]
    order = sorted(range(len(spans)), key=lambda place: (bool(missing[place]), place))
    return tuple(tuple(spans[place] for place in order if group[place] == leader) for leader in dict.fromkeys(group))
