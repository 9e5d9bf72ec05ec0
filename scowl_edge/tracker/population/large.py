"""Few large items into few trees: best fit, largest first, then exchanges until nothing fits better."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel

MOST_LOOKS = 1 << 22
"""Pairs that are looked at in search of exchanges: some milliseconds."""
PARTNERS = 64
"""Items near the right size that are tried against one."""


@kernel
def fit(sizes: NDArray[np.int64], order: NDArray[np.int64], want: NDArray[np.int64]) -> NDArray[np.int64]:
    """A tree for each item, -1 where none has room: as much as an exchange of pairs can bring in.

    Args:
        sizes: int64[items] quanta.
        order: int64[...] trees that take part.
        want: int64[trees] room in each, quanta; left as it is.
    """
    room = want.copy()
    trees = np.full(len(sizes), -1, np.int64)
    ranks = np.argsort(0 - sizes, kind="mergesort")
    for rank in ranks:
        to = tightest(order, room, int(sizes[rank]))
        if to >= 0:
            room[to] -= sizes[rank]
            trees[rank] = to
    looks, better = 0, True
    while better and looks < MOST_LOOKS:
        better = False
        for n in range(len(ranks)):
            item = int(ranks[n])
            if trees[item] < 0 and looks < MOST_LOOKS:
                changed, more = bring_in(item, sizes, ranks, order, room, trees)
                better = better or changed
                looks += more
        if not better and (trees < 0).any():
            better, more = gather(sizes, ranks, room, trees)
            looks += more
    return trees


@inner_kernel
def gather(
    sizes: NDArray[np.int64], ranks: NDArray[np.int64], room: NDArray[np.int64], trees: NDArray[np.int64]
) -> tuple[bool, int]:
    """(whether room was gathered, how many pairs were looked at): swaps that fill a tree out of a roomier one."""
    gathered, looks = False, 0
    for n in range(len(ranks)):
        one = int(ranks[n])
        tree, small = int(trees[one]), int(sizes[one])
        if tree < 0 or room[tree] == 0:
            continue
        low, high = 0, n
        while low < high:
            middle = (low + high) // 2
            if int(sizes[ranks[middle]]) - small > int(room[tree]):
                low = middle + 1
            else:
                high = middle
        for m in range(low, min(n, low + PARTNERS)):
            large = int(ranks[m])
            other, more = int(trees[large]), int(sizes[large]) - small
            looks += 1
            # Only out of a roomier tree: so what is gathered never flows back, and this ends.
            if more > 0 and other >= 0 and other != tree and room[other] >= room[tree]:
                trees[one], trees[large] = other, tree
                room[tree] -= more
                room[other] += more
                gathered = True
                break
    return gathered, looks


@inner_kernel
def tightest(order: NDArray[np.int64], room: NDArray[np.int64], size: int) -> int:
    """The tree with the least room that is enough, or -1."""
    best, least = int(np.int64(-1)), int(np.int64(1 << 62))
    for tree in order:
        if size <= int(room[tree]) < least:
            best, least = int(tree), int(room[tree])
    return best


@inner_kernel
def bring_in(
    item: int,
    sizes: NDArray[np.int64],
    ranks: NDArray[np.int64],
    order: NDArray[np.int64],
    room: NDArray[np.int64],
    trees: NDArray[np.int64],
) -> tuple[bool, int]:
    """(whether an item without a tree got one, at most at the cost of a smaller one; how many pairs were looked at)."""
    size, looks = int(sizes[item]), 0
    to = tightest(order, room, size)
    if to >= 0:
        trees[item] = to
        room[to] -= size
        return True, 1
    victim, gain = -1, 0
    for n in range(len(ranks)):
        one = int(ranks[n])
        tree, large = int(trees[one]), int(sizes[one])
        if tree < 0:
            continue
        looks += 1
        lack = size - int(room[tree])
        if lack > large:
            # From here on all are smaller; in a tree with more room one may do.
            continue
        if size > large and lack <= large and size - large > gain:
            victim, gain = one, size - large
        other = tightest(order, room, large)
        looks += len(order)
        if other >= 0 and other != tree:
            move(one, other, sizes, room, trees)
            trees[item] = tree
            room[tree] -= size
            return True, looks
        # Against a smaller one of another tree: the first of those that give room enough, and the next after it.
        low, high = 0, len(ranks)
        while low < high:
            middle = (low + high) // 2
            if int(sizes[ranks[middle]]) > large - lack:
                low = middle + 1
            else:
                high = middle
        for m in range(low, min(len(ranks), low + PARTNERS)):
            small = int(ranks[m])
            other = int(trees[small])
            looks += 1
            if other >= 0 and other != tree and large - int(sizes[small]) <= int(room[other]):
                room[other] -= large - sizes[small]
                room[tree] += large - sizes[small]
                trees[one], trees[small] = other, tree
                trees[item] = tree
                room[tree] -= size
                return True, looks
    if victim < 0:
        return False, looks
    tree = int(trees[victim])
    trees[victim] = -1
    trees[item] = tree
    room[tree] -= size - int(sizes[victim])
    return True, looks


@inner_kernel
def move(item: int, to: int, sizes: NDArray[np.int64], room: NDArray[np.int64], trees: NDArray[np.int64]) -> None:
    """Moves an item to another tree."""
    room[trees[item]] += sizes[item]
    room[to] -= sizes[item]
    trees[item] = to
