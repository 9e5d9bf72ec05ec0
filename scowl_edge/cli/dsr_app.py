"""The subcommands of `scowl-edge dsr`: what each takes, and what its `--help` teaches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

dsr = typer.Typer(
    name="dsr",
    help="Flexibility (demand-side response): what appliances offer, what is selected, delivered and overridden.",
    epilog="Begin with `scowl-edge dsr offers`. Orders need the operator's token, and say who gives them and why.",
    no_args_is_help=True,
)

_URL = "http://127.0.0.1:8080"
Url = Annotated[str, typer.Argument(metavar="[URL]", help="Address of the daemon.", show_default=_URL)]
Token = Annotated[
    Path | None,
    typer.Option(metavar="FILE", show_default=False, help="Holds the token; orders need the operator's."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the API's answer as JSON.")]
Who = Annotated[str, typer.Option(metavar="NAME", show_default=False, help="Who orders it; goes into the journal.")]
Why = Annotated[str, typer.Option(metavar="TEXT", show_default=False, help="Why; goes into the journal.")]
Appliance = Annotated[
    str, typer.Argument(metavar="APPLIANCE", show_default=False, help="Its id, as `offers` shows it.")
]


@dsr.command(epilog="Example: scowl-edge dsr offers http://127.0.0.1:8080")
def offers(url: Url = _URL, token_file: Token = None, json: Json = False) -> None:
    """Show what appliances offer now, those that may be selected first.

    Of thousands the first 100 are shown. Exit status 1 if no daemon answers.
    """
    from scowl_edge.cli import dsr as command
    from scowl_edge.cli.asking import Asking

    command.offers(Asking(url, token_file), as_json=json)


@dsr.command(epilog="Example: scowl-edge dsr report http://127.0.0.1:8080 --json")
def report(url: Url = _URL, token_file: Token = None, json: Json = False) -> None:
    """Show goal, last plan, selections, and the books: intended, promised, delivered.

    Energy is in Wh. What is short was promised and measured as not delivered; what is unproven nobody measured.
    """
    from scowl_edge.cli import dsr as command
    from scowl_edge.cli.asking import Asking

    command.report(Asking(url, token_file), as_json=json)


@dsr.command(
    epilog="Example: scowl-edge dsr select 9b2e5f31 --offer 0b9e... --profile b2... --start 2026-11-21T23:00:00Z "
    "--who ann --why 'test of the charger' --token-file token"
)
def select(
    appliance: Appliance,
    offer: Annotated[str, typer.Option(metavar="ID", show_default=False, help="Of an offer of its.")],
    profile: Annotated[str, typer.Option(metavar="ID", show_default=False, help="Of a profile of that offer.")],
    start: Annotated[
        str, typer.Option(metavar="TIME", show_default=False, help="ISO 8601 with a zone, within the offer's window.")
    ],
    who: Who,
    why: Why,
    url: Url = _URL,
    response: Annotated[
        bool, typer.Option("--response", help="A need of the grid: at once, without a random delay.")
    ] = False,
    token_file: Token = None,
    json: Json = False,
) -> None:
    """Select one profile of one offer. No plan moves it; `cancel` takes it back.

    The appliance has the last word: `report` shows what became of it.
    """
    from scowl_edge.cli import dsr as command
    from scowl_edge.cli.asking import Asking

    body = {
        "esa_id": appliance,
        "offer_id": offer,
        "profile_id": profile,
        "start": start,
        "mode": "RESPONSE" if response else "ROUTINE",
        "who": who,
        "why": why,
    }
    command.order(Asking(url, token_file), "select", body, as_json=json)


@dsr.command(epilog="Example: scowl-edge dsr cancel 3f1c2d4e-... --now --who ann --why 'storm is over' --token-file t")
def cancel(
    selection: Annotated[
        str, typer.Argument(metavar="SELECTION", show_default=False, help="Its id, as `report` shows it.")
    ],
    who: Who,
    why: Why,
    url: Url = _URL,
    now: Annotated[bool, typer.Option("--now", help="At once, not at the end of its present element.")] = False,
    token_file: Token = None,
    json: Json = False,
) -> None:
    """Take a selection back, before or while it runs."""
    from scowl_edge.cli import dsr as command
    from scowl_edge.cli.asking import Asking

    body = {"select_id": selection, "at": "NOW" if now else "ELEMENT_END", "who": who, "why": why}
    command.order(Asking(url, token_file), "cancel", body, as_json=json)


@dsr.command(
    epilog="Example: scowl-edge dsr override 9b2e5f31 --scope grid --until 2026-11-22T06:00:00Z --who ann "
    "--why 'long trip tomorrow' --token-file token"
)
def override(
    appliance: Appliance,
    who: Who,
    why: Why,
    url: Url = _URL,
    scope: Annotated[
        str,
        typer.Option(
            metavar="SCOPE", help="this (present job), local, grid (what others select), all, none (lifts it)."
        ),
    ] = "grid",
    until: Annotated[
        str | None, typer.Option(metavar="TIME", show_default=False, help="ISO 8601 with a zone; absent: until lifted.")
    ] = None,
    token_file: Token = None,
    json: Json = False,
) -> None:
    """Take an appliance out of flexibility for its user, at the daemon that manages it, or give it back."""
    from scowl_edge.cli import dsr as command
    from scowl_edge.cli.asking import Asking

    body = {"esa_id": appliance, "scope": scope.upper(), "until": until, "who": who, "why": why}
    command.order(Asking(url, token_file), "override", body, as_json=json)


@dsr.command(epilog="Example: scowl-edge dsr schema > scowl-flex-1.schema.json")
def schema() -> None:
    """Print the JSON Schema of all messages of scowl-flex/1; no daemon is asked."""
    from scowl_edge.cli import dsr as command

    command.schema()
