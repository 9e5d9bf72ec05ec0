"""The only one who picks a target for an actuator.

Everybody else offers claims: an envelope it must stay in, and perhaps a wish inside it. Envelopes are intersected from
the highest class down; where the next one does not fit, the class above keeps its bound and the loser is told. The
highest-class wish, as far as the classes above leave it, is the target. A wish outside of what the actuator can be set
to is refused, not cut: whoever wishes that is wrong about the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from scowl_edge.model.reason import Reason, declare
from scowl_edge.model.site import Actuator

OVERRULED = declare("overruled", "{} bounds it to {}, {} asked for {}")
IMPOSSIBLE = declare("impossible", "{} asked for {}, but it can be set from {} to {} only")


class Klass(IntEnum):
    """Who comes first."""

    PROTECTION = 1
    SAFETY = 2
    OPERATOR = 3
    USER = 4
    CONTRACT = 5
    SHED = 6
    ROUTINE = 7
    ECONOMY = 8
    DEFAULT = 9

    @property
    def words(self) -> str:
        """As people call it."""
        return _WORDS[self]


_WORDS = {
    Klass.PROTECTION: "the device's own range",
    Klass.SAFETY: "a rating or fail-safe limit",
    Klass.OPERATOR: "the operator",
    Klass.USER: "the user",
    Klass.CONTRACT: "a contract",
    Klass.SHED: "the region's shed",
    Klass.ROUTINE: "routine flexibility",
    Klass.ECONOMY: "the region's economy",
    Klass.DEFAULT: "the default",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one party wants of one actuator, in the actuator's quantum."""

    klass: Klass
    low: int
    high: int
    wish: int | None
    reason: Reason
    safety: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the arbiter decided."""

    target: int | None
    """None: nobody wishes anything that is possible; it stays as it is."""
    klass: Klass
    reason: Reason
    safety: bool
    conflict: Reason | None
    """Set where envelopes did not intersect, or a wish was cut."""


def rule(actuator: Actuator, claims: Sequence[Claim]) -> Ruling | None:
    """The target of one actuator; None if nobody wishes anything (it stays as it is)."""
    if not claims:
        return None
    low, high, bound_by = actuator.low, actuator.high, Klass.PROTECTION
    conflict: Reason | None = None
    winner: Claim | None = None
    refused: Claim | None = None
    for claim in sorted(claims, key=lambda c: c.klass):
        new_low, new_high = max(low, claim.low), min(high, claim.high)
        if new_low > new_high:
            edge, asked = (high, claim.low) if claim.low > high else (low, claim.high)
            conflict = Reason(OVERRULED, (bound_by.words, edge, claim.klass.words, asked))
            new_low = new_high = edge
        elif (new_low, new_high) != (low, high):
            bound_by = claim.klass
        low, high = new_low, new_high
        if winner is None and claim.wish is not None:
            if actuator.low <= claim.wish <= actuator.high:
                winner = claim
            else:
                refused = claim
                conflict = Reason(IMPOSSIBLE, (claim.klass.words, claim.wish, actuator.low, actuator.high))
    if winner is None or winner.wish is None:
        if refused is None:
            return None
        return Ruling(target=None, klass=refused.klass, reason=refused.reason, safety=False, conflict=conflict)
    target = max(low, min(high, winner.wish))
    if target != winner.wish and conflict is None:
        conflict = Reason(OVERRULED, (bound_by.words, target, winner.klass.words, winner.wish))
    return Ruling(
        target=target, klass=winner.klass, reason=winner.reason, safety=any(c.safety for c in claims), conflict=conflict
    )
