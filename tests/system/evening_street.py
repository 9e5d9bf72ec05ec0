"""Plays an evening in a street twice at once, with and without selection, and writes down what was seen.

    unshare --net python evening_street.py FOLDER HOURS

Everything runs in the network namespace that this runs in, and nothing is there before: so ports are fixed. Each of the
two has a provider and three managers (`scowl-edge run`) and a street (`scowl-edge simulator appliances`). In the one
with selection a link is cut by a packet filter, a manager is killed and started again, and a user takes over.
`FOLDER/seen.json` holds what `test_flex_evening.py` judges.
"""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from black_box import Http, Running, wait_for
from pymodbus.client import ModbusTcpClient

from scowl_edge.clocks import RateClock, SystemClock
from scowl_edge.dsr import work
from scowl_edge.issuing import Issuer

RATE = 60
HOMES = 12
SEED = 5
BEGIN_H = 17.0
MANAGERS = 3
FAILSAFE_W = 4_200
LEVEL_KW = 9
LOOK_S = 0.25
SOON_S = 60

_DAEMON = """
site: {{id: {name}}}
region: {{mode: auto, period: 5 s}}
http: {{listen: "127.0.0.1:{http}"}}
journal: {{path: {name}.db}}
telemetry: {{enabled: false}}
flex:
  listen: 127.0.0.1:{port}
  tls: {{certificate: {{file: {stem}.pem}}, key: {{file: {stem}.key}}, authority: {{file: authority.pem}}}}
"""
_PROVIDER = """  provider:
    {{node: "dsrsp:grid", failsafe: {{import: 4.2 kW, export: 0 W}}, answer: 60 s, plan_within: 10 min{level}}}
"""
_MANAGER = """  peers: {{grid: {{node: "dsrsp:grid", url: "https://127.0.0.1:{provider}"}}}}
  manager: {{node: "{node}", provider: grid, appliances: 40, failsafe: {{import: 4.2 kW, export: 0 W}}}}
"""


class Side:
    """One of the two: all its processes, and what its meter showed."""

    def __init__(self, folder: Path, base_port: int, level_kw: int | None) -> None:
        folder.mkdir(parents=True)
        self.folder, self.base_port = folder, base_port
        self.files: dict[str, Path] = {}
        self.running: dict[str, Running] = {}
        self.now_ms = 0
        """Of the meter, UTC."""
        self.quarters: dict[int, int] = {}
        """Quarter of an hour (its UTC ms) -> what had flowed then, W·ms."""
        self.issuer = Issuer(folder / "authority.pem", folder / "authority.key")
        self.issuer.create("an evening")
        level = "" if level_kw is None else f", level: {level_kw} kW"
        self._file("grid", "dsrsp:grid", 0, _PROVIDER.format(level=level))
        for i in range(MANAGERS):
            node = self.manager(i)
            self._file(f"house-{i}", node, 1 + i, _MANAGER.format(provider=base_port, node=node))

    def manager(self, i: int) -> str:
        """Node id."""
        return f"cem:house-{i}"

    def port(self, i: int) -> int:
        """Where a manager's appliances find it."""
        return self.base_port + 1 + i

    def _file(self, name: str, node: str, offset: int, extra: str) -> None:
        stem = node.replace(":", "-")
        self.issuer.issue(node, (), self.folder / f"{stem}.pem", self.folder / f"{stem}.key", node=node)
        text = _DAEMON.format(name=name, http=self.base_port + 50 + offset, port=self.base_port + offset, stem=stem)
        self.files[name] = self.folder / f"{name}.yaml"
        self.files[name].write_text(text + extra)

    def start(self, name: str) -> None:
        """Starts a daemon; does not wait for it."""
        self.running[name] = Running(
            ["run", self.files[name].name, "--clock-rate", str(RATE)], self.folder / f"{name}.log", cwd=self.folder
        )

    def ready(self, name: str, offset: int) -> None:
        """Returns when a daemon is ready."""
        http = Http(f"http://127.0.0.1:{self.base_port + 50 + offset}")

        def is_ready() -> bool:
            running = self.running[name]
            assert running.process.poll() is None, running.errors()[-2000:]
            try:
                return http.ask("/readyz")[0] == 200
            except OSError:
                return False

        wait_for(is_ready, SOON_S, f"{name} is ready")
        http.close()

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
        self.reaction_s = int(street.line(r"reaction: (\d+) s .*").group(1))
        self.appliances = int(street.line(r"appliances: (\d+)").group(1))
        self.control = Http(f"http://127.0.0.1:{self.base_port + 91}")
        self.modbus = ModbusTcpClient("127.0.0.1", port=self.base_port + 90, timeout=30)
        assert self.modbus.connect()

    def sample(self) -> int:
        """Reads the meter; its clock."""
        answer = self.modbus.read_input_registers(0, count=22, device_id=1)
        assert not answer.isError(), answer
        _, _, _, self.now_ms, quarter_ms, quarter_wms = struct.unpack(">iQQQQq", struct.pack(">22H", *answer.registers))
        if quarter_ms:
            self.quarters[quarter_ms] = quarter_wms
        return self.now_ms

    def truth(self) -> dict[str, Any]:
        """What the appliances really do."""
        found: dict[str, Any] = self.control.get("/truth")
        return found

    def end(self) -> None:
        """Ends everything in order: the books' keeper last."""
        for name in ("street", *(f"house-{i}" for i in range(MANAGERS)), "grid"):
            running = self.running.pop(name, None)
            if running is not None and running.process.poll() is None:
                running.end(signal.SIGTERM, SOON_S)
                running.close()

    def kill(self) -> None:
        """Whatever still runs."""
        for running in self.running.values():
            running.close()


