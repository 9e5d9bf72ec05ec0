"""`scowl-edge simulator FILE`: plays all devices of a configuration on the addresses of its links."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import typer

from scowl_edge.assembly import Assembly, load
from simulators.serving import links_in_words, serve


def simulator(file: Path, *, clock_rate: float, control: str | None) -> None:
    """Runs until Ctrl-C or SIGTERM.

    Raises:
        ConfigError: with all faults of the file.
        ScowlError: an address is not loopback, or taken.
    """
    asyncio.run(_serve(load(file), clock_rate, control))


async def _serve(assembly: Assembly, clock_rate: float, control: str | None) -> None:
    running = await serve(assembly, clock_rate, control)
    try:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        for line in links_in_words(assembly, running.ports):
            typer.echo(line)
        for path in running.made:
            typer.echo(f"made: {path}")
        host = f"[{running.control_host}]" if ":" in running.control_host else running.control_host
        typer.echo(f"control: http://{host}:{running.control_port}")
        stopped = asyncio.create_task(stop.wait())
        plant = asyncio.create_task(running.run())
        await asyncio.wait({stopped, plant}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if plant.done():
            await plant
        plant.cancel()
        await asyncio.gather(plant, return_exceptions=True)
    finally:
        await running.close()
