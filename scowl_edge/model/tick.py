"""The one reading of the clocks that a step may see."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Late(IntEnum):
    """How late a step comes, and so what it leaves out: what is only for the better, in a defined order."""

    ON_TIME = 0
    LATE = 1
    """Nobody is moved towards a better whole."""
    VERY_LATE = 2
    """Nothing is given back either. What balances the region is always done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time and budget of one step, read once by the shell."""

    step: int
    """Number of the step, counted from 1 at the first boot of a journal."""
    mono_ms: int
    """Monotonic (boot-time) clock in ms: ages, ramps and time-outs."""
    utc_ms: int
    """Wall clock in ms since 1970: schedules and display, trusted only if `utc_ok`."""
    utc_ok: bool
    """Whether the wall clock is synchronised and did not just step."""
    journal_ok: bool
    """Whether the last barrier was durable in time."""
    move_budget: int
    """Most feeds that this step may move between trees by choice."""
    late: Late = Late.ON_TIME
