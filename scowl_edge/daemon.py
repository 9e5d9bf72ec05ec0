"""The daemon: wires one site's assembly to the real clocks, sockets, journal and port, and ends it cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections import ChainMap
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from scowl_edge import __version__
from scowl_edge.assembly import Assembly, assemble
from scowl_edge.assembly.assembly import PointInfo
from scowl_edge.assembly.signals import Rounding
from scowl_edge.clocks import RateClock, SystemClock
from scowl_edge.contracts import Clock
from scowl_edge.control import Core
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
from scowl_edge.model.view import RegionView
from scowl_edge.supervision import Supervised
from scowl_edge.turn import Clocks, resume
from scowl_edge.web.app import create_app, listen
from scowl_edge.web.published import Check, History, StoreFigures

log = structlog.get_logger(__name__)

LATE_MS = 5_000
"""A loop without a turn for this long beyond its period is not healthy."""
LATENESS_EVERY_S = 0.25
_ROUNDINGS = {Rounding.UP: ROUND_UP, Rounding.DOWN: ROUND_DOWN, Rounding.NEAREST: ROUND_NEAREST}


class StartError(ScowlError):
    """The daemon cannot start as it was asked to."""


class Daemon:
    """One running site. Implements `web.published.Published`."""

    def __init__(self, assembly: Assembly, *, clock_rate: int = 1) -> None:
        """Opens the journal and brings the core to where it ended.

        Raises:
            JournalError: the journal cannot be opened or read.
            StartError: a clock rate with anything that is not loopback.
        """
        if clock_rate != 1:
            refuse_foreign(assembly)
        self.assembly = assembly
        self.rate = clock_rate
        system = SystemClock()
        self.clock: Clock = system if clock_rate == 1 else RateClock(clock_rate, system)
        self.commit_seconds: list[float] = []
        self._utc_ok = False
        recovery = recover_file(assembly.journal.path)
        for damage in recovery.damage:
            log.warning("journal_damage", what=damage)
        self.journal = SqliteJournal(
            assembly.journal.path,
            keep_ms=assembly.journal.keep_ms,
            utc_ms=lambda: self.clock.utc_ms() if self._utc_ok else None,
            on_commit=self.commit_seconds.append,
        )
        self.inbox = Inbox(
            len(assembly.points),
            [s.point for s in assembly.signals],
            [s.gain for s in assembly.signals],
            [_ROUNDINGS[s.rounding] for s in assembly.signals],
        )
        self.drivers = {link.name: ModbusTcpDriver(link, self.clock, rate=clock_rate) for link in assembly.links}
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
        self._tasks: list[Supervised] = []
        self._view: RegionView | None = None
        self._view_step = -1
        self._started_ms = self.clock.mono_ms()

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
        return {"journal": figures}

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

    def health(self) -> Mapping[str, Check]:
        """The daemon's own checks."""
        now = self.clock.mono_ms()
        last = self.loop.timing.last_turn_ms
        late_ms = now - (last if last >= 0 else self._started_ms)
        allowed = self.assembly.site.policy.period_ms + LATE_MS * self.rate
        untried = self.untried()
        down = [name for name, link in sorted(self.core.memory.situation.links.items()) if link.up is False]
        restarts = sum(t.restarts for t in self._tasks)
        error = self.journal.last_error
        return {
            "loop": Check(ok=late_ms <= allowed, detail=f"last turn {late_ms} ms ago, at most {allowed} ms allowed"),
            "journal": Check(
                ok=self.journal.healthy and self.loop.turn.journal_ok,
                detail=error or f"{self.journal.queued} records wait",
                vital=False,
            ),
            "links": Check(ok=not down, detail="down: " + ", ".join(down) if down else "all up", vital=False),
            "tried": Check(
                ok=not untried, detail="not tried yet: " + ", ".join(untried) if untried else "every link was tried",
                vital=False,
            ),
            "tasks": Check(ok=restarts == 0, detail=f"{restarts} restarts of tasks since the start", vital=False),
        }  # fmt: skip

    def untried(self) -> list[str]:
        """Links of which no point was read or failed yet."""
        tried = {
            p.link
            for p, cause in zip(self.assembly.points, self.inbox.table.cause.tolist(), strict=True)
            if cause != Cause.NOT_READ_YET
        }
        return [link.name for link in self.assembly.links if link.name not in tried]

    def mono_ms(self) -> int:
        """The clock of the table."""
        return self.clock.mono_ms()

    def utc_ms(self) -> int:
        """Wall clock."""
        return self.clock.utc_ms()

    @property
    def history(self) -> History | None:
        """Trends and old events."""
        return None

    def order(self, order: AnyOrder) -> None:
        """Puts an order into the inbox."""
        self.inbox.event(order)

    # -- running -----------------------------------------------------------------------------------------------------

    async def run(self, metrics: Metrics) -> None:
        """Drives links and loop until the stop is settled."""
        self._tasks = [Supervised(f"link {name}", lambda d=d: d.run(self.inbox)) for name, d in self.drivers.items()]  # type: ignore[misc]
        observer = Supervised("timing", lambda: self._observe(metrics))
        running = [asyncio.create_task(t.run(), name=t.name) for t in (*self._tasks, observer)]
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
        """Writes a last snapshot and closes the journal."""
        self.loop.turn.snapshot()
        if not self.journal.close():
            log.error("journal_not_flushed", waiting=self.journal.queued, error=self.journal.last_error)


