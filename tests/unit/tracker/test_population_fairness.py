"""Spells are counted to the second, and in a lasting shortage equals take turns."""

from __future__ import annotations

import numpy as np
from population_site import assignments, copied, drawn, same, uncompiled

from scowl_edge.tracker.population.assign import mix, move_big, move_block, move_slot, same_sums
from scowl_edge.tracker.population.columns import NO_TREE, Columns, Log
from scowl_edge.tracker.population.fairness import keep, longest, rotate, survey
from scowl_edge.tracker.population.fill import rebuild
from scowl_edge.tracker.population.history import History


def town(consumers: int = 2_000, ratio_ppm: int = 1_050_000) -> tuple[Columns, History]:
    """A town in its trees; whoever does not fit starves since second 1."""
    columns, _ = drawn(consumers, 4, 7, ratio_ppm=ratio_ppm)
    history, log = History.empty(columns), Log.empty(0)
    rebuild(columns, log, history)
    survey(columns, history, 1, 0, len(columns.block_tree))
    return columns, history


def test_a_spell_is_noted_with_its_seconds_and_how_often() -> None:
    columns, history = town()
    block = int(np.flatnonzero((columns.block_class == 3) & (columns.block_tree < 4) & (columns.block_sum > 0))[0])
    tree, slot = int(columns.block_tree[block]), int(columns.block_start[block])
    log = Log.empty(8)
    move_block(columns, log, block, NO_TREE)
    assert keep(columns, log, history, 100) == 0
    assert longest(columns, history, 160) == 60
    assert int(history.slot_times[slot]) == 1
    log = Log.empty(8)
    mix(columns, block)
    move_slot(columns, log, block, slot, tree)
    assert keep(columns, log, history, 160) == 60
    assert (int(history.slot_since[slot]), int(history.slot_total[slot])) == (0, 60)
    assert int(history.slot_since[slot + 1]) == 100
    log = Log.empty(8)
    move_slot(columns, log, block, slot, NO_TREE)
    keep(columns, log, history, 200)
    assert int(history.slot_times[slot]) == 2
    assert longest(columns, history, 210) == 110, "its neighbour starves without a break"


def test_who_starves_and_comes_back_in_one_step_did_not_starve() -> None:
    columns, history = town()
    feed = int(np.flatnonzero(columns.big_tree != NO_TREE)[0])
    tree, log, before = int(columns.big_tree[feed]), Log.empty(8), int(history.totals[0])
    move_big(columns, log, feed, NO_TREE)
    move_big(columns, log, feed, tree)
    keep(columns, log, history, 50)
    assert (int(history.feed_times[feed]), int(history.feed_since[feed]), int(history.totals[0])) == (0, 0, before)


def test_a_log_that_overflowed_is_made_up_for_by_looking_at_all() -> None:
    columns, _ = town()
    written, overflowed = History.empty(columns), History.empty(columns)
    for log, kept in ((Log.empty(64), written), (Log.empty(1), overflowed)):
        state = copied(columns)
        for block in np.flatnonzero(state.block_tree < 4)[:3]:
            move_block(state, log, int(block), NO_TREE)
        keep(state, log, kept, 20)
    starved = overflowed.slot_since > 0
    assert (overflowed.slot_since[written.slot_since > 0] == 20).all()
    assert int(starved.sum()) >= int((written.slot_since > 0).sum()) > 0


def spells(columns: Columns, history: History, rounds: int) -> int:
    """Rotates every minute; the swaps made, with the laws checked after each."""
    made = 0
    for turn in range(1, rounds + 1):
        log, now = Log.empty(1 << 13), 1 + 60 * turn
        swaps = rotate(columns, log, history, now, 60, 1 << 20)
        assert log.totals[2:].tolist() == [swaps, swaps]
        assert same_sums(columns)
        assert (columns.tree_load <= columns.tree_safe).all()
        keep(columns, log, history, now)
        made += swaps
    return made


def test_nobody_starves_twice_while_an_equal_has_not_starved_once() -> None:
    columns, history = town(ratio_ppm=930_000)
    assert spells(columns, history, 12) > 0
    tree = assignments(columns).tree
    klass = np.repeat(columns.block_class, np.diff(columns.block_start))
    for k in (1, 2, 3):
        mine = (klass == k) & (columns.demand > 0)
        again = mine & (history.slot_times >= 2)
        fresh = mine & (history.slot_times == 0) & (tree != NO_TREE)
        for slot in np.flatnonzero(again):
            demand = int(columns.demand[slot])
            equals = fresh & (np.abs(columns.demand.astype(np.int64) - demand) <= demand // 16)
            free = columns.tree_safe - columns.tree_load
            for other in np.flatnonzero(equals):
                assert demand - int(columns.demand[other]) > free[tree[other]], "an equal could have taken the turn"


def test_uncompiled_it_rotates_and_keeps_the_same() -> None:
    plain = uncompiled("fairness")
    columns, history = town(400, 900_000)
    other, theirs = copied(columns), History(*(column.copy() for column in history))
    for now in (70, 140):
        logs = [Log.empty(1 << 10), Log.empty(1 << 10)]
        assert rotate(columns, logs[0], history, now, 60, 50) == plain.rotate(other, logs[1], theirs, now, 60, 50)
        assert keep(columns, logs[0], history, now) == plain.keep(other, logs[1], theirs, now)
        assert longest(columns, history, now + 5) == plain.longest(other, theirs, now + 5)
        assert same(columns, other)
        for one, two in zip(history, theirs, strict=True):
            assert np.array_equal(one, two)
