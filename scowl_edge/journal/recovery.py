"""From a stream of records to what a restart needs: the last usable snapshot and all that came after it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scowl_edge.contracts import Record
from scowl_edge.journal.records import BOOT, SNAPSHOT, BootRecord, JournalError, read_boot, read_snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What a journal holds of the state before the end of the process that wrote it."""

    boot: int
    """Number of the last boot, 0 on an empty journal."""
    step: int
    """Highest step of any record, 0 on an empty journal: the next step is one more, so that no number comes twice."""
    booted: BootRecord | None
    """The last boot: its configuration and its clocks."""
    snapshot: Record | None
    """The last snapshot whose checksum fits; None where there is none: start from the configuration."""
    records: tuple[Record, ...]
    """All records after the snapshot (or all), in order, of every boot since."""
    damage: tuple[str, ...]
    """In words: snapshots that were passed over."""


def recover(records: Iterable[Record]) -> Recovery:
    """Reads records in the order in which they were appended.

    Boot records before the snapshot may stand in front of it: the last of them is remembered, none is returned.

    Raises:
        JournalError: A boot record cannot be read.
    """
    boot = step = 0
    booted: BootRecord | None = None
    snapshot: Record | None = None
    after: list[Record] = []
    damage: list[str] = []
    for record in records:
        boot = max(boot, record.boot)
        step = max(step, record.step)
        if record.kind == SNAPSHOT:
            try:
                read_snapshot(record)
            except JournalError as error:
                damage.append(str(error))
                continue
            snapshot = record
            after.clear()
            continue
        if record.kind == BOOT:
            booted = read_boot(record)
        after.append(record)
    return Recovery(boot=boot, step=step, booted=booted, snapshot=snapshot, records=tuple(after), damage=tuple(damage))
