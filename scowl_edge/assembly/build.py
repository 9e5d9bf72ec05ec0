"""From a checked configuration to the frozen declarations that the rest of the program runs on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from scowl_edge.assembly.assembly import (
    Assembly,
    HttpSettings,
    JournalSettings,
    PointInfo,
    TelemetrySettings,
    TlsSettings,
)
from scowl_edge.assembly.http_schema import Http
from scowl_edge.assembly.role_schema import ConsumerRole, GeneratorRole, StorageRole
from scowl_edge.assembly.roles import consumer, generator, storage
from scowl_edge.assembly.schema import Configuration, DeviceSection, PointSection, RatingSection
from scowl_edge.assembly.section import Source
from scowl_edge.assembly.wiring import Wiring
from scowl_edge.config import Document
from scowl_edge.devices.declaration import ModbusDevice, ModbusLink, ModbusPoint, Secret, Table
from scowl_edge.model.command import WriteClass
from scowl_edge.model.event import DeviceMode, RegionMode
from scowl_edge.model.quantity import CURRENT, POINT_UNITS, TIME, Quantity
from scowl_edge.model.site import NONE, Bus, BusKind, Device, Policy, Rating, RatingKind, Site

_DEFAULT_HOLD_MS = TIME("60 s")
_BIT_TABLES = (Table.COIL, Table.DISCRETE)


def build(configuration: Configuration, document: Document) -> Assembly:
    """The assembly of a configuration without faults."""
    fingerprint = hashlib.sha256(document.text.encode()).hexdigest()
    table = _PointTable()
    devices: dict[str, list[ModbusDevice]] = {name: [] for name in configuration.links}
    for name, device in configuration.devices.items():
        devices[device.link].append(table.add(name, device, configuration))
    site, wiring = _site(configuration, table, fingerprint)
    return Assembly(
        site=site,
        points=tuple(table.rows),
        links=tuple(
            ModbusLink(
                name=name,
                host=link.host,
                port=link.port,
                timeout_ms=link.timeout,
                connect_timeout_ms=link.connect_timeout,
                reconnect_ms=link.reconnect,
                max_gap=link.max_gap,
                max_read=link.max_read,
                pause_ms=link.pause,
                read_only=link.read_only,
                devices=tuple(devices[name]),
            )
            for name, link in configuration.links.items()
        ),
        signals=tuple(wiring.signal_bindings),
        actuators=tuple(wiring.actuator_bindings),
        http=http_settings(configuration.http),
        journal=JournalSettings(
            path=Path(configuration.journal.path),
            keep_ms=configuration.journal.keep,
            limit_bytes=configuration.journal.limit,
        ),
        telemetry=TelemetrySettings(
            path=telemetry_path(configuration),
            keep_ms=configuration.telemetry.keep,
            every_ms=configuration.telemetry.every,
            limit_bytes=configuration.telemetry.limit,
            enabled=configuration.telemetry.enabled,
        ),
        simulation=configuration.simulation,
        text=document.text,
        fingerprint=fingerprint,
        document=document,
    )


def http_settings(section: Http) -> HttpSettings:
    """Of the section as it was read."""
    host, port = split_listen(section.listen)
    token, viewer, tls = section.token, section.viewer, section.tls
    return HttpSettings(
        host=host,
        port=port,
        token_file=Path(token.file) if token is not None and token.file else None,
        token_credential=token.credential if token is not None else None,
        viewer_file=Path(viewer.file) if viewer is not None and viewer.file else None,
        viewer_credential=viewer.credential if viewer is not None else None,
        tls=TlsSettings(certificate=secret(tls.certificate), key=secret(tls.key)) if tls is not None else None,
        names=section.names,
    )


def secret(source: Source) -> Secret:
    """Where a secret lies."""
    return Secret(file=source.file or "", credential=source.credential or "")


def telemetry_path(configuration: Configuration) -> Path:
    """As given, else beside the journal."""
    if configuration.telemetry.path is not None:
        return Path(configuration.telemetry.path)
    journal = Path(configuration.journal.path)
    return journal.with_name(f"{journal.stem or 'journal'}.telemetry.db") if journal.name else Path("telemetry.db")


def split_listen(listen: str) -> tuple[str, int]:
    """Host (without brackets) and port of HOST:PORT."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


@dataclass(slots=True)
class _PointTable:
    """Rows of the point table, and where each device's begin."""

    rows: list[PointInfo] = field(default_factory=list)
    index: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, name: str, device: DeviceSection, configuration: Configuration) -> ModbusDevice:
        link = configuration.links[device.link]
        fresh_ms = device.fresh_for or link.fresh_for or 3 * device.poll
        hold_ms = next((hold for hold in (device.hold_for, link.hold_for) if hold is not None), _DEFAULT_HOLD_MS)
        first = len(self.rows)
        points = []
        for point_name, section in device.points.items():
            point = modbus_point(point_name, section, fresh_ms=fresh_ms, hold_ms=hold_ms)
            points.append(point)
            self.index[name, point_name] = len(self.rows)
            self.rows.append(
                PointInfo(
                    device=name,
                    name=point_name,
                    unit=point.base_unit,
                    link=device.link,
                    access=point.access,
                    fresh_ms=point.fresh_for_ms,
                    hold_ms=point.hold_for_ms,
                    poll_ms=device.poll,
                    type=point.type,
                )
            )
        return ModbusDevice(name=name, unit=device.unit, poll_ms=device.poll, points=tuple(points), first_point=first)


