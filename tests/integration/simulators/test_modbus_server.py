"""The simulator's Modbus server, seen by clients that are not ours: every type, order and function code."""

from __future__ import annotations

import asyncio
import shutil
import struct
from collections.abc import Awaitable, Callable

import pytest
from pymodbus.client import AsyncModbusTcpClient
from simulated_region import REGION, Start, Wire, until

from simulators.faults import Fault, FaultKind
from simulators.serving import Simulator

SIZES = {"int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8}
FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "float32": "f",
    "int64": "q",
    "uint64": "Q",
    "float64": "d",
}
ORDERS = ("ABCD", "BADC", "CDAB", "DCBA")
VALUES = {"int16": -1234, "uint16": 60_001, "int32": -123_456_789, "uint32": 4_000_000_001}
VALUES |= {"int64": -(2**40) - 5, "uint64": 2**45 + 3, "float32": -0.15625, "float64": 12345.678901}

Connect = Callable[[int], Awaitable[Wire]]


def as_registers(wire_type: str, order: str, value: float) -> list[int]:
    """An independent way: words low or high first, bytes within them swapped or not."""
    size = SIZES[wire_type]
    data = struct.pack(">" + FORMATS[wire_type], value)
    words = [data[at : at + 2] for at in range(0, size, 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return [int.from_bytes(word, "big") for word in words]


def every_type_and_order() -> str:
    lines, address = [], 0
    for wire_type, size in SIZES.items():
        for order in ORDERS:
            name = f"{wire_type}-{order}"
            lines.append(f"      {name}: {{address: {address}, type: {wire_type}, order: {order}, access: rw}}")
            address += size // 2
    points = "\n".join(lines)
    initial = ", ".join(f"{kind}-{order}: {VALUES[kind]}" for kind in SIZES for order in ORDERS)
    return f"""
site: {{id: bench}}
links: {{plc: {{type: modbus-tcp, host: 127.0.0.1}}}}
devices:
  box:
    link: plc
    unit: 9
    points:
{points}
simulation: {{devices: {{box: {{initial: {{{initial}}}}}}}}}
"""


def shows(simulator: Simulator, device: str, power_w: float) -> bool:
    return simulator.plant.read(device, "power") == pytest.approx(power_w)


async def client_of(port: int) -> AsyncModbusTcpClient:
    client = AsyncModbusTcpClient("127.0.0.1", port=port, retries=0, timeout=3)
    assert await client.connect()
    return client


async def test_pymodbus_reads_and_writes_every_type_and_order(start: Start) -> None:
    simulator = await start(every_type_and_order())
    client = await client_of(simulator.ports["plc"])
    try:
        address = 0
        for wire_type, size in SIZES.items():
            for order in ORDERS:
                reply = await client.read_holding_registers(address, count=size // 2, device_id=9)
                expected = as_registers(wire_type, order, VALUES[wire_type])
                assert reply.registers == expected, f"{wire_type} {order}"
                written = as_registers(wire_type, order, 77)
                reply = await client.write_registers(address, written, device_id=9)
                assert not reply.isError()
                reply = await client.read_holding_registers(address, count=size // 2, device_id=9)
                assert reply.registers == written
                assert simulator.plant.plain[0, f"{wire_type}-{order}"] == 77
                address += size // 2
    finally:
        client.close()


async def test_signals_show_what_the_physics_does(start: Start) -> None:
    simulator = await start(REGION)
    client = await client_of(simulator.ports["plc"])
    meter = await client_of(simulator.ports["other"])
    try:
        reply = await client.read_holding_registers(100, count=2, device_id=3)
        assert struct.unpack(">f", struct.pack(">HH", *reply.registers))[0] == 1000.0
        assert (await client.read_holding_registers(110, count=1, device_id=3)).registers == [100]
        assert not (await client.write_register(110, 10, device_id=3)).isError()
        assert not (await client.write_register(4, 100, device_id=5)).isError()
        await until(lambda: shows(simulator, "charger-1", 6900))
        reply = await client.read_holding_registers(100, count=2, device_id=3)
        assert struct.unpack(">f", struct.pack(">HH", *reply.registers))[0] == 200.0
        reply = await client.read_holding_registers(0, count=2, device_id=5)
        assert reply.registers == [6900, 0], "CDAB: low word first"
        reply = await client.read_input_registers(0, count=4, device_id=3)
        assert struct.pack(">4H", *reply.registers) == b"W-2000\0\0"
        reply = await meter.read_holding_registers(0, count=4, device_id=1)
        power_w, current_ma = struct.unpack(">iI", struct.pack(">4H", *reply.registers))
        assert power_w == -200_000 + 6900 + 4000
        assert current_ma == round(abs(power_w) / 3 / 230 * 1000)
    finally:
        client.close()
        meter.close()


async def test_coils_discrete_inputs_and_single_bits(start: Start) -> None:
    simulator = await start(REGION)
    client = await client_of(simulator.ports["plc"])
    try:
        assert (await client.read_coils(7, count=1, device_id=4)).bits[0] is False
        assert not (await client.write_coil(7, True, device_id=4)).isError()
        assert (await client.read_coils(7, count=1, device_id=4)).bits[0] is True
        await until(lambda: shows(simulator, "chp-1", -30_000))
        assert (await client.read_input_registers(0, count=1, device_id=4)).registers == [300]
        assert not (await client.write_coils(7, [False], device_id=4)).isError()
        await until(lambda: shows(simulator, "chp-1", 0))
        assert (await client.read_discrete_inputs(2, count=1, device_id=4)).bits[0] is False
        reply = await client.mask_write_register(address=5, and_mask=0xFFFB, or_mask=0x0004, device_id=5)
        assert not reply.isError()
        assert (await client.read_holding_registers(5, count=1, device_id=5)).registers == [4]
        assert not (await client.write_register(5, 0x0201, device_id=5)).isError()
        assert (await client.read_holding_registers(5, count=1, device_id=5)).registers == [0x0200], "warm is read-only"
    finally:
        client.close()


async def test_a_grant_without_a_register_of_its_own_is_what_reads_back(start: Start) -> None:
    simulator = await start(REGION)
    client = await client_of(simulator.ports["plc"])
    try:
        assert not (await client.write_register(2, 60, device_id=6)).isError()
        assert not (await client.write_register(1, 2500, device_id=6)).isError()
        reply = await client.read_holding_registers(1, count=2, device_id=6)
        assert reply.registers[0] == 1000
        assert 55 <= reply.registers[1] <= 60
        assert [(write.signal, write.value) for write in simulator.plant.accepted] == [
            ("shed_expiry", 60.0),
            ("shed_request", 2500.0),
        ]
    finally:
        client.close()


@pytest.mark.parametrize(
    ("unit", "pdu", "code"),
    [
        (3, "2b0e0100", 1),
        (3, "0300640000", 3),
        (3, "030064007e", 3),
        (3, "030000000a", 2),
        (3, "0400000005", 2),
        (3, "0600640001", 2),
        (3, "06006e00ff", 3),
        (3, "10006e0001030064", 3),
        (3, "1000640002040000000000", 3),
        (5, "0600000001", 2),
        (4, "0500071234", 3),
        (4, "050008ff00", 2),
        (4, "0100070000", 3),
        (5, "06", 3),
    ],
)
async def test_bad_requests_get_the_code_of_the_standard(
    start: Start, connect: Connect, unit: int, pdu: str, code: int
) -> None:
    simulator = await start(REGION)
    wire = await connect(simulator.ports["plc"])
    request = bytes.fromhex(pdu)
    assert await wire.ask(unit, request) == bytes((request[0] | 0x80, code))
    assert simulator.plant.accepted == []


async def test_pipelined_requests_are_answered_in_order_and_a_late_unit_delays_by_its_own_delay(
    start: Start, connect: Connect
) -> None:
    simulator = await start(REGION)
    wire = await connect(simulator.ports["plc"])
    simulator.plant.add_fault("chp-1", Fault(kind=FaultKind.DELAY, ms=300))
    begun = asyncio.get_running_loop().time()
    for transaction in range(10):
        wire.send(transaction, 4 if transaction % 2 else 3, bytes.fromhex("0400000001"))
    received = [await wire.receive() for _ in range(10)]
    elapsed = asyncio.get_running_loop().time() - begun
    assert [transaction for transaction, _, _ in received] == list(range(10))
    assert 0.29 <= elapsed < 1.2, "five late answers wait side by side"


async def test_silence_refusal_exception_and_lost_answers(start: Start, connect: Connect) -> None:
    simulator = await start(REGION)
    plant = simulator.plant
    wire = await connect(simulator.ports["plc"])
    read_limit, write_limit = bytes.fromhex("03006e0001"), bytes.fromhex("06006e0032")
    plant.add_fault("wind-1", Fault(kind=FaultKind.REFUSAL, code=6))
    assert await wire.ask(3, write_limit) == bytes((0x86, 6))
    assert await wire.ask(3, read_limit) == bytes((3, 2, 0, 100))
    plant.add_fault("wind-1", Fault(kind=FaultKind.EXCEPTION, code=11))
    assert await wire.ask(3, read_limit) == bytes((0x83, 11))
    plant.clear_fault("wind-1")
    plant.add_fault("wind-1", Fault(kind=FaultKind.SILENCE))
    wire.send(7, 3, write_limit)
    assert await wire.ask(4, bytes.fromhex("0400000001")) == bytes((4, 2, 0, 0)), "the silent request has no answer"
    assert plant.accepted == []
    plant.clear_fault("wind-1")
    plant.add_fault("wind-1", Fault(kind=FaultKind.LOST_ANSWER))
    wire.send(8, 3, write_limit)
    assert await wire.ask(3, read_limit) == bytes((3, 2, 0, 50)), "applied, but never acknowledged"


async def test_unknown_units_are_silent_or_say_so(start: Start, connect: Connect) -> None:
    simulator = await start(REGION)
    wire = await connect(simulator.ports["plc"])
    wire.send(1, 77, bytes.fromhex("0300000001"))
    wire.send(2, 3, bytes.fromhex("03006e0001"))
    assert (await wire.receive())[0] == 2
    talkative = await start(REGION + "  unknown_unit: 11\n")
    wire = await connect(talkative.ports["plc"])
    assert await wire.ask(77, bytes.fromhex("0300000001")) == bytes((0x83, 11))


async def test_what_is_no_frame_ends_the_connection(start: Start, connect: Connect) -> None:
    simulator = await start(REGION)
    wire = await connect(simulator.ports["plc"])
    wire.writer.write(b"GET / HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(60):
        assert await wire.reader.read() == b""


async def test_time_goes_faster_on_request(start: Start) -> None:
    simulator = await start(REGION, clock_rate=200.0)
    begun_ms = simulator.plant.now_ms
    begun = asyncio.get_running_loop().time()
    await until(lambda: simulator.plant.now_ms >= begun_ms + 60_000)
    assert 0.2 < asyncio.get_running_loop().time() - begun < 3


@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="mbpoll is not installed (apt-get install mbpoll)")
async def test_mbpoll_reads_and_writes(start: Start) -> None:
    simulator = await start(REGION)
    port = str(simulator.ports["plc"])
    assert await mbpoll(port, "3", "-r", "100", "-t", "4:float", "-B") == {100: "1000"}
    assert await mbpoll(port, "4", "-r", "7", "-t", "0") == {7: "0"}
    await mbpoll(port, "3", "-r", "110", "-t", "4", write="20")
    assert await mbpoll(port, "3", "-r", "110", "-t", "4") == {110: "20"}
    await until(lambda: shows(simulator, "wind-1", -400_000))
    assert await mbpoll(port, "3", "-r", "100", "-t", "4:float", "-B") == {100: "400"}


async def mbpoll(port: str, unit: str, *options: str, write: str = "") -> dict[int, str]:
    """Values by address, as mbpoll prints them."""
    arguments = ["-m", "tcp", "-p", port, "-a", unit, "-0", "-1", "-q", "-o", "3", *options, "127.0.0.1"]
    process = await asyncio.create_subprocess_exec(
        "mbpoll",
        *arguments,
        *([write] if write else []),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 0, (out + err).decode()
    found: dict[int, str] = {}
    for line in out.decode().splitlines():
        if line.startswith("["):
            address, _, value = line[1:].partition("]:")
            found[int(address)] = value.split()[0]
    return found
