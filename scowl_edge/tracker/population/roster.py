"""Who is where: identities of 128 bits and places; joining, leaving, changing in place, room for more.

Inside, a consumer is a *place*: a slot, or its run of big feeds, written `-2 - first feed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population import noise, reports, seating
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
from scowl_edge.tracker.population.reports import Border
from scowl_edge.tracker.population.seating import NOBODY, Newcomers, Roster

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
    AGAIN = 5
    """It has its seat already, and its sender has said the same before: the answer may have been lost."""
    LEFT = 6
    NOT_YOURS = 7
    """Refused: another sender brought it."""


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
        seating.find(self.roster, identity, place)
        return place

    def brought_by(self, place: NDArray[np.int64], sender: int) -> NDArray[np.bool_]:
        """bool[n] Whether this sender (as in `Newcomers`) may speak for who is at each place; False for NOBODY.

        Those who were there from the start came with nobody: anybody may, until somebody has.
        """
        key = np.zeros(len(place), np.int64)
        slots, feeds = place >= 0, place < NOBODY
        key[slots] = self.roster.slot_sender[place[slots]]
        key[feeds] = self.roster.feed_sender[-2 - place[feeds]]
        return np.asarray((place != NOBODY) & ((key == 0) | (key == sender)), np.bool_)

    def bind(self, place: NDArray[np.int64], sender: int) -> None:
        """From now on this sender speaks for who is at these places."""
        self.roster.slot_sender[place[place >= 0]] = sender
        self.roster.feed_sender[-2 - place[place < NOBODY]] = sender

    def identity_at(self, place: int) -> tuple[int, int]:
        """The identity at a place."""
        row = self.roster.slot_identity[place] if place >= 0 else self.roster.feed_identity[-2 - place]
        return int(row[0]), int(row[1])

    def first_feed(self, feed: int) -> int:
        """The feed that the run of a feed begins with."""
        while feed > 0 and not self.roster.feed_run[feed]:
            feed -= 1
        return feed

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
        seating.leave(self.columns, self.living, self.edge, self.roster, identity, Log.empty(0), outcome)
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
        wider.slot_sender[: len(old.slot_sender)] = old.slot_sender
        wider.feed_sender[: len(old.feed_sender)] = old.feed_sender
        if len(wider.table) == len(old.table):
            wider.table[:] = old.table
            wider.room_first[:] = old.room_first
            wider.room_next[: len(old.room_next)] = old.room_next
            wider.room_listed[: len(old.room_listed)] = old.room_listed
            for block in range(len(old.room_next), len(columns.block_tree)):
                seating.enlist(columns, wider, block)
        else:
            seating.index(columns, living, wider)
        return People(columns, living, edge, wider)

    def _enter(self, new: Newcomers, *, change: bool) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        outcome, place = np.empty(len(new.zone), np.uint8), np.empty(len(new.zone), np.int64)
        seating.enter(self.columns, self.living, self.edge, self.roster, new, change, Log.empty(0), outcome, place)
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
    twice = seating.index(columns, living, roster)
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
    sender: int = -1,
) -> Newcomers:
    """Rows as `People.join` takes them; what does not fit a type becomes what is refused.

    `sender` is who brought them; what is beyond 32 bits, and their highest number, is nobody who could ask again.
    """
    end = 1 << 41
    share = (np.clip(noise_ppm, 0, 2 * _PPM).astype(np.int64) * NOISE_ONE + _PPM // 2) // _PPM
    return Newcomers(
        np.ascontiguousarray(identity, np.int64),
        np.where((zone < 0) | (zone > 65_535), 65_535, zone).astype(np.uint16),
        np.where((klass < 0) | (klass >= CLASSES), CLASSES, klass).astype(np.uint8),
        np.clip(nominal, -end, end).astype(np.int64),
        np.minimum(share, 255).astype(np.uint8),
        np.asarray(kind, np.uint8),
        np.full(len(zone), sender_key(sender), np.uint32),
    )


def sender_key(sender: int) -> int:
    """A sender as `Newcomers` and the roster hold it: one more than its number; 0 = not known."""
    return sender + 1 if 0 <= sender < 0xFFFF_FFFF else 0


def _unindexed(columns: Columns, limits: NDArray[np.int64], totals: NDArray[np.int64]) -> Roster:
    """A roster of nobody, with a table of at least one and a half rows a place."""
    slots, feeds, blocks = len(columns.demand), len(columns.big_demand), len(columns.block_tree)
    rows = 1 << max(4, ((slots + feeds) * 3 // 2).bit_length())
    return Roster(
        np.zeros((slots, 2), np.int64),
        np.zeros((feeds, 2), np.int64),
        np.zeros(slots, np.uint32),
        np.zeros(feeds, np.uint32),
        np.zeros(feeds, np.int32),
        np.full(rows, NOBODY, np.int32),
        np.full(len(columns.zone_parent) * CLASSES, -1, np.int32),
        np.full(blocks, -1, np.int32),
        np.zeros(blocks, np.uint8),
        limits,
        totals,
    )
