"""Small regions for virtual time: configurations from a few lines each, and what tests ask of a world."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scowl_edge.assembly import assemble, load
from scowl_edge.control import Core
from scowl_edge.control.entry import Entry
from scowl_edge.journal.replay import ReplayReport, replay
from scowl_edge.model.command import Verb
from scowl_edge.model.view import ActuatorView, DecisionView, DeviceView, RatingView, RegionView, TreeView
from simulators.faults import AcceptedWrite, Fault, FaultKind
from simulators.serving import settings_of
from simulators.world import World, WorldSettings

EXAMPLES = Path(__file__).parents[3] / "examples"
MINUTE = 60_000

_KINDS = {
    "power": "type: int32, unit: W",
    "available": "type: int32, unit: W",
    "deferrable": "type: int32, unit: W",
    "shed_granted": "type: int32, unit: W",
    "soc": 'type: uint16, scale: 0.01, unit: "%"',
    "limit": "type: int32, unit: W, access: rw",
    "setpoint": "type: int32, unit: W, access: rw",
    "shed_request": "type: int32, unit: W, access: rw",
    "shed_expiry": "type: int32, unit: s, access: rw",
    "connect": "access: rw",
    "supply": "access: rw",
    "mode": "access: rw",
    "current_a": "type: float32, unit: A",
    "current_b": "type: float32, unit: A",
    "current_c": "type: float32, unit: A",
    "voltage": "type: float32, unit: V",
    "failsafe_limit": "type: int32, unit: W, access: rw",
    "failsafe_timeout": "type: uint16, unit: s, access: rw",
    "heartbeat": "access: rw",
    "remote": "access: r",
}
METER = "power current_a current_b current_c"
SHEDDABLE = "power deferrable shed_request shed_granted shed_expiry"
QUICK = "mode: auto, restore_every: 2 s, restore_after: 4 s, dead_band: 200 W"


def device(name: str, signals: str, role: str, extra: str = "") -> str:
    """One device of a configuration; its points are named like the signals and lie side by side.

    `extra` holds more keys of a point as `signal: keys`, separated by `;`.
    """
    more = dict(part.split(":", 1) for part in extra.split(";") if part)
    points = ", ".join(
        f"{signal}: {{address: {10 * place}, {_KINDS[signal]}{', ' + more[signal].strip() if signal in more else ''}}}"
        for place, signal in enumerate(signals.split())
    )
    return f"{name}: {{link: plc, unit: UNIT, points: {{{points}}}, role: {{{role}}}}}"


def text_of(
    devices: Iterable[str],
    *,
    region: str = QUICK,
    buses: str = "",
    ratings: Iterable[str] = (),
    simulated: Iterable[str] = (),
    simulation: str = "weather: {wind: 50 %, sun: 50 %}, front: 100 ms",
) -> str:
    """A whole configuration."""
    lines = [
        "site: {id: bench}",
        "links: {plc: {type: modbus-tcp, host: 127.0.0.1, port: 5020}}",
        f"region: {{{region}}}",
        f"buses: {{{buses or 'main: {kind: synchronous}'}}}",
        "ratings:",
        *(f"  {line}" for line in ratings),
        "devices:",
        *(f"  {line.replace('unit: UNIT', f'unit: {place + 1}', 1)}" for place, line in enumerate(devices)),
        f"simulation: {{{simulation}, devices: {{{', '.join(simulated)}}}}}",
    ]
    return "\n".join(line for line in lines if line != "ratings:" or ratings)


@dataclass(frozen=True, slots=True)
class Turned:
    """What a region published after one turn."""

    at_ms: int
    view: RegionView


class Bench(World):
    """A world that keeps what every turn published and decided, and is asked by names."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.turned: list[Turned] = []
        self.decided: list[DecisionView] = []
        self.on_boundary = self._keep

    def _keep(self, name: str) -> None:
        if name != "decided":
            return
        view = self.view
        self.turned.append(Turned(self.now_ms, view))
        self.decided += [d for d in reversed(view.decisions) if d.step == view.step]

    @property
    def view(self) -> RegionView:
        """What is published now."""
        view = self.core.view()
        assert view is not None
        return view

    def seen(self, name: str) -> DeviceView:
        """A device as it is published."""
        return next(d for d in self.view.devices if d.name == name)

    def actuator(self, name: str, verb: str) -> ActuatorView:
        """An actuator as it is published."""
        return next(a for a in self.seen(name).actuators if a.verb == verb)

    def rating(self, name: str) -> RatingView:
        """A rating as it is published."""
        return next(r for r in self.view.ratings if r.name == name)

    def tree(self, name: str) -> TreeView:
        """A tree as it is published."""
        return next(t for t in self.view.trees if t.name == name)

    def states(self) -> dict[str, int]:
        """Consumers by state, those that exist."""
        return {state: count for state, count in self.view.consumers if count}

    def alarms(self) -> set[str]:
        """Keys of the standing alarms."""
        return {a.key for a in self.view.alarms}

    def power(self, name: str) -> float:
        """True power of a device or meter; + consumption."""
        power = self.plant.truth(name)["power_w"]
        assert isinstance(power, float)
        return power

    def register(self, name: str, signal: str) -> float:
        """What a device's register holds."""
        registers = self.plant.truth(name)["registers"]
        assert isinstance(registers, Mapping)
        return float(registers[signal])

    def fact(self, name: str, what: str) -> float:
        """A number of a device's truth."""
        value = self.plant.truth(name)[what]
        assert isinstance(value, (int, float))
        return float(value)

    def writes(self, name: str = "", signal: str = "", source: str = "daemon") -> list[AcceptedWrite]:
        """Writes that the devices accepted."""
        return [
            w for w in self.plant.accepted if w.source == source and name in ("", w.device) and signal in ("", w.signal)
        ]

    def entry(self, name: str, verb: Verb) -> Entry:
        """The ledger's line."""
        index = next(
            i for i, a in enumerate(self.site.actuators) if self.site.devices[a.device].name == name and a.verb is verb
        )
        return self.core.memory.ledger[index]

    def fail(self, name: str, kind: FaultKind, **numbers: object) -> None:
        """Begins a fault."""
        self.plant.add_fault(name, Fault(kind=kind, **numbers))  # type: ignore[arg-type]

    def heal(self, name: str, kind: FaultKind | None = None) -> None:
        """Ends a fault, or all of a device."""
        self.plant.clear_fault(name, kind)

    def until(self, condition: Callable[[], bool], at_most_ms: int = MINUTE) -> int:
        """Lets time pass until the condition holds; the ms it took. Fails where it never does."""
        begun = self.now_ms
        if self.core.view() is None:
            self.run_for(1_000)
        assert self.run_while(lambda: not condition(), at_most_ms), f"not within {at_most_ms} ms: {self.view}"
        return self.now_ms - begun