def modbus_point(name: str, section: PointSection, *, fresh_ms: int, hold_ms: int) -> ModbusPoint:
    """One point with its defaults filled in."""
    table = Table(section.table)
    wire_type = "bool" if table in _BIT_TABLES else section.type or "uint16"
    meaning = POINT_UNITS[section.unit]
    registers = {"int32": 2, "uint32": 2, "float32": 2, "int64": 4, "uint64": 4, "float64": 4}.get(wire_type, 1)
    return ModbusPoint(
        name=name,
        table=table,
        address=section.address,
        type=wire_type,
        order=section.order or ("ABCDEFGH" if registers == 4 else "ABCD"),
        length=section.length or registers,
        bit=section.bit if section.bit is not None else -1,
        scale=section.scale,
        offset=section.offset,
        scale_factor=section.scale_factor or "",
        nan=section.nan,
        unit=section.unit,
        to_base=meaning.to_base,
        base_unit=meaning.base,
        access=section.access,
        write_class=WriteClass(section.write_class or "volatile"),
        fresh_for_ms=section.fresh_for or fresh_ms,
        hold_for_ms=hold_ms if section.hold_for is None else section.hold_for,
        low=section.min,
        high=section.max,
    )


def per_phase_va(amount: Quantity | None, *, phases: int, voltage_mv: int) -> int:
    """A limit in VA per phase, rounded down; -1 for none. A power counts for all phases together, W as VA."""
    if amount is None:
        return NONE
    if amount.family is CURRENT:
        return amount.value * voltage_mv // 1_000_000
    return amount.value // phases


def ordered_ratings(ratings: dict[str, RatingSection]) -> list[str]:
    """Names with each rating after the one it is within, else in the order of the file."""
    ordered: list[str] = []

    def place(name: str) -> None:
        if name in ordered:
            return
        above = ratings[name].within
        if above is not None:
            place(above)
        ordered.append(name)

    for name in ratings:
        place(name)
    return ordered


def _site(configuration: Configuration, table: _PointTable, fingerprint: str) -> tuple[Site, Wiring]:
    buses = {name: BusKind(bus.kind) for name, bus in configuration.buses.items()} or {"main": BusKind.SYNCHRONOUS}
    ratings = ordered_ratings(configuration.ratings)
    wiring = Wiring(configuration, table.rows, table.index, tuple(buses), ratings)
    generators, consumers, storages = [], [], []
    for index, (name, device) in enumerate(configuration.devices.items()):
        wiring.bind(index, name, device)
        match device.role:
            case GeneratorRole() as role:
                generators.append(generator(wiring, index, name, role, wiring.next_tree(role.tree)))
            case ConsumerRole() as role:
                consumers.append(consumer(wiring, index, name, role))
            case StorageRole() as role:
                storages.append(storage(wiring, index, name, role, wiring.next_tree(role.tree)))
            case _:
                pass
    site = Site(
        name=configuration.site.id,
        policy=_policy(configuration),
        devices=tuple(
            Device(name=name, link=device.link, mode=DeviceMode(device.mode))
            for name, device in configuration.devices.items()
        ),
        signals=tuple(wiring.signals),
        actuators=tuple(wiring.actuators),
        buses=tuple(Bus(name=name, kind=kind) for name, kind in buses.items()),
        ratings=tuple(_rating(name, configuration, wiring, ratings, buses) for name in ratings),
        generators=tuple(generators),
        consumers=tuple(consumers),
        storages=tuple(storages),
        fingerprint=fingerprint,
    )
    return site, wiring


def _rating(
    name: str, configuration: Configuration, wiring: Wiring, order: list[str], buses: dict[str, BusKind]
) -> Rating:
    section = configuration.ratings[name]
    names = list(buses)
    synchronous = next((bus for bus, kind in buses.items() if kind is BusKind.SYNCHRONOUS), names[0])

    def signal(which: str) -> int:
        return wiring.signal(section.meter, which) if section.meter is not None else NONE

    return Rating(
        name=name,
        kind=RatingKind(section.kind),
        within=order.index(section.within) if section.within is not None else NONE,
        bus=names.index(section.bus or synchronous),
        import_va=per_phase_va(section.limit or section.import_, phases=section.phases, voltage_mv=section.voltage),
        export_va=per_phase_va(section.limit or section.export, phases=section.phases, voltage_mv=section.voltage),
        phases=section.phases,
        voltage_mv=section.voltage,
        power=signal("power"),
        currents=(signal("current_a"), signal("current_b"), signal("current_c")),
        margin_ppm=section.margin,
        residue_w=section.residue,
    )


def _policy(configuration: Configuration) -> Policy:
    region = configuration.region
    return Policy(
        mode=RegionMode(region.mode),
        period_ms=region.period,
        margin_ppm=region.margin,
        ride_through_ms=region.ride_through,
        restore_step_w=region.restore_step,
        restore_every_ms=region.restore_every,
        restore_after_ms=region.restore_after,
        dead_band_w=region.dead_band,
        reserve_ppm=region.reserve,
        answer_ms=region.answer,
        retry_ms=region.retry,
        max_contests=region.max_contests,
        charge_from_grid=region.charge_from_grid,
        stop_timeout_ms=region.stop_timeout,
        move_budget=region.move_budget,
    )
