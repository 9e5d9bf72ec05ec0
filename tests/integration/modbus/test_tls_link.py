"""Modbus/TCP Security: both sides show certificates, and whoever is turned down reads why."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from modbus_site import link as tcp_link

from scowl_edge.devices.declaration import LinkKind, LinkTls, ModbusLink, Table
from scowl_edge.drivers.errors import LinkLost, NotAdmitted, ReplyTimeout
from scowl_edge.drivers.modbus import pdu
from scowl_edge.drivers.modbus.endpoint import open_wire
from scowl_edge.drivers.modbus.wire import Wire, exchange

Key = ec.EllipticCurvePrivateKey


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Issuer:
    """A private authority, and the certificates that it writes into a folder."""

    folder: Path
    title: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.sign(self.title, self.key, issuer=True)
        self.path = self.folder / f"{self.title}.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def sign(self, subject: str, key: Key, *, issuer: bool = False, days: int = 1, names: str = "") -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(self.title))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=10))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=issuer, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if names:
            alternatives: list[x509.GeneralName] = [
                x509.IPAddress(ipaddress.ip_address(part)) if part[0].isdigit() or ":" in part else x509.DNSName(part)
                for part in names.split()
            ]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        if not issuer:
            usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def write(self, subject: str, *, days: int = 1, names: str = "") -> tuple[str, str]:
        """A certificate and its key; returns their paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate, secret = self.folder / f"{subject}.pem", self.folder / f"{subject}.key"
        signed = self.sign(subject, key, days=days, names=names)
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(certificate), str(secret)


@dataclass
class Plant:
    """Certificates of all kinds."""

    ours: Issuer
    foreign: Issuer
    tls: LinkTls
    device: tuple[str, str]

    def link(self, port: int, **changes: str) -> ModbusLink:
        plain = replace(tcp_link(port), kind=LinkKind.TLS, connect_timeout_ms=3000)
        return replace(plain, tls=replace(self.tls, **changes))


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    folder = tmp_path_factory.mktemp("pki")
    ours, foreign = Issuer(folder, "site"), Issuer(folder, "stranger")
    certificate, key = ours.write("edge")
    device = ours.write("inverter", names="inverter.example 127.0.0.1")
    return Plant(ours, foreign, LinkTls(ca=str(ours.path), certificate=certificate, key=key, server_name=""), device)


@asynccontextmanager
async def device(
    certificate: tuple[str, str], trusted: Path, *, least: ssl.TLSVersion, most: ssl.TLSVersion | None = None
) -> AsyncIterator[int]:
    """A Modbus server that wants a client certificate. Register A holds A + 1; 100 is answered with the next request.

    On blocking sockets, in a thread: an event loop's server ends a failed handshake without the alert that says why.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.load_verify_locations(trusted)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = least
    if most is not None:
        context.maximum_version = most
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            plain.settimeout(60)
            try:
                held = b""
                with context.wrap_socket(plain, server_side=True) as secured:
                    while len(request := secured.recv(12)) == 12:
                        value = int.from_bytes(request[8:10]) + 1
                        reply = held + request[:4] + bytes((0, 5, *request[6:8], 2)) + value.to_bytes(2)
                        held = reply if value == 101 else b""
                        if not held:
                            secured.sendall(reply)
            except OSError:
                plain.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        await asyncio.to_thread(thread.join, 60)


async def opened(link: ModbusLink) -> Wire:
    return await open_wire(link, rate=1.0, on_stray=lambda: None, on_lost=lambda: None)


async def read(wire: Wire, address: int) -> int:
    reply = await exchange(wire, 1, pdu.read_request(Table.HOLDING, address, 1), 30.0)
    return int.from_bytes(pdu.payload(reply, 2))


VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.mark.parametrize("version", VERSIONS)
async def test_reads_inside_tls(plant: Plant, version: ssl.TLSVersion) -> None:
    async with device(plant.device, plant.ours.path, least=version, most=version) as port:
        wire = await opened(plant.link(port))
        assert [await read(wire, address) for address in (7, 8, 9)] == [8, 9, 10]
        wire.close()


async def test_on_uvloop(plant: Plant) -> None:
    async def story(port: int) -> None:
        wire = await opened(plant.link(port))
        assert await read(wire, 7) == 8
        wire.close()
        certificate, key = plant.foreign.write("intruder")
        with pytest.raises(NotAdmitted, match="issuer of our certificate"):
            await opened(plant.link(port, certificate=certificate, key=key))

    def run(port: int) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(asyncio.wait_for(story(port), 60))

    for version in VERSIONS:
        async with device(plant.device, plant.ours.path, least=version, most=version) as port:
            await asyncio.to_thread(run, port)


async def test_the_name_may_be_given(plant: Plant) -> None:
    only_name = plant.ours.write("named", names="inverter.example")
    async with device(only_name, plant.ours.path, least=VERSIONS[0]) as port:
        wire = await opened(plant.link(port, server_name="inverter.example"))
        assert await read(wire, 1) == 2
        wire.close()
        with pytest.raises(NotAdmitted, match=r"not for 127\.0\.0\.1.*server_name"):
            await opened(plant.link(port))
        with pytest.raises(NotAdmitted, match="not for another"):
            await opened(plant.link(port, server_name="another.example"))


async def test_a_device_that_cannot_be_trusted(plant: Plant) -> None:
    expired = plant.ours.write("old", days=-1, names="127.0.0.1")
    async with device(expired, plant.ours.path, least=VERSIONS[0]) as port:
        with pytest.raises(NotAdmitted, match="has expired"):
            await opened(plant.link(port))
    foreign = plant.foreign.write("foreign", names="127.0.0.1")
    async with device(foreign, plant.ours.path, least=VERSIONS[0]) as port:
        with pytest.raises(NotAdmitted, match="unknown issuer") as refused:
            await opened(plant.link(port))
        assert f"port {port} with TLS" in str(refused.value)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_device_that_does_not_take_our_certificate(plant: Plant, version: ssl.TLSVersion) -> None:
    """With TLS 1.3 it says so only after the handshake."""
    async with device(plant.device, plant.ours.path, least=version, most=version) as port:
        certificate, key = plant.foreign.write("intruder")
        with pytest.raises(NotAdmitted, match="issuer of our certificate"):
            await opened(plant.link(port, certificate=certificate, key=key))
        certificate, key = plant.ours.write("outdated", days=-1)
        with pytest.raises(NotAdmitted, match="our certificate has expired"):
            await opened(plant.link(port, certificate=certificate, key=key))


async def test_a_device_that_turns_us_down_without_a_word(plant: Plant) -> None:
    """An event loop's server does so."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*plant.device)
    context.load_verify_locations(plant.ours.path)
    context.verify_mode = ssl.CERT_REQUIRED
    certificate, key = plant.foreign.write("unwanted")
    for version, words in zip(VERSIONS, ("during the TLS handshake", "right after the handshake"), strict=True):
        context.minimum_version, context.maximum_version = VERSIONS[0], version
        server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0, ssl=context)
        link = plant.link(server.sockets[0].getsockname()[1], certificate=certificate, key=key)
        with pytest.raises(LinkLost, match=words):
            await opened(link)
        server.close()


