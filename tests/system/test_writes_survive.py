"""The daemon is killed by its devices at each moment of a write's life, and started again on the same journal.

What it did is judged by the devices' own log: nothing is lost, nothing is done twice that must not be.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from black_box import START_S, TOKEN, Daemon, free_ports, wait_for
from killing_devices import POWER_AT, READS, VALUE_AT, Device, KillingDevices, Moment, Written

HOLDING = {"holding"}
"""Read back three times and more."""
KNOWN = {"confirmed", "effective"}
"""All that can be said where nothing can be read."""
CONSUMER = "kind: consumer, rated: 60 kW, interruptible: true, settle: 0 s, hold_polls: 3"


def configuration(devices: KillingDevices, directory: Path) -> Path:
    """A site of these devices, each on a link of its own; nobody but a person wants anything of them."""
    (directory / "token").write_text(TOKEN + "\n")
    lines = [
        "site: {id: killing}",
        f"http: {{listen: '127.0.0.1:{free_ports(1)[0]}', token: {{file: {directory / 'token'}}}}}",
        f"journal: {{path: {directory / 'journal.db'}}}",
        "region: {mode: auto}",
        "links:",
        *(
            f"  {name}: {{type: modbus-tcp, host: 127.0.0.1, port: {port}, timeout: 5 s, settle: 0 ms}}"
            for name, port in devices.ports.items()
        ),
        "devices:",
    ]
    for name, device in devices.devices.items():
        access = "rw" if device.readable else "w"
        write_class = {"volatile": "volatile", "stored": "stored"}.get(name, "pulse")
        written = (
            f"connect: {{table: coil, address: {VALUE_AT}, access: {access}, write_class: {write_class}}}"
            if device.coil
            else f"limit: {{address: {VALUE_AT}, type: uint16, unit: W, access: {access}, write_class: {write_class}}}"
        )
        power = f"power: {{address: {POWER_AT}, type: int16, unit: W}}"
        lines.append(f"  {name}: {{link: {name}, unit: 1, poll: 200 ms, points: {{{power}, {written}}},")
        lines.append(f"    role: {{{CONSUMER}}}}}")
    file = directory / "killing.yaml"
    file.write_text("\n".join(lines))
    return file


class Life:
    """The daemon through all its lives."""

    def __init__(self, devices: KillingDevices, directory: Path) -> None:
        self.devices = devices
        self._file = configuration(devices, directory)
        self._log = directory / "daemon.log"
        self.daemon = self._begin()

    def _begin(self) -> Daemon:
        daemon = Daemon(self._file, self._log, 1)
        daemon.ready()
        return daemon

    def again(self) -> None:
        """The next life."""
        self.daemon.close()
        self.daemon = self._begin()

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""
        self.daemon.process.send_signal(signal.SIGKILL)
        self.daemon.process.wait()

    def order(self, device: str, value: int) -> None:
        """A person holds the device at a value. The answer may be cut off by the kill."""
        verb = "connect" if self.devices.devices[device].coil else "limit"
        path = f"/api/v1/devices/{device}/manual"
        asked = {"verb": verb, "value": value, "who": "a test", "why": "to be killed"}
        with suppress(OSError, HTTPException):
            status, _, body = self.daemon.http.ask(path, asked, {"Authorization": f"Bearer {TOKEN}"})
            assert status // 100 == 2, body

    def actuator(self, device: str) -> dict[str, Any]:
        """What the daemon says of a device's only actuator."""
        found: dict[str, Any] = self.daemon.http.get(f"/api/v1/devices/{device}")["actuators"][0]
        return found

    def alarms(self) -> set[str]:
        """Keys of the standing alarms."""
        return {alarm["key"] for alarm in self.daemon.http.get("/api/v1/alarms")["alarms"]}


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    """Devices of every write class, and their daemon."""
    devices = KillingDevices(
        Device("volatile", coil=False, value=50_000),
        Device("stored", coil=False, value=50_000),
        Device("pulse", coil=True),
        Device("blind", coil=True, readable=False),
    )
    life = Life(devices, tmp_path)
    yield life
    life.daemon.close()
    devices.close()


def test_writes_survive_a_daemon_that_dies_at_any_moment(life: Life) -> None:
    for number, moment in enumerate(Moment):
        value, on = 10_000 + number, (number + 1) % 2
        wanted = {"blind": on, "volatile": value, "stored": value, "pulse": on}
        before = {name: len(device.log) for name, device in life.devices.devices.items()}
        life.devices.arm(moment, life.kill)
        for name, target in wanted.items():
            life.order(name, target)
        wait_for(life.devices.killed.is_set, START_S, f"the daemon is killed when {moment}")
        life.again()
        applied = moment is not Moment.SEEN
        for name in ("volatile", "stored"):
            wait_for(lambda n=name: life.actuator(n)["state"] in HOLDING, START_S, f"{name} stands: {moment}")
            assert life.actuator(name)["confirmed"] == value
            assert life.devices.devices[name].value == value
        for name in ("pulse", "blind"):
            device = life.devices.devices[name]
            if device.readable:
                expected = HOLDING if applied else {"contested"}
            elif moment is Moment.ACKNOWLEDGED:
                expected = KNOWN | {"in_doubt"}  # the answer may have been lost or not
            else:
                # Nothing can be read there: known if the answer came, else in doubt for good.
                expected = KNOWN if moment in READS else {"in_doubt"}
            wait_for(lambda n=name, e=expected: life.actuator(n)["state"] in e, START_S, f"{name} is known: {moment}")
            assert len(device.log[before[name] :]) == 1, f"{name} was done more than once: {moment}"
            assert device.log[-1] == Written(on, applied)
            doubtful = life.actuator(name)["state"] in ("in_doubt", "contested")
            assert doubtful == bool({f"in-doubt:{name}", f"contested:{name}"} & life.alarms()), moment
        stored = life.devices.devices["stored"].log[before["stored"] :]
        assert [w.value for w in stored if w.applied] == [value], f"a stored register is worn: {moment}"
        assert len(stored) == (1 if applied else 2), moment
        assert life.actuator("stored")["writes_total"] == len(life.devices.devices["stored"].log), moment
