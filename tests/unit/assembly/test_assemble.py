"""What a configuration becomes: defaults, indices, bindings, conversions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from scowl_edge.assembly import (
    Assembly,
    ConfigError,
    Rounding,
    TelemetrySettings,
    TlsSettings,
    assemble,
    load,
)
from scowl_edge.devices.declaration import Secret, Table
from scowl_edge.model.command import Verb, WriteClass
from scowl_edge.model.event import DeviceMode, RegionMode
from scowl_edge.model.site import NONE, Actuator, OnStop

CONTRACT = """
site: {id: cabinet-17}
http: {listen: 127.0.0.1:8080, token: {file: PATH}}         # or {credential: NAME} under systemd
journal: {path: scowl-edge.db, keep: 30 d}
links:
  plc:   {type: modbus-tcp, host: 127.0.0.1, port: 5020, timeout: 500 ms}
region: {mode: auto, margin: 10 %, restore_step: 5 kW, ride_through: 2 s}
buses: {main: {kind: synchronous}, island: {kind: separate}}
ratings:
  grid:     {kind: grid, import: 100 A, export: 60 A, phases: 3, meter: grid-meter}
  feeder-b: {kind: feeder, limit: 40 kVA, within: grid, meter: feeder-b-meter}
devices:
  wind-1:
    link: plc
    unit: 3
    poll: 1 s
    points:
      power:    {table: holding, address: 100, type: float32, order: ABCD, unit: kW, scale: -1, access: r}
      limit:    {table: holding, address: 110, type: uint16, unit: "%", access: rw}
    role: {kind: generator, dispatch: stochastic, rated: 2 MW, signals: {power: power, limit: limit}}
  hall-a:
    link: plc
    points: {power: {address: 5, type: float64, unit: kW, access: r}}
    mode: auto
    role: {kind: consumer, rated: 60 kW, deferrable: 40 kW, demand_responsive: 25 kW, class: 2, interruptible: true,
           on: feeder-b, phases: abc,
           bus: main, failsafe: {limit: 20 kW, timeout: 60 s}, on_stop: release, deferral: 15 min}
  grid-meter:
    link: plc
    unit: 4
    poll: 200 ms
    points: {power: {address: 0, unit: W}, current_a: {address: 1, unit: A, scale: 0.1}}
  feeder-b-meter:
    link: plc
    unit: 5
    points: {power: {address: 0, unit: W}}
    role: {kind: feeder}
"""


def actuator(assembly: Assembly, device: str, verb: Verb) -> tuple[Actuator, int]:
    site = assembly.site
    for index, one in enumerate(site.actuators):
        if site.devices[one.device].name == device and one.verb is verb:
            return one, index
    raise AssertionError(f"{device} has no {verb}")


def point(assembly: Assembly, index: int) -> tuple[str, str]:
    return assembly.points[index].device, assembly.points[index].name


def test_the_contract_s_example() -> None:
    assembly = assemble(CONTRACT, "site.yaml")
    site = assembly.site
    assert site.name == "cabinet-17"
    assert (assembly.http.host, assembly.http.port, assembly.http.token_file) == ("127.0.0.1", 8080, Path("PATH"))
    assert assembly.journal.keep_ms == 30 * 86_400_000
    assert (site.policy.mode, site.policy.margin_ppm, site.policy.restore_step_w) == (RegionMode.AUTO, 100_000, 5_000)
    assert [bus.name for bus in site.buses] == ["main", "island"]
    grid, feeder = site.ratings
    assert (grid.name, grid.within, grid.import_va, grid.export_va) == ("grid", NONE, 23_000, 13_800)
    assert (feeder.name, feeder.within, feeder.import_va, feeder.export_va) == ("feeder-b", 0, 13_333, 13_333)
    (wind,) = site.generators
    assert (wind.rated_w, wind.tree, wind.phases, wind.rating) == (2_000_000, 1, 0b111, NONE)
    (hall,) = site.consumers
    assert (hall.klass, hall.interruptible, hall.demand_responsive_w, hall.rating) == (2, True, 25_000, 1)
    assert hall.do_limit == NONE, "a device without a writable point has no actuator"
    assert site.devices[1].mode is DeviceMode.AUTO
    assert len(assembly.signals) == len(site.signals)
    assert len(assembly.actuators) == len(site.actuators) == 1


def test_port_journal_and_telemetry() -> None:
    plain = assemble(CONTRACT, "site.yaml")
    assert (plain.http.viewer_file, plain.http.viewer_credential, plain.http.tls, plain.http.names) == (
        None,
        None,
        None,
        (),
    )
    assert (plain.journal.path, plain.journal.limit_bytes) == (Path("scowl-edge.db"), 2_000_000_000)
    assert plain.telemetry == TelemetrySettings(
        path=Path("scowl-edge.telemetry.db"),
        keep_ms=24 * 3_600_000,
        every_ms=10_000,
        limit_bytes=500_000_000,
        enabled=True,
    )
    text = """
