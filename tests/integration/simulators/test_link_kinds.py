"""The simulator on every kind of Modbus link: serial ports, serial frames over TCP, TLS."""

from __future__ import annotations

import asyncio
import ssl
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from proxied_region import READ_LIMIT, READ_POWER, WRITE_LIMIT, Client, SerialClient, serial, tcp
from simulated_region import REGION, Start, until

from scowl_edge.assembly import assemble
from scowl_edge.model.errors import ScowlError
from simulators.faults import Fault, FaultKind, ServerAction
from simulators.serving import links_in_words, serve

LIMIT = bytes((3, 2, 0, 100))
POWER = bytes.fromhex("0304447a0000")
FIRST_LINK = "{type: modbus-tcp, host: 127.0.0.1}, other"


def on(link: str) -> str:
    """The region with its first link of another kind."""
    return REGION.replace(FIRST_LINK, f"{{{link}}}, other")


def on_a_line(port: Path, baud: int = 115_200) -> str:
    return on(f"type: modbus-rtu, device: {port}, baud: {baud}, parity: none, stop_bits: 2")


RTU_OVER_TCP = on("type: modbus-rtu-tcp, host: 127.0.0.1, port: 5020")


async def test_serial_frames_over_tcp_are_found_by_length_and_check_sum(start: Start) -> None:
    simulator = await start(RTU_OVER_TCP)
    client = await Client.of(simulator.ports["plc"])
    assert await client.ask(serial(3, READ_LIMIT), 7) == serial(3, LIMIT)
    for byte in serial(3, READ_POWER):
        client.send(bytes((byte,)))
        await asyncio.sleep(0)
    assert await client.take(9) == serial(3, POWER), "byte by byte"
    client.send(b"\x03\x03\x00")
    assert await client.quiet(0.1), "half a frame, ended by silence"
    assert await client.ask(serial(3, WRITE_LIMIT), 8) == serial(3, WRITE_LIMIT)
    client.send(serial(3, READ_LIMIT)[:-1] + b"\x00")
    assert await client.quiet(0.1), "a wrong check sum"
    assert await client.ask(serial(3, bytes.fromhex("080000cafe")), 8) == serial(3, bytes.fromhex("080000cafe"))
    assert await client.ask(serial(3, bytes.fromhex("080001cafe")), 5) == serial(3, bytes((0x88, 1)))
    client.send(serial(0, bytes.fromhex("06006e0014")))
    assert await client.quiet(0.1), "nobody answers to everybody's address"
    assert await client.ask(serial(3, READ_LIMIT), 7) == serial(3, bytes((3, 2, 0, 20))), "but all obey"
    assert links_in_words(assemble(RTU_OVER_TCP, "x"), simulator.ports)[0].startswith("plc: Modbus RTU over TCP on 127")
    client.close()


async def test_a_serial_port_is_made_paced_and_taken_away(tmp_path: Path) -> None:
    port = tmp_path / "dev" / "ttyUSB7"
    simulator = await serve(assemble(on_a_line(port, 2400), "x"), 1.0, "127.0.0.1:0", ephemeral=True)
    assert simulator.made == [str(port)]
    loop = asyncio.get_running_loop()
    master = SerialClient(port)
    begun = loop.time()
    assert await master.ask(serial(3, READ_LIMIT), 7) == serial(3, LIMIT)
    assert loop.time() - begun >= (8 + 3.5 + 6) * 11 / 2400, "the bytes take their time, both ways"
    assert await master.ask(serial(5, bytes.fromhex("0300000001")), 7) == serial(5, bytes.fromhex("030255f0"))
    # While the line talks nobody is heard; a machine that stalls may be done talking, so it is tried again.
    for _ in range(20):
        master.send(serial(3, READ_POWER))
        first = await master.take(1)
        master.send(serial(3, READ_LIMIT))
        assert first + await master.take(8) == serial(3, POWER)
        if simulator.modbus["plc"].collisions:
            break
        assert await master.take(7) == serial(3, LIMIT)
    assert simulator.modbus["plc"].collisions == 8
    assert await master.ask(serial(3, READ_LIMIT), 7) == serial(3, LIMIT)
    # Unplugged and plugged in again.
    simulator.plant.add_fault("wind-1", Fault(kind=FaultKind.RESET, times=1))
    was = str(port.readlink())
    master.send(serial(3, READ_LIMIT))
    await until(lambda: not port.is_symlink() or str(port.readlink()) != was)
    master.close()
    await until(port.is_symlink)
    again = SerialClient(port)
    assert await again.ask(serial(3, READ_LIMIT), 7) == serial(3, LIMIT)
    again.close()
    await simulator.close()
    assert not port.is_symlink()


@pytest.mark.parametrize(
    ("what", "words"),
    [("device", "a real device"), ("file", "is a file"), ("link", "not the left-over"), ("folder", "cannot make")],
)
async def test_a_serial_port_is_made_only_where_nothing_is(tmp_path: Path, what: str, words: str) -> None:
    port = tmp_path / "tty"
    if what == "device":
        port = Path("/dev/null")
    elif what == "file":
        port.write_text("mine")
    elif what == "link":
        port.symlink_to(tmp_path / "elsewhere")
    else:
        port = Path("/proc/nowhere/tty")
    with pytest.raises(ScowlError, match=words):
        await serve(assemble(on_a_line(port), "x"), 1.0, "127.0.0.1:0", ephemeral=True)


