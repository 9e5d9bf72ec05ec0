"""After a cut nothing is left over: room and overload are of one size. Here they are brought together by few moves.

Each tree that is over lets one or two members go that cover it closely; the hole that one leaves may be just what
another tree's member needs. What is missing or left over by then is settled among those who starve (`trades`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.columns import Columns, Log
from scowl_edge.tracker.population.fitting import any_pair, best_pair, largest_of, smallest_of, sorted_feeds, swap_of
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.members import Members, list_members, number_of, wanted_trees, zone_of
from scowl_edge.tracker.population.overload import leave_blocks, over_of, over_trees, overload
from scowl_edge.tracker.population.rehome import move_one
from scowl_edge.tracker.population.room import Room, room_of, tightest
from scowl_edge.tracker.population.sizes import NO_CLASS, NOBODY, Sizes, sizes_of, smallest_from
from scowl_edge.tracker.population.trades import Trades, feed_again, find_trades, starve_equals

_FEW = 2_048
"""The mean overload for which this is done, in sizes of who would starve for it."""
_FIRSTS = 128
"""How many are tried who are too large for a tree, for one that fits another tree's need."""
_DEAR = 4
"""So many moves are worth a look at all members of another tree."""
_PATIENCE = 8
"""For each move that is saved, up to so many, one more may starve."""
_PAIRS = 24
"""How many firsts are tried for a pair that covers an overload."""
_TREES_TRIED = 12
"""How many trees are looked at for two feeds to swap."""
_BLOCKS = 64
"""How many blocks of a tree are looked at for members that may leave."""


@inner_kernel
def receiver(columns: Columns, trades: Trades, zone: int, demand: int) -> int:
    """The tree where it fits best, or if nowhere, one whose members may starve for the rest; -1 if there is none."""
    tight = tightest(columns, zone, demand)
    if tight >= 0:
        return tight
    best, most = -1, demand - 1
    for tree in range(len(columns.tree_safe)):
        can = room_of(columns, tree) + int(trades.can[tree])
        if can > most and int(trades.can[tree]) > 0 and columns.tree_alive[tree] and columns.eligible[zone, tree]:
            best, most = tree, can
    return best


@inner_kernel
def bears_most(columns: Columns, trades: Trades) -> int:
    """Quanta that some tree can take, with those who may starve for it."""
    most = 0
    for tree in range(len(columns.tree_safe)):
        if columns.tree_alive[tree]:
            most = max(most, room_of(columns, tree) + int(trades.can[tree]))
    return most


@inner_kernel
def send(columns: Columns, log: Log, room: Room, trades: Trades, sizes: Sizes, demand: int, to: int) -> bool:
    """Lets one of exactly this demand leave for a tree, or (-1) for the one with most room; whether it could."""
    key = smallest_from(sizes, demand, demand)
    if key == NOBODY:
        return False
    number = number_of(key)
    zone = zone_of(columns, number)
    where = to if to >= 0 and columns.eligible[zone, to] else receiver(columns, trades, zone, demand)
    if where < 0:
        return False
    move_one(columns, log, room, number, where)
    return True


