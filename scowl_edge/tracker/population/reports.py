"""What real consumers report: batches of readings, single ones, how old they are, and who sends them.

A *place* is a number of 32 bits: a slot, or a big feed with the highest bit set. A reading is a place and a demand in
quanta. It is held to the nameplate of its place (and counted), refused where nobody is, and every running sum stays
exact. A block is one group behind one sender that reports changes, so age is kept by block: whoever reports for any
member vouches for the silence of the others, and an empty batch is a sign of life.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.assign import add_to_zones
from scowl_edge.tracker.population.columns import MIXED, NO_TREE, ROW, Columns

FEED = 1 << 31
"""Set in the number of a place that is a big feed."""
MAGIC = 0x5243_4C57
"""Begins a batch on the wire: the letters WLCR."""
HEADER = np.dtype([("magic", "<u4"), ("sender", "<u4"), ("sequence", "<u8"), ("count", "<u4"), ("reserved", "<u4")])
"""Of a batch on the wire, 24 bytes; `count` records follow."""
RECORD = np.dtype([("place", "<u4"), ("value", "<i4")])
"""One reading on the wire: place, demand in quanta (+ consumption)."""
MOST_CLAMPS = 255


class Border(NamedTuple):
    """What each place is allowed and when it was heard of last."""

    nameplate: NDArray[np.int16]
    """[slots] Largest magnitude, quanta; 0 = nobody is here."""
    big_nameplate: NDArray[np.int32]
    clamped: NDArray[np.uint8]
    """[slots] How often the reading was above the nameplate; stays at 255."""
    big_clamped: NDArray[np.uint8]
    received_s: NDArray[np.uint32]
    """[blocks] When the group was heard of last, in seconds of the caller's monotonic clock."""
    big_received_s: NDArray[np.uint32]
    totals: NDArray[np.int64]
    """[3] Readings taken over; of these, clamped to the nameplate; readings refused."""


class Tally(NamedTuple):
    """What became of a batch."""

    taken: int
    clamped: int
    refused: int
    """For a place that nobody has."""


def border(columns: Columns, nameplate: NDArray[np.int16], big_nameplate: NDArray[np.int32], now_s: int) -> Border:
    """A border at which everybody counts as heard of now. Nameplates as in `noise.nameplates`."""
    slots, feeds = len(columns.demand), len(columns.big_demand)
    return Border(
        nameplate,
        big_nameplate,
        np.zeros(slots, np.uint8),
        np.zeros(feeds, np.uint8),
        np.full(len(columns.block_tree), now_s, np.uint32),
        np.full(feeds, now_s, np.uint32),
        np.zeros(3, np.int64),
    )


def grown(before: Border, columns: Columns, now_s: int) -> Border:
    """The same after the columns have grown; nobody is in the new places yet."""
    slots, feeds = len(columns.demand), len(columns.big_demand)
    after = border(columns, np.zeros(slots, np.int16), np.zeros(feeds, np.int32), now_s)
    for name in Border._fields:
        old = getattr(before, name)
        getattr(after, name)[: len(old)] = old
    return after


@kernel
def _add(columns: Columns, slot: int, block: int, change: int) -> None:
    """Adds to all sums what the demand of a slot has changed by."""
    columns.block_sum[block] += change
    tree = int(columns.block_tree[block])
    if tree == MIXED:
        tree = int(columns.tree[slot])
    if tree != NO_TREE:
        columns.block_served[block] += change
        columns.tree_load[tree] += change
        add_to_zones(columns, int(columns.block_zone[block]), change)


