"""The daemon through random faults for as long as wanted: what grows, what leaks, what is lost without being counted.

The simulators play the devices on real sockets: Modbus TCP and frames of a serial line through TCP. Whatever kinds of
faults they know are put in at random, for a few polls each. Then all faults are cleared, and when every device is heard
again the books are compared: those of the daemon (`/metrics`), of the simulators (what they answered), and of the clock
(how many polls fell due). It fails where they do not agree, or where tasks or open files are left over.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.machine import child, describe, resident_mb
from simulators.faults import FaultKind

LINKS = {"a": "modbus-tcp", "b": "modbus-tcp", "c": "modbus-rtu-tcp"}
UNITS = 5
"""Devices on each link."""
FAULTS_AN_HOUR = 1.0
"""Faults that a device in the field has in an hour, at a bad site."""
PATIENCE_S = 150.0
"""How long the daemon may take until it hears all devices again: a unit in back-off is asked once a minute."""
LATER_FILES = 3
"""A database with what lies beside it: trends are first written some time after the start."""
_SERIES = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody uses now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def configuration(journal: Path, poll_ms: int) -> str:
    """Consumers on all links; the region looks on and writes nothing."""
    ports = free_ports(len(LINKS))
    lines = ["site: {id: soak}", f"journal: {{path: {journal}}}", "links:"]
    lines += [
        f"  {name}: {{type: {kind}, host: 127.0.0.1, port: {port}, timeout: 400 ms, reconnect: 2 s}}"
        for (name, kind), port in zip(LINKS.items(), ports, strict=True)
    ]
    lines.append("devices:")
    for link in LINKS:
        for unit in range(1, UNITS + 1):
            lines += [
                f"  {link}{unit}:",
                f"    {{link: {link}, unit: {unit}, poll: {poll_ms} ms,",
                "     points: {power: {address: 0, type: float32, unit: W},",
                "              deferrable: {address: 2, type: float32, unit: W}},",
                "     role: {kind: consumer, rated: 10 kW, deferrable: 5 kW}}",
            ]
    return "\n".join(lines) + "\n"


def ask(url: str, method: str = "GET", body: object = None) -> Any:
    """One JSON request. Raises OSError."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=30) as answer:
        return json.load(answer)


@dataclass(frozen=True, slots=True)
class Books:
    """What was counted until one moment."""

    at_s: float
    requests: Counter[str]
    """Link -> requests that had a result."""
    good: Counter[str]
    left_out: Counter[str]
    """Link -> polls missed and skipped."""
    answered: Counter[str]
    """Link -> reads that the simulators answered."""
    tasks: int
    files: int
    dropped: int
    """Records that a full queue refused."""


