"""The example files: their numbers bring about what their comments promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from scowl_edge.assembly import Assembly, load
from simulators.plant import Plant
from simulators.serving import settings_of

EXAMPLES = Path(__file__).parents[3] / "examples"


def plant_of(assembly: Assembly) -> Plant:
    return Plant(assembly.site, settings_of(assembly))


def powers(plant: Plant, *prefixes: str) -> float:
    names = [device.name for device in plant.site.devices]
    return sum(plant.read(name, "power") or 0.0 for name in names if name.startswith(prefixes))


@pytest.fixture(scope="module")
def demo() -> Assembly:
    return load(EXAMPLES / "demo.yaml")


def test_calm_leaves_more_than_battery_and_grid_connection_take(demo: Assembly) -> None:
    plant = plant_of(demo)
    plant.advance(30_000)
    surplus_w = -(plant.read("grid-meter", "power") or 0.0)
    export_w = 3 * 30 * 230
    assert surplus_w - 30_000 > export_w + 5000
    assert max(plant.truth("grid-meter")["currents_a"]) > 30  # type: ignore[call-overload]


def test_without_wind_every_source_is_needed_and_enough(demo: Assembly) -> None:
    plant = plant_of(demo)
    plant.set_weather(wind=0.1, sun=0.1)
    plant.advance(60_000)
    import_w = 3 * 45 * 230
    short_w = plant.read("grid-meter", "power") or 0.0
    assert short_w > import_w + 45_000 + 30_000, "import, gas and battery are not enough"
    assert short_w < import_w + 0.9 * (45_000 + 30_000 + 30_000), "with chp they are"


def test_at_high_load_sheds_help_and_are_not_enough(demo: Assembly) -> None:
    plant = plant_of(demo)
    plant.set_weather(wind=0.1, sun=0.1)
    plant.set_load(1.4)
    plant.advance(60_000)
    for consumer in demo.site.consumers:
        if consumer.do_shed >= 0 and consumer.rating >= 0:
            plant.write(consumer.device, "shed_expiry", 600)
            plant.write(consumer.device, "shed_request", consumer.demand_responsive_w)
    before_w = plant.read("grid-meter", "power") or 0.0
    plant.advance(61_000)
    after_w = plant.read("grid-meter", "power") or 0.0
    assert before_w - after_w > 15_000
    supply_w = 3 * 45 * 230 + 45_000 + 30_000 + 30_000
    assert after_w > supply_w + 3000
    # Cutting off every charger and home brings it below, with the margins that the region keeps.
    kept_w = 0.9 * (45_000 + 30_000 + 30_000) + 0.98 * 3 * 45 * 230
    assert after_w - powers(plant, "charger-", "home-1", "home-2", "home-3", "home-4", "home-5", "home-6") < kept_w


def test_no_consumer_that_can_be_cut_off_wants_more_than_one_step(demo: Assembly) -> None:
    plant = plant_of(demo)
    plant.set_load(1.4)
    for second in range(1, 120):
        plant.advance(second * 1000)
        for consumer in demo.site.consumers:
            if consumer.interruptible and (
                consumer.do_connect >= 0 or consumer.do_limit >= 0 or consumer.do_supply >= 0
            ):
                wanted_w = plant.truth(consumer.device)["wanted_w"]
                assert isinstance(wanted_w, float)
                assert wanted_w <= demo.site.policy.restore_step_w


def test_the_island_can_be_fed_from_either_generator(demo: Assembly) -> None:
    plant = plant_of(demo)
    homes = [consumer for consumer in demo.site.consumers if consumer.do_supply >= 0]
    sun = next(generator for generator in demo.site.generators if plant.truth(generator.device)["device"] == "solar-2")
    for home in homes:
        assert plant.write(home.device, "supply", sun.tree)
    plant.advance(30_000)
    assert len(homes) == 4
    assert plant.blackouts == 0
    assert powers(plant, "home-7", "home-8", "home-9", "home-10") > 11_000
    plant.set_weather(sun=0.1)
    plant.advance(60_000)
    assert plant.blackouts >= 1, "left alone, the island goes dark with the sun"


def test_the_building_overloads_its_connection_until_its_chargers_are_limited() -> None:
    assembly = load(EXAMPLES / "building.yaml")
    plant = plant_of(assembly)
    plant.advance(30_000)
    assert max(plant.truth("grid-meter")["currents_a"]) > 63  # type: ignore[call-overload]
    plant.advance(120_000)
    assert max(plant.truth("grid-meter")["currents_a"]) < 63, "the chargers' own fail-safe"  # type: ignore[call-overload]
    for number in range(1, 5):
        assert (plant.read(f"charger-{number}", "power") or 0.0) <= 4140
