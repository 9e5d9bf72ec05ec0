"""The installed commands as processes of their own, and what a stranger sees of them: HTTP, registers, exit codes."""

from __future__ import annotations

import json
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from asyncua.sync import Client

EXAMPLES = Path(__file__).parents[2] / "examples"
COMMAND = (sys.executable, "-m", "scowl_edge.cli")
TOKEN = "a-token-of-these-tests"
START_S = 90.0
"""Longest start of a process on a busy machine, and whatever else happens soon: it costs nothing if all is well."""
_ANSWER_S = 60.0
_LOOK_AGAIN_S = 0.02
_TO_BASE = {"kW": 1e3, "MW": 1e6, "%": 0.01, "mA": 1e-3, "kWh": 1e3}


def wait_for(reached: Callable[[], object], within_s: float, what: str) -> Any:
    """The first truthy answer. Fails with `what`, and what was seen last, after so many seconds of wall time."""
    until = time.monotonic() + within_s
    while True:
        seen = reached()
        if seen:
            return seen
        assert time.monotonic() < until, f"not within {within_s:g} s: {what}; last seen: {seen!r}"
        time.sleep(_LOOK_AGAIN_S)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on; all are found before the first is given back."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def copy_of(example: str, directory: Path, *, token: bool = True) -> Path:
    """An example on free ports, with its journal in `directory` and a token for orders; all else is as it was."""
    text = (EXAMPLES / f"{example}.yaml").read_text()
    place = re.compile(r"(?<=\bport: )\d+|(?<=127\.0\.0\.1:)\d+")
    ports = iter(free_ports(len(place.findall(text))))
    text = place.sub(lambda _: str(next(ports)), text)
    text, journals = re.subn(r"path: [\w.-]+\.db", f"path: {directory / 'journal.db'}", text)
    assert journals == 1
    if token:
        (directory / "token").write_text(TOKEN + "\n")
        text, places = re.subn(r"(http: \{listen: [\d.:]+)\}", rf"\1, token: {{file: {directory / 'token'}}}}}", text)
        assert places == 1
    file = directory / f"{example}.yaml"
    file.write_text(text)
    return file


def edit(file: Path, changes: Mapping[str, str]) -> None:
    """Replaces pieces of a configuration; each must be there."""
    text = file.read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    file.write_text(text)


class Http:
    """One address that speaks HTTP; the connection is kept."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = HTTPConnection(str(urlsplit(url).hostname), int(urlsplit(url).port or 80), timeout=_ANSWER_S)

    def ask(
        self, path: str, body: object = None, headers: Mapping[str, str] | None = None, method: str = ""
    ) -> tuple[int, str, bytes]:
        """(status, content type, body); OSError or HTTPException if nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        own = {} if data is None else {"Content-Type": "application/json"}
        try:
            self._connection.request(
                method or ("GET" if data is None else "POST"), path, data, {**own, **(headers or {})}
            )
            answer = self._connection.getresponse()
            return answer.status, answer.headers.get_content_type(), answer.read()
        except (OSError, HTTPException):
            self._connection.close()
            raise

    def get(self, path: str) -> Any:
        """The JSON of an answer 200."""
        status, _, body = self.ask(path)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def post(self, path: str, body: object) -> Any:
        """The JSON of an answer 2xx."""
        status, _, answer = self.ask(path, body)
        assert status // 100 == 2, (path, status, answer)
        return json.loads(answer)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


class Running:
    """One process of ours; its standard error goes into a file."""

    def __init__(self, arguments: Sequence[str], log: Path, cwd: Path | None = None) -> None:
        self.log = log
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1, cwd=cwd
            )

    def line(self, pattern: str) -> re.Match[str]:
        """The first line on standard output that fits."""
        assert self.process.stdout is not None
        for text in self.process.stdout:
            found = re.fullmatch(pattern, text.rstrip("\n"))
            if found:
                return found
        self.process.wait(timeout=START_S)
        raise AssertionError(f"ended with {self.process.returncode}: {self.errors()[-2000:]}")

    def errors(self) -> str:
        """What it said on standard error."""
        return self.log.read_text()

    def end(self, number: signal.Signals, within_s: float) -> int:
        """Sends a signal and waits; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=within_s)

    def close(self) -> None:
        """Whatever it does now, it ends."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=START_S)
        if self.process.stdout is not None:
            self.process.stdout.close()


