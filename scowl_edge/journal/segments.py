"""From a stream of records to gap-free segments: each can be run again on its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from scowl_edge.contracts import Record
from scowl_edge.journal.records import (
    BOOT,
    GAP,
    INPUTS,
    PLAN,
    SNAPSHOT,
    BootRecord,
    JournalError,
    read_boot,
    read_gap,
    read_snapshot,
)


@dataclass(slots=True, kw_only=True)
class Segment:
    """Steps that follow each other without a hole, from a known state."""

    boot: int
    booted: BootRecord | None
    """The boot that the steps belong to: its configuration builds the core. None if its record is missing."""
    start: Record | None
    """A snapshot, or the first boot of a journal (an empty core); None: the state before the steps is not known."""
    first_step: int
    last_step: int
    """The state at the end is that after this step."""
    steps: list[tuple[Record, Record]] = field(default_factory=list)
    """(inputs, plan); empty where the start is not known."""
    end: Record | None = None
    """The snapshot after `last_step`, if one was taken there."""
    ended_by: str = ""
    """In words, why it goes no further."""

    @property
    def count(self) -> int:
        """Number of steps."""
        return self.last_step - self.first_step + 1


def segments(records: Iterable[Record]) -> Iterator[Segment]:
    """Cuts a journal at snapshots, boots, gaps and holes. Holds one segment in memory.

    A boot continues no segment: what a restart made of the old state is known only from the snapshot that it takes. So
    steps between a boot (other than the first), or a gap, and the next snapshot come as segments without a start.

    Raises:
        JournalError: A boot or gap record cannot be read.
    """
    booted: BootRecord | None = None
    current: Segment | None = None
    pending: Record | None = None
    fresh = True

    def finish(why: str) -> Iterator[Segment]:
        nonlocal current, pending
        if current is not None and (current.count > 0 or current.end is not None):
            current.ended_by = why
            yield current
        current = pending = None

    for record in records:
        if record.kind == BOOT:
            yield from finish(f"boot {record.boot}")
            booted = read_boot(record)
            # A boot that knew of no step before it began with an empty core.
            if fresh and record.step == 0:
                current = _opened(record, booted, record)
        elif record.kind == SNAPSHOT:
            try:
                read_snapshot(record)
            except JournalError:
                continue
            fresh = False
            if current is not None and pending is None and _ends_with(current, record):
                current.end = record
            yield from finish("snapshot")
            current = _opened(record, booted, record)
        elif record.kind == GAP:
            gap = read_gap(record)
            yield from finish(f"gap of steps {gap.first_step} to {gap.last_step}: {gap.why}")
        elif record.kind == INPUTS:
            fresh = False
            if current is None:
                current = _opened(record, booted, None)
            elif pending is not None or record.step != current.last_step + 1:
                yield from finish(f"records missing before step {record.step}")
                current = _opened(record, booted, None)
            pending = record
        elif record.kind == PLAN:
            fresh = False
            if current is None or pending is None or pending.step != record.step:
                yield from finish(f"no inputs of step {record.step}")
                continue
            if current.start is not None:
                current.steps.append((pending, record))
            current.last_step = record.step
            pending = None
    yield from finish("end of the journal")


def _ends_with(segment: Segment, snapshot: Record) -> bool:
    """Whether the segment, run again, must give this snapshot."""
    if segment.start is None or segment.last_step != snapshot.step:
        return False
    # Two snapshots with no step between them: something other than a step changed the state.
    return segment.count > 0 or segment.start.kind == BOOT


def _opened(record: Record, booted: BootRecord | None, start: Record | None) -> Segment:
    done = record.step - 1 if record.kind == INPUTS else record.step
    known = booted if booted is not None and booted.boot == record.boot else None
    return Segment(boot=record.boot, booted=known, start=start, first_step=done + 1, last_step=done)
