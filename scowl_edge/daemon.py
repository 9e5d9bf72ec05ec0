"""The daemon: wires one site's assembly to the real clocks, sockets, journal and port, and ends it cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import ChainMap
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import structlog

from scowl_edge import __version__
from scowl_edge.assembly import Assembly, assemble
from scowl_edge.assembly.assembly import PointInfo, TlsSettings
from scowl_edge.assembly.signals import Rounding
from scowl_edge.clocks import RateClock, SystemClock
from scowl_edge.contracts import Clock
from scowl_edge.control import Core
from scowl_edge.devices.declaration import DeviceLink, OpcuaLink, Secret
from scowl_edge.drivers.modbus import ModbusTcpDriver
from scowl_edge.inbox import ROUND_DOWN, ROUND_NEAREST, ROUND_UP, Inbox, PointTable
from scowl_edge.journal.file import recover_file
from scowl_edge.journal.store import SqliteJournal
from scowl_edge.loop import Loop, Wire
from scowl_edge.metrics import Metrics
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.event import AnyOrder, Stopping
from scowl_edge.model.signal import Cause
from scowl_edge.model.site import OnStop
from scowl_edge.model.view import EventView, RegionView
from scowl_edge.notify import Manager, attend
from scowl_edge.service import answer_to_reload, status_line
from scowl_edge.supervision import Supervised
from scowl_edge.telemetry import Recorder, TelemetryStore
from scowl_edge.turn import Clocks, resume
from scowl_edge.web import LiveFeed, TlsFiles, TokenSource, create_app, listen
from scowl_edge.web.published import Check, History, StoreFigures

if TYPE_CHECKING:
    from scowl_edge.drivers.opcua import OpcuaDriver

log = structlog.get_logger(__name__)

LATE_MS = 5_000
"""A loop without a turn for this long beyond its period is not healthy."""
LINK_STUCK_MS = 30_000
"""A link's task that does nothing for this long, beyond its own time-outs, is stuck in a defect."""
STOP_SLACK_S = 20
"""What the service manager is asked to allow for an orderly end, beyond the time for devices to be released."""
LATENESS_EVERY_S = 0.25
_TOO_LARGE = "what a restart needs is alone larger than journal.limit; raise it, or the disk fills up"
_ROUNDINGS = {Rounding.UP: ROUND_UP, Rounding.DOWN: ROUND_DOWN, Rounding.NEAREST: ROUND_NEAREST}


class StartError(ScowlError):
    """The daemon cannot start as it was asked to."""


