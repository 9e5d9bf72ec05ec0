"""`scowl-edge demo --population N`: a town beside the devices, over HTTP and in the journal."""

from __future__ import annotations

import re
import signal
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from black_box import START_S, Http, Running, call, metrics_of, wait_for

HOMES = 2_000
MONITORING = Path(__file__).parents[2] / "docs" / "monitoring.md"


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a small box without the extra `scale`; what the demo keeps lies where the test can find it."""
    monkeypatch.setenv("SCOWL_KERNELS", "plain")
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_a_town_is_balanced_beside_the_devices(tmp_path: Path) -> None:
    demo = Running(["demo", "--http", "127.0.0.1:0", "--population", str(HOMES)], tmp_path / "demo.log")
    with ExitStack() as ending:
        ending.callback(demo.close)
        http = ending.enter_context(closing(Http(demo.line(r"(http://[\d.:]+)").group(1))))
        wait_for(lambda: http.ask("/readyz")[0] == 200, START_S, "the demo is ready")

        def fed() -> Any:
            seen = http.get("/api/v1/populations/town")
            return seen if seen["population"]["served_w"] > 0 else None

        answer = wait_for(fed, START_S, "the town is fed")
        town, trees = answer["population"], answer["trees"]
        assert (town["name"], town["kind"], town["compiled"]) == ("town", "simulated", False)
        assert town["consumers"] >= HOMES, "a large one has several feeds"
        assert town["served_w"] + town["unserved_w"] == town["wanted_w"]
        assert town["served_w"] >= 0.9 * min(town["wanted_w"], town["safe_w"])
        assert sum(tree["load_w"] for tree in trees) == town["served_w"]
        assert HOMES // 2 < sum(tree["members"] for tree in trees) <= town["consumers"] - town["starved"]
        assert all(tree["load_w"] <= tree["safe_w"] < tree["output_w"] for tree in trees if tree["alive"])
        assert all(feeder["load_w"] <= feeder["limit_w"] for feeder in answer["feeders"])
        assert answer["feeders"][0]["load_w"] == town["served_w"], "all of it flows through the connection"

        explained = re.findall(r"`(\w+)`", MONITORING.read_text().partition("| `what` | |")[2].partition("\n\n")[0])
        assert {row["what"] for row in town["score"]} == set(explained)

        def listed() -> set[str]:
            return {tree["name"] for tree in http.get("/api/v1/trees")["trees"]}

        both = {"wind-1", *(tree["name"] for tree in trees)}
        wait_for(lambda: both <= listed(), START_S, "trees of devices are there too: all of them were read")
        region = http.get("/api/v1/region")
        assert region["demand_w"] > town["wanted_w"] // 2, "the region's sums hold the town's"
        assert (region["conservation_error_w"], region["consumers"]["served"] > HOMES // 2) == (0, True)
        told = metrics_of(http)
        assert told['scowl_population_info{population="town",kind="simulated",kernels="plain"}'] == 1
        assert told['scowl_tree_safe_watts{tree="town/0"}'] > 0
        assert b'<section id="population-town"' in http.ask("/")[2]
        shown = call("status", http.url, "--once")
        assert shown.returncode == 0 and "Population town" in shown.stdout, shown.stderr

        (journal,) = tmp_path.glob("scowl-edge-demo-*/demo.db")
        again = call("replay", str(journal))
        assert again.returncode == 0 and "identical: " in again.stdout, again.stdout + again.stderr
        assert demo.end(signal.SIGINT, START_S) == 0, demo.errors()


def test_a_town_too_large_for_plain_kernels_is_refused_with_what_to_install() -> None:
    refused = call("demo", "--http", "127.0.0.1:0", "--population", str(HOMES + 1))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "2,001 consumers are too many for uncompiled kernels" in refused.stderr
    assert "pip install 'scowl-edge[scale]'" in refused.stderr and "Traceback" not in refused.stderr
