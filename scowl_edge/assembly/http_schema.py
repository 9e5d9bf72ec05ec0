"""Keys of the one port: address, tokens, TLS."""

from __future__ import annotations

from typing import Annotated

from scowl_edge.assembly.kinds import HostNames, Listen
from scowl_edge.assembly.section import Section, Source, key


class Tls(Section):
    """Certificate and key with which the port speaks HTTPS (TLS 1.2 or newer)."""

    certificate: Source = key(
        ...,
        "Certificate in PEM, followed by those of its issuers that clients do not know.",
        "{file: /etc/scowl-edge/tls.crt}",
    )
    key: Source = key(..., "Its private key in PEM, without a password.", "{credential: tls-key}")


class Http(Section):
    """The one port: metrics, health, API and page."""

    listen: Annotated[
        str,
        Listen("127.0.0.1:8080"),
    ] = key(
        "127.0.0.1:8080",
        "Address to listen on. Any but a loopback address needs `tls`, since plain HTTP would show tokens to the "
        "network, and `viewer` or `token`, since reading is open on loopback only. Port 0 takes any free one.",
        "127.0.0.1:8080",
    )
    token: Source | None = key(
        None,
        "The operator's token, which orders must carry. Without one every order is refused.",
        "{file: /etc/scowl-edge/token}",
        shown="none",
    )
    viewer: Source | None = key(
        None,
        "The viewer's token. With one, reading needs it or the operator's; without one reading is open on loopback, "
        "and needs the operator's token elsewhere.",
        "{file: /etc/scowl-edge/viewer-token}",
        shown="none",
    )
    tls: Tls | None = key(
        None,
        "Speak HTTPS instead of HTTP.",
        "{certificate: {file: /etc/scowl-edge/tls.crt}, key: {credential: tls-key}}",
        shown="plain HTTP",
    )
    names: Annotated[tuple[str, ...], HostNames()] = key(
        (),
        "Host names under which people reach the port. Orders are taken under these and under addresses of this "
        "machine only, so that no foreign page can send one through a name of its own.",
        "[scada.example]",
    )
