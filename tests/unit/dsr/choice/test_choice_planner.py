"""A worker from one job to the next: what it keeps saves time, and every answer stands by itself."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from scowl_edge.dsr.planning import Candidate, Job
from scowl_edge.dsr.proposing import Planner, propose
from scowl_edge.model.flexibility import Element, Mode, Offer, Pick, Profile, ProfileKind, Proposal

SLOT = 900_000
SLOTS = 48
PEOPLE = 60


def offer(n: int, drawn: Random) -> Offer:
    size_w = drawn.randint(500, 3_000)
    profiles = tuple(
        Profile(
            profile_id=f"p{k}", kind=ProfileKind.OTHER,
            elements=(Element(dur_s=900 * drawn.randint(1, 6), p_nom_w=size_w + k, p_min_w=0, p_max_w=size_w + k),),
        )
        for k in range(2)
    )  # fmt: skip
    first = drawn.randint(2, 24) * SLOT
    return Offer(
        offer_id=f"o{n}", valid_from_ms=0, valid_until_ms=SLOTS * SLOT, start_earliest_ms=first,
        start_latest_ms=first + 12 * SLOT, min_notice_s=60, modes=(Mode.ROUTINE,), default_profile_id="p0",
        profiles=profiles,
    )  # fmt: skip


def job(number: int = 1, **more: object) -> Job:
    drawn = Random(1)
    candidates = tuple(
        Candidate(esa_id=f"e{n}", rev=1, offers=(offer(n, drawn),), weight_ppm=1_000_000) for n in range(PEOPLE)
    )
    first = Job(
        number=number, goal=1, start_ms=0, slot_ms=SLOT, target_w=(20_000,) * 30 + (0,) * (SLOTS - 30),
        candidates=candidates, mode=Mode.ROUTINE, seed=1, moves=60_000, now_ms=60_000,
    )  # fmt: skip
    return replace(first, **more)  # type: ignore[arg-type]


def standing(of: Job, proposal: Proposal) -> Job:
    """The same job when all that was proposed stands."""
    picks = {p.esa_id: p for p in proposal.picks}
    return replace(of, candidates=tuple(replace(c, present=picks.get(c.esa_id)) for c in of.candidates))


def certified(proposal: Proposal) -> None:
    assert proposal.bound is not None and proposal.bound <= proposal.objective <= proposal.idle_objective


def test_a_plan_after_a_small_change_comes_from_what_stands_and_is_as_good_as_it_proves() -> None:
    planner = Planner()
    first = planner.propose(job())
    moved = replace(standing(job(2), first), target_w=tuple(w * 105 // 100 for w in job().target_w))
    warm, cold = planner.propose(moved), propose(moved)
    assert (planner.warm, planner.cold) == (1, 1)
    certified(warm)
    certified(cold)
    assert warm.gap_ppm is not None
    assert warm.objective * 1_000_000 <= cold.objective * (1_000_000 + warm.gap_ppm)
    kept = {(p.esa_id, p.profile_id, p.start_ms) for p in first.picks}
    assert len(kept & {(p.esa_id, p.profile_id, p.start_ms) for p in warm.picks}) > len(kept) // 2


def test_a_plan_that_stands_stays_to_the_watt_while_nothing_else_is_worth_it() -> None:
    planner = Planner()
    first = planner.propose(job())
    picks: tuple[Pick, ...] = first.picks
    for number in range(2, 5):
        again = planner.propose(standing(job(number, now_ms=60_000 + number), first))
        assert again.picks == picks and again.number == number
        certified(again)
    assert propose(standing(job(9), first)).picks == picks, "nor in a new process"


def test_one_appliance_with_a_new_offer_changes_little() -> None:
    planner = Planner()
    first = planner.propose(job())
    stands = standing(job(2), first)
    candidates = list(stands.candidates)
    candidates[7] = replace(candidates[7], rev=2, offers=(offer(99, Random(5)),), present=None)
    again = planner.propose(replace(stands, candidates=tuple(candidates)))
    assert planner.warm == 1
    certified(again)
    assert all(p.rev == 2 for p in again.picks if p.esa_id == "e7")
    others = {p for p in first.picks if p.esa_id != "e7"}
    assert len(others & set(again.picks)) > len(others) // 2


def test_with_much_that_is_new_all_is_chosen_from_nothing_and_so_it_is_after_a_restart() -> None:
    planner = Planner()
    planner.propose(job())
    fresh = replace(job(2), candidates=tuple(replace(c, rev=2) for c in job().candidates))
    assert planner.propose(fresh) == propose(fresh)
    assert planner.cold == 2
    assert Planner().propose(fresh) == propose(fresh)


def test_where_what_stands_is_improved_too_little_all_is_chosen_from_nothing() -> None:
    planner = Planner()
    planner.propose(job())
    turned = replace(job(2), target_w=(0,) * 40 + (9_000,) * (SLOTS - 40))
    answer = planner.propose(turned)
    certified(answer)
    assert planner.warm + planner.cold == 2
    cold = propose(turned)
    assert answer.objective <= cold.objective or planner.warm == 1
