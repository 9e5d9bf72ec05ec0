"""Rules, alerts and runbooks by Prometheus's own checker, and that nothing in them points nowhere."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.integration.monitoring.real_prometheus import ALERTS, DEPLOY, RULES, hurried

ROOT = DEPLOY.parents[1]
RUNBOOKS = ROOT / "docs" / "runbooks"


def rules(file: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Name -> rule, of `alert` or `record`."""
    found = [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    return {rule[kind]: rule for rule in found}


def run(program: str, *arguments: object) -> str:
    """A command that must succeed; what it said."""
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_files_are_clean(promtool: str) -> None:
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES, ALERTS)
    run(promtool, "check", "config", "--lint=all", "--lint-fatal", DEPLOY / "prometheus.yml")


def test_hurried_rules_are_rules(promtool: str, tmp_path: Path) -> None:
    file = tmp_path / "hurried.yml"
    file.write_text(hurried(ALERTS.read_text()))
    run(promtool, "check", "rules", file)
    assert {rule.get("for", "0s") for rule in rules(file, "alert").values()} == {"0s", "1s", "2s"}


def test_each_rule_does_what_it_says(promtool: str) -> None:
    tests = sorted((DEPLOY / "tests").glob("*.yml"))
    run(promtool, "test", "rules", *tests)
    text = "".join(file.read_text() for file in tests)
    for alert in rules(ALERTS, "alert"):
        assert re.search(rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels", text), f"{alert} fires in no test"
        assert re.search(rf"alertname: {alert}, exp_alerts: \[\]", text), f"{alert} clears in no test"


def test_each_alert_says_what_a_person_needs() -> None:
    for name, rule in rules(ALERTS, "alert").items():
        assert rule["labels"]["severity"] in ("critical", "warning", "info"), name
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, name
        runbook = (ROOT / rule["annotations"]["runbook_url"]).read_text()
        assert runbook.startswith(f"# {name}\n\n*{rule['labels']['severity']}*, "), name
        after = f"after {rule['for']}" if "for" in rule else "at once"
        assert after in runbook.splitlines()[2], name
        for heading in ("What it means", "Likely causes", "Look at", "Do", "Call for help"):
            assert f"\n## {heading}\n\n" in runbook, (name, heading)
    pages = {file.stem for file in RUNBOOKS.glob("Scowl*.md")}
    assert pages == set(rules(ALERTS, "alert"))
    assert set(re.findall(r"\[\w+\]\((\w+)\.md\)", (RUNBOOKS / "README.md").read_text())) == pages


def test_runbooks_name_panels_and_alerts_that_exist() -> None:
    boards = [json.loads((ROOT / "grafana" / name).read_text()) for name in ("region.json", "devices.json")]
    titles = {panel["title"] for board in boards for panel in board["panels"]}
    alerts = set(rules(ALERTS, "alert"))
    for page in RUNBOOKS.glob("Scowl*.md"):
        text = page.read_text()
        assert set(re.findall(r"\bScowl\w+", text)) <= alerts, page.name
        items = re.split(r"\n- |\n\n", text.partition("## Look at")[2].partition("## Do")[0])
        for title in (title for item in items if "panel" in item for title in re.findall(r"\*([^*]+)\*", item)):
            assert " ".join(title.split()) in titles, f"{page.name}: there is no panel {title!r}"
