"""Distribution trees: which generator feeds whom. Plain loops over integer arrays.

Sticky: only trees that are over, and feeds that have none, are touched. Feeds leave an over-full tree by the one that
cures it and fits best, else by the largest that fits elsewhere, and go to the tree with the most room.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NONE = -1


def tree_loads(load_w: NDArray[np.int64], tree: NDArray[np.int64], trees: int) -> NDArray[np.int64]:
    """Exact load of each tree: int64[trees] from feeds' load and assignment (both int64[feeds])."""
    total = np.zeros(trees, np.int64)
    for feed in range(len(load_w)):
        at = tree[feed]
        if at != NONE:
            total[at] += load_w[feed]
    return total


def roomiest(
    room_w: NDArray[np.int64], tree_bus: NDArray[np.int64], is_open: NDArray[np.bool_], bus: int, least_w: int
) -> int:
    """The open tree of a bus with the most room, at least `least_w`; NONE if there is none."""
    best, best_room = NONE, least_w - 1
    for t in range(len(room_w)):
        if is_open[t] and tree_bus[t] == bus and room_w[t] > best_room:
            best, best_room = t, int(room_w[t])
    return best


def repair(
    load_w: NDArray[np.int64],
    rank: NDArray[np.int64],
    feed_bus: NDArray[np.int64],
    wants_tree: NDArray[np.bool_],
    tree: NDArray[np.int64],
    safe_w: NDArray[np.int64],
    tree_bus: NDArray[np.int64],
    is_open: NDArray[np.bool_],
    is_alive: NDArray[np.bool_],
    bookkeeping: NDArray[np.bool_],
    budget: int,
) -> list[tuple[int, int, int]]:
    """Repairs the assignment in place; returns the moves (feed, from, to) in order.

    Args:
        load_w: int64[feeds], what each feed draws or wants.
        rank: int64[feeds], importance; smaller is served first.
        feed_bus: int64[feeds].
        wants_tree: bool[feeds]; feeds that want none are taken out of theirs.
        tree: int64[feeds], changed in place; -1 = none.
        safe_w: int64[trees], load that each tree may carry.
        tree_bus: int64[trees].
        is_open: bool[trees], takes new feeds (its output is fresh).
        is_alive: bool[trees]; members of a dead tree are re-homed.
        bookkeeping: bool[buses], True where a tree may be over-assigned because a grid stands behind it.
        budget: most moves of feeds that have a living tree.
    """
    moves: list[tuple[int, int, int]] = []
    homeless: list[int] = []
    for f in range(len(load_w)):
        at = int(tree[f])
        if not wants_tree[f]:
            if at != NONE:
                tree[f] = NONE
                moves.append((f, at, NONE))
        elif at == NONE or not is_alive[at]:
            homeless.append(f)
            if at != NONE:
                tree[f] = NONE
                moves.append((f, at, NONE))
    room = safe_w - tree_loads(load_w, tree, len(safe_w))
    homeless.sort(key=lambda f: (int(rank[f]), -int(load_w[f]), f))
    for f in homeless:
        bus = int(feed_bus[f])
        to = roomiest(room, tree_bus, is_open, bus, int(load_w[f]))
        if to == NONE and bookkeeping[bus]:
            to = roomiest(room, tree_bus, is_open, bus, -(1 << 60))
        if to != NONE:
            tree[f] = to
            room[to] -= load_w[f]
            moves.append((f, NONE, to))
    for t in range(len(safe_w)):
        while room[t] < 0 and budget > 0:
            best, best_to = NONE, NONE
            for f in range(len(load_w)):
                if tree[f] != t or load_w[f] <= 0:
                    continue
                to = roomiest(room, tree_bus, is_open, int(tree_bus[t]), int(load_w[f]))
                if to in (NONE, t):
                    continue
                if best == NONE or better(int(load_w[f]), int(load_w[best]), -int(room[t])):
                    best, best_to = f, to
            if best == NONE:
                break
            tree[best] = best_to
            room[t] += load_w[best]
            room[best_to] -= load_w[best]
            moves.append((best, t, best_to))
            budget -= 1
    return moves


def better(candidate_w: int, present_w: int, over_w: int) -> bool:
    """Whether moving the candidate cures an over-load with less than the present one, or comes closer to curing it."""
    if candidate_w >= over_w:
        return present_w < over_w or candidate_w < present_w
    return present_w < candidate_w
