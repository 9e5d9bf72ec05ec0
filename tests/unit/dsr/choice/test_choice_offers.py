"""Offers as boards: which starts may be chosen, what is frozen, what a course of power is by slot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.dsr.choice import (
    BadInstance,
    Budget,
    Candidate,
    Expander,
    Horizon,
    Instance,
    Question,
    Rates,
    SlotRating,
    Standing,
    choose,
    expand,
    fill,
    hold,
    overloads,
    picked,
    reason,
)
from scowl_edge.dsr.choice.telling import powers
from scowl_edge.dsr.slotted import slot_powers
from scowl_edge.model.flexibility import Cost, Element, Mode, Offer, OfferSet, Profile, ProfileKind

SLOT_S = 900
SLOT_MS = SLOT_S * 1000
SLOTS = 16
BUDGET = Budget(moves=2_000, bound_moves=100)


def element(dur_s: int, power_w: int, *, low_w: int | None = None, high_w: int | None = None) -> Element:
    return Element(
        dur_s=dur_s, p_nom_w=power_w, p_min_w=power_w if low_w is None else low_w,
        p_max_w=power_w if high_w is None else high_w,
    )  # fmt: skip


def profile(name: str, *elements: Element) -> Profile:
    return Profile(profile_id=name, kind=ProfileKind.OTHER, elements=elements)


def offer(*profiles: Profile, earliest: int = 0, latest: int = SLOTS - 1) -> Offer:
    """Starts from slot `earliest` to slot `latest`."""
    return Offer(
        offer_id="job", valid_from_ms=0, valid_until_ms=SLOT_MS * SLOTS, start_earliest_ms=earliest * SLOT_MS,
        start_latest_ms=latest * SLOT_MS, min_notice_s=0, modes=(Mode.ROUTINE,),
        default_profile_id=profiles[0].profile_id, profiles=profiles,
    )  # fmt: skip


def question(*offers: Offer, target_w: Mapping[int, int] | None = None, most_w: int | None = None) -> Question:
    """One appliance for each offer, all below one rating if `most_w` is given."""
    limit = (
        ()
        if most_w is None
        else (SlotRating(name="feeder", within=-1, most_w=(most_w,) * SLOTS, least_w=(0,) * SLOTS),)
    )
    return Question(
        horizon=Horizon(start_ms=0, slot_s=SLOT_S, slots=SLOTS),
        target_w=tuple((target_w or {}).get(slot, 0) for slot in range(SLOTS)),
        ratings=limit,
        candidates=tuple(
            Candidate(offers=OfferSet(esa_id=f"esa-{n}", rev=1, offers=(o,)), rating=0 if limit else -1)
            for n, o in enumerate(offers)
        ),
        now_ms=0,
    )  # fmt: skip


def starts(instance: Instance, who: int = 0) -> set[tuple[str, int]]:
    """(profile, start in ms) of all choices of an appliance."""
    board, found = instance.board, set()
    for span in range(int(board.span_start[who]), int(board.span_start[who + 1])):
        for turn in range(int(board.span_count[span])):
            start_ms = int(instance.span_start_ms[span]) + turn * int(board.span_step[span]) * SLOT_MS
            chosen, number = instance.sources[span]
            found.add((chosen.profiles[number].profile_id, start_ms))
    return found


WASH = offer(profile("wash", element(1_800, 2_000)), earliest=2, latest=6)


def test_all_starts_of_the_window_are_choices() -> None:
    assert starts(expand(question(WASH))) == {("wash", slot * SLOT_MS) for slot in range(2, 7)}


def test_what_can_no_longer_be_reached_or_would_end_too_late_is_no_choice() -> None:
    late = replace(WASH, min_notice_s=2 * SLOT_S, end_latest_ms=7 * SLOT_MS)
    asked = replace(question(late), now_ms=SLOT_MS)
    # Slot 2 is what it runs if nobody asks; a selection would come too late for it.
    assert starts(expand(asked)) == {("wash", slot * SLOT_MS) for slot in (2, 3, 4, 5)}
    assert starts(expand(question(replace(WASH, start_latest_ms=99 * SLOT_MS)))) == {
        ("wash", slot * SLOT_MS) for slot in range(2, SLOTS - 1)
    }


@pytest.mark.parametrize(
    "closed",
    [
        replace(WASH, valid_until_ms=-1),
        replace(WASH, valid_from_ms=1),
        replace(WASH, modes=(Mode.RESPONSE,)),
        replace(WASH, start_latest_ms=2 * SLOT_MS, start_earliest_ms=3 * SLOT_MS),
    ],
)
def test_an_offer_that_is_not_open_counts_with_what_runs_anyway(closed: Offer) -> None:
    assert starts(expand(question(closed))) == {("wash", closed.start_earliest_ms)}


def test_a_profile_for_emergencies_is_a_choice_in_emergencies_alone() -> None:
    both = replace(WASH, profiles=(*WASH.profiles, replace(profile("off", element(900, 0)), abnormal_only=True)))
    assert {name for name, _ in starts(expand(question(both)))} == {"wash"}
    assert {name for name, _ in starts(expand(replace(question(both), emergency=True)))} == {"wash", "off"}


def test_what_has_started_is_frozen_and_what_stands_is_where_the_search_begins() -> None:
    stands = {("esa-0", "job"): Standing(profile_id="wash", start_ms=4 * SLOT_MS)}
    asked = replace(question(WASH), standing=stands)
    instance = expand(asked)
    assert len(starts(instance)) == 5
    assert int(instance.present_at[0]) == 4
    for frozen in (
        replace(asked, now_ms=4 * SLOT_MS + 1),
        replace(asked, standing={k: replace(s, frozen=True) for k, s in stands.items()}),
    ):
        assert starts(expand(frozen)) == {("wash", 4 * SLOT_MS)}


def test_a_run_that_began_before_the_horizon_counts_with_what_is_left_of_it() -> None:
    stands = {("esa-0", "job"): Standing(profile_id="wash", start_ms=-SLOT_MS, frozen=True)}
    instance = expand(replace(question(WASH), standing=stands))
    assert powers(instance, 0, int(instance.present_at[0])).tolist() == [2_000] + [0] * (SLOTS - 1)


def two_offers(**more: int) -> Question:
    """A wash from slot 2 to 6, and a dry from 8 to 12, by one appliance."""
    dry = replace(
        offer(profile("dry", element(900, 3_000)), earliest=8, latest=12), offer_id="later", default_profile_id="dry"
    )
    asked = question(WASH, **more)  # type: ignore[arg-type]
    both = replace(asked.candidates[0], offers=OfferSet(esa_id="esa-0", rev=1, offers=(dry, WASH)))
    return replace(asked, candidates=(both,))


def test_of_two_offers_of_an_appliance_one_is_selected_and_the_other_runs_as_intended() -> None:
    instance = expand(two_offers())
    assert len(instance.appliances) == 1
    assert starts(instance) == {("wash", n * SLOT_MS) for n in range(2, 7)} | {
        ("dry", n * SLOT_MS) for n in range(8, 13)
    }
    for span in range(len(instance.sources)):
        drawn = powers(instance, span, int(instance.board.span_first[span])).tolist()
        chosen, number = instance.sources[span]
        name, slot = chosen.profiles[number].profile_id, int(instance.span_start_ms[span]) // SLOT_MS
        wash, dry = (slot, 8) if name == "wash" else (2, slot)
        expected = [0] * SLOTS
        for at, power_w in ((wash, 2_000), (wash + 1, 2_000), (dry, 3_000)):
            expected[at] += power_w
        assert drawn == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({2: 2_000, 3: 2_000, 11: 3_000}, ("dry", 11)),
        ({5: 2_000, 6: 2_000, 8: 3_000}, ("wash", 5)),
        ({2: 2_000, 3: 2_000, 8: 3_000}, None),
    ],
)
def test_the_choice_is_made_among_all_offers_of_an_appliance(
    wanted: dict[int, int], expected: tuple[str, int] | None
) -> None:
    instance = expand(replace(two_offers(), target_w=tuple(wanted.get(slot, 0) for slot in range(SLOTS))))
    chosen = choose(instance.board, 1, BUDGET)
    found = picked(instance, chosen, 0)
    assert chosen.objective == 0
    assert (None if found.as_intended else (found.profile_id, found.start_ms // SLOT_MS)) == expected


def test_what_stands_of_one_offer_is_where_the_search_begins_and_may_give_way_to_another() -> None:
    stands = {("esa-0", "later"): Standing(profile_id="dry", start_ms=10 * SLOT_MS)}
    instance = expand(replace(two_offers(), standing=stands))
    span, at = int(instance.present_span[0]), int(instance.present_at[0])
    assert powers(instance, span, at).tolist()[8:12] == [0, 0, 3_000, 0]
    frozen = expand(replace(two_offers(), standing={k: replace(s, frozen=True) for k, s in stands.items()}))
    assert starts(frozen) == {("dry", 10 * SLOT_MS)}
    assert powers(frozen, 0, 0).tolist() == [0, 0, 2_000, 2_000, 0, 0, 0, 0, 0, 0, 3_000, 0, 0, 0, 0, 0]


def test_nobody_draws_a_delay_for_what_it_intends_by_itself() -> None:
    instance = expand(replace(question(WASH), delay_s=SLOT_S))
    idle = powers(instance, int(instance.board.idle_span[0]), int(instance.board.idle_at[0]))
    assert idle.tolist()[1:5] == [0, 2_000, 2_000, 0]
    asked = powers(instance, 1, int(instance.board.span_first[1]))
    assert asked.tolist()[1:6] == [0, 1_000, 2_000, 1_000, 0]


def same(one: Instance, other: Instance) -> bool:
    """Whether two instances have the same choices, whatever their banks look like."""
    if one.board.span_start.tolist() != other.board.span_start.tolist() or one.sources != other.sources:
        return False
    spans = range(len(one.sources))
    drawn = all(
        powers(one, s, int(one.board.span_first[s])).tolist()
        == powers(other, s, int(other.board.span_first[s])).tolist()
        for s in spans
    )
    columns = ("span_first", "span_step", "span_count", "span_cost", "idle_span", "idle_at", "begin", "end", "rating")
    return drawn and all(
        getattr(one.board, name).tolist() == getattr(other.board, name).tolist()
        for name in (*columns, "target", "highest", "lowest")
    )


@given(st.lists(st.integers(0, 3 * SLOT_S), min_size=1, max_size=4), st.integers(0, 1_200), st.booleans())
def test_rows_that_are_kept_are_those_that_would_be_made_anew(gaps_s: list[int], delay_s: int, stands: bool) -> None:
    late = replace(WASH, min_notice_s=700, valid_until_ms=5 * SLOT_MS)
    soon = replace(WASH, valid_from_ms=SLOT_MS)
    fixed = replace(WASH, profiles=(replace(WASH.profiles[0], start_fixed_ms=3 * SLOT_MS),), min_notice_s=60)
    standing = {("esa-0", "job"): Standing(profile_id="wash", start_ms=4 * SLOT_MS)} if stands else {}
    asked = replace(question(WASH, late, soon, fixed), delay_s=delay_s, standing=standing)
    kept, now_ms = Expander(), 0
    for gap_s in gaps_s:
        now_ms += gap_s * 1000
        present = replace(asked, now_ms=now_ms)
        assert same(kept.expand(present)[0], expand(present))


def test_only_what_changed_is_expanded_anew() -> None:
    kept, asked = Expander(), question(WASH, WASH, WASH)
    assert kept.expand(asked)[1].tolist() == [0, 1, 2]
    assert kept.expand(replace(asked, target_w=(5,) * SLOTS))[1].tolist() == []
    newer = replace(asked.candidates[1], offers=replace(asked.candidates[1].offers, rev=2))
    gone = replace(asked, candidates=(asked.candidates[0], newer))
    instance, fresh = kept.expand(gone)
    assert fresh.tolist() == [1] and instance.appliances == ("esa-0", "esa-1")


def test_faults_in_a_question_are_named() -> None:
    asked = question(WASH, most_w=5_000)
    with pytest.raises(BadInstance, match="3 slots, the horizon 16"):
        expand(replace(asked, target_w=(1, 2, 3)))
    with pytest.raises(BadInstance, match="feeder"):
        expand(replace(asked, ratings=(replace(asked.ratings[0], within=0),)))
    with pytest.raises(BadInstance, match="esa-0"):
        expand(replace(asked, candidates=(replace(asked.candidates[0], rating=3),)))


@given(
    st.lists(st.tuples(st.integers(1, 5_000), st.integers(-9_000, 9_000)), min_size=1, max_size=6),
    st.integers(0, SLOT_S - 1),
    st.integers(0, 1_800),
)
def test_energy_is_kept_whatever_the_ends_of_elements_and_the_delay(
    parts: list[tuple[int, int]], offset_s: int, delay_s: int
) -> None:
    elements = [element(dur_s, power_w) for dur_s, power_w in parts]
    found = slot_powers(elements, offset_s, SLOT_S, delay_s)
    energy = sum(dur_s * power_w for dur_s, power_w in parts)
    assert 0 <= energy - sum(found) * SLOT_S < SLOT_S
    powers_w = [0, *(power_w for _, power_w in parts)]
    assert min(powers_w) - 1 <= min(found) and max(found) <= max(powers_w) + 1


def test_the_expected_load_under_a_random_delay_is_the_average_over_all_delays() -> None:
    elements = [element(700, 3_000), element(1_100, 1_000)]
    seconds = [0] * (SLOT_S * 5)
    for delay in range(1_200):
        for second in range(1_800):
            seconds[100 + delay + second] += 3_000 if second < 700 else 1_000
    average = [sum(seconds[s * SLOT_S : (s + 1) * SLOT_S]) / 1_200 / SLOT_S for s in range(5)]
    found = slot_powers(elements, 100, SLOT_S, 1_200)
    assert found == pytest.approx(average[: len(found)], abs=3)


def test_the_choice_follows_the_target_and_says_why() -> None:
    instance = expand(question(WASH, WASH, target_w={4: 2_000, 5: 2_000, 6: 2_000, 7: 2_000}))
    chosen = choose(instance.board, 1, BUDGET)
    assert chosen.objective == 0 and chosen.gap_ppm == 0
    assert {picked(instance, chosen, who).start_ms for who in (0, 1)} == {4 * SLOT_MS, 6 * SLOT_MS}
    assert not picked(instance, chosen, 0).as_intended
    why = reason(instance, chosen, 0)
    assert why.gain > 0
    assert [(s.first, s.last) for s in why.relieved] == [(2, 3)]
    assert "2000 W less in slots 2 to 3" in str(why)


def test_who_is_held_keeps_its_start_and_the_others_make_up_for_it() -> None:
    instance = expand(question(WASH, WASH, target_w={4: 2_000, 5: 2_000, 6: 2_000, 7: 2_000}))
    before = choose(instance.board, 1, BUDGET)
    first = next(who for who in (0, 1) if picked(instance, before, who).start_ms == 4 * SLOT_MS)
    # The second of its spans is that of all its starts.
    fixed = hold(instance, first, int(instance.board.span_start[first]) + 1, 6)
    after = choose(fixed.board, 1, BUDGET)
    assert picked(fixed, after, first).start_ms == 6 * SLOT_MS
    assert picked(fixed, after, 1 - first).start_ms == 4 * SLOT_MS


def test_whoever_breaks_promises_is_asked_last_and_costs_weigh() -> None:
    asked = question(WASH, WASH, target_w={2: 2_000, 3: 2_000, 6: 2_000, 7: 2_000})
    for unreliable in (0, 1):
        candidates = tuple(
            replace(c, trust_ppm=500_000 if who == unreliable else 1_000_000) for who, c in enumerate(asked.candidates)
        )
        instance = expand(replace(asked, candidates=candidates))
        chosen = choose(instance.board, 1, BUDGET)
        assert [picked(instance, chosen, who).as_intended for who in (0, 1)] == [who == unreliable for who in (0, 1)]
    dear = replace(
        WASH.profiles[0], profile_id="dear", cost=Cost(financial_micro=5, currency="EUR", co2_g=0, comfort=0)
    )
    paid = question(replace(WASH, profiles=(WASH.profiles[0], dear), start_latest_ms=2 * SLOT_MS), target_w={2: 2_000})
    instance = expand(replace(paid, rates=Rates(per_micro=1_000)))
    assert sorted(set(instance.board.span_cost.tolist())) == [0, 5_000]


def test_ratings_are_kept_and_where_they_cannot_be_it_is_said_by_how_much() -> None:
    wanted = {2: 6_000, 3: 6_000}
    kept = expand(question(WASH, WASH, WASH, target_w=wanted, most_w=2_500))
    chosen = choose(kept.board, 1, BUDGET)
    assert chosen.excess_w == 0 and chosen.idle_excess_w > 0 and overloads(kept, chosen) == ()
    moved = next(who for who in range(3) if not picked(kept, chosen, who).as_intended)
    assert reason(kept, chosen, moved).ratings == ("feeder",)
    never = expand(question(replace(WASH, start_latest_ms=2 * SLOT_MS), target_w=wanted, most_w=1_500))
    chosen = choose(never.board, 1, BUDGET)
    assert [(o.rating, o.slot, o.over_w) for o in overloads(never, chosen)] == [("feeder", 2, 500), ("feeder", 3, 500)]
    assert "500 W above its import limit in slot 2" in str(overloads(never, chosen)[0])


def test_what_can_be_modulated_is_set_towards_the_target_within_its_bounds_energy_and_ratings() -> None:
    parts = [element(dur_s, 4_000, low_w=1_400, high_w=7_000) for dur_s in (1_800, 900)]
    charge = replace(profile("charge", *parts), e_max_wh=3_500)
    either = offer(profile("later", element(900, 1_000)), charge, latest=3)
    asked = question(either, target_w={1: 5_000, 2: 5_000, 3: 1_000})
    instance = expand(asked)
    chosen = choose(instance.board, 1, BUDGET)
    # 3,000 Wh as expected: 2,500 in the first half hour, and the last element goes down to its bound.
    assert fill(instance, chosen) == {0: (5_000, 1_400)}
    tight = expand(replace(asked, target_w=tuple(9_000 if slot in (1, 2, 3) else 0 for slot in range(SLOTS))))
    (powers_w,) = fill(tight, choose(tight.board, 1, BUDGET)).values()
    assert min(powers_w) >= 4_000 and 3_490 <= (2 * powers_w[0] + powers_w[1]) // 4 <= 3_500
    rated = expand(replace(
        asked, ratings=(SlotRating(name="fuse", within=-1, most_w=(4_200,) * SLOTS, least_w=(0,) * SLOTS),),
        candidates=(replace(asked.candidates[0], rating=0),),
    ))  # fmt: skip
    assert fill(rated, choose(rated.board, 1, BUDGET)) == {0: (4_200, 1_400)}


def test_what_nobody_asked_for_is_not_modulated() -> None:
    instance = expand(question(offer(profile("io", element(900, 1_000, low_w=0, high_w=3_000)), latest=0)))
    assert fill(instance, choose(instance.board, 1, BUDGET)) == {}
