"""Cuts through the stores by state of charge: who stops charging, who discharges, who wakes and fills.

Thresholds come from the sums by cell, so that only those stores are looked at closely that change. What is asked for is
met by at least as much (something is short), or by at most as much (something is spare). The order is by bucket of
charge; within the last bucket by number, and the last store of a cut is the best fitting.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.columns import NO_TREE
from scowl_edge.tracker.population.stores import (
    ASLEEP,
    BUCKETS,
    CELLS,
    CHARGES,
    CHARGING,
    DISCHARGES,
    DISCHARGING,
    IDLE,
    POWER,
    SLEEPING,
    STARTS,
    TURNED,
    Stores,
    settle,
)

_IDLE_GIVES = 1 << 3 | 1 << 4 | 1 << 5
_IDLE_GIVES_LATER = 1 << 6 | 1 << 7 | 1 << 8
_TAKES = 1 << 1 | 1 << 4 | 1 << 7 | 1 << ASLEEP
_CHUNK = 2_048
"""Stores that are turned at a time: what one pass has read, the next finds in the cache."""


@kernel
def _turn(stores: Stores, numbers: NDArray[np.int32], state: int, now_ms: int) -> None:
    """Orders stores into another state and notes them."""
    states, powers, last, free_at, dead = stores.state, stores.power, stores.last, stores.free_at_ms, stores.dead_ms
    charge, discharge, tree, tree_power = stores.charge, stores.discharge, stores.tree, stores.tree_power
    soc, floor, wake, noted, turned = stores.soc, stores.floor, stores.wake, stores.noted, stores.turned
    change, listed = 0, int(stores.totals[TURNED])
    for first in range(0, len(numbers), _CHUNK):
        some = numbers[first : first + _CHUNK]
        for k in range(len(some)):
            i = int(some[k])
            before, was, then = int(states[i]), int(powers[i]), state
            if before == CHARGING or (before == DISCHARGING and was != 0):
                last[i] = 1 if before == CHARGING else -1
                free_at[i] = now_ms + int(dead[i])
            power = 0
            if state == CHARGING:
                power = int(charge[i])
            elif state == DISCHARGING and (now_ms >= free_at[i] or last[i] <= 0):
                power = 0 - int(discharge[i])
            elif state == IDLE and (soc[i] <= floor[i] or (before == CHARGING and soc[i] < wake[i])):
                then = SLEEPING
            powers[i] = power
            states[i] = then
            change += power - was
            if tree[i] != NO_TREE:
                tree_power[tree[i]] += power - was
            if noted[i] == 0:
                noted[i] = 1
                turned[listed] = i
                listed += 1
        settle(stores, some, now_ms)
    stores.totals[POWER] += change
    stores.totals[TURNED] = listed


@kernel
def _threshold(
    stores: Stores, groups: int, by_charge: bool, fullest: bool, need: int, take: NDArray[np.uint8]
) -> tuple[int, int]:
    """Marks cells: 1 = all of its stores, 2 = some of them. (Sum of the first; what is wanted of the others.)"""
    sums = stores.cell_charge if by_charge else stores.cell_discharge
    whole = 0
    for step in range(BUCKETS):
        bucket = BUCKETS - 1 - step if fullest else step
        there = 0
        for group in range(16):
            if groups >> group & 1:
                there += sums[group * BUCKETS + bucket]
        if there == 0:
            continue
        mark = 1 if whole + there <= need else 2
        for group in range(16):
            if groups >> group & 1:
                take[group * BUCKETS + bucket] = mark
        if mark == 2:
            return whole, need - whole
        whole += there
        if whole == need:
            break
    return whole, 0


@kernel
def cut(
    stores: Stores, groups: int, by_charge: bool, fullest: bool, cover: bool, need: int, state: int, now_ms: int
) -> int:
    """Turns as many stores of some groups as are needed, in the order of their charge; what their ratings add up to.

    With `cover` at least `need`, if there is as much; else at most.
    """
    if need <= 0:
        return 0
    take = np.zeros(CELLS, np.uint8)
    given, left = _threshold(stores, groups, by_charge, fullest, need, take)
    cells, sizes = stores.cell, stores.charge if by_charge else stores.discharge
    chosen = np.empty(len(cells) + 1, np.int32)
    count, last_cells = 0, 0
    for i in range(len(cells)):
        # Without a branch: who is taken is as good as random in the order of numbers.
        mark = take[cells[i]]
        chosen[count] = i
        count += 1 if mark == 1 else 0
        last_cells += 1 if mark == 2 else 0
    best, best_size, at = -1, 1 << 62, 0
    while last_cells > 0:
        if take[cells[at]] == 2:
            last_cells -= 1
            size = int(sizes[at])
            if size <= left:
                left -= size
                given += size
                chosen[count] = at
                count += 1
            elif size < best_size:
                best, best_size = at, size
        at += 1
    if cover and left > 0 and best >= 0:
        chosen[count] = best
        count += 1
        given += best_size
    if count == 0:
        best = _first_fitting(stores, groups, by_charge, fullest, need)
        if best < 0:
            return 0
        chosen[0] = best
        count, given = 1, int(sizes[best])
    _turn(stores, chosen[:count], state, now_ms)
    return given


@kernel
def _first_fitting(stores: Stores, groups: int, by_charge: bool, fullest: bool, need: int) -> int:
    """The store that fits into `need`, first by charge, then by size, or -1: where the first in line is too large,
    those behind it must not wait for ever."""
    cells, sizes = stores.cell, stores.charge if by_charge else stores.discharge
    best, best_size, best_bucket = -1, 0, -1
    for i in range(len(cells)):
        cell, size = int(cells[i]), int(sizes[i])
        if groups >> (cell // BUCKETS) & 1 and 0 < size <= need:
            bucket = cell % BUCKETS if fullest else BUCKETS - 1 - cell % BUCKETS
            if bucket > best_bucket or (bucket == best_bucket and size > best_size):
                best, best_size, best_bucket = i, size, bucket
    return best


def stop_storing(stores: Stores, need: int, now_ms: int) -> int:
    """Stops charging, fullest first, until `need` quanta are relieved; quanta relieved, at once."""
    return int(cut(stores, 1 << CHARGES, True, True, True, need, IDLE, now_ms))


def discharge_ready(stores: Stores, need: int, now_ms: int) -> int:
    """Turns idle stores to discharging, fullest first, until `need` quanta are given; quanta given, at once.

    Only those with consent, above their floor and what they keep for a departure, outside of any dead time.
    """
    return int(cut(stores, _IDLE_GIVES, False, True, True, need, DISCHARGING, now_ms))


def discharge_later(stores: Stores, need: int, now_ms: int) -> int:
    """The same with those that charged a moment ago: they begin when their dead time is over; quanta promised."""
    return int(cut(stores, _IDLE_GIVES_LATER, False, True, True, need, DISCHARGING, now_ms))


def stop_discharge(stores: Stores, spare: int, now_ms: int) -> int:
    """Stops discharging, emptiest first, as far as `spare` quanta allow; those that have not begun yet go first."""
    given = int(cut(stores, 1 << STARTS, False, False, False, spare, IDLE, now_ms))
    return given + int(cut(stores, 1 << DISCHARGES, False, False, False, spare - given, IDLE, now_ms))


def cut_discharge(stores: Stores, excess: int, now_ms: int) -> int:
    """The same when generation has to give way: at least `excess`, if as much is discharged."""
    return int(cut(stores, 1 << DISCHARGES, False, False, True, excess, IDLE, now_ms))


def wake_and_fill(stores: Stores, spare: int, now_ms: int) -> int:
    """Starts charging, emptiest first, sleeping ones included, as far as `spare` quanta allow; quanta taken."""
    return int(cut(stores, _TAKES, True, False, False, spare, CHARGING, now_ms))


def absorb(stores: Stores, excess: int, now_ms: int) -> int:
    """The same when generation has to go somewhere: at least `excess`, if there is room for as much."""
    return int(cut(stores, _TAKES, True, False, True, excess, CHARGING, now_ms))


def promised(stores: Stores) -> int:
    """Quanta of those that were told to discharge and wait for the end of their dead time."""
    return int(stores.cell_discharge[STARTS * BUCKETS : (STARTS + 1) * BUCKETS].sum())


def bridging(stores: Stores) -> int:
    """Quanta of those that discharge."""
    return int(stores.cell_discharge[DISCHARGES * BUCKETS : (DISCHARGES + 1) * BUCKETS].sum())


@kernel
def forget_orders(stores: Stores) -> None:
    """Begins a new list of orders: those in `turned` have been passed on."""
    for k in range(stores.totals[TURNED]):
        stores.noted[stores.turned[k]] = 0
    stores.totals[TURNED] = 0
