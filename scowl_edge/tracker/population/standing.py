"""Where a population stands: who is served and who is not, by class; and its digest, from blocks and never from all.

Sums are taken over blocks and big feeds; single slots are looked at only where a block is mixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.tracker.population.columns import CLASSES, MIXED, NO_TREE, Columns

_WANTED, _SERVED, _STARVED, _MEMBERS = range(4)
_MASK = (1 << 62) - 1
_FACTOR = 0x2545F4914F6CDD1D


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """One look at a population. Arrays have one entry a class; powers in quanta."""

    wanted: NDArray[np.int64]
    """Net: what roofs produce is taken off."""
    served: NDArray[np.int64]
    starved: NDArray[np.int64]
    """Consumers, a big one counting once for each of its feeds."""
    members: NDArray[np.int64]
    tree_members: NDArray[np.int64]
    """[trees] Consumers of each."""
    mixed: int
    """Blocks that are in several trees, or partly starved."""

    @property
    def unserved(self) -> NDArray[np.int64]:
        """Demand of the starved."""
        return self.wanted - self.served


def look(columns: Columns) -> Standing:
    """Counts a population by class and by tree."""
    by_class = np.zeros((4, CLASSES), np.int64)
    tree_members = np.zeros(len(columns.tree_load), np.int64)
    mixed = int(_look(columns, by_class, tree_members))
    return Standing(by_class[_WANTED], by_class[_SERVED], by_class[_STARVED], by_class[_MEMBERS], tree_members, mixed)


@kernel
def _look(columns: Columns, by_class: NDArray[np.int64], tree_members: NDArray[np.int64]) -> int:
    mixed = 0
    for block in range(len(columns.block_tree)):
        klass, tree = int(columns.block_class[block]), int(columns.block_tree[block])
        members = int(columns.block_members[block])
        by_class[0, klass] += int(columns.block_sum[block])
        by_class[1, klass] += int(columns.block_served[block])
        by_class[3, klass] += members
        if tree == MIXED:
            mixed += 1
            for slot in range(columns.block_start[block], columns.block_start[block + 1]):
                if columns.demand[slot] == 0:
                    continue
                at = int(columns.tree[slot])
                if at != NO_TREE:
                    tree_members[at] += 1
                elif columns.demand[slot] > 0:
                    by_class[2, klass] += 1
        elif tree == NO_TREE:
            by_class[2, klass] += members
        else:
            tree_members[tree] += members
    for feed in range(len(columns.big_tree)):
        if columns.big_owner[feed] < 0:
            continue
        klass, tree, demand = int(columns.big_class[feed]), int(columns.big_tree[feed]), int(columns.big_demand[feed])
        by_class[0, klass] += demand
        by_class[3, klass] += 1
        if tree != NO_TREE:
            by_class[1, klass] += demand
            tree_members[tree] += 1
        elif demand > 0:
            by_class[2, klass] += 1
    return mixed


@kernel
def _chained(digest: int, value: int) -> int:
    """A polynomial modulo 2^62: what compiled code loses above 64 bit is masked away in both flavours."""
    return (digest * _FACTOR + value) & _MASK


@kernel
def fingerprint(columns: Columns, rows: NDArray[np.int64]) -> int:
    """Digest of who is in which tree and what each block draws; `rows` (int64[blocks]) takes that of each block."""
    total = 7
    for block in range(len(columns.block_tree)):
        tree = int(columns.block_tree[block])
        row = _chained(_chained(tree + 1, int(columns.block_sum[block])), int(columns.block_served[block]))
        if tree == MIXED:
            for slot in range(columns.block_start[block], columns.block_start[block + 1]):
                if columns.demand[slot] != 0:
                    row = _chained(row, int(columns.tree[slot]) + 1)
        rows[block] = row
        total = _chained(total, row)
    for feed in range(len(columns.big_tree)):
        total = _chained(_chained(total, int(columns.big_tree[feed]) + 1), int(columns.big_demand[feed]))
    for tree in range(len(columns.tree_load)):
        total = _chained(_chained(total, int(columns.tree_load[tree])), int(columns.tree_safe[tree]))
    return total
