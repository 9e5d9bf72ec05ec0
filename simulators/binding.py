"""What stands behind a point: a signal of a machine, or a plain register that keeps what is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scowl_edge.assembly import Assembly
from scowl_edge.model.command import Verb
from simulators.plant import SIGNALS, Plant
from simulators.registers import Value

Bindings = Mapping[tuple[str, str], tuple[str, float]]
"""(device, point) -> (signal, factor)"""

_QUANTA = {
    "soc": 1_000_000.0,
    "current_a": 1000.0,
    "current_b": 1000.0,
    "current_c": 1000.0,
    "voltage": 1000.0,
    "shed_expiry": 1000.0,
}
"""Quanta of a signal in one of the plant's units, where that is not 1."""


@dataclass(frozen=True, slots=True)
class Behind:
    """One point of a device, apart from how it lies on a wire."""

    plant: Plant
    device: int
    """Index in the site."""
    point: str
    signal: str
    """Empty: a plain register that keeps what is written."""
    factor: float
    """Point's base value = plant's value * factor (a share of the rating, A for W)."""

    @classmethod
    def of(cls, plant: Plant, device: str, point: str, bindings: Bindings) -> Behind:
        """What stands behind a point of a named device."""
        signal, factor = bindings.get((device, point), ("", 1.0))
        return cls(plant, plant.index(device), point, signal, factor)

    def shown(self) -> Value | None:
        """Present value in the point's base unit; None = not available."""
        if not self.signal:
            return self.plant.kept(self.device, self.point)
        signal = "shed_granted" if self.signal == "shed_request_granted" else self.signal
        shown = self.plant.read(self.device, signal)
        return None if shown is None else shown * self.factor

    def take(self, value: Value) -> bool:
        """What the device answers to a write in the point's base unit: True = acknowledged, False = refused."""
        if self.signal and isinstance(value, float):
            signal = "shed_request" if self.signal == "shed_request_granted" else self.signal
            return self.plant.write(self.device, signal, value / self.factor)
        return self.plant.keep(self.device, self.point, value)


def bind(assembly: Assembly) -> Bindings:
    """(device, point) -> (signal, factor) for every point that a role or a rating uses."""
    found: dict[tuple[str, str], tuple[str, float]] = {}
    grants = {signal.device for signal in assembly.site.signals if signal.name == "shed_granted"}

    def add(index: int, signal: str, gain: float) -> None:
        if signal not in SIGNALS:
            return
        row = assembly.points[index]
        found.setdefault((row.device, row.name), (signal, _QUANTA.get(signal, 1.0) / gain))

    for signal, binding in zip(assembly.site.signals, assembly.signals, strict=True):
        add(binding.point, signal.name, binding.gain)
    for actuator, written in zip(assembly.site.actuators, assembly.actuators, strict=True):
        add(written.point, "shed_request" if actuator.verb is Verb.SHED else str(actuator.verb), written.gain)
        if written.expiry_point >= 0:
            add(written.expiry_point, "shed_expiry", _QUANTA["shed_expiry"])
        if actuator.verb is Verb.SHED and actuator.device not in grants:
            # Without a register of its own the grant is what the request reads back as.
            row = assembly.points[written.point]
            found[row.device, row.name] = ("shed_request_granted", found[row.device, row.name][1])
    return found
