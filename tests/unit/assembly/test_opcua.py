"""OPC-UA in a configuration: what links and points become, what is doubtful, what they cost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scowl_edge.assembly import assemble
from scowl_edge.assembly.cost import cost_lines, opcua_cost
from scowl_edge.assembly.findings import warnings
from scowl_edge.devices.declaration import (
    ModbusLink,
    OpcuaLink,
    OpcuaPoint,
    Secret,
    SecurityMode,
    SecurityPolicy,
)
from scowl_edge.model.command import WriteClass

SITE = """site: {id: s}
links:
  plc: {type: modbus-tcp, host: h}
  scada:
    type: opcua
    endpoint: "opc.tcp://[FE80::1]:4841/x"
    security: Aes128_Sha256_RsaOaep/Sign
    user: edge
    password: {file: secret}
    pki: certificates
    timeout: 1500 ms
    max_items: 3
    hold_for: 5 s
  plain: {type: opcua, endpoint: "opc.tcp://Server.example", subscribe: false, read_only: true}
devices:
  meter: {link: plc, points: {power: {address: 0, unit: W}}}
  hall:
    link: scada
    poll: 250 ms
    points:
      power: {node: "nsu=urn:site;s=Hall/Power", type: double, unit: kW, scale: -1, min: -5, max: 5, fresh_for: 2 s}
      phase: {node: "nsu=urn:site;s=Hall/Phases", index: 2, unit: A, nan: [-1]}
      first: {node: "nsu=urn:site;s=Hall/Phases", index: 0, unit: A}
      state: {node: "i=2258"}
      more: {node: "i=2259"}
      start: {node: "nsu=urn:site;s=Hall", method: "nsu=urn:site;s=Start", type: none, access: w}
      give: {node: "nsu=urn:site;s=Hall", method: "nsu=urn:site;s=Give", type: float, access: w, write_class: stored}
  pump:
    link: plain
    points: {speed: {node: "nsu=urn:site;s=Pump", unit: Hz}}
