"""Where a proxy listens and whom it asks: HOST:PORT, or pty:PATH for a serial line."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from scowl_edge.model.errors import ScowlError


class AddressError(ScowlError):
    """An address that cannot be understood, or not be offered."""


@dataclass(frozen=True, slots=True)
class Address:
    """One side of a proxy."""

    host: str = ""
    port: int = 0
    path: Path | None = None
    """Of a serial line, which has neither host nor port."""

    def __str__(self) -> str:
        if self.path is not None:
            return f"pty:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> Address:
    """Reads an address.

    Raises:
        AddressError: it is neither form.
    """
    if text.startswith("pty:") and len(text) > 4:
        return Address(path=Path(text[4:]))
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise AddressError(f"{text!r} is no address; write HOST:PORT, such as 127.0.0.1:15020, or pty:PATH")
    return Address(host.strip("[]"), int(port))


def refuse_foreign(address: Address) -> None:
    """Plain Modbus has no authentication, and a proxy that does harm is no thing to offer to others.

    Raises:
        AddressError: it is not loopback.
    """
    if address.path is not None:
        return
    try:
        loopback = address.host == "localhost" or ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise AddressError(
            f"{address} is no loopback address, and whoever reaches this proxy can command the device behind it; "
            "listen on 127.0.0.1, or say that you mean it (--anywhere)"
        )
