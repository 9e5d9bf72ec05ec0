"""How demand moves: one step of all consumers, or of the few that switch, around each one's own mean.

A first-order autoregressive process in integers. Its noise is counter-based, a hash of (seed, tick, slot) whose four
bytes are summed: any part may be computed in any order and by any number of threads, and replicas and replays get the
same bits. What is scaled is rounded, never cut off, and limits stand evenly about the mean, so that no step is biased.

The starved go on wanting: demand is what a consumer would draw. Only demand and the sums of blocks are written here;
`assign.sum_trees` counts the trees after it.
"""

from __future__ import annotations

from functools import cache
from math import isqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scowl_edge.compiled import kernel, parallel_kernel, prange
from scowl_edge.tracker.population import chance
from scowl_edge.tracker.population.columns import DEMAND_LIMIT, KINDS, Census, Columns, Layout

NOISE_ONE = 250
"""A consumer's standard deviation is stored in 250ths of its nominal demand, in a byte."""
NAMEPLATE = 4
"""Nobody draws more than so many times the nominal demand."""
LEVEL_ONE = 1 << 13
"""1.0 of a daily profile in the fixed point of the kernel."""
AUTOCORRELATION_PPM = 900_000
"""Of a consumer's deviation from one tick to the next."""
_PPM = 1_000_000
_MASK = 0xFFFF_FFFF
_GOLDEN = 0x9E37_79B1
# One standard deviation is 2^15 / NOISE_ONE in the units of `Living.deviation`: noise times deviation is then a
# fraction of 2^15. Ten bits of it and a nominal demand that fits a slot stay within 32 bits.
_DEVIATION_END = 1023
_BYTES_VARIANCE = 4 * (256 * 256 - 1) // 12
_STRIPE = 64
"""Blocks that share one chain of skips; fixed, so that threads do not show in the result."""
_SKIP_END = 4096
_SKIP_BITS = 14
_STEP, _SWITCH = 21, 22


class Living(NamedTuple):
    """What each consumer's demand moves about, by slot and by big feed; nominal 0 where nobody is."""

    nominal: NDArray[np.int16]
    """[slots] Mean demand, quanta, signed."""
    deviation: NDArray[np.int16]
    """[slots] In 2^15 / 250ths of a standard deviation, within +-1023 (7.8 sigma)."""
    noise: NDArray[np.uint8]
    """[slots] Standard deviation in 250ths of the nominal demand."""
    kind: NDArray[np.uint8]
    """[slots] Index into `KINDS`; read only where a daily profile is given."""
    big_nominal: NDArray[np.int32]
    big_deviation: NDArray[np.int32]
    """[feeds] The feeds of one consumer move as one."""
    big_noise: NDArray[np.uint8]
    big_kind: NDArray[np.uint8]


class Placed(NamedTuple):
    """Where consumers are: a slot each, or a run of feeds."""

    slot: NDArray[np.int64]
    """Slot, or -1."""
    feed: NDArray[np.int64]
    """First feed, or -1."""
    feeds: NDArray[np.int32]
    """How many feeds; 0 for one with a slot."""


def empty(slots: int, feeds: int) -> Living:
    """A population of nobody."""
    return Living(
        np.zeros(slots, np.int16),
        np.zeros(slots, np.int16),
        np.zeros(slots, np.uint8),
        np.zeros(slots, np.uint8),
        np.zeros(feeds, np.int32),
        np.zeros(feeds, np.int32),
        np.zeros(feeds, np.uint8),
        np.zeros(feeds, np.uint8),
    )


def populate(census: Census, layout: Layout, columns: Columns) -> Living:
    """The living side of a population that was laid out just now; all stand at their means."""
    living = empty(len(columns.demand), len(columns.big_demand))
    settle(living, columns, Placed(layout.slot, layout.feed, layout.feeds), census.noise_ppm, census.kind)
    return living


