"""What providers, energy managers and appliances tell each other: the bodies of `scowl-flex/1`, and its codes.

As values of the core: integers only, absent is None (or `UNSET` for a point in time). How they look on the wire, and
the check of what comes from there, is the driver's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scowl_edge.model.flexibility import (
    UNSET,
    Control,
    Element,
    EsaType,
    LimitClass,
    LimitState,
    Mode,
    OfferSet,
    OnLinkLoss,
    OverrideBy,
    OverrideScope,
    SelectionState,
)


class AckStatus(StrEnum):
    """What became of a message as such; whether its wish is granted is said by other messages."""

    OK = "OK"
    INVALID_DATA = "INVALID_DATA"
    INVALID_MESSAGE = "INVALID_MESSAGE"
    INVALID_CONTENT = "INVALID_CONTENT"
    TEMPORARY_ERROR = "TEMPORARY_ERROR"
    PERMANENT_ERROR = "PERMANENT_ERROR"


class Code(StrEnum):
    """Why something was refused, or ended as it did."""

    BAD_JSON = "BAD_JSON"
    SCHEMA = "SCHEMA"
    UNSUPPORTED = "UNSUPPORTED"
    AUTH_FAILED = "AUTH_FAILED"
    CONSENT_MISSING = "CONSENT_MISSING"
    UNKNOWN_ESA = "UNKNOWN_ESA"
    UNKNOWN_OFFER = "UNKNOWN_OFFER"
    UNKNOWN_SELECT = "UNKNOWN_SELECT"
    STALE_REV = "STALE_REV"
    DUPLICATE_ID = "DUPLICATE_ID"
    EXPIRED = "EXPIRED"
    TOO_LATE = "TOO_LATE"
    OUT_OF_WINDOW = "OUT_OF_WINDOW"
    OUT_OF_BOUNDS = "OUT_OF_BOUNDS"
    OPTED_OUT = "OPTED_OUT"
    OVERRIDDEN = "OVERRIDDEN"
    FAULT = "FAULT"
    SAFETY = "SAFETY"
    BUSY = "BUSY"
    PREEMPTED = "PREEMPTED"
    CLOCK_SKEW = "CLOCK_SKEW"
    RATE = "RATE"
    INTERNAL = "INTERNAL"
    # Ends of selections and of attempts, which are no refusal of a message.
    LIMITED = "LIMITED"
    START_MISSED = "START_MISSED"
    NO_ANSWER = "NO_ANSWER"
    INIT_TIMEOUT = "INIT_TIMEOUT"
    DEVIATION = "DEVIATION"
    LINK_LOST = "LINK_LOST"

    @property
    def status(self) -> AckStatus:
        """What an `ack` says with it."""
        return _REFUSALS.get(self, (409, AckStatus.INVALID_CONTENT))[1]

    @property
    def http(self) -> int:
        """Status of the answer over HTTPS."""
        return _REFUSALS.get(self, (409, AckStatus.INVALID_CONTENT))[0]


_REFUSALS = {
    Code.BAD_JSON: (400, AckStatus.INVALID_DATA),
    Code.SCHEMA: (422, AckStatus.INVALID_MESSAGE),
    Code.UNSUPPORTED: (422, AckStatus.INVALID_MESSAGE),
    Code.AUTH_FAILED: (401, AckStatus.PERMANENT_ERROR),
    Code.CONSENT_MISSING: (403, AckStatus.PERMANENT_ERROR),
    Code.UNKNOWN_ESA: (404, AckStatus.INVALID_CONTENT),
    Code.UNKNOWN_OFFER: (404, AckStatus.INVALID_CONTENT),
    Code.UNKNOWN_SELECT: (404, AckStatus.INVALID_CONTENT),
    Code.BUSY: (409, AckStatus.TEMPORARY_ERROR),
    Code.PREEMPTED: (409, AckStatus.TEMPORARY_ERROR),
    Code.CLOCK_SKEW: (400, AckStatus.INVALID_CONTENT),
    Code.RATE: (429, AckStatus.TEMPORARY_ERROR),
    Code.INTERNAL: (503, AckStatus.TEMPORARY_ERROR),
}


class NodeRole(StrEnum):
    """What a node is on a link."""

    DSRSP = "DSRSP"
    CEM = "CEM"
    ESA = "ESA"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """First message of a session."""

    versions: tuple[str, ...]
    role: NodeRole
    last_seq: int | None = None
    """Where the session before ended, to go on from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelloAck:
    """Answer to `Hello`."""

    version: str
    session_id: str
    heartbeat_s: int
    """5 to 60."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """Proof of life."""

    limit_state: LimitState
    rev: int
    """Latest revision of offers that the sender knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """A message was read and stored, or refused. No consent to what it asks for."""

    status: AckStatus
    code: Code | None = None
    detail: str = ""
    """At most 200 characters; begins with the path of the field in fault, where there is one."""
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A peer's message that got an answer for good: enough to give it again, and to know other words with its id."""

    peer: str
    message_id: str
    digest: bytes
    """Of what its sender may not change, 8 bytes."""
    ts_ms: int
    """The sender's stamp."""
    code: Code | None = None
    """None: OK."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """An appliance presents itself."""

    esa_id: str
    """Random, 8 to 64 characters."""
    esa_type: EsaType
    p_max_w: int
    p_min_w: int
    """Below 0 if it can export."""
    modes: tuple[Mode, ...]
    controls: tuple[Control, ...]
    consent_ref: str
    """Opaque id of the consent that was stored."""
    cert_fp: str
    """SHA-256 of the certificate, 64 hex digits."""
    ramp_w_per_s: int | None = None
    meter_class: str = ""
    fw: str = ""
    model: str = ""


class Outcome(StrEnum):
    """What became of a registration."""

    ACCEPTED = "ACCEPTED"
    REJECTED = "REJECTED"
    PENDING = "PENDING"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterResult:
    """Answer to `Register`."""

    esa_id: str
    outcome: Outcome
    code: Code | None = None


class DeregisterReason(StrEnum):
    """Why an appliance leaves."""

    USER = "USER"
    MOVE = "MOVE"
    FAULT = "FAULT"
    REVOKED = "REVOKED"
    END_OF_LIFE = "END_OF_LIFE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deregister:
    """The end of a registration; keys and offers are erased."""

    esa_id: str
    reason: DeregisterReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """How an appliance is to report, and what holds when it hears nobody."""

    esa_id: str
    failsafe_p_upper_w: int
    """Limit when blind."""
    report_actual_s: int = 60
    report_forecast_s: int = 900
    horizon_s: int = 86_400
    slot_s: int = 900
    random_offset_max_s: int = 600
    failsafe_p_lower_w: int | None = None
    """Export side, at most 0; absent: the nameplate's."""
    failsafe_min_s: int = 7_200
    on_link_loss: OnLinkLoss = OnLinkLoss.FINISH_ACTIVE
    hold_max_s: int = 3_600
    """Longest that an active profile goes on without a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InitDone:
    """Answer to `Init`."""

    esa_id: str
    code: Code | None = None


class WithdrawReason(StrEnum):
    """Why offers are taken back."""

    USER = "USER"
    STATE_CHANGE = "STATE_CHANGE"
    FAULT = "FAULT"
    REPLACED = "REPLACED"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferWithdraw:
    """Offers that no longer stand."""

    esa_id: str
    offer_ids: tuple[str, ...]
    reason: WithdrawReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """One profile of one offer is wanted. Told twice, it is answered twice with the same words."""

    select_id: str
    esa_id: str
    offer_id: str
    profile_id: str
    rev: int
    """Must be the appliance's present revision."""
    start_ms: int
    mode: Mode
    setpoints_w: tuple[int, ...] = ()
    """One an element, inside its bounds; empty: nominal."""
    random_offset_max_s: int | None = None
    priority: int = 100
    """0 goes first."""
    event_ref: str = ""
    emergency: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectStatus:
    """Where a selection stands, told by the appliance at every change."""

    select_id: str
    esa_id: str
    state: SelectionState
    code: Code | None = None
    applied_offset_s: int | None = None
    progress_s: int | None = None


