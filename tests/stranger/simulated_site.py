"""`scowl-edge simulator` as a process that plays a small site over OPC-UA and Modbus."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

URI = "urn:stranger:site"


def site(opcua_port: int, modbus_port: int) -> str:
    """A configuration in which everything stands still."""
    return f"""
site: {{id: stranger}}
links:
  scada: {{type: opcua, endpoint: "opc.tcp://127.0.0.1:{opcua_port}/site", security: None}}
  plc: {{type: modbus-tcp, host: 127.0.0.1, port: {modbus_port}}}
ratings: {{grid: {{kind: grid, import: 100 A, phases: 3, meter: grid-meter}}}}
devices:
  wind-1:
    link: scada
    poll: 100 ms
    points:
      power: {{node: "nsu={URI};s=Wind/Power", type: double, unit: kW, scale: -1}}
      limit: {{node: "nsu={URI};s=Wind/Limit", type: uint16, scale: 0.1, unit: "%", access: rw}}
    role: {{kind: generator, dispatch: stochastic, rated: 200 kW, on: grid}}
  home-1:
    link: scada
    points:
      power: {{node: "nsu={URI};s=Home/Power", type: int32, unit: W}}
      shed_request: {{node: "nsu={URI};s=Home", method: "nsu={URI};s=Home/Shed", type: uint32, unit: W, access: w}}
      shed_granted: {{node: "nsu={URI};s=Home/Granted", type: float, unit: W}}
    role: {{kind: consumer, rated: 6 kW, deferrable: 3 kW, demand_responsive: 1 kW, on: grid}}
  home-2:
    link: plc
    points: {{power: {{address: 0, type: float32, order: ABCD, unit: W}}}}
    role: {{kind: consumer, rated: 6 kW, on: grid}}
  grid-meter:
    link: scada
    points:
      power: {{node: "nsu={URI};s=Grid/Power", type: double, unit: W}}
      current_a: {{node: "nsu={URI};s=Grid/Currents", index: 0, type: double, unit: A}}
      current_b: {{node: "nsu={URI};s=Grid/Currents", index: 1, type: double, unit: A}}
      current_c: {{node: "nsu={URI};s=Grid/Currents", index: 2, type: double, unit: A}}
    role: {{kind: grid}}
simulation:
  control: 127.0.0.1:0
  weather: {{wind: 50 %}}
  front: 1 ms
  devices:
    wind-1: {{model: wind, noise: 0 %}}
    home-1: {{model: home, noise: 0 %}}
    home-2: {{model: home, noise: 0 %}}
"""


class SimulatedSite:
    """One running simulator."""

    def __init__(self, text: str, directory: Path, errors: Path) -> None:
        file = directory / "site.yaml"
        file.write_text(text)
        with errors.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scowl_edge.cli", "simulator", str(file)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._errors = errors
        self.endpoint = self._line(r"scada: OPC-UA on (\S+), wind-1, home-1, grid-meter")
        self._line(r"plc: Modbus TCP on (\S+), unit 1 = home-2")
        self._control = self._line(r"control: (\S+)")

    def _line(self, pattern: str) -> str:
        assert self.process.stdout is not None
        text = self.process.stdout.readline().rstrip("\n")
        found = re.fullmatch(pattern, text)
        assert found, f"{text!r}; {self._errors.read_text()}"
        return found[1]

    def ask(self, path: str) -> Any:
        """An answer of the control port."""
        with urlopen(self._control + path, timeout=60) as answer:
            return json.load(answer)

    def errors(self) -> str:
        """What it said on standard error."""
        return self._errors.read_text()

    def close(self) -> None:
        """Ends it."""
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=60)
        assert self.process.stdout is not None
        self.process.stdout.close()
