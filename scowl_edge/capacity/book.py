"""The book of commitments: power that was promised and not yet seen, and load that was given up for a while.

Every entry is counted once. A pledge ends when the meter shows it or at its deadline; a shed ends at its expiry,
which the device holds too, or when the region gives the load back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

NEVER = -1
"""A time that has not come."""


@dataclass(slots=True, kw_only=True)
class Pledge:
    """A change of one device's power that was ordered and is not yet effective."""

    base_w: int
    """Signed net power (+ consumption) when it was ordered."""
    goal_w: int
    """The same, expected in the end."""
    begins_at: int
    """Monotonic ms: nothing is expected before (start time, dead time)."""
    ramp_w_s: int
    """0 = at once."""
    deadline_at: int
    """Monotonic ms: not counted after."""

    def remaining_w(self, power_w: int) -> int:
        """What is still to come, signed, seen from the measured power.

        Never more than was ordered: weather that takes away more is not promised back.
        """
        change, left = self.goal_w - self.base_w, self.goal_w - power_w
        return max(0, min(change, left)) if change >= 0 else min(0, max(change, left))

    def within_w(self, power_w: int, now_ms: int, by_ms: int) -> int:
        """The part of `remaining_w` that arrives by then."""
        remaining = self.remaining_w(power_w)
        if self.begins_at > by_ms:
            return 0
        if self.ramp_w_s == 0:
            return remaining
        reach = self.ramp_w_s * (by_ms - max(now_ms, self.begins_at)) // 1000
        return max(-reach, min(reach, remaining))


class ShedState(StrEnum):
    """Where a shed stands."""

    ASKED = "asked"
    """Not answered: what is new in it counts 0 W."""
    GRANTED = "granted"
    """The device holds it."""
    IN_DOUBT = "in_doubt"
    """No answer in time: read again, then confirmed or restored."""
    ENDING = "ending"
    """The end was ordered and is not yet confirmed."""


@dataclass(slots=True, kw_only=True)
class Shed:
    """Load that one consumer was asked to give up."""

    state: ShedState
    requested_w: int
    granted_w: int
    base_w: int
    """Power when it was asked."""
    deferrable_w: int
    """What the consumer said could wait then; -1 if it does not say. Its load grows and falls with this."""
    unshed_w: int
    """What it would draw without the shed: `base_w`, and what was still on its way back to it when it was asked."""
    lowest_w: int
    """Least power seen since the grant: shows that it had effect."""
    asked_at: int
    answer_by_at: int
    judged_at: int
    """When its effect is judged."""
    expires_at: int
    """Monotonic ms: the device restores itself then."""
    effective: bool = False
    failed: bool = False
    """Granted in words, drawn all the same: counts 0 W."""

    def relief_w(self, power_w: int) -> int:
        """Power that is really given up now, between 0 and the grant."""
        if self.failed:
            return 0
        if self.effective:
            return self.granted_w
        return self.relief_at_w(power_w)

    def relief_at_w(self, power_w: int) -> int:
        """The part of the grant that a meter could see when the consumer drew this."""
        if self.failed:
            return 0
        return max(0, min(self.granted_w, self.base_w - power_w))


@dataclass(slots=True)
class Book:
    """All commitments of a region, by device index (pledges) and consumer index (sheds)."""

    pledges: dict[int, Pledge] = field(default_factory=dict)
    sheds: dict[int, Shed] = field(default_factory=dict)

    def asked_w(self, consumers: frozenset[int] | None = None) -> int:
        """Power asked for and not answered yet."""
        return sum(
            max(0, s.requested_w - s.granted_w)
            for c, s in self.sheds.items()
            if s.state is ShedState.ASKED and (consumers is None or c in consumers)
        )
