"""The choice beside all plans of a small board, which are tried one after the other by other means."""

from __future__ import annotations

import numpy as np
import pytest
from choice_site import best_of_all, choices_of, small_board

from scowl_edge.dsr.choice.board import course_of, idle_course
from scowl_edge.dsr.choice.bound import Prices, approach, mixture_of, prices_of, proven
from scowl_edge.dsr.choice.choose import Budget, choose, objective_of

ALL = Budget(moves=300_000)
SEARCH = Budget(moves=1_500, bound_moves=600)
"""Too few moves to try all plans of more than a few appliances."""


@pytest.mark.parametrize("seed", range(50))
def test_the_best_of_all_plans(seed: int) -> None:
    room = (0, 900_000, 600_000, 200_000)[seed % 4]
    board = small_board(seed, costs=(0, 1_000_000)[seed % 2], room_ppm=room, people=6 if seed % 10 == 0 else 0)
    excess, objective = best_of_all(board)
    found = choose(board, seed, ALL)
    assert (found.excess_w, found.objective) == (excess, objective)
    assert found.exhaustive and found.gap_ppm == 0
    assert found.objective == objective_of(board, course_of(board, found.span, found.at))


def test_sums_are_those_of_the_powers_written_out() -> None:
    board = small_board(3, room_ppm=500_000)
    course = idle_course(board)
    rows = [choices_of(board, who).power[0] for who in range(len(board.begin))]
    assert np.array_equal(course.residual, board.target - sum(rows))
    assert np.array_equal(course.below[0], sum(r for r, node in zip(rows, board.rating, strict=True) if node >= 0))
    assert np.array_equal(course.below[1], sum(r for r, node in zip(rows, board.rating, strict=True) if node == 1))


def test_searching_comes_to_the_best_plan_of_most_small_boards_and_never_says_more_than_it_knows() -> None:
    best = searched = 0
    for seed in range(30):
        board = small_board(seed, people=6, choices=9, costs=500_000, room_ppm=(0, 900_000)[seed % 2])
        excess, objective = best_of_all(board)
        found = choose(board, seed, SEARCH)
        searched += not found.exhaustive
        assert (found.excess_w, found.objective) >= (excess, objective)
        assert found.bound is not None
        assert excess or found.bound <= objective
        best += (found.excess_w, found.objective) == (excess, objective)
    assert searched >= 20
    assert best >= 25


def test_any_prices_prove_a_bound() -> None:
    rng = np.random.default_rng(5)
    tight = 0
    for seed in range(40):
        board = small_board(seed, people=4, room_ppm=950_000)
        excess, objective = best_of_all(board)
        if excess:
            continue
        course = idle_course(board)
        shape = board.most.shape
        wild = Prices(
            rng.integers(-3_000, 3_000, len(board.target)), rng.integers(0, 500, shape), rng.integers(0, 500, shape)
        )
        assert proven(board, course, wild) <= objective
        mixture = mixture_of(board, course)
        approach(board, course, mixture, 200)
        good = proven(board, course, prices_of(board, mixture))
        assert good <= objective
        tight += good > objective * 8 // 10
    assert tight >= 3, "prices that were searched for prove something"
