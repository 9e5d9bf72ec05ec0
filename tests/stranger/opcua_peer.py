"""An OPC-UA server that is neither ours nor Python: node-opcua, installed once into the checkout's cache, and run.

A `Peer` is asked for its own truth, and made to misbehave.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node_peer import node_modules, node_program

HERE = Path(__file__).parent
PACKAGE = "node-opcua@2"
USER, PASSWORD = "edge", "open sesame"
POLICIES = ("None", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")


@functools.cache
def installed() -> Path:
    """The folder that has node-opcua, beside which a script finds it; filled once, by one process at a time."""
    return node_modules(PACKAGE).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def most_attempts(within_s: float) -> int:
    """How often a link may try what only a person can mend: pauses of 2, 4 ... 30 s, each shorter by up to a fifth."""
    attempts, pause_s = 1, 2.0
    while within_s > 0:
        attempts, within_s, pause_s = attempts + 1, within_s - 0.8 * pause_s, min(2 * pause_s, 30.0)
    return attempts


class Peer:
    """One running server."""

    def __init__(self, port: int = 0, pki: Path | None = None, **options: Any) -> None:
        """Options are those of the server's script; policies default to all, modes to all."""
        self._folder = tempfile.TemporaryDirectory(prefix="opcua-peer-") if pki is None else None
        self.pki = pki or Path(self._folder.name if self._folder else "") / "pki"
        self.port = port or free_port()
        self.options = {"policies": list(POLICIES), "modes": ["None", "Sign", "SignAndEncrypt"], **options}
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/site"

    def start(self) -> None:
        """Starts it on the same port, with the same certificates, as before."""
        script = installed() / "opcua_server.mjs"  # beside node_modules, where the interpreter looks for packages
        source = HERE / "opcua_server.mjs"
        if not script.exists() or script.read_bytes() != source.read_bytes():
            part = script.with_suffix(f".{os.getpid()}")
            shutil.copyfile(source, part)
            part.replace(script)
        options = {**self.options, "port": self.port, "pki": str(self.pki)}
        self._process = subprocess.Popen(
            [str(node_program()), str(script), json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith('{"control"'):
                self._control = int(json.loads(line)["control"])
                return
        raise AssertionError(f"node-opcua did not start: exit {self._process.wait()}")

    def kill(self) -> None:
        """Ends it without a word to anybody."""
        assert self._process is not None
        self._process.kill()
        self._end()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.kill()
            self._end()
        if self._folder is not None:
            self._folder.cleanup()

    def _end(self) -> None:
        assert self._process is not None
        self._process.wait(timeout=60)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def freeze(self) -> None:
        """Its event loop stands still; the kernel still takes its connections."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _ask(self, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self._control}{path}", data, timeout=60) as answer:
            got: dict[str, Any] = json.load(answer)
            return got

    def state(self) -> dict[str, Any]:
        """What it holds: values, types, calls, writes, sessions, connections, open."""
        return self._ask("/state")

    def value(self, node: str) -> Any:
        return self.state()["values"][node]

    def has_no_session(self, *, or_lapsed: bool = False) -> bool:
        """Whether every client has said farewell, within half of the time in which a session lapses by itself.

        With `or_lapsed` within longer than that: a session whose opening was given up, because its answer came too
        late, is one that nobody can close.
        """
        until = time.monotonic() + (90 if or_lapsed else 30)
        while self.state()["open"]:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def calls(self) -> Sequence[Any]:
        """Method calls it was given, in order: [name, arguments]."""
        return list(self.state()["calls"])

    def reset(self) -> None:
        """Its scalars are as at the start; what it was told is forgotten."""
        self._ask("/reset", {})

    def put(self, node: str, value: Any = None, status: str = "Good") -> None:
        """Its own value changes."""
        self._ask("/set", {"node": node, "status": status, **({} if value is None else {"value": value})})

    def kick(self) -> None:
        """Ends every session."""
        self._ask("/kick", {})

    def hostile(self, on: bool) -> None:
        """Each session is ended 0.2 s after it began."""
        self._ask("/hostile", {"on": on})

    def drop_subscriptions(self) -> None:
        self._ask("/drop-subscriptions", {})

    def mute(self) -> None:
        """Subscriptions of now live on, but bring no news any more."""
        self._ask("/mute", {})

    def limit(self, **limits: int) -> None:
        """Operation limits, enforced from now on."""
        self._ask("/limits", limits)
