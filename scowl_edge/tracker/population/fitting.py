"""Who fits closely: one, two, or two to be swapped, whose demands come just above what has to be covered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.columns import DEMAND_LIMIT, Columns
from scowl_edge.tracker.population.members import demand_of, key_of, listed, number_of, wanted_trees
from scowl_edge.tracker.population.overload import MANY
from scowl_edge.tracker.population.room import room_of
from scowl_edge.tracker.population.sizes import NOBODY, Sizes, last_pile, next_pile

_PIECES = 8
"""How many pieces of room are tried for one that is just filled."""
_PAIRS = 24
"""How many firsts are tried for a pair that covers an overload."""


@inner_kernel
def smallest_of(sizes: Sizes, least: int) -> int:
    """The smallest demand of at least `least` that somebody has; 0 if nobody does."""
    found = next_pile(sizes, max(1, least), DEMAND_LIMIT)
    if found:
        return found
    for key in sizes.large:
        demand = demand_of(int(key))
        if int(key) != NOBODY and demand >= least and (found == 0 or demand < found):
            found = demand
    return found


@inner_kernel
def largest_of(sizes: Sizes, most: int) -> int:
    """The largest demand of at most `most` that somebody has; 0 if nobody does."""
    found = 0
    for key in sizes.large:
        demand = demand_of(int(key))
        if int(key) != NOBODY and found < demand <= most:
            found = demand
    return found if found else last_pile(sizes, most)


@inner_kernel
def pair_of_feeds(sizes: Sizes, left: int) -> tuple[int, int]:
    """Two of the large feeds that together cover `left` with least to spare; (0, 0) if none do."""
    keys = np.sort(sizes.large)
    low, high = 0, len(keys) - 1
    best, one, other = MANY, 0, 0
    while low < high:
        if int(keys[low]) == NOBODY:
            low += 1
            continue
        first, second = demand_of(int(keys[high])), demand_of(int(keys[low]))
        if first + second < left:
            low += 1
            continue
        if first + second - left < best and first != second:
            best, one, other = first + second - left, first, second
        high -= 1
    return one, other


@inner_kernel
def any_pair(sizes: Sizes, left: int) -> tuple[int, int]:
    """Two different demands that together cover `left` with little to spare; (0, 0) if none were found."""
    one, other = pair_of_feeds(sizes, left)
    best = one + other - left if one else MANY
    first = largest_of(sizes, left - 1)
    for _ in range(_PAIRS):
        second = smallest_of(sizes, left - first) if 2 * first >= left else 0
        if second == first:
            second = smallest_of(sizes, first + 1)
        if second == 0 or best == 0:
            break
        if first + second - left < best:
            best, one, other = first + second - left, first, second
        first = largest_of(sizes, first - 1)
    return one, other


@inner_kernel
def best_pair(columns: Columns, sizes: Sizes, left: int, most: int) -> tuple[int, int, int]:
    """(one, the tree that it just fills, another) that together cover `left`, with least to spare in both trees.

    The other is at most `most`; (0, -1, 0) if none were found.
    """
    best, one, to, other = MANY, 0, -1, 0
    tried = 0
    for tree in range(len(columns.tree_safe)):
        piece = room_of(columns, tree)
        if not columns.tree_alive[tree] or 4 * piece < left:
            continue
        tried += 1
        first = largest_of(sizes, min(piece, left - 1))
        if first == 0 or (piece < left and piece - first >= best):
            continue
        second = smallest_of(sizes, left - first)
        if second == first:
            second = smallest_of(sizes, first + 1)
        spare = first + second - left + (piece - first if piece < left else 0)
        if 0 < second <= most and spare < best:
            best, one, to, other = spare, first, tree, second
        if best == 0 or tried == _PIECES:
            break
    return one, to, other


@inner_kernel
def sorted_feeds(columns: Columns) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Feeds by tree as `listed` has them, those of a tree by demand, the smallest first."""
    first, feeds = listed(columns.big_tree, wanted_trees(columns.tree_alive), len(columns.tree_safe))
    for tree in range(len(first) - 1):
        start, end = int(first[tree]), int(first[tree + 1])
        keys = np.empty(end - start, np.int64)
        for at in range(start, end):
            keys[at - start] = key_of(int(columns.big_demand[feeds[at]]), 0 + int(feeds[at]))
        keys.sort()
        for at in range(start, end):
            feeds[at] = number_of(int(keys[at - start]))
    return first, feeds


@inner_kernel
def swap_of(
    columns: Columns,
    feeds: tuple[NDArray[np.int64], NDArray[np.int32]],
    tree: int,
    other: int,
    least: int,
    most: int,
) -> tuple[int, int]:
    """(a feed of one tree, a feed of the other that is smaller by `least` to `most`, but by as little as can be);
    (-1, -1) if there are none.
    """
    first, listed_feeds = feeds
    big_demand, big_tree = columns.big_demand, columns.big_tree
    near, end = int(first[other]), int(first[other + 1])
    best, go, come, below = most + 1, -1, -1, -1
    for at in range(int(first[tree]), int(first[tree + 1])):
        feed = int(listed_feeds[at])
        demand = int(big_demand[feed])
        if demand <= least or int(big_tree[feed]) != tree:
            continue
        while near < end and int(big_demand[listed_feeds[near]]) <= demand - least:
            if int(big_tree[listed_feeds[near]]) == other:
                below = int(listed_feeds[near])
            near += 1
        if below >= 0 and demand - int(big_demand[below]) < best:
            best, go, come = demand - int(big_demand[below]), feed, below
    return go, come
