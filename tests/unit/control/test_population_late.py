"""Steps that come late leave out what is only for the better first, then what gives back; never what balances."""

from __future__ import annotations

import numpy as np
import pytest
from test_reported_population import District, site

from scowl_edge.control import Core
from scowl_edge.journal.records import INPUTS, read_inputs
from scowl_edge.journal.replay import replay
from scowl_edge.model.batch import BatchKind
from scowl_edge.model.effect import Plan
from scowl_edge.model.tick import Late

PERIOD_MS = site().policy.period_ms


class Hurried(District):
    """A district whose steps come as late as a test says."""

    def late_step(self, late_ms: int, after_ms: int = 1_000) -> Plan:
        self.now_ms += after_ms
        plan = self.turn.decide(self.clocks(), late_ms)
        assert not self.turn.failure, self.turn.failure
        assert self.journal.commit(200)
        self.turn.settled(True)
        return plan

    def lose(self, plant: int) -> None:
        """One plant tells that it stands still."""
        self.tell(BatchKind.OUTPUT, [(plant, 0)], sender=2)

    @property
    def starving(self) -> int:
        return int(self.town.standing.starved.sum())

    @property
    def moved(self) -> int:
        """Consumers that changed trees in the last step."""
        return int(self.town.balancing.log.totals[1])


def district() -> Hurried:
    made = Hurried()
    made.tell_plants()
    made.step()
    return made


@pytest.mark.parametrize(
    ("late_ms", "level"),
    [(0, Late.ON_TIME), (PERIOD_MS // 4 - 1, Late.ON_TIME), (PERIOD_MS // 4, Late.LATE), (PERIOD_MS - 1, Late.LATE),
     (PERIOD_MS, Late.VERY_LATE), (50 * PERIOD_MS, Late.VERY_LATE)],
)  # fmt: skip
def test_how_late_a_step_is_stands_in_its_inputs(late_ms: int, level: Late) -> None:
    made = district()
    made.late_step(late_ms)
    last = [record for record in made.journal.durable if record.kind == INPUTS][-1]
    assert read_inputs(last).tick.late == level


@pytest.mark.parametrize("late_ms", [0, PERIOD_MS // 2, PERIOD_MS])
def test_a_lost_plant_is_made_up_for_however_late(late_ms: int) -> None:
    made = district()
    rated = made.town.fleet.rated.tolist()
    largest = int(np.argmax(rated))
    assert made.town.standing.tree_members[largest] > 0
    made.lose(largest)
    made.late_step(late_ms)
    columns = made.town.columns
    assert made.town.standing.tree_members[largest] == 0
    assert (columns.tree_load <= columns.tree_safe).all()


def test_the_starving_are_fed_again_when_late_and_not_when_very_late() -> None:
    made = district()
    made.tell_plants(0.4)
    made.late_step(PERIOD_MS)
    starved = made.starving
    assert starved > 0
    made.tell_plants()
    for _ in range(10):
        made.late_step(PERIOD_MS)
        assert made.starving == starved, "what gives back waits"
    made.late_step(PERIOD_MS // 2)
    assert made.starving < starved


def test_nobody_walks_towards_a_better_whole_when_late() -> None:
    made = district()
    rated = made.town.fleet.rated.tolist()
    largest = int(np.argmax(rated))
    made.lose(largest)
    made.step()
    made.tell_plants()
    made.step()
    assert made.town.columns.tree_load[largest] == 0
    for _ in range(130):
        made.tell_plants()
        made.late_step(PERIOD_MS // 2, after_ms=100)
        assert made.moved == 0
    moved = 0
    for _ in range(130):
        made.tell_plants()
        made.late_step(0, after_ms=100)
        moved += made.moved
    assert moved > 0
    assert made.town.columns.tree_load[largest] > 0
    # And how late each was is replayed with it.
    report = replay(made.journal.durable, lambda _: Core(site()))
    assert report.identical, str(report.difference)
