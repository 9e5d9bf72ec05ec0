"""Values as they came in an answer: numbers as columns, straight from its bytes; all else one by one.

Most of what a server sends are numbers of one type with one time stamp: records of equal length, which are read many at
a time. Imported only when a driver connects.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from numpy.typing import NDArray

_VALUE, _STATUS, _SOURCE_TIME, _SERVER_TIME = 0x01, 0x02, 0x04, 0x08
_FLAGS = _VALUE | _STATUS | _SOURCE_TIME | _SERVER_TIME
"""What a record may hold; with fractions of time stamps in it, it is read one by one."""
_FORMATS = dict(enumerate(("u1", "<i1", "<u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f4", "<f8"), 1))
"""Of each built-in type that is a number (OPC 10000-6, 5.1.2): how it lies on the wire."""
_LOOK_AHEAD = 512
"""Records that are looked at together: types that alternate must not make the search for equals long."""
_EPOCH_MS = 11_644_473_600_000
"""From 1601, where time stamps begin, to 1970."""
_HANDLE = struct.Struct("<I")


@dataclass(slots=True)
class Values:
    """Answers to the items of one request or notification. All arrays have one entry a number that came."""

    items: NDArray[np.intp]
    """Client handle, or place in the request."""
    types: NDArray[np.uint8]
    """Number of the built-in type."""
    numbers: NDArray[np.float64]
    codes: NDArray[np.uint32]
    """Status codes."""
    stamps_ms: NDArray[np.int64]
    """Source time stamps, ms since 1970; 0 where there is none."""
    others: list[tuple[int, ua.DataValue]] = field(default_factory=list)
    """Items whose answer is no single number, with what came."""

    def __len__(self) -> int:
        return len(self.items) + len(self.others)

    def single(self, at: int) -> ua.DataValue:
        """One of the numbers as the library would hold it, but for its time stamp."""
        kind, number = ua.VariantType(int(self.types[at])), float(self.numbers[at])
        value = bool(number) if kind is ua.VariantType.Boolean else number if kind.value >= 10 else int(number)
        return ua.DataValue(ua.Variant(value, kind), ua.StatusCode(ua.UInt32(int(self.codes[at]))))

    def below(self, size: int) -> Values:
        """Without items from that number on: handles that nobody gave out."""
        if not len(self.items) or int(self.items.max()) < size:
            self.others = [(item, data) for item, data in self.others if item < size]
            return self
        kept = self.items < size
        return Values(
            self.items[kept], self.types[kept], self.numbers[kept], self.codes[kept], self.stamps_ms[kept],
            [(item, data) for item, data in self.others if item < size],
        )  # fmt: skip


def equal(one: Any, other: Any) -> bool:
    """Whether two raw values are equal; NaN equals NaN here."""
    return bool(one == other) or (one != one and other != other)


def joined(parts: Sequence[Values]) -> Values:
    """Answers to the parts of one request, as if it had been asked in one."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return _joined([], [], handled=False)
    firsts = [sum(map(len, parts[:n])) for n in range(len(parts))]
    return Values(
        np.concatenate([part.items + first for first, part in zip(firsts, parts, strict=True)]),
        np.concatenate([part.types for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.stamps_ms for part in parts]),
        [(first + item, data) for first, part in zip(firsts, parts, strict=True) for item, data in part.others],
    )


@functools.cache
def _record(handled: bool, mask: int, kind: int) -> np.dtype[np.void]:
    fields = [("handle", "<u4")] if handled else []
    fields += [("mask", "u1"), ("kind", "u1"), ("number", _FORMATS[kind])]
    fields += [("code", "<u4")] if mask & _STATUS else []
    fields += [("stamp", "<i8")] if mask & _SOURCE_TIME else []
    fields += [("sent", "<i8")] if mask & _SERVER_TIME else []
    return np.dtype(fields)


def parse(data: bytes, at: int, count: int, *, handled: bool) -> tuple[Values, int]:
    """Reads `count` values that begin at a byte; returns them and where they end.

    Args:
        data: Body of a message.
        at: Index of the first byte.
        count: How many there are.
        handled: Whether a client handle stands before each; else items are numbered from 0.

    Raises:
        ValueError, struct.error, IndexError: the bytes end before the values do.
        UaError: what the library cannot decode.
    """
    runs: list[tuple[int, NDArray[np.void]]] = []
    others: list[tuple[int, ua.DataValue]] = []
    done, lead = 0, 4 if handled else 0
    while done < count:
        mask, kind = data[at + lead], data[at + lead + 1]
        if mask & _VALUE and not mask & ~_FLAGS and kind in _FORMATS:
            record = _record(handled, mask, kind)
            run = _equal_ones(data, at, min(count - done, _LOOK_AHEAD), record, lead)
            runs.append((done, run))
            done += len(run)
            at += len(run) * record.itemsize
            continue
        item = _HANDLE.unpack_from(data, at)[0] if handled else done
        rest = Buffer(data, at + lead)
        others.append((item, struct_from_binary(ua.DataValue, rest)))
        done, at = done + 1, rest.cur_pos
    return _joined(runs, others, handled=handled), at


def _equal_ones(data: bytes, at: int, most: int, record: np.dtype[np.void], lead: int) -> NDArray[np.void]:
    """Records from here on that are laid out as the first."""
    size = record.itemsize
    most = min(most, (len(data) - at) // size)
    if most < 1:
        raise ValueError("the answer ends within a value")
    if most > 1 and data[at + size + lead : at + size + lead + 2] != data[at + lead : at + lead + 2]:
        most = 1
    run = np.frombuffer(data, record, most, at)
    if most > 2:
        same = (run["mask"] == run["mask"][0]) & (run["kind"] == run["kind"][0])
        run = run if same.all() else run[: int(same.argmin())]
    return run


def _joined(
    runs: Sequence[tuple[int, NDArray[np.void]]], others: list[tuple[int, ua.DataValue]], *, handled: bool
) -> Values:
    size = sum(len(run) for _, run in runs)
    values = Values(
        np.empty(size, np.intp), np.empty(size, np.uint8), np.empty(size), np.zeros(size, np.uint32),
        np.zeros(size, np.int64), others,
    )  # fmt: skip
    at = 0
    for first, run in runs:
        here = slice(at, at + len(run))
        names = run.dtype.names or ()
        values.items[here] = run["handle"] if handled else np.arange(first, first + len(run))
        values.types[here] = run["kind"]
        values.numbers[here] = run["number"] != 0 if run["kind"][0] == 1 else run["number"]
        if "code" in names:
            values.codes[here] = run["code"]
        if "stamp" in names:
            values.stamps_ms[here] = np.maximum((run["stamp"] + 5_000) // 10_000 - _EPOCH_MS, 0)
        at += len(run)
    return values
