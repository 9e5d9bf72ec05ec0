"""The site's limits at its appliances: shares of each, limits of their own, and what they keep to when left alone."""

from __future__ import annotations

from scowl_edge.dsr.attention import SiteBounds
from scowl_edge.dsr.cem_state import CemState
from scowl_edge.dsr.course import together
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.member import BLIND, Member, narrowed
from scowl_edge.dsr.site_share import Claimant, shares_w
from scowl_edge.model.exchange import Message
from scowl_edge.model.flexibility import LimitClass, LimitState

UNBOUNDED: dict[LimitClass, tuple[int | None, int | None]] = dict.fromkeys(LimitClass, (None, None))


def limits(cem: CemState, now: Now) -> list[Message]:
    """Shares of the site's limits, and limits of each; only what changed, looked for only where it may have."""
    attention, bounds = cem.attention, _bounds(cem, now)
    looked_at = [cem.members[esa_id] for esa_id in attention.take()]
    for member in looked_at:
        claim = member.claims()
        if claim != member.claim:
            member.claim, attention.moved = claim, True
            # What it had was a share among others.
            member.share = None
    if attention.shares_due(bounds, len(cem.members), now.mono_ms):
        attention.share(bounds, now.mono_ms)
        looked_at = cem.everybody()
        shares = _shares(cem, now)
        for member in looked_at:
            member.share = {k: (s[0].get(member.esa_id), s[1].get(member.esa_id)) for k, s in shares.items()}
    send: list[Message] = []
    for member in looked_at:
        send += _limits_of(cem, member, bounds, now)
    return send


def _limits_of(cem: CemState, member: Member, bounds: SiteBounds, now: Now) -> list[Message]:
    send: list[Message] = []
    share = member.share if bounds.any else UNBOUNDED
    if member.reachable and share is not None:
        if member.limits_again_mono_ms is not None and now.mono_ms >= member.limits_again_mono_ms:
            member.limits_again_mono_ms = None
            member.sent.clear()
        if bounds.state in BLIND:
            share = {**share, LimitClass.SAFETY: narrowed(share[LimitClass.SAFETY], _left_alone(cem, member))}
        for limit in member.limits(share, now):
            send += cem.to_appliance(member, limit, now)
    if member.appliance is None:
        cem.attention.wait(member.esa_id, member.due_mono_ms())
    return send


def _bounds(cem: CemState, now: Now) -> SiteBounds:
    envelopes = cem.site.envelopes(now)
    each = (together(tuple(e for e in envelopes if e.klass is klass), False) for klass in LimitClass)
    return SiteBounds(
        state=cem.site.state, other_w=cem.other_w, bounds_w=tuple(w for lower_upper in each for w in lower_upper)
    )


def _left_alone(cem: CemState, member: Member) -> tuple[int | None, int | None]:
    """(lower, upper) in W that an appliance keeps to while the site hears nobody who sets limits.

    Nobody can tell the site; the manager can tell its appliances, and does, so that a lost provider bounds each of
    them though their own links are up.
    """
    own = (cem.each or cem.site.fallback) if member.appliance is None else member.appliance.ceiling
    lower_w, upper_w = own.failsafe_p_lower_w, own.failsafe_p_upper_w
    init = member.mirror.init
    if init is not None:
        upper_w = min(upper_w, init.failsafe_p_upper_w)
        lower_w = lower_w if init.failsafe_p_lower_w is None else max(lower_w, init.failsafe_p_lower_w)
    if cem.site.state is not LimitState.AUTONOMOUS:
        return lower_w, upper_w
    if own.autonomous_unlimited:
        return None, None
    return (
        lower_w if own.autonomous_p_lower_w is None else own.autonomous_p_lower_w,
        upper_w if own.autonomous_p_upper_w is None else own.autonomous_p_upper_w,
    )


def _shares(cem: CemState, now: Now) -> dict[LimitClass, tuple[dict[str, int], dict[str, int]]]:
    """By class of the site's bounds: share of production (at most 0) and of consumption, by appliance."""
    found = {}
    for klass in LimitClass:
        lower_w, upper_w = together(tuple(e for e in cem.site.envelopes(now) if e.klass is klass), False)
        lower: dict[str, int] = {}
        upper: dict[str, int] = {}
        if upper_w is not None:
            upper = shares_w(_claimants(cem, upward=True), upper_w - cem.other_w)
        if lower_w is not None:
            room = cem.other_w - lower_w
            lower = {e: -w for e, w in shares_w(_claimants(cem, upward=False), room).items()}
        found[klass] = (lower, upper)
    return found


def _claimants(cem: CemState, *, upward: bool) -> list[Claimant]:
    found = []
    for member in cem.everybody():
        claim = member.claims()[0 if upward else 1]
        if claim is None:
            continue
        most_w = claim.most_w
        if cem.site.state in BLIND:
            # Nobody needs a share of more than it may take when left alone.
            lower_w, upper_w = _left_alone(cem, member)
            alone_w = upper_w if upward else None if lower_w is None else -lower_w
            most_w = most_w if alone_w is None else min(most_w, alone_w)
        blind_w = None if claim.blind_w is None else min(claim.blind_w, most_w)
        found.append(Claimant(esa_id=member.esa_id, most_w=most_w, blind_w=blind_w))
    return found
