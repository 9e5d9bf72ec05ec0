"""How much a tree may carry: its output less a margin, a fixed share or by the statistics of its members.

Independent fluctuations of many members cancel: a tree of 20,000 homes keeps its load within a per cent, one of twenty
does not. What all of them do together (weather) does not cancel; it is a share of the load. A tree is judged as full as
its output allows, the room that is left filled with what the region's members are like: an empty tree must not promise
everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.model.reason import Reason, declare
from scowl_edge.tracker.population.columns import MIXED, NO_TREE, Columns

_PPM = 1_000_000
_MOST = 1 << 61
"""Variances beyond are as good as infinite: a margin of 1.5e9 quanta for one sigma."""

MARGIN_FIXED = declare("margin-fixed", "keeps {} ppm of its output back: {:W}")
MARGIN_MEMBERS = declare(
    "margin-members",
    "keeps {:W} back: {} thousandths of its members' deviation of {:W} and {:W} for what all do alike",
)


class Decided(IntEnum):
    """Which part set a tree's margin."""

    FIXED = 0
    MEMBERS = 1
    NOTHING = 2
    """It gives nothing."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How margins are chosen. The larger of the two parts counts; 0 switches one off."""

    fixed_ppm: int = 100_000
    z_milli: int = 0
    """Standard deviations, thousandths: 4,000 = 4 sigma."""
    correlated_ppm: int = 0
    """Of the load: what does not cancel."""


@dataclass(frozen=True, slots=True, eq=False)
class Margins:
    """What each tree keeps back, and why. int64[trees], quanta, unless said."""

    safe: NDArray[np.int64]
    """Load that it may carry."""
    decided: NDArray[np.uint8]
    """A `Decided` each."""
    sigma: NDArray[np.int64]
    """Standard deviation of its load when it is full, rounded up."""
    correlated: NDArray[np.int64]
    policy: Policy

    def why(self, tree: int, output: int, quantum_w: int) -> Reason:
        """Why a tree that gives `output` quanta may carry no more, for people."""
        kept_w = (output - int(self.safe[tree])) * quantum_w
        if self.decided[tree] == Decided.MEMBERS:
            sigma_w, together_w = int(self.sigma[tree]) * quantum_w, int(self.correlated[tree]) * quantum_w
            return Reason(MARGIN_MEMBERS, (kept_w, self.policy.z_milli, sigma_w, together_w))
        return Reason(MARGIN_FIXED, (self.policy.fixed_ppm, kept_w))


def safe(output: NDArray[np.int64], fixed_ppm: int) -> NDArray[np.int64]:
    """Output less a fixed share, the margin rounded up; 0 where there is no output."""
    held = -(-np.maximum(output, 0) * fixed_ppm // _PPM)
    return np.asarray(np.maximum(0, output - held), np.int64)


def margins(columns: Columns, output: NDArray[np.int64], policy: Policy) -> Margins:
    """The margin of every tree for what it gives and whom it feeds now.

    Args:
        columns: with `tree_load` exact.
        output: int64[trees], quanta; below 2^40.
        policy: which parts count.
    """
    trees = len(output)
    sigma, correlated = np.zeros(trees, np.int64), np.zeros(trees, np.int64)
    if policy.z_milli > 0 or policy.correlated_ppm > 0:
        variance = np.zeros(trees, np.int64)
        all_of_them = tree_variances(columns, variance)
        full_deviations(columns, output, variance, all_of_them, sigma)
        correlated = -(-np.maximum(output, columns.tree_load) * policy.correlated_ppm // _PPM)
    by_members = -(-sigma * policy.z_milli // 1_000) + correlated
    fixed = output - safe(output, policy.fixed_ppm)
    decided = np.where(by_members > fixed, Decided.MEMBERS, Decided.FIXED)
    decided[output <= 0] = Decided.NOTHING
    held = np.maximum(output - np.maximum(fixed, by_members), 0)
    return Margins(np.where(output > 0, held, 0).astype(np.int64), decided.astype(np.uint8), sigma, correlated, policy)


@kernel
def root(value: int) -> int:
    """Integer square root, rounded up; exact for all of 0 .. 2^62."""
    if value <= 0:
        return 0
    # From above, Newton's method falls until it is there.
    bits, rest = 0, value
    while rest > 0:
        rest >>= 2
        bits += 1
    guess = 1 << bits
    while True:
        better = (guess + value // guess) // 2
        if better >= guess:
            break
        guess = better
    return guess if guess * guess == value else guess + 1


@kernel
def tree_variances(columns: Columns, variance: NDArray[np.int64]) -> int:
    """Sums the variances of each tree's members (quanta squared) into `variance`; the sum of all, the starved included.

    A mixed block's variance is dealt out in proportion to the magnitude of demand; the parts add up exactly.
    """
    block_tree, block_variance, start = columns.block_tree, columns.block_variance, columns.block_start
    demand, slot_tree = columns.demand, columns.tree
    variance[:] = 0
    total = 0
    for block in range(len(block_tree)):
        tree, own = int(block_tree[block]), block_variance[block]
        total = min(total + own, _MOST)
        if tree == MIXED:
            whole = 0
            for slot in range(start[block], start[block + 1]):
                whole += abs(0 + int(demand[slot]))
            if whole == 0:
                continue
            # In units that keep the products within 63 bits, whatever the variance.
            scale = 1
            while own // scale > 1 << 38:
                scale *= 2
            upto, before = 0, 0
            for slot in range(start[block], start[block + 1]):
                upto += abs(0 + int(demand[slot]))
                after = own if upto == whole else own // scale * upto // whole * scale
                if slot_tree[slot] != NO_TREE:
                    variance[slot_tree[slot]] = min(variance[slot_tree[slot]] + after - before, _MOST)
                before = after
        elif tree != NO_TREE:
            variance[tree] = min(variance[tree] + own, _MOST)
    for feed in range(len(columns.big_tree)):
        own = columns.big_variance[feed]
        total = min(total + own, _MOST)
        if columns.big_tree[feed] != NO_TREE:
            variance[columns.big_tree[feed]] = min(variance[columns.big_tree[feed]] + own, _MOST)
    return total


@kernel
def full_deviations(
    columns: Columns, output: NDArray[np.int64], variance: NDArray[np.int64], total: int, sigma: NDArray[np.int64]
) -> None:
    """Standard deviation of each tree's load if it were as full as its output: its members', and for the room that is
    left that of the region's members in the mean. Rounded up."""
    demand = 0
    for block in range(len(columns.block_sum)):
        demand += abs(columns.block_sum[block])
    for feed in range(len(columns.big_demand)):
        demand += abs(0 + int(columns.big_demand[feed]))
    for tree in range(len(output)):
        room = max(0, output[tree] - columns.tree_load[tree])
        more = 0
        if room > 0 and demand > 0:
            whole, rest = total // demand, total % demand
            more = _MOST if whole > 0 and room > _MOST // whole else whole * room
            more = min(_MOST, more + (rest * room // demand if rest < _MOST // room else room))
        sigma[tree] = root(min(variance[tree] + more, _MOST))
