"""Certificates as they lie in a folder of OPC-UA links, for people to look at: what `check` warns of and `pki` shows.

Needs the package cryptography, which is imported when something is read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509

_LARGEST = 1_000_000
"""No certificate file is larger; a wrong path must not be read whole."""


@dataclass(frozen=True, slots=True)
class Filed:
    """One certificate in a file."""

    path: Path
    certificate: x509.Certificate
    thumbprint: str
    alone: bool
    """Whether nothing else is in the file."""


def read_folder(folder: Path) -> Iterator[Filed]:
    """Certificates of a folder, by file name; what is none is passed over.

    Raises:
        OSError: the folder or a file cannot be read.
    """
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.is_file():
                yield from read_file(path)


def read_file(path: Path) -> Iterator[Filed]:
    """All certificates of a file in DER or PEM; none if it holds something else.

    Raises:
        OSError: it cannot be read.
    """
    from cryptography import x509

    with path.open("rb") as file:
        data = file.read(_LARGEST)
    found: list[x509.Certificate] = []
    try:
        found = [x509.load_der_x509_certificate(data)]
    except ValueError:
        with contextlib.suppress(ValueError):
            found = x509.load_pem_x509_certificates(data)
    for certificate in found:
        yield Filed(path, certificate, thumbprint(certificate), len(found) == 1)


def thumbprint(certificate: x509.Certificate) -> str:
    """What OPC-UA servers and tools show to tell certificates apart: SHA-1 of the DER, in hex."""
    from cryptography.hazmat.primitives import hashes

    return certificate.fingerprint(hashes.SHA1()).hex().upper()


def expired(certificate: x509.Certificate) -> bool:
    """Whether its time is over."""
    return certificate.not_valid_after_utc <= datetime.now(UTC)


def in_words(certificate: x509.Certificate) -> str:
    """Whose it is and how long it is valid."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    state = "EXPIRED, " if expired(certificate) else "NOT YET VALID, " if begin > datetime.now(UTC) else ""
    return f"{certificate.subject.rfc4514_string() or '(no subject)'}, {state}valid {begin:%Y-%m-%d} to {end:%Y-%m-%d}"
