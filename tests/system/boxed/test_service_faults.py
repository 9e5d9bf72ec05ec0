"""What goes wrong beneath the service: loops that stand still, disks that are full or may not be written."""

from __future__ import annotations

import errno
import json

import pytest
from box import PROGRAM, ROOT, SITE, STATE, Box

SHORT = "[Service]\nWatchdogSec=2s\nRestartSec=100ms\n"
DEFECT = """
import pathlib, time
from scowl_edge import health
from scowl_edge.drivers.modbus.port import ModbusPort

health.LINK_STUCK_MS = 1_000  # so that nobody waits half a minute for this test
sound = ModbusPort.begin

def begin(self, job, done):
    if pathlib.Path("/run/defect").exists():
        if pathlib.Path("/run/defect").read_text() == "event loop":
            time.sleep(3600)
        return  # and so `done` is never called
    sound(self, job, done)

ModbusPort.begin = begin
"""
"""A defect in the program itself: no outside cause can make a sound one stand still."""


def restarted(box: Box, pid: str) -> bool:
    """Whether another process is ready in place of this one."""
    now = box.show("MainPID", "ActiveState", "NRestarts")
    return now["ActiveState"] == "active" and now["MainPID"] != pid and now["NRestarts"] == "1"


def watchdog_struck(box: Box) -> bool:
    """Whether systemd says why it ended the process."""
    return any("Watchdog timeout" in entry["MESSAGE"] for entry in box.entries())


def test_a_process_that_stands_still_is_replaced(box: Box) -> None:
    box.drop_in("short", SHORT)
    box.start()
    pid = box.property("MainPID")
    box.call("kill", "-STOP", pid)
    box.wait(lambda: restarted(box, pid), 30, "another process is ready")
    assert watchdog_struck(box)
    assert box.ask("/readyz")[0] == 200


@pytest.mark.parametrize("defect", ["event loop", "one link"])
def test_a_loop_that_stands_still_by_a_defect_is_ended_with_its_stack(box: Box, defect: str) -> None:
    box.path("/opt/defect").mkdir()
    box.path("/opt/defect/sitecustomize.py").write_text(DEFECT)
    box.drop_in("short", SHORT + "Environment=PYTHONPATH=/opt/defect\n")
    simulator = f"{PROGRAM}/bin/scowl-edge", "simulator", SITE, "--control", "127.0.0.1:9000"
    box.begin("--working-directory=/tmp", *simulator)
    box.wait(lambda: box.ask("http://127.0.0.1:9000/clock")[0] == 200, 30, "the device answers")
    box.start()
    point = "/api/v1/devices/grid-meter/points/power"
    box.wait(lambda: box.ask(point)[1]["quality"] == "good", 20, "the device is read")
    pid = box.property("MainPID")
    box.path("/run/defect").write_text(defect)
    if defect == "one link":
        box.wait(lambda: "stuck: link panel: " in box.property("StatusText"), 20, "the status names the link")
        (told,) = box.entries("SCOWL_EVENT=no_progress")
        assert told["PRIORITY"] == "3"
        assert box.ask("/readyz")[0] == 200, "everything else goes on until the end"
    box.wait(lambda: watchdog_struck(box), 20, "the watchdog strikes")
    box.path("/run/defect").unlink()
    box.wait(lambda: restarted(box, pid), 30, "another process is ready")
    said = [entry["MESSAGE"] for entry in box.entries(f"_PID={pid}")]
    assert "Fatal Python error: Aborted" in said, box.story()
    if defect == "event loop":
        assert any("sitecustomize.py" in line and line.endswith("in begin") for line in said), box.story()
    box.wait(lambda: box.ask(point)[1]["quality"] == "good", 20, "the device is read again")


