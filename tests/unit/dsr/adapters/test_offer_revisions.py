"""Ids, windows, what each kind of profile means, and when offers no longer hold."""

from __future__ import annotations

import uuid
from dataclasses import replace
from itertools import pairwise

from appliance_trials import NOON_MS, elements_of

from scowl_edge.dsr.adapters import (
    Battery,
    BatteryState,
    Charger,
    ChargerState,
    Frame,
    Solar,
    SolarState,
    ThermalState,
    Washer,
    WasherState,
    heat_pump,
    run,
    stale,
)
from scowl_edge.model.flexibility import UNSET, OfferSet, Profile, ProfileKind
from scowl_edge.model.profile import HOUR_MS, of_elements
from scowl_edge.model.profile_slots import from_slots

FRAME = Frame(now_ms=NOON_MS, rev=4)
CAR = Charger(esa_id="car-1", capacity_wh=50_000, export_w=3_680, floor_wh=10_000)
STAY = ChargerState(
    level_j=20_000 * 3_600, target_wh=40_000, arrival_ms=NOON_MS - HOUR_MS, departure_ms=NOON_MS + 18 * HOUR_MS
)
HEAT = heat_pump("heat-1")
ROOM = ThermalState(temp_micro=21_000_000, ambient_milli=(2_000,), forecast_ms=NOON_MS)
WASHER = Washer(esa_id="washer-1", programme=((900, 2_000), (1_800, 100)), max_pause_s=300)
LAUNDRY = WasherState(loaded=True, begin_ms=NOON_MS + HOUR_MS, end_latest_ms=NOON_MS + 9 * HOUR_MS)


def profile(made: OfferSet, kind: ProfileKind) -> Profile:
    return next(p for p in made.offers[0].profiles if p.kind is kind)


def kinds(made: OfferSet) -> list[str]:
    return [p.kind.value for p in made.offers[0].profiles]


def test_ids_are_uuids_that_depend_on_the_appliance_and_the_revision_alone() -> None:
    first = CAR.offers(STAY, FRAME).offers[0]
    ids = [first.offer_id, *(p.profile_id for p in first.profiles)]
    assert all(str(uuid.UUID(each)) == each for each in ids)
    assert CAR.offers(STAY, FRAME).offers[0].offer_id == first.offer_id
    assert CAR.offers(STAY, replace(FRAME, rev=5)).offers[0].offer_id != first.offer_id
    other = replace(CAR, esa_id="car-2").offers(STAY, FRAME).offers[0]
    assert not set(ids) & {other.offer_id, *(p.profile_id for p in other.profiles)}


