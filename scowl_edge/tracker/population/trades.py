"""After a cut nothing is left over: room and overload are of one size. Here they are brought together by few moves.

Each tree that is over lets one or two members go that cover it closely. What is missing or left over by then is settled
among those who starve: a tree that is still over starves the next ones of about the size where the cut ran, and a tree
with room gets back some whom the cut has just taken from it. Neither of them changes hands by that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import inner_kernel
from scowl_edge.tracker.population.columns import BIG, BLOCK, DEMAND_LIMIT, MIXED, NO_TREE, ROW, Columns, Log
from scowl_edge.tracker.population.history import History
from scowl_edge.tracker.population.members import (
    Members,
    block_of,
    demand_of,
    key_of,
    list_members,
    listed,
    number_of,
    tree_of_slot,
    wanted_trees,
    zone_of,
)
from scowl_edge.tracker.population.overload import MANY, leave_blocks, over_of, over_trees, overload
from scowl_edge.tracker.population.refeed import zones_bear
from scowl_edge.tracker.population.rehome import move_one
from scowl_edge.tracker.population.room import Room, room_of, tightest
from scowl_edge.tracker.population.sizes import NO_CLASS, NOBODY, Sizes, last_pile, next_pile, sizes_of, smallest_from
from scowl_edge.tracker.population.threshold import equals

_FEW = 2_048
"""The mean overload for which this is done, in sizes of who would starve for it."""
_EQUAL = 16
"""Those whose demand is within one part in so many of the threshold may take each other's place."""
_CLOSE = 256
"""Those that are closer than one part in so many do, if they are many."""
_EACH = 64
"""How many of them are listed at most, for each tree."""
_MOST = 16
"""How many of a tree may starve for others at most."""
_PIECES = 8
"""How many pieces of room are tried for one that is just filled."""
_FIRSTS = 128
"""How many are tried who are too large for a tree, for one that fits another tree's need."""
_DEAR = 4
"""So many moves are worth a look at all members of another tree."""
_PATIENCE = 8
"""For each move that is saved, up to so many, one more may starve."""
_TREES_TRIED = 12
"""How many trees are looked at for two feeds to swap."""
_PAIRS = 24
"""How many firsts are tried for a pair that covers an overload."""
_BLOCKS = 64
"""How many blocks of a tree are looked at for members that may leave."""
_SLOT_BITS, _SIZE_BITS = 31, 15


class Trades(NamedTuple):
    """Who may starve instead, and who may be fed again, of each tree t at `first[t]` .. `first[t + 1] - 1`."""

    size: int
    """Where the cut ran, quanta; 0: there was none."""
    first_up: NDArray[np.int64]
    up: NDArray[np.int32]
    """Served slots up to that size, the largest first."""
    can: NDArray[np.int64]
    """[trees] Demand of those who may starve for others."""
    first_down: NDArray[np.int64]
    down: NDArray[np.int32]
    """Slots that the cut has taken, the largest first; grouped by the tree that had them."""


@inner_kernel
def grouped_slots(columns: Columns, slots: NDArray[np.int64], of: NDArray[np.int64]) -> tuple[
    NDArray[np.int64], NDArray[np.int32]
]:  # fmt: skip
    """Slots by tree (`of`, -1 = none), the largest first."""
    trees = len(columns.tree_safe)
    first = np.zeros(trees + 1, np.int64)
    keys, demand = np.empty(len(slots), np.int64), columns.demand
    count = 0
    for at in range(len(slots)):
        tree, slot = int(of[at]), int(slots[at])
        if tree >= 0:
            size = DEMAND_LIMIT - int(demand[slot])
            keys[count] = (tree << (_SLOT_BITS + _SIZE_BITS)) | (size << _SLOT_BITS) | slot
            first[tree + 1] += 1
            count += 1
    for tree in range(trees):
        first[tree + 1] += first[tree]
    keys = keys[:count]
    keys.sort()
    found = np.empty(count, np.int32)
    for at in range(count):
        found[at] = int(keys[at]) & ((1 << _SLOT_BITS) - 1)
    return first, found


