"""`scowl-edge check FILE`: every fault of a configuration at once, what is doubtful, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scowl_edge.assembly import Assembly, load
from scowl_edge.assembly.cost import cost_lines
from scowl_edge.assembly.findings import warnings
from scowl_edge.assembly.flex_cost import flex_reactions
from scowl_edge.config import ConfigError

FAULTY = 2


def check(
    file: Annotated[Path, typer.Argument(help="The configuration (YAML)", show_default=False)],
    cost: Annotated[
        bool,
        typer.Option(
            "--cost", help="Show load and worst delay of each link, and how fast ratings and flexibility react"
        ),
    ] = False,
) -> None:
    """Check the configuration FILE without touching a device.

    Prints every fault as `FILE:LINE:COLUMN: what is wrong; what to do`, and what is doubtful with `warning:` before it.
    Exit status: 0 it can be used, 2 it cannot.
    """
    try:
        assembly = load(file)
    except ConfigError as error:
        for fault in error.faults:
            typer.echo(str(fault))
        raise typer.Exit(FAULTY) from None
    for warning in warnings(assembly):
        typer.echo(f"{warning.file}:{warning.line}:{warning.column}: warning: {warning.what}; {warning.todo}")
    if cost:
        for line in cost_lines(assembly):
            typer.echo(line)
        for reaction in flex_reactions(assembly):
            typer.echo(reaction.line())
    typer.echo(summary(assembly, file))


def summary(assembly: Assembly, file: Path) -> str:
    """One line that says the file is usable and what it holds."""
    site = assembly.site
    counts = (
        (len(assembly.links), "link"),
        (len(site.devices), "device"),
        (len(assembly.points), "point"),
        (len(site.ratings), "rating"),
        (len(site.generators), "generator"),
        (len(site.consumers), "consumer"),
        (len(site.storages), "store"),
        (len(site.actuators), "actuator"),
    )
    held = ", ".join(f"{count} {noun}{'' if count == 1 else 's'}" for count, noun in counts)
    manager = site.flex.manager if site.flex is not None else None
    if manager is not None and manager.devices:
        listed = (f"{site.devices[part.device].name} as {part.kind.value}" for part in manager.devices)
        held += f", in flexibility {', '.join(listed)}"
    for population in site.populations:
        held += f", population {population.name} of {population.consumers:,} on {population.trees} trees"
    return f"{file}: ok: site {site.name}, {held}; region mode {site.policy.mode.value}"
