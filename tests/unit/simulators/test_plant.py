"""Physics of the simulated region: what machines obey, what meters add up, what really goes dark."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plant_sites import SiteBuilder

from scowl_edge.model.site import Bus, BusKind, Dispatch
from simulators.plant import Plant, SimulationError
from simulators.settings import DeviceSettings, SimulationSettings

STILL = {"noise": 0.0}


def quiet(**models: str) -> SimulationSettings:
    """Full wind and sun, no noise, fronts that arrive at once."""
    devices = {name.replace("_", "-"): DeviceSettings(model=model, numbers=STILL) for name, model in models.items()}
    return SimulationSettings(wind=1.0, sun=1.0, front_ms=1, devices=devices)


def power_of(plant: Plant, device: str) -> float:
    value = plant.read(device, "power")
    assert value is not None
    return value


def region() -> SiteBuilder:
    site = SiteBuilder()
    grid = site.rating("grid")
    feeder = site.rating("feeder", within=grid)
    site.generator("wind-1", Dispatch.STOCHASTIC, 20_000, rating=grid)
    site.generator("chp-1", Dispatch.FIXED, 10_000, start_ms=8000, rating=feeder)
    site.generator("gas-1", Dispatch.CONTINUOUS, 15_000, minimum_w=3000, ramp_w_s=1000, rating=feeder)
    site.storage("battery-1", capacity_wh=10_000, power_w=5000, ramp_w_s=2500, dead_time_ms=2000, rating=feeder)
    for number in range(3):
        name = f"home-{number}"
        site.consumer(name, 6000, deferrable_w=2000, demand_responsive_w=1500, rating=feeder, phases=1 << number)
    return site


def test_a_generator_produces_a_negative_power_and_its_limit_is_a_magnitude() -> None:
    plant = Plant(region().build(), quiet(wind_1="wind"))
    assert power_of(plant, "wind-1") == -20_000
    assert plant.read("wind-1", "available") == 20_000
    assert plant.write("wind-1", "limit", 5000)
    plant.advance(500)
    assert power_of(plant, "wind-1") == -5000
    assert plant.read("wind-1", "available") == 20_000


def test_wind_follows_the_front_and_never_exceeds_what_the_weather_gives() -> None:
    settings = SimulationSettings(
        wind=1.0, front_ms=10_000, devices={"wind-1": DeviceSettings(model="wind", numbers=STILL)}
    )
    plant = Plant(region().build(), settings)
    plant.set_weather(wind=0.2)
    plant.advance(5000)
    assert power_of(plant, "wind-1") == pytest.approx(-12_000)
    plant.advance(11_000)
    assert power_of(plant, "wind-1") == pytest.approx(-4000)


def test_a_block_starts_after_its_start_time_and_goes_off_at_once_without_a_ramp() -> None:
    plant = Plant(region().build(), quiet())
    assert plant.write("chp-1", "connect", 1)
    plant.advance(7900)
    assert power_of(plant, "chp-1") == 0
    plant.advance(8500)
    assert power_of(plant, "chp-1") == -10_000
    assert plant.write("chp-1", "connect", 0)
    plant.advance(9000)
    assert power_of(plant, "chp-1") == 0


def test_a_block_obeys_an_order_that_comes_too_soon_and_counts_it() -> None:
    site = SiteBuilder()
    site.generator("chp-1", Dispatch.FIXED, 10_000, start_ms=1000, min_up_ms=60_000, min_down_ms=30_000)
    plant = Plant(site.build(), quiet())
    plant.write("chp-1", "connect", 1)
    plant.advance(10_000)
    assert plant.truth("chp-1")["violations"] == 0
    plant.write("chp-1", "connect", 0)
    plant.advance(20_000)
    assert power_of(plant, "chp-1") == 0
    assert plant.truth("chp-1")["violations"] == 1
    plant.write("chp-1", "connect", 1)
    plant.advance(25_000)
    assert plant.truth("chp-1")["violations"] == 2


def test_gas_jumps_to_its_minimum_then_ramps_and_never_runs_below() -> None:
    plant = Plant(region().build(), quiet())
    plant.write("gas-1", "setpoint", 9000)
    seen = []
    for second in range(1, 10):
        plant.advance(second * 1000)
        seen.append(-power_of(plant, "gas-1"))
    assert seen == pytest.approx([4000, 5000, 6000, 7000, 8000, 9000, 9000, 9000, 9000])
    plant.write("gas-1", "setpoint", 1000)
    plant.advance(60_000)
    assert power_of(plant, "gas-1") == -3000
    plant.write("gas-1", "setpoint", 0)
    plant.advance(61_000)
    assert power_of(plant, "gas-1") == 0
    assert not plant.write("gas-1", "setpoint", 16_000)
    assert not plant.write("gas-1", "setpoint", -1)


def test_the_course_hardly_depends_on_how_time_is_cut() -> None:
    coarse = Plant(region().build(), quiet(wind_1="wind"))
    fine = deepcopy(coarse)
    for plant in (coarse, fine):
        plant.write("gas-1", "setpoint", 9000)
        plant.write("battery-1", "setpoint", 4000)
    coarse.advance(10_000)
    for now_ms in range(0, 10_001, 40):
        fine.advance(now_ms)
    assert power_of(fine, "gas-1") == pytest.approx(power_of(coarse, "gas-1"), abs=1)
    fine_soc, coarse_soc = fine.read("battery-1", "soc"), coarse.read("battery-1", "soc")
    assert fine_soc is not None
    assert coarse_soc is not None
    assert fine_soc == pytest.approx(coarse_soc, abs=1e-4)


def test_a_battery_pays_for_the_way_in_and_the_way_out() -> None:
    plant = Plant(region().build(), quiet())
    plant.write("battery-1", "setpoint", 5000)
    plant.advance(1_800_000)
    charged = plant.truth("battery-1")
    drawn_wh = 5000 * 0.5 - 5000 * 2 / 3600 / 2
    stored_wh = charged["energy_wh"] - 5000 + 20 * 0.5  # type: ignore[operator]
    assert stored_wh == pytest.approx(0.95 * drawn_wh, rel=0.002)
    plant.write("battery-1", "mode", 3)
    plant.write("battery-1", "setpoint", -5000)
    begun_wh = float(str(charged["energy_wh"]))
    plant.advance(1_800_000 + 600_000)
    taken_wh = begun_wh - float(str(plant.truth("battery-1")["energy_wh"])) - 20 / 6
    assert taken_wh == pytest.approx(5000 / 6 / 0.95, rel=0.01)


def test_a_battery_stops_at_floor_and_ceiling_and_rescues_itself_below_protection() -> None:
    low = quiet()
    low = SimulationSettings(front_ms=1, devices={"battery-1": DeviceSettings(model="battery", numbers={"soc": 0.12})})
    plant = Plant(region().build(), low)
    plant.write("battery-1", "setpoint", -5000)
    plant.advance(600_000)
    assert power_of(plant, "battery-1") == 0
    assert plant.read("battery-1", "soc") == pytest.approx(0.1, abs=0.002)
    flat = SimulationSettings(devices={"battery-1": DeviceSettings(model="battery", numbers={"soc": 0.04})})
    plant = Plant(region().build(), flat)
    plant.write("battery-1", "setpoint", -5000)
    plant.advance(60_000)
    assert power_of(plant, "battery-1") == 100
    full = SimulationSettings(devices={"battery-1": DeviceSettings(model="battery", numbers={"soc": 0.949})})
    plant = Plant(region().build(), full)
    plant.write("battery-1", "setpoint", 5000)
    plant.advance(600_000)
    soc = plant.read("battery-1", "soc")
    assert soc is not None
    assert soc <= 0.951
    # Standby losses make room for a moment's charge now and then; on the whole it rests.
    assert power_of(plant, "battery-1") <= 5000


def test_a_battery_rests_on_reversal_and_ramps() -> None:
    plant = Plant(region().build(), quiet())
    plant.write("battery-1", "setpoint", 5000)
    plant.advance(500)
    assert power_of(plant, "battery-1") == 1250
    plant.advance(5000)
    assert power_of(plant, "battery-1") == 5000
    plant.write("battery-1", "mode", 3)
    plant.write("battery-1", "setpoint", -5000)
    signs = []
    for now_ms in range(5500, 11_001, 500):
        plant.advance(now_ms)
        signs.append((power_of(plant, "battery-1") > 0) - (power_of(plant, "battery-1") < 0))
    assert signs == [1, 1, 1, 0, 0, 0, 0, -1, -1, -1, -1, -1]


def test_modes_of_a_battery() -> None:
    plant = Plant(region().build(), quiet())
    assert plant.read("battery-1", "mode") == 1
    plant.write("battery-1", "setpoint", 3000)
    assert plant.read("battery-1", "mode") == 2
    plant.advance(5000)
    assert plant.write("battery-1", "mode", 0)
    plant.advance(10_000)
    assert power_of(plant, "battery-1") == 0
    assert not plant.write("battery-1", "mode", 9)
    site = SiteBuilder()
    site.storage("battery-2", capacity_wh=10_000, power_w=5000, mode_commanded=False)
    follows = Plant(site.build(), quiet())
    follows.write("battery-2", "setpoint", 3000)
    follows.advance(1000)
    assert follows.read("battery-2", "mode") == 2
    assert not follows.write("battery-2", "mode", 3)
    follows.write("battery-2", "setpoint", -3000)
    follows.advance(2000)
    assert follows.read("battery-2", "mode") == 3


def household(**numbers: float) -> Plant:
    site = SiteBuilder()
    site.consumer("home-1", 6000, deferrable_w=3000, demand_responsive_w=2000, deferral_ms=60_000, rebound_ppm=500_000)
    own = DeviceSettings(model="home", numbers={"noise": 0.0, "base": 1500.0, "deferrable": 2500.0, **numbers})
    return Plant(site.build(), SimulationSettings(devices={"home-1": own}))


@pytest.mark.parametrize(("asked", "load", "granted"), [(1200, 1.0, 1200), (9000, 1.0, 2000), (2000, 0.4, 1000)])
def test_a_home_grants_at_most_what_it_promised_and_what_it_has(asked: float, load: float, granted: float) -> None:
    plant = household()
    plant.set_load(load)
    plant.advance(1000)
    before_w = power_of(plant, "home-1")
    plant.write("home-1", "shed_expiry", 30)
    assert plant.write("home-1", "shed_request", asked)
    assert plant.read("home-1", "shed_granted") == pytest.approx(granted)
    plant.advance(2000)
    assert power_of(plant, "home-1") == pytest.approx(before_w - granted)
    assert plant.read("home-1", "deferrable") == pytest.approx(2500 * load)


def test_the_device_itself_counts_down_and_restores_itself() -> None:
    plant = household()
    plant.advance(1000)
    plant.write("home-1", "shed_expiry", 30)
    plant.write("home-1", "shed_request", 1000)
    plant.advance(21_000)
    assert plant.read("home-1", "shed_expiry") == pytest.approx(10)
    assert power_of(plant, "home-1") == 3000
    plant.advance(30_500)
    assert power_of(plant, "home-1") == 3000
    plant.advance(31_000)
    assert plant.read("home-1", "shed_granted") == 0
    assert plant.read("home-1", "shed_request") == 0
    assert power_of(plant, "home-1") == 4500, "500 W of rebound"
    plant.advance(70_000)
    assert power_of(plant, "home-1") == 4000
    truth = plant.truth("home-1")
    assert (truth["sheds"], truth["sheds_expired"], truth["overlong_sheds"]) == (1, 1, 0)


def test_a_shed_without_a_duration_lasts_as_long_as_the_device_can_defer() -> None:
    plant = household()
    plant.advance(1000)
    plant.write("home-1", "shed_request", 1000)
    plant.advance(60_000)
    assert plant.read("home-1", "shed_granted") == 1000
    plant.advance(61_500)
    assert plant.read("home-1", "shed_granted") == 0


def test_asking_again_does_not_shed_twice_and_a_later_expiry_prolongs() -> None:
    plant = household()
    plant.advance(1000)
    for _ in range(2):
        plant.write("home-1", "shed_expiry", 40)
        plant.write("home-1", "shed_request", 1000)
        plant.advance(plant.now_ms + 20_000)
        assert power_of(plant, "home-1") == 3000
    plant.advance(60_500)
    assert power_of(plant, "home-1") == 3000
    assert plant.truth("home-1")["sheds"] == 1
    plant.write("home-1", "shed_request", 0)
    plant.advance(61_000)
    assert plant.read("home-1", "shed_expiry") == 0
    assert plant.read("home-1", "shed_granted") == 0


def test_a_grant_may_take_its_time() -> None:
    plant = household(answer=1500.0)
    plant.advance(1000)
    plant.write("home-1", "shed_request", 1000)
    assert plant.read("home-1", "shed_request") == 1000
    assert plant.read("home-1", "shed_granted") == 0
    plant.advance(2500)
    assert plant.read("home-1", "shed_granted") == 1000


def test_disconnected_draws_nothing_and_a_limit_holds() -> None:
    plant = household()
    plant.write("home-1", "limit", 2500)
    plant.advance(1000)
    assert power_of(plant, "home-1") == 2500
    plant.write("home-1", "connect", 0)
    plant.advance(1500)
    assert power_of(plant, "home-1") == 0
    assert plant.truth("home-1")["wanted_w"] == 4000
    assert not plant.write("home-1", "connect", 2)


def charger(**numbers: float) -> Plant:
    site = SiteBuilder()
    site.consumer("charger-1", 11_000, ramp_w_s=2000, failsafe_w=4140, timeout_ms=60_000)
    return Plant(
        site.build(), SimulationSettings(devices={"charger-1": DeviceSettings(model="charger", numbers=numbers)})
    )


def test_a_charger_ramps_and_stops_when_the_car_is_full() -> None:
    plant = charger(session=100.0)
    plant.advance(2000)
    assert power_of(plant, "charger-1") == 4000
    for now_ms in range(2000, 120_000, 5000):
        plant.write("charger-1", "limit", 11_000)
        plant.advance(now_ms)
    assert power_of(plant, "charger-1") == 0
    assert plant.truth("charger-1")["delivered_wh"] == pytest.approx(100, abs=2)


def test_a_charger_falls_back_when_nobody_writes_and_obeys_again() -> None:
    plant = charger()
    plant.advance(59_500)
    assert power_of(plant, "charger-1") == 11_000
    plant.advance(70_000)
    assert power_of(plant, "charger-1") == 4140
    assert plant.read("charger-1", "limit") == 4140
    assert plant.truth("charger-1")["failsafe_trips"] == 1
    plant.write("charger-1", "limit", 8000)
    plant.advance(80_000)
    assert power_of(plant, "charger-1") == 8000


def test_a_charger_pauses_below_its_least_current() -> None:
    plant = charger(minimum=4140.0)
    plant.advance(10_000)
    plant.write("charger-1", "limit", 4000)
    plant.advance(20_000)
    assert power_of(plant, "charger-1") == 0


def test_meters_show_phases_power_factor_and_energy() -> None:
    site = SiteBuilder()
    grid = site.rating("grid")
    site.consumer("home-a", 6000, rating=grid, phases=0b001)
    site.consumer("home-abc", 6900, rating=grid, phases=0b111)
    settings = SimulationSettings(
        unmetered={"grid": 690.0},
        devices={
            "home-a": DeviceSettings(model="home", numbers={"noise": 0.0, "base": 2300.0, "power_factor": 0.8}),
            "home-abc": DeviceSettings(model="home", numbers={"noise": 0.0, "base": 6900.0}),
        },
    )
    plant = Plant(site.build(), settings)
    plant.advance(3_600_000)
    assert plant.read("grid-meter", "power") == pytest.approx(2300 + 6900 + 690)
    on_a = (2300 + 2300 + 230) ** 2 + (2300 * 0.75) ** 2
    assert plant.read("grid-meter", "current_a") == pytest.approx(on_a**0.5 / 230)
    assert plant.read("grid-meter", "current_b") == pytest.approx(11)
    assert plant.read("grid-meter", "voltage") == 230
    assert plant.read("grid-meter", "energy_import") == pytest.approx(9890)
    assert plant.read("grid-meter", "energy_export") == 0
    assert not plant.write("grid-meter", "power", 1)


ORDERS = st.tuples(
    st.sampled_from(["wind-1", "chp-1", "gas-1", "battery-1", "home-0", "home-1", "home-2"]),
    st.sampled_from(["limit", "connect", "setpoint", "mode", "shed_request", "shed_expiry", "supply"]),
    st.sampled_from([0.0, 1.0, 2.0, 3.0, 900.0, 4000.0, -4000.0, 12_000.0]),
    st.integers(1, 20_000),
)


@given(st.lists(ORDERS, max_size=12), st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 1.5))
@settings(max_examples=60, deadline=None)
def test_meters_add_up_and_the_course_repeats(
    orders: list[tuple[str, str, float, int]], seed: int, wind: float, load: float
) -> None:
    first = Plant(region().build(), SimulationSettings(seed=seed))
    second = deepcopy(first)
    for plant in (first, second):
        plant.set_weather(wind=wind)
        plant.set_load(load)
        for device, signal, value, dt_ms in orders:
            plant.write(device, signal, value)
            plant.advance(plant.now_ms + dt_ms)
            assert plant.conservation_error_w < 1e-6
        soc = plant.read("battery-1", "soc")
        assert soc is not None
        assert 0 <= soc <= 1
    assert json.dumps(first.whole_truth()) == json.dumps(second.whole_truth())
    assert first.accepted == second.accepted


def test_another_seed_is_another_day() -> None:
    courses = set()
    for seed in (1, 1, 2):
        plant = Plant(region().build(), SimulationSettings(seed=seed))
        plant.advance(30_000)
        courses.add(json.dumps(plant.whole_truth()))
    assert len(courses) == 2


def test_an_unknown_device_is_named() -> None:
    plant = Plant(region().build())
    with pytest.raises(SimulationError, match="no device wind-9"):
        plant.read("wind-9", "power")
    with pytest.raises(SimulationError, match="is no consumer"):
        plant.set_load_of("wind-1", 1.0)
    assert plant.read("wind-1", "soc") is None


def island() -> Plant:
    site = SiteBuilder(Bus(name="main", kind=BusKind.SYNCHRONOUS), Bus(name="island", kind=BusKind.SEPARATE))
    site.generator("wind-1", Dispatch.STOCHASTIC, 10_000, bus=1)
    site.generator("wind-2", Dispatch.STOCHASTIC, 10_000, bus=1)
    for number in range(3):
        site.consumer(f"home-{number}", 5000, bus=1)
    homes = {
        f"home-{number}": DeviceSettings(model="home", numbers={"noise": 0.0, "base": 4000.0}, initial={"supply": 1.0})
        for number in range(2)
    }
    homes["home-2"] = DeviceSettings(model="home", numbers={"noise": 0.0, "base": 4000.0})
    winds = {f"wind-{number}": DeviceSettings(model="wind", numbers=STILL) for number in (1, 2)}
    return Plant(
        site.build(ride_through_ms=2000), SimulationSettings(wind=1.0, sun=1.0, front_ms=1, devices={**homes, **winds})
    )


def test_nobody_draws_without_a_tree() -> None:
    plant = island()
    plant.advance(1000)
    assert [power_of(plant, f"home-{number}") for number in range(3)] == [4000, 4000, 0]
    plant.write("home-2", "supply", 7)
    plant.advance(2000)
    assert power_of(plant, "home-2") == 0
    plant.write("home-2", "supply", 2)
    plant.advance(2500)
    assert power_of(plant, "home-2") == 4000


def test_overload_within_the_ride_through_is_survived() -> None:
    plant = island()
    plant.write("home-2", "supply", 1)
    plant.advance(2000)
    assert power_of(plant, "home-2") == 4000
    plant.write("home-2", "supply", 2)
    plant.advance(20_000)
    assert plant.blackouts == 0


def test_overload_beyond_it_darkens_the_whole_tree_until_it_is_relieved() -> None:
    plant = island()
    plant.write("home-2", "supply", 1)
    plant.advance(3000)
    assert [power_of(plant, f"home-{number}") for number in range(3)] == [0, 0, 0]
    assert plant.blackouts == 1
    tree = plant.truth("wind-1")["tree"]
    assert isinstance(tree, dict)
    assert tree["dark"] is True
    plant.write("home-2", "supply", 2)
    plant.advance(3500)
    assert power_of(plant, "home-2") == 4000, "fed by the other tree at once"
    plant.advance(12_500)
    assert power_of(plant, "home-0") == 0
    plant.advance(14_000)
    assert power_of(plant, "home-0") == 4000, "ten seconds after the load fitted"
    assert plant.blackouts == 1


def test_rehoming_consumers_changes_no_feeder() -> None:
    site = SiteBuilder(Bus(name="main", kind=BusKind.SYNCHRONOUS))
    grid = site.rating("grid")
    for number in range(4):
        site.consumer(f"home-{number}", 5000, rating=grid)
    plant = Plant(
        site.build(),
        SimulationSettings(
            devices={f"home-{number}": DeviceSettings(model="home", numbers=STILL) for number in range(4)}
        ),
    )
    plant.advance(1000)
    before_w = plant.read("grid-meter", "power")
    for number in range(4):
        plant.write(f"home-{number}", "supply", number)
    plant.advance(2000)
    assert plant.read("grid-meter", "power") == before_w
