"""One turn without any I/O: freeze, journal, step, journal; and the way back after a crash.

The loop on real clocks and the world in virtual time both run this, so that what is tested there runs here.
Order on the journal: inputs k < plan k < barrier < effects k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scowl_edge.contracts import Journal, JournalFull, Record
from scowl_edge.control import Core
from scowl_edge.inbox import Inbox
from scowl_edge.journal.records import (
    INPUTS,
    SENDING,
    BootRecord,
    answered_record,
    boot_record,
    gap_record,
    inputs_record,
    plan_record,
    read_inputs,
    read_sending,
    read_snapshot,
    snapshot_record,
)
from scowl_edge.journal.recovery import Recovery
from scowl_edge.model.batch import Assign, Seated
from scowl_edge.model.command import CommandId, OutcomeKind, WriteClass
from scowl_edge.model.effect import Effect, Inputs, Plan, Send, Write
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.event import Booted, JournalGap, Outcome, StepFailed, Told
from scowl_edge.model.exchange import Ack, AckStatus, Answered
from scowl_edge.model.tick import Late, Tick

SAME_BOOT_TOLERANCE_MS = 2_000
LARGE_STATE, MOST_RARE = 4 << 20, 12
"""Bytes of state that one usual distance between snapshots is for; the longest distance, in usual ones."""
MOST_HELD = 20_000
"""Messages that wait for the journal."""
LATE_PART = 4
"""A turn counts as late from the fourth part of a period on."""


class RecoveryError(ScowlError):
    """The state that a journal holds is of no use to this version; going on without it would forget people's orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """One look at the clocks."""

    mono_ms: int
    utc_ms: int
    utc_ok: bool


