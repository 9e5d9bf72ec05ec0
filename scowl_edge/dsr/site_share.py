"""What a site may draw, shared among its appliances: one bound for all becomes one for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """An appliance below the site's bound."""

    esa_id: str
    most_w: int
    """Nameplate: consumption, 0 or above; or, for the bound of production, its size."""
    blind_w: int | None = None
    """What it may take while nobody can tell it anything; None where it hears us."""


def shares_w(claimants: Sequence[Claimant], bound_w: int) -> dict[str, int]:
    """A share for each who hears us, in proportion to nameplates, rounded down; together never above what is left.

    Who cannot be told takes its fail-safe value off first. If even that does not fit, the others get 0 W: there is no
    better bound to give them.
    """
    told = [c for c in claimants if c.blind_w is None]
    left_w = max(0, bound_w - sum(c.blind_w for c in claimants if c.blind_w is not None))
    whole = sum(c.most_w for c in told)
    if whole <= left_w:
        return {c.esa_id: c.most_w for c in told}
    return {c.esa_id: left_w * c.most_w // whole for c in told}
