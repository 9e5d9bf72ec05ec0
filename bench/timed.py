"""The real daemon on a configuration file, with a timer of 10 ms in its own event loop that notes how late it woke."""

from __future__ import annotations

import argparse
import asyncio
import time
from array import array
from pathlib import Path

from bench.machine import on_core
from scowl_edge import logs, process
from scowl_edge.assembly.apart import load_lean
from scowl_edge.cli.run import on_fastest_loop

PERIOD_S = 0.01


async def timer(notes: array[float]) -> None:
    """Notes three numbers at each waking: when, on the machine's monotonic clock, how late, and the loop's CPU, in s.

    The last is what the loop's thread used since the waking before: no lateness beyond it was the loop's own doing.
    uvloop counts its own time in whole ms, and wakes by it.
    """
    while True:
        due, used = time.monotonic() + PERIOD_S, time.thread_time()
        await asyncio.sleep(PERIOD_S)
        now = time.monotonic()
        notes.extend((now, now - due, time.thread_time() - used))


async def run(file: Path, notes: array[float]) -> None:
    """Daemon and timer, until SIGTERM."""
    beside = asyncio.create_task(timer(notes))
    try:
        await process.run(load_lean(file), http="127.0.0.1:0")
    finally:
        beside.cancel()


def main() -> None:
    """Runs until SIGTERM, then writes what the timer noted, as doubles."""
    parser = argparse.ArgumentParser(prog="python -m bench.timed", description=__doc__)
    parser.add_argument("file", type=Path, help="configuration")
    parser.add_argument("result", type=Path, help="file that is written at the end")
    options = parser.parse_args()
    on_core(0)
    logs.configure()
    notes: array[float] = array("d")
    on_fastest_loop(run(options.file, notes))
    with options.result.open("wb") as out:
        notes.tofile(out)


if __name__ == "__main__":
    main()
