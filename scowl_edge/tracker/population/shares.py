"""Who is to be placed, in which order, and what each tree is to get of it: the same share of what it can carry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.columns import CLASSES, NO_TREE, Columns
from scowl_edge.tracker.population.seams import Crumbs, drop_feed

ROOMY = 4
"""A tree takes part in the stream of coarse items if it wants so many times the largest of them."""


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


@inner_kernel
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


@inner_kernel
def feeds_of(target: Columns, groups: NDArray[np.int32], group: int) -> NDArray[np.int32]:
    """The served big feeds of a group."""
    found = np.empty(len(target.big_tree), np.int32)
    count = 0
    for feed in range(len(target.big_tree)):
        if int(target.big_tree[feed]) != NO_TREE and int(groups[target.big_zone[feed]]) == group:
            found[count] = feed
            count += 1
    return found[:count]


@inner_kernel
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
    start = 0
    for k in range(CLASSES):
        end = 0 + int(begin[k])
        found[start:end] = strided(found[start:end])
        start = end
    return found


@inner_kernel
def strided(numbers: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same numbers in large even steps: neighbours, which are of one zone and about one size, come far apart.

    So every tree gets members of all sizes, and later there is somebody of any size who may leave it.
    """
    count = len(numbers)
    step = max(1, count * 618 // 1_000)
    while step > 1 and not coprime(step, count):
        step -= 1
    mixed = np.empty(count, np.int32)
    at = 0
    for n in range(count):
        mixed[n] = numbers[at]
        at += step
        at -= count if at >= count else 0
    return mixed


@inner_kernel
def coprime(one: int, other: int) -> bool:
    """Whether two numbers have no common divisor."""
    a, b = one, other
    while b:
        a, b = b, a % b
    return a == 1


@inner_kernel
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


@inner_kernel
def share_out(sizes: NDArray[np.int64], order: NDArray[np.int64], want: NDArray[np.int64]) -> NDArray[np.int64]:
    """A tree for each of many items, the same share of each tree's want to within one item; none if they are too large.

    Only trees take part that are roomy enough for the largest item, so that what this gives is never above a want.
    """
    total, largest, base = int(np.int64(0)), int(np.int64(0)), int(np.int64(0))
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


@inner_kernel
def put_feeds(
    target: Columns, crumbs: Crumbs, feeds: NDArray[np.int32], trees: NDArray[np.int64], want: NDArray[np.int64]
) -> None:
    """Gives each big feed to a tree; to none where that is negative."""
    big_tree, big_demand, tree_load = target.big_tree, target.big_demand, target.tree_load
    for n in range(len(feeds)):
        feed, to = 0 + int(feeds[n]), int(trees[n])
        if to < 0:
            drop_feed(target, crumbs, feed)
        else:
            big_tree[feed] = to
            tree_load[to] += int(big_demand[feed])
            want[to] -= int(big_demand[feed])
