"""What goes out next on one link: pure, in given time, so that its bound can be held by a test.

In order of precedence: commands, reads that were asked for, polls by earliest due time, guests. At most `slots`
requests are under way at once, one unless the link pipelines.

A unit that was silent, garbled or slow the last time is *lame*: it yields to all work of the others that is due, and
after its turn the others come first again; while the others fill the bus it gets `probe_share` of the time. A unit
silent twice in a row is *down*: it is probed with its cheapest read after 5 s, doubling to 60 s, and all probes
together take at most `probe_share` of the time, whether the bus is full or not, since a probe holds it for a whole
time-out. A unit that has its link to itself harms nobody and is probed at its own pace.

A poll keeps its grid: a late one does not shift the next, and what was missed is counted, never made up for.
"""

from __future__ import annotations

import heapq
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from scowl_edge.drivers.bound import BACKOFF_FIRST_MS, BACKOFF_LONGEST_MS, FOREVER, PROBE_SHARE_PPM, UnitTimes

_PPM = 1_000_000


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
    """One command, or one guest's request, waiting for its turn."""

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
    GUEST = "guest"
    EXPIRED_GUEST = "expired guest"


class Turn(NamedTuple):
    """One decision."""

    kind: TurnKind
    job: int
    """Index of the job; -1 for a command or a guest."""
    ticket: Ticket | None = None


class _Unit:
    """What is known of one unit."""

    __slots__ = (
        "budget_ppm", "free", "jobs", "key", "misses", "pause_ms", "probe", "ready_ms", "retry_ms", "slow_ms", "times",
        "used_ms", "used_until_ms",
    )  # fmt: skip

    def __init__(self, key: str, jobs: list[int], probe: int, times: UnitTimes, slow_ms: int) -> None:
        self.key = key
        self.jobs = jobs
        self.probe = probe
        self.times = times
        self.pause_ms = times.pause_ms
        self.budget_ppm = times.budget_ppm
        self.slow_ms = slow_ms
        """A turn longer than this is slow: one that is shorter may come once for each job and stay in the allowance."""
        self.misses = 0
        self.retry_ms = 0
        self.ready_ms = 0
        self.free = False
        """The next probe waits for nobody's share: the link has been opened anew."""
        self.used_ms = 0.0
        self.used_until_ms = 0


