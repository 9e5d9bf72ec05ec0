"""From the published state to the JSON of the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import numpy as np

from scowl_edge.model.event import Rank
from scowl_edge.model.reason import Reason, words
from scowl_edge.model.signal import Cause, Quality
from scowl_edge.model.view import (
    ActuatorView,
    AlarmView,
    DecisionView,
    DeviceView,
    EventView,
    RatingView,
    RegionView,
    TreeView,
)
from scowl_edge.web import wire
from scowl_edge.web.points import PointJudge
from scowl_edge.web.published import Published, TrendRow

_PRIORITIES: tuple[wire.Priority, ...] = ("critical", "high", "medium", "low")
_PRIORITY: dict[str, wire.Priority] = {priority: priority for priority in _PRIORITIES}
_QUALITIES: dict[int, wire.QualityName] = {Quality.GOOD: "good", Quality.UNCERTAIN: "uncertain", Quality.BAD: "bad"}
_ACCESSES: dict[str, wire.Access] = {"r": "r", "w": "w", "rw": "rw"}
_UNANSWERED = (Cause.NONE, Cause.TIMEOUT, Cause.LINK_DOWN, Cause.STALE, Cause.NOT_READ_YET)
"""Causes to which no answer belongs: what was said of an earlier one is over."""
_LAST_UTC_MS = 253_402_300_799_999
"""End of the year 9999: no calendar here goes further, a device's garbled clock does."""


