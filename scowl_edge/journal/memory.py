"""A journal for virtual time: durable and volatile records are kept apart, and a crash may fall between any two."""

from __future__ import annotations

from collections.abc import Sequence

from scowl_edge.contracts import JournalFull, Record
from scowl_edge.journal.records import KINDS
from scowl_edge.journal.recovery import Recovery, recover


class MemoryJournal:
    """Keeps the contract of `Journal` without a disk, a thread or an event loop.

    Attributes:
        full: Told to be full: `append` raises JournalFull.
        delay_ms: Told to be slow: a barrier that waits less than this returns False and makes nothing durable; the
            world calls `make_durable` when the time has passed. -1: the disk never answers.
    """

    def __init__(self, records: Sequence[Record] = ()) -> None:
        self.full = False
        self.delay_ms = 0
        self._records = list(records)
        self._durable = len(self._records)

    @property
    def durable(self) -> tuple[Record, ...]:
        """What a crash cannot take."""
        return tuple(self._records[: self._durable])

    @property
    def volatile(self) -> tuple[Record, ...]:
        """What was appended since, in order."""
        return tuple(self._records[self._durable :])

    def append(self, record: Record) -> None:
        """Keeps a record as volatile. Raises JournalFull when told to be full."""
        if record.kind not in KINDS:
            raise ValueError(f"append: unknown kind of record {record.kind!r}")
        if self.full:
            raise JournalFull(f"the {record.kind} record of step {record.step} was not taken: told to be full")
        self._records.append(record)

    def make_durable(self) -> None:
        """What a commit does."""
        self._durable = len(self._records)

    def commit(self, timeout_ms: int) -> bool:
        """The barrier without an event loop; it takes no time of its own."""
        if self._durable == len(self._records):
            return True
        if self.delay_ms < 0 or self.delay_ms > timeout_ms:
            return False
        self.make_durable()
        return True

    async def barrier(self, timeout_ms: int) -> bool:
        """True when all appended so far is durable; see `delay_ms`."""
        return self.commit(timeout_ms)

    def crash(self, keep_volatile: int = 0) -> MemoryJournal:
        """The journal that a restart finds: all that was durable, and the first `keep_volatile` records after it.

        Order is kept on any disk that keeps the write-ahead log's order, so only a prefix can survive.

        Raises:
            ValueError: There are not that many.
        """
        if not 0 <= keep_volatile <= len(self._records) - self._durable:
            raise ValueError(
                f"crash: asked to keep {keep_volatile} of {len(self._records) - self._durable} volatile records"
            )
        return MemoryJournal(self._records[: self._durable + keep_volatile])

    def recover(self) -> Recovery:
        """What a restart learns from the durable records."""
        return recover(self._records[: self._durable])
