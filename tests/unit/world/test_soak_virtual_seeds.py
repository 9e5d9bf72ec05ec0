"""The laws over many seeds: 200 that stay, and 20 new ones each time, which are printed.

Each is a short course of a region of 1,000 consumers and 20 plants in which any fault may come. One that fails
is played again by `Course(seed, SHORT).run()`, in any process, on any machine.
"""

from __future__ import annotations

import secrets

import pytest

from scowl_edge.compiled import COMPILED
from simulators.world.course import Course, CourseSettings

SHORT = CourseSettings(bad_minutes=60, quiet_minutes=10)
FIXED = 200
FRESH = 20
SHARE = 20
"""Seeds a test, so that several processes can take them."""

pytestmark = pytest.mark.skipif(not COMPILED, reason="the kernels are not compiled: the extra `scale` is not installed")


def hold(seeds: list[int]) -> None:
    """Runs the courses of seeds; fails with all that broke a law."""
    broken, steps, faults = [], 0, 0
    for seed in seeds:
        figures = Course(seed, SHORT).run()
        broken += [f"seed {seed}, {text}" for text in figures.violations]
        steps += figures.steps
        faults += figures.faults.total()
    assert not broken, "\n".join(broken)
    assert steps >= 70 * len(seeds)
    assert faults >= 6 * len(seeds)


@pytest.mark.parametrize("first", range(1, FIXED + 1, SHARE))
def test_fixed_seeds_keep_every_law(first: int) -> None:
    hold(list(range(first, first + SHARE)))


def test_fresh_seeds_keep_every_law() -> None:
    seeds = [1_000_000 + secrets.randbelow(1 << 30) for _ in range(FRESH)]
    print("fresh seeds:", *seeds)
    hold(seeds)
