"""`scowl-edge run FILE`: the daemon on one site."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from importlib.util import find_spec
from pathlib import Path

from scowl_edge import logs
from scowl_edge.assembly.apart import load_lean
from scowl_edge.process import run as run_daemon


def run(file: Path, *, http: str | None, clock_rate: int) -> None:
    """Runs until it is stopped.

    Raises:
        ConfigError: with all faults of the file.
        ScowlError: what kept the daemon from starting.
    """
    assembly = load_lean(file)
    logs.configure()
    on_fastest_loop(run_daemon(assembly, http=http, clock_rate=clock_rate))


def on_fastest_loop(running: Coroutine[object, object, object]) -> None:
    """Runs a coroutine to its end on uvloop, or on asyncio's own loop where uvloop is not to be had."""
    if find_spec("uvloop") is None:
        asyncio.run(running)
        return
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(running)
