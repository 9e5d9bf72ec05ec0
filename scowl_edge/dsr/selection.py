"""One selection at the appliance: what was asked, how far it came, and what it promises from here on."""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.model.exchange import Code, Select, SelectStatus
from scowl_edge.model.flexibility import UNSET, Mode, Profile, SelectionState

RUNS = (SelectionState.ACTIVE, SelectionState.INTERRUPTED)


def nominal_w(profile: Profile, select: Select) -> tuple[int, ...]:
    """What each element of a profile is set to: as selected, else its nominal power."""
    return select.setpoints_w or tuple(e.p_nom_w for e in profile.elements)


def element_at(profile: Profile, progress_ms: int) -> int:
    """Index of the element at a progress; past the end, the last one's."""
    end_ms = 0
    for i, element in enumerate(profile.elements):
        end_ms += 1_000 * element.dur_s
        if progress_ms < end_ms:
            return i
    return len(profile.elements) - 1


def element_end_ms(profile: Profile, progress_ms: int) -> int:
    """Progress at which the element at `progress_ms` ends."""
    return 1_000 * sum(e.dur_s for e in profile.elements[: element_at(profile, progress_ms) + 1])


def energy_wms(profile: Profile, setpoints_w: tuple[int, ...], begin_ms: int, end_ms: int) -> int:
    """Energy between two points of progress, in W·ms."""
    total, at_ms = 0, 0
    for element, power_w in zip(profile.elements, setpoints_w, strict=True):
        after_ms = at_ms + 1_000 * element.dur_s
        total += power_w * max(0, min(after_ms, end_ms) - max(at_ms, begin_ms))
        at_ms = after_ms
    return total


@dataclass(slots=True, kw_only=True)
class Selection:
    """State of one selection. A refused one, and one that was cancelled before it was heard of, has no profile."""

    select: Select | None
    """None: only its cancellation was heard."""
    select_id: str
    profile: Profile | None
    state: SelectionState
    code: Code | None = None
    offset_s: int = 0
    pause_allowed_ms: int = 0
    """How long it may be paused in all."""
    paused_ms: int = 0
    progress_ms: int = 0
    as_of_mono_ms: int = 0
    """When `progress_ms` and `paused_ms` were right; for one that has ended, when it did."""
    began: bool = False
    ends_at_ms: int | None = None
    """Progress at which it ends early."""
    ends_as: SelectionState = SelectionState.CANCELLED
    ends_code: Code | None = None
    slot_energy_wms: int = 0
    """Promised since the last measured slot."""
    slot_ms: int = 0
    slot_excused: bool = False
    """Whether something that is no fault of the appliance kept it from the promise within the slot."""
    bad_slots: int = 0
    """In a row."""

    @property
    def open(self) -> bool:
        """Not ended."""
        return not self.state.terminal

    @property
    def length_ms(self) -> int:
        """Of its profile, pauses not counted."""
        return 0 if self.profile is None else 1_000 * self.profile.length_s

    @property
    def due_utc_ms(self) -> int:
        """Its start, with the delay that was drawn."""
        return UNSET if self.select is None else self.select.start_ms + 1_000 * self.offset_s

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """The smaller goes first: emergencies, then responses, then by priority."""
        return _rank(self.select)

    def span(self, wall_ms: int) -> tuple[int, int]:
        """UTC within which it may want the appliance, the pauses it is still allowed included."""
        left_ms = self.length_ms - self.progress_ms + self.pause_allowed_ms - self.paused_ms
        if self.state in RUNS or self.select is None:
            return wall_ms, wall_ms + left_ms
        return self.select.start_ms, self.due_utc_ms + left_ms

    def setpoint_w(self) -> int | None:
        """Power it is set to now; None unless it is ACTIVE."""
        if self.state is not SelectionState.ACTIVE or self.profile is None or self.select is None:
            return None
        return nominal_w(self.profile, self.select)[element_at(self.profile, self.progress_ms)]

    def run(self, mono_ms: int) -> bool:
        """Lets time pass for one that runs, to the end of its profile at most; True if a pause ran out."""
        passed_ms = max(0, mono_ms - self.as_of_mono_ms)
        resumed = False
        self.as_of_mono_ms = max(self.as_of_mono_ms, mono_ms)
        if self.state is SelectionState.INTERRUPTED:
            paused_ms = min(passed_ms, self.pause_allowed_ms - self.paused_ms)
            self.paused_ms += paused_ms
            passed_ms -= paused_ms
            if self.paused_ms >= self.pause_allowed_ms:
                self.state, resumed, self.slot_excused = SelectionState.ACTIVE, True, True
        if self.state is SelectionState.ACTIVE and self.profile is not None and self.select is not None:
            before_ms = self.progress_ms
            self.progress_ms = min(self.length_ms, before_ms + passed_ms)
            setpoints_w = nominal_w(self.profile, self.select)
            self.slot_energy_wms += energy_wms(self.profile, setpoints_w, before_ms, self.progress_ms)
            self.slot_ms += self.progress_ms - before_ms
        return resumed

    def status(self, esa_id: str) -> SelectStatus:
        """What others are told."""
        return SelectStatus(
            select_id=self.select_id,
            esa_id=esa_id,
            state=self.state,
            code=self.code,
            applied_offset_s=None if self.profile is None else self.offset_s,
            progress_s=self.progress_ms // 1_000 if self.began else None,
        )


def _rank(select: Select | None) -> tuple[bool, bool, int]:
    if select is None:
        return (True, True, 0)
    return (not select.emergency, select.mode is not Mode.RESPONSE, select.priority)


def outranks(select: Select, other: Selection) -> bool:
    """Whether a new wish goes before a selection that is there; equals do not."""
    return _rank(select) < other.rank
