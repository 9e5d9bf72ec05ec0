"""Meters of feeders, buildings and the grid connection: the sum of everything that hangs below, measured."""

from __future__ import annotations

from simulators.machine import Machine

_MS_PER_H = 3_600_000.0


class Place:
    """One rating's place in the network: machines and places below it, and a load that nobody else measures."""

    __slots__ = (
        "_export_wms",
        "_import_wms",
        "_phase_mask",
        "machines",
        "name",
        "places",
        "power_w",
        "unmetered_w",
        "voltage_v",
    )

    def __init__(self, name: str, phase_mask: int, voltage_v: float, unmetered_w: float) -> None:
        self.name = name
        self.machines: list[Machine] = []
        self.places: list[Place] = []
        self.voltage_v = voltage_v
        self.unmetered_w = unmetered_w
        self.power_w = 0.0
        self._phase_mask = phase_mask
        self._import_wms = 0.0
        self._export_wms = 0.0

    def measure(self, dt_ms: int) -> None:
        """Sums up, places below first; energies count over `dt_ms`."""
        power = self.unmetered_w
        for machine in self.machines:
            power += machine.power_w
        for place in self.places:
            power += place.power_w
        self.power_w = power
        if power >= 0.0:
            self._import_wms += power * dt_ms
        else:
            self._export_wms -= power * dt_ms

    def _phase_flows(self) -> list[float]:
        """Active power of phases a, b, c, then reactive power of a, b, c."""
        flows = [0.0] * 6
        _spread(flows, self._phase_mask, self.unmetered_w, 0.0)
        for machine in self.machines:
            _spread(flows, machine.phase_mask, machine.power_w, abs(machine.power_w) * machine.reactive_ratio)
        for place in self.places:
            for index, flow in enumerate(place._phase_flows()):
                flows[index] += flow
        return flows

    def current_a(self, phase: int) -> float:
        """Current of phase 0, 1 or 2 in A, a magnitude as meters show it."""
        flows = self._phase_flows()
        return float((flows[phase] ** 2 + flows[phase + 3] ** 2) ** 0.5 / self.voltage_v)

    def read(self, signal: str) -> float | None:
        """A signal of the meter that hangs here."""
        match signal:
            case "power":
                return self.power_w
            case "current_a":
                return self.current_a(0)
            case "current_b":
                return self.current_a(1)
            case "current_c":
                return self.current_a(2)
            case "voltage":
                return self.voltage_v
            case "energy_import":
                return self._import_wms / _MS_PER_H
            case "energy_export":
                return self._export_wms / _MS_PER_H
        return None

    def truth(self) -> dict[str, object]:
        """All that a perfect meter would show."""
        return {
            "power_w": self.power_w,
            "unmetered_w": self.unmetered_w,
            "currents_a": [self.current_a(phase) for phase in range(3)],
            "voltage_v": self.voltage_v,
            "energy_import_wh": self._import_wms / _MS_PER_H,
            "energy_export_wh": self._export_wms / _MS_PER_H,
            "machines": [machine.name for machine in self.machines],
            "places": [place.name for place in self.places],
        }


def _spread(flows: list[float], phase_mask: int, active_w: float, reactive_var: float) -> None:
    count = phase_mask.bit_count()
    for phase in range(3):
        if phase_mask >> phase & 1:
            flows[phase] += active_w / count
            flows[phase + 3] += reactive_var / count
