"""Torn reads: a value of one request and its scale factor of another, between which the device changed the factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scowl_edge.devices.declaration import ModbusPoint
from scowl_edge.drivers.modbus.layout import exponents_of
from scowl_edge.drivers.modbus.planner import Transaction
from scowl_edge.model.signal import Cause, Quality, Reading


class Bracket:
    """Values that lie too far from their scale factor for one request: it is read before and after them.

    What says the same both times did not change in between, unless it changed twice in those milliseconds.
    """

    def __init__(self, factor_of: dict[int, int]) -> None:
        """Takes the scale factor of each such value, both as indices into the site's point table."""
        self._factor_of = factor_of

    @classmethod
    def of(cls, transaction: Transaction, points: Sequence[ModbusPoint], first_point: int) -> Bracket | None:
        """What must be looked at in a planned transaction; None where every factor comes with its values."""
        by_name = {point.name: place for place, point in enumerate(points)}
        far = {
            first_point + place: first_point + by_name[points[place].scale_factor]
            for span in transaction
            for place in span.members
            if points[place].scale_factor and by_name[points[place].scale_factor] not in span.members
        }
        return cls(far) if far else None

    def check(self, readings: Sequence[Reading]) -> list[Reading]:
        """The readings of a whole transaction, in order; a value whose scale factor moved is BAD, UNPROVEN.

        A value that is bad already keeps its cause.
        """
        first: dict[int, float] = {}
        unsteady: set[int] = set()
        for reading in readings:
            known = exponents_of(reading)
            for point in reading.points.tolist():
                if first.setdefault(point, known.get(point, np.nan)) != known.get(point, np.nan):
                    unsteady.add(point)
        torn = {value for value, factor in self._factor_of.items() if factor in unsteady}
        return [_without(reading, torn) for reading in readings] if torn else list(readings)


def _without(reading: Reading, torn: set[int]) -> Reading:
    hit = np.isin(reading.points, list(torn)) & (reading.quality != Quality.BAD)
    if not hit.any():
        return reading
    return replace(
        reading,
        values=np.where(hit, np.nan, reading.values),
        quality=np.where(hit, np.uint8(Quality.BAD), reading.quality),
        causes=np.where(hit, np.uint8(Cause.UNPROVEN), reading.causes),
        sound=False,
    )
