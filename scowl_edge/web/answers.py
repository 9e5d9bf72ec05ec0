"""Whole answers of `/api/v1` and the probes: lists of the wire's objects, and what stands beside them."""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.web.flex_wire import FlexSummaryOut
from scowl_edge.web.population_wire import PopulationOut
from scowl_edge.web.wire import (
    CLOSED,
    AlarmOut,
    DecisionOut,
    DeviceOut,
    EventOut,
    FreshnessOut,
    PointOut,
    RatingOut,
    RegionOut,
    TreeOut,
    TrendRowOut,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TreesOut:
    """All distribution trees."""

    __pydantic_config__ = CLOSED

    step: int
    trees: list[TreeOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesOut:
    """All devices."""

    __pydantic_config__ = CLOSED

    step: int
    devices: list[DeviceOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingsOut:
    """All ratings, outer before inner."""

    __pydantic_config__ = CLOSED

    step: int
    ratings: list[RatingOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsOut:
    """All standing alarms, worst first, then oldest first."""

    __pydantic_config__ = CLOSED

    step: int
    alarms: list[AlarmOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionsOut:
    """The last decisions, newest first."""

    __pydantic_config__ = CLOSED

    step: int
    decisions: list[DecisionOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsOut:
    """All points of one device."""

    __pydantic_config__ = CLOSED

    device: str
    points: list[PointOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOut:
    """One check of the daemon's own health."""

    __pydantic_config__ = CLOSED

    ok: bool
    detail: str
    vital: bool
    """Whether it decides on the status code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthOut:
    """The daemon's own health."""

    __pydantic_config__ = CLOSED

    ok: bool
    version: str
    checks: dict[str, CheckOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyOut:
    """Whether the daemon did its first step and tried every link once."""

    __pydantic_config__ = CLOSED

    ready: bool
    first_step_done: bool
    links_not_tried: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendOut:
    """What one point did over a time."""

    __pydantic_config__ = CLOSED

    device: str
    point: str
    unit: str
    begin: str
    end: str
    rows: list[TrendRowOut]
    """Oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsOut:
    """Events, newest first."""

    __pydantic_config__ = CLOSED

    events: list[EventOut]
    before: int | None
    """Ask with this for the next older ones; null if there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshnessListOut:
    """All devices that are read."""

    __pydantic_config__ = CLOSED

    freshness: list[FreshnessOut]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOut:
    """Everything after one step: the data of each message of `/api/v1/live`."""

    __pydantic_config__ = CLOSED

    region: RegionOut
    trees: list[TreeOut]
    """Those of devices; those of populations are in `/api/v1/trees`."""
    devices: list[DeviceOut]
    freshness: list[FreshnessOut]
    ratings: list[RatingOut]
    alarms: list[AlarmOut]
    decisions: list[DecisionOut]
    events: list[EventOut]
    """The newest ones, newest first."""
    populations: list[PopulationOut]
    flex: FlexSummaryOut | None
    """Null where the site has no part in flexibility."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedOut:
    """An order that the next step will see."""

    __pydantic_config__ = CLOSED

    location: str
    """Where its effect shows."""
    who: str
    why: str
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeAcceptedOut:
    """An order of a mode that the next step will see."""

    __pydantic_config__ = CLOSED

    location: str
    """Where its effect shows."""
    mode: str
    who: str
    why: str
    until: str | None
