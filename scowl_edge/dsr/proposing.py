"""The worker's side: a job becomes an instance of the choice among offers, and its plan becomes picks.

Importing it loads the compiler, where there is one: import it in the worker that chooses.
"""

from __future__ import annotations

from collections.abc import Sequence

from scowl_edge.dsr.choice import (
    Budget,
    Candidate,
    Horizon,
    Question,
    Reason,
    SlotRating,
    Standing,
    choose,
    expand,
    fill,
    overloads,
    picked,
    reason,
)
from scowl_edge.dsr.choice.telling import Stretch
from scowl_edge.dsr.planning import Job
from scowl_edge.model.flexibility import OfferSet, Pick, Proposal
from scowl_edge.model.reason import watts

MOST_REASONS = 200
"""So many picks are given their reason in words; with more, a person asks for one by one."""


MOST_STRETCHES = 2
"""Of less power, and of more, that a reason names."""


def propose(job: Job) -> Proposal:
    """The best plan that the job's budget finds: a function of the job alone, to be run wherever there is time."""
    instance = expand(_question(job))
    chosen = choose(instance.board, job.seed, Budget(moves=job.moves, bound_moves=job.moves // 4))
    setpoints_w = fill(instance, chosen)
    revs = {c.esa_id: c.rev for c in job.candidates}
    picks: list[Pick] = []
    reasons: list[str] = []
    for who in range(len(instance.offers)):
        found = picked(instance, chosen, who)
        if found.as_intended:
            continue
        picks.append(
            Pick(
                esa_id=found.esa_id,
                rev=revs[found.esa_id],
                offer_id=found.offer_id,
                profile_id=found.profile_id,
                start_ms=found.start_ms,
                setpoints_w=setpoints_w.get(who, ()),
            )
        )
        if len(reasons) < MOST_REASONS:
            reasons.append(_said(reason(instance, chosen, who), job))
    return Proposal(
        number=job.number,
        picks=tuple(picks),
        objective=chosen.objective,
        idle_objective=chosen.idle_objective,
        bound=chosen.bound,
        gap_ppm=chosen.gap_ppm,
        excess_w=chosen.excess_w,
        idle_excess_w=chosen.idle_excess_w,
        reasons=tuple(reasons),
        overloads=tuple(str(o) for o in overloads(instance, chosen)),
    )


def _said(why: Reason, job: Job) -> str:
    """A reason by the clock, in UTC."""
    shifted = [_stretches(why.relieved, "less", job), _stretches(why.filled, "more", job)]
    text = ", ".join(part for part in shifted if part)
    if not text:
        return str(why)
    if why.ratings:
        return f"{text}: else {', '.join(why.ratings)} would be exceeded"
    return f"{text}: the sum comes nearer to its target"


def _stretches(stretches: Sequence[Stretch], what: str, job: Job) -> str:
    """The longest of them, in order of time."""
    longest = sorted(stretches, key=lambda s: (s.first - s.last, s.first))[:MOST_STRETCHES]
    said = ", ".join(
        f"{watts(s.mean_w)} {what} {_clock(job, s.first)} to {_clock(job, s.last + 1)}"
        for s in sorted(longest, key=lambda s: s.first)
    )
    more = len(stretches) - len(longest)
    return f"{said} and {more} times more" if more else said


def _clock(job: Job, slot: int) -> str:
    minutes = (job.start_ms + slot * job.slot_ms) // 60_000
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


def _question(job: Job) -> Question:
    below = job.below or (-1,) * len(job.candidates)
    standing = {
        (c.esa_id, c.offer.offer_id): Standing(profile_id=c.present.profile_id, start_ms=c.present.start_ms)
        for c in job.candidates
        if c.present is not None
    }
    return Question(
        horizon=Horizon(start_ms=job.start_ms, slot_s=job.slot_ms // 1000, slots=len(job.target_w)),
        target_w=job.target_w,
        ratings=tuple(
            SlotRating(name=cap.name, within=cap.within, most_w=cap.upper_w, least_w=cap.lower_w) for cap in job.caps
        ),
        candidates=tuple(
            Candidate(
                offers=OfferSet(esa_id=c.esa_id, rev=c.rev, offers=(c.offer,)), rating=rating, trust_ppm=c.weight_ppm
            )
            for c, rating in zip(job.candidates, below, strict=True)
        ),
        standing=standing,
        now_ms=job.now_ms,
        mode=job.mode,
        emergency=job.emergency,
        delay_s=job.delay_max_s,
    )
