"""The consumers of a region as they really are, in columns: what they want, which tree they hold, what they tell.

A *place* is a slot or, after all slots, a big feed: numbers as the tracker gave them out. Peers speak through gateways,
each for a run of whole blocks; a receiver heeds the newest assignment it was told and lets older ones pass.
"""

from __future__ import annotations

import itertools
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel
from scowl_edge.model.batch import ROWS, BatchKind
from scowl_edge.tracker.population.chance import hashed
from scowl_edge.tracker.population.columns import BIG, BLOCK, NO_TREE, SLOT, Census, Columns, Layout

MILLION = 1_000_000
NAMEPLATE = 4
"""A peer's nameplate, in times its mean demand."""
_NOISE = 31
_ENTRY = ROWS[BatchKind.HELD]


class Lie(IntEnum):
    """How a meter is wrong."""

    NONE = 0
    FROZEN = 1
    """It tells the same value again and again."""
    OVER = 2
    """Above the nameplate."""
    NEGATIVE = 3
    """A consumer that says it produces."""
    ABSURD = 4
    """The far end of the type."""
    NAN = 5
    """The bits of a float that is no number, and the mark of registers that hold nothing."""


_TOLD = {
    Lie.OVER: 9 * NAMEPLATE,
    Lie.NEGATIVE: -3 * NAMEPLATE,
}
_ENDS = (2_147_483_647, -2_147_483_648)
_NO_NUMBERS = (0x7FC0_0000, -0x8000_0000, 0x7FFF_FFFF)


