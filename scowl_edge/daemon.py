"""One running site: wires its assembly to the real clocks, drivers and journal, and tells what is published of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections import ChainMap
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from scowl_edge import __version__
from scowl_edge.assembly import Assembly, assemble
from scowl_edge.assembly.assembly import FlexSettings, PointInfo
from scowl_edge.assembly.cost import ROUND_TRIP_MS
from scowl_edge.assembly.signals import Rounding
from scowl_edge.clocks import RateClock, SystemClock
from scowl_edge.contracts import Clock
from scowl_edge.control import Core
from scowl_edge.control.portrait import happened
from scowl_edge.devices.declaration import DeviceLink, ModbusLink, OpcuaLink
from scowl_edge.drivers.modbus import ModbusDriver, Tap
from scowl_edge.health import Health
from scowl_edge.inbox import ROUND_DOWN, ROUND_NEAREST, ROUND_UP, Inbox, PointTable
from scowl_edge.journal.exchanged import Past, answered_within
from scowl_edge.journal.file import recover_file
from scowl_edge.journal.store import SqliteJournal
from scowl_edge.loop import Loop, Wire
from scowl_edge.metrics import Metrics
from scowl_edge.model.effect import Ask
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.event import AnyOrder
from scowl_edge.model.flex_view import FlexApplianceView
from scowl_edge.model.part import FlexPart
from scowl_edge.model.site import OnStop
from scowl_edge.model.view import RegionView
from scowl_edge.supervision import Supervised
from scowl_edge.telemetry import Recorder, TelemetryStore
from scowl_edge.turn import Clocks, resume
from scowl_edge.web.authority import is_loopback
from scowl_edge.web.published import Check, FlexTroubles, History, StoreFigures
from scowl_edge.worker import Worker

if TYPE_CHECKING:
    from scowl_edge.drivers.opcua import OpcuaDriver
    from scowl_edge.flexing import FlexLinks

log = structlog.get_logger(__name__)

LATENESS_EVERY_S = 0.25
MOST_REMEMBERED = 500_000
"""Messages of peers that a start reads back at most, in some 7 us each: a day of 400 homes."""
_ROUNDINGS = {Rounding.UP: ROUND_UP, Rounding.DOWN: ROUND_DOWN, Rounding.NEAREST: ROUND_NEAREST}


class StartError(ScowlError):
    """The daemon cannot start as it was asked to."""


class Daemon:
    """One running site. Implements `web.published.Published`."""

    def __init__(self, assembly: Assembly, *, clock_rate: int = 1, trust_clock: bool = False) -> None:
        """Opens the journal and brings the core to where it ended.

        `trust_clock` is for simulations, whose devices and appliances all go by this machine's clock.

        Raises:
            JournalError: the journal cannot be opened or read.
            StartError: a clock rate with anything that is not loopback, or a link that needs a missing package.
        """
        if clock_rate != 1:
            refuse_foreign(assembly)
        self.assembly = assembly
        self.rate = clock_rate
        # A clock that runs ahead belongs to a simulation, and nothing outside of one can set it right.
        system = SystemClock(trust=trust_clock or clock_rate != 1)
        self.clock: Clock = system if clock_rate == 1 else RateClock(clock_rate, system)
        self.drivers = {link.name: _driver(link, self.clock, clock_rate) for link in assembly.links}
        self._modbus = {name: driver for name, driver in self.drivers.items() if isinstance(driver, ModbusDriver)}
        self.link_worst_delays_s = {
            name: driver.cost(reply_ms=ROUND_TRIP_MS).worst_delay_ms / 1000 for name, driver in self._modbus.items()
        }
        """Link -> longest time that all other units, bad at the same moment, delay a due poll."""
        self.commit_seconds: list[float] = []
        self._utc_ok = False
        recovery = recover_file(assembly.journal.path)
        for damage in recovery.damage:
            log.warning("journal_damage", what=damage)
        past = self._past(assembly) if assembly.flex is not None else Past()
        self.journal = SqliteJournal(
            assembly.journal.path,
            keep_ms=assembly.journal.keep_ms,
            limit_bytes=assembly.journal.limit_bytes,
            utc_ms=lambda: self.clock.utc_ms() if self._utc_ok else None,
            on_commit=self.commit_seconds.append,
        )
        self.inbox = Inbox(
            len(assembly.points),
            [s.point for s in assembly.signals],
            [s.gain for s in assembly.signals],
            [_ROUNDINGS[s.rounding] for s in assembly.signals],
        )
        self.core = Core(assembly.site)
        now = Clocks(mono_ms=self.clock.mono_ms(), utc_ms=self.clock.utc_ms(), utc_ok=self.clock.utc_ok())
        turn = resume(
            recovery,
            self.core,
            lambda text: Core(assemble(text, "journal").site),
            self.inbox,
            self.journal,
            now,
            version=__version__,
            seed=1,
            text=assembly.text,
            fingerprint=assembly.fingerprint,
        )
        self.loop = Loop(
            turn,
            self.clock,
            self.drivers,
            [
                Wire(link=assembly.points[a.point].link, point=a.point, gain=a.gain, expiry_point=a.expiry_point)
                for a in assembly.actuators
            ],
            [s.point for s in assembly.signals],
            [p.link for p in assembly.points],
            rate=clock_rate,
        )
        for driver in self.drivers.values():
            driver.before_send = self.loop.before_send
        self.flex: FlexLinks | None = None
        self._worker: Worker | None = None
        if assembly.flex is not None and assembly.site.flex is not None:
            self._talk(assembly.flex, assembly.site.flex, past)
        if assembly.site.flex is not None and assembly.site.flex.provider is not None:
            self._plan()
        self.telemetry: TelemetryStore | None = None
        self._recorder: Recorder | None = None
        if assembly.telemetry.enabled:
            self.telemetry, self._recorder = self._record()
        self._view: RegionView | None = None
        self._view_step = -1
        self.well = Health(
            assembly, self.drivers, self.loop, self.journal, self.inbox.table, self.clock, self.region, rate=clock_rate
        )

    # -- what is published -------------------------------------------------------------------------------------------

    @property
    def table(self) -> PointTable:
        """The live point table."""
        return self.inbox.table

    @property
    def points(self) -> Sequence[PointInfo]:
        """Parallel to the table."""
        return self.assembly.points

    @property
    def texts(self) -> Mapping[int, str]:
        """Last text of each string point, by its index in the table."""
        return ChainMap(*(driver.texts for driver in self.drivers.values()))

    @property
    def faults(self) -> Mapping[int, str]:
        """Why a point is bad, in words, by its index in the table; links of Modbus say no more than the cause."""
        return ChainMap(*(d.faults for d in self.drivers.values() if not isinstance(d, ModbusDriver)))

    @property
    def request_results(self) -> Mapping[tuple[str, str], int]:
        """(link, result) -> requests since the start."""
        return self.inbox.request_results

    @property
    def conflated(self) -> int:
        """Point updates overwritten before a step saw them."""
        return self.inbox.conflated

    @property
    def missed_polls(self) -> Mapping[str, int]:
        """Link -> polls left out because the one before was not over, since the start."""
        return {name: driver.missed_polls for name, driver in self.drivers.items()}

    @property
    def link_busy_s(self) -> Mapping[str, float]:
        """Link -> real seconds in which a request was under way, since the start."""
        return {name: driver.busy_ms / 1000 / self.rate for name, driver in self._modbus.items()}

    @property
    def link_skipped_polls(self) -> Mapping[str, int]:
        """Link -> polls left out while their unit was silent or the link down, since the start."""
        return {name: driver.skipped_polls for name, driver in self._modbus.items()}

    @property
    def link_probes(self) -> Mapping[str, int]:
        """Link -> requests that only ask whether a silent unit is back, since the start."""
        return {name: driver.probes for name, driver in self._modbus.items()}

    @property
    def guests(self) -> Mapping[str, Tap]:
        """Link -> its proxy, where it has one."""
        return {name: driver.tap for name, driver in self._modbus.items() if driver.tap is not None}

    @property
    def links_up(self) -> Mapping[str, bool]:
        """Link -> whether it is up; without those that were not tried yet."""
        links = self.core.memory.situation.links
        return {name: link.up for name, link in sorted(links.items()) if link.up is not None}

    @property
    def stores(self) -> Mapping[str, StoreFigures]:
        """Name of a file that is written -> its figures."""
        journal = self.journal
        figures = StoreFigures(
            ok=journal.healthy and self.loop.turn.journal_ok,
            written_records=journal.records_written,
            written_bytes=journal.bytes_written,
            dropped_records=journal.records_refused,
            queued_records=journal.queued,
            file_bytes=_bytes_on_disk(self.assembly.journal.path),
        )
        found = {"journal": figures}
        if (store := self.telemetry) is not None:
            found["telemetry"] = StoreFigures(
                ok=store.healthy,
                written_records=store.records_written,
                written_bytes=store.bytes_written,
                dropped_records=store.dropped,
                queued_records=store.queued,
                file_bytes=store.size_bytes,
            )
        return found

    @property
    def step_lag_s(self) -> float:
        """How late the last step began, in real seconds."""
        return self.loop.timing.lateness_s

    @property
    def versions(self) -> Mapping[str, str]:
        """Labels of the build."""
        return {"version": __version__, "python": sys.version.split()[0]}

    def region(self) -> RegionView | None:
        """The view after the last step; built when somebody looks."""
        step = self.loop.turn.step
        if step != self._view_step:
            self._view, self._view_step = self.core.view(), step
        return self._view

    @property
    def flex_unsent(self) -> int:
        """Messages that no link took."""
        return sum(self.flex.unsent.values()) if self.flex is not None else 0

    @property
    def flex_troubles(self) -> FlexTroubles | None:
        """What peers did on their links."""
        if self.flex is None:
            return None
        refused, happened, skew_ms = self.flex.troubles()
        return FlexTroubles(refused=refused, happened=happened, skew_s=skew_ms / 1000)

    def flex_appliance(self, esa_id: str) -> FlexApplianceView | None:
        """One appliance of flexibility."""
        return self.core.flex_appliance(esa_id)

    async def settled(self) -> None:
        """Returns when what the core holds is durable, or known not to be."""
        while not self.loop.settled.is_set():
            await self.loop.settled.wait()

    async def stepped(self, after: int) -> None:
        """Returns when a step with a greater number is settled."""
        while self.loop.turn.step <= after:
            self.loop.turned.clear()
            await self.loop.turned.wait()
        await self.settled()

    def health(self) -> Mapping[str, Check]:
        """The daemon's own checks."""
        return self.well.checks()

    def mono_ms(self) -> int:
        """The clock of the table."""
        return self.clock.mono_ms()

    def utc_ms(self) -> int:
        """Wall clock."""
        return self.clock.utc_ms()

    @property
    def history(self) -> History | None:
        """Trends and old events."""
        return self._recorder.history if self._recorder is not None else None

    def _record(self) -> tuple[TelemetryStore, Recorder]:
        """The store of trends and old events, and who fills it."""
        settings, points = self.assembly.telemetry, self.assembly.points
        store = TelemetryStore(
            settings.path,
            points.names,
            keep_ms=settings.keep_ms,
            every_ms=settings.every_ms,
            limit_bytes=settings.limit_bytes,
            utc_ms=lambda: self.clock.utc_ms() if self._utc_ok else None,
        )
        recorder = Recorder(
            store,
            self.inbox.table,
            self.clock,
            [p.fresh_ms + p.hold_ms for p in points],
            lambda after: happened(self.core.memory, after),
            rate=self.rate,
        )
        self.loop.on_settled = recorder.follow
        return store, recorder

    def _past(self, assembly: Assembly) -> Past:
        """What peers were answered within a day."""
        utc_ms = self.clock.utc_ms() if self.clock.utc_ok() else None
        return answered_within(assembly.journal.path, utc_ms, MOST_REMEMBERED)

    def _talk(self, settings: FlexSettings, part: FlexPart, past: Past) -> None:
        """Links of flexibility."""
        # Only then: messages of the wire take time and memory to load.
        from scowl_edge.flexing import FlexLinks

        turn = self.loop.turn
        self.flex = FlexLinks(settings, part, self.inbox, self.clock, seed=turn.boot, rate=self.rate)
        self.flex.remember(past.answered, past.floor_ms, turn.acknowledged)
        turn.answers, turn.acknowledged = self.flex.answers, []
        self.loop.speak = self.flex.speak

    def _plan(self) -> None:
        """The worker that plans for a provider."""
        from scowl_edge.dsr import work

        self._worker = Worker(work.plan, self.inbox.event, self.clock, rate=self.rate, warm=work.warm)
        self.loop.work = self._ask

    def _ask(self, ask: Ask) -> None:
        """Hands work to the worker, with what the core has for it at this moment."""
        what = self.core.work(ask)
        if self._worker is not None and what is not None:
            self._worker.ask(ask, what)

    def order(self, order: AnyOrder) -> None:
        """Puts an order into the inbox."""
        self.inbox.event(order)

    # -- running -----------------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Begins to listen for peers of flexibility, if that is configured.

        Raises:
            ScowlError: the address cannot be had.
        """
        if self.flex is not None:
            await self.flex.listen()

    async def run(self, metrics: Metrics) -> None:
        """Drives links and loop until the stop is settled."""
        links = {name: Supervised(f"link {name}", lambda d=d: d.run(self.inbox)) for name, d in self.drivers.items()}  # type: ignore[misc]
        others = [Supervised("timing", lambda: self._observe(metrics))]
        others += [Supervised(f"proxy of link {name}", tap.run) for name, tap in self.guests.items()]
        if self._recorder is not None:
            others.append(Supervised("telemetry", self._recorder.run))
        if self.flex is not None:
            others.append(Supervised("links of flexibility", self.flex.run))
        if self._worker is not None:
            others.append(Supervised("worker", self._worker.run))
        self.well.watch(links, others)
        running = [asyncio.create_task(t.run(), name=t.name) for t in (*links.values(), *others)]
        try:
            await self.loop.run()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _observe(self, metrics: Metrics) -> None:
        """Hands durations to the metrics, and measures how late timers wake."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LATENESS_EVERY_S
            await asyncio.sleep(LATENESS_EVERY_S)
            metrics.observe_lateness(max(0.0, loop.time() - due))
            steps, self.loop.timing.steps = self.loop.timing.steps, []
            for seconds in steps:
                metrics.observe_step(seconds)
            commits = list(self.commit_seconds)
            del self.commit_seconds[: len(commits)]
            for seconds in commits:
                metrics.observe_journal(seconds)
            situation = self.loop.turn.core.memory.situation
            self._utc_ok = situation.utc_day > 0 and "clock" not in self.core.memory.alarms

    def unconfirmed(self) -> list[str]:
        """After a stop: what may not be as the configuration wants to leave it."""
        site = self.assembly.site
        return [
            f"{site.devices[a.device].name}: {a.verb.value} should be {self.core.memory.ledger[i].target}, "
            f"{self.core.memory.ledger[i].stage.value}"
            for i, a in enumerate(site.actuators)
            if a.on_stop is OnStop.RELEASE and not self.core.stop_confirmed(i)
        ]

    def close(self) -> None:
        """Writes a last snapshot, closes the journal and what people look back at."""
        self.loop.turn.snapshot()
        if not self.journal.close():
            log.error("journal_not_flushed", waiting=self.journal.queued, error=self.journal.last_error)
        if self.telemetry is not None and self._recorder is not None:
            self._recorder.close()
            if not self.telemetry.close():
                log.warning("telemetry_not_flushed", waiting=self.telemetry.queued, error=self.telemetry.last_error)