class Site:
    """Simulators and daemon, seen from outside."""

    def __init__(self, daemon: subprocess.Popen[str], url: str, control: str) -> None:
        self.pid = daemon.pid
        self._url = url
        self._control = control
        self._number = 0
        self._answered: Counter[str] = Counter()

    def books(self) -> Books:
        """All counters, now."""
        began = time.monotonic()
        self.follow()
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=30) as answer:
            for line in answer.read().decode().splitlines():
                if match := _SERIES.match(line):
                    found.setdefault(match[1], []).append((dict(_LABEL.findall(match[2] or "")), float(match[3])))

        def by_link(name: str, counts: Callable[[dict[str, str]], bool] = lambda _: True) -> Counter[str]:
            total: Counter[str] = Counter()
            for labels, value in found.get(name, []):
                if counts(labels):
                    total[labels["link"]] += int(value)
            return total

        return Books(
            at_s=began,
            requests=by_link("scowl_link_requests_total", lambda labels: labels["result"] != "stray"),
            good=by_link("scowl_link_requests_total", lambda labels: labels["result"] == "ok"),
            left_out=by_link("scowl_link_missed_polls_total") + by_link("scowl_link_skipped_polls_total"),
            answered=self._answered.copy(),
            tasks=int(found["scowl_tasks"][0][1]),
            files=int(found["process_open_fds"][0][1]),
            dropped=sum(int(value) for _, value in found["scowl_store_dropped_records_total"]),
        )

    def follow(self) -> None:
        """Reads on in the simulators' log, which forgets what is old."""
        for answer in ask(f"{self._control}/log?since={self._number}"):
            self._number = answer["number"]
            self._answered[answer["link"]] += 1

    def all_up(self) -> bool:
        """Whether every device is heard."""
        return all(device["up"] is True for device in ask(f"{self._url}/api/v1/devices")["devices"])

    def inject(self, draw: random.Random, poll_s: float) -> FaultKind | None:
        """One fault of any kind, at any device or link, for 2 to 20 polls; None where it cannot be there."""
        kind, link = draw.choice(list(FaultKind)), draw.choice(list(LINKS))
        where = {"link": link} if draw.random() < 0.2 else {"device": f"{link}{draw.randint(1, UNITS)}"}
        body = {
            "kind": kind, **where, "for_s": poll_s * draw.uniform(2, 20), "ms": draw.randint(1, 600),
            "code": draw.choice((2, 4, 6, 10, 11)), "signal": "power", "value": draw.uniform(1, 5_000),
            "probability": draw.choice((0.2, 0.5, 1.0)), "keep": draw.randint(0, 8),
            "at": draw.choice(("request", "reply")), "rest": draw.choice(("never", "next")),
            "baud": draw.choice((4_800, 9_600, 115_200)),
        }  # fmt: skip
        try:
            ask(f"{self._control}/faults", "POST", body)
        except urllib.error.HTTPError as refused:
            if refused.code != 400:
                raise
            return None
        return kind

    def clear(self) -> Counter[str]:
        """Ends all faults; returns how often each was really put in."""
        ask(f"{self._control}/faults", "DELETE")
        total: Counter[str] = Counter()
        for kinds in ask(f"{self._control}/injected").values():
            total.update(kinds)
        return total


@contextmanager
def running(folder: Path, poll_ms: int, rate: int) -> Iterator[Site]:
    """A site whose devices are all heard."""
    file = folder / "soak.yaml"
    file.write_text(configuration(folder / "soak.db", poll_ms))
    with (folder / "daemon.log").open("w") as log, ExitStack() as stack:
        pace = ("--clock-rate", str(rate))
        arguments = ("-m", "scowl_edge.cli", "simulator", str(file), "--control", "127.0.0.1:0", *pace)
        simulator = stack.enter_context(child(*arguments))
        assert simulator.stdout is not None
        control = next((line.split()[1] for line in simulator.stdout if line.startswith("control:")), "")
        daemon = stack.enter_context(
            child("-m", "scowl_edge.cli", "run", str(file), "--http", "127.0.0.1:0", *pace, stderr=log)
        )
        assert daemon.stdout is not None
        url = daemon.stdout.readline().strip()
        if not control or not url.startswith("http"):
            raise SystemExit(f"simulator or daemon did not start: {(folder / 'daemon.log').read_text()[-2000:]}")
        site = Site(daemon, url, control)
        wait_for(site.all_up, "every device to be heard after the start")
        yield site


