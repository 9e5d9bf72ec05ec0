"""What a worker is asked when selections are planned, and what it answers: plain values, with nothing alive in them.

The worker may be slow and the world goes on meanwhile. So a job carries the revision of every offer set it was made
from, and of its answer only those picks are used that still fit (`current`).
"""

from __future__ import annotations

from dataclasses import dataclass

from scowl_edge.model.exchange import Code
from scowl_edge.model.flexibility import UNSET, Mode, Offer, OfferSet, Pick, Profile
from scowl_edge.model.profile import Timeline, of_elements


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An appliance of which one profile of one of its offers may be picked, or nothing."""

    esa_id: str
    rev: int
    offers: tuple[Offer, ...]
    """Those that may be selected from now."""
    weight_ppm: int
    """Trust: what it promises counts for so much."""
    present: Pick | None = None
    """What is selected now and may still be changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A rating above appliances, by slot of the job."""

    name: str
    upper_w: tuple[int, ...]
    """What is left of it for the candidates below."""
    lower_w: tuple[int, ...]
    within: int
    """Index of the cap around it; -1: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A question to a worker."""

    number: int
    goal: int
    """Number of the goal that it serves."""
    start_ms: int
    slot_ms: int
    target_w: tuple[int, ...]
    """By slot: what the candidates together should take."""
    candidates: tuple[Candidate, ...]
    mode: Mode
    seed: int
    moves: int
    """Budget; never time."""
    now_ms: int
    """UTC at which an answer can be expected to reach appliances."""
    delay_max_s: int = 0
    """Longest delay that appliances draw on top of a start."""
    emergency: bool = False
    caps: tuple[Cap, ...] = ()
    below: tuple[int, ...] = ()
    """By candidate: index of its innermost cap, -1 for none; empty: none has one."""


def starts(offer: Offer, profile: Profile, earliest_ms: int) -> tuple[int, int] | None:
    """First and last start of a profile from a time on, or None."""
    if profile.start_fixed_ms != UNSET:
        first = last = profile.start_fixed_ms
    else:
        first, last = offer.start_earliest_ms, offer.start_latest_ms
    if offer.end_latest_ms != UNSET:
        last = min(last, offer.end_latest_ms - 1000 * profile.length_s)
    first = max(first, earliest_ms)
    if profile.start_fixed_ms != UNSET and first > profile.start_fixed_ms:
        return None
    return (first, last) if first <= last else None


def default_course(offer: Offer) -> Timeline:
    """What the appliance does with an offer that nobody selects."""
    profile = offer.profile(offer.default_profile_id)
    if profile is None:
        return Timeline()
    start = profile.start_fixed_ms if profile.start_fixed_ms != UNSET else offer.start_earliest_ms
    return of_elements(profile.elements, start)


def current(pick: Pick, offers: OfferSet | None, mode: Mode, wall_ms: int) -> Code | None:
    """Why a pick no longer fits what the appliance offers now, or None."""
    if offers is None or pick.rev != offers.rev:
        return Code.STALE_REV
    offer = offers.offer(pick.offer_id)
    profile = None if offer is None else offer.profile(pick.profile_id)
    if offer is None or profile is None:
        return Code.UNKNOWN_OFFER
    if not offer.valid_from_ms <= wall_ms <= offer.valid_until_ms:
        return Code.EXPIRED
    if mode not in offer.modes:
        return Code.UNSUPPORTED
    span = starts(offer, profile, wall_ms + 1000 * offer.min_notice_s)
    if span is None or pick.start_ms < span[0]:
        return Code.TOO_LATE
    return None if pick.start_ms <= span[1] else Code.OUT_OF_WINDOW
