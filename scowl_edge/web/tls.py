"""TLS for the one port: certificate and key from files, read again when they change."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from scowl_edge.model.errors import ScowlError

LOOK_AGAIN_S = 10.0
"""How often the files are looked at."""
ENDS_SOON_DAYS = 14
_DAY_S = 86_400

_log = structlog.get_logger(__name__)


class TlsError(ScowlError):
    """Certificate and key cannot be used."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where certificate (with the chain below the root) and key lie, both PEM."""

    certificate: Path
    key: Path

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Changes when a file does. Raises OSError."""
        found = (path.stat() for path in (self.certificate, self.key))
        return tuple((stat.st_mtime_ns, stat.st_size, stat.st_ino) for stat in found)


class ServerTls:
    """A context for the server that stays the same while what it shows may be replaced."""

    def __init__(self, files: TlsFiles) -> None:
        """Reads the files. Raises TlsError."""
        self._files = files
        self._stamp: tuple[tuple[int, int, int], ...] = ()
        self._told = ""
        self._current = self._load()
        self.context = _context()
        _put_into(self.context, files)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        # Called in each handshake, whether the client names a server or not.
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        try:
            stamp = self._files.stamp()
        except OSError as error:
            raise TlsError(f"TLS: {error.filename} cannot be read: {error.strerror}") from error
        context = _context()
        _put_into(context, self._files)
        self._stamp = stamp
        _tell_validity(context, self._files.certificate)
        return context

    async def watch(self) -> None:
        """Takes over changed files for new connections; what cannot be used is logged, and the last good pair stays."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Looks once."""
        try:
            if await asyncio.to_thread(self._files.stamp) == self._stamp:
                return
            self._current = await asyncio.to_thread(self._load)
        except (OSError, TlsError) as error:
            # A pair is often replaced one file after the other: the next look finds both.
            if str(error) != self._told:
                self._told = str(error)
                _log.error("certificate not replaced; the last good one stays", why=str(error))
            return
        self._told = ""
        _log.info("certificate replaced", path=str(self._files.certificate))


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _put_into(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Raises TlsError in words."""
    asked = False

    def no_password() -> str:
        # Without this, OpenSSL asks on the terminal and waits.
        nonlocal asked
        asked = True
        return ""

    try:
        context.load_cert_chain(files.certificate, files.key, password=no_password)
    except OSError as error:
        if asked:
            why = f"the key {files.key} is encrypted; write it without a passphrase, readable for the daemon alone"
        elif not isinstance(error, ssl.SSLError):
            why = f"{files.certificate} or {files.key} cannot be read: {error.strerror}"
        elif error.reason == "KEY_VALUES_MISMATCH":
            why = f"the key {files.key} does not belong to the certificate {files.certificate}"
        else:
            why = (
                f"{files.certificate} and {files.key} are not a certificate and its key in PEM "
                f"({error.reason or error}); the certificate comes first in its file, then its chain"
            )
        raise TlsError(f"TLS: {why}") from error


def _tell_validity(context: ssl.SSLContext, certificate: Path) -> None:
    """Logs a certificate that is not valid now, or not for long."""
    fault, left_s = validity(context, certificate)
    if fault:
        _log.error("certificate is not valid: clients will refuse it", path=str(certificate), why=fault)
    elif left_s < ENDS_SOON_DAYS * _DAY_S:
        _log.warning("certificate ends soon", path=str(certificate), days=int(left_s // _DAY_S))


def validity(context: ssl.SSLContext, certificate: Path) -> tuple[str, float]:
    """(what a client that trusts this very certificate finds wrong with it, seconds until it ends).

    The standard library reads no certificates, but its client does: one shakes hands with the server in memory.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    try:
        client.load_verify_locations(certificate)
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = (
            client.wrap_bio(to_client, to_server, server_side=False),
            context.wrap_bio(to_server, to_client, server_side=True),
        )
        done = [False, False]
        while not all(done):
            for n, end in enumerate(ends):
                if not done[n]:
                    try:
                        end.do_handshake()
                        done[n] = True
                    except ssl.SSLWantReadError:
                        continue
        found = ends[0].getpeercert() or {}
        return "", ssl.cert_time_to_seconds(str(found["notAfter"])) - time.time()
    except ssl.SSLCertVerificationError as error:
        return error.verify_message, 0.0
    except (ssl.SSLError, OSError, KeyError) as error:
        return str(error), 0.0
