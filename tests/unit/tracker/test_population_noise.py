"""The stochastic step: unbiased, as wide and as lasting as asked for, the same bits however it is computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.compiled import COMPILED
from scowl_edge.tracker.population import noise
from scowl_edge.tracker.population.assign import same_sums, sum_trees
from scowl_edge.tracker.population.census import STATE, draw
from scowl_edge.tracker.population.columns import Columns, Layout, lay_out
from scowl_edge.tracker.population.noise import Living, Placed
from tests.population_site import copied, uncompiled

plain = uncompiled("noise")
HOMES = (STATE[0],)


def alive(consumers: int, seed: int = 1, *, trees: int = 4, homes: bool = False) -> tuple[Columns, Layout, Living]:
    census = draw(consumers, seed, shares=HOMES if homes else STATE)
    columns, layout = lay_out(census, trees)
    return columns, layout, noise.populate(census, layout, columns)


def twin(living: Living) -> Living:
    return Living(*(column.copy() for column in living))


def equal(one: Living | Columns, other: Living | Columns) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@contextmanager
def threads(count: int) -> Iterator[None]:
    numba = pytest.importorskip("numba")
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, before))
    try:
        yield
    finally:
        numba.set_num_threads(before)


def test_everybody_stands_at_the_mean_at_first() -> None:
    columns, layout, living = alive(2_000)
    assert np.array_equal(living.nominal, columns.demand)
    assert np.array_equal(living.big_nominal, columns.big_demand)
    assert not living.nominal[layout.consumer < 0].any()
    assert int((layout.feeds > 0).sum()) > 0


def test_mean_spread_and_memory_are_those_of_the_process() -> None:
    columns, _, living = alive(40_000, homes=True)
    noise.advance_some(columns, living, 7, 0, 1_000_000)
    nominal = living.nominal.astype(float)
    chosen = nominal > 50
    shares = []
    for tick in range(60):
        noise.advance(columns, living, 7, tick)
        shares.append(columns.demand[chosen] / nominal[chosen] - 1)
    seen = np.asarray(shares)
    # 60 ticks of memory 0.9 are some three independent ones: 0.3 / sqrt(3 * 40,000) is one standard error.
    assert abs(seen.mean()) < 5 * 0.3 / np.sqrt(3 * chosen.sum())
    assert seen.std() == pytest.approx(0.30, abs=0.003)
    for lag, memory in ((1, 0.9), (5, 0.9**5)):
        product = (seen[:-lag] * seen[lag:]).mean() / seen.var()
        assert product == pytest.approx(memory, abs=0.01)
    # Consumers are independent of their neighbours.
    assert abs(np.corrcoef(seen[-1][:-1], seen[-1][1:])[0, 1]) < 0.025


@pytest.mark.parametrize("nominal", [1, 2, 3, 132, 4096, 8191, -1, -310])
def test_no_size_is_biased(nominal: int) -> None:
    columns, layout, living = alive(30_000, homes=True)
    living.nominal[layout.consumer >= 0] = nominal
    noise.advance_some(columns, living, 3, 1, 1_000_000)
    demand = columns.demand[layout.consumer >= 0].astype(float)
    error = 5 * (0.3 * abs(nominal) + 0.5) / np.sqrt(len(demand))
    assert abs(demand.mean() - nominal) < error
    if abs(nominal) > 100:
        assert demand.std() == pytest.approx(0.3 * abs(nominal), rel=0.02)


def test_sums_are_exact_and_starved_ones_go_on_wanting() -> None:
    columns, layout, living = alive(5_000)
    before = columns.demand.copy()
    for tick in range(3):
        noise.advance(columns, living, 5, tick)
        assert noise.advance_some(columns, living, 5, tick, 100_000) > 0
        sum_trees(columns)
        assert same_sums(columns)
    assert not columns.tree_load.any()
    wanted = columns.demand.astype(int).sum() + columns.big_demand.sum()
    assert wanted > 0
    assert not np.array_equal(columns.demand, before)
    assert not columns.demand[layout.consumer < 0].any()


def test_demand_keeps_its_sign_and_its_nameplate() -> None:
    columns, _, living = alive(5_000)
    living.noise[:] = 255
    living.big_noise[:] = 255
    top, feeds_top = noise.nameplates(living)
    for tick in range(20):
        noise.advance(columns, living, 5, tick, np.full(5, 4_000_000, np.int32))
        sign = np.sign(living.nominal.astype(int))
        assert ((columns.demand * sign >= 0) & (np.abs(columns.demand.astype(int)) <= top)).all()
        assert (np.abs(columns.big_demand.astype(int)) <= feeds_top).all()


def test_a_daily_profile_moves_the_mean_of_each_kind() -> None:
    columns, _, living = alive(60_000)
    factor = np.array([500_000, 1_500_000, 1_000_000, 0, 2_000_000], np.int32)
    noise.advance_some(columns, living, 9, 0, 1_000_000, factor)
    whole = {}
    for k in range(5):
        mine = living.kind == k
        mean = living.nominal[mine].sum() + living.big_nominal[living.big_kind == k].sum()
        whole[k] = (columns.demand[mine].sum() + columns.big_demand[living.big_kind == k].sum()) / mean if mean else 0
    assert whole[0] == pytest.approx(0.5, rel=0.01)
    assert whole[1] == pytest.approx(1.5, rel=0.05)
    assert whole[3] == 0
    assert whole[4] == pytest.approx(2.0, rel=0.1)


def test_feeds_of_one_consumer_move_as_one() -> None:
    columns, layout, living = alive(20_000, trees=40)
    owner = int(np.argmax(layout.feeds))
    mine = slice(int(layout.feed[owner]), int(layout.feed[owner] + layout.feeds[owner]))
    assert layout.feeds[owner] > 2
    for tick in range(5):
        noise.advance(columns, living, 5, tick)
        noise.advance_some(columns, living, 5, tick, 500_000)
        assert len(set(living.big_deviation[mine].tolist())) == 1
    assert len(set(living.big_deviation.tolist())) > 3


@pytest.mark.parametrize("share_ppm", [0, 100, 10_000, 300_000, 1_000_000])
def test_about_a_share_switches_and_nobody_else_moves(share_ppm: int) -> None:
    columns, layout, living = alive(100_000, homes=True)
    living.deviation[:] = 1_000
    count = noise.advance_some(columns, living, 4, 2, share_ppm)
    moved = living.deviation != 1_000
    assert int(moved.sum()) == count
    assert not moved[layout.consumer < 0].any()
    expected = 100_000 * share_ppm / 1e6
    assert abs(count - expected) <= 5 * np.sqrt(expected * (1 - share_ppm / 1e6)) + expected * 1e-3
    if 0 < share_ppm < 1_000_000:
        at = np.flatnonzero(moved)
        again = noise.advance_some(columns, living, 4, 3, share_ppm)
        assert again > 0
        both = np.flatnonzero(living.deviation != 1_000)
        assert len(both) > len(at), "another tick, others switch"


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(-(2**63), 2**63),
    tick=st.integers(0, 2**40),
    memory=st.sampled_from([0, 500_000, 999_999]),
    share=st.sampled_from([0, 1, 200_000, 1_000_000]),
    factor=st.none() | st.lists(st.integers(0, 4_000_000), min_size=5, max_size=5),
    data=st.data(),
)
def test_compiled_and_uncompiled_agree_up_to_the_limits_of_the_types(
    seed: int, tick: int, memory: int, share: int, factor: list[int] | None, data: st.DataObject
) -> None:
    columns, _, living = alive(200, trees=2)
    at = data.draw(st.lists(st.integers(0, len(columns.demand) - 1), max_size=8))
    for slot in at:
        living.nominal[slot] = data.draw(st.sampled_from([-32_768, -32_767, -1, 0, 1, 32_767]))
        living.deviation[slot] = data.draw(st.sampled_from([-1_023, 0, 1_023]))
        living.noise[slot] = data.draw(st.sampled_from([0, 1, 255]))
        columns.demand[slot] = data.draw(st.sampled_from([-32_768, 0, 32_767]))
    living.big_nominal[0] = data.draw(st.sampled_from([-(2**31), 0, 2**31 - 1]))
    living.big_noise[0] = 255
    factors = None if factor is None else np.asarray(factor, np.int32)
    other, other_living = copied(columns), twin(living)
    noise.advance(columns, living, seed, tick, factors, autocorrelation_ppm=memory)
    plain.advance(other, other_living, seed, tick, factors, autocorrelation_ppm=memory)
    assert equal(columns, other)
    assert equal(living, other_living)
    count = noise.advance_some(columns, living, seed, tick, share, factors)
    assert plain.advance_some(other, other_living, seed, tick, share, factors) == count
    assert equal(columns, other)
    assert equal(living, other_living)


@pytest.mark.skipif(not COMPILED, reason="threads need compiled kernels")
def test_threads_do_not_show() -> None:
    columns, _, living = alive(30_000)
    other, other_living = copied(columns), twin(living)
    with threads(1):
        noise.advance(columns, living, 1, 1)
        noise.advance_some(columns, living, 1, 2, 50_000)
    with threads(2):
        noise.advance(other, other_living, 1, 1)
        noise.advance_some(other, other_living, 1, 2, 50_000)
    assert equal(columns, other)
    assert equal(living, other_living)


def test_ticks_and_seeds_differ() -> None:
    drawn = []
    for seed, tick in ((1, 1), (1, 2), (2, 1)):
        columns, _, living = alive(20_000, homes=True)
        noise.advance(columns, living, seed, tick)
        drawn.append(living.deviation.astype(float))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(drawn[a], drawn[b])[0, 1]) < 0.03


def test_room_for_more_and_those_who_leave() -> None:
    columns, layout, living = alive(1_000)
    wider = noise.grown(living, len(living.nominal) + 16, len(living.big_nominal) + 1)
    assert np.array_equal(wider.nominal[:-16], living.nominal)
    assert wider.big_nominal[-1] == 0
    big = int(np.flatnonzero(layout.feeds > 0)[0])
    gone = Placed(layout.slot[[0, big]], layout.feed[[0, big]], layout.feeds[[0, big]])
    noise.vacate(living, gone)
    noise.advance(columns, living, 1, 1)
    assert columns.demand[layout.slot[0]] == 0 or layout.slot[0] < 0
    assert columns.big_demand[layout.feed[big]] == 0


@pytest.mark.parametrize("factor", [[1, 2], [0, 0, 0, 0, -1], [0, 0, 0, 0, 4_000_001]])
def test_a_profile_that_does_not_fit_is_refused(factor: list[int]) -> None:
    columns, _, living = alive(100)
    with pytest.raises(ValueError, match="factors"):
        noise.advance(columns, living, 1, 1, np.asarray(factor, np.int32))


def test_impossible_rates_are_refused() -> None:
    columns, _, living = alive(100)
    with pytest.raises(ValueError, match="autocorrelation"):
        noise.advance(columns, living, 1, 1, autocorrelation_ppm=1_000_000)
    with pytest.raises(ValueError, match="share"):
        noise.advance_some(columns, living, 1, 1, 1_000_001)
