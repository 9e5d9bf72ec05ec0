"""The daemon with 500 devices of 30 points at 1 s: CPU, memory, sample lag, and journal bytes a day.

The real daemon runs as a process of its own with its journal on disk, beside a server process on the other core and an
idle timer on its own core. Two signals of each device are bound to the core (power and deferrable load of a consumer);
the other 28 are telemetry.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from bench.machine import child, cpu_s, describe, on_core, resident_mb

DAY_S = 86_400
POINTS = 30


def configuration(ports: list[int], devices: int, journal: Path) -> str:
    """The text of a configuration; devices are spread evenly over the links, one a port."""
    links = len(ports)
    lines = [
        "site: {id: fleet}",
        f"journal: {{path: {journal}}}",
        "links:",
        *(f"  l{i}: {{type: modbus-tcp, host: 127.0.0.1, port: {p}}}" for i, p in enumerate(ports)),
        "region: {mode: auto}",
        "devices:",
    ]
    for d in range(devices):
        lines += [
            f"  d{d}:",
            f"    link: l{d % links}",
            f"    unit: {d // links + 1}",
            "    poll: 1 s",
            "    points:",
            "      power: {table: holding, address: 0, type: float32, unit: W}",
            "      deferrable: {table: holding, address: 2, type: float32, unit: W}",
            *(f"      p{i}: {{table: holding, address: {2 * i}, type: float32, unit: W}}" for i in range(2, POINTS)),
            "    role: {kind: consumer, rated: 10 kW, deferrable: 5 kW}",
        ]
    return "\n".join(lines) + "\n"


def journal_bytes(path: Path) -> int:
    """Size of a journal with what is not yet folded into it."""
    return sum(p.stat().st_size for p in path.parent.glob(f"{path.name}*"))


def main(arguments: list[str] | None = None) -> None:
    """Reads the options, runs the fleet, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__)
    parser.add_argument("--devices", type=int, default=500)
    parser.add_argument("--links", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0, help="measured after the warm-up")
    parser.add_argument("--warm-up", type=float, default=15.0, help="seconds left out at the start")
    options = parser.parse_args(arguments)
    on_core(1)
    print(describe())
    with (
        tempfile.TemporaryDirectory() as folder,
        child("-m", "bench.responder", "--ports", str(options.links)) as server,
    ):
        assert server.stdout is not None
        ports = [int(p) for p in server.stdout.readline().split()]
        file, result, journal = Path(folder, "fleet.yaml"), Path(folder, "result.json"), Path(folder, "fleet.db")
        file.write_text(configuration(ports, options.devices, journal))
        skip = str(int(options.warm_up * 1000))
        with child("-m", "bench.recorded", str(file), str(result), "--skip-ms", skip) as daemon:
            assert daemon.stdout is not None
            if not daemon.stdout.readline().startswith("http"):
                raise SystemExit("the daemon did not start; run it by hand on the configuration to see why")
            time.sleep(options.warm_up)
            with child("-m", "bench.idle_timer", "--seconds", str(options.seconds)) as timer:
                cpu, size, began = cpu_s(daemon.pid), journal_bytes(journal), time.monotonic()
                time.sleep(options.seconds)
                wall = time.monotonic() - began
                share = (cpu_s(daemon.pid) - cpu) / wall * 100
                memory, grown = resident_mb(daemon.pid), journal_bytes(journal) - size
                timer.wait(10)
                assert timer.stdout is not None
                idle = json.loads(timer.stdout.readline())
        found = json.loads(result.read_text())
    expected = options.devices * (options.seconds + 1)
    print(
        "\n".join(
            [
                f"{options.devices} devices x {POINTS} points at 1 s on {options.links} links, {wall:.0f} s",
                "| | |",
                "|---|---|",
                f"| CPU of one core | {share:.1f} % (aim 25 %) |",
                f"| resident memory | {memory:.0f} MB (aim 150 MB) |",
                f"| sample lag p50 / p99 / max | {found['p50_ms']} / {found['p99_ms']} / {found['max_ms']} ms |",
                f"| idle timer beside it p50 / p99 late | {idle['p50_ms']:.2f} / {idle['p99_ms']:.2f} ms |",
                f"| readings | {found['readings']} of about {expected:.0f} |",
                f"| journal | {grown / wall * DAY_S / 1e6:.0f} MB a day ({grown / wall:.0f} bytes a second) |",
            ]
        )
    )


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