def settle(
    living: Living, columns: Columns, placed: Placed, noise_ppm: NDArray[np.int32], kind: NDArray[np.uint8]
) -> None:
    """Takes the present demand of consumers as their means: of newcomers, or of those whose means have changed."""
    noise = np.clip((noise_ppm.astype(np.int64) * NOISE_ONE + _PPM // 2) // _PPM, 0, 255).astype(np.uint8)
    here = placed.slot >= 0
    slot = placed.slot[here]
    living.nominal[slot] = columns.demand[slot]
    living.deviation[slot] = 0
    living.noise[slot] = noise[here]
    living.kind[slot] = kind[here]
    feed, owner = _feeds(placed)
    living.big_nominal[feed] = columns.big_demand[feed]
    living.big_deviation[feed] = 0
    living.big_noise[feed] = noise[owner]
    living.big_kind[feed] = kind[owner]


def vacate(living: Living, placed: Placed) -> None:
    """Forgets those who left."""
    living.nominal[placed.slot[placed.slot >= 0]] = 0
    living.big_nominal[_feeds(placed)[0]] = 0


def grown(living: Living, slots: int, feeds: int) -> Living:
    """The same with room for more, after the columns have grown."""
    wider = empty(slots, feeds)
    for name in Living._fields:
        old = getattr(living, name)
        getattr(wider, name)[: len(old)] = old
    return wider


def advance(
    columns: Columns,
    living: Living,
    seed: int,
    tick: int,
    factor_ppm: NDArray[np.int32] | None = None,
    *,
    autocorrelation_ppm: int = AUTOCORRELATION_PPM,
) -> None:
    """One step of everybody, in one pass: writes `demand`, `big_demand` and `block_sum`.

    Args:
        columns: changed in place; trees and zones are to be summed again after it.
        living: changed in place.
        seed: of the population.
        tick: number of the step; the same (seed, tick) and state give the same result.
        factor_ppm: int32[kinds], what each kind's mean is multiplied by now (`profile.DAY`); 1 if None.
        autocorrelation_ppm: 0 .. 999,999.
    """
    first, second = _keys(seed, _STEP, tick)
    rho, gain = _process(autocorrelation_ppm)
    _advance(columns, living, first, second, rho, gain, factor_ppm is not None, _factors(factor_ppm))


def advance_some(
    columns: Columns,
    living: Living,
    seed: int,
    tick: int,
    share_ppm: int,
    factor_ppm: NDArray[np.int32] | None = None,
) -> int:
    """An event-driven step: about a share of all consumers switch to a fresh demand, the others stay as they are.

    Sums of blocks are kept by differences. A share of 1,000,000 draws everybody from the process at rest.

    Returns:
        How many switched, a big feed counted as one.
    """
    first, second = _keys(seed, _SWITCH, tick)
    gain = _process(0)[1]
    stripes = -(-len(columns.block_tree) // _STRIPE)
    switched = np.zeros(stripes + 1, np.int64)
    _advance_some(
        columns, living, first, second, gain, factor_ppm is not None, _factors(factor_ppm),
        _skips(share_ppm), share_ppm * (_MASK + 1) // _PPM, switched,
    )  # fmt: skip
    return int(switched.sum())


def _feeds(placed: Placed) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(every feed, index of its owner in `placed`)."""
    owner = np.repeat(np.arange(len(placed.feeds)), placed.feeds)
    before = np.cumsum(placed.feeds) - placed.feeds
    return placed.feed[owner] + np.arange(len(owner)) - before[owner], owner


def _keys(seed: int, purpose: int, tick: int) -> tuple[int, int]:
    """Two halves of the key that goes into every hash of a step."""
    bits = chance.derived(seed, purpose, tick)
    return bits & _MASK, bits >> 32


def _process(autocorrelation_ppm: int) -> tuple[int, int]:
    """(factor of the deviation, factor of the summed bytes), both times 2^16."""
    if not 0 <= autocorrelation_ppm < _PPM:
        raise ValueError(f"an autocorrelation of {autocorrelation_ppm} ppm: at least 0, less than {_PPM}")
    rho = autocorrelation_ppm * 65_536 // _PPM
    gain = isqrt((1 << 30) * ((1 << 32) - rho * rho) // (NOISE_ONE * NOISE_ONE * _BYTES_VARIANCE))
    return rho, gain


def _factors(factor_ppm: NDArray[np.int32] | None) -> NDArray[np.int32]:
    if factor_ppm is None:
        return np.full(len(KINDS), LEVEL_ONE, np.int32)
    if len(factor_ppm) != len(KINDS) or int(factor_ppm.min()) < 0 or int(factor_ppm.max()) > NAMEPLATE * _PPM:
        raise ValueError(f"{len(KINDS)} factors of 0 to {NAMEPLATE * _PPM} ppm are needed, not {factor_ppm}")
    return ((factor_ppm.astype(np.int64) * LEVEL_ONE + _PPM // 2) // _PPM).astype(np.int32)


@cache
def _skips(share_ppm: int) -> NDArray[np.uint16]:
    """How many are passed over before the next who switches: a geometric draw for each of 2^14 equal chances.

    `_SKIP_END` means that so many are passed over and a new draw is due, which a geometric law, having no memory,
    allows; so the table is short however rare the switches are.
    """
    if not 0 <= share_ppm <= _PPM:
        raise ValueError(f"a share of {share_ppm} ppm: 0 to {_PPM}")
    table = np.full(1 << _SKIP_BITS, _SKIP_END, np.uint16)
    one = 1 << 62
    left, begin = one, 0
    for skip in range(_SKIP_END):
        left = left * (_PPM - share_ppm) // _PPM
        end = (((one - left) << _SKIP_BITS) + one // 2) // one
        table[begin:end] = skip
        begin = end
    table.setflags(write=False)
    return table


@kernel
def _hash(number: int, first: int, second: int) -> int:
    """32 random bits for a number under a key of two halves.

    Casts to 32 bits tell the compiler that the lanes are narrow; each value is widened again before it is multiplied.
    """
    x = np.uint32((number * 0x9E3779B1 + first) & 0xFFFFFFFF)
    x = np.uint32(int(x) ^ (int(x) >> 16))
    x = np.uint32((int(x) * 0x7FEB352D + second) & 0xFFFFFFFF)
    x = np.uint32(int(x) ^ (int(x) >> 15))
    x = np.uint32((int(x) * 0x846CA68B) & 0xFFFFFFFF)
    return int(np.uint32(int(x) ^ (int(x) >> 16)))


@kernel
def _byte_sum(bits: int) -> int:
    """The four bytes summed, about their mean: nearly normal, variance 21,845."""
    return int(np.int32((bits & 255) + ((bits >> 8) & 255) + ((bits >> 16) & 255) + ((bits >> 24) & 255) - 510))


@kernel
def _slot_level(nominal: int, factor: int) -> int:
    """Mean demand of a slot under a factor of the day, quanta."""
    level = np.int32(np.int32(nominal * factor + 4096) >> 13)
    return min(32_767, max(-32_767, int(level)))


@kernel
def _slot_demand(nominal: int, level: int, noise: int, deviation: int) -> int:
    """Demand of a slot, quanta: within its nameplate and its type, never of the other sign than its level."""
    spread = np.int32(np.int32(level * noise + 2) >> 2)
    change = np.int32(np.int32(int(spread) * deviation + 4096) >> 13)
    even = max(level, 0 - level)
    change = np.int32(min(even, max(-even, int(change))))
    # abs() of a narrow integer stays narrow when compiled; a product is wide.
    most = min(abs(4 * nominal), 32_767)
    return min(most, max(-most, level + int(change)))


@kernel
def _feed_demand(nominal: int, noise: int, deviation: int, factor: int) -> int:
    """Demand of one big feed, quanta."""
    level = (nominal * factor + 4096) >> 13
    change = (level * noise * deviation + 16_384) >> 15
    even = abs(level)
    change = min(even, max(-even, change))
    most = min(abs(4 * nominal), 2_147_483_647)
    return min(most, max(-most, level + change))


@kernel
def _advance_block(
    demand: NDArray[np.int16],
    nominal: NDArray[np.int16],
    deviation: NDArray[np.int16],
    noise: NDArray[np.uint8],
    kind: NDArray[np.uint8],
    start: int,
    first: int,
    second: int,
    rho: int,
    gain: int,
    profiled: bool,
    factors: NDArray[np.int32],
) -> int:
    """One step of the slots of one block; their sum."""
    total = 0
    # Narrow copies: the compiler keeps to lanes of 32 bits only where it sees that no factor is wider.
    low, high = np.uint32((start * 0x9E3779B1 + first) & 0xFFFFFFFF), np.uint32(second)
    keep, push = np.int32(rho), np.int32(gain)
    for j in range(len(deviation)):
        bits = _hash(int(np.uint32(j)), int(low), int(high))
        moved = np.int32(int(deviation[j]) * int(keep) + _byte_sum(bits) * int(push) + 32_768)
        deviation[j] = min(1023, max(-1023, int(moved) >> 16))
    if profiled:
        # With the look into the table in a loop of its own, both loops are vectorised.
        for j in range(len(demand)):
            demand[j] = _slot_level(int(nominal[j]), int(factors[kind[j]]))
        for j in range(len(demand)):
            now = np.int32(_slot_demand(int(nominal[j]), int(demand[j]), int(noise[j]), int(deviation[j])))
            demand[j] = now
            total += int(now)
    else:
        for j in range(len(demand)):
            now = np.int32(_slot_demand(int(nominal[j]), int(nominal[j]), int(noise[j]), int(deviation[j])))
            demand[j] = now
            total += int(now)
    return total


@parallel_kernel
def _advance(
    columns: Columns,
    living: Living,
    first: int,
    second: int,
    rho: int,
    gain: int,
    profiled: bool,
    factors: NDArray[np.int32],
) -> None:
    starts, sums, demand = columns.block_start, columns.block_sum, columns.demand
    nominal, deviation, noise, kind = living.nominal, living.deviation, living.noise, living.kind
    for block in prange(len(sums)):
        lo, hi = starts[block], starts[block + 1]
        sums[block] = _advance_block(
            demand[lo:hi], nominal[lo:hi], deviation[lo:hi], noise[lo:hi], kind[lo:hi],
            lo, first, second, rho, gain, profiled, factors,
        )  # fmt: skip
    for feed in range(len(columns.big_demand)):
        # Owners are hashed from the other end of the numbers, away from the slots.
        bits = _hash(0xFFFFFFFF - int(columns.big_owner[feed]), first, second)
        z = (int(living.big_deviation[feed]) * rho + _byte_sum(bits) * gain + 32_768) >> 16
        z = min(1023, max(-1023, z))
        living.big_deviation[feed] = z
        columns.big_demand[feed] = _feed_demand(
            int(living.big_nominal[feed]), int(living.big_noise[feed]), z, int(factors[living.big_kind[feed]])
        )


@parallel_kernel
def _advance_some(
    columns: Columns,
    living: Living,
    first: int,
    second: int,
    gain: int,
    profiled: bool,
    factors: NDArray[np.int32],
    skips: NDArray[np.uint16],
    feed_chance: int,
    switched: NDArray[np.int64],
) -> None:
    starts, sums, demand, row_block = columns.block_start, columns.block_sum, columns.demand, columns.row_block
    nominal, deviation, noise, kind = living.nominal, living.deviation, living.noise, living.kind
    blocks = len(sums)
    for stripe in prange(len(switched) - 1):
        slot, end = starts[stripe * 64] - 1, starts[min(blocks, (stripe + 1) * 64)]
        count, draw = 0, 0
        while True:
            # Chains of skips are keyed apart from the noise by the halves' change of place.
            bits = _hash(_hash(stripe, second, first) + draw, second, first)
            draw += 1
            skip = int(skips[bits & 0x3FFF])
            if skip == 4096:
                slot += skip
                if slot >= end:
                    break
                continue
            slot += skip + 1
            if slot >= end:
                break
            if nominal[slot] == 0:
                continue
            z = (_byte_sum(_hash(slot, first, second)) * gain + 32_768) >> 16
            level = _slot_level(int(nominal[slot]), int(factors[kind[slot]]) if profiled else 8192)
            now = _slot_demand(int(nominal[slot]), level, int(noise[slot]), z)
            sums[row_block[slot // 16]] += now - int(demand[slot])
            deviation[slot] = z
            demand[slot] = now
            count += 1
        switched[stripe] = count
    changed = 0
    for feed in range(len(columns.big_demand)):
        number = 0xFFFFFFFF - int(columns.big_owner[feed])
        if _hash(number, second, first) >= feed_chance or living.big_nominal[feed] == 0:
            continue
        z = (_byte_sum(_hash(number, first, second)) * gain + 32_768) >> 16
        living.big_deviation[feed] = z
        columns.big_demand[feed] = _feed_demand(
            int(living.big_nominal[feed]), int(living.big_noise[feed]), z, int(factors[living.big_kind[feed]])
        )
        changed += 1
    switched[len(switched) - 1] = changed


def nameplates(living: Living) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Largest magnitude of each slot and big feed, quanta; 0 where nobody is."""
    slots = np.minimum(NAMEPLATE * np.abs(living.nominal.astype(np.int32)), DEMAND_LIMIT).astype(np.int16)
    feeds = np.minimum(NAMEPLATE * np.abs(living.big_nominal.astype(np.int64)), 2**31 - 1).astype(np.int32)
    return slots, feeds
