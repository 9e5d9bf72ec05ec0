"""Starved consumers come back once there is supply to spare: the most important first, then who starved longest.

A dead band is left free in the region, in each tree and under each zone's limit, so that who comes back does not starve
again at the next gust; and no more than a step's worth comes back at a time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.assign import mix, move_big, move_block, move_slot, unmix
from scowl_edge.tracker.population.columns import CLASSES, MIXED, NO_TREE, Columns, Log
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.members import key_of
from scowl_edge.tracker.population.room import Room, open_room, room_of, roomiest, settle


@inner_kernel
def zones_bear(columns: Columns, zone: int, demand: int, band: int) -> bool:
    """Whether a zone and all above it stay below their limits by a dead band with so much more."""
    z = zone
    while z >= 0:
        limit = int(columns.zone_limit[z])
        if limit >= 0 and int(columns.zone_load[z]) + demand > max(0, limit - band):
            return False
        z = int(columns.zone_parent[z])
    return True


@inner_kernel
def tree_for(columns: Columns, room: Room, zone: int, demand: int, band: int, home: int) -> int:
    """The tree that one who comes back goes to: `home` if it has room, else the roomiest; -1 if none has."""
    if not zones_bear(columns, zone, demand, band):
        return -1
    if (
        home >= 0
        and columns.tree_alive[home]
        and columns.eligible[zone, home]
        and room_of(columns, home) - band >= demand
    ):
        return home
    to = roomiest(columns, room, zone)
    return to if to >= 0 and room_of(columns, to) - band >= demand else -1


@inner_kernel
def starved_since(columns: Columns, history: History, block: int) -> int:
    """Since when a block's first starved member starves, in seconds; -1 if nobody in it does."""
    whole = int(columns.block_tree[block]) == NO_TREE
    if not whole and int(columns.block_tree[block]) != MIXED:
        return -1
    oldest = -1
    for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
        if int(columns.demand[slot]) != 0 and (whole or int(columns.tree[slot]) == NO_TREE):
            since = int(history.slot_since[slot])
            if whole:
                return since
            if oldest < 0 or since < oldest:
                oldest = since
    return oldest


@inner_kernel
def before(one: int, other: int, since: NDArray[np.int64], size: NDArray[np.int64]) -> bool:
    """Whether one comes back before the other: starved longer, or smaller, or of the lower index."""
    if int(since[one]) != int(since[other]):
        return int(since[one]) < int(since[other])
    return int(size[one]) > int(size[other])


@inner_kernel
def let_down(queue: NDArray[np.int64], count: int, at: int, since: NDArray[np.int64], size: NDArray[np.int64]) -> None:
    """Restores a heap below one place."""
    here = at
    one = int(queue[here])
    while 2 * here + 1 < count:
        child = 2 * here + 1
        if child + 1 < count and before(int(queue[child + 1]), int(queue[child]), since, size):
            child += 1
        if not before(int(queue[child]), one, since, size):
            break
        queue[here] = queue[child]
        here = child
    queue[here] = one


@inner_kernel
def feed_slots(
    columns: Columns, log: Log, history: History, room: Room, block: int, give: int, band: int, alone: int
) -> tuple[int, bool]:
    """Feeds starved members of a block, who starved longest and then the smallest first.

    They go to the tree of those that are served, so that the block may become plain again. The first may be larger
    than what is to be given, up to `alone`.

    Returns:
        Quanta fed, and whether the next one waits for another step.
    """
    begin, end = int(columns.block_start[block]), int(columns.block_start[block + 1])
    zone, home, fed = int(columns.block_zone[block]), -1, 0
    if int(columns.block_tree[block]) == MIXED:
        for slot in range(begin, end):
            if int(columns.demand[slot]) != 0 and int(columns.tree[slot]) != NO_TREE:
                home = int(columns.tree[slot])
                break
    tried = np.zeros(end - begin, np.uint8)
    while True:
        best = -1
        for slot in range(begin, end):
            demand = int(columns.demand[slot])
            if demand == 0 or tried[slot - begin]:
                continue
            if int(columns.block_tree[block]) == MIXED and int(columns.tree[slot]) != NO_TREE:
                continue
            if best < 0 or (int(history.slot_since[slot]), demand) < (
                int(history.slot_since[best]),
                int(columns.demand[best]),
            ):
                best = slot
        if best < 0:
            return fed, False
        tried[best - begin] = 1
        demand = int(columns.demand[best])
        if demand > give - fed and not (fed == 0 and demand <= alone):
            return fed, True
        to = tree_for(columns, room, zone, demand, band, home)
        if to < 0:
            # Equals that are larger do not fit either.
            return fed, False
        mix(columns, block)
        move_slot(columns, log, block, best, to)
        settle(columns, room, to)
        home = to
        fed += demand


