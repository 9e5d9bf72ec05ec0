"""A Modbus server that others wrote, in a process of its own, and what it says of itself in text."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class TextPeer:
    """The running server. It prints where it listens, then answers each line with one line."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Starts it and waits until it listens."""
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
        )
        words = self._read().split()
        assert words, f"{command[0]} ended with status {self._process.wait(timeout=60)}"
        self.ports = {word: int(number) for word, number in zip(words[::2], words[1::2], strict=True)}
        """TCP ports by what is spoken there."""

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

    def writes(self) -> int:
        """Write requests that it has answered."""
        return int(self._say("writes"))

    def kill(self) -> None:
        """Ends it without a word to anybody."""
        self._process.kill()
        self._process.wait(timeout=60)

    def close(self) -> None:
        """Ends it and takes its status."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()
