"""From checked sections to the declarations of links, devices and points that drivers run on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scowl_edge.assembly.assembly import PointInfo
from scowl_edge.assembly.device_schema import DeviceSection, ModbusDeviceSection, OpcuaDeviceSection
from scowl_edge.assembly.link_schema import Link, ModbusLinkSection, OpcuaLinkSection
from scowl_edge.assembly.point_schema import NO_VALUE, ModbusPointSection, OpcuaPointSection, PointSection
from scowl_edge.assembly.schema import Configuration
from scowl_edge.assembly.section import Source
from scowl_edge.devices.declaration import (
    DeviceLink,
    ModbusDevice,
    ModbusLink,
    ModbusPoint,
    OpcuaDevice,
    OpcuaLink,
    OpcuaPoint,
    Secret,
    SecurityMode,
    SecurityPolicy,
    Table,
)
from scowl_edge.model.command import WriteClass
from scowl_edge.model.quantity import POINT_UNITS, TIME

_DEFAULT_HOLD_MS = TIME("60 s")
_BIT_TABLES = (Table.COIL, Table.DISCRETE)


@dataclass(slots=True)
class PointTable:
    """Rows of the site's point table, and which device's points stand where."""

    rows: list[PointInfo] = field(default_factory=list)
    index: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, device: str, link: str, poll_ms: int, points: tuple[ModbusPoint | OpcuaPoint, ...]) -> int:
        """Appends the points of a device; returns the index of the first."""
        first = len(self.rows)
        for point in points:
            self.index[device, point.name] = len(self.rows)
            self.rows.append(
                PointInfo(
                    device=device,
                    name=point.name,
                    unit=point.base_unit,
                    link=link,
                    access=point.access,
                    fresh_ms=point.fresh_for_ms,
                    hold_ms=point.hold_for_ms,
                    poll_ms=poll_ms,
                    type=point.type,
                )
            )
        return first


def declare(configuration: Configuration) -> tuple[PointTable, tuple[DeviceLink, ...]]:
    """The point table and the links, with devices in the order of the file."""
    table = PointTable()
    modbus: dict[str, list[ModbusDevice]] = {name: [] for name in configuration.links}
    opcua: dict[str, list[OpcuaDevice]] = {name: [] for name in configuration.links}
    for name, device in configuration.devices.items():
        fresh_ms, hold_ms = _ages(device, configuration.links[device.link])
        match device:
            case ModbusDeviceSection():
                registers = tuple(
                    modbus_point(key, section, fresh_ms=fresh_ms, hold_ms=hold_ms)
                    for key, section in device.points.items()
                )
                first = table.add(name, device.link, device.poll, registers)
                modbus[device.link].append(
                    ModbusDevice(name=name, unit=device.unit, poll_ms=device.poll, points=registers, first_point=first)
                )
            case OpcuaDeviceSection():
                nodes = tuple(
                    opcua_point(key, section, fresh_ms=fresh_ms, hold_ms=hold_ms)
                    for key, section in device.points.items()
                )
                first = table.add(name, device.link, device.poll, nodes)
                opcua[device.link].append(OpcuaDevice(name=name, poll_ms=device.poll, points=nodes, first_point=first))
    return table, tuple(_links(configuration, modbus, opcua))


def _ages(device: DeviceSection, link: Link) -> tuple[int, int]:
    fresh_ms = device.fresh_for or link.fresh_for or 3 * device.poll
    hold_ms = next((hold for hold in (device.hold_for, link.hold_for) if hold is not None), _DEFAULT_HOLD_MS)
    return fresh_ms, hold_ms


def _links(
    configuration: Configuration, modbus: dict[str, list[ModbusDevice]], opcua: dict[str, list[OpcuaDevice]]
) -> Iterator[DeviceLink]:
    for name, link in configuration.links.items():
        shared: dict[str, Any] = {
            "name": name,
            "timeout_ms": link.timeout,
            "connect_timeout_ms": link.connect_timeout,
            "reconnect_ms": link.reconnect,
            "read_only": link.read_only,
        }
        match link:
            case ModbusLinkSection():
                yield ModbusLink(
                    **shared,
                    host=link.host,
                    port=link.port,
                    max_gap=link.max_gap,
                    max_read=link.max_read,
                    pause_ms=link.pause,
                    devices=tuple(modbus[name]),
                )
            case OpcuaLinkSection():
                policy, _, mode = link.security.partition("/")
                yield OpcuaLink(
                    **shared,
                    endpoint=link.endpoint,
                    policy=SecurityPolicy(policy),
                    mode=SecurityMode(mode or SecurityMode.NONE),
                    user=link.user or "",
                    password=secret(link.password) if link.password is not None else None,
                    pki=link.pki,
                    subscribe=link.subscribe,
                    max_items=link.max_items,
                    devices=tuple(opcua[name]),
                )


def secret(source: Source) -> Secret:
    """Where a secret lies."""
    return Secret(file=source.file or "", credential=source.credential or "")


def _meant(name: str, section: PointSection, *, fresh_ms: int, hold_ms: int) -> dict[str, Any]:
    """What points of every protocol have, with the defaults filled in."""
    meaning = POINT_UNITS[section.unit]
    return {
        "name": name,
        "scale": section.scale,
        "offset": section.offset,
        "nan": section.nan,
        "unit": section.unit,
        "to_base": meaning.to_base,
        "base_unit": meaning.base,
        "access": section.access,
        "write_class": write_class(section),
        "fresh_for_ms": section.fresh_for or fresh_ms,
        "hold_for_ms": hold_ms if section.hold_for is None else section.hold_for,
        "low": section.min,
        "high": section.max,
    }


def write_class(section: PointSection) -> WriteClass:
    """What a write does to the device: as given; a call without a value is an action of its own."""
    if section.write_class is None and section.type == NO_VALUE:
        return WriteClass.PULSE
    return WriteClass(section.write_class or "volatile")


def modbus_point(name: str, section: ModbusPointSection, *, fresh_ms: int, hold_ms: int) -> ModbusPoint:
    """One point of a Modbus link with its defaults filled in."""
    table = Table(section.table)
    wire_type = "bool" if table in _BIT_TABLES else section.type or "uint16"
    registers = {"int32": 2, "uint32": 2, "float32": 2, "int64": 4, "uint64": 4, "float64": 4}.get(wire_type, 1)
    return ModbusPoint(
        **_meant(name, section, fresh_ms=fresh_ms, hold_ms=hold_ms),
        table=table,
        address=section.address,
        type=wire_type,
        order=section.order or ("ABCDEFGH" if registers == 4 else "ABCD"),
        length=section.length or registers,
        bit=section.bit if section.bit is not None else -1,
        scale_factor=section.scale_factor or "",
    )


def opcua_point(name: str, section: OpcuaPointSection, *, fresh_ms: int, hold_ms: int) -> OpcuaPoint:
    """One point of an OPC-UA link with its defaults filled in."""
    return OpcuaPoint(
        **_meant(name, section, fresh_ms=fresh_ms, hold_ms=hold_ms),
        node=section.node,
        type=section.type or "",
        index=section.index if section.index is not None else -1,
        method=section.method or "",
    )
