"""`scowl-edge simulator FILE`: plays all devices of a configuration on the links that it names."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Annotated

import typer

from scowl_edge.assembly import Assembly, load
from scowl_edge.config import ConfigError
from scowl_edge.model.errors import ScowlError


def simulator(
    file: Annotated[Path, typer.Argument(help="The configuration: the same file that `scowl-edge run` reads.")],
    clock_rate: Annotated[
        float, typer.Option("--clock-rate", min=0.01, max=1000.0, help="How many times faster than the wall time goes.")
    ] = 1.0,
    control: Annotated[
        str | None,
        typer.Option(
            "--control", metavar="HOST:PORT", help="Control port; by default `simulation: {control: ...}` of FILE."
        ),
    ] = None,
) -> None:
    """Play all devices of FILE on the addresses of its links, so that a daemon can be tried without any hardware.

    Every device is a machine with physics: wind and sun, engines that start and ramp, batteries that fill and empty,
    homes that grant sheds. Meters add up. The `simulation:` section of FILE names models, weather and load.

    The control port changes the world while it runs, for example:

      curl -X POST http://HOST:PORT/weather -d '{"wind": 0.1}'\n
      curl -X POST http://HOST:PORT/faults -d '{"device": "wind-1", "kind": "silence", "for_s": 60}'\n
      curl http://HOST:PORT/truth

    Only loopback addresses are served. Ctrl-C or SIGTERM ends it. Exit status: 0 ended, 1 a port cannot be opened, 2
    FILE is faulty.
    """
    try:
        assembly = load(file)
        asyncio.run(_serve(assembly, clock_rate, control))
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    except ScowlError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


async def _serve(assembly: Assembly, clock_rate: float, control: str | None) -> None:
    # Imported here: no other subcommand needs the physics.
    from simulators.serving import links_in_words, serve

    running = await serve(assembly, clock_rate, control)
    try:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        for line in links_in_words(assembly, running.ports):
            typer.echo(line)
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
