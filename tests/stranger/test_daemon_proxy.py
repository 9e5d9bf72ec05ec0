"""A device that takes one client, read by two: by the whole daemon, and through its proxy by mbpoll."""

from __future__ import annotations

import shutil
import socket
import subprocess

import pytest
from opcua_peer import free_port
from register_plant import Device, Place
from whole_daemon import SOON_S, Start, wait_for
from wire_capture import INSTALL

POWER = Place("meter", "power", 1, 10, "int32", "CDAB", factor=0.5, keys="unit: W, scale: 0.5")
COIL = Place("meter", "closed", 1, 3, table="coil")


@pytest.fixture
def mbpoll_program() -> str:
    program = shutil.which("mbpoll")
    if program is None:
        pytest.skip(f"no mbpoll; {INSTALL}")
    return program


def test_mbpoll_reads_a_device_through_the_daemon_and_cannot_change_it(start: Start, mbpoll_program: str) -> None:
    port = free_port()
    peer, daemon = start(
        [Device("meter", 1, [POWER, COIL], poll="100 ms")], link=f", proxy: {{listen: 127.0.0.1:{port}, share: 30 %}}"
    )

    def mbpoll(*options: str, value: str = "") -> tuple[int, str]:
        command = [mbpoll_program, "-1", "-q", "-0", "-o", "3", "-p", str(port), *options, "127.0.0.1"]
        done = subprocess.run(
            [*command, *(["--", value] if value else [])], capture_output=True, text=True, timeout=SOON_S, check=False
        )
        return done.returncode, done.stdout + done.stderr

    peer.tell(f"raw {POWER.name} -70000", f"raw {COIL.name} 1")
    wait_for(lambda: daemon.point("meter", "power")["value"] == -35_000, SOON_S, "the daemon reads the meter")
    status, said = mbpoll("-a", "1", "-t", "4:int", "-r", "10")
    assert (status, said.split()[-1]) == (0, "-70000")
    status, said = mbpoll("-a", "1", "-t", "0", "-r", "3")
    assert (status, said.split()[-1]) == (0, "1")

    before = peer.writes()
    for options, value in [(("-t", "4", "-r", "10"), "5"), (("-t", "0", "-r", "3"), "0")]:
        _, said = mbpoll("-a", "1", *options, value=value)
        assert "Illegal function" in said, said
    assert "Gateway path unavailable" in mbpoll("-a", "7", "-t", "4", "-r", "10")[1]
    assert peer.writes() == before
    assert peer.show(POWER.name) == -35_000

    seen = daemon.metrics()
    told = {result: seen[f'scowl_link_guest_requests_total{{link="peer",result="{result}"}}']
            for result in ("ok", "write_refused", "refused")}  # fmt: skip
    assert told == {"ok": 2, "write_refused": 2, "refused": 1}
    assert seen['scowl_link_worst_delay_seconds{link="peer"}'] == 0
    assert seen['scowl_link_busy_seconds_total{link="peer"}'] >= 0
    assert seen['scowl_health_ok{check="proxies"}'] == 1
    with socket.create_connection(("127.0.0.1", port)):
        wait_for(
            lambda: daemon.metrics().get('scowl_link_guest_connections{link="peer",client="127.0.0.1"}') == 1,
            SOON_S,
            "a client is listed",
        )
    assert daemon.stop() == 0
