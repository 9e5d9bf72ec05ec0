"""Consumers: buildings and homes that grant sheds and hold their expiry themselves, and the EV charger."""

from __future__ import annotations

from simulators.machine import Machine
from simulators.weather import AT_ONCE, Drift, Weather, approach

_MS_PER_H = 3_600_000.0
_REBOUND_LONGEST_MS = 600_000

SHAPES: dict[str, tuple[float, ...]] = {
    "flat": (1.0,) * 24,
    "home": (
        *(0.45, 0.40, 0.38, 0.38, 0.40, 0.55, 0.85, 0.95, 0.80, 0.65, 0.60, 0.65),
        *(0.75, 0.70, 0.62, 0.65, 0.80, 1.00, 1.20, 1.30, 1.25, 1.05, 0.80, 0.60),
    ),
    "office": (
        *(0.35, 0.35, 0.35, 0.35, 0.38, 0.45, 0.65, 0.90, 1.10, 1.20, 1.20, 1.20),
        *(1.10, 1.15, 1.20, 1.15, 1.05, 0.90, 0.70, 0.55, 0.45, 0.40, 0.38, 0.36),
    ),
}
"""Hourly height of a day's load, from midnight."""


class Consumer(Machine):
    """What every consumer has: registers `limit`, `connect`, `supply`; demand as against what reaches it."""

    __slots__ = ("_ramp_w_ms", "demand_w", "fed", "fraction", "rated_w", "wanted_w")

    def __init__(
        self, name: str, *, bus: int, phase_mask: int, power_factor: float, rated_w: float, ramp_w_s: float
    ) -> None:
        super().__init__(name, bus, phase_mask, power_factor)
        self.rated_w = rated_w
        self.fraction = 1.0
        """Level of this consumer's own load, on top of everyone's."""
        self.wanted_w = 0.0
        """What it would draw if nobody interfered."""
        self.demand_w = 0.0
        """What it would draw now if it were fed."""
        self.fed = True
        self._ramp_w_ms = ramp_w_s / 1000.0 if ramp_w_s > 0 else AT_ONCE
        self.registers.update(limit=rated_w, connect=1.0, supply=0.0)

    def _draw(self, demand_w: float, dt_ms: int, fed: bool) -> None:
        command = self.command
        if demand_w > command["limit"]:
            demand_w = command["limit"]
        if not command["connect"]:
            demand_w = 0.0
        self.demand_w = demand_w
        self.fed = fed
        # Power that is cut is gone at once; only what a machine does by itself takes a ramp.
        self.power_w = (
            approach(min(self.power_w, self.wanted_w), demand_w, self._ramp_w_ms * dt_ms)
            if fed and command["connect"]
            else 0.0
        )

    def cut(self) -> None:
        """The supply is gone, now."""
        self.power_w = 0.0
        self.fed = False

    def read(self, signal: str) -> float | None:
        return self.power_w if signal == "power" else self.registers.get(signal)

    def accepts(self, signal: str, value: float) -> bool:
        if signal == "connect":
            return value in (0.0, 1.0)
        if signal == "supply":
            return 0.0 <= value <= 65535.0 and value == int(value)
        return signal == "limit" and 0.0 <= value <= 1.25 * self.rated_w

    def truth(self) -> dict[str, object]:
        return {
            **super().truth(),
            "wanted_w": self.wanted_w,
            "demand_w": self.demand_w,
            "rated_w": self.rated_w,
            "fed": self.fed,
        }


