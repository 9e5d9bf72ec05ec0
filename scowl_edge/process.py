"""The process around a running site: its port, its signals, and what the service manager is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path

import structlog

from scowl_edge.assembly import Assembly
from scowl_edge.assembly.assembly import TlsSettings
from scowl_edge.daemon import Daemon, StartError
from scowl_edge.devices.declaration import Secret
from scowl_edge.lasting import set_aside_lasting
from scowl_edge.metrics import Metrics
from scowl_edge.model.event import Stopping
from scowl_edge.notify import Manager, attend
from scowl_edge.open_files import allow_open_files
from scowl_edge.service import answer_to_reload
from scowl_edge.supervision import Supervised
from scowl_edge.warming import warm_kernels
from scowl_edge.web import LiveFeed, TlsFiles, TokenSource, create_app, listen
from scowl_edge.web.authority import is_loopback

log = structlog.get_logger(__name__)

STOP_SLACK_S = 20
"""What the service manager is asked to allow for an orderly end, beyond the time for devices to be released."""


async def run(
    assembly: Assembly,
    *,
    http: str | None = None,
    clock_rate: int = 1,
    trust_clock: bool = False,
    began: Callable[[Daemon], None] = lambda _: None,
) -> None:
    """Runs a site until SIGTERM or SIGINT; prints where it listens on a line of its own.

    A service manager that started it (`NOTIFY_SOCKET`) is told when it is ready, how it does and when it stops.

    Args:
        assembly: the checked configuration.
        http: HOST:PORT instead of the configured one.
        clock_rate: how many times faster than the wall; loopback only.
        trust_clock: the machine's clock is right by definition, as in a simulation.
        began: called when it listens.

    Raises:
        ScowlError: what kept it from starting.
    """
    host, port = assembly.http.host, assembly.http.port
    if http is not None:
        host, port = _host_port(http, secured=assembly.http.tls is not None)
    allow_open_files(len(assembly.links))
    manager = Manager(os.environ)
    if assembly.site.populations:
        await warm_kernels(manager)
    daemon = Daemon(assembly, clock_rate=clock_rate, trust_clock=trust_clock)
    feed = LiveFeed(daemon)
    metrics = Metrics(daemon, feed)
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
                await daemon.listen()
                began(daemon)
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
    beside = [
        Supervised("service", lambda: attend(manager, daemon.well)),
        Supervised("lasting", lambda: set_aside_lasting(lambda: not daemon.well.untried())),
    ]
    attending = [asyncio.create_task(one.run(), name=one.name) for one in beside]
    try:
        yield
    finally:
        for task in attending:
            task.cancel()
        await asyncio.gather(*attending, return_exceptions=True)


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
            self._daemon.well.notice = "stopping: devices get back what was found"
            allowed_s = self._daemon.assembly.site.policy.stop_timeout_ms / 1000 / self._daemon.rate + STOP_SLACK_S
            self._manager.tell(STOPPING=1, STATUS=self._daemon.well.notice, EXTEND_TIMEOUT_USEC=int(allowed_s * 1e6))
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
            self._daemon.well.notice = answer

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
    if not secured and not is_loopback(host):
        raise StartError(
            f"--http {text}: plain HTTP is served on loopback only; configure `http: tls:`, or listen on 127.0.0.1"
        )
    return host, int(port)
