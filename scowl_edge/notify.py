"""What the service manager is told and in return asks for: sd_notify(3) and its watchdog, without a library.

Nothing here decides whether the daemon is well: `attend` asks the one it attends, and passes on what it hears.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Protocol

import structlog

log = structlog.get_logger(__name__)

STATUS_EVERY_S = 5.0
"""The line in `systemctl status` changes at most this often."""
_LOOK_EVERY_S = 0.5
_LONGEST_STATUS = 400


class Manager:
    """The service manager that started this process; every call does nothing where there is none."""

    def __init__(self, environ: Mapping[str, str], pid: int | None = None) -> None:
        """Takes `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`; `pid` is this process's unless given.

        A watchdog that is meant for another process, or for nobody, is none.
        """
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._socket: socket.socket | None = None
        if path.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            # A manager that does not read must not hold up control.
            self._socket.setblocking(False)
        elif path:
            log.warning("notify_socket_unknown", address=path, todo="only paths and @names are spoken to")
        meant = environ.get("WATCHDOG_PID", "")
        usec = environ.get("WATCHDOG_USEC", "")
        mine = not meant or meant == str(os.getpid() if pid is None else pid)
        self.watchdog_s = int(usec) / 1e6 if mine and usec.isdecimal() and self._socket is not None else 0.0
        """The longest silence that the manager bears, in s; 0 if it has no watchdog."""

    @property
    def listens(self) -> bool:
        """Whether there is a manager to be told."""
        return self._socket is not None

    def tell(self, **fields: str | int) -> bool:
        """Sends `FIELD=value` lines in one datagram; text becomes one line each.

        Returns:
            Whether it was taken: False where nobody listens, or the manager's queue is full just now.
        """
        if self._socket is None:
            return False
        lines = (f"{name}={' '.join(str(value).split())}" for name, value in fields.items())
        try:
            self._socket.sendto("\n".join(lines).encode(errors="replace"), self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Says nothing more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Attended(Protocol):
    """What is asked of the daemon. No call blocks."""

    def ready(self) -> bool:
        """Whether the first step is done and every link was tried; that devices answer is not asked."""

    def stuck(self) -> str:
        """Which loop makes no progress, in words; empty while all do."""

    def status(self) -> str:
        """How it goes, in one line for the operator."""


async def attend(manager: Manager, daemon: Attended) -> None:
    """Tells the manager when the daemon is ready and how it goes, and feeds the watchdog only while it makes progress.

    Runs on the event loop that it vouches for: if that stands still, nothing is fed. Returns at once where there is no
    manager, else only by cancellation.
    """
    loop = asyncio.get_running_loop()
    pause_s = min(_LOOK_EVERY_S, manager.watchdog_s / 4 or _LOOK_EVERY_S)
    ready, told, told_at, was_stuck = False, "", -STATUS_EVERY_S, ""
    while manager.listens:
        stuck = daemon.stuck()
        if manager.watchdog_s and not stuck:
            manager.tell(WATCHDOG=1)
        if bool(stuck) != bool(was_stuck):
            level, event = (40, "no_progress") if stuck else (30, "progress_again")
            log.log(level, event, what=stuck or was_stuck, watchdog_s=manager.watchdog_s)
        was_stuck = stuck
        first = not ready and daemon.ready()
        if first and manager.tell(READY=1):
            ready, told_at = True, -STATUS_EVERY_S
        if loop.time() - told_at >= STATUS_EVERY_S:
            status = (f"stuck: {stuck}; " if stuck else "") + daemon.status()
            if status == told or manager.tell(STATUS=status[:_LONGEST_STATUS]):
                told, told_at = status, loop.time()
        await asyncio.sleep(pause_s)