@inner_kernel
def refeed_class(
    columns: Columns, log: Log, history: History, room: Room, klass: int, give: int, free: int, band: int, fed: int
) -> tuple[int, bool]:
    """Feeds starved ones of a class; quanta fed, with those before it, and whether the next one has to wait."""
    blocks, feeds = len(columns.block_tree), len(columns.big_tree)
    queue = np.empty(blocks + feeds, np.int64)
    since = np.empty(blocks + feeds, np.int64)
    size = np.empty(blocks + feeds, np.int64)
    count = 0
    for block in range(blocks):
        if int(columns.block_class[block]) == klass and int(columns.block_tree[block]) >= MIXED:
            oldest = starved_since(columns, history, block)
            if oldest >= 0:
                mean = int(columns.block_sum[block]) // max(1, int(columns.block_members[block]))
                queue[count], since[block] = block, oldest
                # A key counts the lower number as the larger, which is what comes first among equals here.
                size[block] = key_of(-mean, block)
                count += 1
    for feed in range(feeds):
        if int(columns.big_class[feed]) == klass and int(columns.big_tree[feed]) == NO_TREE:
            at = blocks + feed
            queue[count], since[at] = at, int(history.feed_since[feed])
            size[at] = key_of(max(0 - int(columns.big_demand[feed]), -(1 << 30)), at)
            count += 1
    for at in range(count // 2 - 1, -1, -1):
        let_down(queue, count, at, since, size)
    total = fed
    while count > 0 and total < give:
        unit = int(queue[0])
        count -= 1
        queue[0] = queue[count]
        let_down(queue, count, 0, since, size)
        if unit >= blocks:
            demand, zone = int(columns.big_demand[unit - blocks]), int(columns.big_zone[unit - blocks])
            if demand > free - total:
                continue
            if demand > give - total and total > 0:
                # It waits for the next step, and so do all that come after it.
                return total, True
            to = tree_for(columns, room, zone, demand, band, -1)
            if to >= 0:
                move_big(columns, log, unit - blocks, to)
                settle(columns, room, to)
                total += demand
            continue
        demand = int(columns.block_sum[unit])
        if int(columns.block_tree[unit]) == NO_TREE and demand <= give - total:
            to = tree_for(columns, room, int(columns.block_zone[unit]), demand, band, -1)
            if to >= 0:
                move_block(columns, log, unit, to)
                settle(columns, room, to)
                total += demand
                continue
        alone = free if total == 0 else 0
        part, waits = feed_slots(columns, log, history, room, unit, give - total, band, alone)
        total += part
        unmix(columns, unit)
        if waits:
            return total, True
    return total, False


@kernel
def refeed(columns: Columns, log: Log, history: History, region_band: int, band: int, step: int) -> int:
    """Feeds starved consumers from supply that is to spare.

    Args:
        columns: the state; sums are exact before and after.
        log: what changed hands is added.
        history: since when each starves; not changed.
        region_band: supply left free in the region, quanta.
        band: left free in each tree and under the limit of each zone, quanta.
        step: most quanta fed in one call; a single one that is larger still comes back, alone.

    Returns:
        Quanta fed.
    """
    free = -region_band
    for tree in range(len(columns.tree_safe)):
        if columns.tree_alive[tree]:
            free += max(0, int(columns.tree_safe[tree]))
        free -= int(columns.tree_load[tree])
    give = min(free, step)
    if give <= 0:
        return 0
    starving = np.zeros(CLASSES, np.int64)
    for block in range(len(columns.block_tree)):
        if int(columns.block_tree[block]) >= MIXED and columns.block_served[block] != columns.block_sum[block]:
            starving[columns.block_class[block]] = 1
    for feed in range(len(columns.big_tree)):
        if int(columns.big_tree[feed]) == NO_TREE:
            starving[columns.big_class[feed]] = 1
    fed, waits = 0, False
    room = open_room(columns)
    for klass in range(CLASSES):
        if starving[klass] and fed < give and not waits:
            fed, waits = refeed_class(columns, log, history, room, klass, give, free, band, fed)
    return fed
