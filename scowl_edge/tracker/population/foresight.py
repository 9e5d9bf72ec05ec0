"""What the course of the day will ask for: the next minutes' mean demand and what the sun will give, beside now's.

It foresees what is known of a day, not chance: no noise, no wind, no clouds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population import weather
from scowl_edge.tracker.population.columns import KINDS
from scowl_edge.tracker.population.noise import Living

_PPM = 1_000_000
MINUTE_MS = 60_000
_LITTLE_SUN_PPM = 50_000
"""Of the rating under a clear sky: below it, what panels give now tells little of what they will give."""


def means_by_kind(living: Living) -> NDArray[np.int64]:
    """int64[kinds]: mean demand of all consumers of a kind, quanta, signed."""
    means = np.zeros(len(KINDS), np.int64)
    for kind, nominal in ((living.kind, living.nominal), (living.big_kind, living.big_nominal)):
        for k in range(len(KINDS)):
            means[k] += int(nominal[kind == k].sum(dtype=np.int64))
    return means


def rise_ahead(
    means: NDArray[np.int64], sun: int, sun_rated: int, now_ms: int, look_ahead_ms: int
) -> NDArray[np.int64]:
    """int64[minutes]: quanta that will be wanted beyond what is wanted now, or given less, by the course of the day.

    Args:
        means: mean demand by kind (`means_by_kind`).
        sun: what plants that follow the sun give now, quanta.
        sun_rated: what they are rated for.
        now_ms: time; days follow each other from 0 on.
        look_ahead_ms: how far; the first entry is now.
    """
    first, minutes = now_ms // MINUTE_MS, look_ahead_ms // MINUTE_MS + 1
    factors = np.stack([weather.day_factors(first + m) for m in range(minutes)]).astype(np.int64)
    wanted = ((factors - factors[0]) * means // _PPM).sum(axis=1)
    law = weather.Climate()
    shares = np.asarray([weather.sun_share_ppm(first + m, law) for m in range(minutes)], np.int64)
    if shares[0] >= _LITTLE_SUN_PPM:
        wanted += sun - np.minimum(sun * shares // shares[0], sun_rated)
    return np.asarray(wanted, np.int64)
