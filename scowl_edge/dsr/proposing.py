"""The worker's side: a job becomes an instance of the choice among offers, and its plan becomes picks.

What the last job left behind saves time, and nothing else: offers that are known are not expanded anew, and where
something stands it is improved, unless what that proves is not good enough; then all is chosen from nothing.

Importing it loads the compiler, where there is one: import it in the worker that chooses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from scowl_edge.dsr.choice import (
    Budget,
    Candidate,
    Chosen,
    Expander,
    Horizon,
    Instance,
    Question,
    Reason,
    SlotRating,
    Standing,
    choose,
    fill,
    improved,
    overloads,
    picked,
    reason,
    weigh,
)
from scowl_edge.dsr.choice.telling import Stretch
from scowl_edge.dsr.planning import Job
from scowl_edge.model.flexibility import WHOLE_PPM, OfferSet, Pick, Proposal
from scowl_edge.model.reason import watts

MOST_REASONS = 200
"""So many picks are given their reason in words; with more, a person asks for one by one."""
GOOD_PPM = 20_000
"""A gap that is good enough whatever a choice from nothing would find."""
WORSE_PPM = 100_000
"""An improved plan may be proven so much less well than the last that was chosen from nothing."""
WORTH_PPM = 5_000
"""What stands is changed only for a plan whose objective is better by this share."""
FEW_PPM = 200_000
"""With more of the appliances changed than this, all is chosen from nothing."""
SWEEPS = 4

_MOST = 2**63 - 1
"""What the core's memory can hold; a deviation of gigawatts for hours is as good as that."""


class Planner:
    """Answers one job after the other."""

    def __init__(self) -> None:
        self._expander = Expander()
        self._gap_ppm: int | None = None
        """Of the last plan that was chosen from nothing."""
        self.warm = self.cold = 0
        """Plans, by how they were made."""

    def propose(self, job: Job) -> Proposal:
        """The best plan that the job's budget finds; certified whichever way it was found."""
        instance, fresh = self._expander.expand(_question(job))
        people = len(instance.appliances)
        present = (instance.present_span, instance.present_at)
        chosen: Chosen | None = None
        if (self.warm or self.cold) and len(fresh) * WHOLE_PPM <= people * FEW_PPM:
            budget = Budget(moves=min(job.moves, SWEEPS * people), bound_moves=job.moves // 4)
            chosen = improved(instance.board, present, budget, fresh)
        if chosen is not None and self._enough(chosen):
            self.warm += 1
        else:
            start = present if chosen is None else (chosen.span, chosen.at)
            budget = Budget(moves=job.moves, bound_moves=job.moves // 4)
            chosen = choose(instance.board, job.seed, budget, start)
            self._gap_ppm = chosen.gap_ppm
            self.cold += 1
        setpoints_w = fill(instance, chosen)
        stays = _as_it_stands(job, instance, chosen, setpoints_w)
        if stays is not None:
            chosen, setpoints_w = stays
        return _proposal(job, instance, chosen, setpoints_w)

    def _enough(self, chosen: Chosen) -> bool:
        gap = chosen.gap_ppm
        if gap is None:
            return False
        return gap <= GOOD_PPM or (
            self._gap_ppm is not None and gap <= self._gap_ppm + self._gap_ppm * WORSE_PPM // WHOLE_PPM
        )


MOST_STRETCHES = 2
"""Of less power, and of more, that a reason names."""


def propose(job: Job) -> Proposal:
    """The best plan that the job's budget finds: a function of the job alone, to be run wherever there is time."""
    return Planner().propose(job)


def _as_it_stands(
    job: Job, instance: Instance, chosen: Chosen, setpoints_w: Mapping[int, tuple[int, ...]]
) -> tuple[Chosen, dict[int, tuple[int, ...]]] | None:
    """What was selected before, as a plan, if the new one would hardly be better; it is not worth asking anybody."""
    presents = [c.present for c in job.candidates]
    if not any(presents):
        return None
    stands = improved(instance.board, (instance.present_span, instance.present_at), Budget(moves=0))
    idle = stands.span == instance.board.idle_span
    before_w = {who: p.setpoints_w for who, p in enumerate(presents) if p and p.setpoints_w and not idle[who]}
    (old_excess, old), (new_excess, new) = weigh(instance, stands, before_w), weigh(instance, chosen, setpoints_w)
    if old_excess > new_excess or (old - new) * WHOLE_PPM > old * WORTH_PPM:
        return None
    return replace(stands, bound=chosen.bound, prices=chosen.prices), before_w


def _proposal(job: Job, instance: Instance, chosen: Chosen, setpoints_w: Mapping[int, tuple[int, ...]]) -> Proposal:
    revs = {c.esa_id: c.rev for c in job.candidates}
    picks: list[Pick] = []
    reasons: list[str] = []
    for who in range(len(instance.appliances)):
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
        objective=min(chosen.objective, _MOST),
        idle_objective=min(chosen.idle_objective, _MOST),
        # No deviation is below 0, whatever prices prove.
        bound=None if chosen.bound is None else max(0, min(chosen.bound, _MOST)),
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
        (c.esa_id, c.present.offer_id): Standing(profile_id=c.present.profile_id, start_ms=c.present.start_ms)
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
                offers=OfferSet(esa_id=c.esa_id, rev=c.rev, offers=c.offers), rating=rating, trust_ppm=c.weight_ppm
            )
            for c, rating in zip(job.candidates, below, strict=True)
        ),
        standing=standing,
        now_ms=job.now_ms,
        mode=job.mode,
        emergency=job.emergency,
        delay_s=job.delay_max_s,
    )
