"""A street, its three managers and their provider as processes of their own, and the meters that a stranger reads."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any

from black_box import COMMAND, TOKEN, Http, Running, wait_for
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from street_limits import Sample, Watch

from scowl_edge.clocks import RateClock, SystemClock
from scowl_edge.issuing import Issuer

RATE = int(os.environ.get("SCOWL_FLEX_RATE", "40"))
"""How much faster than the machine all clocks run: at 40, 120 s and all links are lost when it stands still for 3 s."""
HOMES = 12
SEED = 5
MANAGERS = 3
FAILSAFE_W = 600
"""Of each appliance: less than what vehicles, heat pumps and machines take by themselves."""
SOON_S = 120
PERIOD = "5 s"
_LED = ("LIMITED", "UNLIMITED")
_OPEN = ("ACCEPTED", "SCHEDULED", "ACTIVE", "INTERRUPTED")

_DAEMON = """
site: {{id: {name}}}
region: {{mode: auto, period: {period}}}
http: {{listen: "127.0.0.1:{http}", token: {{file: token}}}}
journal: {{path: {name}.db}}
telemetry: {{enabled: false}}
flex:
  listen: {listen}
  tls: {{certificate: {{file: {stem}.pem}}, key: {{file: {stem}.key}}, authority: {{file: authority.pem}}}}
"""
_PROVIDER = """  provider:
    {{node: "dsrsp:grid", failsafe: {{import: {failsafe} W, export: 0 W}}, answer: 60 s, plan_within: 10 min{level}}}
"""
_MANAGER = """  peers: {{grid: {{node: "dsrsp:grid", url: "https://{provider}"}}}}
  manager: {{node: "{node}", provider: grid, appliances: 40, failsafe: {{import: {failsafe} W, export: 0 W}}}}
