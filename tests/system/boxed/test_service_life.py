"""The service from start to stop, as systemd and its operator meet it."""

from __future__ import annotations

import time

from box import PROGRAM, SITE, Box

SILENT = "import socket, time; s = socket.create_server(('127.0.0.1', 502)); time.sleep(3600)"
"""A device that takes connections and says nothing."""


def test_it_is_active_when_it_is_ready_and_tells_how_it_does(box: Box) -> None:
    box.edit_site({"timeout: 500 ms": "timeout: 3 s"})
    box.begin(f"{PROGRAM}/bin/python", "-c", SILENT)
    box.wait(lambda: ":502" in box.call("ss", "-Htln").stdout, 10, "the silent device listens")
    box.call("systemctl", "start", "--no-block", "scowl-edge")
    box.wait(lambda: box.ask("/readyz")[0] == 503, 20, "it answers, and is not ready")
    assert box.property("ActiveState") == "activating"
    assert box.property("StatusText") == "starting: not tried yet: panel"
    box.wait(lambda: box.property("ActiveState") == "active", 20, "it is active")
    assert box.ask("/readyz")[0] == 200
    text = box.wait(lambda: _with("worst high: ", box.property("StatusText")), 20, "the status names the worst alarm")
    assert text.startswith("advisory, balanced: 0 W served of 0 W, 0 W generated; "), text
    box.call("systemctl", "stop", "scowl-edge")
    ended = box.show("ActiveState", "Result", "ExecMainStatus", "NRestarts")
    assert ended == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0", "NRestarts": "0"}


def _with(part: str, text: str) -> str:
    return text if part in text else ""


def test_its_log_has_fields_and_priorities(box: Box) -> None:
    box.start()
    (started,) = box.entries("SCOWL_EVENT=started")
    assert started["SCOWL_SITE"] == "my-site"
    assert started["PRIORITY"] == "6"
    assert started["SYSLOG_IDENTIFIER"] == "scowl-edge"
    assert started["MESSAGE"].startswith("started site=my-site boot=1")
    assert order(box, "nonsense")[0] == 401
    refused = box.entries("PRIORITY=4")[-1]
    assert refused["SCOWL_PATH"] == "/api/v1/region/mode"
    assert "nonsense" not in str(box.entries())


def order(box: Box, token: str) -> tuple[int, object]:
    """An order to hold the region."""
    said = ["-H", "Content-Type: application/json", "-d", '{"mode": "hold", "who": "Ada", "why": "a test"}']
    return box.ask("/api/v1/region/mode", "-H", f"Authorization: Bearer {token}", *said)


def test_orders_are_taken_with_the_credential_and_by_nobody_without_one(box: Box) -> None:
    token = box.path("/etc/scowl-edge/token")
    assert token.stat().st_mode & 0o777 == 0o600
    box.start()
    assert order(box, token.read_text().strip())[0] == 202
    assert order(box, "wrong")[0] == 401
    held = f"/proc/{box.property('MainPID')}/environ"
    assert token.read_text().strip() not in box.call("cat", held).stdout
    token.unlink()
    box.call("systemctl", "restart", "scowl-edge")
    status, told = order(box, "")
    assert status == 403, told
    assert order(box, "x")[0] == 403


def test_a_reload_is_declined_with_what_a_restart_would_do(box: Box) -> None:
    box.start()
    pid = box.property("MainPID")

    def answer(number: int) -> str:
        box.call("systemctl", "reload", "scowl-edge")
        told = box.wait(lambda: box.entries("SCOWL_EVENT=reload_declined")[number - 1 :], 20, "an answer")
        return str(told[0]["SCOWL_ANSWER"])

    assert answer(1) == f"reload: {SITE} has not changed; running on"
    box.edit_site({"my-site": "other-site"})
    accepted = answer(2)
    assert "needs a restart, and this one would be accepted; running on unchanged" in accepted
    box.wait(lambda: accepted in box.property("StatusText"), 20, "the status tells it")
    box.edit_site({"type: modbus-tcp": "type: modbus-tpc"})
    refused = answer(3)
    assert "would be refused, so do not restart" in refused
    assert f"{SITE}:" in refused
    assert box.show("MainPID", "ActiveState", "NRestarts") == {
        "MainPID": pid,
        "ActiveState": "active",
        "NRestarts": "0",
    }
    assert box.ask("/api/v1/region")[1]["site"] == "my-site"


