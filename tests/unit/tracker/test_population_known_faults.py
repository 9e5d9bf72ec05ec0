"""Faults of earlier attempts at balancing, each with a test that would find it in a population."""

from __future__ import annotations

import numpy as np
import pytest
from population_site import assignments, copied, drawn, same

from scowl_edge.tracker.population import bounds, identity, noise, reports, roster
from scowl_edge.tracker.population.assign import same_sums, sum_trees
from scowl_edge.tracker.population.census import draw
from scowl_edge.tracker.population.columns import NO_TREE, Census, Columns, Log, lay_out
from scowl_edge.tracker.population.fill import rebuild
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.refeed import refeed
from scowl_edge.tracker.population.repair import Learnt, Repaired, repair

ALL = 1 << 40


def placed(consumers: int, trees: int, *, ratio_ppm: int, seed: int = 1) -> Columns:
    """A population in its trees."""
    columns, _ = drawn(consumers, trees, seed, ratio_ppm=ratio_ppm)
    rebuild(columns, Log.empty(1 << 16), History.empty(columns))
    return columns


def of(demands: list[int], safe: list[int], *, klass: int = 3, big: int = 8_000, feed: int = 1 << 30) -> Columns:
    """Consumers of one zone and class, and plants of so much; nobody is in a tree yet."""
    zeros = np.zeros(len(demands), np.int32)
    census = Census(
        10, np.array(demands, np.int64), zeros.astype(np.uint16), np.full(len(demands), klass, np.uint8),
        zeros.astype(np.uint8), zeros, zeros,
    )  # fmt: skip
    columns, _ = lay_out(census, len(safe), big=big, feed=feed)
    columns.tree_safe[:] = safe
    columns.tree_alive[:] = 1
    return columns


def repaired(columns: Columns) -> tuple[Repaired, Log]:
    log = Log.empty(1 << 16)
    result = repair(columns, log, History.empty(columns), Learnt.empty(), ALL)
    assert same_sums(columns)
    return result, log


def wanted(columns: Columns) -> int:
    return int(columns.block_sum.sum()) + int(columns.big_demand.sum())


def starving(columns: Columns) -> int:
    """Quanta that are wanted and not served, counted from single places."""
    small = columns.demand.astype(np.int64)[assignments(columns).tree == NO_TREE].sum()
    return int(small) + int(columns.big_demand.astype(np.int64)[columns.big_tree == NO_TREE].sum())


def test_the_shortage_is_cut_before_the_members_of_a_lost_plant_are_re_homed() -> None:
    # Large and small ones in every tree, and room for one large one in each.
    columns = of([90] * 500 + [2] * 4_500, [5_500] * 10, big=50)
    columns.block_tree[:] = np.arange(len(columns.block_tree)) % 10
    columns.big_tree[:] = np.arange(len(columns.big_tree)) % 10
    sum_trees(columns)
    columns.tree_safe[:] = columns.tree_load + 95
    columns.tree_safe[4] = columns.tree_alive[4] = 0
    _, log = repaired(columns)
    # Else nine large members fill the room, and all the small ones starve beside the other 41: ten times as many.
    fewest = int(bounds.fewest_starved(columns).starved)
    assert 40 < fewest <= int(log.totals[2]) <= fewest + 10
    small = columns.demand[assignments(columns).tree == NO_TREE]
    assert int((small > 0).sum()) <= 9


