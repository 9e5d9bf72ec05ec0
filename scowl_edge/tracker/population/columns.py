"""The columns of a population: consumers by the thousand to the million, in blocks, and the trees that feed them.

Consumers are laid out once an epoch, sorted by zone, class and size, in *blocks*: at most 256 slots, of one zone and
one class, bounded in energy. A block is in one tree as a whole; only a *mixed* block (at a seam, or where part of it is
starved) has a tree for each slot. Big consumers stand apart as *feeds*, one or several each. A *zone* is a place in the
tree of ratings (feeder, building); all zones below one follow it without a gap.

Demand is signed, in quanta of `Layout.quantum_w` (+ consumption, - production: a roof's generation is netted here).
Narrow types are storage: kernels widen every element before arithmetic (how: scowl_edge/compiled.py). Every function
that changes an assignment goes through `assign.py`, which keeps the sums exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_TREE = 65_535
"""In a column of trees: starved or homeless."""
MIXED = 65_534
"""In `block_tree`: look at `tree` of each slot."""
MOST_TREES = 65_000
BLOCK_SLOTS = 256
"""Most slots of a block."""
ROW = 16
"""Blocks begin at multiples of so many slots, so that the block of a slot is found in one look."""
PROTECTED = 0
"""The class that software never starves."""
CLASSES = 8
DEMAND_LIMIT = 32_767
"""Largest magnitude that a slot can hold, in quanta; what may come near it stands apart as a big feed."""


class Columns(NamedTuple):
    """All that balancing reads and writes, by slot, block, big feed, tree and zone. Arrays change in place."""

    demand: NDArray[np.int16]
    """[slots] quanta; 0 where nobody is."""
    tree: NDArray[np.uint16]
    """[slots] Valid only in mixed blocks; untouched elsewhere, so that it takes no memory there."""
    row_block: NDArray[np.int32]
    """[slots / ROW] Block of each row."""
    block_start: NDArray[np.int64]
    """[blocks + 1] First slot of each block; multiples of ROW."""
    block_members: NDArray[np.int32]
    """[blocks] Slots that somebody has."""
    block_tree: NDArray[np.uint16]
    """[blocks] Tree, MIXED or NO_TREE."""
    block_zone: NDArray[np.uint16]
    block_class: NDArray[np.uint8]
    block_sum: NDArray[np.int64]
    """[blocks] Demand of all members, quanta."""
    block_served: NDArray[np.int64]
    """[blocks] Demand of those in a tree: `block_sum`, 0, or in between where mixed."""
    block_variance: NDArray[np.int64]
    """[blocks] Variance of its demand, quanta squared, for margins by statistics."""
    big_demand: NDArray[np.int32]
    """[feeds] quanta."""
    big_tree: NDArray[np.uint16]
    big_zone: NDArray[np.uint16]
    big_class: NDArray[np.uint8]
    big_owner: NDArray[np.int32]
    """[feeds] Consumer that it belongs to; the feeds of one stand side by side."""
    big_variance: NDArray[np.int64]
    tree_safe: NDArray[np.int64]
    """[trees] Load that each may carry, quanta: output less margin; 0 where dead."""
    tree_load: NDArray[np.int64]
    """[trees] Demand of its members, quanta: exact at all times."""
    tree_alive: NDArray[np.uint8]
    """[trees] 1 = keeps and takes members; 0 = dead, its members are to be re-homed."""
    eligible: NDArray[np.uint8]
    """[zones, trees] 1 = the tree may feed the zone."""
    zone_parent: NDArray[np.int32]
    """[zones] -1 at the top; parents stand before their children."""
    zone_end: NDArray[np.int32]
    """[zones] Zones z .. zone_end[z] - 1 are z and all below it."""
    zone_limit: NDArray[np.int64]
    """[zones] Most served demand in it and below, quanta; -1 = none."""
    zone_load: NDArray[np.int64]
    """[zones] Served demand in it and below, quanta: exact at all times."""


class Log(NamedTuple):
    """What changed hands, in order: the message for each block, the churn, what history has to note."""

    kind: NDArray[np.uint8]
    """[capacity] BLOCK, SLOT or BIG."""
    number: NDArray[np.int32]
    """[capacity] Of the block, slot or feed."""
    before: NDArray[np.uint16]
    after: NDArray[np.uint16]
    totals: NDArray[np.int64]
    """[4] Entries; consumers moved between trees or out of a dead one (churn); consumers starved; consumers fed again.
    An entry beyond the capacity is counted, not written."""
    cut: NDArray[np.int64]
    """[2] Where the last cut ran: its class, and the demand above which all starve, quanta; 0 = all do, or no cut."""

    @classmethod
    def empty(cls, capacity: int) -> Log:
        """A log with room for so many entries."""
        return cls(
            np.zeros(capacity, np.uint8),
            np.zeros(capacity, np.int32),
            np.zeros(capacity, np.uint16),
            np.zeros(capacity, np.uint16),
            np.zeros(4, np.int64),
            np.zeros(2, np.int64),
        )


BLOCK, SLOT, BIG = 0, 1, 2
"""Kinds of entries in a `Log`: a whole block, one slot, one big feed."""


@dataclass(frozen=True, slots=True, eq=False)
class Census:
    """Who there is, before anybody is laid out. One row a consumer."""

    quantum_w: int
    nominal: NDArray[np.int64]
    """[consumers] Mean demand in quanta, signed."""
    zone: NDArray[np.uint16]
    klass: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    """An index into `KINDS`."""
    noise_ppm: NDArray[np.int32]
    """[consumers] Standard deviation of the demand, of the mean."""
    deferrable_ppm: NDArray[np.int32]
    """[consumers] Share of the demand that can be shed for a while (demand response)."""

    def __len__(self) -> int:
        return len(self.nominal)


KINDS = ("home", "commercial", "industrial", "transport", "micro-generator")


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where each consumer of a census is. A consumer has either a slot or big feeds."""

    quantum_w: int
    slot: NDArray[np.int64]
    """[consumers] Slot, or -1 for a big one."""
    feed: NDArray[np.int64]
    """[consumers] First big feed, or -1."""
    feeds: NDArray[np.int32]
    """[consumers] How many feeds; 0 for one with a slot."""
    consumer: NDArray[np.int32]
    """[slots] Consumer, or -1 where nobody is."""


