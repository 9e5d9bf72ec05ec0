"""No value is another request's, whatever units, adapters and the line do: in virtual time, over random histories."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtu_world import CANARY, LATE_S, TIMEOUT_S, Faults, World, line_link

from scowl_edge.drivers.modbus.rtu_line import turn_ms

CHANCES = st.sampled_from((0.0, 0.05, 0.3))


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    late=CHANCES,
    lost=CHANCES,
    refused=CHANCES,
    noise=st.sampled_from((0.0, 0.05)),
    chopped=CHANCES,
    checks=st.sampled_from(("echo", "refuse", "ignore")),
    echoes=st.booleans(),
    canary=st.booleans(),
)
def test_units_that_answer_in_order(
    seed: int,
    late: float,
    lost: float,
    refused: float,
    noise: float,
    chopped: float,
    checks: str,
    echoes: bool,
    canary: bool,
) -> None:
    faults = Faults(late, lost, refused, noise, chopped, checks=checks, echoes=echoes)
    world = World(seed, faults, CANARY if canary else None)
    world.run(60)
    assert not world.wrong
    assert world.longest_s * 1000 <= turn_ms(line_link(1, 2), TIMEOUT_S * 1000) + 1


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32), doubled=st.sampled_from((0.02, 0.3, 1.0)), late=CHANCES, refused=CHANCES)
def test_units_that_answer_twice(seed: int, doubled: float, late: float, refused: float) -> None:
    """The second may come at any time: before, within and after later requests."""
    world = World(seed, Faults(late=late, refused=refused, doubled=doubled, numbered=False))
    world.run(60)
    assert not world.wrong


@pytest.mark.parametrize("checks", ("echo", "refuse"))
def test_a_healthy_line_is_hardly_checked(checks: str) -> None:
    world = World(7, Faults(checks=checks))
    world.run(300)
    assert world.answered == 300
    assert not world.wrong and not world.errors and not world.strays
    assert LATE_S > TIMEOUT_S