class CancelAt(StrEnum):
    """When a cancelled profile ends."""

    NOW = "NOW"
    ELEMENT_END = "ELEMENT_END"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """A selection is taken back, before or while it runs."""

    select_id: str
    esa_id: str
    at: CancelAt = CancelAt.ELEMENT_END


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody at the appliance goes before what was selected. Scope NONE lifts it."""

    esa_id: str
    scope: OverrideScope
    by: OverrideBy
    until_ms: int = UNSET
    """UNSET: until it is lifted."""
    expected: tuple[Element, ...] = ()
    """What it will do instead."""


class Want(StrEnum):
    """What a constraint would like."""

    UP = "UP"
    DOWN = "DOWN"
    NONE = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A stretch of a wished or granted envelope."""

    start_ms: int
    dur_s: int
    p_upper_w: int | None = None
    p_lower_w: int | None = None
    want: Want = Want.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """What offers would be of use: asks for a new set, binds nobody."""

    constraint_id: str
    esa_id: str
    slots: tuple[Slot, ...]
    offers_by_ms: int
    value_micro_per_kwh: int = 0
    currency: str = ""


class CapacityMode(StrEnum):
    """What somebody wants to know of the power to come."""

    ENERGY_BY = "ENERGY_BY"
    FASTEST = "FASTEST"
    POWER_FOR = "POWER_FOR"


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityRequest:
    """Whether energy or power can be had."""

    request_id: str
    mode: CapacityMode
    energy_wh: int | None = None
    power_w: int | None = None
    by_ms: int = UNSET
    duration_s: int | None = None
    min_ok_ppm: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityGrant:
    """Power that is reserved for the asker until it expires."""

    request_id: str
    slots: tuple[Slot, ...]
    expires_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A bound of power that holds whatever was selected. Not delayed at random."""

    limit_id: str
    esa_id: str
    """An appliance, or empty for the site."""
    active: bool
    """False lifts it."""
    klass: LimitClass
    p_upper_w: int | None = None
    p_lower_w: int | None = None
    """At most 0."""
    dur_s: int | None = None
    """Absent: until it is replaced."""
    ramp_w_per_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStatus:
    """Answer to `Limit`."""

    limit_id: str
    esa_id: str
    applied: bool
    p_now_w: int
    code: Code | None = None


class ReportKind(StrEnum):
    """Of the past or of the future."""

    ACTUAL = "ACTUAL"
    FORECAST = "FORECAST"


class SlotQuality(StrEnum):
    """How good a reported figure is."""

    OK = "OK"
    ESTIMATED = "ESTIMATED"
    MISSING = "MISSING"
    BAD = "BAD"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSlot:
    """One slot of a report; a missing one keeps its place with no figure."""

    p_avg_w: int | None
    q: SlotQuality
    e_wh: int | None = None
    p_peak_w: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Power by slots, measured or expected."""

    esa_id: str
    kind: ReportKind
    start_ms: int
    slot_s: int
    slots: tuple[ReportSlot, ...]
    select_id: str = ""
    baseline_w: tuple[int, ...] = ()
    soc_wh: int | None = None
    soc_max_wh: int | None = None


class Running(StrEnum):
    """What an appliance does."""

    OFFLINE = "OFFLINE"
    IDLE = "IDLE"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What an appliance does, on change and every quarter of an hour."""

    esa_id: str
    value: Running
    override: OverrideScope
    freq_mhz: int | None = None


Body = (
    Hello
    | HelloAck
    | Heartbeat
    | Ack
    | Register
    | RegisterResult
    | Deregister
    | Init
    | InitDone
    | OfferSet
    | OfferWithdraw
    | Select
    | SelectStatus
    | Cancel
    | Override
    | Constraint
    | CapacityRequest
    | CapacityGrant
    | Limit
    | LimitStatus
    | Report
    | State
)
"""Whatever a message may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, without what belongs to the session it came in."""

    id: str
    """UUID; the same id with the same body is the same message for 24 h."""
    ts_ms: int
    """Sender's clock."""
    src: str
    dst: str
    """`dsrsp:..`, `cem:..`, `esa:..`."""
    body: Body
    corr: str = ""
    """Id of the message that this one answers."""
