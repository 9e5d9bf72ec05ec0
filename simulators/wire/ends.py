"""The ends of wires: TCP connections, and serial lines as pairs of pseudo-terminals."""

from __future__ import annotations

import asyncio
import errno
import os
import pty
import select
import socket
import stat
import struct
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, cast

from scowl_edge.model.errors import ScowlError

_ABSENT_S = 0.02
"""How often it is looked whether somebody has opened the other side of a serial line."""
_READ_BYTES = 4096


class EndError(ScowlError):
    """A socket or a serial line cannot be had."""


class End(Protocol):
    """One side of a wire that bytes can be sent to."""

    def write(self, data: bytes) -> None:
        """Sends at once; what nobody takes is lost."""

    def reset(self) -> None:
        """Ends it the hard way: TCP with a reset, a serial line by unplugging it."""

    def close(self) -> None:
        """Ends it."""


class Session(Protocol):
    """Whoever uses one end."""

    def received(self, data: bytes) -> None:
        """Takes what came."""

    def lost(self) -> None:
        """Nothing comes any more."""


Accept = Callable[[End], Session]
"""Makes the session of a new end."""


class TcpEnd(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins its session."""
        # uvloop's transports have the methods, not the base class.
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._session = self._accept(self)

    def data_received(self, data: bytes) -> None:
        """Hands on what came."""
        assert self._session is not None
        self._session.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends its session."""
        self._transport = None
        if self._session is not None:
            self._session.lost()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def reset(self) -> None:
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class SerialEnd:
    """One side of a serial line: a file descriptor of a terminal. The other side may come and go."""

    def __init__(
        self,
        descriptor: int,
        accept: Accept,
        unplugged: Callable[[], None],
        absent: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes the descriptor over.

        Args:
            descriptor: Of a terminal that hands on bytes as they are.
            accept: Makes its session.
            unplugged: Called when it has been reset.
            absent: Called when nobody has the other side open any more.
        """
        self._descriptor = descriptor
        self._unplugged = unplugged
        self._absent = absent
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.TimerHandle | None = None
        self._session = accept(self)
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._session.received(data)
            return
        # Nobody has the other side open; without a pause this would be told again and again.
        self._loop.remove_reader(self._descriptor)
        self._waiting = self._loop.call_later(_ABSENT_S, self._look)
        self._absent()

    def _look(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if any(events & select.POLLHUP for _, events in poll.poll(0)):
            self._waiting = self._loop.call_later(_ABSENT_S, self._look)
            return
        self._waiting = None
        self._loop.add_reader(self._descriptor, self._readable)

    def write(self, data: bytes) -> None:
        if self._descriptor >= 0:
            # Where nobody reads, the line's buffer fills up; a real line's bytes would be gone as well.
            with suppress(OSError):
                os.write(self._descriptor, data)

    def reset(self) -> None:
        if self._descriptor >= 0:
            self.close()
            self._unplugged()

    def close(self) -> None:
        if self._descriptor < 0:
            return
        if self._waiting is not None:
            self._waiting.cancel()
        else:
            self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self._session.lost()


class TcpListener:
    """Accepts connections at an address, in clear or inside TLS."""

    def __init__(self, accept: Accept) -> None:
        self._accept = accept
        self._server: asyncio.Server | None = None
        self._ends: set[TcpEnd] = set()

    async def start(self, host: str, port: int, *, tls: object = None) -> int:
        """Listens; the port that it got, if 0 was asked for.

        Raises:
            OSError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._made, host, port, ssl=tls, reuse_address=True)  # type: ignore[call-overload]
        return int(self._server.sockets[0].getsockname()[1])

    def _made(self) -> TcpEnd:
        return TcpEnd(self._session)

    def _session(self, end: End) -> Session:
        assert isinstance(end, TcpEnd)
        self._ends.add(end)
        session = self._accept(end)
        return _Counted(session, lambda: self._ends.discard(end))

    def cut(self, *, reset: bool = True) -> None:
        """Ends every connection."""
        for end in list(self._ends):
            if reset:
                end.reset()
            else:
                end.close()

    async def close(self) -> None:
        """Stops listening and drops every connection."""
        if self._server is None:
            return
        self._server.close()
        # One turn of the loop, so that connections accepted just now are among those to drop.
        await asyncio.sleep(0)
        self.cut()
        await self._server.wait_closed()
        self._server = None


class _Counted:
    """A session that tells when it is over."""

    def __init__(self, session: Session, over: Callable[[], None]) -> None:
        self.received = session.received
        self._lost = session.lost
        self._over = over

    def lost(self) -> None:
        self._over()
        self._lost()


class SerialLine:
    """A pair of pseudo-terminals whose far side stands at a path, as a serial port would."""

    def __init__(self, path: Path, accept: Accept, *, replug_s: float = 0.5) -> None:
        """Takes the path that a link of the end at `path` names.

        Args:
            path: Where the port is found; must not exist, or be the left-over of an earlier one.
            accept: Makes the session, anew each time it is plugged in.
            replug_s: How long it stays away when it has been reset.
        """
        self.path = path
        self._accept = accept
        self._replug_s = replug_s
        self._end: SerialEnd | None = None
        self._target = ""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def plug(self) -> None:
        """Makes the port.

        Raises:
            EndError: something else stands at the path, or the folder cannot be written.
        """
        _refuse_real(self.path)
        ours, theirs = pty.openpty()
        try:
            tty.setraw(theirs, termios.TCSANOW)
            self._target = os.ttyname(theirs)
            _link(self.path, self._target)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        self._end = SerialEnd(ours, self._accept, self._unplugged, self._absent)

    def unplug(self) -> None:
        """Takes the port away, for `replug_s`."""
        if self._end is not None:
            self._end.reset()

    def close(self) -> None:
        """Takes the port away for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._remove()
        if self._end is not None:
            self._end.close()
            self._end = None

    def _absent(self) -> None:
        """A pseudo-terminal stays locked when whoever had it for himself was killed; a real port does not."""
        try:
            os.close(os.open(self._target, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            locked, self._end = self._end, None
            self.plug()
            if locked is not None:
                locked.close()

    def _unplugged(self) -> None:
        self._remove()
        self._end = None
        self._timer = self._loop.call_later(self._replug_s, self.plug)

    def _remove(self) -> None:
        with suppress(OSError):
            if str(self.path.readlink()) == self._target:
                self.path.unlink()


def _refuse_real(path: Path) -> None:
    """What is there already may be a real port, or somebody's file."""
    if path.is_symlink():
        target = path.readlink()
        if str(target).startswith("/dev/pts/"):
            return
        raise EndError(f"{path} is a link to {target}, not the left-over of a simulated port; name another path")
    if path.exists():
        what = "a real device" if stat.S_ISCHR(path.stat().st_mode) else "a file"
        raise EndError(f"{path} is {what}: a simulated port is made only where nothing is; name another path")


def _link(path: Path, target: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.symlink_to(target)
        fresh.replace(path)
    except OSError as error:
        raise EndError(
            f"cannot make the serial port {path}: {error.strerror}; name a path in a folder that you may write"
        ) from error


async def connect(host: str, port: int, accept: Accept) -> None:
    """Opens a TCP connection.

    Raises:
        OSError: nobody listens there.
    """
    await asyncio.get_running_loop().create_connection(lambda: TcpEnd(accept), host, port)


def open_serial(path: Path, accept: Accept, unplugged: Callable[[], None]) -> SerialEnd:
    """Opens a serial port that is there.

    Raises:
        OSError: it is not there, or may not be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        tty.setraw(descriptor, termios.TCSANOW)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, termios.error):
            raise OSError(error.args[0], f"{path} is no serial port") from error
        raise
    return SerialEnd(descriptor, accept, unplugged)
