"""A provider whose appliances hang below ratings: what it asks its worker, and what it makes of the answer."""

from __future__ import annotations

from dataclasses import replace

from test_provider import CEM, HOUR, UTC, answer, bodies, less, now, offers, ready, status, told

from scowl_edge.dsr.planning import Candidate
from scowl_edge.dsr.proposing import propose
from scowl_edge.dsr.provider import Provider, Step
from scowl_edge.dsr.room import Place, Room
from scowl_edge.model.exchange import Cancel, Select
from scowl_edge.model.flexibility import Mode, OfferSet, SelectionState
from scowl_edge.model.profile import flat

NAMES = ("e1", "e2", "e3")


def room(feeder_w: int, grid_w: int = 50_000, *, rest: int = 1) -> Room:
    places = (
        Place(name="grid", within=-1, upper_w=grid_w, lower_w=-grid_w),
        Place(name="feeder", within=0, upper_w=feeder_w, lower_w=-feeder_w),
    )
    return Room(places=places, below={}, rest=rest)


def more(provider: Provider, mono_ms: int = 0) -> None:
    """6 kW an hour later than they are intended."""
    curve = flat(UTC + HOUR, HOUR, -6_000) + flat(UTC + 2 * HOUR, HOUR, 6_000)
    provider.aim(curve, now(mono_ms), relative=True, mode=Mode.RESPONSE, event_ref="sun")


def notes(step: Step) -> str:
    return "; ".join(str(note) for note in step.notes)


def test_a_job_has_what_each_rating_leaves_by_slot_for_those_who_may_be_chosen() -> None:
    provider = ready(NAMES)
    taken = less(provider, 0)
    step = provider.answered(answer(taken, {"e1": UTC + 3 * HOUR}), now(1_000))
    told(provider, status(bodies(step, Select)[0], SelectionState.SCHEDULED), 2_000)
    provider.plan_due_mono_ms = 0
    job = provider.question(now(3_000), room(5_000))
    assert job is not None
    assert [(c.name, c.within) for c in job.caps] == [("grid", -1), ("feeder", 0)]
    assert job.below == (1, 1)
    # The grid of the plan begins up to a quarter of an hour before; what is selected for e1 takes 2 kW for an hour.
    assert min(job.caps[1].upper_w) == 3_000 and max(job.caps[1].upper_w) == 5_000
    assert sum(5_000 - w for w in job.caps[1].upper_w) == 4 * 2_000


def test_no_plan_exceeds_a_rating_that_doing_nothing_keeps() -> None:
    for feeder_w in (6_000, 4_500, 2_500):
        provider = ready(NAMES)
        more(provider)
        job = provider.question(now(0), room(feeder_w))
        assert job is not None
        proposal = propose(job)
        assert proposal.excess_w <= proposal.idle_excess_w
        step = provider.answered(proposal, now(1_000), room(feeder_w))
        starts = dict.fromkeys(NAMES, UTC + HOUR)
        starts |= {s.esa_id: s.start_ms for s in bodies(step, Select) if isinstance(s, Select)}
        at_once = max(sum(0 <= s - t < HOUR for t in starts.values()) for s in starts.values())
        assert at_once == feeder_w // 2_000, "as many as fit, and no more"


def test_an_excess_that_nobody_can_avoid_does_not_stop_a_plan() -> None:
    provider = ready(NAMES)
    less(provider, 0)
    provider.job, provider.plan_due_mono_ms = None, 0
    job = provider.question(now(0), room(-1_000))
    assert job is not None
    proposal = propose(job)
    assert 0 < proposal.excess_w <= proposal.idle_excess_w
    assert proposal.picks and proposal.overloads
    assert provider.answered(proposal, now(1_000), room(-1_000)).findings == []


def test_who_has_no_room_any_more_when_the_answer_comes_is_left_out_with_a_reason() -> None:
    provider = ready(NAMES)
    more(provider)
    job = provider.question(now(0), room(6_000))
    assert job is not None
    plan = answer(job, dict.fromkeys(NAMES, UTC + 2 * HOUR))
    step = provider.answered(plan, now(1_000), room(4_100))
    assert len(bodies(step, Select)) == 2
    assert "no room" in notes(step) and "feeder" in notes(step)


def test_what_is_above_a_rating_is_bounded_by_those_around_it_alone() -> None:
    provider = ready(NAMES)
    more(provider)
    job = provider.question(now(0), room(6_000))
    assert job is not None
    plan = answer(job, dict.fromkeys(NAMES, UTC + 2 * HOUR))
    assert len(bodies(provider.answered(plan, now(1_000), room(0, 6_000, rest=0)), Select)) == 3


def test_where_the_new_pick_has_no_room_the_old_one_stays() -> None:
    provider = ready(NAMES)
    step = provider.answered(answer(less(provider, 0), {"e1": UTC + 4 * HOUR}), now(1_000))
    [select] = bodies(step, Select)
    told(provider, status(select, SelectionState.SCHEDULED), 2_000)
    more(provider, 10_000)
    job = provider.question(now(10_000), room(6_000))
    assert job is not None and [c.esa_id for c in job.candidates if c.present is not None] == ["e1"]
    step = provider.answered(answer(job, {"e1": UTC + 2 * HOUR}), now(11_000), room(1_000))
    assert bodies(step, Cancel) == [] and bodies(step, Select) == []
    assert "e1" in notes(step)


def test_what_has_begun_meanwhile_is_not_taken_back() -> None:
    provider = ready(NAMES)
    [select] = bodies(provider.answered(answer(less(provider, 0), {"e1": UTC + HOUR}), now(1_000)), Select)
    told(provider, status(select, SelectionState.SCHEDULED), 2_000)
    more(provider, 10_000)
    job = provider.question(now(10_000))
    assert job is not None
    told(provider, status(select, SelectionState.ACTIVE), 11_000)
    step = provider.answered(answer(job, {"e1": UTC + 2 * HOUR}), now(12_000))
    assert bodies(step, Cancel) == [] and "begun" in notes(step)


def test_all_offers_of_an_appliance_that_are_open_are_candidates() -> None:
    provider = ready(("e1",))
    [first] = offers("e1").offers
    second = replace(first, offer_id="second", start_earliest_ms=UTC + 6 * HOUR, start_latest_ms=UTC + 9 * HOUR)
    closed = replace(second, offer_id="closed", modes=(Mode.ROUTINE,))
    told(provider, OfferSet(esa_id="e1", rev=2, offers=(closed, second, first)), 0, CEM)
    curve = flat(UTC + 6 * HOUR, HOUR, -2_000) + flat(UTC + 7 * HOUR, HOUR, 2_000)
    provider.aim(curve, now(0), relative=True, mode=Mode.RESPONSE)
    job = provider.question(now(0), room(9_000))
    assert job is not None
    [candidate] = job.candidates
    assert isinstance(candidate, Candidate)
    assert [o.offer_id for o in candidate.offers] == ["o-e1", "second"]
    [pick] = propose(job).picks
    assert pick.offer_id == "second" and abs(pick.start_ms - UTC - 7 * HOUR) < HOUR // 2
    [select] = bodies(provider.answered(replace(propose(job), picks=(pick,)), now(1_000), room(9_000)), Select)
    assert isinstance(select, Select) and select.offer_id == "second"
