"""What passes between a daemon and a server on this machine, captured and read by tshark."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from xml.etree import ElementTree

import pytest

INSTALL = "as root run: sh tests/system-packages.sh"


@dataclass(frozen=True)
class Pdu:
    """One Modbus TCP frame as tshark reads it."""

    at_s: float
    """When its last byte was seen."""
    request: bool
    transaction: int
    unit: int
    function: int
    address: int
    count: int
    """Registers or bits asked for; -1 in a reply."""
    size: int
    """Bytes after the length field."""


def tshark() -> str:
    """The program; skips the test where it is missing or may not capture."""
    program = shutil.which("tshark")
    if program is None:
        pytest.skip(f"no tshark; {INSTALL}")
    if os.geteuid() != 0:
        pytest.skip("capturing on an interface needs root")
    return program


class Capture:
    """A capture of one TCP port of the loopback interface, as long as a block; then it can be read."""

    def __init__(self, port: int, protocol: str, file: Path) -> None:
        """`protocol` is what is spoken there, in tshark's words: `mbtcp` or `opcua`."""
        self._program = tshark()
        self._port = port
        self.file = file
        self._as = ["-d", f"tcp.port=={port},{protocol}"]
        if protocol == "mbtcp":
            # Which side is the server: else requests and replies look alike.
            self._as += ["-o", f"mbtcp.tcp.port:{port}"]
        self._seen: list[str] = []
        self._said: list[str] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Captures; at the end every packet of the block is in the file."""
        command = [self._program, "-i", "lo", "-f", f"tcp port {self._port}", "-w", self.file, "-P", "-l", "-n"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)
        assert process.stdout is not None and process.stderr is not None
        threads = [
            Thread(target=self._seen.extend, args=[process.stdout]),
            Thread(target=self._said.extend, args=[process.stderr]),
        ]
        for thread in threads:
            thread.start()
        try:
            self._mark()
            yield
            self._mark()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
            for thread in threads:
                thread.join(timeout=60)
            process.stdout.close()
            process.stderr.close()

    def _mark(self) -> None:
        """Connections without a word, until one of them has been seen: then everything before it has been, too."""
        until = time.monotonic() + 90
        while True:
            with socket.create_connection(("127.0.0.1", self._port), timeout=60) as probe:
                port = f" {probe.getsockname()[1]} "
            again = time.monotonic() + 0.5
            while time.monotonic() < again:
                if any(port in line and "[SYN]" in line for line in self._seen):
                    return
                time.sleep(0.01)
            assert time.monotonic() < until, f"tshark sees nothing; it said {''.join(self._said)}"

    def _read(self, *options: str) -> str:
        command = [self._program, "-n", "-r", str(self.file), *self._as, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def packets(self, condition: str) -> list[str]:
        """Packets that meet a display filter, a line each."""
        return self._read("-Y", condition).splitlines()

    def fields(self, condition: str, *names: str) -> list[list[str]]:
        """Fields of the packets that meet a display filter; several of one name in one packet stand between commas."""
        wanted: Sequence[str] = [part for name in names for part in ("-e", name)]
        return [line.split("\t") for line in self._read("-Y", condition, "-T", "fields", *wanted).splitlines()]

    def modbus(self) -> list[Pdu]:
        """All frames, in order; one packet may hold several."""
        found = []
        for packet in ElementTree.fromstring(self._read("-Y", "mbtcp", "-T", "pdml")):
            layers = {"mbtcp": [], "modbus": []}  # type: dict[str, list[ElementTree.Element]]
            at_s, to_port = 0.0, 0
            for layer in packet:
                name = layer.get("name", "")
                if name == "frame":
                    at_s = float(_value(layer, "frame.time_epoch", "show") or 0)
                elif name == "tcp":
                    to_port = int(_value(layer, "tcp.dstport", "show") or 0)
                elif name in layers:
                    layers[name].append(layer)
            for header, body in zip(layers["mbtcp"], layers["modbus"], strict=True):
                request = to_port == self._port
                function = int(_value(body, "modbus.func_code", "show") or -1)
                counted = _value(body, "modbus.word_cnt", "show") or _value(body, "modbus.bit_cnt", "show")
                found.append(
                    Pdu(
                        at_s=at_s,
                        request=request,
                        transaction=int(_value(header, "mbtcp.trans_id", "show") or -1),
                        unit=int(_value(header, "mbtcp.unit_id", "show") or -1),
                        function=function,
                        address=int(_value(body, "modbus.reference_num", "show") or -1) if request else -1,
                        count=int(counted or -1) if request else -1,
                        size=int(_value(header, "mbtcp.len", "show") or -1),
                    )
                )
        return found


def _value(layer: ElementTree.Element, name: str, attribute: str) -> str | None:
    return next((field.get(attribute) for field in layer.iter("field") if field.get("name") == name), None)
