"""What a provider asks a worker: who may be chosen now, for what, and what ratings leave for them."""

from __future__ import annotations

from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.mirror import Mirror
from scowl_edge.dsr.planning import Candidate, Job
from scowl_edge.dsr.provider_state import BY_HAND, ProviderState
from scowl_edge.dsr.room import Room
from scowl_edge.model.exchange import Running
from scowl_edge.model.flexibility import OverrideScope, SelectionState

_OUT = (OverrideScope.GRID, OverrideScope.ALL, OverrideScope.THIS)


def planning_due(provider: ProviderState, now: Now) -> bool:
    """Whether it is time for a plan."""
    if provider.goal is None or provider.clock.read(now) is None or now.mono_ms < provider.plan_due_mono_ms:
        return False
    return provider.job is None or now.mono_ms - provider.job_mono_ms >= provider.terms.job_ms


def question(provider: ProviderState, now: Now, room: Room) -> Job | None:
    """A job for a worker, if one is due; `room` is what the site's ratings leave now."""
    wall_ms, terms = provider.clock.read(now), provider.terms
    if provider.goal is None or wall_ms is None or not planning_due(provider, now):
        return None
    provider.plan_due_mono_ms = now.mono_ms + terms.replan_ms
    candidates = _candidates(provider, now, wall_ms)
    if not candidates:
        provider.job = None
        return None
    provider.jobs += 1
    provider.job_mono_ms = now.mono_ms
    provider.job = provider.outlook().job(
        provider.goal,
        candidates,
        number=provider.jobs,
        seed=provider.seed,
        terms=terms,
        wall_ms=wall_ms,
        room=room,
        places=provider.places(room),
    )
    return provider.job


def _candidates(provider: ProviderState, now: Now, wall_ms: int) -> list[Candidate]:
    found = []
    for esa_id in sorted(provider.mirrors):
        mirror = provider.mirrors[esa_id]
        out = mirror.override is not None and mirror.override.scope in _OUT
        if mirror.lost or mirror.offer_set is None or out or not provider.up.get(provider.cems[esa_id], False):
            continue
        if mirror.running in (Running.FAULT, Running.OFFLINE):
            continue
        if now.mono_ms < provider.resting_mono_ms.get(esa_id, now.mono_ms):
            continue
        candidate = _candidate(provider, mirror, wall_ms)
        if candidate is not None:
            found.append(candidate)
    return found


def _candidate(provider: ProviderState, mirror: Mirror, wall_ms: int) -> Candidate | None:
    """All offers of an appliance that may be selected from; at most one of them is."""
    goal, offers = provider.goal, mirror.offer_set
    if goal is None or offers is None:
        return None
    asked_for = provider.portfolio.asked
    open_ones = [asked_for[c.select_id] for c in mirror.open() if c.select_id in asked_for]
    present = None
    if len(mirror.open()) > 1 or len(open_ones) != len(mirror.open()):
        return None
    usable = tuple(o for o in offers.offers if goal.mode in o.modes and o.valid_from_ms <= wall_ms <= o.valid_until_ms)
    if open_ones:
        [asked] = open_ones
        copy = mirror.find(asked.account.select_id)
        ready = copy is not None and copy.state in (SelectionState.ACCEPTED, SelectionState.SCHEDULED)
        # Least change: what stands for this goal stays; what has begun or is about to is frozen.
        if not ready or asked.goal in (goal.number, BY_HAND) or asked.cancelling or asked.pick.rev != offers.rev:
            return None
        present = asked.pick
        offer = next((o for o in usable if o.offer_id == asked.pick.offer_id), None)
        if offer is None or present.start_ms < wall_ms + 1000 * offer.min_notice_s + provider.terms.answer_ms:
            return None
    if not usable:
        return None
    return Candidate(
        esa_id=mirror.esa_id,
        rev=offers.rev,
        offers=tuple(sorted(usable, key=lambda o: (o.start_earliest_ms, o.offer_id))),
        weight_ppm=provider.portfolio.trust.weight_ppm(mirror.esa_id),
        present=present,
    )