"""


class Side:
    """One of the two: all its processes, and what its meters showed."""

    def __init__(self, folder: Path, base_port: int, level_kw: int | None) -> None:
        folder.mkdir(parents=True)
        self.folder, self.base_port = folder, base_port
        self.clock = RateClock(RATE, SystemClock())
        self.files: dict[str, Path] = {}
        self.running: dict[str, Running] = {}
        self.now_ms = 0
        """Of the meter, UTC."""
        self.quarters: dict[int, int] = {}
        """Quarter of an hour (its UTC ms) -> what had flowed then, W·ms."""
        self.power_w: dict[str, int] = {}
        """By node, as its meter shows it: manager or appliance."""
        self.watches: dict[str, Watch] = {}
        """By node: limits in force."""
        self.watched: list[dict[str, object]] = []
        """Limits that were in force."""
        self.issuer = Issuer(folder / "authority.pem", folder / "authority.key")
        self.issuer.create("an evening")
        (folder / "token").write_text(TOKEN + "\n")
        level = "" if level_kw is None else f", level: {level_kw} kW"
        self._file("grid", "dsrsp:grid", 0, _PROVIDER.format(level=level, failsafe=FAILSAFE_W), "0.0.0.0")
        for i in range(MANAGERS):
            node = self.manager(i)
            provider = f"{self.provider_of(i)}:{base_port}"
            self._file(f"house-{i}", node, 1 + i, _MANAGER.format(provider=provider, node=node, failsafe=FAILSAFE_W))
        self.names = ["grid", *(f"house-{i}" for i in range(MANAGERS))]
        self.http = {name: Http(f"http://127.0.0.1:{base_port + 50 + i}") for i, name in enumerate(self.names)}

    def manager(self, i: int) -> str:
        """Node id."""
        return f"cem:house-{i}"

    def provider_of(self, i: int) -> str:
        """The address at which a manager finds the provider: each another, so that one can be cut off."""
        return f"127.0.0.{10 + i}"

    def port(self, i: int) -> int:
        """Where a manager's appliances find it."""
        return self.base_port + 1 + i

    def _file(self, name: str, node: str, offset: int, extra: str, host: str = "127.0.0.1") -> None:
        stem = node.replace(":", "-")
        self.issuer.issue(node, (), self.folder / f"{stem}.pem", self.folder / f"{stem}.key", node=node)
        text = _DAEMON.format(
            name=name, http=self.base_port + 50 + offset, listen=f"{host}:{self.base_port + offset}", stem=stem,
            period=PERIOD,
        )  # fmt: skip
        self.files[name] = self.folder / f"{name}.yaml"
        self.files[name].write_text(text + extra)

    # Processes

    def checked(self, name: str) -> list[str]:
        """What `scowl-edge check --cost` says of a configuration."""
        done = subprocess.run(
            [*COMMAND, "check", "--cost", self.files[name].name],
            cwd=self.folder, capture_output=True, text=True, timeout=SOON_S, check=True,
        )  # fmt: skip
        return done.stdout.splitlines()

    def start(self, name: str) -> None:
        """Starts a daemon; does not wait for it."""
        self.running[name] = Running(
            ["run", self.files[name].name, "--clock-rate", str(RATE)], self.folder / f"{name}.log", cwd=self.folder
        )

    def ready(self, name: str) -> None:
        """Returns when a daemon is ready."""
        wait_for(lambda: self.is_ready(name), SOON_S, f"{name} is ready")

    def is_ready(self, name: str) -> bool:
        """Whether a daemon says that it is."""
        running = self.running[name]
        assert running.process.poll() is None, running.errors()[-2000:]
        try:
            return self.http[name].ask("/readyz")[0] == 200
        except (OSError, HTTPException):
            return False

    def start_street(self, midnight: datetime) -> None:
        """Starts the street; does not wait for it."""
        options = [
            "simulator", "appliances", "--homes", str(HOMES), "--seed", str(SEED), "--authority", str(self.folder),
            "--clock-rate", str(RATE), "--meter", f"127.0.0.1:{self.base_port + 90}",
            "--control", f"127.0.0.1:{self.base_port + 91}", "--failsafe", str(FAILSAFE_W),
            "--midnight", midnight.strftime("%Y-%m-%dT%H:%M:%S"),
        ]  # fmt: skip
        for i in range(MANAGERS):
            options += ["--manager", self.manager(i), "--url", f"https://127.0.0.1:{self.port(i)}"]
        self.running["street"] = Running(options, self.folder / "street.log")

    def connect(self) -> None:
        """To the street's ports; returns when it lives."""
        street = self.running["street"]
        self.reaction = street.line(r"reaction: .*").group()
        self.appliances = int(street.line(r"appliances: (\d+)").group(1))
        self.control = Http(f"http://127.0.0.1:{self.base_port + 91}")
        self.modbus = ModbusTcpClient("127.0.0.1", port=self.base_port + 90, timeout=30)
        assert self.modbus.connect()
        found = self.truth()["appliances"]
        self.below = {
            i: sorted(e for e, one in found.items() if one["manager"] == self.manager(i)) for i in range(MANAGERS)
        }

    def end(self) -> None:
        """Ends everything in order: the books' keeper last."""
        for name in ("street", *reversed(self.names)):
            running = self.running.pop(name, None)
            if running is not None and running.process.poll() is None:
                running.end(signal.SIGTERM, SOON_S)
                running.close()

    def kill(self) -> None:
        """Whatever still runs."""
        for running in self.running.values():
            running.close()

    # Meters

    def sample(self, lost_ms: int) -> int:
        """Reads the meters, whose clock it gives; `lost_ms` is what the machine took so far."""
        _, _, _, self.now_ms, quarter_ms, quarter_wms = struct.unpack(">iQQQQq", self._read(1, 22))
        if quarter_ms:
            self.quarters[quarter_ms] = quarter_wms
        for i, below in self.below.items():
            count = 22 + 2 * len(below)
            shown = struct.unpack(f">iQQQQq{len(below)}i", self._read(2 + i, count))
            self.power_w |= {self.manager(i): shown[0], **dict(zip(below, shown[6:], strict=True))}
            for node in (self.manager(i), *below):
                if node in self.watches:
                    self.watches[node].look(Sample(shown[3], self.power_w[node], lost_ms))
        return self.now_ms

    def _read(self, unit: int, count: int) -> bytes:
        """The first so many registers of a meter."""
        try:
            answer = self.modbus.read_input_registers(0, count=count, device_id=unit)
        except ModbusException as error:
            street = self.running["street"]
            raise AssertionError(f"meter {unit}: {error}; street: {street.process.poll()} {street.errors()}") from error
        assert not answer.isError(), answer
        return struct.pack(f">{count}H", *answer.registers)

    def watch(self, node: str, limit_w: int, name: str, lost_ms: int) -> Watch:
        """From now on a limit is in force: of a manager's appliances together, or of one."""
        self.watches[node] = Watch(
            name=name, limit_w=limit_w, since_ms=self.clock.utc_ms(), lost_ms=lost_ms, bound_w=self.power_w[node]
        )
        return self.watches[node]

    def unwatch(self, nodes: list[str], lost_ms: int) -> None:
        """Limits are no longer in force."""
        for node in nodes:
            watch = self.watches.pop(node)
            watch.end_excursion(Sample(self.now_ms, self.power_w[node], lost_ms))
            self.watched.append(watch.told())

    # What is known

    def truth(self) -> dict[str, Any]:
        """What the appliances really do."""
        found: dict[str, Any] = _asked(self.control, "/truth")
        return found

    def flex(self, name: str) -> dict[str, Any]:
        """What a daemon shows of its part."""
        found: dict[str, Any] = _asked(self.http[name], "/api/v1/flex")["flex"]
        return found

    def order_limit(self, **order: object) -> None:
        """The provider is to bound a site or an appliance."""
        body = {**order, "who": "a test", "why": "a busy evening"}
        # One that was idle for long may just be closed, and nobody wants an order twice.
        self.http["grid"].close()
        status, _, said = self.http["grid"].ask("/api/v1/flex/limit", body, {"Authorization": f"Bearer {TOKEN}"})
        assert status // 100 == 2, (status, said)

    def members(self, i: int) -> dict[str, Any]:
        """Truth of a manager's appliances."""
        found = self.truth()["appliances"]
        return {e: found[e] for e in self.below[i]}

    def led(self, i: int) -> bool:
        """Whether a manager hears its provider, and all its appliances hear the manager."""
        if self.flex(f"house-{i}")["site_limit_state"] not in _LED:
            return False
        return all(one["up"] and one["limits"] in _LED for one in self.members(i).values())

    def open(self, i: int, state: str = "") -> dict[str, list[str]]:
        """Appliances of a manager -> what is selected of them and has not ended, or is in a state."""
        wanted = (state,) if state else _OPEN
        found = {e: [s for s, (now, _) in one["selections"].items() if now in wanted] for e, one in
                 self.members(i).items()}  # fmt: skip
        return {e: ids for e, ids in found.items() if ids}

    def copies_equal(self, i: int) -> bool:
        """Whether the provider knows what stands of the selections of a manager's appliances."""
        listed = _asked(self.http["grid"], "/api/v1/flex/selections")["selections"]
        known = {each["select_id"]: each["state"] for each in listed}
        held = {s: state for one in self.members(i).values() for s, (state, _) in one["selections"].items()}
        # What has ended has ended for both, though one may call an end that nobody answered otherwise.
        open_there = {s: state for s, state in held.items() if state in _OPEN}
        open_here = {s: state for s, state in known.items() if s in held and state in _OPEN}
        return open_there == open_here


def _asked(http: Http, path: str) -> Any:
    """The answer; servers may close a connection that was idle just when it is used again."""
    try:
        return http.get(path)
    except (OSError, HTTPException):
        return http.get(path)
