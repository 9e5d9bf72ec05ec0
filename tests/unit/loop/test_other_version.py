"""A journal that another version wrote: refused with what to do, never half understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from scowl_edge.assembly import load
from scowl_edge.journal.memory import MemoryJournal
from scowl_edge.journal.records import SNAPSHOT, read_snapshot, snapshot_record
from scowl_edge.turn import RecoveryError
from simulators.serving import settings_of
from simulators.world import World, WorldSettings

DEMO = Path(__file__).parents[3] / "examples" / "demo.yaml"


def test_a_state_of_another_layout_is_refused_with_what_to_do() -> None:
    assembly = load(DEMO)
    world = World(assembly, settings_of(assembly), WorldSettings(snapshot_every=5))
    world.run_for(10_000)
    records = list(world.journal.durable)
    place = max(i for i, r in enumerate(records) if r.kind == SNAPSHOT)
    older = read_snapshot(records[place]).replace(b'"withheld"', b'"held_back"')
    records[place] = snapshot_record(records[place].boot, records[place].step, older)
    with pytest.raises(RecoveryError, match="move the journal away"):
        World(assembly, plant=world.plant, journal=MemoryJournal(records), now_ms=world.now_ms + 1_000)
