"""What plants give: wind and sun by zones of weather, ramps, trips and repairs; and the day of demand.

All of it is integers and counter-based: a step is a function of (seed, tick, state), the same for every replica and
replay. Wind and cloud are walks that are drawn back to their means and end at their bounds; plants of one zone of
weather share them, so that their output is correlated, which a reserve has to be measured against.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population import chance
from scowl_edge.tracker.population.census import Fleet, Plant
from scowl_edge.tracker.population.columns import KINDS

_PPM = 1_000_000
_DAY_MINUTES = 1_440
_WIND_END = 30_000
"""mm/s; no zone has more."""


class _Draw(IntEnum):
    """What a draw is for."""

    ZONE = 41
    WIND = 42
    CLOUD = 43
    TRIP = 44
    REPAIR = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class Climate:
    """The laws that weather and plants follow; rates are for one tick."""

    wind_mean_mm_s: int = 8_500
    wind_step_mm_s: int = 60
    """Largest change by chance."""
    wind_return_ppm: int = 500
    """Share of the distance to the mean that is taken back."""
    cut_in_mm_s: int = 3_000
    rated_mm_s: int = 12_000
    cut_out_mm_s: int = 25_000
    """A turbine is stopped above it."""
    cloud_mean_ppm: int = 400_000
    cloud_step_ppm: int = 8_000
    cloud_return_ppm: int = 1_000
    cloud_takes_ppm: int = 750_000
    """What a closed cover takes of the sun."""
    sunrise_minute: int = 330
    sunset_minute: int = 1_230
    """Minutes of the day."""
    trip_ticks: int = 2_000_000
    """Mean time between forced outages of a plant; 0 = none."""
    repair_ticks: int = 20_000
    """Mean length of an outage."""
    ramp_ppm: int = 2_000
    """Of its rating, by which a continuous plant moves."""
    stable_ppm: int = 400_000
    """Of its rating, below which a continuous plant cannot run but must stand still."""


class Weather(NamedTuple):
    """State of weather and plants; arrays change in place."""

    zone: NDArray[np.uint16]
    """[trees] Zone of weather of each plant."""
    wind_mm_s: NDArray[np.int64]
    """[zones of weather]"""
    cloud_ppm: NDArray[np.int64]
    """[zones of weather] Share of the sky."""
    down_ticks: NDArray[np.int64]
    """[trees] How long a forced outage will last yet; 0 = in service."""
    level: NDArray[np.int64]
    """[trees] Where a continuous plant is on its ramp, quanta."""


def begin(fleet: Fleet, seed: int, *, zones: int = 8, climate: Climate | None = None) -> Weather:
    """Mean weather, all plants in service, continuous ones at their ratings."""
    law = climate or Climate()
    trees = len(fleet.rated)
    return Weather(
        chance.below(zones, chance.derived(seed, _Draw.ZONE), 0, np.arange(trees, dtype=np.uint64)).astype(np.uint16),
        np.full(zones, law.wind_mean_mm_s, np.int64),
        np.full(zones, law.cloud_mean_ppm, np.int64),
        np.zeros(trees, np.int64),
        np.where(fleet.plant == Plant.CONTINUOUS, fleet.rated, 0),
    )


def outputs(
    fleet: Fleet,
    weather: Weather,
    seed: int,
    tick: int,
    minute: int,
    set_point: NDArray[np.int64],
    online: NDArray[np.uint8],
    climate: Climate | None = None,
) -> NDArray[np.int64]:
    """One step of weather and plants: int64[trees], what each gives, quanta; never below 0 nor above its rating.

    Args:
        fleet: the plants.
        weather: changed in place.
        seed: of the region.
        tick: number of the step.
        minute: of the day; any integer, days follow each other.
        set_point: int64[trees] quanta, for continuous plants: 0, or held between the stable minimum and the rating.
        online: uint8[trees], for fixed plants: 1 = gives its rating.
        climate: the laws; the usual ones if None.
    """
    law = climate or Climate()
    _walk(weather.wind_mm_s, chance.derived(seed, _Draw.WIND, tick), law.wind_mean_mm_s, law.wind_step_mm_s,
          law.wind_return_ppm, _WIND_END)  # fmt: skip
    _walk(weather.cloud_ppm, chance.derived(seed, _Draw.CLOUD, tick), law.cloud_mean_ppm, law.cloud_step_ppm,
          law.cloud_return_ppm, _PPM)  # fmt: skip
    _trip(weather.down_ticks, seed, tick, law)
    up, rated, plant = weather.down_ticks == 0, fleet.rated, fleet.plant
    wind = wind_share_ppm(weather.wind_mm_s, law)[weather.zone]
    clear = _PPM - weather.cloud_ppm * law.cloud_takes_ppm // _PPM
    sun = (sun_share_ppm(minute, law) * clear // _PPM)[weather.zone]
    _ramp(weather.level, fleet, set_point, up, law)
    gives = np.select(
        [plant == Plant.WIND, plant == Plant.SUN, plant == Plant.CONTINUOUS],
        [rated * wind // _PPM, rated * sun // _PPM, weather.level],
        np.where(online != 0, rated, 0),
    )
    return np.asarray(np.where(up, gives, 0), np.int64)


def wind_share_ppm(wind_mm_s: NDArray[np.int64], climate: Climate) -> NDArray[np.int64]:
    """What a turbine gives of its rating: it grows with the cube of the wind between cut-in and rated speed."""
    start = climate.cut_in_mm_s**3
    used = np.clip(wind_mm_s, climate.cut_in_mm_s, climate.rated_mm_s)
    cubic = (used**3 - start) * _PPM // (climate.rated_mm_s**3 - start)
    running = (wind_mm_s >= climate.cut_in_mm_s) & (wind_mm_s < climate.cut_out_mm_s)
    return np.where(running, cubic, 0)


def sun_share_ppm(minute: int, climate: Climate) -> int:
    """What panels give of their rating under a clear sky: a half wave from sunrise to sunset."""
    # Bhaskara's rational form of the sine, to 0.2 %, of p = 4 x (1 - x), where x is the share of the day that is over.
    since, length = minute % _DAY_MINUTES - climate.sunrise_minute, climate.sunset_minute - climate.sunrise_minute
    if not 0 <= since <= length:
        return 0
    p = 4 * since * (length - since) * _PPM // (length * length)
    return 4 * p * _PPM // (5 * _PPM - p)


def day_factors(minute: int) -> NDArray[np.int32]:
    """int32[kinds] ppm, what each kind's mean demand is multiplied by at a minute of the day (`noise.advance`)."""
    hour, part = divmod(minute % _DAY_MINUTES, 60)
    before, after = _DAY[:, hour], _DAY[:, (hour + 1) % 24]
    return ((before * (60 - part) + after * part) * (_PPM // 100) // 60).astype(np.int32)


# Percent of the mean, at each full hour. Those of consumers add up to a mean day of 100 %; roofs are told by the sun.
_DAY = np.asarray(
    [
        # 0                  6                         12                       18                 23
        [78, 70, 65, 63, 63, 67, 82, 100, 104, 100, 97, 96, 97, 96, 95, 98, 108, 127, 145, 151, 148, 136, 118, 96],
        [72, 69, 67, 66, 67, 71, 80, 94, 110, 121, 127, 130, 131, 131, 130, 128, 124, 118, 110, 102, 98, 92, 84, 78],
        [92, 91, 90, 90, 91, 94, 98, 103, 106, 107, 108, 108, 107, 108, 108, 107, 105, 102, 100, 98, 97, 97, 96, 97],
        [55, 35, 25, 25, 40, 70, 115, 155, 160, 125, 105, 105, 110, 110, 115, 130, 150, 160, 145, 120, 105, 95, 80, 65],
        [0, 0, 0, 0, 0, 0, 6, 24, 42, 60, 78, 92, 100, 100, 92, 78, 60, 42, 24, 6, 0, 0, 0, 0],
    ],
    np.int64,
)
assert _DAY.shape == (len(KINDS), 24)


def _walk(state: NDArray[np.int64], seed: int, mean: int, step: int, back_ppm: int, end: int) -> None:
    """One step of bounded walks, one a zone."""
    chances = chance.below(2 * step + 1, seed, 0, np.arange(len(state), dtype=np.uint64)) - step
    # Halves up: truncating would pull every walk downward.
    back = ((mean - state) * back_ppm + _PPM // 2) // _PPM
    np.clip(state + back + chances, 0, end, out=state)


def _trip(down_ticks: NDArray[np.int64], seed: int, tick: int, law: Climate) -> None:
    """Forced outages begin, go on and end."""
    numbers = np.arange(len(down_ticks), dtype=np.uint64)
    np.maximum(down_ticks - 1, 0, out=down_ticks)
    if law.trip_ticks <= 0:
        return
    lot = chance.below(law.trip_ticks, chance.derived(seed, _Draw.TRIP, tick), 0, numbers)
    hit = np.flatnonzero((lot == 0) & (down_ticks == 0))
    length = 1 + chance.below(
        max(1, 2 * law.repair_ticks - 1), chance.derived(seed, _Draw.REPAIR, tick), 0, numbers[hit]
    )
    down_ticks[hit] = length


def _ramp(
    level: NDArray[np.int64], fleet: Fleet, set_point: NDArray[np.int64], up: NDArray[np.bool_], law: Climate
) -> None:
    """Continuous plants move towards their set points; an outage takes one to 0 at once."""
    rated = fleet.rated
    least = rated * law.stable_ppm // _PPM
    aim = np.where(set_point <= 0, 0, np.clip(set_point, least, rated))
    move = np.maximum(1, rated * law.ramp_ppm // _PPM)
    after = level + np.clip(aim - level, -move, move)
    # Between standing still and the stable minimum there is nothing: it starts at the minimum, and stops from there.
    after = np.where((after > 0) & (after < least), np.where(aim > 0, least, 0), after)
    level[:] = np.where(up & (fleet.plant == Plant.CONTINUOUS), after, 0)
