"""What consumers report: exact sums whatever comes, nameplates, refusals, order on the wire, age."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.tracker.population import noise, reports
from scowl_edge.tracker.population.assign import mix, move_big, move_block, move_slot, same_sums
from scowl_edge.tracker.population.census import draw, nested_zones
from scowl_edge.tracker.population.columns import MIXED, NO_TREE, Columns, Layout, Log, lay_out
from scowl_edge.tracker.population.noise import Living
from scowl_edge.tracker.population.reports import FEED, Arrival, Border, Senders
from tests.population_site import copied, uncompiled

plain = uncompiled("reports")
TREES = 5


def served(consumers: int = 400, seed: int = 1) -> tuple[Columns, Layout, Living, Border]:
    """A population in trees: some blocks plain, some mixed, some starved, over zones three levels deep."""
    census = draw(consumers, seed, zones=4)
    parents, leaf = nested_zones(4, 2)
    census.zone[:] = leaf[census.zone]
    columns, layout = lay_out(census, TREES, zone_parent=parents)
    living = noise.populate(census, layout, columns)
    log = Log.empty(100_000)
    for block in range(len(columns.block_tree)):
        to = (NO_TREE, 0, 1, 2, 3, 4)[block % 6]
        move_block(columns, log, block, to)
        if block % 4 == 3:
            mix(columns, block)
            for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
                move_slot(columns, log, block, slot, NO_TREE if slot % 7 == 0 else slot % TREES)
    for feed in range(len(columns.big_tree)):
        move_big(columns, log, feed, NO_TREE if feed % 5 == 0 else feed % TREES)
    assert same_sums(columns)
    return columns, layout, living, reports.border(columns, *noise.nameplates(living), 100)


def pairs_of(readings: list[tuple[int, int]]) -> np.ndarray:
    made, unfit = reports.as_pairs(
        np.asarray([p for p, _ in readings], np.int64), np.asarray([v for _, v in readings], np.int64)
    )
    assert unfit == 0
    return made


VALUES = st.one_of(st.integers(-50, 900), st.sampled_from([-(2**31), -32_768, 32_767, 32_768, 2**31 - 1]))
PLACES = st.one_of(
    st.integers(0, 2_500), st.integers(FEED, FEED + 40), st.sampled_from([2**31 - 1, 2**32 - 1, FEED + 4_000_000])
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(PLACES, VALUES), max_size=60), st.integers(0, 2**32 - 1))
def test_sums_stay_exact_and_compiled_equals_uncompiled(readings: list[tuple[int, int]], now_s: int) -> None:
    columns, _, _, edge = served()
    other, other_edge = copied(columns), Border(*(c.copy() for c in edge))
    pairs = pairs_of(readings)
    tally = reports.apply(columns, edge, pairs, now_s)
    assert tally == plain.apply(other, other_edge, pairs, now_s)
    for a, b in zip((*columns, *edge), (*other, *other_edge), strict=True):
        assert np.array_equal(a, b)
    assert same_sums(columns)
    assert tally.taken + tally.refused == len(readings)
    assert (np.abs(columns.demand.astype(int)) <= np.maximum(edge.nameplate, 0)).all()
    assert (np.abs(columns.big_demand.astype(int)) <= edge.big_nameplate).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 2_500) | PLACES, st.integers(-(2**70), 2**70) | VALUES), max_size=30))
def test_one_by_one_is_the_same_as_a_batch(readings: list[tuple[int, int]]) -> None:
    columns, _, _, edge = served()
    other, other_edge = copied(columns), Border(*(c.copy() for c in edge))
    inlet = reports.Inlet(columns, edge)
    taken = [inlet.apply_one(place, value, 123) for place, value in readings]
    fit = [(p, v) for p, v in readings if 0 <= p < 2**32 and -(2**31) <= v < 2**31]
    tally = reports.apply(other, other_edge, pairs_of(fit), 123)
    other_edge.totals[2] += len(readings) - len(fit)
    assert sum(taken) == tally.taken
    for a, b in zip((*columns, *edge), (*other, *other_edge), strict=True):
        assert np.array_equal(a, b)


def test_the_last_reading_of_a_place_stands() -> None:
    columns, layout, _, edge = served()
    slot = int(layout.slot[layout.slot >= 0][0])
    reports.apply(columns, edge, pairs_of([(slot, 3), (slot, 9), (slot, 5)]), 1)
    assert columns.demand[slot] == 5
    assert same_sums(columns)


def test_more_than_the_nameplate_is_clamped_and_counted_by_place() -> None:
    columns, layout, _, edge = served()
    slot = int(layout.slot[layout.slot >= 0][0])
    top = int(edge.nameplate[slot])
    tally = reports.apply(columns, edge, pairs_of([(slot, top + 1), (slot, top), (slot, -top - 1)]), 1)
    assert tally == (3, 2, 0)
    assert columns.demand[slot] == -top
    assert edge.clamped[slot] == 2
    reports.apply(columns, edge, pairs_of([(slot, 2**31 - 1)] * 600), 1)
    assert edge.clamped[slot] == 255
    assert edge.totals.tolist() == [603, 602, 0]
    reports.apply(columns, edge, pairs_of([(FEED, 2**31 - 1)]), 1)
    assert edge.big_clamped[0] == 1
    assert columns.big_demand[0] == edge.big_nameplate[0]


def test_places_that_nobody_has_are_refused() -> None:
    columns, layout, _, edge = served()
    free = int(np.flatnonzero(layout.consumer < 0)[0])
    feeds = len(columns.big_demand)
    before = copied(columns)
    tally = reports.apply(columns, edge, pairs_of([(free, 5), (len(columns.demand), 5), (FEED + feeds, 5)]), 1)
    assert tally == (0, 0, 3)
    assert all(np.array_equal(a, b) for a, b in zip(columns, before, strict=True))


def test_numbers_beyond_32_bits_do_not_come_in() -> None:
    pairs, unfit = reports.as_pairs(np.array([0, 1, -1, 2**32, 2]), np.array([2**31, -(2**31), 5, 5, -1]))
    assert unfit == 3
    assert pairs.tolist() == [[1, 2**31], [2, 2**32 - 1]]


def test_a_batch_on_the_wire_is_taken_once_and_none_after_a_newer_one() -> None:
    columns, layout, _, edge = served()
    slots = layout.slot[layout.slot >= 0][:3]
    senders = Senders.of(2)
    batch = reports.encode(1, 7, slots, np.array([-4, 5, 6]))
    arrival, pairs = senders.receive(batch)
    assert arrival is Arrival.TAKEN
    assert np.shares_memory(pairs, np.frombuffer(batch, np.uint8))
    reports.apply(columns, edge, pairs, 3)
    assert columns.demand[slots].tolist() == [-4, 5, 6]
    assert same_sums(columns)
    for sequence, expected in ((7, Arrival.DUPLICATE), (6, Arrival.LATE), (8, Arrival.TAKEN), (7, Arrival.LATE)):
        got, readings = senders.receive(reports.encode(1, sequence, slots, np.array([1, 1, 1])))
        assert got is expected
        assert len(readings) == (3 if got is Arrival.TAKEN else 0)
    assert senders.receive(reports.encode(0, 7, slots, np.array([1, 1, 1])))[0] is Arrival.TAKEN
    assert senders.receive(reports.encode(2, 1, slots, np.array([1, 1, 1])))[0] is Arrival.UNKNOWN_SENDER
    assert senders.receive(reports.encode(1, 2**64 - 1, slots[:0], slots[:0]))[0] is Arrival.TAKEN
    assert senders.counts == {
        Arrival.TAKEN: 4, Arrival.MALFORMED: 0, Arrival.UNKNOWN_SENDER: 1, Arrival.DUPLICATE: 1, Arrival.LATE: 2,
    }  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 90))
def test_no_bytes_break_the_reader(junk: bytes, cut: int) -> None:
    senders = Senders.of(4)
    assert senders.receive(junk)[0] is not Arrival.TAKEN
    whole = reports.encode(3, 1, np.arange(6), np.arange(6))
    arrival, pairs = senders.receive(whole[:cut])
    assert (arrival is Arrival.TAKEN) == (cut >= len(whole))
    assert len(pairs) in (0, 6)


def test_silent_ones_take_room_at_their_worst_and_keep_their_last_demand() -> None:
    columns, layout, living, edge = served(2_000)
    extra = np.zeros(TREES, np.int64)
    assert reports.stale_load(columns, edge, living.nominal, living.big_nominal, 160, 60, extra) == 0
    assert not extra.any()
    # Everybody is down to a tenth; then all fall silent, but for one block that shows life.
    reports.apply(columns, edge, pairs_of([(int(s), int(living.nominal[s]) // 10) for s in layout.slot if s >= 0]), 100)
    edge.received_s[1] = 150
    before = copied(columns)
    silent = reports.stale_load(columns, edge, living.nominal, living.big_nominal, 161, 60, extra)
    assert silent == len(columns.big_demand) + int(columns.block_members.sum()) - int(columns.block_members[1])
    expected = np.zeros(TREES, np.int64)
    for slot in np.flatnonzero(layout.consumer >= 0).tolist():
        block = int(columns.row_block[slot // 16])
        tree = int(columns.block_tree[block])
        tree = int(columns.tree[slot]) if tree == MIXED else tree
        if block != 1 and tree != NO_TREE:
            expected[tree] += max(0, max(0, int(living.nominal[slot])) - int(columns.demand[slot]))
    assert np.array_equal(extra, expected)
    assert extra.min() > 0
    assert all(np.array_equal(a, b) for a, b in zip(columns, before, strict=True))
    other = np.zeros(TREES, np.int64)
    assert plain.stale_load(columns, edge, living.nominal, living.big_nominal, 161, 60, other) == silent
    assert np.array_equal(extra, other)


def test_a_silent_producer_counts_as_stopped() -> None:
    columns, _, living, edge = served(3_000)
    roofs = np.flatnonzero(
        (columns.demand < 0) & (columns.block_tree[columns.row_block[np.arange(len(columns.demand)) // 16]] < MIXED)
    )
    slot = int(roofs[0])
    block = int(columns.row_block[slot // 16])
    edge.received_s[:] = 1_000
    edge.big_received_s[:] = 1_000
    edge.received_s[block] = 0
    living.nominal[:] = columns.demand
    extra = np.zeros(TREES, np.int64)
    assert reports.stale_load(columns, edge, living.nominal, living.big_nominal, 1_000, 60, extra) > 0
    here = slice(int(columns.block_start[block]), int(columns.block_start[block + 1]))
    assert extra[columns.block_tree[block]] == -int(np.minimum(columns.demand[here], 0).sum())


def test_those_who_come_later_have_a_border_too() -> None:
    columns, _, _, edge = served()
    with pytest.raises(ValueError, match="broadcast"):
        reports.grown(edge, columns._replace(demand=columns.demand[:-16]), 5)
    wider = columns._replace(
        demand=np.append(columns.demand, np.zeros(16, np.int16)), block_tree=np.append(columns.block_tree, np.uint16(9))
    )
    edge.totals[0] = 77
    after = reports.grown(edge, wider, 500)
    assert np.array_equal(after.nameplate[:-16], edge.nameplate)
    assert not after.nameplate[-16:].any()
    assert after.received_s[-1] == 500
    assert after.totals.tolist() == [77, 0, 0]
