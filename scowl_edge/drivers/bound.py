"""How long bad units can delay a healthy one, and when they are asked again: in closed form what `schedule` keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BACKOFF_FIRST_MS = 5_000
BACKOFF_LONGEST_MS = 60_000
PROBE_SHARE_PPM = 50_000
FOREVER = 1 << 62
_PPM = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTimes:
    """What one unit can cost its link."""

    number: int
    turn_ms: int
    """Longest time that one turn of it holds the bus, the pause after it and opening the link anew included."""
    jobs: int = 1
    """Recurring reads of it."""
    pause_ms: int = 0
    """Quiet time that it needs between two turns of its own."""
    budget_ppm: int = 0
    """Share of the time beyond which it yields to the others; 0: none."""

    @property
    def allowance_ms(self) -> int:
        """Longest time that it takes in a row before it counts as lame: turns just short of slow, and one in full."""
        return self.turn_ms if self.jobs <= 1 else 2 * self.turn_ms


def worst_delay_ms(bad: Sequence[UnitTimes], *, share_ppm: int = PROBE_SHARE_PPM, busy_ms: int = 0) -> int:
    """Longest time that silent, slow or garbling units together delay a due poll of a healthy unit on the same link.

    Each bad unit can take its allowance before it counts as lame. Once lame it yields, but one lame turn (or a guest's)
    may be under way when the poll becomes due, one more may be forced at once, and then `share_ppm` of the time that
    passes. Each command to a bad unit can add one turn more. The time that healthy units take for themselves is not in
    it.

    Args:
        bad: Units that all fail at the same moment (the worst case).
        share_ppm: Share of the time that lame units are given on a full bus.
        busy_ms: Bus time that healthy units take for themselves while the poll waits.
    """
    if not bad:
        return 0
    longest = max(unit.turn_ms for unit in bad)
    # wait = allowances + 2 turns + share * (busy + wait), solved for the wait and rounded up.
    fixed = sum(unit.allowance_ms for unit in bad) + 2 * longest
    return -(-(fixed * _PPM + share_ppm * busy_ms) // (_PPM - share_ppm))


def next_probe_ms(down: Sequence[UnitTimes], *, share_ppm: int = PROBE_SHARE_PPM, busy_ms: int = 0) -> int:
    """Latest time until each of these units is probed again, all of them down and the others healthy.

    Each waits for its own pause, then for the probes of the others before it, then for the bus.
    """
    if not down:
        return 0
    turns = sum(unit.turn_ms for unit in down)
    # Each may just then be found out as well, by a second try that is no probe yet.
    found_out = turns + worst_delay_ms(down, share_ppm=share_ppm, busy_ms=busy_ms)
    return BACKOFF_LONGEST_MS + -(-turns * _PPM // share_ppm) + found_out
