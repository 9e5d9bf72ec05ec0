"""The only owner of a command's life: what should be against what is confirmed, and the difference acted upon.

    intended -> sent -> acknowledged (wire) -> confirmed (read back) -> effective (measured) -> holding
    or rejected, timed_out, no_effect, reverted, contested, in_doubt

Targets, not edges: a target that is already so is not written. A refusal or a lack of effect closes an actuator for a
while; a value that somebody else keeps changing is written a bounded number of times and then left alone, with an
alarm. A stored register is written on change only; a pulse is never repeated unseen. A device's own fail-safe is set
before it is commanded for the first time. What keeps a write back for the device's sake is in `restraint`.
"""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.control.entry import STANDING, Entry, Stage
from scowl_edge.control.restraint import barred, interval_over_at, restraint, spent
from scowl_edge.model.command import GUARDS, Command, CommandId, OutcomeKind, Verb, WriteClass
from scowl_edge.model.effect import Effect, Write
from scowl_edge.model.event import Outcome
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import NONE, Actuator, Site
from scowl_edge.tracker.observe import Observation

GUARD_FIRST = declare("guard-first", "its own {} is set first")
NOT_SENT = declare("not-sent", "not sent: {}")
REREAD_MS = 1_000
"""Between two readings of a register whose state is in question."""


@dataclass(frozen=True, slots=True)
class Count:
    """One thing to count: an outcome of a verb."""

    verb: str
    outcome: str


