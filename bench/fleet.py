"""The daemon with a fleet of devices of 30 points at 1 s: CPU, memory, sample lag, and journal bytes a day.

The real daemon runs as a process of its own with its journal on disk, beside a server process on the other core and an
idle timer on its own core; `/metrics` is scraped every 15 s. Two signals of each device are bound to the core (power
and deferrable load of a consumer); the other 28 are telemetry. The devices share one list of points by an alias.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

from bench.machine import child, cpu_s, describe, many_files, on_core, peak_mb, resident_mb
from bench.recorded import Samples, now_us

DAY_S = 86_400
POINTS = 30
SCRAPE_EVERY_S = 15.0
START_S = 300.0


def configuration(ports: list[int], devices: int, journal: Path, *, link: str = "", device: str = "") -> str:
    """The text of a configuration; devices are spread evenly over the links, one a port.

    Args:
        ports: Of the links.
        devices: How many.
        journal: Where it is kept.
        link: More keys of each link, such as `timeout: 500 ms`.
        device: More keys of each device.
    """
    links = len(ports)
    more = f", {link}" if link else ""
    lines = [
        "site: {id: fleet}",
        f"journal: {{path: {journal}}}",
        "links:",
        *(f"  l{i}: {{type: modbus-tcp, host: 127.0.0.1, port: {p}{more}}}" for i, p in enumerate(ports)),
        "region: {mode: auto}",
        "devices:",
    ]
    for d in range(devices):
        lines += [
            f"  d{d}:",
            f"    link: l{d % links}",
            f"    unit: {d // links + 1}",
            "    poll: 1 s",
            "    role: {kind: consumer, rated: 10 kW, deferrable: 5 kW}",
            f"    points: {'*points' if d else '&points'}",
        ]
        lines += [f"    {device}"] if device else []
        if not d:
            lines += [
                "      power: {table: holding, address: 0, type: float32, unit: W}",
                "      deferrable: {table: holding, address: 2, type: float32, unit: W}",
                *(
                    f"      p{i}: {{table: holding, address: {2 * i}, type: float32, unit: W}}"
                    for i in range(2, POINTS)
                ),
            ]
    return "\n".join(lines) + "\n"


def journal_bytes(path: Path) -> int:
    """Size of a journal with what is not yet folded into it."""
    return sum(p.stat().st_size for p in path.parent.glob(f"{path.name}*"))


def wait_until_ready(url: str, daemon: subprocess.Popen[str]) -> float:
    """Until every link of a daemon was tried once; returns the seconds it took. Raises SystemExit where it never is."""
    began = time.monotonic()
    while time.monotonic() - began < START_S:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=10):
                return time.monotonic() - began
        except OSError:
            if daemon.poll() is not None:
                break
            time.sleep(0.2)
    raise SystemExit(f"the daemon at {url} was not ready within {START_S:g} s; run it by hand to see why")


def scraped_while(url: str, seconds: float) -> list[float]:
    """Scrapes a daemon as Prometheus would for so long; returns how long each scrape took, in s."""
    end, took = time.monotonic() + seconds, []
    while (left := end - time.monotonic()) > 0:
        began = time.monotonic()
        with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
            answer.read()
        took.append(time.monotonic() - began)
        time.sleep(max(0.0, min(SCRAPE_EVERY_S - took[-1], left - took[-1])))
    return took


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, runs the fleet, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--links", type=int, default=50, help="as many connections; the devices are spread over them")
    parser.add_argument("--seconds", type=float, default=60.0, help="measured after the warm-up")
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds left out after all links were tried")
    parser.add_argument("--aims", nargs=3, type=float, default=(25.0, 150.0, 250.0), help="CPU %%, memory MB, p99 ms")
    options = parser.parse_args(arguments)
    on_core(1)
    many_files()
    print(describe())
    with (
        tempfile.TemporaryDirectory() as folder,
        child("-m", "bench.responder", "--ports", str(options.links), stdin=subprocess.PIPE) as server,
    ):
        assert server.stdout is not None
        ports = [int(p) for p in server.stdout.readline().split()]
        file, result, journal = Path(folder, "fleet.yaml"), Path(folder, "result"), Path(folder, "fleet.db")
        file.write_text(configuration(ports, options.devices, journal))
        launched = time.monotonic()
        with child("-m", "bench.recorded", str(file), str(result)) as daemon:
            assert daemon.stdout is not None
            url = daemon.stdout.readline().strip()
            if not url.startswith("http"):
                raise SystemExit("the daemon did not start; run it by hand on the configuration to see why")
            wait_until_ready(url, daemon)
            start_s = time.monotonic() - launched
            scraped_while(url, options.warm_up)
            with child("-m", "bench.idle_timer", "--seconds", str(options.seconds)) as timer:
                cpu, asked, size = cpu_s(daemon.pid), cpu_s(server.pid), journal_bytes(journal)
                began, began_us = time.monotonic(), now_us()
                scrapes_s = scraped_while(url, options.seconds)
                wall, ended_us = time.monotonic() - began, now_us()
                share = (cpu_s(daemon.pid) - cpu) / wall * 100
                other = (cpu_s(server.pid) - asked) / wall * 100
                memory, peak = resident_mb(daemon.pid), peak_mb(daemon.pid)
                grown = journal_bytes(journal) - size
                timer.wait(60)
                assert timer.stdout is not None
                idle = json.loads(timer.stdout.readline())
        samples = Samples.of(result)
        measured = samples.within(began_us, ended_us)
        lags = samples.lags_ms(1000, measured)[measured]
        notes_mb = result.stat().st_size / 1e6
    cpu_aim, memory_aim, lag_aim = options.aims
    p50, p99 = np.quantile(lags, (0.5, 0.99))
    print(
        "\n".join(
            [
                f"{options.devices} devices x {POINTS} points at 1 s on {options.links} links, {wall:.0f} s; all links "
                f"tried {start_s:.0f} s after the start",
                "| | |",
                "|---|---|",
                f"| CPU of one core | {share:.1f} % (aim {cpu_aim:g} %) |",
                f"| resident memory | {memory:.0f} MB, {notes_mb:.0f} of them notes of this program "
                f"(aim {memory_aim:g} MB); at the most {peak:.0f} MB |",
                f"| sample lag p50 / p99 / max | {p50:.1f} / {p99:.1f} / {lags.max():.1f} ms (aim {lag_aim:g} ms) |",
                f"| idle timer beside it p50 / p99 late | {idle['p50_ms']:.2f} / {idle['p99_ms']:.2f} ms |",
                f"| readings | {len(lags)} of about {options.devices * wall:.0f} |",
                f"| a scrape takes | {np.median(scrapes_s) * 1000:.0f} ms (most {max(scrapes_s) * 1000:.0f}) |",
                f"| the server's CPU of the other core | {other:.1f} % |",
                f"| journal | {grown / wall * DAY_S / 1e6:.0f} MB a day ({grown / wall:.0f} bytes a second) |",
            ]
        )
    )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
