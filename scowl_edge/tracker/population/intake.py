"""What the peers of a reported population tell: demand, output, what they hold; how old it is, and what is refused.

The latest message of a sender counts, and none older. A value beyond what may be true is clamped to the nameplate or
refused, and counted. What is stale never starves anybody: a plant that says nothing keeps whom it has and takes nobody,
and a consumer that says nothing has its nominal demand kept free.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.model.batch import Batch, BatchKind
from scowl_edge.model.site import Population as Declared
from scowl_edge.tracker.population.columns import BIG, BLOCK, MIXED, NO_TREE, SLOT, Columns

NAMEPLATE = 4
"""A consumer draws at most so many times its nominal demand."""
REPEAT_MS = 120_000
"""An assignment that nobody confirmed is sent again after so long."""
REPEATED_AT_ONCE = 256
"""Most assignments that are sent again in one step."""
REFUSALS = ("torn", "older", "nobody-there", "no-such-plant", "above-nameplate", "below-nothing")


class Intake:
    """The border of one reported population."""

    def __init__(self, declared: Declared, columns: Columns, rated: NDArray[np.int64]) -> None:
        """`rated` is int64[trees], quanta. Nothing was told yet; demand stands at its nominal values."""
        slots, feeds, trees = len(columns.demand), len(columns.big_demand), len(columns.tree_load)
        self.declared = declared
        self.rated = rated
        self.nominal = columns.demand.copy()
        self.feed_nominal = columns.big_demand.copy()
        self.output: NDArray[np.int64] = np.zeros(trees, np.int64)
        self.output_at: NDArray[np.int64] = np.full(trees, -1, np.int64)
        self.slot_at: NDArray[np.int64] = np.full(slots, -1, np.int64)
        self.feed_at: NDArray[np.int64] = np.full(feeds, -1, np.int64)
        self.slot_held: NDArray[np.uint16] = np.full(slots, NO_TREE, np.uint16)
        """What each consumer said that it holds."""
        self.feed_held: NDArray[np.uint16] = np.full(feeds, NO_TREE, np.uint16)
        self.sent_at: NDArray[np.int64] = np.full(len(columns.block_tree) + feeds, -1, np.int64)
        """When the assignment of each block, then of each feed, was sent last."""
        self.senders: dict[int, int] = {}
        """Sender -> sequence of its last message."""
        self.refused: NDArray[np.int64] = np.zeros(len(REFUSALS), np.int64)

    # -- in ----------------------------------------------------------------------------------------------------------

    def take(self, columns: Columns, batches: Sequence[Batch], now_ms: int) -> bool:
        """Takes what came, in order; whether demand may have changed (then all sums are to be counted again)."""
        changed = False
        for batch in batches:
            rows = batch.rows()
            if rows is None:
                self._refuse("torn")
                continue
            if batch.sequence <= self.senders.get(batch.sender, 0):
                self._refuse("older", max(1, len(rows)))
                continue
            self.senders[batch.sender] = batch.sequence
            if batch.kind is BatchKind.DEMAND:
                changed = True
                self._demand(columns.demand, self.nominal, self.slot_at, rows["slot"], rows["value"], now_ms)
            elif batch.kind is BatchKind.FEED:
                changed = True
                self._demand(columns.big_demand, self.feed_nominal, self.feed_at, rows["feed"], rows["value"], now_ms)
            elif batch.kind is BatchKind.OUTPUT:
                self._output(rows["tree"].astype(np.int64), rows["value"].astype(np.int64), now_ms)
            elif batch.kind is BatchKind.HELD:
                self._held(columns, rows)
        return changed

    def _refuse(self, why: str, count: int = 1) -> None:
        self.refused[REFUSALS.index(why)] += count

    def _demand(
        self,
        demand: NDArray[np.int16] | NDArray[np.int32],
        nominal: NDArray[np.int16] | NDArray[np.int32],
        told_at: NDArray[np.int64],
        number: NDArray[np.uint32],
        value: NDArray[np.int32],
        now_ms: int,
    ) -> None:
        there = number < len(demand)
        at, told = number[there].astype(np.int64), value[there].astype(np.int64)
        # Whoever has a slot has a nominal demand; 0 is nobody.
        here = nominal[at] != 0
        self._refuse("nobody-there", len(number) - int(np.count_nonzero(here)))
        at, told = at[here], told[here]
        most = np.minimum(NAMEPLATE * np.abs(nominal[at].astype(np.int64)), np.iinfo(demand.dtype).max)
        clamped = np.clip(told, -most, most)
        self._refuse("above-nameplate", int(np.count_nonzero(clamped != told)))
        demand[at] = clamped
        told_at[at] = now_ms

    def _output(self, tree: NDArray[np.int64], value: NDArray[np.int64], now_ms: int) -> None:
        there = (tree >= 0) & (tree < len(self.output))
        self._refuse("no-such-plant", len(tree) - int(np.count_nonzero(there)))
        tree, value = tree[there], value[there]
        sound = value >= 0
        self._refuse("below-nothing", len(value) - int(np.count_nonzero(sound)))
        tree, value = tree[sound], value[sound]
        self._refuse("above-nameplate", int(np.count_nonzero(value > self.rated[tree])))
        self.output[tree] = np.minimum(value, self.rated[tree])
        self.output_at[tree] = now_ms

    def _held(self, columns: Columns, rows: NDArray[np.void]) -> None:
        for kind, number, tree in zip(
            rows["kind"].tolist(), rows["number"].tolist(), rows["tree"].tolist(), strict=True
        ):
            if kind == BLOCK and number < len(columns.block_tree):
                self.slot_held[columns.block_start[number] : columns.block_start[number + 1]] = tree
            elif kind == SLOT and number < len(self.slot_held):
                self.slot_held[number] = tree
            elif kind == BIG and number < len(self.feed_held):
                self.feed_held[number] = tree
            else:
                self._refuse("nobody-there")

    # -- what counts -------------------------------------------------------------------------------------------------

    def fresh_plants(self, now_ms: int) -> NDArray[np.bool_]:
        """bool[trees]: whose output was told a short time ago."""
        return (self.output_at >= 0) & (now_ms - self.output_at <= self.declared.fresh_ms)

    def reserve(self, columns: Columns, now_ms: int) -> NDArray[np.int64]:
        """int64[trees], quanta that are kept free for consumers that have said nothing for too long."""
        kept = np.zeros(len(columns.tree_load), np.int64)
        oldest = now_ms - self.declared.fresh_ms - self.declared.hold_ms
        _reserve_slots(columns, self.nominal, self.slot_at, oldest, kept)
        _reserve_feeds(columns, self.feed_nominal, self.feed_at, oldest, kept)
        return kept

    # -- out ---------------------------------------------------------------------------------------------------------

    def note_sent(self, columns: Columns, kind: NDArray[np.uint8], number: NDArray[np.int64], now_ms: int) -> None:
        """Remembers when assignments left."""
        self.sent_at[number[kind == BLOCK]] = now_ms
        slots = number[kind == SLOT]
        self.sent_at[columns.row_block[slots // 16]] = now_ms
        self.sent_at[len(columns.block_tree) + number[kind == BIG]] = now_ms

    def unconfirmed(
        self, columns: Columns, now_ms: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]] | None:
        """(kind, number, tree) of assignments to be sent again; None if there are none."""
        found = np.zeros((REPEATED_AT_ONCE, 3), np.int64)
        count = int(_unconfirmed(columns, self.slot_held, self.feed_held, self.sent_at, now_ms - REPEAT_MS, found))
        if not count:
            return None
        rows = found[:count]
        return rows[:, 0].astype(np.uint8), rows[:, 1].copy(), rows[:, 2].copy()

    # -- state -------------------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that changes, by name."""
        return {
            "output": self.output,
            "output_at": self.output_at,
            "slot_at": self.slot_at,
            "feed_at": self.feed_at,
            "slot_held": self.slot_held,
            "feed_held": self.feed_held,
            "sent_at": self.sent_at,
            "senders": np.asarray(sorted(self.senders), np.int64),
            "sequences": np.asarray([self.senders[s] for s in sorted(self.senders)], np.int64),
            "refused": self.refused,
        }

    def restore(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """The inverse of `arrays`."""
        for name in ("output", "output_at", "slot_at", "feed_at", "slot_held", "feed_held", "sent_at", "refused"):
            getattr(self, name)[:] = arrays[name]
        self.senders = dict(zip(arrays["senders"].tolist(), arrays["sequences"].tolist(), strict=True))

    def shift_times(self, by_ms: int) -> None:
        """Moves every monotonic time; -1 stays never."""
        for times in (self.output_at, self.slot_at, self.feed_at, self.sent_at):
            times[times >= 0] = np.maximum(times[times >= 0] + by_ms, 0)


@kernel
def _reserve_slots(
    columns: Columns, nominal: NDArray[np.int16], told_at: NDArray[np.int64], oldest: int, kept: NDArray[np.int64]
) -> None:
    for block in range(len(columns.block_tree)):
        tree = int(columns.block_tree[block])
        if tree == NO_TREE:
            continue
        for slot in range(columns.block_start[block], columns.block_start[block + 1]):
            if told_at[slot] < oldest and nominal[slot] > columns.demand[slot]:
                at = int(columns.tree[slot]) if tree == MIXED else tree
                if at != NO_TREE:
                    kept[at] += int(nominal[slot]) - int(columns.demand[slot])


@kernel
def _reserve_feeds(
    columns: Columns, nominal: NDArray[np.int32], told_at: NDArray[np.int64], oldest: int, kept: NDArray[np.int64]
) -> None:
    for feed in range(len(columns.big_tree)):
        tree = int(columns.big_tree[feed])
        if tree != NO_TREE and told_at[feed] < oldest and nominal[feed] > columns.big_demand[feed]:
            kept[tree] += int(nominal[feed]) - int(columns.big_demand[feed])


@kernel
def _unconfirmed(
    columns: Columns,
    slot_held: NDArray[np.uint16],
    feed_held: NDArray[np.uint16],
    sent_at: NDArray[np.int64],
    before: int,
    found: NDArray[np.int64],
) -> int:
    count, blocks = 0, len(columns.block_tree)
    for block in range(blocks):
        if sent_at[block] > before:
            continue
        tree = int(columns.block_tree[block])
        for slot in range(columns.block_start[block], columns.block_start[block + 1]):
            if columns.demand[slot] == 0:
                continue
            wanted = int(columns.tree[slot]) if tree == MIXED else tree
            if int(slot_held[slot]) == wanted:
                continue
            if count == len(found):
                return count
            found[count, 0] = SLOT if tree == MIXED else BLOCK
            found[count, 1] = slot if tree == MIXED else block
            found[count, 2] = wanted
            count += 1
            if tree != MIXED:
                break
    for feed in range(len(columns.big_tree)):
        if sent_at[blocks + feed] <= before and int(feed_held[feed]) != int(columns.big_tree[feed]):
            if count == len(found):
                return count
            found[count, 0] = BIG
            found[count, 1] = feed
            found[count, 2] = int(columns.big_tree[feed])
            count += 1
    return count
