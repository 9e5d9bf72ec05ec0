"""Stores by the million: batteries and vehicles in columns, cut by state of charge without sorting.

A store is at full power or at none. It stands in a *cell*: what may be done with it (a group) and how full it is (one
of 126 buckets, 0.8 % each; within one, stores count as equally full). Counts and ratings by cell are kept exact, so
that a cut (`storage_cuts`) knows its threshold before it looks at any store.

Energy is in quanta x microseconds (10 uJ where the quantum is 10 W): power x time and standby losses are exact in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.columns import NO_TREE

SLEEPING, IDLE, CHARGING, DISCHARGING = range(4)
"""States. Sleeping: depleted; it is not used again before it has been filled to its wake level."""
FULL = 10_000
"""A state of charge of 100 %."""
EDGE = 100
"""Distance (1 %) to keep from a limit before running towards it: a start for less than that would be for nothing."""

ASLEEP, ASLEEP_LATER, CHARGES, STARTS, DISCHARGES = range(9, 14)
"""Groups of cells; 0 .. 8 are idle ones: 3 x (gives: no, now, later) + (takes: no, now, later). `STARTS`: ordered to
discharge, waiting for the end of the dead time."""
BUCKETS = 128
_PER_BUCKET = 80
CELLS = 16 * BUCKETS

POWER, CHARGED, DISCHARGED, LOST, CORRECTED, TURNED = range(6)
"""Places in `totals`: net power now (quanta); energy drawn from the network, given to it, lost in conversion and
standby, added by readings; how many entries of `turned` are filled."""


class Stores(NamedTuple):
    """All stores of a region, one row each; arrays change in place. Levels are in 1/10,000 of the capacity."""

    state: NDArray[np.uint8]
    soc: NDArray[np.uint16]
    """State of charge: `energy // unit`."""
    energy: NDArray[np.int64]
    unit: NDArray[np.int64]
    """Energy of 1/10,000 of the capacity."""
    power: NDArray[np.int32]
    """Quanta, + charging, - discharging."""
    charge: NDArray[np.int32]
    discharge: NDArray[np.int32]
    """Rated power, quanta, magnitudes."""
    trickle: NDArray[np.int32]
    """Power that it draws below its protection level, quanta."""
    standby: NDArray[np.int32]
    """What it loses all the time, thousandths of a quantum."""
    efficiency: NDArray[np.uint16]
    """Share of what it draws that it can give again, 1/10,000."""
    floor: NDArray[np.uint16]
    ceiling: NDArray[np.uint16]
    wake: NDArray[np.uint16]
    protection: NDArray[np.uint16]
    departure: NDArray[np.uint16]
    """What a vehicle has to keep for its departure; 0 = nothing."""
    consent: NDArray[np.uint8]
    """1 = may be discharged into the network."""
    dead_ms: NDArray[np.int32]
    """Time between charging and discharging."""
    free_at_ms: NDArray[np.int64]
    """Earliest time for running in the other direction than last time."""
    last: NDArray[np.int8]
    """Direction that it ran in last: 1 charging, -1 discharging, 0 neither."""
    tree: NDArray[np.uint16]
    """Tree that it belongs to, or NO_TREE."""
    cell: NDArray[np.uint16]
    cell_count: NDArray[np.int64]
    """[CELLS]"""
    cell_charge: NDArray[np.int64]
    """[CELLS] Sum of `charge`, quanta."""
    cell_discharge: NDArray[np.int64]
    tree_power: NDArray[np.int64]
    """[trees] Sum of `power`, quanta."""
    totals: NDArray[np.int64]
    turned: NDArray[np.int32]
    """[stores] Those that were ordered to do something else since `forget_orders`, `totals[TURNED]` of them."""
    noted: NDArray[np.uint8]
    """1 = is in `turned`."""


def lay_out_stores(
    capacity: NDArray[np.int64],
    charge: NDArray[np.int64],
    discharge: NDArray[np.int64],
    soc: NDArray[np.int64],
    *,
    trees: int = 1,
    tree: NDArray[np.int64] | None = None,
    floor: int = 1_000,
    ceiling: int = 9_500,
    wake: int = 2_000,
    protection: int = 300,
    efficiency: int = 9_000,
    dead_ms: int = 5_000,
) -> Stores:
    """Stores at rest. What is the same for all of them here may be changed by store afterwards, then `restore_cells`.

    Args:
        capacity: int64[n], quanta x seconds.
        charge: int64[n], quanta.
        discharge: int64[n], quanta.
        soc: int64[n], 1/10,000.
        trees: how many trees there are.
        tree: int64[n] of the store's tree; none if absent.
        floor: level that it is discharged to.
        ceiling: level that it is charged to.
        wake: level that a depleted one is filled to before it is used again.
        protection: level below which it trickle-charges whatever the region wants.
        efficiency: 1/10,000.
        dead_ms: time between charging and discharging.

    Raises:
        ValueError: a capacity that is not positive or above what 64 bits hold, a level or a rating out of range.
    """
    n = len(capacity)
    if n and not (int(capacity.min()) >= 1 and int(capacity.max()) < 1 << 42):
        raise ValueError("capacities of stores must be from 1 to 2^42 quanta x seconds")
    if n and not (int(soc.min()) >= 0 and int(soc.max()) <= FULL):
        raise ValueError(f"states of charge must be from 0 to {FULL}")
    for name, rating in (("charge", charge), ("discharge", discharge)):
        if n and not (int(rating.min()) >= 0 and int(rating.max()) < 1 << 31):
            raise ValueError(f"ratings ({name}) of stores must be from 0 to 2^31 - 1 quanta")
    if not 0 <= protection <= floor <= wake <= ceiling <= FULL or not 1 <= efficiency <= FULL:
        raise ValueError(f"levels of stores must rise from protection over floor and wake to ceiling, at most {FULL}")
    unit = capacity * 100  # seconds are a million microseconds, a unit a ten-thousandth
    level = np.full(n, 0, np.uint16)
    stores = Stores(
        state=np.full(n, IDLE, np.uint8),
        soc=soc.astype(np.uint16),
        energy=soc * unit,
        unit=unit,
        power=np.zeros(n, np.int32),
        charge=charge.astype(np.int32),
        discharge=discharge.astype(np.int32),
        trickle=np.minimum(charge, 1 + charge // 50).astype(np.int32),
        standby=np.zeros(n, np.int32),
        efficiency=level + np.uint16(efficiency),
        floor=level + np.uint16(floor),
        ceiling=level + np.uint16(ceiling),
        wake=level + np.uint16(wake),
        protection=level + np.uint16(protection),
        departure=level,
        consent=np.ones(n, np.uint8),
        dead_ms=np.full(n, dead_ms, np.int32),
        free_at_ms=np.zeros(n, np.int64),
        last=np.zeros(n, np.int8),
        tree=np.full(n, NO_TREE, np.uint16) if tree is None else tree.astype(np.uint16),
        cell=np.zeros(n, np.uint16),
        cell_count=np.zeros(CELLS, np.int64),
        cell_charge=np.zeros(CELLS, np.int64),
        cell_discharge=np.zeros(CELLS, np.int64),
        tree_power=np.zeros(trees, np.int64),
        totals=np.zeros(6, np.int64),
        turned=np.zeros(n, np.int32),
        noted=np.zeros(n, np.uint8),
    )
    stores.state[stores.soc <= stores.floor] = SLEEPING
    restore_cells(stores, 0)
    return stores


@kernel
def place(
    state: int, soc: int, power: int, waits: bool, last: int, kept: int, ceiling: int, charge: int, discharge: int
) -> int:
    """The cell of a store; `discharge` is 0 without consent."""
    # Numbers instead of the columns: handing so many arrays on costs more than the work.
    if state == CHARGING:
        group = CHARGES
    elif state == DISCHARGING:
        group = DISCHARGES if power != 0 else STARTS
    elif state == SLEEPING:
        group = 0 if charge == 0 else ASLEEP_LATER if waits and last < 0 else ASLEEP
    else:
        group = 0
        if discharge > 0 and soc >= kept + EDGE:
            group += 6 if waits and last > 0 else 3
        if charge > 0 and soc + EDGE <= ceiling:
            group += 2 if waits and last < 0 else 1
    return group * BUCKETS + soc // _PER_BUCKET


@kernel
def waits_in(cell: int) -> bool:
    """Whether the stores of a cell wait for the end of their dead time."""
    group = cell // BUCKETS
    return group == ASLEEP_LATER or (group < ASLEEP and (group >= 6 or group % 3 == 2))


@kernel
def settle(stores: Stores, numbers: NDArray[np.int32], now_ms: int) -> None:
    """Puts these stores into the cells where they belong now."""
    cell, charges, discharges, consent = stores.cell, stores.charge, stores.discharge, stores.consent
    state, soc, power, free_at, last = stores.state, stores.soc, stores.power, stores.free_at_ms, stores.last
    floor, departure, ceiling = stores.floor, stores.departure, stores.ceiling
    count, by_charge, by_discharge = stores.cell_count, stores.cell_charge, stores.cell_discharge
    for k in range(len(numbers)):
        i = int(numbers[k])
        before, charge, discharge = int(cell[i]), int(charges[i]), int(discharges[i])
        after = place(
            int(state[i]),
            int(soc[i]),
            int(power[i]),
            now_ms < free_at[i],
            int(last[i]),
            max(int(floor[i]), int(departure[i])),
            int(ceiling[i]),
            charge,
            discharge if consent[i] != 0 else 0,
        )
        if before != after:
            count[before] -= 1
            by_charge[before] -= charge
            by_discharge[before] -= discharge
            count[after] += 1
            by_charge[after] += charge
            by_discharge[after] += discharge
            cell[i] = after


@kernel
def restore_cells(stores: Stores, now_ms: int) -> None:
    """Counts cells and power anew from the stores: after a change of what a store is, and as a check."""
    n = len(stores.state)
    stores.cell[:] = 0
    stores.cell_count[:] = 0
    stores.cell_charge[:] = 0
    stores.cell_discharge[:] = 0
    stores.tree_power[:] = 0
    total = 0
    for i in range(n):
        stores.cell_count[0] += 1
        stores.cell_charge[0] += int(stores.charge[i])
        stores.cell_discharge[0] += int(stores.discharge[i])
        total += int(stores.power[i])
        if stores.tree[i] != NO_TREE:
            stores.tree_power[stores.tree[i]] += int(stores.power[i])
    stores.totals[POWER] = total
    settle(stores, np.arange(n).astype(np.int32), now_ms)


@kernel
def _filled(power: int, ms: int, efficiency: int, room: int) -> tuple[int, int]:
    """(energy drawn, energy stored) of so much charging, when there is room for so much."""
    drawn = power * ms * 1000
    # Quotient and rest apart: the whole product would not fit 64 bits.
    stored = drawn // FULL * efficiency + drawn % FULL * efficiency // FULL
    if stored > room:
        stored = room
        drawn = min(drawn, room // efficiency * FULL + (room % efficiency * FULL + efficiency - 1) // efficiency)
    return drawn, stored


@kernel
def advance(stores: Stores, dt_ms: int, now_ms: int) -> None:
    """Lets the time from `now_ms - dt_ms` to `now_ms` pass: energy, standby losses, limits, dead times.

    A store that reaches its floor falls asleep, one at its departure level or its ceiling rests; what it gave or took
    until then is in `totals`. At most an hour at a time. At every moment:
    energy now = energy at first + charged - discharged - lost + corrected.
    """
    states, energies, units, powers, socs = stores.state, stores.energy, stores.unit, stores.power, stores.soc
    floors, ceilings, departures, protections = stores.floor, stores.ceiling, stores.departure, stores.protection
    standbys, efficiencies, trickles, discharges = stores.standby, stores.efficiency, stores.trickle, stores.discharge
    charges, consents, cells = stores.charge, stores.consent, stores.cell
    lasts, free_at, dead = stores.last, stores.free_at_ms, stores.dead_ms
    trees, tree_power = stores.tree, stores.tree_power
    charged, discharged, losses, change, moved = 0, 0, 0, 0, 0
    elsewhere = np.empty(len(states), np.int32)
    for i in range(len(states)):
        state, power, soc = int(states[i]), int(powers[i]), int(socs[i])
        if (
            power == 0
            and state < CHARGING
            and standbys[i] == 0
            and soc >= protections[i]
            and not waits_in(int(cells[i]))
        ):
            continue
        energy, unit = energies[i], units[i]
        floor, ceiling = int(floors[i]), int(ceilings[i])
        kept = max(floor, int(departures[i]))
        was, done = power, False
        lost = min(energy, int(standbys[i]) * dt_ms)
        energy -= lost
        losses += lost
        if state == DISCHARGING:
            ms = dt_ms
            if power == 0 and now_ms >= free_at[i]:
                ms = min(dt_ms, now_ms - free_at[i])
                power = 0 - int(discharges[i])
            there = max(0, energy - kept * unit)
            used = min(-power * ms * 1000, there)
            energy -= used
            discharged += used
            done = used == there
        elif power != 0:
            room = max(0, ceiling * unit - energy)
            drawn, stored = _filled(power, dt_ms, int(efficiencies[i]), room)
            energy += stored
            charged += drawn
            losses += drawn - stored
            done = state == CHARGING and stored == room
        energies[i] = energy
        if not 0 <= energy - soc * unit < unit:
            soc = int(energy // unit)
            socs[i] = soc
        if done:
            if power != 0:
                lasts[i] = 1 if power > 0 else -1
                free_at[i] = now_ms + int(dead[i])
            power, state = 0, SLEEPING if soc <= floor else IDLE
            states[i] = state
        elif state < CHARGING:
            if state == IDLE and soc <= floor:
                state = SLEEPING
                states[i] = SLEEPING
            if power == 0 and soc < int(protections[i]):
                power = int(trickles[i])
            elif power != 0 and soc >= min(int(protections[i]) + EDGE, ceiling):
                power = 0
        if power != was:
            powers[i] = power
            change += power - was
            if trees[i] != NO_TREE:
                tree_power[trees[i]] += power - was
        if state >= CHARGING:
            cell = place(state, soc, power, False, 0, 0, 0, 0, 0)
        else:
            gives = int(discharges[i]) if consents[i] != 0 else 0
            waits = now_ms < free_at[i]
            cell = place(state, soc, power, waits, int(lasts[i]), kept, ceiling, int(charges[i]), gives)
        if cell != cells[i]:
            elsewhere[moved] = i
            moved += 1
    stores.totals[CHARGED] += charged
    stores.totals[DISCHARGED] += discharged
    stores.totals[LOST] += losses
    stores.totals[POWER] += change
    settle(stores, elsewhere[:moved], now_ms)


@kernel
def measure(stores: Stores, numbers: NDArray[np.int32], socs: NDArray[np.uint16], now_ms: int) -> None:
    """Takes over measured states of charge (at most 100 %); the difference counts as corrected energy."""
    for k in range(len(numbers)):
        i, soc = int(numbers[k]), min(int(socs[k]), FULL)
        energy = soc * stores.unit[i]
        stores.totals[CORRECTED] += energy - stores.energy[i]
        stores.energy[i] = energy
        stores.soc[i] = soc
    settle(stores, numbers, now_ms)


@kernel
def rehome(stores: Stores, i: int, tree: int) -> None:
    """Moves a store to another tree, or out of all (NO_TREE)."""
    power = int(stores.power[i])
    if stores.tree[i] != NO_TREE:
        stores.tree_power[stores.tree[i]] -= power
    if tree != NO_TREE:
        stores.tree_power[tree] += power
    stores.tree[i] = tree
