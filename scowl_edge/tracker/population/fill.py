"""The full rebuild: a whole new assignment from demands, safe loads, limits and eligibility alone.

First the cut (`cut`): zones above their limits, then whatever all trees together cannot carry. Then every tree gets the
same share of what it can carry: big feeds first, then blocks of large consumers whole, last the blocks of small ones as
a stream with exact seams (`seams`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.assign import add_to_zones, mix
from scowl_edge.tracker.population.cells import arcs_of, demands, even_flow, group_zones, unmet
from scowl_edge.tracker.population.columns import CLASSES, MIXED, NO_TREE, Columns, Log
from scowl_edge.tracker.population.cut import relieve_zones, starve, starve_inside
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.large import fit
from scowl_edge.tracker.population.seams import (
    Crumbs,
    drop_feed,
    drop_slot,
    empty_purse,
    fill_purse,
    put_blocks,
    stream,
)

MOST_CRUMBS = 1 << 16
ROOMY = 4
"""A tree takes part in the stream of coarse items if it wants so many times the largest of them."""
PURSE_ENTRIES = 12
"""Members kept in the purse, per tree."""
PURSE_BLOCKS = 64
SLACK = 4
"""One part in so many of a tree's headroom may be used to spare a seam."""


def blank(columns: Columns) -> Columns:
    """The same site with nobody in any tree: what `rebuild` fills. What it does not write is shared."""
    return columns._replace(
        tree=np.empty_like(columns.tree),
        block_tree=np.full_like(columns.block_tree, NO_TREE),
        block_served=np.zeros_like(columns.block_served),
        big_tree=np.full_like(columns.big_tree, NO_TREE),
        tree_load=np.zeros_like(columns.tree_load),
        zone_load=np.zeros_like(columns.zone_load),
    )


@kernel
def rebuild(target: Columns, log: Log, history: History) -> int:
    """Assigns everybody anew. `block_sum` must be exact; all other sums are written.

    Args:
        target: as `blank` gives it, or any assignment: it is not looked at.
        log: scratch; takes the cut's entries.
        history: who was starved less often goes first among equals.

    Returns:
        Quanta of class 0 that no supply is left for.
    """
    usable = np.zeros(len(target.tree_safe), np.int64)
    supply = 0
    for tree in range(len(usable)):
        if target.tree_alive[tree]:
            usable[tree] = max(0, int(target.tree_safe[tree]))
            supply += int(usable[tree])
    stand_all(target)
    relieve_zones(target, log, history)
    crumbs = Crumbs(np.empty(MOST_CRUMBS, np.int32), np.empty(MOST_CRUMBS, np.int64), np.zeros(1, np.int64))
    groups, count = group_zones(target, usable)
    drop_group(target, groups, -1)
    if count == 1:
        uncovered = starve(target, log, history, 0, len(groups), served_in_all(target) - supply)
        target.tree_load[:] = 0
        want = proportional(usable, supply, served_in_all(target))
        slack = (usable - want) // SLACK
        fill_feeds(target, groups, 0, want, crumbs)
        if crumbs.used[0]:
            # Feeds that no share is large enough for go wherever there is room, before blocks take it.
            place_crumbs(target, usable, crumbs)
            room = usable - target.tree_load
            want = proportional(room, int(room.sum()), served_in_all(target) - int(target.tree_load.sum()))
            slack = (room - want) // SLACK
        fill_blocks(target, groups, 0, want, slack, usable, crumbs)
    else:
        uncovered = fill_cells(target, log, history, groups, count, usable, crumbs)
    place_crumbs(target, usable, crumbs)
    top_up(target, usable)
    return uncovered


