"""One compiled layout a block: a reply's bytes become arrays in a few numpy calls, with no object per point.

The bytes of all numbers are gathered with one index, least significant byte first and numbers of one type side by side,
so that a view in the machine's own types reads them; that order is also the order of the block's `points`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scowl_edge.devices.declaration import ModbusPoint
from scowl_edge.drivers.errors import LayoutError
from scowl_edge.drivers.modbus.pdu import read_request, reply_size
from scowl_edge.drivers.modbus.planner import Span
from scowl_edge.drivers.modbus.registers import BIT_TABLES, FORMATS, Line, letters, little_endian, sentinels
from scowl_edge.model.signal import Cause, Quality, Reading

MAX_EXPONENT = 10
"""A scale factor beyond 10 ** ±10 is not one (SunSpec allows the same)."""
_POWERS = np.array([float(f"1e{k}") for k in range(-MAX_EXPONENT, MAX_EXPONENT + 1)])
_KINDS = ("f8", "i8", "u8", "f4", "i4", "u4", "i2", "u2", "bit", "string")
"""Order of the groups: widest first, so that every view is aligned."""
_LARGEST = float(np.finfo(np.float64).max)


def _kind(point: ModbusPoint) -> str:
    if point.type == "string":
        return "string"
    if point.table in BIT_TABLES or (point.type == "bits" and point.bit >= 0):
        return "bit"
    if point.type not in FORMATS:
        raise LayoutError(f"point {point.name}: type {point.type!r} cannot lie in table {point.table}")
    return FORMATS[point.type]


class Block:
    """One read request and what its reply means, at one device's place in the point table."""

    __slots__ = ("_first", "_layout", "_place", "points", "reply_bytes", "request")

    def __init__(self, span: Span, points: Sequence[ModbusPoint], first_point: int) -> None:
        """Compiles, unless another device has the same layout already.

        Args:
            span: Request and members, as planned.
            points: All points of the device; the span's members index into it.
            first_point: Index of the device's first point in the site's point table.

        Raises:
            LayoutError: a type, order or scale that cannot be read.
        """
        layout = self._layout = _layout(span, tuple(points))
        self._first = first_point
        self.request = layout.request
        self.reply_bytes = layout.reply_bytes
        self.points: NDArray[np.int32] = layout.members + np.int32(first_point)
        """In the order of the readings."""
        self.points.setflags(write=False)
        first = layout.contiguous_from
        self._place = None if first < 0 else slice(first_point + first, first_point + first + len(layout.members))

    def decode(
        self,
        payload: bytes,
        requested_ms: int,
        received_ms: int,
        *,
        exponents: Mapping[int, float] | None = None,
        texts: dict[int, str] | None = None,
    ) -> Reading:
        """Turns a reply into a reading.

        Args:
            payload: The data bytes of the reply, exactly `reply_bytes` of them.
            requested_ms: When the request left.
            received_ms: When the reply was complete.
            exponents: Values (by point index) of scale factors that were read by an earlier request of the transaction.
            texts: Takes the strings, by point index.
        """
        layout = self._layout
        values, quality, causes, sound = layout.decode(payload, exponents, self._first)
        if layout.strings and texts is not None:
            layout.read_strings(payload, texts, self._first)
        return Reading(self.points, values, quality, causes, requested_ms, received_ms, span=self._place, sound=sound)


