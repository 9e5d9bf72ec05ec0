"""A private issuer for the certificates of `scowl-flex/1`, for tests and small sites.

Only this module imports `cryptography`, and no link needs it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scowl_edge.drivers.flex.link_tls import FlexTls

ISSUER_DAYS = 20 * 365
NODE_DAYS = 2 * 365
_EARLY = timedelta(hours=1)
"""Clocks of nodes may be behind that of the issuer."""


class Issuer:
    """`ca.pem`, `ca.key` and, once something was revoked, `revoked.pem` in one folder."""

    def __init__(self, folder: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.folder = folder
        self._certificate = certificate
        self._key = key

    @classmethod
    def of(cls, folder: Path, now: datetime, *, name: str = "scowl-flex issuer") -> Issuer:
        """The issuer of a folder; made if there is none.

        Raises:
            OSError: the folder cannot be read or written.
            ValueError: its files are no certificate and key.
        """
        path, key_path = folder / "ca.pem", folder / "ca.key"
        if path.exists():
            key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError(f"{key_path} is not a key that this program made")
            return cls(folder, x509.load_pem_x509_certificate(path.read_bytes()), key)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = _usage(sign=True)
        certificate = (
            _builder(subject, subject, key.public_key(), now, ISSUER_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _put(key_path, _key_text(key), 0o600)
        _put(path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return cls(folder, certificate, key)

    def issue(
        self,
        node: str,
        now: datetime,
        *,
        hosts: Sequence[str] = (),
        days: float = NODE_DAYS,
        folder: Path | None = None,
    ) -> FlexTls:
        """A key and a certificate for a node id, as files named after it. Raises OSError."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(node)]
        for host in hosts:
            try:
                names.append(x509.IPAddress(ip_address(host)))
            except ValueError:
                names.append(x509.DNSName(host))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node[:64])])
        certificate = (
            _builder(subject, self._certificate.subject, key.public_key(), now, days)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        where = folder or self.folder
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        stem = node.replace(":", "-")
        made = FlexTls(ca=self.folder / "ca.pem", certificate=where / f"{stem}.pem", key=where / f"{stem}.key")
        _put(made.key, _key_text(key), 0o600)
        _put(made.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return made

    def revoke(self, certificates: Sequence[Path], now: datetime) -> Path:
        """Adds certificates to the revocation list, and makes it if there is none. Raises OSError, ValueError."""
        path = self.folder / "revoked.pem"
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - _EARLY)
            .next_update(now + timedelta(days=ISSUER_DAYS))
        )
        numbers = {x509.load_pem_x509_certificate(one.read_bytes()).serial_number for one in certificates}
        if path.exists():
            numbers |= {one.serial_number for one in x509.load_pem_x509_crl(path.read_bytes())}
        for number in sorted(numbers):
            one = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
            builder = builder.add_revoked_certificate(one)
        _put(path, builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM), 0o644)
        return path


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: float
) -> x509.CertificateBuilder:
    end = now + timedelta(days=days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - _EARLY)
        .not_valid_after(end)
    )


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign,
        crl_sign=sign,
        encipher_only=False,
        decipher_only=False,
    )


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _put(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, and a key never readable to others in between."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
