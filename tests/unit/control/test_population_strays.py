"""Batches that no population takes, and what one tells of its steps: counted, told once, kept over restarts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_reported_population import TEXT, District, assignments, started

from scowl_edge.assembly import assemble
from scowl_edge.control import Core
from scowl_edge.inbox import Inbox
from scowl_edge.journal.memory import MemoryJournal
from scowl_edge.journal.records import SNAPSHOT
from scowl_edge.journal.replay import replay
from scowl_edge.model.batch import ROWS, Assign, Batch, BatchKind
from scowl_edge.model.reason import words
from scowl_edge.model.view import EventView, RegionView
from scowl_edge.tracker.population.repair import Repaired
from scowl_edge.turn import Clocks, Turn, resume


class Simulated:
    """A tracker whose only population is simulated."""

    def __init__(self) -> None:
        self.site = assemble(TEXT, "district.yaml").site
        self.core, self.journal, self.now_ms = Core(self.site), MemoryJournal(), 1_000_000
        self.inbox = Inbox(0, [], [], [], lambda: None)
        self.turn: Turn = resume(
            self.journal.recover(), self.core, lambda _: Core(self.site), self.inbox, self.journal, self.clocks(),
            version="test", seed=1, text=TEXT, fingerprint="x",
        )  # fmt: skip

    def clocks(self) -> Clocks:
        return Clocks(mono_ms=self.now_ms, utc_ms=1_900_000_000_000 + self.now_ms, utc_ok=True)

    def tell(self, population: int, rows: int, sequence: int, data: bytes = b"") -> None:
        data = data or np.zeros(rows, ROWS[BatchKind.DEMAND]).tobytes()
        batch = Batch(
            population=population, kind=BatchKind.DEMAND, sender=6, sequence=sequence, at_ms=0, data=data
        )  # fmt: skip
        assert self.inbox.batch(batch)

    def step(self) -> RegionView:
        self.now_ms += 1_000
        self.turn.decide(self.clocks())
        assert not self.turn.failure, self.turn.failure
        assert self.journal.commit(200)
        self.turn.settled(True)
        view = self.core.view()
        assert view is not None
        return view


def refusals(view: RegionView) -> list[EventView]:
    return [event for event in view.events if event.kind == "batches-refused"]


def test_what_no_population_takes_is_counted_and_told_of_once() -> None:
    made = Simulated()
    assert refusals(made.step()) == []
    made.tell(0, rows=5, sequence=1)
    made.tell(3, rows=7, sequence=1)
    made.tell(3, rows=0, sequence=2, data=b"torn")
    view = made.step()
    assert dict(view.populations[0].refused) == {"simulated": 5}
    assert view.stray_rows == 8
    assert {event.source: words(event.text) for event in refusals(view)} == {
        "town": "sender 6 reports for a population that is simulated; this and all that follows is only counted",
        "": "sender 6 reports for population number 3, which does not exist; this and all that follows is only counted",
    }
    made.tell(9, rows=1, sequence=3)
    made.tell(0, rows=1, sequence=4)
    view = made.step()
    assert len(refusals(view)) == 2
    assert (view.stray_rows, dict(view.populations[0].refused)) == (9, {"simulated": 6})
    report = replay(made.journal.durable, lambda _: Core(made.site))
    assert report.identical, str(report.difference)
    again = Core(made.site)
    again.restore(made.core.snapshot())
    assert again.memory.situation.stray_rows == {"": 9, "town": 6}


def test_late_steps_are_counted_by_how_late_and_kept_over_a_restart() -> None:
    district = started()
    period_ms = district.core.site.policy.period_ms
    for late_ms in (0, period_ms // 2, period_ms // 2, 3 * period_ms):
        district.now_ms += 1_000
        district.turn.decide(district.clocks(), late_ms)
        assert district.journal.commit(200)
        district.turn.settled(True)
    assert dict(district.town.view().late_steps) == {"late": 2, "very-late": 1}
    after = District(district.journal.crash(0), district.now_ms + 500)
    assert dict(after.town.view().late_steps) == {"late": 2, "very-late": 1}


def test_each_assignment_is_later_than_all_before_it_also_after_a_journal_that_lost_its_end() -> None:
    def lose(district: District, plant: int) -> Assign:
        rated = district.town.fleet.rated.tolist()
        rows = [(t, 0 if t == plant else w) for t, w in enumerate(rated)]
        district.tell(BatchKind.OUTPUT, rows, sender=2)
        (told,) = assignments(district.step())
        return told

    district = started()
    first, second = lose(district, 1), lose(district, 2)
    assert (first.boot, second.boot, second.step) == (1, 1, first.step + 1)
    assert second.stamp > first.stamp
    # The last steps never reached the disk: their numbers come again.
    records = [r for r in district.journal.durable if r.step < first.step]
    after = District(MemoryJournal(records), district.now_ms)
    after.sequence = district.sequence
    anew = lose(after, 3)
    assert (anew.boot, anew.step) == (2, first.step)
    assert anew.stamp > second.stamp


def test_a_damaged_snapshot_of_a_population_is_passed_over_for_the_one_before_it() -> None:
    district = started()
    for k in range(12):
        district.tell_plants(1.0 - 0.02 * k)
        district.everybody_holds(district.step())
    records = list(district.journal.durable)
    at = [i for i, record in enumerate(records) if record.kind == SNAPSHOT]
    assert len(at) > 1
    payload = bytearray(records[at[-1]].payload)
    payload[-100] ^= 1
    records[at[-1]] = replace(records[at[-1]], payload=bytes(payload))
    after = District(MemoryJournal(records), district.now_ms + 500)
    assert after.town.digest() == district.town.digest()


@pytest.mark.parametrize("above", [0, 7])
def test_a_first_rebuild_that_leaves_the_protected_above_a_limit_says_so(above: int) -> None:
    district = District()
    columns = district.town.columns
    # All of it is of class 0: nobody may be starved below the limit.
    columns.block_class[:] = 0
    columns.big_class[:] = 0
    columns.zone_limit[0] = int(columns.block_sum.sum()) + int(columns.big_demand.sum()) - above
    district.tell_plants()
    district.step()
    assert district.town.standing.starved.sum() == 0
    assert district.town.repaired == Repaired(0, 0, above, 0)
    quantum_w = district.core.site.populations[0].quantum_w
    assert dict(district.town.score())["above_limits_w"] == above * quantum_w
    district.step()
    assert district.town.repaired.zones == above, "as the repair of the next step says"
