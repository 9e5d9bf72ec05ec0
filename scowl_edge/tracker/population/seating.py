"""Seats: the table of identities, where there is room, and what is written when somebody sits down or gets up.

A table with open addressing finds the place of an identity in one or two looks and takes a newcomer at the same cost
whatever the size (a sorted list would have to be copied). Free slots are found through a list of blocks with room for
each zone and class. A newcomer follows the tree of its seat; in a spare block it is homeless until the next repair.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.assign import move_big
from scowl_edge.tracker.population.columns import Columns, Log
from scowl_edge.tracker.population.noise import Living
from scowl_edge.tracker.population.reports import Border, set_demand, set_feed

NOBODY = -1
"""A place that is none."""


class Newcomers(NamedTuple):
    """Consumers who want to join, or to be from now on as is said here; one row each."""

    identity: NDArray[np.int64]
    """[n, 2] 128 bits."""
    zone: NDArray[np.uint16]
    klass: NDArray[np.uint8]
    nominal: NDArray[np.int64]
    """[n] Mean demand in quanta, signed, not 0."""
    noise: NDArray[np.uint8]
    """[n] Standard deviation in 250ths of it."""
    kind: NDArray[np.uint8]
    sender: NDArray[np.uint32]
    """[n] Who brought the message, and one more; 0 = not known."""


class Roster(NamedTuple):
    """Identities by place, places by identity, and where there is room."""

    slot_identity: NDArray[np.int64]
    """[slots, 2]"""
    feed_identity: NDArray[np.int64]
    """[feeds, 2] At the first feed of each run."""
    slot_sender: NDArray[np.uint32]
    """[slots] `Newcomers.sender` of who sits there."""
    feed_sender: NDArray[np.uint32]
    """[feeds] At the first feed of each run."""
    feed_run: NDArray[np.int32]
    """[feeds] How many feeds the run has that begins here; 0 elsewhere."""
    table: NDArray[np.int32]
    """[power of two] Place, or NOBODY; at most two thirds full."""
    room_first: NDArray[np.int32]
    """[zones * CLASSES] First block that may have a free slot, or -1."""
    room_next: NDArray[np.int32]
    """[blocks]"""
    room_listed: NDArray[np.uint8]
    """[blocks] 1 = in the list of its zone and class."""
    limits: NDArray[np.int64]
    """[3] Mean demand above which one gets feeds; largest feed; most mean demand of a block: quanta."""
    totals: NDArray[np.int64]
    """[4] Number of the next newcomer; members; identities refused as taken; no feed before this is free."""


@kernel
def _home(roster: Roster, first: int, second: int) -> int:
    """Where the search for an identity begins."""
    mixed = first ^ second
    return (mixed ^ (mixed >> 29)) & (len(roster.table) - 1)


@kernel
def _position(roster: Roster, first: int, second: int) -> int:
    """Row of the table that holds an identity, or the empty one where it would be put."""
    mask = len(roster.table) - 1
    at = _home(roster, first, second)
    while True:
        place = int(roster.table[at]) + 0
        if place == -1:
            return at
        if place >= 0:
            if roster.slot_identity[place, 0] == first and roster.slot_identity[place, 1] == second:
                return at
        elif roster.feed_identity[-2 - place, 0] == first and roster.feed_identity[-2 - place, 1] == second:
            return at
        at = (at + 1) & mask


@kernel
def _forget(roster: Roster, at: int) -> None:
    """Empties a row of the table and moves up those behind it that would no longer be found."""
    mask = len(roster.table) - 1
    hole = at
    while True:
        at = (at + 1) & mask
        place = int(roster.table[at]) + 0
        if place == -1:
            break
        if place >= 0:
            home = _home(roster, roster.slot_identity[place, 0], roster.slot_identity[place, 1])
        else:
            home = _home(roster, roster.feed_identity[-2 - place, 0], roster.feed_identity[-2 - place, 1])
        if ((at - home) & mask) >= ((at - hole) & mask):
            roster.table[hole] = place
            hole = at
    roster.table[hole] = -1


@kernel
def enlist(columns: Columns, roster: Roster, block: int) -> None:
    """Puts a block that has a free slot in the list of its zone and class."""
    if roster.room_listed[block] == 0:
        key = int(columns.block_zone[block]) * 8 + int(columns.block_class[block])
        roster.room_next[block] = roster.room_first[key]
        roster.room_first[key] = block
        roster.room_listed[block] = 1


@kernel
def index(columns: Columns, living: Living, roster: Roster) -> int:
    """Fills the table and the lists; how many identities are there twice (the second is not indexed)."""
    twice = 0
    roster.table[:] = -1
    roster.room_first[:] = -1
    roster.room_listed[:] = 0
    # In rising order, so that the newest, spare blocks stand first in the lists.
    for block in range(len(columns.block_tree)):
        for slot in range(columns.block_start[block], columns.block_start[block + 1]):
            if living.nominal[slot] != 0:
                at = _position(roster, roster.slot_identity[slot, 0], roster.slot_identity[slot, 1])
                if roster.table[at] != -1:
                    twice += 1
                roster.table[at] = slot
        if columns.block_members[block] < columns.block_start[block + 1] - columns.block_start[block]:
            enlist(columns, roster, block)
    for feed in range(len(columns.big_owner)):
        if roster.feed_run[feed] > 0:
            at = _position(roster, roster.feed_identity[feed, 0], roster.feed_identity[feed, 1])
            if roster.table[at] != -1:
                twice += 1
            roster.table[at] = -2 - feed
    return twice


@kernel
def find(roster: Roster, identity: NDArray[np.int64], place: NDArray[np.int64]) -> None:
    """Writes the place of each identity, NOBODY where nobody has it."""
    for i in range(len(identity)):
        place[i] = roster.table[_position(roster, identity[i, 0], identity[i, 1])]


@kernel
def _free_slot(columns: Columns, living: Living, roster: Roster, zone: int, klass: int, size: int) -> int:
    """A free slot in a block of that zone and class which has the energy left, or NOBODY; it looks at 256 blocks."""
    key = zone * 8 + klass
    before, block = -1, int(roster.room_first[key]) + 0
    for _ in range(256):
        if block < 0:
            break
        begin, end = columns.block_start[block], columns.block_start[block + 1]
        following = int(roster.room_next[block]) + 0
        energy = 0
        for nominal in living.nominal[begin:end]:
            energy += abs(1 * int(nominal))
        full = columns.block_members[block] == end - begin
        if not full and (energy == 0 or energy + size <= roster.limits[2]):
            for slot in range(begin, end):
                if living.nominal[slot] == 0:
                    return slot
        if full or 2 * energy > roster.limits[2]:
            # Half full and yet no room for this one: unlisted until somebody leaves it, or such blocks would pile up at
            # the head of the list and hide those behind them.
            roster.room_listed[block] = 0
            if before < 0:
                roster.room_first[key] = following
            else:
                roster.room_next[before] = following
        else:
            before = block
        block = following
    return -1


@kernel
def _free_run(owner: NDArray[np.int32], totals: NDArray[np.int64], count: int) -> int:
    """First of so many free feeds side by side, as a place, or NOBODY."""
    while totals[3] < len(owner) and owner[totals[3]] != -1:
        totals[3] += 1
    run = 0
    for feed in range(totals[3], len(owner)):
        run = run + 1 if owner[feed] == -1 else 0
        if run == count:
            return -2 - (feed - count + 1)
    return -1


@kernel
def _count_variance(columns: Columns, living: Living, block: int) -> None:
    """Counts the variance of a block anew."""
    total = 0
    for slot in range(columns.block_start[block], columns.block_start[block + 1]):
        sigma = abs(int(living.nominal[slot]) * int(living.noise[slot])) // 250
        total += sigma * sigma
    columns.block_variance[block] = total


@kernel
def _seat(columns: Columns, living: Living, edge: Border, roster: Roster, new: Newcomers, i: int, place: int) -> None:
    """Gives a free place to a newcomer, with its nominal demand."""
    nominal = int(new.nominal[i])
    if place >= 0:
        roster.slot_identity[place, 0] = new.identity[i, 0]
        roster.slot_identity[place, 1] = new.identity[i, 1]
        roster.slot_sender[place] = new.sender[i]
        living.nominal[place], living.noise[place], living.kind[place] = nominal, new.noise[i], new.kind[i]
        living.deviation[place] = 0
        edge.nameplate[place] = min(4 * abs(nominal), 32_767)
        block = int(columns.row_block[place // 16]) + 0
        columns.block_members[block] += 1
        set_demand(columns, place, nominal)
        _count_variance(columns, living, block)
    else:
        first = -2 - place
        count = -(-abs(nominal) // roster.limits[1])
        roster.feed_identity[first, 0] = new.identity[i, 0]
        roster.feed_identity[first, 1] = new.identity[i, 1]
        roster.feed_sender[first] = new.sender[i]
        roster.feed_run[first] = count
        each, rest = nominal // count, nominal % count
        for part in range(count):
            feed = first + part
            share = each + 1 if part < rest else each
            columns.big_owner[feed] = roster.totals[0]
            columns.big_zone[feed], columns.big_class[feed] = new.zone[i], new.klass[i]
            sigma = abs(share * int(new.noise[i])) // 250
            columns.big_variance[feed] = sigma * sigma
            living.big_nominal[feed], living.big_noise[feed], living.big_kind[feed] = share, new.noise[i], new.kind[i]
            living.big_deviation[feed] = 0
            edge.big_nameplate[feed] = min(4 * abs(share), 2_147_483_647)
            set_feed(columns, feed, share)
        roster.totals[0] += 1
    roster.table[_position(roster, new.identity[i, 0], new.identity[i, 1])] = place
    roster.totals[1] += 1


@kernel
def _unseat(columns: Columns, living: Living, edge: Border, roster: Roster, log: Log, at: int) -> None:
    """Frees the place that a row of the table tells; sums stay exact."""
    place = int(roster.table[at]) + 0
    # Typed, not a literal: for a literal the callees would be compiled a second time.
    nothing = int(np.int64(0))
    _forget(roster, at)
    roster.totals[1] -= 1
    if place >= 0:
        set_demand(columns, place, nothing)
        living.nominal[place], living.noise[place], living.deviation[place] = 0, 0, 0
        edge.nameplate[place], edge.clamped[place] = 0, 0
        roster.slot_identity[place, 0], roster.slot_identity[place, 1] = 0, 0
        roster.slot_sender[place] = 0
        block = int(columns.row_block[place // 16]) + 0
        columns.block_members[block] -= 1
        _count_variance(columns, living, block)
        enlist(columns, roster, block)
        return
    first = -2 - place
    for feed in range(first, first + int(roster.feed_run[first])):
        set_feed(columns, feed, nothing)
        move_big(columns, log, feed, 65_535)
        columns.big_owner[feed], columns.big_variance[feed] = -1, 0
        living.big_nominal[feed], living.big_noise[feed], living.big_deviation[feed] = 0, 0, 0
        edge.big_nameplate[feed], edge.big_clamped[feed] = 0, 0
    roster.feed_identity[first, 0], roster.feed_identity[first, 1] = 0, 0
    roster.feed_sender[first] = 0
    roster.feed_run[first] = 0
    roster.totals[3] = min(roster.totals[3], first)


@kernel
def _is_again(columns: Columns, living: Living, roster: Roster, new: Newcomers, i: int, place: int) -> bool:
    """Whether the one who sits there says the same once more: by the same sender, with zone, class and demand alike."""
    if new.sender[i] == 0:
        return False
    if place >= 0:
        block = int(columns.row_block[place // 16]) + 0
        alike = columns.block_zone[block] == new.zone[i] and columns.block_class[block] == new.klass[i]
        return bool(alike and roster.slot_sender[place] == new.sender[i] and living.nominal[place] == new.nominal[i])
    first = -2 - place
    nominal = 0
    for feed in range(first, first + int(roster.feed_run[first])):
        nominal += int(living.big_nominal[feed])
    alike = columns.big_zone[first] == new.zone[i] and columns.big_class[first] == new.klass[i]
    return bool(alike and roster.feed_sender[first] == new.sender[i] and nominal == new.nominal[i])


@kernel
def _fits_here(columns: Columns, living: Living, roster: Roster, new: Newcomers, i: int, place: int) -> bool:
    """Whether a member can become what is said without giving up its slot."""
    if place < 0 or abs(new.nominal[i]) > roster.limits[0]:
        return False
    block = columns.row_block[place // 16]
    if columns.block_zone[block] != new.zone[i] or columns.block_class[block] != new.klass[i]:
        return False
    energy = abs(new.nominal[i]) - abs(1 * int(living.nominal[place]))
    if energy <= 0 or columns.block_members[block] == 1:
        return True
    for nominal in living.nominal[columns.block_start[block] : columns.block_start[int(block) + 1]]:
        energy += abs(1 * int(nominal))
    return bool(energy <= roster.limits[2])


@kernel
def enter(
    columns: Columns,
    living: Living,
    edge: Border,
    roster: Roster,
    new: Newcomers,
    change: bool,
    log: Log,
    outcome: NDArray[np.uint8],
    place: NDArray[np.int64],
) -> None:
    """Newcomers take places, in order; or members become what is said (`change`)."""
    for i in range(len(new.zone)):
        place[i] = -1
        size = abs(new.nominal[i])
        zone, klass = int(new.zone[i]) + 0, int(new.klass[i]) + 0
        if zone >= len(columns.zone_parent) or klass >= 8 or size == 0 or size > roster.limits[1] * 1_000:
            outcome[i] = 4
            continue
        at = _position(roster, new.identity[i, 0], new.identity[i, 1])
        before = int(roster.table[at]) + 0
        if before != -1 and not change:
            if _is_again(columns, living, roster, new, i, before):
                outcome[i], place[i] = 5, before
                continue
            outcome[i] = 1
            roster.totals[2] += 1
            continue
        if before == -1 and change:
            outcome[i] = 2
            continue
        if change and _fits_here(columns, living, roster, new, i, before):
            living.nominal[before], living.noise[before], living.kind[before] = (
                new.nominal[i],
                new.noise[i],
                new.kind[i],
            )
            limit = min(4 * size, 32_767)
            edge.nameplate[before] = limit
            set_demand(columns, before, min(limit, max(-limit, int(columns.demand[before]))))
            block = int(columns.row_block[before // 16]) + 0
            _count_variance(columns, living, block)
            if columns.block_members[block] < columns.block_start[block + 1] - columns.block_start[block]:
                enlist(columns, roster, block)
            outcome[i], place[i] = 0, before
            continue
        if size <= roster.limits[0]:
            found = _free_slot(columns, living, roster, zone, klass, size)
        else:
            found = _free_run(columns.big_owner, roster.totals, -(-size // roster.limits[1]))
        if found == -1:
            outcome[i] = 3
            continue
        if change:
            _unseat(columns, living, edge, roster, log, at)
        _seat(columns, living, edge, roster, new, i, found)
        outcome[i], place[i] = 0, found


@kernel
def leave(
    columns: Columns,
    living: Living,
    edge: Border,
    roster: Roster,
    identity: NDArray[np.int64],
    log: Log,
    outcome: NDArray[np.uint8],
) -> None:
    """Members give up their places."""
    for i in range(len(identity)):
        at = _position(roster, identity[i, 0], identity[i, 1])
        if roster.table[at] == -1:
            outcome[i] = 2
            continue
        _unseat(columns, living, edge, roster, log, at)
        outcome[i] = 0
