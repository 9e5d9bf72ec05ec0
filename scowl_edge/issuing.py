"""An issuer of certificates for links and nodes: elliptic curves, PEM files, keys that only their owner may read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = timedelta(days=1)
_TEN_YEARS = 3650


class Issuer:
    """Issues certificates in its name."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate = certificate
        self._key = key

    def create(self, name: str) -> None:
        """Makes the issuer itself.

        Raises:
            OSError: its files cannot be written.
        """
        self._certificate.parent.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        made = (
            _dated(x509.CertificateBuilder(), expired=False)
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(issues=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(self._certificate, self._key, made, key)

    def issue(
        self,
        name: str,
        names: Iterable[str],
        certificate: Path,
        key: Path,
        *,
        node: str = "",
        days: int = _TEN_YEARS,
        expired: bool = False,
    ) -> None:
        """Makes a certificate with a key of its own.

        Args:
            name: Whose it is.
            names: Host names and addresses that it is good for; empty ones are passed over.
            certificate: Where it goes.
            key: Where its key goes.
            node: Node id of flexibility that it is good for, such as `cem:house-4`.
            days: How long it is good for.
            expired: It ended yesterday.

        Raises:
            OSError: files cannot be read or written.
        """
        issuer = x509.load_pem_x509_certificate(self._certificate.read_bytes())
        issuer_key = serialization.load_pem_private_key(self._key.read_bytes(), None)
        assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        own = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _dated(x509.CertificateBuilder(), expired=expired, days=days)
            .subject_name(_name(name))
            .issuer_name(issuer.subject)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(issues=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        hosts: list[x509.GeneralName] = [_host(each) for each in dict.fromkeys(names) if each]
        if node:
            hosts.append(x509.UniformResourceIdentifier(node))
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        certificate.parent.mkdir(parents=True, exist_ok=True)
        _write(certificate, key, builder.sign(issuer_key, hashes.SHA256()), own)

    def revoke(self, certificates: Iterable[Path], listed: Path) -> None:
        """Adds certificates to a revocation list in PEM, and makes it if there is none.

        Raises:
            OSError: files cannot be read or written.
        """
        issuer = x509.load_pem_x509_certificate(self._certificate.read_bytes())
        issuer_key = serialization.load_pem_private_key(self._key.read_bytes(), None)
        assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
        now = datetime.now(UTC)
        numbers = {x509.load_pem_x509_certificate(one.read_bytes()).serial_number for one in certificates}
        if listed.exists():
            numbers |= {one.serial_number for one in x509.load_pem_x509_crl(listed.read_bytes())}
        builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
        builder = builder.last_update(now - _DAY).next_update(now + _TEN_YEARS * _DAY)
        for number in sorted(numbers):
            one = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
            builder = builder.add_revoked_certificate(one)
        part = listed.with_name(listed.name + ".part")
        part.write_bytes(builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        part.replace(listed)


def _write(certificate: Path, key: Path, made: x509.Certificate, secret: ec.EllipticCurvePrivateKey) -> None:
    pem = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _dated(builder: x509.CertificateBuilder, *, expired: bool, days: int = _TEN_YEARS) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = builder.not_valid_before(now - (30 * _DAY if expired else _DAY))
    return builder.not_valid_after(now - _DAY if expired else now + days * _DAY)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _usage(*, issues: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issues,
        crl_sign=issues,
        encipher_only=False,
        decipher_only=False,
    )


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)
