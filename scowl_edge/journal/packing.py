"""How records lie in the file: what a segment says again and again is written once.

Records that follow a boot or a snapshot go through one deflate stream, so that each costs what is new in it. Before
that, `inputs` are turned into differences from the inputs before them (a meter read each second moves by little, and
was received a second later), and the digests of a `plan` into the ones that changed. A stream begins anew with each
boot and snapshot, which stand by themselves: reading may begin at any of them.

Both ways are exact for any bytes: what has not the form of inputs or of a plan goes into the stream as it is.
"""

from __future__ import annotations

import re
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from scowl_edge.contracts import Record
from scowl_edge.journal.columns import Columns, NotColumns
from scowl_edge.journal.records import ANSWERED, BOOT, INPUTS, PLAN, SNAPSHOT

PLAIN, ALONE, CONTINUED, BEGINS = 0, 1, 2, 3
"""Forms of a stored payload: as it is; compressed by itself; in the stream; in the stream, as its first."""

_WORTH_PACKING = 128
"""Bytes below which zlib's head eats what it saves."""
_TOO_LARGE = 4 << 20
"""Bytes above which it would take too long: columns of a population, half of which is noise anyway."""
_LEVEL = 6
_FLUSHED = b"\x00\x00\xff\xff"
"""What every flushed block ends with; not stored."""
_AS_IS, _COLUMNS, _DIGESTS = 0, 1, 2
_DIGEST = re.compile(rb'"([0-9a-f]{16})"')
_HOLE = b"\xff"
"""Never in UTF-8: stands where a digest was."""
_MOST_SIGNALS = 1 << 20
_HEAD = struct.Struct("<BI")
_SAME = 255
_CHECK = struct.Struct("<IB")


class Damaged(Exception):
    """Stored bytes that give no payload; the text says why."""


class _Memory:
    """What both ends know of a stream: the last value and time of every signal, the last digests, the last tick."""

    def __init__(self) -> None:
        self.value = np.zeros(0, np.int64)
        self.received_ms = np.zeros(0, np.int64)
        self.signals = np.zeros(0, np.int32)
        self.clock = np.zeros(4, np.int64)
        self.digests: list[bytes] = []

    def reach(self, signals: NDArray[np.int32]) -> None:
        """Makes room for the highest signal."""
        missing = int(signals.max(initial=-1)) + 1 - len(self.value)
        if missing > 0:
            self.value = np.concatenate([self.value, np.zeros(missing, np.int64)])
            self.received_ms = np.concatenate([self.received_ms, np.zeros(missing, np.int64)])


class Packer:
    """Turns records into what is stored, in the order in which they are appended."""

    def __init__(self) -> None:
        self._memory: _Memory | None = None

    def restart(self) -> None:
        """Begins a new stream with the next record: what was packed last may not have been kept."""
        self._memory = None

    def pack(self, record: Record) -> tuple[int, bytes]:
        """(form, stored bytes) of the next record."""
        payload = record.payload
        if record.kind in (BOOT, SNAPSHOT):
            self._memory = None
            return _alone(payload)
        if record.kind == ANSWERED:
            # Read without those around it; ids do not compress.
            return PLAIN, payload
        form = CONTINUED
        if self._memory is None:
            form, self._memory = BEGINS, _Memory()
            self._stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, 9)
        text, digests = self._text(record.kind, payload, self._memory)
        deflated = self._stream.compress(text) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        stored = deflated.removesuffix(_FLUSHED)
        return form, b"".join((_CHECK.pack(zlib.crc32(payload), len(digests)), *digests, stored))

    def _text(self, kind: str, payload: bytes, memory: _Memory) -> tuple[bytes, list[bytes]]:
        if kind == INPUTS:
            try:
                columns = Columns.parse(payload)
            except NotColumns:
                pass
            else:
                if columns.signals.min(initial=0) >= 0 and columns.signals.max(initial=0) < _MOST_SIGNALS:
                    return bytes((_COLUMNS,)) + _differences(columns, memory), []
        elif kind == PLAN and _HOLE not in payload:
            found = [bytes.fromhex(text.decode()) for text in _DIGEST.findall(payload)]
            if len(found) < 256:
                changed = [i >= len(memory.digests) or memory.digests[i] != digest for i, digest in enumerate(found)]
                memory.digests = found
                text = bytes((_DIGESTS, len(found), *changed)) + _DIGEST.sub(_HOLE, payload)
                return text, [digest for digest, new in zip(found, changed, strict=True) if new]
        return bytes((_AS_IS,)) + payload, []


