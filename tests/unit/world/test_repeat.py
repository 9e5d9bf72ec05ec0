"""The same seed gives the same course, and a journal gives the same decisions."""

from __future__ import annotations

import pytest
from bench_region import Bench, bench_of, example, islands, replayed, village

from simulators.faults import FaultKind
from simulators.world import WorldSettings


def story(world: Bench) -> Bench:
    """Something of everything: weather, load, faults, orders, a restart."""
    world.run_for(20_000)
    world.plant.set_weather(0.1, 0.1)
    world.run_for(15_000)
    device = world.site.devices[world.site.consumers[1].device].name
    world.fail(device, FaultKind.SILENCE)
    world.plant.set_load(1.3)
    world.run_for(15_000)
    world.order(device, "manual")
    world.heal(device)
    after = world.crashed()
    after.run_for(15_000)
    after.order(device, "auto")
    after.plant.set_load(0.9)
    after.plant.set_weather(0.9, 0.9)
    after.run_for(20_000)
    return after


def digests(world: Bench) -> list[tuple[tuple[str, str], ...]]:
    return [plan.digests for plan in world.plans]


@pytest.mark.parametrize("which", ["demo", "building", "village", "islands"])
def test_one_seed_gives_one_course(which: str) -> None:
    def fresh() -> Bench:
        settings = WorldSettings(seed=7)
        if which in ("demo", "building"):
            return example(which, settings)
        return bench_of(village(grid_a=17) if which == "village" else islands(), settings)

    first, second = story(fresh()), story(fresh())
    assert digests(first) == digests(second)
    assert first.plant.accepted == second.plant.accepted
    assert first.journal.durable == second.journal.durable
    assert first.plant.accepted


def test_another_seed_gives_another_course() -> None:
    first, second = (example("demo", WorldSettings(seed=seed)) for seed in (1, 2))
    for world in (first, second):
        world.run_for(20_000)
    assert digests(first) != digests(second)


@pytest.mark.parametrize("which", ["demo", "building", "village", "islands"])
def test_the_journal_of_a_whole_story_replays_identically(which: str) -> None:
    if which in ("demo", "building"):
        world = story(example(which))
    else:
        world = story(bench_of(village(grid_a=17) if which == "village" else islands()))
    report = replayed(world)
    assert report.identical, str(report.difference)
    assert report.steps > 80
    assert {s.boot for s in report.segments} == {1, 2}
