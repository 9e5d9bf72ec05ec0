"""The objects of `/api/v1`, declared once: served from here, and the OpenAPI document is generated from here.

Values are in base units with the unit in the key; + is consumption, - is production. Times are ISO 8601 in UTC with ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict

CLOSED = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Priority = Literal["critical", "high", "medium", "low"]
QualityName = Literal["good", "uncertain", "bad"]
Access = Literal["r", "w", "rw"]
OrderableDeviceMode = Literal["auto", "manual", "out-of-service"]
OrderableRegionMode = Literal["advisory", "auto", "hold"]
OperatorVerb = Literal["limit", "setpoint", "connect", "shed"]
UserVerb = Literal["limit", "setpoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonOut:
    """Why something is as it is."""

    __pydantic_config__ = CLOSED

    code: str
    """Stable name of the reason."""
    args: list[str | int]
    """What fills the sentence, in order; powers in W, times in ms."""
    text: str
    """The sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionOut:
    """The region after its last step."""

    __pydantic_config__ = CLOSED

    site: str
    step: int
    time: str
    """Wall clock of the step."""
    time_trusted: bool
    """Whether the wall clock was synchronised."""
    mode: str
    """advisory (nothing is written), auto or hold."""
    mode_who: str
    mode_why: str
    mode_until: str | None
    rung: str
    """Where the ladder stands: balanced, or the last rung used."""
    generation_w: int
    demand_w: int
    """Wanted by all consumers: served + deferred + shed + unserved."""
    served_w: int
    deferred_w: int
    shed_w: int
    unserved_w: int
    unserved_w_by_class: list[int]
    """Class 0 (protected) to 7."""
    unmetered_w: int
    pledged_w: int
    """Ordered but not yet effective."""
    grid_net_w: int | None
    headroom_w: int
    conservation_error_w: int
    """Always 0."""
    consumers: dict[str, int]
    """Number of consumers by state."""
    alarms: dict[Priority, int]
    """Number of standing alarms by priority, without those that are shelved."""
    alarms_shelved: int
    worst_alarm: Priority | None
    """Of those that are not shelved."""
    oldest_data_s: float | None
    """Age of the oldest value that is read from a device; null if some point was never read well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeOut:
    """One distribution tree."""

    __pydantic_config__ = CLOSED

    name: str
    """Its generator, store or grid connection."""
    bus: str
    output_w: int
    safe_w: int
    """Load that it bears with the region's margin."""
    load_w: int
    over_assigned_w: int
    members: list[str]
    blackout: bool
    fresh: bool
    """Whether this rests on fresh measurements."""
    population: str = ""
    """Population whose tree it is; empty for a device's."""
    member_count: int = 0
    """How many hang on it; of a population's tree they have no names, and `members` is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderedOut:
    """A value that a person ordered and that still counts."""

    __pydantic_config__ = CLOSED

    value: int
    rank: Literal["operator", "user"]
    """operator: held in MANUAL; user: before contracts, sheds and economy, behind safety."""
    who: str
    why: str
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActuatorOut:
    """What a device should do, was told, and does."""

    __pydantic_config__ = CLOSED

    verb: str
    target: int | None
    confirmed: int | None
    """Read back from the device."""
    state: str
    claim_class: int
    """Class of the claim that won, 1 (protection) to 9 (default); 0 none."""
    reason: ReasonOut | None
    stays_as_left: bool
    """The device keeps what was written when nobody commands it any more: it has no time-out of its own for this."""
    low: int
    """Least value that may be ordered: W, 0 or 1, or a number, as the verb has it."""
    high: int
    """Greatest value that may be ordered."""
    withheld: ReasonOut | None
    """Why the target is not written now, though it is wanted; null where nothing is in its way."""
    writes_today: int
    """Writes that may have reached the device today."""
    writes_total: int
    """The same since the journal began."""
    daily_budget: int
    """Most writes a day; 0 = no limit."""
    ordered: OrderedOut | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VetoOut:
    """A user's word that a device is not to be made use of."""

    __pydantic_config__ = CLOSED

    active: bool
    by: str
    why: str
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOut:
    """One device as the region sees it."""

    __pydantic_config__ = CLOSED

    name: str
    link: str
    kind: str
    """generator, consumer, storage or meter."""
    mode: str
    """auto, manual, out-of-service or local."""
    mode_who: str
    mode_why: str
    mode_until: str | None
    up: bool | None
    """null before it was first tried."""
    since: str | None
    """Since when it is up or down."""
    state: str
    load_class: int
    """Class of a consumer, 0 (protected) to 7."""
    tree: str
    power_w: int | None
    wanted_w: int
    shed_w: int
    unserved_w: int
    why: ReasonOut | None
    actuators: list[ActuatorOut]
    stays_as_left: bool | None
    """It can be commanded, and nothing in it falls back by itself; null where there is nothing to command."""
    down_cause: str
    """Why it does not answer; empty while it does."""
    veto: VetoOut


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessOut:
    """How far the data of one device can be trusted now."""

    __pydantic_config__ = CLOSED

    device: str
    quality: QualityName
    """The worst of all its points that are read."""
    age_s: float | None
    """Age of the oldest last good value of these points; null if one of them never had any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseOut:
    """What one device takes of a rating."""

    __pydantic_config__ = CLOSED

    device: str
    net_w: int
    """+ consumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingOut:
    """One rating and its head-room."""

    __pydantic_config__ = CLOSED

    name: str
    kind: str
    within: str
    """Rating above it; empty at the top."""
    load_va: list[int]
    """Phases a, b, c; + import."""
    import_va: int
    export_va: int
    headroom_w: int
    unmetered_w: int
    metered: bool
    fresh: bool
    uses: list[UseOut]
    """What flows through it, the largest first; the rest is unmetered or smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgedOut:
    """Who has seen an alarm."""

    __pydantic_config__ = CLOSED

    by: str
    why: str
    at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShelvedOut:
    """Who put an alarm out of sight, and until when."""

    __pydantic_config__ = CLOSED

    by: str
    why: str
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmOut:
    """One standing alarm."""

    __pydantic_config__ = CLOSED

    key: str
    """Kind and object, e.g. device-down:wind-1."""
    priority: Priority
    since: str
    since_trusted: bool
    """Whether the wall clock was synchronised then."""
    cause: ReasonOut
    source: str
    """Device, link or rating that it is about; empty for the daemon itself."""
    acknowledged: AcknowledgedOut | None
    shelved: ShelvedOut | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventOut:
    """One thing that happened."""

    __pydantic_config__ = CLOSED

    seq: int
    """Counts up by one from the first boot of the journal."""
    source_time: str | None
    """When it happened, as the place where it happened knows it."""
    receive_time: str | None
    """When the region took it in."""
    time_trusted: bool
    """Whether the wall clock was synchronised then."""
    kind: str
    """alarm-raised, alarm-cleared, alarm-acknowledged, alarm-shelved, alarm-unshelved, link-up, link-down, device-up,
    device-down, order, order-ended, boot, stop, journal-gap, step-failed, batches-refused."""
    source: str
    """Device, link or rating; empty for the region itself."""
    priority: Priority | None
    """Of the alarm; null for other kinds."""
    who: str
    """Person who did it; empty where nobody did."""
    text: ReasonOut


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendRowOut:
    """What a point did in one stretch of time; all three are null where it had no good value."""

    __pydantic_config__ = CLOSED

    time: str
    """Begin of the stretch."""
    low: float | None
    mean: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionOut:
    """One thing that the region decided."""

    __pydantic_config__ = CLOSED

    step: int
    time: str
    rung: str
    device: str
    amount_w: int
    reason: ReasonOut


@dataclass(frozen=True, slots=True, kw_only=True)
class PointOut:
    """One point of a device."""

    __pydantic_config__ = CLOSED

    device: str
    point: str
    value: float | str | None
    """In `unit`; a text where it is one on the wire; null while bad."""
    unit: str
    """Base unit: W, Wh, V, A, Hz, fraction, ...; 1 for what has none."""
    quality: QualityName
    reason: str | None
    """Why the quality is not good: never_read, timeout, link_down, exception, bad_reply, sentinel, implausible,
    stale, not_read_yet, unknown_node, wrong_type; null while good."""
    detail: str | None
    """More on the reason, in words: what the server answered, or what to change; null where there is no more to say."""
    source_time: str | None
    """The device's own time stamp."""
    request_time: str | None
    receive_time: str | None
    """When the reply, or the failure, was certain."""
    type: str
    """Type on the wire; empty where the configuration leaves it to the server."""
    access: Access


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFault:
    """One fault of one field of a request."""

    __pydantic_config__ = CLOSED

    field: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem document as of RFC 9457."""

    __pydantic_config__ = CLOSED

    type: str
    title: str
    status: int
    detail: str
    instance: str
    """Path of the request."""
    errors: list[FieldFault] | None = None
    """Faults of single fields, all in one answer."""