class Peers:
    """Everybody in one region. Powers in quanta, + consumption; all columns have one entry a place."""

    def __init__(self, census: Census, columns: Columns, layout: Layout, seed: int, gateways: int) -> None:
        """`columns` give the blocks; `gateways` share the blocks in equal runs, one more speaks for the big feeds."""
        self.seed = seed
        self.slots, self.feeds = len(columns.demand), len(columns.big_demand)
        places = self.slots + self.feeds
        # Places without anybody may follow those that were laid out: room for who joins later.
        nobody = np.full(self.slots - len(layout.consumer), -1)
        owner = np.concatenate([layout.consumer, nobody, columns.big_owner]).astype(np.int64)
        self.present: NDArray[np.bool_] = owner >= 0
        """Whether somebody has the place."""
        self.nominal: NDArray[np.int64] = np.concatenate([columns.demand, columns.big_demand]).astype(np.int64)
        noise = np.where(self.present, census.noise_ppm[owner], 0)
        self.sigma: NDArray[np.int64] = np.abs(self.nominal) * noise // MILLION
        self.deviation: NDArray[np.int64] = np.zeros(places, np.int64)
        self.wanted: NDArray[np.int64] = self.nominal.copy()
        self.held: NDArray[np.uint16] = np.full(places, NO_TREE, np.uint16)
        self.told: NDArray[np.int64] = np.zeros(places, np.int64)
        """Stamp of the newest assignment heeded."""
        self.lie: NDArray[np.uint8] = np.zeros(places, np.uint8)
        self.shown: NDArray[np.int64] = self.nominal.copy()
        """What was last told."""
        self.forgetful: set[int] = set()
        """Blocks that know no tree since they lost their power: they say so until they are told."""
        self.level_ppm = MILLION
        """Of the mean demand, everybody's at once: the time of day, the weather."""
        self.block_start = columns.block_start.astype(np.int64)
        blocks = len(self.block_start) - 1
        edges = [blocks * g // gateways for g in range(gateways + 1)]
        self._block_gateway = np.repeat(np.arange(gateways), np.diff(edges))
        self._slot_gateway = np.repeat(self._block_gateway, np.diff(self.block_start))
        self._runs = [(int(self.block_start[a]), int(self.block_start[b])) for a, b in itertools.pairwise(edges)]
        self._runs.append((self.slots, places))
        self._forms: dict[int, tuple[NDArray[np.int64], NDArray[np.void]]] = {}
        """By gateway, until somebody comes or goes."""
        self._numbers = np.arange(places, dtype=np.uint64)
        self._floor = np.minimum(0, NAMEPLATE * self.nominal)
        self._ceiling = np.maximum(0, NAMEPLATE * self.nominal)

    @property
    def gateways(self) -> int:
        """How many there are; the last one speaks for the big feeds."""
        return len(self._runs)

    def gateway_of_block(self, block: int) -> int:
        """Who speaks for a block."""
        return int(self._block_gateway[block])

    def advance(self, tick: int) -> None:
        """Everybody's demand changes: a first-order process about its own mean, noise counted by tick and place."""
        bits = hashed(self.seed, _NOISE + tick * 64, self._numbers)
        # Four uniform parts: variance 4 * 2^32 / 12, so that 37,837 is one sigma.
        parts = (bits & np.uint64(0xFFFF)) + ((bits >> np.uint64(16)) & np.uint64(0xFFFF))
        parts += ((bits >> np.uint64(32)) & np.uint64(0xFFFF)) + (bits >> np.uint64(48))
        normal = parts.astype(np.int64) - 131_070
        # 7/8 of what was, and sqrt(1 - 49/64) = 0.484 of new noise.
        wanted = np.empty_like(self.wanted)
        bounds = self._floor, self._ceiling
        _wander(normal, self.sigma, self.nominal, *bounds, self.present, self.level_ppm, self.deviation, wanted)
        self.wanted = wanted

    def report(self, gateway: int, draw: int) -> bytes:
        """The rows of a gateway's message: DEMAND, or FEED of the last one. `draw` chooses among wrong values."""
        first, end = self._runs[gateway]
        form = self._forms.get(gateway)
        if form is None:
            form = self._forms[gateway] = self._form(gateway)
        at, rows = form[0], form[1].copy()
        value = self.wanted[at]
        if self.lie[first:end].any():
            lie = self.lie[at]
            value = np.where(lie == Lie.FROZEN, self.shown[at], value)
            for kind, factor in _TOLD.items():
                value = np.where(lie == kind, factor * np.maximum(1, np.abs(self.nominal[at])), value)
            value = np.where(lie == Lie.ABSURD, _ENDS[draw % len(_ENDS)], value)
            value = np.where(lie == Lie.NAN, _NO_NUMBERS[draw % len(_NO_NUMBERS)], value)
        self.shown[at] = value
        rows["value"] = value
        return rows.tobytes()

    def _form(self, gateway: int) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """(places for which a gateway speaks, its message with no values yet)."""
        first, end = self._runs[gateway]
        at = np.flatnonzero(self.present[first:end]) + first
        big = gateway == len(self._runs) - 1
        rows = np.empty(len(at), ROWS[BatchKind.FEED if big else BatchKind.DEMAND])
        rows["feed" if big else "slot"] = at - self.slots if big else at
        return at, rows

    def by_gateway(
        self, kind: NDArray[np.uint8], number: NDArray[np.int64], tree: NDArray[np.int64]
    ) -> list[tuple[int, NDArray[np.void]]]:
        """Splits an assignment into the messages for the gateways, in the form of HELD rows."""
        entries = np.empty(len(kind), _ENTRY)
        entries["kind"], entries["number"], entries["tree"] = kind, number, tree
        gateway = np.full(len(kind), len(self._runs) - 1)
        blocks, slots = kind == BLOCK, (kind != BLOCK) & (kind != BIG)
        gateway[blocks] = self._block_gateway[number[blocks]]
        gateway[slots] = self._slot_gateway[number[slots]]
        return [(int(g), entries[gateway == g]) for g in np.unique(gateway)]

    def heed(self, entries: NDArray[np.void], stamp: int) -> bytes:
        """Receivers take an assignment, unless they were told a newer one; the HELD rows that they answer with.

        `stamp` tells the order in which the tracker decided.
        """
        if self.forgetful:
            self.forgetful.difference_update(entries["number"][entries["kind"] == BLOCK].tolist())
        heeded = np.zeros(len(entries), np.bool_)
        parts = [entries[name].astype(np.int64) for name in ("kind", "number", "tree")]
        _heed(parts[0], parts[1], parts[2], stamp, self.slots, self.block_start, self.told, self.held, heeded)
        return entries[heeded].tobytes()

    def settle(self, place: int, nominal: int) -> None:
        """Somebody takes a place, and holds what its group was told."""
        self.present[place], self.nominal[place] = True, nominal
        self._forms.clear()
        self.sigma[place], self.deviation[place] = abs(nominal) * 3 // 10, 0
        self._floor[place], self._ceiling[place] = min(0, NAMEPLATE * nominal), max(0, NAMEPLATE * nominal)
        self.wanted[place] = self.shown[place] = nominal
        self.lie[place] = Lie.NONE

    def vacate(self, first: int, count: int) -> None:
        """Somebody goes, and draws nothing any more."""
        self.present[first : first + count] = False
        self._forms.clear()
        self.wanted[first : first + count] = 0
        self.held[first : first + count] = NO_TREE

    def forget(self, block: int) -> None:
        """A block knows no tree any more."""
        self.held[int(self.block_start[block]) : int(self.block_start[block + 1])] = NO_TREE
        self.forgetful.add(block)

    def lost(self, gateway: int) -> bytes:
        """HELD rows of a gateway's blocks that know no tree."""
        blocks = [b for b in sorted(self.forgetful) if self._block_gateway[b] == gateway]
        # Slot by slot, since some may have been told meanwhile.
        slots = [p for b in blocks for p in range(int(self.block_start[b]), int(self.block_start[b + 1]))]
        unknowing = [p for p in slots if self.present[p] and self.held[p] == NO_TREE]
        if blocks and not unknowing:
            self.forgetful.difference_update(blocks)
        return np.array([(SLOT, p, NO_TREE) for p in unknowing], _ENTRY).tobytes()

    def loads(self, trees: int) -> NDArray[np.int64]:
        """What each tree's holders draw, quanta: physics, whatever the tracker believes."""
        # Whoever holds none counts for one more, which is left out; doubles are exact up to 2^53.
        at = np.minimum(self.held, trees)
        return np.bincount(at, self.wanted, trees + 1)[:trees].astype(np.int64)


@kernel
def _wander(
    normal: NDArray[np.int64],
    sigma: NDArray[np.int64],
    nominal: NDArray[np.int64],
    floor: NDArray[np.int64],
    ceiling: NDArray[np.int64],
    present: NDArray[np.bool_],
    level_ppm: int,
    deviation: NDArray[np.int64],
    wanted: NDArray[np.int64],
) -> None:
    for i in range(len(normal)):
        deviation[i] += normal[i] * sigma[i] // 78_157 - deviation[i] // 8
        value = nominal[i] * level_ppm // 1_000_000 + deviation[i]
        wanted[i] = min(ceiling[i], max(floor[i], value)) if present[i] else 0


@kernel
def _heed(
    kind: NDArray[np.int64],
    number: NDArray[np.int64],
    tree: NDArray[np.int64],
    stamp: int,
    slots: int,
    block_start: NDArray[np.int64],
    told: NDArray[np.int64],
    held: NDArray[np.uint16],
    heeded: NDArray[np.bool_],
) -> None:
    for i in range(len(kind)):
        first = number[i] + (slots if kind[i] == BIG else 0)
        end = first + 1
        if kind[i] == BLOCK:
            first, end = block_start[number[i]], block_start[number[i] + 1]
        newer = True
        for place in range(first, end):
            if told[place] <= stamp:
                told[place], held[place] = stamp, tree[i]
            else:
                newer = False
        # A block's message counts as heeded where nobody in it knows better.
        heeded[i] = newer
