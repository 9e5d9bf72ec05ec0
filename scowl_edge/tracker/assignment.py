"""Generators to trackers: by a hash of their address, or by what each tracker lacks.

A newcomer is hashed into equal half-open ranges over the trackers, which needs no knowledge of anybody. With a few
hundred generators of very different size that leaves some trackers with half of what their consumers want while others
have plenty; so, where the bootstrap server knows the ratings, the largest go to the tracker that lacks most.
Powers are in W, or in any unit that is the same throughout.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SEED = 42
"""Of the hash, as every peer knows it."""
NONCE_BYTES = 8
_MASK = 0xFFFF_FFFF
_C1, _C2 = 0xCC9E_2D51, 0x1B87_3593


def murmur3_32(data: bytes, seed: int = SEED) -> int:
    """MurmurHash3 x86 32 of some bytes, unsigned."""
    state = seed & _MASK
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        state ^= _scrambled(int.from_bytes(data[at : at + 4], "little"))
        state = (_rotated(state, 13) * 5 + 0xE654_6B64) & _MASK
    if len(data) > whole:
        state ^= _scrambled(int.from_bytes(data[whole:], "little"))
    state ^= len(data) & _MASK
    state = ((state ^ state >> 16) * 0x85EB_CA6B) & _MASK
    state = ((state ^ state >> 13) * 0xC2B2_AE35) & _MASK
    return state ^ state >> 16


def generator_id(address: str, nonce: int) -> int:
    """A generator's identity, signed 32 bit. The server draws the nonce, so nobody can choose the tracker."""
    hashed = murmur3_32(address.encode() + nonce.to_bytes(NONCE_BYTES, "little"))
    return hashed - (1 << 32) if hashed >> 31 else hashed


def tracker_of(identity: int, trackers: int) -> int:
    """The tracker whose range an identity is in: [-2^31, 2^31) in equal half-open parts.

    Raises:
        ValueError: no trackers, or an identity that is no signed 32 bit.
    """
    if trackers < 1 or not -(1 << 31) <= identity < 1 << 31:
        raise ValueError(f"identity {identity} among {trackers} trackers: want a signed 32 bit number and 1 at least")
    return (identity + (1 << 31)) * trackers >> 32


def by_hash(addresses: Sequence[str], nonces: Sequence[int], trackers: int) -> NDArray[np.int64]:
    """int64[generators]: the tracker of each, by its hash alone."""
    return np.asarray(
        [tracker_of(generator_id(a, n), trackers) for a, n in zip(addresses, nonces, strict=True)], np.int64
    )


def by_capacity(rated: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[generators]: the largest first, each to the tracker that lacks most.

    Args:
        rated: int64[generators] what each can give.
        wanted: int64[trackers] what the consumers of each want; scaled so that all get the same share.
    """
    tracker = np.full(len(rated), -1, np.int64)
    return settle(tracker, rated, wanted)


def settle(tracker: NDArray[np.int64], rated: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Gives those without a tracker (-1) one, the largest first, each where most is lacking; nobody else moves."""
    settled = tracker.copy()
    lack = lacking(settled, rated, wanted)
    homeless = np.flatnonzero(settled < 0)
    for generator in homeless[np.argsort(-rated[homeless], kind="stable")].tolist():
        neediest = int(np.argmax(lack))
        settled[generator] = neediest
        lack[neediest] -= rated[generator]
    return settled


def without_tracker(
    tracker: NDArray[np.int64], rated: NDArray[np.int64], wanted: NDArray[np.int64], left: int
) -> NDArray[np.int64]:
    """Hands the generators of a tracker that left over to the others; `wanted` is what those want now, 0 for it."""
    others = np.flatnonzero(np.arange(len(wanted)) != left)
    renumbered = np.full(len(wanted) + 1, -1, np.int64)
    renumbered[others] = np.arange(len(others))
    settled = settle(renumbered[tracker], rated, wanted[others])
    return np.asarray(others[settled], np.int64)


def balanced(
    tracker: NDArray[np.int64], rated: NDArray[np.int64], wanted: NDArray[np.int64], moves: int
) -> NDArray[np.int64]:
    """Hands generators over until no hand-over helps the neediest tracker without making another as needy.

    Each is the one (or the exchange of two) after which the needier of the two trackers concerned lacks least.

    Args:
        tracker: int64[generators] where each is; not changed.
        rated: int64[generators].
        wanted: int64[trackers].
        moves: most generators that change hands.
    """
    settled = tracker.copy()
    lack = lacking(settled, rated, wanted)
    left = moves
    while left > 0:
        to = int(np.argmax(lack))
        give = np.flatnonzero(settled != to)
        source = settled[give]
        worst = np.maximum(lack[to] - rated[give], lack[source] + rated[give])
        best = int(np.argmin(worst)) if len(give) else -1
        gain = int(lack[to] - worst[best]) if best >= 0 else 0
        swap = _best_exchange(settled, rated, lack, to) if left > 1 else None
        if swap is not None and lack[to] - swap[0] > max(0, gain):
            _, given, taken = swap
            source_tracker, difference = int(settled[given]), int(rated[given] - rated[taken])
            settled[given], settled[taken] = to, source_tracker
            left -= 2
        elif gain > 0:
            source_tracker, difference = int(source[best]), int(rated[give[best]])
            settled[give[best]] = to
            left -= 1
        else:
            break
        lack[to] -= difference
        lack[source_tracker] += difference
    return settled


def lacking(tracker: NDArray[np.int64], rated: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[trackers]: how much less each has than its share of all supply; negative where it has more."""
    total, supply = max(1, int(wanted.sum())), int(rated.sum())
    share = np.asarray([supply * w // total for w in wanted.tolist()], np.int64)
    has = np.zeros(len(wanted), np.int64)
    np.add.at(has, tracker[tracker >= 0], rated[tracker >= 0])
    return np.asarray(share - has, np.int64)


def served_apart(tracker: NDArray[np.int64], usable: NDArray[np.int64], wanted: NDArray[np.int64]) -> int:
    """What can be served at most if no tracker helps another: the sum over trackers of min(supply, demand)."""
    has = np.zeros(len(wanted), np.int64)
    np.add.at(has, tracker, usable)
    return int(np.minimum(has, wanted).sum())


def _best_exchange(
    tracker: NDArray[np.int64], rated: NDArray[np.int64], lack: NDArray[np.int64], to: int
) -> tuple[int, int, int] | None:
    """(what the needier of both lacks after it, generator given, generator taken back) of the best exchange."""
    mine, others = np.flatnonzero(tracker == to), np.flatnonzero(tracker != to)
    if not len(mine) or not len(others):
        return None
    difference = rated[others][:, None] - rated[mine][None, :]
    worst = np.maximum(lack[to] - difference, lack[tracker[others]][:, None] + difference)
    at = int(np.argmin(worst))
    return int(worst.flat[at]), int(others[at // len(mine)]), int(mine[at % len(mine)])


def _scrambled(word: int) -> int:
    return _rotated(word * _C1 & _MASK, 15) * _C2 & _MASK


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & _MASK
