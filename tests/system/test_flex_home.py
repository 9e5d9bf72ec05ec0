"""A home whose own devices take part in flexibility, on real sockets: a level is ordered, and its meter follows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from black_box import TOKEN, Http, Site, copy_of, edit, wait_for

RATE = 60
LEVEL_W, OTHER_W, NEAR_W = 3_000, 500, 1_200
WITHIN_S = 120
"""Of wall time, on a machine that is busy; a quarter of it elsewhere."""


@pytest.fixture
def home(tmp_path: Path) -> Any:
    """The example, with slots of a minute, so that nothing waits for the next quarter of an hour."""
    file = copy_of("flex-home", tmp_path)
    edit(file, {"export: 2 kW}, within: grid}": "export: 2 kW}, within: grid, slot: 1 min, horizon: 1 h}"})
    site = Site(file, RATE)
    yield site
    site.close()


def power_w(http: Http, device: str) -> float:
    value = http.get(f"/api/v1/devices/{device}/points/power")["value"]
    return float("nan") if value is None else float(value)


def test_a_level_is_ordered_and_the_meter_follows(home: Site) -> None:
    home.simulate()
    daemon = home.daemon()
    http = daemon.ready()
    wait_for(lambda: http.get("/api/v1/flex")["flex"]["appliances"] == 3, WITHIN_S, "all three take part")
    wait_for(lambda: power_w(http, "car") > 10_000, WITHIN_S, "the vehicle charges at once by itself")
    assert power_w(http, "meter") > LEVEL_W + NEAR_W
    status, _, answer = http.ask(
        "/api/v1/flex/aim",
        {"level_w": LEVEL_W, "mode": "RESPONSE", "who": "test", "why": "test"},
        {"Authorization": f"Bearer {TOKEN}"},
    )
    assert status // 100 == 2, answer
    wait_for(lambda: abs(power_w(http, "meter") - LEVEL_W - OTHER_W) < NEAR_W, WITHIN_S, "the meter is at the level")
    selections = http.get("/api/v1/flex/selections")["selections"]
    assert {s["esa_id"] for s in selections if s["state"] in ("ACTIVE", "SCHEDULED", "COMPLETED")} & {
        "home.battery", "home.car"
    }  # fmt: skip
    reasons = [str(d) for d in http.get("/api/v1/decisions")["decisions"]]
    assert any("selection" in reason and "wants" in reason for reason in reasons)
    daemon.close()
    assert home.replay().returncode == 0
