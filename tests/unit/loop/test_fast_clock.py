"""A clock that runs fast is for simulations: nothing outside this machine may take part."""

from __future__ import annotations

import socket

import pytest

from scowl_edge.assembly import assemble
from scowl_edge.daemon import StartError, refuse_foreign

SITE = """
site: {{id: fast}}
http: {{listen: 127.0.0.1:0}}
journal: {{path: fast.db}}
links:
  plc: {{type: modbus-tcp, host: {host}, proxy: {{listen: "{proxy}", unprotected: true}}}}
devices:
  meter: {{link: plc, unit: 1, poll: 1 s, points: {{power: {{address: 0, type: int16, unit: W, access: r}}}}}}
"""


@pytest.mark.parametrize(
    ("host", "proxy", "named"),
    [
        ("192.0.2.7", "127.0.0.1:1502", "link plc is on 192.0.2.7"),
        ("127.0.0.1", "0.0.0.0:1502", "the proxy of link plc is on 0.0.0.0"),
    ],
)
def test_what_is_not_on_this_machine_is_refused_by_name(host: str, proxy: str, named: str) -> None:
    with pytest.raises(StartError, match=named):
        refuse_foreign(assemble(SITE.format(host=host, proxy=proxy), "site.yaml"))


FLEX = """
flex:
  listen: {listen}
  tls: {{certificate: {{file: a}}, key: {{file: b}}, authority: {{file: c}}}}
  provider: {{node: dsrsp:fast, failsafe: {{import: 4 kW, export: 0 W}}}}
"""


def test_a_port_for_flexibility_that_others_reach_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth0")])
    text = SITE.format(host="127.0.0.1", proxy="[::1]:1502")
    with pytest.raises(StartError, match=r"flex: listen is on 0\.0\.0\.0"):
        refuse_foreign(assemble(text + FLEX.format(listen="0.0.0.0:8443"), "site.yaml"))
    refuse_foreign(assemble(text + FLEX.format(listen="127.0.0.1:0"), "site.yaml"))
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo")])
    refuse_foreign(assemble(text + FLEX.format(listen="0.0.0.0:8443"), "site.yaml"))


def test_a_site_on_loopback_may_run_fast() -> None:
    refuse_foreign(assemble(SITE.format(host="127.0.0.1", proxy="[::1]:1502"), "site.yaml"))