def wait_for(condition: Callable[[], bool], what: str) -> float:
    """Returns the seconds it took. Raises SystemExit where it takes longer than patience."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > PATIENCE_S:
            raise SystemExit(f"FAILED: waited {PATIENCE_S:g} s for {what}")
        time.sleep(0.1)
    return time.monotonic() - began


def slope_mb_an_hour(samples: list[tuple[float, float]]) -> float:
    """Least squares through (s, MB) of the last half."""
    half = np.array(samples[len(samples) // 2 :])
    return float(np.polyfit(half[:, 0], half[:, 1], 1)[0] * 3600) if len(half) > 2 else 0.0


def judge(before: Books, after: Books, faults: int, poll_s: float) -> tuple[list[str], list[str]]:
    """Lines of the table, and what is wrong. `poll_s` is by the wall."""
    lines, wrong = [], []
    for link in LINKS:
        due = UNITS * (after.at_s - before.at_s) / poll_s
        asked = after.requests[link] - before.requests[link]
        good = after.good[link] - before.good[link]
        left_out = after.left_out[link] - before.left_out[link]
        answered = after.answered[link] - before.answered[link]
        open_ = due - asked - left_out
        lines.append(
            f"| link {link}: due / asked / left out / unaccounted | {due:.0f} / {asked} / {left_out} / {open_:.0f} |"
        )
        lines.append(f"| link {link}: asked / answered there / good here | {asked} / {answered} / {good} |")
        # One may be under way or just due at either end. More than were due are asked where a link or unit comes back.
        if open_ > 2 * UNITS:
            wrong.append(f"link {link}: {open_:.0f} polls are in no counter, at most {2 * UNITS} can be")
        if -open_ > (extra := 2 * UNITS + UNITS * faults / len(LINKS)):
            wrong.append(f"link {link}: {-open_:.0f} polls are counted beyond those due, at most {extra:.0f} can be")
        # A request may be under way while the books are read.
        if not good - UNITS <= answered <= asked + UNITS:
            wrong.append(f"link {link}: {answered} answers left the simulators, {asked} were asked for, {good} good")
    for what, one, two in (
        ("tasks", before.tasks, after.tasks),
        ("open files", before.files + LATER_FILES, after.files),
        ("records refused by a full queue", 0, after.dropped),
    ):
        lines.append(f"| {what}, before / after | {one} / {two} |")
        if two > one:
            wrong.append(f"{what}: {one} before, {two} after")
    return lines, wrong


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, runs the site through its faults, prints the table; exits with 1 where something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="time with faults")
    parser.add_argument("--times", type=float, default=24.0, help=f"times {FAULTS_AN_HOUR:g} fault a device and hour")
    parser.add_argument("--poll-ms", type=int, default=1000)
    parser.add_argument("--clock-rate", type=int, default=1, help="how much faster than the wall all clocks run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-mb-an-hour", type=float, default=float("inf"), help="of memory's slope; beyond: failed")
    options = parser.parse_args(arguments)
    print(describe())
    draw, poll_s = random.Random(options.seed), options.poll_ms / 1000
    pause_s = 3600 / (FAULTS_AN_HOUR * options.times * len(LINKS) * UNITS * options.clock_rate)
    with tempfile.TemporaryDirectory() as folder:
        with running(Path(folder), options.poll_ms, options.clock_rate) as site:
            before = site.books()
            asked: Counter[str] = Counter()
            sizes: list[tuple[float, float]] = []
            end = time.monotonic() + options.seconds
            while (left := end - time.monotonic()) > 0:
                kind = site.inject(draw, poll_s)
                if kind is not None:
                    asked[kind] += 1
                    site.follow()
                    sizes.append((time.monotonic(), resident_mb(site.pid)))
                    time.sleep(min(left, draw.expovariate(1 / pause_s)))
            injected = site.clear()
            back_s = wait_for(site.all_up, "every device to be heard after the last fault")
            time.sleep(2 * poll_s / options.clock_rate)
            after = site.books()
        log = Path(folder, "daemon.log").read_text()
    lines, wrong = judge(before, after, sum(asked.values()), poll_s / options.clock_rate)
    slope = slope_mb_an_hour(sizes)
    if slope > options.most_mb_an_hour:
        wrong.append(f"memory grows by {slope:.1f} MB an hour")
    wrong += [line for line in log.splitlines() if "task_failed" in line or "Traceback" in line]
    never = sorted(set(asked) - {kind for kind, count in injected.items() if count})
    print(
        "\n".join(
            [
                f"{len(LINKS)} links x {UNITS} units each {options.poll_ms} ms, {options.seconds:g} s with "
                f"{sum(asked.values())} faults of {len(asked)} kinds, put in {sum(injected.values())} times "
                f"(never: {', '.join(never) or 'none'})",
                "| | |",
                "|---|---|",
                f"| memory, first / last / slope of the last half | {sizes[0][1]:.1f} / {sizes[-1][1]:.1f} MB / "
                f"{slope:+.2f} MB an hour |",
                f"| until all devices were heard after the last fault | {back_s:.1f} s |",
                *lines,
            ]
        )
    )
    if wrong:
        raise SystemExit("FAILED:\n" + "\n".join(wrong))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
