"""A population for people: sums, trees, feeders, the margin in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scowl_edge.compiled import COMPILED
from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import PeerKind
from scowl_edge.model.view import FeederView, PopulationTreeView, PopulationView
from scowl_edge.tracker.population.census import Plant
from scowl_edge.tracker.population.intake import REFUSALS

if TYPE_CHECKING:
    from scowl_edge.tracker.population.population import Population

FIXED = declare("population-margin", "{} % of each plant's output is kept free, as configured")
_PLANTS = {Plant.WIND: "wind", Plant.SUN: "sun", Plant.FIXED: "fixed", Plant.CONTINUOUS: "continuous"}


def view(population: Population) -> PopulationView:
    """Everything that is published of a population."""
    declared, columns, now = population.declared, population.columns, population.standing
    quantum = declared.quantum_w
    fresh = population.fresh.tolist()
    return PopulationView(
        name=declared.name,
        kind=declared.kind.value,
        compiled=COMPILED,
        members=_of(now.members),
        starved=_of(now.starved),
        wanted_w=int(now.wanted.sum()) * quantum,
        served_w=int(now.served.sum()) * quantum,
        unserved_w=_of(np.maximum(0, now.unserved) * quantum),
        generation_w=int(population.output.sum()) * quantum,
        safe_w=int(columns.tree_safe.sum()) * quantum,
        trees=tuple(
            PopulationTreeView(
                plant=_PLANTS[Plant(plant)],
                output_w=output * quantum,
                safe_w=safe * quantum,
                load_w=load * quantum,
                members=members,
                alive=bool(alive),
                fresh=fresh[t],
            )
            for t, (plant, output, safe, load, members, alive) in enumerate(
                zip(
                    population.fleet.plant.tolist(),
                    population.output.tolist(),
                    columns.tree_safe.tolist(),
                    columns.tree_load.tolist(),
                    now.tree_members.tolist(),
                    columns.tree_alive.tolist(),
                    strict=True,
                )
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
        margin=Reason(FIXED, (declared.margin_ppm // 10_000,)),
        score=population.score(),
        refused=tuple(zip(REFUSALS, population.intake.refused.tolist(), strict=True))
        if declared.kind is PeerKind.REPORTED
        else (),
    )


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
