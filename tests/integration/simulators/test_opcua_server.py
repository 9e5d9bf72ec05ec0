"""The simulator's OPC-UA server, seen by a client that is not ours: values, types, writes, methods, subscriptions."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from opcua_region import REGION, TYPES, Connect, node_of, status_of
from simulated_region import Start, until

from simulators.plant import SimulationError

BUILDING = Path(__file__).parents[3] / "examples" / "building.yaml"


class Seen:
    """Keeps what a subscription brings."""

    def __init__(self) -> None:
        self.values: list[ua.DataValue] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """Called by the library."""
        self.values.append(data.monitored_item.Value)


def every_type() -> str:
    points = "\n".join(f'      {kind}: {{node: "ns=2;s={kind}", type: {kind}, access: rw}}' for kind in TYPES)
    return f"""
site: {{id: bench}}
links: {{scada: {{type: opcua, endpoint: "opc.tcp://127.0.0.1:4840", security: None}}}}
devices:
  box:
    link: scada
    points:
{points}
      string: {{node: "ns=2;s=string", type: string}}
      datetime: {{node: "ns=2;s=datetime", type: datetime, access: rw}}
      scaled: {{node: "ns=2;s=scaled", type: int16, scale: 0.5, offset: -10, unit: kW, access: rw}}
      missing: {{node: "ns=2;s=missing", type: int16, nan: [-32768]}}
simulation:
  devices:
    box: {{initial: {{string: "grüß", scaled: 2000}}}}
