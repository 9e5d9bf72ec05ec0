"""Mutual TLS of `scowl-flex/1`: each side shows a certificate by the private issuer, with its node id as its name."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from scowl_edge.drivers.errors import NotAdmitted

_NODE = re.compile(r"(dsrsp|cem|esa):[A-Za-z0-9._:-]{1,64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlexTls:
    """Files in PEM."""

    ca: Path
    """Issuers whose certificates are accepted."""
    certificate: Path
    """Own certificate, then its chain."""
    key: Path
    revoked: Path | None = None
    """Revocation list of the issuer; with it, every peer is looked up there."""

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes when a file does. Raises OSError."""
        files = (self.ca, self.certificate, self.key, *([] if self.revoked is None else [self.revoked]))
        found = (path.stat() for path in files)
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCertificate:
    """What a peer showed."""

    node: str
    """`dsrsp:..`, `cem:..` or `esa:..`."""
    fingerprint: str
    """SHA-256, 64 hex digits."""
    until_utc_ms: int
    """End of its validity."""


def server_context(tls: FlexTls) -> ssl.SSLContext:
    """For the listening side.

    Raises:
        NotAdmitted: a file cannot be used.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, tls)
    # A resumed session would be one whose certificate nobody looks at again.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: FlexTls) -> ssl.SSLContext:
    """For the dialling side; who the peer is says its node id, not the host's name.

    Raises:
        NotAdmitted: a file cannot be used.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, tls)
    context.check_hostname = False
    return context


def peer_of(connection: ssl.SSLObject | None, pins: Mapping[str, str]) -> PeerCertificate:
    """Who is at the other end of a connection whose certificate the issuer vouches for.

    Raises:
        NotAdmitted: it names no node, or several, or is not the one that is pinned for its node.
    """
    shown = None if connection is None else connection.getpeercert()
    der = None if connection is None else connection.getpeercert(binary_form=True)
    if not shown or der is None:
        raise NotAdmitted("the peer showed no certificate")
    names = [str(name) for kind, name in _pairs(shown.get("subjectAltName")) if kind == "URI"]
    if not any(_NODE.match(name) for name in names):
        names = [str(part[1]) for part in _subject(shown) if part[0] == "commonName"]
    nodes = sorted({name for name in names if _NODE.match(name)})
    if len(nodes) != 1:
        raise NotAdmitted(
            f"the peer's certificate names {' and '.join(nodes) or 'no node'}; it must have one URI or common name "
            "such as cem:cabinet-17"
        )
    fingerprint = sha256(der).hexdigest()
    pinned = pins.get(nodes[0])
    if pinned is not None and pinned.lower() != fingerprint:
        raise NotAdmitted(f"the certificate of {nodes[0]} has the fingerprint {fingerprint}, pinned is {pinned}")
    until_s = ssl.cert_time_to_seconds(str(shown["notAfter"]))
    return PeerCertificate(node=nodes[0], fingerprint=fingerprint, until_utc_ms=int(until_s * 1_000))


def _pairs(found: object) -> list[tuple[str, object]]:
    return [pair for pair in found if len(pair) == 2] if isinstance(found, tuple) else []


def _subject(shown: Mapping[str, object]) -> list[tuple[str, object]]:
    subject = shown.get("subject")
    return [pair for part in subject for pair in _pairs(part)] if isinstance(subject, tuple) else []


def _context(kind: int, tls: FlexTls) -> ssl.SSLContext:
    context = ssl.SSLContext(kind)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_verify_locations(tls.ca)
        if tls.revoked is not None:
            context.load_verify_locations(tls.revoked)
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        context.load_cert_chain(tls.certificate, tls.key, password=_no_passphrase)
    except ssl.SSLError as error:
        reason = "the key is not that of the certificate" if error.reason == "KEY_VALUES_MISMATCH" else error.reason
        listed = "" if tls.revoked is None else f", or {tls.revoked} is no revocation list"
        raise NotAdmitted(
            f"flex TLS: {tls.ca}, {tls.certificate} and {tls.key} are not an issuer, a certificate and its key in PEM"
            f"{listed} ({reason or error})"
        ) from None
    except OSError as error:
        files = (tls.ca, tls.certificate, tls.key, *([] if tls.revoked is None else [tls.revoked]))
        which = error.filename or " or ".join(str(path) for path in files if not path.exists()) or tls.key
        raise NotAdmitted(f"flex TLS: {which} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise NotAdmitted(f"flex TLS: {error}") from None
    return context


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase; store it without, readable for the daemon alone")
