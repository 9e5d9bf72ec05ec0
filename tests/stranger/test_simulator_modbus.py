"""Our simulator as other people's tools see it: mbpoll over TCP and a serial port, pymodbus's client over TCP, serial
frames in TCP, and TLS. What they print is held against what the simulator says it answered."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient, AsyncModbusTlsClient
from pymodbus.client.mixin import ModbusClientMixin
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU

from scowl_edge.assembly import assemble
from simulators.faults import Fault, FaultKind
from simulators.serving import Simulator, serve
from simulators.wire.record import Answered

INSTALL = "as root run: sh tests/system-packages.sh"
BAUD = 19_200
DATA = ModbusClientMixin.DATATYPE
LINKS = ("tcp", "line", "converter", "secured")
DEVICES = """
  wind-{link}:
    link: {link}
    unit: 3
    points:
      power: {{address: 100, type: float32, order: ABCD, unit: kW, scale: -1}}
      limit: {{address: 110, type: uint16, unit: "%", access: rw}}
      model: {{table: input, address: 0, type: string, length: 4}}
    role: {{kind: generator, dispatch: stochastic, rated: 2 MW, on: grid}}
  chp-{link}:
    link: {link}
    unit: 4
    points:
      power: {{table: input, address: 0, type: int16, unit: kW, scale: -0.1}}
      connect: {{table: coil, address: 7, access: rw}}
      alarm: {{table: discrete, address: 2}}
    role: {{kind: generator, dispatch: fixed, rated: 30 kW, on: grid}}
"""


def region(folder: Path) -> str:
    """The same two devices on a link of each kind. Wind blows at half of what they are made for."""
    return (
        "site: {id: stranger}\n"
        "links:\n"
        "  tcp: {type: modbus-tcp, host: 127.0.0.1}\n"
        f"  line: {{type: modbus-rtu, device: {folder}/ttyE, baud: {BAUD}, parity: none, stop_bits: 1}}\n"
        "  converter: {type: modbus-rtu-tcp, host: 127.0.0.1, port: 5020}\n"
        f"  secured: {{type: modbus-tls, host: 127.0.0.1, ca: {folder}/ca.pem, certificate: {folder}/edge.pem, "
        f"key: {folder}/edge-key.pem}}\n"
        "ratings: {grid: {kind: grid, import: 100 A, meter: grid-meter}}\n"
        "devices:" + "".join(DEVICES.format(link=link) for link in LINKS) + "  grid-meter:\n"
        "    link: tcp\n"
        "    unit: 9\n"
        "    points: {power: {address: 0, type: int32, unit: W}}\n"
        "    role: {kind: grid}\n"
        "simulation:\n"
        "  weather: {wind: 50 %}\n"
        "  front: 1 ms\n"
        "  devices: {"
        + ", ".join(f'wind-{link}: {{model: wind, noise: 0 %, initial: {{model: "W-2000"}}}}' for link in LINKS)
        + "}\n"
    )


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    running = await serve(assemble(region(tmp_path), "site.yaml"), 1.0, "127.0.0.1:0", ephemeral=True)
    yield running
    await running.close()


def answered(simulator: Simulator) -> tuple[str, int, str, int, tuple[int, ...]]:
    """What the simulator answered last, in its own words."""
    (last,) = simulator.record.since(simulator.record.count - 1)
    assert isinstance(last, Answered)
    return last.link, last.unit, last.table, last.address, last.values


class Mbpoll:
    """mbpoll on one link."""

    def __init__(self, *options: str, target: str) -> None:
        program = shutil.which("mbpoll")
        if program is None:
            pytest.skip(f"no mbpoll; {INSTALL}")
        self._command = [program, "-1", "-q", "-0", "-o", "2", *options]
        self._target = target

    async def run(self, unit: int, table: str, address: int, *options: str, write: str = "") -> str:
        """All that it says."""
        command = [*self._command, "-a", str(unit), "-t", table, "-r", str(address), *options, self._target]
        process = await asyncio.create_subprocess_exec(
            *command,
            *(["--", write] if write else []),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 90)
        return said.decode()

    async def read(self, unit: int, table: str, address: int, *options: str) -> list[str]:
        """Values as it prints them."""
        said = await self.run(unit, table, address, *options)
        return re.findall(r"^\[\d+\]:\s+(\S+)", said, re.MULTILINE)


@pytest.mark.parametrize("link", ["tcp", "line"])
async def test_mbpoll_reads_and_commands_it(simulator: Simulator, tmp_path: Path, link: str) -> None:
    if link == "tcp":
        mbpoll = Mbpoll("-p", str(simulator.ports["tcp"]), target="127.0.0.1")
    else:
        mbpoll = Mbpoll("-m", "rtu", "-b", str(BAUD), "-P", "none", "-s", "1", target=str(tmp_path / "ttyE"))
    assert await mbpoll.read(3, "4:float", 100, "-B") == ["1000"]
    assert answered(simulator) == (link, 3, "holding", 100, (0x447A, 0x0000))
    words = await mbpoll.read(3, "3:hex", 0, "-c", "4")
    assert b"".join(bytes.fromhex(word[2:]) for word in words).rstrip(b"\0") == b"W-2000"
    assert await mbpoll.read(4, "1", 2) == ["0"]
    for table, address, value, unit, point in [("4", 110, "50", 3, "limit"), ("0", 7, "1", 4, "connect")]:
        before = await mbpoll.read(unit, table, address)
        assert before == [{"limit": "100", "connect": "0"}[point]]
        assert "Written 1 references" in await mbpoll.run(unit, table, address, write=value)
        assert await mbpoll.read(unit, table, address) == [value]
        assert answered(simulator)[3:] == (address, (int(value),))
    assert "Illegal data address" in await mbpoll.run(3, "4", 5000)
    assert "Illegal data address" in await mbpoll.run(3, "4:float", 100, "-B", write="1.5"), "read only"
    simulator.plant.add_fault(f"wind-{link}", Fault(kind=FaultKind.BUSY, times=1))
    assert "busy" in await mbpoll.run(3, "4", 110)
    assert await mbpoll.read(3, "4", 110) == ["50"]


@asynccontextmanager
async def client_of(simulator: Simulator, link: str, folder: Path) -> AsyncIterator[AsyncModbusTcpClient]:
    """pymodbus's client, connected."""
    port = simulator.ports[link]
    client: AsyncModbusTcpClient
    if link == "secured":
        context = ssl.create_default_context(cafile=folder / "ca.pem")
        context.load_cert_chain(folder / "edge.pem", folder / "edge-key.pem")
        client = AsyncModbusTlsClient("127.0.0.1", port=port, sslctx=context, retries=0)
    else:
        framer = FramerType.RTU if link == "converter" else FramerType.SOCKET
        client = AsyncModbusTcpClient("127.0.0.1", port=port, framer=framer, retries=0)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("link", ["tcp", "converter", "secured"])