def _bytes_on_disk(database: Path) -> int:
    """Size of a database with its write-ahead log; 0 where there is none."""
    size = 0
    for path in (database, database.with_name(database.name + "-wal")):
        with contextlib.suppress(OSError):
            size += path.stat().st_size
    return size


def _driver(link: DeviceLink, clock: Clock, rate: int) -> ModbusDriver | OpcuaDriver:
    """The driver of a link.

    Raises:
        StartError: it needs a package that is not installed.
    """
    if not isinstance(link, OpcuaLink):
        return ModbusDriver(link, clock, rate=rate)
    if find_spec("asyncua") is None:
        raise StartError(
            f"link {link.name} is of type opcua, which needs the package asyncua; "
            "install it with: pip install 'scowl-edge[opcua]'"
        )
    # Imported here: a site without OPC-UA pays nothing for it.
    from scowl_edge.drivers.opcua import OpcuaDriver

    return OpcuaDriver(link, clock, rate=rate)


_EVERYWHERE = ("0.0.0.0", "::")


def _alone() -> bool:
    """Whether there is no interface here but the loopback one, as in a network namespace made for a simulation."""
    return {name for _, name in socket.if_nameindex()} <= {"lo"}


def refuse_foreign(assembly: Assembly) -> None:
    """A clock that runs fast is for simulations: nothing outside this machine may be commanded by it.

    Raises:
        StartError: a link or the port is not on a loopback address.
    """
    proxies = [(link.name, link.proxy) for link in assembly.links if isinstance(link, ModbusLink)]
    for what, host in [
        ("http", assembly.http.host),
        *([("flex: listen", assembly.flex.host)] if assembly.flex is not None and assembly.flex.host else []),
        *((f"link {link.name}", link.host) for link in assembly.links),
        *((f"the proxy of link {name}", proxy.host) for name, proxy in proxies if proxy is not None),
    ]:
        if not (is_loopback(host) or (host in _EVERYWHERE and _alone())):
            raise StartError(
                f"--clock-rate needs every link and port on loopback, but {what} is on {host}; "
                "use 127.0.0.1, or leave --clock-rate out"
            )