class Daemon(Running):
    """`scowl-edge run`."""

    def __init__(self, file: Path, log: Path, rate: int) -> None:
        super().__init__(["run", str(file), "--clock-rate", str(rate)], log)
        self.http = Http("http://" + yaml.safe_load(file.read_text())["http"]["listen"])

    def is_ready(self) -> bool:
        """Whether it has done its first step and tried every link."""
        try:
            return self.http.ask("/readyz")[0] == 200
        except (OSError, HTTPException):
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.errors()[-2000:]}"
            return False

    def ready(self) -> Http:
        """Where it answers, once it does."""
        wait_for(self.is_ready, START_S, "the daemon is ready")
        return self.http

    def close(self) -> None:
        self.http.close()
        super().close()


class Simulation(Running):
    """`scowl-edge simulator`."""

    def __init__(self, file: Path, log: Path, rate: int) -> None:
        super().__init__(["simulator", str(file), "--clock-rate", str(rate)], log)
        self.control = Http(self.line(r"control: (http://[\d.:]+)").group(1))

    def now_ms(self) -> int:
        """The plant's time."""
        return int(self.control.get("/clock")["now_ms"])

    def writes(self) -> list[dict[str, Any]]:
        """Every write that a device acknowledged, in order."""
        return list(self.control.get("/writes"))

    def close(self) -> None:
        self.control.close()
        super().close()


