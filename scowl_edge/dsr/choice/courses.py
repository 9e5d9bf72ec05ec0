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


def slot_powers(elements: Sequence[Element], offset_s: int, slot_s: int, delay_s: int = 0) -> list[int]:
    """Mean power, in W, by slot, of elements that begin `offset_s` into the first one (below `slot_s`).

    With `delay_s` the load that is to be expected if the start is put off by a random time of up to that long, each
    delay as likely as any other. The sum of all powers is that of the elements' energy, rounded once.
    """
    ends, energies, halves, powers = [0], [0], [0], []
    for element in elements:
        dur, power = element.dur_s, element.p_nom_w
        # Twice the integral of the energy, so that the half of the square stays whole.
        halves.append(halves[-1] + 2 * energies[-1] * dur + power * dur * dur)
        energies.append(energies[-1] + power * dur)
        ends.append(ends[-1] + dur)
        powers.append(power)

    def after(time_s: int, at: int) -> tuple[int, int]:
        """(energy in W s, twice its integral) so long after the start; `at` is the element then."""
        if time_s <= 0:
            return 0, 0
        x = time_s - ends[at]
        power = powers[at] if at < len(powers) else 0
        return energies[at] + power * x, halves[at] + 2 * energies[at] * x + power * x * x

    def element_at(time_s: int) -> int:
        at = 0
        while at < len(powers) and ends[at + 1] <= time_s:
            at += 1
        return at

    count = -(-(offset_s + ends[-1] + delay_s) // slot_s)
    found, before = [], 0
    for slot in range(1, count + 1):
        time_s = slot * slot_s - offset_s
        if delay_s:
            whole = after(time_s, element_at(time_s))[1] - after(time_s - delay_s, element_at(time_s - delay_s))[1]
            energy = whole // (2 * delay_s)
        else:
            energy = after(time_s, element_at(time_s))[0]
        found.append(energy // slot_s - before)
        before = energy // slot_s
    return found
