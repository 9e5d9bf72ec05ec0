"""The parts of the widened world: the network, the peers, the plants, the faults drawn, the state of a soak."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from scowl_edge.model.batch import ROWS, BatchKind
from scowl_edge.tracker.population.census import Plant, draw, draw_fleet
from scowl_edge.tracker.population.columns import BIG, BLOCK, NO_TREE, SLOT, lay_out
from simulators.world import peers as peers_module
from simulators.world.laws import Law
from simulators.world.mail import Mail
from simulators.world.peers import NAMEPLATE, Lie, Peers
from simulators.world.plants import Plants
from simulators.world.schedule import Schedule
from simulators.world.soak import finished, keep
from simulators.world.soak_report import page, totals
from simulators.world.trouble import MINUTE_MS, RATES, Trouble, draw_faults

TREES = 20


def peers_of(consumers: int = 1_000, seed: int = 5) -> Peers:
    census = draw(consumers, seed, quantum_w=10)
    columns, layout = lay_out(census, TREES)
    return Peers(census, columns, layout, seed, 8)


def delivered(seed: int, *, count: int = 400, **weather: int) -> tuple[list[int], Counter[str]]:
    """What arrives of numbered messages, ten seconds apart on one line."""
    schedule = Schedule()
    mail = Mail(schedule, seed, 2)
    for name, value in weather.items():
        setattr(mail.lines[1], name, value)
    got: list[int] = []
    for n in range(count):
        schedule.at(10_000 * n, lambda n=n: mail.to_tracker(1, lambda: got.append(n)))  # type: ignore[misc]
    schedule.run_until(10_000 * count + 1_000_000)
    return got, mail.counts


def test_a_calm_network_delivers_all_in_order() -> None:
    got, counts = delivered(1)
    assert got == list(range(400))
    assert counts == {"sent": 400, "arrived": 400}


def test_what_a_network_does_is_counted_as_it_happens() -> None:
    got, counts = delivered(2, loss_ppm=200_000, double_ppm=100_000, late_ppm=100_000)
    assert len(got) == counts["arrived"] == 400 - counts["lost"] + counts["doubled"]
    assert len(got) - len(set(got)) == counts["doubled"] > 10
    assert 40 < counts["lost"] < 120
    newest, overtaken = -1, 0
    for n in got:
        overtaken += n < newest
        newest = max(newest, n)
    assert overtaken == counts["overtaken"] > 10


def test_a_cut_line_delivers_nothing_until_it_is_whole() -> None:
    got, counts = delivered(3, cut_until_ms=1_005_000)
    assert got == list(range(101, 400))
    assert counts["cut off"] == 101


def test_the_same_seed_gives_the_same_network_and_another_does_not() -> None:
    weather = {"loss_ppm": 300_000, "late_ppm": 200_000}
    assert delivered(4, **weather) == delivered(4, **weather)
    assert delivered(4, **weather)[0] != delivered(5, **weather)[0]


def test_demand_keeps_its_mean_its_spread_and_its_nameplate() -> None:
    peers = peers_of()
    some = peers.present & (peers.sigma > 20)
    seen = []
    for tick in range(400):
        peers.advance(tick)
        assert (np.abs(peers.wanted) <= NAMEPLATE * np.abs(peers.nominal)).all()
        assert (peers.wanted[~peers.present] == 0).all()
        seen.append(peers.deviation[some] / peers.sigma[some])
    shape = np.asarray(seen[50:])
    assert abs(shape.mean()) < 0.05
    assert abs(shape.std() - 1) < 0.05
    follows = (shape[1:] * shape[:-1]).mean()
    assert abs(follows - 7 / 8) < 0.05


def test_every_peer_is_reported_once_and_lies_are_told() -> None:
    peers = peers_of()
    peers.advance(1)
    told: dict[int, int] = {}
    liars = {lie: int(np.flatnonzero(peers.present)[10 * lie]) for lie in Lie if lie}
    for lie, place in liars.items():
        peers.lie[place] = lie
    frozen_before = int(peers.shown[liars[Lie.FROZEN]])
    for gateway in range(peers.gateways):
        big = gateway == peers.gateways - 1
        rows = np.frombuffer(peers.report(gateway, 0), ROWS[BatchKind.FEED if big else BatchKind.DEMAND])
        for number, value in rows.tolist():
            place = number + peers.slots if big else number
            assert place not in told
            told[place] = value
    assert sorted(told) == np.flatnonzero(peers.present).tolist()
    honest = [p for p in told if p not in liars.values()]
    assert [told[p] for p in honest] == peers.wanted[honest].tolist()
    assert told[liars[Lie.FROZEN]] == frozen_before
    assert told[liars[Lie.OVER]] > NAMEPLATE * peers.nominal[liars[Lie.OVER]]
    assert told[liars[Lie.NEGATIVE]] < 0
    assert told[liars[Lie.ABSURD]] in (2**31 - 1, -(2**31))
    assert told[liars[Lie.NAN]] == 0x7FC0_0000


def test_receivers_heed_the_newest_assignment_and_say_what_they_hold() -> None:
    peers = peers_of()
    place = int(np.flatnonzero(peers.present)[3])
    block = int(np.searchsorted(peers.block_start, place, side="right")) - 1
    assert peers.feeds

    def tell(kind: int, number: int, tree: int, stamp: int) -> list[tuple[int, ...]]:
        said: list[tuple[int, ...]] = []
        parts = peers.by_gateway(np.array([kind], np.uint8), np.array([number]), np.array([tree]))
        assert len(parts) == 1
        for _, entries in parts:
            said += np.frombuffer(peers.heed(entries, stamp), ROWS[BatchKind.HELD]).tolist()
        return said

    assert tell(BLOCK, block, 3, stamp=5) == [(BLOCK, block, 3)]
    first, end = int(peers.block_start[block]), int(peers.block_start[block + 1])
    assert (peers.held[first:end] == 3).all()
    assert tell(SLOT, place, 7, stamp=6) == [(SLOT, place, 7)]
    assert peers.held[place] == 7
    assert tell(SLOT, place, 9, stamp=4) == [], "an older one is let pass"
    assert tell(BLOCK, block, 9, stamp=5) == [], "somebody in the block knows better"
    assert peers.held[place] == 7
    assert tell(BIG, 0, NO_TREE, stamp=6) == [(BIG, 0, NO_TREE)]
    load = peers.loads(TREES)
    assert load[7] == peers.wanted[place]
    assert load.sum() == peers.wanted[peers.held < TREES].sum()


def test_peers_are_the_same_whether_their_kernels_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def course_of_peers() -> list[object]:
        peers = peers_of()
        seen: list[object] = []
        for tick in range(6):
            peers.advance(tick)
            peers.level_ppm = 1_000_000 + 50_000 * tick
            if tick == 3:
                peers.vacate(int(np.flatnonzero(peers.present)[5]), 1)
            blocks = np.arange(tick, 12)
            kind, number = np.full(len(blocks) + 2, BLOCK, np.uint8), np.append(blocks, (1, tick))
            kind[-2:] = BIG, SLOT
            for _, entries in peers.by_gateway(kind, number, 3 + number % 5):
                seen.append(peers.heed(entries, 9 - tick % 4))
            seen += [peers.report(g, tick) for g in range(peers.gateways)]
            seen += [peers.wanted.tobytes(), peers.held.tobytes(), peers.told.tobytes(), peers.loads(TREES).tobytes()]
        return seen

    compiled = course_of_peers()
    for name in ("_wander", "_heed"):
        function = getattr(peers_module, name)
        monkeypatch.setattr(peers_module, name, getattr(function, "py_func", function))
    assert course_of_peers() == compiled


def test_plants_stay_within_their_rating_follow_the_weather_and_black_out_when_overloaded() -> None:
    fleet = draw_fleet(TREES, 1_000_000, 4, wind_ppm=400_000, sun_ppm=200_000)
    plants = Plants(fleet, 4)
    winds, suns = [], []
    for minute in range(2 * 1440):
        plants.advance(minute * MINUTE_MS, minute)
        assert (plants.output >= 0).all()
        assert (plants.output <= plants.rated).all()
        winds.append(int(plants.output[fleet.plant == Plant.WIND].sum()))
        suns.append(int(plants.output[fleet.plant == Plant.SUN].sum()))
    assert len(set(winds)) > 1_000
    assert suns[0] == 0 < suns[720]
    plants.trip(0, 0, 60_000)
    assert plants.output[0] == 0
    loads = plants.output + np.where(np.arange(TREES) == 1, 1, 0)
    assert plants.overloaded(loads, 1_000, 5_000).tolist() == []
    assert plants.overloaded(loads, 6_500, 5_000).tolist() == [1]
    assert plants.overloaded(plants.output, 7_000, 5_000).tolist() == []
    assert plants.overloaded(loads, 12_500, 5_000).tolist() == [], "the time begins anew"


def test_faults_of_every_kind_are_drawn_again_alike_and_end_in_time() -> None:
    begin, end = 1_000_000, 1_000_000 + 24 * 60 * MINUTE_MS
    faults = draw_faults(9, begin, end)
    assert faults == draw_faults(9, begin, end) != draw_faults(10, begin, end)
    assert {f.kind for f in faults} == set(Trouble) == set(RATES)
    assert all(begin <= f.at_ms < end for f in faults)
    assert all(f.at_ms + f.lasts_ms <= end for f in faults)
    assert faults == sorted(faults, key=lambda f: f.at_ms)


def course(seed: int, **more: object) -> dict[str, object]:
    """What a course leaves behind, in numbers that are told apart."""
    plain: dict[str, object] = {
        "seed": seed,
        "steps": 100,
        "virtual_ms": 3_153_600_000,
        "spent_s": 0.5,
        "faults": {Trouble.CRASH.name: 2},
        "happened": {"starts": 3},
        "checks": {Law.SUMS.name: 400},
        "violations": [],
        "code": "aa",
        "minutes": 7,
    }
    return plain | more


def test_a_soak_finds_what_is_finished_and_leaves_out_other_lengths_and_code(tmp_path: Path) -> None:
    for data in (course(1), course(2, minutes=8), course(3, code="bb")):
        keep(tmp_path, data)
    assert sorted(finished(tmp_path, 7, "aa", other_code=False)) == [1]
    assert sorted(finished(tmp_path, 7, "aa", other_code=True)) == [1, 3]
    assert finished(tmp_path, 7, "aa", other_code=False)[1] == json.loads(json.dumps(course(1)))
    assert not list(tmp_path.glob("*.draft"))


@pytest.mark.parametrize("broken", [False, True])
def test_the_page_tells_sums_and_what_was_broken(broken: bool) -> None:
    text = page(totals([course(1), course(4, violations=[f"step 9: {Law.SUMS}: off by one"] if broken else [])]))
    assert "| Virtual time | 0.20 years |" in text
    assert "| Seeds | 2 |" in text
    assert "| of them with 3 regions in one time | 0 |" in text
    assert "5 gateways speak for the consumers" in text and ", and 3\nstations for the plants" in text
    assert f"| {Trouble.CRASH} | 4 |" in text
    assert f"| {Law.SUMS} | 800 | {int(broken)} |" in text
    assert ("seed 4, step 9" in text) is broken
