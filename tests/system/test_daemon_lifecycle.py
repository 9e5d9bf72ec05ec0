"""The daemon from its start to its end, as whoever runs it meets it."""

from __future__ import annotations

import re
import signal
import socket
import time
from pathlib import Path

import pytest
from black_box import START_S, Daemon, Eyes, Simulation, Site, Sites, call, edit, metrics_of, settled, wait_for

RATE = 5
SLACK_S = 60.0
"""What a busy machine may add to any time-out."""


def alarms(daemon: Daemon) -> dict[str, dict[str, str]]:
    """Standing alarms by key."""
    return {alarm["key"]: alarm for alarm in daemon.http.get("/api/v1/alarms")["alarms"]}


def curtailed(site: Site, mbpoll: str) -> tuple[Simulation, Daemon, Eyes]:
    """The demo region with more wind than its connection takes: wind-1 is held back."""
    eyes = Eyes(mbpoll, site.file)
    simulation, daemon = site.simulate(), site.daemon()
    daemon.ready()
    wait_for(lambda: eyes.read("wind-1", "limit") < 0.999, START_S + 60 / site.rate, "wind-1 is held back")
    limits = ("wind-1", "solar-1")
    wait_for(lambda: all(settled(daemon.http, name) for name in limits), START_S, "the daemon has seen that it is")
    return simulation, daemon, eyes


# --- The start ---


def test_a_faulty_file_is_told_whole_and_nothing_starts(site: Sites) -> None:
    demo = site("demo")
    edit(demo.file, {"margin: 10 %": "margin: 10", "dispatch: fixed": "dispatch: fxied", "on: hall": "on: hal"})
    done = call("run", str(demo.file))
    assert done.returncode == 2
    assert done.stdout == ""
    faults = done.stderr.splitlines()
    assert len(faults) == 3, done.stderr
    for fault in faults:
        assert re.match(rf"{re.escape(str(demo.file))}:\d+:\d+: .+; .+", fault), fault
    assert not demo.journal.exists()


def test_a_device_that_is_not_there_is_down_and_an_alarm_says_since_when(site: Sites) -> None:
    demo = site("demo", rate=RATE)
    daemon = demo.daemon()
    http = daemon.ready()
    wait_for(lambda: "more-links-down" in alarms(daemon), START_S, "alarms")
    alone = [alarm for key, alarm in alarms(daemon).items() if key.startswith("link-down:")]
    assert alone
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", alarm["since"]) for alarm in alone)
    assert all("refused" in alarm["cause"]["text"] and "devices behind it" in alarm["cause"]["text"] for alarm in alone)
    told = {alarm["source"] for alarm in alone}
    more = alarms(daemon)["more-links-down"]["cause"]["text"]
    assert all(name in told or name in more for name in ("works", "meters", "village", "island"))
    assert len(alarms(daemon)) <= 10, "a cut cable is no flood"
    point = http.get("/api/v1/devices/wind-1/points/power")
    assert point["value"] is None
    assert point["quality"] == "bad"
    assert http.ask("/healthz")[0] == 200, "a restart does not mend a cable"
    series = metrics_of(http)
    assert not [name for name in series if name.startswith("scowl_point_value")]
    assert series['scowl_alarms{priority="high"}'] >= 3
    assert daemon.end(signal.SIGTERM, 10 + SLACK_S) == 0


