"""Units that know no check, as servers on libmodbus and jsmodbus: they are not asked it again and again."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from rtu_world import CANARY, Faults, World

from scowl_edge.devices.declaration import Canary

CHECKS = (7, 8, 11)


@dataclass
class Watched(World):
    """Notes the functions that are asked for, by unit."""

    sent: dict[int, list[int]] = field(default_factory=lambda: {1: [], 2: []})

    def on_line(self, data: bytes) -> None:
        self.sent[data[0]].append(data[1])
        super().on_line(data)

    def checks(self, unit: int) -> int:
        return sum(function in CHECKS for function in self.sent[unit])


@pytest.mark.parametrize("seed", range(5))
def test_a_unit_that_ignores_checks_is_left_alone_with_them(seed: int) -> None:
    """It waits instead, until what it owes can no longer come. Now and then it is tried again."""
    world = Watched(seed, Faults(checks="ignore", lost=0.2, late=0.2))
    began_s = world.now_s
    world.run(400)
    tried_again = (world.now_s - began_s) / 600 + 1
    assert not world.wrong
    assert world.answered > 40
    for unit in (1, 2):
        assert world.checks(unit) <= 3 + tried_again, world.sent[unit]


@pytest.mark.parametrize("canary", [None, CANARY])
def test_a_unit_that_answers_checks_or_has_a_canary_is_asked(canary: Canary | None) -> None:
    world = Watched(1, Faults(checks="ignore" if canary else "echo", lost=0.2), canary)
    world.run(400)
    assert not world.wrong
    asked = world.sent[1].count(4) if canary else world.checks(1)
    assert asked > 20
