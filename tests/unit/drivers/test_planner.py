"""The planner against an exhaustive search: nothing missed, every limit kept, no hole read, no request too many."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modbus_site import device, link, point

from scowl_edge.devices.declaration import Hole, ModbusPoint, Table
from scowl_edge.drivers.errors import LayoutError
from scowl_edge.drivers.modbus.planner import Span, plan, plan_device

WIDTH = {"uint16": 1, "float32": 2, "uint64": 4, "string": 7}
BIT_TABLES = (Table.COIL, Table.DISCRETE)


def registers_of(p: ModbusPoint) -> set[int]:
    return set(range(p.address, p.address + (1 if p.table in BIT_TABLES else WIDTH[p.type])))


def longest_run(addresses: set[int]) -> int:
    return max((next(n for n in range(1, 70_000) if a + n not in addresses) for a in addresses), default=0)


def may_read(addresses: set[int], used: set[int], barred: set[int], *, max_gap: int, longest: int) -> bool:
    """What the limits say of one request, address by address."""
    return len(addresses) <= longest and not addresses & (barred - used) and longest_run(addresses - used) <= max_gap


@st.composite
def small_tables(draw: st.DrawFn) -> tuple[list[ModbusPoint], list[Hole], int, int]:
    """Few points in few addresses of one table, so that every set of requests can be tried; no factor too far away."""
    max_gap, longest = draw(st.integers(0, 4)), draw(st.integers(4, 10))
    points: list[ModbusPoint] = []
    for _ in range(draw(st.integers(1, 7))):
        factors = [p.name for p in points if p.type == "uint16" and not p.scale_factor]
        points.append(
            point(
                f"p{len(points)}",
                draw(st.integers(0, 24)),
                draw(st.sampled_from(["uint16", "uint16", "float32", "uint64"])),
                scale_factor=draw(st.sampled_from(["", *factors])),
                access=draw(st.sampled_from(["r", "r", "rw", "w"])) if not points else "r",
            )
        )
    used = set().union(*(registers_of(p) for p in points))
    free = sorted(set(range(30)) - used)
    holes = [
        Hole(table=Table.HOLDING, first=first, last=first)
        for first in draw(st.lists(st.sampled_from(free or [100]), max_size=2))
    ]
    return points, holes, max_gap, longest


def best(
    needs: list[set[int]], used: set[int], barred: set[int], *, max_gap: int, longest: int
) -> tuple[int, int] | None:
    """Fewest requests and, with so many, fewest registers: every request, then every set of what they bring."""
    cheapest: dict[int, int] = {}
    for first in range(40):
        for count in range(1, longest + 1):
            addresses = set(range(first, first + count))
            if may_read(addresses, used, barred, max_gap=max_gap, longest=longest):
                brings = sum(1 << n for n, need in enumerate(needs) if need <= addresses)
                cheapest[brings] = min(cheapest.get(brings, count), count)
    reached: dict[int, tuple[int, int]] = {0: (0, 0)}
    everything = (1 << len(needs)) - 1
    for requests in range(1, len(needs) + 1):
        for have, (_, registers) in list(reached.items()):
            for brings, count in cheapest.items():
                candidate = (requests, registers + count)
                if candidate < reached.get(have | brings, (99, 0)) and reached[have][0] == requests - 1:
                    reached[have | brings] = candidate
    return reached.get(everything)


@settings(deadline=None, max_examples=300)
@given(small_tables())
def test_no_set_of_requests_is_smaller(drawn: tuple[list[ModbusPoint], list[Hole], int, int]) -> None:
    points, holes, max_gap, longest = drawn
    by_name = {p.name: p for p in points}
    read = [p for p in points if "r" in p.access]
    read += [by_name[p.scale_factor] for p in read if p.scale_factor and "r" not in by_name[p.scale_factor].access]
    used = set().union(*(registers_of(p) for p in read)) if read else set()
    barred = {hole.first for hole in holes}.union(*(registers_of(p) for p in points if "r" not in p.access))
    limits = {"max_gap": max_gap, "longest": longest}
    needs: list[set[int]] = []
    for p in read:
        need = registers_of(p)
        if p.scale_factor:
            both = need | registers_of(by_name[p.scale_factor])
            need = set(range(min(both), max(both) + 1))
            if not may_read(need, used, barred, **limits):
                return  # too far: another rule, another test
        needs.append(need)
    spans = [
        span for transaction in plan(points, max_gap=max_gap, max_read=longest, holes=holes) for span in transaction
    ]
    assert (len(spans), sum(span.count for span in spans)) == best(needs, used, barred, **limits)


@st.composite
def sites(draw: st.DrawFn) -> tuple[list[ModbusPoint], list[Hole], int, int]:
    """Many points in all tables, of several periods, with scale factors near and far, and holes."""
    points: list[ModbusPoint] = []
    for table in draw(st.lists(st.sampled_from(list(Table)), max_size=40)):
        bits = table in BIT_TABLES
        factors = [p.name for p in points if not p.scale_factor and p.table not in BIT_TABLES and p.type == "uint16"]
        points.append(
            point(
                f"p{len(points)}",
                draw(st.integers(0, 400)),
                "bool" if bits else draw(st.sampled_from(sorted(WIDTH))),
                table=table,
                length=7,
                scale_factor="" if bits else draw(st.sampled_from(["", *factors])),
                access=draw(st.sampled_from(["r", "r", "r", "rw", "w"])),
                poll_ms=draw(st.sampled_from([0, 0, 200, 1000])),
            )
        )
    used = {(p.table, address) for p in points for address in registers_of(p)}
    holes = []
    for table, first, size in draw(
        st.lists(st.tuples(st.sampled_from(list(Table)), st.integers(0, 400), st.integers(1, 9)), max_size=8)
    ):
        if not any((table, address) in used for address in range(first, first + size)):
            holes.append(Hole(table=table, first=first, last=first + size - 1))
    return points, holes, draw(st.integers(0, 20)), draw(st.integers(10, 125))


@settings(deadline=None, max_examples=200)
@given(sites(), st.booleans())
def test_nothing_is_missed_and_every_limit_kept(
    drawn: tuple[list[ModbusPoint], list[Hole], int, int], by_link: bool
) -> None:
    points, holes, max_gap, max_read = drawn
    of_device = device("d", 3, *points, poll_ms=500)
    limits = {"max_gap": max_gap, "max_read": max_read}
    of_device = replace(of_device, holes=tuple(holes), **({} if by_link else limits))
    polls = plan_device(of_device, link(502, of_device, **(limits if by_link else {"max_gap": 0, "max_read": 9})))
    places = {p.name: place for place, p in enumerate(points)}
    factors = {p.scale_factor for p in points if "r" in p.access}
    period = {place: p.poll_ms or 500 for place, p in enumerate(points)}
    group = {ms: {n for n, p in enumerate(points) if "r" in p.access and period[n] == ms} for ms in (200, 500, 1000)}
    read_at: dict[int, set[int]] = {}
    for poll in polls:
        known: set[int] = set()
        asked = group[poll.period_ms] | {
            places[points[n].scale_factor] for n in group[poll.period_ms] if points[n].scale_factor
        }
        for span in poll.spans:
            addresses = set(range(span.address, span.address + span.count))
            used = set().union(*(registers_of(points[n]) for n in asked if points[n].table is span.table))
            barred = {a for hole in holes if hole.table is span.table for a in range(hole.first, hole.last + 1)}
            barred |= set().union(*(registers_of(p) for p in points if p.table is span.table and "r" not in p.access))
            bits = span.table in BIT_TABLES
            assert addresses
            assert may_read(addresses, used, barred, max_gap=max_gap, longest=max_read * 16 if bits else max_read)
            known |= set(span.members)
            for member in span.members:
                read_at.setdefault(member, set()).add(poll.period_ms)
                assert points[member].table is span.table
                assert registers_of(points[member]) <= addresses
                if points[member].scale_factor:
                    assert places[points[member].scale_factor] in known
    for n, p in enumerate(points):
        if p.name in factors:
            assert n in read_at and ("r" not in p.access or min(read_at[n]) <= period[n])
        elif "r" in p.access:
            assert read_at[n] == {period[n]}
        else:
            assert n not in read_at


@settings(deadline=None, max_examples=200)
@given(sites())
def test_values_come_with_their_factor_or_between_two_reads_of_it(
    drawn: tuple[list[ModbusPoint], list[Hole], int, int],
) -> None:
    points, holes, max_gap, max_read = drawn
    places = {p.name: place for place, p in enumerate(points)}
    seen: list[int] = []
    for transaction in plan(points, max_gap=max_gap, max_read=max_read, holes=holes):
        for number, span in enumerate(transaction):
            seen += [member for member in span.members if points[member].name not in {p.scale_factor for p in points}]
            for member in span.members:
                factor = places.get(points[member].scale_factor, member)
                if factor not in span.members:
                    assert any(factor in before.members for before in transaction[:number])
                    assert any(factor in after.members for after in transaction[number + 1 :])
    assert len(seen) == len(set(seen))


def spans_of(points: list[ModbusPoint], *, max_gap: int = 8, max_read: int = 125) -> list[Span]:
    return [span for transaction in plan(points, max_gap=max_gap, max_read=max_read) for span in transaction]


def test_few_reads_for_many_points() -> None:
    points = [point(f"p{i}", i * 2, "float32") for i in range(50)]
    assert [span.count for span in spans_of(points, max_gap=0)] == [100]
    assert len(spans_of(points, max_gap=0, max_read=20)) == 5


def test_a_scale_factor_comes_in_the_same_request_where_it_fits() -> None:
    points = [point("sf", 50, "int16"), *(point(f"v{i}", i, "uint16", scale_factor="sf") for i in range(0, 100, 5))]
    spans = spans_of(points, max_gap=50, max_read=60)
    assert len(spans) == 2
    assert all(0 in span.members for span in spans)


def test_where_requests_tie_the_longer_gap_is_left_out() -> None:
    points = [point(f"p{address}", address) for address in (0, 4, 6, 13)]
    assert [(s.address, s.count) for s in spans_of(points, max_read=10)] == [(0, 7), (13, 1)]


def test_a_hole_parts_two_points_and_what_is_only_written_does_too() -> None:
    points = [point("a", 10), point("b", 14), point("c", 20), point("d", 22), point("knob", 21, access="w")]
    holes = [Hole(table=Table.HOLDING, first=12, last=12), Hole(table=Table.INPUT, first=0, last=99)]
    found = [[(s.address, s.count) for s in t] for t in plan(points, max_gap=8, max_read=125, holes=holes)]
    assert found == [[(10, 1)], [(14, 7)], [(22, 1)]]


def test_bits_of_a_bit_table_may_be_two_thousand_and_have_holes_of_their_own() -> None:
    points = [point(f"c{i}", i, "bool", table=Table.COIL) for i in range(0, 2001, 8)]
    assert [(s.address, s.count) for s in spans_of(points)] == [(0, 1), (8, 1993)]
    holes = [Hole(table=Table.COIL, first=1001, last=1001)]
    found = [(s.address, s.count) for (s,) in plan(points, max_gap=8, max_read=125, holes=holes)]
    assert found == [(0, 1001), (1008, 993)]


def test_points_of_one_period_are_read_together_and_factors_with_each_period_that_needs_them() -> None:
    points = (
        point("power", 0, "int16", scale_factor="sf"),
        point("energy", 1, "int16", scale_factor="sf", poll_ms=60_000),
        point("sf", 2, "int16", poll_ms=10_000),
        point("serial", 3, poll_ms=3_600_000),
    )
    of_device = device("d", 1, *points, poll_ms=1000)
    found = [
        (poll.period_ms, [(s.address, s.count, s.members) for s in poll.spans])
        for poll in plan_device(of_device, link(502, of_device))
    ]
    assert found == [
        (1000, [(0, 3, (0, 2))]),
        (60_000, [(1, 2, (1, 2))]),
        (3_600_000, [(3, 1, (3,))]),
    ]


def test_a_devices_own_limits_go_before_the_links() -> None:
    of_device = device("d", 1, point("a", 0), point("b", 5), point("c", 12))
    plain = link(502, of_device, max_gap=0, max_read=125)
    assert len(plan_device(of_device, plain)) == 3
    assert len(plan_device(replace(of_device, max_gap=6), plain)) == 1
    assert len(plan_device(replace(of_device, max_gap=6, max_read=12), plain)) == 2
    assert len(plan_device(replace(of_device, max_gap=0), replace(plain, max_gap=6))) == 3


@pytest.mark.parametrize(
    ("points", "holes", "words"),
    [
        ([point("p", 0, "uint64")], [], "max_read"),
        ([point("p", 65_535, "float32")], [], "65535"),
        ([point("p", 9, "float32")], [Hole(table=Table.HOLDING, first=10, last=20)], "hole, holding 10 to 20"),
        ([point("p", 9, scale_factor="sf")], [], "not a point"),
        ([point("a", 1, scale_factor="b"), point("b", 2, scale_factor="a")], [], "cannot have one itself"),
    ],
)
def test_what_cannot_be_read_says_so(points: list[ModbusPoint], holes: list[Hole], words: str) -> None:
    with pytest.raises(LayoutError, match=words):
        plan(points, max_gap=0, max_read=3, holes=holes)