class Daemon:
    """One running site. Implements `web.published.Published`."""

    def __init__(self, assembly: Assembly, *, clock_rate: int = 1) -> None:
        """Opens the journal and brings the core to where it ended.

        Raises:
            JournalError: the journal cannot be opened or read.
            StartError: a clock rate with anything that is not loopback, or a link that needs a missing package.
        """
        if clock_rate != 1:
            refuse_foreign(assembly)
        self.assembly = assembly
        self.rate = clock_rate
        system = SystemClock()
        self.clock: Clock = system if clock_rate == 1 else RateClock(clock_rate, system)
        self.drivers = {link.name: _driver(link, self.clock, clock_rate) for link in assembly.links}
        self.commit_seconds: list[float] = []
        self._utc_ok = False
        recovery = recover_file(assembly.journal.path)
        for damage in recovery.damage:
            log.warning("journal_damage", what=damage)
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
        self.telemetry: TelemetryStore | None = None
        self._recorder: Recorder | None = None
        if assembly.telemetry.enabled:
            self.telemetry, self._recorder = self._record()
        self._tasks: list[Supervised] = []
        self._view: RegionView | None = None
        self._view_step = -1
        self._untried = {link.name for link in assembly.links}
        self._started_ms = self.clock.mono_ms()
        self._status = ""
        self._tried = False
        self.notice = ""
        """What the operator should know beside how the region does: the answer to the last reload."""

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
        return ChainMap(*(d.faults for d in self.drivers.values() if not isinstance(d, ModbusTcpDriver)))

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
        late_ms, allowed = self._late_ms()
        untried = self.untried()
        down = self._down()
        restarts = sum(t.restarts for t in self._tasks)
        error = self.journal.last_error
        too_large = _TOO_LARGE if self.journal.keeper.over_limit else ""
        return {
            "loop": Check(ok=late_ms <= allowed, detail=f"last turn {late_ms} ms ago, at most {allowed} ms allowed"),
            "journal": Check(
                ok=self.journal.healthy and self.loop.turn.journal_ok and not too_large,
                detail=error or too_large or f"{self.journal.queued} records wait",
                vital=False,
            ),
            "links": Check(ok=not down, detail="down: " + ", ".join(down) if down else "all up", vital=False),
            "tried": Check(
                ok=not untried, detail="not tried yet: " + ", ".join(untried) if untried else "every link was tried",
                vital=False,
            ),
            "tasks": Check(ok=restarts == 0, detail=f"{restarts} restarts of tasks since the start", vital=False),
        }  # fmt: skip

    def _late_ms(self) -> tuple[int, int]:
        """How long ago the last turn was, and how long it may be."""
        last = self.loop.timing.last_turn_ms
        allowed = self.assembly.site.policy.period_ms + LATE_MS * self.rate
        return self.clock.mono_ms() - (last if last >= 0 else self._started_ms), allowed

    def _down(self) -> list[str]:
        return [name for name, link in sorted(self.core.memory.situation.links.items()) if link.up is False]

    def ready(self) -> bool:
        """Whether the first step is done and every link was tried, as `/readyz` has it."""
        return self.loop.timing.last_turn_ms >= 0 and not self.untried()

    def stuck(self) -> str:
        """Which loop makes no progress although nothing outside keeps it from it; empty while all do."""
        late_ms, allowed = self._late_ms()
        if late_ms > allowed:
            return f"the region's loop: its last turn was {late_ms} ms ago, at most {allowed} ms are allowed"
        if not self.journal.alive:
            return "the journal: its writer thread has ended"
        now = self.clock.mono_ms()
        for task, link in zip(self._tasks, self.assembly.links, strict=False):
            idle_ms = now - max(self.drivers[link.name].last_progress_ms, self._started_ms)
            allowed = LINK_STUCK_MS * self.rate + link.timeout_ms + link.connect_timeout_ms
            if idle_ms > allowed and not task.pausing:
                return f"link {link.name}: its task has done nothing for {idle_ms} ms, at most {allowed} ms are allowed"
        return ""

    def status(self) -> str:
        """How the region does, in one line."""
        if self.loop.settled.is_set():
            view = self.region() if self.loop.timing.last_turn_ms >= 0 else None
            self._status = status_line(view, self._down(), [] if self._was_ready() else self.untried())
        return f"{self._status}; {self.notice}" if self.notice else self._status

    def _was_ready(self) -> bool:
        self._tried = self._tried or self.ready()
        return self._tried

    def untried(self) -> list[str]:
        """Links of which no point was read or failed yet."""
        # Tried once is tried for good, so that a large site is looked through only while it starts.
        if self._untried:
            tried = np.flatnonzero(self.inbox.table.cause != Cause.NOT_READ_YET).tolist()
            self._untried -= {self.assembly.points[i].link for i in tried}
        return [link.name for link in self.assembly.links if link.name in self._untried]

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
            [(p.device, p.name) for p in points],
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
            self._settled_events,
            lambda: self.core.memory.situation.events,
            rate=self.rate,
        )
        return store, recorder

    def _settled_events(self) -> Sequence[EventView]:
        """The region's last events; none while a crash could still undo them."""
        view = self.region() if self.loop.settled.is_set() else None
        return view.events if view is not None else ()

    def order(self, order: AnyOrder) -> None:
        """Puts an order into the inbox."""
        self.inbox.event(order)

    # -- running -----------------------------------------------------------------------------------------------------

    async def run(self, metrics: Metrics) -> None:
        """Drives links and loop until the stop is settled."""
        self._tasks = [Supervised(f"link {name}", lambda d=d: d.run(self.inbox)) for name, d in self.drivers.items()]  # type: ignore[misc]
        others = [Supervised("timing", lambda: self._observe(metrics))]
        if self._recorder is not None:
            others.append(Supervised("telemetry", self._recorder.run))
        running = [asyncio.create_task(t.run(), name=t.name) for t in (*self._tasks, *others)]
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


