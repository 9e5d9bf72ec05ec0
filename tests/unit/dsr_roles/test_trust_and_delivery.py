"""Who does not deliver is found, by report and by meter, and counts for less; who mends it counts again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scowl_edge.dsr.delivery import Delivery, Fault
from scowl_edge.dsr.readings import Source
from scowl_edge.dsr.selecting import Tolerance
from scowl_edge.dsr.settlement import Account, Amounts, Settlement
from scowl_edge.dsr.trust import Conduct, Trust
from scowl_edge.model.exchange import Report, ReportKind, ReportSlot, SlotQuality
from scowl_edge.model.profile import EMPTY, flat

SLOT = 900_000
KWH = 3_600_000_000
TOLERANCE = Tolerance(power_w=200, share_ppm=150_000)


def books() -> Settlement:
    """4 kW intended for four hours, nothing promised."""
    kept = Settlement()
    kept.open(
        Account(
            select_id="s",
            esa_id="e",
            cem="c",
            event_ref="",
            rev=1,
            number=0,
            begin_ms=0,
            end_ms=16 * SLOT,
            baseline=flat(0, 16 * SLOT, 4_000),
            promised=EMPTY,
        )
    )
    return kept


def enter(kept: Settlement, source: Source, first: int, powers: list[int | None]) -> None:
    slots = tuple(ReportSlot(p_avg_w=p, q=SlotQuality.MISSING if p is None else SlotQuality.OK) for p in powers)
    report = Report(esa_id="e", kind=ReportKind.ACTUAL, start_ms=first * SLOT, slot_s=900, slots=slots)
    kept.enter(report, source, 100 * SLOT)


def test_three_bad_slots_are_found_once_and_again_after_they_were_mended() -> None:
    kept, delivery = books(), Delivery()
    enter(kept, Source.REPORT, 0, [0, 3_000, 3_000, 3_000])
    assert delivery.check(kept, "s", TOLERANCE, 3 * SLOT) == []
    [found] = delivery.check(kept, "s", TOLERANCE, 4 * SLOT)
    assert found.fault is Fault.UNDER_DELIVERED
    assert str(found.why) == "e: 3 kW on average instead of 0 W for 2700 s, by the reports; selected s"
    assert delivery.check(kept, "s", TOLERANCE, 4 * SLOT) == []
    enter(kept, Source.REPORT, 4, [0, 3_000, 3_000, 3_000])
    assert delivery.check(kept, "s", TOLERANCE, 5 * SLOT) == []
    assert [f.fault for f in delivery.check(kept, "s", TOLERANCE, 8 * SLOT)] == [Fault.UNDER_DELIVERED]


def test_within_tolerance_or_more_than_promised_is_no_fault() -> None:
    kept = books()
    enter(kept, Source.REPORT, 0, [190, 190, 190, -2_000, -2_000, -2_000])
    assert Delivery().check(kept, "s", TOLERANCE, 6 * SLOT) == []


def test_the_meter_finds_who_tells_a_tale() -> None:
    kept = books()
    enter(kept, Source.REPORT, 0, [0] * 4)
    enter(kept, Source.METER, 0, [4_000] * 4)
    found = {f.fault: str(f.why) for f in Delivery().check(kept, "s", TOLERANCE, 4 * SLOT)}
    assert set(found) == {Fault.UNDER_DELIVERED, Fault.DISPUTED}
    assert "by the meter" in found[Fault.UNDER_DELIVERED]
    assert found[Fault.DISPUTED] == "e: it reports 0 W on average where its meter shows 4 kW; selected s"


def test_silence_is_found() -> None:
    kept = books()
    enter(kept, Source.REPORT, 0, [0, None, None, None])
    [found] = Delivery().check(kept, "s", TOLERANCE, 4 * SLOT)
    assert str(found.why) == "e: nothing measured for 2700 s of its selection s"
    nobody = books()
    assert [f.fault for f in Delivery().check(nobody, "s", TOLERANCE, 3 * SLOT)] == [Fault.UNPROVEN]


def amounts(asked_kwh: int, share_percent: int) -> tuple[Amounts, ...]:
    asked = asked_kwh * KWH
    credited = asked * share_percent // 100
    return (
        Amounts(baseline_w_ms=asked, delivered_w_ms=asked - credited, credited_w_ms=credited),
        Amounts(promised_w_ms=asked, delivered_w_ms=credited, credited_w_ms=-credited),
    )


def test_trust_falls_fast_comes_back_slowly_and_to_the_whole() -> None:
    trust, conduct = Trust(), Conduct()
    assert trust.settled("e", amounts(5, 100), conduct) is None
    assert trust.weights_ppm == {}
    why = trust.settled("e", amounts(5, 0), conduct)
    assert trust.weight_ppm("e") == 500_000
    assert str(why) == "e delivered 0 % of what it last promised; it now counts 50 %"
    assert trust.weighted_w("e", -3_000) == -1_500
    trust.settled("e", amounts(5, 100), conduct)
    assert trust.weight_ppm("e") == 550_000
    for _ in range(200):
        assert trust.settled("e", amounts(5, 100), conduct) is None
    assert trust.weights_ppm == {}


def test_a_moved_load_that_was_not_moved_is_no_wash() -> None:
    """Its sum over the day is nothing asked and nothing short; by slots it is all of it."""
    trust = Trust()
    trust.settled("e", amounts(2, 0), Conduct())
    assert trust.weight_ppm("e") < 600_000


def test_who_is_silent_gains_nothing() -> None:
    trust = Trust()
    trust.settled("e", (Amounts(unproven_w_ms=5 * KWH, missing_ms=SLOT),), Conduct())
    assert trust.weight_ppm("e") == 500_000


def test_a_small_selection_is_a_small_witness() -> None:
    trust = Trust()
    trust.settled("e", (Amounts(baseline_w_ms=25 * KWH // 1000, delivered_w_ms=25 * KWH // 1000),), Conduct())
    assert trust.weight_ppm("e") == 950_000


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 100)), max_size=60))
def test_a_weight_stays_between_its_least_and_one(story: list[tuple[int, int]]) -> None:
    trust, conduct = Trust(), Conduct()
    for asked, share in story:
        before = trust.weight_ppm("e")
        trust.settled("e", amounts(asked, share), conduct)
        after = trust.weight_ppm("e")
        assert conduct.least_ppm <= after <= 1_000_000
        if asked:
            assert after >= before or share * 10_000 < before
