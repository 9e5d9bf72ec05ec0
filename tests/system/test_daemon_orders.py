"""Orders over HTTP: who may give them, what they do, and that a killed daemon still knows them."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from black_box import START_S, Eyes, Simulation, order, wait_for
from conftest import Sites

from scowl_edge.journal.file import read_records
from scowl_edge.journal.records import INPUTS

RATE = 5
WHO, WHY = "a test", "to see what happens"


def journalled(journal: Path, words: str) -> bool:
    """Whether these words lie in the inputs of any step."""
    return any(words.encode() in record.payload for record in read_records(journal) if record.kind == INPUTS)


def writes_to(simulation: Simulation, device: str) -> list[dict[str, Any]]:
    return [write for write in simulation.writes() if write["device"] == device]


def test_orders_need_the_token(site: Sites) -> None:
    demo = site("demo", rate=RATE)
    demo.simulate()
    http = demo.daemon().ready()
    path = "/api/v1/devices/wind-1/mode"
    assert order(http, path, "manual", token="") == 401
    assert order(http, path, "manual", token="wrong") == 401
    status, kind, body = http.ask(path, {"mode": "manual", "who": WHO, "why": WHY})
    assert (status, kind) == (401, "application/problem+json")
    assert json.loads(body)["status"] == 401
    assert http.get("/api/v1/devices/wind-1")["mode"] == "auto"
    assert order(http, path, "off-line") == 422
    assert order(http, "/api/v1/devices/wind-9/mode", "manual") == 404


def test_without_a_token_in_the_configuration_nobody_orders(site: Sites) -> None:
    demo = site("demo", rate=RATE, token=False)
    demo.simulate()
    http = demo.daemon().ready()
    assert order(http, "/api/v1/region/mode", "hold") == 403
    assert http.get("/api/v1/region")["mode"] == "auto"


def test_device_modes_take_effect_and_outlive_a_kill(site: Sites, mbpoll: str) -> None:
    demo = site("demo", rate=RATE)
    eyes = Eyes(mbpoll, demo.file)
    simulation, daemon = demo.simulate(), demo.daemon()
    http = daemon.ready()
    wait_for(lambda: eyes.read("wind-1", "limit") < 0.999, START_S + 60 / RATE, "wind-1 is held back")
    modes = {"wind-1": "manual", "battery-1": "out-of-service"}
    for device, mode in modes.items():
        assert order(http, f"/api/v1/devices/{device}/mode", mode) == 202
        wait_for(lambda d=device, m=mode: http.get(f"/api/v1/devices/{d}")["mode"] == m, 10, mode)  # type: ignore[misc]
    # Acknowledged writes may still have been on their way when the order came.
    written = {device: len(writes_to(simulation, device)) for device in modes}
    limit = eyes.read("wind-1", "limit")

    daemon.end(signal.SIGKILL, 10)
    daemon.close()
    assert journalled(demo.journal, WHY)
    daemon = demo.daemon()
    http = daemon.ready()
    for device, mode in modes.items():
        seen = http.get(f"/api/v1/devices/{device}")
        assert (seen["mode"], seen["mode_who"], seen["mode_why"]) == (mode, WHO, WHY)
    # The wind goes: whatever is in AUTO follows, these two do not.
    simulation.control.post("/weather", {"wind": 0.1, "sun": 0.1})
    wait_for(lambda: eyes.read("gas-1", "setpoint") > 0, START_S + 90 / RATE, "gas-1 rises in their place")
    assert {device: len(writes_to(simulation, device)) for device in modes} == written
    assert eyes.read("wind-1", "limit") == limit
    assert http.get("/api/v1/devices/battery-1/points/power")["quality"] == "good", "polled all the same"

    assert order(http, "/api/v1/devices/wind-1/mode", "auto") == 202
    wait_for(lambda: eyes.read("wind-1", "limit") >= 0.999, START_S + 60 / RATE, "back in AUTO it is let go")
    daemon.end(signal.SIGTERM, 10)
    assert demo.replay().returncode == 0


def test_a_region_on_hold_keeps_its_targets_over_a_kill(site: Sites, mbpoll: str) -> None:
    demo = site("demo", rate=RATE)
    eyes = Eyes(mbpoll, demo.file)
    simulation, daemon = demo.simulate(), demo.daemon()
    http = daemon.ready()
    wait_for(lambda: eyes.read("wind-1", "limit") < 0.999, START_S + 60 / RATE, "wind-1 is held back")
    assert order(http, "/api/v1/region/mode", "hold") == 202
    wait_for(lambda: http.get("/api/v1/region")["mode"] == "hold", 10, "hold")
    daemon.end(signal.SIGKILL, 10)
    daemon.close()
    daemon = demo.daemon()
    http = daemon.ready()
    region = http.get("/api/v1/region")
    assert (region["mode"], region["mode_who"], region["mode_why"]) == ("hold", WHO, WHY)
    limit, step = eyes.read("wind-1", "limit"), region["step"]
    setpoint_w = eyes.read("battery-1", "setpoint")
    simulation.control.post("/weather", {"wind": 0.1, "sun": 0.1})
    wait_for(lambda: simulation.control.get("/truth")["weather"]["wind"] < 0.2, START_S + 60 / RATE, "the wind goes")
    wait_for(lambda: http.get("/api/v1/region")["step"] >= step + 10, 20, "ten more steps")
    assert eyes.read("wind-1", "limit") == limit
    assert eyes.read("battery-1", "setpoint") == setpoint_w
    assert eyes.read("gas-1", "setpoint") == 0

    assert order(http, "/api/v1/region/mode", "auto") == 202
    wait_for(lambda: eyes.read("gas-1", "setpoint") > 0, START_S + 60 / RATE, "in AUTO gas-1 rises")
    assert any(d["rung"] == "order" and WHY in d["reason"]["text"] for d in http.get("/api/v1/decisions")["decisions"])
