"""Trust: an appliance that promises and does not deliver counts for less when the next ones are selected.

A weight in ppm, of which every settled selection is a witness in proportion to what it was asked: it falls by a large
part of the shortfall and recovers by a small part of what is missing to the whole, so one good hour does not undo a bad
one. It never falls to nothing: who is never selected could not show that it is better now.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scowl_edge.dsr.settlement import Amounts
from scowl_edge.model.flexibility import WHOLE_PPM
from scowl_edge.model.reason import Reason, declare

LITTLE_TRUST = declare("little-trust", "{} delivered {} % of what it last promised; it now counts {} %")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How fast trust goes and comes back."""

    fall_ppm: int = 500_000
    """Of the distance, when less came than the weight said."""
    rise_ppm: int = 100_000
    """Of the distance, when more did."""
    kept_ppm: int = 950_000
    """From this share on a promise is kept: meters and starts are not finer."""
    least_ppm: int = 50_000
    alarm_ppm: int = 600_000
    """Below this somebody should look at it."""
    witness_w_ms: int = 250 * 3_600_000
    """Energy from which a selection is a full witness; a smaller one counts in proportion."""


@dataclass(slots=True, kw_only=True)
class Trust:
    """The weight of every appliance; whoever is not listed counts whole."""

    weights_ppm: dict[str, int] = field(default_factory=dict)

    def weight_ppm(self, esa_id: str) -> int:
        """1,000,000 is full trust."""
        return self.weights_ppm.get(esa_id, WHOLE_PPM)

    def weighted_w(self, esa_id: str, power_w: int) -> int:
        """Of a change that it promises, what is to be counted on; towards zero."""
        counted = abs(power_w) * self.weight_ppm(esa_id) // WHOLE_PPM
        return counted if power_w >= 0 else -counted

    def settled(self, esa_id: str, slots: tuple[Amounts, ...], conduct: Conduct) -> Reason | None:
        """Learns from the slots of a settled selection.

        By slot, since a load that is moved sums up to nothing. What nobody measured counts as not delivered: an
        appliance must not gain by being silent.

        Returns:
            Why somebody should look at it, when its weight has now fallen below the alarm's.
        """
        asked = sum(abs(a.asked_w_ms) + abs(a.unproven_w_ms) for a in slots)
        if asked == 0:
            return None
        share = sum(abs(a.credited_w_ms) for a in slots) * WHOLE_PPM // asked
        if share >= conduct.kept_ppm:
            share = WHOLE_PPM
        before = self.weight_ppm(esa_id)
        pace = conduct.fall_ppm if share < before else conduct.rise_ppm
        pace = pace * min(asked, conduct.witness_w_ms) // conduct.witness_w_ms
        step = (share - before) * pace
        # Away from where it was in whole ppm, so that a rise ends at the whole and not just below.
        step = -(-step // WHOLE_PPM) if step > 0 else step // WHOLE_PPM
        after = max(conduct.least_ppm, min(WHOLE_PPM, before + step))
        if after == WHOLE_PPM:
            self.weights_ppm.pop(esa_id, None)
        else:
            self.weights_ppm[esa_id] = after
        if after < conduct.alarm_ppm <= before or (after < conduct.alarm_ppm and share < before):
            return Reason(LITTLE_TRUST, (esa_id, share // 10_000, after // 10_000))
        return None
