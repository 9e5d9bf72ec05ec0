"""Batteries: a signed set point, a state of charge that pays for every conversion, and a dead time on reversal."""

from __future__ import annotations

from simulators.machine import Machine
from simulators.weather import AT_ONCE, Weather, approach

_MS_PER_H = 3_600_000.0


class Battery(Machine):
    """Follows `setpoint` (+ charge) within ramp, between floor and ceiling, as its `mode` allows.

    Modes are the four numbers (idle, charging, discharging, sleeping). Where the mode can be written it must fit the
    set point: charging takes only a positive one, discharging only a negative one, sleeping none; a set point written
    in idle puts it into charging or discharging by its sign. Where the mode can only be read it tells what the battery
    does. A battery without a set point register charges and discharges at its rating as the mode says.
    """

    __slots__ = (
        "_dead_time_ms",
        "_direction",
        "_discharge_efficiency",
        "_mode_commanded",
        "_modes",
        "_ramp_w_ms",
        "_rescue",
        "_setpoint_commanded",
        "_zero_ms",
        "capacity_wh",
        "ceiling_wh",
        "charge_efficiency",
        "charge_w",
        "discharge_w",
        "energy_wh",
        "floor_wh",
        "losses_wh",
        "protection_wh",
        "reversals",
        "standby_w",
        "trickle_w",
    )

    model = "battery"

    def __init__(
        self,
        name: str,
        *,
        bus: int,
        phase_mask: int,
        power_factor: float,
        tree_number: int,
        capacity_wh: float,
        soc_fraction: float,
        charge_w: float,
        discharge_w: float,
        floor_fraction: float,
        ceiling_fraction: float,
        protection_fraction: float,
        trickle_w: float,
        dead_time_ms: int,
        ramp_w_s: float,
        charge_efficiency: float,
        discharge_efficiency: float,
        standby_w: float,
        modes: tuple[int, int, int, int],
        mode_commanded: bool,
        setpoint_commanded: bool,
    ) -> None:
        super().__init__(name, bus, phase_mask, power_factor, tree_number)
        self.capacity_wh = capacity_wh
        self.energy_wh = capacity_wh * soc_fraction
        self.charge_w = charge_w
        self.discharge_w = discharge_w
        self.floor_wh = capacity_wh * floor_fraction
        self.ceiling_wh = capacity_wh * ceiling_fraction
        self.protection_wh = capacity_wh * protection_fraction
        self.trickle_w = trickle_w
        self.charge_efficiency = charge_efficiency
        self._discharge_efficiency = discharge_efficiency
        self.standby_w = standby_w
        self.losses_wh = 0.0
        self.reversals = 0
        self._dead_time_ms = dead_time_ms
        self._ramp_w_ms = ramp_w_s / 1000.0 if ramp_w_s > 0 else AT_ONCE
        self._modes = modes
        self._mode_commanded = mode_commanded
        self._setpoint_commanded = setpoint_commanded
        self._direction = 0
        """+1 or -1: the way the current last went."""
        self._zero_ms = dead_time_ms
        """For how long no current has flown."""
        self._rescue = False
        self.registers.update(setpoint=0.0, mode=float(modes[0]))

    @property
    def output_w(self) -> float:
        """What it produces, as a magnitude."""
        return -self.power_w if self.power_w < 0.0 else 0.0

    @property
    def soc_fraction(self) -> float:
        """Energy in it, of its capacity."""
        return self.energy_wh / self.capacity_wh

    def _wished_w(self) -> float:
        setpoint = self.command["setpoint"]
        if not self._mode_commanded:
            return setpoint
        _, charging, discharging, _ = self._modes
        mode = self.command["mode"]
        if not self._setpoint_commanded:
            if mode == charging:
                return self.charge_w
            return -self.discharge_w if mode == discharging else 0.0
        if mode == charging:
            return max(0.0, setpoint)
        if mode == discharging:
            return min(0.0, setpoint)
        return 0.0

    def step(self, dt_ms: int, now_ms: int, weather: Weather, fed: bool) -> None:
        hours = dt_ms / _MS_PER_H
        target = self._wished_w()
        full = self.energy_wh >= self.ceiling_wh
        empty = self.energy_wh <= self.floor_wh
        if (target > 0.0 and full) or (target < 0.0 and empty):
            target = 0.0
        # Deep discharge ruins cells: below its protection level it fills itself, whatever it was told.
        if self.energy_wh < self.protection_wh:
            self._rescue = True
        elif self.energy_wh > self.protection_wh + 0.005 * self.capacity_wh:
            self._rescue = False
        if self._rescue and target < self.trickle_w:
            target = self.trickle_w
        power = self.power_w
        step = self._ramp_w_ms * dt_ms
        if power != 0.0:
            crosses = (power > 0.0) != (target > 0.0) and target != 0.0
            power = approach(power, 0.0 if crosses else target, step)
            self._zero_ms = 0
        else:
            self._zero_ms += dt_ms
            if target != 0.0:
                sign = 1 if target > 0.0 else -1
                reverses = self._direction not in (0, sign)
                if not reverses or self._zero_ms >= self._dead_time_ms:
                    self.reversals += reverses
                    self._direction = sign
                    power = approach(0.0, target, step)
        # The last step before an end is cut so that it ends exactly there.
        stored_wh = power * hours
        if power > 0.0:
            stored_wh *= self.charge_efficiency
            room = max(0.0, self.capacity_wh - self.energy_wh)
            if stored_wh > room:
                power, stored_wh = (power * room / stored_wh if stored_wh else 0.0), room
        elif power < 0.0:
            stored_wh /= self._discharge_efficiency
            if -stored_wh > self.energy_wh:
                power, stored_wh = power * self.energy_wh / -stored_wh, -self.energy_wh
        standby_wh = min(self.standby_w * hours, max(0.0, self.energy_wh + stored_wh))
        self.energy_wh += stored_wh - standby_wh
        self.losses_wh += power * hours - stored_wh + standby_wh
        self.power_w = power

    def read(self, signal: str) -> float | None:
        if signal == "power":
            return self.power_w
        if signal == "soc":
            return self.energy_wh / self.capacity_wh
        if signal == "mode" and not self._mode_commanded:
            return float(self._modes[0 if self.power_w == 0.0 else 1 if self.power_w > 0.0 else 2])
        return self.registers.get(signal)

    def accepts(self, signal: str, value: float) -> bool:
        if signal == "mode":
            return self._mode_commanded and value in self._modes
        return signal == "setpoint" and -self.discharge_w * 1.001 <= value <= self.charge_w * 1.001

    def write(self, signal: str, value: float, now_ms: int) -> None:
        self.registers[signal] = value
        if self._mode_commanded and signal == "setpoint" and value != 0.0 and self.registers["mode"] == self._modes[0]:
            self.registers["mode"] = float(self._modes[1] if value > 0.0 else self._modes[2])

    def truth(self) -> dict[str, object]:
        return {
            **super().truth(),
            "soc_fraction": self.soc_fraction,
            "energy_wh": self.energy_wh,
            "losses_wh": self.losses_wh,
            "reversals": self.reversals,
            "self_rescue": self._rescue,
        }
