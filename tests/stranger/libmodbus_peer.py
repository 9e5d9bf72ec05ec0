"""The server on libmodbus and the client mbpoll, as a test speaks to them."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path


class Peer:
    """The running server."""

    def __init__(self, program: Path, port: int = 0, units: int = 0) -> None:
        """Port 0 is any free one; with units, each has registers of its own and others are refused."""
        command = [str(program), str(port), str(units)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        word, number = self._read().split()
        assert word == "port"
        self.port = int(number)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _say(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        return self._read()

    def put(self, table: str, type_: str, order: str, address: int, value: float | str) -> None:
        """Lets the server lay a value out by its own means."""
        text = value if isinstance(value, str) else repr(value)
        assert self._say(f"put {table} {type_} {order} {address} {text}") == "ok"

    def get(self, table: str, type_: str, order: str, address: int) -> float:
        """What the server itself takes to lie there."""
        answer = self._say(f"get {table} {type_} {order} {address}")
        return float(answer) if type_.startswith("float") else int(answer)

    def tell(self, *lines: str) -> None:
        """What it answers with `ok`; the lines are explained at the top of its source."""
        for line in lines:
            assert self._say(line) == "ok", line

    def show(self, name: str) -> float:
        """The value of a place that was named before, as the server itself decodes and scales it."""
        return float(self._say(f"show {name}"))

    def writes(self) -> int:
        """Write requests that it has answered."""
        return int(self._say("writes"))

    def kill(self) -> None:
        """Ends it without a word to anybody."""
        self._process.kill()
        self._process.wait(timeout=10)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=10)
        self._process.stdout.close()


class Mbpoll:
    """A client that is neither ours nor Python."""

    def __init__(self, program: str, port: int, unit: int = 1) -> None:
        self._command = [program, "-1", "-q", "-0", "-o", "2", "-p", str(port), "-a", str(unit)]

    def _run(self, table: str, address: int, *options: str, values: tuple[str, ...] = ()) -> str:
        command = [*self._command, "-t", table, "-r", str(address), *options, "127.0.0.1"]
        if values:
            command += ["--", *values]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
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
