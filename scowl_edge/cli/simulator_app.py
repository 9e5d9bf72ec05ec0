"""`scowl-edge simulator FILE`, `proxy` and `appliances`: what they take, and what their `--help` teaches."""

from __future__ import annotations

from datetime import datetime
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
    "passes: `scowl-edge simulator proxy`. Or be a street of appliances that offer flexibility: `scowl-edge simulator "
    "appliances`.",
    epilog="Example: scowl-edge simulator examples/demo.yaml --control 127.0.0.1:9000. The options of `simulator FILE` "
    "are those of `simulator play FILE`.",
    no_args_is_help=True,
    subcommand_metavar="FILE | proxy ... | appliances ...",
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


@simulator.command(
    epilog="Example: scowl-edge simulator appliances --homes 6 --manager cem:house-4 --url https://127.0.0.1:8443 "
    "--authority scowl-edge-authority --meter 127.0.0.1:5021"
)
def appliances(
    manager: Annotated[
        list[str],
        typer.Option(metavar="NODE", show_default=False, help="Node id of a manager; several share the homes in turn."),
    ],
    url: Annotated[
        list[str], typer.Option(metavar="URL", show_default=False, help="Where it listens; one for each --manager.")
    ],
    homes: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="How many homes.")] = 6,
    seed: Annotated[int, typer.Option(metavar="N", help="Of all that differs from home to home.")] = 1,
    authority: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Of the authority that issues the appliances' certificates.")
    ] = Path("scowl-edge-authority"),
    clock_rate: Annotated[
        int, typer.Option(min=1, max=60, metavar="N", help="Time runs N times faster, as with `run --clock-rate N`.")
    ] = 1,
    meter: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            callback=loopback_address,
            show_default=False,
            help="Show the feeder's power and energy here, as a Modbus TCP meter.",
        ),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            callback=loopback_address,
            show_default=False,
            help="Listen here for control over HTTP (truth, users' overrides).",
        ),
    ] = None,
    midnight: Annotated[
        datetime | None,
        typer.Option(metavar="TIME", show_default=False, help="UTC at which the homes' day begins. [default: today's]"),
    ] = None,
    failsafe: Annotated[
        int, typer.Option(min=0, metavar="W", help="Most that each takes when nobody is heard; a manager may say less.")
    ] = 4_200,
) -> None:
    """Be a street: vehicles, heat pumps, washing machines, freezers, roofs and batteries that negotiate, each with a
    certificate and a link of its own to its manager.

    The same seed is the same street. The control port tells each appliance's truth, and is where users take over:

      curl http://HOST:PORT/truth\n
      curl -X POST http://HOST:PORT/override -d '{"esa_id": "washing-1-0", "scope": "ALL"}'
    """
    from scowl_edge.cli import appliances as command

    command.appliances(
        homes=homes,
        seed=seed,
        managers=manager,
        urls=url,
        authority=authority,
        clock_rate=clock_rate,
        meter=meter,
        control=control,
        midnight=midnight,
        failsafe_w=failsafe,
    )
