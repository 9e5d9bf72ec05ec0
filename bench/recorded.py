"""The real daemon on a configuration file, with an inbox that notes when each reading was asked for and received."""

from __future__ import annotations

import argparse
import json
from array import array
from pathlib import Path

from bench.machine import on_core, quantile
from scowl_edge import daemon, logs, process
from scowl_edge.assembly.apart import load_lean
from scowl_edge.cli.run import on_fastest_loop
from scowl_edge.inbox import Inbox
from scowl_edge.model.signal import Reading

_NOTES: array[int] = array("q")
"""Three numbers a reading: first point, requested and received, monotonic ms."""


class NotingInbox(Inbox):
    """As the daemon's, and takes a note of every reading: under a microsecond and 24 bytes."""

    def reading(self, reading: Reading) -> None:
        """Notes and passes on."""
        _NOTES.extend((int(reading.points[0]), reading.requested_ms, reading.received_ms))
        super().reading(reading)


def lags_ms(notes: array[int], period_ms: int, skip_ms: int) -> list[int]:
    """How late each sample came: received minus due.

    A device's due times are a grid of one period; its phase is taken from the earliest request seen. Readings of the
    first `skip_ms` are left out: connecting is not sampling.
    """
    rows: dict[int, list[tuple[int, int]]] = {}
    for i in range(0, len(notes), 3):
        rows.setdefault(notes[i], []).append((notes[i + 1], notes[i + 2]))
    start = min((pairs[0][0] for pairs in rows.values()), default=0) + skip_ms
    lags = []
    for pairs in rows.values():
        kept = [(requested, received) for requested, received in pairs if requested >= start]
        if not kept:
            continue
        base = kept[0][0]
        late = [requested - base - round((requested - base) / period_ms) * period_ms for requested, _ in kept]
        phase = min(late)
        lags += [one - phase + received - requested for one, (requested, received) in zip(late, kept, strict=True)]
    return lags


def main() -> None:
    """Runs until SIGTERM, then writes the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.recorded", description=__doc__)
    parser.add_argument("file", type=Path, help="configuration")
    parser.add_argument("result", type=Path, help="JSON file that is written at the end")
    parser.add_argument("--period-ms", type=int, default=1_000)
    parser.add_argument("--skip-ms", type=int, default=10_000, help="left out at the start")
    options = parser.parse_args()
    on_core(0)
    logs.configure()
    # The one place where the daemon gets its inbox from.
    vars(daemon)["Inbox"] = NotingInbox
    on_fastest_loop(process.run(load_lean(options.file), http="127.0.0.1:0"))
    lags = lags_ms(_NOTES, options.period_ms, options.skip_ms)
    result = {"readings": len(lags), "p50_ms": quantile(lags, 0.5), "p99_ms": quantile(lags, 0.99), "max_ms": max(lags)}
    options.result.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
