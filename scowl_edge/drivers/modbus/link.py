"""The Modbus driver: one link of the configuration, as the loop sees it; and what it costs, without a socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil

import numpy as np
from numpy.typing import NDArray

from scowl_edge.contracts import Clock, Sink, WriteRequest
from scowl_edge.devices.declaration import ModbusLink, ModbusPoint
from scowl_edge.drivers.bound import UnitTimes, next_probe_ms, worst_delay_ms
from scowl_edge.drivers.bus import Bus, BusConfig, Read, Unit
from scowl_edge.drivers.modbus.endpoint import Opener, open_wire
from scowl_edge.drivers.modbus.guests import accepted
from scowl_edge.drivers.modbus.places import PointPlaces
from scowl_edge.drivers.modbus.port import ModbusPort, Transaction, transactions, unit_timeouts_ms
from scowl_edge.drivers.modbus.rtu_line import turn_ms
from scowl_edge.drivers.modbus.tap import Tap
from scowl_edge.drivers.schedule import Job
from scowl_edge.model.command import CommandId, WriteClass


class ModbusDriver:
    """One connection or serial line with the units behind it. A `scowl_edge.contracts.Driver`.

    It never repeats a write and reads nothing back by itself: the core asks for that through `read`.
    """

    def __init__(self, link: ModbusLink, clock: Clock, *, rate: float = 1.0, opener: Opener = open_wire) -> None:
        """Compiles the link; touches no socket.

        Args:
            link: Declaration.
            clock: Source of monotonic ms.
            rate: Seconds of `clock` that pass in a real second; time-outs and polls shrink with it.
            opener: Opens the wire.

        Raises:
            LayoutError: a point that cannot be read as declared.
        """
        jobs = transactions(link)
        self._link, self._jobs = link, jobs
        self._port = ModbusPort(link, jobs, clock, rate=rate, opener=opener)
        self._bus = Bus(_bus_config(link, jobs), self._port, clock, rate=rate)
        self.tap = Tap(link, self._forward, clock, rate=rate) if link.proxy is not None else None
        """The link's proxy, if it has one; it runs beside `run`."""

    @property
    def link(self) -> str:
        """Name of the link in the configuration."""
        return self._link.name

    @property
    def texts(self) -> dict[int, str]:
        """Last text of each string point, by its index in the site's point table."""
        return self._port.texts

    @property
    def missed_polls(self) -> int:
        """Polls skipped because the bus was late, since the start."""
        return self._bus.missed_polls

    @property
    def skipped_polls(self) -> int:
        """Polls left out while their unit was silent or lame, or the link down, since the start."""
        return self._bus.skipped_polls

    @property
    def probes(self) -> int:
        """Probes of units that are down, since the start."""
        return self._bus.probes

    @property
    def busy_ms(self) -> int:
        """Time in which a request was under way, since the start; of several at once each counts."""
        return self._bus.busy_ms

    @property
    def last_progress_ms(self) -> int:
        """When its task last did something, as the watchdog judges it; see `Bus.last_progress_ms`."""
        return self._bus.last_progress_ms

    @property
    def before_send(self) -> Callable[[CommandId], Awaitable[None]] | None:
        """Awaited before the first bytes of a command to a stored or pulse register leave; JournalFull withholds it."""
        return self._bus.before_send

    @before_send.setter
    def before_send(self, hook: Callable[[CommandId], Awaitable[None]] | None) -> None:
        self._bus.before_send = hook

    async def run(self, sink: Sink) -> None:
        """Connects, polls and reconnects until cancelled."""
        await self._bus.run(sink)

    def write(self, request: WriteRequest) -> None:
        """Queues a command before the next poll; exactly one `Outcome` follows through the sink."""
        self._bus.write(request)

    def read(self, points: Sequence[int], by_ms: int) -> None:
        """Asks for these points out of turn."""
        self._bus.read(points, by_ms)

    def cost(self, *, reply_ms: float) -> LinkCost:
        """What the link is asked to do; see `link_cost`."""
        return _cost(self._link, self._jobs, reply_ms)

    async def _forward(self, unit: int, request: bytes, valid_until_ms: int) -> bytes:
        """Takes another tool's request to its unit; see `tap.Forward`."""
        reply = partial(accepted, request)
        return await self._bus.guest(unit, lambda: self._port.forward(unit, request, reply), valid_until_ms)


