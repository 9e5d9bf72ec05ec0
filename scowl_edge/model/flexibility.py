"""Flexibility: which courses of power an appliance could run, which of them was selected, and what bounds it.

PAS 1878-style. Power in W, + is consumption; energy in Wh; points in time are UTC in ms, lengths whole seconds. The
same values are decided upon in the core, kept in the journal, and, as JSON, on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

UNSET = -1
"""A point in time that is not given."""
WHOLE_PPM = 1_000_000
"""A share of one."""


class Mode(StrEnum):
    """What a selection serves."""

    ROUTINE = "ROUTINE"
    """Tariffs and incentives."""
    RESPONSE = "RESPONSE"
    """A near real-time need of the grid; the random delay is not drawn for it."""


class ProfileKind(StrEnum):
    """What a profile stands for."""

    IO = "IO"
    """Intended operation: what runs if nobody asks for anything."""
    LD = "LD"
    """Least delayed."""
    MD = "MD"
    """Most delayed."""
    LDP = "LDP"
    """Least delayed production."""
    MDP = "MDP"
    """Most delayed production."""
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """A stretch of constant expected power."""

    dur_s: int
    p_nom_w: int
    """Expected mean power."""
    p_min_w: int
    p_max_w: int
    """Bounds that the element may be set between; equal to `p_nom_w` where it cannot be."""


class EndKind(StrEnum):
    """What is known of the appliance at the end of a profile."""

    COMPLETE = "COMPLETE"
    SOC = "SOC"
    TEMP = "TEMP"
    OFF = "OFF"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndState:
    """The appliance's state when a profile has run."""

    kind: EndKind
    value_milli: int
    """A thousandth of `unit`."""
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What running a profile costs, against intended operation; negative is a benefit."""

    financial_micro: int
    """A millionth of `currency`."""
    currency: str
    """Three letters, or empty where nothing financial is meant."""
    co2_g: int
    comfort: int
    """0 (none notices) to 10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One course of power that an appliance could run."""

    profile_id: str
    kind: ProfileKind
    elements: tuple[Element, ...]
    """1 to 288, one after the other without a gap."""
    start_fixed_ms: int = UNSET
    """Set: starts then and at no other time."""
    e_min_wh: int | None = None
    e_max_wh: int | None = None
    """Bounds of the energy of the whole."""
    interruptible: bool = False
    """Whoever selected it may pause it."""
    max_pause_s: int = 0
    min_activation_ppm: int = WHOLE_PPM
    """Least share of it that is of use."""
    freq_n: int = 0
    """0: none; else power goes with the (n-1)th power of the deviation of the frequency."""
    abnormal_only: bool = False
    """For emergencies alone."""
    end_state: EndState | None = None
    cost: Cost | None = None

    @property
    def length_s(self) -> int:
        """From its start to its end."""
        return sum(e.dur_s for e in self.elements)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Profiles of which one may be selected; never changed, only replaced by the next set."""

    offer_id: str
    valid_from_ms: int
    valid_until_ms: int
    """A selection must arrive by then."""
    start_earliest_ms: int
    start_latest_ms: int
    min_notice_s: int
    """A selection must arrive this long before its start."""
    modes: tuple[Mode, ...]
    default_profile_id: str
    """What runs if nobody selects."""
    profiles: tuple[Profile, ...]
    accept_before_ms: int = UNSET
    """The appliance would like a yes or no by then."""
    end_latest_ms: int = UNSET

    def profile(self, profile_id: str) -> Profile | None:
        """By its id."""
        return next((p for p in self.profiles if p.profile_id == profile_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferSet:
    """All offers of one appliance; replaces those of the revision before."""

    esa_id: str
    rev: int
    offers: tuple[Offer, ...]

    def offer(self, offer_id: str) -> Offer | None:
        """By its id."""
        return next((o for o in self.offers if o.offer_id == offer_id), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One profile of one offer, from a start on."""

    esa_id: str
    rev: int
    offer_id: str
    profile_id: str
    start_ms: int
    setpoints_w: tuple[int, ...] = ()
    """One an element; empty: nominal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A choice among the offers of many appliances: only what is to differ from doing nothing."""

    number: int
    """Of the job that it answers."""
    picks: tuple[Pick, ...]
    objective: int
    """Squared deviation from the target plus costs, W^2 by slot."""
    idle_objective: int
    """The same if nothing were selected."""
    bound: int | None
    """No plan is better than this."""
    gap_ppm: int | None
    excess_w: int = 0
    """Above caps, which only happens where nothing better is possible."""
    idle_excess_w: int = 0
    reasons: tuple[str, ...] = ()
    """In words, of the first picks."""
    overloads: tuple[str, ...] = ()
    """In words: caps that even this plan exceeds, so that a limit has to be sent."""


class SelectionState(StrEnum):
    """Where a selection stands. The appliance decides; all others hold copies."""

    PENDING = "PENDING"
    """Asked, not answered."""
    ACCEPTED = "ACCEPTED"
    SCHEDULED = "SCHEDULED"
    """Its start, with the delay that was drawn, is known."""
    ACTIVE = "ACTIVE"
    INTERRUPTED = "INTERRUPTED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    OVERRIDDEN = "OVERRIDDEN"
    ABORTED = "ABORTED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"

    @property
    def terminal(self) -> bool:
        """Nothing follows."""
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        SelectionState.COMPLETED,
        SelectionState.CANCELLED,
        SelectionState.OVERRIDDEN,
        SelectionState.ABORTED,
        SelectionState.REJECTED,
        SelectionState.EXPIRED,
        SelectionState.WITHDRAWN,
    }
)


class LimitState(StrEnum):
    """State of the controller that keeps an appliance or a site within what it was allowed."""

    INIT = "INIT"
    """Only at the very first start; the fail-safe value holds."""
    UNLIMITED = "UNLIMITED"
    LIMITED = "LIMITED"
    FAILSAFE = "FAILSAFE"
    """Whoever sets limits is silent; the fail-safe value holds."""
    AUTONOMOUS = "AUTONOMOUS"
    """Silent for long: a value of its own holds, by default the fail-safe value."""


class LimitClass(StrEnum):
    """How far up a limit stands."""

    SAFETY = "SAFETY"
    """Before the user."""
    CONTRACT = "CONTRACT"
    """Behind the user."""


class OverrideScope(StrEnum):
    """What a user takes out of flexibility."""

    NONE = "NONE"
    THIS = "THIS"
    """The present job."""
    LOCAL = "LOCAL"
    """What the building itself would optimise."""
    GRID = "GRID"
    """What others would select."""
    ALL = "ALL"


class OverrideBy(StrEnum):
    """Who overrides."""

    USER = "USER"
    SAFETY = "SAFETY"
    DEVICE = "DEVICE"


class EsaType(StrEnum):
    """Kinds of appliances."""

    EVSE = "EVSE"
    SPACE_HEATING = "SPACE_HEATING"
    WATER_HEATING = "WATER_HEATING"
    COOLING = "COOLING"
    BATTERY = "BATTERY"
    PV = "PV"
    COLD = "COLD"
    WET = "WET"
    OTHER = "OTHER"


class Control(StrEnum):
    """What an appliance lets others do."""

    PROFILE = "PROFILE"
    LIMIT = "LIMIT"
    SETPOINT = "SETPOINT"
    PAUSE = "PAUSE"
    FREQ = "FREQ"


class OnLinkLoss(StrEnum):
    """What becomes of an active profile when the link is lost."""

    FINISH_ACTIVE = "FINISH_ACTIVE"
    TO_DEFAULT = "TO_DEFAULT"
    """It ends with its present element."""
