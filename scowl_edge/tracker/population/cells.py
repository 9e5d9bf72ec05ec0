"""Who feeds whom where not every tree may feed every zone: flows on cells, a few thousand instead of millions.

A *group* is all zones that the same trees may feed; a *cell* is one group and one tree. The flow through cells is
maximal class by class, the most important first, and then as even over the trees as eligibility lets it be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel, kernel
from scowl_edge.tracker.population.columns import CLASSES, NO_TREE, Columns

STEPS = 16
"""Fills between an even share of each tree and all that it can carry."""


@kernel
def group_zones(columns: Columns, usable: NDArray[np.int64]) -> tuple[NDArray[np.int32], int]:
    """(group of each zone, -1 where no tree that can carry anything may feed it; how many groups)."""
    eligible = columns.eligible
    zones, trees = eligible.shape
    groups = np.full(zones, -1, np.int32)
    first = np.empty(zones, np.int64)
    count = 0
    for zone in range(zones):
        any_tree = False
        for tree in range(trees):
            any_tree = any_tree or (eligible[zone, tree] != 0 and usable[tree] > 0)
        if not any_tree:
            continue
        for group in range(count):
            same = True
            for tree in range(trees):
                if usable[tree] > 0 and (eligible[zone, tree] != 0) != (eligible[first[group], tree] != 0):
                    same = False
                    break
            if same:
                groups[zone] = group
                break
        if groups[zone] < 0:
            groups[zone] = count
            first[count] = zone
            count += 1
    return groups, count


@kernel
def arcs_of(columns: Columns, groups: NDArray[np.int32], count: int, usable: NDArray[np.int64]) -> NDArray[np.uint8]:
    """uint8[groups, trees]: 1 where a tree that can carry anything may feed a group."""
    arcs = np.zeros((count, len(usable)), np.uint8)
    for zone in range(len(groups)):
        if groups[zone] >= 0:
            for tree in range(len(usable)):
                if columns.eligible[zone, tree] and usable[tree] > 0:
                    arcs[groups[zone], tree] = 1
    return arcs


@kernel
def demands(columns: Columns, groups: NDArray[np.int32], count: int, with_feeds: bool) -> NDArray[np.int64]:
    """int64[groups, CLASSES]: served demand of blocks, and of big feeds too if told so; quanta."""
    block_tree, block_zone, block_class = columns.block_tree, columns.block_zone, columns.block_class
    big_tree, big_zone, big_class = columns.big_tree, columns.big_zone, columns.big_class
    total = np.zeros((count, CLASSES), np.int64)
    for block in range(len(block_tree)):
        group = int(groups[block_zone[block]])
        if int(block_tree[block]) != NO_TREE and group >= 0:
            total[group, block_class[block]] += columns.block_served[block]
    if with_feeds:
        for feed in range(len(big_tree)):
            group = int(groups[big_zone[feed]])
            if int(big_tree[feed]) != NO_TREE and group >= 0:
                total[group, big_class[feed]] += int(columns.big_demand[feed])
    return total


@kernel
def unmet(total: NDArray[np.int64], arcs: NDArray[np.uint8], room: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[groups]: how much of each group's demand no flow can meet when the most important classes go first.

    Args:
        total: int64[groups, CLASSES] demand; what produces (negative) relieves the classes after it.
        arcs: uint8[groups, trees] which tree may feed which group.
        room: int64[trees] what each can carry; left as it is.
    """
    groups = len(total)
    flow = np.zeros(arcs.shape, np.int64)
    room = room.copy()
    met, wanted, running = np.zeros(groups, np.int64), np.zeros(groups, np.int64), np.zeros(groups, np.int64)
    need = np.zeros(groups, np.int64)
    for k in range(CLASSES):
        for group in range(groups):
            running[group] += total[group, k]
            # What went unmet of a class before this one can never be met: no path led to it.
            need[group] = max(0, int(running[group]) - int(wanted[group]))
            wanted[group] = max(int(wanted[group]), int(running[group]))
            met[group] += need[group]
        push(need, arcs, room, flow)
        for group in range(groups):
            met[group] -= need[group]
    for group in range(groups):
        need[group] = max(0, int(running[group]) - int(met[group]))
    return need