def test_a_full_disk_is_borne(box: Box) -> None:
    box.drop_in("short", SHORT)
    box.path(STATE).mkdir(parents=True)
    box.call("mount", "-t", "tmpfs", "-o", "size=1M,mode=700", "tmpfs", STATE)
    box.start()
    pid = box.property("MainPID")

    def alarmed() -> bool:
        return any(alarm["key"] == "journal" for alarm in box.ask("/api/v1/alarms")[1]["alarms"])

    assert not alarmed()
    fill(box)
    box.wait(lambda: fill(box) or alarmed(), 40, "an alarm: the journal cannot be written")
    step = box.ask("/api/v1/region")[1]["step"]
    box.wait(lambda: box.ask("/api/v1/region")[1]["step"] > step + 2, 20, "control goes on")
    box.wait(lambda: "journal" in box.property("StatusText"), 20, "the status names it")
    box.call("rm", f"{STATE}/filler")
    box.wait(lambda: not alarmed(), 40, "the alarm is over")
    assert box.show("MainPID", "NRestarts") == {"MainPID": pid, "NRestarts": "0"}, "nothing was stuck"
    box.call("systemctl", "stop", "scowl-edge")
    assert box.property("Result") == "success"


def fill(box: Box) -> None:
    """Takes what is free on the service's disk."""
    with box.path(f"{STATE}/filler").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC


def test_a_disk_that_may_only_be_read_is_named_and_tried_again(box: Box) -> None:
    box.path(STATE).mkdir(parents=True)
    box.call("mount", "-t", "tmpfs", "-o", "size=4M,mode=700", "tmpfs", STATE)
    box.start()
    box.call("systemctl", "stop", "scowl-edge")
    box.call("mount", "-o", "remount,ro", STATE)
    box.call("systemctl", "start", "--no-block", "scowl-edge")
    box.wait(lambda: box.property("SubState") == "auto-restart", 20, "it failed and will be tried again")
    assert box.property("ExecMainStatus") == "1"
    last = box.entries("_TRANSPORT=stdout")[-1]["MESSAGE"]
    assert "scowl-edge.db" in last, box.story()
    assert "Read-only file system" in last, box.story()
    assert not any("Traceback" in entry["MESSAGE"] for entry in box.entries()), box.story()
    box.call("mount", "-o", "remount,rw", STATE)
    box.wait(lambda: box.property("ActiveState") == "active", 30, "it runs as soon as it can")


def test_nothing_but_its_own_folder_is_writable(box: Box) -> None:
    """The unit's sandbox, tried from within by a program that runs as the service does."""
    probe = """
import ctypes, json, mmap, os, socket, pathlib
from scowl_edge.clocks import kernel_synchronised
def tried(what):
    try:
        what()
        return "done"
    except OSError as error:
        return type(error).__name__ + " " + str(error.errno)
pathlib.Path("probe.json").write_text(json.dumps({
    "uid": os.getuid(), "cwd": os.getcwd(), "clock": kernel_synchronised() is not None,
    "etc": tried(lambda: open("/etc/x", "w")), "opt": tried(lambda: open("/opt/scowl-edge/x", "w")),
    "home": tried(lambda: os.listdir("/root")), "token": tried(lambda: open("/etc/scowl-edge/token")),
    "netlink": tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    "executable": tried(lambda: mmap.mmap(-1, 4096, prot=7)),
    "serial": tried(lambda: os.open("/dev/ttyUSB0", os.O_RDWR | os.O_NOCTTY)),
    "setclock": tried(lambda: __import__("time").clock_settime(0, 1.0)),
    "private": tried(lambda: socket.create_connection(("192.168.77.5", 5020), 1)),
    "public": tried(lambda: socket.create_connection(("203.0.113.5", 5020), 1)),
}))
"""
    box.path("/opt/probe.py").write_text(probe)
    run = f"[Service]\nExecStart=\nExecStart={PROGRAM}/bin/python /opt/probe.py\nType=oneshot\nRestart=no\n"
    box.drop_in("z-probe", run)
    box.call("mknod", "-m", "660", "/dev/ttyUSB0", "c", "1", "3")
    box.call("chgrp", "dialout", "/dev/ttyUSB0")
    for address in ("192.168.77.5", "203.0.113.5"):
        box.call("ip", "address", "add", f"{address}/32", "dev", "lo")
    listen = "import socket, time; s = socket.create_server(('', 5020)); time.sleep(3600)"
    box.begin(f"{PROGRAM}/bin/python", "-c", listen)
    box.wait(lambda: ":5020" in box.call("ss", "-Htln").stdout, 10, "somebody listens")
    box.start()
    found = found_by_probe(box)
    assert found.pop("uid") != 0
    assert found == {
        "cwd": STATE,
        "clock": True,
        "etc": f"OSError {errno.EROFS}",
        "opt": f"OSError {errno.EROFS}",
        "home": f"PermissionError {errno.EACCES}",
        "token": f"PermissionError {errno.EACCES}",
        "netlink": f"OSError {errno.EAFNOSUPPORT}",
        "executable": f"PermissionError {errno.EPERM}",
        "serial": f"FileNotFoundError {errno.ENOENT}",
        "setclock": f"PermissionError {errno.EPERM}",
        "private": "done",
        "public": "TimeoutError None",
    }
    drop_ins = box.path(f"{PROGRAM}/share/drop-ins")
    for name in ("compiled-kernels", "serial-port"):
        box.drop_in(name, (drop_ins / f"{name}.conf").read_text())
    box.drop_in("network", (drop_ins / "network.conf").read_text().replace("192.168.50.0/24", "203.0.113.0/24"))
    box.start()
    found = found_by_probe(box)
    assert found["executable"] == "done"
    assert found["serial"] == "done"
    assert (found["private"], found["public"]) == ("TimeoutError None", "done")


