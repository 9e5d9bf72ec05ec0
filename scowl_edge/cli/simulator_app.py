"""`scowl-edge simulator FILE` and `scowl-edge simulator proxy`: what they take, and what their `--help` teaches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scowl_edge.cli.addresses import loopback_address

_PLAY = "play"


class _FileOrCommand(TyperGroup):
    """`simulator FILE` is `simulator play FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [_PLAY, *args]
        return super().parse_args(ctx, args)


simulator = typer.Typer(
    cls=_FileOrCommand,
    name="simulator",
    help="Play the devices of a configuration: `scowl-edge simulator FILE`. Or stand before a device and spoil what "
    "passes: `scowl-edge simulator proxy`.",
    epilog="Example: scowl-edge simulator examples/demo.yaml --control 127.0.0.1:9000. The options of `simulator FILE` "
    "are those of `simulator play FILE`.",
    no_args_is_help=True,
    subcommand_metavar="FILE | proxy ...",
)


@simulator.command(_PLAY, epilog="Example: scowl-edge simulator examples/demo.yaml --control 127.0.0.1:9000")
def play(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration (YAML).", show_default=False)],
    clock_rate: Annotated[
        float, typer.Option(min=0.01, max=1_000, metavar="N", help="Time of the simulated world runs N times faster.")
    ] = 1.0,
    control: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            callback=loopback_address,
            show_default=False,
            help="Listen here for control over HTTP (weather, load, faults) instead of where the file says.",
        ),
    ] = None,
) -> None:
    """Simulate the devices that FILE describes, on real sockets, for `scowl-edge run` on the same FILE.

    The control port sets weather, load and faults, and tells each device's truth and every write that it accepted:

      curl -X POST http://HOST:PORT/weather -d '{"wind": 0.1}'\n
      curl http://HOST:PORT/truth
    """
    from scowl_edge.cli import simulator as command

    command.simulator(file, clock_rate=clock_rate, control=control)


@simulator.command(
    epilog="Example: scowl-edge simulator proxy --listen 127.0.0.1:15120 --to 192.168.1.20:502 --control "
    "127.0.0.1:15121 --fault delay,ms=300,unit=3 --fault late,ms=900,probability=0.05"
)
def proxy(
    listen: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT|pty:PATH",
            show_default=False,
            help="Where clients find it; pty:PATH makes a serial port there. Loopback only, unless --anywhere.",
        ),
    ],
    to: Annotated[
        str,
        typer.Option(metavar="HOST:PORT|pty:PATH", show_default=False, help="The device; pty:PATH is a serial port."),
    ],
    framing: Annotated[
        str,
        typer.Option(
            metavar="tcp|rtu|none",
            help="How clients speak: Modbus TCP, frames of a serial line, or a stream that is not looked into "
            "(TLS, OPC-UA). A serial port is always rtu.",
            show_default=False,
        ),
    ] = "",
    to_framing: Annotated[
        str, typer.Option(metavar="tcp|rtu", help="How the device speaks, if otherwise.", show_default=False)
    ] = "",
    control: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            callback=loopback_address,
            show_default=False,
            help="Listen here for control over HTTP (faults, counters, logs).",
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[,key=value...]", show_default=False, help="A fault that is on from the start; several may be."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of all that happens by chance.")] = 1,
    anywhere: Annotated[
        bool,
        typer.Option(
            "--anywhere", help="Listen also where other machines can reach it: they can command the device then."
        ),
    ] = False,
) -> None:
    """Stand before a Modbus device, a real one or a simulated one, hand on what passes, and do harm on demand.

    Faults: delay, jitter, late, loss, silence, half-open, reset, truncate, bytewise, duplicate, shifted, wrong-id,
    wrong-unit, garbage, busy, gateway, exception, refusal, ack-not-applied, lost-answer, stuck, second-master, pace.

    Each injection is counted, and every frame and answer is logged, at the control port:

      curl -X POST http://HOST:PORT/faults -d '{"kind": "shifted", "unit": 3, "for_s": 10}'\n
      curl http://HOST:PORT/injected
    """
    from scowl_edge.cli import proxy as command

    command.proxy(
        listen,
        to,
        framing=framing,
        to_framing=to_framing,
        control=control,
        faults=fault or [],
        seed=seed,
        anywhere=anywhere,
    )
