"""Orders over HTTP: who may give them, what they do, and that a killed daemon still knows them."""

from __future__ import annotations

import json
import signal
import ssl
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from black_box import START_S, TOKEN, Eyes, Http, Simulation, Sites, edit, order, settled, wait_for

from scowl_edge.journal.file import read_records
from scowl_edge.journal.records import INPUTS
from tests.integration.web.certificates import write_pair

RATE = 5
WHO, WHY = "a test", "to see what happens"


def journalled(journal: Path, words: str) -> bool:
    """Whether these words lie in the inputs of any step."""
    return any(words.encode() in record.payload for record in read_records(journal) if record.kind == INPUTS)


def writes_to(simulation: Simulation, device: str) -> list[dict[str, Any]]:
    return [write for write in simulation.writes() if write["device"] == device]


def post(http: Http, path: str, token: str = TOKEN, **asked: object) -> int:
    """Posts an order; the status."""
    return http.ask(path, {"who": WHO, "why": WHY, **asked}, {"Authorization": f"Bearer {token}"})[0]


def live_states(url: str, token: str = "", context: ssl.SSLContext | None = None) -> Iterator[dict[str, Any]]:
    """What `/api/v1/live` says, message by message."""
    asked = Request(f"{url}/api/v1/live", headers={"Authorization": f"Bearer {token}"} if token else {})
    with urlopen(asked, timeout=START_S, context=context) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


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
        wait_for(lambda d=device, m=mode: http.get(f"/api/v1/devices/{d}")["mode"] == m, START_S, mode)  # type: ignore[misc]
        wait_for(lambda d=device: settled(http, d), START_S, "nothing is on its way any more")  # type: ignore[misc]
    written = {device: len(writes_to(simulation, device)) for device in modes}
    limit = eyes.read("wind-1", "limit")

    daemon.end(signal.SIGKILL, START_S)
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
    power = "/api/v1/devices/battery-1/points/power"
    wait_for(lambda: http.get(power)["quality"] == "good", START_S, "polled all the same")

    assert order(http, "/api/v1/devices/wind-1/mode", "auto") == 202
    wait_for(lambda: eyes.read("wind-1", "limit") >= 0.999, START_S + 60 / RATE, "back in AUTO it is let go")
    daemon.end(signal.SIGTERM, START_S)
    assert demo.replay().returncode == 0


def test_a_region_on_hold_keeps_its_targets_over_a_kill(site: Sites, mbpoll: str) -> None:
    demo = site("demo", rate=RATE)
    eyes = Eyes(mbpoll, demo.file)
    simulation, daemon = demo.simulate(), demo.daemon()
    http = daemon.ready()
    wait_for(lambda: eyes.read("wind-1", "limit") < 0.999, START_S + 60 / RATE, "wind-1 is held back")
    assert order(http, "/api/v1/region/mode", "hold") == 202
    wait_for(lambda: http.get("/api/v1/region")["mode"] == "hold", START_S, "hold")
    for device in ("wind-1", "battery-1", "gas-1"):
        wait_for(lambda d=device: settled(http, d), START_S, "nothing is on its way any more")  # type: ignore[misc]
    daemon.end(signal.SIGKILL, START_S)
    daemon.close()
    daemon = demo.daemon()
    http = daemon.ready()
    region = http.get("/api/v1/region")
    assert (region["mode"], region["mode_who"], region["mode_why"]) == ("hold", WHO, WHY)
    limit, step = eyes.read("wind-1", "limit"), region["step"]
    setpoint_w = eyes.read("battery-1", "setpoint")
    simulation.control.post("/weather", {"wind": 0.1, "sun": 0.1})
    wait_for(lambda: simulation.control.get("/truth")["weather"]["wind"] < 0.2, START_S + 60 / RATE, "the wind goes")
    wait_for(lambda: http.get("/api/v1/region")["step"] >= step + 10, START_S, "ten more steps")
    assert eyes.read("wind-1", "limit") == limit
    assert eyes.read("battery-1", "setpoint") == setpoint_w
    assert eyes.read("gas-1", "setpoint") == 0

    assert order(http, "/api/v1/region/mode", "auto") == 202
    wait_for(lambda: eyes.read("gas-1", "setpoint") > 0, START_S + 60 / RATE, "in AUTO gas-1 rises")
    assert any(d["rung"] == "order" and WHY in d["reason"]["text"] for d in http.get("/api/v1/decisions")["decisions"])