async def test_pymodbus_reads_and_commands_it(simulator: Simulator, tmp_path: Path, link: str) -> None:
    async with client_of(simulator, link, tmp_path) as client:

        async def registers(reply: ModbusPDU) -> list[int]:
            assert not reply.isError(), reply
            assert answered(simulator)[4] == tuple(reply.registers)
            return reply.registers

        power = await registers(await client.read_holding_registers(100, count=2, device_id=3))
        assert client.convert_from_registers(power, DATA.FLOAT32) == 1000
        model = await registers(await client.read_input_registers(0, count=4, device_id=3))
        assert client.convert_from_registers(model, DATA.STRING) == "W-2000"
        assert not (await client.write_register(110, 40, device_id=3)).isError()
        assert await registers(await client.read_holding_registers(110, device_id=3)) == [40]
        assert not (await client.write_registers(110, [50], device_id=3)).isError()
        assert await registers(await client.read_holding_registers(110, device_id=3)) == [50]
        assert (await client.read_coils(7, device_id=4)).bits[0] is False
        assert not (await client.write_coil(7, True, device_id=4)).isError()
        assert not (await client.write_coils(7, [True], device_id=4)).isError()
        assert (await client.read_coils(7, device_id=4)).bits[0] is True
        assert (await client.read_discrete_inputs(2, device_id=4)).bits[0] is False
        for refused in (
            await client.read_holding_registers(5000, device_id=3),
            await client.write_registers(100, [1, 2], device_id=3),
        ):
            assert refused.isError() and refused.exception_code == 2
        simulator.plant.add_fault(f"wind-{link}", Fault(kind=FaultKind.GATEWAY, times=1))
        assert (await client.read_holding_registers(110, device_id=3)).exception_code == 11
        assert await registers(await client.read_holding_registers(110, device_id=3)) == [50]
