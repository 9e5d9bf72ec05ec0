"""All selections of one appliance: the authority on them, of which everyone else holds copies.

```
    select ─▶ REJECTED              ┌──────────────▶ INTERRUPTED
       │                            │ pause              │ resume, or the pause ran out
       └────▶ ACCEPTED ─▶ SCHEDULED ─▶ ACTIVE ◀──────────┘
                              │          ├─▶ COMPLETED
                              └──────────┴─▶ CANCELLED, OVERRIDDEN, ABORTED
```

At most one open selection wants the appliance at any time, an ended one stays as it ended, the same selection told
again is answered with how it stands, and none starts on offers that were replaced before it came.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.dsr.asking import Conditions, most_offset_s, pause_room_ms, refusal
from scowl_edge.dsr.delay import offset_s
from scowl_edge.dsr.instant import Now, Restart
from scowl_edge.dsr.selection import RUNS, Selection, element_end_ms, outranks
from scowl_edge.model.exchange import Cancel, CancelAt, Code, Select, SelectStatus
from scowl_edge.model.flexibility import SelectionState

START_MISSED_MS = 30_000
REMEMBERED_MS = 86_400_000
MOST_REMEMBERED = 256
MOST_OPEN = 16
BAD_SLOTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far measured power may be from what was promised: the larger of both."""

    power_w: int = 100
    share_ppm: int = 200_000

    def kept(self, promised_w: int, measured_w: int) -> bool:
        """Whether a slot counts as delivered."""
        allowed_w = max(self.power_w, abs(promised_w) * self.share_ppm // 1_000_000)
        return abs(measured_w - promised_w) <= allowed_w


@dataclass(slots=True, kw_only=True)
class Selections:
    """State of all selections of one appliance, with the rules. Methods give what others are to be told, in order."""

    esa_id: str
    seed: int
    """Of the random delay."""
    kept: list[Selection] = field(default_factory=list)
    """In the order they came."""
    draws: int = 0
    changes: int = 0
    """Of any selection, so that others see at once whether something happened."""
    mono_ms: int = 0
    """Time of the last call of `advance`, which comes before all others."""

    def find(self, select_id: str) -> Selection | None:
        """By its id."""
        return next((s for s in self.kept if s.select_id == select_id), None)

    def open(self) -> list[Selection]:
        """Those that have not ended."""
        return [s for s in self.kept if s.open]

    def running(self) -> Selection | None:
        """The one that is ACTIVE or INTERRUPTED."""
        return next((s for s in self.kept if s.state in RUNS), None)

    def select(
        self, select: Select, conditions: Conditions, init_max_s: int, now: Now
    ) -> tuple[Code | None, list[SelectStatus]]:
        """Grants or refuses a selection.

        Returns:
            The code of a message that is refused as such and changes nothing (DUPLICATE_ID: another selection has the
            id; RATE: too many are remembered), and what to tell.
        """
        known = self.find(select.select_id)
        if known is not None:
            if known.select is not None and known.select != select:
                return Code.DUPLICATE_ID, []
            return None, [known.status(self.esa_id)]
        self._forget(conditions, now)
        if len(self.kept) >= MOST_REMEMBERED:
            return Code.RATE, []
        told: list[SelectStatus] = []
        code = refusal(select, conditions) or self._conflict(select, conditions, init_max_s, told, now)
        if code is not None:
            rejected = Selection(
                select=select,
                select_id=select.select_id,
                profile=None,
                state=SelectionState.REJECTED,
                code=code,
                as_of_mono_ms=now.mono_ms,
            )
            self.kept.append(rejected)
            self.changes += 1
            return None, [rejected.status(self.esa_id)]
        accepted = self._granted(select, conditions, init_max_s, now)
        self.draws += 1
        self.kept.append(accepted)
        self._turn(accepted, SelectionState.ACCEPTED, None, told)
        self._turn(accepted, SelectionState.SCHEDULED, None, told)
        return None, told

    def cancel(self, cancel: Cancel, now: Now) -> tuple[Code | None, list[SelectStatus]]:
        """Takes a selection back; one that is not known is remembered as cancelled, lest it arrive later and start."""
        known = self.find(cancel.select_id)
        told: list[SelectStatus] = []
        if known is None:
            if len(self.kept) >= MOST_REMEMBERED:
                return Code.RATE, []
            known = Selection(
                select=None,
                select_id=cancel.select_id,
                profile=None,
                state=SelectionState.CANCELLED,
                code=Code.UNKNOWN_SELECT,
                as_of_mono_ms=now.mono_ms,
            )
            self.kept.append(known)
            self.changes += 1
            return Code.UNKNOWN_SELECT, [known.status(self.esa_id)]
        if not known.open:
            return None, [known.status(self.esa_id)]
        if cancel.at is CancelAt.ELEMENT_END and known.state is SelectionState.ACTIVE and known.profile is not None:
            if known.ends_at_ms is None or known.ends_as is not SelectionState.CANCELLED:
                known.ends_at_ms = element_end_ms(known.profile, known.progress_ms)
                known.ends_as, known.ends_code = SelectionState.CANCELLED, None
            return None, [known.status(self.esa_id)]
        self._turn(known, SelectionState.CANCELLED, None, told)
        return None, told

    def pause(self, select_id: str) -> tuple[Code | None, list[SelectStatus]]:
        """Interrupts the running one, if its profile allows and not for longer than that."""
        known, told = self.find(select_id), list[SelectStatus]()
        if known is None:
            return Code.UNKNOWN_SELECT, []
        if known.state is not SelectionState.ACTIVE or known.paused_ms >= known.pause_allowed_ms:
            return Code.OUT_OF_BOUNDS, []
        known.slot_excused = True
        self._turn(known, SelectionState.INTERRUPTED, known.code, told)
        return None, told

    def resume(self, select_id: str) -> tuple[Code | None, list[SelectStatus]]:
        """Ends a pause."""
        known, told = self.find(select_id), list[SelectStatus]()
        if known is None:
            return Code.UNKNOWN_SELECT, []
        if known.state is SelectionState.INTERRUPTED:
            self._turn(known, SelectionState.ACTIVE, known.code, told)
        return None, told

    def end(self, selection: Selection, state: SelectionState, code: Code | None, told: list[SelectStatus]) -> None:
        """Ends an open one for a reason that lies outside: an override, a fault, a lost link."""
        if selection.open:
            self._turn(selection, state, code, told)

    def end_with_element(self, selection: Selection, state: SelectionState, code: Code) -> None:
        """Ends a running one with its present element, unless that was decided before."""
        if selection.profile is not None and selection.ends_at_ms is None:
            selection.ends_at_ms = element_end_ms(selection.profile, selection.progress_ms)
            selection.ends_as, selection.ends_code = state, code

    def advance(self, wall_ms: int | None, now: Now, fault: bool = False) -> list[SelectStatus]:
        """What time alone brings about: starts, ends of pauses, ends."""
        told: list[SelectStatus] = []
        self.mono_ms = now.mono_ms
        running = self.running()
        if running is not None:
            if running.run(now.mono_ms):
                self.changes += 1
                told.append(running.status(self.esa_id))
            self._end_in_time(running, told)
        if wall_ms is None:
            return told
        for due in sorted(self.open(), key=lambda s: (s.due_utc_ms, s.select_id)):
            if due.state is not SelectionState.SCHEDULED or wall_ms < due.due_utc_ms:
                continue
            late_ms = wall_ms - due.due_utc_ms
            if late_ms > START_MISSED_MS:
                self._turn(due, SelectionState.ABORTED, Code.START_MISSED, told)
            elif fault:
                self._turn(due, SelectionState.ABORTED, Code.FAULT, told)
            elif self.running() is None:
                due.began, due.slot_excused = True, True
                due.progress_ms, due.as_of_mono_ms = late_ms, now.mono_ms
                self._turn(due, SelectionState.ACTIVE, None, told)
                self._end_in_time(due, told)
        return told

    def limited(self, is_limited: bool) -> list[SelectStatus]:
        """Notes whether a limit keeps the active one from its promise; it stays ACTIVE."""
        running, told = self.running(), list[SelectStatus]()
        if running is None or running.state is not SelectionState.ACTIVE:
            return told
        running.slot_excused = running.slot_excused or is_limited
        code = Code.LIMITED if is_limited else None
        if running.code is not code:
            self._turn(running, running.state, code, told)
        return told

    def measured(self, power_w: int | None, tolerance: Tolerance) -> list[SelectStatus]:
        """Mean power since the last call, None if it was not measured; three slots in a row that miss end it."""
        running, told = self.running(), list[SelectStatus]()
        if running is None:
            return told
        if running.slot_ms > 0 and power_w is not None and not running.slot_excused:
            promised_w = running.slot_energy_wms // running.slot_ms
            running.bad_slots = 0 if tolerance.kept(promised_w, power_w) else running.bad_slots + 1
        running.slot_energy_wms = running.slot_ms = 0
        running.slot_excused = running.state is SelectionState.INTERRUPTED or running.code is Code.LIMITED
        if running.bad_slots >= BAD_SLOTS:
            self._turn(running, SelectionState.ABORTED, Code.DEVIATION, told)
        return told

    def restarted(self, restart: Restart) -> list[SelectStatus]:
        """After a start with what was stored: nobody knows what one did that ran through an unknown pause."""
        told: list[SelectStatus] = []
        for selection in self.kept:
            selection.as_of_mono_ms += restart.mono_base_ms
            if selection.state in RUNS:
                selection.slot_excused = True
                if not restart.gap_known:
                    self._turn(selection, SelectionState.ABORTED, Code.FAULT, told)
        return told

    def wake_mono_ms(self, wall_ms: int | None, now: Now) -> int | None:
        """When time alone changes something next."""
        times = []
        for s in self.open():
            if s.state is SelectionState.SCHEDULED and wall_ms is not None:
                times.append(now.mono_ms + max(0, s.due_utc_ms - wall_ms))
            elif s.state is SelectionState.INTERRUPTED:
                times.append(s.as_of_mono_ms + s.pause_allowed_ms - s.paused_ms)
            elif s.state is SelectionState.ACTIVE and s.profile is not None:
                times.append(s.as_of_mono_ms + element_end_ms(s.profile, s.progress_ms) - s.progress_ms)
        return min(times, default=None)

    def _conflict(
        self, select: Select, conditions: Conditions, init_max_s: int, told: list[SelectStatus], now: Now
    ) -> Code | None:
        """Why the others do not let it in, or None after those it goes before were ended."""
        wanted = self._granted(select, conditions, init_max_s, now)
        wall_ms = conditions.wall_ms or 0
        begin_ms, end_ms = wanted.span(wall_ms)
        rivals = []
        for other in self.kept:
            same_offer = other.select is not None and (other.select.rev, other.select.offer_id) == (
                select.rev,
                select.offer_id,
            )
            if same_offer and other.began:
                return Code.EXPIRED
            other_begin_ms, other_end_ms = other.span(wall_ms)
            if other.open and (same_offer or (begin_ms < other_end_ms and other_begin_ms < end_ms)):
                rivals.append(other)
        for other in rivals:
            # What runs gives way only to what was offered while it ran.
            offered_since = other.select is not None and select.rev > other.select.rev
            if not outranks(select, other) or (other.state in RUNS and not offered_since):
                return Code.BUSY
        if len(self.open()) - len(rivals) >= MOST_OPEN:
            return Code.BUSY
        for other in rivals:
            self._turn(other, SelectionState.CANCELLED, Code.PREEMPTED, told)
        return None

    def _granted(self, select: Select, conditions: Conditions, init_max_s: int, now: Now) -> Selection:
        """The selection as it would be granted, with its delay drawn."""
        assert conditions.offer_set is not None, "refusal() lets nothing through without offers"
        offer = conditions.offer_set.offer(select.offer_id)
        profile = None if offer is None else offer.profile(select.profile_id)
        assert offer is not None and profile is not None, "refusal() lets only through what is offered"
        delay_s = offset_s(
            seed=self.seed,
            esa_id=self.esa_id,
            occasion=self.draws + 1,
            max_s=most_offset_s(select, offer, profile, init_max_s),
            mode=select.mode,
        )
        return Selection(
            select=select,
            select_id=select.select_id,
            profile=profile,
            state=SelectionState.PENDING,
            offset_s=delay_s,
            pause_allowed_ms=pause_room_ms(select, offer, profile, delay_s),
            as_of_mono_ms=now.mono_ms,
        )

    def _end_in_time(self, running: Selection, told: list[SelectStatus]) -> None:
        early_ms = running.ends_at_ms
        if early_ms is not None and early_ms < running.length_ms and running.progress_ms >= early_ms:
            running.progress_ms = early_ms
            self._turn(running, running.ends_as, running.ends_code, told)
        elif running.progress_ms >= running.length_ms:
            self._turn(running, SelectionState.COMPLETED, None, told)

    def _turn(self, selection: Selection, state: SelectionState, code: Code | None, told: list[SelectStatus]) -> None:
        selection.state, selection.code = state, code
        if state.terminal:
            selection.as_of_mono_ms = self.mono_ms
        self.changes += 1
        told.append(selection.status(self.esa_id))

    def _forget(self, conditions: Conditions, now: Now) -> None:
        """Drops what is too old to come again, and, if room is short, what would start nothing if it came again."""
        self.kept = [s for s in self.kept if s.open or now.mono_ms - s.as_of_mono_ms < REMEMBERED_MS]
        rev = -1 if conditions.offer_set is None else conditions.offer_set.rev
        while len(self.kept) >= MOST_REMEMBERED:
            stale = next((s for s in self.kept if not s.open and s.select is not None and s.select.rev < rev), None)
            if stale is None:
                return
            self.kept.remove(stale)