class Turn:
    """Takes a region from inbox to plan, and keeps the journal's order."""

    def __init__(
        self, core: Core, inbox: Inbox, journal: Journal, *, boot: int, step: int, snapshot_every: int = 300
    ) -> None:
        """`step` is the last step done; `snapshot_every` is in steps."""
        self.core = core
        self.inbox = inbox
        self.journal = journal
        self.boot = boot
        self.step = step
        self.journal_ok = True
        self._snapshot_every = snapshot_every
        self._since_snapshot = 0
        self._hole: JournalGap | None = None
        self._base = core.snapshot()
        self._since: list[Inputs] = []
        self._taken = True
        """Whether the journal took the last step's records: what it did not take no barrier makes durable."""
        self._held: list[Send] = []
        """What was decided and must not be said before it is durable."""
        self.lost_sends = 0
        self.failure = ""
        """What the last step raised, empty if it did not."""
        self.answers: Callable[[Plan], Sequence[Answered]] | None = None
        """Which messages of peers a plan answers for good: noted behind it, so that a restart knows them."""
        self.acknowledged: list[tuple[Told, Ack]] = []
        """What steps that were run again at the start answered for good."""

    def decide(self, clocks: Clocks, late_ms: int = 0) -> Plan:
        """Freezes, steps, and appends both records; nothing may leave before the barrier.

        `late_ms` is how much later than due this turn comes.
        """
        self.step += 1
        tick = Tick(
            step=self.step,
            mono_ms=clocks.mono_ms,
            utc_ms=clocks.utc_ms,
            utc_ok=clocks.utc_ok,
            journal_ok=self.journal_ok,
            move_budget=self.core.site.policy.move_budget,
            late=self._late(late_ms),
        )
        inputs = self.inbox.freeze(tick)
        taken = self.append(inputs_record(self.boot, inputs))
        self.failure = ""
        try:
            plan = self.core.step(inputs)
            self._since.append(inputs)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not take the region along
            plan = self._set_aside(inputs, f"{type(error).__name__}: {error}")
        # What was decided in a step that raised does not follow from its inputs: it has no plan record.
        self._taken = taken and (bool(self.failure) or self.append(plan_record(self.boot, plan)))
        answered = self.answers(plan) if self._taken and self.answers is not None else ()
        if answered:
            self._taken = self.append(answered_record(self.boot, self.step, answered))
        if not self._taken:
            self._widen_hole("the journal's queue is full")
        return plan

    def _late(self, late_ms: int) -> Late:
        period_ms = self.core.site.policy.period_ms
        if late_ms >= period_ms:
            return Late.VERY_LATE
        return Late.LATE if late_ms * LATE_PART >= period_ms else Late.ON_TIME

    def _set_aside(self, inputs: Inputs, failure: str) -> Plan:
        """A step that raised has spoiled the state: it is rebuilt, and done without its events, or not at all.

        The targets stand meanwhile; the core is told at the next step and raises an alarm.
        """
        self.failure = failure
        quiet = replace(inputs, events=())
        self._rebuild()
        try:
            plan = self.core.step(quiet)
        except Exception:  # noqa: BLE001 - then not even the readings can be taken: the state stays as it was
            self._rebuild()
            wake = inputs.tick.mono_ms + self.core.site.policy.period_ms
            plan = Plan(inputs.tick.step, (), wake, self.core.digests(), False)
        self._widen_hole(f"the step raised {failure}")
        # Not at once: a step that raises whatever it is given would raise without a pause.
        self.inbox.keep(StepFailed(step=inputs.tick.step, why=failure, events_lost=len(inputs.events)))
        self._base, self._since = self.core.snapshot(), []
        return plan

    def _rebuild(self) -> None:
        self.core.restore(self._base)
        for earlier in self._since:
            self.core.step(earlier)

    def settled(self, durable: bool) -> None:
        """Tells the outcome of the barrier after `decide`; a hole is recorded as soon as the disk takes it."""
        durable = durable and self._taken
        if not durable:
            self._widen_hole("not durable in time" if self._taken else "the journal's queue is full")
        elif self._hole is not None:
            hole, self._hole = self._hole, None
            if self.append(gap_record(self.boot, hole)):
                self.inbox.keep(hole)
                self.snapshot()
            else:
                self._hole = hole
        self.journal_ok = durable
        self._since_snapshot += 1
        if durable and self._since_snapshot >= self._snapshot_every * self._rarer():
            self.snapshot()

    def may_leave(self, plan: Plan, durable: bool) -> list[Effect]:
        """The effects that may go now. What must stay is told to the core as withheld."""
        if durable and self._taken:
            held, self._held = self._held, []
            return [*held, *plan.effects]
        leaving: list[Effect] = []
        for effect in plan.effects:
            if isinstance(effect, Assign | Seated):
                continue  # The first is repeated as long as nobody confirms it; who hears nothing of a join asks again.
            if isinstance(effect, Send) and not effect.safety:
                self._hold(effect)
            elif isinstance(effect, Write) and not effect.command.safety:
                self.inbox.event(
                    Outcome(
                        command=effect.command.id,
                        kind=OutcomeKind.WITHHELD,
                        at_ms=self.core.memory.situation.last_mono_at,
                        detail="the journal is late",
                    )
                )
            else:
                leaving.append(effect)
        return leaving

    def _hold(self, effect: Send) -> None:
        """Keeps a message until the journal follows. What does not fit is as good as lost on its way: peers ask again
        for what is not acknowledged, and tell all they hold when a link comes back."""
        if len(self._held) < MOST_HELD:
            self._held.append(effect)
        else:
            self.lost_sends += 1

    def _rarer(self) -> int:
        """A state of many megabytes is stored less often; a restart runs the steps since again, so not too rarely."""
        return min(MOST_RARE, max(1, len(self._base) // LARGE_STATE))

    def snapshot(self) -> None:
        """Appends the core's state as it is between two steps."""
        self._since_snapshot = 0
        self._base, self._since = self.core.snapshot(), []
        self.append(snapshot_record(self.boot, self.step, self._base))

    def append(self, record: Record) -> bool:
        """Queues a record; False when the journal's queue is full."""
        try:
            self.journal.append(record)
        except JournalFull:
            return False
        return True

    def _widen_hole(self, why: str) -> None:
        first = self._hole.first_step if self._hole is not None else self.step
        self._hole = JournalGap(first_step=first, last_step=self.step, why=why)


def resume(
    recovery: Recovery,
    core: Core,
    make_core: Callable[[str], Core],
    inbox: Inbox,
    journal: Journal,
    clocks: Clocks,
    *,
    version: str,
    seed: int,
    text: str,
    fingerprint: str,
    snapshot_every: int = 300,
) -> Turn:
    """Brings a core to where the journal ends and opens the next boot.

    With the same configuration the state is restored whole. With another one the old state is rebuilt under the old
    configuration, and what has a name in both is carried over: modes, values found at the first take-over.

    Args:
        recovery: what the journal holds.
        core: a new core of the present configuration.
        make_core: builds a core from the text of an old configuration.
        inbox: takes the boot event and the outcomes of commands that a crash cut off.
        journal: takes the boot record and a first snapshot.
        clocks: now.
        version: of the daemon.
        seed: of random draws.
        text: of the present configuration.
        fingerprint: of the present configuration.
        snapshot_every: steps between snapshots.
    """
    boot = recovery.boot + 1
    shift, by_utc = 0, True
    acknowledged: list[tuple[Told, Ack]] = []
    if recovery.booted is not None:
        try:
            old_core = core if recovery.booted.fingerprint == fingerprint else make_core(recovery.booted.config)
            sent, acknowledged = _replay(recovery, old_core)
        except ScowlError as error:
            raise RecoveryError(
                f"the journal's last state, of version {recovery.booted.version}, cannot be taken up by this one "
                f"({error}); go back to that version, or move the journal away: modes, sheds and targets are forgotten "
                "then, and every device is read before anything is decided"
            ) from error
        shift, by_utc = rebase_ms(old_core, clocks)
        if old_core is not core:
            core.adopt(old_core)
    else:
        sent = frozenset()
    record = BootRecord(
        version=version,
        seed=seed,
        boot=boot,
        mono_ms=clocks.mono_ms,
        utc_ms=clocks.utc_ms,
        utc_ok=clocks.utc_ok,
        config=text,
        fingerprint=fingerprint,
    )
    turn = Turn(core, inbox, journal, boot=boot, step=recovery.step, snapshot_every=snapshot_every)
    turn.acknowledged = acknowledged
    turn.append(boot_record(record, recovery.step))
    if recovery.booted is not None:
        turn.snapshot()
    inbox.event(Booted(boot=boot, version=version, mono_base_ms=shift, rebased_by_utc=by_utc))
    for command, write_class in core.ledger.awaited():
        cut_off = write_class is WriteClass.VOLATILE or command in sent
        inbox.event(
            Outcome(
                command=command,
                kind=OutcomeKind.UNKNOWN if cut_off else OutcomeKind.WITHHELD,
                at_ms=clocks.mono_ms,
                detail="the daemon ended before the answer" if cut_off else "the daemon ended before it was sent",
            )
        )
    return turn


def _replay(recovery: Recovery, core: Core) -> tuple[frozenset[CommandId], list[tuple[Told, Ack]]]:
    """Restores and re-runs; returns the stored or pulse commands whose bytes may have left, and what was answered."""
    base = read_snapshot(recovery.snapshot) if recovery.snapshot is not None else core.snapshot()
    core.restore(base)
    done: list[Inputs] = []
    sent: set[CommandId] = set()
    answered: list[tuple[Told, Ack]] = []
    for record in recovery.records:
        if record.kind == INPUTS:
            inputs = read_inputs(record)
            try:
                answered += _answered(inputs, core.step(inputs))
                done.append(inputs)
            except Exception:  # noqa: BLE001 - it raised before the crash as well, and was set aside
                core.restore(base)
                for earlier in done:
                    core.step(earlier)
        elif record.kind == SENDING:
            sent.add(read_sending(record).command)
    return frozenset(sent), answered


def _answered(inputs: Inputs, plan: Plan) -> list[tuple[Told, Ack]]:
    """What peers told in a step and were answered for good."""
    told = {(e.message.src, e.message.id): e for e in inputs.events if isinstance(e, Told)}
    found = []
    for effect in plan.effects if told else ():
        if isinstance(effect, Send) and isinstance(effect.message.body, Ack):
            event = told.get((effect.message.dst, effect.message.corr))
            if event is not None and effect.message.body.status is not AckStatus.TEMPORARY_ERROR:
                found.append((event, effect.message.body))
    return found


def rebase_ms(core: Core, clocks: Clocks) -> tuple[int, bool]:
    """What to add to the old boot's monotonic times, and whether the gap between the boots is known.

    The boot-time clock goes on while the machine is up: then nothing is added. After a reboot trusted UTC tells the
    gap; without it the gap counts as nothing, so that every timer still has all its time to run.
    """
    old_mono, old_utc = core.memory.situation.last_mono_at, core.memory.situation.last_utc_ms
    if old_mono < 0:
        return 0, True
    gap_mono, gap_utc = clocks.mono_ms - old_mono, clocks.utc_ms - old_utc
    if gap_mono >= 0 and (abs(gap_mono - gap_utc) <= SAME_BOOT_TOLERANCE_MS or not clocks.utc_ok):
        return 0, clocks.utc_ok
    if clocks.utc_ok and gap_utc >= 0:
        return gap_mono - gap_utc, True
    return gap_mono, False
