"""The command line: what each subcommand takes, and what its `--help` teaches."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from scowl_edge import __version__
from scowl_edge.cli.addresses import any_address, loopback_address
from scowl_edge.cli.dsr_app import dsr
from scowl_edge.cli.simulator_app import simulator
from scowl_edge.model.errors import ScowlError

FAILED, WRONG = 1, 2
MOST_CONSUMERS = 20_000_000
"""As the configuration allows in one population."""


class _Commands(TyperGroup):
    """Tells our own errors as one message; a defect still shows its traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ScowlError as error:
            # Imported here: `--help` needs no configuration.
            from scowl_edge.config import ConfigError

            typer.echo(str(error), err=True)
            raise typer.Exit(WRONG if isinstance(error, ConfigError) else FAILED) from error


main = typer.Typer(
    cls=_Commands,
    name="scowl-edge",
    help="Control daemon for solar, batteries, chargers and flexible loads at the edge of the grid.",
    epilog="Begin with `scowl-edge demo`; then write a configuration, `scowl-edge check FILE`, `scowl-edge run FILE`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


ConfigFile = Annotated[Path, typer.Argument(metavar="FILE", help="The configuration (YAML).", show_default=False)]
Http = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        callback=loopback_address,
        show_default=False,
        help="Listen here instead of where the configuration says; port 0 takes any free one.",
    ),
]
AnyHttp = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        callback=any_address,
        show_default=False,
        help="Listen here instead of where the configuration says; port 0 takes any free one. Off loopback only if it "
        "has `tls`.",
    ),
]
ClockRate = Annotated[
    int,
    typer.Option(
        min=1,
        max=1_000,
        metavar="N",
        help="For tests: time runs N times faster. Refused unless every listener and every link is loopback.",
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"scowl-edge {__version__}")
        raise typer.Exit


@main.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that stand before the subcommand."""


@main.command(epilog="Example: scowl-edge run site.yaml --http 127.0.0.1:8080")
def run(file: ConfigFile, http: AnyHttp = None, clock_rate: ClockRate = 1) -> None:
    """Run the daemon on the site that FILE describes, until SIGTERM or Ctrl-C.

    Begins in the mode that the file names, `advisory` if it names none: everything is planned and nothing written.
    When stopped, each device is left as its `on_stop` says.
    """
    from scowl_edge.cli import run as command

    command.run(file, http=http, clock_rate=clock_rate)


@main.command(
    epilog="Example: scowl-edge demo --population 100000 --http 127.0.0.1:8080, then open the address that it prints."
)
def demo(
    http: Http = None,
    clock_rate: ClockRate = 1,
    population: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_CONSUMERS,
            metavar="N",
            help="Balance a town of N simulated homes, shops and works beside the devices. More than 2,000 need the "
            "extra `scale`: pip install 'scowl-edge[scale]'.",
        ),
    ] = 0,
) -> None:
    """Run the daemon on a simulated region: wind, solar, gas, a battery, buildings; no hardware is needed.

    Prints the daemon's address on a line of its own and runs until Ctrl-C. With --population it may first take up to a
    minute, once on a machine, to compile the kernels that balance a large town.
    """
    from scowl_edge.cli import demo as command

    command.demo(http=http, clock_rate=clock_rate, population=population)


@main.command(epilog="Example: scowl-edge check site.yaml --cost")
def check(
    file: ConfigFile,
    cost: Annotated[
        bool,
        typer.Option("--cost", help="Also print the load of each link, and how fast ratings and flexibility react."),
    ] = False,
) -> None:
    """Check a configuration without touching a device.

    All faults are told at once, as `file:line:column: what is wrong; what to do`. Exit status 0 if there is none, 2
    otherwise.
    """
    from scowl_edge.cli import check as command

    command.check(file, cost)


@main.command(epilog="Example: scowl-edge status http://127.0.0.1:8080 --once")
def status(
    url: Annotated[str, typer.Argument(help="Address of the daemon.")] = "http://127.0.0.1:8080",
    once: Annotated[bool, typer.Option("--once", help="Print once and exit; without a terminal always.")] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default=False, help="Holds a viewer's or an operator's token, where reading needs one."
        ),
    ] = None,
) -> None:
    """Show a running daemon's region as a live table; Ctrl-C ends it.

    Exit status 1 if no daemon answers.
    """
    from scowl_edge.cli import status as command

    command.status(url, once=once or not sys.stdout.isatty(), token_file=token_file)


@main.command(epilog="Example: scowl-edge replay scowl-edge.db")
def replay(
    journal: Annotated[
        Path,
        typer.Argument(metavar="JOURNAL", help="The file that the configuration names in `journal: {path: ...}`."),
    ],
) -> None:
    """Run the decisions of a journal again and name the first difference.

    The journal is only read, and may be that of a running daemon. Exit status: 0 all decisions are identical, 1 one
    differs, 2 the journal cannot be read.
    """
    from scowl_edge.cli import replay as command

    command.replay(journal)


@main.command(epilog="Example: scowl-edge export scowl-edge.db --what commands --from 2026-01-31 -o commands.csv")
def export(
    file: Annotated[
        Path, typer.Argument(metavar="JOURNAL", help="The journal's file, or the telemetry's.", show_default=False)
    ],
    what: Annotated[
        str,
        typer.Option(metavar="TABLE", help="commands, decisions, inputs, events or trends.", show_default=False),
    ],
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="csv or parquet.")] = "csv",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write here instead of to standard output."),
    ] = None,
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Leave out what was before this time (ISO 8601, UTC).")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Leave out what was at this time or later.")
    ] = None,
    telemetry: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take trends or events from this file instead of the one beside JOURNAL."),
    ] = None,
) -> None:
    """Write what a journal or the telemetry holds as a table: CSV, or Parquet where pyarrow is installed.

    Commands and inputs are read, decisions and events found by deciding again; trends are in the telemetry's file,
    found beside the journal. Values are in base units, + is consumption. The files are only read, and may be those of
    a running daemon. Exit status 2 if that cannot be done.
    """
    from scowl_edge.cli import export as command

    command.export(file, what=what, form=form, output=output, begin=begin, end=end, telemetry=telemetry)


main.add_typer(simulator)
main.add_typer(dsr)


pki = typer.Typer(
    name="pki",
    help="Show and change which certificates are trusted on secured OPC-UA links; issue those of nodes of flexibility.",
    epilog="A secured link trusts nobody at first: it shows up as down, and the server's certificate lies among the "
    "rejected. Look at it with `scowl-edge pki show`, compare the thumbprint with what the server's own tool shows, "
    "then `scowl-edge pki trust THUMBPRINT`. The server must trust ours the same way.",
    no_args_is_help=True,
)
main.add_typer(pki)

PkiFolder = Annotated[
    Path | None,
    typer.Option(
        "--pki", metavar="FOLDER", show_default=False, help="The folder of certificates. [default: scowl-edge-pki]"
    ),
]
PkiConfig = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", show_default=False, help="Take the folder from this configuration."),
]
PkiLink = Annotated[
    str | None,
    typer.Option("--link", metavar="NAME", show_default=False, help="Which link of it, where they have several."),
]


@pki.command("show", epilog="Example: scowl-edge pki show --config site.yaml --link scada")
def pki_show(folder: PkiFolder = None, config: PkiConfig = None, link: PkiLink = None) -> None:
    """Show the own certificate (made if there is none), and those that are trusted and rejected.

    The own one is what each server must be told to trust; its key never leaves the folder. The rejected ones were
    shown by servers that this side does not trust yet.
    """
    from scowl_edge.cli import pki as command

    command.show(command.folder_of(folder, config, link))


@pki.command("trust", epilog="Example: scowl-edge pki trust 3F2A9C --pki /var/lib/scowl-edge/pki")
def pki_trust(
    what: Annotated[
        str,
        typer.Argument(
            metavar="THUMBPRINT|FILE",
            show_default=False,
            help="Of a rejected certificate (its first 6 digits or more), or a file in DER or PEM.",
        ),
    ],
    folder: PkiFolder = None,
    config: PkiConfig = None,
    link: PkiLink = None,
) -> None:
    """Trust a server's certificate: one that was rejected, or one from a file.

    Compare the thumbprint with what the server's own tool shows before you do: whoever holds the key of a trusted
    certificate can stand between daemon and server.
    """
    from scowl_edge.cli import pki as command

    command.trust(command.folder_of(folder, config, link), what)


@pki.command("forget", epilog="Example: scowl-edge pki forget 3F2A9C --config site.yaml")
def pki_forget(
    what: Annotated[
        str,
        typer.Argument(metavar="THUMBPRINT", show_default=False, help="Of a certificate (its first 6 digits or more)."),
    ],
    folder: PkiFolder = None,
    config: PkiConfig = None,
    link: PkiLink = None,
) -> None:
    """Trust a certificate no more. One that is not trusted anyway is deleted."""
    from scowl_edge.cli import pki as command

    command.forget(command.folder_of(folder, config, link), what)


AuthorityFolder = Annotated[
    Path,
    typer.Option(
        "--authority", metavar="FOLDER", show_default=False, help="Of the authority. [default: scowl-edge-authority]"
    ),
]


@pki.command("authority", epilog="Example: scowl-edge pki authority --name 'Mill Lane'")
def pki_authority(
    folder: AuthorityFolder = Path("scowl-edge-authority"),
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What it calls itself.")] = "scowl-edge",
) -> None:
    """Make an authority of your own for links of flexibility: for tests, and for sites that have none.

    Its key stays in the folder: whoever has it can pass for any node.
    """
    from scowl_edge.cli import authority as command

    command.create(folder, name)


@pki.command("issue", epilog="Example: scowl-edge pki issue cem:house-4 --host house-4.example --host 192.0.2.7")
def pki_issue(
    node: Annotated[
        str,
        typer.Argument(metavar="NODE", show_default=False, help="dsrsp:NAME, cem:NAME or esa:NAME."),
    ],
    folder: AuthorityFolder = Path("scowl-edge-authority"),
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="HOST", help="Name or address at which it listens; may be given several times."),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long it is good for.")] = 825,
) -> None:
    """Issue certificate and key of a node of flexibility. Again for the same node: in place of the ones before."""
    from scowl_edge.cli import authority as command

    command.issue(folder, node, host or [], days)
