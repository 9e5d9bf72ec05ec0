"""The published state of a site's part in flexibility: sums, and of each kind those that matter most."""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.model.reason import Reason

Counts = tuple[tuple[str, int], ...]
"""(name, how many); every name that may occur is there, with 0 as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexPeerView:
    """A node at the other end of a link: a provider, or a manager. Appliances are counted by their life."""

    node: str
    up: bool
    appliances: int
    """That it manages; 0 of a provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexGoalView:
    """What the sum of all appliances is wanted to do."""

    number: int
    mode: str
    relative: bool
    """Whether the powers are changes of what is intended."""
    begin_utc_ms: int
    end_utc_ms: int
    power_w: int | None
    """Wanted now; None outside of its time."""
    event_ref: str
    emergency: bool
    who: str
    """Who ordered it; empty: the configuration, or the region."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexPlanView:
    """The last plan that was carried out. Objectives are squared deviations from the goal, W^2 by slot."""

    number: int
    picks: int
    objective: int
    idle_objective: int
    """If nothing were selected."""
    bound: int | None
    """No plan is better than this."""
    gap_ppm: int | None
    excess_w: int
    """Above ratings: only where nothing better is possible."""
    reasons: tuple[str, ...]
    overloads: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexProfileView:
    """One way of running."""

    profile_id: str
    kind: str
    length_s: int
    energy_wh: int
    """As expected."""
    least_w: int
    most_w: int
    default: bool
    """What runs if nobody selects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexOfferView:
    """One offer of an appliance."""

    esa_id: str
    offer_id: str
    rev: int
    state: str
    """selectable, selected, early (not valid yet), expired, or withheld (its appliance is not to be selected now)."""
    modes: tuple[str, ...]
    valid_until_utc_ms: int
    start_earliest_utc_ms: int
    start_latest_utc_ms: int
    profiles: tuple[FlexProfileView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexSelectionView:
    """One selection, as this side knows it."""

    select_id: str
    esa_id: str
    offer_id: str
    """Empty where somebody else selected."""
    profile_id: str
    state: str
    standing: str
    """NOTHING, PLEDGED or EFFECTIVE: what it counts for."""
    mode: str
    start_utc_ms: int
    """With the delay that was drawn, as far as it is known; 0: not known."""
    end_utc_ms: int
    code: str
    """Why it ended, where there is more to say than the state."""
    event_ref: str
    cancelling: bool
    why: str = ""
    """Why it was selected; empty where nobody said."""

    @property
    def open(self) -> bool:
        """Asked for and not over."""
        return self.state in ("PENDING", "ACCEPTED", "SCHEDULED", "ACTIVE", "INTERRUPTED")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexAccountView:
    """What one selection owes and gave, in Wh of what was measured.

    Changes are against what was intended, slot by slot, up or down alike: a load that is moved would sum up to nothing.
    """

    select_id: str
    esa_id: str
    cem: str
    event_ref: str
    state: str
    begin_utc_ms: int
    end_utc_ms: int
    baseline_wh: int
    promised_wh: int
    delivered_wh: int
    asked_wh: int
    credited_wh: int
    short_wh: int
    unproven_wh: int
    """Change that was promised where nothing was measured."""
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexApplianceView:
    """One appliance."""

    esa_id: str
    cem: str
    kind: str
    """EVSE, SPACE_HEATING ...; empty until it is known."""
    life: str
    """At its manager; at a provider REGISTERED, NORMAL, OPTED_OUT, SUSPENDED or DETACHED by what is told."""
    running: str
    p_max_w: int
    p_min_w: int
    rev: int
    override: str
    """Scope; empty: none."""
    override_by: str
    override_until_utc_ms: int
    """0: until it is lifted."""
    limit_state: str
    """Empty where only its manager knows."""
    weight_ppm: int
    """How much of what it promises is counted on."""
    faults: tuple[str, ...]
    """Of its deliveries now."""
    offers: tuple[FlexOfferView, ...] = ()
    selections: tuple[FlexSelectionView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexSlotView:
    """One slot of the coming hours: all open selections together, means of power."""

    start_utc_ms: int
    length_s: int
    promised_w: int
    intended_w: int
    """What the same appliances would take if nobody had selected."""
    target_w: int | None
    """Of all appliances; None where nothing is wanted, or only a change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexView:
    """All that a site's part in flexibility shows after one step."""

    manager: str
    """Its node id; empty: it is none."""
    provider: str
    """Its node id; empty: it is none."""
    peers: tuple[FlexPeerView, ...]
    """Those that are down first; not all where they are many."""
    peers_up: int
    peers_down: int
    lives: Counts
    """Appliances."""
    offers: Counts
    """By state."""
    selections: Counts
    """By state, those of the last day."""
    limit_states: Counts
    """Appliances of the manager by the state of their limits."""
    site_limit_state: str
    """Of the manager's own limit; empty without one."""
    overrides: Counts
    """Appliances by the scope of what overrides them now."""
    failsafe_entries: int
    """How often the manager's own limit, or one of the devices that it drives, fell to its fail-safe value."""
    refused: Counts
    """Messages that were refused here, by code, since the journal began."""
    goal: FlexGoalView | None
    plan: FlexPlanView | None
    plans: int
    """Asked of the worker since the journal began."""
    plans_failed: int
    plan_due_in_ms: int
    """Until the next plan at the earliest; -1: there is no goal."""
    promised_w: int
    """Power of all that runs under a selection now, as promised: the part that was measured."""
    delivered_w: int | None
    """The same as measured; None where this site measures nothing."""
    intended_w: int
    """What the same appliances would take if nobody had selected."""
    unmeasured_w: int
    """Promised by those of which nothing was measured lately."""
    asked_wh: int
    """Of all accounts that are kept: sums of theirs."""
    credited_wh: int
    short_wh: int
    unproven_wh: int
    accounts: int
    accounts_counted: int
    """Those that the sums hold; a few more with every look after a start."""
    reports_waiting: int
    reports_dropped: int
    findings: tuple[tuple[str, Reason], ...]
    """(appliance, what) of deliveries, newest first."""
    offer_list: tuple[FlexOfferView, ...]
    selection_list: tuple[FlexSelectionView, ...]
    account_list: tuple[FlexAccountView, ...]
    appliance_list: tuple[FlexApplianceView, ...]
    """Those that somebody should look at first."""
    appliance_ids: tuple[str, ...]
    """All of them."""
    ahead: tuple[FlexSlotView, ...]
    """From now to the end of what is selected."""
    open_ids: tuple[str, ...]
    """All open selections that this site asked for."""
