"""From a site's declarations to what joins machines: places with their meters, separate buses, watchdogs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scowl_edge.model.site import NONE, BusKind, Site
from simulators.consumption import Consumer
from simulators.feeding import SeparateBus
from simulators.generation import Generator
from simulators.machine import Machine
from simulators.metering import Place
from simulators.settings import SimulationSettings
from simulators.storage import Battery


class Watchdog:
    """A device's own time-out: without a write for so long a register falls back to its fail-safe value."""

    __slots__ = ("_failsafe", "_timeout_ms", "machine", "signal", "tripped", "written_ms")

    def __init__(self, machine: Machine, signal: str, failsafe: float, timeout_ms: int, now_ms: int) -> None:
        self.machine = machine
        self.signal = signal
        self.written_ms = now_ms
        self.tripped = 0
        self._failsafe = failsafe
        self._timeout_ms = timeout_ms

    def look(self, now_ms: int) -> None:
        """Falls back if it is time."""
        registers = self.machine.registers
        if now_ms - self.written_ms >= self._timeout_ms and registers[self.signal] != self._failsafe:
            registers[self.signal] = self._failsafe
            self.tripped += 1


def hanging(site: Site) -> list[tuple[int, int]]:
    """(device, rating) of everything that hangs directly below a rating."""
    pairs = [(role.device, role.rating) for role in site.generators]
    pairs += [(role.device, role.rating) for role in site.consumers]
    pairs += [(role.device, role.rating) for role in site.storages]
    return [(device, rating) for device, rating in pairs if rating != NONE]


def build_places(site: Site, settings: SimulationSettings, machines: Mapping[int, Machine]) -> list[Place]:
    """A place for each rating, in their order (those above first), with everything that hangs there."""
    places: list[Place] = []
    for rating in site.ratings:
        mask = 0b111 if rating.phases == 3 else 0b001
        place = Place(rating.name, mask, rating.voltage_mv / 1000.0, settings.unmetered.get(rating.name, 0.0))
        places.append(place)
        if rating.within != NONE:
            places[rating.within].places.append(place)
    for device, rating_index in hanging(site):
        places[rating_index].machines.append(machines[device])
    return places


def build_meters(site: Site, settings: SimulationSettings, places: Sequence[Place]) -> dict[int, Place]:
    """By device: the place that it measures, as its rating or the simulation's section says."""
    meters: dict[int, Place] = {}
    for rating, place in zip(site.ratings, places, strict=True):
        for signal in (rating.power, *rating.currents):
            if signal != NONE:
                meters[site.signals[signal].device] = place
    by_name = {place.name: place for place in places}
    for index, device in enumerate(site.devices):
        own = settings.devices.get(device.name)
        if own is not None and own.rating:
            meters[index] = by_name[own.rating]
    return meters


def build_buses(site: Site, machines: Mapping[int, Machine]) -> list[SeparateBus]:
    """The separate buses, with the consumers that can be told who feeds them."""
    fed = {role.device for role in site.consumers if role.supply != NONE or role.do_supply != NONE}
    buses = []
    for number, bus in enumerate(site.buses):
        if bus.kind is BusKind.SEPARATE:
            here = {device: machine for device, machine in machines.items() if machine.bus == number}
            sources = [machine for machine in here.values() if isinstance(machine, (Generator, Battery))]
            consumers = [m for device, m in here.items() if isinstance(m, Consumer) and device in fed]
            buses.append(SeparateBus(bus.name, sources, consumers, site.policy.ride_through_ms))
    return buses


def build_watchdogs(site: Site, machines: Mapping[int, Machine], now_ms: int) -> list[Watchdog]:
    """A watchdog for every register with a fail-safe value and a time-out."""
    watchdogs = []
    for actuator in site.actuators:
        machine = machines.get(actuator.device)
        signal = str(actuator.verb)
        if machine is None or actuator.failsafe is None or not actuator.device_timeout_ms:
            continue
        if signal in machine.registers:
            failsafe = float(actuator.failsafe)
            watchdogs.append(Watchdog(machine, signal, failsafe, actuator.device_timeout_ms, now_ms))
    return watchdogs