@kernel
def set_demand(columns: Columns, slot: int, value: int) -> None:
    """Gives a slot a demand in quanta; all sums stay exact, no assignment changes."""
    change = value - int(columns.demand[slot])
    columns.demand[slot] = value
    _add(columns, slot, int(columns.row_block[slot // 16]) + 0, change)


@kernel
def set_feed(columns: Columns, feed: int, value: int) -> None:
    """Gives a big feed a demand in quanta; all sums stay exact, no assignment changes."""
    change = value - int(columns.big_demand[feed])
    columns.big_demand[feed] = value
    tree = int(columns.big_tree[feed])
    if tree != NO_TREE:
        columns.tree_load[tree] += change
        add_to_zones(columns, int(columns.big_zone[feed]), change)


@kernel
def _apply_feed(columns: Columns, edge: Border, feed: int, value: int, now_s: int) -> bool:
    """Takes over a reading of a big feed; False if nobody has it."""
    limit = int(edge.big_nameplate[feed]) + 0 if feed < len(edge.big_nameplate) else 0
    if limit == 0:
        return False
    if value > limit or value < -limit:
        edge.totals[1] += 1
        if edge.big_clamped[feed] < 255:
            edge.big_clamped[feed] += 1
    set_feed(columns, feed, min(limit, max(-limit, value)))
    edge.big_received_s[feed] = now_s
    return True


@kernel
def _apply(columns: Columns, edge: Border, pairs: NDArray[np.uint32], now_s: int) -> None:
    """Takes over readings in order; the last one for a place stands.

    By 256 at a time, and first only what is far apart in memory: without branches in between, the processor waits for
    many places at once.
    """
    slots, count = len(edge.nameplate), len(pairs)
    limits, changes = np.empty(256, np.int64), np.empty(256, np.int64)
    taken = 0
    for begin in range(0, count, 256):
        end = min(begin + 256, count)
        for i in range(begin, end):
            place = int(pairs[i, 0]) + 0
            limits[i - begin] = edge.nameplate[place] if place < slots else 0
        for i in range(begin, end):
            place, limit = int(pairs[i, 0]) + 0, limits[i - begin]
            value = (int(pairs[i, 1]) ^ 0x80000000) - 0x80000000
            if limit == 0:
                if place >= 0x80000000 and _apply_feed(columns, edge, place - 0x80000000, value, now_s):
                    taken += 1
                continue
            held = min(limit, max(-limit, value))
            changes[i - begin] = held - int(columns.demand[place])
            columns.demand[place] = held
            if held != value:
                edge.totals[1] += 1
                if edge.clamped[place] < 255:
                    edge.clamped[place] += 1
        for i in range(begin, end):
            if limits[i - begin] != 0:
                place = int(pairs[i, 0]) + 0
                block = int(columns.row_block[place // 16]) + 0
                edge.received_s[block] = now_s
                _add(columns, place, block, changes[i - begin])
                taken += 1
    edge.totals[0] += taken
    edge.totals[2] += count - taken


def apply(columns: Columns, edge: Border, pairs: NDArray[np.uint32], now_s: int) -> Tally:
    """Takes over a batch.

    Args:
        columns: changed in place.
        edge: counts and times are changed in place.
        pairs: uint32[readings, 2] as from `receive` or `as_pairs`, in any order.
        now_s: on the caller's monotonic clock.
    """
    before = edge.totals.tolist()
    _apply(columns, edge, pairs, now_s)
    taken, clamped, refused = edge.totals.tolist()
    return Tally(taken - before[0], clamped - before[1], refused - before[2])


def most_often(counts: NDArray[np.integer], most: int) -> list[tuple[int, int]]:
    """(number, count) of those with the highest counts above 0, the highest first, of equals the lowest number."""
    there = np.flatnonzero(counts)
    worst = there[np.argsort(-counts[there].astype(np.int64), kind="stable")[:most]]
    return [(at, int(counts[at])) for at in worst.tolist()]


def as_pairs(places: NDArray[np.integer], values: NDArray[np.integer]) -> tuple[NDArray[np.uint32], int]:
    """(readings as `apply` takes them, how many were left out since they do not fit in 32 bits)."""
    narrow = places.astype(np.uint32), values.astype(np.int32)
    if all((a == b).all() for a, b in zip(narrow, (places, values), strict=True)):
        # Nearly always all of them fit.
        return np.stack([narrow[0], narrow[1].view(np.uint32)], axis=1), 0
    fits = (places >= 0) & (places < 1 << 32) & (values >= -(1 << 31)) & (values < 1 << 31)
    good = int(np.count_nonzero(fits))
    pairs = np.empty((good, 2), np.uint32)
    pairs[:, 0] = places[fits]
    pairs[:, 1] = values[fits].astype(np.int32).view(np.uint32)
    return pairs, len(places) - good


class Inlet:
    """Single readings, without the cost of calling a compiled kernel: the same law, element by element.

    It sees the arrays that it was made of; make a new one after the columns have grown.
    """

    def __init__(self, columns: Columns, edge: Border) -> None:
        self._demand = columns.demand.data
        self._row_block = columns.row_block.data
        self._block_sum = columns.block_sum.data
        self._block_served = columns.block_served.data
        self._block_tree = columns.block_tree.data
        self._block_zone = columns.block_zone.data
        self._tree = columns.tree.data
        self._tree_load = columns.tree_load.data
        self._zone_load = columns.zone_load.data
        self._zone_parent = columns.zone_parent.data
        self._nameplate = edge.nameplate.data
        self._received_s = edge.received_s.data
        self._columns, self._edge = columns, edge
        self._slots = len(columns.demand)

    def apply_one(self, place: int, value: int, now_s: int) -> bool:
        """Takes over one reading; False if it was refused. Numbers of any size may be given."""
        if not 0 <= place < self._slots or not -(1 << 31) <= value < 1 << 31:
            return self._rare(place, value, now_s)
        limit = self._nameplate[place]
        if not -limit <= value <= limit or not limit:
            return self._rare(place, value, now_s)
        block = self._row_block[place // ROW]
        self._received_s[block] = now_s
        self._edge.totals[0] += 1
        change = value - self._demand[place]
        if not change:
            return True
        self._demand[place] = value
        self._block_sum[block] += change
        tree = self._block_tree[block]
        if tree == MIXED:
            tree = self._tree[place]
        if tree != NO_TREE:
            self._block_served[block] += change
            self._tree_load[tree] += change
            zone = self._block_zone[block]
            while zone >= 0:
                self._zone_load[zone] += change
                zone = self._zone_parent[zone]
        return True

    def _rare(self, place: int, value: int, now_s: int) -> bool:
        """A big feed, a reading above the nameplate, or one that is refused."""
        pairs, unfit = as_pairs(*_objects(place, value))
        if unfit:
            self._edge.totals[2] += 1
            return False
        return apply(self._columns, self._edge, pairs, now_s).taken == 1


def _objects(place: int, value: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both as arrays of one; what does not fit in 64 bits becomes what does not fit in 32."""
    end = 1 << 40
    return np.asarray([min(end, max(-1, place))]), np.asarray([min(end, max(-end, value))])


@kernel
def stale_load(
    columns: Columns,
    edge: Border,
    nominal: NDArray[np.int16],
    big_nominal: NDArray[np.int32],
    now_s: int,
    hold_s: int,
    extra: NDArray[np.int64],
) -> int:
    """What trees may carry beyond what they are known to: silent ones at their worst for the decision to add load.

    Those who were not heard of for longer than `hold_s` count their last demand in every sum, and besides it, in
    `extra`, what is missing up to their nominal demand; a producer may have stopped altogether. It takes room for new
    load; it starves nobody.

    Args:
        columns: read only.
        edge: read only.
        nominal: int16[slots] quanta.
        big_nominal: int32[feeds] quanta.
        now_s: on the clock of the readings.
        hold_s: how long a last reading is believed.
        extra: int64[trees], written.

    Returns:
        How many consumers (slots and feeds) are that silent.
    """
    extra[:] = 0
    silent = 0
    for block in range(len(edge.received_s)):
        if now_s - int(edge.received_s[block]) <= hold_s or columns.block_members[block] == 0:
            continue
        silent += int(columns.block_members[block])
        tree = int(columns.block_tree[block])
        for slot in range(columns.block_start[block], columns.block_start[block + 1]):
            more = max(0, int(nominal[slot])) - int(columns.demand[slot])
            at = int(columns.tree[slot]) if tree == MIXED else tree
            if more > 0 and at != NO_TREE:
                extra[at] += more
    for feed in range(len(edge.big_received_s)):
        if now_s - int(edge.big_received_s[feed]) <= hold_s or edge.big_nameplate[feed] == 0:
            continue
        silent += 1
        more = max(0, int(big_nominal[feed])) - int(columns.big_demand[feed])
        at = int(columns.big_tree[feed])
        if more > 0 and at != NO_TREE:
            extra[at] += more
    return silent


class Arrival(Enum):
    """What became of a batch on the wire."""

    TAKEN = "taken"
    MALFORMED = "malformed"
    UNKNOWN_SENDER = "unknown sender"
    DUPLICATE = "duplicate"
    LATE = "late"


@dataclass(slots=True, eq=False)
class Senders:
    """The last sequence number of each sender: a batch is taken once, and none after a newer one."""

    last: NDArray[np.uint64]
    """[senders] A sender starts anew above all that it has used, for instance at its UTC seconds times 2^32."""
    counts: dict[Arrival, int] = field(default_factory=lambda: dict.fromkeys(Arrival, 0))

    @classmethod
    def of(cls, senders: int) -> Senders:
        """So many senders, known by the numbers 0 .. senders - 1."""
        return cls(np.zeros(senders, np.uint64))

    def receive(self, batch: bytes | bytearray | memoryview) -> tuple[Arrival, NDArray[np.uint32]]:
        """(what became of a batch, its readings as `apply` takes them; they are not copied)."""
        arrival, pairs = self._read(batch)
        self.counts[arrival] += 1
        return arrival, pairs

    def _read(self, batch: bytes | bytearray | memoryview) -> tuple[Arrival, NDArray[np.uint32]]:
        nothing = np.zeros((0, 2), np.uint32)
        size = len(batch) - HEADER.itemsize
        if size < 0 or size % RECORD.itemsize:
            return Arrival.MALFORMED, nothing
        header = np.frombuffer(batch, HEADER, 1)[0]
        if int(header["magic"]) != MAGIC or int(header["count"]) * RECORD.itemsize != size:
            return Arrival.MALFORMED, nothing
        sender, sequence = int(header["sender"]), int(header["sequence"])
        if sender >= len(self.last):
            return Arrival.UNKNOWN_SENDER, nothing
        last = int(self.last[sender])
        if sequence <= last:
            return Arrival.DUPLICATE if sequence == last else Arrival.LATE, nothing
        self.last[sender] = sequence
        words = np.frombuffer(batch, "<u4", offset=HEADER.itemsize).reshape(-1, 2)
        return Arrival.TAKEN, words.astype(np.uint32, copy=False)


def encode(sender: int, sequence: int, places: NDArray[np.integer], values: NDArray[np.integer]) -> bytes:
    """A batch on the wire. Places and values must fit in 32 bits."""
    header = np.zeros(1, HEADER)
    header[0] = (MAGIC, sender, sequence, len(places), 0)
    records = np.empty(len(places), RECORD)
    records["place"], records["value"] = places, values
    return header.tobytes() + records.tobytes()
