"""Generators: wind and sun (stochastic), the block-loaded CHP unit (fixed), the gas engine (continuous)."""

from __future__ import annotations

from typing import Literal

from simulators.machine import Machine
from simulators.weather import AT_ONCE, Drift, Weather, approach

_LIMIT_SLACK = 1.25
"""A limit register may be written above the rating (16 A at 11 kW); physics ends at the rating all the same."""


class Generator(Machine):
    """What is the same in all: registers `limit`, `connect`, `setpoint` (magnitudes), output within [0, rated]."""

    __slots__ = ("output_w", "ramp_w_ms", "rated_w", "violations")

    def __init__(
        self,
        name: str,
        *,
        bus: int,
        phase_mask: int,
        power_factor: float,
        tree_number: int,
        rated_w: float,
        ramp_w_s: float,
    ) -> None:
        super().__init__(name, bus, phase_mask, power_factor, tree_number)
        self.rated_w = rated_w
        self.ramp_w_ms = ramp_w_s / 1000.0 if ramp_w_s > 0 else AT_ONCE
        self.output_w = 0.0
        self.violations = 0
        """Orders that a careful operator would not have given (minimum up and down times)."""
        self.registers.update(limit=rated_w, connect=1.0, setpoint=rated_w)

    @property
    def available_w(self) -> float:
        """Most that it could produce now."""
        return self.rated_w

    def read(self, signal: str) -> float | None:
        if signal == "power":
            return self.power_w
        if signal == "available":
            return self.available_w
        return self.registers.get(signal)

    def accepts(self, signal: str, value: float) -> bool:
        if signal == "connect":
            return value in (0.0, 1.0)
        if signal in ("limit", "setpoint"):
            return 0.0 <= value <= self.rated_w * (_LIMIT_SLACK if signal == "limit" else 1.001)
        return False

    def truth(self) -> dict[str, object]:
        return {
            **super().truth(),
            "output_w": self.output_w,
            "available_w": self.available_w,
            "rated_w": self.rated_w,
            "violations": self.violations,
        }


class Weathered(Generator):
    """A wind turbine or a solar inverter: it gives what the weather gives, at most its limit."""

    __slots__ = ("_available_w", "_drift", "_noise", "_source", "model")

    def __init__(
        self,
        name: str,
        *,
        source: Literal["wind", "solar"],
        drift: Drift,
        noise: float,
        bus: int,
        phase_mask: int,
        power_factor: float,
        tree_number: int,
        rated_w: float,
        ramp_w_s: float,
    ) -> None:
        super().__init__(
            name,
            bus=bus,
            phase_mask=phase_mask,
            power_factor=power_factor,
            tree_number=tree_number,
            rated_w=rated_w,
            ramp_w_s=ramp_w_s,
        )
        self.model = source
        self._source = source
        self._drift = drift
        self._noise = noise
        self._available_w = 0.0

    @property
    def available_w(self) -> float:
        return self._available_w

    def step(self, dt_ms: int, now_ms: int, weather: Weather, fed: bool) -> None:
        fraction = weather.wind if self._source == "wind" else weather.sun
        available = self.rated_w * fraction * (1.0 + self._noise * self._drift.at(now_ms))
        if available > self.rated_w:
            available = self.rated_w
        elif available < 0.0:
            available = 0.0
        self._available_w = available
        command = self.command
        target = min(available, command["limit"], command["setpoint"]) if command["connect"] else 0.0
        # A lull takes the output down at once; ramps hold only for what the machine does of its own will.
        self.output_w = approach(min(self.output_w, available), target, self.ramp_w_ms * dt_ms)
        self.power_w = 0.0 - self.output_w


