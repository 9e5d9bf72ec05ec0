"""A tracker as a process in virtual time: it steps, dies at any boundary of its journal, and starts again from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from scowl_edge.control import Core
from scowl_edge.inbox import Inbox
from scowl_edge.journal.memory import MemoryJournal
from scowl_edge.journal.records import BOOT, INPUTS, PLAN, SNAPSHOT, read_plan
from scowl_edge.journal.replay import replay
from scowl_edge.model.batch import Batch
from scowl_edge.model.effect import Effect, Inputs, Plan
from scowl_edge.model.site import Site
from scowl_edge.model.tick import Tick
from scowl_edge.turn import Clocks, Turn, resume
from simulators.world.laws import Law, LawBook
from simulators.world.schedule import Schedule, mix

BASE_UTC_MS = 1_900_000_000_000
_TRIM_EVERY = 4
"""Steps."""


class _Died(Exception):
    """The process ends here; nothing after this line of its code happens."""


class SeenInbox(Inbox):
    """An inbox that shows what it gave to the last step."""

    last: Inputs | None = None

    def freeze(self, tick: Tick) -> Inputs:
        """Freezes, and keeps a look at it."""
        self.last = super().freeze(tick)
        return self.last


class RunningTracker:
    """The core of a region with its journal and clocks, alive or not."""

    def __init__(
        self,
        site: Site,
        schedule: Schedule,
        book: LawBook,
        seed: int,
        *,
        snapshot_every: int,
        replay_every: int = 1,
        on_step: Callable[[Inputs, Plan], None],
        on_effect: Callable[[Effect], None],
        on_start: Callable[[int, bool], None],
    ) -> None:
        """Starts it on an empty journal.

        Args:
            site: what it balances.
            schedule: virtual time.
            book: where laws are noted.
            seed: of the boot record.
            snapshot_every: steps.
            replay_every: of the stretches between two snapshots, one in so many is drawn to be run again.
            on_step: sees every step, before anything of it leaves.
            on_effect: carries out an effect.
            on_start: told, after every start, the last step that the state holds, and whether it holds all before it.
        """
        self.site, self.schedule, self.book = site, schedule, book
        self.counts: Counter[str] = Counter()
        """Boundaries at which it died, by name; steps; starts."""
        self.journal = MemoryJournal()
        self.utc_shift_ms = 0
        self.utc_ok = True
        self.mono_shift_ms = 0
        self.alive = False
        self.late_until_ms = 0
        self.full_until_ms = 0
        self.die_starting = False
        """The next start ends before its records are durable."""
        self.tear_next = False
        """The last snapshot will be found damaged at the next start."""
        self._seed, self._snapshot_every, self._replay_every = seed, snapshot_every, replay_every
        self._stretches = 0
        """How many have ended."""
        self._spare: list[Core] = []
        self._on_step, self._on_effect, self._on_start = on_step, on_effect, on_start
        self._die_in = -1
        self._keep = 0
        self._down_ms = 0
        self._turn_at = -1
        self.core: Core
        self.turn: Turn
        self.inbox: SeenInbox
        self.start()

    # -- clocks ------------------------------------------------------------------------------------------------------

    @property
    def mono_ms(self) -> int:
        """The machine's monotonic clock."""
        return self.schedule.now_ms + self.mono_shift_ms

    def _clocks(self) -> Clocks:
        utc = BASE_UTC_MS + self.schedule.now_ms + self.utc_shift_ms
        return Clocks(mono_ms=self.mono_ms, utc_ms=utc, utc_ok=self.utc_ok)

    # -- life and death ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the process on its journal."""
        self.journal.full = False
        self.journal.delay_ms = 0
        if self.tear_next:
            self.tear_next = False
            self._tear()
        recovery = self.journal.recover()
        self.core = Core(self.site)
        self.inbox = SeenInbox(0, [], [], [])
        self.turn = resume(
            recovery,
            self.core,
            lambda _text: Core(self.site),
            self.inbox,
            self.journal,
            self._clocks(),
            version="world",
            seed=self._seed,
            text="",
            fingerprint=self.site.fingerprint,
            snapshot_every=self._snapshot_every,
        )
        # What a full journal did not take is forgotten, unless a snapshot holds it that is not damaged.
        first = 1 + (recovery.snapshot.step if recovery.snapshot is not None else 0)
        known = [r.step for r in recovery.records if r.kind == INPUTS]
        whole = known == list(range(first, first + len(known)))
        self.counts["starts that know of a hole"] += not whole
        plans = [r for r in recovery.records if r.kind == PLAN]
        if whole and plans and plans[-1].step == recovery.step:
            recorded = read_plan(plans[-1]).digests
            held = self.core.digests()
            differing = [name for (name, a), (_, b) in zip(recorded, held, strict=True) if a != b]
            self.book.hold(Law.RECOVERY, recovery.step, not differing, f"other digests of {', '.join(differing)}")
        self._on_start(recovery.step, whole)
        if self.die_starting:
            self.die_starting = False
            self.counts["died when starting"] += 1
            self._end()
            return
        self.journal.make_durable()
        self.alive = True
        self.counts["starts"] += 1
        self._turn_at = -1
        self.turn_by(self.schedule.now_ms + 1)

    def die_after(self, boundaries: int, keep: int, down_ms: int) -> None:
        """It dies at a boundary to come; of what was not durable the first `keep` records survive."""
        self._die_in, self._keep, self._down_ms = boundaries, keep, down_ms

    def reboot(self, mono_ms: int, down_ms: int) -> None:
        """The machine goes down at once and comes back with its monotonic clock near its beginning."""
        self._keep, self._down_ms = 0, down_ms
        if self.alive:
            self._end()
        self.mono_shift_ms = mono_ms - self.schedule.now_ms - down_ms

    def _boundary(self, name: str) -> None:
        if self._die_in < 0:
            return
        self._die_in -= 1
        if self._die_in < 0:
            self.counts[f"died when {name}"] += 1
            raise _Died

    def _end(self) -> None:
        self.alive = False
        volatile = len(self.journal.volatile)
        self.journal = self.journal.crash(self._keep % (volatile + 1))
        self.schedule.at(self.schedule.now_ms + self._down_ms, self.start)

    def _tear(self) -> None:
        """Damages the newest snapshot, if an older one is there to fall back to."""
        records = list(self.journal.durable)
        at = [i for i, r in enumerate(records) if r.kind == SNAPSHOT]
        if len(at) > 1:
            torn = records[at[-1]]
            records[at[-1]] = replace(torn, payload=torn.payload[: len(torn.payload) * 2 // 3])
            self.journal = MemoryJournal(records)
            self.counts["snapshots torn"] += 1

    # -- steps -------------------------------------------------------------------------------------------------------

    def take(self, batch: Batch, *, urgent: bool) -> None:
        """A message arrives at the living process."""
        self.inbox.batch(batch)
        if urgent:
            self.turn_by(self.schedule.now_ms + 1)

    def turn_by(self, at_ms: int) -> None:
        """The next step comes then, or earlier if one is due earlier."""
        if self._turn_at < 0 or at_ms < self._turn_at:
            self._turn_at = due = max(at_ms, self.schedule.now_ms)
            turn = self.turn
            self.schedule.at(due, lambda: self._step(turn, due))

    def _step(self, turn: Turn, due_ms: int) -> None:
        if not self.alive or turn is not self.turn or due_ms != self._turn_at:
            return
        self._turn_at = -1
        try:
            self._live(turn)
        except _Died:
            self._end()

    def _live(self, turn: Turn) -> None:
        now = self.schedule.now_ms
        self._boundary("idle")
        self.journal.full = now < self.full_until_ms
        self.journal.delay_ms = 10_000 if now < self.late_until_ms else 0
        plan = turn.decide(self._clocks())
        self.counts["steps"] += 1
        self.book.hold(Law.SOUND, plan.step, not turn.failure, turn.failure)
        if self.inbox.last is not None:
            self._on_step(self.inbox.last, plan)
        self._boundary("decided")
        durable = self.journal.commit(200)
        self._boundary("durable" if durable else "late")
        turn.settled(durable)
        self._trim()
        for effect in turn.may_leave(plan, durable):
            self._on_effect(effect)
            self._boundary("sent")
        self.turn_by(plan.wake_at_ms - self.mono_shift_ms)

    def dispatch_boundary(self) -> None:
        """A boundary inside of an effect that leaves as several messages."""
        self._boundary("half sent")

    def _trim(self) -> None:
        """Forgets what came before the last snapshot but one; where that is drawn, it is run again before."""
        # Most steps take no snapshot: then there is nothing new to forget.
        if self.turn.step % _TRIM_EVERY or self.journal.volatile:
            return
        records = self.journal.durable
        at = [i for i, r in enumerate(records) if r.kind == SNAPSHOT]
        if len(at) >= 3:
            cut = at[-2]
            self._stretches += 1
            if self._drawn():
                self._replay(cut + 1)
            boots = [r for r in records[:cut] if r.kind == BOOT]
            self.journal = MemoryJournal([*boots[-1:], *records[cut:]])
            self.turn.journal = self.journal

    def _replay(self, until: int) -> None:
        records = self.journal.durable[:until]
        empty = any(r.kind == BOOT and r.step == 0 for r in records)
        report = replay(records, (lambda _text: Core(self.site)) if empty else self._used_core)
        self.counts["steps run again"] += report.steps
        self.book.checks[Law.REPLAY.name] += max(0, report.steps - 1)
        self.book.hold(Law.REPLAY, self.turn.step, report.identical, str(report.difference))

    def _drawn(self) -> bool:
        return mix(self._seed, self._stretches) % self._replay_every == 0

    def _used_core(self, _text: str) -> Core:
        """Two that take turns, since to build one takes long: each is given a whole state before it steps."""
        if len(self._spare) < 2:
            self._spare.append(Core(self.site))
        else:
            self._spare.reverse()
        return self._spare[-1]

    def finish(self) -> None:
        """Runs the rest of the journal again."""
        self.journal.make_durable()
        self._stretches += 1
        if self._drawn():
            self._replay(len(self.journal.durable))