"""


def point(name: str) -> OpcuaPoint:
    (device,) = scada().devices
    return next(one for one in device.points if one.name == name)


def scada() -> OpcuaLink:
    link = assemble(SITE, "f").links[1]
    assert isinstance(link, OpcuaLink)
    return link


def test_links_of_both_kinds_stand_in_the_order_of_the_file() -> None:
    modbus, one, other = assemble(SITE, "f").links
    assert isinstance(modbus, ModbusLink) and isinstance(one, OpcuaLink) and isinstance(other, OpcuaLink)
    assert (one.name, one.host, one.port) == ("scada", "fe80::1", 4841)
    assert (one.policy, one.mode) == (SecurityPolicy.AES128_SHA256_RSA_OAEP, SecurityMode.SIGN)
    assert (one.user, one.password, one.pki) == ("edge", Secret(file="secret", credential=""), "certificates")
    assert (one.timeout_ms, one.connect_timeout_ms, one.reconnect_ms) == (1_500, 5_000, 30_000)
    assert (one.subscribe, one.max_items, one.read_only) == (True, 3, False)
    assert (other.host, other.port, other.policy, other.mode) == (
        "server.example",
        4840,
        SecurityPolicy.NONE,
        SecurityMode.NONE,
    )
    assert (other.user, other.password, other.pki) == ("", None, "scowl-edge-pki")
    assert (other.timeout_ms, other.subscribe, other.read_only, other.max_items) == (4_000, False, True, 0)


def test_points() -> None:
    power, phase, state = point("power"), point("phase"), point("state")
    assert (power.node, power.type, power.index, power.method) == ("nsu=urn:site;s=Hall/Power", "double", -1, "")
    assert (power.unit, power.to_base, power.base_unit, power.scale) == ("kW", 1_000.0, "W", -1.0)
    assert (power.low, power.high, power.fresh_for_ms, power.hold_for_ms) == (-5.0, 5.0, 2_000, 5_000)
    assert (phase.type, phase.index, phase.nan, phase.access) == ("", 2, (-1.0,), "r")
    assert (state.type, state.unit, state.fresh_for_ms) == ("", "", 750)


def test_a_call_without_a_value_is_a_pulse_unless_said_otherwise() -> None:
    assert point("start").write_class is WriteClass.PULSE
    assert point("give").write_class is WriteClass.STORED
    assert point("power").write_class is WriteClass.VOLATILE


def test_the_point_table_goes_through_all_links() -> None:
    assembly = assemble(SITE, "f")
    assert [(row.device, row.link) for row in assembly.points[:2]] == [("meter", "plc"), ("hall", "scada")]
    (hall,) = scada().devices
    assert (hall.first_point, hall.poll_ms) == (1, 250)
    assert assembly.points[1].type == "double"
    assert assembly.links[2].devices[0].first_point == 8


def test_cost() -> None:
    cost = opcua_cost(scada(), reply_ms=20)
    assert (cost.items, cost.requests_per_s, cost.worst_delay_ms) == (4, 8.0, 1_500), (
        "an array is one node; 2 reads of at most 3, 4 times a second"
    )
    assert cost.load_fraction == pytest.approx(0.16)
    _, scada_line, plain_line = cost_lines(assemble(SITE, "f"))
    assert scada_line == (
        "link scada: 4 nodes subscribed to, at most 8 requests a second, load 16 % while all of them are silent, at "
        "20 ms a request, a silent server delays its devices by at most 1.5 s"
    )
    assert plain_line == (
        "link plain: 1 node, 1 requests a second, load 2 % by list reads, at 20 ms a request, a silent server delays "
        "its devices by at most 4 s"
    )


def test_more_nodes_than_one_session_bears() -> None:
    text = SITE.replace("max_items: 3", "session_items: 3")
    _, line, plain = cost_lines(assemble(text, "f"))
    assert line.startswith("link scada: 4 nodes subscribed to in at least 2 sessions, at most ")
    assert "session" not in plain, "it does not subscribe"


def texts(text: str) -> list[str]:
    return [f"{fault.line}:{fault.column}: {fault.what}" for fault in warnings(assemble(text, "f"))]


def link_of(tmp_path: Path, keys: str, points: str = 'power: {node: "nsu=u;s=P", unit: W}') -> str:
    return (
        "site: {id: s}\n"
        f'links: {{l: {{type: opcua, endpoint: "opc.tcp://h", pki: "{tmp_path}/pki", {keys}}}}}\n'
        f"devices: {{d: {{link: l, points: {{{points}}}}}}}\n"
    )


def test_an_anonymous_link_without_security_is_not_doubted(tmp_path: Path) -> None:
    assert texts(link_of(tmp_path, "security: None")) == []


def test_a_password_in_clear(tmp_path: Path) -> None:
    (found,) = texts(link_of(tmp_path, "security: None, user: u, password: {credential: c}"))
    assert "the password of u goes over link l without security" in found


def test_a_user_without_password(tmp_path: Path) -> None:
    (found,) = texts(link_of(tmp_path, "user: u"))
    assert "link l has the user u but no password" in found


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    secure = "security: Basic256Sha256/SignAndEncrypt, user: u"
    (tmp_path / "pki" / "trusted").mkdir(parents=True)
    (tmp_path / "pki" / "trusted" / "server.der").touch()
    (found,) = texts(link_of(tmp_path, f"{secure}, password: {{file: {tmp_path}/none}}"))
    assert f"the file of `password`, {tmp_path}/none, cannot be read here: No such file or directory" in found
    (tmp_path / "there").write_text("secret")
    assert texts(link_of(tmp_path, f"{secure}, password: {{file: {tmp_path}/there}}")) == []


def test_a_secured_link_needs_a_certificate_to_trust(tmp_path: Path) -> None:
    text = link_of(tmp_path, "security: Basic256Sha256/Sign")
    (found,) = texts(text)
    assert f"no server's certificate is trusted in {tmp_path}/pki/trusted yet, so link l would be refused" in found
    (tmp_path / "pki" / "trusted").mkdir(parents=True)
    assert len(texts(text)) == 1
    (tmp_path / "pki" / "trusted" / "server.pem").touch()
    assert texts(text) == []


def test_a_folder_of_certificates_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "pki").touch()
    (found,) = texts(link_of(tmp_path, "security: Basic256Sha256/Sign"))
    assert f"the folder of certificates, {tmp_path}/pki, cannot be written here" in found


def test_an_expired_certificate(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plant")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    certificate = builder.not_valid_after(datetime(2021, 2, 3, tzinfo=UTC)).sign(key, hashes.SHA256())
    (tmp_path / "pki" / "trusted").mkdir(parents=True)
    (tmp_path / "pki" / "trusted" / "plant.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (found,) = texts(link_of(tmp_path, "security: Basic256Sha256/Sign"))
    assert f"{tmp_path}/pki/trusted/plant.pem (CN=plant, EXPIRED, valid 2020-01-01 to 2021-02-03) is refused" in found


def test_without_the_library_check_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scowl_edge.assembly.opcua_findings.find_spec", lambda name: None)
    (tmp_path / "pki" / "trusted").mkdir(parents=True)
    (tmp_path / "pki" / "trusted" / "plant.pem").touch()
    (found,) = texts(link_of(tmp_path, "security: Basic256Sha256/Sign"))
    assert "need the package asyncua, which is not installed here" in found


def test_namespaces_by_index(tmp_path: Path) -> None:
    points = 'a: {node: "ns=2;s=A"}, b: {node: "ns=0;i=5"}, c: {node: "i=6"}, d: {node: "nsu=u;s=D"}'
    (found,) = texts(link_of(tmp_path, "subscribe: true", points))
    assert "one point of link l names a namespace by its index" in found
    (found,) = texts(link_of(tmp_path, "subscribe: true", points + ', e: {node: "i=9", method: "ns=3;i=7", access: w}'))
    assert "2 points of link l name a namespace by its index" in found


def test_one_node_twice(tmp_path: Path) -> None:
    points = 'a: {node: "i=5"}, b: {node: "i=5"}, c: {node: "i=6", index: 1}, d: {node: "i=6", index: 2}'
    (found,) = texts(link_of(tmp_path, "subscribe: true", points))
    assert "b of d is the same node as a of d" in found
    apart = 'a: {node: "i=5"}, b: {node: "i=5", access: w}'
    assert texts(link_of(tmp_path, "subscribe: true", apart)) == [], "one reads, the other writes"


def test_two_sessions_with_one_server() -> None:
    text = """site: {id: s}
