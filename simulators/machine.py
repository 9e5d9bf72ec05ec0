"""What all simulated machines have in common: registers that are written, and what the machine makes of them."""

from __future__ import annotations

from simulators.weather import Weather


class Machine:
    """One device with physics. `power_w` is signed: + consumption, - production."""

    __slots__ = ("bus", "command", "name", "phase_mask", "power_w", "reactive_ratio", "registers", "tree_number")

    model = ""

    def __init__(self, name: str, bus: int, phase_mask: int, power_factor: float, tree_number: int = 0) -> None:
        self.name = name
        self.bus = bus
        self.phase_mask = phase_mask
        self.reactive_ratio = (1.0 - power_factor**2) ** 0.5 / power_factor
        """var per W drawn."""
        self.tree_number = tree_number
        self.power_w = 0.0
        self.registers: dict[str, float] = {}
        """What was written, as it reads back."""
        self.command = self.registers
        """What the machine obeys: the registers themselves, or a frozen copy while they echo without effect."""

    def step(self, dt_ms: int, now_ms: int, weather: Weather, fed: bool) -> None:
        """Lets `dt_ms` pass up to `now_ms`; `fed` is False where no live supply reaches it."""
        raise NotImplementedError

    def read(self, signal: str) -> float | None:
        """Present value in base units, None if the machine has no such signal."""
        raise NotImplementedError

    def accepts(self, signal: str, value: float) -> bool:
        """Whether the device takes this value."""
        raise NotImplementedError

    def write(self, signal: str, value: float, now_ms: int) -> None:
        """Puts an accepted value into a register."""
        self.registers[signal] = value

    def deafen(self, deaf: bool) -> None:
        """Registers echo without effect from now on, or take effect again."""
        self.command = dict(self.registers) if deaf else self.registers

    def truth(self) -> dict[str, object]:
        """All that is known of it, for people and tests."""
        return {"model": self.model, "power_w": self.power_w, "registers": dict(self.registers)}