class Unpacker:
    """Turns stored records back; must see all of a stream, from its first."""

    def __init__(self) -> None:
        self._memory: _Memory | None = None

    def unpack(self, kind: str, form: int, stored: bytes) -> bytes:
        """The payload of the next record.

        Raises:
            Damaged: It is not what a `Packer` made, or the stream's beginning was not seen.
        """
        if kind in (BOOT, SNAPSHOT):
            self._memory = None
        try:
            if form == PLAIN:
                return stored
            if form == ALONE:
                return zlib.decompress(stored)
            if form == BEGINS:
                self._memory, self._stream = _Memory(), zlib.decompressobj(-15)
            elif form != CONTINUED:
                raise Damaged(f"unknown form {form}")
            if self._memory is None:
                raise Damaged("what it continues is missing")
            payload = self._from_stream(stored, self._memory)
        except (zlib.error, struct.error, ValueError, IndexError) as error:
            self._memory = None
            raise Damaged(str(error) or type(error).__name__) from error
        if zlib.crc32(payload) != _CHECK.unpack_from(stored)[0]:
            self._memory = None
            raise Damaged("its checksum does not fit")
        return payload

    def _from_stream(self, stored: bytes, memory: _Memory) -> bytes:
        _, count = _CHECK.unpack_from(stored)
        at = _CHECK.size
        digests = [stored[i : i + 8] for i in range(at, at + 8 * count, 8)]
        text = self._stream.decompress(stored[at + 8 * count :] + _FLUSHED)
        way = text[0]
        if way == _COLUMNS:
            return _from_differences(text[1:], memory)
        if way == _DIGESTS:
            return _with_digests(text, digests, memory)
        return text[1:]


def _alone(payload: bytes) -> tuple[int, bytes]:
    if _WORTH_PACKING < len(payload) <= _TOO_LARGE:
        packed = zlib.compress(payload, _LEVEL)
        if len(packed) < len(payload):
            return ALONE, packed
    return PLAIN, payload


def _with_digests(text: bytes, new: list[bytes], memory: _Memory) -> bytes:
    total = text[1]
    changed, template = text[2 : 2 + total], text[2 + total :].split(_HOLE)
    fresh = iter(new)
    memory.digests = [next(fresh, b"") if is_new else memory.digests[i] for i, is_new in enumerate(changed)]
    words = [b'"' + digest.hex().encode() + b'"' for digest in memory.digests]
    return b"".join(part for pair in zip(template, [*words, b""], strict=True) for part in pair)


def _differences(now: Columns, memory: _Memory) -> bytes:
    memory.reach(now.signals)
    at = now.signals
    same = len(at) == len(memory.signals) and bool((at == memory.signals).all())
    out = [
        _HEAD.pack(now.flags, len(at)),
        _planes(now.clock - memory.clock),
        bytes((_SAME,)) if same else _planes(_steps(at.astype(np.int64), -1)),
        _planes(now.value - memory.value[at]),
        # The signals of one device come together, and each of its periods takes about as long as the last.
        _planes(_steps(now.received_ms - memory.received_ms[at], 0)),
        _planes(now.quality.astype(np.int64)),
        now.events,
    ]
    _remember(now, memory)
    return b"".join(out)


def _from_differences(text: bytes, memory: _Memory) -> bytes:
    flags, count = _HEAD.unpack_from(text)
    at = _HEAD.size
    clock, at = _column(text, at, 4)
    if text[at] == _SAME:
        signals, at = memory.signals, at + 1
    else:
        steps, at = _column(text, at, count)
        signals = (np.cumsum(steps) - 1).astype(np.int32)
    value, at = _column(text, at, count)
    received, at = _column(text, at, count)
    quality, at = _column(text, at, count)
    memory.reach(signals)
    now = Columns(
        clock=clock + memory.clock,
        flags=flags,
        signals=signals,
        value=value + memory.value[signals],
        quality=quality.astype(np.uint8),
        received_ms=np.cumsum(received) + memory.received_ms[signals],
        events=text[at:],
    )
    _remember(now, memory)
    return now.join()


def _remember(now: Columns, memory: _Memory) -> None:
    # A signal may occur twice in what is not from a freeze: both ends must then keep the same one.
    order = now.signals
    memory.value[order] = now.value
    memory.received_ms[order] = now.received_ms
    memory.signals = now.signals
    memory.clock = now.clock


def _steps(numbers: NDArray[np.int64], before: int) -> NDArray[np.int64]:
    """Each number without the one before it; the first without `before`."""
    out = numbers.copy()
    out[1:] -= numbers[:-1]
    out[:1] -= before
    return out


def _planes(numbers: NDArray[np.int64]) -> bytes:
    """Small numbers in few bytes: the sign in the lowest bit, then all lowest bytes, all second ones, ..."""
    folded = ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)
    width = (int(folded.max(initial=np.uint64(0))).bit_length() + 7) // 8
    digits = folded.view(np.uint8).reshape(-1, 8)[:, :width]
    return bytes((width,)) + digits.T.tobytes()


def _column(text: bytes, at: int, count: int) -> tuple[NDArray[np.int64], int]:
    """(numbers, where the next column begins)."""
    width = text[at]
    end = at + 1 + width * count
    if width > 8 or end > len(text):
        raise ValueError("a column is cut short")
    digits = np.zeros((count, 8), np.uint8)
    digits[:, :width] = np.frombuffer(text, np.uint8, width * count, at + 1).reshape(width, count).T
    folded = digits.view(np.uint64).reshape(count)
    return (folded >> np.uint64(1)).view(np.int64) ^ -(folded & np.uint64(1)).view(np.int64), end
