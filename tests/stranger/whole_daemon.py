"""The daemon as a process of its own, and what it tells over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from libmodbus_peer import Peer

TOKEN = "the-token-of-a-stranger"
SOON_S = 90
"""Longest wait for what happens soon: it costs nothing if all is well, and a busy machine takes its time."""


def wait_for(reached: Callable[[], object], within_s: float, what: str) -> Any:
    """The first truthy answer; fails with `what` after so many seconds."""
    until = time.monotonic() + within_s
    while True:
        seen = reached()
        if seen:
            return seen
        assert time.monotonic() < until, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)


class WholeDaemon:
    """`scowl-edge run` on a configuration."""

    def __init__(self, text: str, directory: Path) -> None:
        """Writes the file with its token and journal into `directory` and starts; returns when every link was tried."""
        (directory / "token").write_text(TOKEN + "\n")
        self.file = directory / "site.yaml"
        text = text.replace("TOKEN", str(directory / "token")).replace("JOURNAL", str(directory / "journal.db"))
        self.file.write_text(text)
        self._log = directory / "daemon.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "scowl_edge.cli", "run", str(self.file)],
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.errors()
        wait_for(lambda: self._ask("/readyz")[0] == 200, SOON_S, "the daemon is ready")

    def errors(self) -> str:
        """What it said on standard error."""
        return self._log.read_text()

    def _ask(self, path: str, order: object = None) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        body = None if order is None else json.dumps(order).encode()
        try:
            with urlopen(Request(self.url + path, body, headers if body else {}), timeout=SOON_S) as answer:
                return answer.status, answer.read()
        except HTTPError as refused:
            with refused:
                return refused.code, refused.read()

    def get(self, path: str) -> Any:
        """The JSON at `/api/v1/...`."""
        status, body = self._ask(f"/api/v1/{path}")
        assert status == 200, (path, status, body)
        return json.loads(body)

    def order(self, path: str, mode: str) -> None:
        """Orders a mode."""
        self._order(path, mode=mode)

    def value(self, path: str, verb: str, value: int) -> None:
        """Orders a value."""
        self._order(path, verb=verb, value=value)

    def _order(self, path: str, **what: object) -> None:
        status, body = self._ask(f"/api/v1/{path}", {**what, "who": "a stranger", "why": "to see what happens"})
        assert status // 100 == 2, (path, what, status, body)

    def point(self, device: str, point: str) -> dict[str, Any]:
        """One point."""
        answer: dict[str, Any] = self.get(f"devices/{device}/points/{point}")
        return answer

    def actuators(self, device: str) -> dict[str, dict[str, Any]]:
        """Verb -> target, confirmed, state ..."""
        return {each["verb"]: each for each in self.get(f"devices/{device}")["actuators"]}

    def alarms(self) -> dict[str, dict[str, Any]]:
        """Key -> alarm."""
        return {each["key"]: each for each in self.get("alarms")["alarms"]}

    def metrics(self) -> dict[str, float]:
        """Series -> value."""
        status, body = self._ask("/metrics")
        assert status == 200
        lines = (line.rpartition(" ") for line in body.decode().splitlines() if line and not line.startswith("#"))
        return {series: float(value) for series, _, value in lines}

    def metric_of(self, device: str, point: str) -> float | None:
        """`scowl_point_value` of a point; None while absent."""
        start = f'scowl_point_value{{device="{device}",point="{point}",unit='
        return next((value for series, value in self.metrics().items() if series.startswith(start)), None)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=SOON_S)

    def close(self) -> None:
        """Whatever it does, it ends."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(timeout=SOON_S)
        if self._process.stdout is not None:
            self._process.stdout.close()


Start = Callable[..., tuple[Peer, WholeDaemon]]
"""Takes devices, and lines of the configuration for the site and for its link."""
