"""A small region behind an OPC-UA server, and clients of a library that is not ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asyncua import Client, ua

Connect = Callable[..., Awaitable[Client]]

TYPES = {
    "boolean": (ua.VariantType.Boolean, True),
    "sbyte": (ua.VariantType.SByte, -100),
    "byte": (ua.VariantType.Byte, 200),
    "int16": (ua.VariantType.Int16, -1234),
    "uint16": (ua.VariantType.UInt16, 60_001),
    "int32": (ua.VariantType.Int32, -123_456_789),
    "uint32": (ua.VariantType.UInt32, 4_000_000_001),
    "int64": (ua.VariantType.Int64, -(2**40) - 5),
    "uint64": (ua.VariantType.UInt64, 2**45 + 3),
    "float": (ua.VariantType.Float, -0.15625),
    "double": (ua.VariantType.Double, 12345.678901),
}

REGION = """
site: {id: bench}
links: {scada: {type: opcua, endpoint: "opc.tcp://127.0.0.1:4840/site", security: None}}
ratings: {grid: {kind: grid, import: 100 A, phases: 3, meter: grid-meter}}
devices:
  wind-1:
    link: scada
    poll: 200 ms
    points:
      power: {node: "nsu=urn:site;s=Wind/Power", type: double, unit: kW, scale: -1}
      limit: {node: "nsu=urn:site;s=Wind/Limit", type: uint16, unit: "%", access: rw}
      model: {node: "nsu=urn:site;s=Wind/Model", type: string}
    role: {kind: generator, dispatch: stochastic, rated: 2 MW, on: grid}
  home-1:
    link: scada
    poll: 200 ms
    points:
      power: {node: "ns=4;i=100", type: uint32, unit: W}
      shed_expiry: {node: "ns=4;s=Home/Expiry", type: uint16, unit: s, access: rw}
      shed_request: {node: "ns=4;s=Home", method: "ns=4;s=Home/RequestShed", type: float, unit: W, access: w}
      shed_granted: {node: "ns=4;s=Home/Granted", type: int32, unit: W}
    role: {kind: consumer, rated: 6 kW, deferrable: 3 kW, demand_responsive: 1 kW, on: grid}
  charger-1:
    link: scada
    points:
      power: {node: "nsu=urn:site;s=Charger/Values", index: 0, type: float, unit: W}
      limit: {node: "nsu=urn:site;s=Charger/Values", index: 2, type: float, unit: A, access: rw}
      lamp: {node: "nsu=urn:site;s=Charger/Values", index: 3, type: float, access: rw}
    role: {kind: consumer, rated: 22 kW, interruptible: true, on: grid}
  grid-meter:
    link: scada
    points:
      power: {node: "nsu=urn:site;s=Grid/Power", unit: W}
      current_a: {node: "nsu=urn:site;s=Grid/Currents", index: 0, type: double, unit: A}
      current_b: {node: "nsu=urn:site;s=Grid/Currents", index: 1, type: double, unit: A}
      current_c: {node: "nsu=urn:site;s=Grid/Currents", index: 2, type: double, unit: A}
    role: {kind: grid}
simulation:
  weather: {wind: 50 %}
  front: 1 ms
  devices:
    wind-1: {model: wind, noise: 0 %, initial: {model: "W-2000"}}
    charger-1: {model: charger}
    home-1: {model: home, noise: 0 %, base: 2 kW, deferrable: 2 kW}
"""


async def node_of(client: Client, identifier: str, uri: str = "urn:site") -> Any:
    """A node by the URI of its namespace, wherever that is at present."""
    return client.get_node(f"ns={await client.get_namespace_index(uri)};{identifier}")


async def status_of(awaitable: Awaitable[Any]) -> str:
    """Name of the status that a request ended with."""
    try:
        await awaitable
    except ua.UaError as error:
        return type(error).__name__
    return "Good"
