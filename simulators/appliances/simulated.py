"""One appliance as the grid sees it: its physics, its state machines, its offers and its reports, over time.

It knows neither sockets nor clocks: it is told the time and messages, and gives messages. So the same one runs in a
test in virtual time and behind a link.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from scowl_edge.dsr.adapters import Adapter, Frame, run, stale
from scowl_edge.dsr.adapters.machine import STEP_MS
from scowl_edge.dsr.appliance import Appliance
from scowl_edge.dsr.course import Course
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.limiting import Fallback
from scowl_edge.dsr.selecting import Tolerance
from scowl_edge.model.exchange import (
    Body,
    Override,
    Register,
    Report,
    ReportKind,
    ReportSlot,
    Running,
    SlotQuality,
)
from scowl_edge.model.flexibility import Control, Mode, OfferSet, SelectionState
from scowl_edge.model.profile import of_elements
from scowl_edge.model.profile_slots import slot_means

S = TypeVar("S")
WH_WMS = 3_600_000
QUARTER_MS = 900_000
MOST_QUARTERS = 8
LOOK_EVERY_MS = 300_000
"""How often it looks whether its offers still hold, if it did not go on as they reckon; an event makes it look at once.

A look makes all offers anew, so there is none while nothing came between: physics has no other surprises.
"""


def registration(adapter: Adapter[S], *, consent_ref: str, cert_fp: str) -> Register:
    """How an appliance presents itself.

    Args:
        adapter: What it is.
        consent_ref: Id of the consent that was stored.
        cert_fp: SHA-256 of the certificate, 64 hex digits.
    """
    return Register(
        esa_id=adapter.esa_id,
        esa_type=adapter.esa_type,
        p_max_w=adapter.p_max_w,
        p_min_w=adapter.p_min_w,
        modes=(Mode.ROUTINE, Mode.RESPONSE),
        controls=(Control.PROFILE, Control.LIMIT, Control.SETPOINT, Control.PAUSE),
        consent_ref=consent_ref,
        cert_fp=cert_fp,
        model="simulated",
    )


def grown(adapter: Adapter[S], state: S, events: Sequence[tuple[int, S]], from_ms: int, to_ms: int) -> S:
    """The state after some time in which nobody wanted anything of it.

    Args:
        adapter: What it is.
        state: At `from_ms`.
        events: (UTC ms, the state that then begins), by time.
        from_ms: UTC.
        to_ms: UTC.
    """
    for at_ms, begun in events:
        if from_ms <= at_ms <= to_ms:
            state, from_ms = begun, at_ms
    return run(adapter, state, from_ms, to_ms)


class SimulatedAppliance(Generic[S]):
    """An appliance that lives from one call of `live` to the next."""

    def __init__(
        self,
        adapter: Adapter[S],
        state: S,
        register: Register,
        fallback: Fallback,
        now: Now,
        *,
        seed: int = 0,
        events: Sequence[tuple[int, S]] = (),
        valid_s: int = 300,
        min_notice_s: int = 60,
    ) -> None:
        """An appliance that starts for the first time.

        Args:
            adapter: What it is.
            state: What it is like.
            register: How it presents itself.
            fallback: What holds when nobody sets limits.
            now: The time; must be synchronised.
            seed: Of the random delays.
            events: (UTC ms, state) by time: a vehicle that comes, a machine that is loaded.
            valid_s: How long a set of offers stands at least.
            min_notice_s: Least time from a selection to its start.
        """
        self.adapter = adapter
        self.state = state
        self.register = register
        self.esa = Appliance.first(register, fallback, now, seed=seed, tolerance=Tolerance())
        self.power_w = 0
        """As of the last step."""
        self.energy_wms = 0
        """Meter: all that was ever taken, less what was given."""
        self.quarters_wms: dict[int, int] = {}
        """`energy_wms` as of the latest whole quarters of an hour, by their UTC ms."""
        self.complaints: list[str] = []
        """What the user complained of."""
        self._now = now
        self._events = list(events)
        self._valid_s, self._min_notice_s = valid_s, min_notice_s
        self.over_ms = 0
        """For how long it has been above a limit in force."""
        self.longest_over_ms = 0
        self._look_ms = now.utc_ms
        self._as_reckoned = True
        """Whether it ran by itself since its offers were made."""
        self._slot_from_ms, self._slot_from_wms, self._slot_peak_w = now.utc_ms, 0, 0

    @property
    def esa_id(self) -> str:
        """Whose messages these are."""
        return self.adapter.esa_id

    def hear(self, body: Body, now: Now) -> tuple[Body, ...]:
        """Takes a message; its acknowledgement comes first in the answer."""
        told = self.live(now)
        answer = self.esa.receive(body, now)
        return (*told, answer.ack, *answer.tell)

    def override(self, override: Override, now: Now) -> tuple[Body, ...]:
        """Its user takes over, or gives it back (scope NONE)."""
        return (*self.live(now), *self.esa.override(override, now), *self.live(now))

    def live(self, now: Now) -> tuple[Body, ...]:
        """Lets time pass up to `now`: statuses, reports and, where they are due, new offers."""
        told: list[Body] = []
        while self._now.mono_ms < now.mono_ms:
            at = self._now
            told += self.esa.advance(at)
            until_mono_ms = min(now.mono_ms, at.mono_ms + STEP_MS, self.esa.wake_mono_ms(at))
            for edge_ms in (*(ms for ms, _ in self._events[:1]), self._slot_end_ms(), _quarter_end_ms(at.utc_ms)):
                if edge_ms > at.utc_ms:
                    until_mono_ms = min(until_mono_ms, at.mono_ms + edge_ms - at.utc_ms)
            dur_ms = until_mono_ms - at.mono_ms
            told += self._step(self.esa.course(at), at, dur_ms)
            self._now = Now(mono_ms=until_mono_ms, utc_ms=at.utc_ms + dur_ms, utc_ok=True)
            told += self._turned()
        told += self.esa.advance(self._now)
        return (*told, *self._offer())

    def _step(self, course: Course, at: Now, dur_ms: int) -> tuple[Body, ...]:
        wanted_w = course.setpoint_w
        wish_w = self.adapter.wish_w(self.state, at.utc_ms, dur_ms)
        if wanted_w is None:
            wanted_w = 0 if self._rests(at.utc_ms) else wish_w
        if course.p_lower_w is not None:
            wanted_w = max(wanted_w, course.p_lower_w)
        upper_w = self.adapter.p_max_w if course.p_upper_w is None else course.p_upper_w
        self.power_w = self.adapter.take_w(self.state, wanted_w, upper_w, at.utc_ms, dur_ms)
        self.state = self.adapter.step(self.state, self.power_w, at.utc_ms, dur_ms)
        self._as_reckoned = self._as_reckoned and wanted_w == wish_w <= upper_w
        self.energy_wms += self.power_w * dur_ms
        self._watch(course, dur_ms)
        if abs(self.power_w) > abs(self._slot_peak_w):
            self._slot_peak_w = self.power_w
        self.esa.power_now(self.power_w)
        return self.esa.runs(Running.RUNNING if self.power_w else Running.IDLE, at)

    def _watch(self, course: Course, dur_ms: int) -> None:
        """Counts for how long it takes more than it may."""
        over = course.p_upper_w is not None and self.power_w > course.p_upper_w
        over = over or (course.p_lower_w is not None and self.power_w < course.p_lower_w)
        self.over_ms = self.over_ms + dur_ms if over else 0
        self.longest_over_ms = max(self.longest_over_ms, self.over_ms)

    def _rests(self, utc_ms: int) -> bool:
        """A job for which something was selected, from when it might have begun by itself until that starts."""
        if not self.adapter.waits or self.esa.offer_set is None:
            return False
        for selection in self.esa.selections.open():
            if selection.state is SelectionState.SCHEDULED and selection.select is not None:
                offer = self.esa.offer_set.offer(selection.select.offer_id)
                # The first start that the offers reckoned with, see `offering`.
                if offer is not None and offer.valid_until_ms + 1_000 * offer.min_notice_s <= utc_ms:
                    return True
        return False

    def _turned(self) -> list[Body]:
        """What the end of a step brings: an event, a report."""
        told: list[Body] = []
        utc_ms = self._now.utc_ms
        if fault := self.adapter.fault(self.state, utc_ms):
            self.complaints.append(fault)
        while self._events and self._events[0][0] <= utc_ms:
            self.state, self._look_ms, self._as_reckoned = self._events.pop(0)[1], utc_ms, False
        if utc_ms % QUARTER_MS == 0:
            self.quarters_wms[utc_ms] = self.energy_wms
            while len(self.quarters_wms) > MOST_QUARTERS:
                del self.quarters_wms[next(iter(self.quarters_wms))]
        length_ms = utc_ms - self._slot_from_ms
        if utc_ms % self._slot_ms() == 0 and length_ms > 0:
            energy_wms = self.energy_wms - self._slot_from_wms
            told += self.esa.measured(energy_wms // length_ms, self._now)
            if length_ms == self._slot_ms():
                told.append(self._report(energy_wms))
            self._slot_from_ms, self._slot_from_wms, self._slot_peak_w = utc_ms, self.energy_wms, 0
        return told

    def _report(self, energy_wms: int) -> Report:
        """The slot that has just ended; Wh are differences of the meter's whole Wh, so that they add up."""
        running = self.esa.selections.running()
        slot = ReportSlot(
            p_avg_w=energy_wms // self._slot_ms(),
            q=SlotQuality.OK,
            e_wh=self.energy_wms // WH_WMS - self._slot_from_wms // WH_WMS,
            p_peak_w=self._slot_peak_w,
        )
        return Report(
            esa_id=self.esa_id,
            kind=ReportKind.ACTUAL,
            start_ms=self._slot_from_ms,
            slot_s=self._slot_ms() // 1_000,
            slots=(slot,),
            select_id="" if running is None else running.select_id,
        )

    def _offer(self) -> tuple[Body, ...]:
        """A new revision with its forecast, where the standing one no longer holds and nothing is selected.

        Nobody is offered anything before the appliance has its settings.
        """
        settings = self.esa.init
        if settings is None or self.esa.selections.open():
            return ()
        frame = Frame(
            now_ms=self._now.utc_ms,
            rev=self.esa.rev + 1,
            horizon_s=settings.horizon_s,
            slot_s=settings.slot_s,
            min_notice_s=self._min_notice_s,
            valid_s=self._valid_s,
        )
        standing = self.esa.offer_set
        if standing is not None and not self.esa.offers_due and self._now.utc_ms < self._look_ms:
            return ()
        self._look_ms = min(self._now.utc_ms + LOOK_EVERY_MS, frame.start_ms - 1_000 * frame.min_notice_s + 1)
        if standing is not None and not self.esa.offers_due and self._holds(standing, frame):
            return ()
        made = self.adapter.offers(self.state, frame)
        self._as_reckoned = True
        told = self.esa.offers(made, self._now)
        if not made.offers:
            return told
        intended = made.offers[0].profiles[0]
        means = slot_means(
            of_elements(intended.elements, intended.start_fixed_ms),
            start_ms=frame.start_ms,
            slot_ms=frame.slot_ms,
            count=frame.slots,
        )
        slots = tuple(ReportSlot(p_avg_w=mean or 0, q=SlotQuality.OK) for mean in means)
        forecast = Report(
            esa_id=self.esa_id,
            kind=ReportKind.FORECAST,
            start_ms=frame.start_ms,
            slot_s=frame.slot_s,
            slots=slots,
        )
        return (*told, forecast)

    def _holds(self, standing: OfferSet, frame: Frame) -> bool:
        """Whether what was offered still stands and is still true."""
        if self._as_reckoned and standing.offers:
            return frame.now_ms <= standing.offers[0].valid_until_ms
        return not stale(standing, self.adapter, self.state, frame)

    def _slot_ms(self) -> int:
        """Of reports of what was."""
        return 60_000 if self.esa.init is None else 1_000 * self.esa.init.report_actual_s

    def _slot_end_ms(self) -> int:
        return (self._now.utc_ms // self._slot_ms() + 1) * self._slot_ms()


def _quarter_end_ms(utc_ms: int) -> int:
    return (utc_ms // QUARTER_MS + 1) * QUARTER_MS
