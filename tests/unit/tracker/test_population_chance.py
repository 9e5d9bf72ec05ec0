"""Draws by hash: exact everywhere, spread evenly, and no two seeds or purposes are shifts of each other."""

from __future__ import annotations

import numpy as np
import pytest

from scowl_edge.tracker.population import chance

NUMBERS = np.arange(20_000, dtype=np.uint64)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_a_seed_is_no_shift_of_another(shift: int) -> None:
    for one, other in (((1, 0), (2, 0)), ((1, 0), (1, 1)), ((2, 0), (1, 0))):
        a = chance.hashed(*one, NUMBERS)
        b = chance.hashed(*other, NUMBERS)
        assert not (a[: len(a) - shift] == b[shift:]).any()
        assert not (b[: len(b) - shift] == a[shift:]).any()


def test_draws_are_even_and_in_any_order_the_same() -> None:
    drawn = chance.below(10, 7, 3, NUMBERS)
    counts = np.bincount(drawn, minlength=10)
    assert counts.min() > 1_800
    assert counts.max() < 2_200
    assert (chance.below(10, 7, 3, NUMBERS[::-1]) == drawn[::-1]).all()


def test_normal_draws_have_mean_0_and_deviation_1() -> None:
    drawn = chance.normal(3, 1, NUMBERS)
    assert abs(int(drawn.sum())) // len(drawn) < chance.ONE // 40
    square = int((drawn * drawn).sum()) // len(drawn)
    assert 0.97 < square / chance.ONE**2 < 1.03


def test_powers_of_two_and_lognormal_sizes() -> None:
    exponents = np.asarray([-2, -1, 0, 1, 10]) * chance.ONE
    assert chance.power_of_two(exponents).tolist() == [chance.ONE * 2**k // 4 for k in (0, 1, 2, 3, 12)]
    half = chance.power_of_two(np.asarray([chance.ONE // 2]))
    assert abs(int(half[0]) ** 2 - 2 * chance.ONE**2) < chance.ONE**2 // 1000
    sizes = chance.lognormal(1_000, 500_000, 5, 2, NUMBERS)
    assert 980 < sizes.sum() / len(sizes) < 1_020
    assert sizes.min() >= 1
