"""Demand response by block: exact requests, grants, doubts, ends and rests."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from population_site import drawn, uncompiled

from scowl_edge.tracker.population import sheds as kernels
from scowl_edge.tracker.population.assign import move_big, move_block
from scowl_edge.tracker.population.census import draw
from scowl_edge.tracker.population.columns import BIG, BLOCK, PROTECTED, Columns, Log, lay_out
from scowl_edge.tracker.population.sheds import (
    ASKED,
    DOUBT,
    FREE,
    GRANTED,
    HELD,
    LISTED,
    RESTING,
    UNSURE,
    WAITING,
    Sheds,
    lay_out_sheds,
)

MINUTE = 60_000
_plain: dict[str, Any] = {}


def plain() -> Any:
    if "sheds" not in _plain:
        _plain["sheds"] = uncompiled("sheds")
    return _plain["sheds"]


def served(consumers: int = 1_500, trees: int = 5, seed: int = 1) -> tuple[Columns, Sheds]:
    """A population that is all served, a fifth of whose demand can be shed, at costs that differ."""
    columns, _ = drawn(consumers, trees, seed)
    log = Log.empty(1)
    for block in range(len(columns.block_tree)):
        move_block(columns, log, block, block % trees)
    for feed in range(len(columns.big_tree)):
        move_big(columns, log, feed, feed % trees)
    sheds = lay_out_sheds(columns, deferrable_ppm=200_000)
    sheds.cost[:] = np.arange(len(sheds.state)) % 5
    sheds.klass[:2] = PROTECTED
    return columns, sheds


def everything(sheds: Sheds, columns: Columns, now_ms: int = 0, day: int = 0) -> np.ndarray[Any, Any]:
    cells = np.zeros(len(sheds.state), np.int32)
    return np.asarray(kernels.offers(sheds, columns, 0, 9, now_ms, day, cells))


def grant_all(sheds: Sheds, now_ms: int) -> int:
    rows = np.flatnonzero(sheds.state == ASKED).astype(np.int32)
    return int(kernels.answer(sheds, rows, sheds.asked[rows], now_ms))


def test_just_what_is_missing_is_asked_of_the_least_important_and_the_cheapest() -> None:
    columns, sheds = served()
    offers = everything(sheds, columns)
    third = int(offers[sheds.klass == 3].sum())
    need = third + int(offers[(sheds.klass == 2) & (sheds.cost == 0)].sum()) // 2
    assert kernels.ask(sheds, columns, 0, 9, need, 0, 0) == need == sheds.totals[WAITING]
    asked = sheds.state == ASKED
    assert asked[(sheds.klass == 3) & (offers > 0)].all()
    assert set(sheds.cost[asked & (sheds.klass == 2)].tolist()) == {0}
    assert not asked[sheds.klass == 1].any()
    assert sorted(sheds.changed[: sheds.totals[LISTED]].tolist()) == np.flatnonzero(asked).tolist()


def test_class_0_is_never_asked_and_nobody_for_more_than_can_be_shed() -> None:
    columns, sheds = served(seed=2)
    assert (sheds.klass == PROTECTED).any()
    total = int(everything(sheds, columns).sum())
    assert kernels.ask(sheds, columns, 0, 9, 1 << 60, 0, 0) == total
    assert not sheds.state[sheds.klass == PROTECTED].any()
    demand = np.concatenate((columns.block_served, columns.big_demand.astype(np.int64)))
    assert (sheds.asked <= np.maximum(0, demand) * 200_000 // 1_000_000).all()
    assert kernels.ask(sheds, columns, 0, 9, 1_000, 0, 0) == 0, "nobody is asked twice"


def test_a_grant_may_be_part_or_none_and_silence_is_doubt() -> None:
    columns, sheds = served()
    kernels.ask(sheds, columns, 0, 9, 1 << 60, 0, 0)
    rows = np.flatnonzero(sheds.asked > 10)[:4].astype(np.int32)
    grants = np.array([5, 0, 1 << 40, -3])
    assert kernels.answer(sheds, rows, grants, 0) == 5 + sheds.asked[rows[2]] == sheds.totals[HELD]
    assert sheds.state[rows].tolist() == [GRANTED, RESTING, GRANTED, RESTING]
    assert sheds.times[rows].tolist() == [1, 0, 1, 0], "a refusal is no shed"
    kernels.pass_time(sheds, 999, 1_000)
    assert not (sheds.state == DOUBT).any()
    kernels.pass_time(sheds, 1_000, 1_000)
    doubtful = np.flatnonzero(sheds.state == DOUBT).astype(np.int32)
    assert len(doubtful) and sheds.totals[WAITING] == 0 < sheds.totals[UNSURE]
    late = doubtful[:1]
    assert kernels.answer(sheds, late, sheds.asked[late], 2_000) == sheds.asked[late[0]], "late is better than never"
    assert tuple(sheds.totals[:3].tolist()) == kernels.recount(sheds)


def test_sheds_end_in_time_one_after_the_other_and_then_rest() -> None:
    columns, sheds = served()
    kernels.ask(sheds, columns, 0, 9, 1 << 60, 0, 0)
    grant_all(sheds, 0)
    kernels.forget_requests(sheds)
    held = [int(sheds.totals[HELD])]
    for minute in range(1, 17):
        kernels.pass_time(sheds, minute * MINUTE, 1_000)
        held.append(int(sheds.totals[HELD]))
    assert held[11] == held[0] > held[12] > held[13] > held[14] > held[15] == 0, "within the last quarter, spread"
    assert sheds.totals[LISTED] == len(sheds.noted.nonzero()[0]) > 0
    assert kernels.ask(sheds, columns, 0, 9, 1 << 60, 17 * MINUTE, 0) == 0, "all rest"
    assert kernels.ask(sheds, columns, 0, 9, 1 << 60, 50 * MINUTE, 0) > 0


def test_times_a_day_are_counted_by_day_and_those_asked_less_often_go_first() -> None:
    columns, sheds = served()
    sheds.rest_ms[:] = 0
    sheds.most_a_day[:] = 2
    sheds.cost[:] = 0
    some = int(everything(sheds, columns)[sheds.klass == 3].sum()) // 2
    kernels.ask(sheds, columns, 0, 9, some, 0, 0)
    first = sheds.state == ASKED
    grant_all(sheds, 0)
    kernels.pass_time(sheds, 20 * MINUTE, 1_000)
    kernels.ask(sheds, columns, 0, 9, some - 10, 20 * MINUTE, 0)
    second = sheds.state == ASKED
    assert (first & second).sum() <= 1, "the others, but for the one that was asked for a part"
    grant_all(sheds, 20 * MINUTE)
    for k in range(2, 6):
        kernels.pass_time(sheds, 20 * k * MINUTE, 1_000)
        kernels.ask(sheds, columns, 0, 9, 1 << 60, 20 * k * MINUTE, 0)
        grant_all(sheds, 20 * k * MINUTE)
    assert sheds.times.max() == 2
    kernels.pass_time(sheds, 140 * MINUTE, 1_000)
    assert kernels.ask(sheds, columns, 0, 9, 1 << 60, 140 * MINUTE, 0) == 0
    assert kernels.ask(sheds, columns, 0, 9, 1 << 60, 140 * MINUTE, 1) > 0, "another day"


def test_what_comes_back_takes_its_rebound_into_account_most_important_first() -> None:
    columns, sheds = served()
    kernels.ask(sheds, columns, 0, 9, 1 << 60, 0, 0)
    grant_all(sheds, 0)
    second = int((sheds.granted + sheds.granted // 4)[(sheds.klass <= 2)].sum())
    given = kernels.restore(sheds, second + 5, 1_000)
    assert 0 < given <= second + 5
    assert not (sheds.state[(sheds.klass > 0) & (sheds.klass <= 2)] == GRANTED).any()
    assert (sheds.state == GRANTED).any()
    before = int(sheds.totals[HELD])
    smallest = int((sheds.granted + sheds.granted // 4)[sheds.state == GRANTED].min())
    assert kernels.restore(sheds, smallest - 1, 1_000) == 0 and int(sheds.totals[HELD]) == before
    assert kernels.restore(sheds, smallest, 1_000) == smallest


def test_a_mixture_of_a_block_is_the_mean_of_its_members_by_demand() -> None:
    census = draw(2_000, 3)
    columns, layout = lay_out(census, 4)
    sheds = lay_out_sheds(columns, census, layout)
    for block in (0, len(columns.block_tree) - 1):
        row = kernels.row(sheds, columns, BLOCK, block)
        members = layout.consumer[columns.block_start[block] : columns.block_start[block + 1]]
        members = members[members >= 0]
        size = np.maximum(0, census.nominal[members])
        mean = int((size * census.deferrable_ppm[members]).sum()) // max(1, int(size.sum()))
        assert sheds.deferrable_ppm[row] == mean
    owner = columns.big_owner[0]
    assert sheds.deferrable_ppm[kernels.row(sheds, columns, BIG, 0)] == census.deferrable_ppm[owner]


@given(
    seed=st.integers(0, 5),
    acts=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1 << 20), st.integers(0, 30 * MINUTE)), max_size=15),
)
@settings(max_examples=30, deadline=None)
def test_in_any_course_sums_are_exact_and_no_shed_lasts_too_long(seed: int, acts: list[tuple[int, int, int]]) -> None:
    columns, sheds = served(400, 3, seed)
    other = Sheds(*(column.copy() for column in sheds))
    now_ms, ends = 0, np.full(len(sheds.state), -1, np.int64)
    rng = np.random.default_rng(seed)
    for verb, amount, wait_ms in acts:
        now_ms += wait_ms
        results = []
        rows = np.flatnonzero(sheds.state == ASKED)[::2].astype(np.int32)
        grants = rng.integers(-1, 1 << 16, len(rows))
        for module, state in ((kernels, sheds), (plain(), other)):
            module.pass_time(state, now_ms, 5_000)
            if verb == 0:
                results.append(int(module.ask(state, columns, 0, 9, amount, now_ms, now_ms // (1_440 * MINUTE))))
            elif verb == 1:
                results.append(int(module.answer(state, rows, grants, now_ms)))
            elif verb == 2:
                results.append(int(module.restore(state, amount, now_ms)))
            else:
                module.forget_requests(state)
        assert len(set(results)) <= 1
        if verb == 0 and results[0] > 0:
            assert results[0] <= amount
        active = np.isin(sheds.state, (ASKED, GRANTED, DOUBT))
        ends = np.where(active & (ends < 0), sheds.since_ms + sheds.longest_ms, np.where(active, ends, -1))
        assert (now_ms < ends[active]).all(), "none outlasts what is allowed"
        assert tuple(sheds.totals[:3].tolist()) == kernels.recount(sheds)
        assert not np.isin(sheds.state[sheds.klass == PROTECTED], (ASKED, GRANTED)).any()
        assert (sheds.granted <= sheds.asked).all()
        assert all(np.array_equal(a, b) for a, b in zip(sheds, other, strict=True)), "compiled equals uncompiled"
    assert FREE == 0
