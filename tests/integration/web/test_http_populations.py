"""Populations over HTTP: the API, the live stream and the metrics, and that all of it stays short."""

from __future__ import annotations

import json

import pytest

from scowl_edge.model.view import FeederView
from scowl_edge.web.populations import MOST_BARS
from tests.integration.web.cabinet import Site, population, population_tree, region_view


@pytest.fixture(autouse=True)
def populated(site: Site) -> None:
    """A town beside the cabinet's devices."""
    site.state.view = region_view(populations=(population(),))


async def test_a_population_in_sums(site: Site) -> None:
    (town,) = (await site.json("/api/v1/populations"))["populations"]
    assert (town["name"], town["kind"], town["compiled"]) == ("town", "simulated", True)
    assert (town["consumers"], town["starved"]) == (1_240, 37)
    assert (town["wanted_w"], town["served_w"], town["unserved_w"]) == (2_000_000, 1_950_000, 50_000)
    assert town["shed_w"] == 12_000
    assert [row["load_class"] for row in town["classes"]] == [0, 2, 3], "nobody is in the others"
    assert town["classes"][2] == {
        "load_class": 3, "consumers": 1_140, "served": 1_103, "starved": 37, "unserved_w": 50_000,
    }  # fmt: skip
    assert town["margin"]["text"] == "test-margin 10 %"
    assert [(row["label"], row["text"]) for row in town["score"]] == [
        ("served over bound", "99.995 %"), ("unserved", "12.5 kWh"), ("worst starved", "61 s"), ("moves", "1,234"),
    ]  # fmt: skip
    assert town["refused"] == {"unknown-slot": 2, "clamped": 1_005}
    assert town["late_steps"] == {"late": 3, "very-late": 1}
    assert [row["name"] for row in town["fullest_feeders"]] == ["feeder-1", "connection"], "one without limit is none"
    assert town["load_permille"] == [500, 977, None, 1_001]
    assert town["trees_text"] == (
        "4 trees, 3 in service; the fullest, 3, carries 901 kW of 900 kW; above its safe load: 3; out of service: 2; "
        "not measured freshly: 3"
    )


async def test_one_population_with_its_trees_and_feeders(site: Site) -> None:
    answer = await site.json("/api/v1/populations/town")
    assert answer["population"] == (await site.json("/api/v1/populations"))["populations"][0]
    assert [tree["name"] for tree in answer["trees"]] == ["town/0", "town/1", "town/2", "town/3"]
    assert answer["trees"][1] == {
        "name": "town/1", "plant": "sun", "output_w": 1_000_000, "safe_w": 900_000, "load_w": 880_000, "members": 300,
        "alive": True, "fresh": True,
    }  # fmt: skip
    assert [feeder["limit_w"] for feeder in answer["feeders"]] == [3_000_000, 1_000_000, -1]
    assert answer["clamped"] == [{"place": "slot 7", "identity": "0" * 31 + "a", "times": 255, "most_w": 4_000}]
    refused = await site.json("/api/v1/populations/towm", 404)
    assert refused["detail"] == "There is no population 'towm'; did you mean 'town'?"


async def test_trees_of_devices_come_first_and_those_of_populations_after_them(site: Site) -> None:
    trees = (await site.json("/api/v1/trees"))["trees"]
    assert [tree["name"] for tree in trees] == ["wind-1", "town/0", "town/1", "town/2", "town/3"]
    assert [tree["population"] for tree in trees] == ["", *["town"] * 4]
    assert [tree["member_count"] for tree in trees] == [1, 300, 300, 0, 300]
    assert (trees[4]["bus"], trees[4]["over_assigned_w"], trees[4]["blackout"]) == ("town", 1_000, False)
    site.state.view = region_view(trees=(), populations=(population(),))
    assert len((await site.json("/api/v1/trees"))["trees"]) == 4


async def test_without_a_population_nothing_is_different(site: Site) -> None:
    site.state.view = region_view()
    assert (await site.json("/api/v1/populations"))["populations"] == []
    assert len((await site.json("/api/v1/trees"))["trees"]) == 1
    async with site.http.get(site.url + "/metrics") as answer:
        assert "population" not in await answer.text()


