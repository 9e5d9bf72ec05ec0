"""The objects of `/api/v1/flex`, declared once like those of `wire`: offers, selections, books, and one appliance."""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.web.wire import CLOSED, ReasonOut


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexPeerOut:
    """A node at the other end of a link: a provider, or a manager."""

    __pydantic_config__ = CLOSED

    node: str
    up: bool
    appliances: int
    """That it manages; 0 of a provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexGoalOut:
    """What the sum of all appliances is wanted to do."""

    __pydantic_config__ = CLOSED

    number: int
    mode: str
    """ROUTINE or RESPONSE."""
    relative: bool
    """Whether the powers are changes of what is intended."""
    begin: str | None
    end: str | None
    power_w: int | None
    """Wanted now; null outside of its time."""
    event_ref: str
    emergency: bool
    who: str
    """Who ordered it; empty: the configuration, or the region."""
    why: str
    text: str
    """The same in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexPlanOut:
    """The last plan that was carried out. Objectives are squared deviations from the goal, W^2 by slot."""

    __pydantic_config__ = CLOSED

    number: int
    picks: int
    objective: str
    """A whole number as text: larger than what every JSON reader keeps exact."""
    idle_objective: str
    """If nothing were selected."""
    bound: str | None
    """No plan is better than this; null where none was reckoned."""
    gap_ppm: int | None
    """How far above the bound, at most."""
    excess_w: int
    """Above ratings: only where nothing better is possible."""
    reasons: list[str]
    overloads: list[str]
    text: str
    """The same in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexSlotOut:
    """One slot of the coming hours: all open selections together, means of power."""

    __pydantic_config__ = CLOSED

    start: str | None
    length_s: int
    promised_w: int
    intended_w: int
    """What the same appliances would take if nobody had selected."""
    target_w: int | None
    """Of all appliances; null where nothing is wanted, or only a change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexProfileOut:
    """One way of running."""

    __pydantic_config__ = CLOSED

    profile_id: str
    kind: str
    """IO intended, LD least delayed, MD most delayed, LDP and MDP the same of production, OTHER."""
    length_s: int
    energy_wh: int
    least_w: int
    most_w: int
    default: bool
    """What runs if nobody selects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexOfferOut:
    """One offer of an appliance."""

    __pydantic_config__ = CLOSED

    esa_id: str
    offer_id: str
    rev: int
    state: str
    """selectable, selected, early (not valid yet), expired, or withheld (its appliance is not to be selected now)."""
    modes: list[str]
    valid_until: str | None
    start_earliest: str | None
    start_latest: str | None
    profiles: list[FlexProfileOut]
    text: str
    """Its profiles in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexSelectionOut:
    """One selection, as this side knows it."""

    __pydantic_config__ = CLOSED

    select_id: str
    esa_id: str
    offer_id: str
    profile_id: str
    state: str
    """PENDING, ACCEPTED, SCHEDULED, ACTIVE, INTERRUPTED, or one of the ends."""
    standing: str
    """NOTHING, PLEDGED or EFFECTIVE: what it counts for."""
    mode: str
    start: str | None
    """With the delay that was drawn, as far as it is known."""
    end: str | None
    code: str
    event_ref: str
    cancelling: bool
    why: str
    """Why it was selected, in words; empty where nobody said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexAccountOut:
    """What one selection owes and gave, where it was measured.

    Changes are against what was intended, slot by slot, up or down alike: a load that is moved would sum up to nothing.
    """

    __pydantic_config__ = CLOSED

    select_id: str
    esa_id: str
    cem: str
    event_ref: str
    state: str
    begin: str | None
    end: str | None
    baseline_wh: int
    promised_wh: int
    delivered_wh: int
    asked_wh: int
    """Change that was promised."""
    credited_wh: int
    """Of it delivered."""
    short_wh: int
    unproven_wh: int
    """Change that was promised where nothing was measured."""
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexApplianceOut:
    """One appliance, without its offers and selections."""

    __pydantic_config__ = CLOSED

    esa_id: str
    cem: str
    kind: str
    life: str
    running: str
    p_max_w: int
    p_min_w: int
    rev: int
    override: str
    """THIS, LOCAL, GRID or ALL; empty: none."""
    override_by: str
    override_until: str | None
    limit_state: str
    """Empty where only its manager knows."""
    weight_ppm: int
    """How much of what it promises is counted on."""
    faults: list[str]
    """Of its deliveries now: UNDER_DELIVERED, UNPROVEN, DISPUTED."""
    trouble: str
    """What somebody should look at, in words; empty: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexFindingOut:
    """Something about a delivery."""

    __pydantic_config__ = CLOSED

    esa_id: str
    what: ReasonOut


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexOut:
    """The site's part in flexibility, in sums. All that counts by name has every name, with 0 as well."""

    __pydantic_config__ = CLOSED

    part: str
    """manager, provider, both or none."""
    manager: str
    """Its node id; empty: it is none."""
    provider: str
    peers: list[FlexPeerOut]
    """Those that are down first; 100 at most."""
    peers_up: int
    peers_down: int
    appliances: int
    lives: dict[str, int]
    offers: dict[str, int]
    selections: dict[str, int]
    """Those of the last day."""
    limit_states: dict[str, int]
    site_limit_state: str
    overrides: dict[str, int]
    overridden: int
    failsafe_entries: int
    refused: dict[str, int]
    goal: FlexGoalOut | None
    plan: FlexPlanOut | None
    plan_why: str
    """Its first reasons, in words."""
    plans: int
    plans_failed: int
    plan_due_s: int | None
    """Until the next plan at the earliest; null: there is no goal."""
    promised_w: int
    """Power of all that runs under a selection, as promised: the part that was measured."""
    delivered_w: int | None
    """The same as measured; null where this site measures nothing."""
    intended_w: int
    unmeasured_w: int
    asked_wh: int
    credited_wh: int
    short_wh: int
    unproven_wh: int
    accounts: int
    accounts_counted: int
    """Those that the sums hold; a few more with every look after a start."""
    reports_waiting: int
    reports_dropped: int
    unsent: int
    """Messages that no link took, since the start."""
    ahead: list[FlexSlotOut]
    """From now to the end of what is selected."""
    findings: list[FlexFindingOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexSummaryOut:
    """The site's part, and of appliances, offers and selections those that matter most."""

    __pydantic_config__ = CLOSED

    step: int
    flex: FlexOut
    appliances: list[FlexApplianceOut]
    """20 at most."""
    offers: list[FlexOfferOut]
    """20 at most, those that may be selected first."""
    selections: list[FlexSelectionOut]
    """20 at most, the open ones first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexOffersOut:
    """Offers, those that may be selected first; 100 at most."""

    __pydantic_config__ = CLOSED

    step: int
    total: int
    offers: list[FlexOfferOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexSelectionsOut:
    """Selections, the open ones first, then the latest; 100 at most."""

    __pydantic_config__ = CLOSED

    step: int
    total: int
    selections: list[FlexSelectionOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexBooksOut:
    """Accounts of a provider, those that lack most first; 100 at most, with the sums over all."""

    __pydantic_config__ = CLOSED

    step: int
    total: int
    counted: int
    """Accounts that the sums hold."""
    asked_wh: int
    credited_wh: int
    short_wh: int
    unproven_wh: int
    accounts: list[FlexAccountOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexApplianceDetailOut:
    """One appliance with its offers and selections."""

    __pydantic_config__ = CLOSED

    step: int
    appliance: FlexApplianceOut
    offers: list[FlexOfferOut]
    selections: list[FlexSelectionOut]
