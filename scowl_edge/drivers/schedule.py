"""What goes out next on one link: pure, in given time, so that its bound can be held by a test.

One request is under way at a time. In order of precedence: commands, reads that were asked for, polls by earliest due
time. A unit that was silent, garbled or slow the last time is *lame*: it yields to all work of the others that is due,
and after its turn the others come first again. A unit silent twice in a row is probed with its cheapest read after 5 s,
doubling to 60 s; a unit that has its link to itself harms nobody and is probed at its own pace.

A poll keeps its grid: a late one does not shift the next, and what was missed is counted, never made up for.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

BACKOFF_FIRST_MS = 5_000
BACKOFF_LONGEST_MS = 60_000
SETTLE_MS = 100
"""Quiet time after the link was opened: many gateways drop what comes sooner."""
LAME_EVERY = 19
"""Lame units may take one part of bus time for so many parts of the others when the bus is full: 5 %."""
FOREVER = 1 << 62


def worst_delay_ms(timeout_ms: int, units: int, *, pause_ms: int = 0, reads: int = 1, busy_ms: int = 0) -> int:
    """Longest time that silent, slow or garbling units together delay a due poll of a healthy unit on the same link.

    Each of `units` bad units can take one turn at full length before it counts as lame; once lame it yields. If healthy
    work alone fills the bus, one lame turn comes in for every `LAME_EVERY` such lengths. Each command to a bad unit can
    add one turn more. The time that healthy units take for themselves is not in it.

    Args:
        timeout_ms: Longest wait for a reply.
        units: Bad units behind the link, all failing at the same moment (the worst case).
        pause_ms: Quiet time between requests.
        reads: Requests of the longest transaction.
        busy_ms: Bus time that healthy units take for themselves while the poll waits.
    """
    if units <= 0:
        return 0
    turn = turn_ms(timeout_ms * reads, pause_ms)
    # turns = units + forced, and forced <= 1 + (busy_ms + turns * turn) / ((LAME_EVERY + 1) * turn); solved, then up.
    forced = -(-((LAME_EVERY + 1 + units) * turn + busy_ms) // (LAME_EVERY * turn))
    return (units + forced) * turn


def turn_ms(timeout_ms: int, pause_ms: int) -> int:
    """Longest time that one request to a bad unit holds the bus, reopening the link included."""
    return timeout_ms + pause_ms + SETTLE_MS


def jitter(key: str, attempt: int) -> float:
    """A fixed draw in [0.8, 1): spreads retries of many links and units without a random generator."""
    return 0.8 + 0.2 * (zlib.crc32(f"{key}/{attempt}".encode()) / 2**32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One recurring read of one unit."""

    unit: int
    period_ms: int
    cost: int
    """What it reads, in any measure: the smallest of a unit is its probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One command waiting for its turn."""

    serial: int
    units: tuple[int, ...]
    valid_until_ms: int


class TurnKind(Enum):
    """What to do now."""

    COMMAND = "command"
    EXPIRED = "expired"
    """A command whose time is over: not to be sent."""
    READ = "read"
    POLL = "poll"
    PROBE = "probe"


class Turn(NamedTuple):
    """One decision."""

    kind: TurnKind
    job: int
    """Index of the job; -1 for a command."""
    ticket: Ticket | None = None


class _Unit:
    """What is known of one unit."""

    __slots__ = ("jobs", "key", "misses", "probe", "retry_ms", "slow")

    def __init__(self, key: str, jobs: list[int], probe: int) -> None:
        self.key = key
        self.jobs = jobs
        self.probe = probe
        self.misses = 0
        self.retry_ms = 0
        self.slow = False


