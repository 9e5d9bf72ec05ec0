"""What a node's answer makes of the points that lie there. Imported only when a driver connects."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from asyncua import ua

from scowl_edge.drivers.opcua.meaning import DATETIME, STRING, TYPE_NAMES
from scowl_edge.drivers.opcua.places import Place, Slot
from scowl_edge.drivers.opcua.statuses import NO_SUCH_NODE, is_one_of, status_name
from scowl_edge.model.signal import Cause, Quality, Reading

_LOCALIZED_TEXT = int(ua.VariantType.LocalizedText.value)
_STAMP_GRID_MS = 1_000
"""Values of one device whose source times fall into the same second share one reading."""


@dataclass(slots=True)
class _Block:
    points: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    causes: list[int] = field(default_factory=list)
    stamp_ms: int = 0


class Decoder:
    """Turns answers into readings, one a device and second of source time; keeps texts and faults beside them."""

    def __init__(self, texts: dict[int, str], faults: dict[int, str]) -> None:
        """Fills both, by point index: the last text of each string; in words, why a point is bad, while it is."""
        self._texts = texts
        self._faults = faults

    def readings(
        self, answers: Iterable[tuple[Place, ua.DataValue]], requested_ms: int, received_ms: int
    ) -> list[Reading]:
        """Notes on each place when it was heard, its type and fault, and returns its points' values."""
        blocks: dict[tuple[int, int], _Block] = {}
        for place, data in answers:
            stamp_ms = _utc_ms(data.SourceTimestamp)
            block = blocks.setdefault((place.device, stamp_ms // _STAMP_GRID_MS), _Block())
            block.stamp_ms = max(block.stamp_ms, stamp_ms)
            place.received_ms, place.heard = received_ms, True
            self._take(place, data, block)
        return [
            Reading(
                np.array(block.points, np.int32),
                np.array(block.values, np.float64),
                np.array(block.quality, np.uint8),
                np.array(block.causes, np.uint8),
                requested_ms,
                received_ms,
                block.stamp_ms,
            )
            for block in blocks.values()
        ]

    def _take(self, place: Place, data: ua.DataValue, block: _Block) -> None:
        code = int(data.StatusCode.value) if data.StatusCode is not None else 0
        quality = Quality(min(code >> 30, Quality.BAD))
        variant = data.Value
        wire_type = _wire_type(variant)
        place.fault = status_name(code) if quality is Quality.BAD else ""
        if place.node is None:
            place.fault = f"the server has no namespace {place.name.uri or place.name.index}"
        if wire_type:
            place.wire_type = wire_type
        for slot in place.slots:
            value, cause, fault = math.nan, Cause.NONE, place.fault
            if fault:
                cause = Cause.UNKNOWN_NODE if is_one_of(code, NO_SUCH_NODE) else Cause.EXCEPTION
            else:
                value, cause, fault = self._value(slot, variant, wire_type)
            if cause is Cause.NONE:
                self._faults.pop(slot.index, None)
            else:
                self._faults[slot.index] = fault
            bad = cause is not Cause.NONE
            block.points.append(slot.index)
            block.values.append(value)
            block.quality.append(Quality.BAD if bad else max(quality, _text_quality(place.wire_type)))
            block.causes.append(cause)

    def _value(self, slot: Slot, variant: ua.Variant | None, wire_type: int) -> tuple[float, Cause, str]:
        """Base value of one point, or why there is none."""
        raw = None if variant is None else variant.Value
        if isinstance(raw, list):
            if slot.point.index < 0:
                return math.nan, Cause.WRONG_TYPE, f"an array of {len(raw)} values is there; give `index`"
            if slot.point.index >= len(raw):
                return math.nan, Cause.WRONG_TYPE, f"the array there has only {len(raw)} values, counted from 0"
            raw = raw[slot.point.index]
        elif slot.point.index >= 0 and raw is not None:
            return math.nan, Cause.WRONG_TYPE, "a single value is there, no array; take `index` away"
        if raw is None:
            return math.nan, Cause.SENTINEL, "the server has no value there"
        if not wire_type or isinstance(raw, list):
            kind = variant.VariantType.name if variant is not None else "nothing"
            return math.nan, Cause.WRONG_TYPE, f"a value of type {kind} is there, which no point can take"
        if slot.type_id not in (0, wire_type):
            held = TYPE_NAMES[wire_type]
            return math.nan, Cause.WRONG_TYPE, f"the server holds a {held} there; set `type: {held}` or leave it out"
        if wire_type == STRING:
            self._texts[slot.index] = str(raw.Text or "") if isinstance(raw, ua.LocalizedText) else str(raw)
            return math.nan, Cause.NONE, ""
        number = _aware(raw).timestamp() if isinstance(raw, datetime) else float(raw)
        value, cause = slot.meaning.base(number)
        if cause is Cause.IMPLAUSIBLE:
            return value, cause, f"raw {number:g} is beyond the point's limits"
        return value, cause, "" if cause is Cause.NONE else f"raw {number:g} means 'not available'"


def unknown() -> ua.DataValue:
    """What stands for the answer of a node whose namespace the server lacks: nobody needs to ask for it."""
    return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNodeIdUnknown)))


def same(one: Any, other: Any) -> bool:
    """Whether two raw values are equal; NaN equals NaN here."""
    return bool(one == other) or (one != one and other != other)


def _text_quality(wire_type: int) -> Quality:
    """A text has no number: its value is NaN, so it is never good."""
    return Quality.UNCERTAIN if wire_type == STRING else Quality.GOOD


def _wire_type(variant: ua.Variant | None) -> int:
    """Number of the built-in type, 0 if it is none that a point can have. A localized text counts as a string."""
    if variant is None:
        return 0
    number = int(variant.VariantType.value)
    return STRING if number == _LOCALIZED_TEXT else number if 0 < number <= DATETIME else 0


def _utc_ms(stamp: datetime | None) -> int:
    if stamp is None:
        return 0
    return max(round(_aware(stamp).timestamp() * 1000), 0)


def _aware(moment: datetime) -> datetime:
    """On the wire all times are UTC."""
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
