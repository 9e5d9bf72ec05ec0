"""Arrays by name, as bytes and back: what a snapshot of a population is made of. No element costs Python."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.errors import ScowlError

_MAGIC, _UNCHECKED = b"scowlpo2", b"scowlpop"
"""How it begins; and how it did in versions whose snapshots had no checksum."""
_CHECKSUM = struct.Struct("<I")
"""CRC-32 of all that follows it."""
_COUNT = struct.Struct("<I")
_HEAD = struct.Struct("<B3sQ")

AnyArray = NDArray[np.generic]


class TornArrays(ScowlError):
    """Bytes that are no packed arrays, or not all of them."""


def pack(arrays: Mapping[str, AnyArray]) -> bytes:
    """One-dimensional arrays in the order of the mapping; little-endian, each behind its name, type and length."""
    parts: list[bytes | memoryview] = [_COUNT.pack(len(arrays))]
    for name, array in arrays.items():
        flat = np.ascontiguousarray(array).reshape(-1)
        kind = flat.dtype.str[1:].encode()
        parts.append(_HEAD.pack(len(name), kind, len(flat)) + name.encode())
        parts.append(flat.astype(flat.dtype.newbyteorder("<"), copy=False).view(np.uint8).data)
    checksum = 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return b"".join([_MAGIC, _CHECKSUM.pack(checksum), *parts])


def unpack(data: bytes) -> dict[str, AnyArray]:
    """The arrays, flat and not to be written to: they share the memory of `data`.

    Raises:
        TornArrays: the bytes are not those that were packed, or are of another version.
    """
    if data[: len(_UNCHECKED)] == _UNCHECKED:
        raise TornArrays(
            "a population's snapshot is of an earlier version, without a checksum: go back to that version"
        )
    if data[: len(_MAGIC)] != _MAGIC:
        raise TornArrays("a population's snapshot does not begin like one; it is damaged or of another version")
    arrays: dict[str, AnyArray] = {}
    try:
        (checksum,) = _CHECKSUM.unpack_from(data, len(_MAGIC))
        at = len(_MAGIC) + _CHECKSUM.size
        found = zlib.crc32(memoryview(data)[at:])
        if found != checksum:
            raise TornArrays(
                f"a population's snapshot of {len(data)} bytes is cut short or damaged: its checksum is {found:08x}, "
                f"{checksum:08x} was stored"
            )
        (count,) = _COUNT.unpack_from(data, at)
        at += _COUNT.size
        for _ in range(count):
            name_length, kind, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size
            name = data[at : at + name_length].decode()
            at += name_length
            dtype = np.dtype("<" + kind.rstrip(b"\0").decode())
            arrays[name] = np.frombuffer(data, dtype, length, at)
            at += length * dtype.itemsize
    except (struct.error, ValueError, TypeError) as error:
        raise TornArrays(f"a population's snapshot is cut short or damaged: {error}") from None
    if at != len(data):
        raise TornArrays(f"a population's snapshot has {len(data) - at} bytes too many: it is damaged")
    return arrays
