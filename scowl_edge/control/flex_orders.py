"""What people order of flexibility: passed on to the manager or the provider, or refused in words."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scowl_edge.dsr.cem import Cem
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.provider import Provider, Step
from scowl_edge.model.errors import ScowlError
from scowl_edge.model.event import (
    HOLDS,
    FlexAim,
    FlexCancel,
    FlexLimit,
    FlexOrder,
    FlexOverride,
    FlexSelect,
)
from scowl_edge.model.exchange import Limit, Message, Override
from scowl_edge.model.flexibility import UNSET, Element, OverrideBy, OverrideScope, Pick
from scowl_edge.model.profile import Timeline, flat, of_elements
from scowl_edge.model.reason import Reason, declare

AIMED = declare("flex-aimed", "a target of {:W} now, by {}: {}")
CHANGED_BY = declare("flex-aimed-relative", "a change of {:W} now, by {}: {}")
NO_AIM = declare("flex-no-aim", "no ordered target any more, by {}: {}")
AIM_OVER = declare("flex-aim-over", "the time of the target by {} is over")
SELECTED = declare("flex-selected", "selected by {}: {}")
CANCELLED = declare("flex-cancelled", "its selection {} is taken back by {}: {}")
OVERRIDDEN = declare("flex-overridden", "taken out of flexibility ({}) by {}: {}")
GIVEN_BACK = declare("flex-given-back", "given back to flexibility by {}: {}")
LIMITED = declare("flex-limited", "limited to {:W} ({}) by {}: {}")
UNLIMITED = declare("flex-unlimited", "its {} limit is lifted by {}: {}")
NOT_TAKEN = declare("flex-order-not-taken", "an order by {} could not be carried out: {}")


class OrderError(ScowlError):
    """An order that this site cannot carry out."""


@dataclass(slots=True, kw_only=True)
class Taken:
    """What follows from an order."""

    source: str
    """Whom it is about."""
    what: Reason
    step: Step = field(default_factory=Step)
    """Of the provider."""
    say: list[Message] = field(default_factory=list)
    """Of the manager."""


def take(order: FlexOrder, cem: Cem | None, provider: Provider | None, now: Now) -> Taken:
    """Carries out an order, but for an aim, which stands until its time is over.

    Raises:
        ScowlError: It cannot be carried out; nothing has changed.
    """
    if isinstance(order, FlexOverride):
        return _override(order, cem, now)
    if provider is None:
        raise OrderError("this site is no provider: whoever selects and limits is elsewhere; order it there")
    if isinstance(order, FlexSelect):
        pick = Pick(
            esa_id=order.esa_id,
            rev=getattr(provider.mirrors.get(order.esa_id), "rev", 0),
            offer_id=order.offer_id,
            profile_id=order.profile_id,
            start_ms=order.start_utc_ms,
            setpoints_w=order.setpoints_w,
        )
        step = provider.select(pick, now, mode=order.mode)
        return Taken(source=order.esa_id, what=Reason(SELECTED, (order.who, order.why)), step=step)
    if isinstance(order, FlexCancel):
        asked = provider.portfolio.asked.get(order.select_id)
        step = provider.cancel(order.select_id, now, order.at)
        esa_id = "" if asked is None else asked.pick.esa_id
        return Taken(source=esa_id, what=Reason(CANCELLED, (order.select_id[:8], order.who, order.why)), step=step)
    if isinstance(order, FlexLimit):
        return _limit(order, provider, now)
    raise OrderError(f"{type(order).__name__} is no order that is carried out at once")


def stands(order: FlexAim, wall_ms: int | None) -> FlexAim | None:
    """An aim as it stands from now on; None takes the one before back.

    Raises:
        OrderError: Nobody knows what time it is.
    """
    if not order.curve:
        return None
    if wall_ms is None:
        raise OrderError("the wall clock is not synchronised, so a target has no time; mend the clock first")
    return order if order.begin_utc_ms else replace(order, begin_utc_ms=wall_ms)


def said(order: FlexAim) -> Reason:
    """What is noted of an aim."""
    if not order.curve:
        return Reason(NO_AIM, (order.who, order.why))
    return Reason(CHANGED_BY if order.relative else AIMED, (order.curve[0].power_w, order.who, order.why))


def ends_ms(aim: FlexAim) -> int:
    """UTC at which an aim's time is over; 0: never."""
    if any(stretch.dur_s == HOLDS for stretch in aim.curve):
        return aim.until_utc_ms
    return aim.begin_utc_ms + 1000 * sum(stretch.dur_s for stretch in aim.curve)


def curve_of(aim: FlexAim, wall_ms: int, slot_ms: int, horizon_ms: int) -> Timeline:
    """The target that an aim stands for now."""
    if all(stretch.dur_s != HOLDS for stretch in aim.curve):
        elements = [Element(dur_s=s.dur_s, p_nom_w=s.power_w, p_min_w=s.power_w, p_max_w=s.power_w) for s in aim.curve]
        return of_elements(elements, aim.begin_utc_ms)
    start_ms = max(wall_ms - wall_ms % slot_ms, aim.begin_utc_ms)
    end_ms = min(wall_ms + horizon_ms, aim.until_utc_ms or wall_ms + horizon_ms)
    return flat(start_ms, max(1000, end_ms - start_ms), aim.curve[0].power_w)


def _override(order: FlexOverride, cem: Cem | None, now: Now) -> Taken:
    if cem is None:
        raise OrderError("this site manages no appliances: an override is ordered where its manager is")
    body = Override(esa_id=order.esa_id, scope=order.scope, by=OverrideBy.USER, until_ms=order.until_utc_ms or UNSET)
    if order.scope is OverrideScope.NONE:
        what = Reason(GIVEN_BACK, (order.who, order.why))
    else:
        what = Reason(OVERRIDDEN, (order.scope.value, order.who, order.why))
    return Taken(source=order.esa_id, what=what, say=cem.override(body, now))


def _limit(order: FlexLimit, provider: Provider, now: Now) -> Taken:
    limit = Limit(
        limit_id=identity(provider.seed, provider.node, "ordered limit", provider.numbered),
        esa_id=order.esa_id,
        active=order.active,
        klass=order.klass,
        p_upper_w=order.p_upper_w,
        p_lower_w=order.p_lower_w,
        dur_s=order.dur_s,
    )
    if order.active:
        what = Reason(LIMITED, (order.p_upper_w or 0, order.klass.value, order.who, order.why))
    else:
        what = Reason(UNLIMITED, (order.klass.value, order.who, order.why))
    step = provider.limit(limit, now) if order.esa_id else provider.limit_site(order.cem, limit, now)
    return Taken(source=order.esa_id or order.cem, what=what, step=step)
