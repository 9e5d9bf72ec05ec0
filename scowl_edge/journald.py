"""Entries with fields in the journal of systemd, in its native protocol, with the standard library alone.

`journalctl -u scowl-edge` shows the line, `-o json` or `-o verbose` the fields: `SCOWL_EVENT` and one `SCOWL_...` for
each thing that was said beside it; `journalctl SCOWL_DEVICE=wind-1` finds all about a device.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import threading
from collections.abc import Mapping
from errno import EMSGSIZE, ENOBUFS
from typing import TextIO

import orjson
import structlog
from structlog.types import EventDict

SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = {"critical": 2, "exception": 3, "error": 3, "warning": 4, "notset": 7, "debug": 7}
_INFO = 6
_PATIENCE_S = 0.1
"""How long one line may wait for a busy journal; after that, lines are lost and counted until it takes one again."""
_LONGEST_NAME = 64
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def connected_to_journald(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether systemd connected a stream to its journal: `JOURNAL_STREAM` names the stream's device and inode."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class Journald:
    """The journal's end of the log: a last processor of structlog, and a place to send to."""

    def __init__(self, address: str = SOCKET) -> None:
        self.lost = 0
        """Lines that the journal did not take, since the last that it took."""
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_PATIENCE_S)
        self._lock = threading.Lock()

    def entry(self, logger: object, method: str, event: EventDict) -> str:
        """Sends the event, and ends structlog's chain with it."""
        self.send(event)
        raise structlog.DropEvent

    def logger(self, *_: object) -> Journald:
        """What structlog wraps; nothing reaches it behind `entry`."""
        return self

    def send(self, event: EventDict) -> None:
        """Sends one event as an entry. Never raises, and waits at most 0.1 s."""
        data = encode(fields_of(event))
        with self._lock:
            if self._put(data):
                if self.lost:
                    lost, self.lost = self.lost, 0
                    self._put(encode(fields_of({"event": "log_lines_lost", "level": "warning", "lines": lost})))
                self._socket.settimeout(_PATIENCE_S)
            else:
                self.lost += 1
                self._socket.settimeout(0)

    def close(self) -> None:
        """Sends nothing more."""
        self._socket.close()

    def _put(self, data: bytes) -> bool:
        try:
            self._socket.sendto(data, self._address)
        except OSError as error:
            return error.errno in (EMSGSIZE, ENOBUFS) and self._put_large(data)
        return True

    def _put_large(self, data: bytes) -> bool:
        """What no datagram holds is handed over as a sealed file in memory."""
        try:
            file = os.memfd_create("scowl-edge-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                with os.fdopen(os.dup(file), "wb") as out:
                    out.write(data)
                fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
                # Not socket.send_fds: in Python 3.11 it forgets the address.
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, file.to_bytes(4, sys.byteorder))
                self._socket.sendmsg([b""], [rights], 0, self._address)
            finally:
                os.close(file)
        except OSError:
            return False
        return True


def fields_of(event: Mapping[str, object]) -> dict[str, str]:
    """The fields of an entry: `event` and what was said with it, as a line for people and each for itself."""
    said = {name: value for name, value in event.items() if name not in ("event", "level", "exception", "stack")}
    line = " ".join([str(event.get("event", "")), *(f"{name}={_plain(value)}" for name, value in said.items())])
    behind = [str(event[name]) for name in ("exception", "stack") if event.get(name)]
    fields = {
        "MESSAGE": "\n".join([line, *behind]),
        "PRIORITY": str(_PRIORITIES.get(str(event.get("level", "")), _INFO)),
        "SYSLOG_IDENTIFIER": "scowl-edge",
        "SCOWL_EVENT": str(event.get("event", "")),
    }
    for name, value in said.items():
        fields[_field_name(name)] = value if isinstance(value, str) else _plain(value)
    if behind:
        fields["SCOWL_EXCEPTION"] = "\n".join(behind)
    return fields


def encode(fields: Mapping[str, str]) -> bytes:
    """The wire form: `NAME=value` lines; a value of several lines goes with its length, 64 bit little endian."""
    parts = []
    for name, value in fields.items():
        data = value.encode(errors="backslashreplace")
        if b"\n" in data:
            parts.append(name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n")
        else:
            parts.append(name.encode() + b"=" + data + b"\n")
    return b"".join(parts)


def _field_name(name: str) -> str:
    clean = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.upper())
    return f"SCOWL_{clean}"[:_LONGEST_NAME]


def _plain(value: object) -> str:
    """A value as one word where it is one, else as JSON."""
    if isinstance(value, str) and value and not any(c.isspace() or c in '"=' for c in value):
        return value
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # text that is no Unicode, numbers beyond 64 bits
        return repr(value)
