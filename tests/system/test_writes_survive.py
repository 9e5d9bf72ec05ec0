"""The daemon is killed by its devices at each moment of a write's life, and started again on the same journal.

What it did is judged by the devices' own log: nothing is lost, nothing is done twice that must not be.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from black_box import START_S, TOKEN, Daemon, free_ports, wait_for
from killing_devices import POWER_AT, READS, VALUE_AT, Device, KillingDevices, Moment, Written
from killing_servers import SPACE, KillingServer, KillingServers

HOLDING = {"holding"}
"""Read back three times and more."""
KNOWN = {"confirmed", "effective"}
"""All that can be said where nothing can be read."""
PATIENT = "60 s"
"""Time-out of every link: whoever halts waits for the others to get there, and is not to be given up meanwhile."""
CONSUMER = "kind: consumer, rated: 60 kW, interruptible: true, settle: 0 s, hold_polls: 3"


def configuration(directory: Path, links: Iterable[str], devices: Iterable[str]) -> Path:
    """A site of these links and devices; nobody but a person wants anything of them."""
    (directory / "token").write_text(TOKEN + "\n")
    lines = [
        "site: {id: killing}",
        f"http: {{listen: '127.0.0.1:{free_ports(1)[0]}', token: {{file: {directory / 'token'}}}}}",
        f"journal: {{path: {directory / 'journal.db'}}}",
        "region: {mode: auto}",
        "links:",
        *(f"  {link}" for link in links),
        "devices:",
        *(f"  {device}, role: {{{CONSUMER}}}}}" for device in devices),
    ]
    file = directory / "killing.yaml"
    file.write_text("\n".join(lines))
    return file


def of_devices(devices: KillingDevices, directory: Path) -> Path:
    """The configuration of Modbus devices, each on a link of its own."""
    links = [
        f"{name}: {{type: modbus-tcp, host: 127.0.0.1, port: {port}, timeout: {PATIENT}, settle: 0 ms}}"
        for name, port in devices.ports.items()
    ]
    lines = []
    for name, device in devices.devices.items():
        access = "rw" if device.readable else "w"
        write_class = {"volatile": "volatile", "stored": "stored"}.get(name, "pulse")
        written = (
            f"connect: {{table: coil, address: {VALUE_AT}, access: {access}, write_class: {write_class}}}"
            if device.coil
            else f"limit: {{address: {VALUE_AT}, type: uint16, unit: W, access: {access}, write_class: {write_class}}}"
        )
        power = f"power: {{address: {POWER_AT}, type: int16, unit: W}}"
        lines.append(f"{name}: {{link: {name}, unit: 1, poll: 200 ms, points: {{{power}, {written}}}")
    return configuration(directory, links, lines)


def of_servers(servers: KillingServers, directory: Path) -> Path:
    """The configuration of OPC-UA servers, each on a link of its own."""
    links = [
        f"{name}: {{type: opcua, endpoint: 'opc.tcp://127.0.0.1:{server.port}/device', security: None, "
        f"timeout: {PATIENT}}}"
        for name, server in servers.servers.items()
    ]
    node = f"ns={SPACE};s="
    lines = []
    for name, server in servers.servers.items():
        written = (
            f"connect: {{node: '{node}Device', method: '{node}Connect', access: w, write_class: pulse}}"
            if server.method
            else f"limit: {{node: '{node}Limit', type: double, unit: W, access: rw, write_class: stored}}"
        )
        power = f"power: {{node: '{node}Power', type: double, unit: W}}"
        lines.append(f"{name}: {{link: {name}, poll: 200 ms, points: {{{power}, {written}}}")
    return configuration(directory, links, lines)


class Life:
    """The daemon through all its lives."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._log = file.with_name("daemon.log")
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
        verb = "connect" if value in (0, 1) else "limit"
        path = f"/api/v1/devices/{device}/manual"
        asked = {"verb": verb, "value": value, "who": "a test", "why": "to be killed"}
        with suppress(OSError, HTTPException):
            status, _, body = self.daemon.http.ask(path, asked, {"Authorization": f"Bearer {TOKEN}"})
            assert status // 100 == 2, body

    def actuator(self, device: str) -> dict[str, Any]:
        """What the daemon says of a device's only actuator."""
        found: dict[str, Any] = self.daemon.http.get(f"/api/v1/devices/{device}")["actuators"][0]
        return found

    def has_answered(self, device: str, value: int) -> bool:
        """Whether the answer to a write is known that cannot be read back."""
        actuator = self.actuator(device)
        return actuator["state"] in KNOWN and actuator["confirmed"] == value

    def alarms(self) -> set[str]:
        """Keys of the standing alarms."""
        return {alarm["key"] for alarm in self.daemon.http.get("/api/v1/alarms")["alarms"]}


