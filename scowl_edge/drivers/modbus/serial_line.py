"""A serial port as a transport of the event loop: set raw, held by nobody else, gone when it is unplugged."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import termios
from typing import Any

from scowl_edge.devices.declaration import Parity, SerialLine
from scowl_edge.drivers.errors import LinkLost

_DATA_BITS = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}
_READ_MOST = 4096
_REASONS = {
    errno.ENOENT: "there is no such port; is the adapter plugged in, is the path right?",
    errno.ENXIO: "the port is there but nothing is behind it; is the adapter plugged in?",
    errno.ENODEV: "the port is there but nothing is behind it; is the adapter plugged in?",
    errno.EIO: "the port does not work; is the adapter plugged in?",
    errno.EACCES: "not permitted; the user that this runs as must be in the port's group (dialout on Debian)",
    errno.EPERM: "not permitted; under systemd the unit must allow the device (DeviceAllow=)",
    errno.EBUSY: "another program holds the port; only one can use it",
}


def open_port(line: SerialLine) -> int:
    """Opens and sets a serial port.

    Returns:
        Its file descriptor, not blocking, with nothing in its buffers.

    Raises:
        LinkLost: it is not there, not permitted, held by another, or cannot be set so; says what to do.
    """
    what = f"open serial port {line.device}"
    try:
        fd = os.open(line.device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise LinkLost(_REASONS.get(error.errno or 0, str(error.strerror)), sent=False, what=what) from None
    try:
        # The lock for root, whom TIOCEXCL does not keep out.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _set(fd, line)
        fcntl.ioctl(fd, termios.TIOCEXCL)
        termios.tcflush(fd, termios.TCIOFLUSH)
    except BlockingIOError:
        os.close(fd)
        raise LinkLost(_REASONS[errno.EBUSY], sent=False, what=what) from None
    except termios.error as error:
        os.close(fd)
        code = error.args[0]
        reason = "this is no serial port" if code == errno.ENOTTY else f"it cannot be set so: {error.args[-1]}"
        raise LinkLost(_REASONS.get(code, reason), sent=False, what=what) from None
    except (OSError, ValueError) as error:
        os.close(fd)
        raise LinkLost(f"it cannot be set so: {error}", sent=False, what=what) from None
    return fd


def _set(fd: int, line: SerialLine) -> None:
    """Raw, with the line's speed and character."""
    speed = getattr(termios, f"B{line.baud}", None)
    if speed is None or line.data_bits not in _DATA_BITS:
        raise ValueError(f"{line.baud} baud with {line.data_bits} data bits is not offered by this system")
    control = termios.CREAD | termios.CLOCAL | _DATA_BITS[line.data_bits]
    if line.parity is not Parity.NONE:
        control |= termios.PARENB | (termios.PARODD if line.parity is Parity.ODD else 0)
    if line.stop_bits == 2:
        control |= termios.CSTOPB
    # A character with a wrong parity is dropped, and the frame's check sum then fails.
    accept = termios.INPCK if line.parity is not Parity.NONE else 0
    characters = termios.tcgetattr(fd)[6]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSANOW, [accept, 0, control, 0, speed, speed, characters])


class SerialTransport(asyncio.Transport):
    """A serial port, read and written without a thread. `write` takes one frame at a time; they are short."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop = loop
        self._fd = fd
        self._protocol = protocol
        self._unsent = b""
        loop.add_reader(fd, self._read)
        protocol.connection_made(self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`fd`: the file descriptor."""
        return self._fd if name == "fd" else default

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._fd < 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends bytes, in the background what the port does not take at once."""
        if self._fd < 0:
            return
        if not self._unsent:
            self._loop.add_writer(self._fd, self._flush)
        self._unsent += bytes(data)
        self._flush()

    def close(self) -> None:
        """Closes at once; `connection_lost` follows."""
        self._shut(None)

    def abort(self) -> None:
        """As `close`."""
        self._shut(None)

    def _flush(self) -> None:
        if self._fd < 0:
            return
        try:
            self._unsent = self._unsent[os.write(self._fd, self._unsent) :]
        except BlockingIOError:
            return
        except OSError as error:
            self._shut(error)
            return
        if not self._unsent:
            self._loop.remove_writer(self._fd)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_MOST)
        except BlockingIOError:
            return
        except OSError as error:
            self._shut(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._shut(OSError(errno.EIO, "the port was unplugged"))

    def _shut(self, error: OSError | None) -> None:
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        self._loop.remove_reader(fd)
        self._loop.remove_writer(fd)
        try:
            fcntl.ioctl(fd, termios.TIOCNXCL)
            termios.tcflush(fd, termios.TCIOFLUSH)
        except (OSError, termios.error):
            # It was unplugged.
            pass
        os.close(fd)
        if error is not None and error.errno == errno.EIO:
            error = OSError(errno.EIO, "the port was unplugged")
        self._loop.call_soon(self._protocol.connection_lost, error)