site: {id: s}
http:
  listen: "0.0.0.0:8443"
  viewer: {credential: viewer}
  tls: {certificate: {file: tls.crt}, key: {credential: tls-key}}
  names: [SCADA.example, "[::1]", 10.0.0.7]
journal: {path: /var/lib/edge/journal, limit: 0.5 GB}
telemetry: {keep: 7 d, every: 1 min, limit: 64 MB, enabled: false}
"""
    assembly = assemble(text, "site.yaml")
    http = assembly.http
    assert (http.token_file, http.token_credential) == (None, None)
    assert (http.viewer_file, http.viewer_credential) == (None, "viewer")
    assert http.tls == TlsSettings(
        certificate=Secret(file="tls.crt", credential=""), key=Secret(file="", credential="tls-key")
    )
    assert http.names == ("scada.example", "::1", "10.0.0.7")
    assert assembly.journal.limit_bytes == 500_000_000
    assert assembly.telemetry.path == Path("/var/lib/edge/journal.telemetry.db")
    assert (assembly.telemetry.every_ms, assembly.telemetry.limit_bytes) == (60_000, 64_000_000)
    assert not assembly.telemetry.enabled


def test_point_table_and_links_agree() -> None:
    assembly = assemble(CONTRACT, "site.yaml")
    for link in assembly.links:
        for device in link.devices:
            for place, declared in enumerate(device.points):
                row = assembly.points[device.first_point + place]
                assert (row.device, row.name, row.link) == (device.name, declared.name, link.name)
                assert (row.fresh_ms, row.hold_ms) == (declared.fresh_for_ms, declared.hold_for_ms)
    assert assembly.points[0].unit == "W"
    assert assembly.points[1].unit == "fraction"


def test_a_meter_without_a_role_is_bound_by_its_rating() -> None:
    assembly = assemble(CONTRACT, "site.yaml")
    grid = assembly.site.ratings[0]
    assert point(assembly, assembly.signals[grid.power].point) == ("grid-meter", "power")
    current = assembly.signals[grid.currents[0]]
    assert point(assembly, current.point) == ("grid-meter", "current_a")
    assert current.gain == 1_000
    assert grid.currents[1] == NONE
    assert assembly.site.signals[grid.power].fresh_ms == 600, "three polls of its device"


def test_shares_count_of_the_rated_power_and_power_rounds_up() -> None:
    assembly = assemble(CONTRACT, "site.yaml")
    limit, index = actuator(assembly, "wind-1", Verb.LIMIT)
    assert assembly.actuators[index].gain == 2_000_000
    assert (limit.low, limit.high, limit.tolerance) == (0, 2_000_000, 100_000)
    assert assembly.site.signals[limit.feedback].name == "limit"
    assert assembly.site.signals[limit.effect].name == "power"
    assert assembly.signals[limit.effect].rounding is Rounding.UP
    assert assembly.signals[limit.feedback].rounding is Rounding.NEAREST


CONSUMER = """
site: {id: s}
links: {plc: {type: modbus-tcp, host: h, fresh_for: 10 s, hold_for: 0 s}}
ratings: {home: {kind: building, import: 40 A, phases: 1, voltage: 240 V}}
devices:
  box:
    link: plc
    poll: 2 s
    points:
      power: {table: input, address: 0, unit: W, fresh_for: 4 s}
      ask: {address: 1, unit: W, access: rw, write_class: stored}
      shed_granted: {address: 2, unit: W}
      until: {address: 3, unit: min, access: w}
      amps: {address: 4, unit: A, access: w}
      supply: {address: 5, access: rw}
      running: {table: coil, address: 6, access: rw, write_class: pulse}
    role:
      kind: consumer
      rated: 7 kW
      deferrable: 6 kW
      demand_responsive: 5 kW
      on: home
      on_stop: release
      failsafe: {limit: 1 kW, timeout: 30 s}
      heartbeat: 10 s
      ramp: 1 kW/s
      tolerance: 10 W
      signals: {power: power, shed_request: ask, shed_granted: shed_granted, shed_expiry: until, limit: amps,
                supply: supply, connect: running}
