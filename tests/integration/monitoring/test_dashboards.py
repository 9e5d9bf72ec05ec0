"""Every question of both dashboards is answered by a real Prometheus that scrapes the demo."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scowl_edge.cli.demo import populated
from scowl_edge.issuing import Issuer
from tests.integration.monitoring.grafana_schema import VERSIONS, faults
from tests.integration.monitoring.real_prometheus import Prometheus
from tests.system.black_box import Site, wait_for

ROOT = Path(__file__).parents[3]
BOARDS = {name: json.loads((ROOT / "grafana" / f"{name}.json").read_text()) for name in ("region", "devices")}
PAST_S = 30


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All that ask something."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def filled(text: str, choice: dict[str, str]) -> str:
    """A query as Grafana would send it."""
    for name, value in {"__rate_interval": "5s", **choice}.items():
        text = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", value, text)
    assert "$" not in text, text
    return text


def choices(board: dict[str, Any], prometheus: Prometheus) -> dict[str, str]:
    """What is chosen at the top: the first of each list as Prometheus offers it, or the variable's word for all."""
    chosen: dict[str, str] = {}
    for variable in board["templating"]["list"]:
        if variable["type"] == "datasource":
            assert variable["query"] == "prometheus"
            continue
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
        assert asked, variable
        offered = prometheus.values(asked.group(2), filled(asked.group(1), chosen))
        assert offered, f"nothing to choose for {variable['name']}"
        chosen[variable["name"]] = variable.get("allValue") or offered[0]
    return chosen


def flexible(folder: Path) -> str:
    """A part in flexibility for the demo: manager and provider in one, with nobody else."""
    issuer = Issuer(folder / "ca.pem", folder / "ca.key")
    issuer.create("demo")
    issuer.issue("dsrsp:demo", ["127.0.0.1"], folder / "node.pem", folder / "node.key", node="dsrsp:demo")
    place = "{file: %s}"
    tls = ", ".join(
        f"{key}: {place % (folder / name)}"
        for key, name in (("certificate", "node.pem"), ("key", "node.key"), ("authority", "ca.pem"))
    )
    failsafe = "failsafe: {import: 1 kW, export: 0 W}"
    return f"""
flex:
  listen: 127.0.0.1:0
  tls: {{{tls}}}
  provider: {{node: "dsrsp:demo", {failsafe}}}
  manager: {{node: "cem:demo", provider: "dsrsp:demo", {failsafe}, appliances: 1}}
"""


def test_every_panel_answers(
    demo: Site, prometheus: Callable[[str], Prometheus], promtool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A town so small that compiling its kernels would take longer than all the rest.
    monkeypatch.setenv("SCOWL_KERNELS", "plain")
    demo.file.write_text(populated(demo.file.read_text(), 300) + flexible(demo.file.parent))
    simulation = demo.simulate()
    http = demo.daemon().ready()
    scraper = prometheus(http.url.removeprefix("http://"))
    # Something to see in every panel: an alarm, commands, and all rungs of a region that is short of supply.
    simulation.control.post("/faults", {"device": "home-1", "kind": "silence"})
    simulation.control.post("/weather", {"wind": 0.1, "sun": 0.1})
    asked = {
        (board, panel["title"], target["refId"], target["expr"], target.get("legendFormat", ""))
        for board, document in BOARDS.items()
        for panel in panels(document)
        for target in panel["targets"]
    }
    assert len(asked) >= 80
    wait_for(lambda: scraper.series('scowl_alarm_standing{source="home-1"}', PAST_S), 30, "an alarm is scraped")
    wait_for(lambda: scraper.series("sum(increase(scowl_commands_total[5s])) > 0", PAST_S), 30, "commands are scraped")
    for board, document in BOARDS.items():
        chosen = choices(document, scraper)
        for _, title, ref, expr, legend in sorted(a for a in asked if a[0] == board):
            where, query = f"{board}: {title} {ref}", filled(expr, chosen)
            found = wait_for(lambda query=query: scraper.series(query, PAST_S), 10, f"{where} has data: {query}")
            for label in re.findall(r"\{\{(\w+)\}\}", legend):
                assert all(label in series["metric"] for series in found), f"{where}: no label {label} in {query}"
    status, _, body = http.ask("/metrics")
    assert status == 200
    checked = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.parametrize("board", BOARDS)
def test_panels_are_whole(board: str) -> None:
    """Each has a title, a question, a unit, thresholds and a place of its own; each target its letter."""
    document = BOARDS[board]
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24 and not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
    for panel in panels(document):
        assert panel["title"] and len(panel["description"]) > 10, panel["title"]
        letters = [target["refId"] for target in panel["targets"]]
        assert all(letters) and len(set(letters)) == len(letters), panel["title"]
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] and defaults["thresholds"]["steps"][0]["value"] is None, panel["title"]
        if panel["type"] != "table":
            assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("board", BOARDS)
def test_as_grafana_declares_it(board: str, version: str) -> None:
    assert list(faults(BOARDS[board], version)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_declaration_finds_faults(version: str) -> None:
    """The check can fail: a misspelt option, a wrong type, an unknown key, and one that is missing."""
    board = copy.deepcopy(BOARDS["region"])
    lines = next(panel for panel in board["panels"] if panel["type"] == "timeseries")
    lines["fieldConfig"]["defaults"]["custom"]["lineWidht"] = 1
    lines["fieldConfig"]["defaults"]["unit"] = 5
    lines["options"]["legend"]["placement"] = "left"
    board["colour"] = "red"
    del board["schemaVersion"]
    text = "\n".join(faults(board, version))
    assert all(word in text for word in ("lineWidht", "5 ", "left", "colour", "schemaVersion")), text


def test_the_files_are_what_the_code_writes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "grafana", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