def members_of(columns: Columns, tree: int) -> int:
    return int(((assignments(columns).tree == tree) & (columns.demand != 0)).sum()) + int(
        (columns.big_tree == tree).sum()
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_last_one_who_starves_fits_so_that_nobody_starves_for_nothing(seed: int) -> None:
    random = np.random.default_rng(seed)
    demands = random.integers(20, 900, 400).tolist()
    columns = of(demands, [sum(demands)])
    rebuild(columns, Log.empty(1 << 12), History.empty(columns))
    columns.tree_safe[0] = sum(demands) * 80 // 100 - 7
    repaired(columns)
    out = columns.demand[(assignments(columns).tree == NO_TREE) & (columns.demand > 0)]
    room = int(columns.tree_safe[0] - columns.tree_load[0])
    assert len(out) and room >= 0
    assert room < out.min(), "whoever starves would not fit into what is left"
    # All but one are the largest there are; that one is the smallest that still covers what is left.
    by_size = sorted(demands, reverse=True)
    need = sum(demands) - int(columns.tree_safe[0])
    assert len(out) == int(np.searchsorted(np.cumsum(by_size), need)) + 1
    left = need - sum(by_size[: len(out) - 1])
    assert room == min(d for d in by_size[len(out) - 1 :] if d >= left) - left


def test_demand_neither_appears_nor_vanishes_however_often_it_is_balanced() -> None:
    columns = placed(1_500, 24, ratio_ppm=1_100_000)
    random = np.random.default_rng(2)
    before, there = wanted(columns), int((columns.demand != 0).sum())
    for _ in range(25):
        columns.tree_safe[:] = columns.tree_safe * random.integers(85, 118, len(columns.tree_safe)) // 100
        repaired(columns)
        refeed(columns, Log.empty(1 << 12), History.empty(columns), 0, 0, ALL)
        assert int(columns.tree_load.sum()) + starving(columns) == wanted(columns) == before
    assert int((columns.demand != 0).sum()) == there


def test_what_does_not_fit_is_starved_and_never_put_on_top() -> None:
    # Three plants with 588 to spare each were once given 2,710 each, since somebody had to take it.
    columns = of([271] * 30 + [100] * 30, [1_588, 1_588, 1_588, 9_000])
    rebuild(columns, Log.empty(1 << 10), History.empty(columns))
    columns.tree_alive[3] = columns.tree_safe[3] = 0
    result, _ = repaired(columns)
    assert (columns.tree_load <= columns.tree_safe).all()
    assert (result.over, result.uncovered) == (0, 0)
    assert starving(columns) == wanted(columns) - int(columns.tree_load.sum()) > 0


def test_a_tree_at_exactly_its_safe_load_is_left_alone() -> None:
    columns = placed(800, 6, ratio_ppm=1_200_000)
    columns.tree_safe[:] = columns.tree_load
    before = copied(columns)
    result, log = repaired(columns)
    assert result == Repaired(0, 0, 0, 0)
    assert log.totals.tolist() == [0, 0, 0, 0]
    assert same(columns._replace(block_tree=before.block_tree), before), "beside what was tidied, nothing is new"


@pytest.mark.parametrize(
    ("demands", "safe", "alive"),
    [([], [100, 100], 1), ([50, 60], [0, 0], 1), ([50, 60], [0, 0], 0), ([-50, -60], [0, 90], 1),
     ([50, -50], [0, 0], 1), ([1], [1], 1)],
)  # fmt: skip
def test_nothing_is_divided_by_nothing(demands: list[int], safe: list[int], alive: int) -> None:
    columns = of(demands, safe)
    columns.tree_alive[:] = alive
    for _ in range(2):
        rebuild(columns, Log.empty(64), History.empty(columns))
        repaired(columns)
        refeed(columns, Log.empty(64), History.empty(columns), 0, 0, ALL)
        assert same_sums(columns)
        assert (columns.tree_load <= np.maximum(0, columns.tree_safe)).all()
        assert int(columns.tree_load.sum()) + starving(columns) == sum(demands)


def test_nobody_is_in_two_trees_and_trees_are_more_than_one_number() -> None:
    columns = placed(1_000, 9, ratio_ppm=1_050_000)
    members = [members_of(columns, tree) for tree in range(9)]
    assert sum(members) == int((columns.demand != 0).sum()) + len(columns.big_demand)
    assert min(members) > 0


def test_the_order_of_classes_is_not_the_wrong_way_round() -> None:
    # A market of an earlier attempt served the lowest bids first.
    columns = placed(3_000, 10, ratio_ppm=1_050_000)
    columns.tree_safe[:] = columns.tree_safe * 55 // 100
    repaired(columns)
    starved, _ = bounds.starved_now(columns)
    assert starved[3] > 0 and starved[0] == 0
    out = [k for k in range(8) if starved[k]]
    left = {k for k in range(8) if served(columns, k) > 0}
    assert all(k not in left for k in range(min(out) + 1, 8)), "a class is exhausted before a more important one"
    before = {k: int(starved[k]) for k in out}
    refeed(columns, Log.empty(1 << 12), History.empty(columns), 0, 0, 0)
    columns.tree_safe[:] = columns.tree_safe * 104 // 100
    refeed(columns, Log.empty(1 << 12), History.empty(columns), 0, 0, ALL)
    after, _ = bounds.starved_now(columns)
    assert int(after[out[0]]) < before[out[0]], "the most important come back first"


def served(columns: Columns, klass: int) -> int:
    """Consumers of a class that are in a tree and draw."""
    tree = assignments(columns).tree
    of_slot = np.repeat(columns.block_class, np.diff(columns.block_start))
    small = (of_slot == klass) & (tree != NO_TREE) & (columns.demand > 0)
    return int(small.sum()) + int(((columns.big_class == klass) & (columns.big_tree != NO_TREE)).sum())


def test_a_giant_is_split_so_that_trees_with_a_little_room_take_it_over() -> None:
    """As one item it could not be re-homed: no tree has so much room."""
    people = [20] * 1_000
    whole = of([6_000, *people], [7_000, *[3_200] * 10], big=2_000)
    split = of([6_000, *people], [7_000, *[3_200] * 10], big=2_000, feed=500)
    for columns, lost in ((whole, 1), (split, 0)):
        columns.big_tree[:] = 0
        columns.block_tree[:] = 1 + np.arange(len(columns.block_tree)) % 10
        sum_trees(columns)
        repaired(columns)
        columns.tree_alive[0] = columns.tree_safe[0] = 0
        _, log = repaired(columns)
        assert int((columns.big_tree == NO_TREE).sum()) == lost
        assert (int(log.totals[2]) > 0) == bool(lost)
    assert len(split.big_demand) == 12


def test_a_roof_is_netted_in_its_block_and_no_plant_of_four_homes() -> None:
    columns = of([-625, 130, 130, 130, 130], [10])
    rebuild(columns, Log.empty(64), History.empty(columns))
    assert len(columns.tree_load) == 1
    assert (starving(columns), int(columns.tree_load[0])) == (0, -105), (
        "the roof feeds them, and no tree was made for it"
    )


def test_identities_that_agree_in_32_bits_are_two() -> None:
    census = draw(200, 1)
    columns, layout = lay_out(census, 4)
    living = noise.populate(census, layout, columns)
    edge = reports.border(columns, *noise.nameplates(living), 0)
    numbers = np.arange(200, dtype=np.int64)
    # The same lower 32 bits in both halves, and the same row of the table to begin the search at.
    alike = np.stack([numbers << 40 | 7, numbers << 40 | 9], axis=1)
    people = roster.enrol(columns, living, edge, layout, alike)
    assert len(set(people.find(alike).tolist())) == 200
    drawn_ids = identity.identities(np.zeros((100_000, 6), np.uint8), np.arange(100_000, dtype=np.uint64))
    assert len(np.unique(drawn_ids, axis=0)) == 100_000
    assert len(np.unique(drawn_ids[:, 0] & 0xFFFF_FFFF)) <= 100_000


def test_loads_are_spread_in_proportion_so_that_a_small_change_moves_nobody() -> None:
    columns = placed(5_000, 10, ratio_ppm=1_050_000)
    used = columns.tree_load * 1_000 // columns.tree_safe
    # A block is at most a sixty-fourth of the mean tree, and a tree may have one more or one less than its share.
    assert used.max() - used.min() <= 2 * 1_000 // 64, "nobody is full to the brim beside one with room"
    slots = np.flatnonzero(columns.demand > 0)[::100]
    for slot in slots.tolist():
        reports.set_demand(columns, slot, int(columns.demand[slot]) * 11 // 10)
    _, log = repaired(columns)
    assert log.totals.tolist() == [0, 0, 0, 0]