class Household(Consumer):
    """A building or a home: a stochastic part, a deferrable part, and sheds that it grants and ends by itself."""

    __slots__ = (
        "_base_w",
        "_deferrable_base_w",
        "_drift",
        "_grant_at_ms",
        "_grant_delay_ms",
        "_hour_zero_ms",
        "_lapse_ms",
        "_noise",
        "_rebound",
        "_rebound_until_ms",
        "_rebound_w",
        "_shape",
        "_shed_from_ms",
        "_shed_until_ms",
        "deferrable_w",
        "demand_responsive_w",
        "inside_w",
        "model",
        "overlong_sheds",
        "shed_w",
        "sheds",
        "sheds_expired",
    )

    def __init__(
        self,
        name: str,
        *,
        model: str,
        bus: int,
        phase_mask: int,
        power_factor: float,
        rated_w: float,
        ramp_w_s: float,
        base_w: float,
        deferrable_w: float,
        demand_responsive_w: float,
        deferral_ms: int,
        rebound_fraction: float,
        grant_delay_ms: int,
        drift: Drift,
        noise: float,
        shape: tuple[float, ...],
        start_hour: float,
    ) -> None:
        super().__init__(
            name, bus=bus, phase_mask=phase_mask, power_factor=power_factor, rated_w=rated_w, ramp_w_s=ramp_w_s
        )
        self.model = model
        self.demand_responsive_w = demand_responsive_w
        self.deferrable_w = deferrable_w
        self.inside_w = 0.0
        """Of appliances in it that are simulated elsewhere, on top of all else."""
        self.shed_w = 0.0
        self.sheds = 0
        self.sheds_expired = 0
        self.overlong_sheds = 0
        self._base_w = base_w
        self._deferrable_base_w = deferrable_w
        self._drift = drift
        self._noise = noise
        self._shape = shape
        self._hour_zero_ms = int(start_hour * _MS_PER_H)
        self._lapse_ms = deferral_ms
        self._grant_delay_ms = grant_delay_ms
        self._grant_at_ms: int | None = None
        self._shed_from_ms = 0
        self._shed_until_ms: int | None = None
        self._rebound = rebound_fraction
        self._rebound_w = 0.0
        self._rebound_until_ms = 0
        self.registers.update(shed_request=0.0, shed_granted=0.0, shed_expiry=0.0)

    def step(self, dt_ms: int, now_ms: int, weather: Weather, fed: bool) -> None:
        if self._grant_at_ms is not None and now_ms >= self._grant_at_ms:
            self._grant(now_ms)
        if self._shed_until_ms is not None and now_ms >= self._shed_until_ms:
            self.sheds_expired += 1
            self._end_shed(now_ms)
        level = weather.load * self.fraction
        if self._shape is not SHAPES["flat"]:
            level *= self._height(now_ms)
        self.deferrable_w = deferrable = self._deferrable_base_w * level
        wanted = self._base_w * level * (1.0 + self._noise * self._drift.at(now_ms)) + deferrable + self.inside_w
        if wanted > self.rated_w:
            wanted = self.rated_w
        self.wanted_w = wanted
        granted = self.command["shed_granted"]
        self.shed_w = shed = granted if granted < deferrable else deferrable
        demand = wanted - shed
        if self._rebound_w:
            if now_ms < self._rebound_until_ms:
                demand = min(self.rated_w, demand + self._rebound_w)
            else:
                self._rebound_w = 0.0
        self._draw(demand, dt_ms, fed)

    def _height(self, now_ms: int) -> float:
        hour = (now_ms + self._hour_zero_ms) / _MS_PER_H % 24.0
        below = int(hour)
        return self._shape[below] + (self._shape[(below + 1) % 24] - self._shape[below]) * (hour - below)

    def read(self, signal: str) -> float | None:
        if signal == "power":
            return self.power_w
        if signal == "deferrable":
            return self.deferrable_w
        return self.registers.get(signal)

    def tell_time(self, now_ms: int) -> None:
        """Counts the expiry register down."""
        if self._shed_until_ms is not None:
            self.registers["shed_expiry"] = max(0.0, (self._shed_until_ms - now_ms) / 1000.0)

    def accepts(self, signal: str, value: float) -> bool:
        if signal in ("shed_request", "shed_expiry"):
            return value >= 0.0
        return super().accepts(signal, value)

    def write(self, signal: str, value: float, now_ms: int) -> None:
        self.registers[signal] = value
        if signal == "shed_request":
            if value <= 0.0:
                self._grant_at_ms = None
                self._end_shed(now_ms)
            elif self._grant_delay_ms:
                self._grant_at_ms = now_ms + self._grant_delay_ms
            else:
                self._grant(now_ms)
        elif signal == "shed_expiry" and self._shed_until_ms is not None:
            self._shed_until_ms = now_ms + self._lasting_ms()

    def _lasting_ms(self) -> int:
        # Without a duration the device's own longest deferral holds: no shed outlives whoever asked for it.
        asked_ms = int(self.registers["shed_expiry"] * 1000.0)
        return asked_ms if asked_ms > 0 else self._lapse_ms

    def _grant(self, now_ms: int) -> None:
        self._grant_at_ms = None
        registers = self.registers
        before = registers["shed_granted"]
        granted = min(registers["shed_request"], self.demand_responsive_w, self.deferrable_w)
        registers["shed_granted"] = granted
        if granted <= 0.0:
            self._shed_until_ms = None
            return
        if before <= 0.0:
            self.sheds += 1
            self._shed_from_ms = now_ms
        lasting_ms = self._lasting_ms()
        self._shed_until_ms = now_ms + lasting_ms
        if self._shed_until_ms - self._shed_from_ms > self._lapse_ms:
            self.overlong_sheds += 1

    def _end_shed(self, now_ms: int) -> None:
        registers = self.registers
        granted = registers["shed_granted"]
        if granted > 0.0 and self._rebound > 0.0:
            self._rebound_w = granted * self._rebound
            self._rebound_until_ms = now_ms + min(now_ms - self._shed_from_ms, _REBOUND_LONGEST_MS)
        registers["shed_request"] = registers["shed_granted"] = registers["shed_expiry"] = 0.0
        self._shed_until_ms = None

    def truth(self) -> dict[str, object]:
        return {
            **super().truth(),
            "deferrable_w": self.deferrable_w,
            "shed_w": self.shed_w,
            "sheds": self.sheds,
            "sheds_expired": self.sheds_expired,
            "overlong_sheds": self.overlong_sheds,
            "rebound_w": self._rebound_w,
        }