@pytest.fixture
def devices() -> Iterator[KillingDevices]:
    """Devices of every write class."""
    devices = KillingDevices(
        Device("volatile", coil=False, value=50_000),
        Device("stored", coil=False, value=50_000),
        Device("pulse", coil=True),
        Device("blind", coil=True, readable=False),
    )
    yield devices
    devices.close()


@pytest.fixture
def servers() -> Iterator[KillingServers]:
    """A variable and a method."""
    servers = KillingServers(KillingServer("stored", method=False), KillingServer("blind", method=True))
    yield servers
    servers.close()


@pytest.fixture
def live() -> Iterator[Callable[[Path], Life]]:
    """Begins the lives of a daemon on a configuration."""
    with ExitStack() as ends:

        def begin(file: Path) -> Life:
            life = Life(file)
            ends.callback(lambda: life.daemon.close())
            return life

        yield begin


def test_writes_survive_a_daemon_that_dies_at_any_moment(
    devices: KillingDevices, live: Callable[[Path], Life], tmp_path: Path
) -> None:
    life = live(of_devices(devices, tmp_path))
    for number, moment in enumerate(Moment):
        value, on = 10_000 + number, (number + 1) % 2
        wanted = {"blind": on, "volatile": value, "stored": value, "pulse": on}
        before = {name: len(device.log) for name, device in devices.devices.items()}
        devices.arm(moment, life.kill)
        for name, target in wanted.items():
            life.order(name, target)
            if name == "blind" and moment in READS:
                # What is written next leaves only after this answer is durable: the kill cannot take it away.
                wait_for(lambda v=on: life.has_answered("blind", v), START_S, f"the answer is known: {moment}")
        wait_for(devices.killed.is_set, START_S, f"the daemon is killed when {moment}")
        life.again()
        applied = moment is not Moment.SEEN
        for name in ("volatile", "stored"):
            wait_for(lambda n=name: life.actuator(n)["state"] in HOLDING, START_S, f"{name} stands: {moment}")
            assert life.actuator(name)["confirmed"] == value
            assert devices.devices[name].value == value
        for name in ("pulse", "blind"):
            device = devices.devices[name]
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
            wait_for(
                lambda n=name, d=doubtful: d == bool({f"in-doubt:{n}", f"contested:{n}"} & life.alarms()),
                START_S,
                f"an alarm says whether {name} is in doubt: {moment}",
            )
        stored = devices.devices["stored"].log[before["stored"] :]
        assert [w.value for w in stored if w.applied] == [value], f"a stored register is worn: {moment}"
        assert len(stored) == (1 if applied else 2), moment
        assert life.actuator("stored")["writes_total"] == len(devices.devices["stored"].log), moment


def test_writes_over_opcua_survive_it_too(
    servers: KillingServers, live: Callable[[Path], Life], tmp_path: Path
) -> None:
    life = live(of_servers(servers, tmp_path))
    stored, blind = servers.servers["stored"], servers.servers["blind"]
    for number, moment in enumerate((Moment.SEEN, Moment.APPLIED, Moment.FIRST_READ)):
        value, on = 10_000 + number, (number + 1) % 2
        before, called = len(stored.log), len(blind.log)
        servers.arm(moment, life.kill)
        life.order("blind", on)
        if moment in READS:
            # What is written next leaves only after this answer is durable: the kill cannot take it away.
            wait_for(lambda v=on: life.has_answered("blind", v), START_S, f"the answer is known: {moment}")
        life.order("stored", value)
        wait_for(servers.killed.is_set, START_S, f"the daemon is killed when {moment}")
        life.again()
        applied = moment is not Moment.SEEN
        wait_for(lambda: life.actuator("stored")["state"] in HOLDING, START_S, f"stored stands: {moment}")
        assert servers.call(stored.value()) == value
        assert [w.value for w in stored.log[before:] if w.applied] == [value], f"a stored value is worn: {moment}"
        assert len(stored.log) - before == (1 if applied else 2), moment
        known = KNOWN if moment in READS else {"in_doubt"}
        wait_for(lambda k=known: life.actuator("blind")["state"] in k, START_S, f"the call is known: {moment}")
        assert blind.log[called:] == [Written(on, applied)], f"called more than once: {moment}"
        wait_for(
            lambda k=known: (k is KNOWN) != ("in-doubt:blind" in life.alarms()),
            START_S,
            f"an alarm says whether the call is in doubt: {moment}",
        )
        assert life.actuator("blind")["writes_total"] == len(blind.log)
