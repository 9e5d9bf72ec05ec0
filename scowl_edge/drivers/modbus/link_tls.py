"""Modbus/TCP Security: TLS 1.2 or newer, each side with a certificate of its own, and every refusal in words.

The device's certificate must be by one of the issuers in `ca` (or be itself there), valid now, and carry the expected
name. The role that the standard lets a client certificate carry (an extension with its own OID) is neither wanted nor
checked here: what this side may do is for the device to say.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from scowl_edge.devices.declaration import LinkTls
from scowl_edge.drivers.errors import NotAdmitted
from scowl_edge.drivers.modbus.mbap import MbapWire

_EXPIRED, _NOT_YET, _SELF_SIGNED, _NAME, _ADDRESS = 10, 9, (18, 19), 62, 64
_UNKNOWN_ISSUER = (2, 20, 21)
_ALERTS = {
    "CERTIFICATE_EXPIRED": "the device says that our certificate has expired; get a new one",
    "CERTIFICATE_REVOKED": "the device says that our certificate is revoked; get a new one",
    "CERTIFICATE_REQUIRED": "the device wants a client certificate and got none; is `certificate` right?",
    "BAD_CERTIFICATE": "the device does not accept our certificate; is `certificate` the one made for it?",
    "CERTIFICATE_UNKNOWN": "the device does not accept our certificate; is `certificate` the one made for it?",
    "UNSUPPORTED_CERTIFICATE": "the device does not accept certificates such as ours; is it made for TLS clients?",
    "UNKNOWN_CA": "the device does not know the issuer of our certificate; install that issuer in the device",
    "ACCESS_DENIED": "the device denies access to our certificate; allow it in the device",
    "DECRYPT_ERROR": "the device could not check our signature; do `certificate` and `key` belong together?",
    "HANDSHAKE_FAILURE": "the device and this side agree on no cipher, or it wants another certificate",
    "PROTOCOL_VERSION": "the device offers no TLS 1.2 or newer",
    "UNSUPPORTED_PROTOCOL": "the device offers no TLS 1.2 or newer",
    "WRONG_VERSION_NUMBER": "what answers there does not speak TLS; is this the port of Modbus/TCP Security (802)?",
}


def context(tls: LinkTls) -> ssl.SSLContext:
    """A context from the link's files, read anew so that renewed certificates are taken.

    Raises:
        NotAdmitted: a file is not there, not readable, or not what it should be.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # A single device's certificate in `ca` will do, its issuer need not be there.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        made.load_verify_locations(tls.ca)
    except (OSError, ssl.SSLError) as error:
        raise NotAdmitted(f"`ca` {tls.ca} cannot be used: {_file_fault(error)}") from None
    try:
        made.load_cert_chain(tls.certificate, tls.key, password=_no_passphrase)
    except (OSError, ssl.SSLError, ValueError) as error:
        names = f"`certificate` {tls.certificate} with `key` {tls.key}"
        raise NotAdmitted(f"{names} cannot be used: {_file_fault(error)}") from None
    return made


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase; store it without")


def _file_fault(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not that of the certificate"
        return f"no PEM of the right kind ({error.reason or error})"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def refusal_in_words(error: ssl.SSLError, name: str) -> str:
    """What a person must know of a failed handshake. `name`: the name that the device's certificate should carry."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code == _EXPIRED:
            return "the device's certificate has expired; install a new one (or set this machine's clock)"
        if code == _NOT_YET:
            return "the device's certificate is not valid yet; is this machine's clock right?"
        if code in _SELF_SIGNED or code in _UNKNOWN_ISSUER:
            return "the device's certificate is by an unknown issuer; put that issuer (or the certificate) into `ca`"
        if code in (_NAME, _ADDRESS):
            return f"the device's certificate is not for {name}; is it the right device? else set `server_name`"
        return f"the device's certificate is not trusted: {error.verify_message}"
    reason = error.reason or str(error)
    for alert, words in _ALERTS.items():
        if alert in reason:
            return words
    return f"the TLS handshake failed: {reason}"


class TlsWire(MbapWire):
    """MBAP inside TLS. A device that turns our certificate down may say so only after the handshake (TLS 1.3)."""

    def __init__(self, on_stray: Callable[[], None], on_lost: Callable[[], None]) -> None:
        super().__init__(on_stray, self._lost)
        self._tell = on_lost
        self._admitted = False
        self._refused: asyncio.Future[Exception | None] = self._loop.create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notes why, too."""
        if not self._refused.done():
            self._refused.set_result(exc)
        super().connection_lost(exc)

    def _lost(self) -> None:
        if self._admitted:
            self._tell()

    async def admitted(self, within_s: float, name: str) -> None:
        """Waits whether the device takes the connection back.

        Raises:
            NotAdmitted: it did, for our certificate's sake.
            OSError: it did, and did not say why.
        """
        await asyncio.wait((self._refused,), timeout=within_s)
        if not self._refused.done():
            self._admitted = True
            return
        error = self._refused.result()
        if isinstance(error, ssl.SSLError):
            raise NotAdmitted(refusal_in_words(error, name))
        raise ConnectionError(
            "the device closed the connection right after the handshake; perhaps it does not take our certificate"
        )
