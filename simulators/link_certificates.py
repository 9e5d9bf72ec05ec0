"""Certificates of a simulated link inside TLS: an issuer, the server's and the client's, made where there are none."""

from __future__ import annotations

import importlib.util
import ssl
from pathlib import Path

from scowl_edge.devices.declaration import LinkTls, ModbusLink
from simulators.plant import SimulationError


class LinkCertificates:
    """The files of one link. The link's own three are the client's; the server's lie beside the issuer."""

    def __init__(self, link: ModbusLink) -> None:
        assert link.tls is not None
        self._link = link
        self._tls: LinkTls = link.tls
        self._folder = Path(self._tls.ca).parent
        self.made: list[str] = []
        """Files that were made."""

    def make(self) -> None:
        """Makes what is missing.

        Raises:
            SimulationError: the issuer is somebody else's, or the library for it is not installed.
        """
        if importlib.util.find_spec("cryptography") is None:
            raise SimulationError(
                f"link {self._link.name} is inside TLS; to simulate it certificates are made, which needs the package "
                "cryptography; install it with: pip install cryptography"
            )
        # Sites without such a link do without the library: it is large.
        from scowl_edge.issuing import Issuer

        ours = (self._tls.ca, self._tls.certificate, self._tls.key)
        there = [path for path in ours if Path(path).exists()]
        issuer = Issuer(Path(self._tls.ca), self._issuer_key)
        if not there:
            try:
                issuer.create(f"scowl-edge simulator, link {self._link.name}")
                issuer.issue("scowl-edge", [], Path(self._tls.certificate), Path(self._tls.key))
            except OSError as error:
                raise SimulationError(
                    f"cannot make the certificates of link {self._link.name} in {self._folder}: {error.strerror}; "
                    "name files in a folder that you may write"
                ) from error
            self.made += [*ours, str(self._issuer_key)]
        if all(path.exists() for path in (*self._server(False), *self._server(True))):
            return
        if not self._issuer_key.exists() or len(there) not in (0, len(ours)):
            raise SimulationError(
                f"link {self._link.name}: the server's certificate {self._server(False)[0]} is not there, and there is "
                f"no key {self._issuer_key} to issue it with; remove {', '.join(ours)} to have all of them made"
            )
        names = [self._link.host, "localhost", self._tls.server_name]
        for expired in (False, True):
            certificate, key = self._server(expired)
            issuer.issue(self._tls.server_name or self._link.host, names, certificate, key, expired=expired)
            self.made.append(str(certificate))

    def context(self, *, expired: bool) -> ssl.SSLContext:
        """What the server listens with: TLS 1.2 or later, and only clients with a certificate of the issuer.

        Raises:
            SimulationError: the files cannot be read, or are no certificates.
        """
        certificate, key = self._server(expired)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self._tls.ca)
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise SimulationError(
                f"link {self._link.name}: cannot use {self._tls.ca}, {certificate} and {key}: {error}; "
                "remove them to have them made anew"
            ) from error
        return context

    @property
    def _issuer_key(self) -> Path:
        return self._folder / f"{Path(self._tls.ca).stem}-key.pem"

    def _server(self, expired: bool) -> tuple[Path, Path]:
        name = f"{self._link.name}-server"
        return (
            self._folder / f"{name}{'-expired' if expired else ''}.pem",
            self._folder / f"{name}{'-expired' if expired else ''}-key.pem",
        )
