"""A real Prometheus with the rules of deploy/prometheus, hurried: what takes minutes there takes seconds here."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.system.black_box import Http, free_ports, wait_for

DEPLOY = Path(__file__).parents[3] / "deploy" / "prometheus"
RULES, ALERTS = DEPLOY / "scowl-edge.rules.yml", DEPLOY / "scowl-edge.alerts.yml"
WINDOW = "5s"
"""What every range of a rule or alert becomes: five samples at one a second."""
PATIENCE = 60
"""How many times sooner an alert comes than in production: a minute is a second here, and nothing takes over two."""
_LONGEST_S = 2

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def hurried(text: str) -> str:
    """The same rules with `for` a sixtieth as long and ranges of a few seconds; all else is as it is."""
    document = yaml.safe_load(text)
    for group in document["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[\d+[smh]\]", f"[{WINDOW}]", rule["expr"])
            if "for" in rule:
                number, unit = int(rule["for"][:-1]), rule["for"][-1]
                rule["for"] = f"{min(max(1, number * _SECONDS[unit] // PATIENCE), _LONGEST_S)}s"
    return yaml.safe_dump(document)


class Prometheus:
    """One process that scrapes one daemon each second."""

    def __init__(self, program: str, target: str, directory: Path) -> None:
        """`target` is HOST:PORT of the daemon; `directory` takes configuration and data."""
        sample = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
        sample["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        (job,) = sample["scrape_configs"]
        job["static_configs"] = [{"targets": [target]}]
        job["scrape_timeout"] = "1s"
        directory.mkdir()
        for file in (RULES, ALERTS):
            (directory / file.name).write_text(hurried(file.read_text()))
        config = directory / "prometheus.yml"
        config.write_text(yaml.safe_dump(sample))
        (port,) = free_ports(1)
        self._log = (directory / "prometheus.log").open("w")
        self._process = subprocess.Popen(
            [
                program, f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
            ],
            stdout=self._log, stderr=self._log,
        )  # fmt: skip
        self._http = Http(f"http://127.0.0.1:{port}")
        self.instance = target
        wait_for(self._is_ready, 20, "Prometheus is ready")

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, Path(self._log.name).read_text()[-2000:]
        try:
            return self._http.ask("/-/ready")[0] == 200
        except OSError:
            return False

    def ask(self, path: str, **parameters: str | float) -> Any:
        """`data` of an answer of the API. Fails with the error that Prometheus tells."""
        status, _, body = self._http.ask(f"/api/v1/{path}?{urlencode(parameters)}" if parameters else f"/api/v1/{path}")
        answer = json.loads(body)
        assert status == 200 and answer["status"] == "success", (path, parameters, answer)
        return answer["data"]

    def series(self, expr: str, past_s: float) -> list[dict[str, Any]]:
        """What a panel would draw of the last seconds, by query_range with a step of a second."""
        now = time.time()
        return list(self.ask("query_range", query=expr, start=now - past_s, end=now, step=1)["result"])

    def values(self, label: str, selector: str) -> list[str]:
        """Values of a label in the series that a selector finds, as a dashboard's variable asks for them."""
        return list(self.ask(f"label/{label}/values", **{"match[]": selector}))

    def firing(self) -> dict[str, list[Mapping[str, str]]]:
        """Alerts that fire now: name -> labels of each."""
        found: dict[str, list[Mapping[str, str]]] = {}
        for alert in self.ask("alerts")["alerts"]:
            if alert["state"] == "firing":
                found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found

    def scraped(self) -> bool:
        """Whether the last scrape was good."""
        targets = self.ask("targets")["activeTargets"]
        return bool(targets) and all(target["health"] == "up" for target in targets)

    def close(self) -> None:
        """Ends it; its data stays in the directory."""
        self._http.close()
        self._process.terminate()
        self._process.wait(timeout=60)
        self._log.close()