def _driver(link: DeviceLink, clock: Clock, rate: int) -> ModbusTcpDriver | OpcuaDriver:
    """The driver of a link.

    Raises:
        StartError: it needs a package that is not installed.
    """
    if not isinstance(link, OpcuaLink):
        return ModbusTcpDriver(link, clock, rate=rate)
    if find_spec("asyncua") is None:
        raise StartError(
            f"link {link.name} is of type opcua, which needs the package asyncua; "
            "install it with: pip install 'scowl-edge[opcua]'"
        )
    # Imported here: a site without OPC-UA pays nothing for it.
    from scowl_edge.drivers.opcua import OpcuaDriver

    return OpcuaDriver(link, clock, rate=rate)


def refuse_foreign(assembly: Assembly) -> None:
    """A clock that runs fast is for simulations: nothing outside this machine may be commanded by it.

    Raises:
        StartError: a link or the port is not on a loopback address.
    """
    for what, host in [("http", assembly.http.host), *((f"link {link.name}", link.host) for link in assembly.links)]:
        if host != "localhost" and not _is_loopback(host):
            raise StartError(
                f"--clock-rate needs every link and port on loopback, but {what} is on {host}; "
                "use 127.0.0.1, or leave --clock-rate out"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def run(assembly: Assembly, *, http: str | None = None, clock_rate: int = 1) -> None:
    """Runs a site until SIGTERM or SIGINT; prints where it listens on a line of its own.

    A service manager that started it (`NOTIFY_SOCKET`) is told when it is ready, how it does and when it stops.

    Args:
        assembly: the checked configuration.
        http: HOST:PORT instead of the configured one.
        clock_rate: how many times faster than the wall; loopback only.

    Raises:
        ScowlError: what kept it from starting.
    """
    host, port = assembly.http.host, assembly.http.port
    if http is not None:
        host, port = _host_port(http, secured=assembly.http.tls is not None)
    daemon = Daemon(assembly, clock_rate=clock_rate)
    feed = LiveFeed(daemon)
    metrics = Metrics(daemon, feed)
    manager = Manager(os.environ)
    stopped = False
    # Signals are heard until the very end: one that comes while the journal is closed must not cut that short.
    with _on_signals(daemon, manager) as signals:
        try:
            settings = assembly.http
            app = create_app(
                daemon, metrics, host=host, names=settings.names, feed=feed,
                operator=TokenSource("token", settings.token_file, settings.token_credential),
                viewer=TokenSource("viewer", settings.viewer_file, settings.viewer_credential),
            )  # fmt: skip
            listener = await listen(app, host, port, tls=_tls_files(settings.tls))
            try:
                print(listener.url, flush=True)
                log.info("started", site=assembly.site.name, boot=daemon.loop.turn.boot, step=daemon.loop.turn.step)
                async with _attended(manager, daemon):
                    await signals.hurriable(daemon.run(metrics))
                stopped = True
            finally:
                await listener.close()
        finally:
            daemon.close()
        if stopped:
            # Where the disk is full, standard error may be so too.
            with contextlib.suppress(OSError):
                for line in daemon.unconfirmed():
                    print(f"not confirmed: {line}", file=sys.stderr, flush=True)
            log.info("stopped", unconfirmed=len(daemon.unconfirmed()))


@contextlib.asynccontextmanager
async def _attended(manager: Manager, daemon: Daemon) -> AsyncIterator[None]:
    """Within it the service manager hears how the daemon does, and its watchdog is fed while all loops progress."""
    attending = asyncio.create_task(Supervised("service", lambda: attend(manager, daemon)).run())
    try:
        yield
    finally:
        attending.cancel()
        await asyncio.gather(attending, return_exceptions=True)


def _tls_files(settings: TlsSettings | None) -> TlsFiles | None:
    if settings is None:
        return None
    return TlsFiles(certificate=_path_of(settings.certificate, "certificate"), key=_path_of(settings.key, "key"))


def _path_of(secret: Secret, what: str) -> Path:
    """Where a secret of `http: tls:` lies. Raises StartError for a credential without a service manager."""
    if secret.file:
        return Path(secret.file)
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory is None:
        raise StartError(
            f"http: tls: {what} is the credential {secret.credential!r}, but $CREDENTIALS_DIRECTORY is not set: "
            "start under systemd with LoadCredential, or give `{file: PATH}`"
        )
    return Path(directory) / secret.credential


class _Signals:
    """What is asked of the process: first to stop in order, then to stop at once; or to reload, which it declines."""

    def __init__(self, daemon: Daemon, manager: Manager) -> None:
        self._daemon = daemon
        self._manager = manager
        self._reload: asyncio.Task[None] | None = None
        self._asked = False
        self._hurried = False
        self._work: asyncio.Task[None] | None = None

    def ask(self, name: str) -> None:
        """A signal came."""
        if not self._asked:
            self._asked = True
            log.info("stopping", signal=name)
            self._daemon.notice = "stopping: devices get back what was found"
            allowed_s = self._daemon.assembly.site.policy.stop_timeout_ms / 1000 / self._daemon.rate + STOP_SLACK_S
            self._manager.tell(STOPPING=1, STATUS=self._daemon.notice, EXTEND_TIMEOUT_USEC=int(allowed_s * 1e6))
            self._daemon.inbox.event(Stopping(why=name))
        elif self._work is not None and not self._hurried:
            self._hurried = True
            log.warning("stop_cut_short", signal=name)
            self._work.cancel()

    def reload(self) -> None:
        """SIGHUP came: the file is checked and the answer told; nothing else changes."""
        if self._reload is None or self._reload.done():
            self._reload = asyncio.create_task(self._answer_reload())

    async def _answer_reload(self) -> None:
        assembly = self._daemon.assembly
        answer = await answer_to_reload(Path(assembly.document.file), assembly.text)
        log.warning("reload_declined", answer=answer)
        if not self._asked:
            self._daemon.notice = answer

    async def settle(self) -> None:
        """Ends what a signal began and nobody waits for."""
        if self._reload is not None:
            self._reload.cancel()
            await asyncio.gather(self._reload, return_exceptions=True)

    async def hurriable(self, work: Coroutine[None, None, None]) -> None:
        """Does the work; a second signal ends it, and nobody waits for devices any more."""
        self._work = asyncio.create_task(work)
        try:
            await self._work
        except asyncio.CancelledError:
            if not self._hurried:
                self._work.cancel()
                await asyncio.gather(self._work, return_exceptions=True)
                raise
        finally:
            await self.settle()


@contextlib.contextmanager
def _on_signals(daemon: Daemon, manager: Manager) -> Iterator[_Signals]:
    """The first SIGTERM or SIGINT stops deciding and releases; a second one ends the wait. SIGHUP asks for a reload."""
    loop = asyncio.get_running_loop()
    signals = _Signals(daemon, manager)
    heard = [signal.SIGTERM, signal.SIGINT]
    for number in heard:
        loop.add_signal_handler(number, signals.ask, number.name)
    # A terminal that is closed says SIGHUP too, and then it means the end; under nohup it means nothing.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and not (sys.stdin is not None and sys.stdin.isatty()):
        heard.append(signal.SIGHUP)
        loop.add_signal_handler(signal.SIGHUP, signals.reload)
    try:
        yield signals
    finally:
        for number in heard:
            loop.remove_signal_handler(number)


def _host_port(text: str, *, secured: bool) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise StartError(f"--http {text!r} is not HOST:PORT; for example 127.0.0.1:8080")
    host = host.strip("[]")
    if not secured and host != "localhost" and not _is_loopback(host):
        raise StartError(
            f"--http {text}: plain HTTP is served on loopback only; configure `http: tls:`, or listen on 127.0.0.1"
        )
    return host, int(port)