class Schedule:
    """The order of business of one link. All times are monotonic ms given by the caller."""

    def __init__(
        self,
        name: str,
        jobs: Sequence[Job],
        units: Iterable[UnitTimes],
        *,
        pause_ms: int = 0,
        settle_ms: int = 0,
        share_ppm: int = PROBE_SHARE_PPM,
        slots: int = 1,
        guest_share_ppm: int = 0,
    ) -> None:
        """Nothing is due before `opened`.

        Args:
            name: Name of the link: seed of phases and jitter.
            jobs: What is polled.
            units: All units of the link, with what they can cost; `jobs` is counted here.
            pause_ms: Quiet time between requests.
            settle_ms: Quiet time after the link was opened.
            share_ppm: Most of the time that units take which do not answer, in millionths.
            slots: Most requests under way at once.
            guest_share_ppm: Most of the time that guests take.
        """
        self.missed = 0
        """Polls that were skipped because the bus was late, since the start."""
        self.skipped = 0
        """Polls that were left out while their unit was silent or lame, or the link down, since the start."""
        self.probes = 0
        """Probes of units that are down, since the start."""
        self.busy_ms = 0
        """Time in which a request was under way, since the start; of several at once each counts."""
        self._jobs = tuple(jobs)
        self._pause_ms = pause_ms
        self._settle_ms = settle_ms
        self._patience = (_PPM - share_ppm) / share_ppm
        self._guest_patience = (_PPM - guest_share_ppm) / guest_share_ppm if guest_share_ppm else 0.0
        self._slots = slots
        self._open = False
        self._quiet_until_ms = 0
        self._under_way = 0
        self._lame_turn: Turn | None = None
        """The turn of a lame unit that is under way: one at a time, however many slots there are."""
        self._flying: set[int] = set()
        self._tickets: list[Ticket] = []
        self._guests: deque[Ticket] = deque()
        self._guest_gate_ms = 0
        self._asked: dict[int, int] = {}
        jobs_of: dict[int, list[int]] = {}
        for index, job in enumerate(self._jobs):
            jobs_of.setdefault(job.unit, []).append(index)
        self._units: dict[int, _Unit] = {}
        for times in units:
            own = jobs_of.get(times.number, [])
            probe = min(own, key=lambda index: self._jobs[index].cost, default=-1)
            key, slow_ms = f"{name}/{times.number}", times.turn_ms // (max(len(own), 1) + 1)
            self._units[times.number] = _Unit(key, own, probe, times, slow_ms)
        self._unit_of = [self._units[job.unit] for job in self._jobs]
        self._alone = len(self._units) <= 1
        self._paced = any(unit.pause_ms for unit in self._units.values())
        self._lame: dict[int, _Unit] = {}
        self._forced_gate_ms = self._probe_gate_ms = 0
        self._after_lame = False
        self._phase = [zlib.crc32(f"{name}/{job.unit}".encode()) % job.period_ms for job in self._jobs]
        self._due_ms = [0] * len(self._jobs)
        self._origin_ms = self._due_ms
        """A place on each job's grid."""
        self._heap: list[tuple[int, int]] = []
        self._resting: list[tuple[int, int]] = []
        """(ready, job) of jobs whose unit is in its own pause."""

    @property
    def waiting(self) -> tuple[Ticket, ...]:
        """Commands that had no turn yet, in order."""
        return tuple(self._tickets)

    @property
    def waits(self) -> bool:
        """Whether a command or a guest waits for its turn."""
        return bool(self._tickets or self._guests)

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
        self._under_way, self._lame_turn = 0, None
        self._quiet_until_ms = max(self._quiet_until_ms, now_ms + self._settle_ms)
        flying, self._flying = self._flying, set()
        if not afresh:
            for job in flying:
                self._queue(job)
            return
        for job, due_ms in enumerate(self._due_ms):
            if due_ms:
                self.skipped += max(self._quiet_until_ms - due_ms, 0) // self._jobs[job].period_ms
        # The grid's phase comes from the name, so that many links with one period do not poll in the same millisecond.
        self._origin_ms = [self._quiet_until_ms - phase for phase in self._phase]
        self._due_ms = list(self._origin_ms)
        self._resting.clear()
        self._heap = sorted(
            (due, job) for job, due in enumerate(self._due_ms) if self._jobs[job].unit not in self._lame
        )
        for unit in self._lame.values():
            unit.retry_ms, unit.free = now_ms, True

    def closed(self) -> None:
        """The link is gone; commands keep waiting until they are withdrawn or expire."""
        self._open = False

    def submit(self, ticket: Ticket) -> None:
        """Queues a command."""
        self._tickets.append(ticket)

    def submit_guest(self, ticket: Ticket) -> None:
        """Queues a request that comes after everything else, within the guests' share of the time."""
        self._guests.append(ticket)

    def withdraw_all(self) -> tuple[Ticket, ...]:
        """Takes back every command that had no turn yet."""
        tickets, self._tickets = tuple(self._tickets), []
        return tickets

    def withdraw_guests(self) -> tuple[Ticket, ...]:
        """Takes back every guest's request that had no turn yet."""
        guests, self._guests = tuple(self._guests), deque()
        return guests

    def ask(self, job: int, by_ms: int) -> None:
        """Wants one job read before the next poll. A unit in back-off is not asked sooner than its probe."""
        unit = self._unit_of[job]
        if unit.misses > 1 and not self._alone:
            return
        if unit.misses:
            unit.retry_ms = 0
            return
        self._asked[job] = min(by_ms, self._asked.get(job, by_ms))

    # -- what is next

    def next(self, now_ms: int) -> Turn | int:
        """The next turn, or the time until which there is nothing to do. A turn counts as under way until `done`."""
        if self._tickets:
            for place, ticket in enumerate(self._tickets):
                if ticket.valid_until_ms < now_ms:
                    del self._tickets[place]
                    return Turn(TurnKind.EXPIRED, -1, ticket)
        if self._guests and self._guests[0].valid_until_ms < now_ms:
            return Turn(TurnKind.EXPIRED_GUEST, -1, self._guests.popleft())
        if not self._open or self._under_way >= self._slots:
            return self._first_end_ms()
        if now_ms < self._quiet_until_ms:
            return self._quiet_until_ms
        if self._resting:
            self._wake_rested(now_ms)
        poll_due_ms, poll = self._first_poll(now_ms)
        if self._tickets or self._asked or self._lame or self._guests:
            return self._choose(now_ms, poll_due_ms, poll)
        if poll_due_ms <= now_ms:
            return self._issue(Turn(TurnKind.POLL, poll))
        return min(poll_due_ms, self._resting[0][0]) if self._resting else poll_due_ms

    def _first_end_ms(self) -> int:
        """When a waiting command or guest is over."""
        ends = [ticket.valid_until_ms + 1 for ticket in self._tickets]
        if self._guests:
            ends.append(self._guests[0].valid_until_ms + 1)
        return min(ends, default=FOREVER)

    def _ready_ms(self, ticket: Ticket) -> int:
        """When all of its units have had their pause."""
        return max((self._units[n].ready_ms for n in ticket.units if n in self._units), default=0)

    def _choose(self, now_ms: int, poll_due_ms: int, poll: int) -> Turn | int:
        lame_ticket, resume_ms = -1, FOREVER
        for place, ticket in enumerate(self._tickets):
            if (ready_ms := self._ready_ms(ticket)) > now_ms:
                resume_ms = min(resume_ms, ready_ms)
            elif self._lame.keys().isdisjoint(ticket.units):
                return self._issue(Turn(TurnKind.COMMAND, -1, self._tickets.pop(place)))
            elif lame_ticket < 0:
                lame_ticket = place
        asked = self._first_asked(now_ms)
        others_wait = asked >= 0 or poll_due_ms <= now_ms
        if lame_ticket >= 0 and not (self._after_lame and others_wait) and self._lame_turn is None:
            return self._issue(Turn(TurnKind.COMMAND, -1, self._tickets.pop(lame_ticket)))
        if asked >= 0:
            return self._issue(Turn(TurnKind.READ, asked))
        lame_due_ms, lame = self._first_lame(now_ms)
        lame_is_due = lame_due_ms <= now_ms and self._lame_turn is None
        if poll_due_ms <= now_ms and not (lame_is_due and now_ms >= self._forced_gate_ms and not self._after_lame):
            return self._issue(Turn(TurnKind.POLL, poll))
        if lame_is_due:
            silent = self._unit_of[lame].misses > 0
            return self._issue(Turn(TurnKind.PROBE if silent else TurnKind.POLL, lame))
        if self._guests:
            guest_ms = max(self._guest_gate_ms, self._ready_ms(self._guests[0]))
            if guest_ms <= now_ms:
                return self._issue(Turn(TurnKind.GUEST, -1, self._guests.popleft()))
            resume_ms = min(resume_ms, guest_ms)
        if self._resting:
            resume_ms = min(resume_ms, self._resting[0][0])
        if self._lame_turn is not None:
            lame_due_ms = FOREVER
        return min(poll_due_ms, lame_due_ms, resume_ms, self._first_end_ms())

    def _issue(self, turn: Turn) -> Turn:
        self._under_way += 1
        lame: bool
        if turn.job >= 0:
            job = turn.job
            self._asked.pop(job, None)
            self._flying.add(job)
            unit = self._jobs[job].unit
            if self._heap and self._heap[0] == (self._due_ms[job], job):
                heapq.heappop(self._heap)
            lame = unit in self._lame
        else:
            assert turn.ticket is not None
            lame = not self._lame.keys().isdisjoint(turn.ticket.units)
        if lame:
            self._lame_turn = turn
        return turn

    def _first_asked(self, now_ms: int) -> int:
        best, best_by_ms = -1, FOREVER
        for job, by_ms in self._asked.items():
            unit = self._jobs[job].unit
            free = unit not in self._lame and job not in self._flying and self._units[unit].ready_ms <= now_ms
            if free and by_ms < best_by_ms:
                best, best_by_ms = job, by_ms
        return best

    def _first_poll(self, now_ms: int) -> tuple[int, int]:
        """Due time and job of the earliest poll of the units that are not lame and not in their pause."""
        heap = self._heap
        while heap:
            due_ms, job = heap[0]
            unit = self._unit_of[job]
            if (
                due_ms != self._due_ms[job]
                or job in self._flying
                or (self._lame and self._jobs[job].unit in self._lame)
            ):
                heapq.heappop(heap)
            elif self._paced and due_ms <= now_ms < unit.ready_ms:
                heapq.heappop(heap)
                heapq.heappush(self._resting, (unit.ready_ms, job))
            else:
                return due_ms, job
        return FOREVER, -1

    def _wake_rested(self, now_ms: int) -> None:
        while self._resting and self._resting[0][0] <= now_ms:
            self._queue(heapq.heappop(self._resting)[1])

    def _first_lame(self, now_ms: int) -> tuple[int, int]:
        best = (FOREVER, -1)
        for unit in self._lame.values():
            if not unit.jobs:
                continue
            if not unit.misses:
                due_ms, job = min((self._due(job), job) for job in unit.jobs)
            else:
                due_ms, job = unit.retry_ms, unit.probe
                if job in self._flying:
                    # It was under way already when another read of the unit failed.
                    due_ms = FOREVER
                elif unit.misses > 1 and not unit.free and not self._alone:
                    due_ms = max(due_ms, self._probe_gate_ms)
            best = min(best, (max(due_ms, unit.ready_ms), job))
        return best

    def _due(self, job: int) -> int:
        """Due time of a job; one that was asked for is due at once."""
        if job in self._flying:
            return FOREVER
        return 0 if job in self._asked else self._due_ms[job]

    def _queue(self, job: int) -> None:
        heapq.heappush(self._heap, (self._due_ms[job], job))

    # -- what came of it

    def done(self, turn: Turn, *, began_ms: int, now_ms: int, answered: bool, unit: int | None = None) -> None:
        """Takes in how a turn went.

        Args:
            turn: What `next` returned.
            began_ms: When its first request left.
            now_ms: When its end was certain.
            answered: Whether the unit gave a usable answer; a refusal is one.
            unit: Unit that decided the end of a command; for reads it follows from the job.
        """
        self._under_way = max(self._under_way - 1, 0)
        took_ms = now_ms - began_ms
        self.busy_ms += took_ms
        if self._pause_ms:
            self._quiet_until_ms = max(self._quiet_until_ms, now_ms + self._pause_ms)
        job = turn.job
        if job >= 0:
            known = self._unit_of[job]
            unit = self._jobs[job].unit
            self._flying.discard(job)
            self._advance(job, now_ms, counted=not known.misses)
        was_lame = turn is self._lame_turn
        if was_lame:
            self._lame_turn = None
        if unit is None or unit not in self._units:
            return
        known = self._units[unit]
        known.ready_ms = now_ms + known.pause_ms
        if turn.kind is TurnKind.GUEST:
            # Others may ask what a unit never answers: that says nothing of it.
            self._guest_gate_ms = now_ms + int(took_ms * self._guest_patience)
            return
        if answered and not self._lame and took_ms <= known.slow_ms and not known.budget_ppm:
            # By far the most common end.
            self._after_lame = False
            if job >= 0:
                self._queue(job)
            return
        self._judge(known, turn, began_ms=began_ms, now_ms=now_ms, answered=answered)
        self._after_lame = was_lame or unit in self._lame
        if was_lame:
            # A turn that was forced upon the others pays for it with the time until the next one.
            self._forced_gate_ms = now_ms + int(took_ms * self._patience)

    def _judge(self, known: _Unit, turn: Turn, *, began_ms: int, now_ms: int, answered: bool) -> None:
        """Whether a unit is lame, after a turn that was not plainly good or while others are lame."""
        unit, took_ms = known.times.number, now_ms - began_ms
        was_lame = unit in self._lame
        if turn.kind is TurnKind.PROBE and known.misses > 1:
            self.probes += 1
            self._probe_gate_ms = now_ms + int(took_ms * self._patience)
        known.free = False
        if answered:
            known.misses = 0
        else:
            known.misses += 1
            known.retry_ms = self._retry_at(known, now_ms)
            for job in known.jobs:
                self._asked.pop(job, None)
        spent = self._spent(known, began_ms, now_ms)
        if not answered or took_ms > known.slow_ms or spent:
            self._lame[unit] = known
        else:
            if was_lame:
                del self._lame[unit]
                self._readmit(known, now_ms)
            elif turn.job >= 0:
                self._queue(turn.job)

    def _readmit(self, known: _Unit, now_ms: int) -> None:
        """A unit is as good as the others again. What it missed is due at once, but behind those who wait already."""
        for job in known.jobs:
            if job not in self._flying:
                self.skipped += max(now_ms - self._due_ms[job], 0) // self._jobs[job].period_ms
                self._due_ms[job] = max(self._due_ms[job], now_ms)
                self._queue(job)

    def _spent(self, known: _Unit, began_ms: int, now_ms: int) -> bool:
        """Whether a unit has used up its budget: a bucket of two turns that runs empty at the pace of its share."""
        if not known.budget_ppm:
            return False
        drained = (began_ms - known.used_until_ms) * known.budget_ppm / _PPM
        known.used_ms = max(known.used_ms - drained, 0.0) + now_ms - began_ms
        known.used_until_ms = now_ms
        return known.used_ms > 2 * known.times.turn_ms

    def _advance(self, job: int, now_ms: int, *, counted: bool) -> None:
        """Next place on the grid after now; places between are missed, or skipped where the unit was silent."""
        due_ms = self._due_ms[job]
        if due_ms > now_ms:
            return
        period_ms = self._jobs[job].period_ms
        late = (now_ms - due_ms) // period_ms
        if counted:
            self.missed += late
        else:
            self.skipped += late
        self._due_ms[job] = now_ms + period_ms - (now_ms - self._origin_ms[job]) % period_ms

    def _retry_at(self, unit: _Unit, now_ms: int) -> int:
        if not unit.jobs:
            return FOREVER
        if self._alone:
            return max(self._due_ms[unit.probe], now_ms)
        if unit.misses == 1:
            return now_ms + self._jobs[unit.probe].period_ms
        doubled = BACKOFF_FIRST_MS << min(unit.misses - 2, 8)
        return now_ms + int(min(doubled, BACKOFF_LONGEST_MS) * jitter(unit.key, unit.misses))
