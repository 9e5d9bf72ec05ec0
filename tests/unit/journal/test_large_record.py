"""A record that is larger than the whole queue is still taken, as long as others leave it room."""

from __future__ import annotations

from pathlib import Path

import pytest

from scowl_edge.contracts import JournalFull, Record
from scowl_edge.journal.file import recover_file
from scowl_edge.journal.records import BootRecord, boot_record, snapshot_record
from scowl_edge.journal.store import SqliteJournal


async def test_a_snapshot_beyond_the_queue_is_stored_whole(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db", max_bytes=10_000)
    state = bytes(range(256)) * 24_000
    boot = BootRecord(
        version="1", seed=1, boot=1, mono_ms=0, utc_ms=0, utc_ok=True, config="site: {id: s}", fingerprint="x"
    )
    journal.append(boot_record(boot, 0))
    journal.append(snapshot_record(1, 0, state))
    assert await journal.barrier(20_000)
    journal.close()
    recovery = recover_file(tmp_path / "j.db")
    assert recovery.snapshot is not None
    assert recovery.snapshot.payload[16:] == state


async def test_it_waits_its_turn_behind_a_full_queue(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "j.db", max_bytes=10_000, linger_ms=60_000)
    journal.append(Record(boot=1, step=0, kind="boot", payload=b"x" * 9_000))
    with pytest.raises(JournalFull):
        journal.append(snapshot_record(1, 0, b"y" * 50_000))
    assert await journal.barrier(20_000)
    journal.append(snapshot_record(1, 0, b"y" * 50_000))
    assert await journal.barrier(20_000)
    journal.close()