def bench_of(text: str, settings: WorldSettings | None = None) -> Bench:
    """A bench of a configuration's text."""
    assembly = assemble(text, "bench.yaml")
    return Bench(assembly, settings_of(assembly), settings)


def example(name: str, settings: WorldSettings | None = None) -> Bench:
    """A bench of one of the examples."""
    assembly = load(EXAMPLES / f"{name}.yaml")
    return Bench(assembly, settings_of(assembly), settings)


def replayed(world: World) -> ReplayReport:
    """All gap-free segments of a world's journal, run again."""
    return replay(world.journal.durable, lambda text: Core(assemble(text, "journal").site))


def village(
    *,
    region: str = QUICK,
    grid_a: int = 30,
    charger: str = "",
    homes: str = "",
    more: Iterable[str] = (),
    gas: str = "",
) -> str:
    """One grid connection; wind 10 kW, gas 0 to 20 kW, a hospital 3 kW, four homes of 3 kW (of which 1 kW can be shed;
    they can be cut off), a charger of 5 kW with a limit only. At load 100 % it imports 10 kW."""
    home = (
        f"kind: consumer, rated: 8 kW, deferrable: 2 kW, demand_responsive: 1500 W, power_factor: 98 %, on: grid{homes}"
    )
    return text_of(
        [
            device("grid-meter", METER, "kind: grid"),
            device(
                "wind-1",
                "power available limit",
                "kind: generator, dispatch: stochastic, rated: 20 kW, power_factor: 98 %, on: grid",
            ),
            device(
                "gas-1",
                "power setpoint",
                "kind: generator, dispatch: continuous, rated: 20 kW, minimum: 4 kW, ramp: 4 kW/s, settle: 1 s,"
                f" power_factor: 98 %, on: grid{gas}",
            ),
            device("hospital", "power", "kind: consumer, rated: 5 kW, class: 0, power_factor: 98 %, on: grid"),
            *(
                device(f"home-{n}", f"{SHEDDABLE} connect", f"{home}, class: {klass}")
                for n, klass in ((1, 1), (2, 2), (3, 3), (4, 3))
            ),
            device(
                "charger-1",
                "power limit",
                "kind: consumer, rated: 11 kW, class: 4, interruptible: true, power_factor: 98 %, settle: 1 s,"
                " on: grid",
            ),
        ],
        region=region,
        ratings=[f"grid: {{kind: grid, import: {grid_a} A, phases: 3, meter: grid-meter}}"],
        simulated=[
            "wind-1: {model: wind, noise: 0 %}",
            "hospital: {model: building, base: 3 kW, noise: 0 %}",
            *(f"home-{n}: {{model: home, base: 2 kW, deferrable: 1 kW, noise: 0 %}}" for n in range(1, 5)),
            "charger-1: {model: charger, car: 5 kW}",
        ],
    )


def islands(*, region: str = QUICK, gas_w: int = 12_000, homes: str = "") -> str:
    """A separate bus: solar (10 kW at half sun) and gas (nothing at first), a clinic and four homes of 2 kW each."""
    home = f"kind: consumer, rated: 6 kW, deferrable: 1500 W, bus: island, settle: 1 s{homes}"
    return text_of(
        [
            device("solar-1", "power", "kind: generator, dispatch: stochastic, rated: 20 kW, bus: island"),
            device(
                "gas-1",
                "power setpoint",
                f"kind: generator, dispatch: continuous, rated: {gas_w} W, minimum: 2 kW, ramp: 2 kW/s, bus: island,"
                " settle: 1 s",
            ),
            device("clinic", "power supply", f"{home}, class: 0"),
            *(
                device(f"home-{n}", "power supply", f"{home}, class: {klass}, interruptible: true")
                for n, klass in ((1, 1), (2, 2), (3, 3), (4, 3))
            ),
        ],
        region=region,
        buses="island: {kind: separate}",
        simulated=[
            "solar-1: {model: solar, noise: 0 %}",
            *(
                f"{name}: {{model: home, base: 2 kW, deferrable: 0 kW, noise: 0 %}}"
                for name in ("clinic", "home-1", "home-2", "home-3", "home-4")
            ),
        ],
    )
