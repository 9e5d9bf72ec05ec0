"""What silent units do to healthy ones, on connections of their own and on shared ones, and how soon they are back.

The real daemon reads devices of 30 points at 1 s. In turns all devices answer, and some are silent: their connection
stands, their answers do not come. A sample's lag is from when it was due until the inbox has it; the lag of the healthy
ones is compared between the two. The bounds are those of `check --cost`, from the same configuration.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.fleet import configuration, wait_until_ready
from bench.machine import child, describe, many_files, on_core, spread
from bench.recorded import Samples, now_us
from scowl_edge.assembly import load
from scowl_edge.devices.declaration import ModbusLink
from scowl_edge.drivers.modbus.link import LinkCost, link_cost

PERIOD_MS = 1000
TIMEOUT = "200 ms"
PATIENCE_S = 90.0
"""How long the units that were silent may take until all are back."""


class Topology(NamedTuple):
    """Devices on links; the first `silent` ones fall silent."""

    links: int
    units: int
    """On each link."""
    silent_links: int
    silent_units: int
    """On each of these links."""

    @property
    def silent(self) -> set[int]:
        """Rows of the silent devices. Device d is unit d // links + 1 of link d % links."""
        return {unit * self.links + link for unit in range(self.silent_units) for link in range(self.silent_links)}


@dataclass(frozen=True, slots=True)
class Round:
    """Times, us: all answer from `calm` on, some are silent from `mute` on, and answer again from `speak` on."""

    calm: int
    mute: int
    speak: int
    end: int


class Plant:
    """The responder, told what to do."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.ports = [int(port) for port in self._line().split()]

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def tell(self, order: str) -> str:
        """Gives an order; returns when it is carried out."""
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        return self._line()


@contextmanager
def running(topology: Topology, folder: Path) -> Iterator[tuple[Plant, str, LinkCost]]:
    """Plant and the daemon's address, all links tried; the notes are in `folder` at the end."""
    count = str(topology.links)
    with child("-m", "bench.responder", "--ports", count, stdin=subprocess.PIPE) as server:
        plant = Plant(server)
        file = folder / "silent.yaml"
        devices = topology.links * topology.units
        file.write_text(configuration(plant.ports, devices, folder / "silent.db", link=f"timeout: {TIMEOUT}"))
        link = load(file).links[0]
        assert isinstance(link, ModbusLink)
        with child("-m", "bench.recorded", str(file), str(folder / "result")) as daemon:
            assert daemon.stdout is not None
            url = daemon.stdout.readline().strip()
            if not url.startswith("http"):
                raise SystemExit("the daemon did not start; run it by hand on the configuration to see why")
            wait_until_ready(url, daemon)
            # The first poll of all comes at once, and is off the grid of those that follow.
            time.sleep(3 * PERIOD_MS / 1000)
            yield plant, url, link_cost(link, reply_ms=1.0)


def wait_until_up(url: str, devices: int) -> None:
    """Until the daemon hears so many devices, or patience is over: then the figures tell."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with urllib.request.urlopen(f"{url}/api/v1/devices", timeout=30) as answer:
            if sum(device["up"] is True for device in json.load(answer)["devices"]) == devices:
                return
        time.sleep(0.5)


def rounds_of(topology: Topology, plant: Plant, url: str, rounds: int, seconds: float) -> list[Round]:
    """Lets some fall silent and speak again, so many times."""
    ports = ",".join(str(port) for port in range(topology.silent_links))
    units = ",".join(str(unit + 1) for unit in range(topology.silent_units))
    found = []
    for _ in range(rounds):
        calm = now_us()
        time.sleep(seconds)
        plant.tell(f"mute {ports} {units}")
        mute = now_us()
        time.sleep(seconds)
        plant.tell("speak")
        speak = now_us()
        wait_until_up(url, topology.links * topology.units)
        # One that was silent but once never counted as down; it is back with its next poll.
        time.sleep(2 * PERIOD_MS / 1000)
        found.append(Round(calm, mute, speak, now_us()))
    return found


def recovered_ms(samples: Samples, silent: NDArray[np.bool_], one: Round) -> list[float]:
    """From when they answered again until each of the silent ones had a good sample; infinite for one that had none."""
    back = samples.within(one.speak, one.end) & silent[samples.row]
    first = np.full(len(silent), np.inf)
    np.minimum.at(first, samples.row[back], (samples.come_us[back] - one.speak) / 1000)
    found: list[float] = first[silent].tolist()
    return found


def measure(topology: Topology, rounds: int, seconds: float) -> None:
    """Runs one topology and prints its table."""
    shared = topology.units > 1
    with tempfile.TemporaryDirectory() as folder:
        with running(topology, Path(folder)) as (plant, url, cost):
            done = rounds_of(topology, plant, url, rounds, seconds)
        samples = Samples.of(Path(folder, "result"))
    devices = topology.links * topology.units
    silent = np.zeros(devices, np.bool_)
    silent[list(topology.silent)] = True
    calm = np.logical_or.reduce([samples.within(one.calm, one.mute) for one in done])
    lags = samples.lags_ms(PERIOD_MS, calm)
    healthy = ~silent[samples.row]
    before = [lags[healthy & samples.within(one.calm, one.mute)] for one in done]
    during = [lags[healthy & samples.within(one.mute, one.speak)] for one in done]
    # On a shared bus the neighbours are those that a silent unit can delay.
    p99 = [(float(np.quantile(a, 0.99)), float(np.quantile(b, 0.99))) for a, b in zip(before, during, strict=True)]
    rise = [(b / a - 1) * 100 for a, b in p99]
    worst = [float(b.max() - a.max()) for a, b in zip(before, during, strict=True)]
    back = [max(recovered_ms(samples, silent, one)) for one in done]
    polls = (cost.next_probe_ms if shared else 0) + 2 * PERIOD_MS
    lines = [
        f"{topology.links} links x {topology.units} units, {len(topology.silent)} silent, time-out {TIMEOUT}, "
        f"{rounds} rounds of {seconds:g} s",
        "| | all answer | some are silent | |",
        "|---|---|---|---|",
        f"| p99 lag of the healthy, ms | {spread([a for a, _ in p99], 2)} | {spread([b for _, b in p99], 2)} | "
        f"rise {spread(rise)} %{'' if shared else ' (aim below 10 %)'} |",
        f"| longest lag of the healthy, ms | {max(a.max() for a in before):.1f} | {max(b.max() for b in during):.1f} | "
        + (f"extra {max(worst):.1f} (bound of `check --cost` {cost.worst_delay_ms}) |" if shared else "|"),
        f"| until all of them are back, ms | | {spread(back, 0)} | "
        + (f"at most next probe {cost.next_probe_ms} + two polls = {polls} |" if shared else f"two polls = {polls} |"),
    ]
    print("\n".join(lines))


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, runs both topologies."""
    parser = argparse.ArgumentParser(prog="python -m bench.silent", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each half of a round")
    parser.add_argument("--only", choices=("own", "shared"), help="one of the two topologies")
    options = parser.parse_args(arguments)
    on_core(1)
    many_files()
    print(describe())
    if options.only != "shared":
        measure(Topology(links=500, units=1, silent_links=50, silent_units=1), options.rounds, options.seconds)
    if options.only is None:
        print()
    if options.only != "own":
        shared_rounds = max(1, options.rounds // 3)
        measure(Topology(links=10, units=50, silent_links=10, silent_units=5), shared_rounds, options.seconds)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
