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
    powers = list(setpoints_w) or [e.p_nom_w for e in elements]
    ends, energies, halves = [0], [0], [0]
    end = energy = half = 0
    for element, power in zip(elements, powers, strict=True):
        dur = element.dur_s
        # Twice the integral of the energy, so that the half of the square stays whole.
        half += (2 * energy + power * dur) * dur
        energy += power * dur
        end += dur
        ends.append(end)
        energies.append(energy)
        halves.append(half)
    last = len(powers)
    powers.append(0)
    found, before, at, late_at = [], 0, 0, 0
    for time_s in range(slot_s - offset_s, slot_s * -(-(offset_s + end + delay_s) // slot_s) - offset_s + 1, slot_s):
        while at < last and ends[at + 1] <= time_s:
            at += 1
        x = time_s - ends[at]
        if delay_s:
            whole = halves[at] + (2 * energies[at] + powers[at] * x) * x
            late_s = time_s - delay_s
            if late_s > 0:
                while late_at < last and ends[late_at + 1] <= late_s:
                    late_at += 1
                x = late_s - ends[late_at]
                whole -= halves[late_at] + (2 * energies[late_at] + powers[late_at] * x) * x
            mean = whole // (2 * delay_s) // slot_s
        else:
            mean = (energies[at] + powers[at] * x) // slot_s
        found.append(mean - before)
        before = mean
    return found