async def test_a_port_left_over_by_a_simulator_that_was_killed_is_taken(tmp_path: Path) -> None:
    port = tmp_path / "tty"
    port.symlink_to("/dev/pts/9999")
    simulator = await serve(assemble(on_a_line(port), "x"), 1.0, "127.0.0.1:0", ephemeral=True)
    assert str(port.readlink()) != "/dev/pts/9999"
    await simulator.close()


LOCKED = """
import asyncio, fcntl, os, sys, termios
from pathlib import Path
from simulators.wire.ends import SerialLine

class Deaf:
    def received(self, data): pass
    def lost(self): pass

async def main():
    line = SerialLine(Path(sys.argv[1]), lambda end: Deaf())
    line.plug()
    port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(port, termios.TIOCEXCL)
    os.close(port)
    async with asyncio.timeout(60):
        while True:
            try:
                os.close(os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY))
                break
            except OSError:
                await asyncio.sleep(0.01)
    line.close()

if os.getuid() == 0:
    os.chown(os.path.dirname(sys.argv[1]), 65534, 65534)
    os.setgid(65534)
    os.setuid(65534)  # nothing is locked for root
asyncio.run(main())
"""


async def test_a_port_whose_user_was_killed_can_be_opened_again() -> None:
    # The folder above belongs to whoever runs the tests, and nobody else may look into it.
    with TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", LOCKED, f"{folder}/tty", stderr=PIPE)
        _, err = await asyncio.wait_for(process.communicate(), 90)
    assert (process.returncode, err.decode()) == (0, "")


async def test_tls_makes_its_certificates_and_wants_the_clients(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    text = on(
        f"type: modbus-tls, host: 127.0.0.1, port: 5021, ca: {folder}/ca.pem, certificate: {folder}/edge.pem, "
        f"key: {folder}/edge-key.pem"
    )
    simulator = await start(text)
    assert str(folder / "ca.pem") in simulator.made
    assert (folder / "edge-key.pem").stat().st_mode & 0o077 == 0
    context = ssl.create_default_context(cafile=folder / "ca.pem")

    async def connected() -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", simulator.ports["plc"], ssl=context))

    with pytest.raises((ssl.SSLError, ConnectionError)):
        stranger = await connected()
        stranger.send(tcp(1, 3, READ_LIMIT))
        assert await asyncio.wait_for(stranger.reader.read(1), 60) == b"", "without a certificate nobody is let in"
        raise ConnectionError
    context.load_cert_chain(folder / "edge.pem", folder / "edge-key.pem")
    client = await connected()
    assert await client.ask(tcp(1, 3, READ_LIMIT), 11) == tcp(1, 3, LIMIT)
    await simulator.modbus["plc"].act(ServerAction.EXPIRE_CERTIFICATE)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        await connected()
    await simulator.modbus["plc"].act(ServerAction.RENEW_CERTIFICATE)
    renewed = await connected()
    assert await renewed.ask(tcp(1, 3, READ_LIMIT), 11) == tcp(1, 3, LIMIT)
    assert simulator.modbus["plc"].described()["actions"] == {"expire-certificate": 1, "renew-certificate": 1}
    for each in (client, renewed):
        each.close()
    # Another simulator of the same file takes what is there.
    made = {path: path.read_bytes() for path in folder.iterdir()}
    second = await start(text)
    assert second.made == []
    assert {path: path.read_bytes() for path in folder.iterdir()} == made
    # Certificates of somebody else cannot be played.
    (folder / "plc-server.pem").unlink()
    (folder / "ca-key.pem").unlink()
    with pytest.raises(ScowlError, match=r"no key .*ca-key\.pem to issue it with"):
        await start(text)


@pytest.mark.parametrize("kind", ["busy", "gateway"])
async def test_faults_of_devices_strike_serial_frames_as_well(start: Start, kind: str) -> None:
    simulator = await start(RTU_OVER_TCP)
    client = await Client.of(simulator.ports["plc"])
    simulator.plant.add_fault("wind-1", Fault(kind=FaultKind(kind), times=1))
    assert await client.ask(serial(3, READ_LIMIT), 5) == serial(3, bytes((0x83, {"busy": 6, "gateway": 11}[kind])))
    assert await client.ask(serial(3, READ_LIMIT), 7) == serial(3, LIMIT)
    assert dict(simulator.plant.standing.injected) == {("wind-1", kind): 1}
    client.close()


async def test_the_log_tells_what_the_device_held_although_the_answer_came_late(start: Start) -> None:
    simulator = await start(RTU_OVER_TCP)
    client = await Client.of(simulator.ports["plc"])
    simulator.plant.add_fault("wind-1", Fault(kind=FaultKind.LATE, ms=100, times=1))
    client.send(serial(3, READ_LIMIT))
    await until(lambda: simulator.record.count == 1)
    assert await client.ask(serial(4, bytes.fromhex("0400000001")), 7) == serial(4, bytes((4, 2, 0, 0)))
    assert await client.take(7) == serial(3, LIMIT)
    rows = [(row.link, row.unit, row.table, row.address, row.values) for row in simulator.record.since(0)]
    assert rows == [("plc", 3, "holding", 110, (100,)), ("plc", 4, "input", 0, (0,))]
    client.close()