class Startable(Generator):
    """A machine that must start before it produces, and counts the orders that wear it out."""

    __slots__ = (
        "_changed_ms",
        "_minimum_down_ms",
        "_minimum_up_ms",
        "_ordered",
        "_start_ms",
        "_started_at_ms",
        "starts",
    )

    def __init__(
        self,
        name: str,
        *,
        start_ms: int,
        minimum_up_ms: int,
        minimum_down_ms: int,
        bus: int,
        phase_mask: int,
        power_factor: float,
        tree_number: int,
        rated_w: float,
        ramp_w_s: float,
    ) -> None:
        super().__init__(
            name,
            bus=bus,
            phase_mask=phase_mask,
            power_factor=power_factor,
            tree_number=tree_number,
            rated_w=rated_w,
            ramp_w_s=ramp_w_s,
        )
        self._start_ms = start_ms
        self._minimum_up_ms = minimum_up_ms
        self._minimum_down_ms = minimum_down_ms
        self._ordered = False
        self._started_at_ms = 0
        self._changed_ms: int | None = None
        self.starts = 0

    def _running(self, ordered: bool, dt_ms: int, now_ms: int) -> int:
        """Milliseconds of this step in which the machine is ordered on and past its start; -1 if it is ordered off."""
        if ordered != self._ordered:
            least = self._minimum_down_ms if ordered else self._minimum_up_ms
            begun_ms = now_ms - dt_ms
            if self._changed_ms is not None and begun_ms - self._changed_ms < least:
                self.violations += 1
            self._changed_ms = begun_ms
            self._ordered = ordered
            self.starts += ordered
            # Still turning on its way down: no second start is needed.
            self._started_at_ms = begun_ms + (0 if self.output_w > 0.0 else self._start_ms)
        if not ordered:
            return -1
        return max(0, min(dt_ms, now_ms - self._started_at_ms))

    def truth(self) -> dict[str, object]:
        return {**super().truth(), "ordered_on": self._ordered, "starts": self.starts}


class BlockLoaded(Startable):
    """A CHP unit: `connect` 1 starts it, after its start time it ramps to its rated block; 0 takes it off."""

    __slots__ = ()

    model = "chp"

    def step(self, dt_ms: int, now_ms: int, weather: Weather, fed: bool) -> None:
        running_ms = self._running(bool(self.command["connect"]), dt_ms, now_ms)
        if running_ms < 0:
            self.output_w = approach(self.output_w, 0.0, self.ramp_w_ms * dt_ms)
        elif running_ms > 0:
            target = min(self.rated_w, self.command["limit"])
            self.output_w = approach(self.output_w, target, self.ramp_w_ms * running_ms)
        self.power_w = 0.0 - self.output_w


class Continuous(Startable):
    """A gas engine: 0, or between its stable minimum and its rating within its ramp."""

    __slots__ = ("minimum_w",)

    model = "gas"

    def __init__(
        self,
        name: str,
        *,
        minimum_w: float,
        start_ms: int,
        minimum_up_ms: int,
        minimum_down_ms: int,
        bus: int,
        phase_mask: int,
        power_factor: float,
        tree_number: int,
        rated_w: float,
        ramp_w_s: float,
    ) -> None:
        super().__init__(
            name,
            start_ms=start_ms,
            minimum_up_ms=minimum_up_ms,
            minimum_down_ms=minimum_down_ms,
            bus=bus,
            phase_mask=phase_mask,
            power_factor=power_factor,
            tree_number=tree_number,
            rated_w=rated_w,
            ramp_w_s=ramp_w_s,
        )
        self.minimum_w = minimum_w
        self.registers["setpoint"] = 0.0

    def step(self, dt_ms: int, now_ms: int, weather: Weather, fed: bool) -> None:
        command = self.command
        wished = min(command["setpoint"], command["limit"]) if command["connect"] else 0.0
        running_ms = self._running(wished > 0.0, dt_ms, now_ms)
        if running_ms < 0:
            # Below its minimum it cannot burn: it ramps down to it, then its breaker opens.
            lowered = approach(self.output_w, 0.0, self.ramp_w_ms * dt_ms)
            self.output_w = lowered if lowered >= self.minimum_w and lowered > 0.0 else 0.0
        elif running_ms > 0:
            target = min(self.rated_w, max(self.minimum_w, wished))
            self.output_w = approach(max(self.output_w, self.minimum_w), target, self.ramp_w_ms * running_ms)
        self.power_w = 0.0 - self.output_w
