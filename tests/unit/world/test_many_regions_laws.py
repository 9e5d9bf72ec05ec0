"""Each law of the widened world finds what breaks it: a sound population, and one planted fault at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from population_site import copied, drawn

from scowl_edge.tracker.population.assign import mix, move_big, move_block, move_slot
from scowl_edge.tracker.population.columns import MIXED, NO_TREE, PROTECTED, Columns, Log
from simulators.world import glance
from simulators.world.laws import (
    Law,
    LawBook,
    Places,
    Sight,
    check_churn,
    check_columns,
    hold_columns,
    least_departures,
    overloaded,
)

TREES = 12


@pytest.fixture(scope="module")
def sound() -> Columns:
    """Everybody in some tree with room to spare, two blocks mixed, limits on all zones."""
    columns, _ = drawn(800, TREES, 3, leaves=6)
    log = Log.empty(4_000)
    columns.tree_safe[:] = 1 << 40
    for block in range(len(columns.block_tree)):
        move_block(columns, log, block, block % TREES)
    for feed in range(len(columns.big_tree)):
        move_big(columns, log, feed, feed % TREES)
    for block in (0, 5):
        mix(columns, block)
        for slot in range(columns.block_start[block], columns.block_start[block] + columns.block_members[block]):
            move_slot(columns, log, block, slot, slot % TREES)
    columns.zone_limit[:] = columns.zone_load + 10
    columns.tree_safe[:] = columns.tree_load
    return columns


def broken(columns: Columns, before: Columns | None = None) -> set[Law]:
    book = LawBook()
    now = Sight.of(columns)
    check_columns(book, 1, columns, now)
    book.hold(Law.SAFE, 1, not len(overloaded(columns, now)))
    if before is not None:
        check_churn(book, 1, columns, Sight.of(before), now)
    assert all(str(v).startswith("step 1: ") for v in book.violations)
    laws = {v.law for v in book.violations}
    doubts = glanced(columns, now).doubts
    assert doubts & glance.COLUMNS or laws <= {Law.SAFE, Law.CHURN}
    assert doubts & glance.SAFE or Law.SAFE not in laws
    return laws


def glanced(columns: Columns, now: Sight) -> glance.Found:
    """What a glance finds, which sees everybody where `now` does; compiled and not."""
    compiled, plain = Sight.blank(columns, now.places), Sight.blank(columns, now.places)
    found = glance.look(columns, compiled.tree, compiled.demand, compiled.load)
    counts = np.empty(2, np.int64)
    getattr(glance.count, "py_func", glance.count)(columns, plain.tree, plain.demand, plain.load, counts)
    assert glance.Found(*counts.tolist()) == found
    for sight in (compiled, plain):
        for name in ("tree", "demand", "load"):
            assert np.array_equal(getattr(sight, name), getattr(now, name)), name
    assert found.starved == ((now.tree >= len(now.load)) & (now.demand > 0)).sum()
    return found


def test_a_sound_population_breaks_nothing(sound: Columns) -> None:
    assert broken(sound, sound) == set()
    assert glanced(sound, Sight.of(sound)).doubts == 0
    book = LawBook()
    check_columns(book, 1, sound, Sight.of(sound))
    noted = LawBook()
    hold_columns(noted, sound)
    assert noted.checks == book.checks


def test_a_glance_at_starving_tells_class_0_from_others(sound: Columns) -> None:
    columns, log = copied(sound), Log.empty(100)
    move_block(columns, log, first_of_class(columns, 3), NO_TREE)
    others = glanced(columns, Sight.of(columns))
    assert others.doubts == 0
    assert others.starved > 0
    block = first_of_class(columns, 3)
    columns.block_class[block] = PROTECTED
    move_block(columns, log, block, NO_TREE)
    assert glanced(columns, Sight.of(columns)).doubts == glance.STARVED_PROTECTED
    columns.tree_alive[:] = 0
    assert not glanced(columns, Sight.of(columns)).doubts & glance.STARVED_PROTECTED, "nobody can feed them"


def test_values_at_the_ends_of_their_types_are_counted_exactly(sound: Columns) -> None:
    columns = copied(sound)
    columns.demand[::2], columns.demand[1::2] = 2**15 - 1, -(2**15)
    columns.big_demand[::2], columns.big_demand[1::2] = 2**31 - 1, -(2**31)
    assert broken(columns) >= {Law.SUMS}


def test_two_looks_are_compared_place_by_place(sound: Columns) -> None:
    columns, log = copied(sound), Log.empty(100)
    before = Sight.of(columns)
    block = first_of_class(columns, 3)
    move_block(columns, log, block, (int(columns.block_tree[block]) + 1) % TREES)
    now = Sight.of(columns)
    for compare in (glance.compare, getattr(glance.compare, "py_func", glance.compare)):
        kept, members = np.empty_like(now.load), np.empty_like(now.load)
        changed = np.zeros(len(now.tree), np.int64)
        compare(before.tree, now.tree, now.demand, kept, members, changed, 77)
        assert kept.tolist() == before.load.tolist(), "nobody draws anything else"
        assert np.array_equal(changed, np.where(before.tree != now.tree, 77, 0))
        assert members.tolist() == [int(((before.tree == t) & (now.demand != 0)).sum()) for t in range(TREES)]


def first_of_class(columns: Columns, klass: int) -> int:
    return int(
        np.flatnonzero((columns.block_class == klass) & (columns.block_tree < TREES) & (columns.block_sum > 1))[0]
    )


def wrong_sum(c: Columns) -> None:
    c.tree_load[3] += 1


def wrong_zone(c: Columns) -> None:
    c.zone_load[2] -= 1


def wrong_served(c: Columns) -> None:
    c.block_served[4] += 1


def wrong_demand(c: Columns) -> None:
    c.demand[c.block_start[4]] += 1


def wrong_big(c: Columns) -> None:
    c.big_demand[0] += 1


def nowhere(c: Columns) -> None:
    c.big_tree[0] = TREES + 4


def too_much(c: Columns) -> None:
    c.tree_safe[2] -= 1


def over_the_zone(c: Columns) -> None:
    c.zone_limit[3] = c.zone_load[3] - 1


def over_the_whole(c: Columns) -> None:
    c.zone_limit[0] = c.zone_load[0] - 1


def dead(c: Columns) -> None:
    c.tree_alive[1] = 0


def not_eligible(c: Columns) -> None:
    block = first_of_class(c, 3)
    c.eligible[c.block_zone[block], c.block_tree[block]] = 0


PLANTED: list[tuple[Callable[[Columns], None], set[Law]]] = [
    (wrong_sum, {Law.SUMS}),
    (wrong_zone, {Law.SUMS}),
    (wrong_served, {Law.SUMS}),
    (wrong_demand, {Law.SUMS, Law.SAFE}),
    (wrong_big, {Law.SUMS, Law.SAFE}),
    (nowhere, {Law.SUMS, Law.CONSERVATION}),
    (too_much, {Law.SAFE}),
    (over_the_zone, {Law.ZONES}),
    (over_the_whole, {Law.ZONES}),
    (dead, {Law.ALIVE}),
    (not_eligible, {Law.ELIGIBLE}),
]


@pytest.mark.parametrize(("plant", "laws"), PLANTED, ids=lambda p: getattr(p, "__name__", ""))
def test_a_planted_fault_is_found(plant: Callable[[Columns], None], laws: set[Law], sound: Columns) -> None:
    columns = copied(sound)
    plant(columns)
    assert laws <= broken(columns)


def test_class_0_alone_may_stay_above_a_limit(sound: Columns) -> None:
    columns = copied(sound)
    columns.block_class[:], columns.big_class[:] = PROTECTED, PROTECTED
    over_the_zone(columns)
    too_much(columns)
    assert broken(columns) == set()


def test_where_no_plant_lives_class_0_and_roofs_stay_and_nobody_else(sound: Columns) -> None:
    columns = copied(sound)
    columns.tree_alive[:], columns.tree_safe[:] = 0, 0
    assert Law.ALIVE in broken(columns)
    columns.block_class[:], columns.big_class[:] = PROTECTED, PROTECTED
    assert broken(columns) == set()


def test_too_few_departures_are_found(sound: Columns) -> None:
    columns, log = copied(sound), Log.empty(100)
    before = Sight.of(columns)
    tree = int(np.argmax(before.load))
    largest = np.sort(before.demand[before.tree == tree])[::-1]
    columns.tree_safe[tree] -= int(largest[:3].sum())
    least = least_departures(before, before.demand, columns)
    assert least[tree] == least.sum() == 3
    feeds = sorted(np.flatnonzero(columns.big_tree == tree).tolist(), key=lambda f: -int(columns.big_demand[f]))
    for count, feed in enumerate(feeds[:3], 1):
        move_big(columns, log, feed, NO_TREE)
        now = Sight.of(columns)
        # Whatever a tree is said to carry: with fewer than three gone it cannot be within its limit.
        now.load[tree] = columns.tree_safe[tree]
        book = LawBook()
        assert check_churn(book, 1, columns, before, now) == (count, 3)
        assert {v.law for v in book.violations} == ({Law.CHURN} if count < 3 else set())


def test_the_bound_of_departures_is_the_least_by_trying_all() -> None:
    rng = np.random.default_rng(7)
    columns, _ = drawn(40, 2, 1)
    for _ in range(60):
        demand = rng.integers(-3, 9, len(columns.demand) + len(columns.big_demand))
        tree = np.where(np.arange(len(demand)) < 11, 0, NO_TREE)
        load = int(demand[tree == 0].sum())
        columns.tree_safe[:] = max(0, load - int(rng.integers(0, 12)))
        columns.tree_alive[:] = 1
        sight = Sight(tree, demand, Places.of(columns), np.array([load, 0]))
        over = load - int(columns.tree_safe[0])
        members = demand[tree == 0].tolist()
        fewest = min(
            (
                n.bit_count()
                for n in range(1 << len(members))
                if over <= sum(d for i, d in enumerate(members) if n >> i & 1)
            ),
            default=len(members),
        )
        positive = sum(d > 0 for d in members)
        assert least_departures(sight, demand, columns)[0] == (min(fewest, positive) if over > 0 else 0)


def test_slots_of_a_mixed_block_are_seen_one_by_one(sound: Columns) -> None:
    assert sound.block_tree[0] == MIXED
    sight = Sight.of(sound)
    members = int(sound.block_members[0])
    assert sight.tree[:members].tolist() == [s % TREES for s in range(members)]