def test_values_and_vetoes_reach_the_registers_and_are_seen_live(site: Sites, mbpoll: str) -> None:
    demo = site("demo", rate=RATE)
    eyes = Eyes(mbpoll, demo.file)
    demo.simulate()
    daemon = demo.daemon()
    http = daemon.ready()
    wind, battery = "/api/v1/devices/wind-1", "/api/v1/devices/battery-1"
    high_w = next(a["high"] for a in http.get(wind)["actuators"] if a["verb"] == "limit")
    assert post(http, f"{wind}/manual", verb="limit", value=high_w + 1) == 422
    assert post(http, f"{wind}/manual", verb="limit", value=50_000) == 202
    for state in live_states(http.url):
        device = next(d for d in state["devices"] if d["name"] == "wind-1")
        limit = next(a for a in device["actuators"] if a["verb"] == "limit")
        if limit["ordered"] is not None and limit["confirmed"] is not None:
            break
    assert device["mode"] == "manual"
    assert limit["ordered"] == {"value": 50_000, "rank": "operator", "who": WHO, "why": WHY, "until": None}
    assert any(e["kind"] == "order" and e["who"] == WHO and e["source"] == "wind-1" for e in state["events"])
    wait_for(lambda: abs(eyes.read("wind-1", "limit") - 0.25) < 0.001, START_S, "a quarter of what it is rated for")

    assert post(http, f"{battery}/veto", active=True) == 202
    wait_for(lambda: http.get(battery)["veto"]["active"], START_S, "the veto is seen")
    assert post(http, f"{wind}/veto", active=True) == 422
    assert post(http, "/api/v1/region/hold") == 202
    wait_for(lambda: http.get("/api/v1/region")["mode"] == "hold", START_S, "hold in one action")
    numbers = [event["seq"] for event in http.get("/api/v1/events")["events"]]
    assert numbers == sorted(numbers, reverse=True)

    daemon.end(signal.SIGKILL, START_S)
    daemon.close()
    daemon = demo.daemon()
    http = daemon.ready()
    limit = next(a for a in http.get(wind)["actuators"] if a["verb"] == "limit")
    assert limit["ordered"]["value"] == 50_000
    assert http.get(battery)["veto"] == {"active": True, "by": WHO, "why": WHY, "until": None}
    daemon.end(signal.SIGTERM, START_S)
    assert demo.replay().returncode == 0


def test_an_alarm_is_acknowledged_and_shelved(site: Sites) -> None:
    demo = site("demo", rate=RATE)
    simulation = demo.simulate()
    http = demo.daemon().ready()
    simulation.control.post("/faults", {"device": "wind-1", "kind": "silence"})

    def alarm() -> dict[str, Any] | None:
        return next((a for a in http.get("/api/v1/alarms")["alarms"] if a["source"] == "wind-1"), None)

    standing = wait_for(alarm, START_S, "wind-1 raises an alarm")
    path = "/api/v1/alarms/" + quote(standing["key"], safe="")
    assert post(http, f"{path}/acknowledge") == 202
    wait_for(lambda: (alarm() or {}).get("acknowledged"), START_S, "acknowledged")
    # By the daemon's own clock: at this rate it runs ahead of the wall's, by more the longer the machine is up.
    until = (datetime.fromisoformat(standing["since"]) + timedelta(days=1)).isoformat()
    assert post(http, f"{path}/shelve", until=until) == 202
    shelved = wait_for(lambda: (alarm() or {}).get("shelved"), START_S, "shelved")
    assert (shelved["by"], shelved["why"]) == (WHO, WHY)
    assert http.get("/api/v1/region")["alarms_shelved"] >= 1
    kinds = [event["kind"] for event in http.get("/api/v1/events")["events"]]
    assert {"alarm-raised", "alarm-acknowledged", "alarm-shelved"} <= set(kinds)
    assert post(http, f"{path}x/acknowledge") == 404


def test_over_tls_a_viewer_looks_and_an_operator_orders(site: Sites) -> None:
    demo = site("demo", rate=RATE)
    files = write_pair(demo.directory)
    viewer = demo.directory / "viewer"
    viewer.write_text("looking")
    token = f"token: {{file: {demo.directory / 'token'}}}"
    tls = f"tls: {{certificate: {{file: {files.certificate}}}, key: {{file: {files.key}}}}}"
    edit(demo.file, {token: f"{token}, viewer: {{file: {viewer}}}, {tls}"})
    demo.simulate()
    daemon = demo.daemon()
    url = daemon.line(r"(https://[\d.:]+)").group(1)
    context = ssl.create_default_context(cafile=files.certificate)

    def status(path: str, token: str = "", body: object = None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        data = None if body is None else json.dumps(body).encode()
        asked = Request(url + path, data, {**headers, "Content-Type": "application/json"})
        try:
            with urlopen(asked, timeout=START_S, context=context) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code

    wait_for(lambda: status("/readyz") == 200, START_S, "the probes need no token")
    for path in ("/api/v1/region", "/metrics", "/api/v1/live"):
        assert status(path) == 401
        assert status(path, "wrong") == 401
    assert status("/metrics", "looking") == 200
    assert next(live_states(url, "looking", context))["region"]["site"] == "demo"
    hold = {"who": WHO, "why": WHY}
    assert status("/api/v1/region/hold", "looking", hold) == 403
    assert status("/api/v1/region/hold", TOKEN, hold) == 202
    daemon.end(signal.SIGTERM, START_S)
    errors = daemon.errors()
    assert "order refused" in errors and "order taken" in errors
