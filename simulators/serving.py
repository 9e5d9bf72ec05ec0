"""All links of a configuration on real sockets, in real time or N times as fast, with one control port."""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from scowl_edge.assembly import Assembly
from scowl_edge.devices.declaration import DeviceLink, LinkKind, ModbusDevice, ModbusLink, OpcuaLink
from simulators.binding import Bindings, bind
from simulators.control import ControlPort, Server
from simulators.modbus_server import ModbusServer
from simulators.plant import Plant, SimulationError
from simulators.settings import SimulationSettings, read_settings
from simulators.unit import Unit
from simulators.wire.record import Record

if TYPE_CHECKING:
    from simulators.opcua_server import OpcuaServer

TICK_S = 0.1
"""How often the plant goes on when nobody asks."""
OPCUA_PORT = 4840
"""Where an endpoint without a port is."""
_KINDS = {
    LinkKind.TCP: "Modbus TCP",
    LinkKind.RTU: "Modbus RTU",
    LinkKind.RTU_TCP: "Modbus RTU over TCP",
    LinkKind.TLS: "Modbus TCP inside TLS",
}
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

    def wall_seconds(self, plant_ms: float) -> float:
        """How long so many ms of the plant's time last."""
        return plant_ms / 1000.0 / self._rate


class Simulator:
    """A running simulation; made by `serve`."""

    def __init__(self, plant: Plant, clock: PlantClock) -> None:
        self.plant = plant
        self.clock = clock
        self.ports: dict[str, int] = {}
        """TCP port by name of the link; 0 for a serial line."""
        self.control_host = ""
        self.control_port = 0
        self.record = Record()
        """What was answered, by every server."""
        self.modbus: dict[str, ModbusServer] = {}
        """Servers that speak Modbus, by name of the link."""
        self.opcua: dict[str, OpcuaServer] = {}
        """Servers that speak OPC-UA, by name of the link."""
        self._servers: list[ModbusServer | OpcuaServer] = []
        self._folders = ExitStack()
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
            for server in dict.fromkeys(self.opcua.values()):
                await server.show()
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
        places: dict[tuple[str, int], list[DeviceLink]] = {}
        for number, link in enumerate(assembly.links):
            host, port = address_of(link)
            if isinstance(link, ModbusLink) and link.serial is not None:
                places.setdefault((link.serial.device, 0), []).append(link)
                continue
            _refuse_foreign(f"link {link.name}", host)
            # Two links may lead to one address; without the configured ports each gets its own.
            places.setdefault((host, -number if ephemeral else port), []).append(link)
        for (host, port), links in places.items():
            names = ", ".join(link.name for link in links)
            try:
                opened = await self._open(links, bindings, settings, host, 0 if ephemeral else port)
            except OSError as error:
                raise SimulationError(
                    f"cannot listen on {host}:{port} for link {names}: {error.strerror or error}; "
                    "end what uses the port, or change it in the configuration"
                ) from error
            self.ports |= dict.fromkeys((link.name for link in links), opened)
        host, port = _host_port(control)
        _refuse_foreign("the control port", host)
        servers: dict[str, Server] = {**self.modbus, **self.opcua}
        self._control = ControlPort(self.plant, self.clock, assembly, servers, self.record, self.catch_up)
        try:
            self.control_port = await self._control.start(host, port)
        except OSError as error:
            raise SimulationError(
                f"cannot listen on {control} for the control port: {error.strerror or error}; "
                "end what uses the port, or name another with --control"
            ) from error
        self.control_host = host
        self._ticking = asyncio.create_task(self._tick())

    async def _open(
        self, links: list[DeviceLink], bindings: Bindings, settings: SimulationSettings, host: str, port: int
    ) -> int:
        """Starts the server behind one address; the port that it got."""
        modbus = [link for link in links if isinstance(link, ModbusLink)]
        opcua = [link for link in links if isinstance(link, OpcuaLink)]
        if modbus and opcua:
            raise SimulationError(
                f"links {modbus[0].name} and {opcua[0].name} lead to {host}:{port}, but speak Modbus and OPC-UA; "
                "give one of them another port"
            )
        if opcua:
            return await self._open_opcua(opcua, bindings, settings, host, port)
        if len({link.kind for link in modbus}) > 1:
            raise SimulationError(
                f"links {', '.join(link.name for link in modbus)} lead to {host}:{port}, but speak Modbus in different "
                "ways; give them different ports"
            )
        link_of = {device.name: link.name for link in modbus for device in link.devices}
        by_number: dict[int, list[ModbusDevice]] = {}
        for device in (device for link in modbus for device in link.devices):
            by_number.setdefault(device.unit, []).append(device)
        server = ModbusServer(
            modbus[0],
            {
                number: Unit(self.plant, devices, bindings, link_of[devices[0].name])
                for number, devices in by_number.items()
            },
            self.plant,
            catch_up=self.catch_up,
            seconds=self.clock.wall_seconds,
            unknown_unit=settings.unknown_unit,
            record=self.record,
        )
        self._servers.append(server)
        opened = await server.start(host, port)
        self.modbus |= dict.fromkeys((link.name for link in modbus), server)
        return opened

    async def _open_opcua(
        self, links: list[OpcuaLink], bindings: Bindings, settings: SimulationSettings, host: str, port: int
    ) -> int:
        if importlib.util.find_spec("asyncua") is None:
            raise SimulationError(
                f"link {links[0].name} speaks OPC-UA, which needs the package asyncua; "
                "install it with: pip install 'scowl-edge[opcua]'"
            )
        # Sites without such a link do without the library: it is large.
        from simulators.opcua_server import OpcuaServer

        folder = settings.pki or self._folders.enter_context(TemporaryDirectory(prefix="scowl-edge-simulator-"))
        server = OpcuaServer(
            links,
            self.plant,
            bindings,
            Path(folder),
            catch_up=self.catch_up,
            seconds=self.clock.wall_seconds,
            record=self.record,
        )
        self._servers.append(server)
        opened = await server.start(host, port)
        self.opcua |= dict.fromkeys((link.name for link in links), server)
        return opened

    @property
    def made(self) -> list[str]:
        """Files that were made for links: serial ports, certificates."""
        return [path for server in dict.fromkeys(self.modbus.values()) for path in server.made]

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
        self._folders.close()


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
    return [_in_words(link) for link in moved(assembly.links, ports)]


