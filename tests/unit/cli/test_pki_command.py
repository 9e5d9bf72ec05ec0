"""`scowl-edge pki`: what it shows, moves, refuses, and whom its files belong to."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from scowl_edge.cli.app import main
from scowl_edge.drivers.opcua.pki import Pki as Certificates

Pki = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an own certificate: its key takes a while."""
    folder = tmp_path_factory.mktemp("made")
    Certificates(folder).own(datetime.now(UTC))
    return folder / "own"


@pytest.fixture
def pki(tmp_path: Path, own: Path) -> Pki:
    """Runs a command on the folder `pki`; returns exit status and all that was printed."""
    shutil.copytree(own, tmp_path / "pki" / "own")

    def run(command: str, *arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["pki", command, *arguments, "--pki", str(tmp_path / "pki")])
        return result.exit_code, result.output

    return run


def certificate(name: str, *, days: int = 10) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=20)).not_valid_after(now + timedelta(days=days))
    return builder.sign(key, hashes.SHA256())


def der(one: x509.Certificate) -> bytes:
    return one.public_bytes(serialization.Encoding.DER)


def pem(one: x509.Certificate) -> bytes:
    return one.public_bytes(serialization.Encoding.PEM)


def thumb(one: x509.Certificate) -> str:
    return one.fingerprint(hashes.SHA1()).hex().upper()


def reject(folder: Path, one: x509.Certificate) -> Path:
    path = folder / "pki" / "rejected" / f"{thumb(one)}.der"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(der(one))
    return path


def test_show_makes_the_own_certificate_once(pki: Pki, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "pki")
    code, text = pki("show")
    assert code == 0
    assert "own certificate, which each server's side must trust:" in text
    assert "application urn:" in text and "trusted: none" in text and "rejected: none" in text
    assert pki("show") == (code, text)
    keys = [path for path in (tmp_path / "pki" / "own").iterdir() if path.stat().st_mode & 0o077 == 0]
    assert len(keys) == 1, "nobody else reads the key"


def test_a_rejected_certificate_is_trusted_by_its_thumbprint(pki: Pki, tmp_path: Path) -> None:
    server, other = certificate("plant server"), certificate("other")
    shown, stays = reject(tmp_path, server), reject(tmp_path, other)
    _, text = pki("show")
    assert f"thumbprint {thumb(server)}" in text and "CN=plant server, valid " in text and "rejected: 2" in text
    written_by_others = ":".join(thumb(server)[at : at + 2] for at in range(0, 40, 2)).lower()
    code, text = pki("trust", written_by_others)
    assert code == 0 and "trusted: CN=plant server" in text
    assert not shown.exists() and stays.exists()
    assert (tmp_path / "pki" / "trusted" / f"{thumb(server)}.der").read_bytes() == der(server)
    _, text = pki("show")
    assert "trusted: 1" in text and "rejected: 1" in text
    assert f"scowl-edge pki trust {thumb(other)}" in text


def test_the_beginning_of_a_thumbprint_is_enough_if_it_is_the_only_one(pki: Pki, tmp_path: Path) -> None:
    server = certificate("server")
    reject(tmp_path, server)
    assert pki("trust", thumb(server)[:5])[0] == 1
    assert pki("trust", thumb(server)[:8])[0] == 0


def test_certificates_of_a_file(pki: Pki, tmp_path: Path) -> None:
    one, two = certificate("one"), certificate("two")
    (tmp_path / "both.pem").write_bytes(pem(one) + pem(two))
    left = reject(tmp_path, one)
    code, text = pki("trust", str(tmp_path / "both.pem"))
    assert code == 0 and "CN=one" in text and "CN=two" in text
    assert not left.exists(), "trusted now, so no longer rejected"
    _, text = pki("trust", str(tmp_path / "both.pem"))
    assert "already trusted: CN=one" in text
    assert len(list((tmp_path / "pki" / "trusted").iterdir())) == 2


def test_forgetting(pki: Pki, tmp_path: Path) -> None:
    server = certificate("server")
    reject(tmp_path, server)
    pki("trust", thumb(server))
    code, text = pki("forget", thumb(server))
    assert code == 0 and "no longer trusted: CN=server" in text
    assert list((tmp_path / "pki" / "trusted").iterdir()) == []
    code, text = pki("forget", thumb(server))
    assert code == 0 and "deleted: CN=server" in text
    code, text = pki("forget", thumb(server))
    assert code == 1 and "no certificate in" in text


