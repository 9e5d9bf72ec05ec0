"""Generators to trackers: the known hash, even ranges, and no tracker left short where another has plenty."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.tracker.assignment import (
    balanced,
    by_capacity,
    by_hash,
    generator_id,
    lacking,
    murmur3_32,
    served_apart,
    settle,
    tracker_of,
    without_tracker,
)
from scowl_edge.tracker.population.census import draw_fleet

LOWEST, PAST = -(1 << 31), 1 << 31


@pytest.mark.parametrize(
    ("data", "seed", "expected"),
    [
        (b"", 0, 0),
        (b"", 1, 0x514E_28B7),
        (b"", 0xFFFF_FFFF, 0x81F1_6F39),
        (b"\xff\xff\xff\xff", 0, 0x7629_3B50),
        (b"!Ce\x87", 0, 0xF55B_516B),
        (b"!Ce\x87", 0x5082_EDEE, 0x2362_F9DE),
        (b"!Ce", 0, 0x7E4A_8634),
        (b"!C", 0, 0xA0F7_B07A),
        (b"!", 0, 0x7266_1CF4),
        (b"\0\0\0\0", 0, 0x2362_F9DE),
        (b"Hello, world!", 1234, 0xFAF6_CDB3),
        (b"The quick brown fox jumps over the lazy dog", 0x9747_B28C, 0x2FA8_26CD),
    ],
)
def test_the_hash_is_the_published_one(data: bytes, seed: int, expected: int) -> None:
    assert murmur3_32(data, seed) == expected


@given(st.integers(LOWEST, PAST - 1), st.integers(1, 100))
def test_ranges_are_half_open_equal_and_leave_nobody_out(identity: int, trackers: int) -> None:
    number = tracker_of(identity, trackers)
    assert 0 <= number < trackers
    begin = -(-(number << 32) // trackers) + LOWEST
    end = -(-((number + 1) << 32) // trackers) + LOWEST
    assert begin <= identity < end
    assert abs((end - begin) - (1 << 32) // trackers) <= 1


def test_an_even_sweep_fills_eight_ranges_alike() -> None:
    each = np.bincount([tracker_of(i, 8) for i in range(LOWEST, PAST, 1 << 16)])
    assert each.tolist() == [8192] * 8
    assert (tracker_of(LOWEST, 8), tracker_of(PAST - 1, 8)) == (0, 7)


@pytest.mark.parametrize(("identity", "trackers"), [(PAST, 8), (LOWEST - 1, 8), (0, 0)])
def test_what_is_no_identity_has_no_tracker(identity: int, trackers: int) -> None:
    with pytest.raises(ValueError, match="signed 32 bit"):
        tracker_of(identity, trackers)


def test_a_nonce_decides_and_the_address_alone_does_not() -> None:
    ids = {generator_id("10.0.0.7:33000", nonce) for nonce in range(200)}
    assert len(ids) == 200
    assert len({tracker_of(i, 8) for i in ids}) == 8
    assert all(LOWEST <= i < PAST for i in ids)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rated = draw(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=30))
    wanted = draw(st.lists(st.integers(0, 1 << 40), min_size=1, max_size=6))
    return np.asarray(rated, np.int64), np.asarray(wanted, np.int64)


@given(fleets(), st.data())
def test_hand_overs_help_the_neediest_and_keep_to_their_budget(
    fleet: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    rated, wanted = fleet
    trackers = len(wanted)
    at = np.asarray(data.draw(st.lists(st.integers(0, trackers - 1), min_size=len(rated), max_size=len(rated))))
    budget = data.draw(st.integers(0, 10))
    after = balanced(at, rated, wanted, budget)
    assert ((after >= 0) & (after < trackers)).all()
    assert int((after != at).sum()) <= budget
    assert lacking(after, rated, wanted).max() <= lacking(at, rated, wanted).max()
    assert lacking(after, rated, wanted).sum() == lacking(at, rated, wanted).sum()


@given(fleets())
def test_by_capacity_is_within_one_generator_of_even(fleet: tuple[np.ndarray, np.ndarray]) -> None:
    rated, wanted = fleet
    lack = lacking(by_capacity(rated, wanted), rated, wanted)
    # Who got the last generator lacked as much as anybody then.
    assert int(lack.max() - lack.min()) <= int(rated.max()) + int(max(0, lacking_at_start(rated, wanted)))


def lacking_at_start(rated: np.ndarray, wanted: np.ndarray) -> int:
    share = lacking(np.full(len(rated), -1, np.int64), rated, wanted)
    return int(share.max() - share.min())


def test_only_the_homeless_are_settled_and_a_tracker_that_leaves_is_emptied() -> None:
    fleet = draw_fleet(342, 3_300_000_000, 1)
    wanted = np.full(8, 400_000_000, np.int64)
    at = by_capacity(fleet.rated, wanted)
    newcomer = at.copy()
    newcomer[7] = -1
    again = settle(newcomer, fleet.rated, wanted)
    assert (again[np.arange(342) != 7] == at[np.arange(342) != 7]).all() and again[7] >= 0
    wanted[3] = 0
    after = without_tracker(at, fleet.rated, wanted, 3)
    assert not (after == 3).any()
    assert (after[at != 3] == at[at != 3]).all()
    rest = np.delete(lacking(after, fleet.rated, wanted), 3)
    assert int(rest.max()) < int(fleet.rated.sum()) // 100


@pytest.mark.parametrize("trackers", [8, 16])
def test_bare_hashing_wastes_supply_and_capacity_does_not(trackers: int) -> None:
    demand = 3_200_000_000
    fleet = draw_fleet(342, demand * 105 // 100, 1)
    wanted = np.full(trackers, demand // trackers, np.int64)
    hashed = by_hash([f"10.0.{i // 256}.{i % 256}:33000" for i in range(342)], list(range(342)), trackers)
    assert served_apart(hashed, fleet.rated, wanted) < demand * 98 // 100
    assert served_apart(by_capacity(fleet.rated, wanted), fleet.rated, wanted) == int(wanted.sum())
    # A handful of hand-overs mends what the hash did.
    mended = balanced(hashed, fleet.rated, wanted, 10 * trackers)
    assert served_apart(mended, fleet.rated, wanted) == int(wanted.sum())
