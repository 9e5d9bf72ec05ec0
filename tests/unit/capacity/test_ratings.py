"""The rating tree: apparent power a phase, worst power factor, rounding to the safe side, room through all above."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.capacity import RatingLoads, RatingTree
from scowl_edge.capacity.ratings import UNLIMITED_W, Member, phase_count, spread_va
from scowl_edge.model.event import RegionMode
from scowl_edge.model.site import NONE, PPM, Bus, BusKind, Policy, Rating, RatingKind, Site

FACTORS = st.sampled_from([PPM, 950_000, 800_000, 333_333])
MASKS = st.integers(1, 7)
WATTS = st.integers(-(10**9), 10**9)


def rating(name: str, within: int = NONE, imports: int = 10_000, exports: int = 4_000, phases: int = 3) -> Rating:
    return Rating(
        name=name,
        kind=RatingKind.FEEDER,
        within=within,
        bus=0,
        import_va=imports,
        export_va=exports,
        phases=phases,
        voltage_mv=230_000,
        power=NONE,
        currents=(NONE, NONE, NONE),
        margin_ppm=0,
        residue_w=0,
    )


def loads(*ratings: Rating, load_va: int = 0, fresh: bool = True) -> RatingLoads:
    policy = Policy(
        mode=RegionMode.AUTO,
        period_ms=1_000,
        margin_ppm=0,
        ride_through_ms=0,
        restore_step_w=1,
        restore_every_ms=1,
        restore_after_ms=1,
        dead_band_w=0,
        reserve_ppm=0,
        answer_ms=1,
        retry_ms=1,
        max_contests=1,
        charge_from_grid=False,
        stop_timeout_ms=1,
        move_budget=0,
    )
    bus = Bus(name="main", kind=BusKind.SYNCHRONOUS)
    site = Site(name="r", policy=policy, devices=(), signals=(), actuators=(), buses=(bus,), ratings=ratings)
    found = RatingLoads(RatingTree(site))
    found.load_va = [[load_va] * 3 for _ in ratings]
    found.fresh = [fresh] * len(ratings)
    return found


@given(WATTS, MASKS, FACTORS, st.sampled_from([1, 3]))
def test_spread_is_never_too_small_and_never_more_than_a_va_too_large(
    watts: int, mask: int, factor: int, phases: int
) -> None:
    spread = spread_va(watts, mask, factor, phases)
    on = [p for p in range(3) if (1 if phases == 1 else mask) >> p & 1]
    exact = Fraction(abs(watts) * PPM, factor * len(on))
    for p in range(3):
        if p in on:
            assert 0 <= abs(spread[p]) - exact < 1
            assert spread[p] == 0 or (spread[p] > 0) == (watts > 0)
        else:
            assert spread[p] == 0


@given(st.integers(-20_000, 20_000), MASKS, FACTORS, st.booleans())
def test_what_fits_fits_and_one_watt_more_would_not(load_va: int, mask: int, factor: int, export: bool) -> None:
    found, member = loads(rating("a"), load_va=load_va), Member(0, mask, factor)
    room = found.room_export_w(0, member) if export else found.room_import_w(0, member)
    limit, sign = (4_000, -1) if export else (10_000, 1)
    if room > 0:
        assert sign * load_va + max(spread_va(room, mask, factor, 3)) <= limit
    each = Fraction((room + 1) * PPM, factor * phase_count(mask))
    assert sign * load_va + each > limit


def test_the_narrowest_place_above_decides() -> None:
    tree = (rating("grid", imports=10_000), rating("feeder", 0, imports=3_000), rating("hall", 1, imports=8_000))
    found, member = loads(*tree), Member(0, 7, PPM)
    assert found.room_import_w(2, member) == 9_000
    assert found.narrowest_import(2, member) == 1
    assert found.room_import_w(0, member) == 30_000
    assert found.room_import_w(NONE, member) == UNLIMITED_W


def test_a_promise_takes_room_all_the_way_up_and_a_promised_relief_gives_none() -> None:
    found, member = loads(rating("grid"), rating("feeder", 0)), Member(0, 1, 500_000)
    found.plan(1, 1_000, member)
    assert found.planned_va == [[2_000, 0, 0], [2_000, 0, 0]]
    assert found.room_import_w(0, Member(1, 7, PPM)) == 24_000
    assert found.room_import_w(0, Member(1, 2, PPM)) == 10_000
    found.plan(1, -5_000, member)
    assert found.room_import_w(0, Member(1, 1, PPM)) == 8_000
    assert found.room_export_w(0, Member(1, 1, PPM)) == 4_000 - 10_000


def test_what_is_not_freshly_measured_is_full_both_ways() -> None:
    found, member = loads(rating("grid"), fresh=False), Member(0, 7, PPM)
    assert found.room_import_w(0, member) == 0
    assert found.room_export_w(0, member) == 0
    unlimited = loads(rating("grid", imports=-1, exports=-1), fresh=False)
    assert unlimited.room_import_w(0, member) == UNLIMITED_W


@pytest.mark.parametrize(("phases", "expected"), [(3, 1_000), (1, 3_000)])
def test_a_single_phase_rating_counts_everything_on_its_one_phase(phases: int, expected: int) -> None:
    found = loads(rating("a", phases=phases))
    found.plan(0, 3_000, Member(0, 6 if phases == 1 else 7, PPM))
    assert found.planned_va[0][0] == expected


def test_excess_is_counted_on_the_worst_phase() -> None:
    found = loads(rating("a"))
    found.load_va[0] = [9_000, 10_500, -5_000]
    assert found.excess_import_va(0) == 500
    assert found.excess_export_va(0) == 1_000
    assert loads(rating("a", imports=-1)).excess_import_va(0) < 0
