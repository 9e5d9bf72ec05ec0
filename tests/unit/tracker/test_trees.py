"""Laws of the distribution trees: sticky, never over safe load by choice, every feed in one tree at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.tracker.trees import NONE, better, repair, roomiest, tree_loads

LOADS = st.integers(0, 50_000)


@dataclass(frozen=True)
class Wood:
    """Feeds and trees before a repair."""

    load_w: tuple[int, ...]
    rank: tuple[int, ...]
    feed_bus: tuple[int, ...]
    wants: tuple[bool, ...]
    tree: tuple[int, ...]
    safe_w: tuple[int, ...]
    tree_bus: tuple[int, ...]
    is_open: tuple[bool, ...]
    alive: tuple[bool, ...]
    bookkeeping: tuple[bool, ...]
    budget: int

    def repaired(self) -> tuple[list[int], list[tuple[int, int, int]]]:
        tree = np.asarray(self.tree, np.int64)
        moves = repair(
            np.asarray(self.load_w, np.int64),
            np.asarray(self.rank, np.int64),
            np.asarray(self.feed_bus, np.int64),
            np.asarray(self.wants, np.bool_),
            tree,
            np.asarray(self.safe_w, np.int64),
            np.asarray(self.tree_bus, np.int64),
            np.asarray(self.is_open, np.bool_),
            np.asarray(self.alive, np.bool_),
            np.asarray(self.bookkeeping, np.bool_),
            self.budget,
        )
        return tree.tolist(), moves

    def loads(self, tree: Sequence[int]) -> list[int]:
        return [sum(w for w, at in zip(self.load_w, tree, strict=True) if at == t) for t in range(len(self.safe_w))]


@st.composite
def woods(draw: st.DrawFn) -> Wood:
    feeds, trees, buses = draw(st.integers(0, 8)), draw(st.integers(0, 5)), draw(st.integers(1, 2))

    def each(size: int, of: st.SearchStrategy[int]) -> tuple[int, ...]:
        return tuple(draw(st.lists(of, min_size=size, max_size=size)))

    def flags(size: int) -> tuple[bool, ...]:
        return tuple(draw(st.lists(st.booleans(), min_size=size, max_size=size)))

    tree_bus = each(trees, st.integers(0, buses - 1))
    feed_bus = each(feeds, st.integers(0, buses - 1))
    alive = flags(trees)
    at = tuple(draw(st.sampled_from([NONE, *(t for t in range(trees) if tree_bus[t] == b)])) for b in feed_bus)
    return Wood(
        load_w=each(feeds, LOADS),
        rank=each(feeds, st.integers(0, 3)),
        feed_bus=feed_bus,
        wants=flags(feeds),
        tree=at,
        safe_w=each(trees, LOADS),
        tree_bus=tree_bus,
        is_open=tuple(o and a for o, a in zip(flags(trees), alive, strict=True)),
        alive=alive,
        bookkeeping=flags(buses),
        budget=draw(st.integers(0, 4)),
    )


@given(woods())
def test_a_repair_overloads_nothing_where_the_tree_is_physics(wood: Wood) -> None:
    after, _ = wood.repaired()
    before, now = wood.loads(wood.tree), wood.loads(after)
    for t, safe in enumerate(wood.safe_w):
        if not wood.bookkeeping[wood.tree_bus[t]]:
            assert now[t] <= max(safe, before[t])


@given(woods())
def test_every_feed_is_in_one_tree_of_its_bus_at_most(wood: Wood) -> None:
    after, _ = wood.repaired()
    for f, t in enumerate(after):
        assert t == NONE or wood.tree_bus[t] == wood.feed_bus[f]
        assert t == NONE or wood.wants[f]
        assert t == NONE or t == wood.tree[f] or wood.is_open[t]
        assert t == NONE or wood.alive[t]


@given(woods())
def test_the_moves_tell_the_whole_change(wood: Wood) -> None:
    after, moves = wood.repaired()
    at = list(wood.tree)
    for f, here, there in moves:
        assert at[f] == here and here != there
        at[f] = there
    assert at == after


@given(woods())
def test_a_feed_that_sits_well_stays(wood: Wood) -> None:
    after, _ = wood.repaired()
    over = [load > safe for load, safe in zip(wood.loads(wood.tree), wood.safe_w, strict=True)]
    crowded = {wood.tree_bus[t] for t in range(len(wood.safe_w)) if over[t]}
    feeds = zip(wood.feed_bus, wood.tree, wood.wants, strict=True)
    newcomers = {b for b, t, wants in feeds if wants and (t == NONE or not wood.alive[t])}
    for f, t in enumerate(wood.tree):
        calm = wood.feed_bus[f] not in crowded | newcomers
        if t != NONE and wood.wants[f] and wood.alive[t] and calm:
            assert after[f] == t


@given(woods())
def test_moves_by_choice_keep_to_the_budget(wood: Wood) -> None:
    _, moves = wood.repaired()
    by_choice = [m for m in moves if m[1] != NONE and m[2] != NONE]
    assert len(by_choice) <= wood.budget


@given(woods())
def test_a_repair_of_a_repaired_wood_changes_nothing_more(wood: Wood) -> None:
    """Without choice left: a second run has nothing to re-home that a first one could have."""
    after, _ = wood.repaired()
    again = Wood(**{**wood.__dict__, "tree": tuple(after), "budget": 0})
    homeless = [f for f, t in enumerate(after) if t == NONE]
    second, _ = again.repaired()
    assert [t for f, t in enumerate(second) if f not in homeless] == [
        t for f, t in enumerate(after) if f not in homeless
    ]


def test_the_most_important_homeless_feed_chooses_first() -> None:
    wood = Wood(
        load_w=(4_000, 4_000),
        rank=(2, 0),
        feed_bus=(0, 0),
        wants=(True, True),
        tree=(NONE, NONE),
        safe_w=(5_000,),
        tree_bus=(0,),
        is_open=(True,),
        alive=(True,),
        bookkeeping=(False,),
        budget=0,
    )
    assert wood.repaired() == ([NONE, 0], [(1, NONE, 0)])


def test_an_overload_is_cured_by_the_smallest_feed_that_cures_it() -> None:
    wood = Wood(
        load_w=(6_000, 3_000, 2_500, 500),
        rank=(1, 1, 1, 1),
        feed_bus=(0,) * 4,
        wants=(True,) * 4,
        tree=(0,) * 4,
        safe_w=(10_000, 20_000),
        tree_bus=(0, 0),
        is_open=(True, True),
        alive=(True, True),
        bookkeeping=(False,),
        budget=5,
    )
    after, moves = wood.repaired()
    assert moves == [(2, 0, 1)]
    assert wood.loads(after) == [9_500, 2_500]


def test_behind_a_grid_a_feed_without_room_is_recorded_where_most_room_is() -> None:
    wood = Wood((9_000,), (1,), (0,), (True,), (NONE,), (1_000, 2_000), (0, 0), (True, True), (True, True), (True,), 0)
    assert wood.repaired()[0] == [1]
    separate = Wood(**{**wood.__dict__, "bookkeeping": (False,)})
    assert separate.repaired()[0] == [NONE]


def test_loads_and_room() -> None:
    loads = tree_loads(np.asarray([5, 7, 11], np.int64), np.asarray([0, NONE, 0], np.int64), 2)
    assert loads.tolist() == [16, 0]
    room, bus = np.asarray([3, 9, 9], np.int64), np.asarray([0, 0, 1], np.int64)
    assert roomiest(room, bus, np.asarray([True, True, True]), 0, 4) == 1
    assert roomiest(room, bus, np.asarray([True, False, True]), 0, 4) == NONE
    assert better(5_000, 9_000, 4_000) and not better(9_000, 5_000, 4_000)
    assert better(3_000, 1_000, 4_000) and not better(3_000, 5_000, 4_000)
