"""Who is where: identities, joining, leaving, changing in place, growth, and joins at a bounded rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.tracker.population import identity as naming
from scowl_edge.tracker.population import noise, reports, roster
from scowl_edge.tracker.population.admission import Admission
from scowl_edge.tracker.population.assign import same_sums, sum_trees
from scowl_edge.tracker.population.census import draw
from scowl_edge.tracker.population.columns import CLASSES, NO_TREE, lay_out
from scowl_edge.tracker.population.roster import Outcome, People
from scowl_edge.tracker.population.seating import NOBODY, Newcomers
from tests.population_site import copied, uncompiled

plain = uncompiled("roster")
TREES = 4


def ids(count: int, first: int = 0) -> np.ndarray:
    numbers = np.arange(first, first + count, dtype=np.uint64)
    return naming.identities(numbers.astype("<u8").view(np.uint8).reshape(-1, 8), numbers)


def enrolled(consumers: int = 300, seed: int = 1, *, block_energy: int = 0) -> People:
    """People in three zones, plain blocks in all trees; consumer i has the identity ids(..)[i]."""
    census = draw(consumers, seed, zones=2)
    census.zone[:] += 1
    columns, layout = lay_out(census, TREES, zone_parent=np.array([-1, 0, 0], np.int32))
    living = noise.populate(census, layout, columns)
    columns.block_tree[:] = np.arange(len(columns.block_tree)) % TREES
    columns.big_tree[:] = np.arange(len(columns.big_tree)) % TREES
    sum_trees(columns)
    edge = reports.border(columns, *noise.nameplates(living), 0)
    return roster.enrol(columns, living, edge, layout, ids(consumers), block_energy=block_energy)


def twin(people: People) -> People:
    return People(
        copied(people.columns),
        type(people.living)(*(c.copy() for c in people.living)),
        type(people.edge)(*(c.copy() for c in people.edge)),
        type(people.roster)(*(c.copy() for c in people.roster)),
    )


def coming(identity: np.ndarray, nominal: list[int], zone: int = 1, klass: int = 3) -> Newcomers:
    n = len(identity)
    return roster.newcomers(
        identity, np.full(n, zone), np.full(n, klass), np.asarray(nominal), np.full(n, 300_000), np.zeros(n, int)
    )


def lawful(people: People) -> None:
    """What holds after every change."""
    columns, living, edge, book = people.columns, people.living, people.edge, people.roster
    assert same_sums(columns)
    there = living.nominal != 0
    assert np.array_equal(there, edge.nameplate != 0)
    assert not columns.demand[~there].any()
    counts = np.add.reduceat(there.astype(int), columns.block_start[:-1])
    assert np.array_equal(counts, columns.block_members)
    sigma = np.abs(living.nominal.astype(int) * living.noise) // 250
    assert np.array_equal(np.add.reduceat(sigma**2, columns.block_start[:-1]), columns.block_variance)
    energy = np.add.reduceat(np.abs(living.nominal.astype(int)), columns.block_start[:-1])
    assert ((energy <= book.limits[2]) | (columns.block_members <= 1)).all()
    owned = columns.big_owner != -1
    assert np.array_equal(owned, living.big_nominal != 0)
    assert not columns.big_demand[~owned].any()
    assert (columns.big_tree[~owned] == NO_TREE).all()
    places = np.concatenate([np.flatnonzero(there), -2 - np.flatnonzero(book.feed_run > 0)])
    assert sorted(book.table[book.table != NOBODY].tolist()) == sorted(places.tolist())
    assert len(places) == book.totals[1]
    known = np.asarray([people.identity_at(int(place)) for place in places])
    assert np.array_equal(people.find(known), places), "everybody is found"


def test_the_hash_is_murmur3() -> None:
    # The reference suite's own check: keys of 0 .. 255 bytes under falling seeds, then their hashes hashed.
    hashes = b"".join(
        naming.murmur3(np.arange(n, dtype=np.uint8).reshape(1, n), 256 - n).astype("<u8").tobytes() for n in range(256)
    )
    last = naming.murmur3(np.frombuffer(hashes, np.uint8).reshape(1, -1), 0).astype("<u8").tobytes()
    assert int.from_bytes(last[:4], "little") == 0x6384_BA69


def test_identities_of_many_are_those_of_one_and_nonces_change_them() -> None:
    rows = np.arange(60, dtype=np.uint8).reshape(10, 6)
    nonces = np.arange(10, dtype=np.uint64)
    many = naming.identities(rows, nonces)
    for i in range(10):
        assert np.array_equal(naming.identities(rows[i : i + 1], nonces[i : i + 1])[0], many[i])
    assert not (naming.identities(rows, nonces + np.uint64(1)) == many).any()


def test_everybody_is_found_and_strangers_are_not() -> None:
    people = enrolled(2_000)
    lawful(people)
    assert (people.find(ids(2_000)) != NOBODY).all()
    assert (people.find(ids(500, 2_000)) == NOBODY).all()


def test_a_newcomer_takes_a_free_seat_of_its_zone_and_class_and_draws_power_there() -> None:
    people = enrolled(1_000)
    before = people.columns.tree_load.copy()
    who = ids(1, 5_000)
    outcome, place = people.join(coming(who, [40], zone=2))
    assert outcome.tolist() == [Outcome.DONE]
    slot = int(place[0])
    block = people.columns.row_block[slot // 16]
    assert (people.columns.block_zone[block], people.columns.block_class[block]) == (2, 3)
    assert people.columns.demand[slot] == 40
    tree = people.columns.block_tree[block]
    assert people.columns.tree_load[tree] == before[tree] + 40
    lawful(people)
    assert people.leave(who).tolist() == [Outcome.DONE]
    assert np.array_equal(people.columns.tree_load, before)
    assert people.find(who)[0] == NOBODY
    lawful(people)


def test_the_second_of_two_with_one_identity_is_refused() -> None:
    people = enrolled()
    who = ids(2, 5_000)
    outcome, place = people.join(coming(who[[0, 1, 0]], [40, 50, 60]))
    assert outcome.tolist() == [Outcome.DONE, Outcome.DONE, Outcome.TAKEN]
    assert people.columns.demand[place[0]] == 40
    assert people.join(coming(ids(1), [40]))[0].tolist() == [Outcome.TAKEN]
    assert people.roster.totals[2] == 2
    lawful(people)
    columns, living, edge = people.columns, people.living, people.edge
    census = draw(300, 1, zones=2)
    census.zone[:] += 1
    _, layout = lay_out(census, TREES, zone_parent=np.array([-1, 0, 0], np.int32))
    with pytest.raises(ValueError, match="twice"):
        roster.enrol(columns, living, edge, layout, np.repeat(ids(150), 2, axis=0))


def test_a_full_population_grows_and_then_takes_all() -> None:
    people = enrolled()
    new = coming(ids(2_000, 5_000), [100] * 1_990 + [200_000] * 10)
    outcome, _ = people.join(new)
    out = outcome == Outcome.NO_ROOM
    assert out.sum() > 1_500
    keys, feeds = people.room_wanted(new, outcome)
    old = twin(people)
    people = people.grown(keys, feeds, now_s=77)
    assert np.array_equal(people.columns.tree_load, old.columns.tree_load)
    assert (people.columns.block_tree[len(old.columns.block_tree) :] == NO_TREE).all()
    assert people.edge.received_s[-1] == 77
    lawful(people)
    again, _ = people.join(Newcomers(*(column[out] for column in new)))
    assert (again == Outcome.DONE).all()
    lawful(people)
    assert (people.find(new.identity) != NOBODY).all()
    assert (people.find(ids(300)) != NOBODY).all()
    # And the newcomers live on as the others do.
    noise.advance(people.columns, people.living, 1, 1)
    sum_trees(people.columns)
    lawful(people)


def test_what_is_too_large_for_a_slot_stands_apart_in_feeds() -> None:
    people = enrolled(2_000).grown(np.zeros(0, np.int64), 40, 0)
    big, feed = people.roster.limits[:2].tolist()
    who = ids(4, 9_000)
    outcome, place = people.join(coming(who, [big, big + 1, 3 * feed + 2, -2 * feed]))
    assert (outcome == Outcome.DONE).all()
    assert place[0] >= 0
    runs = people.roster.feed_run[-2 - place[1:]]
    assert runs.tolist() == [-(-(big + 1) // feed), 4, 2]
    first = -2 - int(place[2])
    assert people.columns.big_demand[first : first + 4].sum() == 3 * feed + 2
    assert len(set(people.columns.big_owner[first : first + 4].tolist())) == 1
    lawful(people)
    assert (people.leave(who[2:3]) == Outcome.DONE).all()
    again, where = people.join(coming(who[2:3], [4 * feed]))
    assert (int(again[0]), int(where[0])) == (Outcome.DONE, int(place[2])), "the run that was left is taken again"
    lawful(people)


def test_a_change_stays_in_place_where_it_can_and_moves_where_it_must() -> None:
    people = enrolled(1_000).grown(np.asarray([1 * CLASSES + 3, 2 * CLASSES + 1]), 10, 0)
    who = ids(1, 5_000)
    _, place = people.join(coming(who, [100]))
    outcome, same = people.change(coming(who, [20]))
    assert (outcome[0], same[0]) == (Outcome.DONE, place[0])
    assert people.columns.demand[place[0]] == 80, "the last reading, held to the new nameplate"
    lawful(people)
    outcome, moved = people.change(coming(who, [20], zone=2, klass=1))
    assert outcome[0] == Outcome.DONE
    assert moved[0] != place[0]
    assert people.find(who)[0] == moved[0]
    lawful(people)
    outcome, apart = people.change(coming(who, [int(people.roster.limits[0]) + 1], zone=2, klass=1))
    assert outcome[0] == Outcome.DONE
    assert apart[0] < NOBODY
    lawful(people)
    outcome, _ = people.change(coming(who, [50], zone=0, klass=5))
    assert outcome[0] == Outcome.NO_ROOM
    assert people.find(who)[0] == apart[0], "it stays as it was"
    assert people.change(coming(ids(1, 7_000), [50]))[0].tolist() == [Outcome.UNKNOWN]
    assert people.leave(ids(1, 7_000)).tolist() == [Outcome.UNKNOWN]
    lawful(people)


@pytest.mark.parametrize(
    ("nominal", "zone", "klass"), [(0, 1, 3), (10, 3, 3), (10, -1, 3), (10, 70_000, 3), (10, 1, 8), (10, 1, -1),
                                   (2**62, 1, 3), (-(2**63), 1, 3)],
)  # fmt: skip
def test_absurd_newcomers_are_refused(nominal: int, zone: int, klass: int) -> None:
    people = enrolled()
    before = twin(people)
    assert people.join(coming(ids(1, 5_000), [nominal], zone, klass))[0].tolist() == [Outcome.REFUSED]
    assert all(np.array_equal(a, b) for a, b in zip(people.columns, before.columns, strict=True))
    lawful(people)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["join", "join", "leave", "change"]),
        st.lists(
            st.tuples(
                st.integers(0, 40),
                st.sampled_from([-700, -1, 1, 30, 132, 8_191, 8_192, 30_000, 100_000]),
                st.integers(0, 3),
                st.sampled_from([0, 2, 3]),
            ),
            max_size=12,
        ),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_any_sequence_keeps_the_laws_and_compiled_equals_uncompiled(
    steps: list[tuple[str, list[tuple[int, int, int, int]]]],
) -> None:
    people = enrolled(60).grown(np.asarray([1 * CLASSES + 3, 2 * CLASSES + 2]), 6, 0)
    other = twin(people)
    copy = plain.People(other.columns, other.living, other.edge, other.roster)
    names = np.concatenate([ids(20), ids(21, 9_000)])
    for verb, rows in steps:
        who = names[[r[0] for r in rows]] if rows else names[:0]
        if verb == "leave":
            assert np.array_equal(people.leave(who), copy.leave(who))
        else:
            new = roster.newcomers(
                who,
                np.asarray([r[2] for r in rows], int),
                np.asarray([r[3] for r in rows], int),
                np.asarray([r[1] for r in rows], int),
                np.full(len(rows), 300_000),
                np.zeros(len(rows), int),
            )
            result = people.join(new) if verb == "join" else people.change(new)
            again = copy.join(new) if verb == "join" else copy.change(new)
            assert np.array_equal(result[0], again[0])
            assert np.array_equal(result[1], again[1])
        lawful(people)
    for part in ("columns", "living", "edge", "roster"):
        for a, b in zip(getattr(people, part), getattr(copy, part), strict=True):
            assert np.array_equal(a, b)


def test_a_burst_of_ten_million_joins_is_admitted_at_a_bounded_rate() -> None:
    people = enrolled(block_energy=100_000).grown(np.full(4, 1 * CLASSES + 3), 0, 0)
    queue = Admission(2_000, per_step=100)
    burst, taken, joined = 100_000, 0, 0
    for chunk in range(100):
        new = coming(ids(3_000, 10_000 + chunk * burst), [20] * 3_000)
        # Who comes after the first three thousand of a chunk never has a chance: they are the same ones again.
        taken += queue.offer(Newcomers(*(np.resize(column, (burst, *column.shape[1:])) for column in new)))
        _, outcome, _ = queue.admit(people)
        assert len(outcome) <= 100
        joined += int(np.count_nonzero(outcome == Outcome.DONE))
    assert (queue.offered, queue.turned_away) == (10_000_000, 10_000_000 - taken)
    assert taken == 2_000 + 99 * 100
    assert queue.waiting == 1_900
    assert queue.outcomes[Outcome.DONE] == joined > 900
    assert queue.outcomes[Outcome.DONE] + queue.outcomes[Outcome.TAKEN] + queue.outcomes[Outcome.NO_ROOM] == 10_000
    # First come, first served: the first 900 of the first chunk have seats.
    assert (people.find(ids(900, 10_000)) != NOBODY).all()
    lawful(people)


def test_a_queue_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Admission(0, per_step=5)
