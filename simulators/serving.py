"""All links of a configuration on real sockets, in real time or N times as fast, with one control port."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Mapping

from scowl_edge.assembly import Assembly
from scowl_edge.devices.declaration import ModbusDevice
from simulators.binding import bind
from simulators.control import ControlPort
from simulators.modbus_server import ModbusServer
from simulators.plant import Plant, SimulationError
from simulators.settings import SimulationSettings, read_settings
from simulators.unit import Unit

TICK_S = 0.1
"""How often the plant goes on when nobody asks."""
_FINEST_STEP_S = 0.01
"""Requests closer together than this see the plant at the same moment; large sites would do nothing but physics."""


class PlantClock:
    """The plant's time as it follows the wall's: `rate` ms of it pass in each ms."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._wall_s = time.monotonic()
        self._plant_ms = 0.0

    @property
    def rate(self) -> float:
        """How many times faster than the wall."""
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        self._plant_ms = self._now()
        self._wall_s = time.monotonic()
        self._rate = rate

    def _now(self) -> float:
        return self._plant_ms + (time.monotonic() - self._wall_s) * 1000.0 * self._rate

    def now_ms(self) -> int:
        """Present time of the plant in ms since the start."""
        return int(self._now())

    def wall_seconds(self, plant_ms: int) -> float:
        """How long so many ms of the plant's time last."""
        return plant_ms / 1000.0 / self._rate


class Simulator:
    """A running simulation; made by `serve`."""

    def __init__(self, plant: Plant, clock: PlantClock) -> None:
        self.plant = plant
        self.clock = clock
        self.ports: dict[str, int] = {}
        """TCP port by name of the link."""
        self.control_host = ""
        self.control_port = 0
        self._servers: list[ModbusServer] = []
        self._control: ControlPort | None = None
        self._ticking: asyncio.Task[None] | None = None

    def catch_up(self) -> None:
        """Lets the plant's time reach the present."""
        now_ms = self.clock.now_ms()
        if now_ms - self.plant.now_ms >= _FINEST_STEP_S * 1000.0 * self.clock.rate:
            self.plant.advance(now_ms)

    async def _tick(self) -> None:
        while True:
            self.catch_up()
            await asyncio.sleep(TICK_S)

    async def start(
        self,
        assembly: Assembly,
        settings: SimulationSettings,
        control: str,
        *,
        ephemeral: bool,
    ) -> None:
        """Opens every port.

        Raises:
            SimulationError: an address is not loopback, or taken.
        """
        bindings = bind(assembly)
        places: dict[tuple[str, int], dict[int, list[ModbusDevice]]] = {}
        keys: dict[str, tuple[str, int]] = {}
        for number, link in enumerate(assembly.links):
            _refuse_foreign(f"link {link.name}", link.host)
            # Two links may lead to one address; without the configured ports each gets its own.
            keys[link.name] = (link.host, -number if ephemeral else link.port)
            units = places.setdefault(keys[link.name], {})
            for device in link.devices:
                units.setdefault(device.unit, []).append(device)
        opened: dict[tuple[str, int], int] = {}
        for (host, port), by_number in places.items():
            server = ModbusServer(
                {number: Unit(self.plant, devices, bindings) for number, devices in by_number.items()},
                catch_up=self.catch_up,
                seconds=self.clock.wall_seconds,
                unknown_unit=settings.unknown_unit,
            )
            try:
                opened[host, port] = await server.start(host, 0 if ephemeral else port)
            except OSError as error:
                names = ", ".join(name for name, key in keys.items() if key == (host, port))
                raise SimulationError(
                    f"cannot listen on {host}:{port} for link {names}: {error.strerror or error}; "
                    "end what uses the port, or change it in the configuration"
                ) from error
            self._servers.append(server)
        self.ports = {name: opened[key] for name, key in keys.items()}
        host, port = _host_port(control)
        _refuse_foreign("the control port", host)
        self._control = ControlPort(self.plant, self.clock, assembly, self.catch_up)
        try:
            self.control_port = await self._control.start(host, port)
        except OSError as error:
            raise SimulationError(
                f"cannot listen on {control} for the control port: {error.strerror or error}; "
                "end what uses the port, or name another with --control"
            ) from error
        self.control_host = host
        self._ticking = asyncio.create_task(self._tick())

    async def run(self) -> None:
        """Waits as long as the plant goes on; a fault in its physics comes out here."""
        if self._ticking is not None:
            await self._ticking

    async def close(self) -> None:
        """Closes every port."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        if self._control is not None:
            await self._control.close()
        for server in self._servers:
            await server.close()


async def serve(
    assembly: Assembly, clock_rate: float = 1.0, control: str | None = None, *, ephemeral: bool = False
) -> Simulator:
    """Starts a simulation of everything that the configuration declares.

    Args:
        assembly: The configuration, the same that the daemon reads.
        clock_rate: How many times faster than the wall the plant's time goes.
        control: HOST:PORT of the control port; by default what the configuration says. Port 0 takes any free one.
        ephemeral: Take free ports instead of the configured ones; see `Simulator.ports` and `control_port`.

    Raises:
        ConfigError: the `simulation:` section is faulty.
        SimulationError: an address is not loopback, or taken.
    """
    if not 0.01 <= clock_rate <= 1000.0:
        raise SimulationError(f"a clock rate of {clock_rate:g} is out of range; give 0.01 to 1000")
    settings = settings_of(assembly)
    clock = PlantClock(clock_rate)
    simulator = Simulator(Plant(assembly.site, settings), clock)
    try:
        wanted = control or ("127.0.0.1:0" if ephemeral else settings.control)
        await simulator.start(assembly, settings, wanted, ephemeral=ephemeral)
    except BaseException:
        await simulator.close()
        raise
    return simulator


def settings_of(assembly: Assembly) -> SimulationSettings:
    """The `simulation:` section of a configuration, checked against its devices and ratings.

    Raises:
        ConfigError: with every fault of the section.
    """
    devices = [device.name for device in assembly.site.devices]
    return read_settings(assembly.document, devices, [rating.name for rating in assembly.site.ratings])


def links_in_words(assembly: Assembly, ports: Mapping[str, int]) -> list[str]:
    """A line for each link: where it listens, and who answers there."""
    return [
        f"{link.name}: Modbus TCP on {link.host}:{ports[link.name]}, "
        + ", ".join(f"unit {device.unit} = {device.name}" for device in link.devices)
        for link in assembly.links
    ]


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise SimulationError(f"{text!r} is no HOST:PORT; write e.g. 127.0.0.1:0")
    return host.strip("[]"), int(port)


def _refuse_foreign(what: str, host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise SimulationError(
            f"{what} is at {host}, which is not this machine: a simulator listens on loopback only; "
            "set host: 127.0.0.1 in a copy of the configuration"
        )
