"""The OPC-UA driver: one link of the configuration, as the loop sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import numpy as np

from scowl_edge.contracts import Clock, Sink, WriteRequest
from scowl_edge.devices.declaration import OpcuaLink
from scowl_edge.drivers.bound import UnitTimes
from scowl_edge.drivers.bus import Bus, BusConfig, Read, Unit
from scowl_edge.drivers.opcua.parts import Part, share_out
from scowl_edge.drivers.opcua.places import Stock
from scowl_edge.drivers.opcua.port import CHANNEL_LIFETIME_MS, OpcuaPort, Poll, polls
from scowl_edge.drivers.plausible import Judge
from scowl_edge.drivers.schedule import Job
from scowl_edge.model.command import CommandId, WriteClass
from scowl_edge.model.event import LinkChanged, Outcome
from scowl_edge.model.signal import Reading

_SERVER = 0
"""To the bus the server is the only unit: it answers or it does not, for all devices behind it."""
SETTLE_MS = 100
"""Quiet time after a session was opened."""


class OpcuaDriver:
    """One OPC-UA server, in as many sessions as its items need. A `scowl_edge.contracts.Driver`.

    It never repeats a write or a method call. The writes of one command go out one after the other, each answered
    before the next: a server may carry out a list of writes in any order.
    """

    def __init__(
        self, link: OpcuaLink, clock: Clock, *, rate: float = 1.0, channel_lifetime_ms: int = CHANNEL_LIFETIME_MS
    ) -> None:
        """Compiles the link; touches no socket and loads no library.

        Args:
            link: Declaration.
            clock: Source of monotonic ms.
            rate: Seconds of `clock` that pass in a real second; time-outs and polls shrink with it.
            channel_lifetime_ms: Real time after which the keys of the secure channel are changed at the latest.

        Raises:
            LayoutError: a point that cannot be read or written as declared.
        """
        stock = Stock.of(link.devices)
        sessions = share_out(stock.places, link.session_items if link.subscribe else 0)
        jobs = polls(stock)
        self._name = link.name
        self._clock = clock
        self._stock = stock
        self._port = OpcuaPort(link, stock, jobs, sessions, clock, rate=rate, channel_lifetime_ms=channel_lifetime_ms)
        self._bus = Bus(_bus_config(link, jobs), self._port, clock, rate=rate)
        self._devices = _Devices(link, stock, self._port, clock)
        self._port.heard = self._devices.judge
        self._port.failures = self._failures
        self._port.parts.joined = self._joined

    @property
    def link(self) -> str:
        """Name of the link in the configuration."""
        return self._name

    @property
    def texts(self) -> dict[int, str]:
        """Last text of each string point, by its index in the site's point table."""
        return self._stock.texts

    @property
    def faults(self) -> dict[int, str]:
        """In words, why a point is bad, as the server says it; by index, only while it is."""
        return self._stock.faults

    @property
    def missed_polls(self) -> int:
        """Polls skipped because the link was late, since the start."""
        return self._bus.missed_polls

    @property
    def last_progress_ms(self) -> int:
        """When the driver's task last did something; see `Bus.last_progress_ms`."""
        return self._bus.last_progress_ms

    @property
    def before_send(self) -> Callable[[CommandId], Awaitable[None]] | None:
        """Awaited before the first bytes of a command to a stored or pulse point leave; JournalFull withholds it."""
        return self._bus.before_send

    @before_send.setter
    def before_send(self, hook: Callable[[CommandId], Awaitable[None]] | None) -> None:
        self._bus.before_send = hook

    async def run(self, sink: Sink) -> None:
        """Connects, subscribes, polls and reconnects until cancelled; then says farewell to the server."""
        self._devices.sink = sink
        self._port.news = self._news
        try:
            await self._bus.run(self._devices)
        finally:
            await self._port.closed()

    def _failures(self, readings: list[Reading]) -> None:
        for reading in readings:
            self._devices.reading(reading)

    def _joined(self, part: Part) -> None:
        """A further session is there: what it does not bring by itself is not to wait for the next poll."""
        self._bus.read(part.points.tolist(), self._clock.mono_ms())

    def _news(self, readings: list[Reading]) -> None:
        for reading in readings:
            self._devices.reading(reading)
        self._bus.heard()

    def write(self, request: WriteRequest) -> None:
        """Queues a command before the next poll; exactly one `Outcome` follows through the sink."""
        self._bus.write(request)

    def read(self, points: Sequence[int], by_ms: int) -> None:
        """Asks for these points out of turn."""
        self._port.want(points)
        self._bus.read(points, by_ms)


