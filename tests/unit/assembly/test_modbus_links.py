"""Modbus links of every type, their units and points: what a configuration becomes."""

from __future__ import annotations

import pytest

from scowl_edge.assembly import assemble
from scowl_edge.devices.declaration import (
    Canary,
    Counter,
    Hole,
    LinkKind,
    LinkProxy,
    LinkTls,
    ModbusDevice,
    ModbusLink,
    OpcuaLink,
    Parity,
    SerialLine,
    Table,
)


def link(text: str) -> ModbusLink:
    (found,) = assemble(f"site: {{id: s}}\nlinks: {{l: {text}}}\n", "f").links
    assert isinstance(found, ModbusLink)
    return found


def device(keys: str, *, link_keys: str = "type: modbus-tcp, host: h") -> ModbusDevice:
    text = f"site: {{id: s}}\nlinks: {{l: {{{link_keys}}}}}\ndevices: {{d: {{link: l, {keys}}}}}\n"
    (found,) = assemble(text, "f").links
    assert isinstance(found, ModbusLink)
    return found.devices[0]


def test_a_serial_line_as_most_devices_are_delivered() -> None:
    found = link("{type: modbus-rtu, device: /dev/ttyUSB0}")
    assert found.kind is LinkKind.RTU and found.is_serial
    assert found.serial == SerialLine(device="/dev/ttyUSB0", baud=9_600, data_bits=8, parity=Parity.NONE, stop_bits=1)
    assert (found.host, found.port, found.tls, found.pipeline) == ("", 0, None, 1)
    assert (found.late_ms, found.late_reply_ms) == (0, 2_000), "four times the time-out"
    assert (found.settle_ms, found.probe_share_ppm, found.proxy) == (100, 50_000, None)


def test_a_serial_line_in_full() -> None:
    found = link(
        "{type: modbus-rtu, device: /dev/ttyS1, baud: 19200, parity: even, data_bits: 8, stop_bits: 2, late: 5 s, "
        "settle: 1 s, probe_share: 2 %, pause: 10 ms, max_gap: 0, max_read: 30}"
    )
    assert found.serial == SerialLine(device="/dev/ttyS1", baud=19_200, data_bits=8, parity=Parity.EVEN, stop_bits=2)
    assert (found.late_ms, found.settle_ms, found.probe_share_ppm) == (5_000, 1_000, 20_000)
    assert (found.pause_ms, found.max_gap, found.max_read) == (10, 0, 30)


def test_a_read_on_a_serial_line_takes_its_characters_and_two_silences() -> None:
    line = SerialLine(device="/dev/x", baud=9_600, data_bits=8, parity=Parity.NONE, stop_bits=1)
    # 10 bits a character: 8 + 5 + 100 of them, and twice 3.5.
    assert line.read_ms(100) == pytest.approx((113 + 7) * 10 / 9.6)
    fast = SerialLine(device="/dev/x", baud=115_200, data_bits=8, parity=Parity.EVEN, stop_bits=1)
    assert fast.read_ms(2) == pytest.approx(15 * 11 / 115.2 + 3.5)


def test_frames_of_a_serial_line_over_tcp() -> None:
    found = link("{type: modbus-rtu-tcp, host: converter, port: 4001, late: 3 s}")
    assert found.kind is LinkKind.RTU_TCP and found.is_serial
    assert (found.host, found.port, found.serial, found.late_reply_ms) == ("converter", 4_001, None, 3_000)


def test_tls() -> None:
    found = link("{type: modbus-tls, host: h, ca: a, certificate: b, key: c, pipeline: 4}")
    assert found.kind is LinkKind.TLS and not found.is_serial
    assert (found.port, found.pipeline) == (802, 4)
    assert found.tls == LinkTls(ca="a", certificate="b", key="c", server_name="")
    named = link("{type: modbus-tls, host: h, port: 8802, ca: a, certificate: b, key: c, server_name: pv}")
    assert named.tls is not None
    assert (named.port, named.tls.server_name) == (8_802, "pv")


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ('"fd00::20"', "fd00::20"),
        ('"[fd00::20]"', "fd00::20"),
        ("gate_way.lan", "gate_way.lan"),
    ],
)
def test_hosts(written: str, host: str) -> None:
    found = link(f"{{type: modbus-tcp, host: {written}, port: 1502, pipeline: 8}}")
    assert (found.host, found.port, found.pipeline, found.kind) == (host, 1_502, 8, LinkKind.TCP)


