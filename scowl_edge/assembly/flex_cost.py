"""How fast flexibility reacts: from the loss of whoever sets limits, or an order, to power; a sum of declared parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from scowl_edge.assembly.assembly import Assembly
from scowl_edge.assembly.cost import Term, seconds
from scowl_edge.drivers.flex.session_timing import Timers
from scowl_edge.dsr.limiting import SILENCE_MS


@dataclass(frozen=True, slots=True)
class FlexReaction:
    """Longest time from an event until each appliance was told, or has noticed by itself.

    How long it then takes to change its power is the appliance's own.
    """

    what: str
    terms: tuple[Term, ...]

    @property
    def total_ms(self) -> int:
        """Sum of the terms."""
        return sum(term.ms for term in self.terms)

    def line(self) -> str:
        """`flex: WHAT: at most 130 s (...)`."""
        listed = " + ".join(f"{term.what} {seconds(term.ms)}" for term in self.terms)
        return f"flex: {self.what}: at most {seconds(self.total_ms)} ({listed})"


def flex_reactions(assembly: Assembly) -> Iterator[FlexReaction]:
    """Those of the site's part; a site without `flex:` has none."""
    site = assembly.site
    if site.flex is None:
        return
    period = Term("period", site.policy.period_ms)
    message = Term("a message's time-out", Timers().ack_ms)
    silence = Term("silence", SILENCE_MS)
    if site.flex.manager is not None:
        if site.flex.manager.provider:
            yield FlexReaction("the provider is lost until appliances are told", (silence, period, message))
        yield FlexReaction("the link to an appliance is lost until it notices", (silence,))
        yield FlexReaction("a limit comes until appliances are told", (period, message))
    if site.flex.provider is not None:
        yield FlexReaction("a limit is ordered until its manager is told", (period, message))
