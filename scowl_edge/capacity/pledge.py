"""A change of one device's power that was ordered and is not yet effective: what of it is still to come, and when."""

from __future__ import annotations

from dataclasses import dataclass


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