@kernel
def fill_cells(
    target: Columns,
    log: Log,
    history: History,
    groups: NDArray[np.int32],
    count: int,
    usable: NDArray[np.int64],
    crumbs: Crumbs,
) -> int:
    """The fill where not every tree may feed every zone: the same, group by group, as flows on cells say.

    Big feeds are placed first, by the flow of all; what they leave is the room of the flow of blocks.

    Returns:
        Quanta of class 0 that no supply is left for.
    """
    arcs = arcs_of(target, groups, count, usable)
    uncovered = starve_unmet(target, log, history, groups, demands(target, groups, count, True), arcs, usable)
    target.tree_load[:] = 0
    flow = spread_evenly(demands(target, groups, count, True), arcs, usable)
    for group in range(count):
        fill_feeds(target, groups, group, flow[group].copy(), crumbs)
    # Feeds too large for a cell go wherever the tree as a whole has room, before blocks take it.
    place_crumbs(target, usable, crumbs)
    room = np.maximum(usable - target.tree_load, 0)
    blocks = demands(target, groups, count, False)
    standing = int(blocks.sum())
    target.tree_load[0] += standing
    uncovered += starve_unmet(target, log, history, groups, blocks, arcs, room)
    blocks = demands(target, groups, count, False)
    target.tree_load[0] -= int(blocks.sum())
    room = np.maximum(usable - target.tree_load, 0)
    flow = spread_evenly(blocks, arcs, room)
    planned = flow.sum(axis=0)
    for group in range(count):
        slack = np.maximum(usable - target.tree_load - planned, 0) // SLACK * arcs[group]
        planned -= flow[group]
        limit = (usable - planned) * arcs[group]
        fill_blocks(target, groups, group, flow[group].copy(), slack, limit, crumbs)
    return uncovered


@kernel
def starve_unmet(
    target: Columns,
    log: Log,
    history: History,
    groups: NDArray[np.int32],
    total: NDArray[np.int64],
    arcs: NDArray[np.uint8],
    room: NDArray[np.int64],
) -> int:
    """Starves in each group what no flow can bring to it; quanta that could not be covered so."""
    left = unmet(total, arcs, room)
    uncovered = 0
    for group in range(len(left)):
        if left[group] > 0:
            inside = (groups == group).astype(np.uint8)
            uncovered += starve_inside(target, log, history, inside, int(left[group]))
    return uncovered