def found_by_probe(box: Box) -> dict[str, object]:
    """What the probe wrote down."""
    found: dict[str, object] = json.loads(box.path(f"{STATE}/probe.json").read_text())
    return found


def test_systemd_finds_nothing_to_object_to_and_little_exposed(box: Box) -> None:
    unit = "/etc/systemd/system/scowl-edge.service"
    samples = sorted(box.path(f"{PROGRAM}/share/drop-ins").iterdir())
    assert {s.name for s in samples} == {
        f"{n}.conf" for n in ("compiled-kernels", "credentials", "network", "serial-port")
    }
    for sample in (None, *samples):
        if sample is not None:
            box.drop_in("sample", sample.read_text())
        verified = box.call("systemd-analyze", "verify", unit, fails=True)
        assert (verified.returncode, verified.stderr) == (0, ""), sample
        most = "16" if sample is not None and sample.stem == "serial-port" else "15"
        judged = box.call("systemd-analyze", "security", "--offline=true", f"--threshold={most}", "--no-pager", unit)
        assert "Overall exposure level" in judged.stdout


def test_a_removal_keeps_settings_and_data_unless_told_otherwise(box: Box) -> None:
    box.path("/opt/checkout").mkdir()
    script = box.path("/opt/checkout/install.sh")
    script.write_bytes((ROOT / "deploy/systemd/install.sh").read_bytes())
    box.call("systemctl", "enable", "--now", "scowl-edge")
    assert box.property("ActiveState") == "active"
    for _ in range(2):
        told = box.call("sh", "/opt/checkout/install.sh", "uninstall")
        assert "Kept: /etc/scowl-edge" in told.stdout
        assert told.stderr.replace("Removed", "").count("rror") == 0, told.stderr
        assert box.show("LoadState", "ActiveState") == {"LoadState": "not-found", "ActiveState": "inactive"}
    assert not box.path(PROGRAM).exists()
    assert {p.name for p in box.path("/etc/scowl-edge").iterdir()} == {"site.yaml", "token"}
    assert box.path(f"{STATE}/scowl-edge.db").exists()
    box.call("env", "PURGE=1", "sh", "/opt/checkout/install.sh", "uninstall")
    assert not box.path("/etc/scowl-edge").exists()
    assert not box.path(STATE).exists()