links:
  a: {type: opcua, endpoint: "opc.tcp://H:4840/x"}
  b: {type: opcua, endpoint: "opc.tcp://h"}
  c: {type: opcua, endpoint: "opc.tcp://h", user: u, password: {credential: c}}
devices:
  a: {link: a, points: {p: {node: "i=1"}}}
  b: {link: b, points: {p: {node: "i=1"}}}
  c: {link: c, points: {p: {node: "i=1"}}}
"""
    found = [line for line in texts(text) if "both lead" in line]
    assert found == ["4:30: links a and b both lead to h:4840"], "another user is another session on purpose"


def test_a_command_without_a_value(tmp_path: Path) -> None:
    points = 'power: {node: "i=1", unit: W}, connect: {node: "i=2", method: "i=3", type: none, access: w}'
    text = link_of(tmp_path, "subscribe: true", points).replace("}}}}\n", "}}, role: {kind: consumer, rated: 5 kW}}}\n")
    assert any("connect of d takes no value" in line for line in texts(text))


def test_the_port(tmp_path: Path) -> None:
    text = """site: {id: s}
http:
  listen: "0.0.0.0:8443"
  token: {file: FILE}
  viewer: {file: FILE}
  tls: {certificate: {file: FILE}, key: {credential: key}}
"""
    lines = texts(text.replace("FILE", f"{tmp_path}/none"))
    assert [line.split(" ", 1)[0] for line in lines] == ["3:11:", "4:17:", "5:11:", "5:18:", "6:29:"]
    assert "listens on every address, but `names` lists no host name" in lines[0]
    assert "`viewer` and `token` are the same" in lines[2]
    (tmp_path / "some").write_text("x")
    assert len(texts(text.replace("FILE", f"{tmp_path}/some"))) == 2
