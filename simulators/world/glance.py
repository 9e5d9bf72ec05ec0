"""A compiled look at a step: counts everybody anew, and says whether any law might be broken.

What it finds sound is sound: it counts the same as `laws`, from single places, and is stricter where a law
has exceptions. Where it finds something, `laws` tells whether it is an exception, and what is wrong in words.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.columns import MIXED, NO_TREE, PROTECTED, Columns

COLUMNS, SAFE, STARVED_PROTECTED = 1, 2, 4
"""What may be broken: a law of `check_columns`, SAFE, PROTECTED."""


class Found(NamedTuple):
    """What a look found."""

    doubts: int
    """COLUMNS | SAFE | STARVED_PROTECTED, 0 where all is sound."""
    starved: int
    """Consumers that want something and are in no tree."""


@kernel
def count(
    columns: Columns,
    tree: NDArray[np.int64],
    demand: NDArray[np.int64],
    load: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> None:
    """Counts everybody. Writes `tree`, `demand` [places], `load` [trees] as in `Sight`, `counts`: (doubts, starved)."""
    slots, trees, zone_count = len(columns.demand), len(load), len(columns.zone_load)
    zones = np.zeros(zone_count, np.int64)
    alive, eligible, slot_tree, slot_demand = columns.tree_alive, columns.eligible, columns.tree, columns.demand
    load[:] = 0
    wrong = outside = most = starved = protected = 0
    for block in range(len(columns.block_tree)):
        whole, zone = 0 + int(columns.block_tree[block]), 0 + int(columns.block_zone[block])
        first_class = columns.block_class[block] == PROTECTED
        wanted = served = 0
        for slot in range(columns.block_start[block], columns.block_start[block + 1]):
            at = 0 + int(slot_tree[slot]) if whole == MIXED else whole
            value = 0 + int(slot_demand[slot])
            tree[slot], demand[slot] = at, value
            wanted += value
            most += max(0, value)
            if at < trees:
                load[at] += value
                served += value
                # The tree is dead, or may not feed the zone.
                wrong += int(value != 0 and (alive[at] == 0 or eligible[zone, at] == 0))
            else:
                wrong += int(at != NO_TREE)
                starved += int(value > 0)
                protected += int(value > 0 and first_class)
        zones[zone] += served
        outside += wanted - served
        wrong += int(wanted != columns.block_sum[block]) + int(served != columns.block_served[block])
    for feed in range(len(columns.big_tree)):
        at, value = 0 + int(columns.big_tree[feed]), 0 + int(columns.big_demand[feed])
        tree[slots + feed], demand[slots + feed] = at, value
        most += max(0, value)
        zone = 0 + int(columns.big_zone[feed])
        if at < trees:
            load[at] += value
            zones[zone] += value
            wrong += int(value != 0 and (alive[at] == 0 or eligible[zone, at] == 0))
        else:
            outside += value
            wrong += int(at != NO_TREE)
            starved += int(value > 0)
            protected += int(value > 0 and columns.big_class[feed] == PROTECTED)
    supply = over = living = total = 0
    for t in range(trees):
        total += load[t]
        wrong += int(load[t] != columns.tree_load[t])
        over += int(load[t] > columns.tree_safe[t])
        if alive[t] != 0:
            living += 1
            supply += columns.tree_safe[t] + max(0, load[t] - columns.tree_safe[t])
    wanted = 0
    for place in range(len(demand)):
        wanted += demand[place]
    wrong += int(total + outside != wanted) + int(total > min(supply, most))
    for zone in range(zone_count):
        carried = 0
        for below in range(zone, columns.zone_end[zone]):
            carried += zones[below]
        wrong += int(carried != columns.zone_load[zone])
        # There may be consumers in it that are never starved by software: `laws` knows.
        wrong += int(columns.zone_limit[zone] >= 0 and carried > columns.zone_limit[zone])
    counts[0] = int(wrong > 0) * COLUMNS + int(over > 0) * SAFE
    counts[0] += int(protected > 0 and living > 0) * STARVED_PROTECTED
    counts[1] = starved


def look(columns: Columns, tree: NDArray[np.int64], demand: NDArray[np.int64], load: NDArray[np.int64]) -> Found:
    """Counts everybody. `tree` and `demand` [places, slots before big feeds] and `load` [trees] are written."""
    counts = np.empty(2, np.int64)
    count(columns, tree, demand, load, counts)
    doubts, starved = counts.tolist()
    return Found(doubts, starved)


@kernel
def compare(
    before: NDArray[np.int64],
    now: NDArray[np.int64],
    demand: NDArray[np.int64],
    kept: NDArray[np.int64],
    members: NDArray[np.int64],
    changed_ms: NDArray[np.int64],
    now_ms: int,
) -> None:
    """What each tree's earlier members draw now, and who changed hands.

    Args:
        before: [places] trees after the step before.
        now: [places or more] trees of now.
        demand: [places or more] quanta of now.
        kept: [trees] written: demand of now of those who were in it.
        members: [trees] written: how many of them draw or give anything.
        changed_ms: [places or fewer] set to `now_ms` where the tree is another one.
        now_ms: the world's time.
    """
    kept[:] = 0
    members[:] = 0
    for place in range(min(len(before), len(now))):
        at = before[place]
        if at < len(kept):
            kept[at] += demand[place]
            members[at] += int(demand[place] != 0)
        if at != now[place] and place < len(changed_ms):
            changed_ms[place] = now_ms
