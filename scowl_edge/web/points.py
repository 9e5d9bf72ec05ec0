"""Points as the outside sees them: the rule of stale values, applied in one place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

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
        self._not_tried: set[str] = set()
        self.of_device: dict[str, Sequence[int]] = {}
        """Device -> indices of its points, in the order of the configuration."""
        size = len(published.points)
        self._stale_after_ms = np.zeros(size, np.int64)
        self._bad_after_ms = np.zeros(size, np.int64)
        self._is_text = np.zeros(size, np.bool_)
        self._may_be_text = np.zeros(size, np.bool_)
        """Where the server says what it is: a known value that is no number is a text."""
        self._link = np.zeros(size, np.int32)
        links: dict[str, int] = {}
        # Rows may be made as they are looked at, so each is looked at once.
        for device, run in groupby(enumerate(published.points), lambda place: place[1].device):
            first = last = -1
            for i, point in run:
                first, last = i if first < 0 else first, i
                self._stale_after_ms[i] = point.fresh_ms
                self._bad_after_ms[i] = point.fresh_ms + point.hold_ms
                self._is_text[i] = point.type == "string"
                self._may_be_text[i] = not point.type
                number = links.setdefault(point.link, len(links))
                self._link[i] = number
                if "r" in point.access:
                    self._not_tried.add(point.link)
            here, before = range(first, last + 1), self.of_device.get(device)
            self.of_device[device] = here if before is None else [*before, *here]
        self._links = tuple(links)

    def index_of(self, device: str, name: str) -> int | None:
        """Index in the table of a point; None where there is none of that name."""
        points = self._published.points
        return next((i for i in self.of_device.get(device, ()) if points[i].name == name), None)

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
            tried = np.unique(self._link[self._published.table.received_ms >= 0])
            self._not_tried.difference_update(self._links[number] for number in tried.tolist())
        return sorted(self._not_tried)
