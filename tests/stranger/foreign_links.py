"""Three foreign servers, and every way that they can be spoken to."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import which

import pytest
from foreign_truth import link_to
from libmodbus_peer import Peer
from node_peer import environment, node_modules, node_program
from text_peer import TextPeer

from scowl_edge.devices.declaration import LinkKind, LinkTls, ModbusLink, Parity, SerialLine
from scowl_edge.issuing import Issuer

HERE = Path(__file__).parent
BAUD = 115_200
LATE_MS = 160
"""How long after its time-out a serial line may still answer."""


@dataclass(frozen=True)
class Way:
    """One way to a server."""

    name: str
    to: str
    """As a fault proxy takes it: HOST:PORT or pty:PATH."""
    framing: str
    """What a fault proxy can understand of it: tcp, rtu, or none."""
    link: Callable[..., ModbusLink]
    """Makes the link from `to`, which a fault proxy may have replaced, and its number."""


def _port(to: str) -> int:
    return int(to.rpartition(":")[2])


def _tcp(to: str, number: int, pipeline: int = 1) -> ModbusLink:
    return link_to(_port(to), number, pipeline=pipeline)


def _rtu_tcp(to: str, number: int) -> ModbusLink:
    return link_to(_port(to), number, kind=LinkKind.RTU_TCP, late_ms=LATE_MS)


def _tls(tls: LinkTls, to: str, number: int) -> ModbusLink:
    return link_to(_port(to), number, kind=LinkKind.TLS, tls=tls, connect_timeout_ms=2_000)


def _rtu(to: str, number: int) -> ModbusLink:
    line = SerialLine(device=to.removeprefix("pty:"), baud=BAUD, data_bits=8, parity=Parity.NONE, stop_bits=1)
    return link_to(0, number, kind=LinkKind.RTU, serial=line, late_ms=LATE_MS)


@contextmanager
def serial_pair(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Two serial ports that are the ends of one line."""
    program = which("socat")
    if program is None:
        pytest.skip("no socat; as root run: sh tests/system-packages.sh")
    ends = folder / "ttyD", folder / "ttyE"
    process = subprocess.Popen([program, *(f"pty,raw,echo=0,link={end}" for end in ends)])
    until = time.monotonic() + 60
    while not all(end.exists() for end in ends):
        assert time.monotonic() < until and process.poll() is None, "socat makes no serial line"
        time.sleep(0.01)
    try:
        yield ends
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def libmodbus(program: Path, folder: Path) -> Iterator[tuple[TextPeer, list[Way]]]:
    """The server on libmodbus, over TCP and a serial line."""
    with serial_pair(folder) as (theirs, ours):
        peer = Peer(program, line=(theirs, BAUD))
        try:
            yield (
                peer,
                [
                    Way("libmodbus TCP", f"127.0.0.1:{peer.port}", "tcp", _tcp),
                    Way("libmodbus RTU", f"pty:{ours}", "rtu", _rtu),
                ],
            )
        finally:
            peer.close()


@contextmanager
def node() -> Iterator[tuple[TextPeer, list[Way]]]:
    """The servers on jsmodbus and modbus-serial. jsmodbus answers what comes in one packet in the order last in, first
    out, so it is asked several things at once."""
    modules = node_modules("jsmodbus@5", "modbus-serial@8")
    peer = TextPeer([node_program(), HERE / "modbus_peer.cjs"], environment(modules))
    try:
        yield (
            peer,
            [
                Way("jsmodbus TCP", f"127.0.0.1:{peer.ports['jsmodbus']}", "tcp", partial(_tcp, pipeline=4)),
                Way("jsmodbus RTU over TCP", f"127.0.0.1:{peer.ports['jsmodbus-rtu']}", "rtu", _rtu_tcp),
                Way("modbus-serial TCP", f"127.0.0.1:{peer.ports['modbus-serial']}", "tcp", _tcp),
            ],
        )
    finally:
        peer.close()


@contextmanager
def pymodbus(folder: Path) -> Iterator[tuple[TextPeer, list[Way]]]:
    """The servers on pymodbus: over TCP, RTU over TCP, and TLS."""
    pytest.importorskip("pymodbus")
    issuer = Issuer(folder / "ca.pem", folder / "ca-key.pem")
    issuer.create("site")
    issuer.issue("inverter", ["127.0.0.1"], folder / "inverter.pem", folder / "inverter-key.pem")
    issuer.issue("edge", [], folder / "edge.pem", folder / "edge-key.pem")
    ours = LinkTls(
        ca=str(folder / "ca.pem"),
        certificate=str(folder / "edge.pem"),
        key=str(folder / "edge-key.pem"),
        server_name="",
    )
    files = (folder / name for name in ("ca.pem", "inverter.pem", "inverter-key.pem"))
    peer = TextPeer([sys.executable, HERE / "pymodbus_peer.py", *files])
    try:
        yield (
            peer,
            [
                Way("pymodbus TCP", f"127.0.0.1:{peer.ports['tcp']}", "tcp", _tcp),
                Way("pymodbus RTU over TCP", f"127.0.0.1:{peer.ports['rtu']}", "rtu", _rtu_tcp),
                Way("pymodbus TLS", f"127.0.0.1:{peer.ports['tls']}", "none", partial(_tls, ours)),
            ],
        )
    finally:
        peer.close()