def _bus_config(link: ModbusLink, jobs: Sequence[Transaction]) -> BusConfig:
    polled: dict[int, list[NDArray[np.int32]]] = {}
    for job in jobs:
        polled.setdefault(job.unit, []).append(job.points)
    devices: dict[int, list[str]] = {}
    for device in link.devices:
        devices.setdefault(device.unit, []).append(device.name)
    places = PointPlaces(link)
    return BusConfig(
        link=link.name,
        pause_ms=link.pause_ms,
        settle_ms=link.settle_ms,
        reconnect_ms=link.reconnect_ms,
        read_only=link.read_only,
        writable=_chosen(link, lambda point: "w" in point.access),
        name_of=lambda index: places.find(index)[1].name,
        units=tuple(
            Unit(
                times=times,
                devices=tuple(devices[times.number]),
                points=_together(polled.get(times.number, [])),
            )
            for times in unit_times(link, jobs)
        ),
        share_ppm=link.probe_share_ppm,
        slots=link.pipeline,
        guest_share_ppm=link.proxy.share_ppm if link.proxy else 0,
        reads=tuple(
            Read(job=Job(unit=job.unit, period_ms=job.poll_ms, cost=job.cost), points=job.points) for job in jobs
        ),
        unit_of_point=places,
        durable_first=_chosen(link, lambda point: point.write_class is not WriteClass.VOLATILE),
    )


def _chosen(link: ModbusLink, choose: Callable[[ModbusPoint], bool]) -> frozenset[int]:
    """Indices of those points of a link."""
    return frozenset(
        device.first_point + place
        for device in link.devices
        for place, point in enumerate(device.points)
        if choose(point)
    )


def _together(points: list[NDArray[np.int32]]) -> NDArray[np.int32]:
    """All of them, each once; most units have one read, whose array is shared."""
    if len(points) == 1:
        return points[0]
    return np.unique(np.concatenate(points)) if points else np.empty(0, np.int32)


def unit_times(link: ModbusLink, jobs: Sequence[Transaction]) -> list[UnitTimes]:
    """What each unit of a link can cost it; several devices may share a unit."""
    timeouts_ms = unit_timeouts_ms(link)
    reads = dict.fromkeys(timeouts_ms, 1)
    polled = dict.fromkeys(timeouts_ms, 0)
    for job in jobs:
        reads[job.unit] = max(reads[job.unit], len(job.blocks))
        polled[job.unit] += 1
    pauses, budgets = dict.fromkeys(timeouts_ms, 0), dict.fromkeys(timeouts_ms, 0)
    for device in link.devices:
        pauses[device.unit] = max(pauses[device.unit], device.pause_ms)
        budgets[device.unit] = max(budgets[device.unit], device.budget_ppm)
    return [
        UnitTimes(
            number=number,
            turn_ms=reads[number] * request_ms(link, timeout_ms) + link.pause_ms + link.settle_ms,
            jobs=polled[number],
            pause_ms=pauses[number],
            budget_ppm=budgets[number],
        )
        for number, timeout_ms in timeouts_ms.items()
    ]


def request_ms(link: ModbusLink, timeout_ms: int) -> int:
    """Longest time from the start of one request to its end, whatever comes back."""
    return ceil(turn_ms(link, timeout_ms)) if link.is_serial else timeout_ms


def line_ms(link: ModbusLink, data_bytes: int) -> float:
    """Time that one read and its reply take on a serial line; 0 on a network."""
    return link.serial.read_ms(data_bytes) if link.serial is not None else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCost:
    """What a link is asked to do, from its declaration alone."""

    requests_per_s: float
    load_fraction: float
    """Share of the bus that polling takes when every reply takes `reply_ms`, and its time on a serial line."""
    worst_delay_ms: int
    """Longest delay of a due poll of any unit when all others on the link are bad at the same time."""
    next_probe_ms: int
    """Latest time until a silent unit is asked again, all others on the link silent too; 0: at its own pace."""


def link_cost(link: ModbusLink, *, reply_ms: float) -> LinkCost:
    """Works out a link's load without touching it.

    Args:
        link: Declaration.
        reply_ms: Assumed time from a request to its reply; on a serial line beside the time that the frames take there.

    Raises:
        LayoutError: a point that cannot be read as declared.
    """
    return _cost(link, transactions(link), reply_ms)


def _cost(link: ModbusLink, jobs: Sequence[Transaction], reply_ms: float) -> LinkCost:
    taken_ms = [
        sum(reply_ms + link.pause_ms + line_ms(link, block.reply_bytes) for block in job.blocks) for job in jobs
    ]
    units = sorted(unit_times(link, jobs), key=lambda unit: unit.allowance_ms)
    busy_ms = round(sum(taken_ms))
    # The unit that is delayed the most is the one that would do the least harm itself.
    return LinkCost(
        requests_per_s=sum(len(job.blocks) * 1000 / job.poll_ms for job in jobs),
        load_fraction=sum(ms / job.poll_ms for ms, job in zip(taken_ms, jobs, strict=True)),
        worst_delay_ms=worst_delay_ms(units[1:], share_ppm=link.probe_share_ppm, busy_ms=busy_ms),
        next_probe_ms=next_probe_ms(units[1:], share_ppm=link.probe_share_ppm, busy_ms=busy_ms),
    )
