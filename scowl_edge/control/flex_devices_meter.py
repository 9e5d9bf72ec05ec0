"""The meter of one of the site's own devices: mean power by slots, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.model.exchange import ReportSlot, SlotQuality
from scowl_edge.model.flexibility import UNSET

WHOLE_OF_TEN = 9
"""So many tenths of a slot have to be known for it to be a figure."""


@dataclass(slots=True, kw_only=True)
class SlotMeter:
    """Adds up what was measured since the begin of a slot. Slots begin at multiples of their length since 1970."""

    at_ms: int = UNSET
    """UTC up to which it was counted."""
    begin_ms: int = UNSET
    """Of the slot, or of its counted part."""
    energy_wms: int = 0
    fresh_ms: int = 0
    held_ms: int = 0
    """Time with a value that is no longer fresh."""

    def count(
        self, power_w: int | None, *, fresh: bool, wall_ms: int, slot_ms: int
    ) -> tuple[int, ReportSlot, bool] | None:
        """Counts the time since the last call.

        Args:
            power_w: Power over that time; None: not known.
            fresh: Whether it was measured freshly.
            wall_ms: UTC now.
            slot_ms: Length of a slot.

        Returns:
            (begin, slot, whether all of it was watched) of the slot that ended meanwhile; None if none did.
        """
        before_ms, self.at_ms = self.at_ms, wall_ms
        if before_ms == UNSET or wall_ms < before_ms or wall_ms - before_ms > slot_ms:
            # The first look, a clock that was set, or a long pause: nobody knows what was.
            self._begin(wall_ms)
            return None
        end_ms = (self.begin_ms // slot_ms + 1) * slot_ms
        self._add(power_w, fresh, min(wall_ms, end_ms) - before_ms)
        if wall_ms < end_ms:
            return None
        begin_ms, slot = self.begin_ms, self._slot(end_ms - self.begin_ms)
        self._begin(end_ms)
        self._add(power_w, fresh, wall_ms - end_ms)
        return begin_ms, slot, end_ms - begin_ms == slot_ms

    def _begin(self, at_ms: int) -> None:
        self.begin_ms, self.energy_wms, self.fresh_ms, self.held_ms = at_ms, 0, 0, 0

    def _add(self, power_w: int | None, fresh: bool, dur_ms: int) -> None:
        if power_w is None or dur_ms <= 0:
            return
        self.energy_wms += power_w * dur_ms
        self.fresh_ms += dur_ms if fresh else 0
        self.held_ms += 0 if fresh else dur_ms

    def _slot(self, length_ms: int) -> ReportSlot:
        known_ms = self.fresh_ms + self.held_ms
        if 10 * known_ms < WHOLE_OF_TEN * length_ms or known_ms == 0:
            return ReportSlot(p_avg_w=None, q=SlotQuality.MISSING)
        good = 10 * self.fresh_ms >= WHOLE_OF_TEN * length_ms
        return ReportSlot(p_avg_w=self.energy_wms // known_ms, q=SlotQuality.OK if good else SlotQuality.ESTIMATED)
