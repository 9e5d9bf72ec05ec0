"""What a journal knows of the messages that peers were answered within a day."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tally import boot

from scowl_edge.contracts import Record
from scowl_edge.journal.exchanged import DAY_MS, MARGIN_MS, Past, answered_within
from scowl_edge.journal.file import connect, read_records
from scowl_edge.journal.records import ANSWERED, JournalError, answered_record, read_answered, snapshot_record
from scowl_edge.journal.store import SqliteJournal
from scowl_edge.model.exchange import Answered, Code

UTC = 1_790_000_000_000


def one(number: int, peer: str = "cem:house", code: Code | None = None) -> Answered:
    return Answered(
        peer=peer,
        message_id=str(UUID(int=number, version=4)),
        digest=number.to_bytes(8),
        ts_ms=UTC + number,
        code=code,
        detail="" if code is None else "body.rev: é",
    )


@given(
    st.lists(
        st.builds(
            one, st.integers(0, 1 << 40), st.sampled_from(("cem:a", "esa:b")), st.none() | st.just(Code.STALE_REV)
        )
    )
)
def test_a_record_gives_back_what_was_put_in(answered: list[Answered]) -> None:
    record = answered_record(3, 9, answered)
    assert record.kind == ANSWERED
    assert list(read_answered(record)) == sorted(answered, key=lambda a: a.peer)


def test_a_damaged_record_is_said_to_be_one() -> None:
    record = answered_record(1, 1, [one(1)])
    with pytest.raises(JournalError, match="answered record of step 1"):
        list(read_answered(Record(boot=1, step=1, kind=ANSWERED, payload=record.payload[:-3])))


def written(path: Path, hours: list[float]) -> None:
    """One message an entry, so many hours after UTC."""
    now = [UTC]
    journal = SqliteJournal(path, utc_ms=lambda: now[0], linger_ms=0)
    journal.append(boot(1, 0))
    for number, hour in enumerate(hours):
        now[0] = UTC + int(hour * 3_600_000)
        journal.append(answered_record(1, number + 1, [one(number)]))
        assert journal.flush(10)
        journal.append(snapshot_record(1, number + 1, b"{}"))
    assert journal.close()


def test_a_day_is_known_over_snapshots_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    assert answered_within(path, UTC, 9) == Past()
    written(path, [0, 1, 20, 26, 43.9, 44])
    at = UTC + 44 * 3_600_000
    assert answered_within(path, at, 100) == Past(answered=tuple(one(n) for n in (2, 3, 4, 5)))
    assert answered_within(path, at + MARGIN_MS, 100).answered[0] == one(2)
    assert answered_within(path, at + MARGIN_MS + 1, 100).answered[0] == one(3)
    # Without a clock only the number bounds it, and what is left out is told by the floor.
    assert answered_within(path, None, 100) == Past(answered=tuple(one(n) for n in range(6)))
    assert answered_within(path, None, 2) == Past(answered=(one(4), one(5)), floor_ms=UTC + int(43.9 * 3_600_000))
    assert DAY_MS == 24 * 3_600_000


def test_what_was_deleted_is_told_by_the_floor(tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    written(path, [0, 1, 2])
    with closing(connect(path, writable=True)) as connection:
        connection.execute("DELETE FROM record WHERE kind = 'answered' AND seq < 4")
    found = answered_within(path, UTC + 3 * 3_600_000, 100)
    assert found == Past(answered=(one(1), one(2)), floor_ms=UTC + 3_600_000)


def test_a_journal_of_before_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "site.db"
    written(path, [0])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP INDEX record_answered")
    assert answered_within(path, UTC, 9) == Past(), "it cannot have such records"
    SqliteJournal(path).close()
    assert answered_within(path, UTC, 9).answered == (one(0),)
    assert [r.kind for r in read_records(path)] == ["boot", "answered", "snapshot"]
