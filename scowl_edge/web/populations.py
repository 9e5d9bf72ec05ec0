"""A population's view as JSON: what goes out with each step is short, however many trees and feeders there are."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from scowl_edge.model.reason import watts
from scowl_edge.model.view import FeederView, PopulationTreeView, PopulationView, RegionView
from scowl_edge.web import present, wire
from scowl_edge.web.population_wire import (
    PopulationClampedOut,
    PopulationClassOut,
    PopulationFeederOut,
    PopulationOut,
    PopulationScoreOut,
    PopulationTreeOut,
)

_LABELS = {
    "steps": "steps judged",
    "served_of_bound_ppb": "served of what is possible",
    "starved": "starved now",
    "starved_at_least": "fewest that must starve now",
    "starved_above_least_at_worst": "starved beyond these, at worst",
    "changed_hands": "consumers that changed hands",
    "changes_at_least": "fewest that had to",
    "unserved_weighted_wh": "unserved, weighted by class",
    "worst_starved_s": "longest time without power",
    "switchings": "plants and stores switched",
    "mixed_blocks": "blocks in several trees",
    "over_w": "above safe loads, left for the next step",
    "above_limits_w": "above limits of feeders, nothing may be starved",
    "uncovered_w": "above safe loads, nothing may be starved",
    "in_pieces_w": "starved though supply is left, in pieces",
    "shed_asked_w": "load asked for, not answered yet",
    "shed_granted_w": "load granted",
    "shed_in_doubt_w": "load asked for, never answered",
    "shed_rebound_w": "drawn beyond the usual after sheds",
    "sheds_granted": "requests granted, all or in part",
    "sheds_refused": "requests refused",
}
"""What people read for the numbers of a score; any further one is told by its name without the unit."""
MOST_BARS = 400
"""Entries of the strip of loads; with more trees, several share one."""
NAMED_FEEDERS = 6
_NAMED_TREES = 5
_OVER = 2_000
"""Per mille that say: load, and nothing that bears it."""


def population(view: PopulationView) -> PopulationOut:
    """A population in sums."""
    a_bar = max(1, -(-len(view.trees) // MOST_BARS))
    return PopulationOut(
        name=view.name,
        kind=view.kind,
        compiled=view.compiled,
        consumers=sum(view.members),
        starved=sum(view.starved),
        wanted_w=view.wanted_w,
        served_w=view.served_w,
        unserved_w=sum(view.unserved_w),
        shed_w=view.shed_w,
        generation_w=view.generation_w,
        safe_w=view.safe_w,
        classes=[
            PopulationClassOut(
                load_class=k, consumers=members, served=members - starved, starved=starved, unserved_w=unserved_w
            )
            for k, (members, starved, unserved_w) in enumerate(
                zip(view.members, view.starved, view.unserved_w, strict=True)
            )
            if members or unserved_w
        ],
        margin=present.reason(view.margin),
        score=[score(what, value) for what, value in view.score],
        refused=dict(view.refused),
        late_steps=dict(view.late_steps),
        fullest_feeders=[feeder(f) for f in fullest(view.feeders)],
        trees=len(view.trees),
        trees_alive=sum(tree.alive for tree in view.trees),
        trees_a_bar=a_bar,
        load_permille=[_fullest_of(view.trees[n : n + a_bar]) for n in range(0, len(view.trees), a_bar)],
        trees_text=trees_in_words(view.trees),
    )


def fill_permille(tree: PopulationTreeView) -> int:
    """Load of the safe load; never below 0: a tree that takes back more than it gives is empty."""
    if tree.load_w <= 0:
        return 0
    return tree.load_w * 1_000 // tree.safe_w if tree.safe_w > 0 else _OVER


def _fullest_of(trees: Sequence[PopulationTreeView]) -> int | None:
    return max((fill_permille(tree) for tree in trees if tree.alive), default=None)


def trees_in_words(trees: Sequence[PopulationTreeView]) -> str:
    """What the strip of loads shows, for who does not see it."""
    alive = [n for n, tree in enumerate(trees) if tree.alive]
    told = [f"{len(trees)} {'tree' if len(trees) == 1 else 'trees'}, {len(alive)} in service"]
    if alive:
        top = max(alive, key=lambda n: fill_permille(trees[n]))
        told.append(f"the fullest, {top}, carries {watts(trees[top].load_w)} of {watts(trees[top].safe_w)}")
    over = [n for n in alive if fill_permille(trees[n]) > 1_000]
    told.append(f"above its safe load: {_named(over)}" if over else "none above its safe load")
    if dead := [n for n, tree in enumerate(trees) if not tree.alive]:
        told.append(f"out of service: {_named(dead)}")
    if stale := [n for n, tree in enumerate(trees) if not tree.fresh]:
        told.append(f"not measured freshly: {_named(stale)}")
    return "; ".join(told)


def _named(numbers: Sequence[int]) -> str:
    more = f" and {len(numbers) - _NAMED_TREES} more" if len(numbers) > _NAMED_TREES else ""
    return ", ".join(map(str, numbers[:_NAMED_TREES])) + more


def fullest(feeders: Sequence[FeederView]) -> list[FeederView]:
    """Feeders nearest to their limits, the fullest first; one without a limit is near none."""
    return heapq.nlargest(NAMED_FEEDERS, (f for f in feeders if f.limit_w >= 0), key=lambda f: f.use_ppm)


def feeder(view: FeederView) -> PopulationFeederOut:
    """One feeder."""
    return PopulationFeederOut(name=view.name, load_w=view.load_w, limit_w=view.limit_w)


def score(what: str, value: int) -> PopulationScoreOut:
    """One number of the score; its unit is the last part of its name."""
    *words, unit = what.replace("_", "-").split("-")
    told = {
        "ppb": lambda: f"{value / 10_000_000:.7f}".rstrip("0").rstrip(".") + " %",
        "ppm": lambda: f"{value / 10_000:.4f}".rstrip("0").rstrip(".") + " %",
        "w": lambda: watts(value),
        "wh": lambda: f"{watts(value)}h",
        "s": lambda: f"{value:,} s",
        "ms": lambda: f"{value / 1_000:g} s",
    }.get(unit)
    if told is None or not words:
        words, told = [*words, unit], lambda: f"{value:,}"
    return PopulationScoreOut(what=what, value=value, label=_LABELS.get(what, " ".join(words)), text=told())


def trees(view: PopulationView) -> Iterator[PopulationTreeOut]:
    """Every tree."""
    for n, tree in enumerate(view.trees):
        yield PopulationTreeOut(
            name=view.tree_name(n),
            plant=tree.plant,
            output_w=tree.output_w,
            safe_w=tree.safe_w,
            load_w=tree.load_w,
            members=tree.members,
            alive=tree.alive,
            fresh=tree.fresh,
        )


def clamped(view: PopulationView) -> Iterator[PopulationClampedOut]:
    """Whoever reports above the nameplate most often."""
    for each in view.clamped:
        yield PopulationClampedOut(place=each.place, identity=each.identity, times=each.times, most_w=each.most_w)


def among_trees(view: RegionView) -> Iterator[wire.TreeOut]:
    """The trees of all populations as rows beside those of devices."""
    for each in view.populations:
        for n, tree in enumerate(each.trees):
            yield wire.TreeOut(
                name=each.tree_name(n),
                bus=each.name,
                output_w=tree.output_w,
                safe_w=tree.safe_w,
                load_w=tree.load_w,
                over_assigned_w=max(0, tree.load_w - tree.safe_w),
                members=[],
                # A plant that fails gives up its members in the same step, but for those that nobody else takes.
                blackout=not tree.alive and tree.members > 0,
                fresh=tree.fresh,
                population=each.name,
                member_count=tree.members,
            )
