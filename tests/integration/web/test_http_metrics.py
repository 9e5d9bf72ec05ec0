"""`/metrics` as a scraper reads it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess

from prometheus_client.parser import text_string_to_metric_families

from scowl_edge.model.signal import Cause
from tests.integration.web.cabinet import AWKWARD, Site, region_view

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scrape(site: Site) -> tuple[str, Series]:
    async with site.http.get(site.url + "/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await answer.text()
    series: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in series, f"{key} twice"
            series[key] = sample.value
    return text, series


def at(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset((key.rstrip("_"), value) for key, value in labels.items())


async def test_contract_series(site: Site) -> None:
    site.metrics.observe_step(0.003)
    site.metrics.observe_journal(0.002)
    site.metrics.observe_lateness(0.001)
    _, series = await scrape(site)
    expected = {
        at("scowl_point_value", device="wind-1", point="power", unit="W"): -1_250_000.0,
        at("scowl_point_age_seconds", device="wind-1", point="power"): 0.0,
        at("scowl_device_up", device="wind-1"): 1.0,
        at("scowl_link_requests_total", link="plc", result="ok"): 7.0,
        at("scowl_step_seconds_count"): 1.0,
        at("scowl_journal_seconds_count"): 1.0,
        at("scowl_loop_lateness_seconds_count"): 1.0,
        at("scowl_tree_load_watts", tree="wind-1"): 18_000.0,
        at("scowl_tree_safe_watts", tree="wind-1"): 1_125_000.0,
        at("scowl_consumers", state="served"): 1.0,
        at("scowl_shed_watts"): 2_000.0,
        at("scowl_unserved_watts", class_="2"): 700.0,
        at("scowl_unserved_watts", class_="0"): 0.0,
        at("scowl_conservation_error_watts"): 0.0,
        at("scowl_commands_total", verb="shed", outcome="timed_out"): 1.0,
        at("scowl_alarms", priority="critical"): 0.0,
        at("scowl_alarms", priority="high"): 1.0,
        at("scowl_alarms", priority="medium"): 0.0,
        at("scowl_alarms", priority="low"): 1.0,
        at("scowl_readings_conflated_total"): 3.0,
        at("scowl_build_info", version="0.1.0"): 1.0,
        at("scowl_region_mode", mode="auto"): 1.0,
        at("scowl_region_mode", mode="hold"): 0.0,
        at("scowl_device_mode", device="hall-a", mode="manual"): 1.0,
        at("scowl_device_mode", device="hall-a", mode="auto"): 0.0,
        at("scowl_headroom_watts", rating="grid"): 60_000.0,
        at("scowl_rating_load_voltamperes", rating="grid", phase="b"): -2_000.0,
        at("scowl_generation_watts"): 1_250_000.0,
        at("scowl_demand_watts"): 20_000.0,
        at("scowl_health_ok", check="loop"): 1.0,
    }
    assert {key: series.get(key) for key in expected} == expected


async def test_what_is_not_known_is_absent(site: Site) -> None:
    _, series = await scrape(site)
    assert at("scowl_device_up", device="hall-a") not in series
    assert at("scowl_grid_net_watts") not in series
    site.state.view = region_view(grid_net_w=-5)
    _, series = await scrape(site)
    assert series[at("scowl_grid_net_watts")] == -5


async def test_before_the_first_step_there_is_no_region(site: Site) -> None:
    site.state.view = None
    _, series = await scrape(site)
    assert at("scowl_shed_watts") not in series
    assert at("scowl_point_value", device="wind-1", point="power", unit="W") in series


async def test_value_is_absent_while_bad_or_too_old_and_age_stays(site: Site) -> None:
    value = at("scowl_point_value", device="wind-1", point="power", unit="W")
    age = at("scowl_point_age_seconds", device="wind-1", point="power")
    site.state.now_ms += 63_000
    _, series = await scrape(site)
    assert (series.get(value), series[age]) == (-1_250_000.0, 63.0)
    site.state.now_ms += 1
    _, series = await scrape(site)
    assert (series.get(value), series[age]) == (None, 63.001)
    site.state.read(0, float("nan"), cause=Cause.TIMEOUT)
    _, series = await scrape(site)
    assert (series.get(value), series[age]) == (None, 63.001)
    site.state.read(0, -5.5)
    _, series = await scrape(site)
    assert (series.get(value), series[age]) == (-5.5, 0.0)


async def test_never_read_is_infinitely_old_and_write_only_has_no_series(site: Site) -> None:
    _, series = await scrape(site)
    assert series[at("scowl_point_age_seconds", device="hall-a", point="power")] == float("inf")
    assert at("scowl_point_age_seconds", device="wind-1", point="start") not in series


async def test_labels_survive_the_trip(site: Site) -> None:
    site.state.read(4, 2.5)
    text, series = await scrape(site)
    assert series[at("scowl_point_value", device="hall-a", point=AWKWARD, unit="W")] == 2.5
    assert r'point="a\"b\\c\nd"' in text


async def test_each_family_has_one_head(site: Site) -> None:
    text, _ = await scrape(site)
    heads = [line.split(" ", 3)[:3] for line in text.splitlines() if line.startswith("# ")]
    assert len(heads) == len({tuple(head) for head in heads})
    assert all(line.startswith(("scowl_", "process_", "python_gc_", "# ")) for line in text.splitlines())
    if promtool := shutil.which("promtool"):
        arguments = [promtool, "check", "metrics"]
        checked = await asyncio.to_thread(subprocess.run, arguments, input=text, text=True, capture_output=True)
        assert checked.returncode == 0, checked.stderr
