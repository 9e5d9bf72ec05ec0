"""The bytes of an `inputs` record: its columns as they lie in memory, and its events as canonical JSON.

One fixed layout, little-endian, so that the same inputs always give the same bytes:

    step, mono_ms, utc_ms, move_budget (4 x i64) · flags (u8: clocks, journal, batches, lateness) · count (u32) ·
    length of the events (u32)
    value (i64 x count) · received_ms (i64 x count) · signals (i32 x count) · quality (u8 x count) · events

Where there are batches of populations (a flag), the events are preceded by their own length (u32) and followed by the
batches, each with a head (population u16, kind u8, sender u32, sequence u64, at_ms i64, length u32) and its rows.

Most of a journal is such columns; as text they would cost more to write than all else in a step's records.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.batch import Batch, BatchKind
from scowl_edge.model.codec import CodecError, decode, encode
from scowl_edge.model.effect import Inputs
from scowl_edge.model.event import Event
from scowl_edge.model.tick import Late, Tick

_HEAD = struct.Struct("<4qBII")
_ROW_BYTES = 8 + 8 + 4 + 1
_UTC_OK, _JOURNAL_OK, _BATCHES = 1, 2, 4
_LATE_AT = 3
"""The bits of flags from here on: how late the step was."""
_BATCH = struct.Struct("<HBIQqI")
_LENGTH = struct.Struct("<I")
_Events = tuple[Event, ...]


class NotColumns(Exception):
    """Bytes that have not this layout."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Inputs, with their events still as bytes."""

    clock: NDArray[np.int64]
    """step, mono_ms, utc_ms, move_budget."""
    flags: int
    signals: NDArray[np.int32]
    value: NDArray[np.int64]
    quality: NDArray[np.uint8]
    received_ms: NDArray[np.int64]
    events: bytes
    """And batches, if there are any."""

    @classmethod
    def of(cls, inputs: Inputs) -> Columns:
        """The columns of what a step sees. Raises CodecError where an event has no canonical form."""
        tick = inputs.tick
        return cls(
            clock=np.array([tick.step, tick.mono_ms, tick.utc_ms, tick.move_budget], np.int64),
            flags=(_UTC_OK if tick.utc_ok else 0)
            | (_JOURNAL_OK if tick.journal_ok else 0)
            | (_BATCHES if inputs.batches else 0)
            | (tick.late << _LATE_AT),
            signals=inputs.signals,
            value=inputs.value,
            quality=inputs.quality,
            received_ms=inputs.received_ms,
            events=_joined(encode(inputs.events, _Events), inputs.batches),
        )

    @classmethod
    def parse(cls, payload: bytes) -> Columns:
        """Raises NotColumns where the bytes are not of this layout."""
        if len(payload) < _HEAD.size:
            raise NotColumns("too short for the head of inputs")
        *_, flags, count, length = _HEAD.unpack_from(payload)
        if _HEAD.size + count * _ROW_BYTES + length != len(payload):
            raise NotColumns("its length is not that of its columns and events")
        at = _HEAD.size
        return cls(
            clock=np.frombuffer(payload, "<i8", 4).astype(np.int64, copy=False),
            flags=flags,
            value=np.frombuffer(payload, "<i8", count, at).astype(np.int64),
            received_ms=np.frombuffer(payload, "<i8", count, at + 8 * count).astype(np.int64),
            signals=np.frombuffer(payload, "<i4", count, at + 16 * count).astype(np.int32),
            quality=np.frombuffer(payload, "u1", count, at + 20 * count).astype(np.uint8),
            events=payload[at + _ROW_BYTES * count :],
        )

    def join(self) -> bytes:
        """The payload."""
        return b"".join(
            (
                _HEAD.pack(*self.clock.tolist(), self.flags, len(self.signals), len(self.events)),
                self.value.astype("<i8", copy=False).tobytes(),
                self.received_ms.astype("<i8", copy=False).tobytes(),
                self.signals.astype("<i4", copy=False).tobytes(),
                self.quality.tobytes(),
                self.events,
            )
        )

    def inputs(self) -> Inputs:
        """What the step saw. Raises CodecError where the events cannot be read."""
        step, mono_ms, utc_ms, move_budget = self.clock.tolist()
        events, batches = _parted(self.events) if self.flags & _BATCHES else (self.events, ())
        if self.flags >> _LATE_AT > max(Late):
            raise CodecError(f"inputs record: unknown flags {self.flags}")
        return Inputs(
            tick=Tick(
                step=step,
                mono_ms=mono_ms,
                utc_ms=utc_ms,
                utc_ok=bool(self.flags & _UTC_OK),
                journal_ok=bool(self.flags & _JOURNAL_OK),
                move_budget=move_budget,
                late=Late(self.flags >> _LATE_AT),
            ),
            signals=self.signals,
            value=self.value,
            quality=self.quality,
            received_ms=self.received_ms,
            events=decode(_Events, events),
            batches=batches,
        )


def _joined(events: bytes, batches: tuple[Batch, ...]) -> bytes:
    if not batches:
        return events
    parts = [_LENGTH.pack(len(events)), events]
    for b in batches:
        parts += (_BATCH.pack(b.population, b.kind, b.sender, b.sequence, b.at_ms, len(b.data)), b.data)
    return b"".join(parts)


def _parted(data: bytes) -> tuple[bytes, tuple[Batch, ...]]:
    """(events, batches). Raises CodecError where the bytes are not such."""
    batches = []
    try:
        at = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        events = data[_LENGTH.size : at]
        while at < len(data):
            population, kind, sender, sequence, at_ms, length = _BATCH.unpack_from(data, at)
            at += _BATCH.size
            batches.append(
                Batch(
                    population=population,
                    kind=BatchKind(kind),
                    sender=sender,
                    sequence=sequence,
                    at_ms=at_ms,
                    data=data[at : at + length],
                )
            )
            at += length
    except (struct.error, ValueError) as error:
        raise CodecError(f"batches of an inputs record: {error}") from None
    if at != len(data):
        raise CodecError("batches of an inputs record: the last one is cut short")
    return events, tuple(batches)