class Ledger:
    """All entries of a region, and the rules. `entries` is the only thing that changes."""

    def __init__(self, site: Site, entries: list[Entry] | None = None) -> None:
        self.site = site
        self.entries = entries if entries is not None else [Entry() for _ in site.actuators]
        self._by_command: dict[CommandId, int] = {
            e.command: i for i, e in enumerate(self.entries) if e.command is not None and e.outstanding
        }
        self._guards: dict[int, list[int]] = {}
        for i, a in enumerate(site.actuators):
            if a.verb in GUARDS:
                self._guards.setdefault(a.device, []).append(i)
        # A device's fail-safe is set, and it is told that somebody is there, before it is told anything else.
        self._order = sorted(range(len(site.actuators)), key=lambda i: _turn(site.actuators[i].verb))

    def closed(self, now_ms: int) -> list[bool]:
        """A flag an actuator: contested, refused, without effect or worn, and not yet to be asked again."""
        return [
            e.stage is Stage.CONTESTED or now_ms < e.closed_until_at or spent(a, e, safety=True)
            for a, e in zip(self.site.actuators, self.entries, strict=True)
        ]

    def locked(self, seen: Observation) -> list[bool]:
        """A flag an actuator: its interlock does not allow a write."""
        return [barred(self.site, a, seen) is not None for a in self.site.actuators]

    def reopen(self, device: int, verb: str = "") -> None:
        """Forgets contests and refusals of a device: somebody took it back into AUTO, or orders `verb` of it anew.

        A pulse of which nobody knows whether it happened may happen again only after such a word on it.
        """
        for i, a in enumerate(self.site.actuators):
            if a.device != device:
                continue
            e = self.entries[i]
            e.closed_until_at, e.asserts = -1, 0
            if a.write_class is WriteClass.PULSE and a.verb == verb and not e.outstanding:
                if e.stage in (Stage.CONTESTED, Stage.REJECTED, Stage.IN_DOUBT, Stage.TIMED_OUT):
                    e.stage, e.written = Stage.IDLE, None
            elif e.stage in (Stage.CONTESTED, Stage.REJECTED, Stage.NO_EFFECT):
                e.stage = Stage.IN_DOUBT

    def awaited(self) -> list[tuple[CommandId, WriteClass]]:
        """Commands whose outcome has not come, with their write class."""
        return [
            (e.command, a.write_class)
            for e, a in zip(self.entries, self.site.actuators, strict=True)
            if e.outstanding and e.command is not None
        ]

    def doubt_all(self) -> None:
        """After a start: what was confirmed before is read again before anything is believed or written.

        What cannot be read stays known by its answer, unless it lies in RAM, which the device may have lost.
        """
        for a, e in zip(self.site.actuators, self.entries, strict=True):
            if a.feedback == NONE and a.write_class is not WriteClass.VOLATILE:
                continue
            if e.written is not None and not e.outstanding and e.stage is not Stage.CONTESTED:
                e.stage = Stage.IN_DOUBT
                e.agreed = 0
                e.read_at = -1

    def doubt_awaited(self, now_ms: int) -> None:
        """Outcomes may have been lost: what is awaited is in doubt, and read again."""
        for e in self.entries:
            if e.outstanding:
                e.outstanding, e.stage, e.settled_at, e.agreed, e.read_at = False, Stage.IN_DOUBT, now_ms, 0, -1
                _count_write(e, now_ms)
        self._by_command.clear()

    def outcome(self, event: Outcome, counts: list[Count]) -> None:
        """Takes a driver's word on a command; an outcome that nobody waits for is counted and dropped."""
        index = self._by_command.pop(event.command, None)
        if index is None:
            counts.append(Count("unknown", event.kind))
            return
        e, a = self.entries[index], self.site.actuators[index]
        counts.append(Count(a.verb, event.kind))
        if event.kind is not OutcomeKind.WITHHELD:
            e.withheld = 0
            _count_write(e, event.at_ms)
        e.outstanding = False
        e.agreed = 0
        if event.kind is OutcomeKind.ACKNOWLEDGED:
            e.stage = Stage.ACKNOWLEDGED
            e.settled_at = event.at_ms
        elif event.kind is OutcomeKind.REJECTED:
            e.stage = Stage.REJECTED
            e.closed_until_at = event.at_ms + self.site.policy.retry_ms
            e.retry_at = event.at_ms + self.site.policy.answer_ms
        elif event.kind is OutcomeKind.TIMED_OUT:
            e.stage = Stage.TIMED_OUT
            e.settled_at = event.at_ms
        elif event.kind is OutcomeKind.UNKNOWN:
            e.stage = Stage.IN_DOUBT
            e.settled_at = event.at_ms
        else:
            # What a driver will not send now it may not want to send ever: asked again, ever more rarely.
            e.stage = Stage.INTENDED
            e.written = None
            e.retry_at = event.at_ms + min(REREAD_MS << e.withheld, self.site.policy.retry_ms)
            e.withheld = min(e.withheld + 1, 16)
            e.kept_back = Reason(NOT_SENT, (event.detail,))

    def watch(self, seen: Observation, counts: list[Count]) -> list[int]:
        """Follows read-backs and effects of what was written; returns the signals that should be read out of turn.

        Comes before the tracker decides: a register that lost its value explains power that nobody ordered.
        """
        reads: list[int] = []
        for a, e in zip(self.site.actuators, self.entries, strict=True):
            if not e.outstanding:
                self._watch(a, e, seen, counts, reads)
        return reads

    def lost(self) -> list[int]:
        """Actuators whose register does not hold what was written, and is about to be written again."""
        return [
            i
            for i, e in enumerate(self.entries)
            if e.stage is Stage.REVERTED
            and e.target is not None
            and e.written == e.target
            and e.asserts < self.site.policy.max_contests
        ]

    def step(
        self,
        seen: Observation,
        wanted: list[tuple[int, int, Reason, bool, int] | None],
        may_write: list[bool],
        boot: int,
        step: int,
        day: int,
    ) -> list[Effect]:
        """Compares and acts, after `watch`.

        Args:
            seen: the step's view.
            wanted: for each actuator (target, class, reason, safety, lasts_ms), or None for leave alone.
            may_write: a flag an actuator: mode, region and reachability allow it.
            boot: number of the present boot.
            step: number of this step.
            day: number of the day for wear budgets (UTC while trusted, else monotonic).
        """
        effects: list[Effect] = []
        now = seen.now_ms
        n = 0
        for i in self._order:
            a, e = self.site.actuators[i], self.entries[i]
            if e.day != day:
                e.day, e.writes_today = day, 0
            want = wanted[i]
            if want is None:
                if not e.outstanding and e.stage is Stage.INTENDED:
                    e.stage = Stage.IDLE
                e.target = e.kept_back = None
                continue
            target, e.klass, e.reason, e.safety, e.lasts_ms = want
            if target != e.target:
                e.target = target
            if e.outstanding:
                continue
            if not self._differs(a, e, seen):
                e.kept_back = None
                continue
            if not may_write[i] or e.stage is Stage.CONTESTED:
                e.kept_back = None
                continue
            if now < e.retry_at or (now < e.closed_until_at and not e.safety):
                continue
            e.kept_back = self._guard_first(a, e, now) or restraint(self.site, a, e, seen, target, safety=e.safety)
            if e.kept_back is not None:
                continue
            if e.found is None and e.command is None and a.feedback != NONE and seen.received_ms(a.feedback) >= 0:
                e.found = seen.value(a.feedback, 0)
            if self._overwritten(a, e, seen):
                # A target that moved meanwhile makes no difference: two masters write one register.
                if e.asserts >= self.site.policy.max_contests:
                    continue
                e.asserts += 1
                e.asserted_at = now
            n += 1
            command = CommandId(boot, step, n)
            e.command, e.outstanding, e.written, e.sent_at = command, True, target, now
            e.stage, e.agreed, e.effect_by_at = Stage.SENT, 0, -1
            e.jumped = now < interval_over_at(a, e)
            self._by_command[command] = i
            effects.append(
                Write(
                    Command(
                        id=command,
                        actuator=i,
                        verb=a.verb,
                        value=target,
                        lasts_ms=e.lasts_ms,
                        valid_until_ms=now + max(2 * self.site.policy.period_ms, 5_000),
                        safety=e.safety,
                        reason=e.reason,
                    )
                )
            )
        return effects

    def _guard_first(self, a: Actuator, e: Entry, now_ms: int) -> Reason | None:
        """An ordinary command waits while the device's own fail-safe is on its way, or in doubt for a short while."""
        if a.verb in GUARDS or e.safety:
            return None
        for g in self._guards.get(a.device, ()):
            guard = self.entries[g]
            doubtful = guard.stage in (Stage.TIMED_OUT, Stage.IN_DOUBT)
            if guard.outstanding or (doubtful and now_ms - guard.sent_at < self.site.policy.answer_ms):
                return Reason(GUARD_FIRST, (self.site.actuators[g].verb.value,))
        return None

    def wake_at(self, now_ms: int, period_ms: int) -> int:
        """When something is due before the period is over."""
        soon = now_ms + period_ms
        for a, e in zip(self.site.actuators, self.entries, strict=True):
            if e.outstanding:
                continue
            if e.stage is Stage.ACKNOWLEDGED:
                soon = min(soon, max(now_ms + 50, e.settled_at + 200))
            # What is overdue waits for something else, which wakes by itself.
            due = e.sent_at + beat_ms(a) if a.verb is Verb.HEARTBEAT and e.target is not None else -1
            if e.kept_back is not None and a.min_interval_ms:
                due = interval_over_at(a, e)
            if due > now_ms:
                soon = min(soon, due)
        return soon

    def _differs(self, a: Actuator, e: Entry, seen: Observation) -> bool:
        """Whether a write is due."""
        target = e.target
        if a.verb is Verb.HEARTBEAT:
            # Each number is new, and due when it is given: what became of the one before makes no difference.
            return e.written != target
        if e.stage in (Stage.IN_DOUBT, Stage.TIMED_OUT):
            if a.feedback == NONE:
                # Nothing to read: an absolute value in RAM may be said again, anything else may not.
                return a.write_class is WriteClass.VOLATILE or e.written != target
            return False
        if e.stage is Stage.REVERTED:
            return True
        if e.written != target:
            return not self._already(a, e, seen)
        if e.stage in (Stage.INTENDED, Stage.IDLE):
            return True
        if e.stage is Stage.REJECTED:
            return a.write_class is WriteClass.VOLATILE
        beat = a.heartbeat_ms
        return bool(
            beat and a.write_class is WriteClass.VOLATILE and e.stage in STANDING and seen.now_ms - e.sent_at >= beat
        )

    def _overwritten(self, a: Actuator, e: Entry, seen: Observation) -> bool:
        """Whether the register shows something else than what was last written, so that a write would be a fight."""
        if a.verb in (Verb.SHED, Verb.HEARTBEAT) or e.written is None:
            return False
        if e.stage is Stage.REVERTED:
            return True
        newer = a.feedback != NONE and seen.received_ms(a.feedback) > e.settled_at
        return e.stage is Stage.ACKNOWLEDGED and newer and not agrees(a, seen.value(a.feedback, 0), e.written)

    def _already(self, a: Actuator, e: Entry, seen: Observation) -> bool:
        """A target that the register already shows needs no write."""
        if a.write_class is WriteClass.PULSE or not seen.fresh(a.feedback):
            return False
        if a.verb is Verb.SHED and e.target != 0:
            return False
        if e.command is not None and seen.received_ms(a.feedback) <= max(e.sent_at, e.settled_at):
            # What was read before the last write reached the device says nothing of what it holds now.
            return False
        if e.target is None or seen.value(a.feedback, 0) != e.target:
            return False
        e.written, e.stage, e.confirmed = e.target, Stage.CONFIRMED, e.target
        e.agreed, e.agreed_at = 0, seen.received_ms(a.feedback)
        e.settled_at = e.agreed_at
        self._expect_effect(a, e, seen)
        return True

    def _expect_effect(self, a: Actuator, e: Entry, seen: Observation) -> None:
        device_delay = self._start_ms(a)
        travel = abs(a.high - a.low) * 1000 // a.ramp_w_s if a.ramp_w_s else 0
        poll = self.site.signals[a.effect].fresh_ms if a.effect != NONE else 0
        e.effect_by_at = e.settled_at + a.settle_ms + travel + device_delay + poll

    def _start_ms(self, a: Actuator) -> int:
        for g in self.site.generators:
            if g.device == a.device:
                return g.start_ms
        for s in self.site.storages:
            if s.device == a.device:
                return s.dead_time_ms
        return 0

    def _watch(self, a: Actuator, e: Entry, seen: Observation, counts: list[Count], reads: list[int]) -> None:
        """Follows the read-back and the measured effect of what was last written."""
        now = seen.now_ms
        if e.outstanding or e.written is None or e.stage in (Stage.IDLE, Stage.REJECTED, Stage.CONTESTED, Stage.SENT):
            return
        if e.stage is Stage.INTENDED:
            return
        if a.feedback == NONE:
            if e.stage is Stage.ACKNOWLEDGED:
                e.stage, e.confirmed = Stage.CONFIRMED, e.written
                self._expect_effect(a, e, seen)
        else:
            received = seen.received_ms(a.feedback)
            floor = e.settled_at
            if received > max(floor, e.agreed_at):
                self._read_back(a, e, seen.value(a.feedback, 0), received, seen, counts)
            if e.stage in (Stage.ACKNOWLEDGED, Stage.TIMED_OUT, Stage.IN_DOUBT, Stage.CONFIRMED):
                patience = 200 if e.stage is Stage.ACKNOWLEDGED and e.read_at < floor else REREAD_MS
                if now - max(e.read_at, floor) >= patience or e.read_at < 0:
                    reads.append(a.feedback)
                    if a.effect != NONE:
                        reads.append(a.effect)
                    e.read_at = now
        if e.stage in STANDING and e.target == e.written:
            self._judge(a, e, seen, counts)

    def _read_back(
        self, a: Actuator, e: Entry, value: int, received_ms: int, seen: Observation, counts: list[Count]
    ) -> None:
        e.agreed_at = received_ms
        written = e.written if e.written is not None else value
        if agrees(a, value, written):
            e.agreed += 1
            e.confirmed = value
            if received_ms - e.asserted_at >= self.site.policy.retry_ms:
                e.asserts = 0
            if e.stage not in STANDING:
                e.stage = Stage.CONFIRMED
                counts.append(Count(a.verb, "confirmed"))
                e.settled_at = received_ms if e.stage is Stage.IN_DOUBT else e.settled_at
                self._expect_effect(a, e, seen)
            elif e.stage is Stage.EFFECTIVE and e.agreed >= a.hold_polls:
                e.stage = Stage.HOLDING
                counts.append(Count(a.verb, "holding"))
            return
        if e.stage is Stage.ACKNOWLEDGED and received_ms < e.settled_at + a.settle_ms:
            return
        e.agreed = 0
        if a.verb is Verb.SHED:
            # A grant that is gone or was never given is not asked for again from here: the tracker decides anew.
            answered = e.stage is Stage.ACKNOWLEDGED
            e.confirmed = 0 if written else value
            e.stage = Stage.REVERTED if not written else Stage.REJECTED
            if written and answered:
                e.closed_until_at = received_ms + self.site.policy.retry_ms
            counts.append(Count(a.verb, "refused" if written else "reverted"))
            return
        e.confirmed = value
        if a.verb is Verb.HEARTBEAT:
            # Never given up: a device that is not told that somebody is there falls back.
            if e.stage is not Stage.REVERTED:
                e.stage = Stage.REVERTED
                counts.append(Count(a.verb, "reverted"))
            return
        counts.append(Count(a.verb, "reverted"))
        if e.asserts >= self.site.policy.max_contests or a.write_class is WriteClass.PULSE:
            e.stage = Stage.CONTESTED
            counts.append(Count(a.verb, "contested"))
        else:
            e.stage = Stage.REVERTED

    def _judge(self, a: Actuator, e: Entry, seen: Observation, counts: list[Count]) -> None:
        """Compares measured power with what was ordered, once it has had its time."""
        if e.stage in (Stage.EFFECTIVE, Stage.HOLDING) or a.verb in (Verb.SHED, Verb.SUPPLY, Verb.MODE):
            return
        if a.effect == NONE:
            e.stage = Stage.EFFECTIVE
            return
        received = seen.received_ms(a.effect)
        if received <= e.settled_at:
            return
        if has_effect(a, e.written or 0, seen.value(a.effect, 0)):
            if e.stage is Stage.NO_EFFECT:
                e.closed_until_at = -1
            e.stage = Stage.EFFECTIVE
            counts.append(Count(a.verb, "effective"))
        elif e.stage is Stage.CONFIRMED and received >= e.effect_by_at >= 0 and self._must_follow(a, e, seen):
            e.stage = Stage.NO_EFFECT
            e.closed_until_at = seen.now_ms + self.site.policy.retry_ms
            counts.append(Count(a.verb, "no_effect"))

    def _must_follow(self, a: Actuator, e: Entry, seen: Observation) -> bool:
        """Whether physics lets the device follow: a full store does not charge, an empty one does not discharge."""
        for si, s in enumerate(self.site.storages):
            if s.device == a.device and a.verb is Verb.SETPOINT:
                if (e.written or 0) > 0:
                    return seen.soc_ppm(si, for_discharge=False) < s.ceiling_ppm
                if (e.written or 0) < 0:
                    return seen.soc_ppm(si, for_discharge=True) > s.floor_ppm
        return True


