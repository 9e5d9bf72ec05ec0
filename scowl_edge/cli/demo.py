"""`scowl-edge demo`: the daemon on a simulated region with appliances, all in this process, over real sockets."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

import scowl_edge
from scowl_edge import logs
from scowl_edge.assembly import Assembly, assemble
from scowl_edge.cli.demo_village import moved_in, negotiating
from scowl_edge.cli.run import on_fastest_loop
from scowl_edge.compiled import COMPILED, require_compiled
from scowl_edge.config import read_file
from scowl_edge.daemon import Daemon
from scowl_edge.process import run as run_daemon
from simulators.serving import links_in_words, moved, serve

_PACKAGE = Path(scowl_edge.__file__).parent
TOWN = "town"
"""Name of the demo's population."""
_PLACES = (_PACKAGE / "examples" / "demo.yaml", _PACKAGE.parent / "examples" / "demo.yaml")
"""As installed, and in a checkout."""


def demo(*, http: str | None, clock_rate: int, population: int = 0) -> None:
    """Runs until it is stopped; journal and trends go with it.

    Args:
        http: HOST:PORT instead of the configured one.
        clock_rate: how many times faster than the wall.
        population: simulated homes and shops beside the devices; 0 = none.

    Raises:
        ScowlError: what kept the simulation or the daemon from starting.
    """
    require_compiled(population)
    logs.configure(logging.WARNING)
    if population and COMPILED:
        typer.echo("compiling the kernels that balance the town: up to a minute, unless this machine has kept them")
    with TemporaryDirectory(prefix="scowl-edge-demo-") as directory:
        assembly = prepared(Path(directory), population, clock_rate)
        if assembly.http.token_file is None and assembly.http.token_credential is None:
            token = Path(directory) / "token"
            token.touch(mode=0o600)
            token.write_text(secrets.token_urlsafe(12))
            assembly = replace(assembly, http=replace(assembly.http, token_file=token))
            typer.echo(f"operator's token, for orders: {token.read_text()}")
        on_fastest_loop(play(assembly, http, clock_rate, _village(Path(directory))))


def prepared(directory: Path, population: int = 0, clock_rate: int = 1) -> Assembly:
    """The demo's region with appliances that negotiate and a town of so many consumers, its files in a directory."""
    place = next((place for place in _PLACES if place.exists()), _PLACES[0])
    text = negotiating(read_file(str(place)), _village(directory), clock_rate)
    assembly = assemble(populated(text, population), str(place))
    return replace(
        assembly,
        journal=replace(assembly.journal, path=directory / "demo.db"),
        telemetry=replace(assembly.telemetry, path=directory / "demo.telemetry.db"),
    )


def populated(text: str, consumers: int) -> str:
    """A configuration's text with a town of so many consumers; the text, since a replay knows nothing else."""
    if not consumers:
        return text
    return f"{text.rstrip()}\n\npopulations:\n  {TOWN}: {{consumers: {consumers}}}\n"


def _village(directory: Path) -> Path:
    """Where certificates of the daemon and of all appliances lie."""
    return directory / "village"


def _free(host: str, port: int) -> str:
    """The usual port of the demo, or any other while that one is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return f"{host}:0"
    return f"{host}:{port}"


async def play(assembly: Assembly, http: str | None, clock_rate: int, village: Path | None = None) -> None:
    """Plays the devices of a region and the appliances in its homes, and runs the daemon on them, until it is stopped.

    Args:
        assembly: The region; where its daemon listens for appliances, they come.
        http: HOST:PORT instead of the configured one.
        clock_rate: How many times faster than the wall.
        village: Folder of the authority that issues the appliances' certificates; None: there are no appliances.
    """
    # Free ports: a demo must not fail because something else runs on the machine.
    simulator = await serve(assembly, clock_rate, ephemeral=True)
    try:
        for line in links_in_words(assembly, simulator.ports):
            typer.echo(line)
        typer.echo(f"simulator's control: http://{simulator.control_host}:{simulator.control_port}")
        links = moved(assembly.links, simulator.ports)
        listen = http or _free(assembly.http.host, assembly.http.port)
        listening: asyncio.Future[Daemon] = asyncio.get_running_loop().create_future()

        async def appliances(folder: Path) -> None:
            homes = moved_in(await listening, simulator.plant, folder)
            await homes.run()

        running = [
            asyncio.create_task(simulator.run()),
            asyncio.create_task(
                run_daemon(
                    replace(assembly, links=links),
                    http=listen,
                    clock_rate=clock_rate,
                    trust_clock=True,
                    began=listening.set_result,
                )
            ),
        ]
        if village is not None:
            running.append(asyncio.create_task(appliances(village)))
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            task.cancel()
        for ended in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended
    finally:
        await simulator.close()
