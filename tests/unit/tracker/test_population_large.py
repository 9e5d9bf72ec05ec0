"""Few large items in few trees: against best fit decreasing, and against all that is possible where that is known."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scowl_edge.tracker.population.large import fit
from tests.population_site import uncompiled

PLAIN = uncompiled("large")


def placed(sizes: NDArray[np.int64], trees: NDArray[np.int64]) -> int:
    return int(sizes[trees >= 0].sum())


def best_fit_decreasing(sizes: NDArray[np.int64], room: NDArray[np.int64]) -> int:
    left, total = room.tolist(), 0
    for size in sorted(sizes.tolist(), reverse=True):
        fits = [(space, tree) for tree, space in enumerate(left) if space >= size]
        if fits:
            left[min(fits)[1]] -= size
            total += size
    return total


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 1 << 31), max_size=40), room=st.lists(st.integers(0, 1 << 33), min_size=1, max_size=8)
)
def test_nothing_overflows_and_exchanges_never_lose(sizes: list[int], room: list[int]) -> None:
    items, want = np.array(sizes, np.int64), np.array(room, np.int64)
    order = np.flatnonzero(want > 0)
    trees = fit(items, order, want)
    assert np.array_equal(trees, PLAIN.fit(items, order, want))
    for tree in range(len(want)):
        assert int(items[trees == tree].sum()) <= want[tree]
    assert placed(items, trees) >= best_fit_decreasing(items, want)
    left = want - np.array([int(items[trees == tree].sum()) for tree in range(len(want))])
    assert all(size > left[order].max(initial=0) for size in items[trees < 0])


def test_close_to_the_best_of_all_placements() -> None:
    chance = np.random.default_rng(2)
    order = np.arange(2)
    reached = possible = 0
    for _ in range(20):
        sizes, want = chance.integers(5, 60, 8), chance.integers(60, 140, 2)
        best = 0
        for way in product((-1, 0, 1), repeat=8):
            trees = np.array(way)
            if all(int(sizes[trees == t].sum()) <= want[t] for t in order):
                best = max(best, placed(sizes, trees))
        reached += placed(sizes, fit(sizes, order, want))
        possible += best
    assert reached * 100 >= possible * 95


def test_a_hundred_items_lose_less_than_by_best_fit_alone() -> None:
    chance = np.random.default_rng(5)
    ours = theirs = 0
    for _ in range(10):
        sizes = chance.integers(2_000, 30_000, 100)
        want = np.full(20, int(sizes.sum()) // 20, np.int64)
        ours += placed(sizes, fit(sizes, np.arange(20), want))
        theirs += best_fit_decreasing(sizes, want)
    assert ours > theirs
