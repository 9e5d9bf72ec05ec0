"""The full rebuild beside proven optima: all plans tried for tiny sites, a solver's bounds for small ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, hstack, identity, kron

from scowl_edge.tracker.population import bounds
from scowl_edge.tracker.population.census import STATE, draw, draw_fleet
from scowl_edge.tracker.population.chance import below
from scowl_edge.tracker.population.columns import NO_TREE, Census, Columns, Log, lay_out
from scowl_edge.tracker.population.fill import rebuild
from scowl_edge.tracker.population.history import History

SOLVER_S = 4.0
HOMES = (STATE[0],)


def rebuilt(columns: Columns) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(demand, class, tree) of each consumer after a full rebuild; a tree of -1 = starved."""
    rebuild(columns, Log.empty(1 << 16), History.empty(columns))
    sizes = np.diff(columns.block_start)
    tree = np.repeat(columns.block_tree, sizes)
    mixed = tree == 65_534
    tree[mixed] = columns.tree[mixed]
    demand = np.concatenate([columns.demand, columns.big_demand]).astype(np.int64)
    klass = np.concatenate([np.repeat(columns.block_class, sizes), columns.big_class]).astype(np.int64)
    tree = np.concatenate([tree, columns.big_tree]).astype(np.int64)
    tree[tree == NO_TREE] = -1
    here = demand != 0
    return demand[here], klass[here], tree[here]


def census_of(nominal: NDArray[np.int64], klass: NDArray[np.int64]) -> Census:
    zeros = np.zeros(len(nominal), np.int32)
    return Census(10, nominal, zeros.astype(np.uint16), klass.astype(np.uint8), zeros.astype(np.uint8), zeros, zeros)


def site(census: Census, safe: list[int], big: int) -> Columns:
    columns, _ = lay_out(census, len(safe), big=big, feed=1 << 31)
    columns.tree_safe[:] = safe
    columns.tree_alive[:] = 1
    return columns


def loads_of(demand: NDArray[np.int64], tree: NDArray[np.int64], trees: int) -> list[int]:
    return [int(demand[tree == t].sum()) for t in range(trees)]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 3)), min_size=1, max_size=8),
    st.lists(st.integers(0, 60), min_size=1, max_size=3),
    st.sampled_from([1, 8_000]),
)
def test_a_tiny_site_is_never_better_than_the_best_of_all_plans(
    people: list[tuple[int, int]], safe: list[int], big: int
) -> None:
    columns = site(census_of(np.array([d for d, _ in people]), np.array([k for _, k in people])), safe, big)
    demand, klass, tree = rebuilt(columns)
    trees, n = len(safe), len(demand)
    assert sorted(demand.tolist()) == sorted(d for d, _ in people)
    assert all(load <= room for load, room in zip(loads_of(demand, tree, trees), safe, strict=True))
    plans = np.indices((trees + 1,) * n).reshape(n, -1)
    fits = np.ones(plans.shape[1], np.bool_)
    for t in range(trees):
        fits &= ((plans == t) * demand[:, None]).sum(axis=0) <= safe[t]
    served = (plans[:, fits] < trees) * demand[:, None]
    most = bounds.energy(columns)
    for k in range(4):
        best = int(served[klass <= k].sum(axis=0).max()) if (klass <= k).any() else 0
        assert int(demand[(klass <= k) & (tree >= 0)].sum()) <= best <= most.most_up_to[k]
    # A large important one that no tree can take may starve instead of some small ones: fewer in all, and not better.
    assert np.bincount(klass[tree < 0], minlength=8).tolist() >= list(bounds.fewest_starved(columns).starved_of)


def test_tiny_sites_come_near_the_best_plan_in_the_mean() -> None:
    reached = possible = 0
    numbers = np.arange(8, dtype=np.uint64)
    plans = np.indices((4,) * 8).reshape(8, -1)
    for seed in range(40):
        nominal = below(30, seed, 1, numbers) + 1
        total = int(nominal.sum())
        safe = [total * share // 100 for share in (45, 30, 20)]
        demand, _, tree = rebuilt(site(census_of(nominal, np.ones(8, np.int64)), safe, 8_000 if seed % 2 else 1))
        fits = np.ones(plans.shape[1], np.bool_)
        for t in range(3):
            fits &= ((plans == t) * demand[:, None]).sum(axis=0) <= safe[t]
        reached += int(demand[tree >= 0].sum())
        possible += int(((plans[:, fits] < 3) * demand[:, None]).sum(axis=0).max())
    assert reached * 100 >= possible * 88


def solved(demand: NDArray[np.int64], safe: NDArray[np.int64], value: NDArray[np.int64]) -> tuple[float, float]:
    """(best plan found, proven bound) of the most value served."""
    n, trees = len(demand), len(safe)
    once = hstack([identity(n, format="csr")] * trees)
    room = kron(identity(trees, format="csr"), csr_array(demand[None, :]), format="csr")
    answer = milp(
        -np.tile(value, trees).astype(float),
        constraints=[LinearConstraint(once, ub=np.ones(n)), LinearConstraint(room, ub=safe.astype(float))],
        integrality=np.ones(n * trees),
        bounds=Bounds(0, 1),
        options={"time_limit": SOLVER_S, "mip_rel_gap": 0.0},
    )
    found = -answer.fun if answer.x is not None else 0.0
    # Stopped early on a slow machine it may know neither.
    proven = float(value.sum()) if answer.mip_dual_bound is None else -answer.mip_dual_bound
    return found, min(float(value.sum()), proven)


@pytest.mark.parametrize(("consumers", "trees", "ratio_ppm"), [(100, 4, 900_000), (300, 10, 1_000_000)])
def test_energy_beside_a_solver(consumers: int, trees: int, ratio_ppm: int) -> None:
    census = draw(consumers, 7, shares=HOMES)
    safe = draw_fleet(trees, int(census.nominal.sum()) * ratio_ppm // 1_000_000, 7).rated
    columns = site(census, safe.tolist(), 8_000)
    demand, _, tree = rebuilt(columns)
    found, proven = solved(demand, safe, demand)
    served, most = int(demand[tree >= 0].sum()), bounds.energy(columns).most
    assert found <= most + 0.5 and served <= proven + 0.5
    assert (min(proven, most) - served) * 4 <= trees * demand.mean(), "a quarter of a home for each tree"


@pytest.mark.parametrize(("consumers", "trees", "ratio_ppm"), [(100, 4, 900_000), (300, 10, 800_000)])
def test_the_fewest_starved_beside_a_solver(consumers: int, trees: int, ratio_ppm: int) -> None:
    census = draw(consumers, 3, shares=HOMES)
    census.klass[:] = 3
    safe = draw_fleet(trees, int(census.nominal.sum()) * ratio_ppm // 1_000_000, 3).rated
    columns = site(census, safe.tolist(), 8_000)
    demand, _, tree = rebuilt(columns)
    found, proven = solved(demand, safe, np.ones(len(demand), np.int64))
    fewest, starved = bounds.fewest_starved(columns).starved, int((tree < 0).sum())
    assert fewest <= consumers - round(found), "no plan may starve fewer than the bound"
    assert starved >= consumers - int(proven + 1e-6), "nor may the rebuild starve fewer than the solver proves"
    assert starved <= fewest + trees
