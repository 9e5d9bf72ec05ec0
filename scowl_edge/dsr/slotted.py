"""A profile's elements as powers by slot: energy is kept to the watt-second, whatever the element's ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scowl_edge.model.flexibility import Element


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """The slots that a choice looks at."""

    start_ms: int
    """UTC."""
    slot_s: int
    slots: int

    def offset_s(self, time_ms: int) -> int:
        """Whole seconds from the start of the horizon, rounded down."""
        return (time_ms - self.start_ms) // 1000


def slot_powers(
    elements: Sequence[Element], offset_s: int, slot_s: int, delay_s: int = 0, setpoints_w: Sequence[int] = ()
) -> list[int]:
    """Mean power, in W, by slot, of elements that begin `offset_s` into the first one (below `slot_s`).

    With `delay_s` the load that is to be expected if the start is put off by a random time of up to that long, each
    delay as likely as any other. The sum of all powers is that of the elements' energy, rounded once. `setpoints_w`,
    one an element, go before the elements' own powers.
    """
    # Changes of power: in full from `delay_s` after they begin on, before that growing evenly.
    times, changes, end, before_w = [], [], 0, 0
    for element, power in zip(elements, setpoints_w or [e.p_nom_w for e in elements], strict=True):
        times.append(end)
        changes.append(power - before_w)
        end += element.dur_s
        before_w = power
    times.append(end)
    changes.append(-before_w)
    edges, twice = len(times), 2 * delay_s or 1
    # Energy up to a time, times `twice`, of all changes that are in full: slope x time - base.
    slope = base = full = before = 0
    found = []
    for time_s in range(slot_s - offset_s, slot_s * -(-(offset_s + end + delay_s) // slot_s) - offset_s + 1, slot_s):
        while full < edges and times[full] + delay_s <= time_s:
            slope += twice * changes[full]
            base += changes[full] * (twice * times[full] + delay_s * delay_s)
            full += 1
        energy, growing = slope * time_s - base, full
        while growing < edges and times[growing] < time_s:
            energy += changes[growing] * (time_s - times[growing]) ** 2
            growing += 1
        mean = energy // (twice * slot_s)
        found.append(mean - before)
        before = mean
    return found
