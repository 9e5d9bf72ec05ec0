"""On a synchronous bus a tree is bookkeeping: who is in which moves no power through any feeder."""

from __future__ import annotations

import numpy as np
import pytest
from bench_region import EXAMPLES, METER, QUICK, SHEDDABLE, Bench, bench_of, device, text_of

METERS = ("grid-meter", "feeder-a-meter", "feeder-b-meter", "hall-meter")
DEMO = (EXAMPLES / "demo.yaml").read_text()


def flows(world: Bench) -> list[int]:
    return [round(world.power(name)) for name in METERS]


def trees_of(world: Bench) -> dict[str, str]:
    return {d.name: d.tree for d in world.view.devices if d.kind == "consumer"}


def two_feeders(budget: int) -> str:
    """Wind and a gas-driven feeder, solar on the other; ten homes of 2 kW on both; a grid connection."""
    home = "kind: consumer, rated: 6 kW, deferrable: 1 kW, demand_responsive: 1 kW, on"
    names = [f"home-{n}" for n in range(10)]
    return text_of(
        [
            *(device(f"{name}-meter", METER, "kind: feeder") for name in ("grid", "feeder-a", "feeder-b")),
            device("wind-1", "power", "kind: generator, dispatch: stochastic, rated: 20 kW, on: feeder-a"),
            device("solar-1", "power", "kind: generator, dispatch: stochastic, rated: 20 kW, on: feeder-b"),
            *(device(n, SHEDDABLE, f"{home}: feeder-{'ab'[k % 2]}, class: {k % 4}") for k, n in enumerate(names)),
        ],
        region=f"{QUICK}, move_budget: {budget}",
        ratings=[
            "grid: {kind: grid, import: 32 A, meter: grid-meter}",
            "feeder-a: {kind: feeder, limit: 60 A, within: grid, meter: feeder-a-meter}",
            "feeder-b: {kind: feeder, limit: 60 A, within: grid, meter: feeder-b-meter}",
        ],
        simulated=["solar-1: {model: solar}", *(f"{n}: {{model: home, base: 2 kW, deferrable: 500 W}}" for n in names)],
    )


def test_moving_consumers_between_trees_changes_no_feeder_by_a_watt() -> None:
    mover, keeper = bench_of(two_feeders(100)), bench_of(two_feeders(0))
    meters = ("grid-meter", "feeder-a-meter", "feeder-b-meter")
    apart = set()
    for wind, sun in ((0.8, 0.6), (0.2, 0.9), (0.9, 0.1), (0.3, 0.3)):
        for world in (mover, keeper):
            world.plant.set_weather(wind, sun)
        for _ in range(15):
            mover.run_for(1_000)
            keeper.run_for(1_000)
            assert [mover.power(m) for m in meters] == [keeper.power(m) for m in meters]
            trees, others = trees_of(mover), trees_of(keeper)
            apart |= {name for name in trees if trees[name] != others[name]}
    assert len(apart) >= 4, "the twins must really differ in their trees"
    assert mover.plant.accepted == keeper.plant.accepted
    assert mover.view.conservation_error_w == keeper.view.conservation_error_w == 0


@pytest.mark.parametrize("to", range(4))
def test_rehoming_every_consumer_at_once_changes_no_feeder_by_a_watt(to: int) -> None:
    moved, still = bench_of(DEMO), bench_of(DEMO)
    for world in (moved, still):
        world.run_for(30_000)
    assert trees_of(moved) == trees_of(still)
    site, trees = moved.site, moved.core.memory.region.tree
    main = [c for c, con in enumerate(site.consumers) if site.buses[con.bus].name == "main"]
    before = trees.copy()
    trees[main] = to
    assert np.count_nonzero(trees != before) >= len(main) // 2
    for _ in range(20):
        moved.run_for(1_000)
        still.run_for(1_000)
        assert flows(moved) == flows(still)
    assert moved.view.conservation_error_w == 0
