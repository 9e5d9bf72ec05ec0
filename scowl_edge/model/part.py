"""What part a site has in flexibility: an energy manager, a provider, or both. Frozen, from the configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPart:
    """What the user of one appliance lets others do."""

    esa_id: str
    routine: bool
    """Whether it may be selected for ROUTINE."""
    response: bool
    random_offset_max_s: int | None
    """None: as for all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerPart:
    """An energy manager (CEM)."""

    node: str
    """`cem:...`."""
    provider: str
    """Node id of whoever selects; empty: nobody."""
    appliances: int
    """Most that may connect."""
    failsafe_p_upper_w: int
    """Of each appliance while nobody who sets limits is heard."""
    failsafe_p_lower_w: int
    """At most 0."""
    failsafe_min_s: int
    autonomous_p_upper_w: int | None = None
    """Of each appliance, once that lasted; None: as the fail-safe value."""
    autonomous_p_lower_w: int | None = None
    autonomous_unlimited: bool = False
    random_offset_max_s: int = 600
    users: tuple[UserPart, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderPart:
    """A provider (DSRSP)."""

    node: str
    """`dsrsp:...`."""
    failsafe_p_upper_w: int
    """That each appliance is told."""
    max_ramp_w_per_s: int
    """0: not bounded."""
    slot_ms: int
    slots: int
    replan_ms: int
    moves: int
    level_w: int | None
    """That the sum should keep to; None: nothing is selected by itself."""
    response: bool
    """Whether selections for it are RESPONSE."""
    rating: int = -1
    """Index of the rating below which the appliances are; -1: the site's first bus."""
    accept_ms: int = 10_000
    """How long an appliance may take to answer a selection."""
    job_ms: int = 60_000
    """How long a plan may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexPart:
    """The site's part."""

    manager: ManagerPart | None = None
    provider: ProviderPart | None = None
