"""How much later the daemon's event loop wakes while 200 viewers look and Prometheus scrapes each second.

The real daemon with 500 devices at 1 s, and as many more points that are read each minute as make up the series of a
large scrape, runs on one core; devices and onlookers run on the other. Times without and with onlookers alternate. A
timer of 10 ms in the daemon's loop tells its lateness; an idle process on the same core tells the machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from array import array
from pathlib import Path
from statistics import median

from bench import fleet
from bench.machine import child, cpu_s, describe, on_core, quantile, resident_mb, spread

AIM_MS = 5.0
SLOW_POINTS = 400
SETTLE_S = 4.0
"""Left out after onlookers came or left."""


def configuration(ports: list[int], devices: int, points: int, journal: Path) -> str:
    """The fleet's, with devices that are only read, each minute, until there are so many points in all."""
    lines = [fleet.configuration(ports, devices, journal).rstrip()]
    missing = max(0, points - devices * fleet.POINTS)
    for d in range(-(-missing // SLOW_POINTS)):
        lines += [
            f"  slow{d}:",
            f"    link: l{d % len(ports)}",
            f"    unit: {200 + d // len(ports)}",
            "    poll: 60 s",
            "    points:",
            *(
                f"      p{i}: {{table: holding, address: {2 * i}, type: float32, unit: W}}"
                for i in range(min(SLOW_POINTS, missing - d * SLOW_POINTS))
            ),
        ]
    return "\n".join(lines) + "\n"


def waiting(seconds: float) -> tuple[float, float, float]:
    """(begin, end, p99 of an idle timer on the daemon's core in ms) of so many seconds from now on."""
    began = time.monotonic()
    with child("-m", "bench.idle_timer", "--seconds", str(seconds)) as timer:
        time.sleep(seconds)
        ended = time.monotonic()
        timer.wait(20)
        assert timer.stdout is not None
        return began, ended, float(json.loads(timer.stdout.readline())["p99_ms"])


def late_ms(notes: array[float], began: float, ended: float, fraction: float) -> tuple[float, float]:
    """A quantile of the lateness within a time, and of the part that can be the loop's own doing."""
    rows = [notes[i : i + 3] for i in range(0, len(notes), 3) if began <= notes[i] <= ended]
    whole = quantile([late for _, late, _ in rows], fraction)
    return whole * 1000, quantile([min(late, used) for _, late, used in rows], fraction) * 1000


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, alternates, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewers", description=__doc__)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--points", type=int, default=50_000, help="two series each")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--stalled", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=15.0, help="length of one half of a pair")
    parser.add_argument("--pairs", type=int, default=9)
    options = parser.parse_args(arguments)
    on_core(1)
    print(describe())
    idle: list[tuple[float, float, float]] = []
    looked: list[tuple[float, float, float]] = []
    shares: dict[str, list[float]] = {"idle": [], "looked": []}
    scrapes_s: list[float] = []
    received, memory = 0, [0.0, 0.0]
    with tempfile.TemporaryDirectory() as folder, child("-m", "bench.responder", "--ports", "50") as server:
        assert server.stdout is not None
        ports = [int(p) for p in server.stdout.readline().split()]
        file, result = Path(folder, "viewers.yaml"), Path(folder, "late")
        file.write_text(configuration(ports, options.devices, options.points, Path(folder, "viewers.db")))
        with child("-m", "bench.timed", str(file), str(result)) as daemon:
            assert daemon.stdout is not None
            url = daemon.stdout.readline().strip()
            if not url.startswith("http"):
                raise SystemExit("the daemon did not start; run it by hand on the configuration to see why")
            time.sleep(20.0)
            memory[0] = resident_mb(daemon.pid)
            for _ in range(options.pairs):
                used = cpu_s(daemon.pid)
                idle.append(waiting(options.seconds))
                shares["idle"].append((cpu_s(daemon.pid) - used) / (idle[-1][1] - idle[-1][0]) * 100)
                numbers = ("--viewers", str(options.viewers), "--stalled", str(options.stalled))
                with child("-m", "bench.onlookers", url, *numbers) as onlookers:
                    assert onlookers.stdout is not None
                    onlookers.stdout.readline()
                    time.sleep(SETTLE_S)
                    used = cpu_s(daemon.pid)
                    looked.append(waiting(options.seconds))
                    shares["looked"].append((cpu_s(daemon.pid) - used) / (looked[-1][1] - looked[-1][0]) * 100)
                    memory[1] = max(memory[1], resident_mb(daemon.pid))
                    onlookers.terminate()
                    seen = json.loads(onlookers.stdout.readline())
                    if seen["lost"]:
                        raise SystemExit(f"{seen['lost']} viewers that took everything were dropped: no figure counts")
                    scrapes_s += seen["scrapes_s"]
                    received += seen["bytes"]
                time.sleep(SETTLE_S)
        notes: array[float] = array("d")
        notes.frombytes(result.read_bytes())
    rows = []
    for name, fraction in (("p50", 0.5), ("p99", 0.99)):
        without = [late_ms(notes, began, ended, fraction) for began, ended, _ in idle]
        with_all = [late_ms(notes, began, ended, fraction) for began, ended, _ in looked]
        for part, what in enumerate(("late", "late by the loop's own work, at most")):
            before, after = [pair[part] for pair in without], [pair[part] for pair in with_all]
            rise = [b - a for a, b in zip(before, after, strict=True)]
            aim = f" (aim {AIM_MS:g})" if name == "p99" else ""
            rows.append(
                f"| loop {name} {what}, ms | {spread(before, 2)} | {spread(after, 2)} | {spread(rise, 2)}{aim} |"
            )
    machine = [spread([p99 for _, _, p99 in times], 2) for times in (idle, looked)]
    print(
        "\n".join(
            [
                f"{options.devices} devices, {options.points} points = {2 * options.points} series; {options.viewers} "
                f"viewers, {options.stalled} of nothing, a scrape each second; {options.pairs} interleaved pairs of "
                f"{options.seconds:g} s",
                "| | nobody looks | everybody looks | rise |",
                "|---|---|---|---|",
                *rows,
                f"| idle timer on the same core p99 late, ms | {machine[0]} | {machine[1]} | |",
                f"| CPU of one core, % | {spread(shares['idle'])} | {spread(shares['looked'])} | |",
                f"| resident memory, MB | {memory[0]:.0f} | {memory[1]:.0f} | |",
                f"| a scrape takes, ms | | {median(scrapes_s) * 1000:.0f} (most {max(scrapes_s) * 1000:.0f}) | |",
                f"| sent to viewers, MB | | {received / 1e6:.0f} | |",
            ]
        )
    )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
