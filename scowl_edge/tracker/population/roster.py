"""Who is where: identities of 128 bits and places; joining, leaving, changing in place, room for more.

Inside, a consumer is a *place*: a slot, or its run of big feeds, written `-2 - first feed`. A table with open
addressing finds the place of an identity in one or two looks and takes a newcomer at the same cost whatever the size
(a sorted list would have to be copied). Free slots are found through a list of blocks with room for each zone and
class. A newcomer follows the tree of its seat; in a spare block it is homeless until the next repair.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population import noise, reports
from scowl_edge.tracker.population.assign import move_big
from scowl_edge.tracker.population.columns import (
    BLOCK_SLOTS,
    CLASSES,
    DEMAND_LIMIT,
    MIXED,
    NO_TREE,
    ROW,
    Columns,
    Layout,
    Log,
)
from scowl_edge.tracker.population.noise import NAMEPLATE, NOISE_ONE, Living
from scowl_edge.tracker.population.reports import Border, set_demand, set_feed

NOBODY = -1
"""A place that is none."""
_PPM = 1_000_000


class Outcome(IntEnum):
    """What became of one who came, changed or left."""

    DONE = 0
    TAKEN = 1
    """Refused: somebody has this identity."""
    UNKNOWN = 2
    """Nobody has this identity."""
    NO_ROOM = 3
    """No seat in its zone and class, or no run of feeds: grow, and try again."""
    REFUSED = 4
    """A zone or class that is not there, a demand of nothing or of more than a thousand feeds."""


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


class Roster(NamedTuple):
    """Identities by place, places by identity, and where there is room."""

    slot_identity: NDArray[np.int64]
    """[slots, 2]"""
    feed_identity: NDArray[np.int64]
    """[feeds, 2] At the first feed of each run."""
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
def _enlist(columns: Columns, roster: Roster, block: int) -> None:
    """Puts a block that has a free slot in the list of its zone and class."""
    if roster.room_listed[block] == 0:
        key = int(columns.block_zone[block]) * 8 + int(columns.block_class[block])
        roster.room_next[block] = roster.room_first[key]
        roster.room_first[key] = block
        roster.room_listed[block] = 1


@kernel
def _index(columns: Columns, living: Living, roster: Roster) -> int:
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
            _enlist(columns, roster, block)
    for feed in range(len(columns.big_owner)):
        if roster.feed_run[feed] > 0:
            at = _position(roster, roster.feed_identity[feed, 0], roster.feed_identity[feed, 1])
            if roster.table[at] != -1:
                twice += 1
            roster.table[at] = -2 - feed
    return twice


@kernel
def _find(roster: Roster, identity: NDArray[np.int64], place: NDArray[np.int64]) -> None:
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
        block = int(columns.row_block[place // 16]) + 0
        columns.block_members[block] -= 1
        _count_variance(columns, living, block)
        _enlist(columns, roster, block)
        return
    first = -2 - place
    for feed in range(first, first + int(roster.feed_run[first])):
        set_feed(columns, feed, nothing)
        move_big(columns, log, feed, 65_535)
        columns.big_owner[feed], columns.big_variance[feed] = -1, 0
        living.big_nominal[feed], living.big_noise[feed], living.big_deviation[feed] = 0, 0, 0
        edge.big_nameplate[feed], edge.big_clamped[feed] = 0, 0
    roster.feed_identity[first, 0], roster.feed_identity[first, 1] = 0, 0
    roster.feed_run[first] = 0
    roster.totals[3] = min(roster.totals[3], first)


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
def _enter(
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
                _enlist(columns, roster, block)
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
def _leave(
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


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """A population that people join and leave: columns, how they live, what they may report, who they are.

    Arrays change in place; only `grown` makes new ones, and a new `People`.
    """

    columns: Columns
    living: Living
    edge: Border
    roster: Roster

    def find(self, identity: NDArray[np.int64]) -> NDArray[np.int64]:
        """The place of each identity (int64[n, 2]), NOBODY where nobody has it."""
        place = np.empty(len(identity), np.int64)
        _find(self.roster, identity, place)
        return place

    def identity_at(self, place: int) -> tuple[int, int]:
        """The identity at a place."""
        row = self.roster.slot_identity[place] if place >= 0 else self.roster.feed_identity[-2 - place]
        return int(row[0]), int(row[1])

    def join(self, new: Newcomers) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """(outcome, place) of each newcomer, in order; first come, first served."""
        return self._enter(new, change=False)

    def change(self, new: Newcomers) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """(outcome, place) of each member who is from now on as said; who needs another place, takes one if there is.

        Where there is none (NO_ROOM), the member stays as it was.
        """
        return self._enter(new, change=True)

    def leave(self, identity: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Outcome for each identity (int64[n, 2])."""
        outcome = np.empty(len(identity), np.uint8)
        _leave(self.columns, self.living, self.edge, self.roster, identity, Log.empty(0), outcome)
        return outcome

    def room_wanted(self, new: Newcomers, outcome: NDArray[np.uint8]) -> tuple[NDArray[np.int64], int]:
        """(int64[blocks] keys zone * CLASSES + class, how many feeds) that would seat those who found no room."""
        out = outcome == Outcome.NO_ROOM
        size = np.abs(new.nominal[out])
        big, feed, energy = self.roster.limits.tolist()
        small = size <= big
        keys, which = np.unique(
            new.zone[out][small].astype(np.int64) * CLASSES + new.klass[out][small], return_inverse=True
        )
        heads, load = np.bincount(which, minlength=len(keys)), np.zeros(len(keys), np.int64)
        np.add.at(load, which, size[small])
        # One more than what energy alone asks for: the last one does not fill a block to the brim.
        blocks = np.maximum(-(-heads // BLOCK_SLOTS), np.minimum(heads, load // energy * 2 + 1))
        return np.repeat(keys, blocks), int((-(-size[~small] // feed)).sum())

    def grown(self, keys: NDArray[np.int64], feeds: int, now_s: int) -> People:
        """The same people with spare blocks (a key zone * CLASSES + class each) and spare feeds.

        It copies the columns (a tenth of a second at ten millions), so it is no work for a step: give room to many at
        a time, beforehand. What was made of the old arrays (`reports.Inlet`) is to be made anew.
        """
        columns = grow_feeds(grow_blocks(self.columns, keys), feeds)
        slots, all_feeds = len(columns.demand), len(columns.big_demand)
        living = noise.grown(self.living, slots, all_feeds)
        edge = reports.grown(self.edge, columns, now_s)
        old = self.roster
        wider = _unindexed(columns, old.limits, old.totals)
        wider.slot_identity[: len(old.slot_identity)] = old.slot_identity
        wider.feed_identity[: len(old.feed_identity)] = old.feed_identity
        wider.feed_run[: len(old.feed_run)] = old.feed_run
        if len(wider.table) == len(old.table):
            wider.table[:] = old.table
            wider.room_first[:] = old.room_first
            wider.room_next[: len(old.room_next)] = old.room_next
            wider.room_listed[: len(old.room_listed)] = old.room_listed
            for block in range(len(old.room_next), len(columns.block_tree)):
                _enlist(columns, wider, block)
        else:
            _index(columns, living, wider)
        return People(columns, living, edge, wider)

    def _enter(self, new: Newcomers, *, change: bool) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        outcome, place = np.empty(len(new.zone), np.uint8), np.empty(len(new.zone), np.int64)
        _enter(self.columns, self.living, self.edge, self.roster, new, change, Log.empty(0), outcome, place)
        return outcome, place


def enrol(
    columns: Columns,
    living: Living,
    edge: Border,
    layout: Layout,
    identity: NDArray[np.int64],
    *,
    big: int = 0,
    feed: int = 0,
    block_energy: int = 0,
) -> People:
    """A population that was laid out just now, under its identities.

    Args:
        columns: as laid out.
        living: as populated.
        edge: as made of it.
        layout: who is where.
        identity: int64[consumers, 2].
        big: mean demand in quanta above which a newcomer gets feeds; 0 = the largest that was given a slot.
        feed: largest feed of a newcomer in quanta; 0 = the largest there is.
        block_energy: most mean demand of a block in quanta; 0 = the largest there is.

    Raises:
        ValueError: an identity is there twice.
    """
    big = big or max(1, int(np.abs(living.nominal.astype(np.int64)).max(initial=0)))
    feed = feed or max(big, int(np.abs(living.big_nominal.astype(np.int64)).max(initial=0)))
    if not block_energy and len(columns.block_tree):
        energy = np.add.reduceat(np.abs(living.nominal.astype(np.int64)), columns.block_start[:-1])
        block_energy = int(energy.max())
    limits = np.asarray([min(big, DEMAND_LIMIT // NAMEPLATE), feed, max(big, block_energy)], np.int64)
    roster = _unindexed(columns, limits, np.asarray([len(identity), len(identity), 0, 0], np.int64))
    small = layout.slot >= 0
    roster.slot_identity[layout.slot[small]] = identity[small]
    roster.feed_identity[layout.feed[~small]] = identity[~small]
    roster.feed_run[layout.feed[~small]] = layout.feeds[~small]
    twice = _index(columns, living, roster)
    if twice:
        raise ValueError(f"{twice} of {len(identity)} identities are there twice: each consumer needs its own")
    return People(columns, living, edge, roster)


def grow_blocks(columns: Columns, keys: NDArray[np.int64]) -> Columns:
    """Columns with a spare, homeless block of 256 free slots for each key zone * CLASSES + class."""
    count, slots, blocks = len(keys), len(columns.demand), len(columns.block_tree)
    if not count:
        return columns
    # Where no block is mixed, trees of slots were never written: they stay untouched memory.
    tree = np.empty(slots + count * BLOCK_SLOTS, np.uint16)
    for block in np.flatnonzero(columns.block_tree == MIXED).tolist():
        part = slice(int(columns.block_start[block]), int(columns.block_start[block + 1]))
        tree[part] = columns.tree[part]
    spare = np.zeros(count, np.int64)
    return columns._replace(
        demand=np.append(columns.demand, np.zeros(count * BLOCK_SLOTS, np.int16)),
        tree=tree,
        row_block=np.append(
            columns.row_block, np.repeat(np.arange(blocks, blocks + count, dtype=np.int32), BLOCK_SLOTS // ROW)
        ),
        block_start=np.append(columns.block_start, slots + BLOCK_SLOTS * np.arange(1, count + 1)),
        block_members=np.append(columns.block_members, spare.astype(np.int32)),
        block_tree=np.append(columns.block_tree, np.full(count, NO_TREE, np.uint16)),
        block_zone=np.append(columns.block_zone, (keys // CLASSES).astype(np.uint16)),
        block_class=np.append(columns.block_class, (keys % CLASSES).astype(np.uint8)),
        block_sum=np.append(columns.block_sum, spare),
        block_served=np.append(columns.block_served, spare),
        block_variance=np.append(columns.block_variance, spare),
    )


def grow_feeds(columns: Columns, count: int) -> Columns:
    """Columns with so many spare feeds, which nobody owns."""
    if not count:
        return columns
    return columns._replace(
        big_demand=np.append(columns.big_demand, np.zeros(count, np.int32)),
        big_tree=np.append(columns.big_tree, np.full(count, NO_TREE, np.uint16)),
        big_zone=np.append(columns.big_zone, np.zeros(count, np.uint16)),
        big_class=np.append(columns.big_class, np.full(count, CLASSES - 1, np.uint8)),
        big_owner=np.append(columns.big_owner, np.full(count, -1, np.int32)),
        big_variance=np.append(columns.big_variance, np.zeros(count, np.int64)),
    )


def newcomers(
    identity: NDArray[np.int64],
    zone: NDArray[np.integer],
    klass: NDArray[np.integer],
    nominal: NDArray[np.integer],
    noise_ppm: NDArray[np.integer],
    kind: NDArray[np.integer],
) -> Newcomers:
    """Rows as `People.join` takes them; what does not fit a type becomes what is refused."""
    end = 1 << 41
    share = (np.clip(noise_ppm, 0, 2 * _PPM).astype(np.int64) * NOISE_ONE + _PPM // 2) // _PPM
    return Newcomers(
        np.ascontiguousarray(identity, np.int64),
        np.where((zone < 0) | (zone > 65_535), 65_535, zone).astype(np.uint16),
        np.where((klass < 0) | (klass >= CLASSES), CLASSES, klass).astype(np.uint8),
        np.clip(nominal, -end, end).astype(np.int64),
        np.minimum(share, 255).astype(np.uint8),
        np.asarray(kind, np.uint8),
    )


def _unindexed(columns: Columns, limits: NDArray[np.int64], totals: NDArray[np.int64]) -> Roster:
    """A roster of nobody, with a table of at least one and a half rows a place."""
    slots, feeds, blocks = len(columns.demand), len(columns.big_demand), len(columns.block_tree)
    rows = 1 << max(4, ((slots + feeds) * 3 // 2).bit_length())
    return Roster(
        np.zeros((slots, 2), np.int64),
        np.zeros((feeds, 2), np.int64),
        np.zeros(feeds, np.int32),
        np.full(rows, NOBODY, np.int32),
        np.full(len(columns.zone_parent) * CLASSES, -1, np.int32),
        np.full(blocks, -1, np.int32),
        np.zeros(blocks, np.uint8),
        limits,
        totals,
    )
