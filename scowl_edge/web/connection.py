"""A bound on what a connection may cost: a reader that takes nothing is cut off, whatever it was being sent."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import cast

import structlog

MOST_CONNECTIONS = 512
"""Half of what a process may commonly open; devices and files need the rest."""
STALL_S = 20.0
"""Longest time in which a reader of a full buffer must take some of it."""
LEAST_BYTES = 64 * 1024
"""What it must take in that time."""
_SYSTEM_STALL_MS = 60_000
"""Longest time that the system keeps what was handed to it and is not taken."""

_log = structlog.get_logger(__name__)


class Connections:
    """All open connections of a server."""

    def __init__(self, *, most: int = MOST_CONNECTIONS, stall_s: float = STALL_S) -> None:
        self.most = most
        self.stall_s = stall_s
        self.open = 0
        self.crowded = False
        """Whether somebody was refused since there last was room."""
        self.dropped_total = 0
        """Cut off because their reader took nothing, or because there were too many."""

    def guarded(self, inner: asyncio.Protocol) -> asyncio.Protocol:
        """The same protocol within the bounds."""
        return _Guarded(inner, self)


class _Guarded(asyncio.Protocol):
    """Hands everything on to the protocol within."""

    def __init__(self, inner: asyncio.Protocol, book: Connections) -> None:
        self._inner = inner
        self._book = book
        self._limit: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes a connection, if there is room."""
        # uvloop's transports have the methods, not the base class.
        self._transport = cast(asyncio.Transport, transport)
        self._book.open += 1
        if self._book.open > self._book.most:
            self._refused = True
            self._book.dropped_total += 1
            if not self._book.crowded:
                # Said once a crowd: whoever makes it should not fill the log as well.
                self._book.crowded = True
                _log.warning("connections refused", why=f"{self._book.most} are open already")
            self._transport.abort()
            return
        place = transport.get_extra_info("socket")
        if place is not None:
            with suppress(OSError, AttributeError):
                place.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SYSTEM_STALL_MS)
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the watch."""
        self._book.open -= 1
        self._book.crowded &= self._book.open >= self._book.most
        self._rest()
        if not self._refused:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Hands on."""
        if not self._refused:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Hands on."""
        return None if self._refused else self._inner.eof_received()

    def pause_writing(self) -> None:
        """The buffer is full: the reader is watched until it is not."""
        self._watch()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._rest()
        self._inner.resume_writing()

    def _watch(self) -> None:
        self._left = self._transport.get_write_buffer_size()
        self._limit = asyncio.get_running_loop().call_later(self._book.stall_s, self._look)

    def _look(self) -> None:
        if self._left - self._transport.get_write_buffer_size() >= LEAST_BYTES:
            self._watch()
        else:
            self._drop(f"the reader took less than {LEAST_BYTES // 1024} kB in {self._book.stall_s:g} s")

    def _rest(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _drop(self, why: str) -> None:
        self._book.dropped_total += 1
        _log.warning("connection dropped", remote=self._transport.get_extra_info("peername"), why=why)
        self._transport.abort()
