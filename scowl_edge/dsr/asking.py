"""Whether an appliance can grant a selection, by what it offers at this moment."""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.dsr.delay import CAP_S
from scowl_edge.model.exchange import Code, Select
from scowl_edge.model.flexibility import UNSET, Mode, Offer, OfferSet, Profile

_WH_WS = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What an appliance knows when it is asked."""

    offer_set: OfferSet | None
    wall_ms: int | None
    """UTC; None: not known."""
    opted_out: bool
    overridden_until_ms: int | None
    """UTC before which a user wants no other job than his own; UNSET: until he says; None: no such wish."""
    fault: bool


def refusal(select: Select, conditions: Conditions) -> Code | None:
    """Why a selection cannot be granted whatever else is selected, or None."""
    offers, wall_ms = conditions.offer_set, conditions.wall_ms
    if conditions.fault:
        return Code.FAULT
    if conditions.opted_out:
        return Code.OPTED_OUT
    overridden_until_ms = conditions.overridden_until_ms
    if overridden_until_ms is not None and (overridden_until_ms == UNSET or select.start_ms < overridden_until_ms):
        return Code.OVERRIDDEN
    if offers is None or select.rev != offers.rev:
        return Code.STALE_REV
    offer = offers.offer(select.offer_id)
    profile = None if offer is None else offer.profile(select.profile_id)
    if offer is None or profile is None:
        return Code.UNKNOWN_OFFER
    if wall_ms is None:
        return Code.CLOCK_SKEW
    return _untimely(select, offer, profile, wall_ms) or _out_of_bounds(select, offer, profile)


def most_offset_s(select: Select, offer: Offer, profile: Profile, init_max_s: int) -> int:
    """Longest random delay that still lets the profile end in time."""
    wanted_s = init_max_s if select.random_offset_max_s is None else select.random_offset_max_s
    room_s = CAP_S
    if offer.end_latest_ms != UNSET:
        room_s = (offer.end_latest_ms - select.start_ms) // 1_000 - profile.length_s
    return max(0, min(wanted_s, room_s, CAP_S))


def pause_room_ms(select: Select, offer: Offer, profile: Profile, offset_s: int) -> int:
    """How long a selection may be paused in all and still end in time."""
    if not profile.interruptible:
        return 0
    if offer.end_latest_ms == UNSET:
        return 1_000 * profile.max_pause_s
    end_ms = select.start_ms + 1_000 * (offset_s + profile.length_s)
    return max(0, min(1_000 * profile.max_pause_s, offer.end_latest_ms - end_ms))


def _untimely(select: Select, offer: Offer, profile: Profile, wall_ms: int) -> Code | None:
    start_ms = select.start_ms
    if wall_ms > offer.valid_until_ms:
        return Code.EXPIRED
    if wall_ms < offer.valid_from_ms:
        return Code.OUT_OF_WINDOW
    if profile.start_fixed_ms != UNSET:
        if start_ms != profile.start_fixed_ms:
            return Code.OUT_OF_WINDOW
    elif not offer.start_earliest_ms <= start_ms <= offer.start_latest_ms:
        return Code.OUT_OF_WINDOW
    if offer.end_latest_ms != UNSET and start_ms + 1_000 * profile.length_s > offer.end_latest_ms:
        return Code.OUT_OF_WINDOW
    if start_ms - wall_ms < 1_000 * offer.min_notice_s:
        return Code.TOO_LATE
    return None


def _out_of_bounds(select: Select, offer: Offer, profile: Profile) -> Code | None:
    if select.mode not in offer.modes:
        return Code.UNSUPPORTED
    if profile.abnormal_only and not (select.emergency and select.mode is Mode.RESPONSE):
        return Code.OUT_OF_BOUNDS
    if select.random_offset_max_s is not None and not 0 <= select.random_offset_max_s <= CAP_S:
        return Code.OUT_OF_BOUNDS
    if select.setpoints_w:
        if len(select.setpoints_w) != len(profile.elements):
            return Code.OUT_OF_BOUNDS
        pairs = list(zip(profile.elements, select.setpoints_w, strict=True))
        if any(not e.p_min_w <= p <= e.p_max_w for e, p in pairs):
            return Code.OUT_OF_BOUNDS
        energy_ws = sum(e.dur_s * p for e, p in pairs)
        if profile.e_min_wh is not None and energy_ws < profile.e_min_wh * _WH_WS:
            return Code.OUT_OF_BOUNDS
        if profile.e_max_wh is not None and energy_ws > profile.e_max_wh * _WH_WS:
            return Code.OUT_OF_BOUNDS
    return None
