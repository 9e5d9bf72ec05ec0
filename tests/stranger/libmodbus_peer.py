"""The server on libmodbus and the client mbpoll, as a test speaks to them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from text_peer import TextPeer


class Peer(TextPeer):
    """The running server on libmodbus."""

    def __init__(self, program: Path, port: int = 0, units: int = 0, line: tuple[Path, int] | None = None) -> None:
        """Port 0 is any free one; with units, each has registers of its own and others are refused.

        `line` is a serial port and its baud rate, served as unit 1 beside TCP.
        """
        extra = [str(line[0]), str(line[1])] if line else []
        super().__init__([program, str(port), str(units), *extra])

    @property
    def port(self) -> int:
        """Where it speaks Modbus TCP."""
        return self.ports["port"]

    def tell(self, *lines: str) -> None:
        """What it answers with `ok`; the lines are explained at the top of its source."""
        for line in lines:
            assert self._say(line) == "ok", line

    def show(self, name: str) -> float:
        """The value of a place that was named before, as the server itself decodes and scales it."""
        return float(self._say(f"show {name}"))


class Mbpoll:
    """A client that is neither ours nor Python."""

    def __init__(self, program: str, port: int, unit: int = 1) -> None:
        self._command = [program, "-1", "-q", "-0", "-o", "2", "-p", str(port), "-a", str(unit)]

    def _run(self, table: str, address: int, *options: str, values: tuple[str, ...] = ()) -> str:
        command = [*self._command, "-t", table, "-r", str(address), *options, "127.0.0.1"]
        if values:
            command += ["--", *values]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def read(self, table: str, address: int, count: int, *options: str) -> list[str]:
        """What it prints of each value, without the address."""
        printed = self._run(table, address, "-c", str(count), *options)
        return re.findall(r"^\[\d+\]:\s+(\S+)", printed, re.MULTILINE)

    def registers(self, table: str, address: int, count: int) -> bytes:
        """Registers as the bytes that lay on the wire."""
        number = {"holding": "4", "input": "3"}[table]
        return b"".join(bytes.fromhex(word[2:]) for word in self.read(f"{number}:hex", address, count))

    def write(self, table: str, address: int, *values: float, options: tuple[str, ...] = ()) -> None:
        self._run(table, address, *options, values=tuple(f"{value:g}" for value in values))
