"""Whatever is offered can be run: for drawn appliances in drawn states, in the same physics and at other step sizes."""

from __future__ import annotations

from dataclasses import replace

from appliance_trials import NOON_MS, check_all, frames
from hypothesis import given, settings
from hypothesis import strategies as st

from scowl_edge.dsr.adapters import (
    Battery,
    BatteryState,
    Charger,
    ChargerState,
    Frame,
    Solar,
    SolarState,
    Thermal,
    ThermalState,
    Washer,
    WasherState,
    cold_store,
    heat_pump,
)
from scowl_edge.model.profile import HOUR_MS
from scowl_edge.model.profile_slots import from_slots

WANTED = st.lists(st.integers(0, 100), min_size=1, max_size=7)
SHIFT = st.integers(0, 100)
STEP = st.sampled_from((60_000, 37_000))


@st.composite
def chargers(draw: st.DrawFn) -> tuple[Charger, ChargerState]:
    capacity_wh = draw(st.integers(8_000, 90_000))
    charger = Charger(
        esa_id="charger-1",
        capacity_wh=capacity_wh,
        phases=draw(st.sampled_from((1, 3))),
        current_max_a=draw(st.sampled_from((6, 10, 16, 32))),
        efficiency_ppm=draw(st.integers(800_000, 1_000_000)),
        export_w=draw(st.sampled_from((0, 3_680, 11_000))),
        export_consent=draw(st.booleans()),
        floor_wh=capacity_wh // 10,
    )
    level_j = draw(st.integers(capacity_wh * 360, capacity_wh * 1_800))
    arrival_ms = NOON_MS + draw(st.integers(-2, 4)) * HOUR_MS
    departure_ms = max(NOON_MS, arrival_ms) + draw(st.integers(2 * 3_600, 20 * 3_600)) * 1_000
    # What can be had in the time: at full power from the latest first start on.
    hours = max(0, departure_ms - max(NOON_MS, arrival_ms) - 2 * HOUR_MS)
    within_wh = charger.p_max_w * hours // HOUR_MS * charger.efficiency_ppm // 1_000_000
    most_wh = min(capacity_wh, level_j // 3_600 + within_wh)
    target_wh = draw(st.one_of(st.integers(0, most_wh), st.integers(min(level_j // 3_600, most_wh), most_wh)))
    return charger, ChargerState(level_j=level_j, target_wh=target_wh, arrival_ms=arrival_ms, departure_ms=departure_ms)


@given(chargers(), frames(), WANTED, SHIFT, STEP)
@settings(max_examples=60, deadline=None)
def test_a_vehicle_has_what_it_needs_when_it_leaves(
    one: tuple[Charger, ChargerState], frame: Frame, wanted: list[int], shift: int, step_ms: int
) -> None:
    check_all(*one, frame, wanted, shift, step_ms)


@st.composite
def batteries(draw: st.DrawFn) -> tuple[Battery, BatteryState]:
    capacity_wh = draw(st.integers(1_000, 50_000))
    floor_wh = capacity_wh * draw(st.integers(0, 30)) // 100
    battery = Battery(
        esa_id="battery-1",
        capacity_wh=capacity_wh,
        charge_w=draw(st.integers(0, 12_000)),
        discharge_w=draw(st.integers(1, 12_000)),
        floor_wh=floor_wh,
        ceiling_wh=draw(st.sampled_from((None, capacity_wh * 9 // 10))),
        efficiency_ppm=draw(st.integers(800_000, 1_000_000)),
        wear_micro_per_kwh=40_000,
        currency="EUR",
    )
    return battery, BatteryState(level_j=draw(st.integers(0, capacity_wh * 3_600)))


@given(batteries(), frames(), WANTED, SHIFT, STEP)
@settings(max_examples=60, deadline=None)
def test_a_battery_stays_within_its_bounds(
    one: tuple[Battery, BatteryState], frame: Frame, wanted: list[int], shift: int, step_ms: int
) -> None:
    assert check_all(*one, frame, wanted, shift, step_ms) >= 3


@st.composite
def buildings(draw: st.DrawFn) -> tuple[Thermal, ThermalState]:
    loss_w_per_k = draw(st.integers(60, 300))
    low_milli = draw(st.integers(17_000, 20_000))
    width_milli = draw(st.integers(1_000, 4_000))
    preferred_milli = low_milli + width_milli // 2
    coldest_milli = draw(st.integers(-15_000, 10_000))
    # Strong enough for the coldest hour and some more.
    needed_w = loss_w_per_k * (preferred_milli + 1_000 - coldest_milli) // 3_000
    building = heat_pump(
        "heat-pump-1",
        rated_w=needed_w * draw(st.integers(120, 300)) // 100,
        cop_milli=3_000,
        capacity_j_per_k=loss_w_per_k * 3_600 * draw(st.integers(20, 120)),
        loss_w_per_k=loss_w_per_k,
        low_milli=low_milli,
        high_milli=low_milli + width_milli,
        preferred_milli=preferred_milli,
    )
    warmer = draw(st.lists(st.integers(0, 6_000), min_size=1, max_size=30))
    return building, ThermalState(
        temp_micro=1_000 * (low_milli + width_milli * draw(st.integers(20, 80)) // 100),
        ambient_milli=tuple(min(coldest_milli + x, low_milli - 3_000) for x in warmer),
        forecast_ms=NOON_MS,
    )


@given(buildings(), frames(), WANTED, STEP)
@settings(max_examples=12, deadline=None)
def test_a_room_stays_comfortable(
    one: tuple[Thermal, ThermalState], frame: Frame, wanted: list[int], step_ms: int
) -> None:
    assert check_all(*one, frame, wanted, 0, step_ms) >= 6


@st.composite
def stores(draw: st.DrawFn) -> tuple[Thermal, ThermalState]:
    loss_mw_per_k = draw(st.integers(1_000, 20_000))
    needed_w = loss_mw_per_k * 50 // 2_000
    store = cold_store(
        "cold-store-1",
        rated_w=needed_w * draw(st.integers(150, 400)) // 100,
        capacity_j_per_k=loss_mw_per_k * draw(st.integers(15, 80)) * 36 // 10,
        loss_mw_per_k=loss_mw_per_k,
    )
    ambient_milli = tuple(draw(st.lists(st.integers(10_000, 28_000), min_size=1, max_size=30)))
    return store, ThermalState(
        temp_micro=draw(st.integers(-21_000_000, -18_000_000)), ambient_milli=ambient_milli, forecast_ms=NOON_MS
    )


@given(stores(), frames(), WANTED, STEP)
@settings(max_examples=12, deadline=None)
def test_what_is_cold_stays_cold(
    one: tuple[Thermal, ThermalState], frame: Frame, wanted: list[int], step_ms: int
) -> None:
    assert check_all(*one, frame, wanted, 0, step_ms) >= 6


@st.composite
def washers(draw: st.DrawFn) -> tuple[Washer, WasherState]:
    programme = draw(st.lists(st.tuples(st.integers(60, 3_000), st.integers(5, 2_300)), min_size=1, max_size=6))
    washer = Washer(esa_id="washer-1", programme=tuple(programme), max_pause_s=draw(st.sampled_from((0, 600))))
    begin_ms = NOON_MS + draw(st.sampled_from((0, 1_200, 4_000, 9_000))) * 1_000
    end_ms = max(begin_ms, NOON_MS + HOUR_MS) + 1_000 * washer.length_s + draw(st.integers(0, 10 * 3_600)) * 1_000
    return washer, WasherState(loaded=True, begin_ms=begin_ms, end_latest_ms=end_ms)


@given(washers(), frames(), SHIFT)
@settings(max_examples=80, deadline=None)
def test_the_laundry_is_done_in_time(one: tuple[Washer, WasherState], frame: Frame, shift: int) -> None:
    # A programme that runs already is offered in whole seconds, so it is looked at on a whole second.
    check_all(*one, replace(frame, now_ms=frame.now_ms // 1_000 * 1_000), (0,), shift, 60_000)


@given(frames(), st.lists(st.integers(0, 12_000), min_size=1, max_size=96), WANTED, STEP)
@settings(max_examples=40, deadline=None)
def test_the_sun_gives_what_is_promised(frame: Frame, sun_w: list[int], wanted: list[int], step_ms: int) -> None:
    solar = Solar(esa_id="solar-1", rated_w=10_000, value_micro_per_kwh=80_000, currency="EUR")
    begin_ms = frame.floored(frame.now_ms)
    state = SolarState(available=from_slots([-w for w in sun_w], start_ms=begin_ms, slot_ms=frame.slot_ms))
    check_all(solar, state, frame, wanted, 0, step_ms)
