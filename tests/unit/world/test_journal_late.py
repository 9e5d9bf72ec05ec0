"""A full or slow journal: safety commands leave all the same, others wait, the hole is written down, and it heals."""

from __future__ import annotations

import pytest
from bench_region import QUICK, Bench, bench_of, replayed, village

from scowl_edge.journal.records import GAP, read_gap
from scowl_edge.model.effect import Write

LIMIT_W = 17 * 690


def begin(kind: str) -> Bench:
    world = bench_of(village(region=QUICK, grid_a=17))
    world.run_for(10_000)
    if kind == "full":
        world.journal.full = True
    else:
        world.journal.delay_ms = 500 if kind == "slow" else -1
    world.run_for(2_000)
    return world


def end(world: Bench) -> None:
    world.journal.full = False
    world.journal.delay_ms = 0


KINDS = pytest.mark.parametrize("kind", ["full", "slow", "dead"])


@KINDS
def test_what_protects_a_rating_does_not_wait_for_the_disk(kind: str) -> None:
    world = begin(kind)
    assert "journal" in world.alarms()
    world.plant.set_weather(wind=0.0)
    world.run_for(15_000)
    assert world.power("grid-meter") <= LIMIT_W
    assert world.writes()
    sent = [e.command for p in world.plans for e in p.effects if isinstance(e, Write)]
    assert any(c.safety for c in sent)


@KINDS
def test_what_does_not_protect_is_withheld_until_the_disk_takes_it(kind: str) -> None:
    world = bench_of(village(region=QUICK, grid_a=17))
    world.plant.set_weather(wind=0.1)
    world.run_for(20_000)
    assert world.states() != {"served": 6} or world.power("gas-1") < 0
    before = world.plant.accepted[-1:]
    if kind == "full":
        world.journal.full = True
    else:
        world.journal.delay_ms = 500 if kind == "slow" else -1
    world.run_for(2_000)
    since = len(world.writes())
    world.plant.set_weather(wind=0.9)
    world.run_for(30_000)
    assert [w for w in world.writes()[since:] if w.signal == "shed_request" and w.value == 0] == []
    assert [w for w in world.writes()[since:] if w.signal == "connect" and w.value == 1] == []
    assert world.writes()[since:] == [], f"giving back can wait: {before}"
    end(world)
    world.run_for(90_000)
    assert world.states() == {"served": 6}
    assert world.power("gas-1") == 0
    assert "journal" not in world.alarms()


@KINDS
def test_the_hole_is_recorded_told_to_the_core_and_everything_else_replays(kind: str) -> None:
    world = begin(kind)
    world.plant.set_weather(wind=0.0)
    world.run_for(10_000)
    assert not [r for r in world.journal.durable if r.kind == GAP]
    end(world)
    world.run_for(20_000)
    assert "journal" not in world.alarms()
    gaps = [read_gap(r) for r in world.journal.durable if r.kind == GAP]
    assert len(gaps) == 1
    assert gaps[0].last_step - gaps[0].first_step >= 8
    assert world.core.memory.situation.gap_steps == gaps[0].last_step - gaps[0].first_step + 1
    report = replayed(world)
    assert report.identical, str(report.difference)
    assert report.steps > 20
    assert report.segments[-1].replayed, "after the hole it is whole again"


@KINDS
def test_a_crash_within_the_hole_loses_no_shed(kind: str) -> None:
    world = bench_of(village(region=QUICK, grid_a=17, homes=", deferral: 30 s"))
    for name in ("gas-1", "charger-1"):
        world.order(name, "manual")
    world.run_for(10_000)
    world.journal.delay_ms = -1
    if kind == "full":
        world.journal.full = True
    world.plant.set_weather(wind=0.4)
    world.until(lambda: world.register("home-3", "shed_granted") > 0)
    world.run_for(3_000)
    after = world.crashed()
    after.run_for(30_000)
    held = {f"home-{n}": round(after.register(f"home-{n}", "shed_granted")) for n in (1, 2, 3, 4)}
    site = after.site
    book = {
        site.devices[site.consumers[c].device].name: s.granted_w
        for c, s in after.core.memory.book.sheds.items()
        if s.granted_w
    }
    assert book == {name: w for name, w in held.items() if w}
    assert all(after.fact(name, "overlong_sheds") == 0 for name in held)
