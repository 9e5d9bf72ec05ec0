"""From checked sections to the declarations of links, devices and points that drivers run on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scowl_edge.assembly.device_schema import DeviceSection, ModbusDeviceSection, OpcuaDeviceSection
from scowl_edge.assembly.kinds import split_listen
from scowl_edge.assembly.link_schema import OpcuaLinkSection
from scowl_edge.assembly.link_section import Link
from scowl_edge.assembly.modbus_link_schema import (
    ModbusLinkSection,
    ModbusRtuSection,
    ModbusRtuTcpSection,
    ModbusTcpSection,
    ModbusTlsSection,
    ProxySection,
)
from scowl_edge.assembly.point_rows import PointRows, PointRun
from scowl_edge.assembly.point_schema import NO_VALUE, ModbusPointSection, OpcuaPointSection, PointSection
from scowl_edge.assembly.schema import Configuration
from scowl_edge.assembly.section import Source
from scowl_edge.devices.declaration import (
    Canary,
    Counter,
    DeviceLink,
    Hole,
    LinkKind,
    LinkProxy,
    LinkTls,
    ModbusDevice,
    ModbusLink,
    ModbusPoint,
    OpcuaDevice,
    OpcuaLink,
    OpcuaPoint,
    Parity,
    Secret,
    SecurityMode,
    SecurityPolicy,
    SerialLine,
    Table,
)
from scowl_edge.model.command import WriteClass
from scowl_edge.model.quantity import POINT_UNITS, TIME

_DEFAULT_HOLD_MS = TIME("60 s")
_BIT_TABLES = (Table.COIL, Table.DISCRETE)


def declare(configuration: Configuration) -> tuple[PointRows, tuple[DeviceLink, ...]]:
    """The point table and the links, with devices in the order of the file."""
    table = PointRows()
    shared: dict[tuple[ModbusPoint, ...], tuple[ModbusPoint, ...]] = {}
    modbus: dict[str, list[ModbusDevice]] = {name: [] for name in configuration.links}
    opcua: dict[str, list[OpcuaDevice]] = {name: [] for name in configuration.links}
    for name, device in configuration.devices.items():
        fresh_ms, hold_ms = _ages(device, configuration.links[device.link])
        given = device.fresh_for is not None or configuration.links[device.link].fresh_for is not None
        match device:
            case ModbusDeviceSection():
                registers = tuple(
                    modbus_point(key, section, fresh_ms=_fresh_ms(section, fresh_ms, given=given), hold_ms=hold_ms)
                    for key, section in device.points.items()
                )
                # Equal lists become one: what drivers compile of a list they can then compile once for all its devices.
                registers = shared.setdefault(registers, registers)
                first = table.add(PointRun(name, device.link, device.poll, registers))
                modbus[device.link].append(_modbus_device(name, device, registers, first))
            case OpcuaDeviceSection():
                nodes = tuple(
                    opcua_point(key, section, fresh_ms=fresh_ms, hold_ms=hold_ms)
                    for key, section in device.points.items()
                )
                first = table.add(PointRun(name, device.link, device.poll, nodes))
                opcua[device.link].append(OpcuaDevice(name=name, poll_ms=device.poll, points=nodes, first_point=first))
    return table, tuple(_links(configuration, modbus, opcua))


def _ages(device: DeviceSection, link: Link) -> tuple[int, int]:
    fresh_ms = device.fresh_for or link.fresh_for or 3 * device.poll
    hold_ms = next((hold for hold in (device.hold_for, link.hold_for) if hold is not None), _DEFAULT_HOLD_MS)
    return fresh_ms, hold_ms


def _fresh_ms(point: ModbusPointSection, inherited_ms: int, *, given: bool) -> int:
    """Age up to which a point without a `fresh_for` counts as fresh: it must outlast its own poll."""
    if point.poll is None:
        return inherited_ms
    return max(3 * point.poll, inherited_ms) if given else 3 * point.poll


def _modbus_device(
    name: str, section: ModbusDeviceSection, points: tuple[ModbusPoint, ...], first_point: int
) -> ModbusDevice:
    canary = section.canary
    return ModbusDevice(
        name=name,
        unit=section.unit,
        poll_ms=section.poll,
        points=points,
        first_point=first_point,
        timeout_ms=section.timeout or 0,
        pause_ms=section.pause,
        budget_ppm=section.budget or 0,
        max_gap=-1 if section.max_gap is None else section.max_gap,
        max_read=section.max_read or 0,
        holes=tuple(holes(section)),
        canary=Canary(table=Table(canary.table), address=canary.address, equals=canary.equals)
        if canary is not None
        else None,
    )


def holes(section: ModbusDeviceSection) -> Iterator[Hole]:
    """Addresses of a device that must not be read, table by table."""
    for table in Table:
        for first, last in getattr(section.holes, table.value):
            yield Hole(table=table, first=first, last=last)


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
                    **_carried(link),
                    max_gap=link.max_gap,
                    max_read=link.max_read,
                    pause_ms=link.pause,
                    settle_ms=link.settle,
                    probe_share_ppm=link.probe_share,
                    proxy=_proxy(link.proxy),
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
                    session_items=link.session_items,
                    devices=tuple(opcua[name]),
                )


def _carried(link: ModbusLinkSection) -> dict[str, Any]:
    """What depends on the type of a Modbus link: where it leads, and what only frames carried so can have."""
    where: dict[str, Any] = {"kind": LinkKind(link.type), "host": "", "port": 0}
    match link:
        case ModbusTcpSection():
            return where | {"host": link.host, "port": link.port, "pipeline": link.pipeline}
        case ModbusTlsSection():
            tls = LinkTls(ca=link.ca, certificate=link.certificate, key=link.key, server_name=link.server_name or "")
            return where | {"host": link.host, "port": link.port, "pipeline": link.pipeline, "tls": tls}
        case ModbusRtuTcpSection():
            return where | {"host": link.host, "port": link.port, "late_ms": link.late or 0}
        case ModbusRtuSection():
            line = SerialLine(
                device=link.device,
                baud=link.baud,
                data_bits=link.data_bits,
                parity=Parity(link.parity),
                stop_bits=link.stop_bits,
            )
            return where | {"serial": line, "late_ms": link.late or 0}
        case _:
            raise TypeError(f"links of type {link.type} cannot be declared")


def _proxy(section: ProxySection | None) -> LinkProxy | None:
    if section is None:
        return None
    host, port = split_listen(section.listen)
    return LinkProxy(host=host, port=port, share_ppm=section.share)


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
        "max_change": section.max_change or 0.0,
        "stuck_after_ms": section.stuck_after or 0,
        "counter": Counter(wraps_at=section.counter.wraps_at or 0) if section.counter is not None else None,
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
        poll_ms=section.poll or 0,
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
