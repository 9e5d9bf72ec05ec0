"""The JSON of `/api/v1`, declared once: served from here, and the OpenAPI document is generated from here.

Values are in base units with the unit in the key; + is consumption, - is production. Times are ISO 8601 in UTC with ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict

_CLOSED = ConfigDict(extra="forbid", use_attribute_docstrings=True)

Priority = Literal["critical", "high", "medium", "low"]
QualityName = Literal["good", "uncertain", "bad"]
Access = Literal["r", "w", "rw"]
OrderableDeviceMode = Literal["auto", "manual", "out-of-service"]
OrderableRegionMode = Literal["advisory", "auto", "hold"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonOut:
    """Why something is as it is."""

    __pydantic_config__ = _CLOSED

    code: str
    """Stable name of the reason."""
    args: list[str | int]
    """What fills the sentence, in order; powers in W, times in ms."""
    text: str
    """The sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionOut:
    """The region after its last step."""

    __pydantic_config__ = _CLOSED

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
    """Number of standing alarms by priority."""
    worst_alarm: Priority | None
    oldest_data_s: float | None
    """Age of the oldest value that is read from a device; null if some point was never read well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeOut:
    """One distribution tree."""

    __pydantic_config__ = _CLOSED

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ActuatorOut:
    """What a device should do, was told, and does."""

    __pydantic_config__ = _CLOSED

    verb: str
    target: int | None
    confirmed: int | None
    """Read back from the device."""
    state: str
    claim_class: int
    """Class of the claim that won, 1 (protection) to 9 (default); 0 none."""
    reason: ReasonOut | None
    stays_as_left: bool
    """The device keeps its last value although nobody commands it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOut:
    """One device as the region sees it."""

    __pydantic_config__ = _CLOSED

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingOut:
    """One rating and its head-room."""

    __pydantic_config__ = _CLOSED

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmOut:
    """One standing alarm."""

    __pydantic_config__ = _CLOSED

    key: str
    """Kind and object, e.g. device-down:wind-1."""
    priority: Priority
    since: str
    since_trusted: bool
    """Whether the wall clock was synchronised then."""
    cause: ReasonOut


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionOut:
    """One thing that the region decided."""

    __pydantic_config__ = _CLOSED

    step: int
    time: str
    rung: str
    device: str
    amount_w: int
    reason: ReasonOut


@dataclass(frozen=True, slots=True, kw_only=True)
class PointOut:
    """One point of a device."""

    __pydantic_config__ = _CLOSED

    device: str
    point: str
    value: float | str | None
    """In `unit`; a text where the type is string; null while bad."""
    unit: str
    """Base unit: W, Wh, V, A, Hz, fraction, ...; 1 for what has none."""
    quality: QualityName
    reason: str | None
    """Why the quality is not good: never_read, timeout, link_down, exception, bad_reply, sentinel, implausible,
    stale, not_read_yet; null while good."""
    source_time: str | None
    """The device's own time stamp."""
    request_time: str | None
    receive_time: str | None
    """When the reply, or the failure, was certain."""
    type: str
    """Type on the wire."""
    access: Access


@dataclass(frozen=True, slots=True, kw_only=True)
class TreesOut:
    """All distribution trees."""

    __pydantic_config__ = _CLOSED

    step: int
    trees: list[TreeOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesOut:
    """All devices."""

    __pydantic_config__ = _CLOSED

    step: int
    devices: list[DeviceOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingsOut:
    """All ratings, outer before inner."""

    __pydantic_config__ = _CLOSED

    step: int
    ratings: list[RatingOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsOut:
    """All standing alarms, worst first, then oldest first."""

    __pydantic_config__ = _CLOSED

    step: int
    alarms: list[AlarmOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionsOut:
    """The last decisions, newest first."""

    __pydantic_config__ = _CLOSED

    step: int
    decisions: list[DecisionOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsOut:
    """All points of one device."""

    __pydantic_config__ = _CLOSED

    device: str
    points: list[PointOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOut:
    """One check of the daemon's own health."""

    __pydantic_config__ = _CLOSED

    ok: bool
    detail: str
    vital: bool
    """Whether it decides on the status code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthOut:
    """The daemon's own health."""

    __pydantic_config__ = _CLOSED

    ok: bool
    version: str
    checks: dict[str, CheckOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyOut:
    """Whether the daemon did its first step and tried every link once."""

    __pydantic_config__ = _CLOSED

    ready: bool
    first_step_done: bool
    links_not_tried: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedOut:
    """An order that the next step will see."""

    __pydantic_config__ = _CLOSED

    location: str
    """Where its effect shows."""
    mode: str
    who: str
    why: str
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFault:
    """One fault of one field of a request."""

    __pydantic_config__ = _CLOSED

    field: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A problem document as of RFC 9457."""

    __pydantic_config__ = _CLOSED

    type: str
    title: str
    status: int
    detail: str
    instance: str
    """Path of the request."""
    errors: list[FieldFault] | None = None
    """Faults of single fields, all in one answer."""
