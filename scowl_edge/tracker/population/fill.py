"""The full rebuild: a whole new assignment from demands, safe loads, limits and eligibility alone.

First the cut (`cut`): zones above their limits, then whatever all trees together cannot carry. Then every tree gets the
same share of what it can carry: big feeds first, then blocks of large consumers whole, last the blocks of small ones as
a stream with exact seams (`seams`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.cells import arcs_of, demands, even_flow, group_zones, unmet
from scowl_edge.tracker.population.columns import NO_TREE, Columns, Log
from scowl_edge.tracker.population.cut import relieve_zones, starve_inside
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.large import fit
from scowl_edge.tracker.population.leftovers import drop_block, drop_group, place_crumbs, top_up
from scowl_edge.tracker.population.seams import Crumbs, empty_purse, fill_purse, put_blocks, stream
from scowl_edge.tracker.population.shares import (
    blocks_of,
    by_grain,
    feeds_of,
    largest_last,
    proportional,
    put_feeds,
    share_out,
    strided,
)

MOST_CRUMBS = 1 << 16
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
    for tree in range(len(usable)):
        if target.tree_alive[tree]:
            usable[tree] = max(0, int(target.tree_safe[tree]))
    stand_all(target)
    relieve_zones(target, log, history)
    crumbs = Crumbs(np.empty(MOST_CRUMBS, np.int32), np.empty(MOST_CRUMBS, np.int64), np.zeros(1, np.int64))
    groups, count = group_zones(target, usable)
    # Numbers handed on are wide (0 + int) and no literals: a kernel is compiled anew for each type.
    only, none = int(np.int64(0)), int(np.int64(-1))
    drop_group(target, groups, none)
    if count == 1:
        usable *= arcs_of(target, groups, count, usable)[0]
        supply = int(usable.sum())
        uncovered = starve_inside(target, log, history, np.ones(len(groups), np.uint8), served_in_all(target) - supply)
        target.tree_load[:] = 0
        want = proportional(usable, supply, served_in_all(target))
        slack = (usable - want) // SLACK
        fill_feeds(target, groups, only, want, crumbs)
        if crumbs.used[0]:
            # Feeds that no share is large enough for go wherever there is room, before blocks take it.
            place_crumbs(target, usable, crumbs)
            room = usable - target.tree_load
            want = proportional(room, int(room.sum()), served_in_all(target) - int(target.tree_load.sum()))
            slack = (room - want) // SLACK
        fill_blocks(target, groups, only, want, slack, usable, crumbs)
    else:
        uncovered = fill_cells(target, log, history, groups, count, usable, crumbs)
    place_crumbs(target, usable, crumbs)
    top_up(target, usable)
    return uncovered


@inner_kernel
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


@inner_kernel
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


@inner_kernel
def spread_evenly(total: NDArray[np.int64], arcs: NDArray[np.uint8], room: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[groups, trees]: a flow that meets these demands, as even over the trees as it can be."""
    need = np.maximum(total.sum(axis=1), 0)
    return even_flow(need, arcs, proportional(room, int(room.sum()), int(need.sum())), room)


@inner_kernel
def served_in_all(target: Columns) -> int:
    """Served demand of all zones."""
    total = 0
    for zone in range(len(target.zone_parent)):
        if target.zone_parent[zone] < 0:
            total += int(target.zone_load[zone])
    return total


@inner_kernel
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


@inner_kernel
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


@inner_kernel
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
            drop_block(target, crumbs, 0 + int(block))
        return
    coarse, fine = by_grain(target, blocks)
    coarse = strided(coarse)
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


@inner_kernel
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
