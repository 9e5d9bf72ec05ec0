"""Flows on cells, against a solver that we did not write."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scowl_edge.tracker.population.cells import arcs_of, even_flow, group_zones, unmet
from scowl_edge.tracker.population.columns import CLASSES
from tests.population_site import drawn, uncompiled

PLAIN = uncompiled("cells")


def most(need: NDArray[np.int64], arcs: NDArray[np.uint8], room: NDArray[np.int64]) -> int:
    """The greatest flow, by scipy."""
    sparse = pytest.importorskip("scipy.sparse", reason="scipy is not installed")
    graph = pytest.importorskip("scipy.sparse.csgraph")
    groups, trees = arcs.shape
    wide = np.zeros((groups + trees + 2, groups + trees + 2), np.int32)
    wide[0, 1 : groups + 1] = np.maximum(need, 0)
    wide[1 : groups + 1, groups + 1 : -1] = arcs.astype(np.int32) * 1_000_000_000
    wide[groups + 1 : -1, -1] = room
    return int(graph.maximum_flow(sparse.csr_matrix(wide), 0, groups + trees + 1).flow_value)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 100_000), groups=st.integers(1, 9), trees=st.integers(1, 12), density=st.floats(0.05, 1.0))
def test_flows_are_the_greatest_there_are_and_lexicographic(seed: int, groups: int, trees: int, density: float) -> None:
    chance = np.random.default_rng(seed)
    arcs = (chance.random((groups, trees)) < density).astype(np.uint8)
    total = np.zeros((groups, CLASSES), np.int64)
    total[:, :4] = chance.integers(0, 100, (groups, 4))
    room = chance.integers(0, 200, trees).astype(np.int64)
    share = room // 2
    short = unmet(total, arcs, room)
    assert np.array_equal(short, PLAIN.unmet(total, arcs, room))
    assert int(total.sum() - short.sum()) == most(total.sum(axis=1), arcs, room)
    # Whoever is met, class by class, is met without the less important ones.
    met = total.sum(axis=1) - short
    for k in range(1, CLASSES):
        upto = total[:, :k].sum(axis=1)
        assert int(np.minimum(upto, met).sum()) == most(upto, arcs, room)
    need = total.sum(axis=1)
    flow = even_flow(need, arcs, share, room)
    assert np.array_equal(flow, PLAIN.even_flow(need, arcs, share, room))
    assert (flow >= 0).all() and (flow[arcs == 0] == 0).all()
    assert (flow.sum(axis=0) <= room).all() and (flow.sum(axis=1) <= need).all()
    assert int(flow.sum()) == most(need, arcs, room)


def test_an_even_flow_is_even_where_everybody_may_feed_everybody() -> None:
    need, room = np.array([300, 500], np.int64), np.array([1_000, 400, 200], np.int64)
    flow = even_flow(need, np.ones((2, 3), np.uint8), room // 2, room)
    assert flow.sum(axis=0).tolist() == [500, 200, 100]


def test_what_one_class_produces_relieves_the_next() -> None:
    total = np.zeros((1, CLASSES), np.int64)
    total[0, 1], total[0, 2], total[0, 3] = 50, -30, 40
    assert unmet(total, np.ones((1, 1), np.uint8), np.array([55], np.int64)).tolist() == [5]


def test_zones_that_the_same_trees_may_feed_are_one_group() -> None:
    columns, _ = drawn(500, 3, leaves=4)
    columns.eligible[:] = 1
    columns.eligible[2] = [0, 1, 1]
    columns.eligible[3] = [0, 0, 1]
    columns.eligible[4] = 0
    # The third tree carries nothing, so it tells no zones apart, and whom only it may feed is fed by none.
    usable = np.array([5, 5, 0], np.int64)
    groups, count = group_zones(columns, usable)
    assert count == 2
    assert groups.tolist() == [0, 0, 1, -1, -1, 0]
    assert arcs_of(columns, groups, count, usable).tolist() == [[1, 1, 0], [0, 1, 0]]
