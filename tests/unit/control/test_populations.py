"""A core with a population: the same inputs give the same state, a restart finds it, the journal repeats it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scowl_edge.assembly import Assembly, assemble
from scowl_edge.compiled import PLAIN_LIMIT, NotCompiled
from scowl_edge.control import Core
from scowl_edge.journal.records import SNAPSHOT
from scowl_edge.journal.replay import replay
from scowl_edge.model.codec import CodecError
from scowl_edge.model.event import RegionMode
from scowl_edge.model.site import PeerKind, Population
from scowl_edge.tracker.population.columns import NO_TREE
from simulators.world import World, WorldSettings

TEXT = """
site: {{id: district}}
region: {{mode: {mode}}}
populations:
  town: {{consumers: 300, trees: 10, feeders: 4, seed: {seed}, supply: {supply} %}}
"""


def district(*, supply: int = 220, seed: int = 1, mode: str = "auto") -> Assembly:
    return assemble(TEXT.format(supply=supply, seed=seed, mode=mode), "district.yaml")


def lived(assembly: Assembly, seconds: int, *, snapshot_every: int = 10) -> World:
    world = World(assembly, settings=WorldSettings(snapshot_every=snapshot_every))
    world.run_for(seconds * 1000)
    return world


def digests(world: World) -> list[tuple[tuple[str, str], ...]]:
    return [plan.digests for plan in world.plans]


def test_everybody_is_in_a_tree_and_no_tree_above_what_is_safe() -> None:
    world = lived(district(), 20)
    population = world.core.populations[0]
    columns = population.columns
    assert population.standing.starved.sum() == 0
    assert (columns.tree_load <= columns.tree_safe).all()
    assert (columns.zone_load <= columns.zone_limit).all()
    assert world.core.conservation_error_w == 0
    assert len(world.plans) >= 19, "it steps at least once a period"


def test_the_same_seed_gives_the_same_course_and_another_one_another() -> None:
    one, again, other = (digests(lived(district(seed=seed), 10)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_demand_moves_and_enters_the_journal_as_nothing_at_all() -> None:
    world = lived(district(), 10, snapshot_every=1000)
    seen = {dict(plan.digests)["population town"] for plan in world.plans}
    assert len(seen) > 5, "demand moves from step to step"
    inputs = [r for r in world.journal.durable if r.kind == "inputs"]
    assert max(len(r.payload) for r in inputs) < 400, "a simulated population is in the journal by its seed alone"


def test_a_snapshot_is_restored_exactly_and_a_torn_one_is_refused() -> None:
    world = lived(district(supply=90), 15)
    data = world.core.snapshot()
    other = Core(world.site)
    other.restore(data)
    assert other.snapshot() == data
    assert other.digests() == world.core.digests()
    for cut in (len(data) // 3, len(data) - 1):
        with pytest.raises((CodecError, ValueError)):
            Core(world.site).restore(data[:cut])


def test_the_journal_repeats_it() -> None:
    world = lived(district(supply=90), 30)
    report = replay(world.journal.durable, lambda text: Core(assemble(text, "journal").site))
    assert report.identical, str(report.difference)
    assert report.steps > 20


def test_a_difference_is_found_in_the_block_where_it_is() -> None:
    world = lived(district(), 25)
    snapshot = [r for r in world.journal.durable if r.kind == SNAPSHOT][-1]
    wrong = Core(world.site)
    wrong.restore(snapshot.payload[16:])
    assert wrong.sections()["population town"] != world.core.sections()["population town"]


def test_a_crash_loses_nothing() -> None:
    world = lived(district(supply=90), 12)
    before = world.core.populations[0].snapshot()
    after = world.crashed()
    assert after.core.populations[0].snapshot() == before
    after.run_for(10_000)
    assert after.core.conservation_error_w == 0


def test_in_hold_nobody_is_moved_and_in_advisory_nothing_is_done() -> None:
    world = lived(district(), 10)
    population = world.core.populations[0]
    world.order("", RegionMode.HOLD)
    world.run_for(2_000)
    before = population.columns.block_tree.copy()
    world.run_for(10_000)
    assert (population.columns.block_tree == before).all()
    world = lived(district(mode="advisory"), 3)
    advisory = world.core.populations[0]
    found = advisory.columns.block_tree.copy()
    assert (found != NO_TREE).all(), "somebody has served them before"
    world.run_for(30_000)
    assert (advisory.columns.block_tree == found).all()


def test_its_sums_are_the_regions() -> None:
    view = lived(district(supply=60), 10).core.view()
    assert view is not None
    town = view.populations[0]
    assert view.demand_w == town.wanted_w
    assert view.served_w == town.served_w
    assert sum(view.unserved_w) == sum(town.unserved_w) > 0
    assert dict(view.consumers)["starved"] == sum(town.starved) > 0
    assert town.starved[0] == 0, "class 0 is never starved"
    assert town.safe_w >= town.served_w


def test_too_many_for_uncompiled_kernels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scowl_edge.compiled.COMPILED", False)
    site = district().site
    declared = replace(site.populations[0], consumers=PLAIN_LIMIT + 1)
    with pytest.raises(NotCompiled, match=r"2,001 consumers are too many .* install the extra `scale`"):
        Core(replace(site, populations=(declared,)))


def test_kinds_are_told_apart() -> None:
    declared: Population = district().site.populations[0]
    assert declared.kind is PeerKind.SIMULATED
    assert declared.quantum_w == 1


def test_the_margin_is_explained() -> None:
    fixed = lived(district(), 3).core.populations[0].view().margin
    assert str(fixed).startswith("10 % of each plant's output is kept free, as configured: ")
    text = district().text.replace("supply:", "statistics: {sigma: 4, correlated: 2 %}, supply:")
    view = lived(assemble(text, "district.yaml"), 3).core.populations[0].view()
    assert "4 standard deviations of their members' demand and 2 % for what all do alike" in str(view.margin)
    assert view.safe_w < view.generation_w
