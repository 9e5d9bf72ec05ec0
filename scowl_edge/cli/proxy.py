"""`scowl-edge simulator proxy`: stands before a device and does harm on demand."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

import typer

from scowl_edge.model.errors import ScowlError
from simulators.proxy import FaultProxy
from simulators.proxy.control import ProxyControl, begin, parse_fault

_FRAMINGS = ("tcp", "rtu", "none")


class ProxyError(ScowlError):
    """The proxy cannot be started."""


def proxy(
    listen: str,
    to: str,
    *,
    framing: str,
    to_framing: str,
    control: str | None,
    faults: Sequence[str],
    seed: int,
    anywhere: bool,
) -> None:
    """Runs until Ctrl-C or SIGTERM.

    Raises:
        ScowlError: an address, a framing or a fault is wrong, or an address is taken.
    """
    framing = framing or ("rtu" if listen.startswith("pty:") else "tcp")
    to_framing = to_framing or ("rtu" if to.startswith("pty:") else framing)
    for name, given in (("--framing", framing), ("--to-framing", to_framing)):
        if given not in _FRAMINGS:
            raise ProxyError(f"{name} is {given!r}; write {', '.join(_FRAMINGS)}")
    bodies = [parse_fault(text) for text in faults]

    async def serve() -> None:
        running = FaultProxy(listen, to, framing, to_framing=to_framing, seed=seed, anywhere=anywhere)
        port = ProxyControl(running)
        try:
            try:
                await running.start()
            except OSError as error:
                raise ProxyError(
                    f"cannot stand between {listen} and {to}: {error.strerror or error}; is the port free, "
                    "and the serial port there?"
                ) from error
            for body in bodies:
                begin(running, body)
            typer.echo(f"proxy: {running.listen} ({framing}) to {running.to} ({to_framing})")
            if control is not None:
                host, _, number = control.rpartition(":")
                try:
                    opened = await port.start(host.strip("[]"), int(number))
                except OSError as error:
                    raise ProxyError(f"cannot listen on {control}: {error.strerror}; name another --control") from error
                typer.echo(f"control: http://{host}:{opened}")
            stop = asyncio.Event()
            for each in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(each, stop.set)
            await stop.wait()
        finally:
            await port.close()
            await running.close()

    asyncio.run(serve())