class Eyes:
    """Registers and nodes of any device as mbpoll and asyncua's client read them, worked out by what the configuration
    says and by nothing of ours."""

    def __init__(self, program: str, file: Path) -> None:
        self._program = program
        self._document: dict[str, Any] = yaml.safe_load(file.read_text())

    def read(self, device: str, point: str) -> float:
        """A value in base units, after scale, as a person with the device's manual would work it out."""
        declared = self._document["devices"][device]
        said = declared["points"][point]
        if "node" in said:
            return self._worked_out(said, self._value(declared, said))
        table = said.get("table", "holding")
        if table in ("coil", "discrete"):
            return float(self._poll(declared, "0" if table == "coil" else "1", said["address"], 1)[0])
        kind = said.get("type", "uint16")
        size = {"16": 2, "32": 4, "64": 8}[kind[-2:]]
        words = self._poll(declared, "4:hex" if table == "holding" else "3:hex", said["address"], size // 2)
        raw = b"".join(bytes.fromhex(word[2:]) for word in words)
        order = said.get("order", "ABCDEFGH")[: max(size, 2)] if size > 2 else "AB"
        plain = bytes(raw[order.index(letter)] for letter in "ABCDEFGH"[:size])
        if kind.startswith("float"):
            number = float(struct.unpack(">f" if size == 4 else ">d", plain)[0])
        else:
            number = float(int.from_bytes(plain, "big", signed=kind.startswith("int")))
        if "scale_factor" in said:
            number *= 10.0 ** self.read(device, said["scale_factor"])
        return self._worked_out(said, number)

    @staticmethod
    def _worked_out(said: Mapping[str, Any], number: float) -> float:
        number = number * said.get("scale", 1) + said.get("offset", 0)
        return number * _TO_BASE.get(said.get("unit", ""), 1.0)

    def _value(self, declared: dict[str, Any], said: dict[str, Any]) -> float:
        endpoint = str(self._document["links"][declared["link"]]["endpoint"])
        space, _, identifier = str(said["node"]).rpartition(";")
        client = Client(endpoint, timeout=_ANSWER_S)
        client.aio_obj.session_timeout = 60_000  # as much as the server grants
        with client:
            if space.startswith("nsu="):
                space = f"ns={client.get_namespace_index(space.removeprefix('nsu='))}"
            value = client.get_node(f"{space};{identifier}").read_value()
        return float(value[said["index"]] if "index" in said else value)

    def _poll(self, declared: dict[str, Any], table: str, address: int, count: int) -> list[str]:
        link = self._document["links"][declared["link"]]
        command = [self._program, "-1", "-q", "-0", "-o", "2", "-p", str(link["port"]), "-a", str(declared["unit"])]
        command += ["-t", table, "-r", str(address), "-c", str(count), link["host"]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return re.findall(r"^\[\d+\]:\s+(\S+)", done.stdout, re.MULTILINE)

    def rated_w(self, device: str) -> float:
        """What its role is rated for."""
        return plain(self._document["devices"][device]["role"]["rated"])

    def section(self, *keys: str) -> Any:
        """A piece of the configuration."""
        found: Any = self._document
        for key in keys:
            found = found[key]
        return found

    def kind(self, kind: str) -> list[str]:
        """Devices of a kind."""
        return [name for name, said in self._document["devices"].items() if said["role"]["kind"] == kind]

    def link(self, device: str) -> str:
        """Its link."""
        return str(self._document["devices"][device]["link"])

    def devices(self, point: str) -> list[str]:
        """Devices that have such a point."""
        return [name for name, said in self._document["devices"].items() if point in said["points"]]


def plain(text: str) -> float:
    """`5 kW` -> 5000, `30 A` -> 30, `500 ms` -> 0.5: a quantity of a configuration in base units."""
    number, unit = text.split()
    return float(number) * {**_TO_BASE, "ms": 1e-3, "W": 1.0, "A": 1.0, "s": 1.0}[unit]


def metrics_of(http: Http) -> dict[str, float]:
    """`/metrics` as series -> value."""
    status, _, body = http.ask("/metrics")
    assert status == 200
    lines = (line.rpartition(" ") for line in body.decode().splitlines() if line and not line.startswith("#"))
    return {series: float(value) for series, _, value in lines}


@dataclass
class Site:
    """One configuration, its simulation and its daemon, at one clock rate."""

    file: Path
    rate: int
    running: list[Running] = field(default_factory=list)
    journal_path: Path | None = None
    """Where its journal lies, if not beside the configuration."""

    @property
    def directory(self) -> Path:
        """Where everything of this site lies."""
        return self.file.parent

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.journal_path or self.directory / "journal.db"

    def simulate(self) -> Simulation:
        """Starts the devices; returns when all of them listen."""
        simulation = Simulation(self.file, self.directory / "simulator.log", self.rate)
        self.running.append(simulation)
        return simulation

    def daemon(self) -> Daemon:
        """Starts the daemon; does not wait for it."""
        daemon = Daemon(self.file, self.directory / "daemon.log", self.rate)
        self.running.append(daemon)
        return daemon

    def replay(self) -> subprocess.CompletedProcess[str]:
        """`scowl-edge replay` on the journal."""
        return call("replay", str(self.journal))

    def close(self) -> None:
        """Ends what was started here, last first."""
        for each in reversed(self.running):
            each.close()


def call(*arguments: str, within_s: float = START_S) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=within_s, check=False)


def settled(http: Http, device: str) -> bool:
    """Whether what was written to a device is read back, or nothing was."""
    states = {actuator["state"] for actuator in http.get(f"/api/v1/devices/{device}")["actuators"]}
    return states <= {"idle", "confirmed", "effective", "holding"}


def order(http: Http, path: str, mode: str, *, token: str = TOKEN) -> int:
    """Posts an order of mode; the status."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return http.ask(path, {"mode": mode, "who": "a test", "why": "to see what happens"}, headers)[0]


Sites = Callable[..., Site]
"""Makes sites from copies of the examples, see the fixture `site`."""
