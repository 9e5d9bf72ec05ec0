"""Checks of what the command line gives as HOST:PORT."""

from __future__ import annotations

from ipaddress import ip_address

import typer


def any_address(text: str | None) -> str | None:
    """Checks the form of a HOST:PORT; whether the port may be offered there depends on the configuration's `tls`."""
    if text is not None:
        host, _, port = text.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
            raise typer.BadParameter(
                f"{text!r} is not HOST:PORT; write e.g. 127.0.0.1:8080 (port 0 takes any free one)."
            )
    return text


def loopback_address(text: str | None) -> str | None:
    """Checks a HOST:PORT that the demo or a simulator should listen on: loopback, since all of it is plain HTTP."""
    text = any_address(text)
    if text is None:
        return None
    host = text.rpartition(":")[0]
    try:
        loopback = host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise typer.BadParameter(
            f"{host!r} is not a loopback address, and plain HTTP is not spoken elsewhere; "
            "listen on 127.0.0.1 and put a proxy with TLS before it."
        )
    return text
