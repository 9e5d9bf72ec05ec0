"""From a checked configuration to the frozen declarations that the rest of the program runs on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from scowl_edge.assembly.assembly import Assembly, HttpSettings, JournalSettings, TelemetrySettings, TlsSettings
from scowl_edge.assembly.declare import declare, secret
from scowl_edge.assembly.flexing import flex_part, flex_settings
from scowl_edge.assembly.http_schema import Http
from scowl_edge.assembly.kinds import split_listen
from scowl_edge.assembly.point_rows import PointRows
from scowl_edge.assembly.role_schema import ConsumerRole, GeneratorRole, StorageRole
from scowl_edge.assembly.roles import consumer, generator, storage
from scowl_edge.assembly.schema import Configuration, PopulationSection, RatingSection
from scowl_edge.assembly.wiring import Wiring
from scowl_edge.compiled import PLAIN_LIMIT
from scowl_edge.config import Document
from scowl_edge.model.event import DeviceMode, RegionMode
from scowl_edge.model.quantity import CURRENT, Quantity
from scowl_edge.model.site import (
    NONE,
    Bus,
    BusKind,
    Device,
    PeerKind,
    Policy,
    Population,
    Rating,
    RatingKind,
    Site,
)


def build(configuration: Configuration, document: Document) -> Assembly:
    """The assembly of a configuration without faults."""
    fingerprint = hashlib.sha256(document.text.encode()).hexdigest()
    rows, links = declare(configuration)
    site, wiring = _site(configuration, rows, fingerprint)
    return Assembly(
        site=site,
        points=rows,
        links=links,
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
        flex=flex_settings(configuration.flex) if configuration.flex is not None else None,
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


def telemetry_path(configuration: Configuration) -> Path:
    """As given, else beside the journal."""
    if configuration.telemetry.path is not None:
        return Path(configuration.telemetry.path)
    journal = Path(configuration.journal.path)
    return journal.with_name(f"{journal.stem or 'journal'}.telemetry.db") if journal.name else Path("telemetry.db")


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


def _site(configuration: Configuration, rows: PointRows, fingerprint: str) -> tuple[Site, Wiring]:
    buses = {name: BusKind(bus.kind) for name, bus in configuration.buses.items()} or {"main": BusKind.SYNCHRONOUS}
    ratings = ordered_ratings(configuration.ratings)
    wiring = Wiring(configuration, rows, tuple(buses), ratings)
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
    # Before the signals are counted: devices of flexibility bind more of them.
    flex = flex_part(configuration, ratings, wiring) if configuration.flex is not None else None
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
        populations=tuple(
            _population(name, section, configuration.region.margin)
            for name, section in configuration.populations.items()
        ),
        flex=flex,
        fingerprint=fingerprint,
    )
    return site, wiring


def _population(name: str, section: PopulationSection, margin_ppm: int) -> Population:
    statistics = section.statistics
    return Population(
        name=name,
        kind=PeerKind.SIMULATED,
        consumers=section.consumers,
        trees=section.trees or min(max(10, section.consumers // 20_000), 342),
        seed=section.seed,
        quantum_w=10 if section.consumers > PLAIN_LIMIT else 1,
        feeders=section.feeders,
        feeder_limit_ppm=section.feeder_limit,
        supply_ppm=section.supply,
        stores_ppm=section.stores,
        deferrable_ppm=section.deferrable,
        daily=section.daily,
        look_ahead_ms=section.look_ahead if section.daily else 0,
        margin_ppm=margin_ppm if section.margin is None else section.margin,
        sigma_milli=1000 * statistics.sigma if statistics is not None else 0,
        correlated_ppm=statistics.correlated if statistics is not None else 0,
        period_ms=section.period,
        fresh_ms=3 * section.period,
        hold_ms=60_000,
        dead_band_ppm=2_000,
        move_budget=section.consumers // 1_000,
    )


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
