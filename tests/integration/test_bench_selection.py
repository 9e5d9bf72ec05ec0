"""The selection benchmark in small: its lines are there, and its plans are as near to the bound as is asked."""

from __future__ import annotations

import pytest
from choice_site import small_board

from bench import selection
from bench.selection_highs import highs
from bench.selection_sites import PROFILES, SLOTS, STARTS, site
from scowl_edge.compiled import COMPILED
from scowl_edge.dsr.choice.choose import Budget, choose

pytestmark = pytest.mark.skipif(not COMPILED, reason="kernels are not compiled: the extra `scale` is not installed")


def test_the_lines_of_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "STRONG_MOVES", 20_000)
    # Each of these ends the run if a plan is not what it says, worse than doing nothing, or beyond its bound.
    for lines, cells in (
        (selection.sizes([30, 300], seeds=1, runs=1), 7),
        (selection.changes(300, runs=2), 4),
        (selection.jobs(60, runs=1), 2),
    ):
        assert lines and all(line.count("|") == cells + 1 for line in lines), lines


def test_an_instance_is_as_the_tables_say_and_its_ratings_bind() -> None:
    board = site(200, 1)
    assert (len(board.begin), len(board.target)) == (200, SLOTS)
    assert set(board.span_count.tolist()) == {STARTS} and len(board.span_count) == 200 * PROFILES
    assert int(board.end.max()) <= SLOTS
    chosen = choose(board, 1, Budget(moves=2_000))
    assert chosen.idle_excess_w > 0 and chosen.excess_w == 0


@pytest.mark.parametrize(("people", "gap_ppm"), [(1_000, 50_000), (10_000, 30_000)])
def test_plans_are_near_their_bound(people: int, gap_ppm: int) -> None:
    board = site(people, 1)
    chosen = choose(board, 1, Budget(moves=max(100_000, 6 * people), bound_moves=60_000))
    selection.checked(board, chosen)
    assert chosen.excess_w == 0
    assert chosen.gap_ppm is not None and chosen.gap_ppm <= gap_ppm
    assert chosen.improvement_ppm is not None and chosen.improvement_ppm >= 800_000


def test_highs_comes_to_the_same_plans_where_it_proves_its_own() -> None:
    proven = 0
    for seed in (1, 2, 3):
        board = small_board(seed, people=4, choices=6)
        chosen = choose(board, 1, Budget(moves=20_000))
        # Seconds are a limit for a machine that stands still; it takes a fraction of one.
        found = highs(board, 30)
        assert chosen.exhaustive and found.objective is not None
        assert found.bound <= chosen.objective * 1.0001
        assert chosen.objective <= found.objective
        if found.proven:
            assert found.objective <= chosen.objective * 1.0002
            proven += 1
    assert proven
