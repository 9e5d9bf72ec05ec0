"""The book of commitments: power that was promised and not yet seen, and load that was given up for a while.

Every entry is counted once. A pledge ends when the meter shows it or at its deadline; a shed ends at its expiry,
which the device holds too, or when the region gives the load back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from scowl_edge.capacity.offers import OfferCalls
from scowl_edge.capacity.pledge import Pledge

NEVER = -1
"""A time that has not come."""


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
    """All commitments of a region, by device index (pledges), consumer index (sheds) and selection (offers)."""

    pledges: dict[int, Pledge] = field(default_factory=dict)
    sheds: dict[int, Shed] = field(default_factory=dict)
    offers: OfferCalls = field(default_factory=OfferCalls)

    def asked_w(self, consumers: frozenset[int] | None = None) -> int:
        """Power asked for and not answered yet."""
        return sum(
            max(0, s.requested_w - s.granted_w)
            for c, s in self.sheds.items()
            if s.state is ShedState.ASKED and (consumers is None or c in consumers)
        )
