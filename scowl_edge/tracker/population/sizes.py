"""The members of one tree by their demand: the smallest that covers so much, the largest that fits so much.

Slots hold small whole numbers, so they stand in one pile for each demand, made in one pass without a sort.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.columns import DEMAND_LIMIT, MIXED, Columns
from scowl_edge.tracker.population.members import Members, block_of, demand_of, key_of, number_of, tree_of_slot

NO_CLASS = -1
"""Instead of a class: all of them."""
NOBODY = 0
"""Instead of a key: there is none."""
_STRETCH = 64
"""So many piles are passed over at once where they are empty."""


class Sizes(NamedTuple):
    """Members of a tree that consume; each is taken out at most once."""

    pile: NDArray[np.int32]
    """[DEMAND_LIMIT + 1] 1 + the entry on top of the pile of each demand; 0 = empty."""
    below: NDArray[np.int32]
    """[entries] 1 + the entry below; 0 = none."""
    number: NDArray[np.int32]
    """[entries] A slot or, from the count of slots on, a feed."""
    large: NDArray[np.int64]
    """Keys of the feeds beyond DEMAND_LIMIT; NOBODY where taken."""
    top: NDArray[np.int64]
    """[1] No pile above this one has anybody."""
    some: NDArray[np.uint8]
    """[DEMAND_LIMIT // _STRETCH + 1] 0 where no pile of a stretch has ever had anybody."""


@inner_kernel
def wants(klass: int, other: int) -> bool:
    """Whether a class is asked for: `klass`, or any if that is NO_CLASS."""
    return klass - other == 0 or klass == NO_CLASS


@inner_kernel
def chosen_blocks(columns: Columns, members: Members, tree: int, most: int) -> NDArray[np.int32]:
    """Blocks of a tree: all, or of more than `most` those with the largest members and some of the rest."""
    blocks = members.blocks[int(members.first_block[tree]) : int(members.first_block[tree + 1])]
    if len(blocks) <= most:
        return blocks
    order = np.empty(len(blocks), np.int64)
    for at in range(len(blocks)):
        block = int(blocks[at])
        order[at] = key_of(int(columns.block_sum[block]) // max(1, int(columns.block_members[block])), block)
    order.sort()
    found = np.empty(most, np.int32)
    large = most - most // 4
    for at in range(large):
        found[at] = number_of(int(order[len(order) - 1 - at]))
    rest, few = len(order) - large, most - large
    for at in range(few):
        found[large + at] = number_of(int(order[at * rest // few]))
    return found


@inner_kernel
def sizes_of(columns: Columns, members: Members, tree: int, klass: int, most_blocks: int) -> Sizes:
    """The members of a tree, of one class or of all (NO_CLASS); who has left since they were listed is not there.

    With more than `most_blocks` blocks, those with the largest members and a sample of the rest stand for all.
    """
    first, end = int(members.first_feed[tree]), int(members.first_feed[tree + 1])
    entries = end - first + int(members.first_slot[tree + 1]) - int(members.first_slot[tree])
    blocks = chosen_blocks(columns, members, tree, most_blocks)
    for at in range(len(blocks)):
        block = int(blocks[at])
        entries += int(columns.block_start[block + 1]) - int(columns.block_start[block])
    pile, some = np.zeros(DEMAND_LIMIT + 1, np.int32), np.zeros(DEMAND_LIMIT // _STRETCH + 1, np.uint8)
    below, number = np.empty(entries, np.int32), np.empty(entries, np.int32)
    large = np.empty(end - first, np.int64)
    slots, count, larger, top = len(columns.demand), 0, 0, 0
    for at in range(first, end):
        feed = int(members.feeds[at])
        demand = int(columns.big_demand[feed])
        if demand <= 0 or int(columns.big_tree[feed]) != tree or not wants(klass, int(columns.big_class[feed])):
            continue
        if demand > DEMAND_LIMIT:
            large[larger] = key_of(demand, slots + feed)
            larger += 1
        else:
            below[count], number[count] = pile[demand], slots + feed
            count += 1
            pile[demand] = count
            some[demand // _STRETCH] = 1
            top = max(top, demand)
    for at in range(len(blocks)):
        block = int(blocks[at])
        whole = int(columns.block_tree[block]) == tree
        mixed = int(columns.block_tree[block]) == MIXED
        if not wants(klass, int(columns.block_class[block])):
            continue
        for slot in range(int(columns.block_start[block]), int(columns.block_start[block + 1])):
            demand = int(columns.demand[slot])
            if demand > 0 and (whole or (mixed and int(columns.tree[slot]) == tree)):
                below[count], number[count] = pile[demand], slot
                count += 1
                pile[demand] = count
                some[demand // _STRETCH] = 1
                top = max(top, demand)
    for at in range(int(members.first_slot[tree]), int(members.first_slot[tree + 1])):
        slot = int(members.slots[at])
        demand = int(columns.demand[slot])
        block = block_of(columns, slot)
        if demand > 0 and tree_of_slot(columns, block, slot) == tree and wants(klass, int(columns.block_class[block])):
            below[count], number[count] = pile[demand], slot
            count += 1
            pile[demand] = count
            some[demand // _STRETCH] = 1
            top = max(top, demand)
    highest = np.empty(1, np.int64)
    highest[0] = top
    return Sizes(pile, below, number, large[:larger], highest, some)


@inner_kernel
def take(sizes: Sizes, demand: int) -> int:
    """Takes the upper one from a pile that has somebody; its key."""
    entry = int(sizes.pile[demand]) - 1
    sizes.pile[demand] = sizes.below[entry]
    return key_of(demand, int(sizes.number[entry]))


@inner_kernel
def next_pile(sizes: Sizes, least: int, most: int) -> int:
    """The smallest demand from `least` to `most` whose pile has somebody; 0 if there is none. Both are positive."""
    demand, end = least, min(most, int(sizes.top[0]))
    while demand <= end:
        if not sizes.some[demand // _STRETCH]:
            demand += _STRETCH - demand % _STRETCH
        elif sizes.pile[demand]:
            return demand
        else:
            demand += 1
    return 0


@inner_kernel
def last_pile(sizes: Sizes, most: int) -> int:
    """The largest demand of at most `most` whose pile has somebody; 0 if there is none."""
    demand = min(most, int(sizes.top[0]))
    while demand > 0:
        if not sizes.some[demand // _STRETCH]:
            demand -= demand % _STRETCH + 1
        elif sizes.pile[demand]:
            return demand
        else:
            demand -= 1
    return 0


@inner_kernel
def smallest_from(sizes: Sizes, least: int, most: int) -> int:
    """Takes out the smallest of at least `least` and at most `most` quanta; its key, or NOBODY."""
    demand = next_pile(sizes, max(1, least), most)
    if demand:
        return take(sizes, demand)
    found = -1
    for at in range(len(sizes.large)):
        key = int(sizes.large[at])
        if key != NOBODY and least <= demand_of(key) <= most and (found < 0 or key < int(sizes.large[found])):
            found = at
    if found < 0:
        return NOBODY
    key = int(sizes.large[found])
    sizes.large[found] = NOBODY
    return key


@inner_kernel
def largest_to(sizes: Sizes, most: int) -> int:
    """Takes out the largest of at most `most` quanta; its key, or NOBODY."""
    found = -1
    for at in range(len(sizes.large)):
        key = int(sizes.large[at])
        if key != NOBODY and demand_of(key) <= most and (found < 0 or key > int(sizes.large[found])):
            found = at
    if found >= 0:
        key = int(sizes.large[found])
        sizes.large[found] = NOBODY
        return key
    while int(sizes.top[0]) > 0 and not sizes.pile[sizes.top[0]]:
        sizes.top[0] -= 1
    demand = last_pile(sizes, most)
    return take(sizes, demand) if demand else NOBODY
