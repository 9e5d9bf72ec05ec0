"""A site's part in flexibility as JSON."""

from __future__ import annotations

from scowl_edge.model.flex_view import (
    FlexAccountView,
    FlexApplianceView,
    FlexGoalView,
    FlexOfferView,
    FlexPlanView,
    FlexProfileView,
    FlexSelectionView,
    FlexView,
)
from scowl_edge.model.reason import watts
from scowl_edge.model.view import RegionView
from scowl_edge.web import present
from scowl_edge.web.flex_wire import (
    FlexAccountOut,
    FlexApplianceOut,
    FlexFindingOut,
    FlexGoalOut,
    FlexOfferOut,
    FlexOut,
    FlexPeerOut,
    FlexPlanOut,
    FlexProfileOut,
    FlexSelectionOut,
    FlexSlotOut,
    FlexSummaryOut,
)

_TOLD_PROFILES = 4
_TOLD_REASONS = 5
_SHORT = 20
"""Of each kind, where all of it goes out with each step."""
_KINDS = {
    "IO": "intended",
    "LD": "least delayed",
    "MD": "most delayed",
    "LDP": "least delayed production",
    "MDP": "most delayed production",
    "OTHER": "other",
}
_FAULTS = {
    "UNDER_DELIVERED": "delivers less than promised",
    "UNPROVEN": "its delivery is not measured",
    "DISPUTED": "its reports contradict its meter",
}


def flex(view: FlexView, unsent: int) -> FlexOut:
    """The part in sums."""
    parts = [name for name, node in (("manager", view.manager), ("provider", view.provider)) if node]
    return FlexOut(
        part="both" if len(parts) == 2 else (parts or ["none"])[0],
        manager=view.manager,
        provider=view.provider,
        peers=[FlexPeerOut(node=p.node, up=p.up, appliances=p.appliances) for p in view.peers],
        peers_up=view.peers_up,
        peers_down=view.peers_down,
        appliances=len(view.appliance_ids),
        lives=dict(view.lives),
        offers=dict(view.offers),
        selections=dict(view.selections),
        limit_states=dict(view.limit_states),
        site_limit_state=view.site_limit_state,
        overrides=dict(view.overrides),
        overridden=sum(n for _, n in view.overrides),
        failsafe_entries=view.failsafe_entries,
        refused=dict(view.refused),
        goal=_goal(view.goal) if view.goal is not None else None,
        plan=_plan(view.plan) if view.plan is not None else None,
        plan_why="; ".join(view.plan.reasons[:_TOLD_REASONS]) if view.plan is not None else "",
        plans=view.plans,
        plans_failed=view.plans_failed,
        plan_due_s=view.plan_due_in_ms // 1000 if view.plan_due_in_ms >= 0 else None,
        promised_w=view.promised_w,
        delivered_w=view.delivered_w,
        intended_w=view.intended_w,
        unmeasured_w=view.unmeasured_w,
        asked_wh=view.asked_wh,
        credited_wh=view.credited_wh,
        short_wh=view.short_wh,
        unproven_wh=view.unproven_wh,
        accounts=view.accounts,
        accounts_counted=view.accounts_counted,
        reports_waiting=view.reports_waiting,
        reports_dropped=view.reports_dropped,
        unsent=unsent,
        ahead=[
            FlexSlotOut(
                start=present.iso_or_none(slot.start_utc_ms),
                length_s=slot.length_s,
                promised_w=slot.promised_w,
                intended_w=slot.intended_w,
                target_w=slot.target_w,
            )
            for slot in view.ahead
        ],
        findings=[FlexFindingOut(esa_id=esa_id, what=present.reason(what)) for esa_id, what in view.findings],
    )


def summary(step: int, view: FlexView, unsent: int) -> FlexSummaryOut:
    """The part in sums, and a few of each kind: short, however many appliances there are."""
    return FlexSummaryOut(
        step=step,
        flex=flex(view, unsent),
        appliances=[appliance(each) for each in view.appliance_list[:_SHORT]],
        offers=[offer(each) for each in view.offer_list[:_SHORT]],
        selections=[selection(each) for each in view.selection_list[:_SHORT]],
    )


def summary_or_none(view: RegionView, unsent: int) -> FlexSummaryOut | None:
    """The same of a region; None where it has no part in flexibility."""
    return None if view.flex is None else summary(view.step, view.flex, unsent)


def offer(view: FlexOfferView) -> FlexOfferOut:
    """One offer."""
    told = [_profile_text(p) for p in view.profiles[:_TOLD_PROFILES]]
    more = len(view.profiles) - len(told)
    return FlexOfferOut(
        esa_id=view.esa_id,
        offer_id=view.offer_id,
        rev=view.rev,
        state=view.state,
        modes=list(view.modes),
        valid_until=present.iso_or_none(view.valid_until_utc_ms),
        start_earliest=present.iso_or_none(view.start_earliest_utc_ms),
        start_latest=present.iso_or_none(view.start_latest_utc_ms),
        profiles=[
            FlexProfileOut(
                profile_id=p.profile_id,
                kind=p.kind,
                length_s=p.length_s,
                energy_wh=p.energy_wh,
                least_w=p.least_w,
                most_w=p.most_w,
                default=p.default,
            )
            for p in view.profiles
        ],
        text="; ".join([*told, *([f"{more} more"] if more else [])]),
    )


