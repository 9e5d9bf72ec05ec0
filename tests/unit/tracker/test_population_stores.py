"""Stores: exact energy, exact sums, cuts in the order of charge, and the same integers compiled or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from population_site import uncompiled

from scowl_edge.tracker.population import storage_cuts as cuts
from scowl_edge.tracker.population import stores as kernels
from scowl_edge.tracker.population.columns import NO_TREE
from scowl_edge.tracker.population.stores import (
    CHARGED,
    CHARGING,
    CORRECTED,
    DISCHARGED,
    DISCHARGING,
    IDLE,
    LOST,
    POWER,
    SLEEPING,
    TURNED,
    Stores,
    lay_out_stores,
)

DEAD_MS = 5_000


def some(n: int, seed: int, *, largest: int = 1_000) -> Stores:
    """Stores of all sorts: vehicles with a departure or without consent, standby losses, some outside of any tree."""
    rng = np.random.default_rng(seed)
    power = rng.integers(0, largest + 1, n)
    stores = lay_out_stores(
        rng.integers(1, 60 * largest, n),
        power,
        rng.integers(0, largest + 1, n),
        rng.integers(0, 10_001, n),
        trees=5,
        tree=rng.integers(0, 5, n),
    )
    stores.consent[:] = rng.random(n) < 0.8
    stores.departure[:] = np.where(rng.random(n) < 0.3, rng.integers(0, 9_000, n), 0)
    stores.standby[:] = rng.integers(0, 300, n)
    stores.efficiency[:] = rng.integers(5_000, 10_001, n)
    stores.tree[rng.random(n) < 0.1] = NO_TREE
    kernels.restore_cells(stores, 0)
    return stores


def exact(stores: Stores, now_ms: int) -> bool:
    """Whether cells and running sums equal a recount."""
    again = Stores(*(column.copy() for column in stores))
    kernels.restore_cells(again, now_ms)
    return all(
        np.array_equal(a, b)
        for a, b in zip(
            (stores.cell, stores.cell_count, stores.cell_charge, stores.cell_discharge, stores.tree_power),
            (again.cell, again.cell_count, again.cell_charge, again.cell_discharge, again.tree_power),
            strict=True,
        )
    ) and int(stores.totals[POWER]) == int(again.totals[POWER]) == int(stores.power.sum())


def test_what_is_fullest_stops_storing_first_and_the_last_one_fits_best() -> None:
    soc = np.array([9_000, 5_000, 8_000, 8_010, 8_020, 3_000])
    stores = lay_out_stores(np.full(6, 10_000), np.array([100, 100, 60, 40, 70, 10]), np.full(6, 50), soc)
    assert cuts.wake_and_fill(stores, 10_000, 0) == 380
    cuts.forget_orders(stores)
    assert cuts.stop_storing(stores, 135, 0) == 140, "100, then of those at 80 % the 40 that still covers"
    assert np.flatnonzero(stores.state == IDLE).tolist() == [0, 3]
    assert sorted(stores.turned[: stores.totals[TURNED]].tolist()) == [0, 3]
    assert int(stores.totals[POWER]) == 240
    assert cuts.stop_storing(stores, 1_000, 0) == 240, "no more than there is"
    assert cuts.stop_storing(stores, 1, 0) == 0


def test_only_what_may_discharges_and_not_before_its_dead_time_is_over() -> None:
    soc = np.array([9_000, 9_000, 5_000, 1_050, 9_000])
    stores = lay_out_stores(np.full(5, 10_000), np.full(5, 20), np.full(5, 30), soc, dead_ms=DEAD_MS)
    stores.consent[1] = 0
    stores.departure[2] = 6_000
    kernels.restore_cells(stores, 0)
    assert cuts.wake_and_fill(stores, 20, 0) == 20 and stores.state[3] == CHARGING, "the emptiest"
    assert cuts.discharge_ready(stores, 1_000, 0) == 60
    assert stores.state.tolist() == [DISCHARGING, IDLE, IDLE, CHARGING, DISCHARGING]
    assert cuts.stop_discharge(stores, 59, 0) == 30, "as far as there is room, not further"
    charging = lay_out_stores(np.full(1, 10_000), np.full(1, 20), np.full(1, 30), np.full(1, 5_000), dead_ms=DEAD_MS)
    cuts.wake_and_fill(charging, 20, 0)
    assert cuts.stop_storing(charging, 1, 1_000) == 20
    assert cuts.discharge_ready(charging, 1, 1_000) == 0
    assert cuts.discharge_later(charging, 1, 1_000) == 30 == cuts.promised(charging)
    assert charging.power[0] == 0
    kernels.advance(charging, 3_000, 1_000 + DEAD_MS - 1)
    assert charging.power[0] == 0 == charging.totals[DISCHARGED]
    kernels.advance(charging, 3_000, 1_000 + DEAD_MS + 1_000)
    assert charging.power[0] == -30 and cuts.promised(charging) == 0
    assert charging.totals[DISCHARGED] == 30 * 1_000 * 1_000, "it began when the dead time was over, a second ago"


def test_the_emptiest_are_filled_first_and_sleepers_wake_at_their_level() -> None:
    stores = lay_out_stores(np.full(3, 1_000), np.full(3, 10), np.full(3, 10), np.array([500, 3_000, 9_490]))
    assert stores.state.tolist() == [SLEEPING, IDLE, IDLE]
    assert cuts.wake_and_fill(stores, 19, 0) == 10 and stores.state[0] == CHARGING
    kernels.advance(stores, 10_000, 10_000)
    assert stores.soc[0] == 1_400
    assert cuts.stop_storing(stores, 1, 10_000) == 10 and stores.state[0] == SLEEPING, "not yet at its wake level"
    assert cuts.wake_and_fill(stores, 10, 20_000) == 10
    kernels.advance(stores, 10_000, 30_000)
    cuts.stop_storing(stores, 1, 30_000)
    assert stores.soc[0] == 2_300 and stores.state[0] == IDLE
    assert cuts.absorb(stores, 1_000, 40_000) == 20, "the third is full"


def test_one_too_large_for_what_is_spare_does_not_hold_up_the_rest() -> None:
    stores = lay_out_stores(np.full(3, 1_000), np.array([500, 20, 30]), np.full(3, 10), np.array([1_500, 4_000, 4_000]))
    assert cuts.wake_and_fill(stores, 40, 0) == 30
    assert cuts.wake_and_fill(stores, 40, 0) == 20


def test_below_its_protection_level_a_store_trickle_charges_whatever_the_region_wants() -> None:
    stores = lay_out_stores(np.full(1, 1_000), np.full(1, 100), np.full(1, 100), np.full(1, 200), protection=300)
    kernels.advance(stores, 1, 1)
    assert stores.power[0] == stores.trickle[0] == 3 == stores.totals[POWER]
    assert cuts.stop_storing(stores, 100, 1) == 0
    assert cuts.wake_and_fill(stores, 99, 1) == 0
    for k in range(100):
        kernels.advance(stores, 1_000, 1 + 1_000 * (k + 1))
    assert stores.soc[0] >= 400 and stores.power[0] == 0


@given(
    seed=st.integers(0, 1_000),
    largest=st.sampled_from([1, 1_000, (1 << 31) - 1]),
    orders=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 1 << 33), st.sampled_from([1, 40, 1_000, 60_000, 3_600_000])),
        min_size=1,
        max_size=12,
    ),
)
@settings(max_examples=25, deadline=None)
def test_energy_is_conserved_and_limits_hold_in_any_course(
    seed: int, largest: int, orders: list[tuple[int, int, int]]
) -> None:
    stores = some(60, seed, largest=largest)
    verbs = (
        cuts.stop_storing,
        cuts.discharge_ready,
        cuts.discharge_later,
        cuts.stop_discharge,
        cuts.wake_and_fill,
        cuts.absorb,
        cuts.cut_discharge,
    )
    plain_verbs = [getattr(uncompiled_cuts(), verb.__name__) for verb in verbs]
    other = Stores(*(column.copy() for column in stores))
    at_first, now_ms = int(stores.energy.sum()), 10_000
    kept = np.maximum(stores.floor, stores.departure).astype(np.int64) * stores.unit
    for verb, amount, dt_ms in orders:
        before_w, energy = int(stores.totals[POWER]), stores.energy.copy()
        pending = cuts.promised(stores)
        given_w = verbs[verb](stores, amount, now_ms)
        assert given_w == plain_verbs[verb](other, amount, now_ms)
        change = int(stores.totals[POWER]) - before_w + pending - cuts.promised(stores)
        trickle = int(stores.trickle.sum())
        if verb in (3, 4, 5):
            assert given_w - trickle <= change <= given_w
        else:
            assert given_w == -change if verb != 6 else given_w == change
        if verb in (3, 4):
            assert given_w <= amount
        assert exact(stores, now_ms)
        now_ms += dt_ms
        discharging = stores.state == DISCHARGING
        kernels.advance(stores, dt_ms, now_ms)
        plain_stores().advance(other, dt_ms, now_ms)
        standby = np.minimum(energy, stores.standby.astype(np.int64) * dt_ms)
        assert (stores.energy[discharging] >= np.minimum(kept, energy - standby)[discharging]).all()
        assert (stores.energy <= np.maximum(stores.ceiling * stores.unit, energy)).all() and (stores.energy >= 0).all()
        assert np.array_equal(stores.soc, stores.energy // stores.unit)
        totals = stores.totals
        assert int(stores.energy.sum()) - at_first == int(totals[CHARGED] - totals[DISCHARGED] - totals[LOST])
        assert exact(stores, now_ms)
        assert all(np.array_equal(a, b) for a, b in zip(stores, other, strict=True)), "compiled equals uncompiled"


def test_a_reading_replaces_what_was_reckoned_and_is_booked() -> None:
    stores = some(50, 3)
    before = int(stores.energy.sum())
    kernels.measure(stores, np.array([4, 7], np.int32), np.array([9_999, 65_535], np.uint16), 0)
    assert stores.soc[[4, 7]].tolist() == [9_999, 10_000]
    assert int(stores.energy.sum()) - before == int(stores.totals[CORRECTED])
    assert exact(stores, 0)


def test_a_store_may_change_its_tree() -> None:
    stores = some(50, 4)
    cuts.absorb(stores, 10_000, 0)
    for i in range(50):
        kernels.rehome(stores, i, NO_TREE if i % 7 == 0 else i % 5)
    assert exact(stores, 0)


def test_orders_are_listed_once() -> None:
    stores = some(200, 5)
    cuts.absorb(stores, 50_000, 0)
    cuts.stop_storing(stores, 50_000, 0)
    cuts.discharge_later(stores, 50_000, 0)
    listed = stores.turned[: stores.totals[TURNED]]
    assert len(set(listed.tolist())) == len(listed) > 0
    cuts.forget_orders(stores)
    assert not stores.noted.any() and stores.totals[TURNED] == 0


@pytest.mark.parametrize(
    ("capacity", "charge", "soc"), [(0, 1, 1), (1 << 42, 1, 1), (1, -1, 1), (1, 1 << 31, 1), (1, 1, -1), (1, 1, 10_001)]
)
def test_what_no_store_can_be_is_refused(capacity: int, charge: int, soc: int) -> None:
    with pytest.raises(ValueError, match="must be from"):
        lay_out_stores(np.array([capacity]), np.array([charge]), np.array([1]), np.array([soc]))


_plain: dict[str, object] = {}


def uncompiled_cuts() -> object:
    return _plain.setdefault("cuts", uncompiled("storage_cuts"))


def plain_stores():  # type: ignore[no-untyped-def]
    return _plain.setdefault("stores", uncompiled("stores"))