def lay_out(
    census: Census,
    trees: int,
    *,
    zone_parent: NDArray[np.int32] | None = None,
    big: int = 0,
    feed: int = 0,
    block_energy: int = 0,
) -> tuple[Columns, Layout]:
    """Columns for a census, with nobody in any tree and all trees dead (no output yet).

    Args:
        census: who there is; zones refer to `zone_parent`.
        trees: how many trees there will be.
        zone_parent: int32[zones]; one zone without a limit if None. Limits are the caller's to set in `zone_limit`.
        big: mean demand in quanta above which one stands apart; 0 = a hundredth of the mean tree, at most 100 kW.
        feed: largest feed of a big consumer in quanta; 0 = a twentieth of the mean tree.
        block_energy: most mean demand of a block in quanta; 0 = a sixty-fourth of the mean tree, at most 1 MW.

    Raises:
        ValueError: more trees than fit, or a zone that is not there.
    """
    if not 0 < trees <= MOST_TREES:
        raise ValueError(f"{trees} trees: at least 1, at most {MOST_TREES}")
    parents = np.full(1, -1, np.int32) if zone_parent is None else np.asarray(zone_parent, np.int32)
    if len(census) and int(census.zone.max()) >= len(parents):
        raise ValueError(f"zone {int(census.zone.max())} of a consumer: there are {len(parents)}")
    size = np.abs(census.nominal)
    tree_mean = max(1, int(size.sum()) // trees)
    quantum = census.quantum_w
    # A slot must hold a demand that is four times its mean without coming near the end of its type.
    big = min(big or min(max(1, tree_mean // 100), 100_000 // quantum), DEMAND_LIMIT // 4)
    feed = feed or max(big, tree_mean // 20)
    block_energy = max(1, block_energy or min(tree_mean // 64, 1_000_000 // quantum))

    apart = size > big
    small = np.flatnonzero(~apart)
    order = small[np.lexsort((small, -size[small], census.klass[small], census.zone[small]))]
    starts, slot = _cut_blocks(census, size, order, block_energy)
    slots, blocks = int(starts[-1]), len(starts) - 1
    consumer = np.full(slots, -1, np.int32)
    consumer[slot[order]] = order
    first = consumer[starts[:-1]]
    sizes = np.diff(starts)
    taken = np.add.reduceat((consumer >= 0).astype(np.int32), starts[:-1]) if blocks else np.zeros(0, np.int32)
    demand = np.zeros(slots, np.int16)
    demand[slot[order]] = census.nominal[order]
    sigma = size * census.noise_ppm // 1_000_000
    variance = np.zeros(slots, np.int64)
    variance[slot[order]] = sigma[order] ** 2

    owners = np.flatnonzero(apart)
    count = -(-size[owners] // feed)
    feed_at = np.full(len(census), -1, np.int64)
    feed_at[owners] = np.cumsum(count) - count
    owner = np.repeat(owners, count)
    part = np.arange(len(owner)) - feed_at[owner]
    each = np.repeat(census.nominal[owners] // count, count)
    rest = census.nominal[owner] - each * np.repeat(count, count)
    feed_demand = each + (part < rest)
    feeds = np.zeros(len(census), np.int32)
    feeds[owners] = count

    zones = len(parents)
    columns = Columns(
        demand=demand,
        tree=np.empty(slots, np.uint16),
        row_block=np.repeat(np.arange(blocks, dtype=np.int32), sizes // ROW),
        block_start=starts,
        block_members=taken.astype(np.int32),
        block_tree=np.full(blocks, NO_TREE, np.uint16),
        block_zone=census.zone[first].astype(np.uint16),
        block_class=census.klass[first].astype(np.uint8),
        block_sum=np.add.reduceat(demand.astype(np.int64), starts[:-1]) if blocks else np.zeros(0, np.int64),
        block_served=np.zeros(blocks, np.int64),
        block_variance=np.add.reduceat(variance, starts[:-1]) if blocks else np.zeros(0, np.int64),
        big_demand=feed_demand.astype(np.int32),
        big_tree=np.full(len(owner), NO_TREE, np.uint16),
        big_zone=census.zone[owner].astype(np.uint16),
        big_class=census.klass[owner].astype(np.uint8),
        big_owner=owner.astype(np.int32),
        big_variance=(feed_demand.astype(np.int64) * census.noise_ppm[owner] // 1_000_000) ** 2,
        tree_safe=np.zeros(trees, np.int64),
        tree_load=np.zeros(trees, np.int64),
        tree_alive=np.zeros(trees, np.uint8),
        eligible=np.ones((zones, trees), np.uint8),
        zone_parent=parents,
        zone_end=_zone_ends(parents),
        zone_limit=np.full(zones, -1, np.int64),
        zone_load=np.zeros(zones, np.int64),
    )
    at = np.full(len(census), -1, np.int64)
    at[order] = slot[order]
    return columns, Layout(quantum, at, feed_at, feeds, consumer)


def _cut_blocks(
    census: Census, size: NDArray[np.int64], order: NDArray[np.int64], block_energy: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(first slot of each block and the end, slot of each consumer); `order` is sorted by zone, class and falling size.

    In falling size the first member is the largest, so that a block of as many as fit by that one is never above its
    energy; counts are taken from a run's first member on, which keeps the loop at one turn a block.
    """
    slot = np.full(len(census), -1, np.int64)
    starts = [0]
    key = census.zone[order].astype(np.int64) * CLASSES + census.klass[order]
    edges = np.flatnonzero(np.diff(key)) + 1
    ends = [*edges.tolist(), len(order)] if len(order) else []
    ordered_size = size[order]
    begin = 0
    for end in ends:
        at = begin
        while at < end:
            fits = block_energy // max(1, int(ordered_size[at]))
            # Whole rows where energy allows them; a block of large consumers may hold a single one.
            count = min(BLOCK_SLOTS, fits - fits % ROW if fits >= ROW else max(1, fits), end - at)
            slot[order[at : at + count]] = starts[-1] + np.arange(count)
            starts.append(starts[-1] + -(-count // ROW) * ROW)
            at += count
        begin = end
    return np.asarray(starts, np.int64), slot


def _zone_ends(parents: NDArray[np.int32]) -> NDArray[np.int32]:
    """End of each zone's range. Raises ValueError unless each zone is followed by all that is below it."""
    ends = np.arange(1, len(parents) + 1, dtype=np.int32)
    for z in range(len(parents) - 1, -1, -1):
        above = int(parents[z])
        if above >= z:
            raise ValueError(f"zone {z} stands before its parent {above}")
        if above >= 0:
            ends[above] = max(ends[above], ends[z])
    open_zones: list[int] = []
    for z, above in enumerate(parents.tolist()):
        while open_zones and open_zones[-1] != above:
            open_zones.pop()
        if above >= 0 and not open_zones:
            raise ValueError(f"zone {z} does not follow its parent {above}: the zones below one stand together")
        open_zones.append(z)
    return ends
