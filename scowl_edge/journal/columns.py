"""The bytes of an `inputs` record: its columns as they lie in memory, and its events as canonical JSON.

One fixed layout, little-endian, so that the same inputs always give the same bytes:

    step, mono_ms, utc_ms, move_budget (4 x i64) · flags (u8) · count (u32) · length of the events (u32)
    value (i64 x count) · received_ms (i64 x count) · signals (i32 x count) · quality (u8 x count) · events

Most of a journal is such columns; as text they would cost more to write than all else in a step's records.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scowl_edge.model.codec import decode, encode
from scowl_edge.model.effect import Inputs
from scowl_edge.model.event import Event
from scowl_edge.model.tick import Tick

_HEAD = struct.Struct("<4qBII")
_ROW_BYTES = 8 + 8 + 4 + 1
_UTC_OK, _JOURNAL_OK = 1, 2
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

    @classmethod
    def of(cls, inputs: Inputs) -> Columns:
        """The columns of what a step sees. Raises CodecError where an event has no canonical form."""
        tick = inputs.tick
        return cls(
            clock=np.array([tick.step, tick.mono_ms, tick.utc_ms, tick.move_budget], np.int64),
            flags=(_UTC_OK if tick.utc_ok else 0) | (_JOURNAL_OK if tick.journal_ok else 0),
            signals=inputs.signals,
            value=inputs.value,
            quality=inputs.quality,
            received_ms=inputs.received_ms,
            events=encode(inputs.events, _Events),
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
        return Inputs(
            tick=Tick(
                step=step,
                mono_ms=mono_ms,
                utc_ms=utc_ms,
                utc_ok=bool(self.flags & _UTC_OK),
                journal_ok=bool(self.flags & _JOURNAL_OK),
                move_budget=move_budget,
            ),
            signals=self.signals,
            value=self.value,
            quality=self.quality,
            received_ms=self.received_ms,
            events=decode(_Events, self.events),
        )
