"""Points as the outside sees them: the rule of stale values, applied in one place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.signal import Cause, Quality
from scowl_edge.web.published import Published


class PointJudge:
    """Says at any moment how far each value of the table can be trusted.

    A value older than its `fresh_ms` is uncertain, older than `fresh_ms + hold_ms` bad; both with the cause STALE.
    """

    def __init__(self, published: Published) -> None:
        self._published = published
        points = published.points
        self._stale_after_ms = np.array([p.fresh_ms for p in points], np.int64)
        self._bad_after_ms = self._stale_after_ms + np.array([p.hold_ms for p in points], np.int64)
        self._not_tried = {p.link for p in points if "r" in p.access}
        self._is_text = np.array([p.type == "string" for p in points], np.bool_)
        self._may_be_text = np.array([not p.type for p in points], np.bool_)
        """Where the server says what it is: a known value that is no number is a text."""
        self.index: dict[tuple[str, str], int] = {(p.device, p.name): i for i, p in enumerate(points)}
        """(device, point) -> index in the table."""
        self.of_device: dict[str, list[int]] = {}
        """Device -> indices of its points, in the order of the configuration."""
        for i, point in enumerate(points):
            self.of_device.setdefault(point.device, []).append(i)

    def judge(self, at: NDArray[np.intp] | slice = slice(None)) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Quality and cause, now, of the points `at` (all by default): a `Quality` and a `Cause` each."""
        table = self._published.table
        age_ms = self._published.mono_ms() - table.received_ms[at]
        quality, cause = table.quality[at].copy(), table.cause[at].copy()
        known = quality != Quality.BAD
        # The number of a text is no number, and the text stands beside the table.
        text = self._is_text[at] | (self._may_be_text[at] & known & np.isnan(table.value[at]))
        quality[text & known & (cause == Cause.NONE)] = Quality.GOOD
        # A driver never delivers these as good; should one do so, no reader downstream can show them.
        senseless = known & ~text & ~np.isfinite(table.value[at])
        quality[senseless], cause[senseless] = Quality.BAD, Cause.IMPLAUSIBLE
        known &= ~senseless
        stale = known & (age_ms > self._stale_after_ms[at])
        quality[stale], cause[stale] = Quality.UNCERTAIN, Cause.STALE
        quality[known & (age_ms > self._bad_after_ms[at])] = Quality.BAD
        return quality, cause

    def links_not_tried(self) -> list[str]:
        """Links, sorted, of which no point was answered or certain to fail yet; one that only writes was tried."""
        # Tried once is tried for good, so that a large site is looked through only while it starts.
        if self._not_tried:
            tried = np.flatnonzero(self._published.table.received_ms >= 0).tolist()
            self._not_tried -= {self._published.points[i].link for i in tried}
        return sorted(self._not_tried)
