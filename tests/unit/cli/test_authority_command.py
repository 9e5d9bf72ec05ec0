"""`scowl-edge pki authority` and `issue`: what they make, and what they refuse."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from typer.testing import CliRunner

from scowl_edge.cli.app import main


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["pki", *arguments, "--authority", str(folder)])
    return result.exit_code, result.output + str(result.exception or "")


def test_an_authority_and_two_nodes_that_know_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    status, text = run(folder, "authority", "--name", "Mill Lane")
    assert status == 0 and "scowl-edge pki issue" in text
    for node in ("cem:house-4", "dsrsp:grid-co"):
        assert run(folder, "issue", node, "--host", "localhost", "--host", "127.0.0.1", "--days", "30")[0] == 0
    made = x509.load_pem_x509_certificate((folder / "cem-house-4.pem").read_bytes())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["cem:house-4"]
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert 29 <= (made.not_valid_after_utc - made.not_valid_before_utc).days <= 31
    for secret in ("authority.key", "cem-house-4.key"):
        assert (folder / secret).stat().st_mode & 0o777 == 0o600
    assert handshake(folder) == "dsrsp:grid-co"


def handshake(folder: Path) -> str:
    """Both nodes in memory; the common name that the second sees of the first."""
    contexts = []
    for protocol, node in ((ssl.PROTOCOL_TLS_SERVER, "cem-house-4"), (ssl.PROTOCOL_TLS_CLIENT, "dsrsp-grid-co")):
        context = ssl.SSLContext(protocol)
        context.load_cert_chain(folder / f"{node}.pem", folder / f"{node}.key")
        context.load_verify_locations(folder / "authority.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        contexts.append(context)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = contexts[0].wrap_bio(up, down, server_side=True)
    client = contexts[1].wrap_bio(down, up, server_hostname="localhost")
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    shown = server.getpeercert()
    assert shown is not None
    return next(value for ((key, value),) in shown["subject"] if key == "commonName")


@pytest.mark.parametrize("node", ["house-4", "cem:", "cem:a b", "grid:x", "cem:" + "x" * 65])
def test_what_is_no_node_is_refused(tmp_path: Path, node: str) -> None:
    run(tmp_path / "a", "authority")
    status, text = run(tmp_path / "a", "issue", node)
    assert status != 0 and "looks like cem:house-4" in text


def test_an_authority_is_not_made_twice_and_one_that_is_not_there_issues_nothing(tmp_path: Path) -> None:
    status, text = run(tmp_path / "a", "issue", "cem:a")
    assert status != 0 and "scowl-edge pki authority" in text
    assert run(tmp_path / "a", "authority")[0] == 0
    before = (tmp_path / "a" / "authority.key").read_bytes()
    status, text = run(tmp_path / "a", "authority")
    assert status != 0 and "move it away first" in text
    assert (tmp_path / "a" / "authority.key").read_bytes() == before


def test_revoking_adds_to_the_list_and_says_where_it_goes(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    assert "there is no authority" in run(folder, "revoke", "cem:house-4")[1]
    run(folder, "authority")
    for node in ("cem:house-4", "cem:house-5"):
        run(folder, "issue", node)
    assert "no certificate of cem:house-6" in run(folder, "revoke", "cem:house-6")[1]
    status, text = run(folder, "revoke", "cem:house-4")
    assert status == 0 and f"revoked: {{file: {folder / 'revoked.pem'}}}" in text
    assert run(folder, "revoke", str(folder / "cem-house-5.pem"))[0] == 0
    listed = {one.serial_number for one in x509.load_pem_x509_crl((folder / "revoked.pem").read_bytes())}
    made = [x509.load_pem_x509_certificate((folder / f"cem-house-{n}.pem").read_bytes()) for n in (4, 5)]
    assert listed == {one.serial_number for one in made}