"""


def test_consumer_s_actuators() -> None:
    assembly = assemble(CONSUMER, "site.yaml")
    (box,) = assembly.site.consumers
    assert box.phases == 0b001, "one phase below a rating of one phase"
    shed, index = actuator(assembly, "box", Verb.SHED)
    assert index == box.do_shed
    assert assembly.site.signals[shed.feedback].name == "shed_granted"
    assert point(assembly, assembly.actuators[index].expiry_point) == ("box", "until")
    assert (shed.high, shed.write_class, shed.daily_budget) == (5_000, WriteClass.STORED, 20)
    assert (shed.failsafe, shed.device_timeout_ms) == (None, 0)
    limit, index = actuator(assembly, "box", Verb.LIMIT)
    assert limit.feedback == NONE, "it cannot be read back"
    assert (limit.failsafe, limit.device_timeout_ms, limit.heartbeat_ms) == (1_000, 30_000, 10_000)
    assert (limit.on_stop, limit.ramp_w_s, limit.tolerance) == (OnStop.RELEASE, 1_000, 50)
    assert assembly.actuators[index].gain == 240.0, "amperes of one phase at the rating's voltage"
    connect, _ = actuator(assembly, "box", Verb.CONNECT)
    assert (connect.high, connect.tolerance, connect.write_class) == (1, 50, WriteClass.PULSE)
    supply, _ = actuator(assembly, "box", Verb.SUPPLY)
    assert (supply.high, supply.daily_budget) == (65_535, 0)
    coil = assembly.links[0].devices[0].points[6]
    assert (coil.table, coil.type, coil.length) == (Table.COIL, "bool", 1)


def test_freshness_is_inherited_from_point_device_and_link() -> None:
    assembly = assemble(CONSUMER, "site.yaml")
    assert [row.fresh_ms for row in assembly.points[:2]] == [4_000, 10_000]
    assert {row.hold_ms for row in assembly.points} == {0}
    text = CONSUMER.replace("poll: 2 s", "poll: 2 s\n    fresh_for: 7 s\n    hold_for: 1 s").replace(
        "fresh_for: 10 s, ", ""
    )
    assert [row.fresh_ms for row in assemble(text, "f").points[:2]] == [4_000, 7_000]
    assert assemble(text, "f").points[0].hold_ms == 1_000


def test_without_a_grant_the_request_read_back_is_the_grant() -> None:
    text = CONSUMER.replace("shed_granted: shed_granted, ", "")
    assembly = assemble(text, "site.yaml")
    (box,) = assembly.site.consumers
    shed, _ = actuator(assembly, "box", Verb.SHED)
    assert assembly.site.signals[shed.feedback].name == "shed_request"
    assert box.shed_granted == shed.feedback


def test_a_read_only_link_has_no_actuators() -> None:
    text = CONSUMER.replace("host: h", "host: h, read_only: true")
    assembly = assemble(text, "site.yaml")
    assert assembly.site.actuators == ()
    assert assembly.site.consumers[0].do_shed == NONE
    assert assembly.links[0].read_only


STORAGE = """
site: {id: s}
links: {plc: {type: modbus-tcp, host: h}}
devices:
  gas:
    link: plc
    points: {power: {address: 0, unit: W}, setpoint: {address: 1, unit: kW, access: rw}}
    role: {kind: generator, dispatch: continuous, rated: 100 kW, minimum: 30 kW, start_time: 90 s}
  battery:
    link: plc
    unit: 2
    points:
      power: {address: 0, type: int32, unit: W}
      soc: {address: 2, unit: "%", scale: 0.1}
      mode: {address: 3, access: rw}
      setpoint: {address: 4, type: int16, unit: W, scale: 10, access: rw}
    role: {kind: storage, rated: 50 kW, capacity: 100 kWh, discharge: 40 kW, floor: 20 %, trickle: 500 W,
           failsafe: {setpoint: 0 W, timeout: 1 min}, modes: {idle: 11, charging: 12, discharging: 13, sleeping: 10}}
