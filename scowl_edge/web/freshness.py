"""How far the data of each device can be trusted at this moment, and how old they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.signal import Quality
from scowl_edge.web.points import PointJudge
from scowl_edge.web.published import Published
from scowl_edge.web.wire import FreshnessOut, QualityName

_NAMES: dict[int, QualityName] = {Quality.GOOD: "good", Quality.UNCERTAIN: "uncertain"}


class Freshness:
    """Judges all devices at once; one that is never read is not listed."""

    def __init__(self, published: Published, judge: PointJudge) -> None:
        self._published = published
        self._judge = judge
        readable = {
            device: [i for i in indices if "r" in published.points[i].access]
            for device, indices in judge.of_device.items()
        }
        self._devices = [device for device, indices in readable.items() if indices]
        self._at = np.array([i for device in self._devices for i in readable[device]], np.intp)
        lengths = [len(readable[device]) for device in self._devices]
        self._starts: NDArray[np.intp] = np.cumsum([0, *lengths[:-1]], dtype=np.intp)

    def now(self) -> list[FreshnessOut]:
        """Worst quality and oldest good value of each device's points, in the order of the configuration."""
        if not self._devices:
            return []
        quality, _ = self._judge.judge(self._at)
        worst = np.maximum.reduceat(quality, self._starts).tolist()
        oldest_ms = np.minimum.reduceat(self._published.table.good_ms[self._at], self._starts).tolist()
        now_ms = self._published.mono_ms()
        return [
            FreshnessOut(
                device=device,
                quality=_NAMES.get(worst[n], "bad"),
                age_s=(now_ms - oldest_ms[n]) / 1000 if oldest_ms[n] >= 0 else None,
            )
            for n, device in enumerate(self._devices)
        ]
