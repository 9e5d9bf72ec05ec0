"""Keys of devices; which they have depends on the protocol of their link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from scowl_edge.assembly.kinds import Choice, Measure, Named, Whole
from scowl_edge.assembly.modbus_kinds import Ranges
from scowl_edge.assembly.point_schema import TABLES, ModbusPointSection, OpcuaPointSection, PointSection
from scowl_edge.assembly.protocol import MODBUS, OPCUA
from scowl_edge.assembly.role_schema import Role
from scowl_edge.assembly.section import Delay, Name, Positive, Section, duration, key
from scowl_edge.model.event import DeviceMode
from scowl_edge.model.quantity import FRACTION, TIME


class DeviceSection(Section):
    """What all devices know."""

    link: Annotated[str, Named("a link")] = key(..., "Link it is reached through.", "plc")
    poll: Annotated[int, duration("10 ms", "1 h")] = key(TIME("1 s"), "How often its points are read.", "1 s")
    fresh_for: Positive | None = key(
        None, "Age up to which its values count as fresh.", "3 s", shown="that of the link, else 3 times `poll`"
    )
    hold_for: Delay | None = key(
        None, "Age beyond `fresh_for` up to which the last value is held.", "60 s", shown="that of the link, else 60 s"
    )
    mode: Annotated[str, Choice([mode.value for mode in DeviceMode if mode is not DeviceMode.LOCAL])] = key(
        "auto",
        "`auto`: the region steers it. `manual`: left to people. `out-of-service`: read, never written. An order "
        "through the API outlives a restart and wins over this key.",
        "manual",
    )
    points: Mapping[str, PointSection]
    role: Role | None = key(
        None, "What it is for the site; a device without a role is only read.", "{kind: meter}", shown="none"
    )


class HolesSection(Section):
    """Addresses that must not be read, not even to join two points into one request: by table, alone or as ranges."""

    holding: Annotated[tuple[tuple[int, int], ...], Ranges()] = key((), "Holding registers.", "[40-49, 60]")
    input: Annotated[tuple[tuple[int, int], ...], Ranges()] = key((), "Input registers.", "[7]")
    coil: Annotated[tuple[tuple[int, int], ...], Ranges()] = key((), "Coils.", "[16-31]")
    discrete: Annotated[tuple[tuple[int, int], ...], Ranges()] = key((), "Discrete inputs.", "[16-31]")


class CanarySection(Section):
    """A register whose value never changes, such as the device's type. After a time-out on a link without numbered
    frames (RTU) it is read to be sure that replies belong to their requests again."""

    table: Annotated[str, Choice(TABLES)] = key("holding", "Its table: `holding` or `input`.", "input")
    address: Annotated[int, Whole(0, 65535)] = key(..., "Its protocol address, counted from 0.", "0")
    equals: Annotated[int, Whole(0, 65535)] = key(..., "Its raw value, without sign.", "0x1234")


class ModbusDeviceSection(DeviceSection):
    """One unit behind a Modbus link: its points, and what it is for the site."""

    unit: Annotated[int, Whole(0, 255)] = key(1, "Unit identifier (slave address) on the link.", "3")
    timeout: Annotated[int, duration("1 ms", "60 s")] | None = key(
        None, "Longest wait for the reply of this unit.", "2 s", shown="that of the link"
    )
    pause: Annotated[int, duration("0 ms", "10 s")] = key(
        TIME("0 ms"),
        "Quiet time that it needs between two requests to itself; meanwhile others are asked.",
        "50 ms",
    )
    budget: Annotated[int, Measure(FRACTION, low="0.1 %", high="100 %")] | None = key(
        None,
        "Share of the link's time beyond which it yields to the others while they wait.",
        "30 %",
        shown="none",
    )
    max_gap: Annotated[int, Whole(0, 124)] | None = key(
        None, "Most unused registers that may be read along.", "0", shown="that of the link"
    )
    max_read: Annotated[int, Whole(1, 125)] | None = key(
        None, "Most registers in one request to it.", "32", shown="that of the link"
    )
    holes: HolesSection = key(
        HolesSection(), "Addresses that must never be read.", "{holding: [40-49, 60]}", shown="none"
    )
    canary: CanarySection | None = key(
        None, "A register whose value is known.", "{table: input, address: 0, equals: 42}", shown="none"
    )
    points: dict[Name, ModbusPointSection] = key(
        {}, "Its values by name.", "{power: {address: 100, type: float32, unit: kW}}", shown="none"
    )


class OpcuaDeviceSection(DeviceSection):
    """One device behind an OPC-UA link: its points, and what it is for the site."""

    points: dict[Name, OpcuaPointSection] = key(
        {}, "Its values by name.", '{power: {node: "nsu=urn:site;s=Hall/Power", unit: kW}}', shown="none"
    )


DEVICES: dict[str, type[DeviceSection]] = {MODBUS: ModbusDeviceSection, OPCUA: OpcuaDeviceSection}


class BehindOpcua(dict[str, Any]):
    """A device's mapping whose link is of type opcua: the mapping itself does not tell."""


def device_tag(value: Any) -> str:
    """The protocol of a device's link."""
    return OPCUA if isinstance(value, (BehindOpcua, OpcuaDeviceSection)) else MODBUS


AnyDevice = Annotated[
    Annotated[ModbusDeviceSection, Tag(MODBUS)] | Annotated[OpcuaDeviceSection, Tag(OPCUA)], Discriminator(device_tag)
]
