"""Timelines on a grid of slots, and what was expected beside what was measured.

>>> from scowl_edge.model.profile import flat
>>> slot_means(flat(0, 1_000, 1), start_ms=0, slot_ms=400, count=4)
(1, 1, 1, None)
>>> compare(flat(0, 3_000, 100), flat(0, 3_000, 90), start_ms=0, slot_ms=1_000, count=3, tolerance_w=10).energy_error_j
-30
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scowl_edge.model.flexibility import WHOLE_PPM
from scowl_edge.model.profile import NANO, QUANTA_PER_J, ProfileError, Segment, Timeline, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotDeviation:
    """One slot of a comparison."""

    start_ms: int
    expected_w: int
    """Mean that was expected."""
    measured_w: int
    deviation_w: int
    """Measured less expected."""
    beyond: bool
    """More than the tolerance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was expected beside what was measured."""

    slots: tuple[SlotDeviation, ...]
    """Those in which both are known at every moment."""
    missing_ms: tuple[int, ...]
    """Starts of the slots in which something was expected and not all is measured; nothing is made up for them."""
    energy_error_j: int
    """Measured less expected over `slots`, from exact energies."""
    worst: SlotDeviation | None
    """The largest deviation either way, the earlier of two equal ones; None if no slot could be compared."""

    @property
    def beyond(self) -> int:
        """Slots beyond the tolerance."""
        return sum(slot.beyond for slot in self.slots)


def from_slots(powers_w: Sequence[int | None], *, start_ms: int, slot_ms: int) -> Timeline:
    """A constant power in each slot; None says nothing there."""
    return Timeline(
        tuple(
            Segment(start_ms=start_ms + i * slot_ms, length_ms=slot_ms, begin_nw=power_w * NANO)
            for i, power_w in enumerate(powers_w)
            if power_w is not None
        )
    )


def slot_means(timeline: Timeline, *, start_ms: int, slot_ms: int, count: int) -> tuple[int | None, ...]:
    """Mean power of each slot, in whole watts, what is cut off carried into the next; None where nothing is said.

    So the energy up to the end of any slot is kept, but for half a watt over one slot. What is defined in only a part
    of a slot is spread over all of it.

    Raises:
        ProfileError: Slots without length.
    """
    if slot_ms < 1:
        raise ProfileError(f"slots of {slot_ms} ms; a slot has at least 1 ms")
    size, carried, means = 2 * NANO * slot_ms, 0, list[int | None]()
    for energy in _energies(timeline, start_ms, slot_ms, count):
        if energy is None:
            means.append(None)
            continue
        mean = nearest(energy + carried, size)
        carried += energy - mean * size
        means.append(mean)
    return tuple(means)


def compare(
    expected: Timeline,
    measured: Timeline,
    *,
    start_ms: int,
    slot_ms: int,
    count: int,
    tolerance_w: int = 0,
    tolerance_ppm: int = 0,
) -> Comparison:
    """Compares slot by slot.

    Args:
        expected: A forecast, or what was promised.
        measured: What was.
        start_ms: Begin of the first slot.
        slot_ms: Length of a slot.
        count: Slots.
        tolerance_w: A deviation up to this is none.
        tolerance_ppm: Nor is one up to this share of the expected power, if that is more.
    """
    slots, missing, error = [], [], 0
    for i in range(count):
        start, end = start_ms + i * slot_ms, start_ms + (i + 1) * slot_ms
        if not expected.covers(start, end) or not measured.covers(start, end):
            if expected.clip(start, end):
                missing.append(start)
            continue
        wanted, found = expected.energy_quanta(start, end), measured.energy_quanta(start, end)
        allowed = max(2 * NANO * slot_ms * tolerance_w, abs(wanted) * tolerance_ppm // WHOLE_PPM)
        error += found - wanted
        size = 2 * NANO * slot_ms
        slots.append(
            SlotDeviation(
                start_ms=start,
                expected_w=nearest(wanted, size),
                measured_w=nearest(found, size),
                deviation_w=nearest(found - wanted, size),
                beyond=abs(found - wanted) > allowed,
            )
        )
    return Comparison(
        slots=tuple(slots),
        missing_ms=tuple(missing),
        energy_error_j=nearest(error, QUANTA_PER_J),
        worst=max(slots, key=lambda slot: abs(slot.deviation_w), default=None),
    )


def _energies(timeline: Timeline, start_ms: int, slot_ms: int, count: int) -> list[int | None]:
    """Exact energy of each slot, in one pass; None where nothing is said."""
    energies: list[int | None] = [None] * count
    for segment in timeline.segments:
        first = max(0, (segment.start_ms - start_ms) // slot_ms)
        last = min(count - 1, (segment.end_ms - 1 - start_ms) // slot_ms)
        for i in range(first, last + 1):
            start = max(segment.start_ms, start_ms + i * slot_ms)
            end = min(segment.end_ms, start_ms + (i + 1) * slot_ms)
            energies[i] = (energies[i] or 0) + segment.quanta(start, end)
    return energies