class Charger(Consumer):
    """An EV charger: draws what the car wants up to `limit`, until the session's energy is delivered."""

    __slots__ = ("_car_w", "_minimum_w", "delivered_wh", "session_wh")

    model = "charger"

    def __init__(
        self,
        name: str,
        *,
        bus: int,
        phase_mask: int,
        power_factor: float,
        rated_w: float,
        ramp_w_s: float,
        car_w: float,
        minimum_w: float,
        session_wh: float,
    ) -> None:
        super().__init__(
            name, bus=bus, phase_mask=phase_mask, power_factor=power_factor, rated_w=rated_w, ramp_w_s=ramp_w_s
        )
        self._car_w = car_w
        self._minimum_w = minimum_w
        self.session_wh = session_wh
        self.delivered_wh = 0.0

    def step(self, dt_ms: int, now_ms: int, weather: Weather, fed: bool) -> None:
        hours = dt_ms / _MS_PER_H
        # A charger does not follow the season as households do: only its own level counts.
        wanted = min(self.rated_w, self._car_w * self.fraction)
        if self.session_wh > 0.0:
            wanted = min(wanted, max(0.0, self.session_wh - self.delivered_wh) / hours) if hours else 0.0
        self.wanted_w = wanted
        below_minimum = min(wanted, self.command["limit"]) < self._minimum_w
        self._draw(0.0 if below_minimum else wanted, dt_ms, fed)
        self.delivered_wh += self.power_w * hours

    def truth(self) -> dict[str, object]:
        return {**super().truth(), "delivered_wh": self.delivered_wh, "session_wh": self.session_wh}