def test_a_port_in_use_is_named(site: Sites) -> None:
    demo = site("demo", rate=RATE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = call("run", str(demo.file), "--http", where)
    assert done.returncode == 1
    assert f"cannot listen on {where}" in done.stderr
    assert "another program uses it" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_daemon_on_the_same_journal_is_refused(site: Sites) -> None:
    demo = site("demo", rate=RATE)
    daemon = demo.daemon()
    daemon.ready()
    done = call("run", str(demo.file), "--http", "127.0.0.1:0")
    assert done.returncode == 1
    assert "another scowl-edge writes it" in done.stderr
    assert daemon.process.poll() is None
    assert daemon.is_ready()


@pytest.mark.parametrize("where", ["link", "http"])
def test_a_fast_clock_is_refused_off_loopback(site: Sites, where: str) -> None:
    demo = site("demo")
    options = ["--clock-rate", "2"]
    if where == "link":
        text = demo.file.read_text()
        demo.file.write_text(text.replace("host: 127.0.0.1", "host: 192.0.2.1", 1))
    else:
        options += ["--http", "192.0.2.1:0"]
    done = call("run", str(demo.file), *options)
    assert done.returncode in (1, 2)
    assert "loopback" in done.stderr
    assert "Traceback" not in done.stderr
    assert not demo.journal.exists()


# --- A link that goes and comes ---


def test_devices_that_die_and_come_back(site: Sites) -> None:
    demo = site("demo", rate=RATE)
    simulation, daemon = demo.simulate(), demo.daemon()
    http = daemon.ready()
    power = "/api/v1/devices/wind-1/points/power"
    series = 'scowl_point_value{device="wind-1",point="power",unit="W"}'
    up = 'scowl_device_up{device="wind-1"}'
    wait_for(lambda: http.get(power)["quality"] == "good", START_S, "a first value")
    assert http.get(power)["value"] < 0
    assert metrics_of(http)[series] < 0
    simulation.process.kill()
    simulation.process.wait(timeout=60)

    wait_for(lambda: http.get(power)["quality"] != "good", START_S, "its value is good no more")
    wait_for(lambda: http.get(power)["value"] is None, 100 / RATE + SLACK_S, "its value is gone")
    assert http.get(power)["reason"] in ("link_down", "stale", "timeout")
    wait_for(lambda: metrics_of(http).get(up) == 0, START_S, "the device counts as down")
    assert series not in metrics_of(http)
    told = {"more-links-down", "meters-stale"}
    wait_for(lambda: told <= set(alarms(daemon)), 100 / RATE + SLACK_S, "links and meters are told of")
    assert len(alarms(daemon)) <= 10, "a cut cable is no flood"
    assert http.get("/api/v1/region")["consumers"]["starved"] == 0, "nobody is starved for want of readings"

    simulation.close()
    demo.simulate()
    wait_for(lambda: http.get(power)["quality"] == "good", START_S + 30 / RATE, "its value is back")
    wait_for(lambda: metrics_of(http).get(up) == 1, START_S, "the device counts as up")
    gone = ("link-", "device-", "meter", "more-")
    wait_for(lambda: not any(key.startswith(gone) for key in alarms(daemon)), START_S, "no alarm")
    assert daemon.process.poll() is None
    assert "task_failed" not in daemon.errors()


# --- The end ---


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_at_the_end_devices_get_back_what_was_found(site: Sites, mbpoll: str, ending: signal.Signals) -> None:
    demo = site("demo", rate=RATE)
    # Of a fast clock: a machine that stands still for a second takes much of the usual time-out.
    edit(demo.file, {"ride_through: 10 s": "ride_through: 10 s\n  stop_timeout: 300 s"})
    simulation, daemon, eyes = curtailed(demo, mbpoll)
    before = len(simulation.writes())
    assert daemon.end(ending, 300 / RATE + SLACK_S) == 0
    assert eyes.read("wind-1", "limit") == 1.0
    assert eyes.read("solar-1", "limit") == eyes.rated_w("solar-1")
    assert "not confirmed" not in daemon.errors()
    released = {"wind-1": eyes.rated_w("wind-1"), "solar-1": eyes.rated_w("solar-1")}
    after = simulation.writes()[before:]
    # One decision may have been on its way; then nothing but what is given back.
    given_back = [w for w in after if w["signal"] == "limit" and w["value"] == pytest.approx(released[w["device"]])]
    assert given_back
    assert len(after) - len(given_back) <= 2, after
    assert after[-1] in given_back
    assert demo.replay().returncode == 0


def test_what_cannot_be_confirmed_at_the_end_is_listed(site: Sites, mbpoll: str) -> None:
    demo = site("demo", rate=RATE)
    simulation, daemon, _ = curtailed(demo, mbpoll)
    simulation.control.post("/faults", {"device": "wind-1", "kind": "silence"})
    assert daemon.end(signal.SIGTERM, 10 / RATE + SLACK_S) == 0
    listed = [line for line in daemon.errors().splitlines() if line.startswith("not confirmed: ")]
    assert len(listed) == 1, daemon.errors()
    assert re.match(r"not confirmed: wind-1: limit should be 200000, \w+", listed[0])


def test_a_second_signal_ends_the_wait(site: Sites, mbpoll: str) -> None:
    demo = site("demo", rate=RATE)
    edit(demo.file, {"ride_through: 10 s": "ride_through: 10 s\n  stop_timeout: 600 s"})
    simulation, daemon, _ = curtailed(demo, mbpoll)
    simulation.control.post("/faults", {"device": "wind-1", "kind": "silence"})
    daemon.process.send_signal(signal.SIGTERM)
    wait_for(lambda: '"event":"stopping"' in daemon.errors(), START_S, "the first signal was heard")
    began = time.monotonic()
    assert daemon.end(signal.SIGTERM, 5 + SLACK_S) == 0
    assert time.monotonic() - began < 5 + SLACK_S
    assert "stop_cut_short" in daemon.errors()
    assert "Traceback" not in daemon.errors(), daemon.errors()[-3000:]
    listed = [line for line in daemon.errors().splitlines() if line.startswith("not confirmed: ")]
    assert any("wind-1" in line for line in listed), daemon.errors()[-3000:]
    assert demo.replay().returncode == 0


def test_the_journal_of_a_stopped_daemon_stands_alone(site: Sites, tmp_path: Path) -> None:
    demo = site("demo", rate=RATE)
    demo.simulate()
    daemon = demo.daemon()
    daemon.ready()
    wait_for(lambda: daemon.http.get("/api/v1/region")["step"] > 10, START_S, "some steps")
    assert daemon.end(signal.SIGTERM, 10 / RATE + SLACK_S) == 0
    elsewhere = tmp_path / "elsewhere.db"
    elsewhere.write_bytes(demo.journal.read_bytes())
    done = call("replay", str(elsewhere))
    assert done.returncode == 0, done.stderr
    assert "identical: " in done.stdout