@kernel
def spread_evenly(total: NDArray[np.int64], arcs: NDArray[np.uint8], room: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[groups, trees]: a flow that meets these demands, as even over the trees as it can be."""
    need = np.maximum(total.sum(axis=1), 0)
    return even_flow(need, arcs, proportional(room, int(room.sum()), int(need.sum())), room)


@kernel
def served_in_all(target: Columns) -> int:
    """Served demand of all zones."""
    total = 0
    for zone in range(len(target.zone_parent)):
        if target.zone_parent[zone] < 0:
            total += int(target.zone_load[zone])
    return total


@kernel
def stand_all(target: Columns) -> None:
    """Puts everybody into tree 0 for the time being, so that the cut finds them served; all sums but the trees'."""
    zone_load, block_zone, block_sum = target.zone_load, target.block_zone, target.block_sum
    big_zone, big_demand = target.big_zone, target.big_demand
    zone_load[:] = 0
    target.block_tree[:] = 0
    target.block_served[:] = block_sum
    target.big_tree[:] = 0
    for block in range(len(block_sum)):
        zone_load[block_zone[block]] += block_sum[block]
    for feed in range(len(big_demand)):
        zone_load[big_zone[feed]] += int(big_demand[feed])
    for zone in range(len(target.zone_parent) - 1, 0, -1):
        above = int(target.zone_parent[zone])
        if above >= 0:
            target.zone_load[above] += target.zone_load[zone]


@kernel
def scaled(part: int, total: int, whole: int) -> int:
    """part * total // whole for 0 <= part <= whole, where the product may exceed 64 bits."""
    if part == 0 or total <= (1 << 62) // part:
        return part * total // whole
    quotient, rest = 0, 0
    for bit in range(62, -1, -1):
        quotient, rest = 2 * quotient, 2 * rest
        if (total >> bit) & 1:
            rest += part
        while rest >= whole:
            quotient, rest = quotient + 1, rest - whole
    return quotient


@kernel
def proportional(usable: NDArray[np.int64], supply: int, served: int) -> NDArray[np.int64]:
    """What each tree is to carry: the same share of what it can; in all exactly `served`, or all there is."""
    want = usable.copy()
    if served >= supply:
        return want
    total = max(0, served)
    left = total
    for tree in range(len(usable)):
        want[tree] = scaled(int(usable[tree]), total, supply)
        left -= int(want[tree])
    # Rounding leaves less than one quantum a tree.
    for tree in range(len(usable)):
        if left > 0 and want[tree] < usable[tree]:
            want[tree] += 1
            left -= 1
    return want


@kernel
def fill_feeds(target: Columns, groups: NDArray[np.int32], group: int, want: NDArray[np.int64], crumbs: Crumbs) -> None:
    """Gives the served big feeds of a group to trees; `want` as in `fill_blocks`."""
    feeds = feeds_of(target, groups, group)
    order = largest_last(want)
    sizes = np.empty(len(feeds), np.int64)
    for n in range(len(feeds)):
        sizes[n] = target.big_demand[feeds[n]]
    trees = share_out(sizes, order, want)
    if len(trees) < len(feeds):
        trees = fit(sizes, order, want)
    put_feeds(target, crumbs, feeds, trees, want)


@kernel
def fill_blocks(
    target: Columns,
    groups: NDArray[np.int32],
    group: int,
    want: NDArray[np.int64],
    slack: NDArray[np.int64],
    usable: NDArray[np.int64],
    crumbs: Crumbs,
) -> None:
    """Gives all that is served of the blocks of a group to trees.

    Args:
        target: nobody of these blocks is counted in `tree_load` yet.
        groups: int32[zones] group of each zone.
        group: which.
        want: int64[trees] quanta that the group is to bring to each; counted down.
        slack: int64[trees] how much more a tree may get from it.
        usable: int64[trees] load that no tree may exceed.
        crumbs: receives who found no room.
    """
    order = largest_last(want)
    blocks = blocks_of(target, groups, group)
    if len(order) == 0:
        for block in blocks:
            drop_block(target, crumbs, int(block))
        return
    coarse, fine = by_grain(target, blocks)
    sizes = np.empty(len(coarse), np.int64)
    for n in range(len(coarse)):
        sizes[n] = target.block_served[coarse[n]]
    trees = share_out(sizes, order, want)
    put_blocks(target, coarse, trees, want)
    kept, stock = choose_purse(target, fine, order, want, slack)
    purse = fill_purse(target, stock, int(order[len(order) - 1]))
    if len(trees) < len(coarse):
        kept = np.concatenate((coarse, kept))
    stream(target, kept, order, want, slack, usable, purse, crumbs)
    empty_purse(target, purse, crumbs, order, want, usable)


@kernel
def drop_group(target: Columns, groups: NDArray[np.int32], group: int) -> None:
    """Leaves all of a group without a tree."""
    nobody = Crumbs(np.empty(0, np.int32), np.empty(0, np.int64), np.zeros(1, np.int64))
    for feed in feeds_of(target, groups, group):
        drop_feed(target, nobody, int(feed))
    for block in blocks_of(target, groups, group):
        drop_block(target, nobody, int(block))


@kernel
def largest_last(want: NDArray[np.int64]) -> NDArray[np.int64]:
    """Trees that want anything, the one that wants most at the end."""
    order = np.empty(len(want), np.int64)
    count, largest = 0, 0
    for tree in range(len(want)):
        if want[tree] > 0:
            order[count] = tree
            if want[tree] > want[order[largest]]:
                largest = count
            count += 1
    order = order[:count]
    if count:
        order[largest], order[count - 1] = order[count - 1], order[largest]
    return order


@kernel
def feeds_of(target: Columns, groups: NDArray[np.int32], group: int) -> NDArray[np.int32]:
    """The served big feeds of a group."""
    found = np.empty(len(target.big_tree), np.int32)
    count = 0
    for feed in range(len(target.big_tree)):
        if int(target.big_tree[feed]) != NO_TREE and int(groups[target.big_zone[feed]]) == group:
            found[count] = feed
            count += 1
    return found[:count]


@kernel
def blocks_of(target: Columns, groups: NDArray[np.int32], group: int) -> NDArray[np.int32]:
    """The blocks of a group of which any part is served, the most important class first."""
    begin = np.zeros(CLASSES + 1, np.int64)
    for block in range(len(target.block_tree)):
        if int(target.block_tree[block]) != NO_TREE and int(groups[target.block_zone[block]]) == group:
            begin[int(target.block_class[block]) + 1] += 1
    for k in range(CLASSES):
        begin[k + 1] += begin[k]
    found = np.empty(begin[CLASSES], np.int32)
    for block in range(len(target.block_tree)):
        if int(target.block_tree[block]) != NO_TREE and int(groups[target.block_zone[block]]) == group:
            k = int(target.block_class[block])
            found[begin[k]] = block
            begin[k] += 1
    return found


@kernel
def by_grain(target: Columns, blocks: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(blocks of members above the mean, the others)."""
    served, members = 0, 0
    for block in blocks:
        served += int(target.block_served[block])
        members += int(target.block_members[block])
    mean = served // max(1, members)
    coarse, fine = np.empty(len(blocks), np.int32), np.empty(len(blocks), np.int32)
    coarse_count, fine_count = 0, 0
    for block in blocks:
        if int(target.block_served[block]) > mean * int(target.block_members[block]):
            coarse[coarse_count] = block
            coarse_count += 1
        else:
            fine[fine_count] = block
            fine_count += 1
    return coarse[:coarse_count], fine[:fine_count]


@kernel
def share_out(sizes: NDArray[np.int64], order: NDArray[np.int64], want: NDArray[np.int64]) -> NDArray[np.int64]:
    """A tree for each of many items, the same share of each tree's want to within one item; none if they are too large.

    Only trees take part that are roomy enough for the largest item, so that what this gives is never above a want.
    """
    total, largest, base = 0, 0, 0
    for size in sizes:
        total += max(0, int(size))
        largest = max(largest, int(size))
    for tree in order:
        if int(want[tree]) >= ROOMY * largest:
            base += int(want[tree])
    if total > base - base // ROOMY:
        return np.empty(0, np.int64)
    trees = np.empty(len(sizes), np.int64)
    at, last = -1, len(order) - 1
    tree, given, goal = 0, 0, 0
    for n in range(len(sizes)):
        size = int(sizes[n])
        while at < last and (at < 0 or given + size // 2 > goal):
            at += 1
            if int(want[order[at]]) >= ROOMY * largest:
                tree = int(order[at])
                goal += scaled(int(want[tree]), total, base)
        trees[n] = tree
        given += size
    return trees


@kernel
def put_feeds(
    target: Columns, crumbs: Crumbs, feeds: NDArray[np.int32], trees: NDArray[np.int64], want: NDArray[np.int64]
) -> None:
    """Gives each big feed to a tree; to none where that is negative."""
    big_tree, big_demand, tree_load = target.big_tree, target.big_demand, target.tree_load
    for n in range(len(feeds)):
        feed, to = int(feeds[n]), int(trees[n])
        if to < 0:
            drop_feed(target, crumbs, feed)
        else:
            big_tree[feed] = to
            tree_load[to] += int(big_demand[feed])
            want[to] -= int(big_demand[feed])


@kernel
def choose_purse(
    target: Columns,
    fine: NDArray[np.int32],
    order: NDArray[np.int64],
    want: NDArray[np.int64],
    slack: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(blocks to stream, blocks for the purse): of all sizes, where headroom does not swallow the rests of seams."""
    served, members = 0, 0
    for block in fine:
        served += int(target.block_served[block])
        members += int(target.block_members[block])
    mean = served // max(1, members)
    last = int(order[len(order) - 1])
    if len(fine) == 0 or int(slack[last]) >= 8 * mean * len(order):
        return fine, fine[:0]
    stock = max(PURSE_BLOCKS, PURSE_ENTRIES * len(order) * len(fine) // max(1, members))
    # The last tree gets what is left of the purse.
    stock = min(stock, len(fine) // 2, len(fine) * max(0, int(want[last])) // max(1, 2 * served))
    chosen, kept = np.empty(stock, np.int32), np.empty(len(fine) - stock, np.int32)
    count = 0
    for n in range(len(fine)):
        if count < stock and n == count * (len(fine) - 1) // max(1, stock - 1):
            chosen[count] = fine[n]
            count += 1
        else:
            kept[n - count] = fine[n]
    return kept, chosen


@kernel
def drop_block(target: Columns, crumbs: Crumbs, block: int) -> None:
    """Leaves all members of a block without a tree."""
    mix(target, block)
    for slot in range(int(target.block_start[block]), int(target.block_start[block + 1])):
        if int(target.demand[slot]) != 0 and int(target.tree[slot]) != NO_TREE:
            drop_slot(target, crumbs, block, slot)
    target.block_tree[block] = NO_TREE


@kernel
def place_crumbs(target: Columns, usable: NDArray[np.int64], crumbs: Crumbs) -> None:
    """Gives those who found no room to the eligible tree with the most, if it has enough."""
    for n in range(int(crumbs.used[0])):
        block, number = int(crumbs.block[n]), int(crumbs.slot[n])
        zone = int(target.big_zone[number]) if block < 0 else int(target.block_zone[block])
        demand = int(target.big_demand[number]) if block < 0 else int(target.demand[number])
        best, room = roomiest_for(target.tree_load, target.eligible[zone], usable)
        if best >= 0 and demand <= min(room, headroom(target, zone)):
            feed_again(target, block, number, best)
    crumbs.used[0] = 0


@kernel
def feed_again(target: Columns, block: int, number: int, tree: int) -> None:
    """Gives a starved slot of a block, or a big feed (block -1), to a tree."""
    if block < 0:
        zone, demand = int(target.big_zone[number]), int(target.big_demand[number])
        target.big_tree[number] = tree
    else:
        zone, demand = int(target.block_zone[block]), int(target.demand[number])
        mix(target, block)
        target.block_served[block] += demand
        target.tree[number] = tree
    target.tree_load[tree] += demand
    add_to_zones(target, zone, demand)


@kernel
def headroom(target: Columns, zone: int) -> int:
    """How much more may be served in a zone."""
    least = 1 << 62
    z = zone
    while z >= 0:
        if target.zone_limit[z] >= 0:
            least = min(least, int(target.zone_limit[z]) - int(target.zone_load[z]))
        z = int(target.zone_parent[z])
    return least


@kernel
def roomiest_for(
    tree_load: NDArray[np.int64], eligible: NDArray[np.uint8], usable: NDArray[np.int64]
) -> tuple[int, int]:
    """(the eligible tree with the most room, its room), or (-1, 0)."""
    best, best_room = -1, 0
    for tree in range(len(usable)):
        room = int(usable[tree]) - int(tree_load[tree])
        if room > best_room and eligible[tree]:
            best, best_room = tree, room
    return best, best_room


@kernel
def top_up(target: Columns, usable: NDArray[np.int64]) -> None:
    """Feeds whoever is starved and still fits, the most important first; after an exact fill nobody does."""
    demand, tree, block_start, block_tree = target.demand, target.tree, target.block_start, target.block_tree
    block_class, block_served, block_sum = target.block_class, target.block_served, target.block_sum
    big_tree, big_class, tree_load = target.big_tree, target.big_class, target.tree_load
    if int(usable.sum()) == int(target.tree_load.sum()):
        return
    for k in range(CLASSES):
        for feed in range(len(big_tree)):
            if int(big_tree[feed]) == NO_TREE and int(big_class[feed]) == k:
                zone, each = int(target.big_zone[feed]), int(target.big_demand[feed])
                best, room = roomiest_for(tree_load, target.eligible[zone], usable)
                if best >= 0 and each <= min(room, headroom(target, zone)):
                    feed_again(target, -1, feed, best)
        for block in range(len(block_tree)):
            if int(block_class[block]) != k or block_served[block] == block_sum[block]:
                continue
            zone = int(target.block_zone[block])
            best, room = roomiest_for(tree_load, target.eligible[zone], usable)
            room = min(room, headroom(target, zone))
            mixed = int(block_tree[block]) == MIXED
            for slot in range(int(block_start[block]), int(block_start[block + 1])):
                each = int(demand[slot])
                if each != 0 and each <= room and best >= 0 and (not mixed or int(tree[slot]) == NO_TREE):
                    feed_again(target, block, slot, best)
                    mixed = True
                    best, room = roomiest_for(tree_load, target.eligible[zone], usable)
                    room = min(room, headroom(target, zone))
