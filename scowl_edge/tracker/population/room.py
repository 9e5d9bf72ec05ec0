"""Room in trees: which one has the most, kept in a heap while members move."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.columns import Columns


class Room(NamedTuple):
    """Living trees, the one with the most room on top."""

    heap: NDArray[np.int32]
    """[living trees] Tree numbers; among equals the lower number stands higher."""
    place: NDArray[np.int32]
    """[trees] Where each stands in the heap; -1 if dead."""


@inner_kernel
def room_of(columns: Columns, tree: int) -> int:
    """Quanta that a tree can take before it is full; negative if it is over."""
    return int(columns.tree_safe[tree]) - int(columns.tree_load[tree])


@inner_kernel
def stands_above(columns: Columns, one: int, other: int) -> bool:
    """Whether one tree has more room than the other."""
    a, b = room_of(columns, one), room_of(columns, other)
    return a > b or (a == b and one < other)


@inner_kernel
def sink(columns: Columns, room: Room, at: int) -> None:
    """Lets the tree at a place of the heap down to where it belongs."""
    heap, count = room.heap, len(room.heap)
    here = at
    tree = int(heap[here])
    while True:
        child = 2 * here + 1
        if child >= count:
            break
        if child + 1 < count and stands_above(columns, int(heap[child + 1]), int(heap[child])):
            child += 1
        if not stands_above(columns, int(heap[child]), tree):
            break
        heap[here] = heap[child]
        room.place[heap[here]] = here
        here = child
    heap[here] = tree
    room.place[tree] = here


@inner_kernel
def open_room(columns: Columns) -> Room:
    """The heap for the loads as they are."""
    trees = len(columns.tree_safe)
    heap = np.empty(trees, np.int32)
    place = np.full(trees, -1, np.int32)
    count = 0
    for tree in range(trees):
        if columns.tree_alive[tree]:
            heap[count] = tree
            place[tree] = count
            count += 1
    room = Room(heap[:count], place)
    for at in range(count // 2 - 1, -1, -1):
        sink(columns, room, at)
    return room


@inner_kernel
def settle(columns: Columns, room: Room, tree: int) -> None:
    """Puts a tree where it belongs after its load has changed."""
    at = int(room.place[tree])
    if at < 0:
        return
    while at > 0:
        above = (at - 1) // 2
        other = int(room.heap[above])
        if not stands_above(columns, tree, other):
            break
        room.heap[at] = other
        room.place[other] = at
        at = above
    room.heap[at] = tree
    room.place[tree] = at
    sink(columns, room, at)


@inner_kernel
def roomiest(columns: Columns, room: Room, zone: int) -> int:
    """The living tree with the most room that may feed a zone; -1 if there is none."""
    if len(room.heap) == 0:
        return -1
    top = int(room.heap[0])
    if columns.eligible[zone, top]:
        return top
    best = -1
    for tree in range(len(columns.tree_safe)):
        if (
            columns.tree_alive[tree]
            and columns.eligible[zone, tree]
            and (best < 0 or stands_above(columns, tree, best))
        ):
            best = tree
    return best


@inner_kernel
def tightest(columns: Columns, zone: int, demand: int) -> int:
    """The living tree with the least room that is enough for a demand and may feed a zone; -1 if there is none."""
    best, least = -1, 0
    for tree in range(len(columns.tree_safe)):
        room = room_of(columns, tree)
        if room >= demand and (best < 0 or room < least) and columns.tree_alive[tree] and columns.eligible[zone, tree]:
            best, least = tree, room
    return best
