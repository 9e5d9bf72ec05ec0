"""A site whose certificates cannot be used says so at its start, in words, and does not begin."""

from __future__ import annotations

from pathlib import Path

import pytest

from scowl_edge.assembly import assemble
from scowl_edge.clocks import SystemClock
from scowl_edge.flexing import FlexError, FlexLinks
from scowl_edge.inbox import Inbox
from scowl_edge.issuing import Issuer

SITE = """
site: {{id: house}}
flex:
  tls: {{certificate: {{file: {0}/node.pem}}, key: {{file: {0}/node.key}}, authority: {{file: {0}/authority.pem}}}}
  manager: {{node: "cem:house", failsafe: {{import: 4 kW, export: 0 W}}}}
"""


def links(folder: Path) -> FlexLinks:
    assembly = assemble(SITE.format(folder), "site.yaml")
    assert assembly.flex is not None and assembly.site.flex is not None
    return FlexLinks(assembly.flex, assembly.site.flex, Inbox(0, [], [], []), SystemClock(), seed=1)


def test_what_is_missing_or_no_certificate_is_said_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(FlexError, match=r"cannot be read.*scowl-edge pki authority"):
        links(tmp_path)
    issuer = Issuer(tmp_path / "authority.pem", tmp_path / "authority.key")
    issuer.create("test")
    issuer.issue("cem:house", [], tmp_path / "node.pem", tmp_path / "node.key", node="cem:house")
    assert links(tmp_path).url == ""
    (tmp_path / "node.key").write_bytes((tmp_path / "authority.key").read_bytes())
    with pytest.raises(FlexError, match="the key is not that of the certificate"):
        links(tmp_path)
    (tmp_path / "authority.pem").write_text("no certificate")
    with pytest.raises(FlexError, match="flex: tls"):
        links(tmp_path)
