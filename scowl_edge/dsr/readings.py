"""Measured power of one appliance, as reports or a meter tell it: late, twice, corrected; holes stay holes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from scowl_edge.model.exchange import Report, ReportKind, ReportSlot, SlotQuality


class Source(StrEnum):
    """Who measured."""

    REPORT = "REPORT"
    """The appliance itself."""
    METER = "METER"
    """A meter that is not the appliance's."""


class Entered(StrEnum):
    """What became of a reading."""

    NEW = "NEW"
    SAME = "SAME"
    """Told again, nothing changes."""
    CORRECTED = "CORRECTED"
    """Another figure for the same span: the later word counts."""
    CONFLICTING = "CONFLICTING"
    """Lies across spans that are known on another grid: left out, since a part of a mean is not known."""
    FUTURE = "FUTURE"
    """Ends after now: nobody can have measured it."""


@dataclass(slots=True, frozen=True)
class Reading:
    """Mean power over a span; None where it is not known."""

    length_ms: int
    power_w: int | None
    estimated: bool


@dataclass(slots=True, kw_only=True)
class Readings:
    """All that one source said of one appliance, by time."""

    begins_ms: list[int] = field(default_factory=list)
    """In order."""
    by_begin: dict[int, Reading] = field(default_factory=dict)
    counted: dict[Entered, int] = field(default_factory=dict)

    def report(self, report: Report, now_utc_ms: int) -> list[tuple[int, int]]:
        """Enters the slots of an ACTUAL report; forecasts are passed over.

        Returns:
            (begin, end) in ms of what is new or was corrected.
        """
        changed = []
        if report.kind is ReportKind.ACTUAL:
            at, length = report.start_ms, report.slot_s * 1000
            for slot in report.slots:
                if self.enter(at, length, slot, now_utc_ms) in (Entered.NEW, Entered.CORRECTED):
                    changed.append((at, at + length))
                at += length
        return changed

    def enter(self, begin_ms: int, length_ms: int, slot: ReportSlot, now_utc_ms: int) -> Entered:
        """Enters one reading."""
        known = slot.p_avg_w is not None and slot.q in (SlotQuality.OK, SlotQuality.ESTIMATED)
        reading = Reading(length_ms, slot.p_avg_w if known else None, slot.q is SlotQuality.ESTIMATED and known)
        became = self._enter(begin_ms, reading, now_utc_ms)
        self.counted[became] = self.counted.get(became, 0) + 1
        return became

    def known(self, begin_ms: int, end_ms: int) -> Iterator[tuple[int, int, int, bool]]:
        """(begin, end, W, estimated) of what is known between two times, in order, cut at both."""
        i = max(0, _first_from(self.begins_ms, begin_ms) - 1)
        while i < len(self.begins_ms) and self.begins_ms[i] < end_ms:
            at = self.begins_ms[i]
            reading = self.by_begin[at]
            first, last = max(at, begin_ms), min(at + reading.length_ms, end_ms)
            if first < last and reading.power_w is not None:
                yield first, last, reading.power_w, reading.estimated
            i += 1

    def forget(self, before_ms: int) -> None:
        """Drops what ended before."""
        keep = _first_from(self.begins_ms, before_ms)
        while keep > 0 and self._end(keep - 1) > before_ms:
            keep -= 1
        for begin in self.begins_ms[:keep]:
            del self.by_begin[begin]
        del self.begins_ms[:keep]

    def _end(self, i: int) -> int:
        return self.begins_ms[i] + self.by_begin[self.begins_ms[i]].length_ms

    def _enter(self, begin_ms: int, reading: Reading, now_utc_ms: int) -> Entered:
        if begin_ms + reading.length_ms > now_utc_ms:
            return Entered.FUTURE
        old = self.by_begin.get(begin_ms)
        if old is not None and old.length_ms == reading.length_ms:
            if old == reading:
                return Entered.SAME
            if reading.power_w is None:
                # A hole told after a figure takes nothing back: a correction says what is right instead.
                return Entered.SAME
            self.by_begin[begin_ms] = reading
            return Entered.NEW if old.power_w is None else Entered.CORRECTED
        i = _first_from(self.begins_ms, begin_ms)
        first, last = i, i
        if first > 0 and self._end(first - 1) > begin_ms:
            first -= 1
        while last < len(self.begins_ms) and self.begins_ms[last] < begin_ms + reading.length_ms:
            last += 1
        across = self.begins_ms[first:last]
        if any(self.by_begin[b].power_w is not None for b in across):
            return Entered.CONFLICTING
        for hole in across:
            del self.by_begin[hole]
        self.begins_ms[first:last] = [begin_ms]
        self.by_begin[begin_ms] = reading
        return Entered.NEW


def _first_from(begins_ms: list[int], at_ms: int) -> int:
    """Index of the first that is at or after a time."""
    low, high = 0, len(begins_ms)
    while low < high:
        middle = (low + high) // 2
        if begins_ms[middle] < at_ms:
            low = middle + 1
        else:
            high = middle
    return low
