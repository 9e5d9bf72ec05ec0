"""Chance without state: every draw is a hash of (seed, purpose, number), in integers alone.

So any part of a population may be drawn in any order, on any machine and by any number of threads, and comes out the
same. Normal draws are the sum of twelve uniform ones (Irwin-Hall, within 6 sigma); powers of two come from a table that
integer square roots fill.
"""

from __future__ import annotations

from functools import cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

ONE = 1 << 16
"""1.0 in the fixed point of `normal`."""
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_STEPS = 256
_POWER_BITS = 30


def hashed(seed: int, purpose: int, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 random bits for each number (the finaliser of SplitMix64)."""
    start = _scrambled(_scrambled(seed) + purpose)
    with np.errstate(over="ignore"):
        z = numbers.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(start)
        z = (z ^ (z >> np.uint64(30))) * _M1
        z = (z ^ (z >> np.uint64(27))) * _M2
        return z ^ (z >> np.uint64(31))


def _scrambled(number: int) -> int:
    """The finaliser of one number, so that seeds and purposes next to each other do not give shifted draws."""
    z = (number + 1) * _GOLDEN & _MASK
    z = (z ^ (z >> 30)) * int(_M1) & _MASK
    z = (z ^ (z >> 27)) * int(_M2) & _MASK
    return z ^ (z >> 31)


def derived(seed: int, *parts: int) -> int:
    """A seed of 64 bits for one part of a whole: a purpose, then a tick. Seeds next to each other share nothing."""
    number = np.zeros(1, np.uint64)
    bits = int(hashed(seed & _MASK, 0, number)[0])
    for part in parts:
        bits = int(hashed(bits, part & _MASK, number)[0])
    return bits


def below(limit: int, seed: int, purpose: int, numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A uniform draw in 0 .. limit - 1 for each number; limit up to 2^31."""
    high = hashed(seed, purpose, numbers) >> np.uint64(32)
    return ((high * np.uint64(limit)) >> np.uint64(32)).astype(np.int64)


def normal(seed: int, purpose: int, numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A standard normal draw for each number, times ONE."""
    total = np.zeros(len(numbers), np.int64)
    for part in range(3):
        bits = hashed(seed, purpose * 4 + part + 1_000_003, numbers)
        for shift in (0, 16, 32, 48):
            total += ((bits >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
    return total - 6 * ONE + 6


def power_of_two(exponent: NDArray[np.int64]) -> NDArray[np.int64]:
    """2^(exponent / ONE) times ONE; exponents from -16 to 30 (times ONE)."""
    table = _table()
    whole, part = exponent >> 16, (exponent & 0xFFFF) >> 8
    fine = table[part] >> (_POWER_BITS - 16)
    return np.asarray(np.where(whole >= 0, fine << np.maximum(whole, 0), fine >> np.maximum(-whole, 0)), np.int64)


def lognormal(mean: int, sigma_ppm: int, seed: int, purpose: int, numbers: NDArray[np.uint64]) -> NDArray[np.int64]:
    """A lognormal draw with this mean for each number, at least 1; `sigma_ppm` is that of the logarithm."""
    # log2(e) = 1.442695; the median of a lognormal is its mean times exp(-sigma^2 / 2).
    per_sigma = sigma_ppm * 1_442_695 // 1_000_000
    shift = sigma_ppm * sigma_ppm // 2_000_000 * 1_442_695 // 1_000_000 * ONE // 1_000_000
    exponent = normal(seed, purpose, numbers) * per_sigma // 1_000_000 - shift
    size = (power_of_two(np.clip(exponent, -14 * ONE, 14 * ONE)) * mean) >> 16
    return np.asarray(np.maximum(1, size), np.int64)


@cache
def _table() -> NDArray[np.int64]:
    """2^(i / 256) times 2^30, i = 0 .. 255."""
    # roots[k] = 2^(1 / 2^(k + 1)), 60 bits of fraction, each the square root of the one before.
    root, roots = 2 << 60, []
    for _ in range(8):
        root = isqrt(root << 60)
        roots.append(root)
    values = []
    for i in range(_STEPS):
        value = 1 << 60
        for bit in range(8):
            if i & (128 >> bit):
                value = value * roots[bit] >> 60
        values.append(value >> (60 - _POWER_BITS))
    return np.asarray(values, np.int64)