class _Layout:
    """What a reply means, for all devices that have the same points at the same places. Points are numbered as in the
    device."""

    def __init__(self, span: Span, points: Sequence[ModbusPoint]) -> None:
        self.span = span
        self.request = read_request(span.table, span.address, span.count)
        self.reply_bytes = reply_size(span.table, span.count)
        self._bits = span.table in BIT_TABLES
        ordered = sorted(span.members, key=lambda i: (_KINDS.index(_kind(points[i])), points[i].address, i))
        members = [points[i] for i in ordered]
        kinds = [_kind(point) for point in members]
        size = len(members)
        self.members: NDArray[np.int32] = np.array(ordered, np.int32)
        self._size = size
        self._compile_bytes(members, kinds)
        lines = [Line.of(point) for point in members]
        self._factor = np.array([float(line.factor) for line in lines])
        offset = np.array([float(line.offset) for line in lines])
        self._plain = bool((self._factor == 1.0).all()) and not any(point.scale_factor for point in members)
        """Whether raw numbers are values as they come."""
        self._offset = offset if offset.any() else None
        self._compile_guards(members)
        self._compile_exponents(ordered, points)
        self._quality = np.where([kind == "string" for kind in kinds], Quality.UNCERTAIN, Quality.GOOD).astype(np.uint8)
        self._causes = np.zeros(size, np.uint8)
        self._sound = not self._quality.any()
        self._order_points()
        for shared in (self._quality, self._causes):
            shared.setflags(write=False)

    def _order_points(self) -> None:
        """What leaves is in the order of the point table, so that it can be written there in one piece."""
        self.contiguous_from = -1
        """First of its members where they follow each other without a gap, else -1."""
        self._order: NDArray[np.intp] | None = None
        order = np.argsort(self.members)
        ordered = self.members[order]
        if int(ordered[-1]) - int(ordered[0]) + 1 == self._size:
            self.contiguous_from = int(ordered[0])
            if (order != np.arange(self._size)).any():
                self._order, self.members, self._quality = order, ordered, self._quality[order]

    def _compile_bytes(self, members: list[ModbusPoint], kinds: list[str]) -> None:
        gather: list[int] = []
        self._views: list[tuple[slice, slice, str]] = []
        """(places, gathered bytes, dtype) of each group of numbers."""
        self._bit_places = slice(0, 0)
        self.strings: list[tuple[int, int, int, bool]] = []
        bits: list[int] = []
        for kind in dict.fromkeys(kinds):
            first, count = kinds.index(kind), kinds.count(kind)
            group = members[first : first + count]
            begin = len(gather)
            if kind == "string":
                self.strings = [self._string(first + place, point) for place, point in enumerate(group)]
            elif kind == "bit":
                self._bit_places = slice(first, first + count)
                bits = [self._bit(point) for point in group]
            else:
                for point in group:
                    at = (point.address - self.span.address) * 2
                    gather += [at + place for place in little_endian(point)]
                self._views.append((slice(first, first + count), slice(begin, len(gather)), f"<{kind}"))
        self._gather = np.array(gather, np.intp)
        self._direct = self._as_it_lies(members)
        self._bit_at = np.array(bits, np.intp)

    def _as_it_lies(self, members: list[ModbusPoint]) -> str:
        """The dtype that reads the whole reply at once, where it is numbers of one type side by side, most significant
        byte first; else empty."""
        if len(self._views) != 1 or self._views[0][0] != slice(0, len(members)):
            return ""
        size = int(self._views[0][2][2:])
        first = (members[0].address - self.span.address) * 2
        straight = [first + place * size + byte for place in range(len(members)) for byte in reversed(range(size))]
        if first or len(straight) != self.reply_bytes or self._gather.tolist() != straight:
            return ""
        return self._views[0][2].replace("<", ">")

    def _bit(self, point: ModbusPoint) -> int:
        """Place of a single bit among all of the reply's bits, least significant of each byte first."""
        at = point.address - self.span.address
        if self._bits:
            return at
        if not 0 <= point.bit <= 15:
            raise LayoutError(f"point {point.name}: bit {point.bit} is not in a register; bits go from 0 to 15")
        return (at * 2 + little_endian(point)[point.bit // 8]) * 8 + point.bit % 8

    def _string(self, place: int, point: ModbusPoint) -> tuple[int, int, int, bool]:
        at = (point.address - self.span.address) * 2
        return int(self.members[place]), at, at + point.length * 2, letters(point) == "BA"

    def _compile_guards(self, members: list[ModbusPoint]) -> None:
        pairs = [
            (place, float(np.float32(value)) if point.type == "float32" else value)
            for place, point in enumerate(members)
            for value in sentinels(point)
        ]
        self._sentinel_at = np.array([place for place, _ in pairs], np.intp)
        self._sentinel = np.array([value for _, value in pairs], np.float64)
        low = np.full(len(members), -_LARGEST)
        high = np.full(len(members), _LARGEST)
        for place, point in enumerate(members):
            # A hair of slack: 3 * 0.1 must not be above a limit of 0.3.
            if point.low is not None:
                low[place] = point.low * point.to_base - abs(point.low * point.to_base) * 1e-9
            if point.high is not None:
                high[place] = point.high * point.to_base + abs(point.high * point.to_base) * 1e-9
        self._low, self._high = low, high
        limited = (low > -_LARGEST) | (high < _LARGEST)
        # A double may leave the doubles by its scale; every other type is too small for that.
        self._calm = all(point.type != "float64" for point in members)
        self._limited = bool(limited.any()) or not self._calm

    def _compile_exponents(self, ordered: list[int], points: Sequence[ModbusPoint]) -> None:
        by_name = {point.name: index for index, point in enumerate(points)}
        place_of = {index: place for place, index in enumerate(ordered)}
        inner: list[tuple[int, int]] = []
        self._outer: list[tuple[int, int]] = []
        for place, index in enumerate(ordered):
            if points[index].scale_factor:
                factor = by_name[points[index].scale_factor]
                if factor in place_of:
                    inner.append((place, place_of[factor]))
                else:
                    self._outer.append((place, factor))
        self._scaled = np.array([place for place, _ in inner] + [place for place, _ in self._outer], np.intp)
        self._scaled_by = np.array([factor for _, factor in inner], np.intp)

    def decode(
        self, payload: bytes, exponents: Mapping[int, float] | None, first_point: int
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.uint8], bool]:
        """Values, quality and causes of the members, and whether all are known to be GOOD."""
        if self._calm:
            values, faults = self._read(payload, exponents, first_point)
        else:
            with np.errstate(all="ignore"):
                values, faults = self._read(payload, exponents, first_point)
        if self._order is not None:
            values = values[self._order]
        if faults is None:
            return values, self._quality, self._causes, self._sound
        if self._order is not None:
            faults = faults[self._order]
        bad = faults != Cause.NONE
        values[bad] = np.nan
        return values, np.where(bad, np.uint8(Quality.BAD), self._quality), faults, False

    def _read(
        self, payload: bytes, exponents: Mapping[int, float] | None, first_point: int
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8] | None]:
        """Values in the layout's own order, and what is wrong with them."""
        faults: NDArray[np.uint8] | None
        if self._direct and (whole := self._whole(payload)) is not None:
            raw, faults = whole, None
        else:
            raw = np.empty(self._size)
            faults = self._numbers(np.frombuffer(payload, np.uint8), raw)
        if self._sentinel_at.size:
            hit = raw[self._sentinel_at] == self._sentinel
            if hit.any():
                faults = self._fault(faults, self._sentinel_at[hit], Cause.SENTINEL)
        values = raw if self._plain else raw * self._factor
        if self._scaled.size:
            faults = self._scale(raw, values, faults, exponents, first_point)
        if self._offset is not None:
            values += self._offset
        if self._limited:
            beyond = (values < self._low) | (values > self._high)
            if beyond.any():
                faults = self._fault(faults, beyond, Cause.IMPLAUSIBLE)
        return values, faults

    def _whole(self, payload: bytes) -> NDArray[np.float64] | None:
        """All numbers at once; None where one of them is none."""
        numbers = np.frombuffer(payload, self._direct)
        if self._direct[1] == "f" and b"\0" in np.isfinite(numbers).tobytes():
            return None
        return numbers.astype(np.float64)

    def _numbers(self, wire: NDArray[np.uint8], raw: NDArray[np.float64]) -> NDArray[np.uint8] | None:
        """Fills `raw`; NaN and infinities are sentinels of every float type."""
        faults: NDArray[np.uint8] | None = None
        gathered = wire[self._gather]
        for places, part, dtype in self._views:
            numbers = gathered[part].view(dtype)
            if dtype[1] == "f" and b"\0" in (finite := np.isfinite(numbers)).tobytes():
                faults = self._fault(faults, np.arange(self._size)[places][~finite], Cause.SENTINEL)
                with np.errstate(all="ignore"):
                    raw[places] = numbers
            else:
                raw[places] = numbers
        if self._bit_at.size:
            raw[self._bit_places] = np.unpackbits(wire, bitorder="little")[self._bit_at]
        for place in range(self._size - len(self.strings), self._size):
            raw[place] = np.nan
        return faults

    def _fault(
        self, faults: NDArray[np.uint8] | None, where: NDArray[np.intp] | NDArray[np.bool_], cause: Cause
    ) -> NDArray[np.uint8]:
        """Notes a cause where there is none yet: the first one found is the one to tell."""
        if faults is None:
            faults = np.zeros(self._size, np.uint8)
        known = faults[where]
        faults[where] = np.where(known == Cause.NONE, np.uint8(cause), known)
        return faults

    def _scale(
        self,
        raw: NDArray[np.float64],
        values: NDArray[np.float64],
        faults: NDArray[np.uint8] | None,
        exponents: Mapping[int, float] | None,
        first_point: int,
    ) -> NDArray[np.uint8] | None:
        """Applies the scale factors; a value whose factor is not available is not available either."""
        inner = raw[self._scaled_by] * self._factor[self._scaled_by]
        if self._offset is not None:
            inner += self._offset[self._scaled_by]
        if faults is not None:
            inner[faults[self._scaled_by] != Cause.NONE] = np.nan
        if self._outer:
            known = exponents or {}
            inner = np.concatenate([inner, [known.get(first_point + factor, np.nan) for _, factor in self._outer]])
        usable = (np.abs(inner) <= MAX_EXPONENT) & (inner == np.rint(inner))
        power = _POWERS[np.where(usable, inner, 0).astype(np.intp) + MAX_EXPONENT]
        values[self._scaled] *= power
        if not usable.all():
            faults = self._fault(faults, self._scaled[np.isnan(inner)], Cause.SENTINEL)
            faults = self._fault(faults, self._scaled[~usable], Cause.IMPLAUSIBLE)
        return faults

    def read_strings(self, payload: bytes, texts: dict[int, str], first_point: int) -> None:
        """Notes the strings by point index."""
        for member, first, last, swapped in self.strings:
            data = payload[first:last]
            if swapped:
                data = bytes(byte for at in range(0, len(data), 2) for byte in (data[at + 1], data[at]))
            texts[first_point + member] = data.split(b"\0", 1)[0].decode("utf-8", "replace").rstrip(" ")


@lru_cache(maxsize=1024)
def _layout(span: Span, points: tuple[ModbusPoint, ...]) -> _Layout:
    return _Layout(span, points)


def exponents_of(reading: Reading) -> dict[int, float]:
    """What a later request of the same transaction needs to know of an earlier one: its good values, by point."""
    return {int(p): float(v) for p, v, q in zip(reading.points, reading.values, reading.quality, strict=True) if q == 0}
