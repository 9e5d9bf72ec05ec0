"""What the configuration says of a site's part in flexibility, as manager and provider take it."""

from __future__ import annotations

from dataclasses import replace

from scowl_edge.dsr.goal import Terms
from scowl_edge.dsr.limiting import Fallback
from scowl_edge.dsr.member import UserSettings
from scowl_edge.model.flexibility import Mode
from scowl_edge.model.part import ManagerPart, ProviderPart

ANSWERS = 3
"""A start is planned so many times ahead as an appliance has time to answer: for the plan, the way and the answer."""


def settings(part: ManagerPart | None, esa_id: str) -> UserSettings:
    """What the user of an appliance lets others do, as it is configured."""
    for user in part.users if part is not None else ():
        if user.esa_id == esa_id:
            allowed = ((Mode.ROUTINE, user.routine), (Mode.RESPONSE, user.response))
            return UserSettings(
                modes=tuple(mode for mode, yes in allowed if yes), random_offset_max_s=user.random_offset_max_s
            )
    return UserSettings()


def fallback(part: ManagerPart, times: int) -> Fallback:
    """Of so many appliances together, while nobody who sets limits is heard."""

    def all_of(each: int | None) -> int | None:
        return None if each is None else times * each

    return Fallback(
        failsafe_p_upper_w=times * part.failsafe_p_upper_w,
        failsafe_p_lower_w=times * part.failsafe_p_lower_w,
        failsafe_min_s=part.failsafe_min_s,
        autonomous_p_upper_w=all_of(part.autonomous_p_upper_w),
        autonomous_p_lower_w=all_of(part.autonomous_p_lower_w),
        autonomous_unlimited=part.autonomous_unlimited,
    )


def of_site(part: ManagerPart) -> Fallback:
    """Of all appliances that may connect, and of the site's own devices."""
    linked = fallback(part, part.appliances)
    upper_w = sum(d.failsafe_p_upper_w for d in part.devices)
    lower_w = sum(d.failsafe_p_lower_w for d in part.devices)

    def more(value_w: int | None, own_w: int) -> int | None:
        return None if value_w is None else value_w + own_w

    return replace(
        linked,
        failsafe_p_upper_w=linked.failsafe_p_upper_w + upper_w,
        failsafe_p_lower_w=linked.failsafe_p_lower_w + lower_w,
        autonomous_p_upper_w=more(linked.autonomous_p_upper_w, upper_w),
        autonomous_p_lower_w=more(linked.autonomous_p_lower_w, lower_w),
    )


def terms(part: ProviderPart) -> Terms:
    """As the provider works."""
    return Terms(
        failsafe_p_upper_w=part.failsafe_p_upper_w,
        max_ramp_w_per_s=part.max_ramp_w_per_s,
        slot_ms=part.slot_ms,
        slots=part.slots,
        replan_ms=part.replan_ms,
        accept_ms=part.accept_ms,
        answer_ms=ANSWERS * part.accept_ms,
        job_ms=part.job_ms,
        moves=part.moves,
    )