def selection(view: FlexSelectionView) -> FlexSelectionOut:
    """One selection."""
    return FlexSelectionOut(
        select_id=view.select_id,
        esa_id=view.esa_id,
        offer_id=view.offer_id,
        profile_id=view.profile_id,
        state=view.state,
        standing=view.standing,
        mode=view.mode,
        start=present.iso_or_none(view.start_utc_ms),
        end=present.iso_or_none(view.end_utc_ms),
        code=view.code,
        event_ref=view.event_ref,
        cancelling=view.cancelling,
        why=view.why,
    )


def account(view: FlexAccountView) -> FlexAccountOut:
    """One account of the books."""
    return FlexAccountOut(
        select_id=view.select_id,
        esa_id=view.esa_id,
        cem=view.cem,
        event_ref=view.event_ref,
        state=view.state,
        begin=present.iso_or_none(view.begin_utc_ms),
        end=present.iso_or_none(view.end_utc_ms),
        baseline_wh=view.baseline_wh,
        promised_wh=view.promised_wh,
        delivered_wh=view.delivered_wh,
        asked_wh=view.asked_wh,
        credited_wh=view.credited_wh,
        short_wh=view.short_wh,
        unproven_wh=view.unproven_wh,
        settled=view.settled,
    )


def appliance(view: FlexApplianceView) -> FlexApplianceOut:
    """One appliance."""
    return FlexApplianceOut(
        esa_id=view.esa_id,
        cem=view.cem,
        kind=view.kind,
        life=view.life,
        running=view.running,
        p_max_w=view.p_max_w,
        p_min_w=view.p_min_w,
        rev=view.rev,
        override=view.override,
        override_by=view.override_by,
        override_until=present.iso_or_none(view.override_until_utc_ms),
        limit_state=view.limit_state,
        weight_ppm=view.weight_ppm,
        faults=list(view.faults),
        trouble=_trouble(view),
    )


def _trouble(view: FlexApplianceView) -> str:
    found = [_FAULTS.get(fault, fault) for fault in view.faults]
    if view.limit_state == "FAILSAFE":
        found.append("keeps to its fail-safe limit")
    if view.life == "DETACHED":
        found.append("not heard")
    if view.life == "SUSPENDED":
        found.append("reports a fault")
    if view.override:
        by = f" by {view.override_by.lower()}" if view.override_by else ""
        found.append(f"overridden ({view.override}){by}")
    return ", ".join(found)


def _profile_text(p: FlexProfileView) -> str:
    power = watts(p.most_w) if p.least_w == p.most_w else f"{watts(p.least_w)} to {watts(p.most_w)}"
    return f"{_KINDS.get(p.kind, p.kind)}: {power} for {_length(p.length_s)}"


def _length(seconds: int) -> str:
    minutes = (seconds + 30) // 60
    if minutes < 1:
        return f"{seconds} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _goal(view: FlexGoalView) -> FlexGoalOut:
    what = "nothing now" if view.power_w is None else watts(view.power_w)
    words = f"{'a change of' if view.relative else 'the sum at'} {what}, {view.mode}"
    if view.who:
        words += f", by {view.who}: {view.why}"
    return FlexGoalOut(
        number=view.number,
        mode=view.mode,
        relative=view.relative,
        begin=present.iso_or_none(view.begin_utc_ms),
        end=present.iso_or_none(view.end_utc_ms),
        power_w=view.power_w,
        event_ref=view.event_ref,
        emergency=view.emergency,
        who=view.who,
        why=view.why,
        text=words,
    )


def _plan(view: FlexPlanView) -> FlexPlanOut:
    words = f"{view.picks} selected" if view.picks else "nothing more to select"
    if view.picks and view.idle_objective > 0:
        permille = max(0, view.idle_objective - view.objective) * 1000 // view.idle_objective
        words += f", deviation {permille / 10:.1f} % less than without"
    if view.gap_ppm is not None:
        words += f", at most {view.gap_ppm / 10_000:.2f} % from the best possible"
    if view.excess_w:
        words += f", {watts(view.excess_w)} above ratings"
    return FlexPlanOut(
        number=view.number,
        picks=view.picks,
        objective=str(view.objective),
        idle_objective=str(view.idle_objective),
        bound=str(view.bound) if view.bound is not None else None,
        gap_ppm=view.gap_ppm,
        excess_w=view.excess_w,
        reasons=list(view.reasons),
        overloads=list(view.overloads),
        text=words,
    )
