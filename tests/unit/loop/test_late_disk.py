"""What came late to the disk is there; a large state is not written for that alone, or the disk would be late again."""

from __future__ import annotations

from pathlib import Path

import pytest

from scowl_edge.assembly import load
from scowl_edge.contracts import Record
from scowl_edge.journal.records import GAP, SNAPSHOT
from scowl_edge.model.event import Told
from scowl_edge.model.exchange import Heartbeat, Message
from scowl_edge.model.flexibility import LimitState
from scowl_edge.turn import Clocks, Turn
from simulators.serving import settings_of
from simulators.world import World

DEMO = Path(__file__).parents[3] / "examples" / "demo.yaml"


class Noted:
    """A turn whose records are noted beside."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assembly = load(DEMO)
        self.world = World(assembly, settings_of(assembly))
        self.world.run_for(5_000)
        self.kinds: list[str] = []
        append = Turn.append

        def noted(turn: Turn, record: Record) -> bool:
            self.kinds.append(record.kind)
            return append(turn, record)

        monkeypatch.setattr(Turn, "append", noted)

    def turned(self, durable: bool) -> None:
        turn = self.world.turn
        turn.decide(Clocks(mono_ms=self.world.now_ms, utc_ms=0, utc_ok=False))
        turn.settled(durable)

    def count(self, kind: str) -> int:
        return self.kinds.count(kind)


def test_a_small_state_is_written_behind_a_hole_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted(monkeypatch)
    for durable in (False, True):
        noted.turned(durable)
    assert (noted.count(GAP), noted.count(SNAPSHOT)) == (1, 1)


def test_a_large_one_only_when_it_is_due_or_something_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scowl_edge.turn.LARGE_STATE", 1)
    noted = Noted(monkeypatch)
    for durable in (False, True, False, True):
        noted.turned(durable)
    assert (noted.count(GAP), noted.count(SNAPSHOT)) == (2, 0)
    turn = noted.world.turn
    append = turn.append
    monkeypatch.setattr(turn, "append", lambda _: False)
    noted.turned(True)
    monkeypatch.setattr(turn, "append", append)
    noted.turned(True)
    assert (noted.count(GAP), noted.count(SNAPSHOT)) == (3, 1)


def test_many_messages_make_a_snapshot_due_before_its_steps_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scowl_edge.turn.MOST_SINCE", 10)
    noted = Noted(monkeypatch)
    noted.world.turn.snapshot()
    before = noted.count(SNAPSHOT)
    for number in range(10):
        body = Heartbeat(limit_state=LimitState.LIMITED, rev=number)
        said = Message(id=str(number), ts_ms=0, src="cem:a", dst="x", body=body)
        assert noted.world.turn.inbox.message(Told(link="cem:a", at_ms=0, message=said))
    noted.turned(True)
    assert noted.count(SNAPSHOT) == before + 1
    noted.turned(True)
    assert noted.count(SNAPSHOT) == before + 1
