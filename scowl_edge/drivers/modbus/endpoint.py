"""Opens the wire of a link: by its kind, over TCP, TLS or a serial port."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from scowl_edge.devices.declaration import LinkKind, ModbusLink
from scowl_edge.drivers.errors import LinkLost, NotAdmitted
from scowl_edge.drivers.modbus import link_tls
from scowl_edge.drivers.modbus.mbap import MbapWire
from scowl_edge.drivers.modbus.owed import OwedReplies
from scowl_edge.drivers.modbus.rtu_wire import RtuWire
from scowl_edge.drivers.modbus.serial_line import SerialTransport, open_port
from scowl_edge.drivers.modbus.wire import Wire

LookUp = Callable[[str, int], Awaitable[list[tuple[Any, ...]]]]
"""From a host's name and a port to addresses, as `socket.getaddrinfo` gives them."""
_TLS_VERDICT_S = 0.05
"""So long a refusal of our certificate is waited for at least after the handshake."""
_StreamProtocol = TypeVar("_StreamProtocol", bound=asyncio.Protocol)


class Opener(Protocol):
    """Opens the wire of a link; `open_wire` is the one that uses real sockets."""

    async def __call__(
        self,
        link: ModbusLink,
        *,
        rate: float,
        on_stray: Callable[[], None],
        on_lost: Callable[[], None],
        on_bad: Callable[[], None] | None = None,
        owed: OwedReplies | None = None,
    ) -> Wire:
        """See `open_wire`."""


async def open_wire(
    link: ModbusLink,
    *,
    rate: float,
    on_stray: Callable[[], None],
    on_lost: Callable[[], None],
    on_bad: Callable[[], None] | None = None,
    owed: OwedReplies | None = None,
    look_up: LookUp | None = None,
) -> Wire:
    """Opens a link. A host name is looked up each time, so that a device whose address changes is followed.

    Args:
        link: Declaration.
        rate: Seconds of the site's clock that pass in a real one; waits shrink with it.
        on_stray: Called for each frame that answers nothing that is under way.
        on_lost: Called when the connection goes without `close`.
        on_bad: Called for bytes on an RTU line that are no frame.
        owed: What the units of an RTU line owe from earlier connections; the same object for all of them. None: nothing
            is known, as at the start.
        look_up: Finds a host's addresses; None: the system does.

    Raises:
        LinkLost: nobody there, or not in time.
        NotAdmitted: the TLS handshake failed for a reason that only a person can change.
    """

    def rtu() -> RtuWire:
        account = owed if owed is not None else OwedReplies(link, rate=rate)
        return RtuWire(link, account, rate=rate, on_stray=on_stray, on_bad=on_bad or (lambda: None), on_lost=on_lost)

    if link.kind is LinkKind.RTU:
        return _open_serial(link, rtu())
    if link.kind is LinkKind.TLS:
        return await _open_tls(link, rate, lambda: link_tls.TlsWire(on_stray, on_lost), look_up)
    if link.kind is LinkKind.RTU_TCP:
        return await _connect(link, rate, rtu, look_up)
    return await _connect(link, rate, lambda: MbapWire(on_stray, on_lost), look_up)


def _open_serial(link: ModbusLink, wire: RtuWire) -> RtuWire:
    if link.serial is None:
        raise LinkLost("the link has no serial port", sent=False)
    SerialTransport(asyncio.get_running_loop(), open_port(link.serial), wire)
    return wire


async def _open_tls(
    link: ModbusLink, rate: float, make: Callable[[], link_tls.TlsWire], look_up: LookUp | None
) -> Wire:
    what = f"connect to {link.host} port {link.port} with TLS"
    loop = asyncio.get_running_loop()
    if link.tls is None:
        raise LinkLost("the link has no certificates", sent=False, what=what)
    name = link.tls.server_name or link.host
    began_s = loop.time()
    try:
        wire = await _connect(link, rate, make, look_up, tls=link_tls.context(link.tls), server_name=name)
        # The verdict on our certificate comes a round trip after the handshake, which took two or three.
        await wire.admitted(max(loop.time() - began_s, _TLS_VERDICT_S), name)
    except NotAdmitted as refused:
        refused.what = what
        raise
    except ConnectionError as error:
        raise LinkLost(str(error), sent=False, what=what) from None
    return wire


async def _connect(
    link: ModbusLink,
    rate: float,
    make: Callable[[], _StreamProtocol],
    look_up: LookUp | None,
    *,
    tls: ssl.SSLContext | None = None,
    server_name: str | None = None,
) -> _StreamProtocol:
    """Connects to the first address of the host that answers; each gets its share of the time."""
    timeout_s = link.connect_timeout_ms / 1000 / rate
    what = f"connect to {link.host} port {link.port}"
    loop = asyncio.get_running_loop()
    over_s = loop.time() + timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            addresses = await _addresses(link.host, link.port, look_up)
    except TimeoutError:
        raise LinkLost(
            f"no address found within {timeout_s:g} s; does the name server answer?", sent=False, what=what
        ) from None
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LinkLost(f"the name has no address ({reason}); is it right?", sent=False, what=what) from None
    reasons = []
    for place, (family, address) in enumerate(addresses):
        share_s = max(over_s - loop.time(), 0.0) / (len(addresses) - place)
        try:
            async with asyncio.timeout(share_s):
                return await _connect_to(family, address, make, tls, server_name)
        except TimeoutError:
            reason = f"no answer within {share_s:.3g} s; is the address right?"
        except ssl.SSLError as error:
            raise NotAdmitted(link_tls.refusal_in_words(error, server_name or link.host), what=what) from None
        except OSError as error:
            # asyncio puts words of its own into `strerror`.
            said = os.strerror(error.errno) if error.errno else str(error)
            reason = f"{said}; is the device on, and host and port right?"
        reasons.append(reason if len(addresses) == 1 else f"{address[0]}: {reason}")
    raise LinkLost(", ".join(reasons), sent=False, what=what)


async def _addresses(host: str, port: int, look_up: LookUp | None) -> list[tuple[int, Any]]:
    """Socket addresses of a host, in the system's order, none twice."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return [(family, (host, port))]
    if look_up is None:
        loop = asyncio.get_running_loop()
        found: list[tuple[Any, ...]] = list(await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    else:
        found = await look_up(host, port)
    return list(dict.fromkeys((entry[0], entry[4]) for entry in found))


class _HandshakeLost(ConnectionError):
    """The connection came about, and ended before TLS did."""


async def _connect_to(
    family: int, address: Any, make: Callable[[], _StreamProtocol], tls: ssl.SSLContext | None, server_name: str | None
) -> _StreamProtocol:
    loop = asyncio.get_running_loop()
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        try:
            _, protocol = await loop.create_connection(make, sock=sock, ssl=tls, server_hostname=server_name)
        except ConnectionError:
            raise _HandshakeLost(
                "the device closed the connection during the TLS handshake and did not say why; "
                "does it take our certificate, and does it speak TLS at this port?"
            ) from None
    except BaseException:
        sock.close()
        raise
    return protocol
