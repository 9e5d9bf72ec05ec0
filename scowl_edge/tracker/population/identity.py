"""Identities of 128 bits, by which peers are known outside; inside, everybody is a place.

The seed's hash, MurmurHash3 (x64, 128 bits) under the seed 42, over a peer's address and a nonce that the server draws
at its first join: so nobody can choose where he lands. A peer that comes back keeps its nonce and so its identity.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEED = 42
_C1, _C2 = np.uint64(0x87C3_7B91_1142_53D5), np.uint64(0x4CF5_AD43_2745_937F)
_FIVE = np.uint64(5)
_ADD1, _ADD2 = np.uint64(0x52DC_E729), np.uint64(0x3849_5AB5)
_MIX1, _MIX2 = np.uint64(0xFF51_AFD7_ED55_8CCD), np.uint64(0xC4CE_B9FE_1A85_EC53)
_HALF = np.uint64(33)


def identities(addresses: NDArray[np.uint8], nonces: NDArray[np.uint64]) -> NDArray[np.int64]:
    """int64[peers, 2], the identity of each peer.

    Args:
        addresses: uint8[peers, bytes], of one length.
        nonces: uint64[peers], drawn by the server.
    """
    nonce_bytes = nonces.astype("<u8").view(np.uint8).reshape(-1, 8)
    return murmur3(np.hstack([addresses, nonce_bytes]), SEED).view(np.int64)


def murmur3(rows: NDArray[np.uint8], seed: int) -> NDArray[np.uint64]:
    """uint64[rows, 2], MurmurHash3 x64 128 of each row of bytes; all rows are of one length."""
    count, length = rows.shape
    padded = np.zeros((count, -(-max(1, length) // 16) * 16), np.uint8)
    padded[:, :length] = rows
    words = padded.view("<u8").astype(np.uint64, copy=False)
    h1 = np.full(count, seed, np.uint64)
    h2 = h1.copy()
    whole = length // 16
    for block in range(whole):
        h1 = (_turned(h1 ^ _first(words[:, 2 * block]), 27) + h2) * _FIVE + _ADD1
        h2 = (_turned(h2 ^ _second(words[:, 2 * block + 1]), 31) + h1) * _FIVE + _ADD2
    if length % 16:
        # A tail is one more block, filled up with zeros, without the turns.
        h1, h2 = h1 ^ _first(words[:, 2 * whole]), h2 ^ _second(words[:, 2 * whole + 1])
    h1, h2 = h1 ^ np.uint64(length), h2 ^ np.uint64(length)
    h1 = h1 + h2
    h2 = h2 + h1
    h1, h2 = _mixed(h1), _mixed(h2)
    h1 = h1 + h2
    return np.stack([h1, h2 + h1], axis=1)


def _first(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return _turned(words * _C1, 31) * _C2


def _second(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return _turned(words * _C2, 33) * _C1


def _turned(words: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> _HALF)) * _MIX1
    words = (words ^ (words >> _HALF)) * _MIX2
    return words ^ (words >> _HALF)