def agrees(a: Actuator, value: int, written: int) -> bool:
    """Whether a read-back shows what was written; a shed may be granted in part."""
    if a.verb is Verb.SHED:
        # A register in steps rounds the question, and the answer with it.
        return value == 0 if written == 0 else 0 < value <= written + max(1, a.tolerance // 4)
    if a.verb in (Verb.LIMIT, Verb.SETPOINT, *GUARDS):
        # A register in percent or ampere cannot hold every watt, one in minutes not every second.
        return abs(value - written) <= max(1, a.tolerance // 4)
    return value == written


def has_effect(a: Actuator, written: int, power_w: int) -> bool:
    """Whether the measured signed power obeys what was written."""
    if a.verb is Verb.LIMIT:
        return abs(power_w) <= written + a.tolerance
    if a.verb is Verb.SETPOINT:
        signed = written if a.low < 0 else -written
        return abs(power_w - signed) <= a.tolerance
    if a.verb is Verb.CONNECT:
        return abs(power_w) <= a.tolerance if written == 0 else True
    return True


def beat_ms(a: Actuator) -> int:
    """Time between two numbers of a heartbeat: two may be lost before the device falls back."""
    return max(1, a.heartbeat_ms or a.device_timeout_ms // 3)


def _turn(verb: Verb) -> int:
    return 0 if verb in GUARDS else 1 if verb is Verb.HEARTBEAT else 2


def _count_write(e: Entry, at_ms: int) -> None:
    """A write may have reached the device."""
    e.written_at = at_ms
    e.writes_today += 1
    e.writes_total += 1
