"""One source, the same integers: compiled kernels beside uncompiled ones, and beside themselves."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from choice_site import small_board, uncompiled_choice

from scowl_edge.compiled import COMPILED
from scowl_edge.dsr.choice.board import Board
from scowl_edge.dsr.choice.choose import Budget, Chosen, choose, replan
from scowl_edge.dsr.choice.limits import TooLarge


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    return uncompiled_choice("choose")


def same(one: Chosen, other: Chosen) -> bool:
    numbers = [(c.objective, c.bound, c.excess_w, c.moves, c.span.tolist(), c.at.tolist()) for c in (one, other)]
    return numbers[0] == numbers[1]


@pytest.mark.skipif(not COMPILED, reason="kernels are not compiled: the extra `scale` is not installed")
@pytest.mark.parametrize(
    ("people", "moves"), [(3, 200), (6, 500), (9, 1_500)], ids=["all plans", "searched", "annealed and in pairs"]
)
def test_compiled_and_uncompiled_come_to_the_same(plain: ModuleType, people: int, moves: int) -> None:
    for seed in range(3):
        board = small_board(seed, people=people, costs=1_000, room_ppm=600_000, choices=6)
        budget = Budget(moves=moves, bound_moves=10 * people)
        found = choose(board, seed, budget)
        assert same(found, plain.choose(board, seed, plain.Budget(moves=moves, bound_moves=10 * people)))
        moved = board._replace(target=board.target * 105 // 100)
        assert same(replan(moved, found, budget), plain.replan(moved, found, budget))


def largest(factor: int) -> Board:
    """Powers and target at the end of what is taken, times a factor."""
    board = small_board(4, people=6, choices=4, room_ppm=700_000)
    by = factor * 10
    return board._replace(
        target=board.target * by, edge_by=board.edge_by * by, square=board.square * by * by,
        highest=board.highest * by, lowest=board.lowest * by, most=board.most * by, least=board.least * by,
    )  # fmt: skip


def test_powers_that_do_not_fit_are_refused_and_the_largest_that_do_are_exact(plain: ModuleType) -> None:
    factor = 1
    while True:
        try:
            found = choose(largest(factor), 1, Budget(moves=300, bound_moves=60))
        except TooLarge as error:
            assert "64 bits" in str(error)
            break
        assert factor < 1 << 20
        # Uncompiled, a number has as many bits as it needs.
        assert same(found, plain.choose(largest(factor), 1, plain.Budget(moves=300, bound_moves=60)))
        factor *= 2
    assert factor > 4


def test_the_same_seed_and_budget_give_the_same_plan_and_others_another() -> None:
    board = small_board(1, people=100)
    board = board._replace(target=board.target // 4)
    plans = [choose(board, seed, Budget(moves=12_000, bound_moves=400)) for seed in (1, 1, 2)]
    assert same(plans[0], plans[1])
    assert not np.array_equal(plans[0].at, plans[2].at)


def test_the_uncompiled_copy_leaves_the_compiled_one_alone(plain: ModuleType) -> None:
    assert sys.modules["scowl_edge.dsr.choice.choose"] is not plain
