"""What the loop asks of those who touch the world: drivers, the journal, the clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from scowl_edge.model.command import CommandId
from scowl_edge.model.event import LinkChanged, Outcome
from scowl_edge.model.signal import Reading


@dataclass(frozen=True, slots=True)
class PointWrite:
    """One value for one point, in base units."""

    point: int
    """Index in the site's point table."""
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteRequest:
    """One command as a driver sees it: its writes go out in order, on one link, with nothing between them."""

    command: CommandId
    writes: tuple[PointWrite, ...]
    valid_until_ms: int
    """Monotonic: withheld after this."""


class Sink(Protocol):
    """Where drivers put what they learn. Neither call blocks or raises."""

    def reading(self, reading: Reading) -> None:
        """A block of values, or of failures; the last one of a point wins."""

    def event(self, event: Outcome | LinkChanged) -> None:
        """Kept, in order."""

    def requests(self, link: str, result: str, count: int = 1) -> None:
        """Counts requests for `scowl_link_requests_total`: ok, timeout, exception, bad_reply, link_down, stray."""


class Driver(Protocol):
    """One link. Whatever happens behind it ends as quality on its own points."""

    @property
    def link(self) -> str:
        """Name of the link in the configuration."""

    async def run(self, sink: Sink) -> None:
        """Connects, polls and reconnects until cancelled. Returns only by cancellation."""

    def write(self, request: WriteRequest) -> None:
        """Queues a command before the next poll; exactly one `Outcome` follows through the sink."""

    def read(self, points: Sequence[int], by_ms: int) -> None:
        """Asks for these points out of turn."""


class Clock(Protocol):
    """The clocks, read in one place."""

    def mono_ms(self) -> int:
        """Boot-time clock: goes on while suspended, never steps."""

    def utc_ms(self) -> int:
        """Wall clock."""

    def utc_ok(self) -> bool:
        """Whether the wall clock is known to be synchronised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One entry of the journal."""

    boot: int
    step: int
    kind: str
    """boot, snapshot, inputs, plan, answered, sending, gap."""
    payload: bytes


class JournalFull(Exception):
    """The journal could not take or keep a record in time."""


class Journal(Protocol):
    """Append-only, in order, durable at barriers."""

    def append(self, record: Record) -> None:
        """Queues a record. Never blocks. Raises JournalFull when its bounded queue is full (disk stalled)."""

    async def barrier(self, timeout_ms: int) -> bool:
        """True when all appended so far is durable; False after `timeout_ms` or an error of the disk."""