def packet_filter(*lines: str) -> None:
    """Changes the namespace's packet filter."""
    subprocess.run(["nft", "-f", "-"], input="\n".join(lines), text=True, check=True, timeout=SOON_S)


class Evening:
    """Both sides, and what happens in the one with selection."""

    def __init__(self, folder: Path, hours: float) -> None:
        self.folder, self.hours = folder, hours
        self.seen: dict[str, Any] = {}
        self.sides: list[Side] = []

    def play(self) -> None:
        """All of it."""
        with_it = Side(self.folder / "with", 21_000, LEVEL_KW)
        without = Side(self.folder / "without", 22_000, None)
        self.sides = [with_it, without]
        names = ["grid", *(f"house-{i}" for i in range(MANAGERS))]
        for side in self.sides:
            for name in names:
                side.start(name)
        for side in self.sides:
            for offset, name in enumerate(names):
                side.ready(name, offset)
        midnight_ms = (RateClock(RATE, SystemClock()).utc_ms() - int(BEGIN_H * 3_600_000)) // 900_000 * 900_000
        self.seen |= {"midnight_ms": midnight_ms, "homes": HOMES, "seed": SEED}
        for side in self.sides:
            side.start_street(datetime.fromtimestamp(midnight_ms / 1000, UTC))
        for side in self.sides:
            side.connect()
        begun_ms = max(side.sample() for side in self.sides)
        self.until_ms = begun_ms + int(self.hours * 3_600_000)
        self.seen |= {"begun_ms": begun_ms, "reaction_s": with_it.reaction_s, "appliances": with_it.appliances}
        self.log("begun")
        self.cut(with_it)
        self.kill(with_it)
        self.override(with_it)
        self.wait(lambda: self.now_ms >= self.until_ms, "the end of the evening", 1e9)
        self.seen["truth"] = with_it.truth()
        self.seen["truth_without"] = without.truth()
        for side in self.sides:
            side.end()
        self.seen["quarters"] = {side.folder.name: list(side.quarters.items()) for side in self.sides}

    def log(self, what: str) -> None:
        """A line for whoever watches."""
        hour = (self.now_ms - self.seen["midnight_ms"]) / 3_600_000
        print(f"{hour:5.2f} h  {what}", flush=True)

    @property
    def now_ms(self) -> int:
        """Of the meter, UTC."""
        return self.sides[0].now_ms

    def wait(self, reached: Callable[[], object], what: str, within_s: float = SOON_S) -> Any:
        """Reads the meters until something is so."""
        until = time.monotonic() + within_s
        while True:
            for side in self.sides:
                side.sample()
            found = reached()
            if found:
                return found
            if time.monotonic() > until:
                self.seen["truth"] = self.sides[0].truth()
                raise AssertionError(f"not within {within_s:g} s: {what}")
            time.sleep(LOOK_S)

    def members(self, side: Side, i: int) -> dict[str, Any]:
        """Truth of a manager's appliances."""
        found = side.truth()["appliances"]
        return {e: one for e, one in found.items() if one["manager"] == side.manager(i)}

    def heard(self, side: Side, i: int) -> bool:
        """Whether all appliances of a manager hear him, and through him the provider."""
        found = self.members(side, i).values()
        return all(one["up"] and one["limits"] in ("UNLIMITED", "LIMITED") for one in found)

    def selected(self, side: Side, i: int) -> dict[str, Any]:
        """Those of a manager for which something is selected."""
        return {e: one for e, one in self.members(side, i).items() if open_ones(one)}

    def cut(self, side: Side) -> None:
        """The links of the first manager and its appliances, in the middle of selections."""
        self.wait(lambda: self.heard(side, 0), "the provider is heard everywhere behind manager 0")
        found = self.wait(lambda: self.selected(side, 0), "something of manager 0 is selected", 2 * SOON_S)
        self.log(f"cut the links of manager 0, {len(found)} selected")
        packet_filter(
            "add table inet cut",
            "add chain inet cut out { type filter hook output priority 0; }",
            *(f"add rule inet cut out tcp {end} {side.port(0)} drop" for end in ("sport", "dport")),
        )
        cut_ms = self.now_ms
        self.wait(
            lambda: all(one["limits"] == "FAILSAFE" for one in self.members(side, 0).values()),
            "every appliance behind the cut is at its fail-safe value",
        )
        self.seen["failsafe_after_ms"] = self.now_ms - cut_ms
        self.seen["failsafe_power_w"] = {e: one["power_w"] for e, one in self.members(side, 0).items()}
        self.log(f"all at fail-safe after {(self.now_ms - cut_ms) / 1000:.0f} s")
        packet_filter("delete table inet cut")
        self.wait(lambda: self.heard(side, 0), "the provider is heard again behind the cut", 2 * SOON_S)
        after = self.members(side, 0)
        self.seen["cut"] = {s: after[e]["selections"][s] for e, one in found.items() for s in open_ones(one)}
        self.log("heard again")

    def kill(self, side: Side) -> None:
        """The second manager, and starts it again."""
        found = self.wait(lambda: self.selected(side, 1), "something of manager 1 is selected", 2 * SOON_S)
        before = {e: open_ones(one) for e, one in found.items()}
        side.running["house-1"].end(signal.SIGKILL, SOON_S)
        self.log(f"killed manager 1, {len(before)} selected")
        self.wait(lambda: not any(one["up"] for one in self.members(side, 1).values()), "its appliances notice")
        side.start("house-1")
        self.wait(lambda: self.heard(side, 1), "the appliances of the manager that was started again are back")
        after = self.members(side, 1)
        self.seen["killed"] = {s: after[e]["selections"][s] for e, ids in before.items() for s in ids}
        self.log("back again")

    def override(self, side: Side) -> None:
        """A user behind the third manager takes over."""
        found = self.wait(lambda: self.selected(side, 2), "something of manager 2 is selected", 2 * SOON_S)
        esa_id = sorted(found)[0]
        told = side.control.post("/override", {"esa_id": esa_id, "scope": "ALL"})
        self.seen["overridden"] = {"esa_id": esa_id, "select_ids": open_ones(found[esa_id]), "now": told["selections"]}
        self.log(f"a user took {esa_id} over")


def open_ones(appliance: dict[str, Any]) -> list[str]:
    """Ids of what is selected and has not ended."""
    return [s for s, (state, _) in appliance["selections"].items() if state in ("SCHEDULED", "ACTIVE", "INTERRUPTED")]


def main() -> None:
    """Plays and writes down."""
    folder, hours = Path(sys.argv[1]), float(sys.argv[2])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=SOON_S)
    # Else an hour of the evening could pass while the provider's worker compiles.
    work.warm()
    evening = Evening(folder, hours)
    try:
        evening.play()
    finally:
        for side in evening.sides:
            side.kill()
        (folder / "seen.json").write_text(json.dumps(evening.seen))


if __name__ == "__main__":
    main()
