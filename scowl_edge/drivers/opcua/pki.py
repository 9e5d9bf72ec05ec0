"""Certificates in a folder: the own one, made on first use, and those of the servers that a person trusts.

`own/` holds this side's certificate and key, `trusted/` the servers' (DER or PEM, any file name), and `rejected/` takes
what a server showed that is not trusted, so that a person can look at it and move it. Only this module imports
`cryptography`, and nobody imports this module before a secured link connects.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scowl_edge.drivers.errors import NotAdmitted

VALID_DAYS = 20 * 365
"""Renewing it means a walk to each server's trust list, so it outlives the box."""
NEAR_EXPIRY = timedelta(days=60)
_KEY_BITS = 2048
_MOST_REJECTED = 20
"""A server that makes a new certificate at each start must not fill the disk."""
_KEY_MODE, _FOLDER_MODE = 0o600, 0o700


def application_uri() -> str:
    """What this machine's certificate and sessions call the application."""
    return f"urn:{socket.gethostname()}:scowl-edge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """This side's certificate and key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    uri: str
    """Application URI as the certificate has it."""
    path: Path
    """Of the certificate: what the server's side must trust."""

    def remark(self, now: datetime) -> str:
        """What a person should know of it soon; empty if nothing."""
        if self.certificate.not_valid_after_utc - now > NEAR_EXPIRY:
            return ""
        return (
            f"own certificate {self.path} expires on {self.certificate.not_valid_after_utc:%Y-%m-%d}: "
            "move it and its key away, then trust the new one at the server"
        )


class Pki:
    """One folder of certificates. All methods touch the disk: call them in a thread."""

    def __init__(self, folder: Path) -> None:
        """Touches nothing yet."""
        self._folder = folder

    def own(self, now: datetime) -> Own:
        """The own certificate; made if there is none.

        Raises:
            NotAdmitted: it cannot be made, read or used any more.
        """
        path, key_path = self._folder / "own" / "scowl-edge.der", self._folder / "own" / "scowl-edge.pem"
        try:
            if not path.exists():
                self._make(path, key_path, now)
            certificate = x509.load_der_x509_certificate(path.read_bytes())
            key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        except OSError as error:
            raise NotAdmitted(
                f"the own certificate cannot be made or read: {error}; both {path} and {key_path} must be there, "
                "or neither: then they are made"
            ) from error
        except ValueError as error:
            raise NotAdmitted(f"the own certificate {path} or its key is damaged: {error}") from error
        if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
            raise NotAdmitted(f"key {key_path} does not belong to certificate {path}; move both away to get new ones")
        if certificate.not_valid_after_utc <= now:
            raise NotAdmitted(
                f"the own certificate {path} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; move it and its "
                "key away, and trust the new one at the server"
            )
        return Own(certificate=certificate, key=key, uri=_uri_of(certificate), path=path)

    def _make(self, path: Path, key_path: Path, now: datetime) -> None:
        for name in ("own", "trusted", "rejected"):
            (self._folder / name).mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        # Links that share a folder come here at the same time, and so may a person's command.
        with _alone(self._folder):
            if not path.exists() and not key_path.exists():
                self._write_pair(path, key_path, now)

    def _write_pair(self, path: Path, key_path: Path, now: datetime) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # The certificate last: with it the pair is complete.
        _put(key_path, pem, _KEY_MODE)
        _put(path, _self_signed(key, now).public_bytes(serialization.Encoding.DER), 0o644)

    def check(self, der: bytes, now: datetime) -> x509.Certificate:
        """Returns a server's certificate if it is trusted and valid.

        Raises:
            NotAdmitted: it is not; an unknown one lies in `rejected/` from then on.
        """
        try:
            certificate = x509.load_der_x509_certificate(der)
        except ValueError as error:
            raise NotAdmitted(f"the server's certificate cannot be read: {error}") from error
        der = certificate.public_bytes(serialization.Encoding.DER)
        if not self._trusts(der):
            raise NotAdmitted(self._reject(certificate, der))
        subject = certificate.subject.rfc4514_string()
        if certificate.not_valid_after_utc <= now:
            raise NotAdmitted(
                f"the server's certificate ({subject}) expired on {certificate.not_valid_after_utc:%Y-%m-%d}; "
                "renew it at the server and trust the new one here"
            )
        if certificate.not_valid_before_utc > now:
            raise NotAdmitted(
                f"the server's certificate ({subject}) is valid only from {certificate.not_valid_before_utc:%Y-%m-%d}; "
                "check the clocks of both sides"
            )
        return certificate

    def _trusts(self, der: bytes) -> bool:
        try:
            files = sorted((self._folder / "trusted").iterdir())
        except OSError:
            return False
        return any(_same(path, der) for path in files)

    def _reject(self, certificate: x509.Certificate, der: bytes) -> str:
        """Keeps it for a person to look at, and says where."""
        name = f"{certificate.fingerprint(hashes.SHA1()).hex().upper()}.der"
        folder, trusted = self._folder / "rejected", self._folder / "trusted"
        who = f"the server's certificate ({certificate.subject.rfc4514_string()}) is not trusted"
        try:
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            trusted.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            if not (folder / name).exists():
                kept = sorted(folder.glob("*.der"), key=lambda path: path.stat().st_mtime)
                for path in kept[: max(len(kept) - _MOST_REJECTED + 1, 0)]:
                    path.unlink(missing_ok=True)
                _put(folder / name, der, 0o644)
        except OSError as error:
            return f"{who}, and it cannot be kept in {folder}: {error}"
        return (
            f"{who}; if it is the right one, move {folder / name} to {trusted}, "
            f"or: scowl-edge pki trust {name.removesuffix('.der')} --pki {self._folder}"
        )


def _same(path: Path, der: bytes) -> bool:
    try:
        data = path.read_bytes()
    except OSError:
        return False
    if data == der:
        return True
    with contextlib.suppress(ValueError):
        return any(
            known.public_bytes(serialization.Encoding.DER) == der for known in x509.load_pem_x509_certificates(data)
        )
    return False


def _put(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, and never readable to others in between."""
    path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with _alone(path.parent):
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Within it no other thread or process is within it for the same folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _self_signed(key: rsa.RSAPrivateKey, now: datetime) -> x509.Certificate:
    """As OPC 10000-6, 6.2.2 wants it: the application URI among the alternative names, and four key usages."""
    host = socket.gethostname()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"scowl-edge@{host}"[:64])])
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(application_uri()), x509.DNSName(host)]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=True,
                key_encipherment=True,
                data_encipherment=True,
                key_agreement=False,
                key_cert_sign=True,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=False,
        )
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _uri_of(certificate: x509.Certificate) -> str:
    with contextlib.suppress(x509.ExtensionNotFound):
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
            return uri
    return application_uri()


def utc(ms: int) -> datetime:
    """A wall clock's ms as the moment they stand for."""
    return datetime.fromtimestamp(ms / 1000, UTC)
