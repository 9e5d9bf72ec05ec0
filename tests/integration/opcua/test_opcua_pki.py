"""The own certificate and the trust list, on a real disk."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scowl_edge.drivers.errors import NotAdmitted
from scowl_edge.drivers.opcua.pki import Pki

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A certificate of somebody else, as DER."""
    own = Pki(tmp_path_factory.mktemp("server")).own(NOW)
    return own.certificate.public_bytes(Encoding.DER)


def test_it_is_made_once_and_private(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "deep" / "pki")
    before = os.umask(0)
    try:
        own = pki.own(NOW)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deep" / "pki").rglob("*")}
    assert modes == {
        "own": 0o700,
        "trusted": 0o700,
        "rejected": 0o700,
        "scowl-edge.pem": 0o600,
        "scowl-edge.der": 0o644,
    }
    assert pki.own(NOW + timedelta(days=365)).certificate == own.certificate
    assert own.certificate.signature_hash_algorithm is not None
    assert own.certificate.signature_hash_algorithm.name == "sha256"
    usage = own.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and usage.content_commitment
    assert usage.key_encipherment and usage.data_encipherment
    own.certificate.verify_directly_issued_by(own.certificate)


def test_links_that_come_at_the_same_time_share_one(tmp_path: Path, server: bytes) -> None:
    links = 6
    together = Barrier(links)

    def connect(_: int) -> bytes:
        pki = Pki(tmp_path / "pki")
        together.wait()
        own = pki.own(NOW)
        with pytest.raises(NotAdmitted, match="if it is the right one"):
            pki.check(server, NOW)
        return own.certificate.public_bytes(Encoding.DER)

    with ThreadPoolExecutor(links) as threads:
        assert len(set(threads.map(connect, range(links)))) == 1


def test_its_end_is_told_before_and_refused_after(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    own = pki.own(NOW)
    end = own.certificate.not_valid_after_utc
    assert own.remark(end - timedelta(days=61)) == ""
    assert f"expires on {end:%Y-%m-%d}" in own.remark(end - timedelta(days=59))
    with pytest.raises(NotAdmitted, match="expired on"):
        pki.own(end + timedelta(days=1))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("scowl-edge.der", None, "both .* must be there, or neither"),
        ("scowl-edge.pem", None, "both .* must be there, or neither"),
        ("scowl-edge.der", b"rubbish", "is damaged"),
        ("scowl-edge.pem", b"rubbish", "is damaged"),
    ],
)
def test_half_a_pair_or_a_damaged_one_is_not_replaced(
    tmp_path: Path, name: str, text: bytes | None, words: str
) -> None:
    pki = Pki(tmp_path)
    pki.own(NOW)
    path = tmp_path / "own" / name
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text)
    with pytest.raises(NotAdmitted, match=words):
        pki.own(NOW)


def test_a_key_of_another_certificate_is_found_out(tmp_path: Path, server: bytes) -> None:
    pki = Pki(tmp_path)
    pki.own(NOW)
    (tmp_path / "own" / "scowl-edge.der").write_bytes(server)
    with pytest.raises(NotAdmitted, match="does not belong to"):
        pki.own(NOW)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotAdmitted, match="cannot be made or read"):
        Pki(tmp_path / "file" / "pki").own(NOW)


def test_a_server_is_trusted_by_its_file_and_only_while_it_is_valid(tmp_path: Path, server: bytes) -> None:
    pki = Pki(tmp_path)
    for _ in range(2):
        with pytest.raises(NotAdmitted, match="is not trusted; if it is the right one, move"):
            pki.check(server, NOW)
    (rejected,) = (tmp_path / "rejected").iterdir()
    assert rejected.read_bytes() == server and len(rejected.stem) == 40
    rejected.rename(tmp_path / "trusted" / rejected.name)
    certificate = pki.check(server, NOW)
    (tmp_path / "trusted" / "note.txt").write_text("not a certificate")
    pem = certificate.public_bytes(Encoding.PEM)
    (tmp_path / "trusted" / rejected.name).unlink()
    (tmp_path / "trusted" / "plant.pem").write_bytes(pem)
    assert pki.check(server, NOW) == certificate
    with pytest.raises(NotAdmitted, match=r"server.s certificate .* expired on"):
        pki.check(server, certificate.not_valid_after_utc)
    with pytest.raises(NotAdmitted, match=r"is valid only from .* check the clocks"):
        pki.check(server, certificate.not_valid_before_utc - timedelta(days=1))
    with pytest.raises(NotAdmitted, match="cannot be read"):
        pki.check(b"rubbish", NOW)


def test_a_server_that_makes_ever_new_certificates_does_not_fill_the_disk(tmp_path: Path, server: bytes) -> None:
    folder = tmp_path / "rejected"
    folder.mkdir()
    for n in range(30):
        path = folder / f"{n:040d}.der"
        path.write_bytes(b"old")
        os.utime(path, (n, n))
    with pytest.raises(NotAdmitted):
        Pki(tmp_path).check(server, NOW)
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == 20
    assert f"{29:040d}.der" in left and f"{10:040d}.der" not in left
