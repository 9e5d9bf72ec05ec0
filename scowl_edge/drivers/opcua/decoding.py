"""What a node's answer makes of the points that lie there. Imported only when a driver connects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from asyncua import ua
from numpy.typing import NDArray

from scowl_edge.drivers.opcua.meaning import DATETIME, STRING, TYPE_NAMES
from scowl_edge.drivers.opcua.places import Place, Slot, Stock
from scowl_edge.drivers.opcua.statuses import NO_SUCH_NODE, is_one_of, status_name
from scowl_edge.drivers.opcua.values import Values
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


class _Plain:
    """Of each place that holds a single number of a single point: how to make a base value of it."""

    def __init__(self, places: Sequence[Place]) -> None:
        size = len(places)
        self.point: NDArray[np.int32] = np.full(size, -1, np.int32)
        """Index of its point; -1: it is no such place."""
        self.factor, self.offset, self.low, self.high = np.ones(size), np.zeros(size), np.zeros(size), np.zeros(size)
        self.type_id: NDArray[np.uint8] = np.zeros(size, np.uint8)
        self.has_nan: NDArray[np.bool_] = np.zeros(size, np.bool_)
        for place in places:
            if len(place.slots) != 1 or place.slots[0].point.index >= 0:
                continue
            (slot,) = place.slots
            at, meaning = place.number, slot.meaning
            self.point[at], self.type_id[at], self.has_nan[at] = slot.index, slot.type_id, bool(meaning.nan)
            self.factor[at], self.offset[at] = meaning.factor, meaning.offset
            self.low[at], self.high[at] = meaning.low, meaning.high


class Decoder:
    """Turns answers into readings, one a device and second of source time; keeps texts and faults beside them.

    Good single numbers are taken as columns; all others, which may need words, one by one.
    """

    def __init__(self, stock: Stock) -> None:
        """Fills the stock's texts and faults: the last text of each string; in words, why a point is bad."""
        self._places = stock.places
        self._columns = stock.columns
        self._texts = stock.texts
        self._faults = stock.faults
        self._plain = _Plain(stock.places)

    def readings(self, numbers: NDArray[np.intp], values: Values, requested_ms: int, received_ms: int) -> list[Reading]:
        """Notes on each place when it was heard, its type and fault, and returns its points' values.

        Args:
            numbers: Place of each item, by its number.
            values: What came.
            requested_ms: When it was asked for, monotonic; 0 if it was not.
            received_ms: When it came, monotonic.
        """
        at = numbers[values.items]
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite then is judged below
            base = values.numbers * self._plain.factor[at] + self._plain.offset[at]
        good = self._good(at, values, base)
        others = [(self._places[numbers[item]], data, _utc_ms(data.SourceTimestamp)) for item, data in values.others]
        if not good.all():
            others += [
                (self._places[at[i]], values.single(i), int(values.stamps_ms[i]))
                for i in np.flatnonzero(~good).tolist()
            ]
            at, base, stamps_ms, types = at[good], base[good], values.stamps_ms[good], values.types[good]
        else:
            stamps_ms, types = values.stamps_ms, values.types
        readings = self._as_columns(at, base, stamps_ms, types, requested_ms, received_ms) if len(at) else []
        return readings + self.one_by_one(others, requested_ms, received_ms) if others else readings

    def _good(self, at: NDArray[np.intp], values: Values, base: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which numbers are good values of plain places."""
        plain = self._plain
        typed = plain.type_id[at]
        # A number that is no number, or infinite, is beyond every limit or is not finite itself.
        good: NDArray[np.bool_] = (
            (plain.point[at] >= 0) & (values.codes == 0) & ((typed == 0) | (typed == values.types))
        )
        good &= (base >= plain.low[at]) & (base <= plain.high[at]) & np.isfinite(base)
        for i in np.flatnonzero(good & plain.has_nan[at]):
            good[i] = float(values.numbers[i]) not in self._places[at[i]].slots[0].meaning.nan
        return good

    def _as_columns(
        self,
        at: NDArray[np.intp],
        base: NDArray[np.float64],
        stamps_ms: NDArray[np.int64],
        types: NDArray[np.uint8],
        requested_ms: int,
        received_ms: int,
    ) -> list[Reading]:
        columns = self._columns
        stirred = ~columns.heard[at] | columns.faulty[at]
        if stirred.any():
            for number in at[stirred]:
                self._right(self._places[number])
        columns.received_ms[at], columns.heard[at], columns.wire_type[at] = received_ms, True, types
        groups = (columns.device[at] << 40) + stamps_ms // _STAMP_GRID_MS
        if (groups[1:] < groups[:-1]).any():
            order = np.argsort(groups, kind="stable")
            groups, at, base, stamps_ms = groups[order], at[order], base[order], stamps_ms[order]
        cuts = [0, *(np.flatnonzero(groups[1:] != groups[:-1]) + 1).tolist(), len(at)]
        points, quality, causes = self._plain.point[at], np.zeros(len(at), np.uint8), np.zeros(len(at), np.uint8)
        latest = np.maximum.reduceat(stamps_ms, cuts[:-1]).tolist()
        return [
            Reading(
                points[first:end],
                base[first:end],
                quality[first:end],
                causes[first:end],
                requested_ms,
                received_ms,
                stamp,
            )
            for first, end, stamp in zip(cuts, cuts[1:], latest, strict=False)
        ]

    def _right(self, place: Place) -> None:
        """It has a good value, for the first time or again."""
        self._columns.faulty[place.number] = False
        self._columns.stirred.add(place.device)
        place.fault = ""
        for slot in place.slots:
            self._faults.pop(slot.index, None)

    def one_by_one(
        self, answers: Iterable[tuple[Place, ua.DataValue, int]], requested_ms: int, received_ms: int
    ) -> list[Reading]:
        """The same for what may need words. Each answer comes with its source time stamp, ms since 1970."""
        blocks: dict[tuple[int, int], _Block] = {}
        for place, data, stamp_ms in answers:
            block = blocks.setdefault((place.device, stamp_ms // _STAMP_GRID_MS), _Block())
            block.stamp_ms = max(block.stamp_ms, stamp_ms)
            self._columns.received_ms[place.number], self._columns.heard[place.number] = received_ms, True
            self._columns.stirred.add(place.device)
            self._take(place, data, block)
            self._columns.faulty[place.number] = any(slot.index in self._faults for slot in place.slots)
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
            self._columns.wire_type[place.number] = wire_type
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
