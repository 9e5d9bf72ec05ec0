"""`scowl-edge replay JOURNAL`: runs the decisions of a journal again and names the first difference."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import typer

from scowl_edge.journal.file import read_records
from scowl_edge.journal.records import JournalError
from scowl_edge.journal.replay import ReplayReport, SegmentResult
from scowl_edge.journal.replay import replay as run_again
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.site import Site

IDENTICAL, DIFFERENT, UNREADABLE = 0, 1, 2


def replay(
    journal: Annotated[
        Path, typer.Argument(help="The journal's file, as in the configuration's `journal: {path: ...}`")
    ],
) -> None:
    """Run the decisions of JOURNAL again and name the first difference.

    Every stretch without a gap is run from its own snapshot. The journal is only read, and may be that of a running
    daemon. Exit status: 0 all decisions are identical, 1 one differs, 2 the journal cannot be read.
    """

    # Imported here: the other subcommands need none of it at their start.
    from scowl_edge.assembly import assemble
    from scowl_edge.control.core import Core

    @cache
    def site_of(config: str) -> Site:
        return assemble(config, f"the configuration in {journal}").site

    def make_core(config: str) -> Core:
        return Core(site_of(config))

    try:
        report = run_again(read_records(journal), make_core)
        if not report.segments:
            raise JournalError(f"replay {journal}: it holds no step; was the daemon ever started with it?")
    except ScowlError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(UNREADABLE) from error
    for line in describe(report):
        typer.echo(line)
    raise typer.Exit(IDENTICAL if report.identical else DIFFERENT)


def describe(report: ReplayReport) -> list[str]:
    """A report in lines: one a run of segments that follow each other, then the sum."""
    lines: list[str] = []
    run: list[SegmentResult] = []
    for segment in report.segments:
        if run and (
            segment.boot != run[0].boot or segment.replayed != run[0].replayed or run[-1].ended_by != "snapshot"
        ):
            lines.append(_line(run))
            run = []
        run.append(segment)
    if run:
        lines.append(_line(run))
    replayed = sum(1 for s in report.segments if s.replayed)
    total = f"{report.steps} steps in {replayed} segments"
    if report.difference is None:
        lines.append(f"identical: {total}")
    else:
        lines.append(f"different: {report.difference} ({total})")
    if report.uncovered:
        lines.append(f"not covered: {report.uncovered} steps, since no snapshot tells the state before them")
    return lines


def _line(run: list[SegmentResult]) -> str:
    head = f"boot {run[0].boot}: steps {run[0].first_step} to {run[-1].last_step}"
    count = f"{len(run)} segment{'s' if len(run) > 1 else ''}"
    if not run[0].replayed:
        result = "not covered"
    else:
        different = sum(1 for s in run if s.difference)
        result = f"{different} different" if different else "identical"
    return f"{head}, {count}, up to {run[-1].ended_by}: {result}"
