"""What holds of every plan: never worse than doing nothing, within ratings, what is frozen stays, budgets are kept."""

from __future__ import annotations

import numpy as np
import pytest
from choice_site import choices_of, small_board

from scowl_edge.compiled import COMPILED
from scowl_edge.dsr.choice.board import Board, course_of, held, total_excess
from scowl_edge.dsr.choice.choose import Budget, Chosen, budget_for, choose, objective_of, replan
from scowl_edge.dsr.choice.warm import warm

BUDGET = Budget(moves=4_000, bound_moves=600)


def followable(seed: int, people: int, **options: int) -> Board:
    """A board whose target some plan meets exactly."""
    board = small_board(seed, people=people, **options)
    rng = np.random.default_rng(seed)
    target = np.zeros_like(board.target)
    for who in range(people):
        power = choices_of(board, who).power
        target += power[rng.integers(0, len(power))]
    return board._replace(target=target)


def holds(board: Board, chosen: Chosen) -> None:
    course = course_of(board, chosen.span, chosen.at)
    assert (chosen.excess_w, chosen.objective) == (int(total_excess(board, course)), objective_of(board, course))
    assert np.array_equal(course.residual, chosen.residual_w)
    assert (chosen.excess_w, chosen.objective) <= (chosen.idle_excess_w, chosen.idle_objective)
    if not chosen.excess_w and chosen.bound is not None:
        assert chosen.bound <= chosen.objective


@pytest.mark.parametrize("seed", range(12))
def test_every_plan_is_what_it_says_and_never_worse_than_doing_nothing(seed: int) -> None:
    board = followable(seed, (7, 12, 30, 120)[seed % 4], room_ppm=(0, 800_000, 300_000)[seed % 3], costs=seed * 1_000)
    chosen = choose(board, seed, BUDGET)
    holds(board, chosen)
    assert chosen.moves <= BUDGET.moves
    for moves in (0, 1, 50):
        holds(board, choose(board, seed, Budget(moves=moves)))


def test_a_target_that_can_be_met_nearly_is() -> None:
    board = followable(3, 120)
    chosen = choose(board, 1, Budget(moves=40_000, bound_moves=12_000))
    assert chosen.objective * 500 < chosen.idle_objective
    assert chosen.improvement_ppm is not None and chosen.improvement_ppm > 990_000


def test_doing_nothing_is_the_plan_where_nothing_is_better() -> None:
    board = small_board(9, people=40)
    nothing = course_of(board, board.idle_span, board.idle_at)
    board = board._replace(target=board.target - nothing.residual)
    chosen = choose(board, 1, BUDGET)
    assert chosen.objective == chosen.idle_objective == int(board.span_cost[board.idle_span].sum()) == 0
    assert np.array_equal(chosen.span, board.idle_span) and np.array_equal(chosen.at, board.idle_at)


def test_what_is_frozen_stays() -> None:
    board = followable(5, 30)
    free = choose(board, 1, BUDGET)
    who = int(np.flatnonzero(free.span != board.idle_span)[0])
    fixed = held(board, who, int(board.idle_span[who]), int(board.idle_at[who]))
    for chosen in (
        choose(fixed, 1, BUDGET),
        replan(fixed, free, BUDGET),
        replan(fixed, free, BUDGET, np.asarray([who])),
    ):
        holds(fixed, chosen)
        assert (int(chosen.span[who]), int(chosen.at[who])) == (int(board.idle_span[who]), int(board.idle_at[who]))


def test_a_plan_is_kept_up_to_date_from_the_plan_before() -> None:
    board = followable(6, 200)
    before = choose(board, 1, Budget(moves=20_000))
    moved = board._replace(target=board.target * 105 // 100)
    stale = objective_of(moved, course_of(moved, before.span, before.at))
    again = replan(moved, before, Budget(moves=400))
    holds(moved, again)
    assert again.objective < stale and again.moves <= 400
    same = replan(board, before, Budget(moves=400))
    assert same.objective <= before.objective


def test_those_who_changed_are_looked_at_first() -> None:
    board = followable(7, 200)
    before = choose(board, 1, Budget(moves=20_000))
    who = 150
    fixed = held(board, who, int(board.idle_span[who]), int(board.idle_at[who]))
    free = replan(fixed, before, Budget(moves=1), np.asarray([who]))
    # One move, and it is not spent on the first appliance.
    assert free.moves == 1
    assert np.array_equal(np.delete(free.span, who), np.delete(before.span, who))
    wider = replan(board, free, Budget(moves=1), np.asarray([who]))
    assert wider.objective <= objective_of(board, course_of(board, before.span, before.at))


def test_the_plan_that_stands_is_never_made_worse() -> None:
    board = followable(8, 60)
    good = choose(board, 1, Budget(moves=60_000))
    chosen = choose(board, 2, Budget(moves=60), present=(good.span, good.at))
    assert chosen.objective <= good.objective


def test_nobody_to_choose_for() -> None:
    board = small_board(1, people=2)
    none = board._replace(
        span_start=np.zeros(1, np.int64),
        **{n: getattr(board, n)[:0] for n in ("idle_span", "idle_at", "begin", "end", "highest", "lowest", "rating")},
    )
    chosen = choose(none, 1, BUDGET)
    assert chosen.objective == sum(w * w for w in board.target.tolist()) and chosen.gap_ppm == 0


@pytest.mark.skipif(not COMPILED, reason="kernels are not compiled: the extra `scale` is not installed")
def test_many_appliances_come_near_their_bound() -> None:
    board = followable(2, 2_000, room_ppm=900_000)
    # Not all of it can be met.
    board = board._replace(target=board.target + 400_000 * (np.arange(len(board.target)) % 6 == 0))
    chosen = choose(board, 1, budget_for(2_000))
    holds(board, chosen)
    assert chosen.excess_w == 0
    assert chosen.gap_ppm is not None and chosen.gap_ppm < 50_000
    assert chosen.improvement_ppm is not None and chosen.improvement_ppm > 800_000


def test_all_kernels_are_called_once() -> None:
    warm()
