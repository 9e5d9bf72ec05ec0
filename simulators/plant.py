"""The whole simulated region as one pure value: no clock, no socket, and the same calls give the same course."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from scowl_edge.model.errors import ScowlError
from scowl_edge.model.site import NONE, Site
from simulators.building import build_machines
from simulators.consumption import Consumer, Household
from simulators.faults import AcceptedWrite, Fault, FaultKind, Response
from simulators.generation import Generator
from simulators.machine import Machine
from simulators.network import build_buses, build_meters, build_places, build_watchdogs, hanging
from simulators.settings import SimulationSettings
from simulators.standing_faults import StandingFaults
from simulators.storage import Battery
from simulators.weather import Weather

SUB_STEP_MS = 500
"""Longest stretch that is taken in one go."""
DAEMON = "daemon"
SECOND_MASTER = "second-master"
HEARTBEAT = "heartbeat"
SIGNALS = (
    *("power", "available", "limit", "connect", "setpoint", "soc", "mode", "deferrable"),
    *("shed_request", "shed_granted", "shed_expiry", "supply"),
    *("current_a", "current_b", "current_c", "voltage", "energy_import", "energy_export"),
    HEARTBEAT,
)
"""What has physics behind it; any other signal is a register that keeps what is written."""


class SimulationError(ScowlError):
    """The plant was asked for something that it does not have."""


class Plant:
    """Physics of all devices of a site.

    Devices are named or given by their index in the site. Values are in base units (W, Wh, A, V, s, fraction, 1) with
    the daemon's signs: + consumption, - production; `limit`, `available` and a generator's `setpoint` are magnitudes.
    """

    def __init__(self, site: Site, settings: SimulationSettings | None = None, *, start_ms: int = 0) -> None:
        settings = settings or SimulationSettings()
        self.site = site
        self.settings = settings
        self.now_ms = start_ms
        self.weather = Weather(settings.wind, settings.sun, settings.load, settings.front_ms)
        self.accepted: list[AcceptedWrite] = []
        """Every write that a device acknowledged, in order."""
        self.plain: dict[tuple[int, str], float | str] = {}
        """Registers behind which nothing happens, by device and point: they keep what is written."""
        self._plain_frozen: dict[int, dict[tuple[int, str], float | str]] = {}
        self._index = {device.name: index for index, device in enumerate(site.devices)}
        self._machines = build_machines(site, settings)
        self._sources = [m for m in self._machines.values() if isinstance(m, (Generator, Battery))]
        self._consumers = [m for m in self._machines.values() if isinstance(m, Consumer)]
        self._places = build_places(site, settings, self._machines)
        self._meters = build_meters(site, settings, self._places)
        self._upward = self._places[::-1]
        self._buses = build_buses(site, self._machines)
        self._bus_of = {consumer.name: bus for bus in self._buses for consumer in bus.consumers}
        self._watchdogs = build_watchdogs(site, self._machines, start_ms)
        self.standing = StandingFaults(settings.seed)
        """Faults of devices."""
        self._frozen: dict[int, dict[str, float | None]] = {}
        self._second_due: dict[int, int] = {}
        self._reverts: list[tuple[int, int, str, float]] = []
        """(due, device, signal, value) of registers that will return."""
        for name, own in settings.devices.items():
            for point, value in own.initial.items():
                if name in self._index:
                    self.plain[self._index[name], point] = value
        self._step(0)
        for source in self._sources:
            if isinstance(source, Generator) and source.model in ("wind", "solar"):
                source.output_w = source.available_w
        self._step(0)

    def __deepcopy__(self, memo: dict[int, Any]) -> Plant:
        """A second plant that goes its own way; the declarations are shared, since nobody changes them."""
        memo[id(self.site)] = self.site
        memo[id(self.settings)] = self.settings
        twin = Plant.__new__(Plant)
        memo[id(self)] = twin
        for name, value in self.__dict__.items():
            twin.__dict__[name] = deepcopy(value, memo)
        return twin

    def index(self, device: int | str) -> int:
        """Index of a device in the site.

        Raises:
            SimulationError: there is no such device.
        """
        if isinstance(device, int):
            return device
        found = self._index.get(device)
        if found is None:
            raise SimulationError(f"there is no device {device}; known are: {', '.join(self._index)}")
        return found

    # Time

    def advance(self, to_ms: int) -> None:
        """Lets time pass up to `to_ms`; the past is ignored."""
        while self.now_ms < to_ms:
            dt_ms = min(SUB_STEP_MS, to_ms - self.now_ms)
            self.now_ms += dt_ms
            if self.standing or self._reverts:
                self._disturb()
            for watchdog in self._watchdogs:
                watchdog.look(self.now_ms)
            self._step(dt_ms)

    def _step(self, dt_ms: int) -> None:
        now_ms = self.now_ms
        weather = self.weather
        weather.step(dt_ms)
        for source in self._sources:
            source.step(dt_ms, now_ms, weather, True)
        buses = self._buses
        if buses:
            for bus in buses:
                bus.connect()
            bus_of = self._bus_of
            for consumer in self._consumers:
                fed_by = bus_of.get(consumer.name)
                consumer.step(dt_ms, now_ms, weather, fed_by is None or fed_by.feeds(consumer))
            for bus in buses:
                for tree in bus.trees.values():
                    tree.step(dt_ms)
        else:
            for consumer in self._consumers:
                consumer.step(dt_ms, now_ms, weather, True)
        for place in self._upward:
            place.measure(dt_ms)

    # What a wire can see and do

    def read(self, device: int | str, signal: str) -> float | None:
        """What the device shows; None if it has no such signal."""
        index = self.index(device)
        if index not in self.standing.by_device:
            return self._shown(index, signal)
        frozen = self._frozen.get(index)
        shown = self._shown(index, signal) if frozen is None else frozen.get(signal)
        if shown is None:
            return None
        return shown + self.standing.disturbance(index, signal)

    def _shown(self, index: int, signal: str) -> float | None:
        if signal == HEARTBEAT:
            beat = self.plain.get((index, HEARTBEAT), 0.0)
            return beat if isinstance(beat, float) else None
        machine = self._machines.get(index)
        if machine is not None:
            if isinstance(machine, Household) and signal == "shed_expiry":
                machine.tell_time(self.now_ms)
            shown = machine.read(signal)
            if shown is not None:
                return shown
        place = self._meters.get(index)
        return None if place is None else place.read(signal)

    def write(self, device: int | str, signal: str, value: float) -> bool:
        """What the device answers to a write: True = acknowledged, False = refused."""
        index = self.index(device)
        if signal == HEARTBEAT:
            return self._beat(index, value)
        faults = self.standing.of(index)
        if self.standing.refuses(index):
            return False
        machine = self._machines.get(index)
        if machine is None or not machine.accepts(signal, value):
            return False
        applied = not self.standing.only_acknowledges(index)
        self.accepted.append(AcceptedWrite(self.now_ms, machine.name, signal, value, DAEMON, applied))
        if applied:
            reset = faults.get(FaultKind.RESET_AFTER)
            if reset is not None:
                self._reverts.append((self.now_ms + reset.time_ms, index, signal, machine.registers[signal]))
            if deaf := faults.get(FaultKind.ECHO_WITHOUT_EFFECT):
                self.count(deaf)
            self._apply(machine, signal, value)
        return True

    def kept(self, device: int | str, point: str) -> float | str:
        """What a register behind which nothing happens shows."""
        index = self.index(device)
        shown = self._plain_frozen.get(index, self.plain).get((index, point), 0.0)
        if index not in self.standing.by_device or not isinstance(shown, float | int):
            return shown
        return shown + self.standing.disturbance(index, point)

    def keep(self, device: int | str, point: str, value: float | str) -> bool:
        """What the device answers to a write to a register behind which nothing happens."""
        index = self.index(device)
        if self.standing.refuses(index):
            return False
        applied = not self.standing.only_acknowledges(index)
        shown = value if isinstance(value, float) else float("nan")
        self.accepted.append(AcceptedWrite(self.now_ms, self.site.devices[index].name, point, shown, DAEMON, applied))
        if applied:
            self.plain[index, point] = value
        return True

    def _beat(self, index: int, number: float) -> bool:
        """A heartbeat: a number that differs from the one before keeps the device from falling back."""
        before = self.plain.get((index, HEARTBEAT))
        taken = self.keep(index, HEARTBEAT, number)
        if self.plain.get((index, HEARTBEAT)) != before:
            for watchdog in self._watchdogs:
                if watchdog.machine is self._machines.get(index):
                    watchdog.written_ms = self.now_ms
        return taken

    def _apply(self, machine: Machine, signal: str, value: float) -> None:
        for watchdog in self._watchdogs:
            if watchdog.machine is machine and watchdog.signal == signal:
                watchdog.written_ms = self.now_ms
        machine.write(signal, value, self.now_ms)

    # What happens outside

    def set_weather(self, wind: float | None = None, sun: float | None = None) -> None:
        """Wind and sun as fractions of what the machines are rated for; a front brings them."""
        self.weather.forecast(wind, sun)

    def set_load(self, fraction: float) -> None:
        """Level of all loads, 1 = normal (chargers excepted)."""
        self.weather.load = fraction

    def set_load_of(self, device: int | str, fraction: float) -> None:
        """Level of one consumer's load, on top of everyone's.

        Raises:
            SimulationError: it is no consumer.
        """
        machine = self._machines.get(self.index(device))
        if not isinstance(machine, Consumer):
            raise SimulationError(f"{device} is no consumer, so it has no load of its own; name a consumer")
        machine.fraction = fraction

    def set_inside(self, device: int | str, power_w: float) -> None:
        """Power of appliances in a home or building that are simulated elsewhere, on top of its own load.

        Raises:
            SimulationError: it is neither.
        """
        machine = self._machines.get(self.index(device))
        if not isinstance(machine, Household):
            raise SimulationError(f"{device} is no home or building, so no appliances are in it; name one")
        machine.inside_w = power_w

    def set_unmetered(self, rating: str, power_w: float) -> None:
        """Load below a rating that no device accounts for.

        Raises:
            SimulationError: there is no such rating.
        """
        for place in self._places:
            if place.name == rating:
                place.unmetered_w = power_w
                return
        raise SimulationError(f"there is no rating {rating}; known are: {', '.join(p.name for p in self._places)}")

    # Faults

    def add_fault(self, device: int | str, fault: Fault) -> None:
        """Begins a fault; one of the same kind is replaced.

        Raises:
            SimulationError: the second master's signal cannot be written.
        """
        index = self.index(device)
        machine = self._machines.get(index)
        if fault.kind is FaultKind.SECOND_MASTER and (
            machine is None or not machine.accepts(fault.signal, fault.value)
        ):
            raise SimulationError(
                f"{device} does not take {fault.value:g} for {fault.signal!r}; name a register it has"
            )
        self.standing.begin(index, self.site.devices[index].name, fault)
        if fault.kind is FaultKind.STUCK:
            self._frozen[index] = {signal: self._shown(index, signal) for signal in SIGNALS}
            self._plain_frozen[index] = {key: value for key, value in self.plain.items() if key[0] == index}
        elif fault.kind is FaultKind.ECHO_WITHOUT_EFFECT and machine is not None:
            machine.deafen(True)
        elif fault.kind is FaultKind.SECOND_MASTER:
            self._second_due[index] = self.now_ms + fault.every_ms

    def clear_fault(self, device: int | str, kind: FaultKind | None = None) -> None:
        """Ends one fault of a device, or all of them."""
        index = self.index(device)
        for ended in list(self.standing.of(index)) if kind is None else [kind]:
            if not self.standing.end(index, ended):
                continue
            if ended is FaultKind.STUCK:
                del self._frozen[index], self._plain_frozen[index]
            elif ended is FaultKind.ECHO_WITHOUT_EFFECT and index in self._machines:
                self._machines[index].deafen(False)
            elif ended is FaultKind.SECOND_MASTER:
                del self._second_due[index]

    def faults(self) -> dict[str, list[Fault]]:
        """What is wrong at present, by device."""
        return {self.site.devices[index].name: list(kinds.values()) for index, kinds in self.standing.by_device.items()}

    def fault(self, device: int | str, kind: FaultKind) -> Fault | None:
        """A fault of a device, if it is on."""
        return self.standing.of(self.index(device)).get(kind) if self.standing else None

    def response(self, device: int | str) -> Response:
        """How the device answers at present."""
        return self.standing.response(self.index(device))

    def count(self, fault: Fault) -> None:
        """Notes that a fault has changed what happens."""
        self.standing.count(fault)

    def strike(self, fault: Fault) -> None:
        """Notes that a fault takes hold of a request; one that did so often enough ends."""
        if self.standing.used_up(fault):
            self.clear_fault(fault.device, fault.kind)

    def _disturb(self) -> None:
        now_ms = self.now_ms
        for index, kinds in list(self.standing.by_device.items()):
            for fault in list(kinds.values()):
                if fault.until_ms is not None and now_ms >= fault.until_ms:
                    self.clear_fault(index, fault.kind)
        for index, due_ms in list(self._second_due.items()):
            fault = self.standing.of(index)[FaultKind.SECOND_MASTER]
            if now_ms >= due_ms:
                self.count(fault)
                machine = self._machines[index]
                self.accepted.append(AcceptedWrite(now_ms, machine.name, fault.signal, fault.value, SECOND_MASTER))
                self._apply(machine, fault.signal, fault.value)
                self._second_due[index] = due_ms + max(1, fault.every_ms) * (
                    1 + (now_ms - due_ms) // max(1, fault.every_ms)
                )
        if self._reverts:
            for _, index, signal, value in [revert for revert in self._reverts if now_ms >= revert[0]]:
                self._machines[index].write(signal, value, now_ms)
                if reset := self.standing.of(index).get(FaultKind.RESET_AFTER):
                    self.count(reset)
            self._reverts = [revert for revert in self._reverts if now_ms < revert[0]]

    # Truth

    def truth(self, device: int | str) -> dict[str, object]:
        """All physical quantities of a device, whatever it shows."""
        index = self.index(device)
        machine = self._machines.get(index)
        name = self.site.devices[index].name
        if machine is None:
            place = self._meters.get(index)
            return {
                "device": name,
                "model": "register",
                **({} if place is None else {"model": "meter", **place.truth()}),
            }
        truth = {"device": name, **machine.truth()}
        if isinstance(machine, Household):
            machine.tell_time(self.now_ms)
            truth["registers"] = dict(machine.registers)
        watchdogs = [watchdog for watchdog in self._watchdogs if watchdog.machine is machine]
        if watchdogs:
            truth["failsafe_trips"] = sum(watchdog.tripped for watchdog in watchdogs)
        for bus in self._buses:
            tree = bus.trees.get(machine.tree_number)
            if tree is not None and tree.source is machine:
                truth["tree"] = tree.truth()
        return truth

    @property
    def blackouts(self) -> int:
        """Trees that went dark since the start, counted each time."""
        return sum(tree.blackouts for bus in self._buses for tree in bus.trees.values())

    def whole_truth(self) -> dict[str, object]:
        """Everything: clock, weather, every device, every place, every tree."""
        return {
            "now_ms": self.now_ms,
            "weather": {"wind": self.weather.wind, "sun": self.weather.sun},
            "load": self.weather.load,
            "blackouts": self.blackouts,
            "conservation_error_w": self.conservation_error_w,
            "devices": {device.name: self.truth(index) for index, device in enumerate(self.site.devices)},
            "ratings": {place.name: place.truth() for place in self._places},
            "trees": {bus.name: [tree.truth() for tree in bus.trees.values()] for bus in self._buses},
        }

    @property
    def conservation_error_w(self) -> float:
        """Largest difference between a place's meter and all that hangs below it, counted device by device."""
        sums = [place.unmetered_w for place in self._places]
        for index, own_w in list(enumerate(sums)):
            above = self.site.ratings[index].within
            while above != NONE:
                sums[above] += own_w
                above = self.site.ratings[above].within
        for device, rating in hanging(self.site):
            at = rating
            while at != NONE:
                sums[at] += self._machines[device].power_w
                at = self.site.ratings[at].within
        return max((abs(total - place.power_w) for total, place in zip(sums, self._places, strict=True)), default=0.0)