@inner_kernel
def just_cut(columns: Columns, log: Log, first_entry: int, low: int, high: int) -> tuple[
    NDArray[np.int64], NDArray[np.int64]
]:  # fmt: skip
    """(slots, the tree that each was in) of whom the log tells that they were starved, of a demand in a range."""
    # A call with all columns costs more than looking at a slot.
    demand, tree, row_block, block_start = columns.demand, columns.tree, columns.row_block, columns.block_start
    block_tree, trees = columns.block_tree, len(columns.tree_safe)
    slots, of = np.empty(1024, np.int64), np.empty(1024, np.int64)
    count = 0
    for entry in range(first_entry, min(int(log.totals[0]), len(log.kind))):
        kind, before = int(log.kind[entry]), int(log.before[entry])
        if kind == BIG or int(log.after[entry]) != NO_TREE or before >= trees:
            continue
        start, end = 0 + int(log.number[entry]), 1 + int(log.number[entry])
        block = start
        if kind == BLOCK:
            start, end = 0 + int(block_start[block]), 0 + int(block_start[block + 1])
        else:
            block = 0 + int(row_block[start // ROW])
        found = 0
        for each in demand[start:end]:
            found += low <= each <= high
        if found == 0:
            continue
        mixed, plain = int(block_tree[block]) == MIXED, int(block_tree[block]) == NO_TREE
        for slot in range(start, end):
            if low <= int(demand[slot]) <= high and (plain or (mixed and int(tree[slot]) == NO_TREE)):
                if count == len(slots):
                    slots, of = np.concatenate((slots, slots)), np.concatenate((of, of))
                slots[count], of[count] = slot, before
                count += 1
    return slots[:count], of[:count]


@inner_kernel
def find_trades(columns: Columns, log: Log, history: History, first_entry: int) -> Trades:
    """Who may change places after the cut whose entries begin at `first_entry`: equals who starved as often."""
    klass, size = int(log.cut[0]), int(log.cut[1])
    trees = len(columns.tree_safe)
    nobody = np.zeros(0, np.int64)
    if size <= 0 or size > DEMAND_LIMIT or int(log.totals[0]) > len(log.kind):
        first, none = grouped_slots(columns, nobody, nobody)
        return Trades(0, first, none, np.zeros(trees, np.int64), first, none)
    width = size // _EQUAL
    slots, of = just_cut(columns, log, first_entry, max(1, size - size // _CLOSE), size + size // _CLOSE)
    if len(slots) < _MOST * trees:
        slots, of = just_cut(columns, log, first_entry, max(1, size - width), size + width)
    often = 0
    for slot in slots:
        often = max(often, int(history.slot_times[slot]))
    row_block, block_class = columns.row_block, columns.block_class
    for at in range(len(slots)):
        slot = int(slots[at])
        if int(history.slot_times[slot]) != often or int(block_class[row_block[slot // ROW]]) != klass:
            of[at] = -1
    first_down, down = grouped_slots(columns, slots, of)
    blocks = np.empty(len(columns.block_tree), np.int32)
    count = 0
    for block in range(len(blocks)):
        if int(columns.block_class[block]) == klass and int(columns.block_tree[block]) != NO_TREE:
            blocks[count] = block
            count += 1
    no_feeds = np.empty(0, np.int32)
    wanted = _EACH * trees
    served, block_of_each = equals(columns, blocks[:count], no_feeds, max(1, size - size // _CLOSE), size, wanted)
    if 2 * len(served) < wanted:
        served, block_of_each = equals(columns, blocks[:count], no_feeds, max(1, size - width), size, wanted)
    of = np.empty(len(served), np.int64)
    block_tree, tree_of, times = columns.block_tree, columns.tree, history.slot_times
    for at in range(len(served)):
        slot, tree = int(served[at]), int(block_tree[block_of_each[at]])
        if tree == MIXED:
            tree = 0 + int(tree_of[slot])
        of[at] = tree if tree < trees and int(times[slot]) <= often else -1
    first_up, up = grouped_slots(columns, served, of)
    can = np.zeros(trees, np.int64)
    for tree in range(trees):
        start = int(first_up[tree])
        for at in range(start, min(int(first_up[tree + 1]), start + _MOST)):
            can[tree] += int(columns.demand[up[at]])
    return Trades(size, first_up, up, can, first_down, down)


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
def starve_equals(columns: Columns, log: Log, room: Room, trades: Trades, tree: int) -> None:
    """Starves slots of a tree that are about as large as the threshold, until it is not over."""
    low, high = int(trades.first_up[tree]), int(trades.first_up[tree + 1])
    while low < high and over_of(columns, tree) > 0:
        over, at = over_of(columns, tree), low
        if int(columns.demand[trades.up[low]]) > over:
            # The last one: the smallest that still covers.
            at = high - 1
            while at > low and int(columns.demand[trades.up[at]]) < over:
                at -= 1
        slot = int(trades.up[at])
        trades.up[at] = trades.up[low]
        low += 1
        # It may have moved to another tree meanwhile.
        if tree_of_slot(columns, block_of(columns, slot), slot) == tree:
            move_one(columns, log, room, slot, NO_TREE)


@inner_kernel
def feed_again(columns: Columns, log: Log, room: Room, trades: Trades, tree: int) -> None:
    """Gives a tree with room back whom the cut has taken from it: as if they had never been cut."""
    for at in range(int(trades.first_down[tree]), int(trades.first_down[tree + 1])):
        slot = int(trades.down[at])
        demand, block = int(columns.demand[slot]), block_of(columns, slot)
        if (
            demand <= room_of(columns, tree)
            and tree_of_slot(columns, block, slot) == NO_TREE
            and zones_bear(columns, 0 + int(columns.block_zone[block]), 0 + demand, 0)
        ):
            move_one(columns, log, room, slot, tree)
            log.totals[2] -= 1
            log.totals[3] -= 1


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
