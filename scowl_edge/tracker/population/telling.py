"""A population for people: sums, trees, feeders, the margin in words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import COMPILED
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import Population as Declared
from scowl_edge.model.view import ClampedView, FeederView, PopulationTreeView, PopulationView
from scowl_edge.tracker.population import reports
from scowl_edge.tracker.population.census import Fleet, Plant
from scowl_edge.tracker.population.columns import Columns
from scowl_edge.tracker.population.intake import Intake
from scowl_edge.tracker.population.margin import Decided, Margins
from scowl_edge.tracker.population.standing import Standing

FIXED = declare("population-margin", "{} % of each plant's output is kept free, as configured: {:W} in all")
MIXED = declare(
    "population-margins",
    "{:W} of the plants' output is kept free: {} % of it at {} of them, as configured, at {} more, because of {} "
    "standard deviations of their members' demand and {} % for what all do alike",
)
SHOWN_CLAMPED = 20
"""Of those whose reports were clamped, so many are named."""
_PLANTS = {Plant.WIND: "wind", Plant.SUN: "sun", Plant.FIXED: "fixed", Plant.CONTINUOUS: "continuous"}


def view(
    declared: Declared,
    columns: Columns,
    now: Standing,
    margins: Margins,
    fleet: Fleet,
    output: NDArray[np.int64],
    fresh: NDArray[np.bool_],
    score: tuple[tuple[str, int], ...],
    refused: tuple[tuple[str, int], ...],
    shed: int = 0,
    clamped: tuple[ClampedView, ...] = (),
    late_steps: tuple[tuple[str, int], ...] = (),
) -> PopulationView:
    """Everything that is published of a population; `output` and `fresh` have one entry a plant; powers in quanta."""
    quantum = declared.quantum_w
    return PopulationView(
        name=declared.name,
        kind=declared.kind.value,
        compiled=COMPILED,
        members=_of(now.members),
        starved=_of(now.starved),
        wanted_w=(int(now.wanted.sum()) + shed) * quantum,
        shed_w=shed * quantum,
        clamped=clamped,
        late_steps=late_steps,
        served_w=int(now.served.sum()) * quantum,
        unserved_w=_of(np.maximum(0, now.unserved) * quantum),
        generation_w=int(output.sum()) * quantum,
        safe_w=int(columns.tree_safe.sum()) * quantum,
        trees=tuple(
            PopulationTreeView(
                plant=_PLANTS[Plant(plant)],
                output_w=gives * quantum,
                safe_w=safe * quantum,
                load_w=load * quantum,
                members=members,
                alive=bool(alive),
                fresh=is_fresh,
            )
            for plant, gives, safe, load, members, alive, is_fresh in zip(
                fleet.plant.tolist(),
                output.tolist(),
                columns.tree_safe.tolist(),
                columns.tree_load.tolist(),
                now.tree_members.tolist(),
                columns.tree_alive.tolist(),
                fresh.tolist(),
                strict=True,
            )
        ),
        feeders=tuple(
            FeederView(name=name, load_w=load * quantum, limit_w=limit * quantum if limit >= 0 else -1)
            for name, load, limit in zip(
                zone_names(columns.zone_parent.tolist()),
                columns.zone_load.tolist(),
                columns.zone_limit.tolist(),
                strict=True,
            )
        ),
        margin=_margin(declared, margins, output),
        score=score,
        refused=refused,
    )


def _margin(declared: Declared, margins: Margins, output: NDArray[np.int64]) -> Reason:
    """Why as much is kept free as is."""
    kept_w = int((output - margins.safe).sum()) * declared.quantum_w
    percent = declared.margin_ppm // 10_000
    if not declared.sigma_milli and not declared.correlated_ppm:
        return Reason(FIXED, (percent, kept_w))
    by_members = int(np.count_nonzero(margins.decided == Decided.MEMBERS))
    fixed = int(np.count_nonzero(margins.decided == Decided.FIXED))
    numbers = (kept_w, percent, fixed, by_members, declared.sigma_milli // 1_000, declared.correlated_ppm // 10_000)
    return Reason(MIXED, numbers)


def clamped(intake: Intake) -> tuple[ClampedView, ...]:
    """Those plants and consumers whose reports were clamped most often, the worst first."""
    declared, people = intake.declared, intake.people
    quantum, edge = declared.quantum_w, people.edge
    if not edge.totals[1] and not intake.output_clamped.any():
        return ()
    worst = [
        ClampedView(place=f"{declared.name}/{tree}", identity="", times=times, most_w=int(intake.rated[tree]) * quantum)
        for tree, times in reports.most_often(intake.output_clamped, SHOWN_CLAMPED)
    ]
    for kind, counts, most in (("slot", edge.clamped, edge.nameplate), ("feed", edge.big_clamped, edge.big_nameplate)):
        for at, times in reports.most_often(counts, SHOWN_CLAMPED):
            halves = people.identity_at(at if kind == "slot" else -2 - people.first_feed(at))
            identity = "".join(f"{half & 0xFFFF_FFFF_FFFF_FFFF:016x}" for half in halves)
            worst.append(
                ClampedView(place=f"{kind} {at}", identity=identity, times=times, most_w=int(most[at]) * quantum)
            )
    worst.sort(key=lambda each: -each.times)
    return tuple(worst[:SHOWN_CLAMPED])


def _of(numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[int, ...]:
    return tuple(numbers.tolist())


def zone_names(parents: list[int]) -> list[str]:
    """Names of a tree of ratings: `connection`, `substation 2`, `feeder 2.5`."""
    names: list[str] = []
    below: dict[int, int] = {}
    for above in parents:
        if above < 0:
            names.append("connection")
            continue
        below[above] = below.get(above, 0) + 1
        number = names[above].removeprefix("connection").removeprefix("substation ").removeprefix("feeder ")
        path = f"{number}.{below[above]}" if number else str(below[above])
        names.append(f"{'feeder' if '.' in path else 'substation'} {path}")
    return names