def _bytes_on_disk(database: Path) -> int:
    """Size of a database with its write-ahead log; 0 where there is none."""
    size = 0
    for path in (database, database.with_name(database.name + "-wal")):
        with contextlib.suppress(OSError):
            size += path.stat().st_size
    return size


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

    Args:
        assembly: the checked configuration.
        http: HOST:PORT instead of the configured one.
        clock_rate: how many times faster than the wall; loopback only.

    Raises:
        ScowlError: what kept it from starting.
    """
    host, port = assembly.http.host, assembly.http.port
    if http is not None:
        host, port = _host_port(http)
    daemon = Daemon(assembly, clock_rate=clock_rate)
    metrics = Metrics(daemon)
    stopped = False
    # Signals are heard until the very end: one that comes while the journal is closed must not cut that short.
    with _on_signals(daemon) as signals:
        try:
            app = create_app(
                daemon, metrics, host=host,
                token_file=assembly.http.token_file, token_credential=assembly.http.token_credential,
            )  # fmt: skip
            app.middlewares.append(_durable_first(daemon))
            listener = await listen(app, host, port)
            try:
                print(listener.url, flush=True)
                log.info("started", site=assembly.site.name, boot=daemon.loop.turn.boot, step=daemon.loop.turn.step)
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


def _durable_first(daemon: Daemon) -> Middleware:
    """Nothing is shown that a crash could still undo: who looks during the barrier is answered after it."""

    @web.middleware
    async def settled(request: web.Request, handler: Handler) -> web.StreamResponse:
        await daemon.loop.settled.wait()
        return await handler(request)

    return settled


class _Signals:
    """What is asked of the process: first to stop in order, then to stop at once."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._asked = False
        self._hurried = False
        self._work: asyncio.Task[None] | None = None

    def ask(self, name: str) -> None:
        """A signal came."""
        if not self._asked:
            self._asked = True
            log.info("stopping", signal=name)
            self._daemon.inbox.event(Stopping(why=name))
        elif self._work is not None and not self._hurried:
            self._hurried = True
            log.warning("stop_cut_short", signal=name)
            self._work.cancel()

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


@contextlib.contextmanager
def _on_signals(daemon: Daemon) -> Iterator[_Signals]:
    """The first SIGTERM or SIGINT stops deciding and releases; a second one ends the wait."""
    loop = asyncio.get_running_loop()
    signals = _Signals(daemon)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.ask, number.name)
    try:
        yield signals
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise StartError(f"--http {text!r} is not HOST:PORT; for example 127.0.0.1:8080")
    host = host.strip("[]")
    if host != "localhost" and not _is_loopback(host):
        raise StartError(
            f"--http {text}: plain HTTP is served on loopback only; put a reverse proxy with TLS in front, "
            "or listen on 127.0.0.1"
        )
    return host, int(port)
