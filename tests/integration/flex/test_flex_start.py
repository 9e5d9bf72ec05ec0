"""A site whose certificates cannot be used says so at its start, in words, and does not begin."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from scowl_edge.assembly import assemble
from scowl_edge.clocks import SystemClock
from scowl_edge.flexing import FlexError, FlexLinks
from scowl_edge.inbox import Inbox
from scowl_edge.issuing import Issuer
from scowl_edge.model.errors import ScowlError
from scowl_edge.process import run

SITE = """
site: {{id: house}}
flex:
  tls: {{certificate: {{file: {0}/node.pem}}, key: {{file: {0}/node.key}}, authority: {{file: {0}/authority.pem}}}}
  manager: {{node: "cem:house", failsafe: {{import: 4 kW, export: 0 W}}}}
"""


def links(folder: Path, text: str = SITE) -> FlexLinks:
    assembly = assemble(text.format(folder), "site.yaml")
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


def made(folder: Path) -> Issuer:
    issuer = Issuer(folder / "authority.pem", folder / "authority.key")
    issuer.create("test")
    issuer.issue("cem:house", [], folder / "node.pem", folder / "node.key", node="cem:house")
    return issuer


async def test_an_address_that_is_taken_ends_the_start_in_words(tmp_path: Path) -> None:
    made(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = SITE.format(tmp_path).replace("flex:\n", f"flex:\n  listen: 127.0.0.1:{port}\n")
        text += f"http: {{listen: 127.0.0.1:0}}\njournal: {{path: {tmp_path}/j.db}}\ntelemetry: {{enabled: false}}\n"
        with pytest.raises(ScowlError, match=rf"cannot listen for flexibility on 127\.0\.0\.1:{port}: .*flex: listen"):
            await run(assemble(text, "site.yaml"))


def test_a_revocation_list_has_to_be_one(tmp_path: Path) -> None:
    issuer = made(tmp_path)
    listed = tmp_path / "revoked.pem"
    text = SITE.replace("{{certificate", f"{{{{revoked: {{{{file: {listed}}}}}, certificate")
    with pytest.raises(FlexError, match=r"revoked\.pem cannot be read"):
        links(tmp_path, text)
    listed.write_text("no list")
    with pytest.raises(FlexError, match=r"revoked\.pem"):
        links(tmp_path, text)
    listed.unlink()
    issuer.revoke([], listed)
    assert links(tmp_path, text).url == ""