"""


async def test_every_type_is_shown_and_taken_as_it_is_declared(start: Start, client: Connect) -> None:
    simulator = await start(every_type())
    session = await client(simulator)
    for kind, (variant_type, value) in TYPES.items():
        node = session.get_node(f"ns=2;s={kind}")
        assert await node.read_data_type_as_variant_type() is variant_type
        await node.write_value(value, variant_type)
        held = (await node.read_data_value()).Value
        assert (held.VariantType, held.Value) == (variant_type, value)
        assert simulator.plant.kept("box", kind) == float(value)
        wrong = ua.VariantType.String if kind != "string" else ua.VariantType.Int16
        assert await status_of(node.write_value("1", wrong)) == "BadTypeMismatch"
    text = session.get_node("ns=2;s=string")
    assert await text.read_value() == "grüß"
    assert await status_of(text.write_value("é", ua.VariantType.String)) == "BadNotWritable"
    date = session.get_node("ns=2;s=datetime")
    moment = datetime(2031, 5, 6, 7, 8, 9, 500_000, tzinfo=UTC)
    await date.write_value(moment, ua.VariantType.DateTime)
    assert simulator.plant.kept("box", "datetime") == pytest.approx(moment.timestamp(), abs=1e-3)
    shown = await date.read_value()
    assert abs(shown.replace(tzinfo=UTC) - moment) < timedelta(milliseconds=1)
    scaled = session.get_node("ns=2;s=scaled")
    assert await scaled.read_value() == 24, "2 kW = (raw * 0.5 - 10) kW"
    await scaled.write_value(-40, ua.VariantType.Int16)
    assert simulator.plant.kept("box", "scaled") == -30_000
    simulator.plant.keep("box", "scaled", 1e12)
    assert await scaled.read_value() == 32_767, "an integer stops at its end"


async def test_values_are_the_plants_at_the_moment_of_the_request(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    session = await client(simulator)
    power = await node_of(session, "s=Wind/Power")
    assert await power.read_value() == pytest.approx(1000)
    limit = await node_of(session, "s=Wind/Limit")
    assert await limit.read_value() == 100
    await limit.write_value(20, ua.VariantType.UInt16)
    assert await limit.read_value() == 20
    assert [(w.device, w.signal, round(w.value)) for w in simulator.plant.accepted] == [("wind-1", "limit", 400_000)]
    await until(lambda: simulator.plant.read("wind-1", "power") == pytest.approx(-400_000))
    held = await power.read_data_value()
    assert held.Value.Value == pytest.approx(400)
    assert abs(held.SourceTimestamp.replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(seconds=1)
    assert await (await node_of(session, "s=Wind/Model")).read_value() == "W-2000"
    assert await session.get_node("ns=4;i=100").read_value() == 4000


async def test_what_cannot_be_written_is_refused_in_the_standards_words(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    session = await client(simulator)
    power, limit = await node_of(session, "s=Wind/Power"), await node_of(session, "s=Wind/Limit")
    assert await status_of(power.write_value(1.0, ua.VariantType.Double)) == "BadNotWritable"
    assert await power.read_attribute(ua.AttributeIds.AccessLevel) != await limit.read_attribute(
        ua.AttributeIds.AccessLevel
    )
    unknown = session.get_node("ns=2;s=Nothing")
    assert await status_of(unknown.write_value(1.0, ua.VariantType.Double)) == "BadNodeIdUnknown"
    state = session.get_node(ua.ObjectIds.Server_ServerStatus_State)
    assert await status_of(state.write_value(1, ua.VariantType.Int32)) == "BadNotWritable"
    expiry = session.get_node("ns=4;s=Home/Expiry")
    array = ua.Variant([1], ua.VariantType.UInt16, is_array=True)
    assert await status_of(expiry.write_value(array)) == "BadTypeMismatch"
    assert simulator.plant.accepted == []


async def test_arrays_are_read_and_written_by_element_or_as_a_whole(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    session = await client(simulator)
    values = await node_of(session, "s=Charger/Values")
    whole = await values.read_value()
    assert whole[:2] == [pytest.approx(whole[0]), 0.0]
    assert len(whole) == 4
    assert whole[2] == pytest.approx(22_000 / 690, rel=1e-3)

    async def write(value: list[float], index_range: str = "") -> str:
        wanted = ua.WriteValue()
        wanted.NodeId = values.nodeid
        wanted.AttributeId = ua.AttributeIds.Value
        wanted.IndexRange = index_range or None
        wanted.Value = ua.DataValue(ua.Variant(value, ua.VariantType.Float, is_array=True))
        parameters = ua.WriteParameters()
        parameters.NodesToWrite = [wanted]
        return str((await session.uaclient.write(parameters))[0].name)

    async def read(index_range: str) -> ua.DataValue:
        wanted = ua.ReadValueId()
        wanted.NodeId = values.nodeid
        wanted.AttributeId = ua.AttributeIds.Value
        wanted.IndexRange = index_range
        parameters = ua.ReadParameters()
        parameters.NodesToRead = [wanted]
        return (await session.uaclient.read(parameters))[0]

    assert await write([10.0], "2") == "Good"
    assert simulator.plant.accepted[-1].value == pytest.approx(6900, rel=1e-6)
    assert (await read("2")).Value.Value == [10.0]
    assert (await read("2:3")).Value.Value == [10.0, 0.0]
    assert (await read("7")).StatusCode.name == "BadIndexRangeNoData"
    assert (await read("3:2")).StatusCode.name == "BadIndexRangeInvalid"
    assert await write([16.0, 1.0], "2:3") == "Good"
    assert simulator.plant.kept("charger-1", "lamp") == 1.0
    assert await write([1.0], "0") == "BadNotWritable"
    assert await write([1.0, 2.0], "2") == "BadIndexRangeDataMismatch"
    assert await write([1.0, 2.0]) == "BadOutOfRange", "another length"
    assert await write([9.0, 9.0, 6.0, 0.0]) == "Good"
    shown = await values.read_value()
    assert shown[2:] == [6.0, 0.0]
    assert shown[0] != 9.0, "what only the device writes stays its own"
    currents = await (await node_of(session, "s=Grid/Currents")).read_value()
    assert len(currents) == 3


async def test_a_call_is_a_write(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    session = await client(simulator)
    home = session.get_node("ns=4;s=Home")
    await session.get_node("ns=4;s=Home/Expiry").write_value(60, ua.VariantType.UInt16)
    shed = ua.NodeId.from_string("ns=4;s=Home/RequestShed")
    await home.call_method(shed, ua.Variant(2500.0, ua.VariantType.Float))
    assert [(w.signal, w.value) for w in simulator.plant.accepted] == [("shed_expiry", 60), ("shed_request", 2500)]
    assert await session.get_node("ns=4;s=Home/Granted").read_value() == 1000
    assert await status_of(home.call_method(shed)) == "BadArgumentsMissing"
    assert await status_of(home.call_method(shed, ua.Variant(1, ua.VariantType.Int16))) == "BadInvalidArgument"
    two = (ua.Variant(1.0, ua.VariantType.Float), ua.Variant(1.0, ua.VariantType.Float))
    assert await status_of(home.call_method(shed, *two)) == "BadTooManyArguments"
    elsewhere = session.get_node(ua.ObjectIds.ObjectsFolder)
    assert await status_of(elsewhere.call_method(shed, two[0])) == "BadNodeIdInvalid"
    assert len(simulator.plant.accepted) == 2


async def test_subscribers_see_changes_and_nothing_else(start: Start, client: Connect) -> None:
    simulator = await start(REGION)
    session = await client(simulator)
    seen = Seen()
    subscription = await session.create_subscription(50, seen)
    power, limit = await node_of(session, "s=Wind/Power"), await node_of(session, "s=Wind/Limit")
    await subscription.subscribe_data_change([power, limit])
    await until(lambda: len(seen.values) == 2)
    await limit.write_value(20, ua.VariantType.UInt16)
    await until(lambda: bool(seen.values) and seen.values[-1].Value.Value == pytest.approx(400))
    numbers = [value.Value.Value for value in seen.values]
    assert numbers.count(20) == 1
    assert len(numbers) < 12, "what stands still is not told again"
    assert all(value.SourceTimestamp is not None for value in seen.values)
    await subscription.delete()


async def test_one_node_cannot_be_two_things(start: Start) -> None:
    text = REGION.replace('"nsu=urn:site;s=Wind/Limit", type: uint16', '"nsu=urn:site;s=Wind/Power", type: uint16')
    with pytest.raises(SimulationError, match="points power, limit name one node as double and as uint16"):
        await start(text)


async def test_modbus_and_opcua_do_not_share_a_port(start: Start) -> None:
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    taken.close()
    await taken.wait_closed()
    text = REGION.replace("127.0.0.1:4840", f"127.0.0.1:{port}").replace(
        "links: {", f"links: {{plc: {{type: modbus-tcp, host: 127.0.0.1, port: {port}}}, "
    )
    text = text.replace("simulation:", "  box: {link: plc, points: {a: {address: 1}}}\nsimulation:")
    with pytest.raises(SimulationError, match=r"links plc and scada lead to 127\.0\.0\.1:"):
        await start(text, ephemeral=False)


def test_a_site_without_opcua_does_without_the_library() -> None:
    script = f"""
import asyncio, sys
from scowl_edge.assembly import load
from simulators.serving import serve

async def main():
    simulator = await serve(load({str(BUILDING)!r}), ephemeral=True)
    await simulator.close()

asyncio.run(main())
assert "asyncua" not in sys.modules
assert "cryptography" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=90)
