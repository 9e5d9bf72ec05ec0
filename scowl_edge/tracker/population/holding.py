"""What the receivers of assignments hold, as far as they have said; what nobody has confirmed is to be sent again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.columns import BIG, BLOCK, MIXED, NO_TREE, ROW, SLOT, Columns
from scowl_edge.tracker.population.seating import NOBODY

REPEAT_MS = 120_000
"""An assignment that nobody confirmed is sent again after so long."""
REPEATED_AT_ONCE = 1_024
"""Most assignments that are sent again in one step."""
UNKNOWN = 65_533
"""Instead of a tree: nobody has said since the last assignment what is held."""


class Holding:
    """The trees that consumers said they hold, beside those that they are assigned to."""

    def __init__(self, columns: Columns) -> None:
        """Nobody holds any."""
        feeds = len(columns.big_demand)
        self.columns = columns
        self.slot_held: NDArray[np.uint16] = np.full(len(columns.demand), NO_TREE, np.uint16)
        """What each consumer said that it holds."""
        self.feed_held: NDArray[np.uint16] = np.full(feeds, NO_TREE, np.uint16)
        self.sent_at: NDArray[np.int64] = np.full(len(columns.block_tree) + feeds, -1, np.int64)
        """When the assignment of each block, then of each feed, was sent last."""

    def confirm(self, rows: NDArray[np.void]) -> int:
        """Takes rows of a HELD batch; how many of them name places that do not exist."""
        columns, nowhere = self.columns, 0
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
                nowhere += 1
        return nowhere

    def nothing_at(self, place: NDArray[np.int64], feeds: NDArray[np.int64]) -> None:
        """Who has just taken these places, with so many feeds from there on, was told no tree yet."""
        self.slot_held[place[place >= 0]] = NO_TREE
        big = place < NOBODY
        for first, count in zip((-2 - place[big]).tolist(), feeds[big].tolist(), strict=True):
            self.feed_held[first : first + count] = NO_TREE

    def note_sent(self, kind: NDArray[np.uint8], number: NDArray[np.int64], now_ms: int) -> None:
        """Remembers when assignments left; what was confirmed before does not count for them."""
        blocks, slots, feeds = number[kind == BLOCK], number[kind == SLOT], number[kind == BIG]
        start = self.columns.block_start
        for block in blocks.tolist():
            self.slot_held[start[block] : start[block + 1]] = UNKNOWN
        self.slot_held[slots] = UNKNOWN
        self.feed_held[feeds] = UNKNOWN
        self.sent_at[blocks] = now_ms
        self.sent_at[self.columns.row_block[slots // ROW]] = now_ms
        self.sent_at[len(self.columns.block_tree) + feeds] = now_ms

    def doubt(self) -> None:
        """After a start nothing counts as confirmed: the last assignments before it may have been forgotten."""
        self.slot_held[:] = UNKNOWN
        self.feed_held[:] = UNKNOWN
        self.sent_at[:] = -1

    def unconfirmed(self, now_ms: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]] | None:
        """(kind, number, tree) of assignments to be sent again; None if there are none."""
        found = np.zeros((REPEATED_AT_ONCE, 3), np.int64)
        before = now_ms - REPEAT_MS
        count = int(_unconfirmed(self.columns, self.slot_held, self.feed_held, self.sent_at, before, found))
        if not count:
            return None
        rows = found[:count]
        return rows[:, 0].astype(np.uint8), rows[:, 1].copy(), rows[:, 2].copy()

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything that changes, by name."""
        return {"slot_held": self.slot_held, "feed_held": self.feed_held, "sent_at": self.sent_at}


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
        if columns.big_owner[feed] < 0 or sent_at[blocks + feed] > before:
            continue
        if int(feed_held[feed]) != int(columns.big_tree[feed]):
            if count == len(found):
                return count
            found[count, 0] = BIG
            found[count, 1] = feed
            found[count, 2] = int(columns.big_tree[feed])
            count += 1
    return count
