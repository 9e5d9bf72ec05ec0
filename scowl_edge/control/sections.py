"""The sections of a region's memory as bytes and digests, and a snapshot that holds more than the memory."""

from __future__ import annotations

import struct
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scowl_edge.control.memory import Memory
from scowl_edge.model.codec import CodecError, digest, encode

GROWING = ("decisions", "events")
"""Sections whose entries are never changed, only added at the end and dropped at the front."""
_HINTS = typing.get_type_hints(Memory)
"""The sections of the memory, in order, and their types."""
_POPULATED = b"populated\n"
"""Begins a snapshot that holds populations or talks of flexibility; every part follows behind its length."""
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class _Encoding:
    """The bytes of a growing list, and what tells that it is still the same."""

    size: int
    first: object
    last: object
    data: bytes


class Sections:
    """Encodes and digests a memory, of which little changes from one step to the next."""

    def __init__(self) -> None:
        self._encodings: dict[str, _Encoding] = {}
        self._digested: dict[str, tuple[bytes, str]] = {}
        """By section: the bytes that were digested last, and their digest."""

    def encoded(self, memory: Memory) -> dict[str, bytes]:
        """Canonical bytes, by section."""
        return {name: self._encoded(name, getattr(memory, name), hint) for name, hint in _HINTS.items()}

    def digests(self, memory: Memory) -> list[tuple[str, str]]:
        """(section, digest)."""
        return [(name, self._digest(name, data)) for name, data in self.encoded(memory).items()]

    def _encoded(self, name: str, section: Any, hint: Any) -> bytes:
        """A section's bytes; lists that only grow at their end are encoded when they did."""
        if name not in GROWING or not section:
            return encode(section, hint)
        known = self._encodings.get(name)
        if (
            known is None
            or known.size != len(section)
            or known.first is not section[0]
            or known.last is not section[-1]
        ):
            known = self._encodings[name] = _Encoding(len(section), section[0], section[-1], encode(section, hint))
        return known.data

    def _digest(self, name: str, data: bytes) -> str:
        """Most sections stay as they are in most steps, and bytes are compared quicker than digested."""
        before = self._digested.get(name)
        if before is None or before[0] != data:
            before = self._digested[name] = data, digest(data)
        return before[1]


def packed(parts: Sequence[bytes]) -> bytes:
    """A snapshot: the memory first; alone it stands for itself."""
    if len(parts) == 1:
        return parts[0]
    return _POPULATED + b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def unpacked(data: bytes) -> list[bytes]:
    """The parts of a snapshot, the memory first.

    Raises:
        CodecError: It is cut short.
    """
    if not data.startswith(_POPULATED):
        return [data]
    parts, at = [], len(_POPULATED)
    while at < len(data):
        if at + _LENGTH.size > len(data):
            raise CodecError("restore: the snapshot is cut short")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        parts.append(data[at : at + length])
        at += length
    if at != len(data):
        raise CodecError("restore: the snapshot is cut short")
    return parts