def iso(utc_ms: int) -> str:
    """2026-03-01T12:00:00.250Z. Raises OverflowError or ValueError outside of the years 1 to 9999."""
    whole = datetime.fromtimestamp(utc_ms // 1000, UTC).replace(microsecond=utc_ms % 1000 * 1000, tzinfo=None)
    return whole.isoformat(timespec="milliseconds") + "Z"


def iso_or_none(utc_ms: int) -> str | None:
    """The same, and None for 0 (not known) and for times that no calendar has."""
    return iso(utc_ms) if 0 < utc_ms <= _LAST_UTC_MS else None


def reason(why: Reason) -> wire.ReasonOut:
    """A reason with its sentence."""
    return wire.ReasonOut(code=why.code, args=list(why.args), text=words(why))


def _reason_or_none(why: Reason | None) -> wire.ReasonOut | None:
    return None if why is None else reason(why)


def region(view: RegionView, oldest_data_s: float | None) -> wire.RegionOut:
    """The region with its alarms counted."""
    standing = [alarm.priority for alarm in view.alarms if not alarm.shelved_until_utc_ms]
    return wire.RegionOut(
        site=view.site,
        step=view.step,
        time=iso(view.utc_ms),
        time_trusted=view.utc_ok,
        mode=view.mode,
        mode_who=view.mode_who,
        mode_why=view.mode_why,
        mode_until=iso_or_none(view.mode_until_utc_ms),
        rung=view.rung,
        generation_w=view.generation_w,
        demand_w=view.demand_w,
        served_w=view.served_w,
        deferred_w=view.deferred_w,
        shed_w=view.shed_w,
        unserved_w=sum(view.unserved_w),
        unserved_w_by_class=list(view.unserved_w),
        unmetered_w=view.unmetered_w,
        pledged_w=view.pledged_w,
        grid_net_w=view.grid_net_w,
        headroom_w=view.headroom_w,
        conservation_error_w=view.conservation_error_w,
        consumers=dict(view.consumers),
        alarms={priority: standing.count(priority) for priority in _PRIORITIES},
        alarms_shelved=len(view.alarms) - len(standing),
        worst_alarm=next((priority for priority in _PRIORITIES if priority in standing), None),
        oldest_data_s=oldest_data_s,
    )


def tree(view: TreeView) -> wire.TreeOut:
    """One distribution tree."""
    return wire.TreeOut(
        name=view.name,
        bus=view.bus,
        output_w=view.output_w,
        safe_w=view.safe_w,
        load_w=view.load_w,
        over_assigned_w=view.over_assigned_w,
        members=list(view.members),
        blackout=view.blackout,
        fresh=view.fresh,
        member_count=len(view.members),
    )


def _ordered(view: ActuatorView) -> wire.OrderedOut | None:
    if view.ordered is None:
        return None
    return wire.OrderedOut(
        value=view.ordered,
        rank="operator" if view.ordered_rank == Rank.OPERATOR else "user",
        who=view.ordered_who,
        why=view.ordered_why,
        until=iso_or_none(view.ordered_until_utc_ms),
    )


def _actuator(view: ActuatorView) -> wire.ActuatorOut:
    return wire.ActuatorOut(
        verb=view.verb,
        target=view.target,
        confirmed=view.confirmed,
        state=view.state,
        claim_class=view.klass,
        reason=_reason_or_none(view.reason),
        stays_as_left=view.stays_as_left,
        low=view.low,
        high=view.high,
        withheld=_reason_or_none(view.withheld),
        writes_today=view.writes_today,
        writes_total=view.writes_total,
        daily_budget=view.daily_budget,
        ordered=_ordered(view),
    )


def device(view: DeviceView) -> wire.DeviceOut:
    """One device with its actuators."""
    return wire.DeviceOut(
        name=view.name,
        link=view.link,
        kind=view.kind,
        mode=view.mode,
        mode_who=view.mode_who,
        mode_why=view.mode_why,
        mode_until=iso_or_none(view.mode_until_utc_ms),
        up=view.up,
        since=iso_or_none(view.since_utc_ms),
        state=view.state,
        load_class=view.klass,
        tree=view.tree,
        power_w=view.power_w,
        wanted_w=view.wanted_w,
        shed_w=view.shed_w,
        unserved_w=view.unserved_w,
        why=_reason_or_none(view.why),
        actuators=[_actuator(actuator) for actuator in view.actuators],
        stays_as_left=view.stays_as_left,
        down_cause=view.down_cause,
        veto=wire.VetoOut(
            active=view.vetoed, by=view.veto_who, why=view.veto_why, until=iso_or_none(view.veto_until_utc_ms)
        ),
    )


def rating(view: RatingView) -> wire.RatingOut:
    """One rating."""
    return wire.RatingOut(
        name=view.name,
        kind=view.kind,
        within=view.within,
        load_va=list(view.load_va),
        import_va=view.import_va,
        export_va=view.export_va,
        headroom_w=view.headroom_w,
        unmetered_w=view.unmetered_w,
        metered=view.metered,
        fresh=view.fresh,
        uses=[wire.UseOut(device=device, net_w=net_w) for device, net_w in view.uses],
    )


def worst_first(views: Iterable[AlarmView]) -> list[AlarmView]:
    """Alarms by priority, then the oldest first."""
    rank: dict[str, int] = {priority: n for n, priority in enumerate(_PRIORITIES)}
    return sorted(views, key=lambda view: (rank[view.priority], view.since_utc_ms, view.key))


def alarm(view: AlarmView) -> wire.AlarmOut:
    """One standing alarm."""
    return wire.AlarmOut(
        key=view.key,
        priority=_PRIORITY[view.priority],
        since=iso(view.since_utc_ms),
        since_trusted=view.since_utc_ok,
        cause=reason(view.cause),
        source=view.source,
        acknowledged=_acknowledged(view),
        shelved=_shelved(view),
    )


def alarms(views: Iterable[AlarmView]) -> list[wire.AlarmOut]:
    """All alarms, worst first, then oldest first."""
    return [alarm(view) for view in worst_first(views)]


def _acknowledged(view: AlarmView) -> wire.AcknowledgedOut | None:
    if not view.acknowledged_utc_ms:
        return None
    return wire.AcknowledgedOut(
        by=view.acknowledged_by, why=view.acknowledged_why, at=iso_or_none(view.acknowledged_utc_ms)
    )


def _shelved(view: AlarmView) -> wire.ShelvedOut | None:
    if not view.shelved_until_utc_ms:
        return None
    return wire.ShelvedOut(by=view.shelved_by, why=view.shelved_why, until=iso_or_none(view.shelved_until_utc_ms))


def event(view: EventView) -> wire.EventOut:
    """One event."""
    return wire.EventOut(
        seq=view.seq,
        source_time=iso_or_none(view.source_utc_ms),
        receive_time=iso_or_none(view.utc_ms),
        time_trusted=view.utc_ok,
        kind=view.kind,
        source=view.source,
        priority=_PRIORITY.get(view.priority),
        who=view.who,
        text=reason(view.text),
    )


def trend_row(row: TrendRow) -> wire.TrendRowOut:
    """One stretch of a trend."""
    return wire.TrendRowOut(time=iso(row.utc_ms), low=row.low, mean=row.mean, high=row.high)


def decision(view: DecisionView) -> wire.DecisionOut:
    """One decision."""
    return wire.DecisionOut(
        step=view.step,
        time=iso(view.utc_ms),
        rung=view.rung,
        device=view.device,
        amount_w=view.amount_w,
        reason=reason(view.reason),
    )


def points(published: Published, judge: PointJudge, indices: Sequence[int]) -> list[wire.PointOut]:
    """These points as they are now."""
    at = np.array(indices, np.intp)
    quality, cause = judge.judge(at)
    table, texts, faults = published.table, published.texts, published.faults
    # The table counts on the monotonic clock; what that was on the wall clock is said with the clocks as they are now.
    to_utc_ms = published.utc_ms() - published.mono_ms()
    out = []
    for n, i in enumerate(indices):
        point, requested_ms, received_ms = published.points[i], int(table.requested_ms[i]), int(table.received_ms[i])
        bad, value = quality[n] == Quality.BAD, float(table.value[i])
        out.append(
            wire.PointOut(
                device=point.device,
                point=point.name,
                value=None if bad else texts.get(i) if point.type == "string" or value != value else value,
                unit=point.unit or "1",
                quality=_QUALITIES[int(quality[n])],
                reason=None if cause[n] == Cause.NONE else Cause(int(cause[n])).name.lower(),
                detail=faults.get(i) if bad and cause[n] not in _UNANSWERED else None,
                source_time=iso_or_none(int(table.source_utc_ms[i])),
                request_time=iso_or_none(requested_ms + to_utc_ms) if requested_ms > 0 else None,
                receive_time=iso_or_none(received_ms + to_utc_ms) if received_ms >= 0 else None,
                type=point.type,
                access=_ACCESSES[point.access],
            )
        )
    return out


class DataAge:
    """How old the oldest of all data is."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._readable = np.array([i for i, p in enumerate(published.points) if "r" in p.access], np.intp)

    def oldest_s(self) -> float | None:
        """Age of the oldest last good value of all points that are read; None if one of them never had any."""
        if not len(self._readable):
            return None
        oldest_ms = int(self._published.table.good_ms[self._readable].min())
        return (self._published.mono_ms() - oldest_ms) / 1000 if oldest_ms >= 0 else None