class _Devices:
    """Stands before the sink: a device is up while the server answers and has a value for any of its points."""

    def __init__(self, link: OpcuaLink, stock: Stock, port: OpcuaPort, clock: Clock) -> None:
        self.sink: Sink | None = None
        self._names = [device.name for device in link.devices]
        self._link = link.name
        self._stock = stock
        self._port = port
        self._clock = clock
        self._places = [
            [place for place in stock.places if place.device == number and place.is_read]
            for number in range(len(link.devices))
        ]
        self._judges: dict[int, Judge] = {}
        """Of each point of a device that has one."""
        for device in link.devices:
            indices = range(device.first_point, device.first_point + len(device.points))
            judge = Judge.of(device.points, indices)
            if judge is not None:
                self._judges.update(dict.fromkeys(indices, judge))
        self._server: dict[str, tuple[bool, str]] = {}
        """Whether the server answers for a device, and since when not why, as the bus says."""
        self._shown: dict[str, bool] = {}

    def reading(self, reading: Reading) -> None:
        """See `Sink.reading`. Plausibility with memory is judged here: what was read and what was notified meet."""
        if self.sink is None:
            return
        if self._judges and len(reading.points):
            # What is good came of one device alone; a failure of many needs no judgement.
            judge = self._judges.get(int(reading.points[0]))
            if judge is not None:
                reading = judge.look(reading)
        self.sink.reading(reading)

    def requests(self, link: str, result: str, count: int = 1) -> None:
        """See `Sink.requests`."""
        if self.sink is not None:
            self.sink.requests(link, result, count)

    def event(self, event: Outcome | LinkChanged) -> None:
        """See `Sink.event`."""
        if self.sink is None:
            return
        if not isinstance(event, LinkChanged):
            self.sink.event(event)
        elif event.device:
            self._server[event.device] = event.up, event.cause
            self._show(self._names.index(event.device))
        else:
            if event.up and self._port.remark:
                event = replace(event, cause=f"{event.cause}; {self._port.remark}")
            self.sink.event(event)

    def judge(self) -> None:
        """Looks at the devices of whose places something new is known."""
        stirred = self._stock.columns.stirred
        while stirred:
            self._show(stirred.pop())

    def _show(self, number: int) -> None:
        name = self._names[number]
        if name not in self._server or self.sink is None:
            return
        up, cause = self._server[name]
        places = self._places[number]
        if up and places and not any(place.heard and not place.fault for place in places):
            if not all(place.heard for place in places):
                return
            up, cause = False, f"none of its nodes has a value; the first: {places[0].fault}"
        if self._shown.get(name) is not up:
            self._shown[name] = up
            self.sink.event(LinkChanged(link=self._link, device=name, up=up, at_ms=self._clock.mono_ms(), cause=cause))


def _bus_config(link: OpcuaLink, jobs: Sequence[Poll]) -> BusConfig:
    points = [
        (device.first_point + offset, point) for device in link.devices for offset, point in enumerate(device.points)
    ]
    names = {index: point.name for index, point in points}
    return BusConfig(
        link=link.name,
        pause_ms=0,
        settle_ms=SETTLE_MS,
        reconnect_ms=link.reconnect_ms,
        read_only=link.read_only,
        writable=frozenset(index for index, point in points if "w" in point.access),
        name_of=lambda index: names[index],
        units=(
            Unit(
                times=UnitTimes(number=_SERVER, turn_ms=link.timeout_ms + SETTLE_MS, jobs=len(jobs)),
                devices=tuple(device.name for device in link.devices),
                points=np.array(sorted({point for job in jobs for point in job.points}), np.int32),
            ),
        ),
        reads=tuple(
            Read(
                job=Job(unit=_SERVER, period_ms=job.poll_ms, cost=len(job.places)),
                points=np.array(job.points, np.int32),
            )
            for job in jobs
        ),
        unit_of_point=dict.fromkeys((index for index, _ in points), _SERVER),
        durable_first=frozenset(index for index, point in points if point.write_class is not WriteClass.VOLATILE),
    )
