"""Certificates of simulated servers: self-signed, made on first use and kept in a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_KEY_BITS = 2048
_DAY = timedelta(days=1)
_YEARS = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its key, as files."""

    certificate: Path
    """DER."""
    key: Path
    """PEM, without a password."""


def identity_in(folder: Path, uri: str, host: str, *, expired: bool = False) -> Identity:
    """The identity of a server, made if the folder has none; one key serves the valid and the expired certificate.

    Args:
        folder: Is made if it is missing.
        uri: Application URI; stands in the certificate.
        host: Name or address of the server; stands in the certificate.
        expired: Take a certificate that ended yesterday.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = "expired" if expired else "certificate"
    identity = Identity(folder / f"{name}.der", folder / "key.pem")
    if not identity.key.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with os.fdopen(os.open(identity.key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(pem)
    if not identity.certificate.exists():
        loaded = serialization.load_pem_private_key(identity.key.read_bytes(), None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        made = _certificate(loaded, uri, host, expired)
        identity.certificate.write_bytes(made.public_bytes(serialization.Encoding.DER))
    return identity


def _certificate(key: rsa.RSAPrivateKey, uri: str, host: str, expired: bool) -> x509.Certificate:
    now = datetime.now(UTC)
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, uri), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulator")]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName("localhost"), _host_name(host)]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - (30 * _DAY if expired else _DAY))
        .not_valid_after(now - _DAY if expired else now + _YEARS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