"""


def test_storage() -> None:
    assembly = assemble(STORAGE, "site.yaml")
    (battery,) = assembly.site.storages
    assert (battery.charge_w, battery.discharge_w, battery.capacity_wh) == (50_000, 40_000, 100_000)
    assert (battery.floor_ppm, battery.wake_ppm, battery.trickle_w) == (200_000, 250_000, 500)
    assert battery.modes == (11, 12, 13, 10)
    assert battery.tree == 2
    setpoint, _ = actuator(assembly, "battery", Verb.SETPOINT)
    assert (setpoint.low, setpoint.high, setpoint.failsafe) == (-40_000, 50_000, 0)
    assert assembly.signals[battery.soc].gain == 1_000_000
    gas, _ = actuator(assembly, "gas", Verb.SETPOINT)
    assert (gas.low, gas.high) == (0, 100_000)


@pytest.mark.parametrize(("limit", "phases", "va"), [("63 A", 3, 14_490), ("30 kW", 3, 10_000), ("10 kVA", 1, 10_000)])
def test_limits_in_va_per_phase(limit: str, phases: int, va: int) -> None:
    text = f"site: {{id: s}}\nratings: {{r: {{kind: feeder, limit: {limit}, phases: {phases}}}}}\n"
    (rating,) = assemble(text, "f").site.ratings
    assert (rating.import_va, rating.export_va) == (va, va)


def test_ratings_stand_after_what_they_are_within() -> None:
    text = """
site: {id: s}
ratings:
  c: {kind: feeder, import: 10 A, within: b}
  b: {kind: building, import: 20 A, within: a}
  a: {kind: grid, export: 30 A}
"""
    ratings = assemble(text, "f").site.ratings
    assert [(rating.name, rating.within) for rating in ratings] == [("a", NONE), ("b", 0), ("c", 1)]
    assert ratings[0].import_va == -1


def test_an_assembly_is_a_value() -> None:
    one, two = assemble(CONTRACT, "site.yaml"), assemble(CONTRACT, "site.yaml")
    assert one == two
    assert one.fingerprint == one.site.fingerprint
    assert assemble(CONTRACT + "# more\n", "site.yaml").fingerprint != one.fingerprint
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.text = ""  # type: ignore[misc]


def test_shared_parts_by_alias_and_merge() -> None:
    text = """
site: {id: s}
links: {plc: {type: modbus-tcp, host: h}}
devices:
  a:
    link: plc
    points: &points {power: {address: 0, unit: W}, limit: {address: 1, unit: W, access: rw}}
    role: &role {kind: consumer, rated: 5 kW, class: 3}
  b: {link: plc, unit: 2, points: *points, role: {<<: *role, class: 4}}
"""
    assembly = assemble(text, "f")
    assert [consumer.klass for consumer in assembly.site.consumers] == [3, 4]
    assert assembly.links[0].devices[0].points == assembly.links[0].devices[1].points


def test_the_simulation_is_kept_and_can_be_faulted_later() -> None:
    text = "site: {id: s}\nsimulation:\n  seed: 1\n  devices: {wind-1: {model: wnd}}\n"
    assembly = assemble(text, "f.yaml")
    assert assembly.simulation == {"seed": 1, "devices": {"wind-1": {"model": "wnd"}}}
    fault = assembly.document.fault(("simulation", "devices", "wind-1", "model"), "no model wnd", "write wind")
    assert str(fault) == "f.yaml:4:29: no model wnd; write wind"


def test_load_names_the_file_as_given(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("site: {}\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}:1:7: `site` lacks its key `id`; add `id: cabinet-17`"