def _in_words(link: DeviceLink) -> str:
    if isinstance(link, ModbusLink):
        units = ", ".join(f"unit {device.unit} = {device.name}" for device in link.devices)
        where = link.serial.device if link.serial is not None else _bracketed(link.host, link.port)
        return f"{link.name}: {_KINDS[link.kind]} on {where}, {units}"
    return f"{link.name}: OPC-UA on {link.endpoint}, {', '.join(device.name for device in link.devices)}"


def moved(links: Iterable[DeviceLink], ports: Mapping[str, int]) -> tuple[DeviceLink, ...]:
    """The links as they are with other ports, by name of the link."""
    return tuple(_moved(link, ports[link.name]) for link in links)


def _moved(link: DeviceLink, port: int) -> DeviceLink:
    if isinstance(link, ModbusLink):
        return replace(link, port=port)
    host, _ = address_of(link)
    parts = urlsplit(link.endpoint)
    return replace(link, endpoint=parts._replace(netloc=_bracketed(host, port)).geturl())


def address_of(link: DeviceLink) -> tuple[str, int]:
    """Host and port of a link; of a serial line an empty host and 0."""
    if isinstance(link, ModbusLink):
        return link.host, link.port
    parts = urlsplit(link.endpoint)
    return str(parts.hostname), parts.port or OPCUA_PORT


def _bracketed(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