@kernel
def even_flow(
    need: NDArray[np.int64], arcs: NDArray[np.uint8], share: NDArray[np.int64], room: NDArray[np.int64]
) -> NDArray[np.int64]:
    """int64[groups, trees]: a flow that meets as much as any can, near each tree's share where it can be.

    Args:
        need: int64[groups] demand, quanta; left as it is.
        arcs: uint8[groups, trees] which tree may feed which group.
        share: int64[trees] what each would carry if all were even; at most its room.
        room: int64[trees] what each can carry.
    """
    flow = np.zeros(arcs.shape, np.int64)
    left, now, given = np.maximum(need, 0), share.copy(), share.copy()
    for step in range(STEPS + 1):
        if step:
            for tree in range(len(room)):
                upto = int(share[tree]) + (int(room[tree]) - int(share[tree])) * step // STEPS
                now[tree] += upto - int(given[tree])
                given[tree] = upto
        push(left, arcs, now, flow)
        if not left.any():
            break
    return flow


@inner_kernel
def push(need: NDArray[np.int64], arcs: NDArray[np.uint8], room: NDArray[np.int64], flow: NDArray[np.int64]) -> None:
    """Adds to a flow until it is maximal (Dinic's blocking flows); counts `need` and `room` down."""
    groups, trees = arcs.shape
    group_level, tree_level = np.empty(groups, np.int64), np.empty(trees, np.int64)
    next_tree, next_group = np.empty(groups, np.int64), np.empty(trees, np.int64)
    queue = np.empty(groups, np.int64)
    # A path goes group, tree, group, tree ...: path[2 n] is a group, path[2 n + 1] a tree.
    path = np.empty(2 * (groups + trees) + 2, np.int64)
    while levels(need, arcs, room, flow, group_level, tree_level, queue):
        next_tree[:] = 0
        next_group[:] = 0
        for source in range(groups):
            if group_level[source] != 0:
                continue
            path[0] = source
            length = 1
            while length > 0 and need[source] > 0:
                at = int(path[length - 1])
                if length % 2:
                    tree = int(next_tree[at])
                    while tree < trees and not (arcs[at, tree] and tree_level[tree] == group_level[at] + 1):
                        tree += 1
                    next_tree[at] = tree
                    if tree < trees:
                        path[length] = tree
                        length += 1
                    else:
                        length -= 1
                        if length:
                            next_group[path[length - 1]] += 1
                elif room[at] > 0:
                    amount = min(int(need[source]), int(room[at]))
                    for n in range(1, length - 1, 2):
                        amount = min(amount, int(flow[path[n + 1], path[n]]))
                    need[source] -= amount
                    room[at] -= amount
                    for n in range(0, length, 2):
                        flow[path[n], path[n + 1]] += amount
                    for n in range(1, length - 1, 2):
                        flow[path[n + 1], path[n]] -= amount
                    length = 1
                else:
                    group = int(next_group[at])
                    while group < groups and not (flow[group, at] > 0 and group_level[group] == tree_level[at] + 1):
                        group += 1
                    next_group[at] = group
                    if group < groups:
                        path[length] = group
                        length += 1
                    else:
                        length -= 1
                        next_tree[path[length - 1]] += 1


@inner_kernel
def levels(
    need: NDArray[np.int64],
    arcs: NDArray[np.uint8],
    room: NDArray[np.int64],
    flow: NDArray[np.int64],
    group_level: NDArray[np.int64],
    tree_level: NDArray[np.int64],
    queue: NDArray[np.int64],
) -> bool:
    """Distances from the groups that still need; whether a tree with room is among what can be reached."""
    groups, trees = arcs.shape
    group_level[:] = -1
    tree_level[:] = -1
    end, found = 0, False
    for group in range(groups):
        if need[group] > 0:
            group_level[group] = 0
            queue[end] = group
            end += 1
    begin = 0
    while begin < end:
        group = int(queue[begin])
        begin += 1
        for tree in range(trees):
            if arcs[group, tree] and tree_level[tree] < 0:
                tree_level[tree] = group_level[group] + 1
                if room[tree] > 0:
                    found = True
                    continue
                for other in range(groups):
                    if group_level[other] < 0 and flow[other, tree] > 0:
                        group_level[other] = tree_level[tree] + 1
                        queue[end] = other
                        end += 1
    return found
