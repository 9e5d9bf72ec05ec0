"""What reaches every device from outside: wind, sun, the level of all loads; and noise that repeats from a seed."""

from __future__ import annotations

_MASK = (1 << 64) - 1
_HALF = float(1 << 63)
AT_ONCE = 1e15
"""Ramp in W per ms of what knows none: finite, so that no time at all still moves nothing."""


def mix(seed: int, purpose: int, device: int, tick: int) -> float:
    """A number in [-1, 1) that depends on its four arguments only: nothing has to be remembered to repeat it."""
    x = (
        seed * 0x9E3779B97F4A7C15
        + purpose * 0xC2B2AE3D27D4EB4F
        + device * 0x165667B19E3779F9
        + tick * 0xD6E8FEB86659FD93
    ) & _MASK
    x ^= x >> 32
    x = (x * 0xD6E8FEB86659FD93) & _MASK
    x ^= x >> 29
    x = (x * 0xBF58476D1CE4E5B9) & _MASK
    x ^= x >> 32
    return x / _HALF - 1.0


class Drift:
    """Noise without jumps: random heights at equal distances, joined by straight lines."""

    __slots__ = ("_device", "_from", "_knot", "_period_ms", "_purpose", "_seed", "_to")

    def __init__(self, seed: int, purpose: int, device: int, period_ms: int) -> None:
        self._seed = seed
        self._purpose = purpose
        self._device = device
        self._period_ms = max(1, period_ms)
        self._knot = -1
        self._from = 0.0
        self._to = 0.0

    def at(self, now_ms: int) -> float:
        """Height in [-1, 1] at this time."""
        knot, rest = divmod(now_ms, self._period_ms)
        if knot != self._knot:
            self._knot = knot
            self._from = mix(self._seed, self._purpose, self._device, knot)
            self._to = mix(self._seed, self._purpose, self._device, knot + 1)
        return self._from + (self._to - self._from) * rest / self._period_ms


def approach(value: float, target: float, step: float) -> float:
    """`value` moved towards `target` by at most `step`."""
    if value < target:
        moved = value + step
        return target if moved > target else moved
    moved = value - step
    return target if moved < target else moved


class Weather:
    """Wind and sun as fractions of what the machines are rated for, and the level of all loads (1 = normal).

    Wind and sun do not jump: a change arrives as a front that takes `front_ms` to pass.
    """

    __slots__ = ("_front_ms", "_sun_rate", "_sun_target", "_wind_rate", "_wind_target", "load", "sun", "wind")

    def __init__(self, wind: float, sun: float, load: float, front_ms: int) -> None:
        self.wind = self._wind_target = wind
        self.sun = self._sun_target = sun
        self.load = load
        self._front_ms = max(1, front_ms)
        self._wind_rate = 0.0
        self._sun_rate = 0.0

    def forecast(self, wind: float | None, sun: float | None) -> None:
        """Sends a front towards new fractions; None leaves one as it is."""
        if wind is not None:
            self._wind_target = wind
            self._wind_rate = abs(wind - self.wind) / self._front_ms
        if sun is not None:
            self._sun_target = sun
            self._sun_rate = abs(sun - self.sun) / self._front_ms

    def step(self, dt_ms: int) -> None:
        """Lets `dt_ms` pass."""
        if self.wind != self._wind_target:
            self.wind = approach(self.wind, self._wind_target, self._wind_rate * dt_ms)
        if self.sun != self._sun_target:
            self.sun = approach(self.sun, self._sun_target, self._sun_rate * dt_ms)
