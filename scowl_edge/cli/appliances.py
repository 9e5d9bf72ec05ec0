"""`scowl-edge simulator appliances`: a street of homes whose appliances negotiate, on real links."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from scowl_edge.cli.run import on_fastest_loop
from scowl_edge.clocks import RateClock, SystemClock
from scowl_edge.dsr.limiting import SILENCE_MS
from scowl_edge.flexing import timers_at
from scowl_edge.model.errors import ScowlError
from simulators.appliances.feeder_meter import MeterServer
from simulators.appliances.neighbourhood import ManagedBy, Neighbourhood
from simulators.appliances.street_control import StreetControl


class AppliancesError(ScowlError):
    """A street cannot be simulated as it was asked for."""


def appliances(
    *,
    homes: int,
    seed: int,
    managers: Sequence[str],
    urls: Sequence[str],
    authority: Path,
    clock_rate: int,
    meter: str | None,
    control: str | None,
    midnight: datetime | None,
    failsafe_w: int,
) -> None:
    """Runs until Ctrl-C or SIGTERM.

    Raises:
        ScowlError: options that do not fit together, no authority, or an address that is taken.
    """
    if len(managers) != len(urls):
        raise AppliancesError(
            f"--manager was given {len(managers)} times and --url {len(urls)} times: each manager needs its own"
        )
    with TemporaryDirectory(prefix="scowl-appliances-") as folder:
        clock = RateClock(clock_rate, SystemClock(trust=True))
        today = datetime.fromtimestamp(clock.utc_ms() / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        begin = today if midnight is None else midnight.replace(tzinfo=midnight.tzinfo or UTC)
        street = Neighbourhood(
            homes=homes,
            seed=seed,
            midnight_ms=int(begin.timestamp() * 1000),
            managers=[ManagedBy(node=node, url=url) for node, url in zip(managers, urls, strict=True)],
            authority=authority,
            folder=Path(folder),
            clock=clock,
            rate=clock_rate,
            timers=timers_at(clock_rate),
            failsafe_w=failsafe_w,
        )
        on_fastest_loop(_serve(street, meter, control))


async def _serve(street: Neighbourhood, meter: str | None, control: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    closing: list[MeterServer | StreetControl] = []
    try:
        for what, address in (("meter", meter), ("control", control)):
            if address is None:
                continue
            host, _, port = address.rpartition(":")
            host = host.strip("[]")
            server = MeterServer(street.meters) if what == "meter" else StreetControl(street)
            try:
                opened = await server.start(host, int(port))
            except OSError as error:
                raise AppliancesError(
                    f"cannot listen on {address} for the {what}: {error.strerror or error}; take another port"
                ) from error
            closing.append(server)
            scheme = "modbus-tcp" if what == "meter" else "http"
            typer.echo(f"{what}: {scheme}://{f'[{host}]' if ':' in host else host}:{opened}")
        typer.echo(
            f"reaction: at most {street.reaction_ms / 1000:g} s from the last word of a manager to fail-safe power "
            f"(silence {SILENCE_MS / 1000:g} s + step of the physics {street.look_ms / 1000:g} s)"
        )
        living = asyncio.create_task(
            street.run(lambda: typer.echo(f"appliances: {len(street.appliances)}")), name="street"
        )
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({stopped, living}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if living.done():
            await living
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
    finally:
        for server in closing:
            await server.close()