def test_a_vehicle_may_charge_at_once_late_between_or_evenly_and_exports_only_with_consent() -> None:
    made = CAR.offers(STAY, FRAME)
    assert kinds(made) == ["IO", "LD", "MD", "OTHER", "OTHER"]
    assert kinds(replace(CAR, export_consent=True).offers(STAY, FRAME))[-2:] == ["LDP", "MDP"]
    offer = made.offers[0]
    late = profile(made, ProfileKind.MD)
    assert profile(made, ProfileKind.LD).start_fixed_ms == FRAME.start_ms
    assert 0 <= STAY.departure_ms - late.start_fixed_ms - 1_000 * late.length_s < FRAME.slot_ms
    assert offer.end_latest_ms == STAY.departure_ms
    spread = offer.profiles[4]
    assert (spread.e_min_wh, spread.e_max_wh) != (None, None)
    assert {(e.p_min_w, e.p_max_w) for e in spread.elements} == {(4_140, 11_040)}
    # It charges at full power until the first start, so that much less is left to be done.
    done = run(CAR, STAY, NOON_MS, FRAME.start_ms)
    assert (spread.e_min_wh or 0) < 20_000 * 1_000 // 930
    assert abs((spread.e_min_wh or 0) - (40_000 * 3_600 - done.level_j) * 1_000 // 930 // 3_600) <= 1


def test_a_vehicle_that_can_only_just_be_charged_has_nothing_to_choose() -> None:
    made = CAR.offers(replace(STAY, departure_ms=NOON_MS + HOUR_MS), FRAME)
    assert kinds(made) == ["IO", "LD", "MD"]
    assert len({p.start_fixed_ms for p in made.offers[0].profiles}) == 1
    assert CAR.offers(replace(STAY, departure_ms=NOON_MS), FRAME).offers == ()


def test_a_vehicle_takes_its_smallest_current_or_nothing() -> None:
    assert CAR.take_w(STAY, 11_000, 4_200, NOON_MS, 60_000) == 4_200
    assert CAR.take_w(STAY, 11_000, 4_000, NOON_MS, 60_000) == 0
    assert CAR.take_w(replace(STAY, level_j=50_000 * 3_600), 11_000, 11_000, NOON_MS, 60_000) == 0


def test_heat_comes_early_or_late_and_the_pause_of_a_coast_is_one() -> None:
    made = HEAT.offers(ROOM, FRAME)
    energy = {p.kind: of_elements(p.elements, 0).energy_j(0, 3 * HOUR_MS) for p in made.offers[0].profiles[:3]}
    assert energy[ProfileKind.MD] < energy[ProfileKind.IO] < energy[ProfileKind.LD]
    assert elements_of(made, ProfileKind.MD)[0].p_nom_w == 0
    assert any(e.p_min_w < e.p_nom_w < e.p_max_w for e in elements_of(made, ProfileKind.IO))
    coast = next(p for p in made.offers[0].profiles if p.kind is ProfileKind.OTHER)
    course = of_elements(coast.elements, 0)
    assert course.mean_w(3 * HOUR_MS, 4 * HOUR_MS) == 0 < (course.mean_w(HOUR_MS, 3 * HOUR_MS) or 0)
    assert all(p.start_fixed_ms == FRAME.start_ms for p in made.offers[0].profiles)


def test_a_programme_that_runs_is_a_forecast_that_nobody_can_move() -> None:
    made = WASHER.offers(LAUNDRY, FRAME)
    assert kinds(made) == ["IO", "LD", "MD", "OTHER"]
    assert profile(made, ProfileKind.IO).start_fixed_ms == LAUNDRY.begin_ms
    assert profile(made, ProfileKind.OTHER).start_fixed_ms == UNSET
    assert all(p.interruptible and p.max_pause_s == 300 for p in made.offers[0].profiles)
    later = replace(FRAME, now_ms=LAUNDRY.begin_ms + 600_000)
    running = run(WASHER, LAUNDRY, LAUNDRY.begin_ms, later.now_ms)
    left = WASHER.offers(running, later)
    assert kinds(left) == ["IO"]
    assert left.offers[0].profiles[0].length_s == WASHER.length_s - (later.start_ms - LAUNDRY.begin_ms) // 1_000
    assert WASHER.offers(WasherState(), FRAME).offers == ()


def test_the_sun_is_left_out_early_or_late() -> None:
    solar = Solar(esa_id="sun-1", rated_w=5_000, value_micro_per_kwh=80_000, currency="EUR")
    state = SolarState(available=from_slots([-4_000] * 40, start_ms=NOON_MS, slot_ms=900_000))
    made = solar.offers(state, FRAME)
    early, late = (of_elements(profile(made, k).elements, 0) for k in (ProfileKind.LDP, ProfileKind.MDP))
    whole = of_elements(profile(made, ProfileKind.IO).elements, 0)
    assert early + late == whole
    assert (early.power_w(0), late.power_w(0)) == (-4_000, 0)
    costs = [profile(made, k).cost for k in (ProfileKind.LDP, ProfileKind.MDP)]
    lost = sum(c.financial_micro for c in costs if c is not None)
    assert lost == -whole.energy_j() * 80_000 // 3_600_000
    assert solar.offers(SolarState(available=from_slots([], start_ms=0, slot_ms=1)), FRAME).offers == ()


def test_a_battery_costs_its_wear() -> None:
    battery = Battery(
        esa_id="b-1", capacity_wh=10_000, charge_w=5_000, discharge_w=5_000, wear_micro_per_kwh=50_000, currency="EUR"
    )
    made = battery.offers(BatteryState(level_j=5_000 * 3_600), FRAME)
    out = profile(made, ProfileKind.LDP)
    energy_j = -of_elements(out.elements, 0).energy_j()
    assert 4_500 * 3_600 < energy_j <= 4_750 * 3_600
    assert out.cost is not None and out.cost.financial_micro == 50_000 * energy_j // 3_600_000


def test_offers_hold_as_long_as_all_goes_as_reckoned() -> None:
    for adapter, state in ((CAR, STAY), (HEAT, ROOM), (WASHER, LAUNDRY)):
        made = adapter.offers(state, FRAME)
        valid_until_ms = made.offers[0].valid_until_ms
        for now_ms in (NOON_MS, NOON_MS + 60_000, valid_until_ms):
            present = run(adapter, state, NOON_MS, now_ms)
            assert not stale(made, adapter, present, replace(FRAME, now_ms=now_ms, rev=5)), adapter
        frame = replace(FRAME, now_ms=valid_until_ms + 1, rev=5)
        assert stale(made, adapter, present, frame)


def test_offers_are_stale_when_something_else_happened() -> None:
    frame = replace(FRAME, now_ms=NOON_MS + 60_000, rev=5)
    made = CAR.offers(STAY, FRAME)
    present = run(CAR, STAY, NOON_MS, frame.now_ms)
    assert not stale(made, CAR, replace(present, level_j=present.level_j - 50 * 3_600), frame)
    for other in (
        replace(present, level_j=present.level_j - 2_000 * 3_600),
        replace(present, target_wh=45_000),
        replace(present, departure_ms=present.departure_ms - 2 * HOUR_MS),
        replace(present, departure_ms=frame.now_ms),
    ):
        assert stale(made, CAR, other, frame)
    warm = HEAT.offers(ROOM, FRAME)
    assert stale(warm, HEAT, replace(ROOM, temp_micro=20_000_000), frame)
    nothing = WASHER.offers(WasherState(), FRAME)
    assert not stale(nothing, WASHER, WasherState(), frame)
    assert stale(nothing, WASHER, LAUNDRY, frame)


def test_a_set_stands_for_at_least_as_long_as_was_asked() -> None:
    starts = set()
    for second in range(0, 900, 7):
        frame = replace(FRAME, now_ms=NOON_MS + 1_000 * second, valid_s=400, min_notice_s=90)
        (offer,) = WASHER.offers(LAUNDRY, frame).offers
        assert offer.valid_until_ms - frame.now_ms >= 400_000
        assert offer.start_earliest_ms - offer.valid_until_ms == 90_000
        starts.add(offer.start_earliest_ms)
    assert all(b - a == 900_000 for a, b in pairwise(sorted(starts)))
