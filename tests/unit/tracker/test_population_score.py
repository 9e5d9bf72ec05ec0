"""The score: nothing better than its bounds, and no run better than another that it is worse than in anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.tracker.population import bounds
from scowl_edge.tracker.population.assign import sum_trees
from scowl_edge.tracker.population.columns import CLASSES, NO_TREE, Log
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.repair import Learnt, repair
from scowl_edge.tracker.population.score import CLASS_WEIGHT, Score, Step, Tally, better, judge
from tests.population_site import drawn

SMALL = st.integers(0, 6)
PERFECT = Score(
    quantum_w=10,
    steps=10,
    duration_ms=10_000,
    served=1_000_000,
    most=1_000_000,
    starved=0,
    fewest=0,
    worst_excess=0,
    changed=7,
    least_changes=7,
    unserved=(0,) * CLASSES,
    worst_starved_s=0,
    switchings=0,
)
WORSE = (
    {"served": 999_999},
    {"starved": 1},
    {"worst_excess": 1},
    {"changed": 8},
    {"unserved": (0, 0, 0, 1, 0, 0, 0, 0)},
    {"worst_starved_s": 1},
    {"switchings": 1},
)


@st.composite
def scores(draw: st.DrawFn) -> Score:
    lost, excess, churn = draw(SMALL), draw(SMALL), draw(SMALL)
    return replace(
        PERFECT,
        served=1_000_000 - lost,
        starved=excess,
        worst_excess=draw(SMALL),
        changed=7 + churn,
        unserved=(*draw(st.lists(SMALL, min_size=CLASSES, max_size=CLASSES)),),
        worst_starved_s=draw(SMALL),
        switchings=draw(SMALL),
    )


@given(scores(), scores())
def test_better_is_an_order_that_never_trades_one_measure_for_another(a: Score, b: Score) -> None:
    assert not better(a, a)
    assert not (better(a, b) and better(b, a))
    if better(a, b):
        assert all(x * of_y <= y * of_x for (x, of_x), (y, of_y) in zip(a.measures(), b.measures(), strict=True))
        assert a.measures() != b.measures()


@pytest.mark.parametrize("change", WORSE, ids=[next(iter(c)) for c in WORSE])
def test_every_measure_counts(change: dict[str, int]) -> None:
    worse = replace(PERFECT, **change)
    assert better(PERFECT, worse) and not better(worse, PERFECT)


@pytest.mark.parametrize(("one", "other"), [(a, b) for a in WORSE for b in WORSE if a is not b])
def test_one_measure_for_another_is_no_gain(one: dict[str, int], other: dict[str, int]) -> None:
    a, b = replace(PERFECT, **one), replace(PERFECT, **other)
    assert not better(a, b) and not better(b, a)


def test_runs_of_different_lengths_are_compared_by_their_rates() -> None:
    twice = replace(PERFECT, steps=20, duration_ms=20_000, served=2_000_000, most=2_000_000, changed=14,
                    least_changes=14, switchings=4)  # fmt: skip
    assert better(twice, replace(PERFECT, switchings=3))
    assert not better(twice, replace(PERFECT, switchings=2))


def test_a_wh_of_an_important_class_weighs_more() -> None:
    hour = replace(PERFECT, unserved=(0, 0, 360_000, 360_000, 0, 0, 0, 0))
    assert hour.unserved_wh == (0, 0, 1, 1, 0, 0, 0, 0)
    assert hour.weighted_wh == CLASS_WEIGHT[2] + CLASS_WEIGHT[3]
    assert list(CLASS_WEIGHT) == sorted(CLASS_WEIGHT, reverse=True)


def test_a_run_is_the_sum_of_its_steps() -> None:
    tally = Tally(10)
    assert (tally.score().served_ppb, tally.score().churn_ppm) == (1_000_000_000, 1_000_000)
    step = Step(served=90, most=100, starved=5, fewest=3, changed=4, least_changes=2, unserved=(0,) * 7 + (10,))
    tally.add(step, 1_000, worst_starved_s=7, switchings=2)
    tally.add(replace(step, served=100, starved=3, changed=2), 3_000, worst_starved_s=5)
    score = tally.score()
    assert (score.steps, score.duration_ms, score.served, score.most) == (2, 4_000, 390_000, 400_000)
    assert (score.excess, score.worst_excess, score.worst_starved_s, score.switchings) == (2_000, 2, 7, 2)
    assert (score.served_ppb, score.churn_ppm, score.unserved_wh[7]) == (975_000_000, 1_500_000, 0)


@pytest.mark.parametrize("seed", range(4))
def test_no_step_of_the_real_repair_beats_its_bounds(seed: int) -> None:
    columns, _ = drawn(5_000, 8, seed, ratio_ppm=1_050_000)
    log, history, learnt = Log.empty(10_000), History.empty(columns), Learnt.empty()
    rng = np.random.default_rng(seed)
    columns.block_tree[:] = rng.integers(0, 8, len(columns.block_tree))
    columns.big_tree[:] = rng.integers(0, 8, len(columns.big_tree))
    sum_trees(columns)
    safe, tally = columns.tree_safe.copy(), Tally(10)
    for turn in range(12):
        columns.tree_safe[:] = safe * rng.integers(80, 120, 8) // 100
        columns.tree_alive[:] = 1
        if turn % 3 == 2:
            dead = int(rng.integers(0, 8))
            columns.tree_alive[dead] = columns.tree_safe[dead] = 0
        least = int(bounds.departures(columns).sum())
        log.totals[:] = 0
        repair(columns, log, history, learnt, 1 << 40)
        step = judge(columns, log, least)
        assert step.served <= step.most
        count, least_of = bounds.starved_now(columns)[0].tolist(), bounds.fewest_starved(columns).starved_of
        assert count >= list(least_of), "no fewer of the most important class in which they differ"
        assert (step.starved, step.fewest) == (sum(count), sum(min(a, b) for a, b in zip(count, least_of, strict=True)))
        assert (step.starved == step.fewest) == (count == list(least_of)), "no excess only if nothing can be better"
        assert step.changed >= step.least_changes
        assert step.served == int(columns.tree_load.sum())
        tally.add(step, 1_000)
    score = tally.score()
    assert score.steps == 12 and score.least_changes > 0
    assert score.served_ppb <= 1_000_000_000 <= score.churn_ppm * 1_000


def test_the_starved_are_judged() -> None:
    columns, _ = drawn(2_000, 4, 1)
    columns.block_tree[:], columns.big_tree[:] = 0, 0
    columns.block_tree[3] = NO_TREE
    columns.tree_safe[:] = 1 << 40
    sum_trees(columns)
    step = judge(columns, Log.empty(1), 0)
    assert step.most - step.served == sum(step.unserved) == int(columns.block_sum[3])
    assert step.fewest == 0 < step.starved <= int(columns.block_members[3])
