"""Members that are asked to shed: what they answer, what really leaves their demand, and what comes back."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from population_site import copied, drawn, uncompiled

from scowl_edge.tracker.population import response, sheds
from scowl_edge.tracker.population.assign import mix, move_big, move_block, same_sums, sum_trees
from scowl_edge.tracker.population.columns import CLASSES, DEMAND_LIMIT, NO_TREE, PROTECTED, Columns, Log
from scowl_edge.tracker.population.response import REBOUND, SHED, Response
from scowl_edge.tracker.population.sheds import ASKED, DOUBT, GRANTED, Sheds

SECOND = 1_000
_plain: dict[str, Any] = {}


def plain() -> Any:
    if "response" not in _plain:
        _plain["response"] = uncompiled("response")
    return _plain["response"]


def served(consumers: int = 1_500, seed: int = 1) -> Columns:
    """Everybody in one of three trees, but for some of a mixed block and one feed."""
    columns, _ = drawn(consumers, 3, seed)
    log = Log.empty(1)
    for block in range(len(columns.block_tree)):
        move_block(columns, log, block, block % 3)
    for feed in range(1, len(columns.big_tree)):
        move_big(columns, log, feed, feed % 3)
    mix(columns, len(columns.block_tree) - 1)
    columns.tree[int(columns.block_start[-2]) : int(columns.block_start[-1]) : 3] = NO_TREE
    sum_trees(columns)
    return columns


def asked_of(columns: Columns, need: int, share_ppm: int = 200_000) -> tuple[Sheds, Response]:
    requests = sheds.lay_out_sheds(columns, deferrable_ppm=share_ppm)
    sheds.ask(requests, columns, 0, 1 << 30, need, 0, 0)
    return requests, response.at_rest(len(requests.state))


def wanted(columns: Columns) -> int:
    return int(columns.block_sum.sum()) + int(columns.big_demand.sum())


def lived(columns: Columns, requests: Sheds, answers: Response, tick: int) -> Columns:
    """One tick on a copy of a demand that stays as it is without sheds."""
    now = copied(columns)
    response.live(answers, requests, now, 5, tick, SECOND, tick * SECOND)
    sum_trees(now)
    return now


def test_what_is_granted_leaves_the_demand_and_every_sum_while_it_lasts() -> None:
    columns = served()
    requests, answers = asked_of(columns, wanted(columns) // 10)
    for tick in range(1, 31):
        now = lived(columns, requests, answers, tick)
        shed = answers.moved[SHED]
        assert wanted(now) == wanted(columns) - int(shed.sum())
        assert same_sums(now)
        assert shed[PROTECTED] == 0
        assert not answers.moved[REBOUND].any()
    silent = (answers.acting > 0) & (requests.state == DOUBT)
    assert silent.any(), "of those who never answer some shed"
    assert int(shed.sum()) == int(requests.granted[requests.state == GRANTED].sum() + answers.acting[silent].sum())
    assert int(now.tree_load.sum()) == int(columns.tree_load.sum()) - int(shed.sum())
    assert int(now.zone_load[0]) == int(columns.zone_load[0]) - int(shed.sum())


def test_members_grant_all_a_part_or_nothing_sooner_or_later_or_never_by_the_seed() -> None:
    columns = served(4_000, 2)
    requests, answers = asked_of(columns, 1 << 50)
    asked, rows = requests.asked.copy(), requests.state == ASKED
    first = None
    for tick in range(1, 31):
        lived(columns, requests, answers, tick)
        granted = requests.state == GRANTED
        first = granted.copy() if first is None else first
        assert (requests.granted <= asked).all()
    assert 0 < first.sum() < granted.sum(), "most answer at the next tick, some later"
    whole = granted & (requests.granted == asked)
    assert whole.sum() > rows.sum() * 0.6
    assert (granted & ~whole).any()
    assert (rows & (requests.state == sheds.RESTING)).any(), "who refused"
    assert (requests.state == DOUBT).any()
    again, other = asked_of(columns, 1 << 50)
    for tick in range(1, 31):
        lived(columns, again, other, tick)
    assert all(np.array_equal(a, b) for a, b in zip((*again, *other), (*requests, *answers), strict=True))


def test_after_its_end_more_is_drawn_for_as_long_as_it_was_shed() -> None:
    columns = served()
    requests, answers = asked_of(columns, wanted(columns) // 20)
    for tick in range(1, 21):
        lived(columns, requests, answers, tick)
    held = int(answers.acting.sum())
    assert sheds.restore(requests, 1 << 40, 20 * SECOND) > 0
    now = lived(columns, requests, answers, 21)
    assert not answers.acting.any() and not answers.moved[SHED].any()
    back = int(answers.moved[REBOUND].sum())
    assert back == wanted(now) - wanted(columns)
    assert held // 5 < back <= held // 4
    for tick in range(22, 40):
        lived(columns, requests, answers, tick)
    assert 0 < answers.moved[REBOUND].sum() <= back
    assert wanted(lived(columns, requests, answers, 42)) == wanted(columns), "and then it is over"


def test_a_shed_ends_by_itself_where_nobody_ends_it() -> None:
    columns = served()
    requests, answers = asked_of(columns, wanted(columns) // 20)
    for tick in range(1, 12):
        lived(columns, requests, answers, tick)
    assert answers.moved[SHED].any()
    lived(columns, requests, answers, 901)
    assert not answers.moved[SHED].any() and not requests.totals[sheds.HELD : sheds.UNSURE + 1].any()


@given(
    seed=st.integers(0, 3),
    extreme=st.sampled_from((1, 30, 1_000, DEMAND_LIMIT)),
    changes=st.lists(st.integers(-(1 << 33), 1 << 33), min_size=1, max_size=30),
    share_ppm=st.integers(0, 1_000_000),
)
@settings(max_examples=40, deadline=None)
def test_demand_bends_exactly_within_its_type_compiled_and_not(
    seed: int, extreme: int, changes: list[int], share_ppm: int
) -> None:
    columns = served(300, seed)
    columns.demand[::7] = np.sign(columns.demand[::7]) * extreme
    columns.demand[5::11] = -extreme
    columns.big_demand[-1:] = 2_147_483_647
    columns.block_sum[:] = np.add.reduceat(columns.demand.astype(np.int64), columns.block_start[:-1])
    other, before = copied(columns), copied(columns)
    rows = np.linspace(0, len(columns.block_tree) + len(columns.big_tree) - 1, len(changes)).astype(np.int64)
    rows = np.unique(rows)
    change, share = np.asarray(changes[: len(rows)], np.int64), np.full(len(rows), share_ppm, np.int32)
    moved, moved_plain = np.zeros((2, CLASSES), np.int64), np.zeros((2, CLASSES), np.int64)
    response.bend(columns, rows, change, share, moved)
    plain().bend(other, rows, change, share, moved_plain)
    assert all(np.array_equal(a, b) for a, b in zip(columns, other, strict=True))
    assert np.array_equal(moved, moved_plain)
    assert wanted(columns) - wanted(before) == int(moved[REBOUND].sum()) - int(moved[SHED].sum())
    assert (columns.demand[before.demand <= 0] == before.demand[before.demand <= 0]).all(), "a roof is left alone"
    assert (columns.demand[before.demand > 0] >= 0).all() and (columns.big_demand[before.big_demand > 0] >= 0).all()
    sum_trees(columns)
    assert same_sums(columns)
    for r, each in zip(rows.tolist(), change.tolist(), strict=True):
        if r >= len(columns.block_tree):
            continue
        slots = slice(int(columns.block_start[r]), int(columns.block_start[r + 1]))
        fed = before.demand[slots].astype(np.int64)
        if columns.block_tree[r] == 65_534:
            fed = np.where(columns.tree[slots] == NO_TREE, 0, fed)
        drawn_now = int(np.maximum(0, fed).sum())
        got = int(columns.block_sum[r] - before.block_sum[r])
        if each < 0:
            assert got == -min(-each, drawn_now * share_ppm // 1_000_000)
        else:
            assert 0 <= got <= min(each, drawn_now)
