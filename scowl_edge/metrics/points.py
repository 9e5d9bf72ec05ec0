"""Two series a point, and how much of each device can be trusted: what makes a scrape large."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from scowl_edge.model.signal import Quality
from scowl_edge.web.exposition import Column, Family
from scowl_edge.web.points import PointJudge
from scowl_edge.web.published import Published

_VALUE = Family("scowl_point_value", "gauge", "Value of a point in its base unit; absent while bad.")
_AGE = Family(
    "scowl_point_age_seconds", "gauge", "Time since the last good value of a point; +Inf if there never was one."
)
_OF_DEVICE = Family("scowl_device_points", "gauge", "Points of a device that are read, by the quality of their values.")
_OLDEST = Family(
    "scowl_oldest_data_age_seconds",
    "gauge",
    "The largest age of all points that ever had a good value; absent while none has.",
)
_QUALITIES = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD)
"""Those that the table knows."""


class PointSeries:
    """Renders every readable point with a number."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._judge = PointJudge(published)
        self._values, self._ages = Column(_VALUE), Column(_AGE)
        at, of_device = array("q"), array("q")
        devices: dict[str, int] = {}
        for i, p in enumerate(published.points):
            if "r" in p.access and p.type != "string":
                at.append(i)
                of_device.append(devices.setdefault(p.device, len(devices)))
                self._values.add((("device", p.device), ("point", p.name), ("unit", p.unit or "1")))
                self._ages.add((("device", p.device), ("point", p.name)))
        self._at, self._device = np.array(at, np.intp), np.array(of_device, np.intp)
        self._devices = len(devices)
        self._of_device = Column(
            _OF_DEVICE,
            ((("device", name), ("quality", quality.name.lower())) for quality in _QUALITIES for name in devices),
        )

    def chunks(self) -> Iterator[bytes]:
        """All of it, as of the moment of the first piece."""
        at, table = self._at, self._published.table
        quality, _ = self._judge.judge(at)
        value, good_ms = table.value[at], table.good_ms[at]
        ever = good_ms >= 0
        age_s = np.where(ever, (self._published.mono_ms() - good_ms) / 1000, np.inf)
        counts = [np.bincount(self._device[quality == q], minlength=self._devices) for q in _QUALITIES]
        yield from self._of_device.chunks(np.concatenate(counts).astype(np.float64))
        if ever.any():
            yield from _OLDEST.chunks([("", float(age_s[ever].max()))])
        # What has no declared type may turn out to be a text.
        yield from self._values.chunks(value, (quality != Quality.BAD) & ~np.isnan(value))
        yield from self._ages.chunks(age_s)
