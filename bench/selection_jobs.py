"""Jobs for the selection benchmark as a provider asks them: offers by seed, with 5 profiles and 16 starts each.

The same shapes as in `selection_sites`, as offers: what a worker does with them, from the job to the picks, is timed.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from scowl_edge.dsr.planning import Candidate, Job
from scowl_edge.model.flexibility import Element, Mode, Offer, Profile, ProfileKind, Proposal

SLOTS, SLOT_S = 96, 900
SLOT_MS = SLOT_S * 1000


def offer(name: str, drawn: Random) -> Offer:
    """One offer, to be started in sixteen slots in a row."""
    size_w = drawn.lognormvariate(7.4, 0.6)
    profiles = []
    for number in range(5):
        levels = drawn.randint(1, 4)
        powers = [int(size_w * drawn.uniform(0.2, 1.8)) for _ in range(levels)]
        dur_s = drawn.randint(4, 16) * SLOT_S // levels
        elements = tuple(Element(dur_s=dur_s, p_nom_w=w, p_min_w=w, p_max_w=w) for w in powers)
        profiles.append(Profile(profile_id=f"p{number}", kind=ProfileKind.OTHER, elements=elements))
    first_ms = drawn.randint(2, 64) * SLOT_MS
    return Offer(
        offer_id=name,
        valid_from_ms=0,
        valid_until_ms=SLOTS * SLOT_MS,
        start_earliest_ms=first_ms,
        start_latest_ms=first_ms + 15 * SLOT_MS,
        min_notice_s=60,
        modes=(Mode.ROUTINE,),
        default_profile_id="p0",
        profiles=tuple(profiles),
    )


def job(people: int, seed: int, moves: int) -> Job:
    """All of them, and an even target."""
    drawn = Random(seed)
    candidates = tuple(
        Candidate(esa_id=f"e{n:06}", rev=1, offers=(offer(f"o{n}", drawn),), weight_ppm=1_000_000)
        for n in range(people)
    )
    return Job(
        number=1,
        goal=1,
        start_ms=0,
        slot_ms=SLOT_MS,
        target_w=(people * 400,) * SLOTS,
        candidates=candidates,
        mode=Mode.ROUTINE,
        seed=seed,
        moves=moves,
        now_ms=30_000,
        delay_max_s=600,
    )


def standing(of: Job, plan: Proposal) -> Job:
    """The same, when all that was planned stands."""
    picks = {p.esa_id: p for p in plan.picks}
    return replace(of, candidates=tuple(replace(c, present=picks.get(c.esa_id)) for c in of.candidates))


def moved(of: Job, parts_in_20: int) -> Job:
    """The same with a target that is so many twentieths of what it was."""
    return replace(of, target_w=tuple(w * parts_in_20 // 20 for w in of.target_w))


def one_anew(of: Job, seed: int) -> Job:
    """The same with a new offer of one appliance."""
    candidates = list(of.candidates)
    candidates[0] = replace(candidates[0], rev=1 + seed, offers=(offer(f"new-{seed}", Random(seed)),), present=None)
    return replace(of, candidates=tuple(candidates))
