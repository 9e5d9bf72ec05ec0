"""A Modbus server that is neither ours nor Python: built here, run here, and asked for its own truth in text."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import opcua_peer
import pytest
from libmodbus_peer import Mbpoll, Peer
from register_plant import Device, equip, site
from whole_daemon import Start, WholeDaemon

HERE = Path(__file__).parent
INSTALL = "as root run: sh tests/system-packages.sh"


@pytest.fixture(scope="session")
def peer_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip(f"no C compiler; {INSTALL}")
    pkg_config = shutil.which("pkg-config")
    if pkg_config is None:
        pytest.skip(f"no pkg-config; {INSTALL}")
    flags = subprocess.run([pkg_config, "--cflags", "--libs", "libmodbus"], capture_output=True, text=True, check=False)
    if flags.returncode:
        pytest.skip(f"no libmodbus to build against; {INSTALL}")
    program = tmp_path_factory.mktemp("peer") / "peer"
    subprocess.run([compiler, "-O1", "-o", program, HERE / "peer.c", *flags.stdout.split(), "-lm"], check=True)
    return program


@pytest.fixture
def peer(peer_program: Path) -> Iterator[Peer]:
    server = Peer(peer_program)
    yield server
    server.close()


@pytest.fixture
def mbpoll(peer: Peer) -> Mbpoll:
    program = shutil.which("mbpoll")
    if program is None:
        pytest.skip(f"no mbpoll; {INSTALL}")
    return Mbpoll(program, peer.port)


@pytest.fixture
def start(peer_program: Path, tmp_path: Path) -> Iterator[Start]:
    """A server that plays these devices, its meter frozen, and the daemon on them; both end with the test."""
    running: list[Peer | WholeDaemon] = []

    def both(devices: Sequence[Device], more: str = "", link: str = "") -> tuple[Peer, WholeDaemon]:
        peer = Peer(peer_program, units=max(device.unit for device in devices))
        running.append(peer)
        peer.tell("frozen 1")
        equip(peer, list(devices))
        daemon = WholeDaemon(site(list(devices), peer.port, more, link), tmp_path)
        running.append(daemon)
        return peer, daemon

    yield both
    for each in reversed(running):
        each.close()


@pytest.fixture(scope="session")
def opcua_server() -> Iterator[opcua_peer.Peer]:
    """An OPC-UA server for all tests that leave it as they found it."""
    server = opcua_peer.Peer(many=60)
    yield server
    server.close()