@inner_kernel
def cure_closely(
    columns: Columns,
    log: Log,
    room: Room,
    members: Members,
    trades: Trades,
    feeds: tuple[NDArray[np.int64], NDArray[np.int32]],
    tree: int,
    end: int,
) -> None:
    """Lets as few as can be leave a tree, so that it is over by no more than its starving equals settle."""
    leave_blocks(columns, log, room, members, tree)
    sizes = sizes_of(columns, members, tree, NO_CLASS, _BLOCKS)
    can = int(trades.can[tree])
    while over_of(columns, tree) > can and int(log.totals[1]) < end and len(room.heap):
        left, most = over_of(columns, tree), room_of(columns, int(room.heap[0]))
        # What its equals settle need not leave.
        single = smallest_of(sizes, left - can)
        if 0 < single <= min(most, left + trades.size):
            if not send(columns, log, room, trades, sizes, single, -1):
                return
            continue
        if smallest_of(sizes, (left + 1) // 2) == 0:
            # Two do not suffice yet.
            coarse = largest_of(sizes, min(left, most))
            if coarse == 0 or not send(columns, log, room, trades, sizes, coarse, -1):
                return
            continue
        one, to, other = best_pair(columns, sizes, left, most)
        if one and one + other <= left + trades.size:
            if not send(columns, log, room, trades, sizes, one, to):
                return
            if not send(columns, log, room, trades, sizes, other, -1):
                return
            continue
        one, other = any_pair(sizes, left)
        close = 0 < single <= left + trades.size or (one > 0 and one + other <= left + trades.size)
        coarse = largest_of(sizes, min(left, bears_most(columns, trades)))
        if not close and (
            swap_closely(columns, log, room, trades, feeds, tree, left)
            or ((coarse == 0 or left // coarse >= _DEAR) and swap_any(columns, log, room, trades, sizes, tree, left))
        ):
            return
        spare = trades.size
        if not close and coarse:
            spare *= min(_PATIENCE, left // coarse)
        if 0 < single <= left + spare and send(columns, log, room, trades, sizes, single, -1):
            continue
        if (
            one
            and one + other <= left + spare
            and receiver(columns, trades, 0, max(one, other)) >= 0
            and send(columns, log, room, trades, sizes, one, -1)
        ):
            if receiver(columns, trades, 0, other) < 0:
                continue
            coarse = other
        if coarse == 0 or not send(columns, log, room, trades, sizes, coarse, -1):
            return


@inner_kernel
def thin_out(columns: Columns, log: Log, room: Room, trades: Trades, sizes: Sizes, tree: int, end: int) -> None:
    """Lets the largest leave a tree until one member is enough for what is left."""
    while int(log.totals[1]) < end and len(room.heap):
        left = over_of(columns, tree)
        if left <= int(trades.can[tree]) or smallest_of(sizes, left):
            return
        coarse = largest_of(sizes, min(left, room_of(columns, int(room.heap[0]))))
        if coarse == 0 or not send(columns, log, room, trades, sizes, coarse, -1):
            return


@inner_kernel
def chain(
    columns: Columns,
    log: Log,
    room: Room,
    members: Members,
    trades: Trades,
    trees: NDArray[np.int64],
    end: int,
) -> None:
    """Cures trees that nobody covers closely: one who is too large leaves, and the room that is left over there is
    just what the member needs that cures another tree. One move for each of the two.
    """
    easy, count = np.empty(len(trees), np.int64), 0
    stiff = np.zeros(len(trees), np.uint8)
    for at in range(len(trees)):
        tree = int(trees[at])
        leave_blocks(columns, log, room, members, tree)
        if over_of(columns, tree) <= int(trades.can[tree]):
            continue
        sizes = sizes_of(columns, members, tree, NO_CLASS, _BLOCKS)
        thin_out(columns, log, room, trades, sizes, tree, end)
        left = over_of(columns, tree)
        single = smallest_of(sizes, left)
        if left <= int(trades.can[tree]) or single == 0:
            continue
        if single <= left + trades.size:
            easy[count] = (single << 32) | tree
            count += 1
        else:
            stiff[at] = 1
    easy = easy[:count]
    easy.sort()
    used = np.zeros(count, np.uint8)
    for at in range(len(trees)):
        if stiff[at] and int(log.totals[1]) + 2 <= end:
            link(columns, log, room, members, trades, int(trees[at]), easy, used)


@inner_kernel
def link(
    columns: Columns,
    log: Log,
    room: Room,
    members: Members,
    trades: Trades,
    tree: int,
    easy: NDArray[np.int64],
    used: NDArray[np.uint8],
) -> None:
    """Cures one tree of a chain together with one of those that are easy, if two fit closely."""
    left = over_of(columns, tree)
    sizes = sizes_of(columns, members, tree, NO_CLASS, _BLOCKS)
    best, go, come = trades.size, 0, -1
    going = smallest_of(sizes, left)
    for _ in range(_FIRSTS):
        if going == 0:
            break
        spare = going - left
        at = int(np.searchsorted(easy, (spare + 1) << 32)) - 1
        while at >= 0 and used[at]:
            at -= 1
        to = tightest(columns, 0, going)
        if to < 0:
            break
        if at >= 0:
            rest = room_of(columns, to) - going
            waste = spare - (int(easy[at]) >> 32) + min(trades.size // 2, rest)
            if waste < best:
                best, go, come = waste, going, at
        going = smallest_of(sizes, going + 1)
    if go == 0:
        return
    used[come] = 1
    if not send(columns, log, room, trades, sizes, go, tightest(columns, 0, go)):
        return
    other = int(easy[come]) & ((1 << 32) - 1)
    send(
        columns,
        log,
        room,
        trades,
        sizes_of(columns, members, other, NO_CLASS, _BLOCKS),
        int(easy[come]) >> 32,
        tree,
    )


@inner_kernel
def cure_stiff(
    columns: Columns,
    log: Log,
    room: Room,
    members: Members,
    trades: Trades,
    feeds: tuple[NDArray[np.int64], NDArray[np.int32]],
    tree: int,
    end: int,
) -> None:
    """Cures a tree by a swap in which no one or two members cover the overload closely: while others have room yet."""
    left = over_of(columns, tree)
    if left <= int(trades.can[tree]) or int(log.totals[1]) >= end:
        return
    sizes = sizes_of(columns, members, tree, NO_CLASS, _BLOCKS)
    single = smallest_of(sizes, left)
    if 0 < single <= left + trades.size:
        return
    one, other = any_pair(sizes, left) if single else (left, 0)
    if (one == 0 or one + other > left + trades.size) and not swap_closely(
        columns, log, room, trades, feeds, tree, left
    ):
        coarse = largest_of(sizes, min(left, bears_most(columns, trades)))
        if coarse == 0 or left // coarse >= _DEAR:
            swap_any(columns, log, room, trades, sizes, tree, left)
    cure_closely(columns, log, room, members, trades, feeds, tree, end)


@inner_kernel
def fill_up(columns: Columns, log: Log, room: Room, trades: Trades, end: int) -> None:
    """Fills pieces of room from the trees that are still over: one who moves instead of several who starve."""
    trees = over_trees(columns)
    flags = np.zeros(len(columns.tree_safe), np.uint8)
    for tree in trees:
        flags[tree] = 1
    members = list_members(columns, wanted_trees(flags))
    for tree in trees:
        sizes = sizes_of(columns, members, int(tree), NO_CLASS, _BLOCKS)
        while len(room.heap) and int(log.totals[1]) < end:
            piece = min(over_of(columns, int(tree)), room_of(columns, int(room.heap[0])))
            demand = largest_of(sizes, piece)
            if demand < 2 * trades.size or not send(columns, log, room, trades, sizes, demand, -1):
                break


@inner_kernel
def swap_closely(
    columns: Columns,
    log: Log,
    room: Room,
    trades: Trades,
    feeds: tuple[NDArray[np.int64], NDArray[np.int32]],
    tree: int,
    left: int,
) -> bool:
    """Swaps a feed of a tree for one of another tree that is smaller by what covers `left` closely; whether it could.

    Between homes and feeds there may be nobody of the right size; among the differences there is.
    """
    slots, go, come = len(columns.demand), -1, -1
    for asked in range(2):
        best, tried = left + trades.size + 1, 0
        for other in range(len(columns.tree_safe)):
            bears = room_of(columns, other) + (int(trades.can[other]) if asked else 0)
            if not columns.tree_alive[other] or bears < left or other == tree:
                continue
            one, two = swap_of(columns, feeds, tree, other, left, min(bears, best - 1))
            if one >= 0:
                best, go, come = int(columns.big_demand[one]) - int(columns.big_demand[two]), one, two
            tried += 1
            if best == left or tried == _TREES_TRIED:
                break
        if go >= 0:
            break
    if go < 0:
        return False
    other = int(columns.big_tree[come])
    move_one(columns, log, room, slots + come, tree)
    move_one(columns, log, room, slots + go, other)
    return True


@inner_kernel
def swap_any(columns: Columns, log: Log, room: Room, trades: Trades, sizes: Sizes, tree: int, left: int) -> bool:
    """As `swap_closely` with the tree that has most room, of slots too; whether it could."""
    other = int(room.heap[0])
    bears = room_of(columns, other)
    if bears < left or other == tree:
        return False
    flags = np.zeros(len(columns.tree_safe), np.uint8)
    flags[other] = 1
    others = sizes_of(columns, list_members(columns, wanted_trees(flags)), other, NO_CLASS, _BLOCKS)
    best, go, come = min(bears, left + trades.size) + 1, 0, 0
    first = smallest_of(sizes, left + 1)
    for _ in range(_PAIRS):
        partner = largest_of(others, first - left) if first else 0
        if partner == 0:
            break
        if first - partner < best:
            best, go, come = first - partner, first, partner
        if best == left:
            break
        first = smallest_of(sizes, first + 1)
    if go == 0:
        return False
    move_one(columns, log, room, number_of(smallest_from(others, come, come)), tree)
    move_one(columns, log, room, number_of(smallest_from(sizes, go, go)), other)
    return True


@inner_kernel
def trade(columns: Columns, log: Log, history: History, room: Room, first_entry: int, budget: int) -> None:
    """Relieves the trees that are over after a cut, where every tree may feed everybody.

    Args:
        columns: the state.
        log: what changed hands is added; the entries of the cut begin at `first_entry`.
        history: who starved how often: equals who starved less often go first.
        room: of all trees.
        first_entry: of the log.
        budget: about how many consumers may move.
    """
    trees = over_trees(columns)
    if len(trees) == 0:
        return
    if overload(columns) > len(trees) * _FEW * int(log.cut[1]):
        # Many have to leave each tree: then it is not the last one that counts.
        return
    trades = find_trades(columns, log, history, first_entry)
    if trades.size == 0:
        return
    end = int(log.totals[1]) + budget
    flags = np.zeros(len(columns.tree_safe), np.uint8)
    for tree in trees:
        flags[tree] = 1
    members = list_members(columns, wanted_trees(flags))
    feeds = sorted_feeds(columns)
    chain(columns, log, room, members, trades, trees, end)
    for tree in trees:
        cure_stiff(columns, log, room, members, trades, feeds, int(tree), end)
    for tree in trees:
        cure_closely(columns, log, room, members, trades, feeds, int(tree), end)
    fill_up(columns, log, room, trades, end)
    for tree in range(len(columns.tree_safe)):
        if columns.tree_alive[tree]:
            starve_equals(columns, log, room, trades, tree)
    for tree in range(len(columns.tree_safe)):
        if columns.tree_alive[tree]:
            feed_again(columns, log, room, trades, tree)