class Schedule:
    """The order of business of one link. All times are monotonic ms given by the caller."""

    def __init__(
        self, name: str, jobs: Sequence[Job], *, timeout_ms: int, pause_ms: int = 0, units: Sequence[int] = ()
    ) -> None:
        """Nothing is due before `opened`.

        Args:
            name: Name of the link: seed of phases and jitter.
            jobs: What is polled.
            timeout_ms: Longest wait for a reply.
            pause_ms: Quiet time between requests.
            units: Units that may be written to, where `jobs` does not name them already.
        """
        self.missed = 0
        """Polls that were skipped because the bus was late, since the start."""
        self._jobs = tuple(jobs)
        self._timeout_ms = timeout_ms
        self._pause_ms = pause_ms
        self._open = False
        self._quiet_until_ms = 0
        self._tickets: list[Ticket] = []
        self._asked: dict[int, int] = {}
        self._units: dict[int, _Unit] = {}
        for index, job in enumerate(self._jobs):
            unit = self._units.setdefault(job.unit, _Unit(f"{name}/{job.unit}", [], index))
            unit.jobs.append(index)
            if job.cost < self._jobs[unit.probe].cost:
                unit.probe = index
        for key in units:
            self._units.setdefault(key, _Unit(f"{name}/{key}", [], -1))
        self._alone = len(self._units) <= 1
        self._lame: dict[int, _Unit] = {}
        self._lame_done_ms = 0
        self._after_lame = False
        self._phase = [zlib.crc32(f"{name}/{job.unit}".encode()) % job.period_ms for job in self._jobs]
        self._due_ms = [0] * len(self._jobs)
        self._heap: list[tuple[int, int]] = []

    @property
    def waiting(self) -> tuple[Ticket, ...]:
        """Commands that had no turn yet, in order."""
        return tuple(self._tickets)

    def misses(self, unit: int) -> int:
        """Requests in a row that a unit left without a usable answer."""
        known = self._units.get(unit)
        return known.misses if known else 0

    def due_ms(self, job: int) -> int:
        """When a job's next poll is due."""
        return self._due_ms[job]

    def opened(self, now_ms: int, *, afresh: bool) -> None:
        """The link is there. `afresh`: it was down, so everything is to be read at once; else polls keep their grid."""
        self._open = True
        self._quiet_until_ms = max(self._quiet_until_ms, now_ms + SETTLE_MS)
        if not afresh:
            return
        # The grid's phase comes from the name, so that many links with one period do not poll in the same millisecond.
        self._due_ms = [self._quiet_until_ms - phase for phase in self._phase]
        self._heap = sorted((due, job) for job, due in enumerate(self._due_ms))
        for unit in self._lame.values():
            unit.retry_ms = now_ms

    def closed(self) -> None:
        """The link is gone; commands keep waiting until they are withdrawn or expire."""
        self._open = False

    def submit(self, ticket: Ticket) -> None:
        """Queues a command."""
        self._tickets.append(ticket)

    def withdraw_all(self) -> tuple[Ticket, ...]:
        """Takes back every command that had no turn yet."""
        tickets, self._tickets = tuple(self._tickets), []
        return tickets

    def ask(self, job: int, by_ms: int) -> None:
        """Wants one job read before the next poll. A unit in back-off is not asked sooner than its probe."""
        unit = self._units[self._jobs[job].unit]
        if unit.misses > 1 and not self._alone:
            return
        if unit.misses:
            unit.retry_ms = 0
            return
        self._asked[job] = min(by_ms, self._asked.get(job, by_ms))

    def next(self, now_ms: int) -> Turn | int:
        """The next turn, or the time until which there is nothing to do."""
        if self._tickets:
            for place, ticket in enumerate(self._tickets):
                if ticket.valid_until_ms < now_ms:
                    del self._tickets[place]
                    return Turn(TurnKind.EXPIRED, -1, ticket)
        if not self._open:
            return min((t.valid_until_ms + 1 for t in self._tickets), default=FOREVER)
        if now_ms < self._quiet_until_ms:
            return self._quiet_until_ms
        poll_due_ms, poll = self._first_poll()
        if not (self._tickets or self._asked or self._lame):
            return Turn(TurnKind.POLL, poll) if poll_due_ms <= now_ms else poll_due_ms
        return self._choose(now_ms, poll_due_ms, poll)

    def _choose(self, now_ms: int, poll_due_ms: int, poll: int) -> Turn | int:
        asked = min(
            (job for job in self._asked if self._jobs[job].unit not in self._lame),
            key=self._asked.__getitem__,
            default=-1,
        )
        lame_ticket = -1
        for place, ticket in enumerate(self._tickets):
            if self._lame.keys().isdisjoint(ticket.units):
                return Turn(TurnKind.COMMAND, -1, self._tickets.pop(place))
            if lame_ticket < 0:
                lame_ticket = place
        others_wait = asked >= 0 or poll_due_ms <= now_ms
        if lame_ticket >= 0 and not (self._after_lame and others_wait):
            return Turn(TurnKind.COMMAND, -1, self._tickets.pop(lame_ticket))
        if asked >= 0:
            return Turn(TurnKind.READ, asked)
        lame_due_ms, lame = self._first_lame()
        overdue = now_ms - self._lame_done_ms >= LAME_EVERY * turn_ms(self._timeout_ms, self._pause_ms)
        if poll_due_ms <= now_ms and not (lame_due_ms <= now_ms and overdue and not self._after_lame):
            return Turn(TurnKind.POLL, poll)
        if lame_due_ms <= now_ms:
            silent = self._units[self._jobs[lame].unit].misses > 0
            return Turn(TurnKind.PROBE if silent else TurnKind.POLL, lame)
        return min(poll_due_ms, lame_due_ms)

    def _first_poll(self) -> tuple[int, int]:
        """Due time and job of the earliest poll of the units that are not lame."""
        heap = self._heap
        while heap:
            due_ms, job = heap[0]
            if due_ms == self._due_ms[job] and self._jobs[job].unit not in self._lame:
                return due_ms, job
            heapq.heappop(heap)
        return FOREVER, -1

    def _first_lame(self) -> tuple[int, int]:
        best = (FOREVER, -1)
        for unit in self._lame.values():
            if not unit.jobs:
                continue
            if unit.misses:
                best = min(best, (unit.retry_ms, unit.probe))
            else:
                best = min(best, min((self._due(job), job) for job in unit.jobs))
        return best

    def _due(self, job: int) -> int:
        """Due time of a job; one that was asked for is due at once."""
        return 0 if job in self._asked else self._due_ms[job]

    def done(self, turn: Turn, *, began_ms: int, now_ms: int, answered: bool, unit: int | None = None) -> None:
        """Takes in how a turn went.

        Args:
            turn: What `next` returned.
            began_ms: When its first request left.
            now_ms: When its end was certain.
            answered: Whether the unit gave a usable answer; a refusal is one.
            unit: Unit that decided the end of a command; for reads it follows from the job.
        """
        self._quiet_until_ms = max(self._quiet_until_ms, now_ms + self._pause_ms)
        if turn.job >= 0:
            unit = self._jobs[turn.job].unit
            self._asked.pop(turn.job, None)
            self._advance(turn.job, now_ms, counted=not self._units[unit].misses)
        if unit is None or unit not in self._units:
            return
        known = self._units[unit]
        was_lame = unit in self._lame
        slow = answered and (now_ms - began_ms) * 2 > self._timeout_ms
        if answered:
            known.misses = 0
        else:
            known.misses += 1
            known.retry_ms = self._retry_at(known, now_ms)
            for job in known.jobs:
                self._asked.pop(job, None)
        known.slow = slow
        if answered and not slow:
            if was_lame:
                del self._lame[unit]
                for job in known.jobs:
                    late = max(now_ms - self._due_ms[job], 0) // self._jobs[job].period_ms
                    self._due_ms[job] += late * self._jobs[job].period_ms
                    heapq.heappush(self._heap, (self._due_ms[job], job))
        else:
            self._lame[unit] = known
        self._after_lame = was_lame or unit in self._lame
        if self._after_lame:
            self._lame_done_ms = now_ms

    def _advance(self, job: int, now_ms: int, *, counted: bool) -> None:
        """Next place on the grid after now; places between are missed, and counted where the unit was not silent."""
        due_ms, period_ms = self._due_ms[job], self._jobs[job].period_ms
        if due_ms > now_ms:
            return
        late = (now_ms - due_ms) // period_ms
        if counted:
            self.missed += late
        self._due_ms[job] = due_ms + (late + 1) * period_ms
        heapq.heappush(self._heap, (self._due_ms[job], job))

    def _retry_at(self, unit: _Unit, now_ms: int) -> int:
        if not unit.jobs:
            return FOREVER
        if self._alone:
            return max(self._due_ms[unit.probe], now_ms)
        if unit.misses == 1:
            return now_ms + self._jobs[unit.probe].period_ms
        doubled = BACKOFF_FIRST_MS << min(unit.misses - 2, 8)
        return now_ms + int(min(doubled, BACKOFF_LONGEST_MS) * jitter(unit.key, unit.misses))
