"""Faults of devices behind the simulator's OPC-UA server, and of the server as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from asyncua import Client, ua
from asyncua.crypto.cert_gen import setup_self_signed_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from opcua_region import REGION, Connect, node_of, status_of
from simulated_region import Start, until

from simulators.faults import Fault, FaultKind
from simulators.serving import Simulator


class Seen:
    """Keeps what a subscription brings."""

    def __init__(self) -> None:
        self.values: list[ua.DataValue] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """Called by the library."""
        self.values.append(data.monitored_item.Value)

    def status_change_notification(self, status: Any) -> None:
        """Called by the library."""


async def soon(awaitable: Awaitable[Any]) -> Any:
    """An answer that is not late."""
    async with asyncio.timeout(0.4):
        return await awaitable


async def act(simulator: Simulator, action: str, status: int = 200, link: str = "scada") -> Any:
    """Orders something over the control port."""
    url = f"http://127.0.0.1:{simulator.control_port}/servers/{link}"
    async with aiohttp.ClientSession() as session, session.post(url, json={"action": action}) as response:
        answer = await response.json()
        assert response.status == status, answer
        return answer


@pytest.mark.parametrize(
    ("fault", "read", "write"),
    [
        (Fault(kind=FaultKind.REFUSAL), "Good", "BadNotWritable"),
        (Fault(kind=FaultKind.REFUSAL, code=6), "Good", "BadResourceUnavailable"),
        (Fault(kind=FaultKind.EXCEPTION), "BadDeviceFailure", "BadDeviceFailure"),
        (Fault(kind=FaultKind.EXCEPTION, code=11), "BadNoCommunication", "BadNoCommunication"),
    ],
)
async def test_a_fault_is_a_status(start: Start, client: Connect, fault: Fault, read: str, write: str) -> None:
    simulator = await start(REGION)
    session = await client(simulator)
    seen = Seen()
    subscription = await session.create_subscription(50, seen)
    limit = await node_of(session, "s=Wind/Limit")
    await subscription.subscribe_data_change(limit)
    simulator.plant.add_fault("wind-1", fault)
    assert await status_of(limit.read_value()) == read
    assert await status_of(limit.write_value(50, ua.VariantType.UInt16)) == write
    assert await status_of(session.get_node("ns=4;i=100").read_value()) == "Good", "another device"
    await until(lambda: bool(seen.values) and seen.values[-1].StatusCode.name == read)
    assert simulator.plant.accepted == []
    simulator.plant.clear_fault("wind-1")
    await limit.write_value(50, ua.VariantType.UInt16)
    await until(lambda: seen.values[-1].Value is not None and seen.values[-1].Value.Value == 50)
    await subscription.delete()


async def test_silence_lost_answers_and_delays(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    plant = simulator.plant
    session = await client(simulator)
    limit, other = await node_of(session, "s=Wind/Limit"), session.get_node("ns=4;i=100")
    plant.add_fault("wind-1", Fault(kind=FaultKind.SILENCE))
    silent = asyncio.create_task(status_of(limit.write_value(50, ua.VariantType.UInt16)))
    assert await other.read_value() == 4000, "another device's request is answered meanwhile"
    assert not silent.done()
    with pytest.raises(TimeoutError):
        await soon(silent)
    assert plant.accepted == []
    plant.clear_fault("wind-1")
    plant.add_fault("wind-1", Fault(kind=FaultKind.LOST_ANSWER))
    lost = asyncio.create_task(limit.write_value(50, ua.VariantType.UInt16))
    await until(lambda: len(plant.accepted) == 1)
    assert await limit.read_value() == 50, "applied, but never acknowledged"
    with pytest.raises(TimeoutError):
        await soon(lost)
    plant.clear_fault("wind-1")
    plant.add_fault("wind-1", Fault(kind=FaultKind.DELAY, ms=300))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    late = asyncio.create_task(limit.read_value())
    assert await other.read_value() == 4000
    assert not late.done(), "what comes late holds up nobody else"
    assert await late == 50
    assert loop.time() - begun >= 0.29


async def test_what_is_acknowledged_need_not_be_so(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    plant = simulator.plant
    session = await client(simulator)
    limit, power = await node_of(session, "s=Wind/Limit"), await node_of(session, "s=Wind/Power")
    plant.add_fault("wind-1", Fault(kind=FaultKind.ACK_NOT_APPLIED))
    await limit.write_value(50, ua.VariantType.UInt16)
    assert await limit.read_value() == 100
    plant.clear_fault("wind-1")
    plant.add_fault("wind-1", Fault(kind=FaultKind.STUCK))
    await limit.write_value(40, ua.VariantType.UInt16)
    assert await limit.read_value() == 100
    plant.clear_fault("wind-1")
    assert await limit.read_value() == 40
    plant.add_fault("wind-1", Fault(kind=FaultKind.SECOND_MASTER, signal="limit", value=200_000, every_ms=50))
    await until(lambda: plant.read("wind-1", "limit") == 200_000)
    assert await limit.read_value() == 10
    await until(lambda: plant.read("wind-1", "power") == -200_000)
    assert await power.read_value() == pytest.approx(200)


async def test_a_silent_link_is_a_frozen_server(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    session = await client(simulator)
    seen = Seen()
    subscription = await session.create_subscription(50, seen)
    await subscription.subscribe_data_change(await node_of(session, "s=Wind/Limit"))
    await until(lambda: len(seen.values) == 1)
    for device in simulator.plant.site.devices:
        simulator.plant.add_fault(device.name, Fault(kind=FaultKind.SILENCE))
    assert simulator.opcua["scada"].described()["frozen"] is True
    with pytest.raises(TimeoutError):
        await soon(session.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value())
    with pytest.raises(TimeoutError):
        await soon(Client(simulator.opcua["scada"].endpoint).connect_and_get_server_endpoints())
    simulator.plant.write("wind-1", "limit", 1_000_000)
    for device in simulator.plant.site.devices:
        simulator.plant.clear_fault(device.name)
    await until(lambda: seen.values[-1].Value.Value == 50)
    assert await session.get_node("ns=4;i=100").read_value() == 4000
    await subscription.delete()


async def test_kicked_forgotten_and_cut(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    session = await client(simulator)
    node = session.get_node("ns=4;i=100")
    await session.create_subscription(50, Seen())
    assert (await act(simulator, "forget-subscriptions"))["subscriptions"] == 0
    assert await node.read_value() == 4000
    assert (await act(simulator, "kick"))["sessions"] == 0
    assert await status_of(node.read_value()) == "BadSessionIdInvalid"
    again = await client(simulator)
    assert await again.get_node("ns=4;i=100").read_value() == 4000
    await act(simulator, "cut")
    with pytest.raises((ConnectionError, TimeoutError)):
        await again.get_node("ns=4;i=100").read_value()
    assert await (await client(simulator)).get_node("ns=4;i=100").read_value() == 4000


async def test_stopped_and_started(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    port = simulator.ports["scada"]
    session = await client(simulator)
    await (await node_of(session, "s=Wind/Limit")).write_value(50, ua.VariantType.UInt16)
    stopped = await act(simulator, "stop")
    assert (stopped["running"], stopped["sessions"]) == (False, 0)
    with pytest.raises(OSError, match=str(port)):
        await client(simulator)
    assert (await act(simulator, "start"))["endpoint"].endswith(f":{port}/site")
    session = await client(simulator)
    assert await (await node_of(session, "s=Wind/Limit")).read_value() == 50, "the device went on"


async def test_namespaces_move_and_their_uris_stay(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    session = await client(simulator)
    table = await session.get_namespace_array()
    assert table.index("urn:site") == 2
    described = await act(simulator, "shift-namespaces")
    session = await client(simulator)
    moved = await session.get_namespace_array()
    assert moved.index("urn:site") == 3
    assert described["namespaces"] == moved
    assert await (await node_of(session, "s=Wind/Limit")).read_value() == 100
    assert await session.get_node("ns=5;i=100").read_value() == 4000
    old = ["ns=2;s=Wind/Limit", "ns=4;i=100", "ns=4;s=Home/RequestShed"]
    assert {await status_of(session.get_node(node).read_value()) for node in old} == {"BadNodeIdUnknown"}
    shed = ua.NodeId.from_string("ns=5;s=Home/RequestShed")
    await session.get_node("ns=5;s=Home").call_method(shed, ua.Variant(500.0, ua.VariantType.Float))
    assert simulator.plant.accepted[-1].value == 500


async def test_unknown_actions_and_links_are_told(start: Start) -> None:
    simulator = await start(REGION)
    assert "known are: kick, cut" in (await act(simulator, "explode", 400))["error"]
    assert "known are: scada" in (await act(simulator, "kick", 404, "plc"))["error"]


def secured(folder: Path) -> Callable[[Client], Awaitable[None]]:
    """Lets a client sign and encrypt."""

    async def prepare(client: Client) -> None:
        client.application_uri = "urn:a:test"
        certificate, key = folder / "client.der", folder / "client.pem"
        await setup_self_signed_certificate(
            key, certificate, client.application_uri, "localhost", [ExtendedKeyUsageOID.CLIENT_AUTH], {}
        )
        await client.set_security(
            SecurityPolicyBasic256Sha256, str(certificate), str(key), mode=ua.MessageSecurityMode.SignAndEncrypt
        )

    return prepare


async def test_signed_encrypted_and_expired(start: Start, client: Connect, tmp_path: Path) -> None:
    simulator = await start(REGION + f"  pki: {tmp_path / 'pki'}\n")
    session = await client(simulator, secured(tmp_path))
    limit = await node_of(session, "s=Wind/Limit")
    await limit.write_value(50, ua.VariantType.UInt16)
    assert await limit.read_value() == 50
    kept = Path(simulator.opcua["scada"].described()["certificate"])  # type: ignore[arg-type]
    assert kept.is_relative_to(tmp_path / "pki")
    assert kept.with_name("key.pem").stat().st_mode & 0o777 == 0o600
    valid = await served(simulator)
    assert x509.load_der_x509_certificate(valid).not_valid_after_utc > datetime.now(UTC)
    assert (await act(simulator, "expire-certificate"))["expired"] is True
    expired = x509.load_der_x509_certificate(await served(simulator))
    assert expired.not_valid_after_utc < datetime.now(UTC)
    assert expired.public_key() == x509.load_der_x509_certificate(valid).public_key()
    await act(simulator, "renew-certificate")
    assert await served(simulator) == valid


async def served(simulator: Simulator) -> bytes:
    """The certificate that the server shows to whoever asks."""
    endpoints = await Client(simulator.opcua["scada"].endpoint).connect_and_get_server_endpoints()
    return bytes(endpoints[0].ServerCertificate)


async def test_only_the_configured_user_may_come_in(start: Start, client: Connect, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    user = f"user: edge, password: {{file: {tmp_path / 'password'}}}"
    simulator = await start(REGION.replace("security: None}", f"security: None, {user}}}"))

    def with_password(text: str) -> Callable[[Client], Awaitable[None]]:
        async def prepare(made: Client) -> None:
            made.set_user("edge")
            made.set_password(text)

        return prepare

    session = await client(simulator, with_password("secret"))
    assert await session.get_node("ns=4;i=100").read_value() == 4000
    assert await status_of(client(simulator, with_password("wrong"))) == "BadUserAccessDenied"
    assert await status_of(client(simulator)) == "BadIdentityTokenRejected"


async def test_faults_on_the_way_are_counted(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    plant, injected = simulator.plant, simulator.plant.standing.injected
    session = await client(simulator)
    power = await node_of(session, "s=Wind/Power")
    limit = await node_of(session, "s=Wind/Limit")
    loop = asyncio.get_running_loop()
    for kind in (FaultKind.DELAY, FaultKind.LATE):
        plant.add_fault("wind-1", Fault(kind=kind, ms=120, times=1))
        begun = loop.time()
        await power.read_value()
        assert loop.time() - begun >= 0.119
        await soon(power.read_value())
        assert injected["wind-1", kind] == 1
    for kind, name in ((FaultKind.BUSY, "BadResourceUnavailable"), (FaultKind.GATEWAY, "BadNoCommunication")):
        plant.add_fault("wind-1", Fault(kind=kind))
        assert await status_of(power.read_value()) == name
        plant.clear_fault("wind-1")
    plant.add_fault("wind-1", Fault(kind=FaultKind.LOSS))
    for number in range(12):
        pending = asyncio.ensure_future(limit.write_value(ua.Variant(number, ua.VariantType.UInt16)))
        await until(lambda: injected["wind-1", FaultKind.LOSS] == number + 1)  # noqa: B023
        assert not (await asyncio.wait({pending}, timeout=0.02))[0], "no answer"
        pending.cancel()
    assert 0 < len(plant.accepted) < 12, "some took effect all the same"
    plant.clear_fault("wind-1")
    await soon(limit.read_value())
    # What was half open stays dead, and a new connection lives.
    plant.add_fault("wind-1", Fault(kind=FaultKind.HALF_OPEN, times=1))
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await soon(power.read_value())
    assert injected["wind-1", FaultKind.HALF_OPEN] == 1
    other = await client(simulator)
    await soon((await node_of(other, "s=Wind/Power")).read_value())
    session.uaclient.protocol.transport.abort()


async def test_the_devices_clock_jumps_and_the_log_tells_what_was_told(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    session = await client(simulator)
    power = await node_of(session, "s=Wind/Power")
    value = await power.read_data_value()
    simulator.plant.add_fault("wind-1", Fault(kind=FaultKind.CLOCK_JUMP, ms=-7_200_000))
    jumped = await power.read_data_value()
    assert -7210 < (jumped.SourceTimestamp - value.SourceTimestamp).total_seconds() < -7190
    first, second = [row for row in simulator.record.since(0) if row.node == "s=Wind/Power"]
    assert (first.device, first.value, first.status) == ("wind-1", value.Value.Value, 0)
    stamp = jumped.SourceTimestamp.replace(tzinfo=UTC)
    assert second.source_utc_ms == round(stamp.timestamp() * 1000)
    assert abs(second.utc_ms - second.source_utc_ms - 7_200_000) < 10_000
