"""Blocks streamed into trees until each has what it was meant to have; at the seams a block is split by its members.

Where trees have headroom, whole blocks are rounded to the nearest and nothing is split. Where they have none, a *purse*
of members of all sizes is kept aside: what a tree lacks after its last whole member is paid from it, to the quantum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.assign import add_to_zones, mix
from scowl_edge.tracker.population.columns import DEMAND_LIMIT, MIXED, NO_TREE, ROW, Columns

TRIES = 8
"""Sizes that are tried as the first of three."""


class Purse(NamedTuple):
    """Slots kept aside, in lists by demand."""

    head: NDArray[np.int32]
    """[DEMAND_LIMIT + 2] First entry with this demand, -1 = none."""
    following: NDArray[np.int32]
    """[entries] The next one with the same demand."""
    slot: NDArray[np.int64]
    """[entries]"""
    bounds: NDArray[np.int64]
    """[3] Least and greatest demand; what a tree should still want where the purse is to pay: twice the median. 0 if
    it is empty from the start."""


class Crumbs(NamedTuple):
    """Slots and big feeds that found no room."""

    block: NDArray[np.int32]
    """[capacity] -1 = a big feed."""
    slot: NDArray[np.int64]
    """[capacity] Or the feed."""
    used: NDArray[np.int64]
    """[1]"""


@inner_kernel
def put_blocks(target: Columns, blocks: NDArray[np.int32], trees: NDArray[np.int64], want: NDArray[np.int64]) -> None:
    """Gives all that are still served of each block to a tree."""
    # As everywhere here: a call with all columns costs more than a block, so loops are over local names.
    block_tree, block_served, tree_load = target.block_tree, target.block_served, target.tree_load
    for n in range(len(trees)):
        block, to = int(blocks[n]), int(trees[n])
        if int(block_tree[block]) == MIXED:
            put_rest(target.tree, int(target.block_start[block]), int(target.block_start[block + 1]), to)
        else:
            block_tree[block] = to
        tree_load[to] += block_served[block]
        want[to] -= block_served[block]


@inner_kernel
def put_rest(tree: NDArray[np.uint16], low: int, high: int, to: int) -> None:
    """Gives those of a range of slots that are in any tree to one."""
    for slot in range(low, high):
        tree[slot] = to if int(tree[slot]) != NO_TREE else NO_TREE


@inner_kernel
def put_slot(target: Columns, slot: int, tree: int) -> None:
    """Gives a slot of a mixed block to a tree."""
    target.tree[slot] = tree
    target.tree_load[tree] += int(target.demand[slot])


@inner_kernel
def drop_slot(target: Columns, crumbs: Crumbs, block: int, slot: int) -> None:
    """Leaves a slot of a mixed block without a tree."""
    demand = int(target.demand[slot])
    target.tree[slot] = NO_TREE
    target.block_served[block] -= demand
    add_to_zones(target, 0 + int(target.block_zone[block]), 0 - demand)
    remember(crumbs, block, slot)


@inner_kernel
def drop_feed(target: Columns, crumbs: Crumbs, feed: int) -> None:
    """Leaves a big feed without a tree."""
    target.big_tree[feed] = NO_TREE
    add_to_zones(target, 0 + int(target.big_zone[feed]), 0 - int(target.big_demand[feed]))
    remember(crumbs, int(np.int64(-1)), feed)


@inner_kernel
def remember(crumbs: Crumbs, block: int, number: int) -> None:
    """Notes who found no room, as long as there is place for the note."""
    at = int(crumbs.used[0])
    if at < len(crumbs.slot):
        crumbs.block[at] = block
        crumbs.slot[at] = number
        crumbs.used[0] = at + 1


@inner_kernel
def fill_purse(target: Columns, blocks: NDArray[np.int32], tree: int) -> Purse:
    """A purse of all served consumers of these blocks, which become mixed; what produces goes to the tree at once."""
    size = 0
    for block in blocks:
        size += int(target.block_start[int(block) + 1]) - int(target.block_start[block])
    head = np.full(DEMAND_LIMIT + 2, -1, np.int32)
    following = np.empty(size, np.int32)
    slots = np.empty(size, np.int64)
    count = 0
    least, greatest = DEMAND_LIMIT + 1, 0
    tally = np.zeros(DEMAND_LIMIT + 2, np.int32)
    for n in range(len(blocks)):
        block = 0 + int(blocks[n])
        mix(target, block)
        for slot in range(int(target.block_start[block]), int(target.block_start[block + 1])):
            demand = int(target.demand[slot])
            if demand > 0 and int(target.tree[slot]) != NO_TREE:
                slots[count] = slot
                following[count] = head[demand]
                head[demand] = count
                tally[demand] += 1
                least, greatest = min(least, demand), max(greatest, demand)
                count += 1
            elif demand < 0:
                put_slot(target, slot, tree)
    middle, seen = least, 0
    while middle < greatest and 2 * (seen + int(tally[middle])) < count:
        seen += int(tally[middle])
        middle += 1
    bounds = np.zeros(3, np.int64)
    if count:
        bounds[0], bounds[1], bounds[2] = least, greatest, 2 * middle
    return Purse(head, following, slots, bounds)


@inner_kernel
def take(target: Columns, purse: Purse, demand: int, tree: int) -> None:
    """Gives a slot of this demand from the purse to a tree."""
    entry = int(purse.head[demand])
    purse.head[demand] = purse.following[entry]
    put_slot(target, int(purse.slot[entry]), tree)


@inner_kernel
def pay(target: Columns, purse: Purse, tree: int, want: int) -> int:
    """Gives slots from the purse to a tree; what is still wanted, 0 nearly always."""
    least, greatest = int(purse.bounds[0]), int(purse.bounds[1])
    if greatest == 0:
        return want
    while want > 2 * greatest and greatest >= least:
        if purse.head[greatest] < 0:
            greatest -= 1
            purse.bounds[1] = greatest
        else:
            take(target, purse, greatest, tree)
            want -= greatest
    if want > 0 and pay_exactly(target, purse, tree, want, int(np.int64(0))):
        return 0
    # Three slots: the first is chosen freely until two others meet the rest.
    head, tried = purse.head, 0
    for first in range(min(want - 1, greatest), max(0, least - 1), -1):
        if tried == TRIES:
            break
        if head[first] >= 0:
            tried += 1
            if pay_exactly(target, purse, tree, want - first, first):
                take(target, purse, first, tree)
                return 0
    while want >= least:
        each = min(want, greatest)
        while each >= least and head[each] < 0:
            each -= 1
        if each < least:
            break
        take(target, purse, each, tree)
        want -= each
    return want


@inner_kernel
def pay_exactly(target: Columns, purse: Purse, tree: int, want: int, spare: int) -> bool:
    """Whether one or two slots of the purse make a sum; if so they are given to the tree. One of size `spare` stays."""
    head, following = purse.head, purse.following
    least, greatest = int(purse.bounds[0]), int(purse.bounds[1])
    if want <= greatest and has(head, following, want, 1 + (1 if want == spare else 0)):
        take(target, purse, want, tree)
        return True
    for one in range(max(least, want - greatest), want // 2 + 1):
        other = want - one
        if head[one] >= 0 and head[other] >= 0:
            needed = 1 + (1 if one == other else 0)
            if has(head, following, one, needed + (1 if one == spare else 0)) and has(
                head, following, other, needed + (1 if other == spare else 0)
            ):
                take(target, purse, one, tree)
                take(target, purse, other, tree)
                return True
    return False


@inner_kernel
def has(head: NDArray[np.int32], following: NDArray[np.int32], demand: int, needed: int) -> bool:
    """Whether there are so many of a demand."""
    entry, count = int(head[demand]), 0
    while entry >= 0 and count < needed:
        entry = int(following[entry])
        count += 1
    return count >= needed


@inner_kernel
def empty_purse(
    target: Columns,
    purse: Purse,
    crumbs: Crumbs,
    order: NDArray[np.int64],
    want: NDArray[np.int64],
    usable: NDArray[np.int64],
) -> None:
    """Gives what is left in the purse to trees that still want, then to any with room, largest first."""
    demand, last = int(purse.bounds[1]), int(order[len(order) - 1])
    while demand > 0 and demand >= int(purse.bounds[0]):
        entry = int(purse.head[demand])
        if entry < 0:
            demand -= 1
            continue
        best = last if int(want[last]) >= demand else most(order, want, demand)
        if best < 0:
            best = roomiest(target, order, usable, demand)
        slot = int(purse.slot[entry])
        purse.head[demand] = purse.following[entry]
        if best >= 0:
            put_slot(target, slot, best)
            want[best] -= demand
        else:
            drop_slot(target, crumbs, 0 + int(target.row_block[slot // ROW]), slot)


@inner_kernel
def most(order: NDArray[np.int64], want: NDArray[np.int64], demand: int) -> int:
    """The tree that wants most, if it wants at least `demand`; else -1."""
    best = -1
    for tree in order:
        if int(want[tree]) >= demand and (best < 0 or int(want[tree]) > int(want[best])):
            best = int(tree)
    return best


@inner_kernel
def roomiest(target: Columns, order: NDArray[np.int64], usable: NDArray[np.int64], demand: int) -> int:
    """The tree with the most room, if it has room for `demand`; else -1."""
    best, best_room, tree_load = -1, demand - 1, target.tree_load
    for tree in order:
        room = int(usable[tree]) - int(tree_load[tree])
        if room > best_room:
            best, best_room = int(tree), room
    return best


@inner_kernel
def stream(
    target: Columns,
    blocks: NDArray[np.int32],
    order: NDArray[np.int64],
    want: NDArray[np.int64],
    slack: NDArray[np.int64],
    usable: NDArray[np.int64],
    purse: Purse,
    crumbs: Crumbs,
) -> None:
    """Gives blocks to the trees in order until each has what it wants; the last one takes what is left.

    Args:
        target: blocks that are served stand in any tree, and are counted in no tree's load.
        blocks: which, in this order.
        order: trees, the last one with the largest want.
        want: int64[trees] quanta still wanted; counted down.
        slack: int64[trees] how much more than it wants a tree may get, to spare a seam.
        usable: int64[trees] load that no tree may exceed.
        purse: for exact ends.
        crumbs: receives who found no room.
    """
    block_tree, block_served, tree_load = target.block_tree, target.block_served, target.tree_load
    at, last, floor = int(np.int64(0)), len(order) - 1, int(purse.bounds[2])
    for n in range(len(blocks)):
        block = 0 + int(blocks[n])
        if int(block_tree[block]) == NO_TREE:
            continue
        at, whole = seam(int(block_served[block]), order, at, want, slack, usable, tree_load, floor)
        if not whole:
            at = split(target, block, order, at, want, slack, usable, purse, crumbs)
            continue
        to = int(order[at])
        if int(block_tree[block]) == MIXED:
            put_rest(target.tree, int(target.block_start[block]), int(target.block_start[block + 1]), to)
        else:
            block_tree[block] = to
        tree_load[to] += block_served[block]
        want[to] -= block_served[block]
        if at < last and want[to] < 0:
            # Up to half a block more here is so much less for the next.
            want[order[at + 1]] = max(0, int(want[order[at + 1]]) + int(want[to]))
            want[to] = 0


@inner_kernel
def seam(
    served: int,
    order: NDArray[np.int64],
    at: int,
    want: NDArray[np.int64],
    slack: NDArray[np.int64],
    usable: NDArray[np.int64],
    tree_load: NDArray[np.int64],
    floor: int,
) -> tuple[int, bool]:
    """(place in the order of the tree that is next, whether a block fits there as a whole)."""
    last = len(order) - 1
    while at < last:
        left, room, after = int(want[order[at]]), int(slack[order[at]]), int(slack[order[at + 1]])
        rest = left - served
        if rest == 0 or rest >= floor or 0 < rest <= after or (rest < 0 and -rest <= min(left, room)):
            return at, True
        if left > after:
            return at, False
        want[order[at + 1]] += left
        want[order[at]] = 0
        at += 1
    return at, served <= int(usable[order[last]]) - int(tree_load[order[last]])


@inner_kernel
def split(
    target: Columns,
    block: int,
    order: NDArray[np.int64],
    at: int,
    want: NDArray[np.int64],
    slack: NDArray[np.int64],
    usable: NDArray[np.int64],
    purse: Purse,
    crumbs: Crumbs,
) -> int:
    """Gives a block to the trees member by member; the place in the order of the tree that is filled now."""
    demand, tree, tree_load, last = target.demand, target.tree, target.tree_load, len(order) - 1
    floor = int(purse.bounds[2])
    mix(target, block)
    for slot in range(int(target.block_start[block]), int(target.block_start[block + 1])):
        each = int(demand[slot])
        if each == 0 or int(tree[slot]) == NO_TREE:
            continue
        while at < last:
            to, after = int(order[at]), int(order[at + 1])
            # What is left for the purse is of a size that it can pay.
            if each < 0 or each <= int(want[to]) - (floor if int(slack[after]) < floor else 0):
                break
            if 0 < int(want[to]) <= int(slack[after]):
                want[after] += want[to]
                want[to] = 0
            elif int(want[to]) > 0:
                want[to] = pay(target, purse, to, int(want[to]))
            at += 1
        to = int(order[at])
        if at == last and each > int(usable[to]) - int(tree_load[to]):
            drop_slot(target, crumbs, block, slot)
        else:
            tree[slot] = to
            tree_load[to] += each
            want[to] -= each
    return at