def test_one_of_a_bundle_is_not_forgotten_by_halves(pki: Pki, tmp_path: Path) -> None:
    one, two = certificate("one"), certificate("two")
    bundle = tmp_path / "pki" / "trusted" / "plant.pem"
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(pem(one) + pem(two))
    code, text = pki("forget", thumb(two))
    assert code == 1 and "holds several certificates" in text
    assert bundle.read_bytes() == pem(one) + pem(two)


def test_what_is_no_certificate(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    code, text = pki("trust", str(tmp_path / "note.txt"))
    assert code == 1 and "holds no certificate" in text
    code, text = pki("trust", "not-there.der")
    assert code == 1 and "is no file that exists and no thumbprint" in text
    rejected = tmp_path / "pki" / "rejected"
    rejected.mkdir(parents=True, exist_ok=True)
    (rejected / "junk.der").write_bytes(b"junk")
    assert pki("show")[0] == 0


def test_an_expired_certificate_is_marked(pki: Pki, tmp_path: Path) -> None:
    old = certificate("old", days=-1)
    reject(tmp_path, old)
    assert "CN=old, EXPIRED, valid " in pki("show")[1]


def test_a_damaged_own_certificate_is_told_beside_the_others(pki: Pki, tmp_path: Path) -> None:
    pki("show")
    for path in (tmp_path / "pki" / "own").iterdir():
        path.write_bytes(b"damaged")
    code, text = pki("show")
    assert code == 0 and "own certificate: " in text and "damaged" in text and "trusted: none" in text


def test_a_folder_that_cannot_be_used(pki: Pki, tmp_path: Path) -> None:
    reject(tmp_path, certificate("server"))
    (tmp_path / "pki" / "trusted").write_text("no folder")
    code, text = pki(
        "trust", thumb(x509.load_der_x509_certificate(next((tmp_path / "pki" / "rejected").iterdir()).read_bytes()))
    )
    assert code == 1 and f"the folder of certificates {tmp_path}/pki cannot be used" in text


def test_what_is_made_belongs_to_whom_the_folder_does(pki: Pki, tmp_path: Path) -> None:
    owner = os.geteuid() or 12_345
    os.chown(tmp_path / "pki", owner, -1)
    (tmp_path / "server.der").write_bytes(der(certificate("server")))
    assert pki("trust", str(tmp_path / "server.der"))[0] == 0
    made = [*(tmp_path / "pki").rglob("*")]
    assert any(path.parent.name == "trusted" for path in made)
    assert {path.stat().st_uid for path in made} == {owner}, "the daemon's user reads what root made"


def test_without_the_library_it_says_what_to_install(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    code, text = pki("show")
    assert code == 1 and "pip install 'scowl-edge[opcua]'" in text


SITE = """site: {id: s}
links:
  a: {type: opcua, endpoint: "opc.tcp://h", pki: FOLDER/a}
  b: {type: opcua, endpoint: "opc.tcp://i", pki: FOLDER/b}
"""


def test_the_folder_of_a_configuration(tmp_path: Path, own: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(SITE.replace("FOLDER", str(tmp_path)))
    for name in ("a", "b"):
        shutil.copytree(own, tmp_path / name / "own")

    def show(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["pki", "show", *arguments])
        return result.exit_code, result.output

    code, text = show("--config", str(site), "--link", "b")
    assert code == 0 and text.startswith(f"folder {tmp_path}/b\n")
    code, text = show("--config", str(site))
    assert code == 1 and "links with several folders (a, b)" in text
    plain = site.read_text()
    site.write_text(plain.replace(f"pki: {tmp_path}/b", f"security: Basic256Sha256/Sign, pki: {tmp_path}/b"))
    code, text = show("--config", str(site))
    assert code == 0 and text.startswith(f"folder {tmp_path}/b\n"), "a link that is not secured needs none"
    site.write_text(plain)
    code, text = show("--config", str(site), "--link", "c")
    assert code == 1 and "has no link c of type opcua; it has: a, b" in text
    assert show("--link", "a")[0] == 1
    assert show("--config", str(site), "--pki", "x")[0] == 1
    site.write_text(site.read_text().replace(f"{tmp_path}/b", f"{tmp_path}/a"))
    code, text = show("--config", str(site))
    assert code == 0 and text.startswith(f"folder {tmp_path}/a\n")
    site.write_text("site: {id: s}\nlinkz: {}\n")
    assert show("--config", str(site))[0] == 2