async def test_series_by_class_and_state_and_two_for_a_tree(site: Site) -> None:
    async with site.http.get(site.url + "/metrics") as answer:
        lines = set((await answer.text()).splitlines())
    assert {
        'scowl_population_info{population="town",kind="simulated",kernels="compiled"} 1',
        'scowl_population_consumers{population="town",class="3",state="served"} 1103',
        'scowl_population_consumers{population="town",class="3",state="starved"} 37',
        'scowl_population_consumers{population="town",class="0",state="starved"} 0',
        'scowl_population_unserved_watts{population="town",class="0"} 0',
        'scowl_population_unserved_watts{population="town",class="3"} 50000',
        'scowl_population_wanted_watts{population="town"} 2000000',
        'scowl_population_served_watts{population="town"} 1950000',
        'scowl_population_generation_watts{population="town"} 3000000',
        'scowl_population_shed_watts{population="town"} 12000',
        'scowl_population_safe_watts{population="town"} 2700000',
        'scowl_population_trees{population="town",state="in-service"} 3',
        'scowl_population_trees{population="town",state="out-of-service"} 1',
        'scowl_population_fullest_feeder_ratio{population="town"} 0.99',
        'scowl_population_score{population="town",what="served-over-bound-ppm"} 999950',
        'scowl_population_refused_total{population="town",reason="clamped"} 1005',
        'scowl_population_late_steps_total{population="town",level="very-late"} 1',
        'scowl_tree_load_watts{tree="wind-1"} 18000',
        'scowl_tree_load_watts{tree="town/1"} 880000',
        'scowl_tree_safe_watts{tree="town/2"} 0',
    } <= lines
    assert not any('class="1"' in line and "population" in line for line in lines), "nobody is in class 1"
    series = [line for line in lines if "town" in line]
    site.state.view = region_view(populations=(population(members=(9_000_000,) * 8),))
    async with site.http.get(site.url + "/metrics") as answer:
        more = [line for line in (await answer.text()).splitlines() if "town" in line]
    # Three series for each of the five classes that were empty before.
    assert len(more) == len(series) + 15, "consumers have no series"


async def test_rows_for_a_population_that_does_not_exist_are_a_series(site: Site) -> None:
    site.state.view = region_view(stray_rows=9)
    async with site.http.get(site.url + "/metrics") as answer:
        text = await answer.text()
    assert 'scowl_population_refused_total{population="",reason="no-such-population"} 9' in text.splitlines()
    assert text.count("# TYPE scowl_population_refused_total counter") == 1


async def message_bytes(site: Site, step: int) -> tuple[int, dict[str, object]]:
    """Length of the live stream's message about a step, and what it says; a viewer gets an earlier one first."""
    async with site.http.get(site.url + "/api/v1/live", read_bufsize=2**22, max_line_size=2**22) as answer:
        async for line in answer.content:
            if line.startswith(b"data: ") and (said := json.loads(line[6:]))["region"]["step"] == step:
                return len(line), said
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("trees", [342, 10_000])
async def test_a_state_costs_a_viewer_a_few_kilobytes_a_second(site: Site, trees: int) -> None:
    site.state.view = region_view(step=50)
    without, _ = await message_bytes(site, 50)
    large = population(
        members=(1_000_000,) * 8,
        starved=(1_000,) * 8,
        trees=tuple(population_tree(load_w=900_000 - n) for n in range(trees)),
        feeders=tuple(FeederView(name=f"feeder-{n}", load_w=n, limit_w=10_000) for n in range(5_000)),
        score=tuple((f"something-{n}-ppm", 999_999) for n in range(16)),
    )
    site.state.step(populations=(large,), step=51)
    with_it, said = await message_bytes(site, 51)
    assert with_it - without < 7_000
    (town,) = said["populations"]  # type: ignore[misc]
    assert len(town["load_permille"]) <= MOST_BARS
    assert len(town["load_permille"]) * town["trees_a_bar"] >= trees
    assert town["fullest_feeders"][0]["name"] == "feeder-4999"
    assert len(said["trees"]) == 1, "trees of populations are not sent"  # type: ignore[arg-type]