async def test_files_that_cannot_be_used(plant: Plant, tmp_path: Path) -> None:
    with pytest.raises(NotAdmitted, match=r"`ca` .*none.pem cannot be used: No such file"):
        await opened(plant.link(1, ca=str(tmp_path / "none.pem")))
    (tmp_path / "text.pem").write_text("no certificate")
    with pytest.raises(NotAdmitted, match=r"`ca` .*no PEM"):
        await opened(plant.link(1, ca=str(tmp_path / "text.pem")))
    with pytest.raises(NotAdmitted, match="the key is not that of the certificate"):
        await opened(plant.link(1, key=plant.device[1]))


async def test_a_renewed_certificate_is_taken_at_the_next_connect(plant: Plant, tmp_path: Path) -> None:
    folder = Issuer(tmp_path, "renewing")
    certificate, key = folder.write("edge", days=-1)
    async with device(plant.device, folder.path, least=VERSIONS[1]) as port:
        link = plant.link(port, certificate=certificate, key=key)
        with pytest.raises(NotAdmitted, match="our certificate has expired"):
            await opened(link)
        folder.write("edge")
        wire = await opened(link)
        assert await read(wire, 3) == 4
        wire.close()


async def test_a_port_that_does_not_speak_tls(plant: Plant) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x00\x01\x00\x00\x00\x03\x01\x83\x02")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    with pytest.raises(NotAdmitted, match="does not speak TLS"):
        await opened(plant.link(server.sockets[0].getsockname()[1]))
    server.close()


async def test_a_port_that_says_nothing(plant: Plant) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        link = replace(plant.link(listening.getsockname()[1]), connect_timeout_ms=200)
        with pytest.raises(LinkLost, match="no answer within"):
            await opened(link)


async def test_a_late_reply_inside_tls_is_dropped(plant: Plant) -> None:
    strays: list[int] = []
    async with device(plant.device, plant.ours.path, least=VERSIONS[1]) as port:
        wire = await open_wire(plant.link(port), rate=1.0, on_stray=lambda: strays.append(1), on_lost=lambda: None)
        with pytest.raises(ReplyTimeout):
            await exchange(wire, 1, pdu.read_request(Table.HOLDING, 100, 1), 0.05)
        assert [await read(wire, address) for address in (7, 8, 9)] == [8, 9, 10]
        assert len(strays) == 1
        wire.close()
