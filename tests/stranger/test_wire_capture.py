"""The whole daemon on the wire, judged by tshark: no malformed frame, and just the requests that were planned."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from libmodbus_peer import Peer
from opcua_peer import Peer as OpcuaPeer
from whole_daemon import WholeDaemon, wait_for
from wire_capture import Capture, Pdu

from scowl_edge.assembly import load
from scowl_edge.assembly.cost import cost_lines

Request = tuple[int, int, int, int]
"""Unit, function, first address, registers or bits."""

MODBUS = """
site: {id: captured}
http: {listen: 127.0.0.1:0, token: {file: TOKEN}}
journal: {path: JOURNAL}
links:
  peer: {type: modbus-tcp, host: 127.0.0.1, port: PORT, timeout: 2 s, pipeline: 3}
devices:
  inverter:
    link: peer
    unit: 1
    poll: 200 ms
    points:
      power: {address: 10, type: int32, unit: W}
      voltage: {address: 14, unit: V}
      energy: {address: 40, type: uint64, unit: Wh, poll: 400 ms}
      temperature: {table: input, address: 100, type: float64, unit: degC}
      door: {table: coil, address: 3}
      lamp: {table: coil, address: 5, access: rw}
  meter:
    link: peer
    unit: 2
    poll: 500 ms
    points:
      first: {address: 200, unit: W}
      beyond_the_gap: {address: 230, unit: W}
      power: {table: input, address: 40, type: int16, unit: W, scale_factor: exponent}
      exponent: {table: input, address: 42, type: int16}
      target: {address: 300, unit: W, access: w}
  breaker:
    link: peer
    unit: 3
    poll: 250 ms
    points: {closed: {table: discrete, address: 7}}
"""
PLANNED_MS: dict[Request, int] = {
    (1, 3, 10, 5): 200,
    (1, 3, 40, 4): 400,
    (1, 4, 100, 4): 200,
    (1, 1, 3, 3): 200,
    (2, 3, 200, 1): 500,
    (2, 3, 230, 1): 500,
    (2, 4, 40, 3): 500,
    (3, 2, 7, 1): 250,
}
"""Worked out by hand from the file: what lies at most 8 registers apart comes in one request."""
POLLS = 50

OPCUA = """
site: {id: captured}
http: {listen: 127.0.0.1:0, token: {file: TOKEN}}
journal: {path: JOURNAL}
links:
  scada: {type: opcua, endpoint: "opc.tcp://127.0.0.1:PORT/site", security: None}
devices:
  hall:
    link: scada
    poll: 200 ms
    points:
      flag: {node: "nsu=urn:site;s=Boolean"}
      count: {node: "nsu=urn:site;s=Int32"}
      power: {node: "nsu=urn:site;s=Double", unit: W}
"""


@pytest.fixture
def peer(peer_program: Path) -> Iterator[Peer]:
    server = Peer(peer_program, units=3)
    yield server
    server.close()


def daemon_on(text: str, port: int, folder: Path) -> WholeDaemon:
    return WholeDaemon(text.replace("PORT", str(port)), folder)


def answered(daemon: WholeDaemon, link: str) -> float:
    return daemon.metrics().get(f'scowl_link_requests_total{{link="{link}",result="ok"}}', 0)


def hold_to_plan(frames: list[Pdu], missed: float) -> None:
    """Each request comes at once at the start, then once a period; none comes that was not planned."""
    asked: dict[Request, list[float]] = defaultdict(list)
    for frame in frames:
        if frame.request:
            asked[frame.unit, frame.function, frame.address, frame.count].append(frame.at_s)
    assert asked.keys() == PLANNED_MS.keys()
    left_out = 0
    for request, times in asked.items():
        period_ms = PLANNED_MS[request]
        periods = round((times[-1] - times[1]) * 1000 / period_ms)
        assert len(times) - 2 <= periods, (request, times)
        left_out += periods - (len(times) - 2)
        # The first reading does not wait for its place on the grid; unless one is missed, the second takes the next.
        left_out += int((times[1] - times[0]) * 1000 / period_ms)
    assert left_out <= missed


def hold_to_ids(frames: list[Pdu], pipeline: int) -> int:
    """No id is used by two requests at once, each reply belongs to a request under way; the most under way at once."""
    under_way: dict[int, Pdu] = {}
    most = 0
    for frame in frames:
        if frame.request:
            assert frame.transaction not in under_way, frame
            under_way[frame.transaction] = frame
            most = max(most, len(under_way))
            continue
        request = under_way.pop(frame.transaction)
        assert (frame.unit, frame.function) == (request.unit, request.function), (request, frame)
        data = (request.count + 7) // 8 if request.function in (1, 2) else 2 * request.count
        assert frame.size == 3 + data, (request, frame)
    assert len(under_way) <= pipeline
    return most


def test_the_daemon_asks_modbus_what_was_planned_and_nothing_else(peer: Peer, tmp_path: Path) -> None:
    capture = Capture(peer.port, "mbtcp", tmp_path / "modbus.pcapng")
    with capture.running():
        daemon = daemon_on(MODBUS, peer.port, tmp_path)
        try:
            wait_for(lambda: answered(daemon, "peer") >= POLLS, 90, "polls")
            looked_s = time.time()
            missed = daemon.metrics()['scowl_link_missed_polls_total{link="peer"}']
            assert daemon.point("breaker", "closed")["quality"] == "good"
            assert daemon.stop() == 0
        finally:
            daemon.close()
    assert capture.packets("_ws.malformed || mbtcp.prot_id != 0 || ((mbtcp || modbus) && _ws.expert)") == []
    frames = capture.modbus()
    replies = sum(not frame.request for frame in frames)
    assert replies >= POLLS and 2 * replies <= len(frames) <= 2 * replies + 3
    # Later polls may be missed uncounted.
    hold_to_plan([frame for frame in frames if frame.at_s < looked_s], missed)
    assert hold_to_ids(frames, pipeline=3) <= 3

    (said,) = (line for line in cost_lines(load(daemon.file)) if line.startswith("link peer"))
    told = re.match(r"link peer: ([\d.]+) requests a second", said)
    assert told, said
    assert float(told[1]) == pytest.approx(sum(1000 / period for period in PLANNED_MS.values()), rel=1e-3)


def test_the_daemon_speaks_opcua_without_a_fault(opcua_server: OpcuaPeer, tmp_path: Path) -> None:
    """One session, one subscription with all nodes, news as they come, and a farewell."""
    capture = Capture(opcua_server.port, "opcua", tmp_path / "opcua.pcapng")
    with capture.running():
        daemon = daemon_on(OPCUA, opcua_server.port, tmp_path)
        try:
            wait_for(lambda: daemon.point("hall", "power")["quality"] == "good", 90, "it is read")
            for value in (1.5, -2.5):
                opcua_server.put("Double", value)
                wait_for(lambda value=value: daemon.point("hall", "power")["value"] == value, 90, "news come")
            assert daemon.stop() == 0
        finally:
            daemon.close()
            opcua_server.reset()
    assert capture.packets("_ws.malformed") == []
    assert capture.packets("opcua && _ws.expert.severity == error") == []
    services = Counter(
        int(number)
        for fields in capture.fields("opcua.servicenodeid.numeric", "opcua.servicenodeid.numeric")
        for number in fields[0].split(",")
    )
    once = {"CreateSession": 461, "ActivateSession": 467, "CreateSubscription": 787, "CreateMonitoredItems": 751}
    assert {name: services[number] for name, number in once.items()} == dict.fromkeys(once, 1), services
    assert services[473] == 1, "CloseSession"
    assert services[829] >= 2, "PublishResponse"