def test_a_faulty_configuration_fails_once_and_says_where(box: Box) -> None:
    box.edit_site({"type: modbus-tcp": "type: modbus-tpc"})
    assert box.start(fails=True).returncode != 0
    states = box.show("ActiveState", "SubState", "Result", "ExecMainStatus", "NRestarts")
    assert states == {
        "ActiveState": "failed",
        "SubState": "failed",
        "Result": "exit-code",
        "ExecMainStatus": "2",
        "NRestarts": "0",
    }
    assert any(entry["MESSAGE"].startswith(f"{SITE}:9:17: ") for entry in box.entries()), box.story()
    box.edit_site({"type: modbus-tpc": "type: modbus-tcp"})
    box.start()
    assert box.property("ActiveState") == "active"


PLANT = "http://127.0.0.1:9000"


def limits(box: Box) -> list[float]:
    """What wind-1 was told so far, as its simulation took it."""
    written = box.ask(f"{PLANT}/writes")[1]
    return [w["value"] for w in written if (w["device"], w["signal"]) == ("wind-1", "limit")]


def held_back(box: Box, fewest: int) -> float:
    """The limit that wind-1 has once the daemon knows that it has it."""
    box.wait(lambda: len(limits(box)) >= fewest, 60, "wind-1 is held back")
    known = {"idle", "confirmed", "effective", "holding"}
    box.wait(
        lambda: {a["state"] for a in box.ask("/api/v1/devices/wind-1")[1]["actuators"]} <= known, 30, "it is confirmed"
    )
    return limits(box)[-1]


def test_a_stop_gives_back_what_was_found_and_may_take_its_time(box: Box) -> None:
    (example,) = box.path(f"{PROGRAM}/lib").glob("python3*/site-packages/scowl_edge/examples/demo.yaml")
    box.path(SITE).write_text(example.read_text())
    box.edit_site({"ride_through: 10 s": "ride_through: 10 s\n  stop_timeout: 20 s"})
    run = f"ExecStart=\nExecStart={PROGRAM}/bin/scowl-edge run {SITE} --clock-rate 5"
    box.drop_in("fast", f"[Service]\n{run}\nTimeoutStopSec=1s\n")
    command = f"{PROGRAM}/bin/scowl-edge", "simulator", SITE, "--clock-rate", "5", "--control", "127.0.0.1:9000"
    box.begin("--setenv=HOME=/tmp", "--working-directory=/tmp", *command)
    box.wait(lambda: box.ask(f"{PLANT}/clock")[0] == 200, 30, "the simulator answers")
    box.start()
    lowered = held_back(box, 1)
    box.call("systemctl", "stop", "scowl-edge")
    assert box.show("Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    released = limits(box)
    assert released[-1] > lowered, released
    assert box.entries("SCOWL_EVENT=stopped")[-1]["SCOWL_UNCONFIRMED"] == "0"

    box.start()
    held_back(box, len(released) + 1)
    assert box.ask(f"{PLANT}/faults", "-d", '{"device": "wind-1", "kind": "silence"}')[0] // 100 == 2
    began = time.monotonic()
    box.call("systemctl", "stop", "scowl-edge")
    assert time.monotonic() - began > 2, "it waited for the device longer than TimeoutStopSec="
    assert box.show("Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
    assert box.entries("SCOWL_EVENT=stopped")[-1]["SCOWL_UNCONFIRMED"] == "1"
    assert any(entry["MESSAGE"].startswith("not confirmed: wind-1: limit") for entry in box.entries())
