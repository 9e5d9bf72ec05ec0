"""What becomes of a plan: the picks that still fit, spread, within what the ratings leave now, are asked for.

A change of what stands is made whole or not at all: where the new pick does not fit any more, the old one stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scowl_edge.dsr.forecast import Outlook, delay_of, grid_of
from scowl_edge.dsr.goal import Goal
from scowl_edge.dsr.identity import identity
from scowl_edge.dsr.instant import Now
from scowl_edge.dsr.planning import current
from scowl_edge.dsr.portfolio import Asked
from scowl_edge.dsr.provider_state import ProviderError, ProviderState, Step
from scowl_edge.dsr.room import Change, Room, Slots, crowded, sums
from scowl_edge.dsr.spreading import Ramp, Start, edges, spread
from scowl_edge.model.exchange import CancelAt, Code, Select
from scowl_edge.model.flexibility import Pick, Proposal, SelectionState
from scowl_edge.model.profile import of_elements
from scowl_edge.model.reason import Reason, declare

NOT_SPREAD = declare("not-selected", "{} was left out: {}")
OUTDATED = declare("pick-outdated", "{} was left out of the plan: {}")
NO_ROOM = declare("no-room-for-pick", "{} was left out of the plan: {} has no room for it any more")
BEGUN = "what was selected for it has begun"
_READY = (SelectionState.PENDING, SelectionState.ACCEPTED, SelectionState.SCHEDULED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Swap:
    """One appliance, what stands of a plan before, and what is to stand instead."""

    esa_id: str
    old: tuple[str, ...]
    """Selections that are taken back."""
    new: Pick | None
    why: str = ""


def carry_out(provider: ProviderState, proposal: Proposal, now: Now, room: Room) -> Step:
    """Does what a worker proposes, as far as it still fits; an answer to an older job is let go.

    Raises:
        ProviderError: The plan is worse than doing nothing.
    """
    step, goal, wall_ms = Step(), provider.goal, provider.clock.read(now)
    job = provider.job
    if goal is None or wall_ms is None or job is None or proposal.number != job.number:
        return step
    provider.job = None
    if (proposal.excess_w, proposal.objective) > (proposal.idle_excess_w, proposal.idle_objective):
        raise ProviderError(
            f"plan {proposal.number} is worse ({proposal.objective}) than doing nothing "
            f"({proposal.idle_objective}): the worker that made it is broken; nothing was selected"
        )
    provider.last = proposal
    wanted = {p.esa_id: p for p in proposal.picks}
    whys = dict(zip((p.esa_id for p in proposal.picks), proposal.reasons, strict=False))
    swaps = []
    for candidate in job.candidates:
        old, new = candidate.present, wanted.get(candidate.esa_id)
        if (old is None and new is None) or (old is not None and _same(old, new)):
            continue
        standing = () if old is None else _standing(provider, old)
        swaps.append(_Swap(esa_id=candidate.esa_id, old=standing, new=new, why=whys.get(candidate.esa_id, "")))
    _change(provider, step, swaps, goal, now, wall_ms, room)
    return step


def ask(
    provider: ProviderState,
    step: Step,
    pick: Pick,
    goal: Goal,
    offset_s: int,
    outlook: Outlook,
    now: Now,
    why: str = "",
) -> None:
    """Asks an appliance for a pick that it offers, and keeps what it would be held to."""
    mirror = provider.mirrors[pick.esa_id]
    provider.numbered += 1
    select_id = identity(provider.seed, provider.node, "select", provider.numbered)
    account = outlook.account(
        pick, select_id=select_id, cem=provider.cems[pick.esa_id], event_ref=goal.event_ref, offset_s=offset_s
    )
    provider.portfolio.asked[select_id] = Asked(
        account=account,
        pick=pick,
        profile=outlook.profile(pick),
        beside=outlook.beside(pick),
        goal=goal.number,
        random_offset_max_s=offset_s,
        why=why,
    )
    select = Select(
        select_id=select_id,
        esa_id=pick.esa_id,
        offer_id=pick.offer_id,
        profile_id=pick.profile_id,
        rev=pick.rev,
        start_ms=pick.start_ms,
        mode=goal.mode,
        setpoints_w=pick.setpoints_w,
        random_offset_max_s=offset_s,
        event_ref=goal.event_ref,
        emergency=goal.emergency,
    )
    provider.follow(step, mirror, mirror.select(select, now), now)


def take_back(provider: ProviderState, step: Step, select_id: str, at: CancelAt, now: Now) -> None:
    """Cancels a selection that is asked for."""
    asked = provider.portfolio.asked[select_id]
    asked.cancelling = True
    mirror = provider.mirror(asked.pick.esa_id)
    provider.follow(step, mirror, mirror.cancel(select_id, at, now), now)


def _standing(provider: ProviderState, old: Pick) -> tuple[str, ...]:
    asked_for = provider.portfolio.asked
    mirror = provider.mirrors.get(old.esa_id)
    copies = mirror.open() if mirror is not None else []
    own = [c.select_id for c in copies if c.select_id in asked_for]
    return tuple(s for s in sorted(own) if asked_for[s].pick == old and not asked_for[s].cancelling)


def _change(
    provider: ProviderState, step: Step, swaps: list[_Swap], goal: Goal, now: Now, wall_ms: int, room: Room
) -> None:
    fitting = []
    for swap in swaps:
        why = _unfit(provider, swap, goal, wall_ms)
        if why:
            step.notes.append(Reason(OUTDATED, (swap.esa_id, why)))
        else:
            fitting.append(swap)
    outlook = provider.outlook()
    fitting = _spread(provider, step, fitting, outlook, goal, wall_ms)
    if room.places:
        full = _full(provider, fitting, outlook, goal, wall_ms, room)
        step.notes += [Reason(NO_ROOM, (esa_id, full[esa_id])) for esa_id in sorted(full)]
        fitting = [swap for swap in fitting if swap.esa_id not in full]
    for swap in fitting:
        for select_id in swap.old:
            take_back(provider, step, select_id, CancelAt.NOW, now)
    outlook, offset_s = provider.outlook(), delay_of(goal, provider.terms)
    for swap in sorted(fitting, key=lambda s: s.esa_id):
        if swap.new is not None:
            ask(provider, step, swap.new, goal, offset_s, outlook, now, swap.why)


def _unfit(provider: ProviderState, swap: _Swap, goal: Goal, wall_ms: int) -> str:
    """Why it cannot be done any more, or nothing."""
    mirror = provider.mirrors.get(swap.esa_id)
    if mirror is None:
        return Code.UNKNOWN_ESA.value
    if any(copy is None or copy.state not in _READY for copy in map(mirror.find, swap.old)):
        return BEGUN
    if swap.new is None:
        return ""
    code = current(swap.new, mirror.offer_set, goal.mode, wall_ms)
    if code is None and any(c.select_id not in swap.old and not provider.going(c.select_id) for c in mirror.open()):
        code = Code.BUSY
    return "" if code is None else code.value


def _spread(
    provider: ProviderState, step: Step, swaps: list[_Swap], outlook: Outlook, goal: Goal, wall_ms: int
) -> list[_Swap]:
    """With starts so far apart that the sum rises no faster than it may."""
    terms = provider.terms
    if terms.max_ramp_w_per_s <= 0:
        return swaps
    ramp, offset_s = Ramp(terms.max_ramp_w_per_s), delay_of(goal, terms)
    replaced = {select_id for swap in swaps for select_id in swap.old}
    outlook = Outlook(offers=outlook.offers, accounts=[a for a in outlook.accounts if a.select_id not in replaced])
    for select_id in sorted(provider.portfolio.asked):
        asked = provider.portfolio.asked[select_id]
        if asked.account.end_ms > wall_ms and not asked.cancelling and select_id not in replaced:
            own = outlook.start(asked.pick, asked.profile, None, asked.random_offset_max_s, wall_ms)
            ramp.take(edges(own, own.wanted_ms))
    starts: list[Start] = []
    for swap in swaps:
        if swap.new is not None:
            offer, profile = outlook.offer(swap.new), outlook.profile(swap.new)
            earliest_ms = wall_ms + 1000 * offer.min_notice_s + terms.answer_ms
            starts.append(outlook.start(swap.new, profile, offer, offset_s, earliest_ms))
    result = spread(starts, ramp, provider.seed)
    step.notes += [Reason(NOT_SPREAD, (u.key, str(u.why))) for u in result.unplaced]
    at = {p.key: p.start_ms for p in result.placed}
    return [
        swap if swap.new is None else replace(swap, new=replace(swap.new, start_ms=at[swap.esa_id]))
        for swap in swaps
        if swap.new is None or swap.esa_id in at
    ]


def _full(
    provider: ProviderState, swaps: Sequence[_Swap], outlook: Outlook, goal: Goal, wall_ms: int, room: Room
) -> dict[str, str]:
    """Who does not fit into what the ratings leave now -> the rating."""
    slots, places = grid_of(provider.terms, wall_ms), provider.places(room)
    delay_s = delay_of(goal, provider.terms)
    before = sums(room, [(place, outlook.expected(e)) for e, place in places.items() if place >= 0], slots)
    changes = [
        Change(key=s.esa_id, place=places[s.esa_id], by_w=_by_w(outlook, s, slots, delay_s))
        for s in swaps
        if places[s.esa_id] >= 0
    ]
    return crowded(room, before, changes)


def _by_w(outlook: Outlook, swap: _Swap, slots: Slots, delay_s: int) -> dict[int, int]:
    """What an appliance would take more than it is expected to, by slot; delays counted as the plan did."""
    esa_id, new = swap.esa_id, swap.new
    kept = [a for a in outlook.own.get(esa_id, []) if a.select_id not in swap.old]
    rest = Outlook(offers={esa_id: outlook.offers[esa_id]}, accounts=kept)
    found: dict[int, int] = {}
    if new is None:
        _add(found, slots.means(rest.expected(esa_id)), 1)
    else:
        profile = outlook.profile(new)
        own = of_elements(profile.elements, new.start_ms, new.setpoints_w)
        _add(found, slots.means(own.over(rest.beside(new))), 1)
        _add(found, slots.means(own), -1)
        _add(found, slots.delayed(profile, new.start_ms, new.setpoints_w, delay_s), 1)
    _add(found, slots.means(outlook.expected(esa_id)), -1)
    return {slot: power_w for slot, power_w in found.items() if power_w}


def _add(found: dict[int, int], more: dict[int, int], sign: int) -> None:
    for slot, power_w in more.items():
        found[slot] = found.get(slot, 0) + sign * power_w


def _same(old: Pick, new: Pick | None) -> bool:
    """Whether a new pick is what is there; spreading may have moved its start a little."""
    return new is not None and (old.offer_id, old.profile_id, old.setpoints_w, old.start_ms) == (
        new.offer_id,
        new.profile_id,
        new.setpoints_w,
        new.start_ms,
    )