@pytest.mark.parametrize(
    ("written", "proxy"),
    [
        ("{listen: 127.0.0.1:1502}", LinkProxy(host="127.0.0.1", port=1_502, share_ppm=200_000)),
        ('{listen: "[::1]:1502", share: 10 %}', LinkProxy(host="::1", port=1_502, share_ppm=100_000)),
        ("{listen: 0.0.0.0:1502, unprotected: true}", LinkProxy(host="0.0.0.0", port=1_502, share_ppm=200_000)),
    ],
)
def test_proxies(written: str, proxy: LinkProxy) -> None:
    assert link(f"{{type: modbus-rtu, device: /dev/ttyUSB0, proxy: {written}}}").proxy == proxy


def test_a_unit_takes_the_link_s_ways_unless_it_says_otherwise() -> None:
    plain = device("unit: 3")
    assert (plain.timeout_ms, plain.pause_ms, plain.budget_ppm, plain.max_gap, plain.max_read) == (0, 0, 0, -1, 0)
    assert (plain.holes, plain.canary) == ((), None)
    own = device(
        "timeout: 2 s, pause: 50 ms, budget: 30 %, max_gap: 0, max_read: 16, canary: {address: 7, equals: 0x1234}, "
        "holes: {input: 7, holding: [40-49, 60]}"
    )
    assert (own.timeout_ms, own.pause_ms, own.budget_ppm, own.max_gap, own.max_read) == (2_000, 50, 300_000, 0, 16)
    assert own.holes == (
        Hole(table=Table.HOLDING, first=40, last=49),
        Hole(table=Table.HOLDING, first=60, last=60),
        Hole(table=Table.INPUT, first=7, last=7),
    )
    assert own.canary == Canary(table=Table.HOLDING, address=7, equals=0x1234)


def test_what_is_only_written_may_lie_in_a_hole() -> None:
    found = device("holes: {holding: [40-49]}, points: {reset: {address: 45, access: w}, p: {address: 50}}")
    assert [point.address for point in found.points] == [45, 50]


def test_judged_and_counted_points() -> None:
    judged, counted, other, plain = device(
        "points: {a: {address: 0, unit: kW, max_change: 2.5, stuck_after: 10 min}, "
        "b: {address: 1, type: uint32, counter: {wraps_at: 4294967296}}, c: {address: 3, counter: {}}, d: {address: 4}}"
    ).points
    assert (judged.max_change, judged.stuck_after_ms, judged.counter) == (2.5, 600_000, None)
    assert counted.counter == Counter(wraps_at=2**32)
    assert other.counter == Counter(wraps_at=0)
    assert (plain.max_change, plain.stuck_after_ms, plain.poll_ms) == (0.0, 0, 0)


@pytest.mark.parametrize(
    ("inherited", "fresh_ms"),
    [
        ("", {"slow": 180_000, "fast": 600, "usual": 3_000, "own": 70_000}),
        ("fresh_for: 10 s, ", {"slow": 180_000, "fast": 10_000, "usual": 10_000, "own": 70_000}),
    ],
)
def test_freshness_follows_a_point_s_own_poll(inherited: str, fresh_ms: dict[str, int]) -> None:
    points = (
        "slow: {address: 0, poll: 1 min}, fast: {address: 1, poll: 200 ms}, usual: {address: 2}, "
        "own: {address: 3, poll: 1 min, fresh_for: 70 s}"
    )
    text = (
        "site: {id: s}\nlinks: {l: {type: modbus-tcp, host: h}}\n"
        f"devices: {{d: {{link: l, {inherited}points: {{{points}}}}}}}\n"
    )
    rows = assemble(text, "f").points
    assert {row.name: row.fresh_ms for row in rows} == fresh_ms
    assert {row.name: row.poll_ms for row in rows} == {"slow": 60_000, "fast": 200, "usual": 1_000, "own": 60_000}


def test_opcua_links_and_points() -> None:
    text = """
site: {id: s}
links: {scada: {type: opcua, endpoint: "opc.tcp://h", session_items: 500}, other: {type: opcua, endpoint: "opc.tcp://i"}}
devices:
  d:
    link: scada
    points: {p: {node: "i=1", max_change: 3, stuck_after: 1 min, counter: {wraps_at: 1000}}}
"""
    found, other = assemble(text, "f").links
    assert isinstance(found, OpcuaLink) and isinstance(other, OpcuaLink)
    assert (found.session_items, other.session_items) == (500, 3_000)
    (point,) = found.devices[0].points
    assert (point.max_change, point.stuck_after_ms, point.counter) == (3.0, 60_000, Counter(wraps_at=1_000))
