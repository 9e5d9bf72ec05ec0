"""Who changed hands, as it is told: one row for a block that is in one tree, else one for each of its slots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scowl_edge.tracker.population.columns import BIG, BLOCK, MIXED, SLOT, Columns

Changes = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]
"""(kind, number, tree) of all that changed hands: arrays of one length."""


def mixed_slots(columns: Columns) -> NDArray[np.int64]:
    """Slots of all mixed blocks."""
    blocks = np.flatnonzero(columns.block_tree == MIXED)
    if not len(blocks):
        return np.zeros(0, np.int64)
    return np.concatenate([np.arange(columns.block_start[b], columns.block_start[b + 1]) for b in blocks.tolist()])


def latest(columns: Columns, kind: NDArray[np.uint8], number: NDArray[np.int64]) -> Changes:
    """Entries of a log, each once and with the tree it is in now; a block that is mixed now goes slot by slot."""
    blocks = np.unique(number[kind == BLOCK])
    mixed = blocks[columns.block_tree[blocks] == MIXED]
    plain = blocks[columns.block_tree[blocks] != MIXED]
    slots = [number[kind == SLOT]]
    slots += [np.arange(columns.block_start[b], columns.block_start[b + 1]) for b in mixed.tolist()]
    slot = np.unique(np.concatenate(slots))
    # A slot whose block is plain again goes with its block.
    of = columns.row_block[slot // 16]
    plain = np.unique(np.concatenate([plain, of[columns.block_tree[of] != MIXED]]))
    slot = slot[(columns.block_tree[of] == MIXED) & (columns.demand[slot] != 0)]
    big = np.unique(number[kind == BIG])
    return _changes(columns, plain, slot, big)


def everything(columns: Columns) -> Changes:
    """The whole assignment."""
    plain = np.flatnonzero((columns.block_tree != MIXED) & (columns.block_members > 0))
    slot = mixed_slots(columns)
    return _changes(columns, plain, slot[columns.demand[slot] != 0], np.flatnonzero(columns.big_owner >= 0))


def _changes(columns: Columns, plain: NDArray[np.int64], slot: NDArray[np.int64], big: NDArray[np.int64]) -> Changes:
    kind = np.repeat(np.asarray([BLOCK, SLOT, BIG], np.uint8), [len(plain), len(slot), len(big)])
    tree = np.concatenate([columns.block_tree[plain], columns.tree[slot], columns.big_tree[big]])
    return kind, np.concatenate([plain, slot, big]).astype(np.int64), tree.astype(np.int64)
